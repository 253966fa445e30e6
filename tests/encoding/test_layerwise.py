"""LayerwiseEncoder and LayerFeatures against scripts written out."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_study import ALPHAS, SIZES, study
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdnn.encoding import LayerFeatures, LayerwiseEncoder, VoxelwiseRidgeCV, nested_encoding
from skdnn.encoding._layers._encoder import best_layers
from skdnn.encoding._layers._features import LazyRows
from skdnn.encoding._layers._stacking import simplex_weights


@pytest.fixture(scope="module")
def data() -> tuple[LayerFeatures, np.ndarray]:
    layers, Y = study()
    return LayerFeatures(layers), Y


# Several layers as one X


def test_rows_of_layer_features() -> None:
    layers, _ = study()
    features = LayerFeatures(layers)
    whole = np.hstack(list(layers.values()))
    assert features.shape == whole.shape
    assert len(features) == 60
    assert features.names == list(SIZES)
    assert_array_equal(np.asarray(features), whole)
    mask = np.arange(60) % 3 == 0
    for key in (slice(3, 9), [4, 1, 1], mask, np.array([5, 0]), ([2, 3], Ellipsis)):
        rows = key[0] if isinstance(key, tuple) else key
        assert_array_equal(np.asarray(features[key]), whole[rows])
        assert_array_equal(np.asarray(features[key][:2]), whole[rows][:2])
        assert_array_equal(features[key].layer("mid"), layers["mid"][rows])
    assert_allclose(
        Ridge().fit(features, whole[:, 0]).coef_, Ridge().fit(whole, whole[:, 0]).coef_
    )
    assert "mid: 90" in repr(features)


def test_layers_of_images_are_flattened_and_checked() -> None:
    conv = np.arange(48.0).reshape(4, 3, 2, 2)
    assert_array_equal(LayerFeatures({"conv": conv}).layer("conv"), conv.reshape(4, 12))
    with pytest.raises(ValueError, match=r"different numbers of images: \{'a': 4, 'b': 3\}"):
        LayerFeatures({"a": np.ones((4, 2)), "b": np.ones((3, 2))})
    with pytest.raises(ValueError, match="not empty"):
        LayerFeatures({})
    with pytest.raises(KeyError, match="No layer 'fc'"):
        LayerFeatures({"conv": conv}).layer("fc")
    for key in ((slice(None), 1), 2):
        with pytest.raises(IndexError):
            LayerFeatures({"conv": conv})[key]


@given(
    st.lists(st.integers(0, 11), max_size=15),
    st.lists(st.integers(0, 11), min_size=1, max_size=15),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_lazy_rows_are_the_rows(first: list[int], second: list[int], start: int) -> None:
    array = np.random.default_rng(0).normal(size=(12, 6))
    rows = np.array(first, dtype=int)
    lazy = LazyRows(array, rows)
    assert lazy.shape == (len(rows), 6)
    assert_array_equal(np.asarray(lazy), array[rows])
    assert_array_equal(lazy[1:4], array[rows][1:4])
    assert_array_equal(lazy[:, start : start + 2], array[rows][:, start : start + 2])
    if first:
        again = np.array(second) % len(first)
        assert_array_equal(np.asarray(lazy.take(again)), array[rows][again])
        assert_array_equal(lazy[again, 1:3], array[rows][again, 1:3])


def test_files_stay_on_disk(tmp_path: Path, data: Any) -> None:
    layers, Y = study()
    cv = KFold(3, shuffle=True, random_state=0)
    encoder = LayerwiseEncoder(ALPHAS, cv=cv)
    expected = cross_val_predict(encoder, data[0], Y, cv=4)
    with h5py.File(tmp_path / "layers.h5", "w") as file:
        sets = {name: file.create_dataset(name, data=array) for name, array in layers.items()}
        features = LayerFeatures(sets)
        assert features.layer("low") is sets["low"]
        some = features[[7, 3, 3, 50]]
        assert isinstance(some.layer("low"), LazyRows)
        assert_array_equal(np.asarray(some), np.asarray(data[0])[[7, 3, 3, 50]])
        assert_allclose(cross_val_predict(encoder, features, Y, cv=4), expected, rtol=1e-9)
    for name, array in layers.items():
        np.save(tmp_path / f"{name}.npy", array)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in layers}
    assert isinstance(LayerFeatures(maps)[[1, 2]].layer("low"), LazyRows)
    assert_allclose(cross_val_predict(encoder, LayerFeatures(maps), Y, cv=4), expected, rtol=1e-9)


def test_every_form_of_X_gives_the_same(data: Any) -> None:
    layers, Y = study()
    table = np.hstack(list(layers.values()))
    labels = np.repeat(list(SIZES), list(SIZES.values()))
    ends = np.cumsum([0, *SIZES.values()])
    slices = {name: slice(a, b) for name, a, b in zip(SIZES, ends[:-1], ends[1:], strict=True)}
    columns = pd.MultiIndex.from_arrays([labels, np.arange(len(labels))])
    order = np.random.default_rng(0).permutation(len(labels))
    expected = LayerwiseEncoder(ALPHAS).fit(data[0], Y).predict(data[0])
    forms: list[tuple[Any, Any]] = [
        (layers, None),
        (layers, list(layers)),
        (table, labels),
        (table, list(labels)),
        (table, slices),
        (pd.DataFrame(table), labels),
        (pd.DataFrame(table, columns=columns), None),
        (table[:, order], labels[order]),
    ]
    for X, given_layers in forms:
        encoder = LayerwiseEncoder(ALPHAS, layers=given_layers)
        assert_allclose(clone(encoder).fit(X, Y).predict(X), expected, rtol=1e-8)
    one = LayerwiseEncoder(ALPHAS, layers=["mid"]).fit(layers, Y)
    assert one.layer_names_ == ["mid"]
    shuffled = KFold(5, shuffle=True, random_state=0)
    alone = VoxelwiseRidgeCV(ALPHAS, cv=shuffled).fit(layers["mid"], Y)
    assert_allclose(one.predict(layers), alone.predict(layers["mid"]))


def test_what_is_no_layers_is_refused(data: Any) -> None:
    layers, Y = study()
    table = np.asarray(data[0])
    with pytest.raises(ValueError, match="say with layers="):
        LayerwiseEncoder().fit(table, Y)
    with pytest.raises(ValueError, match=r"shape \(3,\), but X has 137 columns"):
        LayerwiseEncoder(layers=["a", "b", "c"]).fit(table, Y)
    with pytest.raises(ValueError, match=r"X has no \['top'\]"):
        LayerwiseEncoder(layers=["low", "top"]).fit(layers, Y)
    fitted = LayerwiseEncoder(ALPHAS).fit(layers, Y)
    with pytest.raises(ValueError, match="were fitted"):
        fitted.predict({**layers, "mid": layers["mid"][:, 1:]})
    with pytest.raises(ValueError, match="were fitted"):
        fitted.predict({"low": layers["low"]})
    with pytest.raises(ValueError, match="none of"):
        fitted.layer_coef("top")
    layers["mid"][5, 2] = np.nan
    with pytest.raises(ValueError, match="layer 'mid' has NaN or infinity in rows 5"):
        LayerwiseEncoder().fit(layers, Y)


# The choice


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("scoring", ["r2", "correlation"])
@pytest.mark.parametrize("select", ["layer", "best_overall"])
def test_the_choice_is_that_of_one_model_for_each_layer(
    cv: Any, scoring: str, select: str
) -> None:
    layers, Y = study()
    folds = cv if cv is None else KFold(cv, shuffle=True, random_state=0)
    params = {"cv": folds, "scoring": scoring}
    ours = LayerwiseEncoder(ALPHAS, select=select, **params).fit(layers, Y)
    each = [VoxelwiseRidgeCV(ALPHAS, **params).fit(layer, Y) for layer in layers.values()]
    scores = np.stack([model.best_score_ for model in each])
    assert_allclose(ours.cv_scores_, scores)
    assert_array_equal(ours.alphas_, [model.alpha_ for model in each])
    best = scores.argmax(axis=0)
    if select == "best_overall":
        best[:] = scores.mean(axis=1).argmax()
    assert ours.layer_.tolist() == [list(SIZES)[i] for i in best]
    assert_array_equal(ours.alpha_, [each[i].alpha_[voxel] for voxel, i in enumerate(best)])
    assert_array_equal(ours.weights_, np.arange(3)[:, None] == best)
    predicted = ours.predict(layers)
    for voxel, i in enumerate(best):
        own = each[i].predict(list(layers.values())[i])[:, voxel]
        assert_allclose(predicted[:, voxel], own, rtol=1e-9)
        targets, coef = ours.layer_coef(list(SIZES)[i])
        assert_allclose(coef[targets == voxel][0], each[i].coef_[voxel], rtol=1e-8, atol=1e-10)
    if select == "layer":
        assert ours.layer_[:6].tolist() == ["low", "low", "mid", "mid", "high", "high"]
    else:
        assert len(set(ours.layer_)) == 1
        assert ours.layer_coef("low" if ours.layer_[0] != "low" else "mid")[1].shape[0] == 0


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_stacking(cv: Any, fit_intercept: bool) -> None:
    layers, Y = study()
    folds = KFold(60 if cv is None else cv)
    ours = LayerwiseEncoder(
        ALPHAS, select="stack", cv=cv and folds, fit_intercept=fit_intercept
    ).fit(layers, Y)
    whole = np.zeros_like(Y)
    for voxel in range(Y.shape[1]):
        models = [
            Ridge(ours.alphas_[layer, voxel], fit_intercept=fit_intercept) for layer in range(3)
        ]
        held_out = np.stack([
            cross_val_predict(model, X, Y[:, voxel], cv=folds)
            for model, X in zip(models, layers.values(), strict=True)
        ])  # fmt: skip
        weights = ours.weights_[:, voxel]
        assert (weights >= 0).all()
        assert_allclose(weights.sum(), 1)

        def loss(w: Any, held_out: Any = held_out, voxel: int = voxel) -> float:
            return float(np.mean((Y[:, voxel] - w @ held_out) ** 2))

        best = minimize(
            loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, tol=1e-12,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        )  # fmt: skip
        assert loss(weights) <= best.fun * (1 + 1e-7)
        for model, X, weight in zip(models, layers.values(), weights, strict=True):
            whole[:, voxel] += weight * model.fit(X, Y[:, voxel]).predict(X)
    assert_allclose(ours.predict(layers), whole, rtol=1e-8)
    assert ours.weights_[:, 6].min() < 0.1 < np.sort(ours.weights_[:, 6])[1]  # of two layers


@given(st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_weights_are_optimal_on_the_simplex(n_layers: int, seed: int) -> None:
    """At the optimum, no layer with a share has a larger gradient than another."""
    rng = np.random.default_rng(seed)
    residuals = rng.normal(size=(n_layers, 20)) * rng.uniform(0.01, 100, (n_layers, 1))
    Q = residuals @ residuals.T
    w = simplex_weights(Q[None], np.array([True]))[:, 0]
    assert (w >= 0).all()
    assert_allclose(w.sum(), 1)
    gradient = Q @ w
    scale = np.trace(Q)
    assert_allclose(gradient[w > 1e-9], w @ gradient, atol=1e-7 * scale)
    assert gradient.min() >= w @ gradient - 1e-7 * scale


def test_layers_that_are_kept_or_made_anew_give_the_same(
    monkeypatch: pytest.MonkeyPatch, data: Any
) -> None:
    for select in ("layer", "stack"):
        encoder = LayerwiseEncoder(ALPHAS, select=select)
        kept = clone(encoder).fit(*data)
        with monkeypatch.context() as patch:
            patch.setattr("skdnn.encoding._layers._encoder._KEPT_BYTES", 0)
            anew = clone(encoder).fit(*data)
        assert_array_equal(kept.predict(data[0]), anew.predict(data[0]))


def test_blocks_and_precision_change_little(data: Any) -> None:
    features, Y = data
    for select in ("layer", "stack"):
        encoder = LayerwiseEncoder(ALPHAS, select=select)
        plain = clone(encoder).fit(features, Y).predict(features)
        for params in ({"target_chunk": 3}, {"store": "dual"}, {"device": "cpu:0"}):
            found = clone(encoder).set_params(**params).fit(features, Y).predict(features)
            assert_allclose(found, plain, rtol=1e-8)
        single = clone(encoder).set_params(dtype="float32").fit(features, Y)
        assert single.predict(features).dtype == np.float32
        assert_allclose(single.predict(features), plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("select", ["layer", "best_overall", "stack"])
def test_targets_without_a_model(select: str) -> None:
    layers, Y = study()
    broken = Y.copy()
    broken[2, 1], broken[:, 4] = np.nan, 3.0
    encoder = LayerwiseEncoder(ALPHAS, select=select, nan_targets="nan")
    with pytest.warns(RuntimeWarning) as caught:
        encoder.fit(layers, broken)
    assert [str(w.message)[:20] for w in caught] == [
        "y has NaN or infinit",
        "1 of 8 targets are c",
    ]
    sound = [0, 2, 3, 5, 6, 7]
    fresh = LayerwiseEncoder(ALPHAS, select=select).fit(layers, Y[:, sound])
    assert encoder.layer_[sound].tolist() == fresh.layer_.tolist()
    assert encoder.layer_[[1, 4]].tolist() == [None, None]
    predicted = encoder.predict(layers)
    assert_allclose(predicted[:, sound], fresh.predict(layers), rtol=1e-9)
    assert np.isnan(predicted[:, 1]).all()
    assert_allclose(predicted[:, 4], 3)
    scores = encoder.score_per_target(layers, Y)
    assert np.isnan(scores[[1, 4]]).all()
    assert_allclose(encoder.score(layers, Y), scores[sound].mean())
    with pytest.raises(ValueError, match="nan_targets"):
        clone(encoder).set_params(nan_targets="error").fit(layers, broken)


def test_best_layers_pass_over_what_has_no_score() -> None:
    scores = np.array([[np.nan, 0.2, 0.5], [-1, np.nan, 0.5], [-2, 0.1, 0.3]])
    assert best_layers(scores, overall=False).tolist() == [1, 0, 0]
    assert best_layers(scores, overall=True).tolist() == [0, 0, 0]


# In scikit-learn


def test_in_scikit_learn(data: Any) -> None:
    features, Y = data
    encoder = LayerwiseEncoder(ALPHAS, random_state=0)
    with pytest.raises(NotFittedError):
        encoder.predict(features)
    assert cross_val_score(encoder, features, Y, cv=3).shape == (3,)
    search = GridSearchCV(encoder, {"select": ["layer", "best_overall", "stack"]}, cv=3)
    search.fit(features, Y)
    assert search.best_params_["select"] in ("layer", "stack")
    fitted = encoder.fit(features, Y)
    assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).predict(features), fitted.predict(features)
    )
    assert_allclose(fitted.score(features, Y), r2_score(Y, fitted.predict(features)))
    labels = np.repeat(list(SIZES), list(SIZES.values()))
    pipeline = make_pipeline(FunctionTransformer(), LayerwiseEncoder(ALPHAS, layers=labels))
    assert pipeline.fit(np.asarray(features), Y).score(np.asarray(features), Y) > 0.5
    flat = LayerwiseEncoder(ALPHAS).fit(features, Y[:, 0])
    assert flat.predict(features).shape == (60,)
    assert flat.layer_.tolist() == ["low"]


def test_groups_are_routed(data: Any) -> None:
    features, Y = data
    groups = np.repeat(np.arange(12), 5)
    by_hand = LayerwiseEncoder(ALPHAS, cv=3).fit(features, Y, groups=groups)
    folds = GroupKFold(3, shuffle=True, random_state=0).split(Y, Y, groups)
    expected = LayerwiseEncoder(ALPHAS, cv=list(folds))
    assert_array_equal(by_hand.cv_scores_, expected.fit(features, Y).cv_scores_)
    with sklearn.config_context(enable_metadata_routing=True):
        encoder = LayerwiseEncoder(ALPHAS, cv=GroupKFold(2)).set_fit_request(groups=True)
        found = cross_validate(
            encoder, features, Y, cv=GroupKFold(3), params={"groups": groups}, error_score="raise"
        )
    assert len(found["test_score"]) == 3


def test_layers_from_an_extractor(tmp_path: Path) -> None:
    """One pass through the network for all layers, in memory or through a store."""
    torch = pytest.importorskip("torch")
    from skdnn import DNNFeatureExtractor
    from skdnn.models import Model

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, stride=3), torch.nn.ReLU())
    model = Model(network, {"resize": (20, 23), "crop": None})
    images = np.random.default_rng(0).integers(0, 256, (24, 20, 23, 3), dtype=np.uint8)
    extractor = DNNFeatureExtractor(model, "0", cache=str(tmp_path)).fit(images)
    extracted = extractor.extract(images, ["0", "1"])
    features = LayerFeatures(extracted)
    Y = np.asarray(features)[:, [0, 50]] + 0.0
    Y += 1e-3 * np.random.default_rng(1).normal(size=Y.shape)
    stored = {
        name: DNNFeatureExtractor(model, name, cache=str(tmp_path)).fit(images).stored(images)
        for name in ("0", "1")
    }
    encoder = LayerwiseEncoder([1e-3, 1], cv=3, dtype="float64")
    expected = cross_val_predict(encoder, features, Y, cv=2)
    assert isinstance(LayerFeatures(stored)[[0]].layer("0"), LazyRows)
    assert_allclose(
        cross_val_predict(encoder, LayerFeatures(stored), Y, cv=2), expected, rtol=1e-6
    )


def test_folds_of_an_integer_are_shuffled() -> None:
    """Stimuli come sorted by category: neighbours would be left out together."""
    rng = np.random.default_rng(0)
    category = np.repeat(np.arange(6), 10)
    features = {"a": rng.normal(size=(6, 20))[category] * 2 + rng.normal(size=(60, 20))}
    Y = rng.normal(size=(6, 4))[category] + 0.3 * rng.normal(size=(60, 4))
    found = LayerwiseEncoder(ALPHAS).fit(features, Y)
    by_hand = KFold(5, shuffle=True, random_state=0)
    assert_array_equal(
        found.cv_scores_, LayerwiseEncoder(ALPHAS, cv=by_hand).fit(features, Y).cv_scores_
    )
    sorted_folds = LayerwiseEncoder(ALPHAS, cv=KFold(5)).fit(features, Y)
    assert found.cv_scores_.mean() > sorted_folds.cv_scores_.mean() + 0.3
    table = nested_encoding(LayerwiseEncoder(ALPHAS), features, Y, 5)
    same = nested_encoding(LayerwiseEncoder(ALPHAS), features, Y, by_hand)
    assert_allclose(table["r"], same["r"])
