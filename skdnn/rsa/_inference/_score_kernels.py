"""Kernels of scores: what each pair of conditions adds to a similarity, to first order.

A score is nearly the mean of its kernel over pairs, and its variance follows from how the kernel
varies among conditions, see _bootstrap_variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skdnn.rsa._comparison._similarity_measures import CENTRED, RANKED, WHITENED, PairSpace
from skdnn.rsa._inference._bootstrap_ranks import Order, sort_pairs, twice_mid

Array = NDArray[np.float64]


class ScoreKernels:
    """Kernels of the similarity of RDMs to others: what each pair adds to it, to first order."""

    def __init__(self, n_conditions: int, comparison: str) -> None:
        self.comparison = comparison
        self.space = PairSpace(n_conditions)
        self._rows: dict[str, list[PreparedRDM]] = {}

    def prepared(self, name: str, pairs: Array) -> list[PreparedRDM]:
        """RDMs in that form, made ready once by this name."""
        if name not in self._rows:
            self._rows[name] = [self.prepare(row) for row in pairs]
        return self._rows[name]

    def prepare(self, pairs: Array) -> PreparedRDM:
        """One RDM in the form whose products make the similarity; NaN counts as the mean."""
        known = ~np.isnan(pairs)
        if not known.all():
            pairs = np.where(known, pairs, pairs[known].mean() if known.any() else 0.0)
        if self.comparison in RANKED:
            return _prepare_ranks(pairs)
        if self.comparison in CENTRED:
            pairs = pairs - pairs.mean()
        if self.comparison in WHITENED:
            pairs = self.space.whiten(pairs[None])[0]
        return PreparedRDM(_unit(pairs))

    def kernel(self, a: PreparedRDM, b: PreparedRDM) -> Array:
        """Kernel of the similarity of two RDMs, its mean zero."""
        out = a.values * b.values
        r = np.mean(out)
        if a.order is not None and b.order is not None:
            # Adding a pair also moves the ranks of all pairs above it.
            out += _above(a, a.order, b.values)
            out += _above(b, b.order, a.values)
        out -= r / 2 * (a.with_itself + b.with_itself)
        return out - out.mean()

    def by_subject(self, models: Array, data: Array, pools: Array | None) -> Iterator[Array]:
        """For each subject, the kernels of all models, and of the others' pool as the last."""
        prepared = self.prepared("models", models)
        for subject, own in enumerate(self.prepared("data", data)):
            kernels = [self.kernel(model, own) for model in prepared]
            if pools is not None:
                kernels.append(self.kernel(self.prepare(pools[subject]), own))
            yield np.stack(kernels)


@dataclass(frozen=True)
class PreparedRDM:
    """An RDM with mean square one, and for ranks its order and its kernel with itself."""

    values: Array
    order: Order | None = None
    own: Array | None = None

    @property
    def with_itself(self) -> Array:
        """Its kernel with itself."""
        return self.values**2 if self.own is None else self.own


def _unit(values: Array) -> Array:
    norm = np.sqrt(np.mean(values**2))
    return values / norm if norm > 0 else np.zeros_like(values)


def _prepare_ranks(pairs: Array) -> PreparedRDM:
    order = sort_pairs(pairs)
    ranks = np.empty(len(pairs))
    ranks[order.order] = twice_mid(np.ones(len(pairs)), order.ends, order.group)
    ranks = _unit(ranks - len(pairs))
    return PreparedRDM(ranks, order, ranks**2 + 2 * _above(PreparedRDM(ranks), order, ranks))


def _above(a: PreparedRDM, sorting: Order, values: Array) -> Array:
    """For each pair the sum of `values`, of mean zero, over the pairs ranked above it.

    Scaled as the ranks of `a` are: by their slope over the share of pairs passed.
    """
    order, ends, group = sorting
    out = np.empty(len(values))
    out[order] = -twice_mid(values[order], ends, group) / 2
    # Ranks with mean square one rise by sqrt(12) from the first to the last where none are tied.
    slope = np.ptp(a.values) / max(len(values) - 1, 1)
    return out * (slope if ends is None else _slope_with_ties(a.values[order], ends))


def _slope_with_ties(ordered: Array, ends: NDArray[np.intp]) -> float:
    """Rise of the scaled ranks, in ascending order, for each pair passed."""
    if len(ends) < 2:
        return 0.0
    first = (ends[0] + 1) / 2
    last = ends[-2] + 1 + (ends[-1] - ends[-2]) / 2
    return float((ordered[-1] - ordered[0]) / (last - first))
