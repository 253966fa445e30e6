import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist, squareform

from skdnn.rsa import RDM, category_rdm, compute_rdm

SHARED = ["correlation", "euclidean", "sqeuclidean", "cosine"]


def random_patterns(n=13, p=37, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p))


def reference(X, metric, **params):
    return squareform(pdist(np.asarray(X, dtype=np.float64), metric, **params))


@pytest.mark.parametrize("metric", [*SHARED, "cityblock", "canberra", "chebyshev", "minkowski"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int32])
def test_agrees_with_scipy(metric, dtype):
    X = (10 * random_patterns()).astype(dtype)
    rdm = compute_rdm(X, metric)
    assert rdm.dtype == np.float64
    np.testing.assert_allclose(rdm, reference(X, metric), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("metric", SHARED)
def test_offset_costs_no_digits(metric):
    X = (100 + 0.01 * random_patterns(20, 300)).astype(np.float32)
    rdm = compute_rdm(X, metric)
    expected = reference(X, metric)
    assert np.abs(rdm - expected).max() < 1e-10
    if metric != "cosine":  # distances of 1e-8, where scipy itself has only 1e-16 / 1e-8
        np.testing.assert_allclose(rdm, expected, rtol=1e-10)


@pytest.mark.parametrize("metric", SHARED)
def test_near_duplicates_keep_their_order(metric):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1, 200)) + 1e-5 * rng.normal(size=(15, 200))
    # The truth from long doubles, by the differences of (centred) unit vectors.
    Z = X.astype(np.longdouble)
    if metric == "correlation":
        Z = Z - Z.mean(axis=1, keepdims=True)
    if metric in ("correlation", "cosine"):
        Z = Z / np.sqrt((Z**2).sum(axis=1, keepdims=True))
    truth = ((Z[:, None] - Z[None]) ** 2).sum(axis=2)
    truth = {"sqeuclidean": truth, "euclidean": np.sqrt(truth)}.get(metric, truth / 2)
    upper = np.triu_indices(15, 1)
    np.testing.assert_allclose(
        compute_rdm(X, metric)[upper], truth[upper].astype(float), rtol=1e-7
    )


@pytest.mark.parametrize("metric", [*SHARED, "gaussian"])
def test_exactly_symmetric_with_zero_diagonal_and_zero_for_duplicates(metric):
    X = random_patterns(9, 300)
    X[4] = X[7]
    rdm = compute_rdm(X, metric, block_size=64)
    assert np.array_equal(rdm, rdm.T)
    assert np.array_equal(np.diag(rdm), np.zeros(9))
    assert rdm[4, 7] == 0
    off = rdm[~np.eye(9, dtype=bool)]
    assert (off >= 0).all()
    assert (off == 0).sum() == 2


@pytest.mark.parametrize(("metric", "shift"), [("correlation", 0.3), ("cosine", 0.0)])
def test_multiples_of_a_pattern_are_exactly_zero_apart(metric, shift):
    X = random_patterns(4, 50)
    X[2] = 1.7 * X[1] + shift
    assert compute_rdm(X, metric)[1, 2] == 0


