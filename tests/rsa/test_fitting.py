"""What estimators that predict RDMs share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from sklearn.model_selection import KFold, RepeatedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from skdnn.rsa import FeatureReweightedRSA, LayerMixtureRSA, RSAScorer
from skdnn.rsa._comparison._rdm_stack import RDMStack
from skdnn.rsa._fitting._rdm_predictor import (
    best_alpha,
    condition_folds,
    held_out_scores,
    training_target,
)
from skdnn.rsa._scoring._targets import Targets


def as_column(y: Any) -> Any:
    """scikit-learn's checks have one number for each row, which is a pattern of one voxel."""
    return y if y is None or np.ndim(y) == 2 else np.reshape(y, (-1, 1))


class Reweighted(FeatureReweightedRSA):
    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X, as_column(y))

    def score(self, X: Any, y: Any) -> float:
        return super().score(X, as_column(y))


class Mixture(LayerMixtureRSA):
    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X, as_column(y))

    def score(self, X: Any, y: Any) -> float:
        return super().score(X, as_column(y))


@pytest.mark.parametrize(
    "estimator",
    [
        Reweighted(target="patterns", target_metric="euclidean", alphas=1.0),
        Mixture(
            groups={"first": slice(0, 1), "last": slice(-1, None)},
            metric="euclidean",
            target="patterns",
            target_metric="euclidean",
        ),
    ],
    ids=["reweighted", "mixture"],
)
def test_scikit_learns_own_checks(estimator: Any) -> None:
    pairs = "what is predicted are pairs of the rows, not the rows"
    results = check_estimator(
        estimator,
        expected_failed_checks={
            "check_methods_sample_order_invariance": pairs,
            "check_methods_subset_invariance": pairs,
        },
        on_skip=None,
    )
    assert len(results) > 30
    assert sum(result["status"] == "xfail" for result in results) == 2


def test_default_folds_grow_with_the_conditions() -> None:
    for n, expected in ((8, 2), (15, 3), (20, 5), (92, 5)):
        folds = condition_folds(None, n, 0)
        assert len(folds) == expected
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.arange(n))
        assert min(len(test) for _, test in folds) >= 4
        assert all(np.intersect1d(train, test).size == 0 for train, test in folds)


def test_folds_are_shuffled_and_seeded() -> None:
    first, again, other = (condition_folds(3, 30, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0][1], again[0][1])
    assert not np.array_equal(first[0][1], other[0][1])
    assert not np.array_equal(first[0][1], np.arange(10))
    assert len(condition_folds(RepeatedKFold(n_splits=2, n_repeats=3, random_state=0), 9, 0)) == 6
    masks = [(np.arange(9) < 5, np.arange(9) >= 5)]
    np.testing.assert_array_equal(condition_folds(masks, 9, 0)[0][1], np.arange(5, 9))
    with pytest.raises(ValueError, match="no folds"):
        condition_folds([], 9, 0)


def test_training_target() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 10))
    assert training_target(one[None]) is not None
    np.testing.assert_array_equal(training_target(one[None]), one)
    z = [(row - row.mean()) / row.std() for row in (one, other)]
    both = training_target(np.stack([one, 100 * other + 7]))
    np.testing.assert_allclose(both, (z[0] + z[1]) / 2, atol=1e-12)
    # A constant RDM says nothing, and takes no part; unknown pairs are the others' mean.
    np.testing.assert_allclose(training_target(np.stack([one, np.full(10, 3.0)])), z[0])
    holed = one.copy()
    holed[2] = np.nan
    found = training_target(np.stack([holed, other]))
    assert found[2] == pytest.approx(z[1][2])
    assert np.isnan(training_target(np.stack([holed, holed]))[2])
    assert training_target(np.full((2, 10), 0.5)) is None


def targets_of(square: np.ndarray) -> Targets:
    pairs = squareform(square, checks=False)[None]
    return Targets("rdm", RDMStack(pairs, len(square), single=True))


