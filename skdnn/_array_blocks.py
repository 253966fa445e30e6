"""Two-dimensional data in blocks of rows or columns, in memory or read by slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from skdnn._threads import blas, blas_threads

Array = NDArray[np.float64]
Blocks = Iterator[tuple[slice, Array]]

# What a lazy array is asked for at a time: wide enough that a file is read in long runs.
_READ_BYTES = 2**26
# float64 numbers in the block that is computed on: it should stay in the processor's cache.
WORK_ELEMENTS = 2**19
WORK_MIN = 1024
# Results of threads that are added up: together no larger than this.
_RESULT_BYTES = 2**28
# Rows of new data that are projected together.
_PROJECT_ROWS = 1024


def refuse_sparse(values: Any, name: str) -> None:
    """Raise TypeError for a sparse matrix, of which numpy makes one object."""
    if issparse(values):
        raise TypeError(f"{name} is sparse: pass {name}.toarray().")


def not_finite(block: NDArray[Any], axis: int = 1) -> NDArray[np.intp]:
    """Rows (or columns, for axis 0) that hold NaN or infinity.

    A finite sum spares the closer look.
    """
    with np.errstate(all="ignore"):
        if block.dtype.kind not in "fc" or np.isfinite(block.sum(dtype=np.float64)):
            return np.empty(0, dtype=np.intp)
    return np.flatnonzero(~np.isfinite(block).all(axis=axis))


def is_lazy(X: Any) -> bool:
    """Whether X is to be read by slices."""
    return (
        not isinstance(X, np.ndarray)
        and not issparse(X)
        and isinstance(getattr(X, "dtype", None), np.dtype)
        and len(getattr(X, "shape", ())) == 2
        and hasattr(X, "__getitem__")
    )


def refuse_unreal(values: Any, name: str) -> None:
    """Raise TypeError for a lazy array of anything but real numbers."""
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {values.dtype}: a lazy array must hold real numbers.")


def checked_features(estimator: Any, X: Any, *, reset: bool, min_rows: int = 1) -> Any:
    """X as a 2-D array of its own dtype, or the lazy array; finiteness is seen later."""
    if not is_lazy(X):
        return validate_data(
            estimator,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=min_rows,
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    refuse_unreal(X, "X")
    if X.shape[0] < min_rows or X.shape[1] < 1:
        raise ValueError(f"X has shape {X.shape}: minimum of {min_rows} row(s) and 1 column.")
    return X


def sum_over_blocks(
    work: Callable[[Blocks], Array], X: Any, axis: int, size: int | None, out: Array
) -> Array:
    """Add to `out` what `work` returns for shares of the blocks of X, each in its own thread.

    A block is some rows (axis 0) or columns (1) as float64, in a buffer that is used again. Many
    small products in BLAS's own threads wait for each other after each; one thread for each
    share does not, which on a busy machine is several times faster.
    """
    length, other = X.shape[axis], X.shape[1 - axis]
    step = min(size or length, max(WORK_MIN, WORK_ELEMENTS // other))
    read = length if isinstance(X, np.ndarray) else min(size or length, _read_length(X, axis))
    # Each thread has a result of its own: where that is large, BLAS's threads do well enough.
    most = min(-(-min(read, length) // step), _RESULT_BYTES // (out.nbytes + 1))
    threads = min(most, blas_threads()) if most > 1 else 1
    if threads == 1:
        for start in range(0, length, read):
            part = _cut(X, axis, start, min(start + read, length))
            out += work(_blocks(part, axis, start, slice(0, None, step), step))
            del part  # before the next is read
        return out
    with blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for start in range(0, length, read):
            part = _cut(X, axis, start, min(start + read, length))
            shares = [
                _blocks(part, axis, start, slice(step * thread, None, step * threads), step)
                for thread in range(threads)
            ]
            for result in pool.map(work, shares):
                out += result
            del part, shares  # before the next is read
    return out


def column_blocks(X: Any, size: int | None = None) -> Blocks:
    """The columns of X in blocks, one after another, for work that BLAS shares out itself."""
    n, length = X.shape
    step = min(size or length, max(WORK_MIN, WORK_ELEMENTS // n))
    read = length if isinstance(X, np.ndarray) else min(size or length, _read_length(X, 1))
    for start in range(0, length, read):
        part = _cut(X, 1, start, min(start + read, length))
        yield from _blocks(part, 1, start, slice(0, None, step), step)
        del part  # before the next is read


def _blocks(part: NDArray[Any], axis: int, start: int, which: slice, step: int) -> Blocks:
    """Where they are in the whole, and the blocks of `part`, which begins at `start`."""
    length = part.shape[axis]
    buffer = np.empty(min(step, length) * part.shape[1 - axis])
    for first in range(*which.indices(length)):
        piece = _cut(part, axis, first, first + step)
        block = buffer[: piece.size].reshape(piece.shape)
        np.copyto(block, piece, casting="same_kind")
        yield slice(start + first, start + first + piece.shape[axis]), block


def _cut(X: Any, axis: int, start: int, stop: int) -> NDArray[Any]:
    return np.asarray(X[:, start:stop] if axis else X[start:stop])


def _read_length(X: Any, axis: int) -> int:
    """How many rows or columns of a lazy array to read at a time: whole chunks, if it has them."""
    length = max(1, _READ_BYTES // (X.shape[1 - axis] * X.dtype.itemsize))
    chunks = getattr(X, "chunks", None) or (1, 1)
    chunk = chunks[axis] if isinstance(chunks[axis], int) else 1
    return length - length % chunk if chunk <= length else length


def row_parts(X: Any) -> Iterator[tuple[slice, NDArray[Any]]]:
    """X in parts of whole rows, each in memory."""
    lazy = not isinstance(X, np.ndarray)
    step = min(_PROJECT_ROWS, _read_length(X, 0)) if lazy else _PROJECT_ROWS
    for start in range(0, X.shape[0], step):
        rows = slice(start, min(start + step, X.shape[0]))
        yield rows, np.asarray(X[rows])
