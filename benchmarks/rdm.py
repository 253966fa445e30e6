"""RDMs: time and memory against the bare matrix product, rsatoolbox and scipy.

    python benchmarks/rdm.py [--conditions 1854] [--features 9216] [--repeats 5]
                             [--slow-repeats 1] [--from-disk] [--only-disk]
                             [--disk-conditions 5000] [--disk-features 100352] [--folder DIR]

All sides are run in turn, in rounds; a ratio is the median over rounds of the side's time by that
of the bare product ``x @ x.T`` of float64 numbers in the same round. CPU-seconds stand beside
wall time: they are what is left to compare where others use the same cores. Memory is what numpy
holds at its peak beyond the input and the n x n result. rsatoolbox must be installed for its row.

--from-disk writes a float32 file to a temporary folder, maps it into memory, takes its
correlation RDM and reports the peak of the process's anonymous memory (mapped pages of the file
are the system's to drop); the file is deleted afterwards.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist

from skdnn.rsa import compute_rdm

BARE = "bare product x @ x.T, float64"
Work = Callable[[], Any]


def sides(X: np.ndarray) -> tuple[dict[str, Work], dict[str, Work]]:
    """What is timed in every round, and what only in some, because it takes long."""
    single = X.astype(np.float32)
    counts = np.abs(X)
    near = (X[0] + 0.003 * X).astype(np.float32)  # correlation distances of about 1e-5
    quick: dict[str, Work] = {
        BARE: lambda: X @ X.T,
        "skdnn correlation, float64": lambda: compute_rdm(X),
        "skdnn correlation, float32": lambda: compute_rdm(single),
        "skdnn correlation, near-duplicates": lambda: compute_rdm(near),
    }
    for metric in ("cosine", "euclidean", "gaussian"):
        quick[f"skdnn {metric}, float32"] = lambda m=metric: compute_rdm(single, m)  # type: ignore[misc]
    precision = np.ones(X.shape[1])
    quick["skdnn mahalanobis (diagonal), float32"] = lambda: compute_rdm(
        single, "mahalanobis", noise_precision=precision
    )
    slow: dict[str, Work] = {
        "skdnn poisson, float64": lambda: compute_rdm(counts, "poisson"),
        "skdnn spearman, float32": lambda: compute_rdm(single, "spearman"),
        "scipy pdist correlation": lambda: pdist(X, "correlation"),
        "scipy cdist euclidean": lambda: cdist(X, X),
    }
    try:
        from rsatoolbox.data import Dataset
        from rsatoolbox.rdm import calc_rdm
    except ImportError:
        print("rsatoolbox is not installed: its rows are left out")
        return quick, slow
    slow["rsatoolbox correlation"] = lambda: calc_rdm(Dataset(X), method="correlation")
    slow["rsatoolbox euclidean"] = lambda: calc_rdm(Dataset(X), method="euclidean")
    return quick, slow


def timed(work: Work) -> np.ndarray:
    """Wall and CPU seconds."""
    start = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - start


def extra_megabytes(work: Work) -> float:
    """Peak of what numpy allocates, less what is returned."""
    tracemalloc.start()
    result = work()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return (peak - held) / 1e6


def compare(n: int, p: int, repeats: int, slow_repeats: int) -> None:
    """Print a table of ratios to the bare product."""
    X = np.random.default_rng(0).normal(size=(n, p))
    quick, slow = sides(X)
    taken: dict[str, list[np.ndarray]] = {name: [] for name in quick | slow}
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in quick | slow}
    for work in quick.values():  # threads start, pages are touched
        work()
    for turn in range(repeats):
        for name, work in (quick | (slow if turn < slow_repeats else {})).items():
            taken[name].append(timed(work))
            ratios[name].append(taken[name][-1] / taken[BARE][-1])
    print(f"{n} x {p}: {'wall s':>36} {'CPU s':>8} {'ratio':>8} {'CPU ratio':>10} {'extra MB':>9}")
    for name, work in (quick | slow).items():
        seconds, ratio = (np.median(values, axis=0) for values in (taken[name], ratios[name]))
        extra = f"{extra_megabytes(work):.0f}" if name.startswith("skdnn") else ""
        print(
            f"{name:40} {seconds[0]:8.2f} {seconds[1]:8.2f} {ratio[0]:8.2f} {ratio[1]:10.2f} "
            f"{extra:>9}",
            flush=True,
        )
    against = "rsatoolbox correlation"
    if against in taken:
        for kind in ("float64", "float32"):
            ours = taken[f"skdnn correlation, {kind}"]
            pairs = list(zip(taken[against], ours, strict=False))
            wall, cpu = (statistics.median(t[i] / o[i] for t, o in pairs) for i in (0, 1))
            print(f"rsatoolbox by skdnn, correlation, {kind}: {wall:.1f} (CPU {cpu:.1f})")


class AnonymousPeak:
    """Samples this process's anonymous memory (Linux) while it is entered."""

    def __enter__(self) -> AnonymousPeak:
        self.start = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


def from_disk(n: int, p: int, folder: str | None) -> None:
    """Print time and peak memory of the correlation RDM of a file."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "x.npy"
        rng = np.random.default_rng(0)
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, (n, p))
        for start in range(0, n, 64):
            mapped[start : start + 64] = rng.standard_normal(mapped[start : start + 64].shape)
        mapped.flush()
        del mapped
        X = np.load(path, mmap_mode="r")
        with AnonymousPeak() as memory:
            wall, cpu = timed(lambda: compute_rdm(X))
        print(
            f"{n} x {p} float32 from disk ({path.stat().st_size / 1e9:.2f} GB): {wall:.1f} s, CPU "
            f"{cpu:.1f} s; anonymous memory {memory.start:.0f} MB before, {memory.peak:.0f} MB at "
            f"its peak (the RDM is {8 * n * n / 1e6:.0f} MB)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conditions", type=int, default=1854)
    parser.add_argument("--features", type=int, default=9216)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slow-repeats", type=int, default=1)
    parser.add_argument("--from-disk", action="store_true")
    parser.add_argument("--only-disk", action="store_true")
    parser.add_argument("--disk-conditions", type=int, default=5000)
    parser.add_argument("--disk-features", type=int, default=100_352)
    parser.add_argument("--folder", default=None, help="for the file; None is the system's")
    options = parser.parse_args()
    if not options.only_disk:
        compare(options.conditions, options.features, options.repeats, options.slow_repeats)
    if options.from_disk or options.only_disk:
        from_disk(options.disk_conditions, options.disk_features, options.folder)


if __name__ == "__main__":
    main()
