"""A search beside that of its untrained twin, against searches and bootstraps by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge
from sklearn.model_selection import RepeatedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import (
    RDM,
    ActivationStore,
    DNNFeatureExtractor,
    LayerSearchCV,
    RSAScorer,
    compare_with_twin,
)
from skdnn.models import Model
from skdnn.rsa import best_by_pairs, bootstrap_rsa, compute_rdm, planned_comparisons

LAYERS = ["features.5", "features.3"]  # not in the order of the network
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (15, 40, 50, 3), dtype=np.uint8)
PATTERNS = {name: rng.normal(size=(15, 7)) for name in ("s1", "s2", "s3")}
FOLDS = RepeatedKFold(n_splits=3, n_repeats=2, random_state=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of weights that stands for trained ones."""
    import torch
    from torchvision.models import squeezenet1_1

    torch.manual_seed(99)
    path = tmp_path_factory.mktemp("weights") / "trained.pth"
    torch.save(squeezenet1_1().state_dict(), path)
    return str(path)


def pipeline(weights: Any, seed: int = 2, cache: Any = None) -> Pipeline:
    extractor = DNNFeatureExtractor(
        "squeezenet1_1", weights=weights, random_state=seed, device="cpu", cache=cache
    )
    return Pipeline(
        [
            ("dnn", extractor),
            ("center", StandardScaler(with_std=False)),
            ("rdm", RDM("cosine")),
            ("rsa", RSAScorer("spearman")),
        ]
    )


def subjects() -> pd.DataFrame:
    names = [f"X[{n}]" for n in range(15)]
    frames = {name: pd.DataFrame(values, names) for name, values in PATTERNS.items()}
    return pd.concat(frames, axis=1, names=["subject", "voxel"])


def test_both_sides_and_the_planned_comparison(trained: str, tmp_path: Path) -> None:
    y = subjects()
    cache = ActivationStore(tmp_path)
    search = LayerSearchCV(pipeline(trained, cache=cache), {"dnn__layer": LAYERS}, cv=FOLDS)
    search.fit(IMAGES, y)
    found = compare_with_twin(search, IMAGES, y, twin=2, n_boot=40, random_state=5)
    assert found["layer"].tolist() == ["features.3", "features.5"]
    assert_allclose(found["mean"], search.layer_profile_["mean"])
    twins = [
        LayerSearchCV(pipeline(None, seed), {"dnn__layer": LAYERS}, cv=FOLDS).fit(IMAGES, y)
        for seed in (2, 3)
    ]
    means = np.array([each.layer_profile_["mean"] for each in twins])
    assert_allclose(found["twin"], means.mean(axis=0))
    assert_allclose(found["twin_std"], means.std(axis=0, ddof=1))
    # The test: RDMs of all images, by hand.
    models = {}
    for layer in found["layer"]:
        for name, weights, seed in (("net", trained, 2), ("a", None, 2), ("b", None, 3)):
            estimator = pipeline(weights, seed).set_params(dnn__layer=layer)
            models[f"{name} {layer}"] = np.asarray(estimator[:-1].fit_transform(IMAGES))
    brains = {name: compute_rdm(values) for name, values in PATTERNS.items()}
    result = bootstrap_rsa(models, brains, n_boot=40, n_permutations=0, random_state=5)
    expected = planned_comparisons(
        result,
        {k: {f"net {k}": 1, f"a {k}": -0.5, f"b {k}": -0.5} for k in found["layer"]},
    )
    for column in ("difference", "low", "high", "p", "p_adjusted"):
        assert_allclose(found[column], expected[column], rtol=1e-9, atol=1e-12)
    # The search and its estimator are as they were, and each network saw each image once.
    assert search.estimator.get_params()["dnn__weights"] == trained
    assert cache.stats["images_forwarded"] == 3 * 15


