"""Planned comparisons against pairwise ones, which they generalise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skdnn.rsa import bootstrap_rsa, compute_rdm, planned_comparisons

rng = np.random.default_rng(3)
BRAIN = rng.normal(size=(22, 30))
MODELS = {
    "net": compute_rdm(BRAIN[:, :12]),
    "other": compute_rdm(BRAIN[:, 8:13]),
    **{f"twin {k}": compute_rdm(rng.normal(size=(22, 9))) for k in range(3)},
}
SUBJECTS = [compute_rdm(BRAIN + rng.normal(size=BRAIN.shape)) for _ in range(5)]
MEAN = {"net": 1.0} | {f"twin {k}": -1 / 3 for k in range(3)}


@pytest.fixture(scope="module", params=["conditions", "subjects", "both"])
def result(request: pytest.FixtureRequest) -> Any:
    return bootstrap_rsa(
        MODELS, SUBJECTS, n_boot=60, resample=request.param, n_permutations=0, random_state=0
    )


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_a_pair_is_as_in_pairwise(result: Any, alternative: str) -> None:
    pairs = result.pairwise(alternative=alternative, adjust=None).set_index(["model_a", "model_b"])
    found = planned_comparisons(
        result,
        {(a, b): {a: 1, b: -1} for a, b in pairs.index},
        alternative=alternative,
        adjust=None,
    )
    assert found["comparison"].tolist() == list(pairs.index)
    for column in ("difference", "standard_error", "low", "high", "p"):
        assert_allclose(found[column], pairs[column], rtol=1e-12)


def test_a_mean_of_twins(result: Any) -> None:
    """Difference of means; more twins are nearer to their mean than one is."""
    names = list(result.names)
    score = dict(zip(names, result.scores, strict=True))
    single = {f"against {k}": {"net": 1, f"twin {k}": -1} for k in range(3)}
    table = planned_comparisons(result, {"mean": MEAN, **single}, 0.9).set_index("comparison")
    expected = score["net"] - np.mean([score[f"twin {k}"] for k in range(3)])
    assert table.loc["mean", "difference"] == pytest.approx(expected)
    assert_allclose(table["difference"].iloc[1:].mean(), expected)
    errors = table["standard_error"]
    assert errors["mean"] < errors.iloc[1:].max()
    assert (table["p_adjusted"] >= table["p"]).all()
    if result.resample == "subjects":  # by hand: a t-test over subjects
        each = [
            [
                np.corrcoef(stats.rankdata(_pairs(m)), stats.rankdata(_pairs(s)))[0, 1]
                for s in SUBJECTS
            ]
            for m in MODELS.values()
        ]
        contrast = np.array([MEAN.get(name, 0) for name in MODELS]) @ np.array(each)
        test = stats.ttest_1samp(contrast, 0)
        assert table.loc["mean", "p"] == pytest.approx(test.pvalue, rel=1e-6)


def _pairs(rdm: Any) -> np.ndarray:
    values = np.asarray(rdm)
    return values[np.triu_indices(len(values), 1)]


@pytest.mark.parametrize(
    ("contrasts", "words"),
    [
        ({"a": {"net": 1, "twin 9": -1}}, "names models that are not in result: .'twin 9'"),
        ({"a": {"net": 1, "twin 0": -0.5}}, "must add up to 0"),
        ({"a": {}}, "must add up to 0"),
    ],
)
def test_contrasts_that_are_none(result: Any, contrasts: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        planned_comparisons(result, contrasts)


def test_nothing_planned_is_an_empty_table(result: Any) -> None:
    assert len(planned_comparisons(result, {})) == 0
