"""Squared distances and angles between rows by matrix products over blocks of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyr2k, dsyrk
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skdnn._array_blocks import Array, column_blocks

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]

# A squared distance below this share of the squared norms has lost four digits to cancellation.
_CANCELLED = 1e-4
# Four roundings of a float64: a correlation or cosine distance below it is a zero.
_ZERO = 1e-15
# Sums of squares outside of it may have overflowed, or lost digits below the smallest number.
_SAFE = (1e-250, 1e250)
# A row whose mean is further than this from its first guess, in shares of its spread, is read
# again: its centred products have lost two digits.
_DRIFT = 100.0
# Pairs that are computed one by one, for each row; beyond, closer rows are centred again.
_FEW = 8
_SMALL_GROUP = 64
_PANEL = 256  # rows of an n x n matrix that are worked on at a time
_PAIR_ELEMENTS = 2**20


@dataclass(frozen=True)
class Blocks:
    """Float64 blocks of the columns of X: scaled, shifted, normed, weighted, then centred."""

    X: Any
    size: int | None = None
    scale: Any = None
    shifts: tuple[Array, ...] = ()
    norm: Any = None
    weights: Array | None = None  # of the columns
    centre: str | None = "mean"  # subtract the rows' mean, or the "first" row
    rows: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return self.X.shape[0] if self.rows is None else len(self.rows)

    def __iter__(self) -> Iterator[Array]:
        for columns, block in column_blocks(self.X, self.size):
            if self.scale is not None:
                block /= self.scale
            for shift in self.shifts:
                block -= shift
            if self.norm is not None:
                block /= self.norm
            if self.weights is not None:
                block *= self.weights[columns]
            if self.rows is not None:
                block = block[self.rows]
            if self.centre is not None:
                block -= block.mean(axis=0) if self.centre == "mean" else block[0].copy()
            yield block

    def row_sums(self) -> tuple[Array, Array]:
        """Sum and sum of squares of each row, as columns."""
        sums, squares = np.zeros((2, len(self), 1))
        for block in self:
            sums += block.sum(axis=1, keepdims=True)
            squares += np.einsum("ij,ij->i", block, block)[:, None]
        return sums, squares


class Products:
    """Sum over blocks of the inner products of rows, in one triangle that is filled in place."""

    def __init__(self, n: int) -> None:
        self._lower = np.zeros((n, n), order="F")

    def add(self, block: Array, other: Array | None = None) -> None:
        """Add ``block @ block.T``, or the symmetric part of ``block @ other.T``."""
        # C-ordered rows are the columns of BLAS, which would copy anything else.
        if other is None:
            self._lower = dsyrk(
                1.0, block.T, beta=1.0, c=self._lower, trans=1, lower=1, overwrite_c=1
            )
        else:
            self._lower = dsyr2k(
                0.5, block.T, other.T, beta=1.0, c=self._lower, trans=1, lower=1, overwrite_c=1
            )

    @property
    def upper(self) -> Array:
        """The sum, valid on and above the diagonal."""
        return self._lower.T


def euclidean_squared(
    X: Any, weights: Array | None, size: int | None, check: Callable[[], None]
) -> tuple[Array, float]:
    """Squared distances between rows in units of a scale, and that scale (mostly 1).

    Centring the columns changes no distance and saves the digits that an offset would eat.
    """
    blocks = Blocks(X, size, weights=weights)
    with np.errstate(invalid="ignore", over="ignore"):  # looked at next
        products = _gram(blocks)
    largest = np.max(np.diag(products))
    if not np.isfinite(largest):
        check()
    if X.dtype.itemsize < 8 or _SAFE[0] < largest < _SAFE[1]:
        return _from_products(blocks, products), 1.0
    scale = _power_of_two(_largest(X).max(keepdims=True))
    return squared_distances(replace(blocks, scale=scale)), float(scale[0])


def angular(
    X: Any, centre_rows: bool, resolution: float, size: int | None, check: Callable[[], None]
) -> Array:
    """One minus the cosine of (centred) rows; NaN where a row has no direction.

    One pass: rows are centred roughly, by their mean in the first block, and the rest is
    corrected in the products. Where that would cost digits, all is done again with care.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # looked at next
        rows = _one_pass(X, centre_rows, size)
        if not np.isfinite(rows.raw).all():
            check()
        if rows.need_care(resolution, wide=X.dtype.itemsize >= 8):
            return _angular_with_care(X, centre_rows, resolution, size)
    undefined = rows.flat(resolution) | (rows.centred <= resolution**2 * rows.raw)
    norm = np.where(undefined, 1.0, np.sqrt(rows.centred))
    rdm = rows.products
    close = _cosines_to_distances(rdm, norm, rows.sums / np.sqrt(X.shape[1]), undefined)
    shifts = (rows.shift, rows.sums[:, None] / X.shape[1]) if centre_rows else ()
    units = Blocks(X, size, shifts=shifts, norm=norm[:, None])
    if len(close[0]) > _FEW * len(rdm):
        del rdm, rows
        return _from_units(units, undefined)
    if len(close[0]):
        rdm[close] = _direct(replace(units, centre=None), *close) / 2
    return _finish_angular(mirror(rdm), undefined)


