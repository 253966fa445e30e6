"""False positives, power and coverage of the tests of voxels and of hierarchies, by simulation.

    python benchmarks/encoding_calibration.py [--studies 300] [--jobs 2] [--only voxels,...]

Each study runs the tests as a user would. Seeds are fixed; rates are printed with their standard
error over studies (voxels of one study share their images, so that studies are what counts).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import norm
from sklearn.cross_decomposition import PLSRegression

from skdnn.encoding import (
    LayerwiseEncoder,
    VoxelwiseRidgeCV,
    bootstrap_hierarchy_score,
    brain_hierarchy_score,
    hierarchy_permutation_test,
    nested_encoding,
    pool_folds,
    pool_subjects,
)

ALPHA = 0.05
Found = dict[str, float]
Rows = Iterator[tuple[str, Callable[[np.random.Generator], Found]]]
PENALTIES = np.logspace(-1, 5, 7)


# --- voxels --------------------------------------------------------------------------------------

ENCODERS = {
    "VoxelwiseRidgeCV": VoxelwiseRidgeCV(PENALTIES),
    "VoxelwiseRidgeCV([.001])": VoxelwiseRidgeCV([1e-3]),
    "LayerwiseEncoder": LayerwiseEncoder(PENALTIES, random_state=0),
    "PLSRegression(5)": PLSRegression(5),
}


def voxels(
    rng: np.random.Generator, encoder: str, n: int, p: int, heavy: bool = False, signal: float = 0
) -> Found:
    """A hundred voxels; with a signal, the share of voxels that are found."""
    layers = {}
    for name, rank in (("early", 10), ("late", 20)):
        layers[name] = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, p))
        layers[name] += rng.normal(size=(n, p))
    responses = rng.standard_t(3, size=(n, 100)) if heavy else rng.normal(size=(n, 100))
    if signal:
        true = layers["early"] @ rng.normal(size=(p, 100))
        responses += signal * true / true.std(axis=0)
    X = layers if encoder == "LayerwiseEncoder" else layers["early"]
    table = nested_encoding(ENCODERS[encoder], X, responses, 5, random_state=0)
    by_voxel = table.groupby("voxel")
    sizes = table.loc[table["voxel"] == 0, "n_test"].to_numpy()
    apart = by_voxel["r"].mean() / np.sqrt(np.mean(1 / (sizes - 1)) / len(sizes))
    return {
        "pool_folds": np.mean(pool_folds(table)["p"] <= ALPHA),
        "twice the mean p": np.mean(2 * by_voxel["p"].mean() <= ALPHA),
        "any fold": np.mean(by_voxel["p"].min() <= ALPHA),
        "folds as if independent": np.mean(norm.sf(apart) <= ALPHA),
    }


def voxel_rows() -> Rows:
    for encoder in ENCODERS:
        for n, p in ((60, 200), (200, 50)):
            yield f"{encoder}, {n} images, {p} units", partial(voxels, encoder=encoder, n=n, p=p)
    yield (
        "LayerwiseEncoder, 60 images, t(3)",
        partial(voxels, encoder="LayerwiseEncoder", n=60, p=200, heavy=True),
    )
    for signal in (0.3, 0.6):
        yield (
            f"a signal of {signal}, 100 images, 200 units",
            partial(voxels, encoder="VoxelwiseRidgeCV", n=100, p=200, signal=signal),
        )


# --- hierarchies ---------------------------------------------------------------------------------


def accuracies(
    rng: np.random.Generator, hierarchy: float, chance: float, flat: bool, n_units: int = 100
) -> list[np.ndarray]:
    """Eight layers and five areas of rising quality, or of equal ones; 50 test images."""
    qualities = np.full(8, 0.7) if flat else np.linspace(0.2, 0.95, 8)
    areas = np.full(5, 0.6) if flat else np.linspace(0.4, 0.75, 5)
    apart = np.subtract.outer(np.linspace(0, 1, 8), np.linspace(0, 1, 5))
    means = np.outer(qualities, areas) + chance * rng.normal(size=(8, 5))
    means = (means + hierarchy * np.exp(-(apart**2) / 0.2)).clip(0, 0.99)
    noise = rng.normal(size=(8, 5, n_units)) / np.sqrt(47)
    return list(np.tanh(np.arctanh(means)[:, :, None] + noise))


def hierarchy(rng: np.random.Generator, **kind: float) -> Found:
    """The score, what is expected without a hierarchy, and the test."""
    result = hierarchy_permutation_test(
        accuracies(rng, **kind), n_samples=50, test="t", n_permutations=99, random_state=0
    )
    return {
        "score": result.score,
        "expected": result.expected,
        "rejected": float(result.p_value <= ALPHA),
    }


def hierarchy_rows() -> Rows:
    for name, strength, chance, flat in (
        ("qualities alone", 0.0, 0.0, False),
        ("qualities, pairs by chance", 0.0, 0.05, False),
        ("equal qualities, pairs by chance", 0.0, 0.05, True),
        ("a hierarchy of .04", 0.04, 0.02, False),
        ("a hierarchy of .08", 0.08, 0.02, False),
    ):
        yield name, partial(hierarchy, hierarchy=strength, chance=chance, flat=flat)


def population(rng: np.random.Generator, n: int) -> list[list[np.ndarray]]:
    """Subjects whose hierarchies differ in strength."""
    apart = -np.abs(np.subtract.outer(np.linspace(0, 1, 8), np.linspace(0, 1, 5)))
    return [
        list((0.55 + s * apart[:, :, None] + 0.1 * rng.normal(size=(8, 5, 60))).clip(-1, 1))
        for s in rng.normal(0.12, 0.05, n)
    ]


def interval(rng: np.random.Generator, n: int, truth: float) -> Found:
    """Whether the interval holds the score of the population, and how wide it is."""
    subjects, found = population(rng, n), {}
    for method in ("t", "percentile"):
        boot = bootstrap_hierarchy_score(
            subjects, n_samples=50, test="t", method=method, n_boot=200, random_state=0
        )
        found[f"{method}, covers"] = float(boot.low <= truth <= boot.high)
        found[f"{method}, width"] = boot.high - boot.low
    return found


def interval_rows() -> Rows:
    many = pool_subjects(population(np.random.default_rng(1), 2000))
    truth = float(brain_hierarchy_score(many, n_samples=50, test="t"))
    for n in (3, 5, 10):
        yield f"{n} subjects", partial(interval, n=n, truth=truth)


TABLES = {"voxels": voxel_rows, "hierarchy": hierarchy_rows, "interval": interval_rows}


def run(study: Callable[[np.random.Generator], Found], number: int) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return study(np.random.default_rng(number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=",".join(TABLES))
    arguments = parser.parse_args()
    for table in arguments.only.split(","):
        print(f"\n{table}, {arguments.studies} studies each", flush=True)
        for name, study in TABLES[table]():
            start = time.perf_counter()
            found = Parallel(arguments.jobs)(
                delayed(run)(study, number) for number in range(arguments.studies)
            )
            columns = {key: np.array([each[key] for each in found]) for key in found[0]}
            told = ", ".join(
                f"{key} {values.mean():.3f} ± {values.std() / np.sqrt(len(values)):.3f}"
                for key, values in columns.items()
            )
            print(f"{name}: {told} ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
