"""RDMs of many frames: one product of patterns for each, and the careful way where digits count.

A frame with close pairs, constant patterns or extreme numbers goes to :func:`compute_rdm`, which
takes differences there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from skdnn.rsa._dissimilarity._compute_rdm import compute_rdm
from skdnn.rsa._dissimilarity._noise_precision import precision_root

Array = NDArray[np.float64]
Careful = Callable[[Array], Array]  # condensed RDM of one frame's patterns

Split = tuple[int, Array | None]  # a fold, and weights of the others; None: all alike

ANGULAR = ("correlation", "cosine")
SQUARED = {"euclidean", "sqeuclidean", "sqeuclidean_per_feature", "mahalanobis"}
# A distance below this share of the norms has lost four digits.
_CLOSE = 1e-4
# A norm below this share of the root mean square has lost half of its digits.
_SMALL = 1e-7
_SAFE = (1e-250, 1e250)


def condensed_by_products(frames: Array, metric: str, careful: Careful) -> Array:
    """RDMs (n_frames, n_pairs) of patterns (n_frames, n, n_features), which are overwritten."""
    n_frames, n, n_features = frames.shape
    first, second = np.triu_indices(n, k=1)
    places = first * n + second
    out = np.empty((n_frames, len(places)))
    product = np.empty((n, n))
    for row, patterns in zip(out, frames, strict=True):
        raw = patterns.copy()
        if metric != "cosine":
            patterns -= patterns.mean(axis=1 if metric == "correlation" else 0, keepdims=True)
        squares = np.einsum("ij,ij->i", patterns, patterns)
        if metric in ANGULAR:
            largest = np.einsum("ij,ij->i", raw, raw)
            low = squares.min()
            if (
                not (_SAFE[0] < low and largest.max() < _SAFE[1])
                or (squares <= _SMALL**2 * largest).any()
            ):
                row[:] = careful(raw)
                continue
            patterns /= np.sqrt(squares)[:, None]
            np.matmul(patterns, patterns.T, out=product)
            np.subtract(1, product.take(places), out=row)
            if row.min() < _CLOSE:
                row[:] = careful(raw)
            continue
        if not _SAFE[0] < squares.max() < _SAFE[1]:
            row[:] = careful(raw)
            continue
        np.matmul(patterns, patterns.T, out=product)
        total = squares[first] + squares[second]
        np.subtract(total, 2 * product.take(places), out=row)
        if (row < _CLOSE * total).any():
            row[:] = careful(raw)
        elif metric == "euclidean":
            np.sqrt(row, out=row)
        elif metric != "sqeuclidean":
            row /= n_features
    return out


def condensed_one_by_one(frames: Array, careful: Careful) -> Array:
    """RDMs of each frame by itself."""
    return np.stack([careful(patterns) for patterns in frames])


def careful_rdm(metric: str, **options: Any) -> Careful:
    """Gives the condensed RDM of one frame as :func:`compute_rdm` has it, without its warning."""

    def of(patterns: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            rdm = compute_rdm(patterns, metric, **options)
        return np.asarray(squareform(np.asarray(rdm), checks=False))

    return of


def cross_validated(means: Array, splits: Sequence[Split], n_features: int) -> Array:
    """Crossnobis RDMs (n_frames, n_pairs) of means of folds (n_folds, n_frames, n, n_features)."""
    _, n_frames, n, width = means.shape
    first, second = np.triu_indices(n, k=1)
    out = np.empty((n_frames, len(first)))
    left, right = np.empty((2, n, len(splits) * width))
    for frame, row in enumerate(out):
        own = means[:, frame]
        total = own.sum(axis=0)
        for number, (fold, weights) in enumerate(splits):
            columns = slice(number * width, (number + 1) * width)
            left[:, columns] = own[fold]
            if weights is None:
                right[:, columns] = (total - own[fold]) / (len(own) - 1)
            else:
                right[:, columns] = np.einsum("fn,fnp->np", weights, own)
        for side in (left, right):
            side -= side.mean(axis=0)
        product = left @ right.T
        diagonal = np.diag(product)
        row[:] = diagonal[first] + diagonal[second]
        row -= product[first, second] + product[second, first]
        row /= len(splits) * n_features
    return out


def leave_one_out(counts: NDArray[np.intp]) -> list[Split]:
    """For each fold, the weights that make the mean of all rows of the others.

    `counts` (n_folds, n) are the rows of each condition in each fold.
    """
    if (counts == counts[0]).all():
        return [(fold, None) for fold in range(len(counts))]
    found: list[Split] = []
    for fold in range(len(counts)):
        outside = counts.astype(np.float64)
        outside[fold] = 0
        found.append((fold, outside / outside.sum(axis=0)))
    return found


def pairs_of_folds(means: Array, roots: Sequence[Array], n_features: int) -> Array:
    """Crossnobis with a precision for each pair of folds, whose roots these are."""
    total = np.zeros(1)
    pairs = combinations(range(len(means)), 2)
    for root, (i, j) in zip(roots, pairs, strict=True):
        total = total + cross_validated(whiten(means[[i, j]], root), [(0, None)], n_features)
    return total / len(roots)


def whiten(frames: Array, root: Array) -> Array:
    """Patterns times a root of the precision, or of its diagonal."""
    if root.ndim == 1:
        return frames * root
    flat = frames.reshape(-1, frames.shape[-1])
    return np.asarray((flat @ root).reshape(*frames.shape[:-1], -1))


def root_of(precision: Array) -> Array:
    """What patterns are multiplied with."""
    return np.sqrt(precision) if precision.ndim == 1 else precision_root(precision)
