"""Bars of progress: lines in a shell, plain HTML in a notebook."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tqdm import tqdm

import skdnn
from skdnn._progress import progress_bar, tell


class Handle:
    """What IPython's `display` gives: keeps all that was shown in its place."""

    def __init__(self, first: Any) -> None:
        self.texts, self.pages = [repr(first)], [first._repr_html_()]

    def update(self, bar: Any) -> None:
        self.texts.append(repr(bar))
        self.pages.append(bar._repr_html_())


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    """As in a kernel: the places that were displayed."""
    pytest.importorskip("IPython")
    handles: list[Handle] = []

    def display(bar: Any, display_id: bool) -> Handle:
        handles.append(Handle(bar))
        return handles[-1]

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    return handles


def test_a_shell_has_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(total=3, unit="image", desc="extracting") as bar:
        tell("four layers")
        bar.update(3)
    out, err = capsys.readouterr()
    assert out == ""
    assert "four layers\n" in err
    assert "extracting: 100%" in err


def test_a_notebook_has_one_place_that_ends_as_a_line(
    displayed: list[Handle], capsys: pytest.CaptureFixture[str]
) -> None:
    tell("four layers")
    assert list(progress_bar(range(3), unit="network", desc="comparing <b>")) == [0, 1, 2]
    (handle,) = displayed
    assert handle.texts[0] == "comparing <b>: 0 of 3 networks"
    assert '<progress value="0" max="3"' in handle.pages[0]
    assert handle.texts[-1] == "comparing <b>: 3 of 3 networks in under 1 s"
    assert handle.pages[-1] == "<div>comparing &lt;b&gt;: 3 of 3 networks in under 1 s</div>"
    assert capsys.readouterr() == ("four layers\n", "")


def test_time_left_and_what_is_at_work(displayed: list[Handle]) -> None:
    bar = progress_bar(total=30, unit="image")
    bar.start_t -= 20
    bar.update(10)
    bar.set_postfix_str("alexnet")
    assert displayed[0].texts[-1] in {
        f"10 of 30 images, about {n} s left (alexnet)" for n in (40, 41)
    }
    bar.close()
    last = displayed[0].texts[-1]
    bar.close()  # again
    assert displayed[0].texts[-1] == last == "stopped after 10 of 30 images in 20 s"


def test_work_that_fails_was_stopped(displayed: list[Handle]) -> None:
    bar = progress_bar(total=3, unit="image")
    bar.update(1)
    bar.__exit__(OSError, OSError("gone"), None)
    assert displayed[0].texts[-1] == "stopped after 1 of 3 images in under 1 s"


def test_bytes_and_what_has_no_known_end(displayed: list[Handle]) -> None:
    with progress_bar(total=1, unit="B", unit_scale=True, desc="weights", disable=None) as bar:
        bar.total = 5_000_000  # as pooch does it
        bar.update(1_000_000)
        bar.refresh()
        assert displayed[0].texts[-1].startswith("weights: 1 MB of 5 MB")
        bar.reset()
        bar.update(5_000_000)
    assert displayed[0].texts[-1] == "weights: 5 MB of 5 MB in under 1 s"
    with progress_bar(unit="B") as bar:
        bar.update(12_345)
    assert "<progress style" in displayed[1].pages[0]
    assert displayed[1].texts[-1] == "12.3 kB in under 1 s"


def test_nothing_is_shown_that_is_not_wanted(displayed: list[Handle]) -> None:
    with progress_bar(total=3, disable=True) as bar:
        bar.update(1)
        bar.set_postfix_str("alexnet")
    assert displayed == []


def test_a_console_that_replaces_nothing_has_lines(
    displayed: list[Handle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spyder_kernels", SimpleNamespace())
    lines = io.StringIO()
    bar = progress_bar(total=3, file=lines)
    bar.close()
    assert type(bar) is tqdm
    assert displayed == []
    assert "0/3" in lines.getvalue()


def test_all_bars_are_made_in_one_place() -> None:
    root = Path(skdnn.__file__).parent
    found = {
        path.name
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and "tqdm" in ast.unparse(node)
    }
    assert found == {"_progress.py"}
