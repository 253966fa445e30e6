"""How far the brain hierarchy score depends on the subjects and units that were measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from sklearn.utils import check_random_state

from skdnn._array_blocks import Array
from skdnn._html import card
from skdnn.encoding._hierarchy._accuracies import check_subjects
from skdnn.encoding._hierarchy._p_values import UnitsThatCount, best_levels, count
from skdnn.encoding._hierarchy._score import spearman, warn_of_nan

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class HierarchyBootstrap:
    """A brain hierarchy score with its bootstrap interval.

    Attributes
    ----------
    score : float
        The score of the data, pooled over subjects.
    low, high : float
        Bounds of the interval.
    standard_error : float
        From the subjects (jackknife) and shared units, or the standard deviation of the resampled
        scores, as the interval is.
    samples : ndarray of shape (n_boot,)
        The resampled scores; NaN where a resample has none.
    left_out : ndarray of shape (n_subjects,)
        The score without each subject; NaN where there is none.
    unit_variance : float
        Variance of the score over samples of units that all subjects share; 0 where they do not.

    See Also
    --------
    bootstrap_hierarchy_score : Makes it, with an example.

    Examples
    --------
    >>> from skdnn.encoding import HierarchyBootstrap
    >>> found = HierarchyBootstrap(0.4, 0.1, 0.6, 0.12, samples=[0.2, 0.5])
    >>> found.low, found.high
    (0.1, 0.6)
    """

    score: float
    low: float
    high: float
    standard_error: float
    samples: Array
    left_out: Array = field(default_factory=lambda: np.empty(0))
    unit_variance: float = 0.0

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {
            "score": self.score,
            "interval": f"{self.low:.4g} to {self.high:.4g}",
            "standard error": self.standard_error,
            "samples": len(self.samples),
        }
        return card("HierarchyBootstrap", facts)


def bootstrap_hierarchy_score(
    accuracies_by_subject: Sequence[Sequence[ArrayLike]],
    *,
    n_samples: int,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
    n_boot: int = 1000,
    confidence: float = 0.95,
    method: str = "t",
    resample_subjects: bool = True,
    resample_units: bool = True,
    shared_units: bool = False,
    random_state: int | RandomState | None = None,
) -> HierarchyBootstrap:
    """Bootstrap interval of the brain hierarchy score, over subjects and units.

    Parameters
    ----------
    accuracies_by_subject : sequence of sequence of array-like of shape (n_others, n_units)
        For each subject, one array for each level, as `brain_hierarchy_score` takes them.
    n_samples : int
        Number of test samples behind each accuracy.
    alpha : float, default=0.05
        A unit is kept if the p-value of its best accuracy is smaller.
    test : {"published", "t"}, default="published"
        How p-values are computed (see `hierarchy_p_values`).
    adjust : {"sidak"} or None, default=None
        As in `brain_hierarchy_score`.
    n_boot : int, default=1000
        Number of resamples.
    confidence : float, default=0.95
        How often the interval should hold the score of the population.
    method : {"t", "percentile"}, default="t"
        ``"t"`` takes Student's distribution with as many degrees of freedom as there are
        subjects, less one, and the variance between subjects. ``"percentile"`` takes the middle
        of the resampled scores, which is too narrow with few subjects: there are only 10
        different samples of three. It is also taken for one subject, and without
        `resample_subjects`.
    resample_subjects : bool, default=True
        Draw subjects with replacement.
    resample_units : bool, default=True
        Draw the units (or voxels) of each level with replacement.
    shared_units : bool, default=False
        Whether units are the same in all subjects (units of a network, in decoding), and are
        drawn for all together. False draws those of each subject, as for voxels.
    random_state : int, RandomState instance or None, default=None
        Seeds the resampling.

    Returns
    -------
    result : HierarchyBootstrap
        With attributes `score`, `low`, `high`, `standard_error`, `samples` and `left_out`.

    Raises
    ------
    ValueError
        If subjects do not match each other, or a parameter is out of range.

    Warns
    -----
    UserWarning
        If the score, or that of some resamples, is NaN; the interval is over the others.

    See Also
    --------
    brain_hierarchy_score : The score itself.
    BrainHierarchyScore : The whole study.

    Notes
    -----
    Only the level that is best for each unit is resampled, not its accuracies: the uncertainty
    from few test images is not in the interval. Resampled units are counts of a multinomial
    distribution, so that the cost does not grow with their number.

    ``method="t"``: from the score of all n subjects and those without each of them come
    pseudo-values :math:`n S - (n - 1) S_{-i}`; their variance over n is the squared standard
    error, to which that of `shared_units`, over resamples of units, is added. The interval reaches
    :math:`t_{n-1}` standard errors to both sides, and not beyond -1 and 1.

    References
    ----------
    Tukey, J. W. (1958). Bias and confidence in not quite large samples. Annals of Mathematical
    Statistics, 29(2), 614.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import bootstrap_hierarchy_score
    >>> rng = np.random.default_rng(0)
    >>> order = 0.3 * np.eye(4)[:, :, None]
    >>> subjects = [list(0.4 + order + 0.1 * rng.normal(size=(4, 4, 50))) for _ in range(3)]
    >>> result = bootstrap_hierarchy_score(subjects, n_samples=50, random_state=0)
    >>> result.low < result.score < result.high
    True
    """
    subjects = check_subjects(accuracies_by_subject)
    rule = UnitsThatCount(n_samples, alpha, test, adjust)
    if method not in ("t", "percentile"):
        raise ValueError(f"method must be 't' or 'percentile', got {method!r}.")
    if n_boot < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"n_boot={n_boot} must be 1 at least, and confidence={confidence} between 0 and 1."
        )
    if not (resample_subjects or resample_units):
        raise ValueError("resample_subjects and resample_units are both False: resample one.")
    codes = [[best_levels(level, rule) for level in each] for each in subjects]
    n_others = len(subjects[0][0])
    tables = np.array([[count(level, n_others) for level in each] for each in codes])
    score = spearman(tables.sum(axis=0))
    if np.isnan(score):
        warn_of_nan(tables.sum(axis=0))
    rng = check_random_state(random_state)
    n = len(subjects)
    times = np.ones((n_boot, n), np.int64)  # how often each subject is in each resample
    if resample_subjects:
        times = rng.multinomial(n, np.full(n, 1 / n), size=n_boot).astype(np.int64)
    if not resample_units:
        resampled = np.einsum("bs,slo->blo", times, tables)
    elif shared_units:
        resampled = _resample_together(codes, times, n_others, rng)
    else:
        resampled = _resample_apart(codes, tables, times, rng)
    samples = np.array([spearman(table) for table in resampled])
    left_out = np.array([spearman(tables.sum(axis=0) - table) for table in tables])
    unit_variance = 0.0
    if shared_units and resample_units and resample_subjects:
        together = _resample_together(codes, np.ones_like(times), n_others, rng)
        unit_variance = float(np.nanvar([spearman(table) for table in together]))
    if method == "t" and len(subjects) > 1 and resample_subjects:
        found = student_interval(score, left_out, unit_variance, confidence)
    else:
        found = percentile_interval(samples, confidence)
    return HierarchyBootstrap(score, *found, samples, left_out, unit_variance)


def _resample_apart(
    codes: list[list[Counts]], tables: Counts, times: Counts, rng: RandomState
) -> Counts:
    """Tables in which the units of each subject are drawn anew each time it is drawn."""
    total = np.zeros((len(times), *tables.shape[1:]), np.int64)
    for subject, levels in enumerate(codes):
        for number, level in enumerate(levels):
            if len(level) == 0:
                continue
            counts = tables[subject, number]
            shares = np.append(counts, len(level) - counts.sum()) / len(level)
            for sample, repeat in enumerate(times[:, subject]):
                drawn = rng.multinomial(repeat * len(level), shares)
                total[sample, number] += drawn[:-1]
    return total


def _resample_together(
    codes: list[list[Counts]], times: Counts, n_others: int, rng: RandomState
) -> Counts:
    """Tables in which the same units are drawn for all subjects."""
    total = np.zeros((len(times), len(codes[0]), n_others), np.int64)
    for number, level in enumerate(zip(*codes, strict=True)):
        sizes = {len(units) for units in level}
        if len(sizes) > 1:
            raise ValueError(
                f"level {number} has {sorted(sizes)} units in different subjects: "
                "shared_units=True needs the same units in all."
            )
        # Units whose best levels are the same in all subjects are alike: their number counts.
        patterns, numbers = np.unique(np.stack(level, axis=1), axis=0, return_counts=True)
        if len(patterns) == 0:
            continue
        drawn = rng.multinomial(numbers.sum(), numbers / numbers.sum(), size=len(times))
        for other in range(n_others):
            by_subject = drawn @ (patterns == other).astype(np.int64)
            total[:, number, other] = (by_subject * times).sum(axis=1)
    return total


def percentile_interval(samples: Array, confidence: float) -> tuple[float, float, float]:
    """Low, high and standard error by the resampled scores."""
    known = samples[~np.isnan(samples)]
    if len(known) < len(samples):
        warnings.warn(
            f"{len(samples) - len(known)} of {len(samples)} resamples have no score: the interval "
            "is over the others.",
            UserWarning,
            stacklevel=3,
        )
    if len(known) == 0:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    error = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    return float(low), float(high), error


def student_interval(
    score: float, left_out: Array, unit_variance: float, confidence: float
) -> tuple[float, float, float]:
    """Low, high and standard error by the scores without each subject."""
    n = len(left_out)
    pseudo = n * score - (n - 1) * left_out
    error = float(np.sqrt(pseudo.var(ddof=1) / n + unit_variance))
    half = float(student.ppf((1 + confidence) / 2, n - 1)) * error
    return float(np.maximum(score - half, -1)), float(np.minimum(score + half, 1)), error
