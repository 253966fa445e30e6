"""Noise ceilings in bootstrap samples of conditions, of subjects, or of both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdnn.rsa._inference._bootstrap_ranks import RankedSamples, scaled

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def gram_ceilings(gram: Array, subject_counts: Counts | None) -> Array:
    """Lower and upper ceiling from the subjects' similarities (n_samples, n_subjects, n_subjects).

    For the comparisons that are cosines: a subject's similarity to a pooled RDM is the sum of its
    similarities to those in the pool, over the pool's norm. All draws of a subject are left out
    of the pool that it is compared with.
    """
    n_samples, n_subjects = gram.shape[:2]
    if subject_counts is None:
        drawn = np.ones((n_samples, n_subjects))
    else:
        drawn = np.broadcast_to(subject_counts, (n_samples, n_subjects)).astype(np.float64)
    to_all = np.einsum("bij,bj->bi", gram, drawn)
    norm = np.einsum("bi,bi->b", to_all, drawn)[:, None]
    own = np.einsum("bii->bi", gram) * drawn
    to_others = to_all - own
    others_norm = norm - 2 * drawn * to_all + drawn * own
    alone = (drawn > 0).sum(axis=1) < 2
    lower = np.einsum("bi,bi->b", drawn, _over_root(to_others, others_norm))
    upper = np.einsum("bi,bi->b", drawn, _over_root(to_all, norm))
    lower[alone] = np.nan
    return np.stack([lower, upper], axis=1) / drawn.sum(axis=1, keepdims=True)


def _over_root(values: Array, squares: Array) -> Array:
    return values / np.sqrt(np.maximum(squares, np.finfo(float).tiny))


def rank_ceilings(
    found: RankedSamples, n_subjects: int, subject_counts: Counts | None, comparison: str
) -> Array:
    """The same where the pooled RDM, a mean of ranks, is ranked in its turn."""
    out = np.full((len(found.total), 2), np.nan)
    everyone = np.ones(n_subjects, dtype=np.int64)
    by_sample = [np.ascontiguousarray(row.T) for row in found.ranks[:n_subjects]]
    all_weights = np.ascontiguousarray(found.weights.T)
    for sample in range(len(out)):
        used = np.flatnonzero(all_weights[sample])
        weights = all_weights[sample].take(used)
        ranks = np.stack([row[sample].take(used) for row in by_sample]).astype(np.int64)
        drawn = everyone if subject_counts is None else subject_counts[sample]
        out[sample] = _rank_ceiling(ranks, weights, drawn, comparison)
    return out


def _rank_ceiling(
    ranks: NDArray[np.int64], weights: NDArray, drawn: Counts, comparison: str
) -> tuple[float, float]:
    total = weights.sum(dtype=np.int64)
    values = ranks.astype(np.float64)
    weighted = values * weights
    norms = np.einsum("sp,sp->s", weighted, values)
    subjects = np.flatnonzero(drawn)
    pooled = drawn @ ranks
    top = _pool_ranks(pooled, weights)
    upper = scaled(weighted @ top, norms * (top**2 @ weights), total, comparison)
    lower = np.full(len(drawn), np.nan)
    for subject in subjects if len(subjects) > 1 else ():
        rest = _pool_ranks(pooled - drawn[subject] * ranks[subject], weights)
        norm = norms[subject] * (rest**2 @ weights)
        lower[subject] = scaled(weighted[subject] @ rest, norm, total, comparison)
    share = drawn / drawn.sum()
    return float(lower[subjects] @ share[subjects]), float(upper[subjects] @ share[subjects])


def _pool_ranks(pooled: NDArray[np.int64], weights: NDArray) -> Array:
    """Twice the centred mid-ranks of a pooled RDM."""
    pooled = pooled - pooled.min()
    if pooled.max() < 2**16:  # such numbers are sorted by their digits, much faster
        order = np.argsort(pooled.astype(np.uint16), kind="stable")
    else:
        order = np.argsort(pooled)
    ordered = pooled.take(order)
    total = np.cumsum(weights.take(order))
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    upto = total.take(ends)
    both = upto - total[-1]
    both[1:] += upto[:-1]
    out = np.empty(len(pooled))
    out[order] = np.repeat(both, np.diff(ends, prepend=-1))
    return out
