"""Measured and predicted values side by side, read in blocks; which targets have no score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from skdnn._array_blocks import Array, is_lazy, refuse_unreal
from skdnn.encoding._blocks_of_columns import blocks_of_columns
from skdnn.encoding._shared_checks import Flags, check_weights, some_columns

# Scores of a block of targets, and which of OK, MISSING, CONSTANT, FLAT each of them is.
Scored = tuple[Array, NDArray[np.int8]]
# Standard deviations; whether they are numbers; whether the values are constant.
Spread = tuple[Array, Flags, Flags]
BlockScore = Callable[[Array, Array, "Array | None", float], Scored]

OK, MISSING, CONSTANT, FLAT = range(4)
_WHY = {
    MISSING: "with NaN or infinity",
    CONSTANT: "constant in y_true",
    FLAT: "constant in y_pred",
}


@dataclass(frozen=True)
class MeasuredAndPredicted:
    """Two matrices of rows (images) by targets, in memory or lazy."""

    true: Any
    pred: Any
    target_shape: tuple[int, ...]
    tolerance: float  # standard deviation over mean at which a target counts as constant

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and targets."""
        return self.true.shape

    def blocks(self, step: int | None = None) -> Iterator[tuple[slice, Array, Array]]:
        """Columns, and float64 copies of both of them that may be written to."""
        for columns, (true, pred) in blocks_of_columns(self.true, self.pred, step=step):
            yield columns, true, pred


def read_pair(y_true: Any, y_pred: Any, *, min_rows: int = 2) -> MeasuredAndPredicted:
    """Check both, and flatten what follows the first axis.

    Raises
    ------
    ValueError
        If the shapes differ or there are too few rows.
    """
    true, pred = _read(y_true, "y_true"), _read(y_pred, "y_pred")
    flat_shapes = [(a.shape[0], int(np.prod(a.shape[1:]))) for a in (true, pred)]
    columns = all(len(a.shape) == 1 or a.shape[1:] == (1,) for a in (true, pred))
    if flat_shapes[0] != flat_shapes[1] or not (true.shape == pred.shape or columns):
        raise ValueError(
            f"y_true has shape {true.shape} and y_pred {pred.shape}: both need one row for each "
            "image and the same targets."
        )
    if true.shape[0] < min_rows:
        raise ValueError(f"y_true has {true.shape[0]} rows: at least {min_rows} are needed.")
    if flat_shapes[0][1] == 0:
        raise ValueError(f"y_true has shape {true.shape}: it holds no target.")
    shape = true.shape[1:] or (1,)
    eps = max((np.finfo(a.dtype).eps for a in (true, pred) if a.dtype.kind == "f"), default=0)
    return MeasuredAndPredicted(_flat(true), _flat(pred), shape, max(1e-13, 2 * float(eps)))


def _read(y: Any, name: str) -> Any:
    if is_lazy(y):
        refuse_unreal(y, name)
        return y
    return check_array(
        y,
        dtype="numeric",
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_features=0,
        input_name=name,
    )


def _flat(array: Any) -> Any:
    return array if is_lazy(array) else array.reshape(array.shape[0], -1)


def read_weights(sample_weight: Any, n_rows: int) -> Array | None:
    """Weights that add up to 1, or None."""
    weights = check_weights(sample_weight, n_rows)
    return None if weights is None else weights / weights.sum()


def centre(block: Array, weights: Array | None) -> tuple[Array, Array]:
    """Subtract the mean of each column, weight the rows; mean and mean square of what is left."""
    with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity
        mean = block.mean(axis=0) if weights is None else weights @ block
        block -= mean
        if weights is not None:
            block *= np.sqrt(weights * len(block))[:, None]
        square = np.einsum("ij,ij->j", block, block) / len(block)
    return mean, square


def spread(mean: Array, square: Array, tolerance: float) -> Spread:
    """Standard deviation; whether it is a number; whether the column is constant."""
    deviation = np.sqrt(square)
    finite = np.isfinite(deviation)
    with np.errstate(invalid="ignore"):
        return deviation, finite, finite & (deviation <= tolerance * np.abs(mean))


def score_targets(pair: MeasuredAndPredicted, weights: Array | None, score: BlockScore) -> Scored:
    """Scores of all targets."""
    scores = np.empty(pair.shape[1])
    states = np.empty(pair.shape[1], dtype=np.int8)
    for columns, true, pred in pair.blocks():
        scores[columns], states[columns] = score(true, pred, weights, pair.tolerance)
    return scores, states


def warn_undefined(states: NDArray[np.int8], what: str, stacklevel: int) -> None:
    """One warning that counts the targets without a score, by reason."""
    bad = int((states != OK).sum())
    if not bad:
        return
    reasons = [
        f"{(states == state).sum()} {why} ({some_columns(states == state)})"
        for state, why in _WHY.items()
        if (states == state).any()
    ]
    warnings.warn(
        f"{bad} of {len(states)} targets have no {what}, it is NaN: {'; '.join(reasons)}.",
        RuntimeWarning,
        stacklevel=stacklevel + 1,
    )
