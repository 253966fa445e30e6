"""Ridge regression of an RDM on the squared differences of features, without forming them all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, eigh, solve_triangular
from scipy.optimize import nnls
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]

# Numbers of the design of squared differences held at a time.
_CHUNK = 2**22
# Rows of the largest matrix that is decomposed: 2 GB.
_LARGEST = 2**14
# Penalties below this share of the mean of the diagonal are left to eigenvectors.
_SMALL = 1e-9
# Least correlation of the target and plain distances that the shared weight stands for.
_LEAST = 0.01
# Changes of the set of positive weights before another algorithm takes over.
_MAX_PIVOTS = 200


def weighted_pairs(features: Array, weights: Array) -> Array:
    """Sums of squared differences of features for each column of weights: (n_columns, n_pairs).

    From the differences themselves: near-duplicates keep their order.
    """
    n_pairs = len(features) * (len(features) - 1) // 2
    out = np.empty((weights.shape[1], n_pairs))
    for rows, block in _design_rows(features):
        out[:, rows] = (block @ weights).T
    return out


def reweight(
    features: Array,
    target: Array,
    alphas: Array,
    *,
    nonnegative: bool,
    intercept: bool,
    equal: bool = False,
) -> tuple[Array, Array]:
    """Ridge weights (n_features, n_alphas) and intercepts; the features are centred.

    `target` are the pairs, NaN where unknown. The penalty is on the squares of the weights, or,
    if `equal`, of their differences from the one weight that would be best for all features.
    """
    known = ~np.isnan(target)
    n_known, n_features = int(known.sum()), features.shape[1]
    target_mean = target[known].mean() if intercept else 0.0
    centred = np.where(known, target - target_mean, 0.0)
    means = _column_means(features, known) if intercept else np.zeros(n_features)
    primal = nonnegative or n_features <= n_known
    _check_memory(n_features, n_known, nonnegative)
    shared = 0.0
    if equal:
        plain = weighted_pairs(features, np.ones((n_features, 1)))[0] - means.sum()
        shared = _shared_weight(np.where(known, plain, 0.0), centred)
        centred = np.where(known, centred - shared * plain, 0.0)
    if primal:
        gram = _gram(features, known, means)
        penalties = alphas * _mean_variance(gram, n_features)
        moments = _adjoint(features, centred) - means * centred.sum()
        if nonnegative:  # of the weights themselves, not of their differences from the shared one
            moments = moments + shared * gram.sum(axis=1)
            weights = _solve_nonnegative(gram, moments, penalties, shared)
        else:
            weights = shared + _solve_ridge(gram, moments, penalties)
    else:
        kernel = _kernel(features, known, means)
        penalties = alphas * _mean_variance(kernel, n_features)
        duals = _solve_ridge(kernel, centred[known], penalties)
        weights = np.empty((n_features, len(alphas)))
        for column, dual in enumerate(duals.T):
            full = np.zeros(len(target))
            full[known] = dual
            weights[:, column] = shared + _adjoint(features, full) - means * dual.sum()
    return weights, target_mean - means @ weights


def _shared_weight(plain: Array, target: Array) -> float:
    """The best weight of all features alike, and never quite zero or below.

    Where the target is unrelated to distances, or falls with them, strong penalties still leave
    the distances as they are.
    """
    square = float(plain @ plain)
    if square <= 0:
        return 0.0
    return max(float(plain @ target), _LEAST * np.sqrt(square * float(target @ target))) / square


def _mean_variance(matrix: Array, n_features: int) -> float:
    found = float(np.trace(matrix)) / n_features
    if found <= 0:
        raise ValueError(
            "No feature in X varies among the training conditions, or none does beside the "
            f"others of its pattern (n_features={n_features})."
        )
    return found


def _check_memory(n_features: int, n_pairs: int, nonnegative: bool) -> None:
    if n_features > _LARGEST and (nonnegative or n_pairs > _LARGEST):
        raise ValueError(
            f"X has {n_features} features{'' if nonnegative else f' and {n_pairs} pairs'}: a "
            f"matrix of more than {_LARGEST} rows would have to be decomposed. Use fewer "
            "features: pool a layer over space, or put a PCA before this step"
            f"{', or nonnegative=False' if nonnegative and n_pairs <= _LARGEST else ''}."
        )


def _design_rows(
    features: Array, known: NDArray[np.bool_] | None = None
) -> Iterator[tuple[slice, Array]]:
    """Squared differences of the (known) pairs, (pairs of the block, n_features)."""
    first, second = np.triu_indices(len(features), k=1)
    if known is not None:
        first, second = first[known], second[known]
    step = max(1, _CHUNK // features.shape[1])
    for start in range(0, len(first), step):
        rows = slice(start, min(start + step, len(first)))
        block = features[first[rows]] - features[second[rows]]
        yield rows, np.square(block, out=block)


def _column_means(features: Array, known: NDArray[np.bool_]) -> Array:
    """Mean of each feature's squared differences over the known pairs."""
    return _adjoint(features, known / known.sum())


