"""Where dissimilarities by matrix products go wrong: each trap, against long doubles."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from skdnn.encoding import average_repeats
from skdnn.rsa import compare_rdms, compute_rdm, estimate_noise_precision
from skdnn.rsa._dissimilarity import _correlation_and_euclidean

OWN = [
    *("correlation", "cosine", "euclidean", "sqeuclidean", "sqeuclidean_per_feature"),
    *("gaussian", "spearman", "mahalanobis", "poisson"),
]
BY_PRODUCTS = OWN[:4]


def patterns(n=12, p=60, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p))


def rdm_of(X, metric, **options):
    if metric == "mahalanobis":
        options["noise_precision"] = np.linspace(0.5, 2, X.shape[1])
    return compute_rdm(X, metric, **options)


def truth(X, metric):
    """From differences, in long doubles."""
    Z = np.asarray(X).astype(np.longdouble)
    if metric == "correlation":
        Z = Z - Z.mean(axis=1, keepdims=True)
    if metric in ("correlation", "cosine"):
        Z = Z / np.sqrt((Z**2).sum(axis=1, keepdims=True))
    squared = np.stack([((Z - row) ** 2).sum(axis=1) for row in Z])
    return {
        "correlation": squared / 2,
        "cosine": squared / 2,
        "euclidean": np.sqrt(squared),
        "sqeuclidean": squared,
    }[metric].astype(np.float64)


def pairs(rdm):
    return rdm[np.triu_indices(len(rdm), 1)]


# -- definitions ----------------------------------------------------------------------------


def test_spearman_is_scipys():
    X = np.random.default_rng(0).integers(0, 9, (8, 40))  # with ties
    assert_allclose(compute_rdm(X, "spearman"), 1 - spearmanr(X.T).statistic, atol=1e-12)


def test_squared_per_feature_and_mahalanobis_are_one():
    X = patterns()
    expected = squareform(pdist(X, "sqeuclidean")) / 60
    assert_allclose(compute_rdm(X, "sqeuclidean_per_feature"), expected, rtol=1e-12)
    for identity in (np.ones(60), np.eye(60)):
        assert_allclose(
            compute_rdm(X, "mahalanobis", noise_precision=identity), expected, rtol=1e-12
        )


@pytest.mark.parametrize("diagonal", [True, False])
def test_mahalanobis_is_scipys_squared_by_features(diagonal):
    X, noise = patterns(8, 11), patterns(30, 11, seed=1)
    precision = np.diag(1 / noise.var(axis=0)) if diagonal else np.linalg.inv(np.cov(noise.T))
    ours = compute_rdm(
        X, "mahalanobis", noise_precision=np.diag(precision) if diagonal else precision
    )
    root = compute_rdm(X, "mahalanobis", metric_params={"VI": precision})
    assert_allclose(root, squareform(pdist(X, "mahalanobis", VI=precision)), rtol=1e-14)
    assert_allclose(ours, root**2 / 11, rtol=1e-10)


@pytest.mark.parametrize("priors", [{}, {"prior_lambda": 3.0, "prior_weight": 0.5}])
def test_poisson_agrees_with_rsatoolbox(priors):
    rsd = pytest.importorskip("rsatoolbox")
    X = np.random.default_rng(0).poisson(4.0, (9, 31)).astype(float)
    theirs = rsd.rdm.calc_rdm(rsd.data.Dataset(X), method="poisson", **priors)
    ours = compute_rdm(X, "poisson", **priors)
    assert_allclose(squareform(ours), theirs.dissimilarities[0], rtol=1e-10, atol=1e-10)


def test_constant_float32_pattern_in_rsatoolbox_and_here():
    rsd = pytest.importorskip("rsatoolbox")
    X = patterns(5, 700).astype(np.float32)
    X[1] = 0.1
    theirs = rsd.rdm.calc_rdm(rsd.data.Dataset(X), method="correlation").get_matrices()[0]
    assert np.isfinite(theirs[1, 0])  # about 1, which is no correlation of anything
    with pytest.warns(RuntimeWarning, match="row 1 are NaN"):
        assert np.isnan(compute_rdm(X)[1, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "mahalanobis"}, "needs noise_precision"),
        ({"metric": "poisson"}, "negative in rows? .*0"),
        ({"metric": "poisson", "prior_weight": 0}, "prior_weight must be a positive"),
        ({"metric": "poisson", "prior_lambda": -1.0}, "prior_lambda must be a positive"),
        ({"metric": "poisson", "metric_params": {"w": 1}}, "set prior_lambda"),
        ({"metric": "spearman", "metric_params": {"w": 1}}, "leave them out"),
        ({"metric": "cosine", "noise_precision": np.ones(60)}, "noise_precision is for"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        compute_rdm(patterns(), **options)


# -- traps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", BY_PRODUCTS)
def test_offset_of_float32_data(metric):
    """Offset 100, spread .01: plain products give 29 % negative distances."""
    X = (100 + 0.01 * patterns(40, 500)).astype(np.float32)
    rdm, expected = compute_rdm(X, metric), truth(X, metric)
    assert (pairs(rdm) > 0).all()
    assert spearmanr(pairs(rdm), pairs(expected)).statistic > 0.999999
    assert_allclose(pairs(rdm), pairs(expected), rtol=1e-8)


@pytest.mark.parametrize("metric", BY_PRODUCTS)
@pytest.mark.parametrize("n", [15, 150])
def test_near_duplicates_in_float32_keep_their_order(metric, n):
    """Correlation distances of about 2e-5."""
    rng = np.random.default_rng(1)
    X = (rng.normal(size=(1, 300)) + 0.0045 * rng.normal(size=(n, 300))).astype(np.float32)
    rdm, expected = compute_rdm(X, metric), truth(X, metric)
    if metric == "correlation":
        assert 1e-5 < np.median(pairs(rdm)) < 4e-5
    assert spearmanr(pairs(rdm), pairs(expected)).statistic > 0.999999
    assert_allclose(pairs(rdm), pairs(expected), rtol=1e-9)


@pytest.mark.parametrize("metric", BY_PRODUCTS)
def test_groups_of_near_duplicates_are_centred_again(metric):
    """More close pairs than are computed one by one, in two groups; some rows in neither."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(2, 80))
    X = np.repeat(centres, [90, 70], axis=0) + 1e-6 * rng.normal(size=(160, 80))
    X = np.concatenate([X, rng.normal(size=(9, 80))])[rng.permutation(169)]
    rdm, expected = compute_rdm(X, metric, block_size=17), truth(X, metric)
    assert_allclose(pairs(rdm), pairs(expected), rtol=1e-7)


