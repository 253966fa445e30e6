"""RDMs of all images for the layers of a fitted search, which a bootstrap can compare."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import squareform
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._extractors import extractors_in, grids_of, make_candidates
from skdnn._search._layer_profile import layer_label
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


def layer_rdms(search: LayerSearchCV, X: Any, y: Any) -> dict[str, Any]:
    """RDMs of all images by layer, or by candidate: the other steps are fitted to all of them.

    The search keeps the activations, as when it was fitted.
    """
    given = [search.estimator, search.param_grid]
    store = search._open_store(extractors_in(given))
    (estimator, grid), _ = search._precomputed(given, store, X)
    names = extractors_of(search)
    of_layers = len(names) == 1 and axes_of(search) == {f"{name}__layer" for name in names}
    rdms = {}
    for params, candidate in make_candidates(estimator, grid):
        steps = clone(candidate)  # clones say together what there is to say, once
        steps = steps[:-1] if isinstance(steps[-1], RSAScorer) else steps
        told = (f"{key.rpartition('__')[2]}={value}" for key, value in params.items())
        name = layer_label(*params.values()) if of_layers else ", ".join(told)
        rdms[name] = np.asarray(steps.fit_transform(X, y))
    return rdms


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
