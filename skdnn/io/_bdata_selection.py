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
      | (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)'
          | (?P<key>[^()+\-&|="'\s](?:[^()+\-&|="']*[^()+\-&|="'\s])?) )
        \s*(?P<equals>=\s*
          (?P<value>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[^\s()+\-&|=]+))?
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
    tokens = _tokens(expression, lookup)  # the first is the next; the last is "end"

    def sequence() -> Mask:
        """Terms with operators between them, from left to right."""
        found = term()
        while tokens[0][0] in _COMBINE:
            combine = _COMBINE[tokens.pop(0)[0]]
            found = combine(found, term())
        return found

    def term() -> Mask:
        """Something in parentheses, or what a key selects."""
        sign, found, start = tokens.pop(0)
        if sign == "(":
            found = sequence()
            if tokens[0][0] != ")":
                raise _error(expression, tokens[0][2], "')'")
            tokens.pop(0)
        if found is None:
            raise _error(expression, start, "a key or '('")
        return found

    found = sequence()
    if tokens[0][0] != "end":
        raise _error(expression, tokens[0][2], "an operator or the end")
    return found


def _tokens(expression: str, lookup: Lookup) -> list[tuple[str, Mask | None, int]]:
    """Signs, and what keys with or without a value select; and the place of each."""
    found: list[tuple[str, Mask | None, int]] = []
    stop = 0
    while expression[stop:].strip():
        token = _TOKEN.match(expression, stop)
        if token is None:
            raise _error(expression, stop, "a key, an operator or a value")
        try:
            value = float(token["value"] or 1)
        except ValueError:
            raise _error(expression, token.start("equals"), "a number after '='") from None
        keys = [token[name] for name in ("double", "single", "key") if token[name] is not None]
        found.append((token["sign"] or "key", lookup(keys[0], value) if keys else None, stop))
        stop = token.end()
    return [*found, ("end", None, stop)]


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
