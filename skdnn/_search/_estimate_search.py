"""A search before it is started: what can't be scored, and how long the rest will take."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, check_cv, cross_validate
from sklearn.pipeline import Pipeline

from skdnn._html import card, facts_in
from skdnn._search._layer_search import LayerSearchCV
from skdnn._wording import in_time

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


@dataclass(frozen=True)
class SearchEstimate:
    """What a search will take, from images to scores.

    Given by :func:`estimate_search`.

    Parameters
    ----------
    extraction : ExtractionEstimate
        What the pass through the network takes.
    n_layers : int
        Layers.
    n_fits : int
        Fits of the pipeline, one for each layer and fold; of nested searches and twins too.
    search_seconds : float
        Time of all fits, and of the final one.
    total_seconds : float
        The same and the passes through the network, those of untrained twins too. What was not
        measured, or is stored, counts 0.

    See Also
    --------
    estimate_search : Makes one.

    Examples
    --------
    >>> from skdnn import SearchEstimate
    >>> estimate = SearchEstimate(None, n_layers=2, n_fits=100, search_seconds=12.0,
    ...     total_seconds=72.0)
    >>> print(str(estimate).partition("\\n")[2])
    2 layer(s), 100 fits in the search, about 12 s
    all together about 72 s
    """

    extraction: Any
    n_layers: int
    n_fits: int
    search_seconds: float
    total_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Give all as values that JSON can hold, those of the extraction among them.

        Returns
        -------
        attributes : dict
            By name.
        """
        own = {name: value for name, value in vars(self).items() if name != "extraction"}
        return {**self.extraction.to_dict(), **own}

    def __str__(self) -> str:
        return (
            f"{self.extraction}\n{self.n_layers} layer(s), {self.n_fits} fits in the search, "
            f"about {in_time(self.search_seconds)}\n"
            f"all together about {in_time(self.total_seconds)}"
        )

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {} if self.extraction is None else facts_in(str(self.extraction))
        facts |= {
            "layers": f"{self.n_layers:,}",
            "extraction": facts.pop("time", ""),
            "search": f"about {in_time(self.search_seconds)}, {self.n_fits:,} fits",
            "together": f"about {in_time(self.total_seconds)}",
        }
        return card("SearchEstimate", {name: value for name, value in facts.items() if value})


def estimate_search(
    search: LayerSearchCV, y: Any, extraction: Any, *, n_nested: int = 0, n_twins: int = 0
) -> SearchEstimate:
    """Measure what a search will take, its folds included.

    A few folds of made-up features are run, of as many columns as n images can tell apart, and
    one product of a block of units.

    Parameters
    ----------
    search : LayerSearchCV
        As made by :func:`make_search`; not fitted.
    y : array-like
        As it will be fitted on.
    extraction : ExtractionEstimate
        Of all layers that will be searched, from :meth:`DNNFeatureExtractor.estimate`.
    n_nested : int, default=0
        Outer folds of :func:`nested_search`, if that will be called too.
    n_twins : int, default=0
        Untrained twins, as of :func:`compare_with_twin`; its bootstrap is not counted.

    Returns
    -------
    estimate : SearchEstimate
        The times, and the number of fits.

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
    >>> images = np.zeros((30, 50, 50, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", weights=None)
    >>> search = make_search(extractor, ["features.2"], 30, method="encoding")
    >>> responses = np.random.default_rng(0).normal(size=(30, 5))
    >>> extraction = extractor.estimate(images, ["features.2"], measure=False)
    >>> estimate_search(search, responses, extraction).n_fits
    50
    """
    n = len(y)
    n_units = list(extraction.n_units.values())
    width = round(float(np.mean([min(units, n + 1) for units in n_units])))
    n_folds = check_cv(search.cv).get_n_splits(np.arange(n))
    per_layer = n_folds * (1 + n_twins) * rehearse_search(search, y, width, n_folds=_FOLDS)
    if n_nested:
        rows, _ = next(KFold(n_nested, shuffle=True, random_state=0).split(np.arange(n)))
        inner = rehearse_search(search, y, width, rows=rows, n_folds=_FOLDS)
        per_layer += n_nested * n_folds * inner
    n_searches = 1 + n_nested + n_twins
    products = n_searches * (sum(n_units) + max(n_units)) * _seconds_per_unit(n)
    seconds = len(n_units) * per_layer / max(1, search.n_jobs or 1) + products
    return SearchEstimate(
        extraction,
        n_layers=len(n_units),
        n_fits=len(n_units) * n_folds * n_searches,
        search_seconds=seconds,
        total_seconds=seconds + (extraction.seconds or 0.0) * (1 + n_twins),
    )


def _seconds_per_unit(n: int) -> float:
    """Time that one unit of n images takes in the product of all of them."""
    block = np.random.default_rng(0).normal(size=(n, _BLOCK))
    start = time.perf_counter()
    for _ in range(2):
        block @ block.T
    return (time.perf_counter() - start) / (2 * _BLOCK)
