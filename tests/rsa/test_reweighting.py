"""Feature-reweighted RSA against ridge regression on the explicit design of pairs."""

from __future__ import annotations

import pickle
import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RepeatedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdnn.rsa import RDM, FeatureReweightedRSA, RSAScorer, compute_rdm
from skdnn.rsa._fitting import _pair_ridge
from skdnn.rsa._fitting._pair_ridge import nonnegative_minimum, reweight, weighted_pairs

N, P, V = 30, 6, 20
NAMES = [f"im{i:02d}" for i in range(N)]
FOLDS = KFold(3, shuffle=True, random_state=0)


@pytest.fixture
def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, P)) * np.arange(1, P + 1) + 10


@pytest.fixture
def voxels(features: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    return features[:, :2] @ rng.normal(size=(2, V)) + rng.normal(size=(N, V))


@pytest.fixture
def brain(voxels: np.ndarray) -> pd.DataFrame:
    return compute_rdm(pd.DataFrame(voxels, index=NAMES), "sqeuclidean")


def design_of(features: np.ndarray) -> np.ndarray:
    """Squared differences by a loop over pairs, in the order of squareform."""
    return np.array(
        [(features[i] - features[j]) ** 2 for i, j in combinations(range(len(features)), 2)]
    )


def penalty(design: np.ndarray, alpha: float, intercept: bool = True) -> float:
    centred = design - design.mean(0) if intercept else design
    return alpha * np.sum(centred**2) / design.shape[1]


def random_problem(n: int, p: int, n_missing: int, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p)) * rng.gamma(1, size=p)
    features -= features.mean(0)
    target = rng.random(n * (n - 1) // 2)
    target[rng.choice(len(target), n_missing, replace=False)] = np.nan
    return features, target, ~np.isnan(target), design_of(features)


# More pairs than features, and fewer; with and without unknown pairs.
SHAPES = [(12, 7, 0), (8, 60, 0), (12, 7, 9), (8, 60, 5)]


@pytest.mark.parametrize("smallest", [0.01, 1e-10])  # by Cholesky factors, by eigenvectors
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("n", "p", "n_missing"), SHAPES)
def test_weights_are_those_of_sklearns_ridge_on_the_pairs(
    n, p, n_missing, intercept, smallest
) -> None:
    features, target, known, design = random_problem(n, p, n_missing)
    alphas = np.array([smallest, 1.0, 300.0])
    weights, intercepts = reweight(
        features, target, alphas, nonnegative=False, intercept=intercept
    )
    digits = 1e-13 if smallest > 1e-3 else 1e-10  # normal equations lose half of them
    for column, alpha in enumerate(alphas):
        strength = penalty(design[known], alpha, intercept)
        ridge = Ridge(alpha=strength, fit_intercept=intercept, solver="svd")
        ridge.fit(design[known], target[known])
        np.testing.assert_allclose(weights[:, column], ridge.coef_, rtol=1e4 * digits, atol=digits)
        assert intercepts[column] == pytest.approx(ridge.intercept_, abs=1e3 * digits)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("n", "p", "n_missing"), SHAPES)
def test_nonnegative_weights_are_those_of_nnls(n, p, n_missing, intercept) -> None:
    features, target, known, design = random_problem(n, p, n_missing)
    alphas = np.array([0.01, 1.0, 300.0])
    weights, intercepts = reweight(features, target, alphas, nonnegative=True, intercept=intercept)
    design, target = design[known], target[known]
    centre, middle = (design.mean(0), target.mean()) if intercept else (0 * design[0], 0.0)
    for column, alpha in enumerate(alphas):
        root = np.sqrt(penalty(design, alpha, intercept))
        augmented = np.vstack([design - centre, root * np.eye(p)])
        expected = nnls(augmented, np.r_[target - middle, np.zeros(p)])[0]
        assert (expected == 0).any() or not intercept  # the constraint is at work
        np.testing.assert_allclose(weights[:, column], expected, rtol=1e-8, atol=1e-13)
        assert intercepts[column] == pytest.approx(middle - centre @ expected, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10**6), st.floats(1e-8, 10))
