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
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A user's cache of the tests' own, with the weights where they are."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _no_answers_of_the_user(own_cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, place in _places_of_weights().items():
        monkeypatch.setenv(name, place)
    monkeypatch.setenv("XDG_CACHE_HOME", own_cache)


def _places_of_weights() -> dict[str, str]:
    """Where downloaded weights are looked for, before the user's cache is another one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = {"TORCH_HOME": "torch", "HF_HOME": "huggingface", "SKDNN_WEIGHTS": "skdnn/weights"}
    return {name: os.environ.get(name) or str(home / folder) for name, folder in places.items()}


@pytest.fixture(scope="session")
def skdnn_environment(own_cache: str) -> dict[str, str]:
    """The environment in which a process finds skdnn, also where it runs from its checkout."""
    root = str(Path(skdnn.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"}
    return {**os.environ, **_places_of_weights(), **own, "XDG_CACHE_HOME": own_cache}


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


@pytest.fixture(scope="session")
def loaded_by(skdnn_environment: dict[str, str]) -> Callable[..., set[str]]:
    """Modules that a command has loaded when it is done: ``loaded_by("models")``."""

    def run(*arguments: str) -> set[str]:
        code = (
            "import sys\nfrom skdnn.cli import main\n"
            f"try: main({list(arguments)!r})\nexcept SystemExit as stop: assert not stop.code\n"
            "print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=skdnn_environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stderr.split())

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
