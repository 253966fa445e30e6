"""The numbers behind CKA and Procrustes: patterns read in blocks, centred, and multiplied."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf

from skdnn._array_blocks import Blocks, is_lazy, not_finite, refuse_sparse, sum_over_blocks
from skdnn._labels import row_labels
from skdnn._wording import listed

Array = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Float64 numbers in a block of rows, and rows at the least: thinner products are slow.
_ROW_ELEMENTS, _ROW_MIN = 2**18, 512
# A squared distance below this share of the squared norms is the round-off of equal patterns.
_EQUAL = 1e-14
# What is left of an unbiased HSIC below this share of the biased one is round-off.
_UNBIASED_ZERO = 1e-13


@dataclass(frozen=True)
class Patterns:
    """One pattern per row, in memory or not."""

    name: str
    data: Any
    labels: pd.Index | None
    source: Any  # what the user gave

    @property
    def key(self) -> int:
        """The same for what is the same object; `source` keeps it from being given away."""
        return id(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_conditions, n_features)."""
        return self.data.shape

    def take(self, rows: NDArray[np.intp]) -> Patterns:
        """Some rows, increasing, in memory; of a lazy array by runs, which every file can give."""
        labels = None if self.labels is None else self.labels[rows]
        if isinstance(self.data, np.ndarray):
            return replace(self, data=self.data[rows], labels=labels)
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        parts = [np.asarray(self.data[run[0] : run[-1] + 1]) for run in runs]
        return replace(self, data=np.concatenate(parts), labels=labels)


def read_patterns(given: Any, name: str) -> Patterns:
    """Check shape and type; nothing of a lazy array is read."""
    refuse_sparse(given, name)
    values = given.to_numpy() if isinstance(given, pd.DataFrame) else given
    if not is_lazy(values):
        values = np.asarray(values)
    if len(values.shape) != 2:
        raise ValueError(
            f"{name} must be 2-D, (n_conditions, n_features), got shape {values.shape}. Flatten "
            "each pattern to one row; several representations go in a list or dict."
        )
    if values.dtype.kind == "c" or (values.dtype.kind not in "biuf" and is_lazy(values)):
        raise TypeError(f"{name} has dtype {values.dtype}, but must hold real numbers.")
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is not numeric: {error}") from error
    if values.shape[1] < 1:
        raise ValueError(f"{name} has 0 feature(s): one or more are needed.")
    labels = given.index if isinstance(given, pd.DataFrame) else None
    return Patterns(name, values, labels, given)


def check_same_rows(patterns: Sequence[Patterns], least: int) -> None:
    """Refuse other numbers of rows, too few of them, and row labels that differ."""
    first = patterns[0]
    n = first.shape[0]
    for other in patterns:
        if other.shape[0] != n:
            raise ValueError(
                f"{first.name} has {n} rows and {other.name} has {other.shape[0]}: patterns of "
                "the same conditions are needed."
            )
    if n < least:
        raise ValueError(
            f"{first.name} has {n} rows (n_samples = {n}): at least {least} conditions are needed."
        )
    labelled = [p for p in patterns if p.labels is not None]
    found = [(p.name, row_labels(pd.Series(0, p.labels))) for p in labelled]
    named = [(name, labels) for name, labels in found if labels is not None]
    for name, labels in named[1:]:
        for row, (a, b) in enumerate(zip(named[0][1], labels, strict=True)):
            if a != b:
                raise ValueError(
                    f"Row {row} is {a!r} in {named[0][0]} but {b!r} in {name}: bring the rows "
                    f"into one order, e.g. {name}.loc[{named[0][0]}.index]."
                )


def check_finite(block: NDArray[Any], patterns: Patterns, start: int = 0) -> None:
    """Raise ValueError naming rows of NaN or infinity; a finite sum spares the closer look."""
    wrong = start + not_finite(block)
    if wrong.size:
        labels = patterns.labels
        shown = listed(wrong, 8, str) if labels is None else listed([labels[k] for k in wrong], 8)
        raise ValueError(
            f"{patterns.name} contains NaN or infinity in row{'s' if len(wrong) > 1 else ''} "
            f"{shown}. Drop or impute these values first."
        )