def test_pivoting_ends_at_the_minimum(size: int, seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(rng.integers(1, 30), size))
    matrix = factor.T @ factor + ridge * np.eye(size)
    right = rng.normal(size=size)
    found = nonnegative_minimum(matrix, right, rng.random(size) > 0.5)
    gradient = matrix @ found - right
    assert (found >= 0).all()
    round_off = 1e-12 * (np.abs(matrix) @ found + np.abs(right)).max()
    assert gradient.min(initial=0) > -round_off  # no element would gain by growing
    assert np.abs(gradient[found > 0]).max(initial=0) < round_off  # and none by any change


def test_features_far_from_zero_lose_no_digits() -> None:
    """The moments of offset features would cancel: they are centred first."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(20, 5)), rng.random(190)
    y = squareform(target)
    plain = FeatureReweightedRSA(target="rdm", alphas=0.1).fit(features, y)
    moved = FeatureReweightedRSA(target="rdm", alphas=0.1).fit(features + 1e5, y)
    np.testing.assert_allclose(moved.coef_, plain.coef_, rtol=1e-7)
    np.testing.assert_allclose(moved.predict(features + 1e5), plain.predict(features), rtol=1e-6)


def published(*args: Any, **settings: Any) -> FeatureReweightedRSA:
    """As Kaniuth and Hebart fit it."""
    ways = {"normalize": False, "standardize": True, "shrink_to": "zero"}
    return FeatureReweightedRSA(*args, **(ways | settings))


@pytest.mark.parametrize("standardize", [True, False])
def test_fit_predict_score_by_hand(features, voxels, brain, standardize) -> None:
    train, test = np.arange(20), np.arange(20, N)
    model = published(alphas=0.5, standardize=standardize)
    model.fit(features[train], brain.iloc[train])
    scale = features[train].std(0) if standardize else np.ones(P)
    np.testing.assert_allclose(model.scale_, scale, rtol=1e-12)
    design = design_of(features[train] / scale)
    target = pdist(voxels[train], "sqeuclidean")
    ridge = Ridge(alpha=penalty(design, 0.5)).fit(design, target)
    np.testing.assert_allclose(model.coef_, ridge.coef_, rtol=1e-9)
    assert model.intercept_ == pytest.approx(ridge.intercept_)
    pairs = ridge.predict(design_of(features[test] / scale))
    predicted = model.predict(features[test])
    np.testing.assert_allclose(predicted, squareform(pairs), rtol=1e-9)
    np.testing.assert_array_equal(predicted, predicted.T)
    np.testing.assert_array_equal(np.diag(predicted), 0)
    expected = spearmanr(pairs, pdist(voxels[test], "sqeuclidean")).statistic
    assert model.score(features[test], brain.iloc[test]) == pytest.approx(expected, abs=1e-12)
    assert model.cv_scores_ is None
    assert model.alpha_ == 0.5


@pytest.mark.parametrize("nonnegative", [True, False])
def test_alpha_is_chosen_over_conditions(features, voxels, nonnegative) -> None:
    """The inner scores by hand: no pair with a held-out condition is fitted."""
    alphas = [0.001, 0.1, 10.0]
    inner = KFold(4, shuffle=True, random_state=3)
    settings = {"nonnegative": nonnegative, "target_metric": "sqeuclidean"}
    model = published(alphas=alphas, cv=inner, **settings).fit(features, voxels)
    expected = np.zeros(3)
    for row, alpha in enumerate(alphas):
        one = published(alphas=alpha, **settings)
        expected[row] = cross_val_score(one, features, voxels, cv=inner).mean()
    np.testing.assert_allclose(model.cv_scores_, expected, rtol=1e-10)
    assert model.alpha_ == alphas[np.argmax(expected)]
    refit = published(alphas=model.alpha_, **settings).fit(features, voxels)
    np.testing.assert_array_equal(model.coef_, refit.coef_)
    np.testing.assert_array_equal(model.alphas_, alphas)
    same = published(alphas=alphas, cv=4, random_state=3, **settings)
    np.testing.assert_array_equal(same.fit(features, voxels).cv_scores_, model.cv_scores_)


def test_it_finds_the_features_that_matter(features, voxels) -> None:
    model = published(target_metric="sqeuclidean", nonnegative=True, random_state=0).fit(
        features, voxels
    )
    assert model.coef_[:2].min() > 2 * model.coef_[2:].max()
    distances = clone(model).set_params(fit_intercept=False).fit(features, voxels)
    assert (distances.predict(features) >= 0).all()
    reweighted = cross_val_score(model, features, voxels, cv=FOLDS).mean()
    rdm = compute_rdm(features, "sqeuclidean")
    assert reweighted > spearmanr(squareform(rdm), pdist(voxels, "sqeuclidean")).statistic + 0.2


def test_cross_validation_with_patterns_and_with_labelled_rdms(features, voxels, brain) -> None:
    model = FeatureReweightedRSA(target_metric="sqeuclidean", random_state=0)
    patterns = cross_val_score(model, features, voxels, cv=FOLDS, error_score="raise")
    labelled = cross_val_score(model, features, brain, cv=FOLDS, error_score="raise")
    np.testing.assert_allclose(labelled, patterns, atol=1e-12)
    shuffled = brain.sample(frac=1, axis=1, random_state=3)  # columns move under their labels
    again = cross_val_score(model, features, shuffled, cv=FOLDS, error_score="raise")
    np.testing.assert_allclose(again, patterns, atol=1e-12)
    order = np.random.default_rng(0).permutation(N)
    one = FeatureReweightedRSA(alphas=1).fit(features, brain)
    other = FeatureReweightedRSA(alphas=1).fit(features[order], brain.iloc[order])
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-9)


def test_pipelines_and_searches(features, brain) -> None:
    pipeline = make_pipeline(
        FunctionTransformer(), StandardScaler(), published(cv=2, random_state=0)
    )
    grid = {"featurereweightedrsa__nonnegative": [True, False], "standardscaler__with_std": [True]}
    search = GridSearchCV(pipeline, grid, cv=FOLDS, error_score="raise").fit(features, brain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(features[:5]).shape == (5, 5)
    assert search.score(features, brain) == pytest.approx(
        search.best_estimator_[-1].score(search.best_estimator_[:-1].transform(features), brain)
    )
    nested = cross_val_score(search, features, brain, cv=FOLDS, error_score="raise")
    assert nested.min() > 0.5


def test_several_subjects_share_the_weights(features, brain) -> None:
    rng = np.random.default_rng(5)
    other = compute_rdm(pd.DataFrame(100 * rng.normal(size=(N, 6)), index=NAMES), "sqeuclidean")
    both = pd.concat({"a": brain, "b": other}, axis=1)
    model = FeatureReweightedRSA(alphas=1).fit(features, both)
    z = [(pairs - pairs.mean()) / pairs.std() for pairs in map(upper, (brain, other))]
    mean = pd.DataFrame(squareform((z[0] + z[1]) / 2), index=NAMES, columns=NAMES)
    expected = FeatureReweightedRSA(alphas=1, target="rdm").fit(features, mean)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert model.rdm_names_ == ["a", "b"]
    each = [spearmanr(upper(model.predict(features)), upper(y)).statistic for y in (brain, other)]
    assert model.score(features, both) == pytest.approx(np.mean(each), abs=1e-12)


def upper(square: Any) -> np.ndarray:
    return squareform(np.asarray(square), checks=False)


def test_unknown_pairs_are_left_out(features, brain) -> None:
    holed = brain.copy()
    holed.iloc[0, 5] = holed.iloc[5, 0] = holed.iloc[2, 9] = holed.iloc[9, 2] = np.nan
    model = published(alphas=0.1).fit(features, holed)
    known = ~np.isnan(upper(holed))
    design = design_of(features / features.std(0))[known]
    ridge = Ridge(alpha=penalty(design, 0.1)).fit(design, upper(holed)[known])
    np.testing.assert_allclose(model.coef_, ridge.coef_, rtol=1e-9)
    assert np.isfinite(published(random_state=0).fit(features, holed).cv_scores_).all()


def test_near_duplicates_keep_their_order() -> None:
    base = np.random.default_rng(0).normal(size=9) + 1e4
    steps = 1e-6 * np.arange(5)[:, None] ** 2
    pairs = weighted_pairs(base + steps, np.ones((9, 1)))[0]
    np.testing.assert_allclose(pairs, 9 * pdist(steps, "sqeuclidean"), rtol=1e-4)
    assert weighted_pairs(np.repeat(base[None], 2, axis=0), np.ones((9, 1)))[0, 0] == 0


def test_a_feature_that_is_constant_in_training_has_no_weight(features, voxels) -> None:
    features[:, 3] = 7.3
    model = published(alphas=1).fit(features, voxels)
    assert model.coef_[3] == pytest.approx(0, abs=1e-15)
    assert model.scale_[3] == 1
    with pytest.raises(ValueError, match="No feature in X varies"):
        published(alphas=1).fit(np.ones((N, 3)), voxels)


def test_units_of_features_do_not_matter(features, voxels) -> None:
    """The penalty is relative: even without standardizing."""
    model = FeatureReweightedRSA(normalize=False, random_state=0)
    a = clone(model).fit(features, voxels)
    b = clone(model).fit(1000 * features, voxels)
    assert a.alpha_ == b.alpha_
    np.testing.assert_allclose(b.coef_, a.coef_ * 1e-6, rtol=1e-7)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": [1, 0]}, "alphas=.*positive"),
        ({"alphas": []}, "alphas="),
        ({"cv": 15}, "cv=15 leaves fewer than three of 30"),
        ({"cv": 1}, "cv"),
        ({"cv": [(np.arange(20), np.arange(15, 30))]}, "tests on conditions that it trains on"),
        ({"cv": [(np.arange(28), np.arange(28, 30))]}, "Fold 0 of cv has 28 training and 2 test"),
        ({"comparison": "spearmann"}, "Did you mean 'spearman'"),
        ({"target_metric": "correlatoin"}, "metric"),
        ({"target": "voxels"}, "target"),
    ],
)
def test_errors_name_the_parameter(features, voxels, parameters, message) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureReweightedRSA(**parameters).fit(features, voxels)


def test_refused_data(features, voxels, brain) -> None:
    model = FeatureReweightedRSA(alphas=1)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        model.fit(features[:-1], voxels)
    with pytest.raises(ValueError, match="requires y"):
        model.fit(features, None)
    with pytest.raises(ValueError, match="constant among the training conditions"):
        model.fit(features, pd.DataFrame(1 - np.eye(N), index=NAMES, columns=NAMES))
    with pytest.raises(ValueError, match="7 training conditions are too few"):
        FeatureReweightedRSA().fit(features[:7], voxels[:7])
    with pytest.raises(ValueError, match="don't match the images"):
        model.fit(pd.DataFrame(features, index=NAMES[::-1]), brain)
    with pytest.raises(ValueError, match="features"):
        model.fit(features, voxels).predict(features[:, :3])
    with pytest.raises(ValueError, match="fewer than three conditions"):
        model.fit(features[:28], brain.iloc[:28])  # two are left to be tested
    with pytest.raises(ValueError, match=r"20000 features.*nonnegative=False"):
        FeatureReweightedRSA(alphas=1, nonnegative=True).fit(np.ones((5, 20000)), voxels[:5])


def test_sklearn_manners(features, voxels) -> None:
    splitter = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    model = FeatureReweightedRSA(alphas=(0.1, 1.0), cv=splitter)
    fitted = clone(model).fit(pd.DataFrame(features).add_prefix("f"), voxels)
    assert fitted.cv is not None
    assert fitted.feature_names_in_.tolist() == [f"f{k}" for k in range(P)]
    assert fitted.n_features_in_ == P
    again = pickle.loads(pickle.dumps(fitted))
    frame = pd.DataFrame(features).add_prefix("f")
    np.testing.assert_array_equal(again.predict(frame), fitted.predict(frame))
    assert fitted.coef_.dtype == np.float64
    assert FeatureReweightedRSA(alphas=1).fit(features.astype("f4"), voxels).coef_.dtype == "f8"
    assert fitted.__sklearn_tags__().target_tags.required


def test_many_features_few_pairs_stay_small(voxels) -> None:
    """The kernel among pairs: nothing of features x features is made."""
    import tracemalloc

    wide = np.random.default_rng(0).normal(size=(N, 20_000))
    tracemalloc.start()
    FeatureReweightedRSA(alphas=1).fit(wide, voxels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250e6  # features x features would be 3.2 GB


def test_real_rdms(kriegeskorte92: Any) -> None:
    """Monkey IT's principal axes, reweighted, are nearer to human IT than unweighted."""
    human, monkey = kriegeskorte92.human_it, kriegeskorte92.monkey_it
    n = len(monkey)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centring @ (1 - monkey.to_numpy()) @ centring)
    axes = vectors[:, -20:] * np.sqrt(values[-20:])
    folds = KFold(4, shuffle=True, random_state=0)
    model = FeatureReweightedRSA(nonnegative=True, standardize=False, random_state=0)
    reweighted = cross_val_score(model, axes, human, cv=folds, error_score="raise")
    fixed = [
        spearmanr(pdist(axes[t], "sqeuclidean"), upper(human.iloc[t, t])).statistic
        for _, t in folds.split(axes)
    ]
    assert np.mean(reweighted) > np.mean(fixed)


