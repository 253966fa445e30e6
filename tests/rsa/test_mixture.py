"""Mixtures of layers against non-negative least squares written out."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn.rsa import LayerMixtureRSA, compute_rdm, stack_layers
from skdnn.rsa._fitting._layer_mixture import layer_positions

N = 24
NAMES = [f"im{i:02d}" for i in range(N)]
SIZES = {"conv1": 12, "conv2": 9, "fc6": 15}
FOLDS = KFold(3, shuffle=True, random_state=0)


@pytest.fixture
def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(N, size)) for name, size in SIZES.items()}


@pytest.fixture
def X(layers: dict[str, np.ndarray]) -> np.ndarray:
    return stack_layers(layers)[0]


@pytest.fixture
def groups(layers: dict[str, np.ndarray]) -> np.ndarray:
    return stack_layers(layers)[1]


@pytest.fixture
def voxels(layers: dict[str, np.ndarray]) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(N, 10))
    return np.c_[layers["conv1"], 0.7 * layers["fc6"], 0.5 * noise]


@pytest.fixture
def brain(voxels: np.ndarray) -> pd.DataFrame:
    return compute_rdm(pd.DataFrame(voxels, index=NAMES))


def rdms_side_by_side(layers: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.concat(
        {
            name: compute_rdm(pd.DataFrame(values, index=NAMES)).sample(
                frac=1, axis=1, random_state=seed
            )
            for seed, (name, values) in enumerate(layers.items())
        },
        axis=1,
    )


def upper(square: Any) -> np.ndarray:
    return squareform(np.asarray(square), checks=False)


def by_hand(
    layers: dict[str, np.ndarray], target: np.ndarray, rows: np.ndarray, alpha: float
) -> tuple[np.ndarray, ...]:
    """Weights, means, scales: least squares with one row for each pair and each penalty."""
    pairs = np.array([pdist(values[rows], "correlation") for values in layers.values()])
    mean, scale = pairs.mean(1), pairs.std(1)
    design = ((pairs - mean[:, None]) / scale[:, None]).T
    padding = np.sqrt(alpha * len(target)) * np.eye(len(layers))
    right = np.r_[target - target.mean(), np.zeros(len(layers))]
    return nnls(np.r_[design, padding], right)[0], mean, scale


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_fit_predict_score_by_hand(layers, X, groups, voxels, brain, alpha) -> None:
    train, test = np.arange(16), np.arange(16, N)
    model = LayerMixtureRSA(groups=groups, alphas=alpha).fit(X[train], brain.iloc[train])
    target = pdist(voxels[train], "correlation")
    weights, mean, scale = by_hand(layers, target, train, alpha)
    np.testing.assert_allclose(model.weights_, weights, atol=1e-12)
    assert model.layer_names_ == list(SIZES)
    held_out = np.array([pdist(values[test], "correlation") for values in layers.values()])
    expected = target.mean() + weights @ ((held_out - mean[:, None]) / scale[:, None])
    predicted = model.predict(X[test])
    np.testing.assert_allclose(upper(predicted), expected, atol=1e-12)
    np.testing.assert_array_equal(predicted, predicted.T)
    np.testing.assert_array_equal(np.diag(predicted), 0)
    score = spearmanr(expected, pdist(voxels[test], "correlation")).statistic
    assert model.score(X[test], brain.iloc[test]) == pytest.approx(score, abs=1e-12)


def test_positive_weights_are_those_of_plain_regression(layers, X, groups) -> None:
    rdms = {name: pdist(values, "correlation") for name, values in layers.items()}
    target = 3 * rdms["conv1"] + rdms["conv2"] + 2 * rdms["fc6"] + 0.5
    model = LayerMixtureRSA(groups=groups, target="rdm").fit(X, squareform(target))
    np.testing.assert_allclose(model.weights_ / model.rdm_scale_, [3, 1, 2], rtol=1e-10)
    np.testing.assert_allclose(upper(model.predict(X)), target, rtol=1e-10)
    plain = LayerMixtureRSA(groups=groups, target="rdm", fit_intercept=False)
    plain.fit(X, squareform(target))
    design = np.array(list(rdms.values())).T
    expected = LinearRegression(fit_intercept=False).fit(design, target).coef_
    np.testing.assert_allclose(plain.weights_ / plain.rdm_scale_, expected, rtol=1e-10)
    np.testing.assert_allclose(plain.rdm_scale_, np.sqrt(np.mean(design**2, axis=0)), rtol=1e-12)


def test_all_ways_to_say_which_columns_are_whose(layers, X, groups, voxels) -> None:
    expected = LayerMixtureRSA(groups=groups).fit(X, voxels)
    slices = {"conv1": slice(0, 12), "conv2": slice(12, 21), "fc6": slice(21, None)}
    masks = {name: groups == name for name in SIZES}
    frame = pd.concat({name: pd.DataFrame(values) for name, values in layers.items()}, axis=1)
    for given, data in ((slices, X), (masks, X), (list(groups), X), (None, frame)):
        model = LayerMixtureRSA(groups=given).fit(data, voxels)
        np.testing.assert_allclose(model.weights_, expected.weights_, atol=1e-14)
        assert model.layer_names_ == list(SIZES)
        np.testing.assert_allclose(model.predict(data), expected.predict(X), atol=1e-14)
    order = np.random.default_rng(0).permutation(X.shape[1])  # columns of layers interleaved
    mixed = LayerMixtureRSA(groups=groups[order]).fit(X[:, order], voxels)
    found = dict(zip(mixed.layer_names_, mixed.weights_, strict=True))
    np.testing.assert_allclose([found[name] for name in SIZES], expected.weights_, atol=1e-12)
    np.testing.assert_allclose(mixed.predict(X[:, order]), expected.predict(X), atol=1e-12)


def test_layers_of_a_table_may_come_in_another_order(layers, voxels) -> None:
    frame = pd.concat({name: pd.DataFrame(values) for name, values in layers.items()}, axis=1)
    model = LayerMixtureRSA().fit(frame, voxels)
    turned = frame[["fc6", "conv1", "conv2"]]
    np.testing.assert_allclose(model.predict(turned), model.predict(frame), atol=1e-14)
    renamed = frame.rename(columns={"fc6": "fc7"}, level=0)
    with pytest.raises(ValueError, match="fc7"):
        model.predict(renamed)


def test_precomputed_rdms_equal_features(layers, X, groups, brain) -> None:
    rdms = rdms_side_by_side(layers)  # columns shuffled under their labels
    model, other = LayerMixtureRSA(metric="precomputed"), LayerMixtureRSA(groups=groups)
    model.fit(rdms, brain), other.fit(X, brain)
    np.testing.assert_allclose(model.weights_, other.weights_, atol=1e-12)
    np.testing.assert_allclose(model.predict(rdms), other.predict(X), atol=1e-12)
    for cv in (FOLDS, KFold(4, shuffle=True, random_state=1)):
        np.testing.assert_allclose(
            cross_val_score(model, rdms, brain, cv=cv, error_score="raise"),
            cross_val_score(other, X, brain, cv=cv, error_score="raise"),
            atol=1e-12,
        )


def test_alpha_is_chosen_over_conditions(X, groups, voxels) -> None:
    alphas = [0.0, 0.1, 10.0]
    inner = KFold(4, shuffle=True, random_state=3)
    model = LayerMixtureRSA(groups=groups, alphas=alphas, cv=inner).fit(X, voxels)
    expected = [
        cross_val_score(LayerMixtureRSA(groups=groups, alphas=a), X, voxels, cv=inner).mean()
        for a in alphas
    ]
    np.testing.assert_allclose(model.cv_scores_, expected, rtol=1e-10)
    assert model.alpha_ == alphas[np.argmax(expected)]
    same = LayerMixtureRSA(groups=groups, alphas=alphas, cv=4, random_state=3).fit(X, voxels)
    np.testing.assert_array_equal(same.weights_, model.weights_)


def test_the_mixture_beats_its_layers(X, groups, layers, voxels) -> None:
    mixture = cross_val_score(LayerMixtureRSA(groups=groups), X, voxels, cv=FOLDS).mean()
    for values in layers.values():
        single = [
            spearmanr(pdist(values[t], "correlation"), pdist(voxels[t], "correlation")).statistic
            for _, t in FOLDS.split(X)
        ]
        assert mixture > np.mean(single) + 0.02


def test_several_subjects_share_the_weights(X, groups, brain) -> None:
    rng = np.random.default_rng(5)
    other = compute_rdm(pd.DataFrame(50 * rng.normal(size=(N, 6)), index=NAMES), "euclidean")
    both = pd.concat({"a": brain, "b": other}, axis=1)
    model = LayerMixtureRSA(groups=groups).fit(X, both)
    z = [(upper(y) - upper(y).mean()) / upper(y).std() for y in (brain, other)]
    mean = LayerMixtureRSA(groups=groups, target="rdm").fit(X, squareform(sum(z) / 2))
    np.testing.assert_allclose(model.weights_, mean.weights_, atol=1e-12)
    each = [spearmanr(upper(model.predict(X)), upper(y)).statistic for y in (brain, other)]
    assert model.score(X, both) == pytest.approx(np.mean(each), abs=1e-12)


def test_pipelines_and_searches(X, groups, brain) -> None:
    pipeline = make_pipeline(StandardScaler(), LayerMixtureRSA(groups=groups, random_state=0))
    grid = {"layermixturersa__metric": ["correlation", "euclidean"]}
    search = GridSearchCV(pipeline, grid, cv=FOLDS, error_score="raise").fit(X, brain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X[:5]).shape == (5, 5)
    assert cross_val_score(search, X, brain, cv=FOLDS, error_score="raise").min() > 0.3


def test_unknown_pairs(layers, X, groups, brain) -> None:
    holed = brain.copy()
    holed.iloc[0, 5] = holed.iloc[5, 0] = np.nan
    rdms = rdms_side_by_side(layers)
    row, column = NAMES[2], ("conv2", NAMES[7])
    rdms.loc[row, column] = rdms.loc[NAMES[7], ("conv2", row)] = np.nan
    model = LayerMixtureRSA(metric="precomputed").fit(rdms, holed)
    pairs = np.array([pdist(values, "correlation") for values in layers.values()])
    known = ~np.isnan(upper(holed))
    missing = np.zeros((N, N))
    missing[2, 7] = missing[7, 2] = 1
    known &= upper(missing) == 0
    part, target = pairs[:, known], upper(holed)[known]
    design = ((part - part.mean(1)[:, None]) / part.std(1)[:, None]).T
    expected = nnls(design, target - target.mean())[0]
    np.testing.assert_allclose(model.weights_, expected, atol=1e-12)
    predicted = model.predict(rdms)
    assert np.isnan(predicted[2, 7]) == (model.weights_[1] > 0)
    assert np.isnan(predicted).sum() == 2 * (model.weights_[1] > 0)


def test_no_layer_is_related(layers, X, groups) -> None:
    rdms = [pdist(values, "correlation") for values in layers.values()]
    against = squareform(6 - sum(rdms))
    model = LayerMixtureRSA(groups=groups, target="rdm").fit(X, against)
    np.testing.assert_array_equal(model.weights_, 0)
    assert model.score(X, against) == 0
    with pytest.warns(RuntimeWarning, match="the target RDM"):
        assert np.isnan(model.score(X, 1 - np.eye(N)))


def test_a_layer_whose_rdm_is_constant_has_no_weight(layers, brain) -> None:
    flat = pd.DataFrame(1 - np.eye(N), index=NAMES, columns=NAMES)
    rdms = pd.concat({"flat": flat, "conv1": rdms_side_by_side(layers)["conv1"]}, axis=1)
    model = LayerMixtureRSA(metric="precomputed").fit(rdms, brain)
    assert model.weights_[0] == 0 < model.weights_[1]
    assert np.isfinite(model.predict(rdms)).all()
    alone = LayerMixtureRSA(metric="precomputed").fit(rdms[["conv1"]], brain)
    assert alone.weights_[0] == pytest.approx(model.weights_[1], abs=1e-12)


def test_stack_layers() -> None:
    X, groups = stack_layers({"a": np.arange(12).reshape(2, 2, 3), "b": [[1.5], [2.5]]})
    np.testing.assert_array_equal(X, [[0, 1, 2, 3, 4, 5, 1.5], [6, 7, 8, 9, 10, 11, 2.5]])
    assert groups.tolist() == ["a"] * 6 + ["b"]
    single = stack_layers({"a": np.ones((2, 3), "f4"), "b": np.ones((2, 2), "f4")})[0]
    assert single.dtype == np.float32
    for bad in ({}, {"a": np.ones((2, 3)), "b": np.ones((3, 3))}, {"a": 1.0}):
        with pytest.raises(ValueError, match="same number of conditions"):
            stack_layers(bad)


def test_layer_positions() -> None:
    found = layer_positions(["b", "a", "b"], None, 3)
    assert {name: where.tolist() for name, where in found.items()} == {"b": [0, 2], "a": [1]}
    deep = pd.MultiIndex.from_tuples([("net", "c1", 0), ("net", "c1", 1), ("net", "c2", 0)])
    assert list(layer_positions(None, deep, 3)) == ["net/c1", "net/c2"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groups": None}, "Which columns of X are which layer's"),
        ({"groups": ["a", "b"]}, r"groups has shape \(2,\).* 36 columns"),
        ({"groups": ["a"] * 35 + [None]}, "no layer for some columns"),
        ({"groups": {"a": [0, 99]}}, "columns that X doesn't have"),
        ({"groups": {"a": slice(0, 3), "b": []}}, "no columns for 'b'"),
        ({"groups": {}}, "no columns for any"),
        ({"alphas": -1.0}, "alphas"),
        ({"metric": "correlatoin"}, "metric"),
        ({"metric": "precomputed"}, "metric='precomputed' needs labelled RDMs"),
        ({"comparison": "spearmann"}, "Did you mean 'spearman'"),
    ],
)
def test_errors_name_the_parameter(X, groups, voxels, parameters, message) -> None:
    with pytest.raises(ValueError, match=message):
        LayerMixtureRSA(**{"groups": groups} | parameters).fit(X, voxels)


def test_refused_data(layers, X, groups, voxels, brain) -> None:
    model = LayerMixtureRSA(groups=groups)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        model.fit(X[:-1], voxels)
    with pytest.raises(ValueError, match="requires y"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="features"):
        model.fit(X, voxels).predict(X[:, :5])
    rdms = rdms_side_by_side(layers).rename(index={NAMES[0]: "other"})
    with pytest.raises(ValueError, match="'conv1' in X has no column for its rows 'other'"):
        LayerMixtureRSA(metric="precomputed").fit(rdms, voxels)
    with pytest.raises(ValueError, match="don't match the images"):
        LayerMixtureRSA(metric="precomputed").fit(rdms_side_by_side(layers), brain.iloc[::-1])


def test_sklearn_manners(X, groups, voxels) -> None:
    model = LayerMixtureRSA(groups=groups, alphas=(0.0, 1.0), random_state=0)
    fitted = clone(model).fit(X, voxels)
    assert fitted.get_params()["groups"] is not None
    assert fitted.n_features_in_ == X.shape[1]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    before = {name: pickle.dumps(value) for name, value in vars(fitted).items()}
    fitted.score(X, voxels)
    assert {name: pickle.dumps(value) for name, value in vars(fitted).items()} == before
    assert (fitted.weights_ >= 0).all()
