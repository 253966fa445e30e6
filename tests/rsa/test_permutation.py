import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from skdnn._multiple_tests import adjusted
from skdnn.rsa import compare_rdms, permutation_test

ALL = ["pearson", "spearman", "kendall", "tau-a", "rho-a", "cosine", "corr_cov", "cosine_cov"]


def rdms(k, n=12, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    found = np.stack([pdist(rng.normal(size=(n, 4))) for _ in range(k)])
    return np.round(found) if ties else found


def loop_scores(models, data, comparison, orders):
    """Scores of square RDMs, one permutation after the other."""
    squares = np.stack([squareform(row) for row in data])
    return np.array(
        [
            np.mean(compare_rdms(models, squares[:, order][:, :, order], comparison), axis=1)
            for order in orders
        ]
    )


@pytest.mark.parametrize("comparison", [*ALL, "bures"])
@pytest.mark.parametrize("ties", [False, True])
def test_all_permutations_equal_a_plain_loop(comparison, ties):
    models, data = rdms(2, 5, 1, ties), rdms(3, 5, 2, ties)
    orders = np.array(list(itertools.permutations(range(5))))
    result = permutation_test(models, data, comparison, n_permutations=200)
    assert result.exact
    assert result.n_permutations == math.factorial(5)
    expected = loop_scores(models, data, comparison, orders)
    np.testing.assert_allclose(result.null, expected, atol=1e-6)
    np.testing.assert_allclose(result.scores, expected[0], atol=1e-12)
    reached = expected >= expected[0] - 1e-10
    np.testing.assert_allclose(result.p_values, reached.mean(axis=0))
    best = expected.max(axis=1, keepdims=True) >= expected[0] - 1e-10
    np.testing.assert_allclose(result.p_max, best.mean(axis=0))


def test_random_permutations_give_the_exact_p_nearly():
    models, data = rdms(1, 7, 1), rdms(2, 7, 2)
    exact = permutation_test(models, data, n_permutations=5040)
    drawn = permutation_test(models, data, n_permutations=4000, random_state=0)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p_values[0] == pytest.approx(exact.p_values[0], abs=0.03)


@pytest.mark.parametrize("comparison", ["spearman", "corr_cov", "kendall"])
def test_p_counts_the_observed_score(comparison):
    data = rdms(1)
    result = permutation_test(data, data, comparison, n_permutations=99, random_state=0)
    assert result.p_values[0] == pytest.approx(0.01)


@pytest.mark.parametrize("comparison", ["spearman", "cosine", "tau-a"])
def test_one_seed_one_result_for_any_number_of_jobs(comparison):
    models, data = rdms(3), rdms(2, seed=5)
    first = permutation_test(models, data, comparison, n_permutations=260, random_state=3)
    for jobs in (1, 2):
        again = permutation_test(
            models, data, comparison, n_permutations=260, random_state=3, n_jobs=jobs
        )
        np.testing.assert_array_equal(first.null, again.null)
    other = permutation_test(models, data, comparison, n_permutations=260, random_state=4)
    assert not np.array_equal(first.null, other.null)


def test_alternatives():
    models, data = rdms(2), rdms(1, seed=5)
    found = {
        side: permutation_test(
            models, data, alternative=side, n_permutations=500, random_state=0
        ).p_values
        for side in ("greater", "less", "two-sided")
    }
    np.testing.assert_allclose(found["greater"] + found["less"], 1 + 1 / 501, atol=1e-9)
    smaller = np.minimum(found["greater"], found["less"])
    assert (found["two-sided"] > smaller).all()
    assert (found["two-sided"] < 3 * smaller + 0.01).all()


def test_two_sided_of_cosines_is_about_the_mean_of_permutations():
    models, data = rdms(1), rdms(1, seed=5)
    result = permutation_test(
        models, data, "cosine", alternative="two-sided", n_permutations=500, random_state=0
    )
    null = result.null[:, 0].astype(float)
    far = np.abs(null - null.mean()) >= abs(result.scores[0] - null.mean())
    assert result.p_values[0] == pytest.approx((1 + far.sum()) / 501, abs=0.005)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)), comparison=st.sampled_from(ALL))
