"""Regression, partial correlation and partitions of variance, against plain least squares."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, rankdata
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from skdnn.rsa import compare_rdms, partial_rdm_correlation, regression_rsa, variance_partitioning

N = 14
PAIRS = N * (N - 1) // 2
NAMES = [f"im{i:02d}" for i in range(N)]


@pytest.fixture
def models() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    common = rng.random(PAIRS)
    return {
        name: common * share + rng.random(PAIRS)
        for name, share in {"a": 1, "b": 2, "c": 0}.items()
    }


@pytest.fixture
def data(models: dict[str, np.ndarray]) -> np.ndarray:
    """RDMs of four subjects; "c" counts against them."""
    rng = np.random.default_rng(1)
    return models["a"] + 0.5 * models["b"] - 0.8 * models["c"] + rng.random((4, PAIRS)) + 3


def labelled(pairs: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(squareform(pairs), index=NAMES, columns=NAMES)


def r2(design: np.ndarray, target: np.ndarray) -> float:
    return LinearRegression().fit(design, target).score(design, target)


# Regression


@pytest.mark.parametrize("intercept", [True, False])
def test_coefficients_are_those_of_least_squares(models, data, intercept) -> None:
    result = regression_rsa(models, data, intercept=intercept, standardize=False)
    design = np.array(list(models.values())).T
    for row, target in enumerate(data):
        fit = LinearRegression(fit_intercept=intercept).fit(design, target)
        np.testing.assert_allclose(result.coefficients.iloc[row], fit.coef_, atol=1e-12)
        assert result.intercepts[row] == pytest.approx(fit.intercept_, abs=1e-12)
        base = np.sum((target - (target.mean() if intercept else 0)) ** 2)
        share = 1 - np.sum((target - fit.predict(design)) ** 2) / base
        assert result.r2[row] == pytest.approx(share, abs=1e-12)


def test_standardized_and_ranked(models, data) -> None:
    def z(values: Any) -> np.ndarray:
        return (values - np.mean(values)) / np.std(values)

    for rank in (False, True):
        result = regression_rsa(models, data, rank=rank)
        change = rankdata if rank else np.asarray
        design = np.array([z(change(model)) for model in models.values()]).T
        for row, target in enumerate(data):
            expected = np.linalg.lstsq(design, z(change(target)), rcond=None)[0]
            np.testing.assert_allclose(result.coefficients.iloc[row], expected, atol=1e-12)
            assert result.r2[row] == pytest.approx(r2(design, change(target)), abs=1e-12)
        np.testing.assert_array_equal(result.intercepts, 0)


def test_one_model_is_the_correlation(models, data) -> None:
    result = regression_rsa({"a": models["a"]}, data)
    correlations = compare_rdms(models["a"], data, "pearson")[0]
    np.testing.assert_allclose(result.coefficients["a"], correlations, atol=1e-12)
    np.testing.assert_allclose(result.r2, correlations**2, atol=1e-12)
    np.testing.assert_allclose(result.unique["a"], correlations**2, atol=1e-12)


def test_unique_shares(models, data) -> None:
    result = regression_rsa(models, data)
    design = np.array(list(models.values())).T
    for row, target in enumerate(data):
        for column in range(3):
            expected = r2(design, target) - r2(np.delete(design, column, axis=1), target)
            assert result.unique.iloc[row, column] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("intercept", [True, False])
def test_nonnegative_coefficients(models, data, intercept) -> None:
    result = regression_rsa(models, data, nonnegative=True, standardize=False, intercept=intercept)
    design = np.array(list(models.values())).T
    centre = design.mean(0) if intercept else np.zeros(3)
    for row, target in enumerate(data):
        middle = target.mean() if intercept else 0
        expected, rest = nnls(design - centre, target - middle)
        np.testing.assert_allclose(result.coefficients.iloc[row], expected, atol=1e-10)
        share = 1 - rest**2 / np.sum((target - middle) ** 2)
        assert result.r2[row] == pytest.approx(share, abs=1e-12)
        assert result.intercepts[row] == pytest.approx(middle - expected @ centre, abs=1e-10)
    if intercept:
        np.testing.assert_array_equal(result.coefficients["c"], 0)
        np.testing.assert_allclose(result.unique["c"], 0, atol=1e-12)


def test_many_rdms_at_once_equal_a_loop(models) -> None:
    rng = np.random.default_rng(3)
    many = rng.random((300, PAIRS))
    many[::7, 5] = np.nan
    result = regression_rsa(models, many)
    for row in (0, 1, 7, 299):
        one = regression_rsa(models, many[row])
        np.testing.assert_allclose(result.coefficients.iloc[row], one.coefficients.iloc[0])
        np.testing.assert_allclose(result.unique.iloc[row], one.unique.iloc[0], atol=1e-13)


def test_unknown_pairs_are_left_out(models, data) -> None:
    models["a"][3] = np.nan
    data[1, 8] = np.nan
    result = regression_rsa(models, data, standardize=False)
    design = np.array(list(models.values())).T
    for row, target in enumerate(data):
        known = ~np.isnan(design).any(1) & ~np.isnan(target)
        fit = LinearRegression().fit(design[known], target[known])
        np.testing.assert_allclose(result.coefficients.iloc[row], fit.coef_, atol=1e-12)


def test_labels_are_aligned(models, data) -> None:
    order = np.random.default_rng(0).permutation(N)
    frames = {name: labelled(pairs) for name, pairs in models.items()}
    shuffled = {k: labelled(pairs).iloc[order, order] for k, pairs in enumerate(data)}
    one, other = regression_rsa(frames, shuffled), regression_rsa(models, data)
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-12)
    with pytest.raises(ValueError, match="labelled differently"):
        regression_rsa(frames, labelled(data[0]).rename(index=str.upper, columns=str.upper))


def test_dependent_models_share_by_least_norm(models, data) -> None:
    twice = {"a": models["a"], "again": models["a"]}
    result = regression_rsa(twice, data)
    alone = regression_rsa({"a": models["a"]}, data)
    np.testing.assert_allclose(result.coefficients["a"], alone.coefficients["a"] / 2, atol=1e-12)
    np.testing.assert_allclose(result.r2, alone.r2, atol=1e-12)
    np.testing.assert_allclose(result.unique, 0, atol=1e-12)


def test_a_constant_rdm_has_nothing_to_explain(models, data) -> None:
    data[2] = 4.2
    result = regression_rsa(models, data)
    assert result.r2.isna().tolist() == [False, False, True, False]
    assert result.coefficients.iloc[2].isna().all()
    parts = variance_partitioning(models, data)
    assert parts.isna().all().tolist() == [False, False, True, False]
    with pytest.raises(ValueError, match=r"model\(s\) 'flat' is constant"):
        regression_rsa(models | {"flat": np.full(PAIRS, 0.3)}, data)
    with pytest.raises(ValueError, match="more pairs than coefficients"):
        regression_rsa(np.random.default_rng(0).random((5, 6)), np.arange(6.0))


def test_to_frame(models, data) -> None:
    keys = pd.MultiIndex.from_product(
        [["s1", "s2"], ["V1", "IT"], NAMES], names=["sub", "roi", ""]
    )
    frame = pd.DataFrame(np.hstack([squareform(row) for row in data]), NAMES, keys)
    result = regression_rsa(models, frame)
    table = result.to_frame()
    assert table.columns.tolist() == ["sub", "roi", "model", "coefficient", "unique", "r2"]
    row = table[(table["sub"] == "s2") & (table["roi"] == "V1") & (table["model"] == "b")].iloc[0]
    assert row["coefficient"] == result.coefficients.loc[("s2", "V1"), "b"]
    assert row["unique"] == result.unique.loc[("s2", "V1"), "b"]
    assert row["r2"] == result.r2[("s2", "V1")]
    assert regression_rsa(models, data[0]).to_frame().columns[0] == "rdm"


# Partial correlation


def partial_by_hand(a: Any, b: Any, controls: Any, comparison: str) -> float:
    """Correlation of the residuals of least squares on the controls and a constant."""
    change = rankdata if comparison == "spearman" else np.asarray
    design = np.column_stack([np.ones(len(a)), *(change(c) for c in controls)])
    left = [change(v) - design @ np.linalg.lstsq(design, change(v), rcond=None)[0] for v in (a, b)]
    return pearsonr(*left).statistic


@pytest.mark.parametrize("comparison", ["spearman", "pearson"])
@pytest.mark.parametrize("n_controls", [1, 3])
def test_partial_correlation_by_hand(models, data, comparison, n_controls) -> None:
    controls = np.random.default_rng(4).random((n_controls, PAIRS)) + 0.3 * data[0]
    found = partial_rdm_correlation(models, data, controls, comparison)
    assert isinstance(found, pd.DataFrame)
    for name, model in models.items():
        for column, target in enumerate(data):
            expected = partial_by_hand(model, target, controls, comparison)
            assert found.loc[name, column] == pytest.approx(expected, abs=1e-12)
    single = partial_rdm_correlation(models["a"], data[0], controls[0], comparison)
    expected = partial_by_hand(models["a"], data[0], controls[:1], comparison)
    assert isinstance(single, float)
    assert single == pytest.approx(expected, abs=1e-12)


def test_partial_correlation_with_one_control_by_the_formula(models, data) -> None:
    a, b, c = models["a"], data[0], models["b"]
    ab, ac, bc = (compare_rdms(x, y, "spearman") for x, y in ((a, b), (a, c), (b, c)))
    expected = (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))
    assert partial_rdm_correlation(a, b, c) == pytest.approx(expected, abs=1e-12)


def test_partial_correlation_with_unknown_pairs(models, data) -> None:
    a, b, c = models["a"].copy(), data.copy(), models["b"].copy()
    a[0], b[1, 3], c[7] = np.nan, np.nan, np.nan
    found = partial_rdm_correlation(a, b, c)
    assert found.shape == (1, 4)
    for column, target in enumerate(b):
        known = ~np.isnan(a) & ~np.isnan(target) & ~np.isnan(c)
        expected = partial_by_hand(a[known], target[known], [c[known]], "spearman")
        assert found[0, column] == pytest.approx(expected, abs=1e-12)


def test_partial_correlation_of_what_is_explained_is_nan(models, data) -> None:
    explained = 2 * models["a"] - models["b"] + 1
    controls = [squareform(models[name]) for name in "ab"]
    assert np.isnan(partial_rdm_correlation(explained, data[0], controls, "pearson"))
    assert np.isnan(partial_rdm_correlation(np.ones(PAIRS), data[0], models["a"]))
    twice = np.stack([models["a"], models["a"], np.full(PAIRS, 2.0)])  # dependent, and constant
    assert partial_rdm_correlation(models["b"], data[0], twice) == pytest.approx(
        partial_rdm_correlation(models["b"], data[0], models["a"]), abs=1e-12
    )
    with pytest.raises(ValueError, match="'spearman' or 'pearson'"):
        partial_rdm_correlation(models["a"], data, models["b"], "kendall")


# Partition of variance


def within(design: np.ndarray, target: np.ndarray) -> Any:
    return lambda columns: r2(design[:, columns], target) if columns else 0.0


def two_parts(explained: Any) -> dict[str, float]:
    a, b, both = explained([0]), explained([1]), explained([0, 1])
    return {"a": both - b, "b": both - a, "a & b": a + b - both}


def three_parts(explained: Any) -> dict[str, float]:
    """The formulas of commonality analysis, written out."""
    single = {k: explained([k]) for k in range(3)}
    pair = {c: explained(list(c)) for c in combinations(range(3), 2)}
    every = explained([0, 1, 2])
    return {
        "a": every - pair[1, 2],
        "b": every - pair[0, 2],
        "c": every - pair[0, 1],
        "a & b": pair[0, 2] + pair[1, 2] - single[2] - every,
        "a & c": pair[0, 1] + pair[1, 2] - single[1] - every,
        "b & c": pair[0, 1] + pair[0, 2] - single[0] - every,
        "a & b & c": sum(single.values()) - sum(pair.values()) + every,
    }


@pytest.mark.parametrize(("names", "formulas"), [("ab", two_parts), ("abc", three_parts)])
def test_parts_by_the_formulas(models, data, names, formulas) -> None:
    chosen = {name: models[name] for name in names}
    parts = variance_partitioning(chosen, data)
    design = np.array(list(chosen.values())).T
    for column, target in enumerate(data):
        expected = formulas(within(design, target))
        assert parts.index.tolist() == list(expected)
        np.testing.assert_allclose(parts[column], list(expected.values()), atol=1e-12)
        assert parts[column].sum() == pytest.approx(r2(design, target), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_parts_sum_to_the_whole(n_models, nonnegative, rank, held_out, seed) -> None:
    rng = np.random.default_rng(seed)
    models, data = rng.random((n_models, PAIRS)), rng.random((2, PAIRS))
    data += models[0]
    cv = 3 if held_out else None
    settings = {"nonnegative": nonnegative, "rank": rank, "cv": cv, "random_state": 0}
    parts = variance_partitioning(models, data, **settings)
    assert len(parts) == 2**n_models - 1
    groups = {"first": [0], "rest": list(range(1, n_models))}
    coarse = variance_partitioning(models, data, groups=groups, **settings)
    np.testing.assert_allclose(parts.sum(), coarse.sum(), atol=1e-12)
    np.testing.assert_allclose(parts.loc["0"], coarse.loc["first"], atol=1e-12)
    if not held_out:
        full = regression_rsa(models, data, nonnegative=nonnegative, rank=rank)
        np.testing.assert_allclose(parts.sum(), full.r2, atol=1e-12)
        np.testing.assert_allclose(parts.loc["0"], full.unique[0], atol=1e-12)


def test_groups(models, data) -> None:
    parts = variance_partitioning(models, data, groups={"ab": ["a", "b"], "c": ["c"]})
    design = np.array(list(models.values())).T
    for column, target in enumerate(data):
        explained = within(design, target)
        whole = explained([0, 1, 2])
        assert parts.loc["ab", column] == pytest.approx(whole - explained([2]), abs=1e-12)
        assert parts.loc["c", column] == pytest.approx(whole - explained([0, 1]), abs=1e-12)
    fewer = variance_partitioning(models, data, groups={"x": ["c"], "y": ["a"]})
    named = {"x": models["c"], "y": models["a"]}
    np.testing.assert_allclose(fewer, variance_partitioning(named, data), atol=1e-12)


def held_out_by_hand(
    design: np.ndarray, target: np.ndarray, folds: Any, columns: list[int], rank: bool
) -> float:
    """Squares of models and RDMs cut by conditions, a regression for each fold."""
    error = base = 0.0
    for train, test in folds:
        sides = []
        for rows in (train, test):
            squares = [squareform(squareform(v)[np.ix_(rows, rows)]) for v in (*design.T, target)]
            if rank:
                squares = [rankdata(v) / len(v) for v in squares]
            sides.append((np.array(squares[:-1]).T[:, columns], squares[-1]))
        (x, y), (x_test, y_test) = sides
        predicted = LinearRegression().fit(x, y).predict(x_test) if columns else y.mean()
        error += np.sum((y_test - predicted) ** 2)
        base += np.sum((y_test - y.mean()) ** 2)
    return 1 - error / base


@pytest.mark.parametrize("rank", [False, True])
def test_held_out_parts_by_hand(models, data, rank) -> None:
    cv = KFold(3, shuffle=True, random_state=7)
    folds = list(cv.split(np.arange(N)))
    parts = variance_partitioning(models, data, cv=cv, rank=rank)
    design = np.array(list(models.values())).T
    for column, target in enumerate(data):
        expected = three_parts(lambda c, t=target: held_out_by_hand(design, t, folds, c, rank))
        np.testing.assert_allclose(parts[column], list(expected.values()), atol=1e-10)
    same = variance_partitioning(models, data, cv=3, random_state=7, rank=rank)
    pd.testing.assert_frame_equal(same, parts)
    pd.testing.assert_frame_equal(variance_partitioning(models, data, cv=folds, rank=rank), parts)


def test_held_out_values_may_be_negative(models) -> None:
    noise = np.random.default_rng(0).random((40, PAIRS))
    parts = variance_partitioning(models, noise, cv=3, random_state=0)
    assert (parts.sum() < 0).any()  # kept as they are
    assert (variance_partitioning(models, noise).sum() > 0).all()


def test_held_out_with_unknown_pairs(models, data) -> None:
    data[1, [2, 40]] = np.nan
    parts = variance_partitioning(models, data, cv=3, random_state=0)
    alone = variance_partitioning(models, data[1], cv=3, random_state=0)
    np.testing.assert_allclose(parts[1], alone[0], atol=1e-12)
    others = variance_partitioning(models, data[[0, 2, 3]], cv=3, random_state=0)
    np.testing.assert_allclose(parts[[0, 2, 3]], others, atol=1e-12)


def test_many_targets_and_names(models) -> None:
    rng = np.random.default_rng(0)
    many = {f"{time} ms": rng.random(PAIRS) for time in range(200)}
    parts = variance_partitioning(models, many, cv=3, random_state=0)
    assert parts.shape == (7, 200)
    assert parts.columns.tolist()[3] == "3 ms"
    assert parts.index.name == "part"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": {"x": ["a"], "y": ["d"]}}, r"groups\['y'\] = \['d'\].*'a', 'b', 'c'"),
        ({"groups": {"x": ["a"], "y": []}}, "groups"),
        ({"groups": {"x": "abc", "y": ["a"]}}, "give a list of models"),
        ({"groups": {"x": ["a", "b"]}}, r"1 model\(s\): variance is split between two to five"),
        ({"cv": 5}, "cv=5 leaves fewer than three of 14"),
        ({"cv": [(np.arange(9), np.arange(8, 14))]}, "tests on conditions that it trains on"),
    ],
)
def test_errors_name_the_argument(models, data, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        variance_partitioning(models, data, **arguments)


def test_a_model_that_is_constant_in_a_fold_is_named(models, data) -> None:
    square = squareform(models["a"])
    square[:8, :8] = 1 - np.eye(8)
    folds = [(np.arange(8), np.arange(8, N)), (np.arange(8, N), np.arange(8))]
    with pytest.raises(ValueError, match="'a' is constant among the training conditions"):
        variance_partitioning(models | {"a": squareform(square)}, data, cv=folds)
    # A target that is constant there teaches nothing: all models predict its mean.
    square = squareform(data[0])
    square[:8, :8] = 1 - np.eye(8)
    parts = variance_partitioning(models, squareform(square), cv=folds[:1])[0]
    np.testing.assert_array_equal(parts, 0)


def test_six_models_need_groups(data) -> None:
    with pytest.raises(ValueError, match="two to five"):
        variance_partitioning(np.random.default_rng(0).random((6, PAIRS)), data)


def test_a_real_relation_survives_holding_out() -> None:
    rng = np.random.default_rng(0)
    early, late = rng.normal(size=(2, 40, 30))
    brain = np.c_[early, 0.3 * late, 0.5 * rng.normal(size=(40, 20))]
    rdms = {"early": pdist(early), "late": pdist(late)}
    parts = variance_partitioning(rdms, pdist(brain), cv=4, random_state=0)[0]
    within = variance_partitioning(rdms, pdist(brain))[0]
    assert parts["early"] > 0.5
    assert 0 < parts["late"] < 0.2
    assert parts.sum() < within.sum()


# --- controls with noise -----------------------------------------------------------------------


def noisy_study(seed: int, noise: float = 1.0) -> tuple[np.ndarray, ...]:
    """A model and a brain that share a control only, and the control measured twice."""
    rng = np.random.default_rng(seed)
    shared, own, other = (rng.normal(size=780) for _ in range(3))
    twice = shared + noise * rng.normal(size=(2, 780))
    return shared + own, shared + other, shared, *twice


@pytest.mark.parametrize("comparison", ["pearson", "spearman"])
def test_a_noisy_control_is_corrected_by_its_reliability(comparison) -> None:
    true, noisy, corrected = [], [], []
    for seed in range(30):
        model, brain, control, first, second = noisy_study(seed)
        r = compare_rdms(first, second, comparison)
        settings = {"comparison": comparison}
        true.append(partial_rdm_correlation(model, brain, control, **settings))
        noisy.append(partial_rdm_correlation(model, brain, first, **settings))
        corrected += [
            partial_rdm_correlation(model, brain, first, control_reliability=r, **settings),
            partial_rdm_correlation(
                model, brain, first + second, control_reliability=2 * r / (1 + r), **settings
            ),
        ]
    assert abs(np.mean(true)) < 0.03
    assert np.mean(noisy) > 0.25
    assert abs(np.mean(corrected)) < 0.05


def test_partial_correlation_with_reliabilities_by_the_formula(models, data) -> None:
    model, control, _ = models.values()
    brain = data[0]
    pairs = (model, brain), (model, control), (brain, control)
    r_ab, r_ac, r_bc = (compare_rdms(a, b, "pearson") for a, b in pairs)
    expected = (r_ab - r_ac * r_bc / 0.8) / np.sqrt((1 - r_ac**2 / 0.8) * (1 - r_bc**2 / 0.8))
    found = partial_rdm_correlation(model, brain, control, "pearson", control_reliability=0.8)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_reliability_of_one_changes_nothing_and_others_are_refused() -> None:
    model, brain, control, *twice = noisy_study(0)
    several = np.stack([control, *twice])
    plain = partial_rdm_correlation(model, brain, several)
    for reliability in (1.0, [1, 1, 1]):
        found = partial_rdm_correlation(model, brain, several, control_reliability=reliability)
        assert found == pytest.approx(plain, abs=1e-10)
    for wrong in (0, 1.2, [0.5, 0.5], np.nan):
        with pytest.raises(ValueError, match="control_reliability"):
            partial_rdm_correlation(model, brain, several, control_reliability=wrong)
    # Two that correlate by .5 cannot both be of a reliability of .1.
    assert np.isnan(
        partial_rdm_correlation(model, brain, several[1:], control_reliability=[0.1, 0.1])
    )
    constant = np.stack([control, np.ones(780)])
    assert partial_rdm_correlation(
        model, brain, constant, control_reliability=1.0
    ) == pytest.approx(partial_rdm_correlation(model, brain, control))
