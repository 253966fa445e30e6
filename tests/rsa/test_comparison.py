import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from skdnn.rsa import (
    bootstrap_rsa,
    compare_rdms,
    compute_rdm,
    noise_ceiling,
    permutation_test,
    temporal_generalization,
    time_resolved_rsa,
)
from skdnn.rsa._comparison._similarity_measures import ranks


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def covariance(n, known):
    """Covariance of the known pairs' squared distances, from the contrasts that define them."""
    contrasts = np.eye(n)[np.triu_indices(n, 1)[0]] - np.eye(n)[np.triu_indices(n, 1)[1]]
    return ((contrasts @ contrasts.T) ** 2)[np.ix_(known, known)]


def whitened_cosine(a, b, known=None):
    n = next(n for n in range(99) if n * (n - 1) // 2 == len(a if known is None else known))
    known = np.ones(len(a), dtype=bool) if known is None else known
    precision = np.linalg.inv(covariance(n, known))
    return a @ precision @ b / np.sqrt((a @ precision @ a) * (b @ precision @ b))


def concordance(a, b):
    """Kendall's tau-a by looking at every pair of pairs."""
    agree = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return agree.sum() / (len(a) * (len(a) - 1))


def expected_spearman(a, b):
    ranks = rankdata(a) - (len(a) + 1) / 2, rankdata(b) - (len(b) + 1) / 2
    return 12 * ranks[0] @ ranks[1] / (len(a) ** 3 - len(a))


REFERENCES = {
    "pearson": lambda a, b: pearsonr(a, b).statistic,
    "spearman": lambda a, b: spearmanr(a, b).statistic,
    "kendall": lambda a, b: kendalltau(a, b).statistic,
    "tau-a": concordance,
    "rho-a": expected_spearman,
    "cosine": cosine,
    "cosine_cov": whitened_cosine,
    "corr_cov": lambda a, b, **known: whitened_cosine(a - a.mean(), b - b.mean(), **known),
}
COMPARISONS = list(REFERENCES)


def random_pairs(n=9, seed=0, ties=False):
    pairs = pdist(np.random.default_rng(seed).normal(size=(n, 4)))
    return np.round(pairs) if ties else pairs


def labelled(pairs, names):
    return pd.DataFrame(squareform(pairs), index=names, columns=names)


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scipy(comparison, ties):
    a, b = random_pairs(seed=1, ties=ties), random_pairs(seed=2, ties=ties)
    expected = REFERENCES[comparison](a, b)
    score = compare_rdms(squareform(a), squareform(b), comparison)
    assert isinstance(score, float)
    assert score == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("comparison", "method"),
    [
        *(("pearson", "corr"), ("cosine", "cosine"), ("spearman", "spearman")),
        *(("kendall", "tau-b"), ("tau-a", "tau-a"), ("rho-a", "rho-a")),
        *(("corr_cov", "corr_cov"), ("cosine_cov", "cosine_cov"), ("bures", "bures")),
    ],
)
def test_agrees_with_rsatoolbox(comparison, method):
    theirs = pytest.importorskip("rsatoolbox.rdm")
    a = np.stack([random_pairs(seed=seed) ** 2 for seed in range(3)])
    b = np.stack([random_pairs(seed=seed) ** 2 for seed in (7, 8)])
    expected = theirs.compare(theirs.RDMs(a), theirs.RDMs(b), method=method)
    # Theirs takes roots of eigenvalues that are round-off; see the test of the fidelity for ours.
    tolerance = 1e-7 if comparison == "bures" else 1e-10
    np.testing.assert_allclose(compare_rdms(a, b, comparison), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("comparison", ["corr_cov", "cosine_cov"])
def test_whitening_of_incomplete_rdms_agrees_with_rsatoolbox(comparison):
    theirs = pytest.importorskip("rsatoolbox.rdm")
    pairs = np.stack([random_pairs(seed=seed) for seed in range(3)])
    pairs[:, [2, 3, 11]] = np.nan
    expected = theirs.compare(theirs.RDMs(pairs[:1]), theirs.RDMs(pairs), method=comparison)
    np.testing.assert_allclose(
        compare_rdms(pairs[:1], pairs, comparison), expected, rtol=0, atol=1e-10
    )


PUBLISHED = {
    "cosine": 0.9950224035,
    "pearson": 0.4912097961,
    "spearman": 0.4389238094,
    "rho-a": 0.4389238094,
    "tau-a": 0.3040482555,
    "kendall": 0.3040482555,
    "cosine_cov": 0.7927979055,
    "corr_cov": 0.5270442773,
}


@pytest.mark.parametrize("comparison", PUBLISHED)
def test_monkey_against_human(kriegeskorte92, comparison):
    found = compare_rdms(kriegeskorte92.monkey_it, kriegeskorte92.human_it, comparison)
    assert found == pytest.approx(PUBLISHED[comparison], abs=1e-9)


def test_whitened_cosine_of_squared_distances_is_linear_cka():
    X, Y = (np.random.default_rng(seed).normal(size=(9, 4)) for seed in (1, 2))
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    expected = cosine((X @ X.T).ravel(), (Y @ Y.T).ravel())
    found = compare_rdms(pdist(X, "sqeuclidean"), pdist(Y, "sqeuclidean"), "cosine_cov")
    assert found == pytest.approx(expected, abs=1e-12)


def test_bures_is_a_fidelity():
    a, b = random_pairs(seed=1) ** 2, random_pairs(seed=2) ** 2
    assert compare_rdms(a, 3 * a, "bures") == pytest.approx(1, abs=1e-12)
    assert compare_rdms(a, b, "bures") == pytest.approx(compare_rdms(b, a, "bures"), abs=1e-12)
    X, Y = (np.random.default_rng(seed).normal(size=(9, 4)) for seed in (1, 2))
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    fidelity = np.linalg.norm(X.T @ Y, "nuc") / np.linalg.norm(X) / np.linalg.norm(Y)
    assert compare_rdms(a, b, "bures") == pytest.approx(fidelity, abs=1e-12)
    crooked = a.copy()
    crooked[0] *= 30  # no squared distances any more
    assert compare_rdms(crooked, crooked, "bures") == pytest.approx(1, abs=1e-12)
    assert compare_rdms(crooked, b, "bures") == pytest.approx(
        compare_rdms(b, crooked, "bures"), abs=1e-12
    )
    gap = a.copy()
    gap[4] = np.nan
    with pytest.warns(RuntimeWarning, match="needs all pairs"):
        assert np.isnan(compare_rdms(gap, b, "bures"))


def test_a_model_of_ties_gains_nothing_with_tau_a_and_rho_a():
    data = random_pairs(seed=3)
    coarse = (data > np.median(data)).astype(float)
    assert compare_rdms(coarse, data, "kendall") > compare_rdms(coarse, data, "tau-a") + 0.1
    assert compare_rdms(coarse, data, "spearman") > compare_rdms(coarse, data, "rho-a") + 0.05
    broken = np.random.default_rng(0).random((4000, len(data))) * 1e-6 + coarse
    mean = np.mean([spearmanr(ties, data).statistic for ties in broken])
    assert compare_rdms(coarse, data, "rho-a") == pytest.approx(mean, abs=5e-3)


def test_other_toolboxes_names():
    a, b = random_pairs(seed=1), random_pairs(seed=2)
    assert compare_rdms(a, b, "tau-b") == compare_rdms(a, b, "kendall")
    assert compare_rdms(a, b, "corr") == compare_rdms(a, b, "pearson")


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_condensed_and_square_are_the_same(comparison):
    a, b = random_pairs(seed=1), random_pairs(seed=2)
    expected = compare_rdms(squareform(a), squareform(b), comparison)
    assert compare_rdms(a, b, comparison) == expected
    assert compare_rdms(squareform(a), b.tolist(), comparison) == expected


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    order=st.permutations(range(7)),
    comparison=st.sampled_from(COMPARISONS),
    factor=st.floats(0.01, 100),
)
def test_permuting_both_and_scaling_one_change_nothing(seed, order, comparison, factor):
    a, b = squareform(random_pairs(7, seed)), squareform(random_pairs(7, seed + 1))
    moved = np.ix_(order, order)
    assert compare_rdms(a[moved], factor * b[moved], comparison) == pytest.approx(
        compare_rdms(a, b, comparison), abs=1e-10
    )


