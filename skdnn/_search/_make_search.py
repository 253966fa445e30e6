"""The usual search over the layers of one network: which layers, its steps, its nested score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, RepeatedKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._layer_search import LayerSearchCV
from skdnn.decomposition import GramPCA
from skdnn.encoding import VoxelwiseRidgeCV
from skdnn.rsa import RDM, RSAScorer

_COMPONENTS = 50
_METHODS = ("rsa", "encoding")
# Modules that in evaluation give what they are given, perhaps with zeros around it or in another
# shape.
_PASSED_ON = re.compile(
    r"Identity|\w*Dropout(\d[dD])?|DropPath|StochasticDepth|DropBlock2d|\w*Pad(ding)?\d[dD]|"
    r"\w*Flatten\w*|Unflatten|Permute|Reshape|InputLayer"
)


def passed_on_layers(extractor: DNNFeatureExtractor, layers: Sequence[str]) -> dict[str, str]:
    """Tell which layers change nothing of what they are given, but its shape.

    In a search each would be scored as a copy of the layer before it.

    Parameters
    ----------
    extractor : DNNFeatureExtractor
        The network.
    layers : sequence of str
        Names of layers.

    Returns
    -------
    types : dict of str to str
        By the name of such a layer its type, in the order of `layers`.

    Raises
    ------
    ValueError
        For an unknown layer.

    See Also
    --------
    list_layers : All layers of a network.
    make_search : A search over layers.

    Examples
    --------
    >>> from skdnn import DNNFeatureExtractor, passed_on_layers
    >>> extractor = DNNFeatureExtractor("alexnet", weights=None)
    >>> passed_on_layers(extractor, ["classifier.0", "classifier.1"])
    {'classifier.0': 'Dropout'}
    """
    facts = extractor.describe(layers=list(layers)).facts["layers"]
    types = {layer["name"]: str(layer.get("type", "")) for layer in facts}
    return {name: types[name] for name in layers if _PASSED_ON.fullmatch(types.get(name, ""))}


def make_search(
    extractor: DNNFeatureExtractor,
    layers: Sequence[str],
    n_images: int,
    *,
    method: str = "rsa",
    target: str = "rdm",
    metric: str = "correlation",
    comparison: str = "spearman",
    detail: bool = False,
    n_components: int | None = None,
    n_splits: int = 5,
    n_repeats: int = 10,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> LayerSearchCV:
    """Make the search over layers that ``skdnn search`` runs.

    Features are centred and reduced to their main components, learnt on the training images of
    each fold; then the RDM of the held-out images is compared with that of the brain, or the
    responses to them are predicted by ridge regression.

    Parameters
    ----------
    extractor : DNNFeatureExtractor
        The network. Without ``cache=``, each image still goes through it once.
    layers : sequence of str
        Names of layers.
    n_images : int
        How many images the search will be fitted on; what is scored by :func:`nested_search` is
        fitted on fewer.
    method : {"rsa", "encoding"}, default="rsa"
        Compare RDMs, or predict responses (mean R2 over voxels).
    target : {"rdm", "patterns"}, default="rdm"
        What `y` is for ``method="rsa"``: an RDM, or responses that an RDM is made of.
    metric : str, default="correlation"
        As of :class:`~skdnn.RDM`.
    comparison : str, default="spearman"
        As of :class:`~skdnn.RSAScorer`.
    detail : bool, default=False
        Whether ``cv_results_`` keeps the score of each RDM of `y` (subjects, ROIs) and noise
        ceilings too, as ``RSAScorer(detail=True)`` gives them.
    n_components : int or None, default=None
        Components of the features; 0 keeps all units, None takes 50, or as many as the training
        images of a fold allow.
    n_splits, n_repeats : int, default=5, 10
        Folds, and how often they are drawn.
    random_state : int, default=0
        Of the folds.
    n_jobs : int or None, default=None
        Processes.

    Returns
    -------
    search : LayerSearchCV
        Not fitted; the layer is its parameter ``"dnn__layer"``.

    Raises
    ------
    ValueError
        If `method` is unknown.

    See Also
    --------
    LayerSearchCV : A search over a pipeline of your own.
    nested_search : Its score on images that had no part in the choice of the layer.

    Examples
    --------
    >>> from skdnn import DNNFeatureExtractor, make_search
    >>> search = make_search(DNNFeatureExtractor("alexnet"), ["features.2", "features.5"], 92)
    >>> [name for name, _ in search.estimator.steps]
    ['dnn', 'center', 'pca', 'rdm', 'rsa']
    >>> search.estimator["pca"].n_components
    50
    """
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is unknown: use one of {_METHODS}.")
    steps: list[tuple[str, Any]] = [("dnn", extractor), ("center", StandardScaler(with_std=False))]
    if n_components is None:
        n_components = min(_COMPONENTS, n_images - -(-n_images // n_splits) - 1)
    if n_components:
        exact = method == "rsa" and metric == "correlation"
        steps.append(("pca", GramPCA(n_components, keep_correlation=exact)))
    scoring = None
    if method == "encoding":
        steps.append(("ridge", VoxelwiseRidgeCV(cv=None)))
    else:
        scorer = RSAScorer(comparison, target=target, metric=metric)
        steps += [("rdm", RDM(metric)), ("rsa", scorer)]
        scoring = clone(scorer).set_params(detail=True) if detail else None
    return LayerSearchCV(
        Pipeline(steps),
        {"dnn__layer": list(layers)},
        scoring=scoring,
        refit="score" if scoring is not None else True,
        cv=RepeatedKFold(n_splits=n_splits, n_repeats=n_repeats, random_state=random_state),
        n_jobs=n_jobs,
    )


def nested_search(
    search: LayerSearchCV, X: Any, y: Any, *, n_splits: int = 5, random_state: int = 0
) -> pd.DataFrame:
    """Score a whole search on images that had no part in the choice of the layer.

    The score of the best layer is that of the best of several, chosen on the folds that it is
    scored on, and so too high. Here a search is fitted in each of `n_splits` folds, and what it
    chose is scored on the images that it did not see.

    Parameters
    ----------
    search : LayerSearchCV
        Not necessarily fitted; stays as it is.
    X, y : array-like
        Images, and what they are compared with.
    n_splits : int, default=5
        Outer folds.
    random_state : int, default=0
        Of the outer folds.

    Returns
    -------
    folds : DataFrame
        A row for each outer fold: ``score``, and a column for each parameter that was chosen in
        it, such as ``dnn__layer``.

    Raises
    ------
    ValueError
        If a fold can't be scored.

    See Also
    --------
    make_search : Make the usual search.

    Examples
    --------
    >>> from skdnn import DNNFeatureExtractor, make_search, nested_search
    >>> search = make_search(DNNFeatureExtractor("alexnet"), ["features.2", "features.5"], 74)
    >>> folds = nested_search(search, images, it_rdm)  # doctest: +SKIP
    >>> folds["score"].mean()  # doctest: +SKIP
    0.31
    """
    found = cross_validate(
        search,
        X,
        y,
        cv=KFold(n_splits, shuffle=True, random_state=random_state),
        return_estimator=True,
        error_score="raise",
    )
    chosen = pd.DataFrame([each.best_params_ for each in found["estimator"]])
    chosen.insert(0, "score", found["test_score"])
    return chosen
