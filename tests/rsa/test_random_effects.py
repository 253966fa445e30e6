import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skdnn.rsa import random_effects_test, subject_layer_table


def scores(n=9, k=3, seed=0):
    rng = np.random.default_rng(seed)
    values = 0.1 * rng.normal(size=(n, k)) + [0, 0.05, 0.2][:k]
    return pd.DataFrame(values, columns=["conv1", "conv2", "fc"][:k])


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_t_and_wilcoxon_are_scipys(alternative):
    table = scores()
    t = stats.ttest_1samp(table, 0, alternative=alternative)
    found = random_effects_test(table, alternative=alternative, adjust=None)
    np.testing.assert_allclose(found["p"], t.pvalue)
    np.testing.assert_allclose(found["statistic"], t.statistic)
    np.testing.assert_allclose(found["sem"], stats.sem(table))
    np.testing.assert_allclose(found["p_adjusted"], found["p"])
    found = random_effects_test(table, test="wilcoxon", alternative=alternative)
    expected = [stats.wilcoxon(table[name], alternative=alternative).pvalue for name in table]
    np.testing.assert_allclose(found["p"], expected)


def test_all_signs_equal_a_plain_loop():
    table = scores(7)
    signs = np.array(list(itertools.product([1, -1], repeat=7)))
    null = signs @ table.to_numpy() / 7
    expected = (null >= table.to_numpy().mean(axis=0) - 1e-12).mean(axis=0)
    found = random_effects_test(table, test="sign-flip")
    np.testing.assert_allclose(found["p"], expected)
    size = np.sqrt((table.to_numpy() ** 2).sum(axis=0))
    best = (7 * null / size).max(axis=1)
    observed = table.to_numpy().sum(axis=0) / size
    expected = [(best >= score - 1e-12).mean() for score in observed]
    np.testing.assert_allclose(found["p_max"], expected)


def test_random_signs():
    table = scores(20)
    first = random_effects_test(table, test="sign-flip", n_permutations=500, random_state=1)
    again = random_effects_test(table, test="sign-flip", n_permutations=500, random_state=1)
    pd.testing.assert_frame_equal(first, again)
    t = random_effects_test(table)
    np.testing.assert_allclose(first["p"], t["p"], atol=0.05)
    assert (first["p_max"] >= first["p"]).all()


def test_pairwise_is_the_paired_test():
    table = scores()
    found = random_effects_test(table, pairwise=True, alternative="two-sided", adjust="fdr")
    assert found[["model_a", "model_b"]].to_numpy().tolist() == [
        ["conv1", "conv2"],
        ["conv1", "fc"],
        ["conv2", "fc"],
    ]
    expected = stats.ttest_rel(table["conv1"], table["fc"]).pvalue
    assert found["p"][1] == pytest.approx(expected)
    np.testing.assert_allclose(found["p_adjusted"], stats.false_discovery_control(found["p"]))


def test_missing_scores_are_left_out():
    table = scores()
    table.iloc[2, 1] = np.nan
    found = random_effects_test(table)
    assert found["n"].tolist() == [9, 8, 9]
    expected = stats.ttest_1samp(table["conv2"].dropna(), 0, alternative="greater").pvalue
    assert found["p"][1] == pytest.approx(expected)


def test_errors():
    with pytest.raises(ValueError, match="two or more subjects"):
        random_effects_test(np.ones((1, 3)))
    with pytest.raises(ValueError, match="test='z'"):
        random_effects_test(scores(), test="z")
    table = scores()
    table.iloc[1:, 2] = np.nan
    with pytest.raises(ValueError, match="fewer than two subjects with a score for fc"):
        random_effects_test(table)


RESULTS = {
    "param_dnn__layer": np.ma.array(["conv1", "conv2", "conv2"]),
    "param_pca__n": [5, 5, 9],
    "mean_test_score": [0.1, 0.2, 0.3],
    "mean_test_sub-01": [0.1, 0.1, 0.4],
    "mean_test_sub-02": [0.1, 0.3, 0.2],
    "mean_test_ceiling_lower": [0.5, 0.5, 0.5],
    "mean_test_ceiling_upper": [0.5, 0.5, 0.5],
    "mean_test_V1/ceiling_upper": [0.5, 0.5, 0.5],
    "mean_test_n_pairs": [10, 10, 10],
    "std_test_sub-01": [0, 0, 0],
}


def test_table_from_a_search():
    table = subject_layer_table(RESULTS)
    assert table.index.tolist() == ["sub-01", "sub-02"]
    assert table.columns.tolist() == ["conv1", "conv2"]
    np.testing.assert_allclose(table, [[0.1, 0.4], [0.1, 0.2]])
    one = subject_layer_table(pd.DataFrame(RESULTS), "param_pca__n", subjects=["sub-02"])
    np.testing.assert_allclose(one, [[0.3, 0.2]])


def test_table_errors():
    with pytest.raises(ValueError, match="no scores of 'sub-09'"):
        subject_layer_table(RESULTS, subjects=["sub-09"])
    with pytest.raises(ValueError, match="param='param_layer' is not in"):
        subject_layer_table(RESULTS, "param_layer")
    with pytest.raises(ValueError, match="detail=True"):
        subject_layer_table({"param_dnn__layer": ["a"], "mean_test_score": [1]})


def test_table_of_a_real_search():
    from sklearn.decomposition import PCA
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline

    from skdnn.rsa import RDM, RSAScorer

    rng = np.random.default_rng(0)
    features = rng.normal(size=(24, 8))
    columns = pd.MultiIndex.from_product([["ann", "bob"], range(10)], names=["subject", "voxel"])
    voxels = pd.DataFrame(rng.normal(size=(24, 20)), columns=columns)
    search = GridSearchCV(
        make_pipeline(PCA(), RDM()),
        {"pca__n_components": [3, 5]},
        cv=KFold(2),
        scoring=RSAScorer(detail=True, target="patterns"),
        refit="score",
    ).fit(features, voxels)
    table = subject_layer_table(search.cv_results_, "param_pca__n_components")
    assert table.index.tolist() == ["ann", "bob"]
    np.testing.assert_allclose(table.mean(), search.cv_results_["mean_test_score"])
    assert len(random_effects_test(table)) == 2
