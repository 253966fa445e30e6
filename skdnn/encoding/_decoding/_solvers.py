"""Ridge regression on the features that correlate best with each target: the numbers behind it.

Centring, weights and a penalised intercept become one plain ridge regression. With weights of sum
W, weighted means m of the features and b of a target, and rows scaled by the roots of their
weights, minimising over the intercept leaves

    (Xc' Xc + c m m' + alpha I) w = Xc' yc + c m b,    c = W alpha / (W + alpha),

where c = 0 if the intercept is free. So m (times the root of c) is one more row of the features,
b one more of the target, and Xc' yc is also the numerator of the correlations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from skdnn._array_blocks import Array
from skdnn.encoding._decoding._positive_definite import solve_positive

Floats = NDArray[np.floating]
Found = tuple[NDArray[np.int32], Floats]
# From targets (rows: centred, by roots of weights), their means, and inner products with features
# to the selected columns and their coefficients, a row for each target.
Solver = Callable[[Array, Array, Array], Found]

# Columns of less variance have correlation 0.
CONSTANT = 1e-8
# Correlations that differ by less are equal.
_EQUAL = 1e-13
# Numbers of the features that are held centred, as float64 (256 MB); else they are centred anew.
_HELD = 2**25
# Numbers that a block of columns has where they are not, and that are ranked together.
_BLOCK = 2**22
# The largest matrix of inner products between all features, and between those of a few targets.
_GRAM_FEATURES, _UNION_FEATURES = 8192, 4096
# Measured costs, in multiplications of a factorisation: to gather a number from a symmetric
# matrix, and from columns of the features.
_GATHER, _GATHER_COLUMN = 40, 60
# Rows of a symmetric matrix that are gathered together, each from the diagonal on.
_GATHER_ROWS = 50
# Beyond this condition number the inverse of the whole matrix is not built upon.
_MAX_CONDITION = 1e9


@dataclass(frozen=True)
class Design:
    """Features whose rows are centred, weighted and completed when they are asked for."""

    X: NDArray  # (n, p), as given
    root: Array  # (n,), roots of the weights
    mean: Array  # (p,)
    length: Array  # (p,), of the centred and weighted columns; 0 where they count as constant
    alpha: float
    pull: float  # c, above
    y_rows: NDArray[np.intp] | None  # (n,), the row of y of each row; None: the same one
    y_weights: Array  # of the rows of y
    gather: csr_array | None  # (rows of y, n): adds up rows of X that share a row of y
    held: Array | None = None  # (n + 1, p), all of what `columns` gives

    @property
    def n_rows(self) -> int:
        return len(self.root) + 1

    @property
    def n_features(self) -> int:
        return len(self.mean)

    def columns(self, which: slice | NDArray[np.intp] | NDArray[np.int32]) -> Array:
        """Some features: n rows, and the one that stands for the intercept."""
        if self.held is not None:
            return self.held[:, which]
        piece = self.X[:, which]
        out = np.empty((self.n_rows, piece.shape[1]))
        np.subtract(piece, self.mean[which], out=out[:-1])
        out[:-1] *= self.root[:, None]
        out[-1] = np.sqrt(self.pull) * self.mean[which]
        return out

    def blocks(self) -> list[slice]:
        """All columns, in blocks that may be centred at a time."""
        p = self.n_features
        step = p if self.held is not None else max(256, _BLOCK // self.n_rows)
        return [slice(start, min(start + step, p)) for start in range(0, p, step)]

    def numerators(self, Y: Array) -> Array:
        """Inner products of targets (rows of Y: centred, by roots of weights) and features."""
        found = np.empty((len(Y), self.n_features))
        for block in self.blocks():
            rows = self.columns(block)[:-1]
            np.matmul(Y, rows if self.gather is None else self.gather @ rows, out=found[:, block])
        return found


def make_design(
    X: NDArray,
    weights: Array,
    y_rows: NDArray[np.intp] | None,
    alpha: float,
    penalize_intercept: bool,
) -> tuple[Design, Array]:
    """The features, and their variances."""
    total = weights.sum()
    mean, variance = _moments(X, weights / total)
    length = np.where(variance < CONSTANT, 0.0, np.sqrt(variance * total))
    pull = total * alpha / (total + alpha) if penalize_intercept else 0.0
    root = np.sqrt(weights)
    gather, y_weights = None, weights
    if y_rows is not None:
        y_weights = np.bincount(y_rows, weights=weights).astype(np.float64)
        ratio = root / np.sqrt(y_weights)[y_rows]
        gather = csr_array((ratio, (y_rows, np.arange(len(root)))))
    design = Design(X, root, mean, length, alpha, pull, y_rows, y_weights, gather)
    if design.n_rows * X.shape[1] <= _HELD:
        design = replace(design, held=design.columns(slice(None)))
    return design, variance


def _moments(X: NDArray, shares: Array) -> tuple[Array, Array]:
    """Weighted mean and variance of each column."""
    mean, variance = np.empty((2, X.shape[1]))
    step = max(256, _BLOCK // len(X))
    for start in range(0, X.shape[1], step):
        block = X[:, start : start + step].astype(np.float64)
        mean[start : start + step] = shares @ block
        block -= mean[start : start + step]
        mean[start : start + step] += shares @ block  # what rounding left
        variance[start : start + step] = shares @ np.square(block, out=block)
    return mean, variance


def select(Y: Array, numerators: Array, length: Array, k: int) -> NDArray[np.int32]:
    """Columns of the k largest correlations with each target, ascending; of equal ones the last.

    What is equal must not depend on rounding, which is not the same in all columns.
    """
    found = np.empty((len(Y), k), np.int32)
    step = max(1, _BLOCK // len(length))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    tolerance = _EQUAL * np.linalg.norm(Y, axis=1, keepdims=True)
    for start in range(0, len(Y), step):
        size = np.abs(numerators[start : start + step])
        size *= scale
        least = np.partition(size, -k, axis=1)[:, [-k]]
        slack = tolerance[start : start + step]
        chosen = size >= least - slack
        for row in np.flatnonzero(chosen.sum(axis=1) > k):
            ties = np.flatnonzero(chosen[row] & (size[row] <= least[row] + slack[row]))
            chosen[row, ties[: chosen[row].sum() - k]] = False
        found[start : start + step] = np.nonzero(chosen)[1].reshape(-1, k)
    return found


def choose_method(n: int, p: int, k: int, n_targets: int) -> str:
    """The cheapest exact way: "all", "gram", "complement", "columns" or "dual"."""
    if k >= p:
        return "all"
    costs = {
        "columns": n_targets * (n * k * (k + _GATHER_COLUMN) + _cost(k)),
        "dual": n_targets * (n * k * (n + _GATHER_COLUMN) + n**3 / 3),
    }
    if p <= _GRAM_FEATURES:
        costs["gram"] = n * p**2 + n_targets * _cost(k)
        costs["complement"] = n * p**2 + p**3 + n_targets * (_cost(p - k) + 4 * p**2)
    return min(costs, key=lambda method: costs[method])


def _cost(size: int) -> float:
    """Of gathering one triangle of a symmetric matrix and of solving with it."""
    return size**3 / 3 + _GATHER * size**2 / 2


def solve_chunk(
    design: Design, solve: Solver, chunk: NDArray
) -> tuple[NDArray[np.int32], Floats, Array]:
    """Columns, coefficients and intercepts of the targets in the columns of `chunk`."""
    Y = np.array(chunk.T, dtype=np.float64, order="C")
    constant = np.ptp(Y, axis=1) == 0
    total = design.y_weights.sum()
    means = Y @ (design.y_weights / total)
    Y -= means[:, None]
    Y[constant] = 0  # and not what rounding leaves: that would correlate with something
    Y *= np.sqrt(design.y_weights)
    indices, coefficients = solve(Y, means, design.numerators(Y))
    shift = np.einsum("tk,tk->t", coefficients, design.mean[indices])
    # Under the penalty, an intercept keeps a part of its mean.
    return indices, coefficients, (1 - design.pull / total) * (means - shift)


def make_solver(design: Design, k: int, method: str, dtype: type[np.floating]) -> Solver:
    """What finds columns and coefficients of some targets; all that they share is made here."""
    if method == "all":
        return _all_features(design, dtype)
    gram = _gram(design, slice(None)) if method in ("gram", "complement") else None
    inverse = None if gram is None or method == "gram" else _inverse(gram)
    shared = gram if inverse is None else inverse
    rounded: Any = None if shared is None else shared.astype(dtype, copy=False)

    def solve(Y: Array, means: Array, numerators: Array) -> Found:
        indices = select(Y, numerators, design.length, k)
        if method == "dual":
            return indices, _dual(design, indices, _targets_by_row(design, Y, means), dtype)
        right = _right_side(design, numerators, means)
        if inverse is not None:
            return indices, _complement(inverse, rounded, indices, right, design.alpha)
        right = np.take_along_axis(right, indices, axis=1)
        if gram is None:
            return indices, _columns(design, indices, right, dtype)
        return indices, _solve_each(gram, rounded, indices, right, design.alpha)

    return solve


def _gram(design: Design, which: slice | NDArray[np.int32]) -> Array:
    """Inner products of features, with alpha on the diagonal."""
    if design.held is not None or not isinstance(which, slice):
        rows = design.columns(which)
        gram = rows.T @ rows
    else:
        gram = np.empty((design.n_features, design.n_features))
        for block in design.blocks():
            rows = design.columns(block)
            for other in design.blocks():
                if other.start <= block.start:
                    gram[block, other] = rows.T @ design.columns(other)
                    gram[other, block] = gram[block, other].T
    gram.flat[:: len(gram) + 1] += design.alpha
    return gram


def _right_side(design: Design, numerators: Array, means: Array) -> Array:
    """Inner products of features and targets over all rows, the intercept's too."""
    return numerators + design.pull * np.outer(means, design.mean)


