"""Pooled ranks of subjects who lack different pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Of subjects who agree and lack half of the conditions, Kendall's upper bound is .94 without any,
# .98 with three, .99 with five, and no higher with fifty; Spearman's is .991, .998 and .999.
_ROUNDS = 5


class _Ordered(NamedTuple):
    """The known pairs of a subject, from the smallest to the largest."""

    known: NDArray[np.bool_]
    places: NDArray[np.intp]
    starts: NDArray[np.intp]  # of groups of equal pairs
    sizes: NDArray[np.intp]


def rank_pools(pairs: Array, counts: NDArray[np.int64]) -> tuple[Array, Array]:
    """The pool of all subjects, who count so often, and for each that of the others."""
    ordered = [_order(row) for row in pairs]
    others = [_pool(ordered, np.where(np.arange(len(pairs)) == k, 0, counts), pairs.shape[1])
              for k in range(len(pairs))]  # fmt: skip
    return _pool(ordered, counts, pairs.shape[1]), np.stack(others)


def _order(row: Array) -> _Ordered:
    known = ~np.isnan(row)
    places = np.flatnonzero(known)
    places = places[np.argsort(row[places])]
    return _Ordered(known, places, *_ties(row[places]))


def _ties(ascending: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First places and sizes of groups of equal values."""
    new = np.append(True, ascending[1:] != ascending[:-1])[: len(ascending)]
    starts = np.flatnonzero(new)
    return starts, np.diff(np.append(starts, len(ascending)))


def _pool(ordered: list[_Ordered], counts: NDArray[np.int64], n_pairs: int) -> Array:
    """Mean of ranks that are made comparable by the pool itself.

    A subject's ranks are first shares of the known pairs. Then the known pairs take the values
    of the pool's ranks there, in the subject's order. With all pairs known these are the
    subject's own ranks, and nothing changes.
    """
    used = [(each, count) for each, count in zip(ordered, counts, strict=True) if count]
    weight = sum((each.known * count for each, count in used), np.zeros(n_pairs))
    seen = weight > 0

    def mean(values: list[Array]) -> Array:
        total = np.zeros(n_pairs)
        for (each, count), own in zip(used, values, strict=True):
            total[each.places] += count * _over_ties(own, each)
        return np.divide(total, weight, out=np.full(n_pairs, np.nan), where=seen)

    pooled = mean([(np.arange(len(e.places)) + 0.5) / max(len(e.places), 1) for e, _ in used])
    for _ in range(_ROUNDS):
        order = np.argsort(pooled)[: int(seen.sum())]  # what nobody knows is NaN, at the end
        starts, sizes = _ties(pooled[order])
        scale = np.repeat(starts + (sizes + 1) / 2, sizes)  # mid-ranks, ascending
        pooled = mean([scale[each.known[order]] for each, _ in used])
    return pooled


def _over_ties(values: Array, each: _Ordered) -> Array:
    """Ascending values; equal pairs share their mean."""
    if len(each.starts) == len(values):
        return values
    return np.repeat(np.add.reduceat(values, each.starts) / each.sizes, each.sizes)
