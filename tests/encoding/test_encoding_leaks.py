"""Features that have nothing to do with the responses must predict nothing.

Each test draws unrelated features and responses several hundred times. The mean correlation with
held-out responses lies within 3.5 standard errors of 0, and where the evaluation is made to leak,
the same test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

from skdnn.encoding import LayerFeatures, LayerwiseEncoder, VoxelwiseRidgeCV, nested_encoding

N_DRAWS = 240
ALPHAS = [1, 30, 1000]
LAYERS = {"low": 5, "mid": 60, "high": 12}
LIMIT = 3.5
FEW = 60  # draws are enough to see a leak


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they save on problems as small as these."""
    with threadpool_limits(1):
        yield


Draw = tuple[LayerFeatures, np.ndarray]


def draw(rng: np.random.Generator, n: int = 36, n_voxels: int = 3) -> Draw:
    layers = {name: rng.normal(size=(n, size)) for name, size in LAYERS.items()}
    return LayerFeatures(layers), rng.normal(size=(n, n_voxels))


def standard_errors(scores: list[float]) -> float:
    """How far the mean over draws is from 0."""
    return float(np.mean(scores) / (np.std(scores, ddof=1) / np.sqrt(len(scores))))


def held_out(
    evaluate: Callable[[LayerFeatures, np.ndarray], float], n_draws: int = N_DRAWS
) -> float:
    rng = np.random.default_rng(0)
    return standard_errors([evaluate(*draw(rng)) for _ in range(n_draws)])


def nested(encoder: Any) -> Callable[[LayerFeatures, np.ndarray], float]:
    """Mean correlation of all voxels and folds."""

    def evaluate(X: Any, Y: np.ndarray) -> float:
        return float(nested_encoding(encoder, X, Y, KFold(2))["r"].mean())

    return evaluate


@pytest.mark.parametrize("select", ["layer", "best_overall", "stack"])
@pytest.mark.slow
def test_layers_are_chosen_without_a_leak(select: str) -> None:
    found = held_out(nested(LayerwiseEncoder(ALPHAS, cv=3, select=select)))
    assert abs(found) < LIMIT


@pytest.mark.parametrize("cv", [None, 3])
def test_penalties_are_chosen_without_a_leak(cv: Any) -> None:
    inner = nested(VoxelwiseRidgeCV(ALPHAS, cv=cv, scoring="correlation"))
    assert abs(held_out(lambda X, Y: inner(np.asarray(X), Y))) < LIMIT


def test_a_layer_chosen_on_test_images_is_caught() -> None:
    """The usual mistake: report, for each voxel, the layer that predicts the test images best."""

    def leaking(X: LayerFeatures, Y: np.ndarray) -> float:
        each = [nested_encoding(VoxelwiseRidgeCV(ALPHAS, cv=3), X.layer(name), Y, KFold(2))["r"]
                for name in X.names]  # fmt: skip
        return float(np.max(each, axis=0).mean())

    assert held_out(leaking, FEW) > LIMIT


def test_scores_of_the_training_images_are_caught() -> None:
    def leaking(X: LayerFeatures, Y: np.ndarray) -> float:
        fitted = LayerwiseEncoder(ALPHAS, cv=3).fit(X, Y)
        return float(np.mean(fitted.score_per_target(X, Y, scoring="correlation")))

    assert held_out(leaking, FEW) > LIMIT


def test_the_inner_score_of_the_chosen_layer_is_too_high() -> None:
    """Why it is no result: it is the best of several."""

    def best_of_three(X: LayerFeatures, Y: np.ndarray) -> float:
        fitted = LayerwiseEncoder(ALPHAS, cv=3, scoring="correlation").fit(X, Y)
        return float(fitted.cv_scores_.max(axis=0).mean())

    assert held_out(best_of_three, FEW) > LIMIT


def repeated(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four trials of each of 15 images, whose responses are alike and unrelated to features."""
    images = np.repeat(np.arange(15), 4)
    X = rng.normal(size=(15, 30))[images]
    return X, rng.normal(size=(15, 3))[images] + rng.normal(size=(60, 3)), images


@pytest.mark.parametrize("with_groups", [True, False])
@pytest.mark.slow
def test_repeats_of_an_image_leak_without_groups(with_groups: bool) -> None:
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(N_DRAWS if with_groups else FEW):
        X, Y, images = repeated(rng)
        table = nested_encoding(
            clone(VoxelwiseRidgeCV(ALPHAS, cv=3)), X, Y, 3,
            groups=images if with_groups else None, random_state=0,
        )  # fmt: skip
        scores.append(float(table["r"].mean()))
    found = standard_errors(scores)
    assert abs(found) < LIMIT if with_groups else found > LIMIT
