"""The command, as a user types it."""

from __future__ import annotations

import argparse
import importlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skdnn
import skdnn.io
from skdnn.cli import main, parser

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = [
    *("demo", "models", "layers", "extract", "rdm", "compare", "search", "encode", "hierarchy"),
    *("searchlight", "classify", "cache", "describe", "report", "version"),
]


def test_help_lists_the_commands(run_skdnn: Run) -> None:
    done = run_skdnn("--help")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")]
    assert [word for word in listed if word in COMMANDS] == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: skdnn {name}")
    assert name == "version" or f"  skdnn {name}" in text.partition("examples:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help_texts_are_valid_usage(name: str) -> None:
    text = commands()[name].format_help()
    for line in text.partition("examples:")[2].splitlines():
        words = shlex.split(line.partition(" > ")[0].partition(" | ")[0])
        if words:
            assert parser().parse_args(words[1:]).command == name


def test_every_option_is_explained() -> None:
    for name, command in commands().items():
        for action in command._actions:
            assert action.help, f"{name} {action.dest}"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_options(shell: str, run_skdnn: Run) -> None:
    done = run_skdnn("--print-completion", shell)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)
    assert "--average-folders" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, text=True, check=False)
        assert checked.returncode == 0


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (chosen,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(chosen.choices)


def test_version(run_skdnn: Run) -> None:
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


@pytest.mark.parametrize(
    "words", [["--help"], ["search", "--help"], ["version"], ["--print-completion", "bash"]]
)
def test_help_version_and_completion_load_next_to_nothing(
    words: list[str], loaded_by: Callable[..., set[str]]
) -> None:
    loaded = loaded_by(*words)
    assert "skdnn.cli" in loaded
    heavy = ("numpy", "scipy", "sklearn", "pandas", "torch", "tensorflow", "matplotlib", "PIL")
    assert loaded.isdisjoint(heavy)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("skdnn.")}
    assert rooms == {"_version", "cli"} if words == ["version"] else rooms == {"cli"}
    assert len(loaded) < 300


def test_every_command_has_its_code_in_a_file_of_its_name() -> None:
    for name in COMMANDS:
        assert callable(importlib.import_module(f"skdnn.cli._{name}").run)


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


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), "a.npy: KeyError: 'x'"),
        (RuntimeError("no\n  such thing"), "a.npy: RuntimeError: no; such thing"),
        (MemoryError("Unable to allocate"), "a.npy: it takes more memory than there is (Unable"),
        (RecursionError(), "a.npy: RecursionError"),
        (StopIteration(), "a.npy: StopIteration"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "a.npy: it is no text in UTF-8"),
        (ValueError("a.npy is\x1b[31m red:\n- a\n- b"), r"error: a.npy is\x1b[31m red: a; b"),
    ],
)
def test_any_error_is_one_line_with_the_file(
    error: Exception, told: str, say: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(skdnn.io, "open_features", fail)
    said = say("rdm", "a.npy", "--out", "r.csv")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith("skdnn rdm: error: ")
    assert told in said.err
    debugged = say("rdm", "a.npy", "--out", "r.csv", "--debug")
    assert debugged.code == 1
    assert debugged.err.startswith("Traceback")
    assert debugged.err.endswith(said.err)
    assert "in fail" in debugged.err


def test_what_was_typed_is_shown_escaped(say: Any, tmp_path: Path) -> None:
    said = say("rdm", "a\n\x1b[31m.npy", "--out", tmp_path / "r.csv")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert r"a\n\x1b[31m.npy" in said.err
    for words in (["rdm", "a", "--out", "r.csv", "--\x1b[31m"], ["\x1b[31m"]):
        said = say(*words)
        assert said.code == 2
        assert r"\x1b[31m" in said.err
        assert "\x1b" not in said.err


def test_a_terminal_that_lacks_a_letter(skdnn_environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "käse.csv").write_text("x,a,b,c\na,0,1,2\nb,1,0,3\nc,2,3,0\n")
    done = subprocess.run(
        [sys.executable, "-m", "skdnn", "compare", "käse.csv", "--reference", "käse.csv"],
        cwd=tmp_path,
        env={**skdnn_environment, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"k\xe4se" in done.stdout


def test_an_interrupt_gives_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr("skdnn.demo.run_demo", interrupted)
    assert main(["demo"]) == 130


@pytest.mark.slow
def test_demo_writes_where_it_says(tmp_path: Path, run_skdnn: Run) -> None:
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
