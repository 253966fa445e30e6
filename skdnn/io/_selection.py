"""The language that selects columns of BData: ``ROI_V1 = 1 + ROI_V2 = 1``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
# (key, value or None) -> which columns
Lookup = Callable[[str, float], Mask]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign>[()+\-&|])
      | =\s*(?P<value>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[^\s()+\-&|=]+)
      | "(?P<double>[^"]*)" | '(?P<single>[^']*)'
      | (?P<key>[^()+\-&|="'\s](?:[^()+\-&|="']*[^()+\-&|="'\s])?)
    )\s*""",
    re.VERBOSE,
)
_COMBINE: dict[str, Callable[[Mask, Mask], Mask]] = {
    "+": np.logical_or,
    "|": np.logical_or,
    "&": np.logical_and,
    "-": lambda left, right: left & ~right,
}


def select(expression: str, lookup: Lookup) -> Mask:
    """Which columns an expression selects.

    ``=`` binds most; ``+``, ``|``, ``&`` and ``-`` all bind alike and work from left to right;
    parentheses come first. A key alone means ``key = 1``.

    Raises
    ------
    ValueError
        If the expression is no sentence of the language.
    """
    reader = _Reader(expression)
    found = _sequence(reader, lookup)
    if reader.kind is not None:
        raise reader.error("an operator or the end")
    return found


def keys_like(key: str, keys: Sequence[str]) -> list[str]:
    """The keys that a key names: itself, or all that its wildcards match.

    Raises
    ------
    ValueError
        If there is none; the nearest are named.
    """
    if key in keys:
        return [key]
    if any(sign in key for sign in "*?"):
        matching = [name for name in keys if fnmatchcase(name, key)]
        if matching:
            return matching
    raise ValueError(f"There is no key {key!r} in the metadata. {nearest(key, keys)}")


def nearest(name: str, names: Sequence[str]) -> str:
    """A sentence that names the nearest."""
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4) or list(names)[:5]
    return f"Nearest: {', '.join(map(repr, near))}." if near else "There are none."


class _Reader:
    """The tokens of an expression, one at a time."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._start = self._stop = 0
        self.kind: str | None = None
        self.text = ""
        self.advance()

    def advance(self) -> None:
        self._start = self._stop
        if not self._expression[self._start :].strip():
            self.kind, self.text = None, ""
            return
        found = _TOKEN.match(self._expression, self._start)
        if found is None or found.lastgroup is None:
            self.kind = "error"
            raise self.error("a key, an operator or a value")
        self.kind, self.text, self._stop = found.lastgroup, found[found.lastgroup], found.end()
        if self.kind in ("double", "single"):
            self.kind = "key"

    def error(self, expected: str) -> ValueError:
        rest = self._expression[self._start :].strip()
        return ValueError(
            f"The selection {self._expression!r} is not understood: expected {expected}, found "
            f"{repr(rest) if rest else 'its end'}. Write e.g. 'ROI_V1 = 1 + ROI_V2 = 1'; keys "
            "with signs in their names stand in quotes."
        )


def _sequence(reader: _Reader, lookup: Lookup) -> Mask:
    """Terms with operators between them, from left to right."""
    found = _term(reader, lookup)
    while reader.kind == "sign" and reader.text in _COMBINE:
        combine = _COMBINE[reader.text]
        reader.advance()
        found = combine(found, _term(reader, lookup))
    return found


def _term(reader: _Reader, lookup: Lookup) -> Mask:
    """Something in parentheses, or a key with or without a value."""
    if reader.kind == "sign" and reader.text == "(":
        reader.advance()
        found = _sequence(reader, lookup)
        if reader.kind != "sign" or reader.text != ")":
            raise reader.error("')'")
        reader.advance()
        return found
    if reader.kind != "key":
        raise reader.error("a key or '('")
    key, value = reader.text, 1.0
    reader.advance()
    if reader.kind == "value":
        value = _number(reader)
        reader.advance()
    return lookup(key, value)


def _number(reader: _Reader) -> float:
    try:
        return float(reader.text)
    except ValueError:
        raise reader.error("a number after '='") from None


def matching(metadata: Any, key: str, value: float) -> Mask:
    """Columns where any of the keys that `key` names has the value; NaN has none."""
    rows = metadata.loc[keys_like(key, list(metadata.index))].to_numpy()
    return np.asarray((rows == value).any(axis=0))
