import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, spearmanr

from skdnn.rsa import compare_rdms

COMPARISONS = ["pearson", "spearman", "kendall", "cosine"]
REFERENCES = {
    "pearson": lambda a, b: pearsonr(a, b).statistic,
    "spearman": lambda a, b: spearmanr(a, b).statistic,
    "kendall": lambda a, b: kendalltau(a, b).statistic,
    "cosine": lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b),
}


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
    [("pearson", "corr"), ("cosine", "cosine"), ("spearman", "spearman"), ("kendall", "tau-b")],
)
def test_agrees_with_rsatoolbox(comparison, method):
    rsd = pytest.importorskip("rsatoolbox")
    a, b = random_pairs(seed=3), random_pairs(seed=4)
    theirs = rsd.rdm.compare(rsd.rdm.RDMs(a[None]), rsd.rdm.RDMs(b[None]), method=method)
    assert compare_rdms(a, b, comparison) == pytest.approx(theirs.item(), abs=1e-10)


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
    assert compare_rdms(a, turned.to_numpy()) < 0.9  # no labels, order taken as the same


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
    expected = REFERENCES[comparison](a[keep], b[keep])
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
