r"""Products of one feature matrix, and what predicts rows from rows for all penalties.

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

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array, Blocks, not_finite, sum_over_blocks
from skdnn._wording import listed
from skdnn.encoding._ridge._device import Device

Rows = NDArray[np.intp]


class Parts(NamedTuple):
    """What predicts `rows_out` from targets of `rows_in`, for all penalties."""

    left: Any  # (n_out, rank)
    right: Any  # (n_in, rank)
    values: Any  # (rank,)
    shares: Any  # (n_in,), of the rows in the mean
    rows_in: Rows
    rows_out: Rows
    left_out: bool = False  # predict each row from all others


class FeatureProducts:
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
        work = self.device.work
        found = (work(left), work(right), work(values), work(self.device.put(shares)))
        return Parts(*found, rows_in, rows_out)

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