def _targets_by_row(design: Design, Y: Array, means: Array) -> Array:
    """Targets in the rows of the design: what is centred, once for each row of X, and the last."""
    out = np.empty((len(Y), design.n_rows))
    if design.y_rows is None:
        out[:, :-1] = Y
    else:
        out[:, :-1] = (Y / np.sqrt(design.y_weights))[:, design.y_rows] * design.root
    out[:, -1] = np.sqrt(design.pull) * means
    return out


def _all_features(design: Design, dtype: type[np.floating]) -> Solver:
    """One factorisation for all targets, of inner products of features, or of rows if fewer."""
    p = design.n_features
    everything = np.arange(p, dtype=np.int32)
    primal = p <= design.n_rows
    if primal:
        product = _gram(design, slice(None))
    else:
        product = np.zeros((design.n_rows, design.n_rows))
        for block in design.blocks():
            rows = design.columns(block)
            product += rows @ rows.T
        product.flat[:: len(product) + 1] += design.alpha
    factor = _first_solved(map(_factor, (product.astype(dtype), product)), design.alpha)
    of = factor[0].dtype

    def solve(Y: Array, means: Array, numerators: Array) -> Found:
        indices = np.broadcast_to(everything, (len(Y), p))
        if primal:
            right = _right_side(design, numerators, means)
            return indices, cho_solve(factor, right.T.astype(of)).T
        dual = cho_solve(factor, _targets_by_row(design, Y, means).T.astype(of)).T
        found = np.empty((len(Y), p))
        for block in design.blocks():
            np.matmul(dual, design.columns(block), out=found[:, block])
        return indices, found

    return solve


def _first_solved(solutions: Iterable[Any], alpha: float) -> Any:
    """The first that is not None: in float32, or else in float64."""
    for solved in solutions:
        if solved is not None:
            return solved
    raise ValueError(
        f"alpha={alpha!r} is too small for these features: the penalised inner products are not "
        "positive definite within rounding. Give a larger alpha, or standardise X."
    )


def _factor(matrix: Floats) -> tuple[Floats, bool] | None:
    """Cholesky factor, where there is one."""
    with suppress(np.linalg.LinAlgError):
        return cho_factor(matrix, lower=True)
    return None


def _upper(matrix: Floats, which: NDArray, out: Floats) -> Floats:
    """The upper triangle of some rows and columns; below the diagonal lies anything."""
    for start in range(0, len(which), _GATHER_ROWS):
        rows, columns = which[start : start + _GATHER_ROWS], which[start:]
        # Each row is copied in one run before its columns are picked: memory is read in order.
        part = matrix[rows, columns[0] :]
        out[start : start + len(rows), start:] = part.take(
            columns - columns[0], axis=1, mode="clip"
        )
    return out


def _solve_each(
    gram: Array, rounded: Floats, indices: NDArray, right: Array, alpha: float
) -> Floats:
    """Solve for each target with its rows and columns of a matrix of inner products.

    `rounded` is the same matrix in the precision that is asked for.
    """
    found = np.empty(right.shape, rounded.dtype)
    rooms = [(matrix, np.empty((right.shape[1],) * 2, matrix.dtype)) for matrix in (rounded, gram)]
    for target, which in enumerate(indices):
        found[target] = _first_solved(
            (
                solve_positive(_upper(matrix, which, room), right[target].astype(room.dtype))
                for matrix, room in rooms
            ),
            alpha,
        )
    return found


