"""Writing to a store: temporary names, checksums, syncing, and at last the real names."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from skdnn._files import TEMPORARY, sync_folder
from skdnn._store._checksums import read_json, row_sums, write_json
from skdnn._store._layer_folder import LAYER_FILE, about_layer, read_layer, remove_shard
from skdnn._store._plain_files import remove
from skdnn._store._shard import FORMAT, CorruptShardError, Shard, npy_header

if TYPE_CHECKING:
    from skdnn._store._index import LayerRows

_STALE_SECONDS = 3600.0  # a writer touches its file with every batch
_RESCUED_BYTES = 2**22  # of rows at a time
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def explained(error: OSError, root: Path) -> OSError:
    """The same error, saying what it means for the store and what to do."""
    if error.errno in _FULL:
        return OSError(
            error.errno,
            f"There is no space left for the activation store {root} ({error.strerror}). All that "
            "was complete is kept: free some space (see ActivationStore.prune) and run again; "
            "only what is missing is computed",
        )
    if error.errno in _READ_ONLY:
        return PermissionError(
            error.errno,
            f"The activation store {root} can't be written to ({error.strerror}), and activations "
            "that are not in it were asked for. What it holds can be read; give cache= a folder "
            "of your own for new ones, or None",
        )
    return error


class ShardWriter:
    """Collects the rows of one layer in a temporary file, and gives it its name at the end.

    Parameters
    ----------
    folder : Path
        Of the layer; exists.
    block : str
        Name of the block of images, the same in all layers of one forward pass.
    shape : tuple of int
        Of one image's features.
    dtype : {"float32", "float16"}
    """

    def __init__(self, folder: Path, block: str, shape: tuple[int, ...], dtype: str) -> None:
        self.folder, self.block, self.shape = folder, block, shape
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.n_rows = 0
        self._sums: list[np.ndarray] = []
        self._temporary = folder / f"{TEMPORARY}{block}.npy"
        self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115
        self._write_header()

    @property
    def n_bytes(self) -> int:
        """Size of the rows so far."""
        return self.n_rows * math.prod(self.shape) * self.dtype.itemsize

    def append(self, rows: np.ndarray) -> None:
        """Add rows of float32, shape (n_rows, n_units).

        Raises
        ------
        ValueError
            If float16 cannot hold the values.
        """
        content = rows
        if self.dtype != rows.dtype:
            with np.errstate(over="ignore"):
                content = rows.astype(self.dtype)
            if (np.isinf(content) & np.isfinite(rows)).any():
                largest = float(np.nanmax(np.abs(rows)))
                raise ValueError(
                    f"Activations up to {largest:.4g} in {self.folder.name} don't fit into "
                    'float16, which ends at 65504: use ActivationStore(..., dtype="float32").'
                )
        content = np.ascontiguousarray(content)
        self._file.write(content.data)
        self._sums.append(row_sums(content))
        self.n_rows += len(content)

    def finish(self, digests: np.ndarray, names: Sequence[str], about: Mapping[str, Any]) -> None:
        """Sync the rows and name them, then write the manifest, without which they don't count."""
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self.folder / f"{self.block}.npy")
        sums = np.concatenate(self._sums)
        content = {
            "format": FORMAT,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            **about,
            "block": self.block,
            "folder": self.folder.name,
            "rows": self.n_rows,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "names": list(names),
            "images": [digest.decode() for digest in digests],
            "row_sums": [f"{int(value):016x}" for value in sums],
        }
        write_json(self.folder / f"{self.block}.json", content)
        sync_folder(self.folder)

    def abandon(self) -> None:
        """Leave nothing behind but a shard that is complete."""
        with suppress(OSError):  # a full disk fails once more where the buffer is flushed
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)
            if not (self.folder / f"{self.block}.json").exists():
                (self.folder / f"{self.block}.npy").unlink(missing_ok=True)

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(npy_header(self.dtype, (self.n_rows, *self.shape)))


