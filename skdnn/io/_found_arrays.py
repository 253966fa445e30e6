"""What is found in a file: numbers still on disk, texts, and the place of each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skdnn._wording import in_bytes

# No usual compression makes numbers more than this many times smaller; deflate ends at 1032.
_PACKED = 1100
_SMALL = 2**30
# Lists of names are called like this, unless they name columns.
_NAMES = re.compile(r"label|name|stim|image|img|file|cond|path|item|exemplar|object|pictu", re.I)
_COLUMNS = re.compile(r"chan|feature|unit|roi|voxel|neur|column|layer|var|region|sensor", re.I)
_KINDS = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "V": "a table"}


class DamageError(ValueError):
    """A file does not hold what it should."""


class UnknownLayerError(ValueError):
    """A layer was asked for that is not in the file."""


@dataclass(frozen=True)
class Ask:
    """What is wanted of a file."""

    layers: list[str] | None = None
    mmap: bool = False
    external: bool = False  # whether an HDF5 file may send us to others
    part: bool = False  # whatever a part of another program's features holds, without names
    rdm: bool = False  # whatever could be an RDM, without choosing names of rows
    header: dict[str, Any] | None = None  # the description beside the file, if it has one
    known: frozenset[str] = frozenset()  # names of rows that a table of text may hold


@dataclass
class Stored:
    """An array that is still on disk."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray]


@dataclass
class Raw:
    """What was found in one file: ours if it has a header."""

    arrays: dict[str, Any]
    header: dict[str, Any] | None = None
    labels: list[Any] | None = None
    targets: Any = None
    feature_names: list[str] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, Any] = field(default_factory=dict)  # str, or list of str
    frames: dict[str, Any] = field(default_factory=dict)  # of pandas, labelled
    notes: list[str] = field(default_factory=list)  # for a warning
    file_names: list[str] | None = None  # of THINGSvision, found already
    mapped: bool = False
    unchecked: bool = False  # digests of arrays need not, or can't, be compared


@dataclass(frozen=True)
class Opaque:
    """A kind of thing that cannot be read."""

    kind: str
    reason: str = ""

    def __str__(self) -> str:
        return self.kind + (f", which cannot be read ({self.reason})" if self.reason else "")


class Struct(dict[str, Any]):
    """Of MATLAB or Octave; other dicts are groups."""


def gathered(tree: Mapping[str, Any]) -> Raw:
    """Nested members by their place: ``struct.field``, ``cells(2)``, ``group/data``."""
    raw = Raw({})
    _put(raw, tree, "")
    return raw


def _put(raw: Raw, value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        between = "." if isinstance(value, Struct) else "/"
        for key, item in value.items():
            _put(raw, item, f"{place}{between}{key}" if place else str(key))
    elif isinstance(value, Opaque):
        names = value.kind in ("string array", "categorical array")
        advice = f": in MATLAB, save cellstr({place})" if names else ""
        if names and is_naming(place):
            raise DamageError(f"{place!r} is a {value}{advice}")
        if names or (is_naming(place) and value.kind.endswith(" array")):  # of MATLAB's objects
            raw.notes.append(f"{place!r} is a {value}{advice}. It is left aside.")
    elif isinstance(value, str) or is_text(value):
        raw.texts[place] = value
    elif not isinstance(value, list):
        if value.shape and not ("(" in place and math.prod(value.shape) <= 1):
            raw.arrays[place] = value
    elif all(map(is_row, value)) and len({x.shape for x in value}) == 1 < len(value):
        raw.arrays[place] = as_rows(value)  # a cell with a row for each image
    else:
        for number, item in enumerate(value, start=1):
            _put(raw, item, f"{place}({number})")
        # A text in each of many structs, such as a file name, is a list of names as well.
        structs = bool(value) and all(isinstance(item, Struct) for item in value)
        for name in value[0] if structs else ():
            texts = [item.get(name) for item in value]
            if all(isinstance(text, str) for text in texts):
                raw.texts[f"{place}.{name}"] = texts


def lines(rows: list[str]) -> str | list[str]:
    """Char: one text, or the padded rows of a matrix."""
    return "".join(rows) if len(rows) < 2 else [row.rstrip(" \0") for row in rows]


def read(array: Any) -> np.ndarray:
    """The numbers themselves, or why there are none."""
    if array.dtype.hasobject:
        raise DamageError("it holds Python objects, which are not read: they may run code")
    if array.dtype.kind not in "buif":
        held = _KINDS.get(array.dtype.kind, array.dtype)
        raise DamageError(f"it holds {held}, not real numbers")
    return array.read() if isinstance(array, Stored) else array


def joined(parts: list[Any], names: list[str]) -> Stored:
    """Rows of several arrays, read when they are wanted."""
    first = parts[0]
    for part, name in zip(parts, names, strict=True):
        if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
            raise DamageError(
                f"{name} holds {part.dtype} {part.shape}, which does not go on with the "
                f"{first.dtype} {first.shape} of {names[0]}"
            )
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])

    def whole() -> np.ndarray:
        made = np.empty(shape, first.dtype)
        for part, stop in zip(parts, np.cumsum([part.shape[0] for part in parts]), strict=True):
            made[stop - part.shape[0] : stop] = read(part)
        return made

    return Stored(shape, first.dtype, whole)


def wanted(names: list[str], layers: list[str] | None) -> list[str]:
    """Which arrays to read; UnknownLayerError if some are not there."""
    if layers is None:
        return names
    if unknown := [name for name in layers if name not in names]:
        raise UnknownLayerError(f"layers={unknown!r} are not in it. It holds: {names!r}")
    return layers


def check_size(shape: Any, itemsize: int, n_stored: int) -> None:
    """Refuse to make room for what so few bytes cannot hold."""
    declared = math.prod(map(int, shape)) * itemsize
    if declared > max(_SMALL, _PACKED * n_stored):
        raise DamageError(
            f"an array of shape {tuple(map(int, shape))} would take {in_bytes(declared)}, but "
            f"{in_bytes(n_stored)} are in the file"
        )


def is_text(values: Any) -> bool:
    """Whether this is a list of names rather than of numbers."""
    return isinstance(values, list) and bool(values) and all(isinstance(x, str) for x in values)


def plain(value: Any) -> Any:
    """Text, where HDF5 gives bytes."""
    return value.decode() if isinstance(value, bytes) else value


def is_naming(place: str) -> bool:
    """Whether a list that is called so holds names of rows."""
    return bool(_NAMES.search(last_part(place))) and not names_columns(place)


def names_columns(place: str) -> bool:
    """Whether a list that is called so holds names of columns."""
    return bool(_COLUMNS.search(last_part(place)))


def last_part(place: str) -> str:
    """The name of a member by itself."""
    return re.split(r"[./]", place)[-1]


def is_row(item: Any) -> bool:
    """Numbers along one axis."""
    shape = getattr(item, "shape", ())
    return len(shape) > 0 and math.prod(shape) == max(shape)


def as_rows(items: list[Any]) -> Stored:
    """One array of several of one shape, read when it is wanted."""
    shape, row = items[0].shape, is_row(items[0])
    whole = (len(items), max(shape)) if row else (len(items), *shape)
    dtype = np.result_type(*(item.dtype for item in items))
    return Stored(whole, dtype, lambda: np.stack([read(x) for x in items]).reshape(whole))