@pytest.mark.parametrize("intercept", [True, False])
def test_cross_products_without_the_design(intercept: bool) -> None:
    features, _, known, design = random_problem(40, 25, 0)
    means = design.mean(0) if intercept else np.zeros(25)
    expected = (design - means).T @ (design - means)
    found = _pair_ridge._gram(features, known, means)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12 * expected.max())
    pairs = np.random.default_rng(0).random(len(design))
    np.testing.assert_allclose(_pair_ridge._adjoint(features, pairs), design.T @ pairs, rtol=1e-12)
    np.testing.assert_allclose(
        weighted_pairs(features, np.eye(25)[:, :3]), design[:, :3].T, rtol=1e-12
    )


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for n, p, n_missing in SHAPES:
        features, target, *_ = random_problem(n, p, n_missing)
        one = reweight(features, target, np.ones(1), nonnegative=False, intercept=True)
        with monkeypatch.context() as patch:
            patch.setattr(_pair_ridge, "_CHUNK", 37)
            other = reweight(features, target, np.ones(1), nonnegative=False, intercept=True)
        np.testing.assert_allclose(other[0], one[0], rtol=1e-10)


def test_as_scoring_the_scorer_takes_the_prediction_for_an_rdm(features, voxels) -> None:
    model = make_pipeline(StandardScaler(), FeatureReweightedRSA("pearson", alphas=0.1))
    own = cross_val_score(model, features, voxels, cv=FOLDS, error_score="raise")
    scoring = RSAScorer("pearson")
    np.testing.assert_allclose(
        cross_val_score(model, features, voxels, cv=FOLDS, scoring=scoring), own, atol=1e-12
    )