@settings(max_examples=50, deadline=None)
@given(
    rows=st.permutations("abcdefg"),
    columns=st.permutations("abcdefg"),
    comparison=st.sampled_from(COMPARISONS),
)
def test_labelled_rdms_are_aligned(rows, columns, comparison):
    names = list("abcdefg")
    a, b = labelled(random_pairs(7, 1), names), labelled(random_pairs(7, 2), names)
    shuffled = b.loc[list(rows), list(columns)]
    expected = compare_rdms(a, b, comparison)
    assert compare_rdms(a, shuffled, comparison) == pytest.approx(expected, abs=1e-12)
    assert compare_rdms(shuffled, a, comparison) == pytest.approx(expected, abs=1e-12)
    assert compare_rdms(b, shuffled, comparison) == pytest.approx(1.0, abs=1e-12)


def test_reversed_labels_would_score_otherwise_without_alignment():
    a = labelled(random_pairs(7, 1), list("abcdefg"))
    turned = a.iloc[::-1, ::-1]
    assert compare_rdms(a, turned) == pytest.approx(1.0)
    with pytest.warns(UserWarning, match="a is labelled and b is not"):
        assert compare_rdms(a, turned.to_numpy()) < 0.9  # no labels, order taken as the same
    with pytest.warns(UserWarning, match="b is labelled and a is not") as told:
        compare_rdms(turned.to_numpy(), a)
    assert told[0].filename == __file__  # whoever called


