import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from skdnn.rsa import bootstrap_rsa, compare_rdms, noise_ceiling, random_effects_test
from skdnn.rsa._comparison._noise_ceiling import ceiling
from skdnn.rsa._comparison._similarity_measures import similarities
from skdnn.rsa._inference._bootstrap_ranks import sort_pairs, twice_mid
from skdnn.rsa._inference._bootstrap_samples import expand, scores_in_samples
from skdnn.rsa._inference._bootstrap_variance import kernel_margins, kernel_sums
from skdnn.rsa._inference._score_kernels import ScoreKernels

CONDITIONS = [
    *("pearson", "spearman", "kendall", "tau-a", "rho-a"),
    *("cosine", "corr_cov", "cosine_cov"),
]


def rdms(k, n=12, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    found = np.stack([pdist(shared + rng.normal(size=(n, 4))) for _ in range(k)])
    return np.round(found) if ties else found


def draws(n, count, seed=0):
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=count)


def drawn_rdms(pairs, counts):
    """The sample written out in the plainest way: copies of a condition are NaN apart."""
    order = np.repeat(np.arange(len(counts)), counts)
    squares = [squareform(row)[np.ix_(order, order)] for row in pairs]
    copies = (order[:, None] == order) & ~np.eye(len(order), dtype=bool)
    return np.stack([np.where(copies, np.nan, square) for square in squares])


@pytest.mark.parametrize("comparison", CONDITIONS)
@pytest.mark.parametrize(("n", "ties"), [(13, False), (11, True), (5, False)])
def test_samples_equal_a_plain_loop(comparison, n, ties):
    models, data = rdms(2, n, 1, ties), rdms(3, n, 2, ties)
    counts = draws(n, 25)
    found = scores_in_samples(models, data, counts, None, comparison)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        each = [
            compare_rdms(drawn_rdms(models, w), drawn_rdms(data, w), comparison) for w in counts
        ]
        ceilings = [noise_ceiling(drawn_rdms(data, w), comparison) for w in counts]
    np.testing.assert_allclose(found.each, each, atol=1e-10)
    np.testing.assert_allclose(found.ceilings, ceilings, atol=1e-10)


@pytest.mark.parametrize("comparison", CONDITIONS)
def test_ceilings_of_drawn_subjects_leave_out_all_draws(comparison):
    data, counts = rdms(4), draws(12, 20)
    subjects = draws(4, 20, seed=1)
    found = scores_in_samples(data[:1], data, counts, subjects, comparison).both
    for row, (drawn, who) in enumerate(zip(counts, subjects, strict=True)):
        pairs = expand(data, drawn)
        expected = ceiling(pairs, 12, comparison, who)
        np.testing.assert_allclose(found[row], expected, atol=1e-10)


def test_ceiling_of_drawn_subjects_in_words():
    data = rdms(3)
    lower, upper = ceiling(data, 12, "pearson", np.array([2, 1, 0]))
    z = stats.zscore(data, axis=1)
    r = np.corrcoef(data)
    assert lower == pytest.approx(r[0, 1])
    pooled = 2 * z[0] + z[1]
    expected = (2 * np.corrcoef(pooled, z[0])[0, 1] + np.corrcoef(pooled, z[1])[0, 1]) / 3
    assert upper == pytest.approx(expected)
    alone = ceiling(data, 12, "pearson", np.array([3, 0, 0]))
    assert np.isnan(alone[0])
    assert alone[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("comparison", "method"), [("spearman", "spearman"), ("pearson", "corr"), ("cosine", "cosine")]
)
def test_samples_equal_rsatoolbox(comparison, method):
    rsd = pytest.importorskip("rsatoolbox")
    models, data = rdms(1, 15, 1), rdms(2, 15, 2)
    rng = np.random.default_rng(0)
    for _ in range(10):
        drawn = rng.integers(0, 15, 15)
        theirs = rsd.rdm.compare(
            rsd.rdm.RDMs(models).subsample_pattern("index", drawn),
            rsd.rdm.RDMs(data).subsample_pattern("index", drawn),
            method=method,
        )
        counts = np.bincount(drawn, minlength=15)[None]
        ours = scores_in_samples(models, data, counts, None, comparison, ceilings=False)
        np.testing.assert_allclose(ours.each[0], theirs, atol=1e-10)


