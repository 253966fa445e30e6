"""The table of models by references: against the functions that it is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skdnn.model_comparison import score_rdms
from skdnn.rsa import bootstrap_rsa, compare_rdms, compute_rdm, noise_ceiling, permutation_test

LABELS = [f"c{k}" for k in range(14)]
chance = np.random.default_rng(0)


def rdm() -> pd.DataFrame:
    return pd.DataFrame(compute_rdm(chance.normal(size=(14, 9))), LABELS, LABELS)


MODELS = {"a": rdm(), "b": rdm()}
SUBJECTS = pd.concat({"s1": rdm(), "s2": rdm()}, axis=1, names=["subject", "condition"])
ONE = rdm()


def test_scores_and_ceilings() -> None:
    table, bootstraps = score_rdms(MODELS, {"it": SUBJECTS, "one": ONE}, "pearson")
    assert bootstraps == {}
    assert table[["reference", "model"]].to_numpy().tolist() == [
        ["it", "a"], ["it", "b"], ["one", "a"], ["one", "b"]
    ]  # fmt: skip
    means = np.asarray(compare_rdms(MODELS, SUBJECTS, "pearson")).mean(axis=1)
    np.testing.assert_allclose(table["score"][:2], means)
    np.testing.assert_allclose(table["score"][2:], np.ravel(compare_rdms(MODELS, ONE, "pearson")))
    low, high = noise_ceiling(SUBJECTS, "pearson")
    assert table.loc[0, ["ceiling_lower", "ceiling_upper"]].tolist() == [low, high]
    assert table.loc[2:, "ceiling_lower"].isna().all()
    assert list(table)[-2:] == ["ceiling_lower", "ceiling_upper"]
    assert "ceiling_lower" not in score_rdms(MODELS, {"one": ONE})[0]


def test_intervals_and_tests() -> None:
    options = {"n_boot": 40, "n_permutations": 30, "random_state": 3}
    table, bootstraps = score_rdms(MODELS, {"one": ONE}, **options)
    boot = bootstrap_rsa(MODELS, ONE, "spearman", n_boot=40, random_state=3)
    np.testing.assert_array_equal(table["low"], boot.to_frame()["low"])
    np.testing.assert_array_equal(bootstraps["one"].to_frame()["p"], boot.to_frame()["p"])
    tested = permutation_test(MODELS, ONE, "spearman", n_permutations=30, random_state=3)
    np.testing.assert_array_equal(table["p_mantel"], tested.to_frame()["p"])
    np.testing.assert_array_equal(table["p_mantel_adjusted"], tested.to_frame()["p_adjusted"])
