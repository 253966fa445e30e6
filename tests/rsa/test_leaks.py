"""Features that have nothing to do with the target score 0 on average, whatever is fitted.

Each study is drawn anew: conditions, features of four layers, and voxels that know nothing of
them. What is fitted or chosen on training conditions only has an expected held-out score of
exactly 0, because the test conditions' labels could be shuffled. The same test must catch what
leaks: every estimator has a version here that sees the test conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skdnn import LayerSearchCV
from skdnn.rsa import RDM, FeatureReweightedRSA, LayerMixtureRSA, RSAScorer, variance_partitioning

N_DRAWS = 500
N, LAYERS, UNITS, VOXELS = 24, 4, 5, 6
GROUPS = np.repeat([f"layer{k}" for k in range(LAYERS)], UNITS)
FOLDS = list(KFold(2, shuffle=True, random_state=0).split(np.zeros(N)))
# Standard errors that a mean may lie from 0: by chance it lies further in 1 of 2,000 tests.
FAR = 3.5

Study = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of small matrix products wait for each other longer than they work."""
    with threadpool_limits(1):
        yield


def studies(seed: int) -> Iterator[Study]:
    rng = np.random.default_rng(seed)
    for _ in range(N_DRAWS):
        yield rng.normal(size=(N, LAYERS * UNITS)), rng.normal(size=(N, VOXELS))


def distance_from_zero(score: Callable[[np.ndarray, np.ndarray], float], seed: int = 0) -> float:
    """Mean score over the studies, in standard errors."""
    scores = np.array([score(X, y) for X, y in studies(seed)])
    return float(scores.mean() / (scores.std(ddof=1) / np.sqrt(len(scores))))


def held_out(estimator: Any, scoring: Any = None) -> Callable[[np.ndarray, np.ndarray], float]:
    """Mean score over folds."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        found = [
            (scoring or _own_score)(clone(estimator).fit(X[train], y[train]), X[test], y[test])
            for train, test in FOLDS
        ]
        return float(np.mean(found))

    return score


def leaking(estimator: Any, scoring: Any = None) -> Callable[[np.ndarray, np.ndarray], float]:
    """The same, fitted on all conditions."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        fitted = clone(estimator).fit(X, y)
        found = [(scoring or _own_score)(fitted, X[test], y[test]) for _, test in FOLDS]
        return float(np.mean(found))

    return score


def _own_score(fitted: Any, X: np.ndarray, y: np.ndarray) -> float:
    return fitted.score(X, y)


def test_a_plain_pipeline_is_what_cross_validation_does() -> None:
    """The loop above scores what cross_val_score does."""
    X, y = next(studies(0))
    model = FeatureReweightedRSA(random_state=0, target="patterns")
    expected = cross_val_score(model, X, y, cv=FOLDS, error_score="raise").mean()
    assert held_out(model)(X, y) == pytest.approx(expected, abs=1e-12)


class Layer(TransformerMixin, BaseEstimator):
    """One layer's columns."""

    def __init__(self, layer: int = 0) -> None:
        self.layer = layer

    def fit(self, X: np.ndarray, y: Any = None) -> Layer:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X[:, self.layer * UNITS : (self.layer + 1) * UNITS]


# --- estimators that learn weights ---------------------------------------------------------------

OF_PATTERNS = {"target": "patterns", "target_metric": "sqeuclidean", "random_state": 0}
WEIGHTED = {
    "reweighted": FeatureReweightedRSA(alphas=[0.1, 10.0], cv=2, **OF_PATTERNS),
    "reweighted, nonnegative": FeatureReweightedRSA(alphas=0.1, nonnegative=True, **OF_PATTERNS),
    "mixture": LayerMixtureRSA(groups=GROUPS, metric="sqeuclidean", **OF_PATTERNS),
    "mixture, alpha chosen": LayerMixtureRSA(
        groups=GROUPS, metric="sqeuclidean", alphas=[0.0, 1.0], cv=2, **OF_PATTERNS
    ),
}
each_weighted = pytest.mark.parametrize("estimator", WEIGHTED.values(), ids=WEIGHTED.keys())


@pytest.mark.slow
@each_weighted
def test_weights_learnt_from_training_conditions(estimator: Any) -> None:
    assert abs(distance_from_zero(held_out(estimator))) < FAR


@each_weighted
def test_weights_learnt_from_all_conditions_are_caught(estimator: Any) -> None:
    estimator = clone(estimator).set_params(alphas=0.1)
    assert distance_from_zero(leaking(estimator)) > 2 * FAR


