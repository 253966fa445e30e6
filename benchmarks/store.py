"""The activation store against one .npy file (memory map) and HDF5: ratios of times.

    python benchmarks/store.py [--rows 5000] [--units 20000] [--repeats 5]

Rows of activations (half of them zero, as behind a ReLU) are written and read back by each side;
the sides take turns, and a ratio is that of their medians, above 1 where the store is slower.
Files are in the system's cache, so that it is the reading that is measured and not the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from skdnn import ActivationStore, StoredFeatures
from skdnn._store import LayerRows

_BLOCK_ROWS = 512  # of a shard
_BATCH_ROWS = 32


def rows_of(start: int, n_rows: int, n_units: int) -> np.ndarray:
    """The same rows for each side."""
    rng = np.random.default_rng(start)
    return np.maximum(rng.standard_normal((n_rows, n_units), dtype=np.float32), 0)


class Store:
    """The activation store."""

    def __init__(self, folder: Path, n_rows: int, n_units: int, dtype: str = "float32") -> None:
        self.folder, self.n_rows, self.n_units, self.dtype = folder, n_rows, n_units, dtype
        self.digests = np.array([f"{row:064x}" for row in range(n_rows)], "S64")
        self.identity = {
            "key": "benchmark",
            "model": "benchmark",
            "weights": "none",
            "layer": "layer",
            "pooling": "flatten",
        }

    def write(self, batches: list[np.ndarray]) -> None:
        store = ActivationStore(self.folder, dtype=self.dtype)
        store.depot.prepare_writing()
        block, first = None, 0
        for i, batch in enumerate(batches, start=1):
            block = block or store.depot.begin_block([(self.identity, (self.n_units,))])
            block.append([batch])
            if block.n_rows >= _BLOCK_ROWS or i == len(batches):
                digests = self.digests[first : first + block.n_rows]
                block.finish(digests, [f"{d}.png" for d in digests], 1, {})
                first, block = first + len(digests), None

    def open(self) -> LayerRows:
        """As in a new process."""
        name = ActivationStore(self.folder, dtype=self.dtype).depot.layer(self.identity).folder
        layer = LayerRows(name)
        layer.refresh()
        return layer

    def read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), self.n_units), np.float32)
        assert not self.open().read(self.digests[rows], out, n_threads=2).any()
        return out

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        return StoredFeatures([self.open()], [self.n_units], self.digests)[:, start:stop]


class Memmap:
    """One .npy file, mapped into memory."""

    def __init__(self, folder: Path, n_rows: int, n_units: int) -> None:
        self.path, self.shape = folder / "rows.npy", (n_rows, n_units)

    def write(self, batches: list[np.ndarray]) -> None:
        mapped = np.lib.format.open_memmap(self.path, "w+", np.float32, self.shape)
        start = 0
        for batch in batches:
            mapped[start : start + len(batch)] = batch
            start += len(batch)
        mapped.flush()

    def read(self, rows: np.ndarray) -> np.ndarray:
        mapped = np.load(self.path, mmap_mode="r")
        return np.array(mapped) if len(rows) == len(mapped) else mapped[rows]

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        return np.array(np.load(self.path, mmap_mode="r")[:, start:stop])


class Hdf5:
    """One contiguous data set in an HDF5 file."""

    def __init__(self, folder: Path, n_rows: int, n_units: int) -> None:
        self.path, self.shape = folder / "rows.h5", (n_rows, n_units)

    def write(self, batches: list[np.ndarray]) -> None:
        import h5py

        with h5py.File(self.path, "w") as file:
            data = file.create_dataset("rows", self.shape, np.float32)
            start = 0
            for batch in batches:
                data[start : start + len(batch)] = batch
                start += len(batch)

    def read(self, rows: np.ndarray) -> np.ndarray:
        import h5py

        with h5py.File(self.path) as file:
            return file["rows"][:] if len(rows) == self.shape[0] else file["rows"][rows]

    def read_columns(self, start: int, stop: int) -> np.ndarray:
        import h5py

        with h5py.File(self.path) as file:
            return file["rows"][:, start:stop]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def two_readers(side: Any, rows: np.ndarray) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(side.read, np.array_split(rows, 2)))


def compare(sides: dict[str, Any], n_rows: int, n_units: int, repeats: int) -> None:
    """Print times of all sides, and ratios to the memory map."""
    rng = np.random.default_rng(0)
    fold = np.sort(rng.permutation(n_rows)[: n_rows * 4 // 5])
    everything = np.arange(n_rows)
    tasks: dict[str, Callable[[Any], Any]] = {
        "read all": lambda side: side.read(everything),
        "random 80 % of rows, sorted": lambda side: side.read(fold),
        "1 % of columns": lambda side: side.read_columns(
            n_units // 2, n_units // 2 + n_units // 100
        ),
        "two readers, half of the fold each": lambda side: two_readers(side, fold),
    }
    expected = sides["memmap"].read(fold)
    for name, side in sides.items():
        tolerance = 1e-3 if "16" in name else 0
        assert np.allclose(side.read(fold), expected, rtol=tolerance, atol=1e-6), name
    for task, work in tasks.items():
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeats):
            for name, side in sides.items():
                taken[name].append(seconds(lambda s=side, w=work: w(s)))  # type: ignore[misc]
        show(task, {name: statistics.median(times) for name, times in taken.items()})


def show(task: str, taken: dict[str, float]) -> None:
    cells = [
        f"{name} {time_:.3f} s ({time_ / taken['memmap']:.2f})" for name, time_ in taken.items()
    ]
    print(f"{task:36}" + "   ".join(cells), flush=True)


def write_all(sides: dict[str, Any], n_rows: int, n_units: int) -> None:
    """Write the same rows on each side, once; h5py alone does not wait for the disk."""
    starts = range(0, n_rows, _BATCH_ROWS)
    batches = [rows_of(start, min(_BATCH_ROWS, n_rows - start), n_units) for start in starts]
    taken = {}
    for name, side in sides.items():
        start = time.perf_counter()
        side.write(batches)
        taken[name] = time.perf_counter() - start
    show("write, once", taken)
    compression(batches[0])


def compression(rows: np.ndarray) -> None:
    """What zlib would save, and what it would cost."""
    for dtype in ("float32", "float16"):
        content = rows.astype(dtype).tobytes()
        packed = zlib.compress(content, 1)
        unpack = seconds(lambda p=packed: zlib.decompress(p))  # type: ignore[misc]
        copy = seconds(lambda c=content: bytearray(c))  # type: ignore[misc]
        print(
            f"zlib of {dtype}: {len(packed) / len(content):.2f} of the size; unpacking "
            f"{len(content) / unpack / 1e9:.2f} GB/s, a plain copy {len(content) / copy / 1e9:.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where to write; None is the system's")
    options = parser.parse_args()
    shape = (options.rows, options.units)
    print(f"{shape[0]} x {shape[1]} float32, {4 * shape[0] * shape[1] / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        sides = {
            "memmap": Memmap(folder, *shape),
            "store": Store(folder / "store", *shape),
            "store, float16": Store(folder / "half", *shape, dtype="float16"),
            "h5py": Hdf5(folder, *shape),
        }
        write_all(sides, *shape)
        compare(sides, *shape, options.repeats)


if __name__ == "__main__":
    main()
