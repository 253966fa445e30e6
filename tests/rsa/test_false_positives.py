"""False positives by simulation: RDMs of random patterns, whose pairs depend on each other.

The whole of it, with power and coverage, is benchmarks/rsa_calibration.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from skdnn.rsa import bootstrap_rsa, permutation_test, random_effects_test
from skdnn.rsa._comparison._similarity_measures import similarities

ALPHA = 0.05
STUDIES = 200
STRUCTURES = ["isotropic", "low", "categories"]


def patterns(rng, n, kind):
    if kind == "isotropic":
        return rng.normal(size=(n, 20))
    if kind == "low":
        return rng.normal(size=(n, 2))
    return rng.permutation(np.arange(n) % 3 == 0)[:, None].astype(float)


def rdm(rng, signal, noise=0.0):
    return pdist(signal + noise * signal.std() * rng.normal(size=signal.shape))


def p_values(study, count=STUDIES):
    return np.array([study(np.random.default_rng([11, seed])) for seed in range(count)])


def assert_rate(p, low=None, high=None):
    """The rate is what chance allows at alpha .05, or between bounds that are given."""
    rejected, count = int((p <= ALPHA + 1e-9).sum()), len(p)
    low = stats.binom.ppf(0.001, count, ALPHA if low is None else low)
    high = stats.binom.isf(0.001, count, ALPHA if high is None else high)
    assert low <= rejected <= high, f"{rejected} of {count} studies, allowed {low} to {high}"


def mantel_study(rng, kind, n=15):
    data, model = rdm(rng, patterns(rng, n, "low")), rdm(rng, patterns(rng, n, kind))
    result = permutation_test(
        model, data, n_permutations=99, random_state=int(rng.integers(2**31))
    )
    return result.p_values[0]


@pytest.mark.parametrize("kind", STRUCTURES)
def test_mantel_p_values_are_uniform(kind):
    p = p_values(lambda rng: mantel_study(rng, kind))
    assert_rate(p)
    # One of 1/100, ..., 1: spread out within a step, which makes them continuous.
    p = p - np.random.default_rng(0).random(len(p)) / 100
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_shuffling_single_pairs_has_too_many_false_positives():
    def study(rng):
        data, model = (rdm(rng, patterns(rng, 25, "low")) for _ in range(2))
        null = [np.corrcoef(rng.permutation(data), model)[0, 1] for _ in range(99)]
        return (1 + np.sum(null >= np.corrcoef(data, model)[0, 1])) / 100

    with pytest.raises(AssertionError, match="of 200 studies"):
        assert_rate(p_values(study))


def test_best_of_several_models():
    def study(rng):
        data = rdm(rng, patterns(rng, 15, "isotropic"))
        shared = patterns(rng, 15, "isotropic")
        models = [rdm(rng, shared, 1.0) for _ in range(6)]
        result = permutation_test(
            np.stack(models), data, n_permutations=99, random_state=int(rng.integers(2**31))
        )
        return result.p_values.min(), result.p_max.min()

    alone, best = p_values(study).T
    assert_rate(best)
    assert (alone <= ALPHA).mean() > 0.08  # without the correction


def zero_study(rng, kind, resample, k=1, n=20, n_permutations=99):
    signal = patterns(rng, n, "low" if kind == "categories" else kind)
    data = np.stack([rdm(rng, signal, 0.5) for _ in range(k)])
    result = bootstrap_rsa(
        rdm(rng, patterns(rng, n, kind)),
        data,
        "pearson",
        n_boot=2,
        resample=resample,
        n_permutations=n_permutations,
        random_state=int(rng.integers(2**31)),
    )
    return result.to_frame()["p"][0]


@pytest.mark.parametrize("kind", STRUCTURES)
def test_unrelated_models_against_zero(kind):
    assert_rate(p_values(lambda rng: zero_study(rng, kind, "conditions"), 150))


def test_unrelated_models_against_zero_with_several_subjects():
    assert_rate(p_values(lambda rng: zero_study(rng, "low", "both", 3), 100))


def test_students_t_against_zero_has_too_few_false_positives_with_categories():
    def study(rng):
        return zero_study(rng, "categories", "conditions", n=40, n_permutations=0)

    with pytest.raises(AssertionError, match="of 300 studies"):
        assert_rate(p_values(study, 300))


def pair_study(rng, kind, resample, k=1, n=24):
    signal = patterns(rng, n, kind)
    models = np.stack([rdm(rng, signal, 1.0) for _ in range(2)])
    data = np.stack([rdm(rng, signal, 1.0) for _ in range(k)])
    result = bootstrap_rsa(
        models, data, "pearson", n_boot=2, resample=resample, n_permutations=0, random_state=0
    )
    return result.pairwise()["p"][0]


@pytest.mark.parametrize(
    ("kind", "resample", "k"),
    [("isotropic", "conditions", 1), ("low", "conditions", 1), ("isotropic", "both", 4)],
)
def test_models_as_good_as_each_other(kind, resample, k):
    p = p_values(lambda rng: pair_study(rng, kind, resample, k), 100)
    assert_rate(p, low=0.02, high=0.07)


def ceiling_study(rng, resample, k=6, n=20):
    signal = patterns(rng, n, "isotropic")
    data, others = (
        np.stack([rdm(rng, signal, 1.0) for _ in range(count)]) for count in (k, k - 1)
    )
    model = stats.zscore(others, axis=1).mean(axis=0)
    models = np.stack([model, pdist(signal)])
    result = bootstrap_rsa(
        models, data, "pearson", n_boot=2, resample=resample, n_permutations=0, random_state=0
    )
    two_sided = result.to_frame(ceiling_alternative="two-sided")["p_ceiling"]
    return two_sided[0], result.to_frame()["p_ceiling"][1]


@pytest.mark.parametrize(("resample", "low"), [("conditions", 0.03), ("both", 0.01)])
def test_a_model_as_good_as_other_subjects_is_at_the_ceiling(resample, low):
    as_good, truth = p_values(lambda rng: ceiling_study(rng, resample), 100).T
    assert_rate(as_good, low=low, high=0.07)
    assert (truth <= 0.05).mean() <= 0.05  # leaves nothing unexplained


def fixed_study(rng, k=8):
    """Conditions are fixed, and the model's score among them is zero in the population."""
    true, model = (stats.zscore(rdm(rng, patterns(rng, 15, "isotropic"))) for _ in range(2))
    model = model - true * (true @ model) / (true @ true)
    data = true + rng.normal(size=(k, len(true)))
    result = bootstrap_rsa(model, data, "pearson", n_boot=2, resample="subjects", random_state=0)
    table = similarities(model[None], data, 15, "pearson").T
    flips = random_effects_test(table, test="sign-flip", n_permutations=256)
    ranks = random_effects_test(table, test="wilcoxon")
    return result.to_frame()["p"][0], flips["p"][0], ranks["p"][0]


def test_subjects_as_the_only_random_factor():
    for p in p_values(fixed_study, 120).T:
        assert_rate(p)


@pytest.mark.slow
@pytest.mark.parametrize(
    "study",
    [
        *(lambda rng, kind=kind: mantel_study(rng, kind) for kind in STRUCTURES),
        *(lambda rng, kind=kind: zero_study(rng, kind, "conditions") for kind in STRUCTURES),
        *(lambda rng, kind=kind: zero_study(rng, kind, "both", 3) for kind in STRUCTURES),
        lambda rng: pair_study(rng, "isotropic", "conditions"),
        lambda rng: pair_study(rng, "isotropic", "conditions", 4),
        lambda rng: fixed_study(rng)[0],
    ],
)
def test_two_thousand_studies(study):
    assert 0.03 <= (p_values(study, 2000) <= ALPHA + 1e-9).mean() <= 0.07
