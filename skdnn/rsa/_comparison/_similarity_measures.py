"""The comparisons of RDMs as matrix products over stacks of condensed RDMs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh, svdvals
from scipy.spatial.distance import squareform
from scipy.stats import kendalltau

from skdnn._threads import cores
from skdnn._wording import nearest
from skdnn.rsa._comparison._integer_ranks import rank_rows
from skdnn.rsa._comparison._rdm_stack import outside

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

COMPARISONS = (
    *("pearson", "spearman", "kendall", "tau-a", "rho-a"),
    *("cosine", "corr_cov", "cosine_cov", "bures"),
)
# Names that other toolboxes use.
_ALIASES = {"tau-b": "kendall", "corr": "pearson"}
CENTRED = ("pearson", "spearman", "corr_cov")
RANKED = ("spearman", "kendall", "tau-a", "rho-a")
WHITENED = ("corr_cov", "cosine_cov")
MIN_PAIRS = 3

# A spread below this share of the largest value is round-off.
_CONSTANT = 1e-12
# So is an eigenvalue below this share of the largest, times their number.
_NULL = 1e-15
# From this length on, rows are worth a thread each.
_LONG = 2**15
# Numbers of prepared pairs held at a time when many RDMs are compared.
_CHUNK = 2**25


def check_comparison(comparison: str) -> str:
    """The name of a comparison as this module spells it; ValueError if it is unknown."""
    if not isinstance(comparison, str):
        raise ValueError(f"comparison must be a string, got {comparison!r}.")
    if comparison in COMPARISONS:
        return comparison
    if comparison in _ALIASES:
        return _ALIASES[comparison]
    near = nearest(comparison, COMPARISONS, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"comparison={comparison!r} is not known. {hint}Choose one of {', '.join(COMPARISONS)}."
    )


def similarities(a: Array, b: Array, n_conditions: int, comparison: str) -> Array:
    """Similarity of each RDM in `a` (k, n_pairs) to each in `b` (m, n_pairs): (k, m).

    Pairs that are NaN in one of two RDMs are left out of both; NaN where fewer than three pairs
    are left or one of the two is constant there.
    """
    out = np.full((len(a), len(b)), np.nan)
    for rows, missing_a in _same_gaps(a):
        for columns, missing_b in _same_gaps(b):
            known = None
            if missing_a is not None or missing_b is not None:
                known = ~_either(missing_a, missing_b)
            part_a, part_b = _cut(a, rows, known), _cut(b, columns, known)
            if part_a.shape[1] >= MIN_PAIRS:
                space = PairSpace(n_conditions, known)
                out[np.ix_(rows, columns)] = _complete(part_a, part_b, space, comparison)
    return out


def similarities_to_prediction(
    predicted: Array, data: Array, n_conditions: int, comparison: str
) -> Array:
    """Similarity of an RDM that a fitted model predicts to each row of `data`; 0 if constant.

    A model that learnt nothing predicts the same for all pairs. To leave such folds out of a mean
    would keep, of studies without a relation, those whose training half looked like one.
    """
    found = similarities(predicted[None], data, n_conditions, comparison)[0]
    if not varies(predicted):
        found[[varies(row) for row in data]] = 0
    return found


def varies(pairs: Array) -> bool:
    """Whether the known pairs of an RDM differ by more than rounding."""
    known = pairs[~np.isnan(pairs)]
    return len(known) > 1 and not is_flat(known[None], "pearson")[0]


def _either(a: Mask | None, b: Mask | None) -> Mask:
    if a is None or b is None:
        found = b if a is None else a
        assert found is not None
        return found
    return a | b


def _cut(pairs: Array, rows: NDArray[np.intp], known: Mask | None) -> Array:
    part = pairs if len(rows) == len(pairs) else pairs[rows]
    return part if known is None else part[:, known]


def _same_gaps(pairs: Array) -> Iterator[tuple[NDArray[np.intp], Mask | None]]:
    """Groups of rows that lack the same pairs; None where they lack none."""
    missing = np.isnan(pairs)
    gaps = missing.any(axis=1)
    whole = np.flatnonzero(~gaps)
    if whole.size:
        yield whole, None
    groups: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(gaps):
        groups.setdefault(np.packbits(missing[row]).tobytes(), []).append(int(row))
    for rows in groups.values():
        yield np.array(rows), missing[rows[0]]


class PairSpace:
    """The pairs of n conditions, those of them that are known, and their whitened product.

    With iid noise in the patterns, estimated squared distances covary as
    :math:`V = 2I + M'M`, where M (conditions x pairs) says which conditions make a pair
    (Diedrichsen et al., 2021, up to a factor). By Woodbury's identity
    :math:`V^{-1} = (I - M'(2I + MM')^{-1}M) / 2`, so that no pairs x pairs matrix is needed.
    """

    def __init__(self, n_conditions: int, known: Mask | None = None) -> None:
        self.n_conditions = n_conditions
        self.known = known
        first, second = _pair_indices(n_conditions)
        self.first = first if known is None else first[known]
        self.second = second if known is None else second[known]

    def whiten(self, pairs: Array) -> Array:
        """Each row times the inverse of V."""
        sums = np.stack([self._sums(row) for row in pairs])
        if self.known is None:
            n = self.n_conditions
            effects = (sums - sums.sum(axis=1, keepdims=True) / (2 * n)) / n
        else:
            effects = cho_solve(self._factor(), sums.T).T
        return (pairs - effects[:, self.first] - effects[:, self.second]) / 2

    def _sums(self, pairs: Array) -> Array:
        n = self.n_conditions
        ends = np.bincount(self.first, pairs, n), np.bincount(self.second, pairs, n)
        return np.asarray(ends[0] + ends[1], dtype=np.float64)

    def _factor(self) -> tuple[Array, bool]:
        product = squareform(np.asarray(self.known, dtype=np.float64), checks=False)
        np.fill_diagonal(product, product.sum(axis=1) + 2)
        return cho_factor(product)

    def kernel(self, pairs: Array) -> Array:
        """Double-centred inner products of one RDM of squared distances; all pairs are needed."""
        square = squareform(pairs, checks=False) / -2
        square -= square.mean(axis=0)
        square -= square.mean(axis=1)[:, None]
        return (square + square.T) / 2


@lru_cache(maxsize=4)
def _pair_indices(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(n, k=1)


def _complete(a: Array, b: Array, space: PairSpace, comparison: str) -> Array:
    """Similarities of RDMs without NaN."""
    flat_a, flat_b = is_flat(a, comparison), is_flat(b, comparison)
    out = np.full((len(a), len(b)), np.nan)
    rows, columns = np.flatnonzero(~flat_a), np.flatnonzero(~flat_b)
    if not rows.size or not columns.size:
        return out
    a, b = _cut(a, rows, None), _cut(b, columns, None)
    if comparison in ("kendall", "tau-a"):
        found = _tau(a, b, comparison)
    elif comparison == "bures":
        found = _bures(a, b, space)
    else:
        found = _products(a, b, space, comparison)
    out[np.ix_(rows, columns)] = found
    return out


def _products(a: Array, b: Array, space: PairSpace, comparison: str) -> Array:
    out = np.empty((len(a), len(b)))
    step = max(1, _CHUNK // a.shape[1])
    if comparison in ("spearman", "rho-a") and len(a) + len(b) <= step:
        both = ranks(np.concatenate([a, b]))  # all rows at once
        a, b = both[: len(a)], both[len(a) :]
        ranked = True
    else:
        ranked = False
    for start in range(0, len(a), step):
        left = prepare(a[start : start + step], space, comparison, ranked)[0]
        for first in range(0, len(b), step):
            right = prepare(b[first : first + step], space, comparison, ranked)[1]
            out[start : start + step, first : first + step] = left @ right.T
    return out if comparison == "cosine_cov" else np.clip(out, -1, 1, out=out)


def prepare(
    pairs: Array, space: PairSpace, comparison: str, ranked: bool = False
) -> tuple[Array, Array]:
    """Two forms of each row: one RDM's first form times another's second is their similarity.

    For all comparisons but Kendall's and Bures'. The forms differ for the whitened ones only.
    `ranked` rows are mid-ranks already, where the comparison wants them.
    """
    if comparison in ("spearman", "rho-a") and not ranked:
        pairs = ranks(pairs)
    n_pairs = pairs.shape[1]
    if comparison == "rho-a":
        centred = (pairs - (n_pairs + 1) / 2) * np.sqrt(12 / (n_pairs**3 - n_pairs))
        return centred, centred
    if comparison in CENTRED:
        pairs = pairs - pairs.mean(axis=1, keepdims=True)
    # Divided by the largest first: squares can neither overflow nor vanish.
    pairs = pairs / np.abs(pairs).max(axis=1, keepdims=True)
    whitened = space.whiten(pairs) if comparison in WHITENED else pairs
    norm = np.sqrt(np.einsum("ij,ij->i", pairs, whitened))[:, None]
    first = pairs / norm
    return first, (whitened / norm if comparison in WHITENED else first)


def ranks(pairs: Array) -> Array:
    """Mid-ranks from 1 of each row, without NaN."""
    if len(pairs) == 1 or pairs.shape[1] < _LONG:
        return rank_rows(pairs)
    out = np.empty(pairs.shape)
    rows = [slice(row, row + 1) for row in range(len(pairs))]
    with ThreadPoolExecutor(min(len(pairs), cores())) as pool:  # sorting frees Python
        list(pool.map(lambda row: rank_rows(pairs[row], out[row]), rows))
    return out


def is_flat(pairs: Array, comparison: str) -> Mask:
    """Which rows, without NaN, have no similarity: constant ones, or for cosines all zero."""
    largest = np.abs(pairs).max(axis=1)
    if comparison in ("cosine", "cosine_cov", "bures"):
        return largest == 0
    return np.ptp(pairs, axis=1) <= _CONSTANT * largest


def _tau(a: Array, b: Array, comparison: str) -> Array:
    """Kendall's tau-b, or tau-a: the same without the correction for ties."""
    tau = np.array([[_tau_b(x, y) for y in b] for x in a])
    if comparison == "kendall":
        return tau
    untied = [np.sqrt([_share_untied(row) for row in rows]) for rows in (a, b)]
    return tau * np.outer(*untied)


