"""Signs of components, a convention, must not decide an RDM in silence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import NMF, PCA, TruncatedSVD
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import RDM, GramPCA, LayerSearchCV, RSAScorer
from skdnn.rsa import FeatureReweightedRSA

RNG = np.random.default_rng(0)
X = np.maximum(RNG.normal(size=(30, 6)) @ RNG.normal(size=(6, 80)) + 0.5, 0)
Y = RNG.normal(size=(30, 9))
CV = KFold(3, shuffle=True, random_state=0)
EXACT = GramPCA(4, keep_correlation=True)
CENTRE = StandardScaler(with_std=False)


def told(run: Callable[[], Any]) -> list[str]:
    """What is said of signs."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in found if "igns of components" in str(w.message)]


@pytest.mark.parametrize("metric", ["correlation", "spearman"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_rdm_knows_scores_of_its_training_rows(metric: str, dtype: Any) -> None:
    scores = PCA(4).fit_transform(X).astype(dtype)
    assert len(told(lambda: RDM(metric).fit(scores))) == 1
    rdm = RDM(metric)
    assert len(told(lambda: [rdm.fit(scores), rdm.fit(scores)])) == 2  # each time it is asked


@pytest.mark.parametrize(
    "patterns",
    [
        X,
        CENTRE.fit_transform(X),
        PCA(4).fit_transform(X) + 0.01,  # not centred
        PCA(4).fit(X[:20]).transform(X[20:]),  # other rows
        PCA(1).fit_transform(X),
        GramPCA(4, keep_correlation=True).fit_transform(X),
        RNG.integers(0, 9, (30, 4)),
        np.zeros((30, 4)),
        RNG.normal(size=(8, 20)),
    ],
)
def test_an_rdm_of_anything_else_is_silent(patterns: Any) -> None:
    assert told(lambda: RDM().fit(patterns)) == []


def test_euclidean_and_cosine_do_not_hang_on_signs() -> None:
    scores = PCA(4).fit_transform(X)
    assert told(lambda: [RDM(metric).fit(scores) for metric in ("cosine", "euclidean")]) == []


@pytest.mark.parametrize(
    "steps",
    [
        [("pca", GramPCA(4)), ("rdm", RDM())],
        [("pca", PCA(4)), ("scale", StandardScaler()), ("rdm", RDM())],
        [("svd", TruncatedSVD(4)), ("rdm", RDM("spearman"))],
        [("pca", GramPCA(4, keep_correlation=True)), ("rdm", RDM("spearman"))],
        [("pca", GramPCA(4, keep_correlation=True)), ("z", StandardScaler()), ("rdm", RDM())],
        [("both", FeatureUnion([("a", PCA(2)), ("b", CENTRE)])), ("rdm", RDM())],
        [("inner", Pipeline([("pca", PCA(2))])), ("rdm", RDM())],
    ],
)
@pytest.mark.parametrize("search", ["plain", "layers", "grid", "folds"])
def test_said_once_for_all_folds(steps: Any, search: str) -> None:
    pipe, scoring = Pipeline(deepcopy(steps)), RSAScorer()  # clones of one RDM say it once
    run = {
        "plain": lambda: GridSearchCV(pipe, {"rdm__gamma": [1, 2]}, cv=CV, scoring=scoring).fit(
            X, Y
        ),
        "layers": lambda: LayerSearchCV(
            pipe, {"rdm__gamma": [1, 2]}, cv=CV, scoring=scoring
        ).fit(X, Y),
        "grid": lambda: LayerSearchCV(
            make_pipeline(CENTRE, PCA(3), RDM("cosine")),
            {"rdm__metric": ["cosine", steps[-1][1].metric]}, cv=CV, scoring=scoring,
        ).fit(X, Y),
        "folds": lambda: cross_val_score(pipe, X, Y, cv=CV, scoring=scoring),
    }[search]  # fmt: skip
    found = told(run)
    assert len(found) == 1
    if search == "layers":
        assert steps[0][0] in found[0]


@pytest.mark.parametrize(
    ("pipe", "scoring", "said"),
    [
        (make_pipeline(GramPCA(4)), RSAScorer(), True),
        (make_pipeline(GramPCA(4)), RSAScorer(metric="cosine"), False),
        (make_pipeline(GramPCA(4, keep_correlation=True)), RSAScorer(), False),
        (make_pipeline(GramPCA(4, keep_correlation=True), CENTRE, RDM()), RSAScorer(), False),
        (make_pipeline(NMF(3, max_iter=2000), RDM()), RSAScorer(), False),
        (make_pipeline(PCA(4), Ridge()), RSAScorer(), False),  # predicted voxels have their signs
        (make_pipeline(PLSRegression(2)), RSAScorer(), False),
        (make_pipeline(CENTRE, RDM()), RSAScorer(metric="spearman"), False),
        (make_pipeline(PCA(4), RDM(), RSAScorer()), None, True),
        (make_pipeline(PCA(4), FeatureReweightedRSA(alphas=1.0)), None, True),
        (make_pipeline(PCA(4), FeatureReweightedRSA(alphas=1.0)), RSAScorer(), True),
        (make_pipeline(PCA(4), FeatureReweightedRSA(alphas=1.0, normalize=False)), None, False),
        (make_pipeline(EXACT, FeatureReweightedRSA(alphas=1.0)), RSAScorer(), False),
    ],
)
def test_what_is_said_of_which_pipeline(pipe: Any, scoring: Any, said: bool) -> None:
    twin = deepcopy(pipe)
    assert len(told(lambda: cross_val_score(twin, X, Y, cv=CV, scoring=scoring))) == said
    search = LayerSearchCV(deepcopy(pipe), {}, cv=CV, scoring=scoring)
    assert len(told(lambda: search.fit(X, Y))) == said


def test_a_nested_search_says_it_once() -> None:
    pipe = make_pipeline(PCA(4), RDM(), RSAScorer())
    search = LayerSearchCV(pipe, {"pca__n_components": [3, 4]}, cv=3)
    assert len(told(lambda: cross_val_score(search, X, Y, cv=CV))) == 1
    assert len(told(lambda: search.fit(X, Y))) == 1
