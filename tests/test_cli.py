"""The command, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skdnn
from skdnn.cli import main


def run_skdnn(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m skdnn`` in a process of its own."""
    root = str(Path(skdnn.__file__).parents[1])  # also where skdnn runs from its checkout
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "skdnn", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_help_lists_the_commands() -> None:
    done = run_skdnn("--help")
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "version" in done.stdout


def test_version() -> None:
    done = run_skdnn("version")
    assert (done.returncode, done.stdout) == (0, f"skdnn {skdnn.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [(["dmeo"], "dmeo"), ([], "command"), (["demo", "--seed", "x"], "--seed")],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert culprit in capsys.readouterr().err


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from skdnn.cli import main; main(['version']); "
        "print([m for m in ('torch', 'matplotlib', 'PIL', 'skdnn.demo') if m in sys.modules])"
    )
    root = Path(skdnn.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    file = tmp_path / "results"
    file.write_text("not a folder")
    assert main(["demo", "--out", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("skdnn demo: error: ")
    assert str(file) in error


def test_an_interrupt_gives_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr("skdnn.demo.run_demo", interrupted)
    assert main(["demo"]) == 130


@pytest.mark.slow
def test_demo_writes_where_it_says(tmp_path: Path) -> None:
    done = run_skdnn("demo", "--quick", "--out", "results/first", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "results" / "first"
    for name in ("skdnn_demo_layers.png", "skdnn_demo_rdms.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
        assert str((out / name).resolve()) in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    table = [line for line in done.stdout.splitlines() if line.startswith(("relu", "fc"))]
    assert [line.split()[0] for line in table] == [f"relu{i}" for i in range(1, 6)] + ["fc6"]
    assert all(line.count("±") == 4 for line in table)
    assert "Warning" not in done.stderr
