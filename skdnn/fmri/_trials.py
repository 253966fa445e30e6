"""Responses of the trials that are used, read from wherever betas lie, z-scored if asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._wording import listed
from skdnn.io._lazy_array import LazyArray, Positions

Rows = NDArray[np.intp]
_BLOCK_BYTES = 2**26


class GridArray(LazyArray):
    """Betas of shape (nx, ny, nz, n_trials), or in the reverse order, as rows of voxels.

    Parameters
    ----------
    values : ndarray or h5py.Dataset
        Numbers, in memory or on disk.
    voxels : ndarray of int, shape (n_voxels,)
        Positions in the grid, flattened in C order.
    grid : tuple of int
        Of the mask.
    reverse : bool
        Whether axes run the other way, as h5py shows what MATLAB wrote.
    """

    def __init__(self, values: Any, voxels: Rows, grid: tuple[int, ...], reverse: bool) -> None:
        self.values, self.grid, self.reverse = values, grid, reverse
        self.places = np.unravel_index(voxels, grid)
        self.shape = (values.shape[0] if reverse else values.shape[-1], len(voxels))
        self.dtype = np.dtype(np.float64 if values.dtype == np.float64 else np.float32)

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        places = [axis[columns] for axis in self.places]
        box = tuple(slice(axis.min(), axis.max() + 1) for axis in places)
        inside = tuple(axis - part.start for axis, part in zip(places, box, strict=True))
        for row in np.argsort(rows, kind="stable"):
            at = int(rows[row])
            if self.reverse:
                out[row] = np.asarray(self.values[(at, *box[::-1])])[inside[::-1]]
            else:
                out[row] = np.asarray(self.values[(*box, at)])[inside]


class Trials(LazyArray):
    """Some rows and voxels of betas, divided by a number and z-scored within groups of trials.

    Parameters
    ----------
    source : ndarray or LazyArray of shape (n_maps, n_source_voxels)
        All maps.
    rows : ndarray of int
        The maps that are used, in order.
    voxels : ndarray of int
        The voxels that are used.
    scale : float
        What values are divided by.
    groups : ndarray of int or None
        The session or run of each row, within which voxels are z-scored; None leaves them as
        they are.
    """

    def __init__(
        self, source: Any, rows: Rows, voxels: Rows, scale: float, groups: Rows | None
    ) -> None:
        self.source, self.rows, self.voxels = source, rows, voxels
        self.scale, self.groups = scale, groups
        self.shape = (len(rows), len(voxels))
        whole = source.dtype == np.float64
        self.dtype = np.dtype(np.float64 if whole else np.float32)
        self._moments: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def of(self, columns: Rows) -> Trials:
        """The same trials with some of the voxels."""
        part = Trials(self.source, self.rows, self.voxels[columns], self.scale, self.groups)
        if self._moments is not None:
            part._moments = (self._moments[0][:, columns], self._moments[1][:, columns])
        return part

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        maps, voxels = self.rows[rows], self.voxels[columns]
        if isinstance(self.source, LazyArray) and self.source.dtype == self.dtype:
            self.source._fill(out, maps, voxels)  # a block is held once
            if self.scale != 1:
                out /= self.dtype.type(self.scale)
        else:
            out[:] = self._raw(rows, columns)
        if self.groups is not None:
            mean, deviation = self.moments()
            group = self.groups[rows]
            for one in np.unique(group):
                here = group == one
                out[here] = (out[here] - mean[one, columns]) / deviation[one, columns]

    def _raw(self, rows: Positions, columns: Positions | slice) -> np.ndarray:
        maps, voxels = self.rows[rows], self.voxels[columns]
        if isinstance(self.source, LazyArray):
            found = self.source._read(maps, voxels)
        else:
            found = self.source[np.ix_(maps, voxels)]
        return found if self.scale == 1 else found / self.dtype.type(self.scale)

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each voxel in each group, in one pass through the maps.

        Blocks are joined by the update of Chan, Golub & LeVeque (1983), which is as exact as two
        passes. A voxel that does not vary is divided by 1.
        """
        if self._moments is not None:
            return self._moments
        assert self.groups is not None
        n_groups = int(self.groups.max()) + 1
        mean, squares = np.zeros((2, n_groups, self.shape[1]))
        n = np.zeros(n_groups)
        order = np.argsort(self.rows, kind="stable")
        step = max(1, _BLOCK_BYTES // max(1, 8 * self.shape[1]))
        for start in range(0, len(order), step):
            some = order[start : start + step]
            block = self._raw(some, slice(0, self.shape[1])).astype(np.float64)
            for one in np.unique(self.groups[some]):
                part = block[self.groups[some] == one]
                here = part.mean(axis=0)
                gap, total = here - mean[one], n[one] + len(part)
                squares[one] += ((part - here) ** 2).sum(axis=0)
                squares[one] += gap**2 * (n[one] * len(part) / total)
                mean[one] += gap * (len(part) / total)
                n[one] = total
        deviation = np.sqrt(squares / n[:, None])
        flat = deviation <= 1e-12 * np.abs(mean)
        self._moments = (mean, np.where(flat, 1.0, deviation))
        return self._moments


def too_small(groups: Rows, names: list[str], what: str) -> None:
    """A group of one trial has no deviation."""
    few = [name for name, count in zip(names, np.bincount(groups), strict=True) if count < 2]
    if few:
        raise ValueError(
            f"standardize={what!r}: {what} {listed(few)} has a single trial, which has no "
            "standard deviation."
        )
