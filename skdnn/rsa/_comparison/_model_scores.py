"""Similarity of many RDMs, block by block, to models that are prepared once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skdnn.rsa._comparison._integer_ranks import rank_rows
from skdnn.rsa._comparison._noise_ceiling import ceiling
from skdnn.rsa._comparison._similarity_measures import (
    CENTRED,
    PairSpace,
    prepare,
    similarities,
)

Array = NDArray[np.float64]

# Comparisons whose blocks are prepared in place.
_FAST = ("spearman", "rho-a", "pearson", "cosine")
# Numbers whose squares neither overflow nor vanish.
_SAFE = (1e-120, 1e120)


class ModelScores:
    """The same numbers as :func:`skdnn.rsa.compare_rdms`, for a block of RDMs at a time.

    Parameters
    ----------
    models : ndarray of shape (n_models, n_pairs)
        None of them constant.
    n_conditions : int
        Behind the pairs.
    comparison : str
        As `check_comparison` spells it.
    """

    def __init__(self, models: Array, n_conditions: int, comparison: str) -> None:
        self.models, self.n_conditions, self.comparison = models, n_conditions, comparison
        self.fast = comparison in _FAST and not np.isnan(models).any()
        if self.fast:
            self._prepared = prepare(models, PairSpace(n_conditions), comparison)[0]

    def of(self, pairs: Array) -> Array:
        """Scores (n_rdms, n_models) of RDMs, which some comparisons overwrite.

        They leave unit vectors whose products are similarities, or centred ranks; a row is NaN
        where the RDM has no similarity or lacks pairs. Others leave RDMs as they are.
        """
        if not self.fast:
            return similarities(pairs, self.models, self.n_conditions, self.comparison)
        odd = self._odd(pairs)
        if not odd.any():
            return self._of_ordinary(pairs)
        scores = np.full((len(pairs), len(self.models)), np.nan)
        known = np.flatnonzero(odd & ~np.isnan(pairs).all(axis=1))
        scores[known] = similarities(pairs[known], self.models, self.n_conditions, self.comparison)
        ordinary = pairs[~odd]
        scores[~odd] = self._of_ordinary(ordinary)
        pairs[~odd], pairs[odd] = ordinary, np.nan
        return scores

    def _of_ordinary(self, pairs: Array) -> Array:
        self._prepare(pairs)
        norms = np.sqrt(np.einsum("ij,ij->i", pairs, pairs))
        if self.comparison == "rho-a":
            norms[:] = _rho_norm(pairs.shape[1])
        scores = pairs @ self._prepared.T
        scores /= norms[:, None]
        if self.comparison not in ("spearman", "rho-a"):
            pairs /= norms[:, None]
        return np.clip(scores, -1, 1, out=scores)

    def _odd(self, pairs: Array) -> NDArray[np.bool_]:
        """Rows with NaN, constant ones, and those of very large or small numbers."""
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        with np.errstate(invalid="ignore"):
            largest = np.maximum(np.abs(low), np.abs(high))
            fine = (largest > _SAFE[0]) & (largest < _SAFE[1])
            if self.comparison != "cosine":
                fine &= high - low > 2e-12 * largest  # nearer ones are looked at as all are
        return ~fine

    def _prepare(self, pairs: Array) -> None:
        if self.comparison in ("spearman", "rho-a"):
            rank_rows(pairs, out=pairs)
            pairs -= (pairs.shape[1] + 1) / 2
        elif self.comparison in CENTRED:
            pairs -= pairs.mean(axis=1, keepdims=True)

    def ceilings(self, rdms: Array) -> Array:
        """Lower and upper noise ceiling (2, n_rdms) over subjects.

        Parameters
        ----------
        rdms : ndarray of shape (n_subjects, n_rdms, n_pairs)
            What :meth:`of` left of each subject's RDMs.
        """
        if not self.fast:
            found = [
                (np.nan, np.nan)
                if np.isnan(rows).all(axis=1).any()
                else ceiling(rows, self.n_conditions, self.comparison)
                for rows in rdms.transpose(1, 0, 2)
            ]
            return np.array(found).T
        if self.comparison in ("spearman", "rho-a"):
            return self._rank_ceilings(rdms)
        products = np.matmul(rdms.transpose(1, 0, 2), rdms.transpose(1, 2, 0))
        return _product_ceilings(products)

    def _rank_ceilings(self, ranks: Array) -> Array:
        """Pools are means of ranks, which are ranked in their turn."""
        known = ~np.isnan(ranks[:, :, 0]).any(axis=0)
        out = np.full((2, ranks.shape[1]), np.nan)
        if not known.any():
            return out
        ranks = ranks if known.all() else ranks[:, known]
        norms = np.sqrt(np.einsum("sbp,sbp->sb", ranks, ranks))
        total = ranks.sum(axis=0)
        pool = np.empty_like(total)
        self._pool(total, pool)
        upper = self._similarity(ranks, norms, pool)
        lower = np.empty_like(norms)
        for subject, own in enumerate(ranks):
            self._pool(np.subtract(total, own, out=pool), pool)
            lower[subject] = self._similarity(own[None], norms[[subject]], pool)[0]
        out[:, known] = lower.mean(axis=0), upper.mean(axis=0)
        return out

    def _pool(self, sums: Array, out: Array) -> None:
        rank_rows(sums, out=out)
        out -= (out.shape[1] + 1) / 2

    def _similarity(self, ranks: Array, norms: Array, pool: Array) -> Array:
        products = np.einsum("sbp,bp->sb", ranks, pool)
        if self.comparison == "rho-a":
            return products / _rho_norm(pool.shape[1]) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return products / (norms * np.sqrt(np.einsum("bp,bp->b", pool, pool)))


def _rho_norm(n_pairs: int) -> float:
    return float(np.sqrt((n_pairs**3 - n_pairs) / 12))


def _product_ceilings(products: Array) -> Array:
    """From similarities of subjects (n_rdms, n_subjects, n_subjects)."""
    to_all = products.sum(axis=2)
    own = np.einsum("bii->bi", products)
    norm = to_all.sum(axis=1, keepdims=True)
    others = norm - 2 * to_all + own
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = to_all / np.sqrt(norm)
        lower = (to_all - own) / np.sqrt(others)
    return np.stack([lower.mean(axis=1), upper.mean(axis=1)])
