"""A whole brain hierarchy study at the paper's size: time, memory, and the estimate beforehand.

    python benchmarks/hierarchy.py [--scale 1] [--jobs 2] [--layers 8] [--subjects 3]
                                   [--direction both] [--folder FOLDER] [--dtype float64]

Three subjects with five areas of 500 to 1500 voxels, eight layers of 1000 units, 1200 training
images shown 5 times and 50 test images shown 24 times, as in Nonaka et al. (2021); responses are
mixtures of the layer that belongs to the area, in noise. Scale .1 has a tenth of the training
images, voxels and units, and of the features of each target. With a folder, results of jobs are
kept there, and a run that was stopped goes on.

The estimate is printed before the bulk of the work. The memory is that of this process and of its
workers together, at most, as far as it is theirs alone (proportional share; resident on systems
without it), read every tenth of a second; the data of the study are in it, and beside it.
"""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

import numpy as np
import psutil

from skdnn.encoding import BrainHierarchyScore, SelectKBestRidge

AREAS = {"V1": 1000, "V2": 1200, "V3": 1000, "V4": 700, "HVC": 1500}
N_UNITS, N_TRAIN, N_TEST, REPEATS, TEST_REPEATS = 1000, 1200, 50, 5, 24


class Memory:
    """The largest memory of this process and its children while the block runs."""

    def __enter__(self) -> Memory:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, memory_of([me, *me.children(recursive=True)]))


def memory_of(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            info = process.memory_full_info()
        except psutil.Error:  # it has just ended
            continue
        total += getattr(info, "pss", info.rss)
    return total


def make_study(args: argparse.Namespace) -> dict[str, Any]:
    """Layers, each a noisy transformation of the one before, and responses to them."""
    rng = np.random.default_rng(0)
    n_units, n_train = (max(20, round(n * args.scale)) for n in (N_UNITS, N_TRAIN))
    images = rng.normal(size=(n_train + N_TEST, n_units))
    X, X_test, values = {}, {}, []
    for layer in range(args.layers):
        mixed = images @ rng.normal(size=(n_units, n_units)) / np.sqrt(n_units)
        images = np.maximum(mixed + 0.3 * rng.normal(size=mixed.shape), 0).astype(np.float32)
        images -= images.mean()
        X[f"layer{layer + 1}"], X_test[f"layer{layer + 1}"] = images[:n_train], images[n_train:]
        values.append(images)
    stimuli = rng.permutation(np.repeat(np.arange(n_train), REPEATS))
    test_stimuli = rng.permutation(np.repeat(np.arange(N_TEST), TEST_REPEATS))
    shown = np.concatenate([stimuli, n_train + test_stimuli])
    y: dict[str, Any] = {}
    y_test: dict[str, Any] = {}
    for subject in (f"S{number + 1}" for number in range(args.subjects)):
        y[subject], y_test[subject] = {}, {}
        for place, (area, n_voxels) in zip(
            np.linspace(0, args.layers - 1, len(AREAS)), AREAS.items(), strict=True
        ):
            source = values[round(place)]
            weights = rng.normal(size=(n_units, max(10, round(n_voxels * args.scale))))
            signal = source @ (weights / np.sqrt(n_units))
            trials = (signal / signal.std())[shown]
            trials = (trials + 2 * rng.normal(size=trials.shape)).astype(np.float32)
            y[subject][area], y_test[subject][area] = np.split(trials, [len(stimuli)])
    rows = {"stimuli": stimuli, "test_stimuli": test_stimuli}
    return {"X": X, "y": y, "X_test": X_test, "y_test": y_test} | rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--direction", default="both")
    parser.add_argument("--folder")
    parser.add_argument("--dtype", default="float64")
    args = parser.parse_args()
    study = make_study(args)
    arrays = [*study["X"].values(), *(a for areas in study["y"].values() for a in areas.values())]
    print(f"data: {sum(array.nbytes for array in arrays) / 1e9:.2f} GB", flush=True)
    k = max(5, round(500 * args.scale))
    estimator = BrainHierarchyScore(
        direction=args.direction,
        decoder=SelectKBestRidge(100, k, dtype=args.dtype),
        n_jobs=args.jobs,
        folder=args.folder,
        verbose=1,
    )
    before = memory_of([psutil.Process()])
    start = time.perf_counter()
    with Memory() as memory:
        estimator.fit(**study)
    seconds = time.perf_counter() - start
    low, high = estimator.interval_
    print(f"score {estimator.score_:.3f} (95% interval {low:.3f} to {high:.3f})")
    print(
        f"{seconds:.0f} s with {args.jobs} workers; memory at most {memory.peak / 1e9:.2f} GB, "
        f"{before / 1e9:.2f} GB of it before"
    )


if __name__ == "__main__":
    main()
