"""Permutation tests and bootstrap intervals against scipy, plain loops and known truth."""

from __future__ import annotations

import warnings
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn import metrics

from helpers.only_slices import OnlySlices
from skdnn.encoding import (
    bootstrap_scores,
    correlation_p_values,
    correlation_score,
    explained_variance_score,
    r2_score,
    score_p_values,
)


def study(n: int = 23, t: int = 7, seed: int = 0, noise: float = 1.0) -> tuple[Any, Any]:
    """Measured and predicted values with means far from zero."""
    rng = np.random.default_rng(seed)
    pred = 5 + rng.normal(size=(n, t))
    return pred + 1 + noise * rng.normal(size=(n, t)), pred


def test_p_values_of_correlations_equal_scipys() -> None:
    y, p = study(noise=4)
    r = correlation_score(y, p, multioutput="raw_values")
    for alternative in ("greater", "less", "two-sided"):
        expected = [
            stats.pearsonr(a, b, alternative=alternative).pvalue
            for a, b in zip(y.T, p.T, strict=True)
        ]
        found = correlation_p_values(r, 23, alternative=alternative, adjust=None)
        assert_allclose(found, expected, rtol=1e-9)
        adjusted = correlation_p_values(r, 23, alternative=alternative)
        assert_allclose(adjusted, stats.false_discovery_control(expected), rtol=1e-9)
    assert_array_equal(correlation_p_values([1.0, np.nan], 5), [0.0, np.nan])
    with pytest.raises(ValueError, match="between -1 and 1"):
        correlation_p_values([1.1], 5)
    with pytest.raises(ValueError, match="n_images must be an integer of at least 3"):
        correlation_p_values([0.1], 2)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_permutation_p_values_equal_a_plain_loop(alternative: str) -> None:
    y, p = study(n=9, t=5, noise=3)
    found = score_p_values(
        y, p, n_permutations=199, alternative=alternative, adjust=None, random_state=3
    )
    rng = np.random.RandomState(3)
    orders = [rng.permutation(9) for _ in range(199)]
    for k in range(5):

        def extremity(a: np.ndarray, b: np.ndarray = p[:, k]) -> float:
            r = np.corrcoef(a, b)[0, 1]
            return {"greater": r, "less": -r, "two-sided": abs(r)}[alternative]

        observed = extremity(y[:, k])
        extreme = sum(extremity(y[order, k]) >= observed - 1e-12 for order in orders)
        assert_allclose(found[k], (1 + extreme) / 200)


def test_one_permutation_test_serves_all_scores() -> None:
    y, p = study(n=9, t=3, noise=3)
    found = score_p_values(y, p, n_permutations=99, adjust=None, random_state=3)
    rng = np.random.RandomState(3)
    orders = [rng.permutation(9) for _ in range(99)]
    for score in (metrics.r2_score, metrics.explained_variance_score):
        for k in range(3):
            own = score(y[:, k], p[:, k])
            count = sum(score(y[order, k], p[:, k]) >= own - 1e-12 for order in orders)
            assert_allclose(found[k], (1 + count) / 100)


def test_p_values_are_uniform_under_the_null_and_adjusted_ones_keep_the_rate() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 30, 1500))
    single = score_p_values(y, p, n_permutations=199, adjust=None, random_state=0, n_jobs=2)
    assert abs(np.mean(single <= 0.05) - 0.05) < 0.02
    assert abs(single.mean() - 0.5) < 0.03
    p[:, :500] += 2 * y[:, :500]
    adjusted = score_p_values(y, p, n_permutations=999, random_state=0)
    rejected = adjusted <= 0.05
    assert rejected[:500].mean() > 0.95
    assert rejected[500:].sum() / rejected.sum() < 0.09


def test_p_values_do_not_depend_on_threads_blocks_or_shape() -> None:
    y, p = study(n=20, t=24)
    y, p = np.tile(y, 500), np.tile(p, 500)
    one = score_p_values(y, p, n_permutations=20, random_state=0)
    deep = (part.reshape(20, 30, 400) for part in (y, p))
    assert_array_equal(
        score_p_values(*deep, n_permutations=20, random_state=0, n_jobs=2), one.reshape(30, 400)
    )
    assert_array_equal(one, np.tile(one[:24], 500))
    lazy = score_p_values(
        OnlySlices(y), OnlySlices(p), n_permutations=20, random_state=0, n_jobs=2
    )
    assert_array_equal(lazy, one)


