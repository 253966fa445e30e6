"""A grid search over eight layers in five folds, four ways: seconds, and seconds of extraction.

    python benchmarks/layer_search.py [--images 200] [--repeats 1] [--sides plain,cold,warm]

Extractor, PCA of 50 components and ridge regression onto 100 made-up voxels, over eight layers of
AlexNet with random weights, five shuffled folds. "plain" is scikit-learn's GridSearchCV with an
extractor without a cache; "memory" the same with ``Pipeline(memory=...)``; "cold" is
LayerSearchCV with an empty folder as cache and GramPCA in place of PCA; "warm" the same once
more. Each runs in a process of its own, in turn; imports are not counted. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from extraction import make_images

LAYERS = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
SIDES = ["plain", "memory", "cold", "warm"]
AIMS = {"cold": (20, 10), "warm": (60, 10)}  # extraction, whole search


class Clock:
    """Adds up the seconds spent in some functions, the outermost call counting."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def watch(self, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def make_search(side: str, cache: str) -> Any:
    """The search as a user would write it."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import Pipeline

    from skdnn import DNNFeatureExtractor, GramPCA, LayerSearchCV

    cv = KFold(5, shuffle=True, random_state=0)
    grid = {"dnn__layer": LAYERS}
    ours = side in ("cold", "warm")
    dnn = DNNFeatureExtractor(weights=None, device="cpu", cache=cache if ours else None)
    pca = GramPCA(50) if ours else PCA(50, random_state=0)
    memory = cache if side == "memory" else None
    pipeline = Pipeline([("dnn", dnn), ("pca", pca), ("ridge", Ridge())], memory=memory)
    return LayerSearchCV(pipeline, grid, cv=cv) if ours else GridSearchCV(pipeline, grid, cv=cv)


def run_side(side: str, images: str, cache: str) -> None:
    """Run one side in this process, and print what it took."""
    import torch  # noqa: F401 (imports are not counted, on no side)
    import torchvision  # noqa: F401

    import skdnn.search._prepare
    from skdnn import DNNFeatureExtractor

    paths = sorted(map(str, Path(images).glob("*.jpg")))
    voxels = np.random.default_rng(0).normal(size=(len(paths), 100))
    clock = Clock()
    for name in ("fit", "transform", "precompute"):
        clock.watch(DNNFeatureExtractor, name)
    clock.watch(skdnn.search._prepare, "precompute_many")
    search = make_search(side, cache)
    start = time.perf_counter()
    search.fit(paths, voxels)
    seconds = time.perf_counter() - start
    scores = search.cv_results_["mean_test_score"].tolist()
    print(json.dumps({"seconds": seconds, "extraction": clock.seconds, "scores": scores}))


def measure(side: str, images: str, cache: str) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, images, cache]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run all sides in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--side", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(*options.side)
        return
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides.split(",")}
    with tempfile.TemporaryDirectory() as images:
        make_images(Path(images), options.images)
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as memory, tempfile.TemporaryDirectory() as store:
                for side, found in runs.items():
                    cache = memory if side == "memory" else store
                    found.append(measure(side, images, cache))
    print_table(runs)


def print_table(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Seconds, and how many times faster than plain scikit-learn."""
    heads = f"{'ratio':>7} {'aim':>5}"
    print(f"{'side':8} {'extraction':>10} {heads} {'whole':>8} {heads}")
    middle = {
        side: [statistics.median(run[key] for run in found) for key in ("extraction", "seconds")]
        for side, found in runs.items()
    }
    first = next(iter(middle.values()))
    for side, (extraction, whole) in middle.items():
        aim = AIMS.get(side, ("", ""))
        print(
            f"{side:8} {extraction:10.2f} {first[0] / extraction:7.1f} {aim[0]:>5} "
            f"{whole:8.2f} {first[1] / whole:7.1f} {aim[1]:>5}"
        )
    scores = {side: np.array(found[0]["scores"]) for side, found in runs.items()}
    reference = next(iter(scores.values()))
    worst = max(float(np.abs(found - reference).max()) for found in scores.values())
    print(f"largest difference of a mean score between the sides: {worst:.1g}")


if __name__ == "__main__":
    main()