def test_unknown_pairs_stay_out():
    models, data = rdms(2), rdms(2, seed=3)
    models[0, 4] = data[1, 9] = np.nan
    counts = draws(12, 10)
    found = scores_in_samples(models, data, counts, None, "spearman")
    each = [compare_rdms(drawn_rdms(models, w), drawn_rdms(data, w)) for w in counts]
    np.testing.assert_allclose(found.each, each, atol=1e-10)


def test_samples_with_a_constant_model_are_nan():
    model = pdist(np.eye(2)[[0, 0, 0, 0, 0, 0, 0, 1]])[None]
    counts = draws(8, 60)
    for comparison in ("spearman", "pearson", "corr_cov", "kendall"):
        found = scores_in_samples(model, rdms(1, 8), counts, None, comparison).each[:, 0, 0]
        np.testing.assert_array_equal(np.isnan(found), counts[:, 7] == 0)


@pytest.mark.parametrize("comparison", ["spearman", "rho-a", "kendall"])
def test_number_of_jobs_and_of_samples_at_once_do_not_matter(comparison):
    models, data, counts = rdms(2), rdms(3, seed=3), draws(12, 70)
    subjects = draws(3, 70)
    whole = scores_in_samples(models, data, counts, subjects, comparison, n_jobs=2)
    parts = [
        scores_in_samples(models, data, counts[k : k + 7], subjects[k : k + 7], comparison)
        for k in range(0, 70, 7)
    ]
    for k, name in enumerate(whole._fields):
        together = np.concatenate([part[k] for part in parts])
        np.testing.assert_allclose(whole[k], together, atol=1e-12, err_msg=name)


def test_approximate_ranks_are_near():
    models, data, counts = rdms(2, 90), rdms(3, 90, 4), draws(90, 50)
    exact = scores_in_samples(models, data, counts, None, "spearman")
    near = scores_in_samples(models, data, counts, None, "spearman", exact=False)
    assert 0 < np.abs(exact.each - near.each).max() < 0.01
    assert np.abs((near.each - exact.each).mean()) < 0.002
    assert 0 < np.abs(exact.ceilings - near.ceilings).max() < 0.05
    same = scores_in_samples(models, data, counts, None, "corr_cov", exact=False)
    np.testing.assert_array_equal(
        same.each, scores_in_samples(models, data, counts, None, "corr_cov").each
    )


# Variances


def weighted_spearman(a, b, weights):
    def ranks(values):
        found = sort_pairs(values)
        out = np.empty(len(values))
        out[found.order] = twice_mid(weights[found.order], found.ends, found.group)
        return out - weights.sum()

    x, y = ranks(a), ranks(b)
    return weights @ (x * y) / np.sqrt((weights @ x**2) * (weights @ y**2))


def weighted_pearson(a, b, weights):
    return np.cov(a, b, aweights=weights)[0, 1] / np.sqrt(
        np.cov(a, aweights=weights) * np.cov(b, aweights=weights)
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("comparison", "score"), [("spearman", weighted_spearman), ("pearson", weighted_pearson)]
)
def test_kernel_is_the_derivative_by_the_weight_of_a_pair(comparison, score, ties):
    a, b = rdms(2, 12, 5, ties)
    score_kernels = ScoreKernels(12, comparison)
    kernel = score_kernels.kernel(score_kernels.prepare(a), score_kernels.prepare(b))
    slopes = np.empty(len(a))
    for pair in range(len(a)):
        step = 1e-5 * (np.arange(len(a)) == pair)
        slopes[pair] = (score(a, b, 1 + step) - score(a, b, 1 - step)) / 2e-5
    np.testing.assert_allclose(slopes * len(a), kernel, atol=1e-6)


