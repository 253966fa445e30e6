"""One shard: the rows of one layer for a block of images, immutable, with a manifest beside it."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skdnn._file_digests import DIGEST
from skdnn._store._checksums import read_json, row_sums
from skdnn._store._layer_folder import (
    ForeignLayerError,
    about_layer,
    belongs,
    block_names,
    read_layer,
)
from skdnn._store._plain_files import NotPlainError, open_plain

FORMAT = 2
FORMATS = (1, FORMAT)  # that can be read

_READ_BYTES = 2**20  # at a time: summed while they are in the processor's cache
# Stretches this long are read straight to where they belong, shorter ones are copied there.
_STRAIGHT_BYTES = 2**17
# Fewer bytes than this between two rows are read too, and left out.
_SKIP_BYTES = 2**15
_HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


class CorruptShardError(Exception):
    """A shard that does not hold what its manifest says."""


class StrayShardError(CorruptShardError):
    """A shard that may be sound, and is of another layer, block or version: it is kept."""


def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """What `numpy.save` writes before the data, byte for byte; as long for any number of rows.

    What a header must be is known, so it is never asked: one that is damaged misleads nobody.
    """
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (21 - len(str(shape[0])))  # room for more rows
    text += " " * (64 - (len(text) + 11) % 64) + "\n"
    return np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text.encode()


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
        The rest of it, without the names of the images.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    digests: np.ndarray
    sums: np.ndarray
    manifest: dict[str, Any]

    @classmethod
    def open(cls, manifest_path: Path, *, anywhere: bool = False) -> Shard:
        """Read a manifest.

        Parameters
        ----------
        manifest_path : Path
        anywhere : bool, default=False
            Whether the shard may be one that belongs elsewhere.

        Raises
        ------
        StrayShardError
            If it is of another layer, block or version.
        CorruptShardError
            If it is not what a manifest must be.
        FileNotFoundError
            If it has been removed.
        """
        try:
            content = read_json(manifest_path)
            if content["format"] not in FORMATS:
                raise StrayShardError(
                    f"{manifest_path} is of format {content['format']}: update skdnn"
                )
            if not (is_at_home(content, manifest_path) or anywhere):
                raise StrayShardError(f"{manifest_path} belongs to another place")
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
        if out.shape[1] != self.n_units:
            raise CorruptShardError(f"{self.path}: rows of {self.n_units} values are no such rows")
        direct = self.dtype == out.dtype and out.flags.c_contiguous
        scratch = np.empty((0, self.n_units), self.dtype)
        with self._opened() as file:
            start = len(self.header)
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
                if (self._sums_of(target)[part] != sums[part]).any():
                    raise CorruptShardError(f"{self.path}: a row's checksum is wrong")
                if not (direct and straight):
                    where = slice(to, to + span) if straight else places[first:last]
                    out[where] = _as_float32(target[part])

    def read_columns(self, columns: slice, rows: np.ndarray) -> np.ndarray:
        """Some columns of some rows, without reading the others; their checksums are not seen."""
        shape = (len(self.digests), self.n_units)
        with self._opened() as file:
            try:
                mapped = np.memmap(file, self.dtype, "r", len(self.header), shape)
            except ValueError as error:
                raise CorruptShardError(f"{self.path}: the file is cut short") from error
        return mapped[rows, columns].astype(np.float32, copy=False)

    def check(self) -> tuple[str, np.ndarray]:
        """Read all of the file, in bounded pieces.

        Returns
        -------
        fault : str
            What is wrong with it, "" if every byte is as it was written.
        sound : ndarray of bool, shape (n_rows,)
            The rows that are.

        Raises
        ------
        CorruptShardError
            If it is no file.
        OSError
            If it is not there, or can't be read.
        """
        sound = np.zeros(len(self.digests), dtype=bool)
        crc = 0
        with self._opened() as file:
            n_bytes = os.fstat(file.fileno()).st_size - len(self.header)
            is_header = file.read(len(self.header)) == self.header
            n_rows = len(sound)
            if self.row_bytes:
                n_rows = min(n_rows, max(n_bytes, 0) // self.row_bytes)
            at_once = max(1, _READ_BYTES // max(self.row_bytes, 1))
            for start in range(0, n_rows, at_once):
                rows = np.empty((min(at_once, n_rows - start), self.n_units), self.dtype)
                self._fill(file, rows)
                there = slice(start, start + len(rows))
                sound[there] = self._sums_of(rows) == self.sums[there]
                crc = zlib.crc32(rows.data, crc) if self._form == 1 else 0
        if self._form == 1 and f"{crc:08x}" != self.manifest.get("crc32"):
            sound[:] = False  # its sums of rows alone prove little
        if n_bytes != self.n_bytes:
            return f"the file has {n_bytes} bytes of data, not {self.n_bytes}", sound
        if not sound.all():
            return f"the checksum of {(~sound).sum()} of {len(sound)} rows is wrong", sound
        return "" if is_header else "its header is not as it was written", sound

    @property
    def header(self) -> bytes:
        """What the file begins with."""
        return npy_header(self.dtype, (len(self.digests), *self.shape))

    @property
    def _form(self) -> int:
        return int(self.manifest["format"])

    def _sums_of(self, rows: np.ndarray) -> np.ndarray:
        return row_sums(rows, self._form)

    def _opened(self) -> BinaryIO:
        try:
            return open_plain(self.path)
        except NotPlainError as error:
            raise CorruptShardError(f"{self.path}: {error}") from error

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


def is_at_home(content: dict[str, Any], path: Path) -> bool:
    """Whether a manifest is where it was written."""
    folder = path.parent
    if content["block"] != path.stem or not belongs(content, folder):
        return False
    if content["format"] == 1:  # such a manifest knows its layer only in part
        try:
            read_layer(folder)
        except ForeignLayerError:
            return False
        except (OSError, ValueError):
            return True
    return True


def describe_layer(folder: Path) -> dict[str, Any]:
    """What the rows of a folder are, by its file, else by a shard, else by its name."""
    with suppress(OSError, ValueError):
        return read_layer(folder)
    for block in sorted(block_names(folder)):
        with suppress(OSError, CorruptShardError):
            return about_layer(Shard.open(folder / f"{block}.json").manifest)
    return {"layer": folder.name}