@pytest.mark.parametrize("metric", BY_PRODUCTS)
def test_many_exact_duplicates_are_exactly_zero_apart(metric, monkeypatch):
    pairs_seen = []
    direct = _correlation_and_euclidean._direct
    monkeypatch.setattr(
        _correlation_and_euclidean,
        "_direct",
        lambda blocks, i, j: pairs_seen.append(len(i)) or direct(blocks, i, j),
    )
    X = patterns(200, 30)
    X[:150] = X[0]  # a dead layer's patterns are alike, and must not cost 150 * 149 differences
    rdm = compute_rdm(X, metric)
    assert (rdm[:150, :150] == 0).all()
    assert (rdm[150:, :150] > 0).all()
    assert sum(pairs_seen) < 200


@pytest.mark.parametrize("metric", ["correlation", "cosine", "spearman", "poisson", "mahalanobis"])
def test_duplicates_and_round_off_zeros(metric):
    X = np.abs(patterns(9, 300))
    X[4] = X[7]
    if metric in ("correlation", "spearman"):
        X[2] = 1.7 * X[5] + 0.3
    if metric == "cosine":
        X[2] = 1.7 * X[5]
    rdm = rdm_of(X, metric)
    zero = {(4, 7), (7, 4)} | (set() if metric in ("poisson", "mahalanobis") else {(2, 5), (5, 2)})
    found = {(i, j) for i, j in np.argwhere(rdm == 0).tolist() if i != j}
    assert found == zero
    assert rdm.min() == 0


@pytest.mark.parametrize("metric", OWN)
@pytest.mark.parametrize("n", [2, 7, 300])
def test_exact_symmetry_and_diagonal(metric, n):
    rdm = rdm_of(np.abs(patterns(n, 50)).astype(np.float32), metric)
    assert_array_equal(rdm, rdm.T)
    assert_array_equal(np.diag(rdm), np.zeros(n))
    assert rdm.dtype == np.float64
    assert rdm.flags.c_contiguous


@pytest.mark.parametrize("metric", OWN)
def test_float16_storage_is_computed_in_float64(metric):
    X = (300 * np.abs(patterns())).astype(np.float16)  # whose squares float16 cannot hold
    assert_array_equal(rdm_of(X, metric), rdm_of(X.astype(np.float64), metric))


