"""Similarities of RDMs in bootstrap samples of their conditions, for many samples at once.

A sample says how often each condition was drawn. Two draws of one condition have no known
dissimilarity, so that pair is dropped, and a pair of different conditions counts as often as the
product of their numbers. Weighted sums over pairs are then quadratic forms of those numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from skdnn.rsa._comparison._noise_ceiling import ceiling
from skdnn.rsa._comparison._rdm_stack import pair_positions
from skdnn.rsa._comparison._similarity_measures import (
    CENTRED,
    RANKED,
    WHITENED,
    is_flat,
    similarities,
)
from skdnn.rsa._inference._bootstrap_ceilings import gram_ceilings, rank_ceilings
from skdnn.rsa._inference._bootstrap_ranks import WeightedRanks
from skdnn.rsa._inference._score_kernels import PreparedRDM, ScoreKernels

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

# Below this share of the variance among all pairs, that of a sample is summed anew, pair by pair.
_NEARLY_FLAT = 1e-9
# Samples written out by one thread at a time.
_PART = 32


class SampledScores(NamedTuple):
    """What was found in each of some samples of the conditions."""

    each: Array  # similarities (n_samples, n_models, n_subjects)
    ceilings: Array  # (n_samples, 2) lower and upper with all subjects
    both: Array  # the same with the subjects of the sample, (n_samples, 2)


def scores_in_samples(
    models: Array,
    data: Array,
    counts: Counts,
    subject_counts: Counts | None,
    comparison: str,
    *,
    exact: bool = True,
    ceilings: bool = True,
    score_kernels: ScoreKernels | None = None,
    n_jobs: int | None = None,
) -> SampledScores:
    """Similarities and ceilings in samples of conditions.

    `counts` (n_samples, n_conditions) and `subject_counts` (n_samples, n_subjects) say how often
    each was drawn. `score_kernels` keeps the sorted RDMs for those who need them after this.
    """
    job = _Compared(models, data, comparison, ceilings)
    missing = np.isnan(models).any() or np.isnan(data).any()
    if missing or comparison in ("kendall", "tau-a"):
        return _in_parts(job.expanded, counts, subject_counts, _PART, n_jobs)
    if exact and comparison in RANKED:
        space = WeightedRanks(np.concatenate([data, models]), counts.shape[1])

        def ranked(counts: Counts, subject_counts: Counts | None) -> SampledScores:
            return job.ranked(space, counts, subject_counts)

        return _in_parts(ranked, counts, subject_counts, space.n_samples_at_once, n_jobs)
    score_kernels = score_kernels or ScoreKernels(counts.shape[1], comparison)
    return job.by_moments(counts, subject_counts, score_kernels)


def _in_parts(
    work: Callable[[Counts, Counts | None], SampledScores],
    counts: Counts,
    subject_counts: Counts | None,
    size: int,
    n_jobs: int | None,
) -> SampledScores:
    """The work on some samples at a time, shared out among threads."""
    parts = [slice(start, start + size) for start in range(0, len(counts), size)]
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(work)(counts[part], None if subject_counts is None else subject_counts[part])
        for part in parts
    )
    return SampledScores(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def expand(pairs: Array, counts: Counts) -> Array:
    """RDMs of the conditions as drawn; NaN between draws of the same condition."""
    n = len(counts)
    drawn = np.repeat(np.arange(n), counts)
    first, second = np.triu_indices(len(drawn), k=1)
    out = pairs[:, pair_positions(drawn, n)]
    out[:, drawn[first] == drawn[second]] = np.nan
    return out


class _Compared(NamedTuple):
    """What is compared, and the three ways to do it in samples."""

    models: Array
    data: Array
    comparison: str
    ceilings: bool

    def _nothing(self, n_samples: int) -> SampledScores:
        return SampledScores(
            np.full((n_samples, len(self.models), len(self.data)), np.nan),
            np.full((n_samples, 2), np.nan),
            np.full((n_samples, 2), np.nan),
        )

    def expanded(self, counts: Counts, subject_counts: Counts | None) -> SampledScores:
        """One sample after the other, its conditions written out."""
        out = self._nothing(len(counts))
        for row, drawn in enumerate(counts):
            models, data, n = expand(self.models, drawn), expand(self.data, drawn), drawn.sum()
            out.each[row] = similarities(models, data, int(n), self.comparison)
            if self.ceilings:
                out.ceilings[row] = ceiling(data, int(n), self.comparison)
            if self.ceilings and subject_counts is not None:
                subjects = subject_counts[row]
                out.both[row] = ceiling(data, int(n), self.comparison, subjects)
        return out

    def ranked(
        self, space: WeightedRanks, counts: Counts, subject_counts: Counts | None
    ) -> SampledScores:
        """Spearman's correlation and rho-a, ranked anew in each sample."""
        found = space.rank(counts)
        k, comparison = len(self.data), self.comparison
        each = found.similarities(range(k, k + len(self.models)), range(k), comparison)
        out = self._nothing(len(counts))._replace(each=each)
        if self.ceilings:
            out.ceilings[:] = rank_ceilings(found, k, None, comparison)
        if self.ceilings and subject_counts is not None:
            out.both[:] = rank_ceilings(found, k, subject_counts, comparison)
        return out

    def by_moments(
        self, counts: Counts, subject_counts: Counts | None, score_kernels: ScoreKernels
    ) -> SampledScores:
        """Comparisons that are cosines of some sort, from weighted sums of products."""
        out = self._nothing(len(counts))
        job, form = self, self.comparison
        shifts = None
        if form in RANKED:
            shifts = _RankShifts(self.models, self.data, score_kernels)
            form = "pearson"
            job = self._replace(models=shifts.models, data=shifts.data, comparison=form)
        stack = np.concatenate([job.data, job.models])
        flat = is_flat(stack, form)
        sums = _WeightedProducts(np.where(flat[:, None], 0, stack), counts, form)
        norms = np.stack([sums.inner(row, row) for row in range(len(stack))], axis=1)
        doubtful = (norms <= _NEARLY_FLAT * sums.scale).any(axis=1) | sums.doubtful
        norms = np.sqrt(np.where(norms > 0, norms, np.nan))
        k = len(job.data)
        for model in range(len(job.models)):
            for subject in range(k):
                extra = None if shifts is None else shifts.of(model, subject)
                inner = sums.inner(k + model, subject, extra)
                out.each[:, model, subject] = inner / norms[:, k + model] / norms[:, subject]
        if form != "cosine_cov":
            np.clip(out.each, -1, 1, out=out.each)
        if self.ceilings:
            gram = sums.gram(k, norms)
            out.ceilings[:] = gram_ceilings(gram, None)
            if subject_counts is not None:
                out.both[:] = gram_ceilings(gram, subject_counts)
        if doubtful.any() and not flat.all():
            drawn = None if subject_counts is None else subject_counts[doubtful]
            for target, found in zip(out, self.expanded(counts[doubtful], drawn), strict=True):
                target[doubtful] = found
        return out


