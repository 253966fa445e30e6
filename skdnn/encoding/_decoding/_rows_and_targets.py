"""What a decoder is given, checked and brought into order; targets in chunks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skdnn._array_blocks import Array, not_finite, refuse_unreal
from skdnn._wording import listed
from skdnn.encoding._decoding._solvers import CONSTANT
from skdnn.encoding._shared_checks import check_weights

# What is read at a time of an array that stays on disk.
_READ_BYTES = 2**26
# Columns that an error message names.
_NAMED = 10


def check_targets(y: Any) -> Any:
    """y as an array of its own dtype and any dimensions, or the lazy array."""
    shape, dtype = getattr(y, "shape", ()), getattr(y, "dtype", None)
    table = isinstance(y, np.ndarray) or hasattr(y, "iloc")
    if table or len(shape) < 2 or not isinstance(dtype, np.dtype):
        y = check_array(
            y,
            ensure_2d=False,
            allow_nd=True,
            dtype="numeric",
            ensure_all_finite=False,
            input_name="y",
        )
        check_finite(y.reshape(len(y), -1), "y")
        return y
    refuse_unreal(y, "y")
    if min(shape) < 1:
        raise ValueError(f"y has shape {shape}: give at least one row and one target.")
    return y


def check_finite(part: NDArray, name: str, names: NDArray | None = None, first: int = 0) -> None:
    """Raise an error that names the columns with NaN or infinity, counted from `first` on."""
    bad = not_finite(part, axis=0)
    if len(bad):
        columns = (bad + first if names is None else names[bad]).tolist()
        raise ValueError(
            f"Input {name} contains NaN or infinity in {len(bad)} of {part.shape[1]} columns: "
            f"{listed(columns, _NAMED)}. Leave them out, or replace the values."
        )


def warn_of_tiny(variance: Array, mean: Array) -> None:
    """Warn of columns that are only called constant because of their scale."""
    tiny = (variance < CONSTANT) & (variance > 1e-14 * mean**2) & (variance > 0)
    if tiny.any():
        warnings.warn(
            f"{tiny.sum()} of {len(tiny)} columns of X vary, but with variances below "
            f"{CONSTANT:g} count as constant when features are selected (the first is "
            f"column {np.argmax(tiny)}): standardise X if they should not.",
            UserWarning,
            stacklevel=4,
        )


def match_rows(
    X: NDArray, n_targets: int, sample_weight: ArrayLike | None, y_rows: ArrayLike | None
) -> tuple[NDArray, Array, NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """Rows of X that count, their weights, rows of y that count, and which of these belongs.

    The last two are None where rows match one to one, in order.
    """
    given = check_weights(sample_weight, len(X))
    weights = np.ones(len(X)) if given is None else given
    rows = np.arange(len(X)) if y_rows is None else _check_y_rows(y_rows, len(X), n_targets)
    counting = weights > 0
    if not counting.all():
        X, weights, rows = X[counting], weights[counting], rows[counting]
    used, rows = np.unique(rows, return_inverse=True)
    one_to_one = len(used) == len(rows) and bool((np.diff(rows) == 1).all())
    return X, weights, None if len(used) == n_targets else used, None if one_to_one else rows


def _check_y_rows(y_rows: ArrayLike, n: int, n_targets: int) -> NDArray[np.intp]:
    rows = np.asarray(y_rows)
    if rows.shape != (n,) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"y_rows has shape {rows.shape} and dtype {rows.dtype}: give a row number of y for "
            f"each of the {n} rows of X."
        )
    if rows.min() < 0 or rows.max() >= n_targets:
        raise ValueError(
            f"y_rows reaches from {rows.min()} to {rows.max()}, but y has rows 0 to "
            f"{n_targets - 1}."
        )
    return rows.astype(np.intp)


def read_columns(X: Any) -> NDArray:
    """A lazy array in memory, columns contiguous, read in parts."""
    out = np.empty(X.shape, X.dtype, order="F")
    step = max(1, _READ_BYTES // (X.shape[1] * X.dtype.itemsize))
    for start in range(0, X.shape[0], step):
        out[start : start + step] = X[start : start + step]
    return out


def chunks_of_targets(
    y: Any, used: NDArray[np.intp] | None, size: int
) -> Iterator[tuple[slice, NDArray]]:
    """Some targets at a time: which, and the rows of y that count."""
    first = 0
    for part in _parts(y):
        for start in range(0, part.shape[1], size):
            chunk = part[:, start : start + size]
            which = slice(first + start, first + start + chunk.shape[1])
            yield which, chunk if used is None else chunk[used]
        first += part.shape[1]


def _parts(y: Any) -> Iterator[NDArray]:
    """The targets as columns: all of an array, and of a lazy one as many as are read at a time."""
    if isinstance(y, np.ndarray):
        yield y.reshape(len(y), -1)
        return
    bytes_each = y.shape[0] * math.prod(y.shape[2:]) * y.dtype.itemsize
    step = max(1, _READ_BYTES // bytes_each)
    for start in range(0, y.shape[1], step):
        part = np.asarray(y[:, start : start + step]).reshape(y.shape[0], -1)
        check_finite(part, "y", first=start * math.prod(y.shape[2:]))
        yield part
