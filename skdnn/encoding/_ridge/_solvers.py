r"""The numbers behind ridge regression for many targets.

With the eigenvalues of a Gram matrix, predictions for all penalties are
:math:`L\,\mathrm{diag}(1 / (s + \alpha))\,R^\top y`: :math:`R` has a row for each row that y is
given for, :math:`L` one for each that is predicted. In the dual form s and R are the eigenvalues
and -vectors of :math:`X_c X_c^\top`, and L is the Gram matrix across rows times R; in the primal
form V are those of :math:`X_c^\top X_c`, and R and L are :math:`X_c V` of either rows.

Weights W of rows enter as in scikit-learn: centring is by weighted means, and rows are multiplied
by the roots of their weights before the rest. In the dual form R is then
:math:`W^{1/2}` times eigenvectors of :math:`W^{1/2} X_c X_c^\top W^{1/2}`, in the primal form
:math:`W X_c V`. L is of rows as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdnn._blocks import Array, Blocks, not_finite, sum_over_blocks
from skdnn._wording import listed
from skdnn.encoding._ridge._device import Device
from skdnn.encoding._ridge._scores import score_rows
from skdnn.encoding._ridge._targets import Targets

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]  # rows to fit on, rows to predict

# Matrices for several penalties are held together up to this size.
OPERATOR_BYTES = 2**28
# Predictions of all penalties that are scored together, in numbers.
_SCORED = 2**19


class Parts(NamedTuple):
    """What predicts `rows_out` from targets of `rows_in`, for all penalties."""

    left: Any  # (n_out, rank)
    right: Any  # (n_in, rank)
    values: Any  # (rank,)
    shares: Any  # (n_in,), of the rows in the mean
    rows_in: Rows
    rows_out: Rows
    left_out: bool = False  # predict each row from all others


class Problem:
    """One feature matrix, and the products of it that ridge regression needs."""

    def __init__(
        self,
        X: Any,
        *,
        fit_intercept: bool,
        solver: str,
        device: Device,
        name: str = "X",
        weights: Array | None = None,
    ) -> None:
        self.X = X
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.device = device
        self.name = name
        self.n_rows = X.shape[0]
        self.weights = np.ones(self.n_rows) if weights is None else weights
        self.roots = np.sqrt(self.weights)[:, None]

    def is_dual(self, n_rows: int) -> bool:
        """Whether the Gram matrix of this many rows is what is decomposed."""
        return self.solver == "dual" or (self.solver == "auto" and self.X.shape[1] > n_rows)

    @cached_property
    def dual_products(self) -> tuple[Any, Array, Array]:
        """Gram matrix of the centred rows, means of the columns, products of rows with it."""
        n_rows, device = self.n_rows, self.device
        mean = np.zeros(self.X.shape[1])
        shares = self.weights / self.weights.sum()

        def work(blocks: Blocks) -> Array:
            gram: Any = device.put(np.zeros((n_rows, n_rows)))
            along = np.zeros(n_rows)
            for columns, block in blocks:
                check_finite(block, self.name)
                if self.fit_intercept:
                    mean[columns] = shares @ block
                    block -= mean[columns]
                    along += block @ mean[columns]
                placed = device.put(block)
                gram += placed @ placed.T  # half a product: numpy takes syrk
            return np.column_stack([device.get(gram), along])

        found = sum_over_blocks(work, self.X, 1, None, np.zeros((n_rows, n_rows + 1)))
        return device.put(found[:, :-1]), mean, found[:, -1]

    @cached_property
    def primal_products(self) -> tuple[Any, Array]:
        """Inner products of the centred columns, and the means of the columns."""
        n_columns = self.X.shape[1]

        def totals(blocks: Blocks) -> Array:
            total = np.zeros(n_columns)
            for rows, block in blocks:
                check_finite(block, self.name, rows.start)
                total += self.weights[rows] @ block
            return total

        def products(blocks: Blocks) -> Array:
            scatter = np.zeros((n_columns, n_columns))
            for rows, block in blocks:
                block -= mean
                block *= self.roots[rows]
                scatter += block.T @ block
            return scatter

        mean = sum_over_blocks(totals, self.X, 0, None, np.zeros(n_columns))
        mean *= self.fit_intercept / self.weights.sum()
        scatter = sum_over_blocks(products, self.X, 0, None, np.zeros((n_columns, n_columns)))
        return self.device.put(scatter), mean

    def mean_of_columns(self) -> Array:
        """Zeros where there is no intercept."""
        return self.dual_products[1] if self.is_dual(self.n_rows) else self.primal_products[1]

    def parts(self, train: Rows, test: Rows) -> Parts:
        """Predictions of test rows from training rows."""
        make = self._dual_parts if self.is_dual(len(train)) else self._primal_parts
        return self._parts(*make(train, test), train, test)

    def _parts(self, left: Any, right: Any, values: Any, rows_in: Rows, rows_out: Rows) -> Parts:
        """In the dtype of the products with targets."""
        shares = self.weights[rows_in] / self.weights[rows_in].sum()
        given = (left, right, values, self.device.put(shares))
        return Parts(*map(self.device.work, given), rows_in, rows_out)

    @cached_property
    def eigen(self) -> tuple[Any, Any]:
        """Eigenvalues and -vectors of what is decomposed of all rows, in float64."""
        if not self.is_dual(self.n_rows):
            return self.device.eigh(self.primal_products[0])
        roots = self.device.put(self.roots)
        return self.device.eigh(self.dual_products[0] * roots * roots.T)

    def back(self) -> Any:
        """What turns parts along the eigenvectors into coefficients, of columns or of rows."""
        vectors = self.eigen[1]
        return vectors * self.device.put(self.roots) if self.is_dual(self.n_rows) else vectors

    def all_parts(self, *, predict: bool = False) -> Parts:
        """All rows on the right; on the left none, or each, to be predicted from all others."""
        rows, weights = np.arange(self.n_rows), self.device.put(self.weights[:, None])
        if self.is_dual(self.n_rows):
            right = self.back()
            left = self.dual_products[0] @ right if predict else right[:0]
        else:
            left = self.device.put(self._rows(rows) - self.primal_products[1]) @ self.eigen[1]
            right = left * weights
        parts = self._parts(left if predict else left[:0], right, self.eigen[0], rows, rows[:0])
        return parts._replace(rows_out=rows, left_out=True) if predict else parts

    def _dual_parts(self, train: Rows, test: Rows) -> tuple[Any, Any, Any]:
        """Left, right and values, with the Gram matrix of the training rows."""
        gram = self.dual_products[0]
        inner, across = gram[train][:, train], gram[test][:, train]
        if self.fit_intercept:
            shares = self.device.put(self.weights[train] / self.weights[train].sum())
            means, along = inner @ shares, across @ shares
            level = means @ shares
            inner = inner - means - means[:, None] + level
            across = across - along[:, None] - means + level
        roots = self.device.put(self.roots[train])
        values, vectors = self.device.eigh(inner * roots * roots.T)
        right = vectors * roots
        return across @ right, right, values

    def _primal_parts(self, train: Rows, test: Rows) -> tuple[Any, Any, Any]:
        """The same with the scatter matrix of their columns."""
        scatter, mean = self.primal_products
        inside, weights = self._rows(train) - mean, self.weights[train]
        if 2 * len(train) > self.n_rows:  # less work by what is to be taken away
            rest = np.setdiff1d(np.arange(self.n_rows), train)
            others = self.device.put((self._rows(rest) - mean) * self.roots[rest])
            scatter = scatter - others.T @ others
        else:
            placed = self.device.put(inside * self.roots[train])
            scatter = placed.T @ placed
        if self.fit_intercept:
            shift = weights / weights.sum() @ inside
            inside -= shift
            placed = self.device.put(shift)
            scatter = scatter - float(weights.sum()) * placed[:, None] * placed
            mean = mean + shift
        values, vectors = self.device.eigh(scatter)
        left = self.device.put(self._rows(test) - mean) @ vectors
        inside *= weights[:, None]
        return left, self.device.put(inside) @ vectors, values

    def _rows(self, rows: Rows) -> Array:
        """Some rows in float64; read in increasing order, which h5py asks for."""
        order = np.argsort(rows, kind="stable")
        found = np.empty((len(rows), self.X.shape[1]))
        if len(rows):
            found[order] = np.asarray(self.X[rows[order]])
        return found


def check_finite(block: Array, name: str, first_row: int = 0) -> None:
    """Refuse NaN and infinity by their rows."""
    rows = first_row + not_finite(block)
    if len(rows):
        raise ValueError(
            f"{name} has NaN or infinity in rows {listed(rows.tolist())}: impute these features, "
            "or drop the rows from X and y."
        )


def cv_scores(
    problem: Problem, targets: Targets, folds: Sequence[Fold] | None, alphas: Array, scoring: str
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
    problem: Problem,
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


def fold_parts(problem: Problem, folds: Sequence[Fold] | None) -> Iterator[Parts]:
    """What predicts the held-out rows of each fold; None leaves out each row in turn."""
    if folds is None:
        yield problem.all_parts(predict=True)
        return
    for train, test in folds:
        yield problem.parts(train, test)
