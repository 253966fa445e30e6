"""Weights of one's own networks: hashed once per search, and never trusted afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import Pipeline

from skdnn import DNNFeatureExtractor, LayerSearchCV, _file_digests
from skdnn._identity import _fingerprint
from skdnn.models import Model, _own_network

FOLDS = KFold(3, shuffle=True, random_state=1)
LAYERS = {"dnn__layer": ["3", "0", "1"]}


@pytest.fixture
def hashed(monkeypatch) -> list[int]:
    """Networks whose weights were read in full."""
    found: list[int] = []

    def count(network, *args):
        found.append(id(network))
        return _file_digests.digest_weights(network, *args)

    for room in (_fingerprint, _own_network):
        monkeypatch.setattr(room, "digest_weights", count)
    return found


def encoding(model, **params) -> Pipeline:
    return Pipeline([("dnn", DNNFeatureExtractor(model, "3", **params)), ("ridge", Ridge())])


@pytest.mark.parametrize("bare", [False, True], ids=["wrapped", "bare"])
def test_once_per_search(paths, model, patterns, hashed, bare):
    """Once before the pass through the network, and once behind it; no fold adds to that."""
    network = model.network if bare else model
    params = {"preprocess": model.preprocess} if bare else {}
    for cv in (FOLDS, KFold(9)):
        LayerSearchCV(encoding(network, **params), LAYERS, cv=cv).fit(paths, patterns)
        assert len(hashed) == 2
        del hashed[:]


def test_once_per_network_of_a_grid(paths, model, witness, patterns, hashed):
    grid = {**LAYERS, "dnn__model": [model, witness]}
    LayerSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns)
    assert len(hashed) == 4
    assert set(hashed) == {id(model.network), id(witness.network)}


def test_once_per_call_of_an_extractor(paths, model, hashed, tmp_path):
    extractor = DNNFeatureExtractor(model, ["0", "3"], cache=tmp_path).fit(paths)
    assert len(hashed) == 1
    extractor.transform(paths)
    assert len(hashed) == 3  # and behind the pass
    extractor.transform(paths)
    assert len(hashed) == 4


def test_what_was_given_comes_back(paths, model, witness, patterns):
    grid = {"dnn__model": [model, witness], "dnn__layer": ["3"]}
    search = LayerSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns)
    assert search.estimator["dnn"].model is model
    assert search.best_estimator_["dnn"].model is search.best_params_["dnn__model"]
    assert all(found in (model, witness) for found in search.cv_results_["param_dnn__model"])
    assert search.cv_results_["params"][0]["dnn__model"] is model
    assert type(search.best_estimator_["dnn"]._network.model) is Model


def test_a_change_after_a_search_is_seen(paths, model, patterns):
    search = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(paths, patterns)
    before = search.predict(paths)
    model.network[3].bias.data += 1
    model.network[0].weight.data *= -1
    after = search.predict(paths)
    assert not np.array_equal(before, after)
    features = DNNFeatureExtractor(model, search.best_params_["dnn__layer"]).fit_transform(paths)
    assert_array_equal(after, search.best_estimator_["ridge"].predict(features))
    again = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(paths, patterns)
    assert not np.array_equal(again.predict(paths), before)


def test_a_bare_network_is_copied(paths, model, patterns):
    """As by any search: what happens to it later is not the fitted one's business."""
    pipeline = encoding(model.network, preprocess=model.preprocess)
    search = LayerSearchCV(pipeline, LAYERS, cv=FOLDS).fit(paths, patterns)
    before = search.predict(paths)
    model.network[0].weight.data *= -1
    assert_array_equal(search.predict(paths), before)
    assert search.best_estimator_["dnn"].model is not model.network


def test_a_network_that_changes_itself_is_refused(paths, model, patterns):
    def drift(module, args, output):
        module.bias.data += 0.1

    model.network[3].register_forward_hook(drift)
    search = LayerSearchCV(encoding(model, version="1"), LAYERS, cv=FOLDS)
    with pytest.raises(ValueError, match="changes its own weights"):
        search.fit(paths, patterns)


@pytest.mark.slow
def test_in_worker_processes_and_nested(paths, model, patterns):
    search = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS)
    here = search.fit(paths, patterns).cv_results_["mean_test_score"]
    search.set_params(n_jobs=2).fit(paths, patterns)
    assert_array_equal(search.cv_results_["mean_test_score"], here)
    nested = cross_validate(search.set_params(n_jobs=None), paths, patterns, cv=FOLDS)
    assert len(nested["test_score"]) == 3