# --- equal weights as the end of the penalty ---------------------------------------------------


def prepared(train, rows) -> np.ndarray:
    """Centred by the training mean; each pattern with mean 0 and length 1."""
    ready = rows - train.mean(axis=0)
    ready = ready - ready.mean(axis=1, keepdims=True)
    return ready / np.linalg.norm(ready, axis=1, keepdims=True)


def test_the_strongest_penalty_is_rsa_without_a_fit(features, voxels) -> None:
    model = FeatureReweightedRSA(alphas=1e9).fit(features[:20], voxels[:20])
    plain = pdist(features[20:] - features[:20].mean(axis=0), "correlation")
    assert spearmanr(upper(model.predict(features[20:])), plain).statistic > 1 - 1e-9
    raw = FeatureReweightedRSA(alphas=1e9, normalize=False).fit(features[:20], voxels[:20])
    plain = pdist(features[20:], "sqeuclidean")
    assert spearmanr(upper(raw.predict(features[20:])), plain).statistic > 1 - 1e-9
    against = FeatureReweightedRSA(alphas=1e9, target="rdm")  # falls with distances
    mirrored = 2 - compute_rdm(features[:20])
    np.fill_diagonal(mirrored, 0)
    named = pd.DataFrame(mirrored, NAMES[:20], NAMES[:20])
    assert against.fit(features[:20], named).coef_.min() > 0


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("n", [9, N])  # fewer pairs than features, and more
def test_penalised_differences_from_the_shared_weight(features, n, intercept) -> None:
    rng = np.random.default_rng(0)
    X = np.hstack([features[:n], rng.normal(size=(n, 60))])
    y = prepared(X, X) + 0.05 * rng.normal(size=X.shape)
    model = FeatureReweightedRSA(
        alphas=0.5, target_metric="sqeuclidean", fit_intercept=intercept
    ).fit(X, y)
    design = design_of(prepared(X, X))
    target = pdist(y, "sqeuclidean")
    one = LinearRegression(fit_intercept=intercept).fit(design.sum(1)[:, None], target).coef_[0]
    assert one > 0
    left = target - one * design.sum(axis=1)
    centred = design - design.mean(axis=0) if intercept else design
    alpha = 0.5 * np.sum(centred**2) / design.shape[1]
    ridge = Ridge(alpha=alpha, fit_intercept=intercept).fit(design, left)
    np.testing.assert_allclose(model.coef_, one + ridge.coef_, rtol=1e-7)