@dataclass(frozen=True)
class _Rows:
    """Products of the rows less `shift`, and what is left of their sums."""

    products: Array
    shift: Array
    sums: Array
    squares: Array  # of the shifted rows
    centred: Array  # sums of squares about the mean (cosine: as `squares`)
    raw: Array  # sums of squares of the rows themselves

    def flat(self, resolution: float) -> NDArray[np.bool_]:
        """Rows that are surely constant (cosine: zero)."""
        if self.raw is self.squares:
            return self.squares == 0
        return self.squares <= resolution**2 * self.raw

    def need_care(self, resolution: float, wide: bool) -> bool:
        """Whether digits were lost, or (in float64 input) numbers too large or small to square."""
        varied = ~self.flat(resolution)
        if (varied & (self.squares - self.centred > _DRIFT * self.centred)).any():
            return True
        tiny = (self.raw < _SAFE[0]) | (varied & (self.squares < _SAFE[0]))
        return wide and bool(tiny.any() or not self.raw.max() < _SAFE[1])


def _one_pass(X: Any, centre_rows: bool, size: int | None) -> _Rows:
    n, p = X.shape
    products, shift, sums = Products(n), np.zeros((n, 1)), np.zeros(n)
    for columns, block in column_blocks(X, size):
        if centre_rows:
            if columns.start == 0:
                shift = block.mean(axis=1, keepdims=True)
            block -= shift
            sums += block.sum(axis=1)
        products.add(block)
    squares = np.diag(products.upper).copy()
    if not centre_rows:
        return _Rows(products.upper, shift, sums, squares, squares, squares)
    centred = np.maximum(squares - sums**2 / p, 0.0)
    raw = centred + p * (shift[:, 0] + sums / p) ** 2
    return _Rows(products.upper, shift, sums, squares, centred, raw)


def squared_distances(blocks: Blocks) -> Array:
    """Squared distances between rows by matrix product, close pairs from closer centres."""
    return _from_products(blocks, _gram(blocks))


def paired_differences(pairs: Callable[[], Iterator[tuple[Array, Array]]], n: int) -> Array:
    """Sums over blocks (a, b) of ``(a_i - a_j)'(b_i - b_j)``."""
    products = Products(n)
    for first, second in pairs():
        products.add(first, second)
    sums = products.upper
    rows, columns = _subtract_products(sums, np.diag(sums).copy())
    if len(rows):
        sums[rows, columns] = 0.0
        for first, second in pairs():
            for part in _pair_parts(len(rows), first.shape[1]):
                i, j = rows[part], columns[part]
                sums[i, j] += np.einsum("ij,ij->i", first[i] - first[j], second[i] - second[j])
    return mirror(sums)


def _gram(blocks: Blocks) -> Array:
    products = Products(len(blocks))
    for block in blocks:
        products.add(block)
    return products.upper


def _from_products(blocks: Blocks, products: Array) -> Array:
    """Turn the upper triangle of products into squared distances, in place."""
    groups: list[NDArray[np.intp]] = []
    left = _subtract_products(products, np.diag(products).copy())
    if len(left[0]) > _FEW * len(blocks):
        groups, left = _close_groups(blocks, *left)
    for group in groups:
        rows = group if blocks.rows is None else blocks.rows[group]
        products[np.ix_(group, group)] = squared_distances(
            replace(blocks, rows=rows, centre="first")
        )
    if len(left[0]):
        products[left] = _direct(blocks, *left)
    return mirror(products)


def _close_groups(
    blocks: Blocks, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[list[NDArray[np.intp]], Pairs]:
    """Rows that hang together by close pairs, and the pairs that are in no such large group."""
    n = len(blocks)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(n, n))
    of_row = connected_components(graph, directed=False)[1]
    sizes = np.bincount(of_row)
    # All rows around one of them once more, as they were just now, would change nothing.
    large = (sizes > _SMALL_GROUP) & ~((sizes == n) & (blocks.centre == "first"))
    alone = ~large[of_row[rows]]
    return [np.flatnonzero(of_row == group) for group in np.flatnonzero(large)], (
        rows[alone],
        columns[alone],
    )


