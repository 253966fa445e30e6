"""What tests of commands share: skdnn in a process of its own, or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skdnn
from skdnn.cli import main


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def skdnn_environment() -> dict[str, str]:
    """The environment in which a process finds skdnn, also where it runs from its checkout."""
    root = str(Path(skdnn.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"}


@pytest.fixture(scope="session")
def run_skdnn(
    skdnn_environment: dict[str, str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m skdnn`` in a process of its own: ``run_skdnn("rdm", ..., cwd=folder)``."""

    def run(
        *arguments: object, cwd: Path | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "skdnn", *map(str, arguments)],
            cwd=cwd,
            env=skdnn_environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    return run


class Said:
    """What a command said in this process, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in this process: ``say("rdm", file).code``, ``.out``, ``.err``."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # wrong usage
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images: img1.png to img12.png, in natural order not that of strings."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for number in range(1, 13):
        coarse = chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48)).save(folder / f"img{number}.png")
    return folder
