"""An array on disk with as few abilities as skdnn asks for."""

from __future__ import annotations

from typing import Any

import numpy as np


class OnlySlices:
    """Has shape and dtype and gives slices, nothing else; records what was read.

    Parameters
    ----------
    array : ndarray
        What it holds.
    rows : bool, default=False
        Whether it also gives rows by their numbers in increasing order, as h5py does.

    Attributes
    ----------
    reads : ndarray of int
        How often each element was read.
    keys : list
        What was asked for.
    largest : int
        Bytes of the largest piece.
    """

    def __init__(self, array: np.ndarray, *, rows: bool = False) -> None:
        self._array, self._rows = array, rows
        self.shape, self.dtype = array.shape, array.dtype
        self.reads = np.zeros(array.shape, int)
        self.keys: list[Any] = []
        self.largest = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, np.ndarray):
                assert self._rows
                assert (np.diff(part) > 0).all()
            else:
                assert isinstance(part, slice)
                assert part.step in (None, 1)
        self.reads[key] += 1
        self.keys.append(key)
        found = self._array[key].copy()
        self.largest = max(self.largest, found.nbytes)
        return found
