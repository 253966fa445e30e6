"""The search of the command, made by functions: against the same pipeline written by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.model_selection import KFold, RepeatedKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skdnn import (
    RDM,
    DNNFeatureExtractor,
    GramPCA,
    LayerSearchCV,
    RSAScorer,
    VoxelwiseRidgeCV,
    estimate_search,
    make_search,
    nested_search,
    passed_on_layers,
    rehearse_search,
)

LAYERS = ["features.2", "features.5"]
N = 24
chance = np.random.default_rng(0)
IMAGES = chance.integers(0, 256, (N, 40, 48, 3), dtype=np.uint8)
VOXELS = chance.normal(size=(N, 7))
JUDGED = pd.DataFrame(squareform(pdist(chance.normal(size=(N, 4)))))


def network(**changes: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor("alexnet", weights=None, device="cpu", pooling="mean", **changes)


def by_hand(*last: tuple[str, Any], n_components: int, exact: bool) -> LayerSearchCV:
    steps = [
        ("dnn", network()),
        ("center", StandardScaler(with_std=False)),
        ("pca", GramPCA(n_components, keep_correlation=exact)),
        *last,
    ]
    folds = RepeatedKFold(n_splits=3, n_repeats=2, random_state=4)
    return LayerSearchCV(Pipeline(steps), {"dnn__layer": LAYERS}, cv=folds)


def made(n_images: int = N, **options: Any) -> LayerSearchCV:
    given = {"n_splits": 3, "n_repeats": 2, "random_state": 4, **options}
    return make_search(network(), LAYERS, n_images, **given)


def test_rsa_is_the_pipeline_by_hand() -> None:
    last = [("rdm", RDM("euclidean")), ("rsa", RSAScorer("kendall", target="rdm"))]
    expected = by_hand(*last, n_components=15, exact=False).fit(IMAGES, JUDGED)
    found = made(metric="euclidean", comparison="kendall").fit(IMAGES, JUDGED)
    np.testing.assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], atol=1e-12
    )
    assert found.best_params_ == expected.best_params_
    assert made().estimator["pca"].keep_correlation  # of the correlation distance
    assert made(n_images=100).estimator["pca"].n_components == 50
    assert "pca" not in made(n_components=0).estimator.named_steps


def test_encoding_and_its_nested_score_are_those_by_hand() -> None:
    ridge = ("ridge", VoxelwiseRidgeCV(cv=None))
    expected = by_hand(ridge, n_components=6, exact=False)
    search = made(method="encoding", n_components=6)
    outer = KFold(3, shuffle=True, random_state=2)
    scores = cross_validate(expected, IMAGES, VOXELS, cv=outer, return_estimator=True)
    found = nested_search(search, IMAGES, VOXELS, n_splits=3, random_state=2)
    np.testing.assert_allclose(found["score"], scores["test_score"], atol=1e-12)
    chosen = [each.best_params_["dnn__layer"] for each in scores["estimator"]]
    assert found["dnn__layer"].tolist() == chosen
    assert not hasattr(search, "best_params_")


@pytest.mark.filterwarnings("ignore:8 conditions, 28 pairs, are few")
def test_detail_keeps_each_region() -> None:
    other = pd.DataFrame(squareform(pdist(chance.normal(size=(N, 4)))))
    both = pd.concat({"V1": JUDGED, "IT": other}, axis=1, names=["roi", "condition"])
    results = made(detail=True).fit(IMAGES, both).cv_results_
    parts = [results[f"mean_test_{name}"] for name in ("V1", "IT")]
    np.testing.assert_allclose(results["mean_test_score"], np.mean(parts, axis=0), atol=1e-12)
    one = made().fit(IMAGES, JUDGED).cv_results_["mean_test_score"]
    np.testing.assert_allclose(parts[0], one, atol=1e-12)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method='decoding' is unknown"):
        made(method="decoding")


def test_a_rehearsal_finds_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="comparison='likeness' is not known"):
        rehearse_search(made(comparison="likeness"), JUDGED)
    with pytest.raises(ValueError, match="NaN"):
        rehearse_search(made(method="encoding"), np.full((N, 2), np.nan))
    assert 0 < rehearse_search(made(), JUDGED, n_folds=3) < 30


@pytest.mark.slow
@pytest.mark.parametrize("n_nested", [0, 3])
def test_the_time_of_all_folds_is_foretold_from_a_few(n_nested: int) -> None:
    """Within a factor of two of all of them, on features that are there."""
    n = 60
    responses = chance.normal(size=(n, 40_000))
    images = chance.integers(0, 256, (n, 20, 26, 3), dtype=np.uint8)
    search = make_search(network(), LAYERS, 40, method="encoding", n_splits=4, n_repeats=3)
    extraction = network().estimate(images, LAYERS, measure=False)
    told = estimate_search(search, responses, extraction, n_nested=n_nested)
    assert told.n_fits == 2 * 12 * (1 + n_nested)
    assert told.total_seconds == told.search_seconds  # the pass was not measured
    start = time.perf_counter()
    rest = Pipeline(search.estimator.steps[1:])
    for units in extraction.n_units.values():
        features = chance.normal(size=(n, units))
        cross_validate(rest, features, responses, cv=search.cv)
        outer = KFold(n_nested or 2).split(features) if n_nested else ()
        for train, _ in outer:
            cross_validate(rest, features[train], responses[train], cv=search.cv)
    taken = time.perf_counter() - start
    assert taken / 2 < told.search_seconds < taken * 2


def test_an_estimate_counts_twins_and_adds_up() -> None:
    extraction = network().estimate(IMAGES, LAYERS)
    told = estimate_search(made(n_images=16), JUDGED, extraction, n_nested=3, n_twins=2)
    assert told.n_fits == 2 * 6 * (1 + 3 + 2)
    passes = 3 * extraction.seconds
    assert told.total_seconds == pytest.approx(told.search_seconds + passes)
    assert set(extraction.to_dict()) < set(told.to_dict())
    assert "72 fits in the search" in str(told)
    assert str(told).startswith(str(extraction))


def test_layers_that_change_nothing() -> None:
    layers = ["features.0", "classifier.0", "classifier.1", "classifier.3"]
    expected = {"classifier.0": "Dropout", "classifier.3": "Dropout"}
    assert passed_on_layers(network(), layers) == expected
    assert passed_on_layers(network(), ["features.0"]) == {}


def test_what_stands_in_the_place_of_images_is_named(tmp_path: Any) -> None:
    """By the search too, which would count the letters of a path as images."""
    search = make_search(network(), LAYERS, N, method="rsa", target="patterns")
    for other, told in (
        (str(tmp_path), r"X is a folder.*load_image_folder\('"),
        ("a.png", "X is a single path, 'a.png': give a list of paths"),
        (Bunch(paths=["a.png"], target=None), r"X is a Bunch of images: give its paths, X\.paths"),
    ):
        for call in (lambda X: search.fit(X, VOXELS), network().fit):
            with pytest.raises(TypeError, match=told):
                call(other)