def test_variance_formulas_of_a_linear_score():
    """The jackknife's and the bootstrap's variance of a mean over pairs, as computed outright."""
    n = 9
    kernel = np.random.default_rng(0).normal(size=n * (n - 1) // 2)
    kernel -= kernel.mean()
    square = squareform(kernel)
    sums = kernel_sums(kernel[None], kernel_margins(kernel[None], n))
    left_out = [np.delete(np.delete(square, k, 0), k, 1).sum() for k in range(n)]
    left_out = np.array(left_out) / ((n - 1) * (n - 2))
    expected = (n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)
    assert sums.jackknife(np.ones(1)) == pytest.approx(expected)
    counts = draws(n, 200_000)
    boot = np.einsum("bi,bi->b", counts @ square, counts) / (n - 1) ** 2
    assert sums.bootstrap(np.ones(1)) == pytest.approx(boot.var(), rel=0.02)


@pytest.mark.parametrize("main", [0.0, 1.0])
def test_kernel_variance_is_right_on_average(main):
    """4 z1 / n + 2 z2 / (n (n - 1)), here of kernels with known effects of conditions."""
    n, rng = 10, np.random.default_rng(1)
    first, second = np.triu_indices(n, k=1)
    scores, variances = [], []
    for _ in range(3000):
        effects = main * rng.normal(size=n)
        kernel = effects[first] + effects[second] + rng.normal(size=len(first))
        scores.append(kernel.mean())
        centred = (kernel - kernel.mean())[None]
        variances.append(kernel_sums(centred, kernel_margins(centred, n)).variance(np.ones(1)))
    true = 4 * main**2 / n + 2 / (n * (n - 1))
    assert np.var(scores) == pytest.approx(true, rel=0.1)
    if main:
        assert np.mean(variances) == pytest.approx(true, rel=0.05)
    else:  # an estimate of z1 below zero counts as zero, so the mean is above
        assert true < np.mean(variances) < 2 * true


# The function


def test_scores_samples_and_shapes():
    models, data = rdms(3), rdms(4, seed=3)
    result = bootstrap_rsa(models, data, n_boot=40, n_permutations=30, random_state=0)
    assert result.resample == "both"
    assert result.samples.shape == (40, 3)
    assert result.ceiling_samples.shape == (40, 2)
    np.testing.assert_allclose(result.scores, compare_rdms(models, data).mean(axis=1))
    assert result.ceiling == noise_ceiling(data)
    assert result.standard_errors.shape == result.dof.shape == (3,)
    frame = result.to_frame()
    assert list(frame.columns) == [
        *("model", "score", "standard_error", "low", "high"),
        *("p", "p_adjusted", "p_ceiling", "p_ceiling_adjusted"),
    ]
    pairs = result.pairwise()
    assert list(pairs.columns) == [
        *("model_a", "model_b", "difference", "standard_error"),
        *("low", "high", "p", "p_adjusted"),
    ]
    assert len(pairs) == 3
    assert "conditions and subjects" in repr(result)


def test_one_subject_has_no_ceiling():
    result = bootstrap_rsa(rdms(2), rdms(1, seed=3)[0], n_boot=20, random_state=0)
    assert result.resample == "conditions"
    assert result.ceiling is None
    assert result.ceiling_samples is None
    assert result.to_frame()["p_ceiling"].isna().all()
    assert "p_ceiling" not in repr(result)


def test_subjects_are_the_usual_t_test():
    models, data = rdms(2), rdms(6, seed=3)
    result = bootstrap_rsa(models, data, resample="subjects", n_boot=500, random_state=0)
    table = similarities(models, data, 12, "spearman").T
    expected = random_effects_test(table)
    np.testing.assert_allclose(result.standard_errors, expected["sem"])
    np.testing.assert_allclose(result.to_frame()["p"], expected["p"])
    paired = stats.ttest_rel(table[:, 0], table[:, 1])
    found = result.pairwise()
    assert found["p"][0] == pytest.approx(paired.pvalue)
    low, high = paired.confidence_interval()
    np.testing.assert_allclose(found[["low", "high"]].to_numpy()[0], [low, high])
    spread = result.samples.std(axis=0, ddof=1) * np.sqrt(6 / 5)
    np.testing.assert_allclose(spread, expected["sem"], rtol=0.1)


def test_samples_of_both_use_the_same_draws_as_of_conditions():
    models, data = rdms(2), rdms(4, seed=3)
    found = {
        name: bootstrap_rsa(
            models, data, resample=name, n_boot=30, n_permutations=0, random_state=1
        )
        for name in ("conditions", "subjects", "both")
    }
    spread = {name: result.samples.std() for name, result in found.items()}
    assert spread["both"] > spread["subjects"]
    np.testing.assert_array_equal(found["both"].scores, found["conditions"].scores)
    assert (found["both"].standard_errors >= found["conditions"].standard_errors).all()


@pytest.mark.parametrize("resample", ["conditions", "subjects", "both"])
def test_one_seed_one_result_for_any_number_of_jobs(resample):
    models, data = rdms(2), rdms(3, seed=3)
    first, second, other = (
        bootstrap_rsa(models, data, n_boot=50, resample=resample, random_state=seed, n_jobs=jobs)
        for seed, jobs in ((0, None), (0, 2), (1, None))
    )
    np.testing.assert_array_equal(first.samples, second.samples)
    np.testing.assert_array_equal(first.ceiling_samples, second.ceiling_samples)
    pd.testing.assert_frame_equal(first.to_frame(), second.to_frame())
    assert not np.array_equal(first.samples, other.samples)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(9)), comparison=st.sampled_from(["spearman", "corr_cov"]))
