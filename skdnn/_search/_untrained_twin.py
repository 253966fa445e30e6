"""A search beside that of the untrained twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from skdnn._feature_extractor import DNNFeatureExtractor, check_twin, twins_of
from skdnn._search._layer_rdms import axes_of, brain_of, extractors_of, layer_rdms, scorer_of
from skdnn._search._layer_search import LayerSearchCV
from skdnn.rsa._inference._planned_comparisons import against_twins

_KEYS = ["layer", "depth", "pooling", "extractor", "metric", "mean", "std"]


def compare_with_twin(
    search: LayerSearchCV,
    X: Any,
    y: Any,
    *,
    twin: int = 3,
    n_boot: int = 1000,
    level: float = 0.95,
    alternative: str = "two-sided",
    adjust: str | None = "holm",
    random_state: Any = 0,
) -> pd.DataFrame:
    """Put the layer profile of a search beside that of the untrained twin, with a test.

    What a trained network has in common with a brain may come from its architecture. The same
    search with random weights shows how much; each layer is then compared with the same layer of
    the twin.

    Parameters
    ----------
    search : LayerSearchCV
        Fitted on `X` and `y`, with one trained network that is given by its name, and folds that
        are the same at every call (an int, a splitter with an int as ``random_state``, a list).
    X, y : array-like
        What it was fitted on.
    twin : int, default=3
        So many random seeds, from the extractor's ``random_state`` on.
    n_boot : int, default=1000
        Bootstrap samples of the comparison, see :func:`skdnn.rsa.bootstrap_rsa`.
    level : float, default=0.95
        Level of the intervals.
    alternative : {"two-sided", "greater", "less"}, default="two-sided"
        What is to be shown about trained minus untrained.
    adjust : {"holm", "fdr", None}, default="holm"
        How ``p_adjusted`` is made for the number of layers.
    random_state : int, RandomState or None, default=0
        Of the bootstrap samples.

    Returns
    -------
    profile : DataFrame
        A row for each layer: ``layer``, ``depth``, the scores over folds ``mean`` and ``std``,
        those of the twin ``twin`` (mean over folds and seeds) and ``twin_std`` (over seeds); and,
        where the search compares RDMs (:class:`~skdnn.RDM`, :class:`~skdnn.RSAScorer`) and `y` is
        of one area, the planned comparison on all images: ``difference``, ``low``, ``high``, ``p``
        and ``p_adjusted``.

    Raises
    ------
    ValueError
        If the network is one's own or untrained, or the grid has other axes than the layer.

    See Also
    --------
    LayerSearchCV.layer_profile_ : One search alone.
    skdnn.rsa.planned_comparisons : The test.
    compare_models : The same for several networks, with ``twin=``.

    Notes
    -----
    Folds are not independent samples, and no test is made of them. The planned comparison takes
    RDMs of all images, with the pipeline's other steps fitted to all of them, and resamples the
    images, and the subjects where there are several. It stands for the seeds that were drawn:
    ``twin_std`` says how much they differ. Activations of the twins are kept where the search
    keeps its own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import Pipeline
    >>> from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer, compare_with_twin
    >>> compare_with_twin(LayerSearchCV(Pipeline([("dnn", DNNFeatureExtractor(weights=None)),
    ...     ("rdm", RDM()), ("rsa", RSAScorer())]), {"dnn__layer": ["output"]}), [], [])
    Traceback (most recent call last):
        ...
    ValueError: twin=3: the network of the search is not trained, so it has no untrained twin.
    """
    count = check_twin(twin)
    if not count:
        raise ValueError("twin=0: at least one seed is needed.")
    name, extractor = _extractor_of(search, count)
    seeds = twins_of(extractor, count)
    own = search.layer_profile_
    table = own[[key for key in _KEYS if key in own]].copy()
    untrained = []
    for changes in seeds.values():
        other = clone(search)  # which keeps activations where the search does
        other.estimator.set_params(**{f"{name}__{key}": each for key, each in changes.items()})
        other.set_params(return_train_score=False)
        if search.refit is True:  # a name or a rule says which of several scores counts
            other.set_params(refit=False)
        untrained.append(other.fit(X, y))
    means = np.stack([other.layer_profile_["mean"].to_numpy() for other in untrained])
    table["twin"] = means.mean(axis=0)
    table["twin_std"] = means.std(axis=0, ddof=1) if count > 1 else np.nan
    scorer = scorer_of(search)
    brain = None if scorer is None else brain_of(scorer, y)
    if brain is None or scorer is None:
        return table
    planned = against_twins(
        {"": layer_rdms(search, X, y)},
        {"": [layer_rdms(other, X, y) for other in untrained]},
        brain,
        scorer.comparison,
        n_boot=n_boot,
        level=level,
        alternative=alternative,
        adjust=adjust,
        random_state=random_state,
    )
    columns = ["difference", "low", "high", "p", "p_adjusted"]
    return table.join(planned[columns].droplevel("model"), on="layer")


def _extractor_of(search: LayerSearchCV, twin: int) -> tuple[str, DNNFeatureExtractor]:
    """The one extractor, and the name of its parameters."""
    found = extractors_of(search)
    if len(found) != 1:
        raise ValueError(
            f"twin={twin}: the search has {len(found)} extractors, and one is needed."
        )
    ((name, extractor),) = found.items()
    others = axes_of(search) - {f"{name}__layer"}
    if others:
        raise ValueError(
            f"twin={twin}: the grid has other axes than the layer ({', '.join(sorted(others))})."
        )
    if extractor.weights is None:
        raise ValueError(
            f"twin={twin}: the network of the search is not trained, so it has no untrained twin."
        )
    return name, extractor
