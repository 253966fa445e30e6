"""The precision of noise against rsatoolbox, scikit-learn and its definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.covariance import LedoitWolf

from skdnn.rsa import estimate_noise_precision
from skdnn.rsa._dissimilarity._noise_precision import precision_root

SHAPES = [(60, 9), (12, 30)]


def residuals(n=60, p=9, seed=0):
    rng = np.random.default_rng(seed)
    return 5 + rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))


def toolbox(rows, method, dof):
    noise = pytest.importorskip("rsatoolbox").data.noise
    return noise.prec_from_residuals(rows, dof=dof, method=method)


@pytest.mark.parametrize(
    ("shape", "method"),
    [(SHAPES[0], "full"), *((s, m) for s in SHAPES for m in ("shrinkage_diag", "diag"))],
)
@pytest.mark.parametrize("dof", [None, 40.0])
def test_agrees_with_rsatoolbox(shape, method, dof):
    rows = residuals(*shape)
    ours, theirs = estimate_noise_precision(rows, method, dof=dof), toolbox(rows, method, dof)
    if method == "diag":  # the diagonal alone here, a matrix there
        assert ours.shape == (shape[1],)
        ours = np.diag(ours)
    assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_ledoit_wolf_is_scikit_learns_and_rsatoolbox_takes_one_degree_of_freedom(shape):
    rows = residuals(*shape)
    expected = LedoitWolf().fit(rows).precision_
    ours = estimate_noise_precision(rows, "ledoit_wolf")
    assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)
    assert_allclose(
        estimate_noise_precision(rows, "ledoit_wolf", dof=shape[0] - 1),
        toolbox(rows, "shrinkage_eye", None), rtol=1e-9, atol=1e-10,
    )  # fmt: skip


def test_shrinkage_by_its_formula():
    """Schaefer and Strimmer (2005), entry by entry."""
    rows = residuals(25, 6)
    n, p = rows.shape
    centred = rows - rows.mean(axis=0)
    covariance = np.cov(rows.T)
    z = centred / centred.std(axis=0, ddof=1)
    above = below = 0.0
    for i in range(p):
        for j in range(p):
            if i != j:
                w = z[:, i] * z[:, j]
                above += n / (n - 1) ** 3 * np.sum((w - w.mean()) ** 2)
                below += (w.sum() / (n - 1)) ** 2
    # The toolbox's variance is about another mean: equal to order 1 / n.
    expected = covariance * (1 - above / below * (1 - np.eye(p)))
    ours = np.linalg.inv(estimate_noise_precision(rows))
    assert_allclose(np.diag(ours), np.diag(covariance), rtol=1e-10)
    assert_allclose(ours, expected, atol=0.02 * np.abs(covariance).max())
    off = ~np.eye(p, dtype=bool)
    assert np.ptp(ours[off] / covariance[off]) < 1e-10  # one factor for all


@pytest.mark.parametrize("method", ["shrinkage_diag", "ledoit_wolf", "full"])
def test_symmetric_and_inverse_of_a_covariance(method):
    precision = estimate_noise_precision(residuals(), method)
    assert_array_equal(precision, precision.T)
    assert np.linalg.eigvalsh(precision)[0] > 0
    root = precision_root(precision)
    assert_allclose(root @ root.T, precision, atol=1e-12)


def test_a_singular_precision_has_a_root_too():
    vectors = residuals(2, 5)
    precision = vectors.T @ vectors
    root = precision_root(precision)
    assert_allclose(root @ root.T, precision, atol=1e-9)


def test_a_list_gives_a_list():
    folds = [residuals(seed=seed) for seed in range(3)]
    for several in (folds, np.stack(folds)):
        found = estimate_noise_precision(several, dof=50)
        assert [one.shape for one in found] == [(9, 9)] * 3
        for one, rows in zip(found, folds, strict=True):
            assert_array_equal(one, estimate_noise_precision(rows, dof=50))


def test_one_feature_and_independent_features():
    rows = residuals(30, 1)
    assert_allclose(estimate_noise_precision(rows), 1 / np.var(rows, ddof=1), rtol=1e-12)
    # Uncorrelated by construction: nothing to shrink, nothing to divide by.
    crossed = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert_allclose(estimate_noise_precision(crossed), 0.75 * np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (residuals(), {"method": "shrink"}, "method='shrink' is not known: choose one of 'shr"),
        (residuals(), {"dof": 0}, "dof must be a positive"),
        (residuals(), {"dof": "n"}, "dof must be a positive"),
        (np.zeros((5, 2)) + np.arange(5)[:, None] * [1, 0], {}, r"feature\(s\) 1 have no var"),
        (np.full((5, 2), np.nan), {}, "NaN or infinity"),
        (np.zeros(5), {}, r"2-D.*got shape \(5,\)"),
        (np.zeros((1, 5)), {}, "two rows or more"),
        (residuals(9, 9), {"method": "full"}, "9 features from 9 residuals has no inverse"),
    ],
)
def test_errors(rows, options, message):
    with pytest.raises(ValueError, match=message):
        estimate_noise_precision(rows, **options)
