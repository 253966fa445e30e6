"""Mid-ranks of RDMs in bootstrap samples of their conditions, without sorting them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Ints = NDArray[np.int32]

# Numbers in an array of ranks that the processor's cache holds; and how many samples at least
# and at most: a row of 16 fills a line of the cache.
_CACHED = 2**15
_SAMPLES = (8, 16)
# Ranks held at a time.
_RANKS = 2**25
_BLOCK = 2**16


class Order(NamedTuple):
    """One RDM's pairs from the smallest to the largest."""

    order: NDArray[np.intp]
    ends: NDArray[np.intp] | None  # last of each group of equal pairs; None where all differ
    group: NDArray[np.intp] | None  # which group each belongs to


def sort_pairs(values: Array) -> Order:
    """Sort the pairs of one RDM."""
    order = np.argsort(values)
    return Order(order, *tie_groups(values[order]))


def tie_groups(ordered: NDArray) -> tuple[NDArray[np.intp] | None, NDArray[np.intp] | None]:
    """Groups of equal values among ordered ones."""
    new = ordered[1:] != ordered[:-1]
    if new.all():
        return None, None
    ends = np.append(np.flatnonzero(new), len(ordered) - 1)
    return ends, np.append(0, np.cumsum(new))


def twice_mid(
    weights: NDArray, ends: NDArray[np.intp] | None, group: NDArray[np.intp] | None
) -> NDArray:
    """Sums of weights before and up to each (group), added: twice the mid-rank, less one."""
    total = np.cumsum(weights, axis=0, dtype=weights.dtype)
    if ends is None or group is None:
        total *= 2
        total -= weights
        return total
    upto = total.take(ends, axis=0)
    both = upto.copy()
    both[1:] += upto[:-1]
    return both.take(group, axis=0)


class WeightedRanks:
    """The sorted pairs of some RDMs; pairs are in the order of the first RDM from here on."""

    def __init__(self, pairs: Array, n_conditions: int) -> None:
        orders = [sort_pairs(row) for row in pairs]
        base = orders[0].order
        place = np.empty(len(base), dtype=np.intp)
        place[base] = np.arange(len(base))
        self.orders = [row._replace(order=place[row.order]) for row in orders]
        self.inverses = []
        for row in self.orders:
            inverse = np.empty(len(base), dtype=np.intp)
            inverse[row.order] = np.arange(len(base))
            self.inverses.append(inverse)
        first, second = np.triu_indices(n_conditions, k=1)
        self.first, self.second = first[base], second[base]
        # Twice a rank is at most the square of the number of conditions.
        self.dtype = np.int32 if n_conditions < 46_000 else np.int64
        few, many = _SAMPLES
        wanted = few if few * len(base) <= 4 * _CACHED else many
        self.n_samples_at_once = int(np.clip(_RANKS // pairs.size, 1, wanted))

    def rank(self, counts: Counts) -> RankedSamples:
        """Ranks in each of some samples."""
        by_condition: NDArray[Any] = np.ascontiguousarray(counts.T, dtype=self.dtype)
        weights = by_condition.take(self.first, axis=0)
        weights *= by_condition.take(self.second, axis=0)
        total = weights.sum(axis=0, dtype=np.int64)
        ranks = []
        for row, (order, inverse) in enumerate(zip(self.orders, self.inverses, strict=True)):
            ordered = weights if row == 0 else weights.take(order.order, axis=0)
            found = twice_mid(ordered, order.ends, order.group)
            if row:
                found = found.take(inverse, axis=0)
            found -= total.astype(self.dtype)
            ranks.append(found)
        return RankedSamples(ranks, weights, total)


class RankedSamples(NamedTuple):
    """Ranks in some samples: twice the centred mid-ranks, for each RDM (n_pairs, n_samples)."""

    ranks: list[NDArray]
    weights: NDArray  # how often each pair is in a sample
    total: NDArray[np.int64]  # number of pairs of each sample

    def similarities(self, a: Sequence[int], b: Sequence[int], comparison: str) -> Array:
        """Similarities of the RDMs `a` to the RDMs `b`: (n_samples, n_a, n_b)."""
        out = np.zeros((len(self.total), len(a), len(b)))
        norm_a, norm_b = np.zeros(out.shape[:2]), np.zeros((len(self.total), len(b)))
        for start in range(0, len(self.weights), _BLOCK):
            part = slice(start, start + _BLOCK)
            weights = self.weights[part].astype(np.float64)
            right = [self.ranks[row][part].astype(np.float64) for row in b]
            for i, row in enumerate(a):
                left = self.ranks[row][part].astype(np.float64)
                weighted = left * weights
                norm_a[:, i] += np.einsum("pb,pb->b", weighted, left)
                for j, other in enumerate(right):
                    out[:, i, j] += np.einsum("pb,pb->b", weighted, other)
            for j, other in enumerate(right):
                norm_b[:, j] += np.einsum("pb,pb,pb->b", other, other, weights)
        norms = norm_a[:, :, None] * norm_b[:, None, :]
        return scaled(out, norms, self.total[:, None, None], comparison)


def scaled(products: Array, norms: Array, total: NDArray, comparison: str) -> Array:
    """Similarity from the products of twice the centred ranks; NaN where one RDM is constant."""
    n = np.asarray(total, dtype=np.float64)
    if comparison == "rho-a":
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 3 * products / (n**3 - n)
        found = np.where(norms > 0, found, np.nan)
    else:
        found = np.divide(
            products, np.sqrt(norms), out=np.full_like(products, np.nan), where=norms > 0
        )
    return np.where(n >= 3, np.clip(found, -1, 1), np.nan)