def test_p_values_of_undefined_targets() -> None:
    y, p = study(n=20, t=4, noise=4)
    known = score_p_values(y[:, 1:], p[:, 1:], n_permutations=50, random_state=0)
    y[:, 0] = 1.0
    with pytest.warns(RuntimeWarning, match="1 of 4 targets have no p-value"):
        found = score_p_values(y, p, n_permutations=50, random_state=0)
    assert_array_equal(found, [np.nan, *known])
    for wrong in ({"alternative": "up"}, {"adjust": "holm"}, {"n_permutations": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            score_p_values(y, p, **wrong)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("correlation", correlation_score),
        ("r2", r2_score),
        ("explained_variance", explained_variance_score),
    ],
)
def test_bootstrap_equals_scores_of_samples(name: str, score: Any) -> None:
    y, p = study(n=15, t=4)
    found = bootstrap_scores(y, p, score=name, n_bootstraps=60, random_state=1)
    counts = np.random.RandomState(1).multinomial(15, np.full(15, 1 / 15), size=60)
    samples = []
    for count in counts:
        rows = np.repeat(np.arange(15), count)
        samples.append(score(y[rows], p[rows], multioutput="raw_values"))
    assert_allclose(found.lower, np.quantile(samples, 0.025, axis=0), rtol=1e-9)
    assert_allclose(found.upper, np.quantile(samples, 0.975, axis=0), rtol=1e-9)
    assert_allclose(found.standard_error, np.std(samples, axis=0, ddof=1), rtol=1e-9)


def test_bootstrap_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(80, 400))
    y, p = (signal + rng.normal(size=signal.shape) for _ in range(2))  # r = .5
    found = bootstrap_scores(y, p, n_bootstraps=300, random_state=0)
    covered = (found.lower < 0.5) & (found.upper > 0.5)
    assert 0.89 < covered.mean() < 0.98
    y[:, 1] = 2.0
    with pytest.warns(RuntimeWarning, match="1 of 400 targets have no correlation"):
        assert np.isnan(bootstrap_scores(y, p, n_bootstraps=5, random_state=0).lower[1])
    with pytest.raises(ValueError, match="score must be one of"):
        bootstrap_scores(y, p, score="r")
    with pytest.raises(ValueError, match="confidence_level"):
        bootstrap_scores(y, p, confidence_level=95)


def test_samples_without_variance_are_left_out_of_the_bootstrap() -> None:
    y, p = np.array([[0.0], [1.0], [0.0]]), np.array([[0.1], [0.8], [0.3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_scores(y, p, n_bootstraps=50, random_state=0)
    assert np.isfinite(found).all()


# --- rows in time --------------------------------------------------------------------------------


def autoregressive(n: int, n_series: int, memory: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(n, n_series))
    out = noise.copy()
    for row in range(1, n):
        out[row] += memory * out[row - 1]
    return out


RUNS = np.repeat(["a", "c", "b", "d", "e", "g", "f", "h"], [20, 30, 25, 15, 30, 20, 25, 15])


@pytest.mark.parametrize("blocks", [20, RUNS])
def test_blocks_keep_the_level_where_rows_are_alike(blocks: Any) -> None:
    measured, predicted = (autoregressive(180, 400, 0.8, seed) for seed in (0, 1))
    settings = {"n_permutations": 199, "adjust": None, "random_state": 0}
    rows = score_p_values(measured, predicted, **settings)
    whole = score_p_values(measured, predicted, blocks=blocks, **settings)
    assert np.mean(rows <= 0.05) > 0.15
    assert np.mean(whole <= 0.05) < 0.09
    related = score_p_values(measured, measured + predicted, blocks=blocks, **settings)
    assert np.mean(related <= 0.05) > 0.9


def test_blocks_are_moved_as_a_whole() -> None:
    """By hand: four blocks of 2, 3, 2 and 1 rows, all 24 orders of them."""
    runs = np.array([7, 7, 3, 3, 3, 5, 5, 1])
    y, p = np.random.default_rng(3).normal(size=(2, 8))
    parts = [np.flatnonzero(runs == run) for run in (7, 3, 5, 1)]
    r = [np.corrcoef(y[np.concatenate(order)], p)[0, 1] for order in permutations(parts)]
    share = np.mean(np.array(r) >= r[0] - 1e-12)
    found = score_p_values(y, p, blocks=runs, n_permutations=4000, random_state=0, adjust=None)
    assert found[0] == pytest.approx(share, abs=0.04)
    successive = np.repeat(np.arange(4), [3, 3, 3, 1])
    y, p = np.random.default_rng(4).normal(size=(2, 10, 4))
    by_length, by_run = (
        score_p_values(y, p, blocks=blocks, n_permutations=50, random_state=0)
        for blocks in (3, successive)
    )
    assert_array_equal(by_length, by_run)


def test_refused_blocks() -> None:
    y, p = np.random.default_rng(0).normal(size=(2, 12, 2))
    for blocks, message in (
        (np.zeros(12), "one block"),
        (12, "one block"),
        (0, "blocks must be"),
        (np.zeros(11), "12 rows"),
        ([0, 1] * 6, "do not follow each other"),
    ):
        with pytest.raises(ValueError, match=message):
            score_p_values(y, p, blocks=blocks)
    with pytest.warns(RuntimeWarning, match="3 blocks, which have 6 orders"):
        score_p_values(y, p, blocks=4, n_permutations=20, random_state=0)
