"""Which rows are where: one index per store and process, shared by all who use the store."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from skdnn._store._layer_folder import block_names
from skdnn._store._shard import CorruptShardError, Shard, StrayShardError
from skdnn._store._write import retire

_INLINE_BYTES = 4 * 2**20


class Lookup:
    """Where digests are: a sorted copy of those in some shards."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = list(shards)
        counts = [len(shard.digests) for shard in shards]
        digests = (
            np.concatenate([shard.digests for shard in shards]) if shards else np.empty(0, "S64")
        )
        # A stable sort: of rows written twice, always the one in the first shard by name.
        order = np.argsort(digests, kind="stable")
        self._sorted = digests[order]
        self._shard = np.repeat(np.arange(len(counts)), counts)[order]
        self._row = np.concatenate([np.arange(count) for count in [*counts, 0]])[order]

    def find(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the shard, or -1, and row in it, for each digest."""
        if not len(self._sorted):
            return np.full(len(digests), -1), np.zeros(len(digests), dtype=np.int64)
        at = np.searchsorted(self._sorted, digests)
        at[at == len(self._sorted)] = 0
        shard = np.where(self._sorted[at] == digests, self._shard[at], -1)
        return shard, self._row[at]


class LayerRows:
    """The rows of one layer: of one network, preprocessing, precision, pooling and type on disk.

    Parameters
    ----------
    folder : Path
        Need not exist yet.
    writable : bool, default=True
        Whether faulty shards may be removed.
    """

    def __init__(self, folder: Path, writable: bool = True) -> None:
        self.folder = folder
        self._writable = writable
        self._lock = threading.RLock()
        self._shards: dict[str, Shard] = {}
        self._ignored: set[str] = set()  # faulty ones that could not be removed
        self._lookup: Lookup | None = None

    def __getstate__(self) -> tuple[Path, bool]:
        return self.folder, self._writable

    def __setstate__(self, state: tuple[Path, bool]) -> None:
        """Read the folder anew: another process, or another machine, has loaded it."""
        LayerRows.__init__(self, *state)
        self.refresh()

    def refresh(self) -> None:
        """Notice what other processes have written or removed."""
        names = block_names(self.folder)
        strays = []
        with self._lock:
            gone = self._shards.keys() - names
            new = names - self._shards.keys() - self._ignored
            for block in gone:
                del self._shards[block]
            for block in sorted(new):
                try:
                    self._shards[block] = Shard.open(self.folder / f"{block}.json")
                except FileNotFoundError:
                    continue
                except StrayShardError as error:
                    self._ignored.add(block)
                    strays.append(str(error))
                except CorruptShardError as error:
                    self.discard(block, error)
            if gone or new:
                self._lookup = None
        if strays:
            warnings.warn(
                f"{len(strays)} shard(s) of the activation store are not used: {strays[0]}. "
                "ActivationStore.verify(repair=True) moves what lies in a wrong place.",
                UserWarning,
                stacklevel=2,
            )

    def reset(self) -> None:
        """Look at everything anew, after a repair."""
        with self._lock:
            self._shards, self._ignored, self._lookup = {}, set(), None

    def has_news(self) -> bool:
        """Whether other processes have written something since the last look."""
        return bool(block_names(self.folder) - self._shards.keys() - self._ignored)

    def add(self, block: str) -> None:
        """Notice one shard that this process has written."""
        with self._lock:
            self._lookup = None
            try:
                self._shards[block] = Shard.open(self.folder / f"{block}.json")
            except FileNotFoundError:
                return  # another process has pruned it already

    def shards(self) -> list[Shard]:
        """All shards known, by name, which is by time."""
        with self._lock:
            return [self._shards[block] for block in sorted(self._shards)]

    def lookup(self) -> Lookup:
        """The index of what is known."""
        with self._lock:
            if self._lookup is None:
                self._lookup = Lookup(self.shards())
            return self._lookup

    def missing(self, digests: np.ndarray) -> np.ndarray:
        """Which digests have no row on disk by now."""
        self.refresh()
        return self.lookup().find(digests)[0] < 0

    def read(self, digests: np.ndarray, out: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Read the rows of digests into the rows of `out`.

        Parameters
        ----------
        digests : ndarray of bytes, shape (n_rows,)
        out : ndarray of float32, shape (n_rows, n_units)
        n_threads : int, default=1

        Returns
        -------
        absent : ndarray of bool, shape (n_rows,)
            Rows that could not be had: not stored, or in a faulty shard, of which a warning
            tells.
        """
        lookup = self.lookup()
        shard_of, row_of = lookup.find(digests)
        absent = shard_of < 0
        order = np.lexsort((row_of, shard_of))
        order = order[~absent[order]]
        bounds = np.flatnonzero(np.diff(shard_of[order])) + 1
        parts = [part for part in np.split(order, bounds) if len(part)]

        def read_part(places: np.ndarray) -> Exception | None:
            shard = lookup.shards[shard_of[places[0]]]
            try:
                shard.read(row_of[places], out, places)
            except (FileNotFoundError, CorruptShardError) as error:
                return error
            return None

        if n_threads > 1 and out.nbytes > _INLINE_BYTES and len(parts) > 1:
            with ThreadPoolExecutor(n_threads) as pool:
                faults = list(pool.map(read_part, parts))
        else:
            faults = [read_part(part) for part in parts]
        for places, fault in zip(parts, faults, strict=True):
            if fault is not None:
                absent[places] = True
                self.discard(lookup.shards[shard_of[places[0]]].path.stem, fault)
        return absent

    def discard(self, block: str, fault: Exception) -> None:
        """Drop a shard that can't be used as it is; what it has of sound rows is kept."""
        with self._lock:
            shard = self._shards.pop(block, None)
            self._lookup = None
            self._ignored.add(block)
            if self._writable:
                with suppress(OSError):  # a folder that can only be read, a full disk
                    retire(self.folder, block, shard)
        if isinstance(fault, CorruptShardError):  # and not removed by another process
            warnings.warn(
                f"A shard of the activation store is damaged: {fault}. Rows that are not as they "
                "were written are not used and are computed anew.",
                UserWarning,
                stacklevel=2,
            )


_open: WeakValueDictionary[tuple[str, bool], StoreIndex] = WeakValueDictionary()
_recent: deque[StoreIndex] = deque(maxlen=4)  # kept for those who name a folder again and again
_open_lock = threading.Lock()


class StoreIndex:
    """All layers of one store that this process has looked at, and what it counted."""

    def __init__(self, root: Path, writable: bool) -> None:
        self.root = root
        self.writable = writable
        self.hits = 0
        self.misses = 0
        self._layers: dict[str, LayerRows] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, root: Path, writable: bool) -> StoreIndex:
        """The index that this process has of a folder."""
        key = (os.path.realpath(root), writable)
        with _open_lock:
            found = _open.get(key)
            if found is None:
                found = _open[key] = cls(root, writable)
            if found not in _recent:
                _recent.append(found)
            return found

    def layer(self, name: str) -> LayerRows:
        """The rows of one layer's folder."""
        with self._lock:
            if name not in self._layers:
                self._layers[name] = LayerRows(self.root / "layers" / name, self.writable)
            return self._layers[name]

    def count(self, hits: int, misses: int) -> None:
        """Count rows that were and were not there."""
        with self._lock:
            self.hits += hits
            self.misses += misses
