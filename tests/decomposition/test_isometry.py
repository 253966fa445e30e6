"""Isometric coordinates: n rows of very many numbers in n + 1, lying alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import pdist

from skdnn.decomposition import _isometry, isometric

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(40, 3000))


def differences(Z: np.ndarray, X: np.ndarray) -> dict[str, float]:
    """Relative for Euclidean distances, absolute for the others."""
    X = X.astype(np.float64)
    euclidean = pdist(X)
    return {
        "euclidean": float((np.abs(pdist(Z) - euclidean) / euclidean).max()),
        **{m: float(np.abs(pdist(Z, m) - pdist(X, m)).max()) for m in ("cosine", "correlation")},
    }


@pytest.mark.parametrize(
    ("X", "allowed"),
    [
        (NORMAL, 1e-13),
        (np.maximum(NORMAL, 0), 1e-13),
        (NORMAL.astype(np.float32), 1e-13),
        (NORMAL[:, :42], 1e-13),
        (NORMAL[:2], 1e-13),
        (NORMAL[:, :5] @ RNG.normal(size=(5, 3000)), 1e-12),  # of rank 5
        (NORMAL + 1e6 * RNG.normal(size=3000), 1e-9),  # each unit has an offset of its own
        (NORMAL + 1e6, 1e-8),  # what X itself has lost
    ],
    ids=["normal", "relu", "float32", "few", "two", "low rank", "offsets", "offset"],
)
def test_distances_are_those_of_the_rows(X, allowed):
    Z = isometric(X)
    assert Z.shape == (len(X), len(X) + 1)
    assert Z.dtype == np.float64
    assert max(differences(Z, X).values()) < allowed
    ones = Z.sum(axis=1) / np.sqrt(Z.shape[1])
    assert_allclose(ones, X.sum(axis=1, dtype=float) / np.sqrt(X.shape[1]), rtol=1e-9, atol=1e-9)


def test_rows_that_are_nearly_the_same():
    X = NORMAL.copy()
    X[1] = X[0] + 1e-9 * X[2]
    by_products = _isometry._by_products(X)
    assert by_products is None  # inner products no longer tell them apart
    assert differences(isometric(X), X)["euclidean"] < 1e-6


def test_equal_rows_are_equal_and_constant_ones_constant():
    X = NORMAL.copy()
    X[7] = X[3]
    X[9], X[10] = 2.5, 0
    Z = isometric(X)
    assert_array_equal(Z[7], Z[3])
    assert np.ptp(Z[9]) == 0
    assert not Z[10].any()
    assert_allclose(Z @ Z.T, X @ X.T, atol=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    X = NORMAL.copy()
    X[3, 5] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        isometric(X)


def test_few_columns_stay():
    assert_array_equal(isometric(NORMAL[:, :41]), NORMAL[:, :41])
    with pytest.raises(ValueError, match="2D"):
        isometric(NORMAL[0])


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    more=st.integers(2, 60),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
    seed=st.integers(0, 10**6),
)
def test_inner_products_hold(n, more, scale, offset, seed):
    X = scale * (np.random.default_rng(seed).normal(size=(n, n + more)) + offset)
    Z, size = isometric(X), np.abs(X).max() ** 2 * X.shape[1]
    assert_allclose(Z @ Z.T, X @ X.T, rtol=0, atol=1e-12 * size)
