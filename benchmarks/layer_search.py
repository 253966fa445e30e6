"""Layer searches: against scikit-learn from an empty store, and stored against another build.

    python benchmarks/layer_search.py sklearn [--images 200] [--repeats 1]
    python benchmarks/layer_search.py stored --before PATH [--images 200] [--works cosine ridge]
    python benchmarks/layer_search.py large [--images 1854]

sklearn  extractor, PCA of 50 components and ridge regression onto 100 made-up voxels, over eight
         layers of AlexNet with random weights, five shuffled folds: scikit-learn's GridSearchCV
         with an extractor without a cache, the same with ``Pipeline(memory=...)``, and
         LayerSearchCV with an empty folder as cache, and once more. What fifty folds would take
         is five times ten times the fits, for scikit-learn by the time of its fits.
stored   the same layers, all activations stored: processor time of a search by this build and by
         another one, a checkout of which is at PATH; the sides take turns
large    four layers of up to 65,000 made-up units in a store, 50 folds: minutes, and the peak of
         memory beside the features of one layer

Each side runs in a process of its own; imports are not counted. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
WORKS = {  # name: (steps, folds, threads (0: the default), ratio aimed at)
    "cosine": ("centre gram cosine", 50, 1, 10),
    "exact correlation": ("centre exact correlation", 50, 1, 10),
    "cosine, threads": ("centre gram cosine", 50, 0, 20),
    "cosine, 5 folds": ("centre gram cosine", 5, 1, 3),
    "ridge": ("gram ridge", 50, 1, 8),
    "no components": ("correlation", 50, 1, 12),
    "z-scored, 10 alphas": ("scale pca alphas", 5, 1, 1),
}
ONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def make_search(kind: str, cache: str | None, n_folds: int, steps: str) -> Any:
    """The search as a user would write it."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, RepeatedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from skdnn import RDM, DNNFeatureExtractor, GramPCA, LayerSearchCV, RSAScorer

    known = {
        "centre": [("centre", StandardScaler(with_std=False))],
        "scale": [("scale", StandardScaler())],
        "gram": [("pca", GramPCA(50))],
        "exact": [("pca", GramPCA(50, keep_correlation=steps.startswith("centre exact")))],
        "pca": [("pca", PCA(50, random_state=0))],
        "cosine": [("rdm", RDM("cosine")), ("rsa", RSAScorer())],
        "correlation": [("rdm", RDM("correlation")), ("rsa", RSAScorer())],
        "ridge": [("ridge", Ridge())],
        "alphas": [("ridge", Ridge())],
    }
    cv = RepeatedKFold(n_splits=5, n_repeats=n_folds // 5, random_state=0)
    grid: dict[str, Any] = {"dnn__layer": LAYERS}
    if "alphas" in steps:
        grid["ridge__alpha"] = np.logspace(0, 9, 10)
    memory = cache if kind == "memory" else None
    dnn = DNNFeatureExtractor(weights=None, device="cpu", cache=cache if kind == "ours" else None)
    parts = [part for word in steps.split() for part in known[word]]
    pipeline = Pipeline([("dnn", dnn), *parts], memory=memory)
    return (LayerSearchCV if kind == "ours" else GridSearchCV)(pipeline, grid, cv=cv)


def run_side(kind: str, images: str, cache: str, n_folds: str, steps: str) -> None:
    """Run one side in this process, and print what it took."""
    import torch  # noqa: F401 (imports are not counted, on no side)
    import torchvision  # noqa: F401

    paths = sorted(map(str, Path(images).glob("*.jpg")))
    voxels = np.random.default_rng(0).normal(size=(len(paths), 100))
    search = make_search(kind, cache, int(n_folds), steps)
    start, used = time.perf_counter(), time.process_time()
    search.fit(paths, voxels)
    result = {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - used,
        "scores": search.cv_results_["mean_test_score"].tolist(),
        "reduced": not getattr(search, "reduction_", "none"),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


def measure(tree: Path, threads: int, *side: str) -> dict[str, Any]:
    """Run one side of a build in a process of its own."""
    environment = {**os.environ, **(ONE if threads else {}), "PYTHONPATH": str(tree)}
    command = [sys.executable, __file__, "side", *side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def compare_builds(images: str, before: Path, works: list[str], repeats: int) -> None:
    """Processor time of searches over stored activations, and its ratio."""
    trees = {"before": before.resolve(), "now": Path(__file__).resolve().parents[1]}
    print(f"{'work':20} {'before':>8} {'now':>8} {'ratio':>7} {'aim':>5}  largest difference")
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: str(Path(folder, name)) for name in trees}
        for name, tree in trees.items():
            measure(tree, 0, "ours", images, caches[name], "5", "gram ridge")
        for work in works:
            steps, n_folds, threads, aim = WORKS[work]
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
            for _ in range(repeats):
                for name, tree in trees.items():
                    side = ("ours", images, caches[name], str(n_folds), steps)
                    runs[name].append(measure(tree, threads, *side))
            spent = {n: statistics.median(run["processor"] for run in runs[n]) for n in trees}
            gap = np.subtract(runs["now"][0]["scores"], runs["before"][0]["scores"])
            print(
                f"{work:20} {spent['before']:8.1f} {spent['now']:8.1f} "
                f"{spent['before'] / spent['now']:7.1f} {aim:>5}  {np.abs(gap).max():.1g}",
                flush=True,
            )


def against_sklearn(images: str, repeats: int) -> None:
    """Seconds from an empty store, five folds, and what fifty would take."""
    runs: dict[str, list[dict[str, Any]]] = {"plain": [], "memory": [], "cold": [], "warm": []}
    tree = Path(__file__).resolve().parents[1]
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as memory, tempfile.TemporaryDirectory() as store:
            for name, found in runs.items():
                kind = "ours" if name in ("cold", "warm") else name
                cache = memory if name == "memory" else store
                steps = "gram ridge" if kind == "ours" else "pca ridge"
                found.append(measure(tree, 0, kind, images, cache, "5", steps))
        with tempfile.TemporaryDirectory() as store:
            fifty = measure(tree, 0, "ours", images, store, "50", "gram ridge")["seconds"]
    middle = {name: statistics.median(run["seconds"] for run in runs[name]) for name in runs}
    for name, seconds in middle.items():
        print(f"{name:8} {seconds:8.2f} s   {middle['plain'] / seconds:6.1f} times")
    print(f"50 folds: plain {10 * middle['plain']:.0f} s (ten times its five folds), "
          f"LayerSearchCV from an empty store {fifty:.1f} s: {10 * middle['plain'] / fifty:.0f} "
          "times (aim: 40)")  # fmt: skip
    scores = [np.array(found[0]["scores"]) for found in runs.values()]
    worst = max(float(np.abs(found - scores[0]).max()) for found in scores)
    print(f"largest difference of a mean score between the sides: {worst:.1g}")


def run_large(n_images: int) -> None:
    """Four layers of made-up units of a network of one's own, in this process."""
    import torch
    from sklearn.model_selection import RepeatedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from torch import nn

    from skdnn import RDM, DNNFeatureExtractor, GramPCA, LayerSearchCV, RSAScorer
    from skdnn.models import Model

    torch.manual_seed(0)
    sizes = [65_000, 30_000, 10_000, 4_000]
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, sizes[0]), nn.ReLU())
    for wide, narrow in itertools.pairwise(sizes):
        network.extend([nn.AvgPool1d(wide // narrow), nn.ReLU()])
    layers = ["2", "4", "6", "8"]
    model = Model(network, {"resize": (8, 8), "crop": None}, name="made up")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, 8, 8, 3), dtype=np.uint8)
    steps = [("centre", StandardScaler(with_std=False)), ("pca", GramPCA(50))]
    ends = [("rdm", RDM("cosine")), ("rsa", RSAScorer())]
    with tempfile.TemporaryDirectory() as folder:
        dnn = DNNFeatureExtractor(model, cache=folder)
        dnn.precompute(images, layers, verbose=0)
        cv = RepeatedKFold(n_splits=5, n_repeats=10, random_state=0)
        search = LayerSearchCV(
            Pipeline([("dnn", dnn), *steps, *ends]), {"dnn__layer": layers}, cv=cv
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start, used = time.perf_counter(), time.process_time()
        search.fit(images, rng.normal(size=(n_images, 50)))
        seconds, processor = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    layer = n_images * sizes[0] * 4 / 2**20
    print(f"{n_images} images, 4 layers, 50 folds: {seconds / 60:.1f} min, {processor:.0f} s of "
          f"processor time (aim: 4 min on two cores); peak {peak - before:.0f} MB above what was "
          f"there, a layer has {layer:.0f} MB (aim: that and 1024)")  # fmt: skip


def main() -> None:
    """Run a part and print its table."""
    if sys.argv[1:2] == ["side"]:
        run_side(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["sklearn", "stored", "large"])
    parser.add_argument("--images", type=int)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    options = parser.parse_args()
    if options.part == "large":
        run_large(options.images or 1854)
        return
    from extraction import make_images

    with tempfile.TemporaryDirectory() as images:
        make_images(Path(images), options.images or 200)
        if options.part == "sklearn":
            against_sklearn(images, options.repeats)
        elif options.before is None:
            parser.error("stored needs --before: a checkout of the build to compare with")
        else:
            compare_builds(images, options.before, options.works, options.repeats)


if __name__ == "__main__":
    main()
