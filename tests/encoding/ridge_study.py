"""Data and comparisons for the tests of ridge regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from skdnn.encoding import VoxelwiseRidgeCV

ALPHAS = np.logspace(-1, 4, 6)
SHAPES = [(40, 90), (90, 20), (50, 45)]  # the last: dual in folds, primal for all rows


def study(n: int, p: int, n_targets: int = 7, seed: int = 0, dtype: Any = np.float64) -> Any:
    """Features far from zero, and voxels with signals of different strength."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, p) + 3
    noise = np.linspace(0.3, 30, n_targets)
    Y = (
        X[:, :4] @ rng.normal(size=(min(p, 4), n_targets))
        + rng.normal(size=(n, n_targets)) * noise
        + 50
    )
    return X.astype(dtype), Y.astype(dtype)


def assert_same_fit(one: VoxelwiseRidgeCV, other: VoxelwiseRidgeCV, X: Any, tol: float) -> None:
    assert_array_equal(one.alpha_, other.alpha_)
    assert_allclose(one.cv_scores_, other.cv_scores_, rtol=tol, atol=tol)
    assert_allclose(one.coef_, other.coef_, rtol=tol, atol=tol)
    assert_allclose(one.intercept_, other.intercept_, rtol=tol, atol=100 * tol)
    assert_allclose(one.predict(X), other.predict(X), rtol=tol, atol=tol)
