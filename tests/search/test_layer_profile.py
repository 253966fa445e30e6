"""layer_profile_ against the results of the search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (the import does it)
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from torch import nn

from skdnn import DNNFeatureExtractor, LayerSearchCV
from skdnn.models import Model
from skdnn.rsa import RDM, RSAScorer, best_by_pairs, weighted_scores

N = 19
FOLDS = KFold(4, shuffle=True, random_state=1)
LAYERS = {"dnn__layer": ["3", "0", "1"]}


def dnn(model: Model, layer: str = "3", **params: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(model, layer, **params)


def encoding(model: Model, **params: Any) -> Pipeline:
    return Pipeline([("dnn", dnn(model, "3", **params)), ("ridge", Ridge())])


def test_profile_of_a_search_over_layers(paths, model, patterns):
    layers = ["output", "3", "0", ["3", "1"], "[01]*"]
    search = LayerSearchCV(encoding(model), {"dnn__layer": layers}, cv=FOLDS)
    profile = search.fit(paths, patterns).layer_profile_
    folds = [f"split{k}" for k in range(4)]
    assert profile.columns.tolist() == [
        *["layer", "depth", "mean", "std", "rank"],
        *folds,
        "optimistic",
    ]
    assert profile["layer"].tolist() == ["0", "[01]*", "3", "3 + 1", "output"]
    assert profile["depth"].tolist() == [0, 1, 3, 3, 4]
    assert not profile["optimistic"].any()
    at = [2, 4, 1, 3, 0]
    results = search.cv_results_
    assert_array_equal(profile["mean"], results["mean_test_score"][at])
    assert_array_equal(profile["std"], results["std_test_score"][at])
    assert_array_equal(profile["rank"], results["rank_test_score"][at])
    for k, fold in enumerate(folds):
        assert_array_equal(profile[fold], results[f"split{k}_test_score"][at])


def test_profile_with_other_axes_shows_the_best(paths, model, patterns):
    grid = [
        {"dnn__layer": ["3", "0"], "ridge__alpha": [1e-3, 1e3, 1.0]},
        {"dnn__layer": ["1"], "ridge": [Ridge(5.0)]},
    ]
    search = LayerSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns)
    profile = search.layer_profile_.set_index("layer")
    assert profile.index.tolist() == ["0", "1", "3"]
    assert profile["optimistic"].tolist() == [True, False, True]
    results = pd.DataFrame(search.cv_results_)
    for layer, each in results.groupby("param_dnn__layer"):
        best = each.loc[each["mean_test_score"].idxmax()]
        assert profile.loc[layer, "mean"] == best["mean_test_score"]
        if layer != "1":
            assert profile.loc[layer, "ridge__alpha"] == best["params"]["ridge__alpha"]
    assert profile.loc["1", "ridge"] is grid[1]["ridge"][0]


def test_profile_of_several_models_poolings_and_scores(paths, model, witness, patterns):
    grid = {
        "dnn__model": [witness, model],
        "dnn__layer": ["1", "0"],
        "dnn__pooling": ["max", "mean"],
    }
    scoring = {"fit": "r2", "error": "neg_mean_squared_error"}
    search = LayerSearchCV(encoding(model), grid, cv=FOLDS, scoring=scoring, refit=False)
    profile = search.fit(paths, patterns).layer_profile_
    assert len(profile) == 2 * 8
    assert profile["metric"].tolist() == ["fit"] * 8 + ["error"] * 8
    assert profile["model"].tolist() == (["witness"] * 4 + ["tiny"] * 4) * 2
    assert profile["layer"].tolist() == ["0", "0", "1", "1"] * 4
    assert sorted(profile["pooling"][:2]) == ["max", "mean"]
    assert sorted(profile["rank"][:8]) == sorted(search.cv_results_["rank_test_fit"])
    search.set_params(refit="error").fit(paths, patterns)
    assert "metric" not in search.layer_profile_
    assert search.layer_profile_["mean"].max() == search.best_score_
    # A smaller grid without refit: nothing is looked up by what the last fit found best.
    search.set_params(param_grid={"dnn__layer": ["3"]}, refit=False).fit(paths, patterns)
    assert search.layer_profile_["layer"].tolist() == ["3", "3"]


def test_profile_of_two_extractors(paths, model, patterns):
    union = FeatureUnion([("a", dnn(model, "3")), ("b", dnn(model, "3"))])
    grid = {"u__a__layer": ["3", "0"], "u__b__layer": ["3", "1", "2"]}
    search = LayerSearchCV(Pipeline([("u", union), ("r", Ridge())]), grid, cv=FOLDS)
    profile = search.fit(paths, patterns).layer_profile_
    assert profile["extractor"].tolist() == ["u__a"] * 2 + ["u__b"] * 3
    assert profile["layer"].tolist() == ["0", "3", "1", "2", "3"]
    assert profile["optimistic"].all()
    assert profile.groupby("extractor")["mean"].max().tolist() == [search.best_score_] * 2


def test_no_profile_without_layers(paths, model, patterns):
    search = LayerSearchCV(encoding(model), {"ridge__alpha": [1, 2]}, cv=FOLDS)
    with pytest.raises(AttributeError, match="was not fitted"):
        search.layer_profile_  # noqa: B018
    assert not hasattr(search.fit(paths, patterns), "layer_profile_")
    with pytest.raises(AttributeError, match="had no axis of layers"):
        search.layer_profile_  # noqa: B018
    search.set_params(param_grid={"dnn__layer": ["3"]}).fit(paths, patterns)
    assert search.layer_profile_["layer"].tolist() == ["3"]
    search.set_params(param_grid={"ridge__alpha": [1]}).fit(paths, patterns)
    assert not hasattr(search, "layer_profile_")


def test_predefined_split_and_profile_of_one_fold(paths, model, patterns):
    cv = PredefinedSplit(np.where(np.arange(N) < 6, 0, -1))
    search = LayerSearchCV(encoding(model), LAYERS, cv=cv).fit(paths, patterns)
    assert search.layer_profile_["split0"].tolist() == search.layer_profile_["mean"].tolist()


def test_profile_where_only_the_images_tell_the_input_size(patterns):
    """Without resizing or crop, a blank image of some size would not fit the linear layer."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Flatten())
    network.append(nn.Linear(4 * 10 * 12, 6))
    model = Model(network, {"resize": None, "crop": None})
    images = np.random.default_rng(0).integers(0, 256, (N, 32, 40, 3), dtype=np.uint8)
    profile = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(images, patterns).layer_profile_
    assert profile["depth"].tolist() == [0, 1, 3]


