"""Fixtures of the store's tests: tiny images, a tiny network, and scripts in new processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for tiny_network, here and in workers

import tiny_network


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twenty-three small images; not to be changed."""
    return tiny_network.write_images(tmp_path_factory.mktemp("images"), 23)


@pytest.fixture(scope="session")
def expected(paths: list[str]) -> dict[str, np.ndarray]:
    """Their features in each layer, without a store."""
    return tiny_network.plain(paths)


@pytest.fixture(scope="session")
def filled_once(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of all images in three layers, in blocks of eight; not to be changed."""
    root = tmp_path_factory.mktemp("filled") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skdnn._extraction._store_writer.BLOCK_ROWS", 8)
        tiny_network.extractor(root, batch_size=4).precompute(
            paths, tiny_network.LAYERS, verbose=0
        )
    return root


@pytest.fixture
def root(filled_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(filled_once, tmp_path / "store"))


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of at most eight images."""
    monkeypatch.setattr("skdnn._extraction._store_writer.BLOCK_ROWS", 8)


@pytest.fixture(scope="session")
def run_script() -> Callable[..., str]:
    """Run a script in a new process; gives what it printed."""

    def run(code: str, *args: object, **environment: str) -> str:
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", tiny_network.PRELUDE + code, *map(str, args)],
            env={**os.environ, "PYTHONPATH": here, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
