"""What is checked before a search: its folds, and where signs of components decide an RDM."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from skdnn._search._extractors import estimators_in, make_candidates
from skdnn.rsa import RSAScorer
from skdnn.rsa._dissimilarity._component_signs import START, TellsSigns, maker_of, signs_before_rdm

_MIN_CONDITIONS = 3  # fewer cannot be compared by RSA
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def splitter_of(search: Any, y: Any) -> Any:
    """What makes the folds: as scikit-learn takes it, but those of a number are shuffled."""
    cv = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
    if search.cv is None or isinstance(search.cv, int | np.integer):
        return type(cv)(cv.n_splits, shuffle=True, random_state=search.random_state)
    return cv


def make_folds(cv: Any, X: Any, y: Any, estimator: Any, scoring: Any, **params: Any) -> Folds:
    """The folds, made once, so that what is checked is what is used; none may be too small."""
    splits = cv.split(X, y, **params)
    folds = [(row_numbers(train), row_numbers(test)) for train, test in splits]
    if not folds:
        raise ValueError("No fits were performed. Was the CV iterator empty?")
    inside = [estimator, *estimator.get_params(deep=True).values()]
    train = _least(inside)
    fewest = {"train": train, "test": max(train, _least(scorers_of(scoring)))}
    for number, fold in enumerate(folds):
        for (name, least), rows in zip(fewest.items(), fold, strict=True):
            if len(rows) < least:
                why = " that RSA needs" if least > 1 else ""
                raise ValueError(
                    f"cv gives {len(rows)} {name} conditions in split {number}, fewer than the "
                    f"{least}{why}: use fewer splits."
                )
    return folds


def _least(parts: list[Any]) -> int:
    return _MIN_CONDITIONS if any(isinstance(part, RSAScorer) for part in parts) else 1


def row_numbers(rows: Any) -> NDArray[np.intp]:
    """The rows that a part of a fold takes, given as numbers or as a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def scorers_of(scoring: Any) -> list[Any]:
    """A search may have one scorer, or several."""
    if isinstance(scoring, Mapping):
        return list(scoring.values())
    return list(scoring) if isinstance(scoring, list | tuple | set) else [scoring]


def tell_signs(estimator: Any, param_grid: Any, scoring: Any) -> None:
    """Say once, for the whole search, where signs of components decide an RDM.

    Its folds say no more then: what ignores them is left by the ``catch_warnings`` around. Nor
    do clones of the search, in the folds around it.
    """
    scorers = scorers_of(scoring)
    metrics: list[str | None] = [s.metric for s in scorers if isinstance(s, RSAScorer)]
    if not metrics and not estimators_in([estimator, param_grid], TellsSigns):
        return  # nothing makes an RDM
    texts = {
        signs_before_rdm(candidate, metric)
        for _, candidate in make_candidates(estimator, param_grid)
        for metric in metrics or [None]
    } - {None}
    maker = maker_of(estimator)
    known = {} if maker is None else maker.__dict__
    told = known.setdefault("_told", set())  # of all clones
    for text in sorted(map(str, texts)):
        if text not in told or "_is_clone" not in known:
            warnings.warn(text, UserWarning, stacklevel=4)
        told.add(text)
    if texts:
        warnings.filterwarnings("ignore", message=START)
