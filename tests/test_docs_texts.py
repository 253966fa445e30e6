"""Texts of parameters that stand in many docstrings."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import skdnn
from skdnn._docs import TEXTS, filled

SOURCES = sorted(Path(skdnn.__file__).parent.rglob("*.py"))


def test_a_text_is_put_behind_the_first_sentence() -> None:
    @filled
    def extract(device: str) -> None:
        """Take features.

        Parameters
        ----------
        device : str
            Where the network runs. %(device)s

        Notes
        -----
        100%(of them)s stays.
        """

    lines = (inspect.getdoc(extract) or "").splitlines()
    at = lines.index("device : str")
    assert lines[at + 1].startswith('    Where the network runs. ``"cpu"``, ``"cuda"``')
    assert " ".join(TEXTS["device"].split()) in " ".join((extract.__doc__ or "").split())
    assert all(len(line) < 100 for line in lines)
    assert "100%(of them)s stays." in lines


def test_an_unknown_text_is_an_error() -> None:
    def extract() -> None:
        """Take features. %(divice)s"""

    with pytest.raises(KeyError, match="divice"):
        filled(extract)


def test_every_text_is_used_more_than_once() -> None:
    used = re.findall(r"%\((\w+)\)s\n", "".join(p.read_text("utf-8") for p in SOURCES))
    assert {name for name in used if used.count(name) > 1} == set(TEXTS)
