"""MATLAB's string arrays, which are objects: a reference to a table behind all variables.

The layout has no specification of MathWorks; it is as https://github.com/foreverallama/matio
describes it. Whatever differs from that is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from skdnn.io._reading import DamageError, Opaque

_OBJECT = 0xDD000000  # with this begins a reference: number of axes, axes, object, class
_MISSING = 2**64 - 1  # the length of what MATLAB shows as <missing>
_FIRST = 2  # cells of properties come behind the metadata and an empty one


def text_or_opaque(
    kind: str, reference: Callable[[], Any], cells: Callable[[], Sequence[Callable[[], Any]]]
) -> str | list[str] | Opaque:
    """The text of a string array, column by column as of a cell; what other objects are."""
    if kind != "string":
        return Opaque(f"{kind} array")
    try:
        return _decoded(_property(np.ravel(reference()).tolist(), cells()))
    except DamageError as error:
        return Opaque("string array", str(error))
    except (LookupError, ValueError, TypeError, AttributeError):
        return Opaque("string array", "its text is not where it should be")


def _property(reference: list[int], cells: Sequence[Callable[[], Any]]) -> np.ndarray:
    """The one property of a string array; `cells` are the table, the first its metadata."""
    if len(reference) != 6 or reference[:4] != [_OBJECT, 2, 1, 1]:
        raise DamageError("an unknown kind of reference")
    about = np.ravel(cells[0]()).astype(np.uint8).tobytes()
    words = np.frombuffer(about[: len(about) // 4 * 4], "<u4").tolist()
    names = about[40 : words[2]].split(b"\0")
    classes, saved, objects = (words[start // 4 :] for start in words[2:5])
    of_class, *_, number = objects[6 * reference[4] :][:4]
    if of_class != reference[5] or names[classes[4 * of_class + 1] - 1] != b"string":
        raise DamageError("it refers to another kind of object")
    for _ in range(number):  # blocks of fields, each padded to 8 bytes
        size = 1 + 3 * saved[0]
        saved = saved[size + size % 2 :]
    n_fields, name, kind, place = saved[:4]
    if (n_fields, names[name - 1], kind) != (1, b"any", 1):
        raise DamageError("an unknown kind of property")
    return np.ravel(cells[_FIRST + place]())


def _decoded(words: np.ndarray) -> str | list[str]:
    """Version, number of axes, axes, a length for each string, and their UTF-16 in one piece."""
    version, n_axes = map(int, words[:2])
    count = math.prod(map(int, words[2 : 2 + n_axes]))
    lengths = list(map(int, words[2 + n_axes :][:count]))
    units = words[2 + n_axes + count :].astype("<u8").view("<u2")
    if _MISSING in lengths:
        raise DamageError(f"its string {lengths.index(_MISSING) + 1} is missing")
    if version != 1 or len(lengths) != count or -(-sum(lengths) // 4) * 4 != len(units):
        raise DamageError("an unknown layout of text")
    ends = np.cumsum([0, *lengths]).tolist()
    texts = [
        units[start:stop].tobytes().decode("utf-16-le", "replace")
        for start, stop in pairwise(ends)
    ]
    return texts[0] if count == 1 else texts
