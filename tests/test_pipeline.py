"""The main job, end to end on image files: extract, compare, cross-validate, choose a layer.

A three-layer network, unequal image sizes, and references written out by hand with numpy and
scipy. The network has seen nothing: what is tested is arithmetic and bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch
from torch import nn

from skdnn import RDM, DNNFeatureExtractor, RSAScorer
from skdnn.models import Model
from skdnn.rsa import compare_rdms

N, VOXELS = 19, 11
LAYERS = ["conv1", "conv2", "fc"]
FOLDS = KFold(4, shuffle=True, random_state=1)  # of 5, 5, 5 and 4 conditions


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Nineteen noisy pictures of unequal sizes."""
    folder = tmp_path_factory.mktemp("pipeline")
    rng = np.random.default_rng(0)
    files = []
    for i in range(N):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        path = folder / f"object{i:02d}.{('png', 'jpg')[i % 2]}"
        Image.fromarray(coarse).resize((60 + i, 44 + 2 * i)).save(path)
        files.append(str(path))
    return files


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(2)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 6, 5, stride=3))
    network.add_module("relu", nn.ReLU(inplace=True))
    network.add_module("conv2", nn.Conv2d(6, 5, 3, stride=2))
    network.add_module("flat", nn.Flatten())
    network.add_module("fc", nn.Linear(5 * 4 * 5, 8))
    return Model(network, {"resize": (32, 40), "crop": None})


@pytest.fixture(scope="module")
def features(paths: list[str], model: Model) -> dict[str, np.ndarray]:
    """What the network computes, layer by layer, in one pass."""
    return DNNFeatureExtractor(model).extract(paths, LAYERS, flatten=True)


def stems(paths: list[str]) -> list[str]:
    return [Path(path).stem for path in paths]


@pytest.fixture(scope="module")
def voxels(paths: list[str], features: dict[str, np.ndarray]) -> pd.DataFrame:
    """Labelled patterns of a made-up brain that listens to the middle layer."""
    rng = np.random.default_rng(3)
    signal = features["conv2"] @ rng.normal(size=(features["conv2"].shape[1], VOXELS))
    return pd.DataFrame(signal + rng.normal(size=signal.shape), index=stems(paths))


@pytest.fixture(scope="module")
def brain(voxels: pd.DataFrame) -> pd.DataFrame:
    """Its labelled RDM, columns in another order than rows: labels must do the work."""
    square = squareform(pdist(voxels.to_numpy(), "euclidean"))
    labelled = pd.DataFrame(square, index=voxels.index, columns=voxels.index)
    return labelled.sample(frac=1, axis=1, random_state=4)


def rsa_pipeline(model: Model, **steps: Any) -> Pipeline:
    """Extractor, steps in between, RDM, scorer."""
    between = list(steps.items())
    return Pipeline(
        [("dnn", DNNFeatureExtractor(model, "fc")), *between, ("rdm", RDM()), ("rsa", RSAScorer())]
    )


Prepare = Callable[[np.ndarray, np.ndarray], np.ndarray]