def test_blocks_of_columns_change_nothing():
    X = random_patterns(7, 1000)
    np.testing.assert_allclose(compute_rdm(X, block_size=99), compute_rdm(X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("gamma", [None, 0.003, 2.5])
def test_gaussian(gamma):
    X = random_patterns(6, 11)
    width = 1 / 11 if gamma is None else gamma
    expected = 1 - np.exp(-width * reference(X, "sqeuclidean"))
    np.testing.assert_allclose(compute_rdm(X, "gaussian", gamma=gamma), expected, atol=1e-14)


def test_metric_params_go_to_scipy():
    X, weights = random_patterns(5, 8), np.arange(1.0, 9.0)
    np.testing.assert_array_equal(
        compute_rdm(X, "minkowski", metric_params={"p": 3}), reference(X, "minkowski", p=3)
    )
    np.testing.assert_array_equal(
        compute_rdm(X, "cosine", metric_params={"w": weights}), reference(X, "cosine", w=weights)
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("value", [0.1, 0.0, -3.3])
def test_constant_pattern_is_nan_with_one_warning(dtype, value):
    X = random_patterns(6, 700).astype(dtype)
    X[[1, 4]] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rdm = compute_rdm(X)
    assert [w.category for w in caught] == [RuntimeWarning]
    assert "rows 1, 4" in str(caught[0].message)
    expected = np.zeros((6, 6), dtype=bool)
    expected[[1, 4]] = expected[:, [1, 4]] = True
    np.fill_diagonal(expected, False)
    assert np.array_equal(np.isnan(rdm), expected)


def test_nearly_constant_float32_pattern_is_constant():
    X = random_patterns(4, 100).astype(np.float32)
    X[2] = 7.0
    X[2, 5] = np.nextafter(np.float32(7), np.float32(8))
    with pytest.warns(RuntimeWarning, match="row 2 are NaN"):
        assert np.isnan(compute_rdm(X)[2, 0])


def test_small_spread_on_offset_is_not_constant():
    X = (1000 + 0.01 * random_patterns(5, 100)).astype(np.float32)
    assert np.isfinite(compute_rdm(X)).all()


def test_zero_pattern_has_no_cosine_and_is_named():
    X = pd.DataFrame(random_patterns(4, 9), index=list("abcd"))
    X.loc["c"] = 0.0
    with pytest.warns(RuntimeWarning, match="condition 'c' are NaN: a zero pattern"):
        rdm = compute_rdm(X, "cosine")
    assert rdm.loc["a", "c"] != rdm.loc["a", "c"]
    assert np.isfinite(rdm.loc["a", "b"])
    assert np.isfinite(compute_rdm(X, "euclidean")).all(axis=None)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_extreme_scales_neither_overflow_nor_vanish(metric, scale):
    X = random_patterns(5, 20)
    expected = reference(X, metric) * (scale if metric == "euclidean" else 1)
    np.testing.assert_allclose(compute_rdm(X * scale, metric), expected, rtol=1e-10)


def test_dataframe_gives_labelled_dataframe():
    X = pd.DataFrame(random_patterns(4, 6), index=["w", "x", "y", "z"])
    rdm = compute_rdm(X, "euclidean")
    assert list(rdm.index) == list(rdm.columns) == ["w", "x", "y", "z"]
    np.testing.assert_array_equal(rdm.to_numpy(), compute_rdm(X.to_numpy(), "euclidean"))


@pytest.mark.parametrize(
    ("metric", "near"),
    [("correlatoin", "correlation"), ("Euclidian", "euclidean"), ("citybloc", "city")],
)
def test_unknown_metric_names_the_nearest(metric, near):
    with pytest.raises(ValueError, match=f"metric='{metric}'.*Did you mean.*{near}"):
        compute_rdm(random_patterns(), metric)


@pytest.mark.parametrize("gamma", [0, -1.0, np.nan, "scale"])
def test_bad_gamma(gamma):
    with pytest.raises(ValueError, match="gamma must be"):
        compute_rdm(random_patterns(), "gaussian", gamma=gamma)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_name_their_rows(bad):
    X = random_patterns()
    X[3, 2] = X[11, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity in rows 3, 11"):
        compute_rdm(X)
    labelled = pd.DataFrame(X, index=[f"s{i}" for i in range(13)])
    with pytest.raises(ValueError, match="conditions 's3', 's11'"):
        compute_rdm(labelled)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((1, 4)), "two or more"),
        (np.zeros((4, 0)), "0 feature"),
        (np.zeros(4), "must be 2-D"),
        (np.zeros((2, 3, 4)), "must be 2-D"),
        (np.zeros((2, 3), dtype=complex), "complex"),
    ],
)
def test_wrong_input(X, message):
    with pytest.raises(ValueError, match=message):
        compute_rdm(X)


def test_gaussian_takes_no_metric_params():
    with pytest.raises(ValueError, match="takes no metric_params"):
        compute_rdm(random_patterns(), "gaussian", metric_params={"w": 1})


def test_agrees_with_rsatoolbox():
    rsd = pytest.importorskip("rsatoolbox")
    X = random_patterns(11, 23)
    data = rsd.data.Dataset(X)
    ours = squareform(compute_rdm(X), checks=False)
    theirs = rsd.rdm.calc_rdm(data, method="correlation").dissimilarities[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    ours = squareform(compute_rdm(X, "sqeuclidean"), checks=False) / 23
    theirs = rsd.rdm.calc_rdm(data, method="euclidean").dissimilarities[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    X=arrays(np.float64, (5, 7), elements=st.integers(-50, 50).map(float)),
    order=st.permutations(range(5)),
    metric=st.sampled_from(["euclidean", "sqeuclidean", "gaussian", "cityblock"]),
)
def test_permuting_conditions_permutes_the_rdm(X, order, metric):
    rdm = compute_rdm(X, metric)
    np.testing.assert_allclose(
        compute_rdm(X[order], metric), rdm[np.ix_(order, order)], rtol=1e-12, atol=1e-10
    )


@settings(max_examples=40, deadline=None)
@given(
    factor=st.floats(1e-3, 1e3),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 10_000),
)
def test_correlation_ignores_gain_and_offset(factor, offset, seed):
    X = random_patterns(6, 15, seed)
    np.testing.assert_allclose(compute_rdm(factor * X + offset), compute_rdm(X), atol=1e-8)


def test_category_rdm():
    series = pd.Series(["a", "b", "a", "c"], index=["p", "q", "r", "s"])
    rdm = category_rdm(series)
    expected = [[0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]
    np.testing.assert_array_equal(rdm.to_numpy(), expected)
    assert list(rdm.index) == list(rdm.columns) == ["p", "q", "r", "s"]
    assert list(category_rdm([3, 3, 1]).index) == [0, 1, 2]
    assert list(category_rdm(series, names=range(1, 5)).columns) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([["a", "b"]], None, "one-dimensional"),
        (["a", None, "b"], None, "no category for row 1"),
        (["a", "b"], ["x"], "1 entries for 2"),
    ],
)
def test_category_rdm_errors(labels, names, message):
    with pytest.raises(ValueError, match=message):
        category_rdm(labels, names=names)


def test_missing_voxels_are_named_by_column():
    patterns = np.random.default_rng(0).normal(size=(12, 9))
    patterns[:, [2, 5]] = np.nan
    with pytest.raises(ValueError, match="columns 2, 5, in every row"):
        compute_rdm(patterns)
    patterns[3:, 5] = 0.0
    patterns[:, 2] = 1.0
    with pytest.raises(ValueError, match="column 5, in 3 rows"):
        RDM("cosine").fit(pd.DataFrame(patterns, index=[f"c{k}" for k in range(12)]))
    patterns[:, 5] = 0.0
    patterns[4] = np.inf
    with pytest.raises(ValueError, match="in row 4"):
        compute_rdm(patterns)
