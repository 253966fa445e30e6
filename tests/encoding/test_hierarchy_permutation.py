"""The brain hierarchy score against layers and areas of which no pair belongs together."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skdnn.encoding import (
    brain_hierarchy_score,
    hierarchy_p_values,
    hierarchy_permutation_test,
)

QUALITIES, AREAS = np.linspace(0.25, 0.9, 7), np.linspace(0.45, 0.75, 5)


def study(
    seed: int = 0, hierarchy: float = 0.0, chance: float = 0.0, n_units: int = 80
) -> list[np.ndarray]:
    """Rising qualities of layers and areas; beside them a hierarchy, and what chance adds."""
    rng = np.random.default_rng(seed)
    apart = np.subtract.outer(np.linspace(0, 1, 7), np.linspace(0, 1, 5))
    means = np.outer(QUALITIES, AREAS) + hierarchy * np.exp(-(apart**2) / 0.2)
    means += chance * rng.normal(size=means.shape)
    noise = 0.1 * rng.normal(size=(7, 5, n_units))
    return list((means[:, :, None] + noise).clip(-1, 1))


def test_qualities_alone_make_a_score_that_is_expected():
    result = hierarchy_permutation_test(
        study(), n_samples=50, test="t", n_permutations=300, random_state=0
    )
    assert result.score == brain_hierarchy_score(study(), n_samples=50, test="t")
    assert 0.1 < result.score < 0.4
    assert abs(result.score - result.expected) < 0.03
    assert result.p_value > 0.05
    assert_allclose(result.expected, result.null.mean())
    assert_allclose(result.p_value, (1 + np.sum(result.null >= result.score)) / 301)


def test_a_score_of_qualities_alone_is_told():
    with pytest.warns(UserWarning, match=r"qualities of layers and areas alone give 0\.[1-3]"):
        brain_hierarchy_score(study(), n_samples=50, test="t")
    ordered = [
        np.where(np.arange(5)[:, None] == min(n, 4), 0.7, 0.5) + 0.02 * level
        for n, level in enumerate(study())
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert brain_hierarchy_score(ordered, n_samples=50, test="t") > 0.9


def test_a_hierarchy_beside_the_qualities_is_found():
    result = hierarchy_permutation_test(
        study(hierarchy=0.08), n_samples=50, test="t", n_permutations=300, random_state=0
    )
    assert result.score > result.expected + 0.1
    assert result.p_value < 0.02
    backwards = study(hierarchy=-0.08)
    result = hierarchy_permutation_test(
        backwards, n_samples=50, test="t", n_permutations=300, random_state=0
    )
    assert result.p_value > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("chance", [0.0, 0.04])
def test_rejections_without_a_hierarchy(chance):
    """Areas and layers may have pairs that go together, if these are in no order."""
    p = [
        hierarchy_permutation_test(
            study(seed, chance=chance, n_units=40), n_samples=50, test="t", n_permutations=99,
            random_state=seed,
        ).p_value
        for seed in range(300)
    ]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) < 0.09
    assert 0.35 < np.median(p) < 0.65


def test_units_without_accuracy_count_as_zero():
    levels = study()
    dead = [np.concatenate([level, np.full((5, 9), np.nan)], axis=1) for level in levels]
    options = {"n_samples": 50, "test": "t", "n_permutations": 20, "random_state": 0}
    alive, with_dead = (hierarchy_permutation_test(each, **options) for each in (levels, dead))
    assert alive.score == with_dead.score
    assert_allclose(alive.null, with_dead.null)


def test_the_best_of_several_areas():
    """Of accuracies without any signal 5% are kept, not 12%."""
    rng = np.random.default_rng(0)
    noise = [np.tanh(rng.normal(size=(5, 20000)) / np.sqrt(47)) for _ in range(2)]
    kept = {}
    for adjust in (None, "sidak"):
        options = {"n_samples": 50, "test": "t", "adjust": adjust}
        _, details = brain_hierarchy_score(noise, return_details=True, **options)
        kept[adjust] = details.table.sum() / details.n_units.sum()
    assert 0.11 < kept[None] < 0.13
    assert 0.045 < kept["sidak"] < 0.055
    r = np.array([[0.3, 0.35, 0.4]])
    p = 1 - (1 - hierarchy_p_values(r[0], 50, test="t") / 2) ** 2
    _, details = brain_hierarchy_score(
        [np.vstack([r, r - 0.1]), np.vstack([r - 0.1, r])],
        n_samples=50,
        test="t",
        adjust="sidak",
        return_details=True,
    )
    assert ((details.best[0] >= 0) == (p < 0.05)).all()
    assert (p < 0.05).tolist() == [True, True, True]


def test_units_that_the_published_test_drops_are_counted():
    levels = [np.array([[0.97, 0.6, -0.99], [0.2, 0.5, 0.1]]), np.array([[0.1], [0.6]])]
    with pytest.warns(UserWarning, match=r"1 of 4 units .*r of 0\.970 and more.*test='t' keeps"):
        brain_hierarchy_score(levels, n_samples=50)


def test_what_is_refused():
    options = {"n_samples": 50, "test": "t"}
    with pytest.raises(ValueError, match="7 and 2 levels: a test by permutation needs 3"):
        hierarchy_permutation_test([level[:2] for level in study()], **options)
    with pytest.raises(ValueError, match="n_permutations=0"):
        hierarchy_permutation_test(study(), n_permutations=0, **options)
    with pytest.raises(ValueError, match=r"accuracies\[1\] has no units"):
        hierarchy_permutation_test([np.ones((5, 3)) / 2, np.ones((5, 0)), study()[0]], **options)
    with pytest.warns(UserWarning, match="no unit has a best accuracy"):
        nothing = hierarchy_permutation_test([np.zeros((3, 4))] * 3, n_permutations=2, **options)
    assert np.isnan([nothing.score, nothing.p_value, nothing.expected]).all()
