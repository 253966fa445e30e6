"""What a file holds: arrays that are read in blocks, and a header that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERSION = 1
BLOCK_BYTES = 2**26
KINDS = "float16, float32, float64, integers and booleans"


def check_dtype(dtype: Any, what: str) -> np.dtype[Any]:
    """The type in little-endian order.

    Raises
    ------
    TypeError
        If it is none of those that every format keeps.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise TypeError(f"{what} has type {dtype}, but only {KINDS} can be saved.")
    return dtype.newbyteorder("<")


@dataclass
class Source:
    """Some rows of an array in memory or on disk, read in blocks and summed up on the way."""

    name: str
    array: Any
    start: int
    stop: int
    dtype: np.dtype[Any]
    digest: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of these rows."""
        return (self.stop - self.start, *map(int, self.array.shape[1:]))

    @property
    def n_bytes(self) -> int:
        """Of the numbers."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def blocks(self) -> Iterator[np.ndarray]:
        """Rows one after another; the digest is there after the last."""
        row_bytes = max(1, self.n_bytes // max(1, self.stop - self.start))
        step = max(1, BLOCK_BYTES // row_bytes)
        sha = hashlib.sha256()
        for first in range(self.start, self.stop, step):
            last = min(first + step, self.stop)
            block = np.ascontiguousarray(self.array[first:last], self.dtype)
            if block.shape != (last - first, *self.shape[1:]):
                raise ValueError(
                    f"features of {self.name or 'the array'} say shape {self.array.shape}, but "
                    f"rows {first} to {last} have shape {block.shape}."
                )
            sha.update(_bytes(block))
            yield block
        self.digest = sha.hexdigest()

    def whole(self) -> np.ndarray:
        """All rows in memory."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.empty(self.shape, self.dtype)

    def describe(self) -> dict[str, Any]:
        """For the header."""
        shape = list(self.shape)
        made = {"name": self.name, "shape": shape, "dtype": self.dtype.name}
        return made | ({"sha256": self.digest} if self.digest else {})


@dataclass
class Content:
    """What goes into one file."""

    single: bool
    sources: list[Source]
    labels: list[str] | list[int] | None
    targets: Source | list[str] | None
    feature_names: list[str] | None
    provenance: dict[str, Any]
    save: str  # one for all parts
    part: tuple[int, int]  # number, of how many
    rows: tuple[int, int, int]  # first, behind the last, of how many

    @property
    def target_array(self) -> Source | None:
        """Targets that are numbers."""
        return self.targets if isinstance(self.targets, Source) else None

    def header(self, *, inline: bool) -> dict[str, Any]:
        """Everything but the numbers; with numbers as targets where they are `inline`."""
        targets: Any = None
        if isinstance(self.targets, Source):
            values = _as_json(self.targets.whole()) if inline else None
            targets = self.targets.describe() | ({"values": values} if inline else {})
        elif self.targets is not None:
            targets = {"values": self.targets, "dtype": "str"}
        return {
            "skdnn_features": VERSION,
            "save": self.save,
            "part": list(self.part),
            "rows": list(self.rows),
            "single": self.single,
            "arrays": [source.describe() for source in self.sources],
            "labels": self.labels,
            "targets": targets,
            "feature_names": self.feature_names,
            "provenance": self.provenance,
        }


@dataclass
class Raw:
    """What was found in one file, before it is checked."""

    arrays: dict[str, np.ndarray]
    header: dict[str, Any] | None = None
    targets: np.ndarray | None = None
    mapped: bool = False
    given_targets: Any = field(default=None, init=False)  # once checked


def parse_header(text: str) -> dict[str, Any]:
    """A header from its JSON.

    Raises
    ------
    ValueError
        If it is none, or of a later version.
    """
    try:
        header = json.loads(text)
        version = int(header["skdnn_features"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError("its description is damaged") from error
    if version > VERSION:
        raise DamageError("it was written by a later version of skdnn: update skdnn to read it")
    return dict(header)


def checked(raw: Raw) -> Raw:
    """The same with types and shapes as they were saved.

    Raises
    ------
    ValueError
        If anything is not as the header says.
    """
    header = raw.header
    if header is None:
        return raw
    described = {entry["name"]: entry for entry in header["arrays"]}
    for name, array in raw.arrays.items():
        raw.arrays[name] = _restored(array, described[name], raw.mapped)
    entry = header["targets"]
    if entry is not None and entry["dtype"] == "str":
        raw.given_targets = np.array(entry["values"], dtype=str)
    elif entry is not None and "values" in entry:
        raw.given_targets = _from_json(entry)
    elif entry is not None:
        if raw.targets is None:
            raise DamageError("its targets are missing")
        raw.given_targets = _restored(raw.targets, entry, False)
    n_rows = header["rows"][1] - header["rows"][0]
    lengths = {len(array) for array in raw.arrays.values()}
    lengths |= {len(x) for x in (header["labels"], raw.given_targets) if x is not None}
    if lengths - {n_rows}:
        raise DamageError(f"it should hold {n_rows} rows, but holds {sorted(lengths)}")
    return raw


def as_utf8(texts: Any) -> list[str]:
    """For other programs: names of files may hold bytes that are no text."""
    return [str(text).encode("utf-8", "replace").decode() for text in texts]


def wanted(names: list[str], layers: list[str] | None) -> list[str]:
    """Which arrays to read.

    Raises
    ------
    UnknownLayerError
        If some are not there.
    """
    if layers is None:
        return names
    if unknown := [name for name in layers if name not in names]:
        raise UnknownLayerError(f"layers={unknown!r} are not in it. It holds: {names!r}")
    return layers


class DamageError(ValueError):
    """A file does not hold what it should."""


class UnknownLayerError(ValueError):
    """A layer was asked for that is not in the file."""


def _restored(array: np.ndarray, entry: dict[str, Any], mapped: bool) -> np.ndarray:
    """An array as it was saved, in row order, if it has the digest that it had."""
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    what = f"its array {entry['name']!r}" if entry["name"] else "its array"
    if mapped:
        if array.shape != shape or array.dtype != dtype:
            raise DamageError(f"{what} is {array.dtype} {array.shape}, not {dtype} {shape}")
        return array
    if array.size != np.prod(shape, dtype=np.int64):
        raise DamageError(f"{what} has shape {array.shape}, not {shape}")
    array = np.ascontiguousarray(array, dtype).reshape(shape)
    if "sha256" in entry and hashlib.sha256(_bytes(array)).hexdigest() != entry["sha256"]:
        raise DamageError(f"{what} is not what was saved (its digest differs)")
    return array


def _bytes(block: np.ndarray) -> memoryview:
    """What a digest is made of: one kind of NaN, since conversions change the others."""
    block = block.astype(block.dtype.newbyteorder("<"), copy=False)
    if block.dtype.kind == "f" and (holes := np.isnan(block)).any():
        block = np.where(holes, block.dtype.type(np.nan), block)
    return np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


def _as_json(array: np.ndarray) -> list[Any]:
    """Numbers in row order; those that JSON does not know as text."""
    values = array.reshape(-1).tolist()
    if array.dtype.kind != "f":
        return values
    return [value if np.isfinite(value) else str(value) for value in values]


def _from_json(entry: dict[str, Any]) -> np.ndarray:
    dtype, values = np.dtype(entry["dtype"]), entry["values"]
    if dtype.kind == "f":
        values = [float(value) for value in values]
    return np.array(values, dtype).reshape(entry["shape"])
