"""The language that selects columns of BData: ``ROI_V1 = 1 + ROI_V2 = 1``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn.io._file_faults import nearest_of

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
    tokens = _tokens(expression)  # the first is the next; the last is "end"

    def sequence() -> Mask:
        """Terms with operators between them, from left to right."""
        found = term()
        while tokens[0][1] in _COMBINE and tokens[0][0] == "sign":
            combine = _COMBINE[tokens.pop(0)[1]]
            found = combine(found, term())
        return found

    def term() -> Mask:
        """Something in parentheses, or a key with or without a value."""
        if tokens[0][:2] == ("sign", "("):
            tokens.pop(0)
            found = sequence()
            if tokens[0][:2] != ("sign", ")"):
                raise _error(expression, tokens[0][2], "')'")
            tokens.pop(0)
            return found
        if tokens[0][0] != "key":
            raise _error(expression, tokens[0][2], "a key or '('")
        key = tokens.pop(0)[1]
        if tokens[0][0] != "value":
            return lookup(key, 1.0)
        _, text, start = tokens.pop(0)
        try:
            value = float(text)
        except ValueError:
            raise _error(expression, start, "a number after '='") from None
        return lookup(key, value)

    found = sequence()
    if tokens[0][0] != "end":
        raise _error(expression, tokens[0][2], "an operator or the end")
    return found


def _tokens(expression: str) -> list[tuple[str, str, int]]:
    """Kind, text and place of each."""
    found, stop = [], 0
    while expression[stop:].strip():
        token = _TOKEN.match(expression, stop)
        if token is None or token.lastgroup is None:
            raise _error(expression, stop, "a key, an operator or a value")
        kind = "key" if token.lastgroup in ("double", "single") else token.lastgroup
        found.append((kind, token[token.lastgroup], stop))
        stop = token.end()
    return [*found, ("end", "", stop)]


def _error(expression: str, start: int, expected: str) -> ValueError:
    rest = expression[start:].strip()
    return ValueError(
        f"The selection {expression!r} is not understood: expected {expected}, found "
        f"{repr(rest) if rest else 'its end'}. Write e.g. 'ROI_V1 = 1 + ROI_V2 = 1'; keys "
        "with signs in their names stand in quotes."
    )


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
    raise ValueError(f"There is no key {key!r} in the metadata. {nearest_of(key, keys)}")


def matching(metadata: Any, key: str, value: float) -> Mask:
    """Columns where any of the keys that `key` names has the value; NaN has none."""
    rows = metadata.loc[keys_like(key, list(metadata.index))].to_numpy()
    return np.asarray((rows == value).any(axis=0))
