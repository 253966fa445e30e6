r"""How much of a bootstrap's variance over conditions is real.

A score is, to first order, a mean over pairs of a kernel :math:`h_{ij}`: a U-statistic of degree
two. With :math:`h_{ij} = \mu + g_i + g_j + e_ij`, its variance is
:math:`4 \zeta_1 / n + 2 \zeta_2 / (n (n - 1))`, :math:`\zeta_1` the variance of g and
:math:`\zeta_2` that of e, and both can be estimated without bias by the least-squares fit of g.
The bootstrap instead gives about :math:`4 \zeta_1 / n + 6 \zeta_2 / n^2`: three times too much
where the conditions' own effects are small, as with models unrelated to the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from skdnn.rsa._comparison._measures import CENTRED, RANKED, WHITENED, PairSpace
from skdnn.rsa._inference._resample_ranks import Order, sort_pairs, twice_mid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kernels:
    """Sums of products of kernels of several scores, from which variances are estimated."""

    cells: Array  # (n_scores, n_scores), over pairs of conditions
    margins: Array  # (n_scores, n_scores), of each condition's sum over its pairs
    n_conditions: int

    def __add__(self, other: Kernels) -> Kernels:
        return Kernels(self.cells + other.cells, self.margins + other.margins, self.n_conditions)

    def __mul__(self, factor: float) -> Kernels:
        return Kernels(self.cells * factor, self.margins * factor, self.n_conditions)

    def variance(self, contrast: Array) -> float:
        """Variance of a sum of scores over samples of conditions."""
        cells, margins = (float(contrast @ sums @ contrast) for sums in (self.cells, self.margins))
        return float(kernel_variance(cells, margins, self.n_conditions))

    def jackknife(self, contrast: Array) -> float:
        """What the jackknife gives of a score that is linear in its kernel."""
        n = self.n_conditions
        return float(contrast @ self.margins @ contrast) * 4 / (n * (n - 1) * (n - 2) ** 2)

    def bootstrap(self, contrast: Array) -> float:
        """What the bootstrap gives of such a score, from the moments of multinomial numbers."""
        n = self.n_conditions
        cells, margins = (float(contrast @ sums @ contrast) for sums in (self.cells, self.margins))
        pair, triple = (n - 1) / n, (n - 1) * (n - 2) / n**2
        return (cells * pair + margins * triple) * 4 / (n - 1) ** 4


def kernel_variance(cells: Any, margins: Any, n: int) -> Any:
    """Variance of a score from the sums of squares of its centred kernel, and of its margins."""
    effects = margins / (n - 2) ** 2
    rest = np.maximum(cells - (n - 2) * effects, 0) / (n * (n - 3) / 2)
    own = np.maximum(effects / (n - 1) - rest / (n - 2), 0)
    return 4 * own / n + 2 * rest / (n * (n - 1))


def kernel_sums(kernels: Array, margins: Array) -> Kernels:
    """Sums of products of kernels (n_scores, n_pairs), given their margins."""
    return Kernels(kernels @ kernels.T, margins @ margins.T, margins.shape[1])


def kernel_margins(kernels: Array, n_conditions: int) -> Array:
    """Sum of each kernel over the pairs of each condition (n_scores, n_conditions)."""
    ones = np.ones(n_conditions)
    return np.stack([squareform(row, checks=False) @ ones for row in kernels])


class Influence:
    """Kernels of the similarity of RDMs to others: what each pair adds to it, to first order."""

    def __init__(self, n_conditions: int, comparison: str) -> None:
        self.comparison = comparison
        self.space = PairSpace(n_conditions)
        self._rows: dict[str, list[Ready]] = {}

    def rows(self, name: str, pairs: Array) -> list[Ready]:
        """RDMs in that form, made ready once by this name."""
        if name not in self._rows:
            self._rows[name] = [self.ready(row) for row in pairs]
        return self._rows[name]

    def ready(self, pairs: Array) -> Ready:
        """One RDM in the form whose products make the similarity; NaN counts as the mean."""
        known = ~np.isnan(pairs)
        if not known.all():
            pairs = np.where(known, pairs, pairs[known].mean() if known.any() else 0.0)
        if self.comparison in RANKED:
            return _ready_ranks(pairs)
        if self.comparison in CENTRED:
            pairs = pairs - pairs.mean()
        if self.comparison in WHITENED:
            pairs = self.space.whiten(pairs[None])[0]
        return Ready(_unit(pairs), None, None)

    def kernel(self, a: Ready, b: Ready) -> Array:
        """Kernel of the similarity of two RDMs, its mean zero."""
        if a.order is None or b.order is None:
            r = np.mean(a.values * b.values)
            out = a.values * b.values - r / 2 * (a.values**2 + b.values**2)
        else:
            # Adding a pair also moves the ranks of all pairs above it.
            r = np.mean(a.values * b.values)
            out = a.values * b.values + _above(a, b.values) + _above(b, a.values)
            assert a.own is not None
            assert b.own is not None
            out -= r / 2 * (a.own + b.own)
        return out - out.mean()


@dataclass(frozen=True)
class Ready:
    """An RDM with mean square one, and for ranks its order and its kernel with itself."""

    values: Array
    order: Order | None
    own: Array | None


def _unit(values: Array) -> Array:
    norm = np.sqrt(np.mean(values**2))
    return values / norm if norm > 0 else np.zeros_like(values)


def _ready_ranks(pairs: Array) -> Ready:
    order = sort_pairs(pairs)
    ranks = np.empty(len(pairs))
    ranks[order.order] = twice_mid(np.ones(len(pairs)), order.ends, order.group)
    ranks = _unit(ranks - len(pairs))
    found = Ready(ranks, order, None)
    return Ready(ranks, order, ranks**2 + 2 * _above(found, ranks))


def _above(a: Ready, values: Array) -> Array:
    """For each pair the sum of `values`, of mean zero, over the pairs ranked above it.

    Scaled as the ranks of `a` are: by their slope over the share of pairs passed.
    """
    assert a.order is not None
    order = a.order.order
    out = np.empty(len(values))
    out[order] = -twice_mid(values[order], a.order.ends, a.order.group) / 2
    # Ranks with mean square one rise by sqrt(12) from the first to the last where none are tied.
    slope = np.ptp(a.values) / max(len(values) - 1, 1) if a.order.ends is None else _slope(a)
    return out * slope


def _slope(a: Ready) -> float:
    """Rise of the scaled ranks for each pair passed, where some are tied."""
    assert a.order is not None
    assert a.order.ends is not None
    ends = a.order.ends
    if len(ends) < 2:
        return 0.0
    ordered = a.values[a.order.order]
    first = (ends[0] + 1) / 2
    last = ends[-2] + 1 + (ends[-1] - ends[-2]) / 2
    return float((ordered[-1] - ordered[0]) / (last - first))


def subject_kernels(
    influence: Influence, models: Array, data: Array, pools: Array | None
) -> Iterator[Array]:
    """For each subject, the kernels of all models, and of the other subjects' pool as the last."""
    ready = influence.rows("models", models)
    for subject, own in enumerate(influence.rows("data", data)):
        kernels = [influence.kernel(model, own) for model in ready]
        if pools is not None:
            kernels.append(influence.kernel(influence.ready(pools[subject]), own))
        yield np.stack(kernels)
