"""Weights of rows in ridge regression, against scikit-learn's Ridge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, LeaveOneOut

from skdnn.encoding import VoxelwiseRidgeCV

ALPHAS = (0.1, 10.0, 1000.0)
RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(1, 5, 40).astype(float)
WEIGHTS[[3, 17]] = 0


def study(n_features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, n_features)) + 3
    return X, X @ rng.normal(size=(n_features, 3)) + 4 * rng.normal(size=(40, 3)) + 7


def by_hand(X: Any, Y: Any, rows: Any, test: Any, alpha: float, intercept: bool) -> np.ndarray:
    model = Ridge(alpha, fit_intercept=intercept).fit(X[rows], Y[rows], WEIGHTS[rows])
    return model.predict(X[test]).reshape(len(test), -1)


@pytest.mark.parametrize("n_features", [7, 90])
@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize("store", ["coef", "dual"])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_fit_is_that_of_scikit_learns_ridge(
    n_features: int, solver: str, store: str, intercept: bool
) -> None:
    X, Y = study(n_features)
    ours = VoxelwiseRidgeCV(ALPHAS[1:2], solver=solver, store=store, fit_intercept=intercept)
    ours.fit(X, Y, sample_weight=WEIGHTS)
    theirs = Ridge(ALPHAS[1], fit_intercept=intercept).fit(X, Y, WEIGHTS)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-10)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8, atol=1e-10)
    new = np.random.default_rng(2).normal(size=(6, n_features))
    assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-8)


@pytest.mark.parametrize("n_features", [7, 90])
@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_held_out_scores_are_those_of_weighted_fits(
    n_features: int, solver: str, intercept: bool, n_targets: int
) -> None:
    X, Y = study(n_features)
    Y = Y[:, :n_targets]
    for n_folds in (2, 5):  # more than half of the rows are left to fit on, or just half
        folds = KFold(n_folds, shuffle=True, random_state=0)
        ours = VoxelwiseRidgeCV(ALPHAS, cv=folds, solver=solver, fit_intercept=intercept)
        ours.fit(X, Y, sample_weight=WEIGHTS)
        expected = np.zeros((len(ALPHAS), n_targets))
        for train, test in folds.split(X):
            for row, alpha in enumerate(ALPHAS):
                error = Y[test] - by_hand(X, Y, train, test, alpha, intercept)
                expected[row] += 1 - (error**2).sum(0) / ((Y[test] - Y[test].mean(0)) ** 2).sum(0)
        assert_allclose(ours.cv_scores_, expected / n_folds, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n_features", [7, 90])
@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize("intercept", [True, False])
def test_leaving_out_each_row(n_features: int, solver: str, intercept: bool) -> None:
    X, Y = study(n_features)
    ours = VoxelwiseRidgeCV(ALPHAS, cv=None, solver=solver, fit_intercept=intercept)
    ours.fit(X, Y, sample_weight=WEIGHTS)
    for row, alpha in enumerate(ALPHAS):
        held_out = np.empty_like(Y)
        for train, test in LeaveOneOut().split(X):
            held_out[test] = by_hand(X, Y, train, test, alpha, intercept)
        expected = 1 - ((Y - held_out) ** 2).sum(0) / ((Y - Y.mean(0)) ** 2).sum(0)
        assert_allclose(ours.cv_scores_[row], expected, rtol=1e-7)


@pytest.mark.parametrize("solver", ["primal", "dual"])
def test_weights_are_numbers_of_rows(solver: str) -> None:
    X, Y = study(12)
    counts = WEIGHTS.astype(int)
    ridge = VoxelwiseRidgeCV([3.0], solver=solver)
    weighted = ridge.fit(X, Y, sample_weight=WEIGHTS).predict(X)
    copied = ridge.fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0)).predict(X)
    assert_allclose(weighted, copied, rtol=1e-9)
    equal = ridge.fit(X, Y, sample_weight=1.0).predict(X)
    assert_allclose(ridge.fit(X, Y).predict(X), equal, rtol=1e-9)
    assert_array_equal(ridge.fit(X, Y, None, None).predict(X), ridge.fit(X, Y).predict(X))


@pytest.mark.parametrize(
    "wrong", [np.ones(39), -WEIGHTS, np.zeros(40), np.full(40, np.inf), [[1.0]]]
)
def test_refused_weights(wrong: Any) -> None:
    X, Y = study(7)
    with pytest.raises(ValueError, match="sample_weight"):
        VoxelwiseRidgeCV(ALPHAS).fit(X, Y, sample_weight=wrong)
