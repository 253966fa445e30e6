"""RDMs of the patterns around many centres, in buffers that are used again.

What is ordinary is done here by one product for each sphere. Where that would lose digits, or a
pattern has no direction, `compute_rdm` decides, of which these are the numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.spatial.distance import squareform

from skdnn.fmri._searchlight._neighbours import Points
from skdnn.rsa import compute_rdm
from skdnn.rsa._comparison._integer_ranks import rank_rows
from skdnn.rsa._dissimilarity._noise_precision import covariance_of

Array = NDArray[np.float64]

# A dissimilarity below this share of what it is the difference of has lost digits.
_CANCELLED = 1e-4
_PRODUCTS = (
    *("correlation", "cosine", "spearman", "euclidean", "sqeuclidean"),
    *("sqeuclidean_per_feature", "mahalanobis", "crossnobis"),
)


@dataclass(frozen=True)
class Patterns:
    """One subject's data at all points.

    Attributes
    ----------
    values : ndarray of shape (n_points, n_folds * n_images)
        Responses; of crossnobis less the mean over the images of a fold, and 0 where an image was
        not measured in a fold. One fold for all other dissimilarities.
    usable : ndarray of bool, shape (n_points,)
        Points that have data.
    counts : ndarray of int, shape (n_folds, n_images)
        Trials behind each mean.
    residuals : ndarray of shape (n_points, n_residuals) or None
        Less their mean.
    """

    values: NDArray
    usable: NDArray[np.bool_]
    counts: NDArray[np.int64]
    residuals: NDArray | None = None


class SphereRDMs:
    """Condensed RDMs of spheres of one subject.

    Parameters
    ----------
    patterns : Patterns
        The subject.
    metric : str
        Any of :func:`skdnn.rsa.compute_rdm`.
    min_voxels : int
        Spheres of fewer usable voxels are NaN.
    covariance : str
        How the noise of a sphere is estimated, where there are residuals.
    dof : float or None
        For that.
    kept : ndarray of bool, shape (n_pairs,)
        Pairs of images that are wanted; all but for crossnobis.
    """

    def __init__(
        self,
        patterns: Patterns,
        metric: str,
        min_voxels: int,
        covariance: str,
        dof: float | None,
        kept: NDArray[np.bool_],
    ) -> None:
        self.patterns, self.metric, self.min_voxels = patterns, metric, min_voxels
        self.covariance, self.dof = covariance, dof
        n_folds, n = patterns.counts.shape
        self._first, self._second = (ends[kept] for ends in np.triu_indices(n, k=1))
        self._upper = self._first * n + self._second
        self._square = np.empty((n, n))
        self._rows: Array = np.empty((0, n_folds * n))
        self._all_usable = bool(patterns.usable.all())
        wide = patterns.values.dtype.itemsize >= 8
        self._resolution = 10 * 2.0**-52 if wide else 2.0**-23
        if metric == "crossnobis":
            self._folds, times = _fold_products(patterns.counts)
            self._times = times.ravel()[self._upper]

    def usable(self, centre: int, points: Points) -> Points | None:
        """Points of a sphere that have data; None where they are few, or not its centre."""
        if not self._all_usable:
            points = points[self.patterns.usable[points]]
        enough = len(points) >= self.min_voxels and self.patterns.usable[centre]
        return points if enough else None

    def fill(self, spheres: Sequence[tuple[int, Points]], out: Array) -> None:
        """Write the RDM of each sphere, a centre and its points, into a row."""
        for (centre, points), row in zip(spheres, out, strict=True):
            kept = self.usable(centre, points)
            if kept is None:
                row[:] = np.nan
            else:
                self._fill_one(kept, row)

    def _fill_one(self, points: Points, out: Array) -> None:
        if self.metric not in _PRODUCTS:
            out[:] = self._by_compute_rdm(points)
            return
        values = self._gathered(points)
        if self.metric == "crossnobis":
            self._crossnobis(self._whitened(values, points), out)
        elif self.metric in ("correlation", "cosine", "spearman"):
            if not self._angular(values, out):
                out[:] = self._by_compute_rdm(points)
        elif not self._euclidean(self._whitened(values, points), out):
            out[:] = self._by_compute_rdm(points)

    def _gathered(self, points: Points) -> Array:
        """Rows of the points, as float64, in a buffer."""
        if len(self._rows) < len(points):
            self._rows = np.empty((len(points), self._rows.shape[1]))
        rows = self._rows[: len(points)]
        if self.patterns.values.dtype == np.float64:
            return self.patterns.values.take(points, axis=0, out=rows, mode="clip")
        rows[:] = self.patterns.values[points]
        return rows

    def _angular(self, values: Array, out: Array) -> bool:
        """One minus correlations or cosines; False where that takes more care."""
        if self.metric == "spearman":
            values = np.ascontiguousarray(rank_rows(np.ascontiguousarray(values.T)).T)
        mean: Any = 0.0
        if self.metric != "cosine":
            mean = np.add.reduce(values, axis=0) / len(values)
            values -= mean
        squares = np.einsum("ij,ij->j", values, values)
        raw = squares + len(values) * mean**2
        with np.errstate(invalid="ignore"):
            if not (squares > (4 * self._resolution) ** 2 * raw).all() or not _fine(raw):
                return False
        norms = np.sqrt(squares)
        if self.metric == "spearman":  # products of ranks are exact, and stay equal if they are
            self._products(values, out)
            out /= norms[self._first] * norms[self._second]
        else:
            values /= norms
            self._products(values, out)
        np.subtract(1.0, out, out=out)
        return bool(out.min() >= _CANCELLED)

    def _euclidean(self, values: Array, out: Array) -> bool:
        values -= values.mean(axis=1, keepdims=True)
        squares = np.einsum("ij,ij->j", values, values)
        total = squares[self._first] + squares[self._second]
        self._products(values, out)
        out *= -2
        out += total
        if not (out >= _CANCELLED * total).all() or not _fine(squares):
            return False
        if self.metric == "euclidean":
            np.sqrt(out, out=out)
        elif self.metric != "sqeuclidean":
            out /= len(values)
        return True

    def _products(self, values: Array, out: Array) -> None:
        np.matmul(values.T, values, out=self._square)
        self._square.reshape(-1).take(self._upper, out=out, mode="clip")

    def _crossnobis(self, values: Array, out: Array) -> None:
        n = self.patterns.counts.shape[1]
        by_fold = values.reshape(len(values), -1, n)
        own, products = self._folds(by_fold, self._square)
        np.take(products.ravel(), self._upper, out=out, mode="clip")
        lower = products.T.ravel()[self._upper]
        out += lower
        np.negative(out, out=out)
        if own.ndim == 1:
            out += own[self._first]
            out += own[self._second]
        else:
            out += own[self._first, self._second]
            out += own[self._second, self._first]
        with np.errstate(invalid="ignore", divide="ignore"):
            out /= self._times * len(values)

    def _whitened(self, values: Array, points: Points) -> Array:
        """Rows of voxels whose noise is independent and of variance one."""
        residuals = self.patterns.residuals
        if residuals is None:
            return values
        rows = residuals[points].astype(np.float64, copy=False)
        covariance = covariance_of(rows.T, self.covariance, self.dof)
        if covariance.ndim == 1:
            values /= np.sqrt(covariance)[:, None]
            return values
        try:
            factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            values[:] = np.nan
            return values
        return solve_triangular(factor, values, lower=True, check_finite=False)

    def _by_compute_rdm(self, points: Points) -> Array:
        """The RDM as it is computed for any patterns, whatever they hold."""
        patterns = self.patterns.values[points].T
        options: dict[str, Any] = {}
        if self.metric == "mahalanobis":
            patterns = self._whitened(self._gathered(points).copy(), points).T
            options = {"noise_precision": np.ones(len(points))}
        if not np.isfinite(patterns).all():
            return np.full(len(self._upper), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NaN is seen in the map
            rdm = compute_rdm(np.ascontiguousarray(patterns), self.metric, **options)
        return squareform(rdm, checks=False)


def _fine(squares: Array) -> bool:
    return bool(squares.min() > 1e-250 and squares.max() < 1e250)


FoldProducts = Callable[[Array, Array], tuple[Array, Array]]


def _fold_products(counts: NDArray[np.int64]) -> tuple[FoldProducts, Array]:
    """Sums of ``a'b`` over independent sides, by how often images were measured in folds.

    A function of voxels (n_voxels, n_folds, n_images) and a square buffer, and the number of
    splits of each pair of images. The function gives the products of each image with itself (or,
    where folds lack images, with those it was measured with), and those of all images, whose
    symmetric part counts.
    """
    n_folds, n = counts.shape
    measured = counts > 0
    if (counts == counts[0]).all() and measured.all():

        def balanced(values: Array, square: Array) -> tuple[Array, Array]:
            # Means of all others: the sum over folds less one's own.
            total = values.sum(axis=1)
            flat = values.reshape(-1, n)
            np.matmul(total.T, total, out=square)
            square -= flat.T @ flat
            square /= n_folds - 1
            return square.diagonal().copy(), square

        return balanced, np.full((n, n), float(n_folds))
    if measured.all():
        others = counts.sum(axis=0) - counts

        def unbalanced(values: Array, square: Array) -> tuple[Array, Array]:
            weighted = values * counts
            rest = (weighted.sum(axis=1)[:, None] - weighted) / others
            np.matmul(values.reshape(-1, n).T, rest.reshape(-1, n), out=square)
            return square.diagonal().copy(), square

        return unbalanced, np.full((n, n), float(n_folds))
    pairs = [(i, j, measured[i] & measured[j]) for i, j in combinations(range(n_folds), 2)]
    times = np.zeros((n, n))
    for _, _, valid in pairs:
        times += np.outer(valid, valid)

    def gaps(values: Array, square: Array) -> tuple[Array, Array]:
        own = np.zeros((n, n))
        square[:] = 0.0
        for i, j, valid in pairs:
            first, second = values[:, i] * valid, values[:, j] * valid
            square += first.T @ second
            own += np.outer(np.einsum("ij,ij->j", first, second), valid)
        return own, square

    return gaps, times