def test_different_labels_are_listed():
    a, b = labelled(random_pairs(4), list("abcd")), labelled(random_pairs(4), list("abcx"))
    with pytest.raises(ValueError, match="'d' only in a, 'x' only in b"):
        compare_rdms(a, b)


def test_repeated_labels():
    a = labelled(random_pairs(4), list("abca"))
    with pytest.raises(ValueError, match="labels of a repeat: 'a'"):
        compare_rdms(a, a)


def test_rows_and_columns_must_carry_the_same_labels():
    a = labelled(random_pairs(4), list("abcd"))
    with pytest.raises(ValueError, match="'d' only in the rows, 'x' only in the columns"):
        compare_rdms(a.set_axis(list("abcx"), axis=1), a)


def bent(change):
    square = squareform(random_pairs(5))
    change(square)
    return square


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (bent(lambda s: s.__setitem__((0, 1), 9)), "not symmetric"),
        (bent(lambda s: s.__setitem__((0, 1), np.nan)), "not symmetric"),
        (bent(lambda s: np.fill_diagonal(s, 1)), "similarit"),
        (bent(lambda s: s.__setitem__(([0, 1], [1, 0]), np.inf)), "infinity"),
        (np.zeros((5, 4)), "square"),
        (np.zeros((2, 5, 4)), r"a\[0\] must be a square"),
        (np.zeros((2, 3, 5, 5)), "has shape"),
        (squareform(random_pairs(6)), "a has 6 conditions and b has 5"),
        (np.ones(11), "no number of pairs"),
        (np.array([[0, 1.0], [1, 0]]), "fewer than three conditions"),
        ([1.0], "fewer than three conditions"),
        ([], "fewer than three conditions"),
    ],
)
def test_wrong_rdms(a, message):
    with pytest.raises(ValueError, match=message):
        compare_rdms(a, squareform(random_pairs(5)))


def test_round_off_asymmetry_is_forgiven():
    a = squareform(random_pairs(6, 1)).astype(np.float32)
    noisy = a + np.triu(np.full_like(a, 1e-7), 1)
    assert compare_rdms(noisy, a, "pearson") == pytest.approx(1)


def test_unknown_comparison():
    with pytest.raises(ValueError, match=r"comparison='speerman'.*'spearman'"):
        compare_rdms(random_pairs(), random_pairs(), "speerman")


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_nan_pairs_are_left_out_of_both(comparison):
    a, b = random_pairs(seed=1), random_pairs(seed=2)
    a[[0, 5]] = np.nan
    b[7] = np.nan
    keep = np.setdiff1d(np.arange(len(a)), [0, 5, 7])
    known = np.isin(np.arange(len(a)), keep)
    extra = {"known": known} if comparison.endswith("_cov") else {}
    expected = REFERENCES[comparison](a[keep], b[keep], **extra)
    assert compare_rdms(a, b, comparison) == pytest.approx(expected, abs=1e-12)


def test_too_few_known_pairs():
    a = random_pairs(4)
    a[2:] = np.nan
    with pytest.warns(RuntimeWarning, match="Only 2 pairs"):
        assert np.isnan(compare_rdms(a, random_pairs(4)))