class _RankShifts:
    """Ranks in the whole data, and how their correlation moves as ranks move, to first order."""

    def __init__(self, models: Array, data: Array, score_kernels: ScoreKernels) -> None:
        self._score_kernels = score_kernels
        self._models = score_kernels.prepared("models", models)
        self._data = score_kernels.prepared("data", data)
        self.models = np.stack([row.values for row in self._models])
        self.data = np.stack([row.values for row in self._data])

    def of(self, model: int, subject: int) -> Array:
        """What each pair adds to the correlation by moving the ranks of others."""
        a, b = self._models[model], self._data[subject]
        without = [PreparedRDM(row.values) for row in (a, b)]
        return self._score_kernels.kernel(a, b) - self._score_kernels.kernel(*without)


class _WeightedProducts:
    """Weighted inner products of RDMs in each sample."""

    def __init__(self, pairs: Array, counts: Counts, form: str) -> None:
        self.form = form
        # Centred and scaled by all pairs: what is left to subtract in a sample is small.
        if form in CENTRED:
            pairs = pairs - pairs.mean(axis=1, keepdims=True)
        self.largest = np.maximum(np.abs(pairs).max(axis=1), np.finfo(float).tiny)
        pairs = pairs / self.largest[:, None]
        self.pairs = pairs
        self.weights = counts.astype(np.float64)
        squares = np.square(self.weights).sum(axis=1)
        n = self.weights.sum(axis=1)
        self.total = (n**2 - squares) / 2
        self.scale = self.total[:, None] * np.square(pairs).mean(axis=1)
        self.doubtful: NDArray[np.bool_] = np.zeros(len(counts), dtype=bool)
        self.means = np.zeros((len(pairs), len(counts)))
        if form in CENTRED or form in WHITENED:
            fields = [self.weights @ squareform(row, checks=False) for row in pairs]
            if form in CENTRED:
                sums = [self._half(field) for field in fields]
                self.means = np.stack(sums) / np.maximum(self.total, 1)
            if form in WHITENED:
                self._whiten(fields, n)

    def _half(self, field: Array) -> Array:
        return np.einsum("bi,bi->b", field, self.weights) / 2

    def _whiten(self, fields: list[Array], n: Array) -> None:
        """The conditions' effects that Woodbury's identity subtracts, see PairSpace.

        With copies of a condition as conditions of their own, the system is a diagonal plus a
        matrix of rank one.
        """
        own = 2 + n[:, None] - 2 * self.weights
        self.doubtful = np.any(own <= 0, axis=1)
        inverse = 1 / np.where(own > 0, own, 1)
        shared = 1 + (self.weights * inverse).sum(axis=1)
        self.fields, self.effects = [], []
        for mean, field in zip(self.means, fields, strict=True):
            known = field - mean[:, None] * (n[:, None] - self.weights)
            level = (self.weights * known * inverse).sum(axis=1) / shared
            self.fields.append(known * self.weights)
            self.effects.append((known - level[:, None]) * inverse)

    def inner(self, a: int, b: int, extra: Array | None = None) -> Array:
        """Inner product of two RDMs in each sample; `extra` is added to the pairs' products."""
        product = self.pairs[a] * self.pairs[b]
        if extra is not None:
            product += extra / (self.largest[a] * self.largest[b])
        square = squareform(product, checks=False)
        out = self._half(self.weights @ square) - self.total * self.means[a] * self.means[b]
        if self.form in WHITENED:
            out = out - np.einsum("bi,bi->b", self.fields[a], self.effects[b])
        return out

    def gram(self, n_rows: int, norms: Array) -> Array:
        """Similarities among the first rows (n_samples, n_rows, n_rows)."""
        out = np.ones((len(norms), n_rows, n_rows))
        for a in range(n_rows):
            for b in range(a):
                out[:, a, b] = self.inner(a, b) / norms[:, a] / norms[:, b]
                out[:, b, a] = out[:, a, b]
        return out
