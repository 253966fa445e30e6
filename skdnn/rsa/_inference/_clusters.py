"""Clusters of neighbours, and threshold-free cluster enhancement, of many maps at once.

A map is a set of rows, such as layers, of one value for each place. Neighbours are places of the
same row: rows never join. In time they are the one before and the one after; in space a table
says which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.float64]
Positions = NDArray[np.intp]
# The length of a row in time; or neighbours (n_places, k) of each place, -1 for none, in which
# each pair is there once.
Neighbours = int | NDArray[np.integer]

# An infinite value has no last height: at so many steps values are cut, in maps and null alike.
_MOST_STEPS = 10_000


class Clusters(NamedTuple):
    """Places above a threshold, and which cluster each belongs to."""

    places: Positions  # in the raveled maps, ascending
    numbers: Positions  # of the cluster of each place
    n: int  # clusters

    @property
    def sizes(self) -> Positions:
        """Number of places in each cluster."""
        return np.bincount(self.numbers, minlength=self.n)

    @property
    def firsts(self) -> Positions:
        """The first place of each cluster."""
        first = np.empty(self.n, dtype=np.intp)
        first[self.numbers[::-1]] = self.places[::-1]  # of several the last one that is written
        return first

    def sums(self, values: Array) -> Array:
        """Sum over each cluster of values, one for each place."""
        found = np.bincount(self.numbers, weights=values, minlength=self.n)
        return found.astype(np.float64, copy=False)


def joined(places: Positions, neighbours: Neighbours) -> Clusters:
    """Put ascending places, above a threshold, into clusters."""
    if not len(places):
        return Clusters(places, places, 0)
    if isinstance(neighbours, int):
        numbers = np.cumsum(np.append(True, ~_followed(places, neighbours))) - 1
        return Clusters(places, numbers, int(numbers[-1]) + 1)
    n, numbers = _components(*_pairs(places, neighbours), len(places))
    return Clusters(places, numbers, n)


def _followed(places: Positions, n_times: int) -> NDArray[np.bool_]:
    """Whether each but the last place is a neighbour of the next one."""
    return (np.diff(places) == 1) & (places[1:] % n_times != 0)


def _pairs(places: Positions, neighbours: Neighbours) -> tuple[Positions, Positions]:
    """Which of ascending places are neighbours, as positions among them."""
    if isinstance(neighbours, int):
        one = np.flatnonzero(_followed(places, neighbours))
        return one, one + 1
    rows, points = np.divmod(places, len(neighbours))
    found = neighbours[points]
    one, which = np.nonzero(found >= 0)
    sought = rows[one] * len(neighbours) + found[one, which]
    other = np.minimum(np.searchsorted(places, sought), len(places) - 1)
    both = places[other] == sought
    return one[both], other[both]


def _components(one: Positions, other: Positions, n: int) -> tuple[int, Positions]:
    """How many clusters pairs make of `n` points, and the number of each point's."""
    graph = coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(n, n))
    count, numbers = connected_components(graph, directed=False)
    return int(count), numbers.astype(np.intp)


def largest_masses(
    maps: Array,
    neighbours: Neighbours,
    threshold: float | Array,
    statistic: Callable[[Array, Positions], Array] | None = None,
) -> Array:
    """Largest sum over a cluster of values above the threshold, in each map; 0 where is none.

    Parameters
    ----------
    maps : ndarray of shape (n_maps, n_rows * n_places)
        Places are neighbours within rows.
    neighbours : int or ndarray of int, shape (n_places, k)
        Which they are.
    threshold : float or ndarray of shape (n_rows * n_places,)
        What a value must exceed.
    statistic : callable, default=None
        Turns the values above the threshold, of these columns, into those that are summed.
    """
    places = np.flatnonzero(maps > threshold)
    values = maps.ravel()[places]
    if statistic is not None:
        values = statistic(values, places % maps.shape[1])
    clusters, largest = joined(places, neighbours), np.zeros(len(maps))
    np.maximum.at(largest, clusters.firsts // maps.shape[1], clusters.sums(values))
    return largest


def clusters_of(
    one: Array, neighbours: Neighbours, threshold: float | Array
) -> tuple[Clusters, Array]:
    """Clusters of one map above the threshold, and their masses."""
    clusters = joined(np.flatnonzero(one > threshold), neighbours)
    return clusters, clusters.sums(one.ravel()[clusters.places])


def enhanced(maps: Array, neighbours: Neighbours, step: float) -> Array:
    r"""Threshold-free cluster enhancement (Smith & Nichols, 2009) of what is above zero.

    A place has the sum over heights :math:`h = k \cdot step` below its value of
    :math:`e_h^{1/2} h^2 \cdot step`, where :math:`e_h` is the size of its cluster above h. Values
    above 10,000 steps, infinite ones among them, count as that high.
    """
    flat, out = maps.ravel(), np.zeros(maps.size)
    places = np.flatnonzero(flat > step)
    one, other = _pairs(places, neighbours)
    # How many steps below the highest, as int16, which is sorted in one pass.
    steps = np.minimum(np.ceil(flat[places] / step) - 1, _MOST_STEPS)
    depths = (_MOST_STEPS - steps).astype(np.int16)
    order = np.argsort(depths, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    # What has been joined stays joined, and a pair counts from its lower place on.
    of_pairs = np.maximum(depths[one], depths[other])
    falling = np.argsort(of_pairs, kind="stable")
    one, other = rank[one][falling], rank[other][falling]
    depths, of_pairs = depths[order], of_pairs[falling]
    sums, numbers, sizes = np.zeros(len(order)), np.zeros(0, dtype=np.intp), np.zeros(0)
    n_pairs = 0
    for depth in range(int(depths[0]) if len(depths) else _MOST_STEPS, _MOST_STEPS):
        n_places, more_pairs = (
            int(np.searchsorted(each, depth, side="right")) for each in (depths, of_pairs)
        )
        if n_places > len(numbers):
            new = np.arange(n_places - len(numbers))
            numbers = np.append(numbers, len(sizes) + new)
            pairs = numbers[one[n_pairs:more_pairs]], numbers[other[n_pairs:more_pairs]]
            sizes = np.append(sizes, np.ones(len(new)))
            n, renumbered = _components(*pairs, len(sizes))
            numbers = renumbered[numbers]
            sizes = np.bincount(renumbered, weights=sizes, minlength=n).astype(np.float64)
            n_pairs = more_pairs
        height = (_MOST_STEPS - depth) * step
        sums[:n_places] += np.sqrt(sizes)[numbers] * (height**2 * step)
    out[places[order]] = sums
    return out.reshape(maps.shape)
