"""The decoder with features selected for each target, against fastl2lir: processor seconds.

    python benchmarks/decoder.py [--features 600,750,1000,3000] [--rows 1200] [--targets 1000]
                                 [--k 500] [--repeats 3]

Normal voxels, and targets that depend on some of them. "original" is the package fastl2lir (with
vectors where it expects columns: numpy no longer takes an array of one number for a number), or,
where it is not installed, its loop written out; "float64" and "float32" are SelectKBestRidge in
these precisions. The sides take turns in one process; the ratio is the median of the ratios
within turns. Processor seconds count all threads and bear other people's work on the machine
better than seconds on the clock, which stand beside them. The largest differences of predictions
for new data, in standard deviations of the original's, come last.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from skdnn.encoding import SelectKBestRidge

try:
    from fastl2lir import FastL2LiR
except ImportError:
    FastL2LiR = None

Array = NDArray[np.float64]
Side = Callable[[Array, Array, Array], Array]
AIMS = {(600, "float64"): 20, (1000, "float64"): 2.5, (3000, "float32"): 3.5}
ALPHA = 100


def original(X: Array, y: Array, new: Array, k: int) -> Array:
    """Predictions for new data by the package, whose progress bar is kept quiet."""
    if FastL2LiR is None:
        return written_out(X, y, new, k)
    solve = np.linalg.solve

    def one_column(matrix: Array, right: Array) -> Array:
        return solve(matrix, right)[:, 0]

    with contextlib.redirect_stderr(io.StringIO()), patch("numpy.linalg.solve", one_column):
        return FastL2LiR().fit(X, y, alpha=ALPHA, n_feat=k).predict(new)


def written_out(X: Array, y: Array, new: Array, k: int) -> Array:
    """The same loop, without the package."""
    p = X.shape[1]
    centred, spread = X - X.mean(axis=0), X.std(axis=0)
    with np.errstate(invalid="ignore"):
        size = np.abs(centred.T @ (y - y.mean(axis=0))) / spread[:, None]
    size[X.var(axis=0) < 1e-8] = 0
    whole = np.hstack([X, np.ones((len(X), 1))])
    gram = whole.T @ whole + ALPHA * np.eye(p + 1)
    product = y.T @ whole
    W = np.zeros((y.shape[1], p + 1))
    with threadpool_limits(limits=1, user_api="blas"):
        for target in range(y.shape[1]):
            which = np.append(np.argsort(size[:, target])[::-1][:k], p)
            part = gram[np.ix_(which, which)]
            W[target, which] = np.linalg.solve(part, product[target, which])
    return new @ W[:, :-1].T + W[:, -1]


def ours(dtype: str, k: int) -> Side:
    def predict(X: Array, y: Array, new: Array) -> Array:
        return SelectKBestRidge(ALPHA, k, dtype=dtype).fit(X, y).predict(new)

    return predict


def make_data(n: int, p: int, n_targets: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(n, p)), rng.normal(size=(50, p))
    weights = rng.normal(size=(p, n_targets)) * (rng.random((p, n_targets)) < 0.1)
    return X, X @ weights + 5 * rng.normal(size=(n, n_targets)), new


def compare(n: int, p: int, n_targets: int, k: int, repeats: int) -> None:
    data = make_data(n, p, n_targets)
    sides: dict[str, Side] = {
        "original": lambda X, y, new: original(X, y, new, k),
        "float64": ours("float64", k),
        "float32": ours("float32", k),
    }
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    found = {}
    for _ in range(repeats):
        for side, run in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            found[side] = run(*data)
            taken[side].append((time.process_time() - cpu, time.perf_counter() - wall))
    for side, times in taken.items():
        cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
        line = f"p = {p:5}  {side:9} {cpu:7.2f} s processor {wall:7.2f} s clock"
        if side != "original":
            ratios = [
                [o / t for o, t in zip(*pair, strict=True)]
                for pair in zip(taken["original"], times, strict=True)
            ]
            by_cpu, by_wall = (statistics.median(column) for column in zip(*ratios, strict=True))
            scale = found["original"].std()
            apart = np.abs(found[side] - found["original"]).max() / scale
            line += f"  {by_cpu:6.1f} x processor {by_wall:6.1f} x clock  apart {apart:.0e}"
            aim = AIMS.get((p, side))
            line += f"  (aim {aim} x)" if aim and k == 500 else ""
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", default="600,750,1000,3000")
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--k", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print("original:", "its loop, written out" if FastL2LiR is None else "fastl2lir")
    for p in args.features.split(","):
        compare(args.rows, int(p), args.targets, args.k, args.repeats)


if __name__ == "__main__":
    main()
