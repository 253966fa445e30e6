"""Ranks of the rows of a matrix, as :func:`scipy.stats.rankdata` gives them, by sorting integers.

A double's bits, read as an integer, order as the double does once those of negative numbers are
flipped. The place of each number goes into its last bits, so that one sort of integers, which is
much faster than finding an order, gives the order as well. Numbers that differ in those last bits
only, or not at all, are looked at again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Keys = NDArray[np.int64]

# Numbers that are sorted before others are touched: they stay in the processor's cache.
_BLOCK = 2**15
_ALL_BUT_SIGN = np.iinfo(np.int64).max
# A row of which more than this is nearly equal to another number is sorted as it is.
_MANY = 0.2


def rank_rows(values: Array, out: Array | None = None) -> Array:
    """Ranks from 1 within each row; equal numbers share the mean of their ranks.

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows, n_pairs)
        Numbers without NaN; infinities are numbers.
    out : ndarray of float64, shape (n_rows, n_pairs), default=None
        Where ranks are written; may be `values` itself.

    Returns
    -------
    ranks : ndarray of float64, shape (n_rows, n_pairs)
        `out`, or a new array.

    Raises
    ------
    ValueError
        If a row holds NaN.
    """
    n_rows, n_pairs = values.shape
    ranks = np.empty((n_rows, n_pairs)) if out is None else out
    if n_pairs < 2:
        if np.isnan(values).any():
            raise ValueError("NaN has no rank.")
        ranks[:] = 1
        return ranks
    places, rising = np.arange(n_pairs), np.arange(1.0, n_pairs + 1)
    low = (1 << (n_pairs - 1).bit_length()) - 1  # the bits that hold a place
    lowest, highest = _ordered_integers(np.array([-np.inf, np.inf])) & ~low
    step = max(1, _BLOCK // n_pairs)
    buffers = np.empty((2, min(step, n_rows), n_pairs), dtype=np.int64)
    for start in range(0, n_rows, step):
        block = values[start : start + step]
        keys, spare = buffers[:, : len(block)]
        _ordered_integers(block, keys, spare)
        keys &= ~low
        keys |= places
        keys.sort(axis=1)
        if (keys[:, 0] < lowest).any() or (keys[:, -1] > highest | low).any():
            raise ValueError("NaN has no rank.")
        np.bitwise_xor(keys[:, 1:], keys[:, :-1], out=spare[:, 1:])
        near = spare.view(np.uint64)[:, 1:].min(axis=1) <= low
        for row, row_keys in enumerate(keys):
            if near[row]:
                ranks[start + row] = _ranks_with_ties(block[row], row_keys, low)
            else:
                ranks[start + row][np.bitwise_and(row_keys, low, out=spare[row])] = rising
    return ranks


def _ordered_integers(values: Array, out: Keys | None = None, spare: Keys | None = None) -> Keys:
    """Integers in the order of the numbers; -0.0 and 0.0 give the same."""
    numbers = None if out is None else out.view(np.float64)
    with np.errstate(invalid="ignore"):  # a NaN that signals is refused as all others
        keys = np.add(values, 0.0, out=numbers).view(np.int64)
    signs = np.right_shift(keys, 63, out=spare)
    signs &= _ALL_BUT_SIGN
    keys ^= signs
    return keys


def _ranks_with_ties(values: Array, keys: Keys, low: int) -> Array:
    """Ranks of a row of which sorted keys tell some numbers apart by their places only."""
    order = keys & low
    ordered = values[order]
    wrong = np.flatnonzero(ordered[1:] < ordered[:-1])
    if wrong.size:
        keys = keys & ~low
        close = np.isin(keys, keys[wrong])
        if close.mean() > _MANY:
            order = np.argsort(values)
        else:
            part = order[close]
            order[close] = part[np.lexsort((values[part], keys[close]))]
        ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(values)))
    out = np.empty(len(values))
    out[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return out
