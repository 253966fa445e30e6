"""Fixtures of the tests of identity: modules of one's own that leave no trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for laboratory

from laboratory import Laboratory


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes modules of one's own from their source."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made: list[Laboratory] = []

    def make(*args: Any, **sources: str) -> Laboratory:
        made.append(Laboratory(tmp_path / f"lab{len(made)}", *args, **sources))
        return made[-1]

    yield make
    for each in made:
        each.forget()
