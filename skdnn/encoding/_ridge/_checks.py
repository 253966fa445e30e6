"""What estimators over ridge regression are given: penalties, features, folds, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, KFold, check_cv
from sklearn.utils.validation import validate_data

from skdnn._blocks import Array, is_lazy
from skdnn.encoding._ridge._solvers import Fold


def check_alphas(alphas: ArrayLike | float) -> Array:
    """Penalties as a vector of positive numbers."""
    found = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"alphas={alphas!r} must be one or several positive numbers.")
    return found


def checked_features(estimator: Any, X: Any, *, reset: bool) -> Any:
    """X as a 2-D array of its own dtype, or the lazy array; finiteness is seen later."""
    least = 2 if reset else 1
    if not is_lazy(X):
        return validate_data(
            estimator,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=least,
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if X.dtype.kind not in "biuf":
        raise TypeError(f"X has dtype {X.dtype}: a lazy array must hold real numbers.")
    if X.shape[0] < least or X.shape[1] < 1:
        raise ValueError(f"X has shape {X.shape}: minimum of {least} row(s) and 1 column.")
    return X


def working_dtype(dtype: str, of_X: np.dtype[Any]) -> type[np.floating]:
    """What products with targets are computed in."""
    is_single = of_X == np.float32 if dtype == "auto" else dtype == "float32"
    return np.float32 if is_single else np.float64


def check_weights(sample_weight: ArrayLike | float | None, n_rows: int) -> Array | None:
    """Weights of rows, None where all are equal."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape not in ((), (n_rows,)):
        raise ValueError(
            f"sample_weight has shape {weights.shape}: give a weight for each of {n_rows} rows."
        )
    weights = np.broadcast_to(weights, n_rows)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(
            "sample_weight must hold finite numbers that are not negative, and not all zero."
        )
    return weights.copy()


def make_folds(
    cv: Any,
    X: Any,
    y: Any,
    groups: ArrayLike | None,
    random_state: Any = None,
    *,
    shuffle: bool = False,
) -> list[Fold] | None:
    """Rows to fit on and rows to score, fold by fold; None to leave out each row in turn.

    With `shuffle`, an integer parts shuffled rows (or groups).
    """
    if cv is None:
        if groups is not None:
            raise ValueError(
                "groups are given, but cv=None leaves out single rows, which parts groups: "
                "take cv=LeaveOneGroupOut() or a number of folds."
            )
        return None
    if isinstance(cv, int | np.integer) and (groups is not None or shuffle):
        kind = KFold if groups is None else GroupKFold
        chance = {"shuffle": True, "random_state": random_state}
        cv = kind(int(cv), **(chance if shuffle else {}))
    folds = [
        (_positions(train), _positions(test)) for train, test in check_cv(cv).split(X, y, groups)
    ]
    if not folds or any(len(train) == 0 or len(test) < 2 for train, test in folds):
        raise ValueError(
            f"cv={cv!r} gives {len(folds)} folds, but each must hold out two rows or more, and "
            "leave some to fit on; cv=None leaves out single rows."
        )
    return folds


def _positions(rows: Any) -> NDArray[np.intp]:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
