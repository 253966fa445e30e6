"""One shard: the rows of one layer for a block of images, immutable, with a manifest beside it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.digests import DIGEST
from skdnn.store._json import read_json

_READ_BYTES = 2**20  # at a time: summed while they are in the processor's cache
# Stretches this long are read straight to where they belong, shorter ones are copied there.
_STRAIGHT_BYTES = 2**17
# Fewer bytes than this between two rows are read too, and left out.
_SKIP_BYTES = 2**15
_HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


class CorruptShardError(Exception):
    """A shard that does not hold what its manifest says."""


def row_sums(rows: np.ndarray) -> np.ndarray:
    """Sum of each row's bytes as 64-bit words: finds any flipped bit at the speed of memory.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n_units)
        Contiguous rows as they lie on disk.

    Returns
    -------
    sums : ndarray of uint64, shape (n_rows,)
    """
    n_bytes = rows.shape[1] * rows.itemsize
    word = next(size for size in (8, 4, 2, 1) if n_bytes % size == 0)
    return rows.view(f"<u{word}").sum(axis=1, dtype=np.uint64)


def _as_float32(rows: np.ndarray) -> np.ndarray:
    """By a table of all float16 values: several times as fast as numpy, which asks each value."""
    if rows.dtype != np.float16:
        return rows
    return _HALVES.take(np.ascontiguousarray(rows).view(np.uint16), mode="clip")


@dataclass(frozen=True)
class Shard:
    """Rows on disk, as the manifest describes them.

    Attributes
    ----------
    path : Path
        The .npy file.
    shape : tuple of int
        Of one row.
    dtype : numpy dtype
    digests : ndarray of bytes, shape (n_rows,)
    sums : ndarray of uint64, shape (n_rows,)
        What `row_sums` gave when they were written.
    manifest : dict
        The rest of it.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    digests: np.ndarray
    sums: np.ndarray
    manifest: dict[str, Any]

    @classmethod
    def open(cls, manifest_path: Path) -> Shard:
        """Read a manifest.

        Raises
        ------
        CorruptShardError
            If it is not what a manifest must be.
        FileNotFoundError
            If it has been removed.
        """
        try:
            content = read_json(manifest_path)
            content.pop("names", None)  # for people; a million of them would be much to keep
            shard = cls(
                path=manifest_path.with_suffix(".npy"),
                shape=tuple(int(size) for size in content["shape"]),
                dtype=np.dtype(content["dtype"]).newbyteorder("<"),
                digests=np.array(content.pop("images"), DIGEST),
                sums=np.array([int(s, 16) for s in content.pop("row_sums")], np.uint64),
                manifest=content,
            )
            if not len(shard.digests) == len(shard.sums) == content["rows"]:
                raise ValueError("rows and digests differ in number")
        except (ValueError, KeyError, TypeError, UnicodeError, OverflowError) as error:
            raise CorruptShardError(f"{manifest_path} can't be read ({error})") from error
        return shard

    @property
    def n_units(self) -> int:
        """Values in a row."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes in a row."""
        return self.n_units * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        """Size of the data, without header and manifest."""
        return len(self.digests) * self.row_bytes

    def read(self, rows: np.ndarray, out: np.ndarray, places: np.ndarray) -> None:
        """Read rows into places of `out`, checking each.

        Parameters
        ----------
        rows : ndarray of int
            Rows of the shard, sorted.
        out : ndarray of float32, shape (n, n_units)
        places : ndarray of int
            Rows of `out`.

        Raises
        ------
        CorruptShardError
            If a row is not what was written.
        FileNotFoundError
            If the shard has been removed.
        """
        direct = self.dtype == out.dtype and out.flags.c_contiguous
        scratch = np.empty((0, self.n_units), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            start = self._data_start(file)
            for first, last, straight in self._pieces(rows, places):
                row, to = int(rows[first]), int(places[first])
                part = slice(0, last - first) if straight else rows[first:last] - row
                span = int(rows[last - 1]) - row + 1
                if direct and straight:
                    target = out[to : to + span]
                else:
                    if len(scratch) < span:
                        scratch = np.empty((span, self.n_units), self.dtype)
                    target = scratch[:span]
                file.seek(start + row * self.row_bytes)
                self._fill(file, target)
                sums = self.sums[row : row + span]
                if (row_sums(target)[part] != sums[part]).any():
                    raise CorruptShardError(f"{self.path}: a row's checksum is wrong")
                if not (direct and straight):
                    where = slice(to, to + span) if straight else places[first:last]
                    out[where] = _as_float32(target[part])

    def read_columns(self, columns: slice, rows: np.ndarray) -> np.ndarray:
        """Some columns of some rows, without reading the others; their checksums are not seen."""
        mapped = np.load(self.path, mmap_mode="r").reshape(len(self.digests), self.n_units)
        return mapped[rows, columns].astype(np.float32, copy=False)

    def fault(self) -> str:
        """What is wrong with the file, "" if every byte is as it was written."""
        crc = 0
        try:
            with self.path.open("rb") as file:
                start = self._data_start(file)
                file.seek(start)
                while chunk := file.read(_READ_BYTES):
                    crc = zlib.crc32(chunk, crc)
                size = file.tell() - start
        except CorruptShardError as error:
            return str(error)
        except OSError as error:
            return f"the file can't be read ({error.strerror})"
        if size != self.n_bytes:
            return f"the file has {size} bytes of data, not {self.n_bytes}"
        if f"{crc:08x}" != self.manifest.get("crc32"):
            return "the checksum of its data is wrong"
        return ""

    def _data_start(self, file: Any) -> int:
        try:
            np.lib.format.read_magic(file)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except ValueError as error:
            raise CorruptShardError(f"{self.path}: its header can't be read") from error
        if fortran or dtype != self.dtype or shape != (len(self.digests), *self.shape):
            raise CorruptShardError(f"{self.path}: its header is not what the manifest says")
        return file.tell()

    def _pieces(self, rows: np.ndarray, places: np.ndarray) -> Iterator[tuple[int, int, bool]]:
        """Stretches to be read at once, of bounded size; `rows` are sorted.

        Yields
        ------
        first, last : int
            Which of `rows`.
        straight : bool
            Whether they follow one another on both sides.
        """
        breaks = (np.diff(rows) != 1) | (np.diff(places) != 1)
        n_bytes = len(rows) * self.row_bytes
        n_runs = 1 + int(np.count_nonzero(breaks))
        straight = n_bytes >= _STRAIGHT_BYTES * n_runs or n_runs == 1
        if not straight:
            breaks = (np.diff(rows) - 1) * self.row_bytes > _SKIP_BYTES
        longest = max(1, _READ_BYTES // max(self.row_bytes, 1))
        for first, stop in pairwise([0, *(np.flatnonzero(breaks) + 1).tolist(), len(rows)]):
            while first < stop:
                if straight:
                    last = min(first + longest, stop)
                else:
                    last = first + int(np.searchsorted(rows[first:stop], rows[first] + longest))
                yield first, last, straight
                first = last

    def _fill(self, file: Any, target: np.ndarray) -> None:
        view = memoryview(target.data).cast("B")
        done = 0
        while done < len(view):
            read = file.readinto(view[done:])
            if not read:
                raise CorruptShardError(f"{self.path}: the file is cut short")
            done += read
