"""What goes into files of ours: arrays in blocks, and a header by which they are checked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xxhash

from skdnn.io._reading import DamageError, Raw, is_text

VERSION = 2  # 1 had no digest of the header, and SHA-256 of arrays
BLOCK_BYTES = 2**26
KINDS = "float16, float32, float64, integers and booleans"
HEADER = "skdnn"  # what the header is called in a file
# Written beside the header, so that a file of ours that lost it is not taken for another's.
MARK = "skdnn features"
_DIGESTS: dict[str, Any] = {"xxh3": xxhash.xxh3_128, "sha256": hashlib.sha256}
_FIELDS: dict[str, Any] = {
    **{"save": str, "part": list, "rows": list, "single": bool, "arrays": list},
    **{"labels": list | None, "targets": dict | None, "feature_names": list | None},
    "provenance": dict,
}


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
        return math.prod(self.shape) * self.dtype.itemsize

    def blocks(self) -> Iterator[np.ndarray]:
        """Rows one after another; the digest is there after the last."""
        row_bytes = max(1, self.n_bytes // max(1, self.stop - self.start))
        step = max(1, BLOCK_BYTES // row_bytes)
        digest = xxhash.xxh3_128()
        for first in range(self.start, self.stop, step):
            last = min(first + step, self.stop)
            block = np.ascontiguousarray(self.array[first:last], self.dtype)
            if block.shape != (last - first, *self.shape[1:]):
                raise ValueError(
                    f"features of {self.name or 'the array'} say shape {self.array.shape}, but "
                    f"rows {first} to {last} have shape {block.shape}."
                )
            digest.update(_bytes(block))
            yield block
        self.digest = digest.hexdigest()

    def whole(self) -> np.ndarray:
        """All rows in memory."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.empty(self.shape, self.dtype)

    def describe(self) -> dict[str, Any]:
        """For the header."""
        made = {"name": self.name, "shape": list(self.shape), "dtype": self.dtype.name}
        return made | ({"xxh3": self.digest} if self.digest else {})


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

    def some(self, number: int, bounds: list[tuple[int, int]]) -> Content:
        """One part of all, with the rows between its bounds."""
        first, stop = bounds[number]

        def cut(source: Source) -> Source:
            return replace(source, start=first, stop=stop)

        targets = self.targets
        return replace(
            self,
            sources=[cut(source) for source in self.sources],
            labels=None if self.labels is None else self.labels[first:stop],
            targets=cut(targets)
            if isinstance(targets, Source)
            else targets and targets[first:stop],
            part=(number + 1, len(bounds)),
            rows=(first, stop, self.rows[2]),
        )

    def beside(self) -> dict[str, list[str] | np.ndarray]:
        """Labels and targets as other programs find them: text or numbers."""
        targets = self.targets.whole() if isinstance(self.targets, Source) else self.targets
        made: dict[str, Any] = {"labels": self.labels or None, "targets": targets}
        return {
            name: as_utf8(value) if is_text(value) else np.asarray(value)
            for name, value in made.items()
            if isinstance(value, np.ndarray) or value
        }

    def header(self, *, inline: bool = False, file: dict[str, Any] | None = None) -> str:
        """Everything but the numbers as JSON; with targets of numbers where they are `inline`."""
        targets: Any = None
        if isinstance(self.targets, Source):
            values = _as_json(self.targets.whole()) if inline else None
            targets = self.targets.describe() | ({"values": values} if inline else {})
        elif self.targets is not None:
            targets = {"values": self.targets, "dtype": "str"}
        made = {
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
        } | ({"file": file} if file else {})
        return json.dumps(made | {"sha256": _seal(made)}, indent=1 if file else None)


