"""The folds of a search: shuffled where they are a number, checked, and made once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from skdnn._search._extractors import scorers_of
from skdnn.rsa import RSAScorer

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
    folds = [(_row_numbers(train), _row_numbers(test)) for train, test in splits]
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


def _row_numbers(rows: Any) -> NDArray[np.intp]:
    """The rows that a part of a fold takes, given as numbers or as a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows
