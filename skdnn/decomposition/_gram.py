"""The numbers behind the PCA of wide data: blocks of X, their products, singular vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]
Blocks = Iterator[tuple[slice, Array]]

# What a lazy array is asked for at a time: wide enough that a file is read in long runs.
_READ_BYTES = 2**26
# float64 numbers in the block that is computed on: it should stay in the processor's cache.
_WORK_ELEMENTS = 2**19
_WORK_MIN = 1024
# Results of threads that are added up: together no larger than this.
_RESULT_BYTES = 2**28
# Rows of new data that are projected together.
_PROJECT_ROWS = 1024
_EPS = float(np.finfo(np.float64).eps)
# Shares of the largest eigenvalue. Below the first (or n * eps) an eigenvalue is rounding; below
# the second, rounding is seen in the angles between components.
_NULL = 50 * _EPS
_WEAK = 1e-6


def is_lazy(X: Any) -> bool:
    """Whether X is to be read by slices."""
    return (
        not isinstance(X, np.ndarray)
        and not issparse(X)
        and isinstance(getattr(X, "dtype", None), np.dtype)
        and len(getattr(X, "shape", ())) == 2
        and hasattr(X, "__getitem__")
    )


def check_finite(block: Array) -> None:
    """scikit-learn's error for NaN and infinity; a finite sum spares the closer look."""
    if not np.isfinite(block.sum()):
        assert_all_finite(block, estimator_name="GramPCA", input_name="X")


def sum_over_blocks(
    work: Callable[[Blocks], Array], X: Any, axis: int, size: int | None, out: Array
) -> Array:
    """Add to `out` what `work` returns for shares of the blocks of X, each in its own thread.

    A block is some rows (axis 0) or columns (1) as float64, in a buffer that is used again. Many
    small products in BLAS's own threads wait for each other after each; one thread for each
    share does not, which on a busy machine is several times faster.
    """
    length, other = X.shape[axis], X.shape[1 - axis]
    step = min(size or length, max(_WORK_MIN, _WORK_ELEMENTS // other))
    read = length if isinstance(X, np.ndarray) else min(size or length, _read_length(X, axis))
    # Each thread has a result of its own: where that is large, BLAS's threads do well enough.
    most = min(-(-min(read, length) // step), _RESULT_BYTES // (out.nbytes + 1))
    threads = min(most, _blas_threads()) if most > 1 else 1
    limit = _blas().limit(limits=1, user_api="blas") if threads > 1 else nullcontext()
    with limit, ThreadPoolExecutor(threads) as pool:
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


def _blocks(part: NDArray[Any], axis: int, start: int, which: slice, step: int) -> Blocks:
    """Where they are in the whole, and the blocks of `part`, which begins at `start`."""
    length = part.shape[axis]
    buffer = np.empty(min(step, length) * part.shape[1 - axis])
    for first in range(*which.indices(length)):
        piece = _cut(part, axis, first, first + step)
        block = buffer[: piece.size].reshape(piece.shape)
        np.copyto(block, piece, casting="same_kind")
        yield slice(start + first, start + first + piece.shape[axis]), block


@cache
def _blas() -> ThreadpoolController:
    """Finds the libraries once: looking takes longer than a small PCA."""
    return ThreadpoolController()


def _blas_threads() -> int:
    """Threads that BLAS may use here; fewer than cores in a worker of joblib."""
    pools = _blas().select(user_api="blas").info()
    return max((pool["num_threads"] for pool in pools), default=1)


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


def gram_eigen(X: Any, size: int | None) -> tuple[Array, Array, Array]:
    """Mean of the columns; eigenvalues and vectors of the centred rows' inner products."""
    mean = np.empty(X.shape[1])

    def work(blocks: Blocks) -> Array:
        gram, product = np.zeros((2, X.shape[0], X.shape[0]))
        for columns, block in blocks:
            check_finite(block)
            mean[columns] = block.mean(axis=0)
            block -= mean[columns]
            gram += np.matmul(block, block.T, out=product)  # half a product: numpy takes syrk
        return gram

    gram = sum_over_blocks(work, X, 1, size, np.zeros((X.shape[0], X.shape[0])))
    return mean, *_eigen(gram)


def covariance_eigen(X: Any, size: int | None) -> tuple[Array, Array, Array]:
    """Mean of the columns; eigenvalues and vectors of the centred columns' inner products."""

    def column_sums(blocks: Blocks) -> Array:
        total = np.zeros(X.shape[1])
        for _, block in blocks:
            check_finite(block)
            total += block.sum(axis=0)
        return total

    def products(blocks: Blocks) -> Array:
        scatter, product = np.zeros((2, X.shape[1], X.shape[1]))
        for _, block in blocks:
            block -= mean
            scatter += np.matmul(block.T, block, out=product)
        return scatter

    mean = sum_over_blocks(column_sums, X, 0, size, np.zeros(X.shape[1])) / X.shape[0]
    scatter = sum_over_blocks(products, X, 0, size, np.zeros((X.shape[1], X.shape[1])))
    return mean, *_eigen(scatter)


def _eigen(product: Array) -> tuple[Array, Array]:
    """Eigenvalues, largest first and zero where they are rounding, and their vectors."""
    values, vectors = eigh(product, overwrite_a=True, driver="evd")
    values, vectors = values[::-1], vectors[:, ::-1]
    null = values <= max(_NULL, len(values) * _EPS) * values[0]
    return np.where(null, 0, values), vectors


def right_vectors(
    X: Any, mean: Array, U: Array, values: Array, dtype: type[np.floating], size: int | None
) -> NDArray[np.floating]:
    """Unit vectors ``U.T @ Xc / s``, completed to an orthonormal set where s is zero."""
    components = np.zeros((U.shape[1], X.shape[1]), dtype)
    null = values == 0
    weights = np.ascontiguousarray((U / np.sqrt(np.where(null, np.inf, values))).T)

    def work(blocks: Blocks) -> Array:
        for columns, block in blocks:
            block -= mean[columns]
            components[:, columns] = weights @ block
        return np.zeros(0)

    if not null.all():
        sum_over_blocks(work, X, 1, size, np.zeros(0))
    # Any vectors do for the null space; with a fixed seed they are the same each time.
    rng = np.random.default_rng(0)
    for row in np.flatnonzero(null):
        components[row] = rng.normal(size=X.shape[1])
    strong = int(np.sum(values > _WEAK * values[:1]))
    if strong < len(components):
        _orthonormalize(components[:strong], components[strong:])
    return components


def _orthonormalize(fixed: NDArray[np.floating], rows: NDArray[np.floating]) -> None:
    """Make `rows` orthonormal in place, in their order, and orthogonal to the `fixed` ones."""
    step = max(_WORK_MIN, _WORK_ELEMENTS // (len(fixed) + len(rows)))
    parts = [slice(start, start + step) for start in range(0, rows.shape[1], step)]
    for _ in range(2):  # once leaves the rounding errors of a nearly dependent row
        overlap, gram = np.zeros((len(rows), len(fixed))), np.zeros((len(rows), len(rows)))
        for part in parts:
            overlap += rows[:, part].astype(np.float64) @ fixed[:, part].T.astype(np.float64)
        for part in parts:
            rest = rows[:, part] - overlap @ fixed[:, part].astype(np.float64)
            rows[:, part] = rest
            gram += rest @ rest.T
        factor = cholesky(gram, lower=True)
        for part in parts:
            rows[:, part] = solve_triangular(factor, rows[:, part].astype(float), lower=True)
