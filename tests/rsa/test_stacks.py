"""Several RDMs at once: every form that they come in, and the same numbers as one by one."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from skdnn.rsa import bootstrap_rsa, compare_rdms, noise_ceiling, permutation_test
from skdnn.rsa._comparison._rdm_stack import pair_positions, read_rdms
from skdnn.rsa._comparison._similarity_measures import COMPARISONS

NAMES = [f"im{i}" for i in range(7)]


def pairs_of(*seeds):
    return np.stack([pdist(np.random.default_rng(seed).normal(size=(7, 4))) for seed in seeds])


def frame(pairs, names=NAMES):
    return pd.DataFrame(squareform(pairs), index=names, columns=names)


def side_by_side(pairs, keys, level="subject"):
    frames = {key: frame(each) for key, each in zip(keys, pairs, strict=True)}
    return pd.concat(frames, axis=1, names=[level, "condition"])


A, B = pairs_of(1, 2, 3), pairs_of(4, 5)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_stack_is_a_loop(comparison):
    expected = [[compare_rdms(a, b, comparison) for b in B] for a in A]
    np.testing.assert_allclose(compare_rdms(A, B, comparison), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "form",
    [
        lambda pairs: np.stack([squareform(each) for each in pairs]),
        lambda pairs: list(pairs),
        lambda pairs: [squareform(each) for each in pairs],
        lambda pairs: [frame(each) for each in pairs],
        lambda pairs: side_by_side(pairs, ["one", "two"]),
        lambda pairs: {"one": pairs[0], "two": frame(pairs[1])},
        lambda pairs: {"one": frame(pairs[0]), "two": frame(pairs[1]).iloc[::-1, ::-1]},
        lambda pairs: side_by_side(pairs, ["one", "two"]).sample(frac=1, axis=1, random_state=0)[
            ["one", "two"]
        ],
    ],
)
def test_forms_of_a_stack(form):
    found = np.asarray(compare_rdms(A, form(B)))
    np.testing.assert_array_equal(found, compare_rdms(A, B))


def test_one_against_a_stack_keeps_both_axes():
    assert compare_rdms(A[0], B).shape == (1, 2)
    assert compare_rdms(A, B[0]).shape == (3, 1)
    assert isinstance(compare_rdms(A[0], B[0]), float)


def test_names_label_the_result():
    found = compare_rdms(
        {"conv1": A[0], "conv2": A[1]}, side_by_side(B, [("s1", "V1"), ("s1", "IT")], "subject")
    )
    assert list(found.index) == ["conv1", "conv2"]
    assert list(found.columns) == [("s1", "V1"), ("s1", "IT")]
    assert found.loc["conv2", ("s1", "IT")] == pytest.approx(compare_rdms(A[1], B[1]))


def test_names_of_several_levels_from_a_dict():
    found = compare_rdms(A[0], {("s1", "V1"): B[0], ("s1", "IT"): B[1]})
    assert found.columns.tolist() == [("s1", "V1"), ("s1", "IT")]


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(7)), comparison=st.sampled_from(COMPARISONS))
def test_labels_of_a_stack_are_aligned(order, comparison):
    moved = side_by_side(B, ["one", "two"]).iloc[order]
    found = compare_rdms(frame(A[0]), moved, comparison).to_numpy()
    np.testing.assert_allclose(found, compare_rdms(A[:1], B, comparison), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    gaps_a=st.lists(st.integers(0, 20), max_size=5),
    gaps_b=st.lists(st.integers(0, 20), max_size=5),
    comparison=st.sampled_from([name for name in COMPARISONS if name != "bures"]),
)
def test_gaps_that_differ_are_left_out_pair_by_pair(gaps_a, gaps_b, comparison):
    a, b = A.copy(), B.copy()
    a[0, gaps_a] = np.nan
    b[1, gaps_b] = np.nan
    expected = [[compare_rdms(x, y, comparison) for y in b] for x in a]
    np.testing.assert_allclose(compare_rdms(a, b, comparison), expected, rtol=0, atol=1e-12)


def test_one_undefined_rdm_leaves_the_others_alone():
    a = A.copy()
    a[1] = 0.5
    with pytest.warns(RuntimeWarning, match=r"^a\[1\] is constant"):
        found = compare_rdms(a, B)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], compare_rdms(A[[0, 2]], B))
    with pytest.warns(RuntimeWarning, match="^a of 'flat' is constant"):
        compare_rdms({"flat": a[1], "full": A[0]}, B)


def test_many_rdms_are_compared_in_parts(monkeypatch):
    whole = compare_rdms(A, B, "corr_cov")
    monkeypatch.setattr("skdnn.rsa._comparison._similarity_measures._CHUNK", 25)
    np.testing.assert_allclose(compare_rdms(A, B, "corr_cov"), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("rdms", "message"),
    [
        ({}, "holds no RDM"),
        (np.empty((0, 21)), "holds no RDM"),
        (np.empty((0, 7, 7)), "holds no RDM"),
        ({"one": A[0], "two": np.ones(11)}, r"a\['two'\] has length 11"),
        ({"one": A[0], "two": pairs_of(9)[0][:15]}, r"a\['one'\] has 7 conditions and a\['two'\]"),
        ({"one": A, "two": A[0]}, r"a\['one'\] holds 3 RDMs"),
        (
            {"one": frame(A[0]), "two": frame(A[1], [*NAMES[:-1], "other"])},
            "'im6' only in a\\['one'\\], 'other' only in",
        ),
        (side_by_side(A, "abc").iloc[:, :-1], r"a\['c'\] must be a square RDM"),
        (np.ones((4, 4, 4, 4)), "has shape"),
        (np.array(["x", "y", "z"]), "not numeric"),
    ],
)
def test_wrong_stacks(rdms, message):
    with pytest.raises(ValueError, match=message):
        compare_rdms(rdms, B)


@settings(max_examples=30, deadline=None)
@given(chosen=st.lists(st.integers(0, 6), min_size=3, max_size=7, unique=True))
def test_subsets_of_condensed_rdms(chosen):
    square = squareform(A[0])
    positions = pair_positions(np.array(chosen), 7)
    expected = squareform(square[np.ix_(chosen, chosen)])
    np.testing.assert_array_equal(A[0][positions], expected)
    subset = read_rdms(frame(A[0]), "rdm").subset(chosen)
    assert list(subset.conditions) == [NAMES[k] for k in chosen]
    np.testing.assert_array_equal(subset.square()[0], square[np.ix_(chosen, chosen)])


# --- labels of those that have none --------------------------------------------------------------

ORDER = np.array([3, 0, 6, 2, 5, 1, 4])
TURNED = [NAMES[k] for k in ORDER]


def turned(pairs):
    return squareform(pairs)[np.ix_(ORDER, ORDER)]


FUNCTIONS = {
    "compare": lambda a, b, **how: compare_rdms(a, b, **how),
    "bootstrap": lambda a, b, **how: bootstrap_rsa(
        a, b, n_boot=3, n_permutations=0, random_state=0, **how
    ).scores[0],
    "permutation": lambda a, b, **how: permutation_test(
        a, b, n_permutations=9, random_state=0, **how
    ).scores[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_conditions_name_what_has_no_labels(name):
    function, (a, b) = FUNCTIONS[name], B
    expected = function(squareform(a), squareform(b))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(frame(a), turned(b), conditions=TURNED) == pytest.approx(expected)
        assert function(turned(a), frame(b), conditions=TURNED) == pytest.approx(expected)
        assert function(frame(a), frame(b)) == pytest.approx(expected)
        numbered = pd.DataFrame(squareform(b))  # numbers from 0 on say nothing
        assert function(squareform(a), numbered) == pytest.approx(expected)
        assert function(frame(a), numbered, conditions=NAMES) == pytest.approx(expected)
    with pytest.warns(UserWarning, match="is labelled and .* is not") as told:
        assert function(frame(a), turned(b)) != pytest.approx(expected)
    assert len(told) == 1
    with pytest.raises(ValueError, match="6 labels for RDMs of 7 conditions"):
        function(frame(a), squareform(b), conditions=NAMES[:6])
    with pytest.raises(ValueError, match="repeat: 'im0'"):
        function(frame(a), squareform(b), conditions=[*NAMES[:6], "im0"])
    with pytest.raises(ValueError, match="labelled differently"):
        function(frame(a), squareform(b), conditions=list("abcdefg"))


def test_a_ceiling_of_labelled_and_bare_subjects():
    expected = noise_ceiling(A)
    mixed = {"s1": frame(A[0]), "s2": turned(A[1]), "s3": turned(A[2])}
    for form in (mixed, list(mixed.values())):
        assert noise_ceiling(form, conditions=TURNED) == pytest.approx(expected)
        with pytest.warns(UserWarning, match="is labelled and .* is not"):
            assert noise_ceiling(form) != pytest.approx(expected)
    assert noise_ceiling(A, conditions=NAMES) == pytest.approx(expected)
    assert noise_ceiling(list(A), conditions=NAMES) == pytest.approx(expected)
