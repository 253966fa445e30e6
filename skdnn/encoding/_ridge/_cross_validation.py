"""Scores of held-out rows for every penalty and target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._products import FeatureProducts, Parts, Rows
from skdnn.encoding._ridge._scores import score_rows
from skdnn.encoding._ridge._targets import Targets

Fold = tuple[Rows, Rows]  # rows to fit on, rows to predict

# Matrices for several penalties are held together up to this size.
OPERATOR_BYTES = 2**28
# Predictions of all penalties that are scored together, in numbers.
_SCORED = 2**19


def cv_scores(
    problem: FeatureProducts,
    targets: Targets,
    folds: Sequence[Fold] | None,
    alphas: Array,
    scoring: str,
) -> Array:
    """Mean over folds of the score of each penalty and target; None leaves out each row in turn.

    A fold in which a target has no score doesn't count for it; none in any fold is NaN.
    """
    total, count = np.zeros((2, len(alphas), targets.shape[1]))
    for parts in fold_parts(problem, folds):
        _add_scores(problem, parts, targets, alphas, scoring, total, count)
    with np.errstate(invalid="ignore"):
        scores = total / count
    scores[:, ~targets.usable] = np.nan
    return scores


def _add_scores(
    problem: FeatureProducts,
    parts: Parts,
    targets: Targets,
    alphas: Array,
    scoring: str,
    total: Array,
    count: Array,
) -> None:
    """Add the scores of one fold, and 1 to the count of what has a score."""
    device, intercept = problem.device, problem.fit_intercept
    n_out = len(parts.rows_out)
    by_operator, together = _plan(parts, len(alphas), targets.shape[1], device.dtype)
    for first in range(0, len(alphas), together):
        group = alphas[first : first + together]
        operators = _operators(parts, group, intercept, device) if by_operator else None
        step = max(16, _SCORED // (len(group) * n_out))

        def work(
            columns: slice,
            block: Array,
            first: int = first,
            group: Array = group,
            operators: Any = operators,
            step: int = step,
        ) -> None:
            placed = device.put(block, device.dtype)
            known, wanted = placed[parts.rows_in], placed[parts.rows_out]
            for start in range(0, block.shape[1], step):
                some = slice(start, start + step)
                y_in, y_out = known[:, some], wanted[:, some]
                if operators is None:
                    predicted = _predict(parts, group, y_in, intercept, device)
                else:
                    predicted = (y_in.T @ operators.T).reshape(-1, len(group), n_out)
                found = device.get(score_rows(predicted, y_out.T, scoring, device)).T
                at = (
                    slice(first, first + len(group)),
                    slice(columns.start + start, columns.start + start + found.shape[1]),
                )
                defined = np.isfinite(found)
                total[at] += np.where(defined, found, 0)
                count[at] += defined

        targets.for_each(work)


def _plan(parts: Parts, n_alphas: int, n_targets: int, dtype: Any) -> tuple[bool, int]:
    """Whether to form operators from targets to predictions, and for how many penalties at once.

    They spare the turn into eigenvectors, once for each target, at the price of forming them.
    """
    n_out, n_in, rank = len(parts.rows_out), len(parts.rows_in), len(parts.values)
    operators = n_alphas * n_out * n_in * (rank + n_targets)
    turned = n_in * rank * n_targets + n_alphas * n_out * rank * n_targets
    if operators >= turned:
        return False, n_alphas
    return True, max(1, OPERATOR_BYTES // (n_out * n_in * np.dtype(dtype).itemsize))


def _operators(parts: Parts, alphas: Array, intercept: bool, device: Device) -> Any:
    """What turns targets of the rows in into predictions of the rows out, one below the other."""
    n_out, n_in = len(parts.rows_out), len(parts.rows_in)
    found = device.empty((len(alphas) * n_out, n_in))
    for start, alpha in zip(range(0, len(found), n_out), alphas, strict=True):
        matrix = (parts.left / (parts.values + float(alpha))) @ parts.right.T
        if intercept:
            matrix += parts.shares  # the mean, of which the rest takes nothing
        if parts.left_out:
            eye = device.work(device.put(np.eye(n_out)))
            matrix = eye - (eye - matrix) / (1 - device.xp.diagonal(matrix))[:, None]
        found[start : start + n_out] = matrix
    return found


def _predict(parts: Parts, alphas: Array, y_in: Any, intercept: bool, device: Device) -> Any:
    """Predictions (targets, penalties, rows out) by way of the eigenvectors."""
    turned = y_in.T @ parts.right  # (targets, rank)
    found = [
        _predict_turned(parts, 1 / (parts.values + float(alpha))[None], turned, y_in, intercept)
        for alpha in alphas
    ]
    return device.xp.stack(found, 1)


def predict_each(
    parts: Parts, alpha: Array, y_in: Any, intercept: bool, device: Device
) -> NDArray[np.floating]:
    """Predictions (targets, rows out), each target with its own penalty."""
    weights = 1 / (parts.values + device.put(alpha, device.dtype)[:, None])
    turned = y_in.T @ parts.right
    return device.get(_predict_turned(parts, weights, turned, y_in, intercept))


def _predict_turned(parts: Parts, weights: Any, turned: Any, y_in: Any, intercept: bool) -> Any:
    """Predictions (targets, rows out) from targets along the eigenvectors, and their weights."""
    predicted = (turned * weights) @ parts.left.T
    if intercept:
        predicted = predicted + (parts.shares @ y_in)[:, None]
    if parts.left_out:
        leverage = weights @ (parts.left * parts.right).T
        leverage = leverage + (parts.shares if intercept else 0)
        predicted = y_in.T - (y_in.T - predicted) / (1 - leverage)
    return predicted


def fold_parts(problem: FeatureProducts, folds: Sequence[Fold] | None) -> Iterator[Parts]:
    """What predicts the held-out rows of each fold; None leaves out each row in turn."""
    if folds is None:
        yield problem.all_parts(predict=True)
        return
    for train, test in folds:
        yield problem.parts(train, test)