@pytest.mark.parametrize("metric", OWN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block_size", [1, 7, 64, 1000])
def test_blocks_change_nothing(metric, dtype, block_size):
    X = (5 + 0.4 * patterns(20, 150)).astype(dtype)
    X = np.maximum(X, 0)
    whole = rdm_of(X, metric)
    assert_allclose(rdm_of(X, metric, block_size=block_size), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", OWN)
def test_threads_change_nothing(metric):
    X = np.abs(patterns(70, 5000)).astype(np.float32)
    several = rdm_of(X, metric)
    with threadpool_limits(1, user_api="blas"):
        assert_allclose(rdm_of(X, metric), several, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_and_read_only_input(order):
    X = np.array(patterns(), order=order)
    X.setflags(write=False)
    copy = X.copy()
    assert_allclose(compute_rdm(X), truth(X, "correlation"), atol=1e-13)
    assert_array_equal(X, copy)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e150, 1e300])
@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_huge_and_tiny_scales(metric, scale):
    X = patterns()
    expected = truth(X, metric) * (scale if metric == "euclidean" else 1)
    assert_allclose(compute_rdm(X * scale, metric), expected, rtol=1e-10)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_rows_of_very_different_scale(metric):
    X = patterns()
    factors = 10.0 ** np.linspace(-280, 280, 12)[:, None]
    assert_allclose(compute_rdm(X * factors, metric), truth(X, metric), rtol=1e-9, atol=1e-12)


def test_squares_beyond_float64_are_infinite_and_the_diagonal_stays_zero():
    rdm = compute_rdm(1e200 * patterns(4), "sqeuclidean")
    assert_array_equal(rdm, np.where(np.eye(4, dtype=bool), 0, np.inf))


@pytest.mark.parametrize(("outlier", "careful"), [(1.0, False), (1e3, True), (1e5, True)])
def test_a_drift_behind_the_first_block_is_noticed(outlier, careful, monkeypatch):
    """Rows are centred by their first block; here it says nothing about the rest."""
    calls = []
    care = _correlation_and_euclidean._angular_with_care
    monkeypatch.setattr(
        _correlation_and_euclidean,
        "_angular_with_care",
        lambda *args: calls.append(1) or care(*args),
    )
    X = patterns(10, 4000)
    X[:, 0] = outlier
    assert_allclose(compute_rdm(X, block_size=1), truth(X, "correlation"), rtol=1e-11, atol=1e-15)
    assert bool(calls) == careful


@pytest.mark.parametrize("metric", ["correlation", "spearman"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("block_size", [None, 3])
def test_constant_rows_are_nan(metric, dtype, block_size):
    X = patterns(6, 333).astype(dtype)
    X[[1, 4]] = [[0.1], [-7.7]]
    with pytest.warns(RuntimeWarning, match="rows 1, 4 are NaN: a constant pattern"):
        rdm = compute_rdm(X, metric, block_size=block_size)
    rest = [0, 2, 3, 5]
    assert np.isfinite(rdm[np.ix_(rest, rest)]).all()
    assert np.isnan(rdm[1, rest]).all()
    assert rdm[1, 1] == 0


def test_constant_rows_do_not_cost_a_second_look(monkeypatch):
    """Dead patterns are common; only what loses digits is done with care."""
    monkeypatch.setattr(_correlation_and_euclidean, "_angular_with_care", None)
    for value in (0.1, 1 / 3, 7.0):
        X = patterns(6, 3000)
        X[2] = value
        with pytest.warns(RuntimeWarning, match="row 2 are NaN"):
            compute_rdm(X)


def test_undefined_rows_give_one_warning():
    X = patterns(5)
    X[3] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compute_rdm(X, "cosine")
    assert [w.category for w in caught] == [RuntimeWarning]


@pytest.mark.parametrize("metric", OWN)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_missing_values_are_named_by_every_metric(metric, bad):
    X = np.abs(patterns())
    X[3, 2] = X[11, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity in rows 3, 11"):
        rdm_of(X, metric)


@settings(max_examples=60, deadline=None)
@given(
    metric=st.sampled_from(BY_PRODUCTS),
    seed=st.integers(0, 10**6),
    n=st.integers(2, 9),
    p=st.integers(2, 40),
    offset=st.sampled_from([0.0, 1.0, 1e3]),
    spread=st.sampled_from([1e-6, 1.0, 1e4]),
    block_size=st.sampled_from([None, 1, 3]),
)
def test_right_for_any_shape_offset_and_spread(metric, seed, n, p, offset, spread, block_size):
    X = offset + spread * patterns(n, p, seed)
    rdm, expected = compute_rdm(X, metric, block_size=block_size), truth(X, metric)
    # What float64 input itself says of a spread on an offset.
    floor = 1e-13 if metric in ("correlation", "cosine") else 0
    given_digits = 1e-8 if metric == "correlation" and offset > 1e3 * spread else 1e-9
    assert_allclose(rdm, expected, rtol=given_digits * 100, atol=floor)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.coo_array])
def test_sparse_input_is_named(kind):
    X = kind(np.random.default_rng(0).normal(size=(12, 5)))
    square = kind(np.asarray(compute_rdm(X.toarray())))
    for call, name in (
        (lambda: compute_rdm(X), "X"),
        (lambda: estimate_noise_precision(X), "residuals"),
        (lambda: compare_rdms(square, square), "a"),
        (lambda: average_repeats(X, np.repeat(range(6), 2)), "responses"),
    ):
        with pytest.raises(TypeError, match=rf"^{name} is sparse: pass {name}\.toarray"):
            call()