def _adjoint(features: Array, pairs: Array) -> Array:
    """Sum over pairs of squared differences times the pair's value, without the design."""
    square = squareform(pairs, checks=False)
    ends = square.sum(axis=1) @ np.square(features)
    return ends - np.einsum("if,if->f", features, square @ features)


def _gram(features: Array, known: NDArray[np.bool_], means: Array) -> Array:
    """Cross products of the design's columns, less those of the means over known pairs."""
    n, n_known = len(features), int(known.sum())
    if n_known < len(known):
        gram = np.zeros((features.shape[1],) * 2)
        for _, block in _design_rows(features, known):
            block -= means
            gram += block.T @ block
        return gram
    squares = np.square(features)
    sums = squares.sum(axis=0)
    gram = features.T @ features
    np.square(gram, out=gram)
    gram *= 2
    squares -= sums / n
    gram += n * (squares.T @ squares)
    # What is left of the products of sums: n * (sums / n)^2 + sums^2 - n_pairs * means^2.
    gram += np.outer(sums, 2 * sums) - np.outer(means, n_known * means)
    return gram


def _kernel(features: Array, known: NDArray[np.bool_], means: Array) -> Array:
    """Products of the design's rows, columns centred."""
    first, second = (index[known] for index in np.triu_indices(len(features), k=1))
    kernel = np.zeros((len(first), len(first)))
    step = max(1, _CHUNK // len(first))
    for start in range(0, features.shape[1], step):
        columns = slice(start, start + step)
        part = features[:, columns]
        block = np.square(part[first] - part[second]) - means[columns]
        kernel += block @ block.T
    return kernel


def _solve_ridge(matrix: Array, right: Array, penalties: Array) -> Array:
    """Solutions of (matrix + penalty) x = right, a column per penalty."""
    if penalties.min() > _SMALL * np.trace(matrix) / len(right):
        # A handful of Cholesky factors takes a tenth of the time of the eigenvectors.
        return np.stack([_positive_solve(_ridged(matrix, p), right) for p in penalties], axis=1)
    values, vectors = eigh(matrix, check_finite=False)
    projected = vectors.T @ right
    return vectors @ (projected[:, None] / (np.maximum(values, 0)[:, None] + penalties))


def _ridged(matrix: Array, penalty: float) -> Array:
    out = matrix.copy()
    out[np.diag_indices_from(out)] += penalty
    return out


def _solve_nonnegative(matrix: Array, right: Array, penalties: Array, shared: float) -> Array:
    """The same with no negative element, as the minimum of the quadratic form.

    The penalty is on differences from the `shared` value.
    """
    out = np.zeros((len(right), len(penalties)))
    free = right > 0
    for column in np.argsort(-penalties):  # each starts where the last, stronger one ended
        ridged = _ridged(matrix, penalties[column])
        out[:, column] = nonnegative_minimum(ridged, right + penalties[column] * shared, free)
        free = out[:, column] > 0
    return out


def nonnegative_minimum(matrix: Array, right: Array, free: NDArray[np.bool_]) -> Array:
    """The x >= 0 that minimises x'Ax/2 - b'x for a positive definite A.

    Block principal pivoting (Kim & Park, 2011), which starts from the elements in `free` being
    positive; where round-off keeps it from ending, Lawson and Hanson's algorithm.
    """
    free = free.copy()
    fewest, patience = len(right) + 1, 3
    tolerance = 1e-12 * np.abs(right).max(initial=0.0)
    for _ in range(_MAX_PIVOTS):
        x = np.zeros_like(right)
        x[free] = _positive_solve(matrix[np.ix_(free, free)], right[free])
        gradient = matrix[:, free] @ x[free] - right
        wrong = np.where(free, x < 0, gradient < -tolerance)
        if not wrong.any():
            return x
        if wrong.sum() < fewest:
            fewest, patience = int(wrong.sum()), 3
        elif patience:
            patience -= 1
        else:  # one at a time, the last: this cannot cycle
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    factor = cholesky(matrix, lower=True)
    found: Array = nnls(factor.T, solve_triangular(factor, right, lower=True))[0]
    return found


def _positive_solve(matrix: Array, right: Array) -> Array:
    try:
        # Of the transpose, the same matrix: in Fortran's order it need not be reordered.
        factor = cho_factor(matrix.T, lower=True, check_finite=False)
        found: Array = cho_solve(factor, right)
    except LinAlgError:  # singular to round-off: a tiny penalty, far below any that is asked for
        bump = 1e-14 * np.trace(matrix) * np.eye(len(matrix))
        found = cho_solve(cho_factor(matrix + bump), right)
    return found