def test_standard_errors_do_not_depend_on_the_order_of_conditions(order, comparison):
    models, data = rdms(2, 9), rdms(3, 9, seed=3)
    moved = np.ix_(order, order)
    turned = [np.stack([squareform(row)[moved] for row in rows]) for rows in (models, data)]
    first = bootstrap_rsa(models, data, comparison, n_boot=5, n_permutations=0)
    second = bootstrap_rsa(*turned, comparison, n_boot=5, n_permutations=0)
    np.testing.assert_allclose(first.standard_errors, second.standard_errors, rtol=1e-8)
    np.testing.assert_allclose(first.dof, second.dof, rtol=1e-6)
    np.testing.assert_allclose(first.pairwise()["p"], second.pairwise()["p"], rtol=1e-6)


def test_many_conditions_take_the_bootstraps_variance(monkeypatch):
    models, data = rdms(2, 60), rdms(3, 60, seed=3)
    usual = bootstrap_rsa(models, data, n_boot=600, n_permutations=0, random_state=0)
    monkeypatch.setattr("skdnn.rsa._inference._bootstrap._JACKKNIFE", 50)
    other = bootstrap_rsa(models, data, n_boot=600, n_permutations=0, random_state=0)
    np.testing.assert_allclose(usual.standard_errors, other.standard_errors, rtol=0.15)
    assert not np.array_equal(usual.standard_errors, other.standard_errors)


def test_intervals():
    result = bootstrap_rsa(rdms(2), rdms(3, seed=3), n_boot=300, random_state=0)
    narrow, wide = result.intervals(0.5), result.intervals(0.99)
    assert (narrow["low"] > wide["low"]).all()
    reach = stats.t.ppf(0.75, result.dof) * result.standard_errors
    np.testing.assert_allclose(narrow["high"], result.scores + reach)
    quantiles = result.intervals(0.9, kind="percentile")[["low", "high"]].to_numpy().T
    np.testing.assert_allclose(quantiles, np.quantile(result.samples, [0.05, 0.95], axis=0))


def test_alternatives_and_adjustments():
    result = bootstrap_rsa(rdms(3), rdms(4, seed=3), n_boot=20, n_permutations=200, random_state=0)
    greater, less = (result.to_frame(alternative=side)["p"] for side in ("greater", "less"))
    np.testing.assert_allclose(greater + less, 1 + 1 / 201, atol=1e-9)
    ceiling = result.to_frame(ceiling_alternative="less", adjust="fdr")
    np.testing.assert_allclose(
        ceiling["p_ceiling_adjusted"], stats.false_discovery_control(ceiling["p_ceiling"])
    )
    below = result.scores < result.ceiling.lower
    pd.testing.assert_series_equal(result.to_frame()["p_ceiling"], ceiling["p_ceiling"])
    two = result.to_frame(ceiling_alternative="two-sided")["p_ceiling"]
    np.testing.assert_allclose(np.where(below, two / 2, 1 - two / 2), ceiling["p_ceiling"])
    a, b = (result.pairwise(alternative=side)["p"] for side in ("greater", "less"))
    np.testing.assert_allclose(a + b, 1)


def test_models_against_themselves():
    model = rdms(1)
    result = bootstrap_rsa(
        np.concatenate([model, model]), rdms(3, seed=3), n_boot=20, random_state=0
    )
    pairs = result.pairwise()
    assert pairs["difference"][0] == 0
    assert pairs["standard_error"][0] == pytest.approx(0, abs=1e-7)