@pytest.mark.parametrize("comparison", ["pearson", "spearman", "kendall"])
def test_constant_rdm_is_nan_and_named(comparison):
    flat = np.full(36, 0.3) + 1e-16 * np.arange(36)
    with pytest.warns(RuntimeWarning, match="^b is constant"):
        assert np.isnan(compare_rdms(random_pairs(), flat, comparison))
    with pytest.warns(RuntimeWarning, match="^a and b are constant"):
        assert np.isnan(compare_rdms(flat, flat, comparison))


def test_cosine_takes_a_constant_but_not_a_zero_rdm():
    a, flat = random_pairs(), np.full(36, 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_rdms(a, flat, "cosine") == pytest.approx(
            REFERENCES["cosine"](a, flat), abs=1e-12
        )
    with pytest.warns(RuntimeWarning, match="b is zero everywhere"):
        assert np.isnan(compare_rdms(a, 0 * flat, "cosine"))


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=70_000),
        np.random.default_rng(1).integers(-50, 50, 70_000).astype(float),
        np.where(np.arange(70_000) % 2, -0.0, 0.0),
        1 + np.random.default_rng(2).integers(0, 2**20, 70_000) * 2.0**-52,  # the last bits only
        np.r_[np.random.default_rng(3).normal(size=65_000), 1 + np.arange(5000)[::-1] * 2.0**-52],
        np.random.default_rng(4).normal(size=70_000) * 1e-310,
    ],
)
def test_ranks_of_long_vectors(values):
    np.testing.assert_array_equal(ranks(values[None])[0], rankdata(values))
    np.testing.assert_array_equal(ranks(np.stack([values, -values]))[1], rankdata(-values))


# --- dissimilarities that can be negative --------------------------------------------------------


def crossnobis_pairs(seed, signal=0.3):
    """Condensed RDMs of eight conditions in four folds; some are below zero."""
    rng = np.random.default_rng(seed)
    patterns = signal * np.tile(rng.normal(size=(8, 10)), (4, 1)) + rng.normal(size=(32, 10))
    rdm = compute_rdm(
        patterns, "crossnobis", conditions=np.tile(range(8), 4), folds=np.repeat(range(4), 8)
    )
    return squareform(np.asarray(rdm), checks=False)


@pytest.mark.parametrize("missing", [[], [3, 10, 20]])
@pytest.mark.parametrize("comparison", ["cosine_cov", "corr_cov"])
def test_whitened_comparisons_take_crossnobis_and_missing_pairs(comparison, missing):
    """By the covariance of the pairs that are known, and as rsatoolbox has it."""
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="compares them, too")
    a, b = crossnobis_pairs(1), crossnobis_pairs(2)
    assert min(a.min(), b.min()) < -0.1
    a[missing] = b[missing] = np.nan
    known = ~np.isnan(a)
    found = compare_rdms(a, b, comparison)
    expected = REFERENCES[comparison](a[known], b[known], known=known)
    assert found == pytest.approx(expected, abs=1e-12)
    both = [rsatoolbox.rdm.RDMs(pairs[None]) for pairs in (a, b)]
    assert found == pytest.approx(rsatoolbox.rdm.compare(*both, comparison).item(), abs=1e-10)


def test_chance_is_zero_where_a_comparison_is_made_for_crossnobis():
    noise = [(crossnobis_pairs(k, 0), crossnobis_pairs(1000 + k, 0)) for k in range(300)]
    for comparison in ("cosine_cov", "corr_cov", "cosine"):
        scores = [compare_rdms(a, b, comparison) for a, b in noise]
        assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(len(scores))


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: compare_rdms(a, b, "bures"),
        lambda a, b: compare_rdms(b, a, "bures"),
        lambda a, b: noise_ceiling([squareform(a), squareform(b)], "bures"),
        lambda a, b: permutation_test(b, a, "bures", n_permutations=9),
        lambda a, b: bootstrap_rsa(b, np.stack([a, b]), "bures", n_boot=9),
        lambda a, b: time_resolved_rsa(b, np.stack([a, b]), "bures"),
        lambda a, b: temporal_generalization(np.stack([a, b]), comparison="bures"),
    ],
)
def test_bures_of_negative_dissimilarities_is_told_once(call):
    with pytest.warns(RuntimeWarning, match="Bures' .* negative.*'cosine_cov'") as told:
        call(crossnobis_pairs(1), random_pairs(n=8, seed=2))
    found = [one for one in told if "negative" in str(one.message)]
    assert [one.filename for one in found] == [__file__]
