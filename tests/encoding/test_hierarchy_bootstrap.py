"""Bootstrap intervals of the brain hierarchy score against units drawn one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import t as student

from skdnn.encoding import bootstrap_hierarchy_score, brain_hierarchy_score, pool_subjects


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


@pytest.mark.parametrize("shared", [False, True])
def test_bootstrap_is_reproducible_and_holds_the_score(shared: bool) -> None:
    subjects = [planted([0, 1, 1, 3, 4], seed=s) for s in range(4)]
    kwargs: dict[str, Any] = {"n_samples": 50, "n_boot": 200, "shared_units": shared}
    result = bootstrap_hierarchy_score(subjects, random_state=1, **kwargs)
    again = bootstrap_hierarchy_score(subjects, random_state=1, **kwargs)
    assert_array_equal(result.samples, again.samples)
    assert_allclose(result.score, brain_hierarchy_score(pool_subjects(subjects), n_samples=50))
    assert result.low < result.score < result.high
    if shared:
        assert result.unit_variance > 0
    else:
        assert result.unit_variance == 0
    by_samples = bootstrap_hierarchy_score(subjects, random_state=1, method="percentile", **kwargs)
    assert_array_equal(result.samples, by_samples.samples)
    result = by_samples
    assert_allclose(result.standard_error, result.samples.std(ddof=1))
    inside = (result.samples >= result.low) & (result.samples <= result.high)
    assert_allclose(inside.mean(), 0.95, atol=0.01)


@pytest.mark.parametrize("shared", [False, True])
def test_interval_by_subjects_against_a_script(shared: bool) -> None:
    subjects = [planted([0, 1, 1, 3, 4], seed=s) for s in range(3)]
    kwargs: dict[str, Any] = {"n_samples": 50, "n_boot": 300, "shared_units": shared}
    result = bootstrap_hierarchy_score(subjects, confidence=0.9, random_state=0, **kwargs)
    without = [
        brain_hierarchy_score(pool_subjects([s for s in subjects if s is not left]), n_samples=50)
        for left in subjects
    ]
    assert_allclose(result.left_out, without)
    pseudo = 3 * result.score - 2 * np.array(without)
    variance = pseudo.var(ddof=1) / 3
    if shared:
        units = bootstrap_hierarchy_score(
            subjects, resample_subjects=False, random_state=1, **kwargs
        )
        assert_allclose(result.unit_variance, units.samples.var(), rtol=0.3)
        variance += result.unit_variance
    assert_allclose(result.standard_error, np.sqrt(variance))
    reach = student.ppf(0.95, 2) * np.sqrt(variance)
    assert_allclose([result.low, result.high], [result.score - reach, result.score + reach])


def populations(rng: np.random.Generator, n: int) -> list[list[np.ndarray]]:
    """Subjects of one population, each with a hierarchy of its own strength."""
    subjects = []
    for strength in rng.normal(0.12, 0.05, n):
        closeness = -np.abs(np.subtract.outer(np.linspace(0, 1, 5), np.linspace(0, 1, 4)))
        levels = 0.55 + strength * closeness[:, :, None] + 0.1 * rng.normal(size=(5, 4, 60))
        subjects.append(list(levels.clip(-1, 1)))
    return subjects


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5])
def test_interval_holds_the_score_of_the_population(n: int) -> None:
    rng = np.random.default_rng(0)
    truth = brain_hierarchy_score(pool_subjects(populations(rng, 3000)), n_samples=50, test="t")
    covered = {"t": 0, "percentile": 0}
    for _ in range(400):
        subjects = populations(rng, n)
        for method in covered:
            result = bootstrap_hierarchy_score(
                subjects,
                n_samples=50,
                test="t",
                method=method,
                n_boot=200,
                random_state=rng.integers(2**31),
            )
            covered[method] += result.low <= truth <= result.high
    assert 0.92 < covered["t"] / 400 < 0.985
    assert covered["percentile"] / 400 < 0.9


@pytest.mark.parametrize("shared", [False, True])
def test_bootstrap_spreads_like_resampled_units(shared: bool) -> None:
    """The multinomial shortcut against drawing units one by one."""
    subjects = [planted([0, 1, 3], n_others=4, n_units=25, seed=s) for s in range(2)]
    for number in range(3):  # subjects that resemble each other
        subjects[1][number] = 0.8 * subjects[0][number] + 0.2 * subjects[1][number]
    rng = np.random.default_rng(0)
    direct = []
    for _ in range(600):
        drawn: list[list[np.ndarray]] = [[], []]
        for number in range(3):
            n_units = subjects[0][number].shape[1]
            units = rng.integers(n_units, size=n_units)
            drawn[0].append(subjects[0][number][:, units])
            units = units if shared else rng.integers(n_units, size=n_units)
            drawn[1].append(subjects[1][number][:, units])
        direct.append(brain_hierarchy_score(pool_subjects(drawn), n_samples=50))
    result = bootstrap_hierarchy_score(
        subjects,
        n_samples=50,
        n_boot=600,
        resample_subjects=False,
        shared_units=shared,
        random_state=0,
    )
    assert_allclose(result.standard_error, np.std(direct), rtol=0.15)
    error = np.hypot(result.standard_error, np.std(direct)) / np.sqrt(600)
    assert abs(result.samples.mean() - np.mean(direct)) < 4 * error


def test_shared_units_widen_the_interval() -> None:
    level = planted([0, 1, 3], n_others=4, n_units=25)
    kwargs: dict[str, Any] = {
        "n_samples": 50,
        "n_boot": 400,
        "resample_subjects": False,
        "random_state": 0,
    }
    apart = bootstrap_hierarchy_score([level] * 4, **kwargs)
    together = bootstrap_hierarchy_score([level] * 4, shared_units=True, **kwargs)
    assert_allclose(together.standard_error / apart.standard_error, 2, rtol=0.2)


def test_bootstrap_of_subjects_alone() -> None:
    subjects = [planted([0, 1, 3], seed=1), planted([3, 1, 0], seed=2)]
    result = bootstrap_hierarchy_score(
        subjects, n_samples=50, n_boot=100, resample_units=False, random_state=0
    )
    expected = [
        brain_hierarchy_score(pool_subjects(pair), n_samples=50)
        for pair in ([subjects[0]] * 2, subjects, [subjects[1]] * 2)
    ]
    found = np.unique(result.samples.round(12))
    assert_allclose(found, np.sort(expected), atol=1e-10)


def test_bootstrap_warnings_and_errors() -> None:
    subject = planted([0, 1])
    rare = [np.full((2, 30), 0.1) for _ in range(2)]
    rare[0][0, :] = rare[1][1, 0] = 0.6
    with pytest.warns(UserWarning, match="resamples have no score"):
        result = bootstrap_hierarchy_score([rare], n_samples=50, n_boot=50, random_state=0)
    assert np.isnan(result.samples).any()
    assert np.isfinite(result.low)
    nothing = [np.full((2, 30), np.nan)] * 2
    with pytest.warns(UserWarning, match="no unit"), pytest.warns(UserWarning, match="5 of 5"):
        result = bootstrap_hierarchy_score([nothing], n_samples=50, n_boot=5, random_state=0)
    assert np.isnan([result.score, result.low, result.high, result.standard_error]).all()
    for kwargs, message in (
        ({"n_boot": 0}, "n_boot=0"),
        ({"method": "bca"}, "method must be 't' or 'percentile'"),
        ({"adjust": "holm"}, "adjust must be 'sidak' or None"),
        ({"confidence": 1}, "confidence=1"),
        ({"resample_units": False, "resample_subjects": False}, "both False"),
        ({"shared_units": True}, r"level 0 has \[30, 60\] units"),
    ):
        with pytest.raises(ValueError, match=message):
            bootstrap_hierarchy_score(
                [subject, planted([0, 1], n_units=30)], n_samples=50, **kwargs
            )