def test_one_twin_has_no_spread(trained: str) -> None:
    search = LayerSearchCV(pipeline(trained), {"dnn__layer": LAYERS}, cv=3)
    rdm = compute_rdm(pd.DataFrame(PATTERNS["s1"], [f"i{n}" for n in range(15)]))
    found = compare_with_twin(search.fit(IMAGES, rdm), IMAGES, rdm, twin=1, n_boot=30)
    assert found["twin_std"].isna().all()
    assert np.isfinite(found[["difference", "low", "high", "p"]]).all(axis=None)
    assert search.estimator.get_params()["dnn__cache"] is None
    assert search._temporary.open().stats["images_forwarded"] == 2 * 15


def test_an_encoding_model_has_scores_and_no_test(trained: str) -> None:
    """Folds are no samples."""
    estimator = Pipeline([("dnn", pipeline(trained).steps[0][1]), ("ridge", Ridge())])
    search = LayerSearchCV(estimator, {"dnn__layer": LAYERS}, cv=3).fit(IMAGES, PATTERNS["s1"])
    found = compare_with_twin(search, IMAGES, PATTERNS["s1"], twin=2)
    assert list(found) == ["layer", "depth", "mean", "std", "twin", "twin_std"]


def test_several_areas_have_scores_and_no_test(trained: str) -> None:
    names = [f"X[{n}]" for n in range(15)]
    frames = {(s, a): pd.DataFrame(PATTERNS[s], names) for s in PATTERNS for a in ("V1", "IT")}
    y = pd.concat(frames, axis=1, names=["subject", "area", "voxel"])
    search = LayerSearchCV(pipeline(trained), {"dnn__layer": LAYERS[:1]}, cv=3).fit(IMAGES, y)
    assert "p" not in compare_with_twin(search, IMAGES, y, twin=1)


def test_what_has_no_twin(trained: str) -> None:
    import torch

    y = PATTERNS["s1"]
    own = Model(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 9), torch.nn.Flatten()))
    cases = [
        (pipeline(None), {"dnn__layer": LAYERS}, 1, "is not trained"),
        (pipeline("default"), {"dnn__layer": LAYERS}, 0, "at least one seed"),
        (pipeline("default"), {"dnn__layer": LAYERS}, 2.5, "must be a number of random seeds"),
        (
            pipeline(trained),
            {"dnn__layer": LAYERS, "rdm__metric": ["cosine", "euclidean"]},
            1,
            "other axes than the layer .rdm__metric",
        ),
        (
            pipeline("default").set_params(dnn__model=own),
            {"dnn__layer": ["0"]},
            1,
            "is a network of one's own",
        ),
        (Pipeline([("rdm", RDM())]), {"rdm__metric": ["cosine"]}, 1, "has 0 extractors"),
    ]
    for estimator, grid, twin, words in cases:
        with pytest.raises(ValueError, match=words):
            compare_with_twin(LayerSearchCV(estimator, grid), IMAGES, y, twin=twin)


@pytest.mark.parametrize("refit", ["score", best_by_pairs, False])
def test_scores_in_detail(trained: str, refit: Any) -> None:
    """What decides is compared, also where a rule of one's own does."""
    search = LayerSearchCV(
        Pipeline(pipeline(trained).steps[:-1]), {"dnn__layer": LAYERS}, cv=3, refit=refit,
        scoring=RSAScorer("spearman", detail=True), return_train_score=True,
    ).fit(IMAGES, subjects())  # fmt: skip
    found = compare_with_twin(search, IMAGES, subjects(), twin=1, n_boot=30)
    plain = LayerSearchCV(pipeline(trained), {"dnn__layer": LAYERS}, cv=3).fit(IMAGES, subjects())
    expected = compare_with_twin(plain, IMAGES, subjects(), twin=1, n_boot=30)
    if not refit:  # a row for each score of each layer
        found = found[found["metric"] == "score"].reset_index(drop=True)
    columns = ["mean", "twin", "difference", "low", "high", "p"]
    assert_allclose(found[columns], expected[columns])