def _panels(n: int) -> Iterator[slice]:
    for start in range(0, n, _PANEL):
        yield slice(start, min(start + _PANEL, n))


def _subtract_products(products: Array, squares: Array) -> Pairs:
    """Squared distances in place of products (upper triangle), and the pairs that cancel."""
    found = []
    for rows in _panels(len(products)):
        part = products[rows, rows.start :]
        total = squares[rows, None] + squares[rows.start :]
        part *= -2
        part += total
        np.abs(total, out=total)
        found.append(_pairs_above_diagonal(part < _CANCELLED * total, rows.start))
    return _joined(found)


def _cosines_to_distances(products: Array, norm: Array, mean: Array, undefined: Any) -> Pairs:
    """One minus the cosines in place of products (upper triangle), and the pairs that cancel."""
    found = []
    inverse, mean = 1 / norm, mean / norm
    for rows in _panels(len(products)):
        part = products[rows, rows.start :]
        part *= inverse[rows, None]
        part *= -inverse[rows.start :]
        part += mean[rows, None] * mean[rows.start :]
        part += 1
        close = part < _CANCELLED
        close[undefined[rows]] = False
        close[:, undefined[rows.start :]] = False
        found.append(_pairs_above_diagonal(close, rows.start))
    return _joined(found)


def _pairs_above_diagonal(chosen: NDArray[np.bool_], start: int) -> Pairs:
    rows, columns = np.nonzero(np.triu(chosen, k=1))
    return rows + start, columns + start


def _joined(found: list[Pairs]) -> Pairs:
    rows, columns = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(columns)


def mirror(matrix: Array) -> Array:
    """Copy the upper triangle to the lower one and clear the diagonal, in place."""
    for rows in _panels(len(matrix)):
        inner = np.triu(matrix[rows, rows], k=1)
        matrix[rows, rows] = inner + inner.T
        matrix[rows.stop :, rows] = matrix[rows, rows.stop :].T
    return matrix


def _direct(blocks: Blocks, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """Squared distances of the pairs (rows[k], columns[k]) from differences."""
    squared = np.zeros(len(rows))
    for block in blocks:
        for part in _pair_parts(len(rows), block.shape[1]):
            difference = block[rows[part]] - block[columns[part]]
            squared[part] += np.einsum("ij,ij->i", difference, difference)
    return squared


def _pair_parts(n_pairs: int, width: int) -> Iterator[slice]:
    step = max(1, _PAIR_ELEMENTS // width)
    for start in range(0, n_pairs, step):
        yield slice(start, start + step)


def _angular_with_care(X: Any, centre_rows: bool, resolution: float, size: int | None) -> Array:
    """The same in several passes: scaled rows, then their means, then their norms."""
    p = X.shape[1]
    scale = _power_of_two(_largest(X))[:, None]
    blocks = Blocks(X, size, scale=scale, centre=None)
    raw = blocks.row_sums()[1]
    undefined = raw[:, 0] == 0
    if centre_rows:
        # The first value goes first: it makes a constant row exactly zero.
        first = np.asarray(X[:, :1]).astype(np.float64) / scale
        mean = replace(blocks, shifts=(first,)).row_sums()[0] / p
        blocks = replace(blocks, shifts=(first, mean))
        centred = blocks.row_sums()[1]
        undefined = (np.sqrt(centred) <= resolution * np.sqrt(raw))[:, 0]
        raw = centred
    norm = np.where(undefined[:, None], 1.0, np.sqrt(raw))
    return _from_units(replace(blocks, norm=norm, centre="mean"), undefined)


def _from_units(units: Blocks, undefined: NDArray[np.bool_]) -> Array:
    """Half the squared distances of unit vectors."""
    rdm = squared_distances(units)
    rdm /= 2
    return _finish_angular(rdm, undefined)


def _finish_angular(rdm: Array, undefined: NDArray[np.bool_]) -> Array:
    rdm[rdm < _ZERO] = 0.0
    if undefined.any():
        rdm[undefined] = np.nan
        rdm[:, undefined] = np.nan
        np.fill_diagonal(rdm, 0.0)
    return rdm


def _largest(X: Any) -> Array:
    """Largest magnitude of each row."""
    largest = np.zeros(X.shape[0])
    for _, block in column_blocks(X):
        np.maximum(largest, np.abs(block, out=block).max(axis=1), out=largest)
    return largest


def _power_of_two(largest: Array) -> Array:
    """Powers of two near `largest`: dividing by them rounds nothing and squares stay finite."""
    return np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1000, 1000))
