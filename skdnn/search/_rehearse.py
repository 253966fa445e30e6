"""A search before it is started: what can't be scored, and how long the rest will take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, check_cv, cross_validate
from sklearn.pipeline import Pipeline

from skdnn.search._search import LayerSearchCV

_SECONDS = 1.5  # for folds, beside the first
_FOLDS = 8
_BLOCK = 4096  # units whose product is measured


def rehearse_search(
    search: LayerSearchCV,
    y: Any,
    n_features: int = 64,
    *,
    rows: Any = None,
    n_folds: int = 1,
) -> float:
    """Run folds of a search with made-up features in place of the network's.

    What can't be scored is found before the long work, and a fold is timed.

    Parameters
    ----------
    search : LayerSearchCV
        Over a pipeline whose first step is the extractor; not fitted.
    y : array-like
        As it will be fitted on.
    n_features : int, default=64
        Columns of the features.
    rows : array-like of int or None, default=None
        Rows of `y` that the folds are made of; None takes all.
    n_folds : int, default=1
        How many folds at most; behind the first, no more than take a second or two.

    Returns
    -------
    seconds : float
        Time of one fold, fit and score; of several, that of the fastest half.

    Raises
    ------
    ValueError
        What the search would raise: for targets that can't be compared, or metrics that are
        unknown.

    See Also
    --------
    estimate_search : The time of the whole search.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor, make_search, rehearse_search
    >>> search = make_search(DNNFeatureExtractor("alexnet"), ["features.2"], 12, n_splits=3)
    >>> responses = np.random.default_rng(0).normal(size=(12, 5))
    >>> search.set_params(estimator__rsa__target="patterns")  # doctest: +ELLIPSIS
    LayerSearchCV(...)
    >>> rehearse_search(search, responses) > 0
    True
    """
    n = len(y)
    chosen = np.arange(n) if rows is None else np.asarray(rows)
    pipeline = Pipeline(search.estimator.steps[1:])
    names = y.index if isinstance(y, pd.DataFrame) else None
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(n, n_features)), index=names)
    splits = [
        (chosen[train], chosen[test])
        for train, test in islice(check_cv(search.cv).split(chosen), n_folds)
    ]
    taken: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the search itself will say so
        for split in splits:
            start = time.perf_counter()
            cross_validate(pipeline, X, y, cv=[split], scoring=search.scoring, error_score="raise")
            taken.append(time.perf_counter() - start)
            if sum(taken[1:]) > _SECONDS:
                break
    return float(np.median(sorted(taken)[: len(taken) // 2 + 1]))


def estimate_search(
    search: LayerSearchCV, y: Any, n_units: Sequence[int], *, n_nested: int = 0
) -> float:
    """Measure what the folds of a search will take, once the activations are there.

    A few folds of made-up features are run, of as many columns as n images can tell apart, and
    one product of a block of units.

    Parameters
    ----------
    search : LayerSearchCV
        As made by :func:`make_search`; not fitted.
    y : array-like
        As it will be fitted on.
    n_units : sequence of int
        Features of one image in each layer.
    n_nested : int, default=0
        Outer folds of :func:`nested_search`.

    Returns
    -------
    seconds : float
        Of all folds of all layers and of the final fit.

    Raises
    ------
    ValueError
        What the search would raise.

    See Also
    --------
    DNNFeatureExtractor.estimate : What the pass through the network takes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor, estimate_search, make_search
    >>> search = make_search(DNNFeatureExtractor("alexnet"), ["features.2"], 30,
    ...     method="encoding")
    >>> responses = np.random.default_rng(0).normal(size=(30, 5))
    >>> 0 < estimate_search(search, responses, [9216]) < 60
    True
    """
    n = len(y)
    width = round(float(np.mean([min(units, n + 1) for units in n_units])))
    n_folds = check_cv(search.cv).get_n_splits(np.arange(n))
    per_layer = n_folds * rehearse_search(search, y, width, n_folds=_FOLDS)
    if n_nested:
        rows, _ = next(KFold(n_nested, shuffle=True, random_state=0).split(np.arange(n)))
        inner = rehearse_search(search, y, width, rows=rows, n_folds=_FOLDS)
        per_layer += n_nested * n_folds * inner
    jobs = max(1, search.n_jobs or 1)
    products = (1 + n_nested) * (sum(n_units) + max(n_units)) * _seconds_per_unit(n)
    return float(len(n_units) * per_layer / jobs + products)


def _seconds_per_unit(n: int) -> float:
    """Time that one unit of n images takes in the product of all of them."""
    block = np.random.default_rng(0).normal(size=(n, _BLOCK))
    start = time.perf_counter()
    for _ in range(2):
        block @ block.T
    return (time.perf_counter() - start) / (2 * _BLOCK)