def _inverse(gram: Array) -> Array | None:
    """The inverse, or None where too many digits would be lost in it."""
    with suppress(np.linalg.LinAlgError):
        inverse = np.asarray(np.linalg.inv(gram), dtype=np.float64)
        if np.linalg.norm(gram, 1) * np.linalg.norm(inverse, 1) <= _MAX_CONDITION:
            return inverse
    return None


def _complement(
    inverse: Array, rounded: Floats, indices: NDArray, right: Array, alpha: float
) -> Array:
    """Solve for all features, and then force the coefficients of the others to zero.

    With H the inverse, u = H b, and R the features that are left out: the right side may be
    anything in R; the d to be added there solves H_RR d = -u_R, and u + H_R d is the solution.
    """
    left = np.ones(right.shape, bool)
    np.put_along_axis(left, indices.astype(np.intp), False, axis=1)
    others = np.nonzero(left)[1].reshape(len(right), -1)
    found = right @ inverse
    at_others = np.take_along_axis(found, others, axis=1)
    extra = np.zeros_like(found)
    shift = _solve_each(inverse, rounded, others, -at_others, alpha)
    np.put_along_axis(extra, others, shift.astype(np.float64), axis=1)
    found += extra @ inverse
    return np.take_along_axis(found, indices, axis=1)


def _columns(
    design: Design, indices: NDArray[np.int32], right: Array, dtype: type[np.floating]
) -> Floats:
    """Inner products of the selected features only, of all targets together where they agree."""
    union = np.unique(indices)
    together = len(union) ** 2 < indices.size * indices.shape[1] and len(union) <= _UNION_FEATURES
    found = np.empty(right.shape, dtype)
    for some in [slice(None)] if together else [slice(t, t + 1) for t in range(len(indices))]:
        union = np.unique(indices[some])
        gram = _gram(design, union)
        places = np.searchsorted(union, indices[some])
        rounded = gram.astype(dtype, copy=False)
        found[some] = _solve_each(gram, rounded, places, right[some], design.alpha)
    return found


def _dual(
    design: Design, indices: NDArray[np.int32], targets: Array, dtype: type[np.floating]
) -> Floats:
    """Inner products of rows, for fewer rows than selected features."""
    found = np.empty(indices.shape, dtype)
    for target, which in enumerate(indices):
        rows = design.columns(which)
        product = rows @ rows.T
        product.flat[:: len(product) + 1] += design.alpha
        matrices = (product.astype(dtype), product)
        dual = _first_solved(
            (solve_positive(matrix, targets[target].astype(matrix.dtype)) for matrix in matrices),
            design.alpha,
        )
        found[target] = dual @ rows
    return found
