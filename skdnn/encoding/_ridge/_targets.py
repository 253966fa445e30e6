"""Many targets as ridge regression takes them: in blocks, centred, the unusable ones known."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from skdnn._array_blocks import Array, Blocks, is_lazy, refuse_unreal, sum_over_blocks
from skdnn.encoding._shared_checks import some_columns

_FEW = 64


@dataclass(frozen=True)
class Targets:
    """A matrix of rows by targets, in memory or lazy, and what is known of its columns."""

    Y: Any  # (n_rows, n_targets), ndarray or lazy
    mean: Array  # (n_targets,); zeros where nothing is to be centred
    missing: NDArray[np.bool_]  # not all numbers
    constant: NDArray[np.bool_]
    size: int | None  # of a block

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Targets that have a model."""
        return ~(self.missing | self.constant)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and targets."""
        return self.Y.shape

    def for_each(self, work: Callable[[slice, Array], None]) -> None:
        """Call `work` with each block of centred targets; unusable ones are zero in it."""

        def centred(columns: slice, block: Array) -> None:
            block[:, ~self.usable[columns]] = 0
            block -= np.where(self.usable[columns], self.mean[columns], 0)
            work(columns, block)

        for_each_block(centred, self.Y, self.size)


def for_each_block(work: Callable[[slice, Array], None], Y: Any, size: int | None) -> None:
    """Call `work` with columns and a float64 copy of them, in as many threads as BLAS has."""
    if isinstance(Y, np.ndarray) and Y.shape[1] <= min(size or _FEW, _FEW):  # no thread is quicker
        return work(slice(0, Y.shape[1]), Y.astype(np.float64))

    def run(blocks: Blocks) -> Array:
        for columns, block in blocks:
            work(columns, block)
        return np.zeros(0)

    sum_over_blocks(run, Y, 1, size, np.zeros(0))


def check_targets(y: Any, n_rows: int, estimator: object) -> tuple[Any, bool]:
    """y as two-dimensional array (or lazy), and whether it was one-dimensional."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"This {name} estimator requires y to be passed, but the target y is None."
        )
    if is_lazy(y):
        refuse_unreal(y, "y")
    else:
        y = check_array(
            y,
            dtype="numeric",
            ensure_2d=False,
            ensure_all_finite=False,
            input_name="y",
            estimator=estimator,
        )
    if y.shape[0] != n_rows:
        raise ValueError(
            f"y has {y.shape[0]} rows and X has {n_rows}: give one row of y for each of X "
            "(inconsistent numbers of samples)."
        )
    if 0 in y.shape:
        raise ValueError(f"y has shape {y.shape}: minimum of one target is required.")
    single = len(y.shape) == 1
    return (y.reshape(-1, 1) if single else y), single


def read_targets(
    Y: Any,
    *,
    centre: bool,
    nan_targets: str,
    size: int | None,
    stacklevel: int,
    weights: Array | None = None,
) -> Targets:
    """Look at all targets once; warn of those without a model, or refuse them.

    `weights` of rows count in the means.

    Raises
    ------
    ValueError
        If there are targets with NaN or infinity and `nan_targets` is "error".
    """
    n_targets = Y.shape[1]
    mean = np.zeros(n_targets)
    missing, constant = np.zeros((2, n_targets), dtype=bool)

    def look(columns: slice, block: Array) -> None:
        with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity
            mean[columns] = np.average(block, axis=0, weights=weights)
        missing[columns] = ~np.isfinite(block).all(axis=0)
        constant[columns] = (block == block[0]).all(axis=0)

    for_each_block(look, Y, size)
    constant &= ~missing
    if missing.any():
        _report_missing(missing, nan_targets, stacklevel + 1)
    if constant.any():
        warnings.warn(
            f"{constant.sum()} of {n_targets} targets are constant ({some_columns(constant)}): "
            "their coefficients are 0, and their scores NaN.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
    mean[missing] = np.nan
    kept = mean if centre else np.where(missing, np.nan, 0)
    return Targets(Y, kept, missing, constant, size)


def _report_missing(missing: NDArray[np.bool_], policy: str, stacklevel: int) -> None:
    found = f"{missing.sum()} of {len(missing)} targets ({some_columns(missing)})"
    if policy == "error":
        raise ValueError(
            f"y has NaN or infinity in {found}. Drop these targets, or set nan_targets='nan' to "
            "leave them without a model."
        )
    warnings.warn(
        f"y has NaN or infinity in {found}: they have no model, and their predictions and "
        "scores are NaN.",
        RuntimeWarning,
        stacklevel=stacklevel,
    )
