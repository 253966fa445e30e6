"""What estimators over ridge regression are given, checked: penalties, folds (shuffled or not)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, KFold, check_cv

from skdnn._array_blocks import Array
from skdnn.encoding._ridge._cross_validation import Fold


def check_alphas(alphas: ArrayLike | float) -> Array:
    """Penalties as a vector of positive numbers."""
    found = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    if found.ndim != 1 or not len(found) or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(f"alphas={alphas!r} must be one or several positive numbers.")
    return found


def working_dtype(dtype: str, of_X: np.dtype[Any]) -> type[np.floating]:
    """What products with targets are computed in."""
    is_single = of_X == np.float32 if dtype == "auto" else dtype == "float32"
    return np.float32 if is_single else np.float64


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