@pytest.mark.parametrize("refit", ["score", best_by_pairs])
def test_ceilings_stand_beside_the_scores(paths, model, patterns, refit):
    several = pd.concat({"s1": patterns, "s2": patterns + 1, "s3": patterns**2}, axis=1)
    pipeline = Pipeline([("dnn", dnn(model)), ("rdm", RDM("euclidean"))])
    search = LayerSearchCV(
        pipeline, LAYERS, cv=FOLDS, scoring=RSAScorer(detail=True), refit=refit
    ).fit(paths, several)
    profile, results = search.layer_profile_, search.cv_results_
    assert "metric" not in profile  # subjects and ceilings are no rows of their own
    at = [1, 2, 0]
    assert profile["layer"].tolist() == ["0", "1", "3"]
    assert_array_equal(profile["mean"], results["mean_test_score"][at])
    for bound in ("ceiling_lower", "ceiling_upper"):
        assert_array_equal(profile[bound], results[f"mean_test_{bound}"][at])
    each = [results[f"mean_test_{name}"] for name in ("s1", "s2", "s3")]
    np.testing.assert_allclose(np.mean(each, axis=0), results["mean_test_score"])
    weights = weighted_scores(results)
    chosen = weights if refit is best_by_pairs else results["mean_test_score"]
    assert search.best_index_ == chosen.argmax()


@pytest.mark.parametrize("seed", range(4))
def test_rank_one_is_what_the_search_chose(paths, model, seed):
    """Also where the choice is not by the mean over folds."""
    voxels = np.random.default_rng(seed).normal(size=(N, 7))
    cv = PredefinedSplit(np.where(np.arange(N) < 4, 0, 1))
    pipeline = Pipeline([("dnn", dnn(model)), ("rdm", RDM())])
    grid = {**LAYERS, "rdm__metric": ["euclidean", "cosine"]}
    search = LayerSearchCV(
        pipeline, grid, cv=cv, scoring=RSAScorer(detail=True), refit=best_by_pairs
    ).fit(paths, voxels)
    profile = search.layer_profile_
    first = profile[profile["rank"] == 1]
    assert first["layer"].tolist() == [search.best_params_["dnn__layer"]]
    assert first["rdm__metric"].tolist() == [search.best_params_["rdm__metric"]]
    assert sorted(profile["rank"]) == [1, 2, 3]
    rest = profile[profile["rank"] > 1].sort_values("rank")["mean"]
    assert rest.is_monotonic_decreasing
