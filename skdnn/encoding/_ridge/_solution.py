"""Ridge regression solved for many targets, each with its own penalty, and its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array, Blocks, row_parts, sum_over_blocks
from skdnn.encoding._ridge._cross_validation import OPERATOR_BYTES
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._products import FeatureProducts, Parts, check_finite
from skdnn.encoding._ridge._targets import Targets

# Rows of new data whose products with those of `fit` are held together.
_ROWS = 4096


@dataclass(frozen=True)
class Solution:
    """Coefficients of some targets, or what they are made of."""

    coef: NDArray[np.floating] | None  # (n_targets, n_features)
    dual: Any  # (n_rows, n_targets), None where there is `coef`
    X: Any  # rows that the dual coefficients are for
    x_mean: Array
    y_mean: Array
    intercept: NDArray[np.floating]

    def coefficients(self) -> NDArray[np.floating]:
        """In the space of features, made now if need be."""
        if self.coef is not None:
            return self.coef
        return _from_dual(self.X, self.x_mean, self.dual)

    def predict(self, X: Any, name: str) -> NDArray[np.floating]:
        """Predictions for the rows of X, in memory or lazy."""
        dtype = self.intercept.dtype
        out = np.empty((X.shape[0], len(self.y_mean)), dtype)
        if self.coef is not None:
            for rows, part in row_parts(X):
                part = part - self.x_mean
                check_finite(part, name, rows.start)
                np.matmul(part.astype(dtype, copy=False), self.coef.T, out=out[rows])
        else:
            for start in range(0, len(out), _ROWS):
                rows = slice(start, min(start + _ROWS, len(out)))
                np.matmul(self._across(X, rows, name).astype(dtype), self.dual, out=out[rows])
        out += self.y_mean.astype(dtype)
        return out

    def _across(self, X: Any, rows: slice, name: str) -> Array:
        """Inner products of some rows of X with those of fit."""
        n_rows = rows.stop - rows.start

        def work(blocks: Blocks) -> Array:
            found = np.zeros((n_rows, self.X.shape[0]))
            for columns, block in blocks:
                part = np.asarray(X[rows, columns], dtype=np.float64)
                check_finite(part, name, rows.start)
                block -= self.x_mean[columns]
                found += (part - self.x_mean[columns]) @ block.T
            return found

        return sum_over_blocks(work, self.X, 1, None, np.zeros((n_rows, self.X.shape[0])))


def _from_dual(X: Any, mean: Array, dual: Any) -> NDArray[np.floating]:
    """Coefficients in the space of features, by blocks of columns."""
    coef = np.empty((dual.shape[1], X.shape[1]), dual.dtype)

    def work(blocks: Blocks) -> Array:
        for columns, block in blocks:
            block -= mean[columns]
            coef[:, columns] = dual.T @ block.astype(dual.dtype, copy=False)
        return np.zeros(0)

    sum_over_blocks(work, X, 1, None, np.zeros(0))
    return coef


def solve(
    problem: FeatureProducts,
    targets: Targets,
    alpha: Array,
    *,
    store: str = "auto",
    which: NDArray[np.bool_] | None = None,
) -> Solution:
    """Fit all rows with a penalty for each target.

    Parameters
    ----------
    problem : FeatureProducts
    targets : Targets
    alpha : ndarray of shape (n_targets,)
        NaN where there is no model.
    store : {"auto", "coef", "dual"}, default="auto"
        What to keep of a solution in the dual form: coefficients of features, those of rows, or
        whichever takes less memory.
    which : ndarray of bool, shape (n_targets,), default=None
        Targets to solve for, which the solution alone has; None is all.
    """
    which = np.ones(len(alpha), dtype=bool) if which is None else which
    n_targets = int(which.sum())
    n_rows, n_features = problem.X.shape
    mean, missing, dtype = targets.mean[which], targets.missing[which], problem.device.dtype
    found = _products(problem, targets, alpha, which)
    x_mean, is_dual = problem.mean_of_columns(), problem.is_dual(n_rows)
    along = problem.dual_products[2] if is_dual else x_mean
    intercept = (mean - found @ along).astype(dtype)
    found[missing] = np.nan
    if not is_dual:
        return Solution(found, None, None, x_mean, mean, intercept)
    if store == "auto":
        smaller = n_rows * (n_features + n_targets) < n_features * n_targets
        store = "dual" if smaller else "coef"
    if store == "dual":
        return Solution(None, found.T, problem.X, x_mean, mean, intercept)
    coef = _from_dual(problem.X, x_mean, found.T)
    return Solution(coef, None, None, x_mean, mean, intercept)


def _products(
    problem: FeatureProducts, targets: Targets, alpha: Array, which: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Coefficients (targets, features), or in the dual form (targets, rows)."""
    device = problem.device
    parts = problem.all_parts()
    back = device.work(problem.back())
    found = np.zeros((int(which.sum()), len(back)), device.dtype)
    place = np.cumsum(which) - 1
    wanted = which & targets.usable
    inverses = _inverses(parts, back, alpha[wanted], device)

    def work(columns: slice, block: Array) -> None:
        mine = np.flatnonzero(wanted[columns])
        each = columns.start + mine
        if not inverses:
            found[place[each]] = solved(block[:, mine], alpha[each])
        for value, inverse in inverses.items():
            some = alpha[each] == value
            y = device.put(block[:, mine[some]], device.dtype)
            found[place[each[some]]] = device.get(y.T @ inverse)

    def solved(block: Array, penalty: Array) -> NDArray[np.floating]:
        turned = device.put(block, device.dtype).T @ parts.right
        turned /= parts.values + device.put(penalty, device.dtype)[:, None]
        return device.get(turned @ back.T)

    targets.for_each(work)
    return found


def _inverses(parts: Parts, back: Any, alpha: Array, device: Device) -> dict[float, Any]:
    """What turns targets into coefficients for each penalty, if it is worth while to form it."""
    n_in, rank = parts.right.shape
    values = np.unique(alpha)
    formed = len(values) * n_in * rank * len(back) + len(alpha) * n_in * len(back)
    turned = len(alpha) * rank * (n_in + len(back))
    size = len(values) * n_in * len(back) * np.dtype(device.dtype).itemsize
    if formed >= turned or size > OPERATOR_BYTES:
        return {}
    return {float(v): (parts.right / (parts.values + float(v))) @ back.T for v in values}