def only_test_rows(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return test


def centred_pca(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Mean and components of the training rows alone, by singular values."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:3]
    return (test - mean) @ axes.T


def by_hand(
    features: np.ndarray,
    y: pd.DataFrame,
    prepare: Prepare = only_test_rows,
    metric: str = "correlation",
) -> list[float]:
    """One Spearman correlation per fold, of the pairs of its test conditions."""
    scores = []
    for train, test in FOLDS.split(features):
        pairs = pdist(prepare(features[train], features[test]).astype(np.float64), metric)
        if set(y.index) <= set(y.columns):
            names = y.index[test]
            target = y.loc[names, names].to_numpy()[np.triu_indices(len(test), 1)]
        else:
            target = pdist(y.to_numpy()[test], "correlation")
        scores.append(spearmanr(pairs, target).statistic)
    return scores


def split_scores(search: GridSearchCV) -> np.ndarray:
    """Scores (n_candidates, n_splits)."""
    n_splits = search.n_splits_
    return np.stack([search.cv_results_[f"split{k}_test_score"] for k in range(n_splits)], axis=1)


# The search for a layer


@pytest.mark.parametrize("kind", ["rdm", "patterns"])
def test_layer_search_equals_rsa_by_hand(kind, paths, model, features, voxels, brain):
    y = brain if kind == "rdm" else voxels
    search = GridSearchCV(
        rsa_pipeline(model), {"dnn__layer": LAYERS}, cv=FOLDS, error_score="raise"
    ).fit(paths, y)
    expected = np.array([by_hand(features[layer], y) for layer in LAYERS])
    assert_allclose(split_scores(search), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected.mean(1)) > 0.01  # layers do differ
    assert search.best_params_["dnn__layer"] == LAYERS[expected.mean(1).argmax()]
    assert search.best_estimator_["dnn"].layers_ == [search.best_params_["dnn__layer"]]


@pytest.mark.parametrize("kind", ["rdm", "patterns"])
def test_what_is_fitted_is_fitted_on_training_rows(kind, paths, model, features, voxels, brain):
    y = brain if kind == "rdm" else voxels
    pipeline = rsa_pipeline(
        model, center=StandardScaler(with_std=False), pca=PCA(3, svd_solver="full")
    ).set_params(dnn__layer="conv1", rdm__metric="euclidean")
    scores = cross_val_score(pipeline, paths, y, cv=FOLDS, error_score="raise")
    expected = by_hand(features["conv1"], y, centred_pca, "euclidean")
    assert_allclose(scores, expected, rtol=0, atol=1e-12)
    # Components of all rows would give other scores: the comparison can tell.
    leaky = by_hand(
        features["conv1"],
        y,
        lambda train, test: centred_pca(features["conv1"], test),
        "euclidean",
    )
    assert np.abs(np.subtract(leaky, expected)).max() > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooled_layers_equal_rsa_by_hand(pooling, paths, model, brain):
    extractor = DNNFeatureExtractor(model)
    maps = extractor.extract(paths, "conv2")["conv2"]
    pooled = getattr(maps, pooling)(axis=(2, 3))
    pipeline = rsa_pipeline(model).set_params(dnn__layer="conv2", dnn__pooling=pooling)
    pipeline.set_params(rdm__metric="cityblock")
    scores = cross_val_score(pipeline, paths, brain, cv=FOLDS, error_score="raise")
    # Sums of float32 depend on their order, but ranks of distances hardly ever do.
    assert_allclose(scores, by_hand(pooled, brain, metric="cityblock"), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_scorer_as_last_step_and_as_scoring_agree_over_a_whole_grid(paths, model, brain):
    grid = [
        {"dnn__layer": ["conv2"], "dnn__pooling": ["flatten", "mean"], "pca__n_components": [2]},
        {
            "dnn__layer": ["fc"],
            "pca__n_components": [2, 4],
            "rdm__metric": ["cosine", "euclidean"],
        },
    ]
    final = rsa_pipeline(model, pca=PCA(2, svd_solver="full"))
    options = {"param_grid": grid, "cv": FOLDS, "error_score": "raise"}
    searches = [
        GridSearchCV(final, **options, n_jobs=2),
        GridSearchCV(final[:-1], **options, scoring=RSAScorer()),
    ]
    last, scoring = (search.fit(paths, brain) for search in searches)
    assert split_scores(last).shape == (6, 4)
    assert np.isfinite(split_scores(last)).all()
    assert len(np.unique(last.cv_results_["mean_test_score"].round(6))) == 6
    assert_allclose(split_scores(last), split_scores(scoring), rtol=0, atol=1e-12)
    assert last.best_params_ == scoring.best_params_
    assert last.score(paths, brain) == pytest.approx(scoring.score(paths, brain), abs=1e-12)


# Rows, labels, folds


def test_shuffling_images_and_target_together_changes_nothing(paths, model, brain, voxels):
    order = np.random.default_rng(5).permutation(N)
    place = np.argsort(order)  # where each old row stands now
    folds = list(FOLDS.split(paths))
    moved = [(place[train], place[test]) for train, test in folds]
    shuffled = [paths[i] for i in order]
    pipeline = rsa_pipeline(model, pca=PCA(3, svd_solver="full"))
    for y in (brain, voxels):
        expected = cross_val_score(pipeline, paths, y, cv=folds, error_score="raise")
        found = cross_val_score(pipeline, shuffled, y.iloc[order], cv=moved, error_score="raise")
        assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_columns_may_be_shuffled_under_their_labels(paths, model, brain):
    pipeline = rsa_pipeline(model)
    expected = cross_val_score(pipeline, paths, brain, cv=FOLDS, error_score="raise")
    for seed in (6, 7):
        columns = brain.sample(frac=1, axis=1, random_state=seed)
        found = cross_val_score(pipeline, paths, columns, cv=FOLDS, error_score="raise")
        assert_array_equal(found, expected)


@pytest.mark.parametrize("way", ["last step", "scoring"])
def test_rows_that_are_not_the_images_are_refused(way, paths, model, brain, voxels):
    pipeline = rsa_pipeline(model)
    scoring = None
    if way == "scoring":
        pipeline, scoring = pipeline[:-1], RSAScorer()
    for y in (brain, voxels):
        wrong = y.iloc[[1, 0, *range(2, N)]]
        with pytest.raises(ValueError, match=r"row 0: y says 'object01', X is .*object00\.png"):
            cross_validate(pipeline, paths, wrong, cv=FOLDS, scoring=scoring, error_score="raise")


def test_labels_are_checked_in_the_held_out_rows_too(paths, model, voxels):
    """Two labels swapped within the test fold: no training fold can notice."""
    train, test = next(iter(FOLDS.split(paths)))
    order = np.arange(N)
    order[test[:2]] = test[[1, 0]]
    with pytest.raises(ValueError, match="don't match the images"):
        cross_val_score(
            rsa_pipeline(model)[:-1],
            paths,
            voxels.iloc[order],
            cv=[(train, test)],
            scoring=RSAScorer(),
            error_score="raise",
        )


@pytest.mark.parametrize("kind", ["rdm", "patterns"])
def test_fewer_than_three_conditions_in_a_fold(kind, paths, model, voxels, brain):
    y = brain if kind == "rdm" else voxels
    with pytest.raises(ValueError, match="fewer than three conditions"):
        cross_val_score(rsa_pipeline(model), paths, y, cv=KFold(8), error_score="raise")


def test_subjects_side_by_side_give_their_mean(paths, model, features, brain):
    rng = np.random.default_rng(8)
    subjects = {}
    for name in ("sub-01", "sub-02", "sub-03"):
        noise = squareform(rng.uniform(0, 20, N * (N - 1) // 2))
        labelled = brain + pd.DataFrame(noise, index=brain.index, columns=brain.index)
        subjects[name] = labelled.sample(frac=1, axis=1, random_state=len(subjects))
    y = pd.concat(subjects, axis=1)
    assert y.columns.nlevels == 2
    each = np.array([by_hand(features["fc"], rdm) for rdm in subjects.values()])
    assert np.ptp(each, axis=0).min() > 0
    scores = cross_val_score(rsa_pipeline(model), paths, y, cv=FOLDS, error_score="raise")
    assert_allclose(scores, each.mean(0), rtol=0, atol=1e-12)
    found = cross_validate(
        rsa_pipeline(model)[:-1],
        paths,
        y,
        cv=FOLDS,
        scoring=RSAScorer(detail=True),
        error_score="raise",
    )
    for name, expected in zip(subjects, each, strict=True):
        assert_allclose(found[f"test_{name}"], expected, rtol=0, atol=1e-12)


# Encoding: from features to voxels


def encoding_pipeline(model: Model) -> Pipeline:
    return Pipeline(
        [
            ("dnn", DNNFeatureExtractor(model, "conv2")),
            ("scale", StandardScaler()),
            ("ridge", Ridge(alpha=10.0)),
        ]
    )


def predictions_by_hand(features: np.ndarray, y: np.ndarray, alpha: float) -> list[np.ndarray]:
    """Ridge in its dual form on features that are scaled by the training rows."""
    found = []
    for train, test in FOLDS.split(features):
        values = features.astype(np.float64)
        scaled = (values - values[train].mean(0)) / values[train].std(0)
        kernel = scaled[train] @ scaled[train].T + alpha * np.eye(len(train))
        weights = np.linalg.solve(kernel, y[train] - y[train].mean(0))
        found.append(scaled[test] @ scaled[train].T @ weights + y[train].mean(0))
    return found


def test_encoding_equals_ridge_by_hand(paths, model, features, voxels):
    y = voxels.to_numpy()
    predicted = predictions_by_hand(features["conv2"], y, 10.0)
    tests = [test for _, test in FOLDS.split(paths)]
    expected = [r2_score(y[test], p) for test, p in zip(tests, predicted, strict=True)]
    scores = cross_val_score(
        encoding_pipeline(model), paths, voxels, cv=FOLDS, error_score="raise"
    )
    assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)  # scaled and solved in float32
    # The same predictions, seen as a representation.
    rsa = [
        spearmanr(pdist(p, "correlation"), pdist(y[test], "correlation")).statistic
        for test, p in zip(tests, predicted, strict=True)
    ]
    found = cross_val_score(
        encoding_pipeline(model), paths, voxels, cv=FOLDS, scoring=RSAScorer(), error_score="raise"
    )
    assert_allclose(found, rsa, rtol=0, atol=1e-12)


def test_encoding_search_over_layers(paths, model, voxels):
    grid = {"dnn__layer": LAYERS, "ridge__alpha": [1.0, 100.0]}
    search = GridSearchCV(encoding_pipeline(model), grid, cv=FOLDS, error_score="raise")
    search.fit(paths, voxels)
    assert search.best_params_["dnn__layer"] == "conv2"  # what the voxels were made of
    assert search.predict(paths[:5]).shape == (5, VOXELS)


# scikit-learn's other machinery


def test_metadata_routing(paths, model, brain):
    expected = cross_val_score(rsa_pipeline(model), paths, brain, cv=FOLDS, error_score="raise")
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_val_score(rsa_pipeline(model), paths, brain, cv=FOLDS, error_score="raise")
        search = GridSearchCV(
            rsa_pipeline(model)[:-1],
            {"dnn__layer": ["fc"]},
            cv=FOLDS,
            scoring=RSAScorer(),
            error_score="raise",
        ).fit(paths, brain)
    assert_array_equal(found, expected)
    assert_allclose(split_scores(search)[0], expected, rtol=0, atol=1e-12)


def test_pandas_through_the_whole_pipeline(paths, model, brain):
    plain = rsa_pipeline(model, center=StandardScaler(with_std=False), pca=PCA(3))
    labelled = clone(plain).set_output(transform="pandas")
    rdm = labelled[:-1].fit(paths, brain).transform(paths[2:9])
    assert isinstance(rdm, pd.DataFrame)
    assert rdm.index.tolist() == rdm.columns.tolist() == paths[2:9]
    assert_allclose(rdm, plain[:-1].fit(paths, brain).transform(paths[2:9]), rtol=0, atol=1e-5)
    assert_array_equal(
        cross_val_score(labelled, paths, brain, cv=FOLDS, error_score="raise"),
        cross_val_score(plain, paths, brain, cv=FOLDS, error_score="raise"),
    )


def test_network_runs_each_image_of_a_fold_once_per_step(paths, model, brain):
    """Neither fitting a clone nor scoring it sends an image through more often than it must."""
    seen: list[int] = []
    handle = model.network.conv1.register_forward_hook(
        lambda m, args, o: seen.append(len(args[0]))
    )
    try:
        pipeline = rsa_pipeline(model).set_params(dnn__batch_size=1)
        cross_val_score(pipeline, paths, brain, cv=FOLDS, error_score="raise")
    finally:
        handle.remove()
    # Training rows to fit, test rows to score: every fold sees every image once.
    assert sum(seen) == N * FOLDS.get_n_splits()


# Published numbers


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("pearson", 0.4912097961),
        ("spearman", 0.4389238094),
        ("kendall", 0.3040482555),
        ("cosine", 0.9950224035),
    ],
)
def test_monkey_against_human(comparison: str, expected: float, kriegeskorte92: Bunch) -> None:
    monkey, human = kriegeskorte92.monkey_it, kriegeskorte92.human_it
    assert compare_rdms(monkey, human, comparison) == pytest.approx(expected, abs=1e-9)
    order = np.random.default_rng(0).permutation(len(monkey))
    moved = monkey.iloc[order, order[::-1]]
    assert compare_rdms(moved, human, comparison) == pytest.approx(expected, abs=1e-9)
    scorer = RSAScorer(comparison).fit(monkey, human)
    assert scorer.score(monkey, human) == pytest.approx(expected, abs=1e-9)
