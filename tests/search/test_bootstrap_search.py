"""Layers of a search compared over images and subjects, against a bootstrap by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer, bootstrap_search
from skdnn.rsa import bootstrap_rsa, compute_rdm

LAYERS = ["features.5", "features.3", "features.8"]
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (18, 40, 50, 3), dtype=np.uint8)
PATTERNS = {name: rng.normal(size=(18, 7)) for name in ("s1", "s2", "s3")}
OPTIONS: dict[str, Any] = {"n_boot": 30, "n_permutations": 30, "random_state": 4}


def pipeline(*last: tuple[str, Any]) -> Pipeline:
    extractor = DNNFeatureExtractor("squeezenet1_1", weights=None, random_state=2, device="cpu")
    return Pipeline([("dnn", extractor), ("center", StandardScaler(with_std=False)), *last])


def by_hand(data: Any, metric: str = "cosine") -> Any:
    found = DNNFeatureExtractor("squeezenet1_1", weights=None, random_state=2, device="cpu")
    features = found.extract(IMAGES, LAYERS, flatten=True)
    rdms = {
        layer: np.asarray(compute_rdm(each - each.mean(axis=0), metric))
        for layer, each in features.items()
    }
    return bootstrap_rsa(rdms, data, "spearman", **OPTIONS)


@pytest.fixture(scope="module")
def subjects() -> pd.DataFrame:
    names = [f"image{n}" for n in range(18)]
    frames = {who: pd.DataFrame(each, index=names) for who, each in PATTERNS.items()}
    return pd.concat(frames, axis=1, names=["subject", "voxel"])


def test_as_by_hand_for_several_subjects(subjects):
    search = LayerSearchCV(
        pipeline(("rdm", RDM("cosine")), ("rsa", RSAScorer())), {"dnn__layer": LAYERS}, cv=2
    ).fit(IMAGES, subjects)
    found = bootstrap_search(search, IMAGES, subjects, **OPTIONS)
    assert search._temporary.open().stats["images_forwarded"] == 18  # nothing after the search
    data = {who: np.asarray(compute_rdm(each)) for who, each in PATTERNS.items()}
    expected = by_hand(data)
    assert_frame_equal(found.to_frame(), expected.to_frame(), rtol=1e-4, atol=1e-6)
    assert found.resample == "both"
    planned = found.pairwise(pairs=[("features.8", "features.5")])
    each = expected.pairwise(adjust=None)
    row = each[(each["model_a"] == "features.5") & (each["model_b"] == "features.8")].iloc[0]
    assert planned["difference"][0] == pytest.approx(-row["difference"], abs=1e-6)
    assert planned["p_adjusted"][0] == planned["p"][0] == pytest.approx(row["p"], rel=1e-3)


def test_other_axes_and_scoring(subjects):
    grid = {"dnn__layer": LAYERS[:1], "rdm__metric": ["cosine", "euclidean"]}
    y = PATTERNS["s1"]
    search = LayerSearchCV(pipeline(("rdm", RDM())), grid, cv=2, scoring=RSAScorer())
    found = bootstrap_search(search.fit(IMAGES, y), IMAGES, y, **OPTIONS)
    names = found.to_frame()["model"].tolist()
    assert names == ["layer=features.5, metric=cosine", "layer=features.5, metric=euclidean"]
    expected = by_hand(np.asarray(compute_rdm(y)), "euclidean").scores[0]
    assert found.scores[1] == pytest.approx(expected, abs=1e-6)


def test_what_is_refused(subjects):
    ridge = LayerSearchCV(pipeline(("ridge", Ridge())), {"dnn__layer": LAYERS[:1]}, cv=2)
    with pytest.raises(ValueError, match="compares no RDMs"):
        bootstrap_search(ridge.fit(IMAGES, PATTERNS["s1"]), IMAGES, PATTERNS["s1"])
    areas = pd.concat({"V1": subjects, "IT": subjects}, axis=1, names=["roi"])
    areas = areas.reorder_levels(["subject", "roi", "voxel"], axis=1)
    search = LayerSearchCV(
        pipeline(("rdm", RDM()), ("rsa", RSAScorer())), {"dnn__layer": LAYERS[:1]}, cv=2
    ).fit(IMAGES, areas)
    with pytest.raises(ValueError, match="several areas"):
        bootstrap_search(search, IMAGES, areas)


@pytest.mark.parametrize("pair", [("features.5", "conv9"), ("features.5", "features.5")])
def test_pairs_that_are_none(subjects, pair):
    with pytest.raises(ValueError, match=r"pairs: \('features.5', .* are no two different models"):
        by_hand(np.asarray(compute_rdm(PATTERNS["s1"]))).pairwise(pairs=[pair])