class BlockWriter:
    """Writes one block of images, a shard in each layer."""

    def __init__(
        self,
        root: Path,
        dtype: str,
        layers: Sequence[tuple[LayerRows, Mapping[str, Any], tuple[int, ...]]],
    ) -> None:
        self._root = root
        self._layers = layers
        self.started = time.monotonic()
        self.block = new_block()
        self._writers: list[ShardWriter] = []
        try:
            for rows, identity, shape in layers:
                make_layer_folder(rows.folder, {**identity, "dtype": dtype})
                self._writers.append(ShardWriter(rows.folder, self.block, shape, dtype))
        except OSError as error:
            self.abandon()
            raise explained(error, root) from error

    @property
    def n_rows(self) -> int:
        """Images so far."""
        return self._writers[0].n_rows

    @property
    def n_bytes(self) -> int:
        """Size of the largest layer so far."""
        return max(writer.n_bytes for writer in self._writers)

    def append(self, parts: Sequence[np.ndarray]) -> None:
        """Add the rows of some images, an array (n_images, n_units) of float32 for each layer."""
        try:
            for writer, rows in zip(self._writers, parts, strict=True):
                writer.append(rows)
        except OSError as error:
            raise explained(error, self._root) from error

    def finish(
        self, digests: np.ndarray, names: Sequence[str], n_batches: int, about: Mapping[str, Any]
    ) -> None:
        """Name the files; `about` goes into each manifest."""
        forward = {"images": len(digests), "batches": n_batches}
        try:
            for writer, (rows, identity, _) in zip(self._writers, self._layers, strict=True):
                writer.finish(digests, names, {**identity, **about, "forward": forward})
                rows.add(self.block)
        except OSError as error:
            self.abandon()
            raise explained(error, self._root) from error

    def abandon(self) -> None:
        """Leave nothing of this block behind but shards that are complete."""
        for writer in self._writers:
            writer.abandon()


def new_block() -> str:
    """A name that no other block has; they sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(5).hex()}"


def rescue(shard: Shard, manifest_path: Path, folder: Path) -> bool:
    """Copy the rows that are as they were written to a new shard.

    Parameters
    ----------
    shard : Shard
    manifest_path : Path
        Its manifest; the rows may be elsewhere.
    folder : Path
        Of the layer that they belong to.

    Returns
    -------
    found : bool
        Whether there are such rows.

    Raises
    ------
    CorruptShardError
        If rows change meanwhile.
    OSError
        If the file can't be read, or the disk is full.
    """
    rows = np.flatnonzero(shard.check()[1])
    if not len(rows):
        return False
    manifest = read_json(manifest_path)
    writer = ShardWriter(folder, new_block(), shard.shape, shard.dtype.name)
    at_once = max(1, _RESCUED_BYTES // max(1, 4 * shard.n_units))
    try:
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            values = np.empty((len(some), shard.n_units), np.float32)
            shard.read(some, values, np.arange(len(some)))
            writer.append(values)
        about = {
            **layer_of(manifest, folder),
            "written": manifest["written"],
            "software": manifest.get("software"),
            "forward": {"images": 0, "batches": 0},
        }
        writer.finish(shard.digests[rows], [manifest["names"][row] for row in rows], about)
    finally:
        writer.abandon()
    return True


def retire(folder: Path, block: str, shard: Shard | None) -> None:
    """Remove a damaged shard, once its sound rows are in a new one.

    Raises
    ------
    OSError
        If there is no room for these; then it stays.
    """
    if shard is not None:
        with suppress(FileNotFoundError, CorruptShardError):
            rescue(shard, folder / f"{block}.json", folder)
    remove_shard(folder, block)


def layer_of(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a manifest says of its layer; in format 1, the file of the layer says more."""
    if manifest["format"] == 1:
        with suppress(OSError, ValueError):
            return read_layer(folder)
    return about_layer(manifest)


_prepared: set[Path] = set()


def make_layer_folder(folder: Path, about: Mapping[str, Any]) -> None:
    """Make a layer's folder with a file that says what it holds; once per process, tidy it."""
    if folder in _prepared and folder.exists():
        return
    folder.mkdir(exist_ok=True)
    try:
        read_layer(folder)
    except (FileNotFoundError, ValueError):
        remove(folder / LAYER_FILE)
        write_json(folder / LAYER_FILE, {**about, "folder": folder.name})
    clean(folder)
    _prepared.add(folder)


def clean(folder: Path) -> None:
    """Remove what killed writers have left; by the file system's clock, not by ours."""
    probe = folder / f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    for path in _leftovers(folder, now):
        path.unlink(missing_ok=True)


def _leftovers(folder: Path, now: float) -> list[Path]:
    """Temporary files, and rows without a manifest, whose writers have long been gone."""
    with os.scandir(folder) as entries:
        there = {entry.name: entry for entry in entries}
    found: list[Path] = []
    for name, entry in there.items():
        nameless = name.endswith(".npy") and name[:-4] + ".json" not in there
        ours = entry.is_file(follow_symlinks=False)
        if ours and (name.startswith(TEMPORARY) or nameless):
            try:
                if now - entry.stat().st_mtime > _STALE_SECONDS:
                    found.append(folder / name)
            except FileNotFoundError:
                continue  # its writer has just finished
    return found