def _vary(squares: Array, first: Array, n: int, dtype: np.dtype[Any]) -> bool:
    """Whether a feature varies by more than its type resolves, `squares` being of n deviations."""
    narrow = dtype.kind == "f" and dtype.itemsize < 8
    resolution = float(np.finfo(dtype).eps) if narrow else 10 * _EPS
    return bool((np.sqrt(squares / n) > resolution * np.abs(first)).any())


class Gram:
    """Patterns by the n x n products (or kernel) of rows: for more features than rows.

    The matrix, centred, is scaled to trace 1, and `diagonal` with it.
    """

    def __init__(self, patterns: Patterns, matrix: Array, gamma: float | None = None) -> None:
        self.patterns, self.gamma = patterns, gamma
        self.trace = _positive_trace(matrix.trace(), patterns)
        self.matrix = matrix
        self.matrix /= self.trace
        self.diagonal = self.matrix.diagonal().copy()

    def inner(self, other: Gram) -> float:
        """Sum of the products of the cells."""
        return float(np.vdot(self.matrix, other.matrix))

    def nuclear(self, other: Gram) -> float:
        """Of X'Y: a matrix knows X but for a rotation, which changes no singular value."""
        return float(svdvals(self._root.T @ other._root).sum())

    @cached_property
    def _root(self) -> Array:
        """Columns R with RR' the matrix, as many as its rank: pivoted Cholesky."""
        n = len(self.matrix)
        least = max(50, n) * _EPS * self.diagonal.max()
        factor, order, rank, _ = dpstrf(self.matrix, tol=least, lower=1)
        root = np.empty((n, rank))
        root[order - 1] = np.tril(factor)[:, :rank]
        return root


