"""Scores per target and per image against scikit-learn, scipy and plain loops."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate

from helpers.only_slices import OnlySlices
from skdnn.encoding import (
    _blocks_of_columns,
    correlation_score,
    explained_variance_score,
    identification_accuracy,
    pattern_correlation,
    profile_correlation,
    r2_score,
)
from skdnn.encoding._scores import _patterns as _scores_patterns

PER_TARGET = (correlation_score, r2_score, explained_variance_score)


def study(n: int = 23, t: int = 7, seed: int = 0, noise: float = 1.0) -> tuple[Any, Any]:
    """Measured and predicted values with means far from zero."""
    rng = np.random.default_rng(seed)
    pred = 5 + rng.normal(size=(n, t))
    return pred + 1 + noise * rng.normal(size=(n, t)), pred


def one_by_one(name: str, y: np.ndarray, p: np.ndarray, w: np.ndarray | None) -> list[float]:
    if name == "correlation_score":
        return [
            np.corrcoef(a, b)[0, 1]
            if w is None
            else np.cov(a, b, aweights=w)[0, 1]
            / np.sqrt(np.cov(a, aweights=w) * np.cov(b, aweights=w))
            for a, b in zip(y.T, p.T, strict=True)
        ]
    return [getattr(metrics, name)(a, b, sample_weight=w) for a, b in zip(y.T, p.T, strict=True)]


@pytest.mark.parametrize("score", PER_TARGET)
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_equal_those_of_numpy_and_scikit_learn(score: Any, weighted: bool) -> None:
    y, p = study()
    w = np.random.default_rng(1).uniform(0.1, 4, len(y)) if weighted else None
    expected = one_by_one(score.__name__, y, p, w)
    found = score(y, p, sample_weight=w, multioutput="raw_values")
    assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64
    mean = score(y, p, sample_weight=w)
    assert isinstance(mean, float)
    assert_allclose(mean, np.mean(expected), rtol=1e-12)


def test_correlation_equals_scipys() -> None:
    y, p = study()
    expected = [stats.pearsonr(a, b).statistic for a, b in zip(y.T, p.T, strict=True)]
    assert_allclose(correlation_score(y, p, multioutput="raw_values"), expected, rtol=1e-12)
    assert_array_equal(
        profile_correlation(y, p, multioutput="raw_values"),
        correlation_score(y, p, multioutput="raw_values"),
    )


@pytest.mark.parametrize("score", PER_TARGET)
def test_weights_are_repeats(score: Any) -> None:
    y, p = study()
    counts = np.arange(len(y)) % 3
    repeated = score(np.repeat(y, counts, axis=0), np.repeat(p, counts, axis=0))
    assert_allclose(score(y, p, sample_weight=counts), repeated, rtol=1e-12)


@pytest.mark.parametrize("score", PER_TARGET)
def test_targets_of_any_shape(score: Any) -> None:
    y, p = study(t=24)
    flat = score(y, p, multioutput="raw_values")
    deep = score(y.reshape(-1, 2, 3, 4), p.reshape(-1, 2, 3, 4), multioutput="raw_values")
    assert_array_equal(deep, flat.reshape(2, 3, 4))
    single = score(y[:, 0], p[:, :1], multioutput="raw_values")
    assert_allclose(single, flat[:1], rtol=1e-12)
    assert single.shape == (1,)


@pytest.mark.parametrize("score", PER_TARGET)
def test_blocks_and_files_do_not_change_scores(
    score: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    y, p = study(n=11, t=203)
    whole = score(y, p, multioutput="raw_values")
    monkeypatch.setattr(_blocks_of_columns, "WORK_ELEMENTS", 1)
    monkeypatch.setattr(_blocks_of_columns, "_MIN_COLUMNS", 8)
    monkeypatch.setattr(_blocks_of_columns, "_READ_BYTES", 11 * 8 * 20)
    assert_allclose(score(y, p, multioutput="raw_values"), whole, rtol=1e-13)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        stored = file.create_dataset("y", data=y, chunks=(4, 30))
        assert_allclose(score(stored, p, multioutput="raw_values"), whole, rtol=1e-13)
    lazy = score(OnlySlices(y), OnlySlices(p), multioutput="raw_values")
    assert_allclose(lazy, whole, rtol=1e-13)


def test_float32_is_accumulated_in_float64() -> None:
    y, p = (1000 + part.astype(np.float32) for part in study(n=500))
    expected = one_by_one("correlation_score", y.astype(float), p.astype(float), None)
    assert_allclose(correlation_score(y, p, multioutput="raw_values"), expected, rtol=1e-11)
    expected = one_by_one("r2_score", y.astype(float), p.astype(float), None)
    assert_allclose(r2_score(y, p, multioutput="raw_values"), expected, rtol=1e-11)


@pytest.mark.parametrize("score", PER_TARGET)
def test_undefined_targets_are_counted_once_and_left_out(score: Any) -> None:
    y, p = study(t=6)
    y[:, 1] = 0.1
    y[2, 3] = np.nan
    p[4, 5] = np.inf
    with pytest.warns(RuntimeWarning) as caught:
        found = score(y, p, multioutput="raw_values")
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "3 of 6 targets" in message
    assert "1 constant in y_true (columns 1)" in message
    assert "2 with NaN or infinity (columns 3, 5)" in message
    assert caught[0].filename == __file__
    assert_array_equal(np.isnan(found), [False, True, False, True, False, True])
    with pytest.warns(RuntimeWarning, match="3 of 6"):
        mean = score(y, p)
    assert_allclose(mean, np.nanmean(found), rtol=1e-14)


def test_all_undefined_is_nan() -> None:
    with pytest.warns(RuntimeWarning, match="2 of 2 targets"):
        assert np.isnan(r2_score(np.ones((4, 2)), np.zeros((4, 2))))


def test_constant_prediction_does_not_pay() -> None:
    y, p = study(t=4)
    p[:, 0] = 3.3
    with pytest.warns(RuntimeWarning, match="1 constant in y_pred"):
        raw = correlation_score(y, p, multioutput="raw_values")
    with pytest.warns(RuntimeWarning, match="1 constant in y_pred"):
        mean = correlation_score(y, p)
    assert np.isnan(raw[0])
    assert_allclose(mean, raw[1:].sum() / 4)
    assert_allclose(
        r2_score(y, p, multioutput="raw_values")[0], metrics.r2_score(y[:, 0], p[:, 0])
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_not_variance(dtype: Any) -> None:
    y, p = (part.astype(dtype) for part in study(n=40, t=2))
    p[:, 0] = dtype(0.1)
    p[::3, 0] = np.nextafter(dtype(0.1), dtype(1))
    with pytest.warns(RuntimeWarning, match="1 constant in y_pred"):
        assert np.isnan(correlation_score(y, p, multioutput="raw_values")[0])


@pytest.mark.parametrize("score", PER_TARGET)
def test_scores_in_cross_validation_and_search(score: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = X @ rng.normal(size=(5, 9)) + rng.normal(size=(60, 9))
    found = cross_validate(Ridge(), X, y, scoring=make_scorer(score), cv=3)["test_score"]
    model = Ridge().fit(X[20:], y[20:])
    assert_allclose(found[0], score(y[:20], model.predict(X[:20])), rtol=1e-12)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, scoring=make_scorer(score), cv=3)
    assert search.fit(X, y).best_params_ == {"alpha": 1.0}


@pytest.mark.parametrize("score", [*PER_TARGET, pattern_correlation, identification_accuracy])
def test_bad_input_is_refused(score: Any) -> None:
    y, p = study()
    with pytest.raises(ValueError, match=r"y_true has shape \(23, 7\) and y_pred \(22, 7\)"):
        score(y, p[1:])
    with pytest.raises(ValueError, match="same targets"):
        score(y.reshape(23, 7, 1), p)
    with pytest.raises(ValueError, match=r"could not convert|numeric"):
        score(np.full((3, 2), "a"), np.ones((3, 2)))


def test_bad_parameters_are_refused() -> None:
    y, p = study()
    with pytest.raises(ValueError, match="multioutput must be one of"):
        r2_score(y, p, multioutput="mean")
    with pytest.raises(ValueError, match="at least 2"):
        r2_score(y[:1], p[:1])
    with pytest.raises(ValueError, match="one weight for each of the 23"):
        r2_score(y, p, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="finite, not negative, and not all zero"):
        r2_score(y, p, sample_weight=-np.ones(23))
    with pytest.raises(ValueError, match="metric must be"):
        identification_accuracy(y, p, metric="hamming")
    for bad in (1, 24, True, 2.5, "most"):
        with pytest.raises(ValueError, match="n_candidates must be"):
            identification_accuracy(y, p, n_candidates=bad)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
def test_symmetries(seed: int, scale: float, shift: float) -> None:
    y, p = study(seed=seed)
    order = np.random.default_rng(seed).permutation(len(y))
    for score in PER_TARGET:
        raw = score(y, p, multioutput="raw_values")
        assert_allclose(score(y[order], p[order], multioutput="raw_values"), raw, atol=1e-12)
        both = score(y * scale, p * scale, multioutput="raw_values")
        assert_allclose(both, raw, rtol=1e-9, atol=1e-12)
    r = correlation_score(y, p, multioutput="raw_values")
    assert_allclose(correlation_score(y, p * scale, multioutput="raw_values"), r, atol=1e-9)
    assert_allclose(correlation_score(y, -p, multioutput="raw_values"), -r, atol=1e-12)
    shifted = explained_variance_score(y, p + shift)
    assert_allclose(shifted, explained_variance_score(y, p), rtol=1e-9, atol=1e-10)
    for n_candidates in (2, 5, "all"):
        found = identification_accuracy(y, p, n_candidates=n_candidates)
        moved = identification_accuracy(y[order], p[order], n_candidates=n_candidates)
        assert_allclose(moved, found, rtol=1e-9)
        assert 0 <= found <= 1


def test_pattern_correlation_equals_scipys() -> None:
    y, p = study(n=9, t=14)
    expected = [stats.pearsonr(a, b).statistic for a, b in zip(y, p, strict=True)]
    assert_allclose(pattern_correlation(y, p, average=False), expected, rtol=1e-12)
    assert_allclose(pattern_correlation(y, p), np.mean(expected), rtol=1e-12)
    deep = pattern_correlation(y.reshape(9, 2, 7), p.reshape(9, 2, 7), average=False)
    assert_allclose(deep, expected, rtol=1e-12)


def test_pattern_correlation_leaves_out_unknown_targets_and_constant_images() -> None:
    y, p = study(n=6, t=14)
    y[1, 3] = p[2, 5] = np.nan
    keep = np.delete(np.arange(14), [3, 5])
    with pytest.warns(RuntimeWarning, match=r"2 of 14 targets .* \(columns 3, 5\)"):
        found = pattern_correlation(y, p, average=False)
    assert_allclose(found, pattern_correlation(y[:, keep], p[:, keep], average=False), rtol=1e-12)
    y, p = study(n=6, t=14)
    y[0], p[1] = 2.0, 3.0
    with pytest.warns(RuntimeWarning) as caught:
        raw = pattern_correlation(y, p, average=False)
    assert [("measured" in str(w.message), "1 of 6" in str(w.message)) for w in caught] == [
        (True, True),
        (False, True),
    ]
    with pytest.warns(RuntimeWarning, match="constant"):
        assert_allclose(pattern_correlation(y, p), raw[2:].sum() / 5)
    with pytest.raises(ValueError, match="two targets or more"):
        pattern_correlation(y[:, :1], p[:, :1])


def identified(y: np.ndarray, p: np.ndarray, metric: str, n_candidates: int) -> list[float]:
    """Every set of candidates of that size, one after the other."""

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        if metric == "euclidean":
            return -float(np.linalg.norm(a - b))
        if metric == "correlation":
            a, b = a - a.mean(), b - b.mean()
        return float(a @ b / np.sqrt(a @ a * (b @ b)))

    accuracy = []
    for i in range(len(y)):
        own = similarity(p[i], y[i])
        others = [similarity(p[i], y[j]) for j in range(len(y)) if j != i]
        wins = []
        for rivals in itertools.combinations(others, n_candidates - 1):
            best = max(rivals)
            tied = sum(abs(r - own) < 1e-10 for r in rivals)
            wins.append(0.0 if best > own + 1e-10 else 1 / (1 + tied))
        accuracy.append(np.mean(wins))
    return accuracy


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize("n_candidates", [2, 3, 6, 8])
def test_identification_equals_a_plain_loop(metric: str, n_candidates: int) -> None:
    y, p = study(n=8, t=5, noise=2)
    y[3] = y[6]  # ties with a duplicate
    found = identification_accuracy(y, p, metric=metric, n_candidates=n_candidates, average=False)
    assert_allclose(found, identified(y, p, metric, n_candidates), rtol=1e-9, atol=1e-12)


def test_identification_of_all_is_the_share_of_first_places() -> None:
    y, p = study(n=30, t=6, noise=1)
    similarity = np.corrcoef(p, y)[:30, 30:]
    expected = np.mean(similarity.argmax(axis=1) == np.arange(30))
    assert_allclose(identification_accuracy(y, p, n_candidates="all"), expected)


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_identification_in_blocks(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y, p = study(n=17, t=203, noise=6)
    whole = identification_accuracy(y, p, metric=metric, average=False)
    monkeypatch.setattr(_blocks_of_columns, "WORK_ELEMENTS", 1)
    monkeypatch.setattr(_scores_patterns, "_SIMILARITIES", 17 * 5)
    assert_allclose(identification_accuracy(y, p, metric=metric, average=False), whole)
    assert 0.5 < whole.mean() < 1


def test_identification_without_information() -> None:
    y, p = study(n=12, t=30)
    p[:] = p[0]  # the same for all images
    assert_allclose(identification_accuracy(y, p), 0.5)
    assert_allclose(identification_accuracy(y, p, n_candidates=4), 0.25)
    p[:] = 2.0  # and for all voxels
    for n_candidates in (2, 3, 12):
        each = identification_accuracy(y, p, n_candidates=n_candidates, average=False)
        assert_allclose(each, 1 / n_candidates)


def test_identification_leaves_out_constant_patterns() -> None:
    y, p = study(n=12, t=30, noise=3)
    rest = identification_accuracy(y[1:], p[1:], average=False)
    y[0] = 7.0
    with pytest.warns(RuntimeWarning, match="1 of 12 images have a constant measured"):
        found = identification_accuracy(y, p, average=False)
    assert np.isnan(found[0])
    assert_allclose(found[1:], rest)
    y, p = study(n=12, t=30, noise=3)
    y[3, 4] = np.nan
    with pytest.warns(RuntimeWarning, match="1 of 30 targets"):
        found = identification_accuracy(y, p)
    keep = np.delete(np.arange(30), 4)
    assert_allclose(found, identification_accuracy(y[:, keep], p[:, keep]))


def test_chance_level_of_every_score() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 60, 2000))
    # standard error of the mean over 2000 independent targets: 1 / sqrt(60 * 2000) = .003
    assert abs(correlation_score(y, p)) < 0.012
    assert abs(pattern_correlation(y, p)) < 0.012
    accuracy = [identification_accuracy(*rng.normal(size=(2, 60, 50))) for _ in range(30)]
    assert abs(np.mean(accuracy) - 0.5) < 0.02
    tenth = [
        identification_accuracy(*rng.normal(size=(2, 60, 50)), n_candidates=10) for _ in range(30)
    ]
    assert abs(np.mean(tenth) - 0.1) < 0.015
    # the mean of the training images explains nothing
    assert r2_score(y, np.zeros_like(y)) < 0
    assert abs(explained_variance_score(y, np.zeros_like(y))) < 1e-12
