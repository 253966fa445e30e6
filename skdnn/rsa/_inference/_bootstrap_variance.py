r"""Variance and degrees of freedom of scores and their differences, over conditions and subjects.

*Conditions.* A score is, to first order, a mean over pairs of a kernel :math:`h_{ij}` (see
_score_kernels): a U-statistic of degree two. With :math:`h_{ij} = \mu + g_i + g_j + e_{ij}`, its
variance is :math:`4 \zeta_1 / n + 2 \zeta_2 / (n (n - 1))`, :math:`\zeta_1` the variance of g and
:math:`\zeta_2` that of e, and both can be estimated without bias by the least-squares fit of g.
The bootstrap instead gives about :math:`4 \zeta_1 / n + 6 \zeta_2 / n^2`: three times too much
where the conditions' own effects are small, as with models unrelated to the data. So the variance
is that of the jackknife (leave one condition out), times what the U-statistic's formula gives for
the kernels over what the jackknife gives for them. With many conditions the bootstrap's variance
takes the jackknife's place, corrected the same way.

*Subjects.* The jackknife again: for mean scores the usual squared standard error. The lower
ceiling compares subjects with each other, so it is corrected as over conditions.

*Both.* Conditions and subjects are crossed, and what only their combination does (s in c) is in
both variances: V = V_c + V_s - V_cs, at least V_c.

*Degrees of freedom.* Satterthwaite's. A variance that is a mean of n squares with kurtosis k has
2 n / (k - 1) of them, at most n - 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

Array = NDArray[np.float64]

# Samples tell kurtosis too low, so it is mixed with that of a product of two normal variables
# (a kernel is a product of two RDMs), which counts as much as so many conditions.
_PRIOR_KURTOSIS = 9.0
_PRIOR_CONDITIONS = 15


@dataclass(frozen=True)
class KernelSums:
    """Sums of products of kernels of several scores, from which variances are estimated."""

    cells: Array  # (n_scores, n_scores), over pairs of conditions
    margins: Array  # (n_scores, n_scores), of each condition's sum over its pairs
    n_conditions: int

    def __add__(self, other: KernelSums) -> KernelSums:
        return KernelSums(
            self.cells + other.cells, self.margins + other.margins, self.n_conditions
        )

    def __mul__(self, factor: float) -> KernelSums:
        return KernelSums(self.cells * factor, self.margins * factor, self.n_conditions)

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


def kernel_sums(kernels: Array, margins: Array) -> KernelSums:
    """Sums of products of kernels (n_scores, n_pairs), given their margins."""
    return KernelSums(kernels @ kernels.T, margins @ margins.T, margins.shape[1])


def kernel_margins(kernels: Array, n_conditions: int) -> Array:
    """Sum of each kernel over the pairs of each condition (n_scores, n_conditions)."""
    ones = np.ones(n_conditions)
    return np.stack([squareform(row, checks=False) @ ones for row in kernels])


@dataclass(frozen=True)
class VarianceOverConditions:
    """From which the variance over conditions is made."""

    left_out: Array | None  # scores without each condition (n_conditions, n_scores)
    samples: Array  # scores in bootstrap samples (n_boot, n_scores)
    kernels: KernelSums
    margins: Array  # (n_scores, n_conditions)

    def variance(self, contrast: Array) -> float:
        """Variance of a sum of scores."""
        real = self.kernels.variance(contrast)
        used = contrast != 0
        if self.left_out is not None:
            found = _jackknife(self.left_out[:, used] @ contrast[used])
            linear = self.kernels.jackknife(contrast)
            if np.isfinite(found) and linear > 0:
                return found * real / linear
        drawn = self.samples[:, used] @ contrast[used]
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) < 2:
            return np.nan
        found, linear = float(drawn.var(ddof=1)), self.kernels.bootstrap(contrast)
        return found * real / linear if linear > 0 else found

    def dof(self, contrast: Array) -> float:
        """Degrees of freedom of that variance."""
        effects = contrast @ self.margins
        n = len(effects)
        square = float(np.mean(effects**2))
        kurtosis = float(np.mean(effects**4)) / square**2 if square > 0 else 3.0
        mixed = (n * kurtosis + _PRIOR_CONDITIONS * _PRIOR_KURTOSIS) / (n + _PRIOR_CONDITIONS)
        return min(2 * n / (mixed - 1), n - 1)


def _jackknife(left_out: Array) -> float:
    n = len(left_out)
    return float(np.sum((left_out - left_out.mean()) ** 2) * (n - 1) / n)


@dataclass(frozen=True)
class VarianceOverSubjects:
    """From which the variance over subjects is made."""

    left_out: Array  # scores without each subject (n_subjects, n_scores)
    kernels: KernelSums | None  # of pairs of subjects, see subject_pair_kernels

    def variance(self, contrast: Array) -> float:
        """Variance of a sum of scores."""
        used = contrast != 0
        found = _jackknife(self.left_out[:, used] @ contrast[used])
        if self.kernels is None:
            return found
        linear = self.kernels.jackknife(contrast)
        return found * self.kernels.variance(contrast) / linear if linear > 0 else found


def subject_pair_kernels(each: Array, among: Array, lower: float) -> KernelSums | None:
    """Kernels of the scores over pairs of subjects; None where there are too few.

    A model's score is a mean over subjects. The lower ceiling is nearly one over pairs of
    subjects: a subject's similarity to the pool of the others is their mean similarity, k, over
    the pool's norm, the root of (1 + (n - 2) k) / (n - 1), which grows with k itself.

    `each` (n_models, n_subjects) are the models' similarities, `among` those of the subjects.
    """
    n = len(among)
    first, second = np.triu_indices(n, k=1)
    pairs = among[first, second]
    mean = float(pairs.mean())
    if n < 4 or not np.isfinite(lower) or not mean > 0:
        return None
    slope = 1 - (n - 2) * mean / (1 + (n - 2) * mean) / 2
    kernels = np.concatenate(
        [(each[:, first] + each[:, second]) / 2, lower * slope * pairs[None] / mean]
    )
    kernels -= kernels.mean(axis=1, keepdims=True)
    return kernel_sums(kernels, kernel_margins(kernels, n))


@dataclass(frozen=True)
class ScoreVariance:
    """Variance over what was resampled."""

    conditions: VarianceOverConditions | None
    subjects: VarianceOverSubjects | None
    within: KernelSums | None  # of the subjects' deviations, summed over subjects

    def of(self, contrast: Array) -> tuple[float, float]:
        """Variance of a sum of scores, and its degrees of freedom."""
        if self.subjects is None:
            assert self.conditions is not None
            return self.conditions.variance(contrast), self.conditions.dof(contrast)
        n = len(self.subjects.left_out)
        subjects = self.subjects.variance(contrast)
        if self.conditions is None:
            return subjects, n - 1.0
        conditions, dof = self.conditions.variance(contrast), self.conditions.dof(contrast)
        more = max(subjects - self._shared(contrast, conditions), 0)
        total = conditions + more
        if not total > 0:
            return total, dof
        return total, total**2 / (conditions**2 / dof + more**2 / (n - 1))

    def _shared(self, contrast: Array, conditions: float) -> float:
        """The part of the variance over conditions that differs among subjects."""
        assert self.conditions is not None
        assert self.within is not None
        assert self.subjects is not None
        n = len(self.subjects.left_out)
        whole = self.conditions.kernels.variance(contrast)
        part = self.within.variance(contrast) / (n * (n - 1))
        return conditions * min(part / whole, 1) if whole > 0 else 0.0
