"""Ridge regression for many voxels: time against scikit-learn and himalaya, and peak memory.

    python benchmarks/encoding.py [--targets 10000] [--repeats 1] [--sides ours,himalaya-torch]
    python benchmarks/encoding.py --memory [--scale 1]

1000 images, 5000 features, 10,000 voxels, 10 penalties, one of them chosen for each voxel. "ours"
is VoxelwiseRidgeCV with five folds, "ours-loo" with each row left out; "sklearn" is RidgeCV with
``alpha_per_target=True`` (which leaves out each row); "himalaya-*" are its KernelRidgeCV with five
folds on either backend. All get float64, and those that end in 32 float32 features, as networks
give them. Each runs in a process of its own, in turn, and is measured after a small fit that
loads its libraries. CPU seconds are those of all threads (on a busy machine, threads that wait
for each other make them longer: ``--threads 1``); ratios are of medians.

``--memory`` fits 2600 images, 20,000 voxels and 10,000 features that lie in files, a tenth of a
large study, and prints the peak of allocated memory (what tracemalloc sees, mapped files not
counted) and the growth of the process's peak resident memory, mapped pages included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

SIDES = ["ours", "ours-loo", "sklearn", "himalaya-numpy", "himalaya-torch"]
SINGLE = ["ours-32", "himalaya-torch-32"]
ALPHAS = np.logspace(-1, 5, 10)
GIB = 2**30


def make_data(n: int, p: int, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Features whose variances fall off as those of a network do, and noisy voxels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) * np.arange(1, p + 1) ** -0.5 * 20
    weights = rng.normal(size=(p, n_targets)) * rng.uniform(0, 0.1, n_targets)
    return X, X @ weights + rng.normal(size=(n, n_targets))


def make_fit(side: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function that fits, as a user would write it, and gives the chosen penalties."""
    if side.startswith("ours"):
        from skdnn.encoding._ridge._voxelwise import VoxelwiseRidgeCV

        cv = None if side == "ours-loo" else 5
        return lambda X, Y: VoxelwiseRidgeCV(ALPHAS, cv=cv).fit(X, Y).alpha_
    if side == "sklearn":
        from sklearn.linear_model import RidgeCV

        return lambda X, Y: RidgeCV(ALPHAS, alpha_per_target=True).fit(X, Y).alpha_
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.scoring import r2_score
    from sklearn.model_selection import KFold

    set_backend(side.split("-")[1])

    def fit(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
        model = KernelRidgeCV(
            alphas=ALPHAS, kernel="linear", cv=KFold(5),
            solver_params={"score_func": r2_score, "n_targets_batch": 1000},
        ).fit(X, Y)  # fmt: skip
        return np.asarray(model.best_alphas_)

    return fit


def run_side(side: str, n: int, p: int, n_targets: int, threads: int) -> None:
    """Run one side in this process, and print what it took."""
    dtype = np.float32 if side.endswith("-32") else np.float64
    X, Y = (array.astype(dtype) for array in make_data(n, p, n_targets))
    fit = make_fit(side)
    if threads and "torch" in side:
        import torch

        torch.set_num_threads(threads)
    fit(X[:60, :80], Y[:60, :4])
    with threadpool_limits(threads or None):
        wall, cpu = time.perf_counter(), time.process_time()
        alpha = fit(X, Y)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": wall, "alpha": np.log10(alpha).round(3).tolist()}))


def measure(side: str, sizes: list[int]) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--sizes", *map(str, sizes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Print seconds, ratios, and how many voxels got the penalty that they get from us."""
    median = {
        (side, kind): statistics.median(run[kind] for run in done)
        for side, done in runs.items()
        for kind in ("cpu", "wall")
    }
    print(f"{'side':20}{'CPU s':>9}{'wall s':>9}{'CPU/ours':>10}{'CPU/ours-32':>13}  same penalty")
    for side, done in runs.items():
        line = f"{side:20}{median[side, 'cpu']:9.2f}{median[side, 'wall']:9.2f}"
        for ours, width in (("ours", 10), ("ours-32", 13)):
            known = (ours, "cpu") in median
            ratio = median[side, "cpu"] / median[ours, "cpu"] if known else float("nan")
            line += f"{ratio:{width}.2f}"
        twin = "ours-loo" if side == "sklearn" else "ours"
        if twin in runs:
            same = np.mean(np.equal(done[0]["alpha"], runs[twin][0]["alpha"]))
            line += f"  {same:.4f} (as {twin})"
        print(line)


def run_memory(scale: float) -> None:
    """Fit and predict from files, and print the peak of memory."""
    from skdnn.encoding._ridge._voxelwise import VoxelwiseRidgeCV

    n, n_targets, p = int(2600 * scale), int(20_000 * scale), int(10_000 * scale)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        X = np.lib.format.open_memmap(Path(folder) / "x.npy", "w+", np.float32, (n, p))
        Y = np.lib.format.open_memmap(Path(folder) / "y.npy", "w+", np.float32, (n, n_targets))
        for row in range(n):
            X[row] = rng.normal(size=p)
            Y[row] = rng.normal(size=n_targets) + X[row, 0]
        X.flush(), Y.flush()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{n} images, {n_targets} voxels, {p} features; X {X.nbytes / GIB:.2f} GiB, ", end=""
        )
        print(
            f"Y {Y.nbytes / GIB:.2f} GiB in files, coefficients {n_targets * p * 4 / GIB:.2f} GiB"
        )
        tracemalloc.start()
        wall, cpu = time.perf_counter(), time.process_time()
        model = VoxelwiseRidgeCV(random_state=0).fit(X, Y)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        _, fitting = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        model.predict(X[: n // 10])
        _, predicting = tracemalloc.get_traced_memory()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"allocated at most: fit {fitting / GIB:.2f} GiB, predict {predicting / GIB:.2f} GiB")
    print(
        f"peak resident memory: {after * 1024 / GIB:.2f} GiB (before: {before * 1024 / GIB:.2f})"
    )
    print(f"fit: {wall:.0f} s, {cpu:.0f} CPU s; aim: below 4 GB: {fitting < 4e9}")


def main() -> None:
    """Run all sides in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of BLAS; 0 leaves it alone")
    parser.add_argument("--sides", default=",".join(SIDES + SINGLE))
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="of each size, with --memory")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", nargs=4, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        run_memory(options.scale)
        return
    if options.side:
        run_side(options.side, *options.sizes)
        return
    sizes = [options.images, options.features, options.targets, options.threads]
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides.split(",")}
    for _ in range(options.repeats):
        for side, done in runs.items():
            done.append(measure(side, sizes))
    report(runs)


if __name__ == "__main__":
    main()
