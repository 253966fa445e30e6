"""The numbers behind the PCA of wide data: blocks of X, their products, singular vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular
from sklearn.utils import assert_all_finite

from skdnn._array_blocks import WORK_ELEMENTS, WORK_MIN, Array, Blocks, sum_over_blocks

_EPS = float(np.finfo(np.float64).eps)
# Shares of the largest eigenvalue. Below the first (or n * eps) an eigenvalue is rounding; below
# the second, rounding is seen in the angles between components.
_NULL = 50 * _EPS
_WEAK = 1e-6


def check_finite(block: Array) -> None:
    """scikit-learn's error for NaN and infinity; a finite sum spares the closer look."""
    if not np.isfinite(block.sum()):
        assert_all_finite(block, estimator_name="GramPCA", input_name="X")


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
    step = max(WORK_MIN, WORK_ELEMENTS // (len(fixed) + len(rows)))
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
