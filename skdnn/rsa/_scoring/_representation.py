"""What a scorer compares: the RDM or the features that an estimator makes of X."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline

from skdnn._labels import check_labels, row_labels
from skdnn.rsa._comparison._rdm_stack import (
    MIN_CONDITIONS,
    check_square,
    check_unique,
    is_rdm_like,
)
from skdnn.rsa._dissimilarity._rdm_transformer import RDM

Array = NDArray[np.float64]

_NO_RDM = (
    "RSAScorer scores an RDM, but X is {what}. As the last step of a pipeline it needs RDM() "
    "before it; to score features directly, leave it out of the pipeline and pass "
    "scoring=RSAScorer()."
)


def representation(estimator: Any, X: Any) -> tuple[Any, bool]:
    """What the estimator makes of X, and whether that is an RDM."""
    if hasattr(estimator, "cv_results_") and hasattr(estimator, "best_estimator_"):
        if hasattr(estimator, "_ready"):  # a search that lends its activations
            estimator = estimator._ready(X)
        return representation(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        last = len(estimator.steps)
        while last and _is_passed_over(estimator.steps[last - 1][1]):
            last -= 1
        if last == 0:
            return X, False
        before = estimator[: last - 1].transform(X) if last > 1 else X
        return representation(estimator.steps[last - 1][1], before)
    if hasattr(estimator, "predict") and (
        is_regressor(estimator) or not hasattr(estimator, "transform")
    ):
        return estimator.predict(X), getattr(estimator, "_predicts_rdm", False)
    if hasattr(estimator, "transform"):
        return estimator.transform(X), isinstance(estimator, RDM)
    raise TypeError(
        f"{estimator!r} cannot be scored: it has neither transform nor predict. A search "
        "needs refit=True."
    )


def predicts_rdm(estimator: Any) -> bool:
    """Whether the RDM of an estimator is a fitted model's prediction."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if not _is_passed_over(step)]
        return bool(steps) and predicts_rdm(steps[-1])
    return getattr(estimator, "_predicts_rdm", False)


def _is_passed_over(step: Any) -> bool:
    return step is None or step == "passthrough" or getattr(step, "_only_scores", False)


def source_rdm(X: Any) -> Array:
    """The square RDM in X; the rows of a labelled one pick its columns."""
    if isinstance(X, pd.DataFrame):
        check_unique(X.index, "row labels of X")
        check_unique(X.columns, "column labels of X")
        positions = X.columns.get_indexer(X.index)
        if (positions >= 0).all() and len(positions):
            X = X.iloc[:, positions]
    values = np.asarray(X)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(_NO_RDM.format(what=f"of shape {values.shape}"))
    if len(values) < MIN_CONDITIONS:
        raise ValueError(
            f"X holds fewer than three conditions (n_samples = {len(values)}): RSA needs three "
            "or more in each fold. Use fewer folds."
        )
    if values.dtype.kind not in "biuf" or not is_rdm_like(values.astype(np.float64)):
        raise ValueError(_NO_RDM.format(what="not symmetric with a zero diagonal"))
    return check_square(values, "X")


def check_rows(X: Any, y: Any, n_conditions: int | None) -> None:
    """Refuse a y that has another length than X, or whose labels name other images."""
    if y is None:
        raise ValueError("The score requires y to be passed, but the target y is None.")
    if n_conditions is not None and len(y) != n_conditions:
        raise ValueError(
            f"Found {len(y)} rows of y for {n_conditions} conditions in X: inconsistent numbers "
            "of samples."
        )
    names = _names(X)
    if names is not None:
        check_labels(row_labels(y), names)


def _names(X: Any) -> list[str] | None:
    """Image names in X: a list, array or column of paths, or the string index of a frame."""
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            return row_labels(X)
        return _paths(X.iloc[:, 0]) or row_labels(X)
    if isinstance(X, (list, tuple, pd.Series, pd.Index)):
        return _paths(X)
    if (
        isinstance(X, np.ndarray)
        and X.dtype.kind in "OUT"
        and (X.ndim == 1 or X.shape[1:] == (1,))
    ):
        return _paths(X.ravel())
    return None


def _paths(values: Any) -> list[str] | None:
    items = list(values)
    if items and all(isinstance(item, (str, os.PathLike)) for item in items):
        return [os.fspath(item) for item in items]
    return None