class Rows:
    """Patterns by the p x q products of features: for fewer features than rows."""

    gamma = None

    def __init__(self, patterns: Patterns, size: int | None) -> None:
        self.patterns, self.size = patterns, size
        n, p = patterns.shape
        self._first = np.asarray(patterns.data[:1]).astype(np.float64)
        self._mean: Any = 0.0
        total = np.zeros(p)
        for rows, block in self.blocks(self.step):
            check_finite(block, patterns, rows.start)
            total += block.sum(axis=0)
        self._mean = total / n
        self.diagonal, squares = np.empty(n), np.zeros(p)
        for rows, block in self.blocks(self.step):
            with np.errstate(over="ignore"):  # seen in the trace
                np.square(block, out=block)
            self.diagonal[rows] = block.sum(axis=1)
            squares += block.sum(axis=0)
        self.varies = _vary(squares, self._first[0], n, patterns.data.dtype)
        self.trace = float(self.diagonal.sum())
        if self.varies:
            self.trace = _positive_trace(self.trace, patterns)
            self.diagonal /= self.trace

    @property
    def step(self) -> int:
        """Rows in a block."""
        return self.size or max(_ROW_MIN, _ROW_ELEMENTS // self.patterns.shape[1])

    def blocks(self, step: int) -> Iterator[tuple[slice, Array]]:
        """Rows as float64; the first one goes before the mean: it makes a constant exactly 0."""
        n = self.patterns.shape[0]
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            block = np.asarray(self.patterns.data[rows]).astype(np.float64)
            block -= self._first
            block -= self._mean
            yield rows, block

    def inner(self, other: Rows) -> float:
        """The same sum as over cells of inner products of rows: of squares of those of columns."""
        products = self._products(other)
        return float(np.vdot(products, products))

    def nuclear(self, other: Rows) -> float:
        """Of X'Y itself."""
        return float(svdvals(self._products(other)).sum())

    def _products(self, other: Rows) -> Array:
        step = min(self.step, other.step)
        products = np.zeros((self.patterns.shape[1], other.patterns.shape[1]))
        pairs = zip(self.blocks(step), other.blocks(step), strict=True)
        for (_, mine), (_, theirs) in pairs:
            products += mine.T @ theirs
        products /= np.sqrt(self.trace) * np.sqrt(other.trace)
        return products


def _positive_trace(trace: Any, patterns: Patterns) -> float:
    if not np.isfinite(trace):
        raise ValueError(
            f"The squares of the values of {patterns.name} are too large for float64: divide "
            "them by a constant."
        )
    return float(trace)


def centred_gram(patterns: Patterns, size: int | None) -> Array | None:
    """Inner products of the rows, columns centred first; None if no feature varies."""
    n = patterns.shape[0]
    varying: list[bool] = []

    def work(blocks: Blocks) -> Array:
        gram, product = np.zeros((2, n, n))
        for _, block in blocks:
            check_finite(block, patterns)
            first = block[0].copy()  # goes first: it makes a constant feature exactly 0
            block -= first
            block -= block.mean(axis=0)
            with np.errstate(over="ignore", invalid="ignore"):  # seen in the trace
                squares = np.einsum("ij,ij->j", block, block)
                varying.append(_vary(squares, first, n, patterns.data.dtype))
                gram += np.matmul(block, block.T, out=product)
        return gram

    gram = sum_over_blocks(work, patterns.data, 1, size, np.zeros((n, n)))
    return gram if any(varying) else None


def gaussian_gram(
    gram: Array, gamma: float | None, bandwidth: float, name: str
) -> tuple[Array, float]:
    """Centred Gaussian kernel from centred inner products, which it overwrites, and its gamma."""
    squares = gram.diagonal().copy()
    gram *= -2
    gram += squares
    gram += squares[:, None]
    gram[gram < _EQUAL * (squares + squares[:, None])] = 0
    np.fill_diagonal(gram, 0)
    if gamma is None:
        median = float(np.median(np.sqrt(gram[np.triu_indices(len(gram), 1)])))
        if median == 0:
            raise ValueError(
                f"More than half of the pairs of conditions in {name} have the same pattern, so "
                "the median distance is 0 and gives no bandwidth: pass gamma."
            )
        gamma = 1 / (2 * (bandwidth * median) ** 2)
    gram *= -gamma
    np.expm1(gram, out=gram)  # less 1, which centring takes away anyway
    mean = gram.mean(axis=0)
    gram -= mean
    gram -= mean[:, None]
    gram += mean.mean()
    return gram, gamma


def hsic(inner: float, a: Array, b: Array, debiased: bool) -> float:
    """Of two centred matrices: the sum of products of their cells, and their diagonals.

    Rows of a centred matrix sum to zero, so those of one without its diagonal sum to minus the
    diagonal, and the sums of the unbiased estimator need no further matrix.
    """
    n = len(a)
    if not debiased:
        return inner / (n - 1) ** 2
    rest = float(a.sum() * b.sum()) / ((n - 1) * (n - 2)) - float(a @ b) * n / (n - 2)
    return (inner + rest) / (n * (n - 3))


def own_hsic(item: Gram | Rows, debiased: bool) -> float:
    """HSIC of patterns with themselves; 0 where no more than round-off is left."""
    inner = item.inner(item)  # type: ignore[arg-type]
    n = len(item.diagonal)
    value = hsic(inner, item.diagonal, item.diagonal, debiased)
    return value if value > _UNBIASED_ZERO * inner / n**2 else 0.0


def table(
    xs: Sequence[Patterns],
    ys: Sequence[Patterns],
    make: Callable[[Patterns], Any],
    measure: Callable[[Any, Any], float],
) -> Array:
    """`measure` of each of xs with each of ys, each made once; the fewer are held in memory."""
    flip = len(ys) < len(xs)
    few, many = (ys, xs) if flip else (xs, ys)
    held: dict[Hashable, Any] = {}
    for patterns in few:
        if patterns.key not in held:
            held[patterns.key] = make(patterns)
    values = np.empty((len(few), len(many)))
    for column, patterns in enumerate(many):
        item = held[patterns.key] if patterns.key in held else make(patterns)
        values[:, column] = [
            measure(item, held[one.key]) if flip else measure(held[one.key], item) for one in few
        ]
    return values.T if flip else values