def _tau_b(x: Array, y: Array) -> float:
    return float(kendalltau(x, y, method="asymptotic").statistic)


def _share_untied(values: Array) -> float:
    """Share of the pairs of values that differ."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    n = len(values)
    return 1 - float(counts @ (counts - 1)) / (n * (n - 1))


def tell_negative(comparison: str, *stacks: Array) -> None:
    """Warn of what no squared distances are, though cross-validated estimates of them can be."""
    if comparison != "bures":
        return
    for pairs in stacks:
        largest = np.nanmax(np.abs(pairs), initial=0.0)
        if np.nanmin(pairs, initial=0.0) < -_CONSTANT * largest:
            warnings.warn(
                "Bures' similarity is of squared distances, and some dissimilarities are negative "
                "(as crossnobis estimates can be): what their kernels have below zero is left "
                "out, and noise alone looks similar. 'cosine_cov' and 'corr_cov' are made for "
                "such estimates.",
                RuntimeWarning,
                stacklevel=outside(),
            )
            return


def _bures(a: Array, b: Array, space: PairSpace) -> Array:
    """Fidelity of kernels of trace one; negative eigenvalues count as zero."""
    if space.known is not None and not space.known.all():
        return np.full((len(a), len(b)), np.nan)
    roots_a, roots_b = ([_unit_root(space.kernel(row)) for row in rows] for rows in (a, b))
    return np.array([[_nuclear_norm(x @ y) for y in roots_b] for x in roots_a])


def _nuclear_norm(product: Array) -> float:
    return float(svdvals(product).sum()) if np.isfinite(product).all() else np.nan


def _unit_root(kernel: Array) -> Array:
    """Square root of a kernel of trace one; NaN where no eigenvalue is positive."""
    values, vectors = eigh(kernel)
    values[values < 0] = 0
    # The root of a round-off would be eight digits too large.
    values[values < _NULL * len(values) * values[-1]] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return (vectors * np.sqrt(values / values.sum())) @ vectors.T
