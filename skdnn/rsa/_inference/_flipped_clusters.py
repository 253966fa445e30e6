"""Cluster masses, and enhanced t, of all columns under random signs of subjects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdnn.rsa._inference._clusters import Neighbours, Positions, enhanced, largest_masses
from skdnn.rsa._inference._sign_flips import Signs, flipped_sums, sum_of_t, t_of_sums

Array = NDArray[np.float64]


def largest_of_clusters(
    scaled: Array,
    n: Array,
    signs: Signs,
    neighbours: Neighbours,
    kind: str,
    alternative: str,
    threshold: float | Array,
    step: float,
    block: int,
) -> Array:
    """The most extreme value anywhere under each set of signs, for each side that is asked for.

    Parameters
    ----------
    scaled : ndarray of shape (n_subjects, n_columns)
        Of `scale_columns`.
    n : ndarray of shape (n_columns,)
        Subjects of each column.
    signs : Signs
        Where these are all, but for opposites, both sides are taken.
    neighbours : int or ndarray of int, shape (n_points, k)
        Which columns are neighbours, within rows of as many points.
    kind : {"cluster", "tfce"}
        What is largest: the sum of t over a cluster, or the enhanced t.
    alternative : {"greater", "less", "two-sided"}
        The sides.
    threshold : float or ndarray of shape (n_columns,)
        Of t, for "cluster".
    step : float
        Between heights, for "tfce".
    block : int
        How many values may be held at a time.

    Returns
    -------
    largest : ndarray of shape (n_sides, n_sets)
        Larger is more on each side.
    """
    sides = [s for s, name in ((1, "greater"), (-1, "less"))
             if signs.exact or alternative in (name, "two-sided")]  # fmt: skip
    found = np.zeros((len(sides), len(signs.each)))
    least = sum_of_t(threshold, n)

    def statistic(sums: Array, columns: Positions) -> Array:
        return t_of_sums(sums, n[columns])

    for rows, sums in flipped_sums(scaled, signs.each, block):
        for out, side in zip(found, sides, strict=True):
            sided = sums if side == 1 else -sums
            if kind == "cluster":
                out[rows] = largest_masses(sided, neighbours, least, statistic)
            else:
                out[rows] = enhanced(t_of_sums(sided, n), neighbours, step).max(axis=1)
    return found


def null_of_sides(found: Array, alternative: str) -> Array:
    """The ascending null distribution of what was largest on each side."""
    return np.sort(found.max(axis=0) if alternative == "two-sided" else found.ravel())
