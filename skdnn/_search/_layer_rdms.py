"""RDMs of all images for the layers of a fitted search, which a bootstrap can compare."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.spatial.distance import squareform
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._extractors import grids_of
from skdnn._search._layer_profile import layer_label, layers_in
from skdnn._search._layer_search import LayerSearchCV
from skdnn.rsa import RDM, RSAScorer
from skdnn.rsa._scoring._targets import read_targets


def extractors_of(search: LayerSearchCV) -> dict[str, DNNFeatureExtractor]:
    """The extractors of the estimator, by the names of their parameters."""
    params = search.estimator.get_params(deep=True)
    return {k: v for k, v in params.items() if isinstance(v, DNNFeatureExtractor)}


def axes_of(search: LayerSearchCV) -> set[str]:
    """Names of the parameters that the grid sets."""
    return {key for grid in grids_of(search.param_grid) for key in grid}


def changed(search: LayerSearchCV, name: str, changes: Mapping[str, Any]) -> LayerSearchCV:
    """A copy, not fitted, whose extractor has other parameters."""
    other: LayerSearchCV = clone(search)
    other.estimator.set_params(**{f"{name}__{key}": value for key, value in changes.items()})
    other.set_params(return_train_score=False)
    if search.refit is True:  # a name or a rule says which of several scores counts
        other.set_params(refit=False)
    return other


@contextlib.contextmanager
def with_cache(
    search: LayerSearchCV, name: str, extractor: DNNFeatureExtractor
) -> Iterator[LayerSearchCV]:
    """A copy of the search that keeps activations: each image passes each network once."""
    with contextlib.ExitStack() as stack:
        cache = search.cache if extractor.cache is None else extractor.cache
        if cache is None:
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="skdnn-"))
        yield changed(search, name, {"cache": cache})


def layer_rdms(search: LayerSearchCV, name: str, fitted: LayerSearchCV, X: Any, y: Any) -> Any:
    """By layer, the RDM of all images, after one pass through the network of `search`.

    The layers are those of a `fitted` search over nothing else, as its profile calls them.
    """
    wanted = {layer_label(*each.values()): each for each in fitted.cv_results_["params"]}
    layers = layers_in(value for each in wanted.values() for value in each.values())
    search.estimator.get_params()[name].precompute(X, layers, verbose=0)
    return {layer: rdm_of(search.estimator, each, X, y) for layer, each in wanted.items()}


def rdm_of(estimator: Pipeline, params: Mapping[str, Any], X: Any, y: Any) -> Any:
    """Of all images, the other steps fitted to all of them."""
    fitted = clone(estimator).set_params(**params)
    steps = fitted[:-1] if isinstance(fitted[-1], RSAScorer) else fitted
    return np.asarray(steps.fit_transform(X, y))


def scorer_of(search: LayerSearchCV) -> RSAScorer | None:
    """What compares the RDM that the pipeline ends in; None of a search that makes none."""
    if not isinstance(search.estimator, Pipeline):
        return None
    *steps, last = [step for _, step in search.estimator.steps]
    if isinstance(last, RSAScorer) and search.scoring is None:
        return last if steps and isinstance(steps[-1], RDM) else None
    scoring: Any = search.scoring
    return scoring if isinstance(last, RDM) and isinstance(scoring, RSAScorer) else None


def brain_of(scorer: RSAScorer, y: Any) -> Any:
    """The target's RDM, or one per subject; None where several areas or times are asked."""
    targets = read_targets(y, scorer.target, scorer.metric)
    if targets.rdms.names is not None and targets.rdms.names.nlevels > 1:
        return None
    squares = [squareform(pairs) for pairs in targets.rdms.pairs]
    return squares[0] if len(squares) == 1 else dict(zip(targets.names, squares, strict=True))
