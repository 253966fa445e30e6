"""The stores of LayerSearchCV: shared by clones, lent for a time, and nothing left behind."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (the import does it)
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    ParameterSampler,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.pipeline import Pipeline

from helpers.searches import assert_same_results
from skdnn import ActivationStore, DNNFeatureExtractor, LayerSearchCV
from skdnn.models import Model
from skdnn.rsa import RDM, RSAScorer, compute_rdm

N = 19
FOLDS = KFold(4, shuffle=True, random_state=1)
LAYERS = {"dnn__layer": ["3", "0", "1"]}


def dnn(model: Model, layer: str = "3", **params: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(model, layer, **params)


def encoding(model: Model, **params: Any) -> Pipeline:
    return Pipeline([("dnn", dnn(model, "3", **params)), ("ridge", Ridge())])


def forwarded(search: LayerSearchCV) -> int:
    """Images forwarded for its temporary store."""
    return search._temporary.open().stats["images_forwarded"]


def stores_in(folder: Path) -> list[Path]:
    gc.collect()
    return list(folder.glob("skdnn-*"))


def test_a_cache_is_filled_once(paths, model, patterns, tmp_path, own_temporary_folder):
    store = ActivationStore(tmp_path)
    for cache in (str(tmp_path), tmp_path, store):
        search = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS, cache=cache)
        search.fit(paths, patterns)
        assert store.stats["images_forwarded"] == N
        assert search.best_estimator_["dnn"].cache is None
    assert clone(search).cache is store
    assert stores_in(own_temporary_folder) == []


def test_an_extractor_keeps_its_own_cache(paths, model, patterns, tmp_path, own_temporary_folder):
    own = ActivationStore(tmp_path / "own")
    for search_cache in (None, tmp_path / "search", own):
        search = LayerSearchCV(encoding(model, cache=own), LAYERS, cv=FOLDS, cache=search_cache)
        search.fit(paths, patterns)
        assert search.best_estimator_["dnn"].cache is own
        assert own.stats["images_forwarded"] == N
    assert not (tmp_path / "search").exists()
    assert stores_in(own_temporary_folder) == []


def test_nothing_of_the_users_is_changed(paths, model, patterns):
    class Spy(TransformerMixin, BaseEstimator):
        def fit(self, X: Any, y: Any = None) -> Spy:
            seen.append((pipeline["dnn"].cache, pipeline.memory, dict(grid)))
            return self

        def transform(self, X: Any) -> Any:
            return X

    seen: list[Any] = []
    pipeline = Pipeline([("dnn", dnn(model)), ("spy", Spy()), ("r", Ridge())])
    grid = {"dnn__layer": ["0", "3"], "spy": [Spy(), "passthrough"]}
    before = dict(grid)
    search = LayerSearchCV(pipeline, grid, cv=FOLDS).fit(paths, patterns)
    assert seen
    assert all(each == (None, None, before) for each in seen)
    assert search.estimator is pipeline
    assert search.param_grid is grid
    assert search.best_estimator_["dnn"].cache is search.best_estimator_.memory is None
    for params in search.cv_results_["params"]:
        assert params["spy"] in grid["spy"]


def test_new_images_are_kept_too(paths, witness, patterns, own_temporary_folder):
    search = LayerSearchCV(encoding(witness), LAYERS, cv=FOLDS).fit(paths[:12], patterns[:12])
    before = dict(vars(search))
    first = search.predict(paths)
    assert forwarded(search) == N
    assert_array_equal(search.predict(paths), first)
    search.score(paths, patterns)
    assert forwarded(search) == N
    assert vars(search).keys() == before.keys()
    assert all(vars(search)[k] is v for k, v in before.items())
    assert search.best_estimator_["dnn"].cache is None
    assert_allclose(search.best_estimator_.predict(paths), first, rtol=1e-6, atol=1e-9)


def test_nested_cross_validation_needs_one_pass(
    paths, witness, met, patterns, own_temporary_folder
):
    search = LayerSearchCV(encoding(witness), LAYERS, cv=3)
    found = cross_validate(search, paths, patterns, cv=FOLDS, return_estimator=True)
    assert len(met) == N
    assert set(met.values()) == {1}
    assert forwarded(search) == N
    plain = GridSearchCV(encoding(witness), LAYERS, cv=KFold(3, shuffle=True, random_state=0))
    reference = cross_validate(plain, paths, patterns, cv=FOLDS)
    assert_allclose(found["test_score"], reference["test_score"], rtol=1e-9)
    del search
    assert len(stores_in(own_temporary_folder)) == 1  # the clones still use it
    del found
    assert stores_in(own_temporary_folder) == []


def test_nested_search_scored_by_rsa_from_outside(paths, witness, met, patterns):
    search = LayerSearchCV(encoding(witness), LAYERS, cv=3)
    cross_validate(search, paths, patterns, cv=FOLDS, scoring=RSAScorer())
    assert len(met) == N
    assert set(met.values()) == {1}


@pytest.mark.slow
def test_nested_in_two_processes(paths, model, patterns, own_temporary_folder):
    search = LayerSearchCV(encoding(model), LAYERS, cv=3)
    found = cross_validate(search, paths, patterns, cv=FOLDS, n_jobs=2)
    again = cross_validate(search, paths, patterns, cv=FOLDS)
    assert_allclose(found["test_score"], again["test_score"], rtol=1e-9)
    count = forwarded(search)  # in one folder, whoever has filled it
    search.fit(paths, patterns)
    assert N <= count == forwarded(search)


def test_a_pickled_search(paths, witness, met, patterns, own_temporary_folder):
    search = LayerSearchCV(encoding(witness), LAYERS, cv=FOLDS).fit(paths, patterns)
    met.clear()
    expected, dump = search.predict(paths), pickle.dumps(search)
    copy = pickle.loads(dump)
    assert_array_equal(copy.predict(paths), expected)
    assert vars(copy).keys() == vars(search).keys()
    pd.testing.assert_frame_equal(copy.layer_profile_, search.layer_profile_)
    del copy
    assert len(stores_in(own_temporary_folder)) == 1  # it was borrowed
    del search
    assert stores_in(own_temporary_folder) == []
    copy = pickle.loads(dump)  # as in another session
    assert_allclose(copy.predict(paths), expected, rtol=1e-6, atol=1e-9)
    assert forwarded(copy) == N
    del copy
    assert stores_in(own_temporary_folder) == []


def test_no_store_without_need(patterns, own_temporary_folder):
    X = np.random.default_rng(0).normal(size=(N, 4))
    search = LayerSearchCV(Ridge(), {"alpha": [1, 2]}, cv=FOLDS).fit(X, patterns)
    pickle.dumps(clone(search))
    plain = GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=FOLDS).fit(X, patterns)
    assert {name for name in vars(search) if not name.startswith("_")} == {
        *(name for name in vars(plain) if not name.startswith("_")),
        "cache",
        "random_state",
    }
    assert stores_in(own_temporary_folder) == []


@pytest.mark.parametrize("kind", ["grid", "random", "halving"])
def test_other_searches_over_a_warm_store(kind, paths, witness, met, patterns, tmp_path):
    store = ActivationStore(tmp_path)
    pipeline = encoding(witness, cache=store)
    pipeline["dnn"].precompute(paths, ["0", "1", "3"])
    assert store.stats["images_forwarded"] == N
    met.clear()
    search = {
        "grid": GridSearchCV(pipeline, LAYERS, cv=FOLDS),
        "random": RandomizedSearchCV(pipeline, LAYERS, n_iter=2, cv=FOLDS, random_state=0),
        "halving": HalvingGridSearchCV(pipeline, LAYERS, cv=3, min_resources=9, random_state=0),
    }[kind]
    search.fit(paths, patterns)
    assert not met
    assert store.stats["images_forwarded"] == N


def test_halving_by_rsa(paths, model, patterns, tmp_path):
    square = compute_rdm(patterns.to_numpy())
    rdm = pd.DataFrame(square, index=patterns.index, columns=patterns.index)

    def halve(cache: ActivationStore | None) -> HalvingGridSearchCV:
        steps = [("dnn", dnn(model, cache=cache)), ("rdm", RDM()), ("rsa", RSAScorer())]
        if cache is not None:
            steps[0][1].precompute(paths, LAYERS["dnn__layer"])
        # Seven images at first, of which the smaller test fold holds three.
        options = {"factor": 2, "min_resources": 7, "random_state": 0, "error_score": "raise"}
        cv = KFold(2, shuffle=True, random_state=0)
        return HalvingGridSearchCV(Pipeline(steps), LAYERS, cv=cv, **options).fit(paths, rdm)

    store = ActivationStore(tmp_path)
    found, reference = halve(store), halve(None)
    assert found.n_resources_ == [7, 14]
    assert_same_results(found, reference)
    assert store.stats["images_forwarded"] == N


def test_candidates_drawn_at_random(paths, witness, met, patterns):
    many = LAYERS | {"ridge__alpha": loguniform(0.1, 1000)}
    drawn = ParameterSampler(many, n_iter=7, random_state=3)
    grids = [{key: [value] for key, value in each.items()} for each in drawn]
    search = LayerSearchCV(encoding(witness), grids, cv=FOLDS).fit(paths, patterns)
    assert set(met.values()) == {1}
    assert search.reduction_ == ""
    assert len(search.layer_profile_) == 3
    reference = RandomizedSearchCV(encoding(witness), many, n_iter=7, cv=FOLDS, random_state=3)
    assert_same_results(search, reference.fit(paths, patterns))
    assert search.best_params_ == reference.best_params_
