"""The brain hierarchy score against SciPy, plain loops and the numbers of its publication."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from skdnn.encoding import (
    bootstrap_hierarchy_score,
    brain_hierarchy_score,
    hierarchy_p_values,
    pool_subjects,
    top_level_table,
)

TESTS = ["published", "t"]


def planted(
    order: list[int] | np.ndarray, n_others: int = 5, n_units: int = 60, seed: int = 0
) -> list[np.ndarray]:
    """Accuracies of levels whose units are best, on the whole, at the level in `order`."""
    rng = np.random.default_rng(seed)
    levels = []
    for number, best in enumerate(order):
        level = 0.4 + 0.1 * rng.normal(size=(n_others, n_units + number))
        level[best] += 0.2
        levels.append(level.clip(-1, 1))
    return levels


def noise(seed: int, n_levels: int = 6, n_others: int = 5, n_units: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.tanh(0.4 * rng.normal(size=(n_others, n_units))) for _ in range(n_levels)]


def plain(levels: list[np.ndarray], n: int, alpha: float, test: str) -> float:
    """The definition, one unit after the other."""
    numbers, bests = [], []
    for number, level in enumerate(levels):
        for unit in range(level.shape[1]):
            values = [0.0 if np.isnan(v) else v for v in level[:, unit]]
            best = values.index(max(values))
            r = values[best]
            inside = (n - 2) * (1 - r**2) if test == "published" else (n - 2) / (1 - r**2)
            p = 2 * (1 - stats.t.cdf(abs(r * np.sqrt(inside)), n - 2))
            if r > 0 and p < alpha:
                numbers.append(number)
                bests.append(best)
    return float(stats.spearmanr(numbers, bests).statistic)


# p-values


@pytest.mark.parametrize("n", [5, 50, 300])
def test_the_standard_test_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, 20, n))
    y += 0.3 * x
    pairs = [stats.pearsonr(a, b) for a, b in zip(x, y, strict=True)]
    p = hierarchy_p_values([pair.statistic for pair in pairs], n, test="t")
    assert_allclose(p, [pair.pvalue for pair in pairs], rtol=1e-10)


def test_the_published_formula() -> None:
    r = np.linspace(-1, 1, 201)
    t = r * np.sqrt(48 * (1 - r**2))
    assert_allclose(hierarchy_p_values(r, 50), 2 * stats.t.sf(np.abs(t), 48), rtol=1e-10)


def test_what_both_accept_at_fifty_images() -> None:
    r = np.linspace(0, 1, 100_001)
    published = hierarchy_p_values(r, 50, test="published")
    accepted = r[published < 0.05]
    assert_allclose(accepted[[0, -1]], [0.3047, 0.9524], atol=1e-4)
    assert (np.diff(np.flatnonzero(published < 0.05)) == 1).all()
    assert_allclose(published.min(), 0.00113, atol=5e-6)
    assert_allclose(r[np.argmin(published)] ** 2, 0.5, atol=1e-4)
    standard = r[hierarchy_p_values(r, 50, test="t") < 0.05]
    assert_allclose(standard[[0, -1]], [0.2787, 1], atol=1e-4)


def test_p_values_of_the_ends() -> None:
    assert_array_equal(hierarchy_p_values([0, 1, -1], 50, test="t"), [1, 0, 0])
    assert_array_equal(hierarchy_p_values([0, 1, -1], 50), [1, 1, 1])
    assert np.isnan(hierarchy_p_values([np.nan], 50)).all()
    assert hierarchy_p_values(np.float32(1.0000001), 50, test="t") == 0
    assert hierarchy_p_values(np.zeros((2, 3)), 50).shape == (2, 3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"r": [0.3, 1.2]}, "1.2: correlations"),
        ({"n_samples": 2}, "n_samples=2"),
        ({"test": "z"}, "test='z' is unknown: give one of published, t"),
    ],
)
def test_p_value_errors(kwargs: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"r": [0.3], "n_samples": 50, **kwargs}
    with pytest.raises(ValueError, match=message):
        hierarchy_p_values(**arguments)


# The score


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("seed", range(4))
def test_score_is_that_of_a_plain_loop(test: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = planted([0, 1, 1, 3, 4, 2], n_units=30, seed=seed)
    for level in levels:
        level[rng.random(level.shape) < 0.1] = np.nan
        level[:, :3] = np.nan
        level[:, 3:6] = level[0, 3:6]  # ties
        level[1, 6:9] = 0.97
        level[:, 9:12] = -0.8
    score = brain_hierarchy_score(levels, n_samples=50, test=test)
    assert_allclose(score, plain(levels, 50, 0.05, test), rtol=0, atol=1e-10)
    strict = brain_hierarchy_score(levels, n_samples=30, alpha=0.02, test=test)
    assert_allclose(strict, plain(levels, 30, 0.02, test), rtol=0, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 4), st.integers(1, 8))
def test_score_of_any_table(seed: int, n_levels: int, n_others: int, n_units: int) -> None:
    levels = noise(seed, n_levels, n_others, n_units)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = brain_hierarchy_score(levels, n_samples=30, test="t")
        backward = brain_hierarchy_score(levels[::-1], n_samples=30, test="t")
        expected = plain(levels, 30, 0.05, "t")
    assert_allclose(score, expected, atol=1e-10)
    assert_allclose(backward, -expected, atol=1e-10)


def test_inputs_are_left_as_they_were() -> None:
    levels = planted([0, 1, 2])
    levels[1][:, 4] = np.nan
    before = [level.copy() for level in levels]
    brain_hierarchy_score(levels, n_samples=50, n_layers=2, random_state=0)
    top_level_table(levels, n_samples=50)
    bootstrap_hierarchy_score([levels, levels], n_samples=50, n_boot=5, random_state=0)
    pool_subjects([levels, levels])[0][:] = 7
    for level, copy in zip(levels, before, strict=True):
        assert_array_equal(level, copy)


def test_perfect_and_reversed_order() -> None:
    perfect = [np.full((4, 10), 0.2) for _ in range(4)]
    for number, level in enumerate(perfect):
        level[number] = 0.6
    assert_allclose(brain_hierarchy_score(perfect, n_samples=50), 1)
    assert_allclose(brain_hierarchy_score(perfect[::-1], n_samples=50), -1)
    assert_allclose(brain_hierarchy_score([p[::-1] for p in perfect], n_samples=50), -1)
    noisy = brain_hierarchy_score(planted([0, 1, 2, 3, 4]), n_samples=50)
    assert 0.7 < noisy < 1


@pytest.mark.parametrize("test", TESTS)
def test_shuffled_order_is_zero_on_average(test: str) -> None:
    rng = np.random.default_rng(0)
    scores = [
        brain_hierarchy_score(planted(rng.permutation(5), seed=s), n_samples=50, test=test)
        for s in range(200)
    ]
    assert np.std(scores) > 0.2
    assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(200)


@pytest.mark.parametrize("test", TESTS)
def test_chance_level_where_nothing_is_planted(test: str) -> None:
    scores = np.array(
        [brain_hierarchy_score(noise(s), n_samples=50, test=test) for s in range(200)]
    )
    assert abs(scores.mean()) < 4 * scores.std() / np.sqrt(200)
    assert np.abs(scores).max() < 0.35


def test_the_first_of_equal_accuracies_is_best() -> None:
    levels = [np.array([[0.5, 0.3], [0.5, 0.6], [0.5, 0.6]])]
    with pytest.warns(UserWarning, match="2 units that are kept share one level of the list"):
        _, details = brain_hierarchy_score(levels, n_samples=50, return_details=True)
    assert_array_equal(details.best[0], [0, 1])


def test_dead_units_count_as_zero() -> None:
    nan = np.nan
    level = np.array([[nan, nan, -0.9, 0.4], [0.6, nan, nan, nan], [0.4, nan, -0.7, nan]])
    other = np.array([[0.6], [0.3], [0.2]])
    _, details = brain_hierarchy_score([level, other], n_samples=50, return_details=True)
    assert_array_equal(details.best[0], [1, -1, -1, 0])
    assert_array_equal(details.table, [[1, 1, 0], [1, 0, 0]])
    assert_array_equal(details.n_units, [4, 1])
    assert details.draws is None


def test_very_high_accuracies_are_dropped_by_the_published_test_only() -> None:
    levels = [np.array([[0.96, 0.5], [0.2, 0.1]]), np.array([[0.3, 0.2], [0.99, 0.5]])]
    _, published = brain_hierarchy_score(levels, n_samples=50, return_details=True)
    assert_array_equal(published.table, [[1, 0], [0, 1]])
    _, standard = brain_hierarchy_score(levels, n_samples=50, test="t", return_details=True)
    assert_array_equal(standard.table, [[2, 0], [0, 2]])


def test_nan_where_nothing_is_kept() -> None:
    with pytest.warns(UserWarning, match="NaN: no unit has a best accuracy"):
        assert np.isnan(brain_hierarchy_score([np.full((3, 4), 0.1)] * 2, n_samples=50))
    with pytest.warns(UserWarning, match="NaN: no unit"):
        assert np.isnan(brain_hierarchy_score([np.full((3, 4), np.nan)] * 2, n_samples=50))
    same = [np.array([[0.5, 0.6], [0.1, 0.1]])] * 3
    with pytest.warns(UserWarning, match="all 6 units that are kept share one level of the arr"):
        assert np.isnan(brain_hierarchy_score(same, n_samples=50))


def test_too_few_samples_for_the_published_test() -> None:
    levels = planted([0, 1, 2])
    with pytest.raises(ValueError, match=r"no p-value below 0.0549, so that.*take test='t'"):
        brain_hierarchy_score(levels, n_samples=19)
    assert np.isfinite(brain_hierarchy_score(levels, n_samples=20))
    assert np.isfinite(brain_hierarchy_score(levels, n_samples=19, test="t"))


def test_units_may_have_any_shape() -> None:
    levels = [level[:, :60].reshape(5, 3, 4, 5) for level in planted([0, 2, 4])]
    flat = [level.reshape(5, -1) for level in levels]
    assert brain_hierarchy_score(levels, n_samples=50) == brain_hierarchy_score(flat, n_samples=50)


def test_a_million_units() -> None:
    rng = np.random.default_rng(0)
    levels = [rng.uniform(-1, 1, size=(5, 200_000)).astype(np.float32) for _ in range(5)]
    score, details = brain_hierarchy_score(
        levels, n_samples=50, n_layers=3, random_state=0, return_details=True
    )
    assert details.n_units.sum() == 1_000_000
    assert abs(score) < 0.01


@pytest.mark.parametrize(
    ("levels", "kwargs", "message"),
    [
        ([], {}, "accuracies is empty"),
        ([np.ones(3)], {}, r"accuracies\[0\] has shape \(3,\)"),
        ([np.ones((3, 2)), np.ones((4, 2))], {}, r"accuracies\[1\] has 4 rows, but"),
        ([np.full((3, 2), 1.5)], {}, "from 1.5 to 1.5"),
        ([np.ones((3, 2))], {"alpha": 0}, "alpha=0"),
        ([np.ones((3, 2))], {"test": "r"}, "test='r'"),
        ([np.ones((3, 2))], {"n_samples": 1}, "n_samples=1"),
        (planted([0, 1, 2]), {"n_layers": 4}, "n_layers=4 must be 2 at least, and 3"),
        (planted([0, 1, 2]), {"n_layers": 1}, "n_layers=1"),
        (planted([0, 1, 2]), {"n_layers": 2, "n_draws": 0}, "n_draws=0"),
    ],
)
def test_errors(levels: list[np.ndarray], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        brain_hierarchy_score(levels, **{"n_samples": 50, **kwargs})


# Selections of layers


def test_selected_layers_are_reproducible() -> None:
    levels = planted([0, 1, 0, 2, 3, 2, 4, 4])
    kwargs: dict[str, Any] = {"n_samples": 50, "n_layers": 5, "return_details": True}
    score, details = brain_hierarchy_score(levels, random_state=3, **kwargs)
    again, same = brain_hierarchy_score(levels, random_state=3, **kwargs)
    assert score == again
    assert_array_equal(details.draws, same.draws)
    assert_allclose(score, details.draws.mean())
    assert len(details.draws) == 100
    other, _ = brain_hierarchy_score(levels, random_state=4, **kwargs)
    assert other != score


def test_each_draw_is_the_score_of_a_selection() -> None:
    levels = planted([0, 1, 0, 2, 3, 4])
    _, details = brain_hierarchy_score(
        levels, n_samples=50, n_layers=4, n_draws=200, random_state=0, return_details=True
    )
    pairs = [(a, b) for a in range(1, 5) for b in range(a + 1, 5)]
    possible = np.array(
        [plain([levels[i] for i in (0, a, b, 5)], 50, 0.05, "published") for a, b in pairs]
    )
    nearest = np.abs(details.draws[:, None] - possible).argmin(axis=1)
    assert_allclose(details.draws, possible[nearest], atol=1e-10)
    counts = np.bincount(nearest, minlength=len(pairs))
    assert counts.min() > 10  # 33 on average


def test_selecting_all_layers_is_the_score() -> None:
    levels = planted([0, 1, 2])
    plain_score = brain_hierarchy_score(levels, n_samples=50)
    assert_allclose(brain_hierarchy_score(levels, n_samples=50, n_layers=3), plain_score)
    ends = brain_hierarchy_score([levels[0], levels[2]], n_samples=50)
    assert_allclose(brain_hierarchy_score(levels, n_samples=50, n_layers=2), ends)


def test_draws_without_a_score() -> None:
    dead = np.full((3, 10), np.nan)
    first, second = (np.full((3, 10), 0.1) for _ in range(2))
    first[0] = second[1] = 0.6
    with pytest.warns(UserWarning, match="selections of layers have no score"):
        score, details = brain_hierarchy_score(
            [first, second, dead, dead],
            n_samples=50,
            n_layers=3,
            random_state=0,
            return_details=True,
        )
    assert 0 < np.isnan(details.draws).sum() < 100
    assert_allclose(score, 1)
    with pytest.warns(UserWarning, match="NaN: no unit"):
        assert np.isnan(brain_hierarchy_score([dead] * 3, n_samples=50, n_layers=2))


# Subjects and tables


def test_pooled_subjects() -> None:
    subjects = [planted([0, 1, 2], n_units=20 + s, seed=s) for s in range(3)]
    pooled = pool_subjects(subjects)
    assert [level.shape for level in pooled] == [(5, 63), (5, 66), (5, 69)]
    assert_array_equal(pooled[1][:, :21], subjects[0][1])
    assert_array_equal(pooled[1][:, 21:43], subjects[1][1])
    with pytest.raises(ValueError, match="accuracies_by_subject is empty"):
        pool_subjects([])
    with pytest.raises(ValueError, match="subject 1 has 2 levels of 5 rows, but subject 0 has 3"):
        pool_subjects([subjects[0], subjects[1][:2]])
    with pytest.raises(ValueError, match=r"accuracies of subject 0\[0\] has shape"):
        pool_subjects([[np.zeros(3)]])


def test_table_of_best_levels() -> None:
    levels = [*planted([0, 2, 1], n_others=3), np.full((3, 7), np.nan)]
    names, areas = ["a", "b", "c", "d"], ["V1", "V4", "HVC"]
    table = top_level_table(levels, names, areas, n_samples=50)
    _, details = brain_hierarchy_score(levels, n_samples=50, return_details=True)
    assert table["level"].tolist() == np.repeat(names, 3).tolist()
    assert table["best"].tolist() == areas * 4
    assert_array_equal(table["n_best"].to_numpy().reshape(4, 3), details.table)
    sums = table.groupby("level", sort=False)["proportion"].sum(min_count=1)
    assert_allclose(sums, [1, 1, 1, np.nan])
    assert_array_equal(table["n_units"].to_numpy()[::3], details.n_units)
    assert_array_equal(table["n_kept"].to_numpy()[::3], details.table.sum(axis=1))
    assert top_level_table(levels, n_samples=50)["best"].tolist() == [0, 1, 2] * 4
    with pytest.raises(ValueError, match="level_names has 2 names: give 4"):
        top_level_table(levels, ["a", "b"], n_samples=50)
