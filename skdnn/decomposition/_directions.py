"""Scores turned so that the ones of the feature space are the ones of the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array


def with_direction_of_ones(scores: NDArray[Any], components: NDArray[Any]) -> Array:
    r"""Scores in k + 1 coordinates whose vector of ones is that of the features.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Coordinates along the components.
    components : ndarray of shape (k, p)
        Orthonormal rows.

    Returns
    -------
    turned : ndarray of shape (n, k + 1), float64
        Inner products are those of the scores, and the mean over columns, times
        :math:`\sqrt{k + 1}`, is the mean over the p features of ``scores @ components``, times
        :math:`\sqrt{p}`. So the Pearson correlations of rows are those of these patterns.
    """
    padded = np.zeros((len(scores), len(components) + 1))
    padded[:, :-1] = scores
    return mirrored(padded, _mirror(components))


def without_direction_of_ones(turned: NDArray[Any], components: NDArray[Any]) -> Array:
    """The scores that were turned."""
    return mirrored(np.array(turned, dtype=np.float64), _mirror(components))[:, :-1]


def _mirror(components: NDArray[Any]) -> Array:
    """Normal of the mirror between the features' unit vector of ones and that of the scores."""
    size = len(components) + 1
    ones = np.empty(size)
    ones[:-1] = components.sum(axis=1, dtype=np.float64) / np.sqrt(components.shape[1])
    ones[-1] = np.sqrt(
        max(0.0, 1 - float(ones[:-1] @ ones[:-1]))
    )  # the part outside the components
    return mirror_between(ones / np.linalg.norm(ones), np.full(size, 1 / np.sqrt(size)))


def mirror_between(one: Array, other: Array) -> Array:
    """Unit normal of the mirror that exchanges two unit vectors; zeros where they are the same."""
    normal = one - other
    length = np.linalg.norm(normal)
    return normal / length if length > np.finfo(np.float64).eps else np.zeros(len(one))


def mirrored(rows: Array, normal: Array) -> Array:
    """Rows in the mirror of this unit normal."""
    return rows - 2 * np.outer(rows @ normal, normal)