def test_order_of_conditions_does_not_matter(order, comparison):
    models, data = rdms(1, 5, 1)[0], rdms(1, 5, 2)[0]
    moved = np.ix_(order, order)
    first = permutation_test(models, data, comparison, n_permutations=200)
    second = permutation_test(
        squareform(models)[moved], squareform(data)[moved], comparison, n_permutations=200
    )
    assert first.p_values[0] == pytest.approx(second.p_values[0])


def test_unknown_pairs():
    models, data = rdms(2, 6), rdms(2, 6, seed=3)
    data[0, 3] = np.nan
    models[1, 7] = np.nan
    result = permutation_test(models, data, "pearson", n_permutations=720)
    orders = np.array(list(itertools.permutations(range(6))))[:50]
    expected = loop_scores(models, data, "pearson", orders)
    np.testing.assert_allclose(result.null[:50], expected, atol=1e-6)


def test_undefined_model_is_nan_and_leaves_the_others():
    models = np.stack([rdms(1)[0], np.ones(66)])
    with pytest.warns(RuntimeWarning, match=r"models\[1\] is constant"):
        result = permutation_test(models, rdms(1, seed=5), n_permutations=99, random_state=0)
    assert np.isfinite(result.p_values[0])
    assert result.p_max[0] == result.p_values[0]
    assert np.isnan(result.p_values[1])
    assert np.isnan(result.p_max[1])


def test_labels_are_aligned_and_names_kept():
    names = list("abcdefghijkl")
    model = pd.DataFrame(squareform(rdms(1)[0]), names, names)
    data = pd.DataFrame(squareform(rdms(1, seed=5)[0]), names, names)
    turned = data.iloc[::-1, ::-1]
    first = permutation_test({"m": model}, data, n_permutations=99, random_state=0)
    second = permutation_test({"m": model}, turned, n_permutations=99, random_state=0)
    np.testing.assert_array_equal(first.null, second.null)
    frame = first.to_frame(adjust=None)
    assert list(frame.columns) == ["model", "score", "p", "p_max", "p_adjusted"]
    assert frame["model"].tolist() == ["m"]
    assert "spearman" in repr(first)
    assert "m" in repr(first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_permutations": 0}, "n_permutations must be an integer of at least 1"),
        ({"alternative": "more"}, "alternative='more'"),
        ({"comparison": "spearmen"}, "spearman"),
    ],
)
def test_wrong_parameters(settings, message):
    with pytest.raises(ValueError, match=message):
        permutation_test(rdms(1), rdms(1), **settings)


def test_several_rois_are_refused():
    names = pd.MultiIndex.from_product([["s1", "s2"], ["V1", "IT"], range(12)])
    frame = pd.DataFrame(np.hstack([squareform(row) for row in rdms(4)]), columns=names)
    with pytest.raises(ValueError, match="differ by more than the subject"):
        permutation_test(rdms(1), frame)


def test_real_data(kriegeskorte92):
    human, monkey = kriegeskorte92.human_it, kriegeskorte92.monkey_it
    result = permutation_test(monkey, human, n_permutations=999, random_state=0)
    assert result.scores[0] == pytest.approx(0.4389238094, abs=1e-9)
    assert result.p_values[0] == pytest.approx(0.001)


def test_holm_and_fdr():
    p = np.array([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.03, np.nan, 0.06, 0.06])
    expected = stats.false_discovery_control(p[[0, 2, 3]])
    np.testing.assert_allclose(adjusted(p, "fdr")[[0, 2, 3]], expected)
    np.testing.assert_array_equal(adjusted(p, None), p)
    with pytest.raises(ValueError, match="adjust='bonferroni'"):
        adjusted(p, "bonferroni")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_its_definition(p):
    p = np.array(p)
    found = adjusted(p, "holm")
    order = np.argsort(p, kind="stable")
    expected = [
        min(1, max((len(p) - j) * p[order[j]] for j in range(rank + 1))) for rank in range(len(p))
    ]
    np.testing.assert_allclose(found[order], expected)
