"""Writing to a store: temporary names, checksums, syncing, and at last the real names."""

from __future__ import annotations

import errno
import math
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skdnn._files import TEMPORARY, sync_folder
from skdnn.store._index import LAYER_FILE, LayerRows
from skdnn.store._json import write_json
from skdnn.store._shard import row_sums

FORMAT = 1
_STALE_SECONDS = 3600.0  # a writer touches its file with every batch
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
        self._crc = 0
        self._temporary = folder / f"{TEMPORARY}{block}.npy"
        self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115
        self._data_start = self._write_header()

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
        self._crc = zlib.crc32(content.data, self._crc)
        self._sums.append(row_sums(content))
        self.n_rows += len(content)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Sync the rows and name them, then write the manifest, without which they don't count."""
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self.folder / f"{self.block}.npy")
        sums = np.concatenate(self._sums)
        content = {
            "format": FORMAT,
            "block": self.block,
            "rows": self.n_rows,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "crc32": f"{self._crc:08x}",
            **manifest,
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

    def _write_header(self) -> int:
        """Write numpy's header; numpy leaves room in it for the number of rows to grow."""
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.n_rows, *self.shape),
            },
        )
        return self._file.tell()


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
        self.block = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(5).hex()}"
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
                told = {name: identity[name] for name in ("model", "weights", "layer", "pooling")}
                writer.finish(
                    {
                        **told,
                        **about,
                        "forward": forward,
                        "names": list(names),
                        "images": [digest.decode() for digest in digests],
                    }
                )
                rows.add(self.block)
        except OSError as error:
            self.abandon()
            raise explained(error, self._root) from error

    def abandon(self) -> None:
        """Leave nothing of this block behind but shards that are complete."""
        for writer in self._writers:
            writer.abandon()


_prepared: set[Path] = set()


def make_layer_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Make a layer's folder with a file that says what it holds; once per process, tidy it."""
    if folder in _prepared and folder.exists():
        return
    folder.mkdir(exist_ok=True)
    if not (folder / LAYER_FILE).exists():
        write_json(folder / LAYER_FILE, dict(identity))
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
    """Temporary files, and rows without a manifest, that nobody can be writing any more."""
    found: list[Path] = []
    with os.scandir(folder) as entries:
        files = {entry.name: entry for entry in entries}
    for name, entry in files.items():
        nameless = name.endswith(".npy") and name[:-4] + ".json" not in files
        if name.startswith(TEMPORARY) or nameless:
            try:
                if now - entry.stat().st_mtime > _STALE_SECONDS:
                    found.append(folder / name)
            except FileNotFoundError:
                continue  # its writer has just finished
    return found
