"""What a reader is asked for, and what it gives back: numbers still on disk, texts, places."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skdnn._wording import in_bytes

# No usual compression makes numbers more than this many times smaller; deflate ends at 1032.
_PACKED = 1100
_SMALL = 2**30  # of a smaller file it is damage if there is no memory for it
_KINDS = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "V": "a table"}


class DamageError(ValueError):
    """A file does not hold what it should."""


@contextmanager
def damage_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """What libraries raise of a broken file, which can be anything, as a DamageError."""
    try:
        yield
    except (FileNotFoundError, PermissionError, ImportError, DamageError):
        raise
    except Exception as error:
        if isinstance(error, MemoryError) and os.path.getsize(path) > _SMALL:
            raise
        raise DamageError(f"it cannot be read ({first_line(error)})") from error


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


def wanted(names: list[str], layers: list[str] | None) -> list[str]:
    """Which arrays to read; a DamageError if some are not there."""
    if layers is None:
        return names
    if unknown := [name for name in layers if name not in names]:
        raise DamageError(f"layers={unknown!r} are not in it. It holds: {names!r}")
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


def first_line(error: BaseException) -> str:
    """What a library says, in short."""
    return str(error).partition("\n")[0] or type(error).__name__
