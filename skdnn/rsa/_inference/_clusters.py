"""Clusters in time, and threshold-free cluster enhancement, of many maps at once.

A map is a set of rows, such as layers, of one value for each time. Neighbours are times of the
same row: rows never join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Positions = NDArray[np.intp]

# An infinite value has no last height: at so many steps values are cut, in maps and null alike.
_MOST_STEPS = 10_000


class Runs(NamedTuple):
    """Runs of neighbouring places above a threshold."""

    places: Positions  # in the raveled maps, ascending
    starts: Positions  # where in `places` each run begins

    @property
    def lengths(self) -> Positions:
        """Number of places in each run."""
        return np.diff(self.starts, append=len(self.places))


def runs_of(places: Positions, n_times: int) -> Runs:
    """Split ascending places into runs that stay in one row of `n_times`."""
    new = places % n_times == 0
    new[:1] = True
    new[1:] |= places[1:] != places[:-1] + 1
    return Runs(places, np.flatnonzero(new))


def largest_masses(
    maps: Array,
    n_times: int,
    threshold: float,
    statistic: Callable[[Array], Array] | None = None,
) -> Array:
    """Largest sum over a run of values above the threshold, in each map; 0 where there is none.

    Parameters
    ----------
    maps : ndarray of shape (n_maps, n_rows * n_times)
        Times are neighbours within rows.
    n_times : int
        Length of a row.
    threshold : float
        What a value must exceed.
    statistic : callable, default=None
        Turns the values above the threshold into those that are summed.
    """
    runs = runs_of(np.flatnonzero(maps > threshold), n_times)
    largest = np.zeros(len(maps))
    if len(runs.places):
        values = maps.ravel()[runs.places]
        masses = np.add.reduceat(values if statistic is None else statistic(values), runs.starts)
        np.maximum.at(largest, runs.places[runs.starts] // maps.shape[1], masses)
    return largest


def clusters_of(one: Array, threshold: float) -> tuple[Runs, Array]:
    """Runs of one map (n_rows, n_times) above the threshold, and their masses."""
    runs = runs_of(np.flatnonzero(one > threshold), one.shape[1])
    if not len(runs.places):
        return runs, np.zeros(0)
    return runs, np.add.reduceat(one.ravel()[runs.places], runs.starts)


def enhanced(maps: Array, n_times: int, step: float) -> Array:
    r"""Threshold-free cluster enhancement (Smith & Nichols, 2009) of what is above zero.

    A place has the sum over heights :math:`h = k \cdot step` below its value of
    :math:`e_h^{1/2} h^2 \cdot step`, where :math:`e_h` is the length of its run above h. Values
    above 10,000 steps, infinite ones among them, count as that high.
    """
    flat = maps.ravel()
    out = np.zeros(maps.size)
    places = np.flatnonzero(flat > step)
    values, number = np.minimum(flat[places], _MOST_STEPS * step), 1
    while len(places):
        height = number * step
        lengths = runs_of(places, n_times).lengths
        out[places] += np.repeat(np.sqrt(lengths) * (height**2 * step), lengths)
        number += 1
        higher = values > number * step
        places, values = places[higher], values[higher]
    return out.reshape(maps.shape)