def test_nonnegative_weights_are_drawn_together_too(features) -> None:
    rng = np.random.default_rng(0)
    voxels = features @ np.diag([2, 1, 1, 1, 0.5, 0]) + rng.normal(size=features.shape)
    model = FeatureReweightedRSA(
        alphas=0.05, nonnegative=True, target_metric="sqeuclidean", normalize=False
    ).fit(features, voxels)
    design = design_of(features)
    target = pdist(voxels, "sqeuclidean")
    one = LinearRegression().fit(design.sum(1)[:, None], target).coef_[0]
    size = np.sqrt(penalty(design, 0.05))
    rows = np.vstack([design - design.mean(axis=0), size * np.eye(P)])
    expected = nnls(rows, np.append(target - target.mean(), size * one * np.ones(P)))[0]
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-7, atol=1e-12)


def test_the_default_is_hardly_worse_than_no_fit_where_features_count_alike() -> None:
    default, none = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, 100))
        y = X + 2 * rng.normal(size=X.shape)
        folds = KFold(4, shuffle=True, random_state=seed)
        plain = make_pipeline(StandardScaler(with_std=False), RDM())
        none += list(cross_val_score(plain, X, y, cv=folds, scoring=RSAScorer()))
        model = FeatureReweightedRSA(random_state=0)
        default += list(cross_val_score(model, X, y, cv=folds))
    assert np.mean(default) > np.mean(none) - 0.05


def test_a_fit_that_is_worse_than_none_is_told() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 100))
    y = X + 0.5 * rng.normal(size=X.shape)
    with pytest.warns(UserWarning, match="the fit is worse than none"):
        model = published(alphas=[1e-3, 1e-2], random_state=0).fit(X, y)
    assert model.unfitted_score_ > model.cv_scores_.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = FeatureReweightedRSA(random_state=0).fit(X, y)
        assert FeatureReweightedRSA(alphas=1.0).fit(X, y).unfitted_score_ is None
    centred = X - X.mean(axis=0)
    assert found.unfitted_score_ == pytest.approx(model.unfitted_score_)
    assert spearmanr(pdist(centred, "correlation"), pdist(y, "correlation")).statistic > 0.3


def test_constant_features_and_patterns_at_the_mean(features, voxels) -> None:
    with pytest.raises(ValueError, match="No feature in X varies"):
        FeatureReweightedRSA(alphas=1).fit(np.full((N, 3), 7.3), voxels)
    model = FeatureReweightedRSA(alphas=1).fit(features, voxels)
    middle = np.vstack([features.mean(axis=0), features[:4]])
    assert np.isfinite(model.predict(middle)).all()