def test_cosines_against_zero():
    models, data = rdms(2), rdms(4, seed=3)
    result = bootstrap_rsa(models, data, "cosine", resample="subjects", n_boot=20, random_state=0)
    with pytest.warns(RuntimeWarning, match="far above zero"):
        assert result.to_frame()["p"].isna().all()
    unrelated = pdist(np.random.default_rng(9).normal(size=(12, 4)))
    both = bootstrap_rsa(unrelated, data, "cosine", n_boot=20, random_state=0)
    assert both.scores[0] > 0.8
    assert both.to_frame()["p"][0] > 0.01
    crossed = data - data.mean()
    result = bootstrap_rsa(models, crossed, "cosine", resample="subjects", n_boot=20)
    assert result.to_frame()["p"].notna().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resample": "both"}, "one subject only.*resample='conditions'"),
        ({"resample": "subjects"}, "one subject only"),
        ({"resample": "patterns"}, "resample='patterns'"),
        ({"method": "fast"}, "method='fast'"),
        ({"n_boot": 1}, "n_boot must be an integer of at least 2"),
        ({"n_permutations": -1}, "n_permutations must be"),
        ({"comparison": "bures", "resample": "conditions"}, "Bures"),
    ],
)
def test_wrong_parameters(settings, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_rsa(rdms(1), rdms(1), **settings)


def test_wrong_parameters_of_results():
    result = bootstrap_rsa(rdms(2), rdms(3), n_boot=5, n_permutations=5, random_state=0)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        result.intervals(95)
    with pytest.raises(ValueError, match="kind='bca'"):
        result.intervals(kind="bca")
    with pytest.raises(ValueError, match="alternative='greater'"):
        result.to_frame(ceiling_alternative="greater")
    with pytest.raises(ValueError, match="adjust='no'"):
        result.pairwise(adjust="no")


def test_too_few_conditions():
    with pytest.raises(ValueError, match="4 conditions are too few"):
        bootstrap_rsa(rdms(1, 4), rdms(3, 4))


def test_bures_over_subjects():
    result = bootstrap_rsa(rdms(2), rdms(4, seed=3), "bures", n_boot=20, random_state=0)
    assert result.resample == "subjects"
    assert result.ceiling == noise_ceiling(rdms(4, seed=3), "bures")


def test_undefined_samples_are_reported():
    model = pdist(np.eye(2)[[0] * 9 + [1]])
    with pytest.warns(RuntimeWarning, match="undefined in .*% of the bootstrap samples"):
        bootstrap_rsa(model, rdms(1, 10), n_boot=60, n_permutations=5, random_state=0)


def test_undefined_model():
    models = np.stack([rdms(1)[0], np.ones(66)])
    with pytest.warns(RuntimeWarning, match=r"models\[1\] is constant"):
        result = bootstrap_rsa(models, rdms(3), n_boot=20, n_permutations=20, random_state=0)
    frame = result.to_frame()
    assert frame.loc[0, ["score", "standard_error", "p", "p_ceiling"]].notna().all()
    assert frame.loc[1, ["score", "p", "p_ceiling"]].isna().all()


def test_real_data(kriegeskorte92):
    subjects = kriegeskorte92.human_it_subjects
    result = bootstrap_rsa(
        {"monkey": kriegeskorte92.monkey_it}, subjects, n_boot=50, random_state=0
    )
    assert result.ceiling.lower == pytest.approx(0.372313, abs=1e-6)
    frame = result.to_frame()
    assert frame["model"].tolist() == ["monkey"]
    assert frame["p"][0] < 0.01
    assert frame["low"][0] > 0


def test_a_model_that_equals_the_data_is_surely_related():
    """Its score has no error: no division or difference of infinities is warned of."""
    (data,) = rdms(1, 8, 3, False)
    other = rdms(1, 8, 4, False)[0]
    result = bootstrap_rsa(
        {"itself": data, "other": other}, data, "pearson", n_boot=50, random_state=0
    )
    table = result.to_frame().set_index("model")
    assert table.loc["itself", "score"] == pytest.approx(1)
    assert table.loc["itself", "p"] < 0.05
    assert table.loc["itself", "p"] < table.loc["other", "p"]