def test_folds_over_pairs_are_caught() -> None:
    """Pairs that share a condition are no independent samples: such folds leak."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        first, second = np.triu_indices(N, k=1)
        design, target = (X[first] - X[second]) ** 2, pdist(y, "sqeuclidean")
        found = []
        for train, test in KFold(3, shuffle=True, random_state=0).split(target):
            predicted = Ridge(alpha=100.0).fit(design[train], target[train]).predict(design[test])
            found.append(np.corrcoef(predicted, target[test])[0, 1])
        return float(np.mean(found))

    assert distance_from_zero(score) > 2 * FAR


# --- pipelines that end in a scorer --------------------------------------------------------------

SCORER = RSAScorer("spearman", target="patterns", metric="sqeuclidean")
PIPELINES = {
    "scaled, PCA, RDM": make_pipeline(StandardScaler(), PCA(3, svd_solver="full"), RDM()),
    "mixed RSA": make_pipeline(StandardScaler(), Ridge(alpha=1.0)),
}


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES.keys())
def test_pipelines_fitted_to_training_conditions(pipeline: Any) -> None:
    assert abs(distance_from_zero(held_out(pipeline, SCORER))) < FAR


def test_a_regression_on_all_conditions_is_caught() -> None:
    assert distance_from_zero(leaking(PIPELINES["mixed RSA"], SCORER)) > 2 * FAR


def test_components_chosen_by_all_conditions_are_caught() -> None:
    """PCA itself sees no target; what is chosen among its components may."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        target = pdist(y, "sqeuclidean")
        axes = PCA(10, svd_solver="full").fit_transform(X)
        fit = [spearmanr(pdist(axis[:, None], "sqeuclidean"), target)[0] for axis in axes.T]
        chosen = axes[:, np.argsort(fit)[-3:]]
        return held_out(RDM("sqeuclidean"), SCORER)(chosen, y)

    assert distance_from_zero(score) > 2 * FAR


# --- searches for a layer ------------------------------------------------------------------------


def search(kind: Any) -> Any:
    pipeline = make_pipeline(Layer(), RDM("sqeuclidean"))
    inner = KFold(2, shuffle=True, random_state=1)
    grid = {"layer__layer": list(range(LAYERS))}
    return kind(pipeline, grid, scoring=SCORER, cv=inner, error_score="raise")


@pytest.mark.slow
def test_a_layer_chosen_on_training_conditions() -> None:
    assert abs(distance_from_zero(held_out(search(LayerSearchCV)))) < FAR


def test_a_grid_search_chooses_the_same_layer() -> None:
    for (X, y), _ in zip(studies(0), range(5), strict=False):
        scores = [held_out(search(kind))(X, y) for kind in (GridSearchCV, LayerSearchCV)]
        assert scores[0] == scores[1]


@pytest.mark.slow
def test_a_layer_chosen_on_the_test_conditions_is_caught() -> None:
    """``best_score_``: the best of the scores on the very folds that chose it."""
    model = search(LayerSearchCV).set_params(refit=False)
    assert distance_from_zero(lambda X, y: model.fit(X, y).best_score_) > 2 * FAR


# --- partitions of variance ----------------------------------------------------------------------


def rdms_of(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    models = [pdist(X[:, name == GROUPS], "sqeuclidean") for name in np.unique(GROUPS)[:3]]
    return np.stack(models), pdist(y, "sqeuclidean")


def part(name: str | None, cv: Any) -> Callable[[np.ndarray, np.ndarray], float]:
    """One part of the explained variance, or all of it."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        parts = variance_partitioning(*rdms_of(X, y), cv=cv)[0]
        return float(parts.sum() if name is None else parts[name])

    return score


@pytest.mark.parametrize("name", [None, "0"], ids=["all", "unique"])
def test_held_out_variance_is_never_above_zero(name: str | None) -> None:
    """What models save of the mean's squared error; estimation costs a little, hence one side."""
    assert distance_from_zero(part(name, FOLDS)) < FAR


def test_what_three_models_share_held_out() -> None:
    """Differences of explained variances, whose costs cancel."""
    assert abs(distance_from_zero(part("0 & 1 & 2", FOLDS))) < FAR


@pytest.mark.parametrize("name", [None, "0"], ids=["all", "unique"])
def test_variance_explained_within_the_sample_is_caught(name: str | None) -> None:
    assert distance_from_zero(part(name, None)) > 2 * FAR


def test_variance_held_out_by_pairs_is_caught() -> None:
    """Folds of pairs again, for the one measure that estimation costs something."""

    def score(X: np.ndarray, y: np.ndarray) -> float:
        first, second = np.triu_indices(N, k=1)
        # Distances of four conditions far out: what they have in common with features by chance
        # is in the training and in the test pairs.
        y = y * np.where(np.arange(N) < 4, 4.0, 1.0)[:, None]
        design, target = (X[first] - X[second]) ** 2, pdist(y, "sqeuclidean")
        errors = base = 0.0
        for train, test in KFold(3, shuffle=True, random_state=0).split(target):
            model = Ridge(alpha=500.0).fit(design[train], target[train])
            errors += np.sum((target[test] - model.predict(design[test])) ** 2)
            base += np.sum((target[test] - target[train].mean()) ** 2)
        return 1 - errors / base

    assert distance_from_zero(score) > 2 * FAR