def test_held_out_scores_see_what_they_should() -> None:
    """Inner folds hand out training pairs and compare among test conditions."""
    rng = np.random.default_rng(0)
    n = 12
    square = squareform(rng.random(n * (n - 1) // 2))
    guess = squareform(rng.random(n * (n - 1) // 2))
    folds = list(KFold(3, shuffle=True, random_state=0).split(np.arange(n)))
    expected = []
    for _, test in folds:
        cut = [squareform(m[np.ix_(test, test)], checks=False) for m in (guess, square)]
        expected.append(spearmanr(*cut).statistic)

    def fit_predict(train: Any, test: Any, known: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        cut = squareform(square[np.ix_(train, train)], checks=False)
        np.testing.assert_array_equal(known, cut)
        pairs = squareform(guess[np.ix_(test, test)], checks=False)
        return np.stack([pairs, -pairs, np.ones_like(pairs)])

    alphas = np.array([1.0, 2.0, 3.0])
    scores = held_out_scores(fit_predict, targets_of(square), alphas, folds, "spearman")
    np.testing.assert_allclose(scores, [np.mean(expected), -np.mean(expected), 0], atol=1e-12)


def test_folds_without_a_varied_target_are_left_out() -> None:
    n = 9
    square = squareform(np.random.default_rng(0).random(n * (n - 1) // 2))
    square[:3, :3] = 1 - np.eye(3)
    folds = [(np.delete(np.arange(n), k), k) for k in (np.arange(3), np.arange(3, 6))]

    def fit_predict(train: Any, test: Any, known: Any, alphas: Any) -> np.ndarray:
        return squareform(square[np.ix_(test, test)], checks=False)[None]

    one = np.ones(1)
    assert held_out_scores(fit_predict, targets_of(square), one, folds, "pearson")[0] == 1
    none = held_out_scores(fit_predict, targets_of(square), one, folds[:1], "pearson")
    assert np.isnan(none[0])


def test_the_strongest_of_equal_penalties_is_taken() -> None:
    alphas = np.array([0.1, 10.0, 1.0])
    assert best_alpha(alphas, np.array([0.5, 0.5, 0.2])) == 10.0
    assert best_alpha(alphas, np.array([0.5, np.nan, 0.6])) == 1.0
    assert best_alpha(alphas, np.full(3, np.nan)) == 10.0


@pytest.mark.parametrize("kind", [FeatureReweightedRSA, LayerMixtureRSA])
def test_labels_of_rows_and_images(kind: Any) -> None:
    """X and y of other images are refused, in fit and in score."""
    rng = np.random.default_rng(0)
    names = [f"im{k}.png" for k in range(12)]
    X = pd.DataFrame(rng.normal(size=(12, 4)), index=names)
    y = pd.DataFrame(rng.normal(size=(12, 5)), index=names)
    options = {} if kind is FeatureReweightedRSA else {"groups": ["a", "a", "b", "b"]}
    model = kind(alphas=1.0, metric="euclidean", **options) if options else kind(alphas=1.0)
    model.fit(X, y)
    with pytest.raises(ValueError, match="don't match the images"):
        model.fit(X, y.iloc[::-1])
    with pytest.raises(ValueError, match="don't match the images"):
        model.score(X, y.iloc[::-1])
    with pytest.raises(ValueError, match="inconsistent"):
        model.score(X.to_numpy(), y.to_numpy()[:-1])


def test_a_constant_prediction_scores_zero_as_scoring_too():
    """All weights of unrelated layers may be zero: such folds must count."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(2, 12, 6))
    model = LayerMixtureRSA(groups=[0, 0, 0, 1, 1, 1]).fit(features, target)
    model.weights_ = np.zeros(2)
    pipeline = make_pipeline(FunctionTransformer(), model)
    assert np.ptp(squareform(model.predict(features))) == 0
    assert model.score(features, target) == 0
    assert RSAScorer()(pipeline, features, target) == 0
    assert RSAScorer()(model, features, target) == 0
