"""Tests of maps over subjects by their clusters, corrected for all maps and points."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skdnn.rsa._inference._clusters import Neighbours, clusters_of, enhanced
from skdnn.rsa._inference._flipped_clusters import largest_of_clusters, null_of_sides
from skdnn.rsa._inference._p_values import SIDES, check_alternative
from skdnn.rsa._inference._random_draws import check_count
from skdnn.rsa._inference._sign_flips import (
    flip_signs,
    p_by_maximum,
    scale_columns,
    t_of_sums,
    usable_columns,
)
from skdnn.rsa._inference._time_course_test import check_kind

Array = NDArray[np.float64]

# Values of a map under several sets of signs that are worked on at a time.
_BLOCK = 2**19


class MapCluster(NamedTuple):
    """Neighbouring points of a map whose t exceeds the threshold."""

    row: int  # of the maps
    points: NDArray[np.intp]
    mass: float  # the sum of t
    p: float  # corrected for all maps and points


class MapTest(NamedTuple):
    """Test of maps by their clusters."""

    t: Array  # (n_maps, n_points), NaN where it was not tested
    p: Array  # the same; of all points of a cluster alike, and 1 outside
    null: Array  # ascending: the most extreme cluster under each set of signs
    clusters: list[MapCluster]  # none for "tfce"
    exact: bool


def map_test(
    values: Array,
    neighbours: Neighbours,
    *,
    kind: str,
    alternative: str,
    cluster_alpha: float,
    tfce_step: float,
    n_flips: int,
    min_subjects: int | None,
    random_state: Any,
) -> MapTest:
    """Sign-flips over subjects, and the most extreme cluster of all maps.

    Parameters
    ----------
    values : ndarray of shape (n_subjects, n_maps, n_points)
        NaN where a subject has no value.
    neighbours : ndarray of int, shape (n_points, k)
        Of each point; -1 for none. Each pair once is enough. Maps never join.
    kind : {"cluster", "tfce"}
        The sum of t over a cluster, or threshold-free cluster enhancement.
    alternative : {"greater", "less", "two-sided"}
        What is to be shown about the mean.
    cluster_alpha : float
        The p-value of a single point at the threshold of clusters.
    tfce_step : float
        Between heights.
    n_flips, random_state
        As `sign_flip_test` has them.
    min_subjects : int or None
        Points are tested where so many subjects have values; None asks for all.
    """
    check_kind(kind, cluster_alpha, tfce_step)
    check_alternative(alternative)
    n_flips = check_count(n_flips, "n_flips", 1)
    n_subjects, n_maps, n_points = values.shape
    columns = values.reshape(n_subjects, -1)
    usable = usable_columns(columns, min_subjects or n_subjects)
    if not usable.any():
        raise ValueError("No column has values that differ between enough subjects.")
    # What is not tested has no t above any threshold.
    scaled, n = np.zeros(values.shape), np.full((n_maps, n_points), float(n_subjects))
    tested = usable.reshape(n_maps, n_points)
    scaled[:, tested], groups = scale_columns(columns[:, usable])
    n[tested] = groups.n
    t = t_of_sums(scaled.sum(axis=0), n)
    sides = SIDES[alternative]
    threshold = stats.t.isf(cluster_alpha / len(sides), n - 1)
    signs = flip_signs(n_subjects, n_flips, random_state)
    found = np.max(
        [
            largest_of_clusters(
                scaled[:, row], n[row], signs, neighbours, kind, alternative, threshold[row],
                tfce_step, _BLOCK,
            )
            for row in range(n_maps)
        ],
        axis=0,
    )  # fmt: skip
    null = null_of_sides(found, alternative)
    clusters: list[MapCluster] = []
    p = np.ones((n_maps, n_points))
    if kind == "tfce":
        own = np.max([enhanced(side * t, neighbours, tfce_step) for side in sides], axis=0)
        p = p_by_maximum(null, own, "greater", signs.exact)
    else:
        for row, side in np.ndindex(n_maps, len(sides)):
            each, masses = clusters_of(sides[side] * t[row], neighbours, threshold[row])
            chances = p_by_maximum(null, masses, "greater", signs.exact)
            p[row, each.places] = chances[each.numbers]
            order = np.argsort(each.numbers, kind="stable")
            parts = np.split(each.places[order], np.cumsum(each.sizes)[:-1])
            clusters += [
                MapCluster(row, part, sides[side] * float(mass), float(chance))
                for part, mass, chance in zip(parts, masses, chances, strict=False)
            ]
    return MapTest(
        np.where(tested, t, np.nan), np.where(tested, p, np.nan), null, clusters, signs.exact
    )