def parse_header(text: str, *, edited: bool = False) -> tuple[dict[str, Any], bool]:
    """A header from its JSON, and whether it was edited, which is an error unless `edited`."""
    try:
        header = dict(json.loads(text))
        version = int(header["skdnn_features"])
        digest = header.pop("sha256") if version > 1 else None
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError("its description is damaged") from error
    if version > VERSION:
        raise DamageError("it was written by a later version of skdnn: update skdnn to read it")
    for name, kind in _FIELDS.items():
        if name not in header or not isinstance(header[name], kind):
            raise DamageError(f"its description is damaged: {name!r} is missing or no {kind}")
    changed = version < 1 or (version > 1 and digest != _seal(header))
    if changed and not edited:
        raise DamageError("its description is not what was saved (its digest differs)")
    return header, changed


def checked(raw: Raw) -> Raw:
    """The same with types, shapes and digests as they were saved; of other programs as it is."""
    header = raw.header
    if header is None:
        return raw
    described = {entry["name"]: entry for entry in header["arrays"]}
    for name, array in raw.arrays.items():
        raw.arrays[name] = _restored(array, described[name], raw)
    entry, targets = header["targets"], raw.targets
    if entry is not None and entry["dtype"] == "str":
        _agree(targets, entry["values"], "targets")
        raw.targets = np.array(entry["values"], dtype=str)
    elif entry is not None and "values" in entry:
        values = entry["values"]
        dtype = np.dtype(entry["dtype"])
        values = [float(value) for value in values] if dtype.kind == "f" else values
        raw.targets = np.array(values, dtype).reshape(entry["shape"])
    elif entry is not None:
        if targets is None:
            raise DamageError("its targets are missing")
        raw.targets = _restored(np.asarray(targets), entry, Raw({}))
    _agree(raw.labels, header["labels"], "labels")
    raw.labels, raw.feature_names = header["labels"], header["feature_names"]
    raw.provenance = header["provenance"]
    n_rows = header["rows"][1] - header["rows"][0]
    lengths = {len(array) for array in raw.arrays.values()}
    lengths |= {len(x) for x in (raw.labels, raw.targets) if x is not None}
    if lengths - {n_rows}:
        raise DamageError(f"it should hold {n_rows} rows, but holds {sorted(lengths)}")
    return raw


def check_dtype(dtype: Any, what: str) -> np.dtype[Any]:
    """The type in little-endian order, or a TypeError if not every format keeps it."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise TypeError(f"{what} has type {dtype}, but only {KINDS} can be saved.")
    return dtype.newbyteorder("<")


def as_utf8(texts: Any) -> list[str]:
    """For other programs: names of files may hold bytes that are no text."""
    return [str(text).encode("utf-8", "replace").decode() for text in texts]


def _agree(copy: Any, saved: Any, what: str) -> None:
    """Labels and targets stand in a file twice: for us, and for other programs."""
    if copy is None or saved is None:
        return
    found = as_utf8(np.ravel(np.asarray(copy, dtype=object)))
    if found != as_utf8(saved):
        raise DamageError(f"its {what} are not what was saved: two copies of them differ")


def _restored(array: Any, entry: dict[str, Any], raw: Raw) -> np.ndarray:
    """An array as it was saved, in row order, if it has the digest that it had."""
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    what = f"its array {entry['name']!r}" if entry["name"] else "its array"
    if raw.mapped:
        if array.shape != shape or array.dtype != dtype:
            raise DamageError(f"{what} is {array.dtype} {array.shape}, not {dtype} {shape}")
        return np.asanyarray(array)
    if array.size != math.prod(shape):
        raise DamageError(f"{what} has shape {array.shape}, not {shape}")
    array = np.ascontiguousarray(array, dtype).reshape(shape)
    name = next((name for name in _DIGESTS if name in entry and not raw.unchecked), None)
    if name and _DIGESTS[name](_bytes(array)).hexdigest() != entry[name]:
        raise DamageError(f"{what} is not what was saved (its digest differs)")
    return array


def _seal(header: dict[str, Any]) -> str:
    """Digest of what a header says, however it is laid out."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


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
