"""Significance of accuracies, which units count by it, and which level is best for each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from skdnn._array_blocks import Array

Counts = NDArray[np.int64]

TESTS = ("published", "t")
# How far beyond 1 rounding may take a correlation that was computed in float32.
ROUNDING = 1e-6


def hierarchy_p_values(r: ArrayLike, n_samples: int, *, test: str = "published") -> Array:
    r"""Two-sided p-values of correlations, by the standard test or as published with the BH score.

    Parameters
    ----------
    r : array-like
        Pearson correlations. NaN gives NaN.
    n_samples : int
        Number of samples (test images) behind each correlation, 3 or more.
    test : {"published", "t"}, default="published"
        ``"t"`` is the standard test, :math:`t = r \sqrt{(n - 2) / (1 - r^2)}`. ``"published"``
        is what the code of Nonaka et al. (2021) does, :math:`t = r \sqrt{(n - 2)(1 - r^2)}`.
        Both compare t with Student's distribution with n - 2 degrees of freedom.

    Returns
    -------
    p : ndarray of the shape of `r`, float64
        Two-sided p-values.

    Raises
    ------
    ValueError
        If a correlation is beyond -1 or 1, there are fewer than three samples, or `test` is
        unknown.

    See Also
    --------
    brain_hierarchy_score : What they are for.
    correlation_p_values : The standard test, one-sided if wanted and adjusted for many targets.

    Notes
    -----
    The published statistic multiplies by :math:`1 - r^2` where it should divide. It is largest
    at :math:`r^2 = 1/2` and falls to zero again for perfect correlations: with 50 samples
    the p-value is never below .00113, and at the level .05 correlations between .3047 and
    .9524 count as significant, while those of the standard test do from .2787 on.

    References
    ----------
    Nonaka, S., Majima, K., Aoki, S. C., & Kamitani, Y. (2021). Brain hierarchy score: Which deep
    neural networks are hierarchically brain-like? iScience, 24(9), 103013.

    Examples
    --------
    >>> from skdnn.encoding import hierarchy_p_values
    >>> hierarchy_p_values([0.3, 0.5, 0.96], 50, test="t").round(4)
    array([0.0343, 0.0002, 0.    ])
    >>> hierarchy_p_values([0.3, 0.5, 0.96], 50).round(4)
    array([0.0531, 0.0043, 0.0687])
    """
    check_test(test, n_samples)
    values = np.asarray(r, dtype=np.float64)
    size = np.abs(values)
    if (size > 1 + ROUNDING).any():
        raise ValueError(
            f"r reaches from {np.nanmin(values)} to {np.nanmax(values)}: correlations lie "
            "between -1 and 1."
        )
    size = np.minimum(size, 1)
    rest = (1 - size) * (1 + size)
    with np.errstate(divide="ignore"):
        t = size * np.sqrt((n_samples - 2) * (rest if test == "published" else 1 / rest))
    return 2 * student.sf(t, n_samples - 2)


def check_test(test: str, n_samples: int) -> None:
    """Raise ValueError for an unknown test or too few samples."""
    if test not in TESTS:
        raise ValueError(f"test={test!r} is unknown: give one of {', '.join(TESTS)}.")
    if n_samples < 3:
        raise ValueError(f"n_samples={n_samples} is too small: a test needs 3 samples or more.")


@dataclass(frozen=True)
class UnitsThatCount:
    """Which units are kept; ValueError if no accuracy could pass."""

    n_samples: int
    alpha: float = 0.05
    test: str = "published"
    adjust: str | None = None

    def __post_init__(self) -> None:
        check_test(self.test, self.n_samples)
        if self.adjust not in (None, "sidak"):
            raise ValueError(f"adjust must be 'sidak' or None, got {self.adjust!r}.")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} must be above 0, and 1 at most.")
        least = hierarchy_p_values(np.sqrt(0.5), self.n_samples, test="published")
        if self.test == "published" and least >= self.alpha:
            raise ValueError(
                f"With n_samples={self.n_samples} the published test gives no p-value below "
                f"{least:.3g}, so that no accuracy passes alpha={self.alpha}: take test='t', or "
                "more samples."
            )

    def keeps(self, r: Array, n_levels: int) -> NDArray[np.bool_]:
        """Whether the highest of so many accuracies is positive and significant."""
        p = hierarchy_p_values(r, self.n_samples, test=self.test)
        if self.adjust:
            p = 1 - (1 - p / 2) ** n_levels  # of one side: the highest is asked for
        return (r > 0) & (p < self.alpha)

    def warn_of_dropped(self, levels: Sequence[Array]) -> None:
        """Say how many units are predicted too well for the published test."""
        if self.test != "published":
            return
        highest = [np.nan_to_num(level).max(axis=0, initial=-1) for level in levels]
        good = [r[(r > np.sqrt(0.5)) & ~self.keeps(r, len(levels[0]))] for r in highest]
        n = sum(map(len, good))
        if n:
            least = min(r.min() for r in good if r.size)
            warnings.warn(
                f"{n} of {sum(map(len, highest))} units are predicted so well (r of {least:.3f} "
                "and more) that the published test drops them; test='t' keeps them.",
                UserWarning,
                stacklevel=3,
            )


def best_levels(level: Array, rule: UnitsThatCount) -> Counts:
    """For each unit the row of its highest accuracy, the first of equal ones; -1: not kept."""
    known = np.where(np.isnan(level), 0.0, level)
    best = np.argmax(known, axis=0).astype(np.int64)
    r = np.take_along_axis(known, best[None], axis=0)[0]
    return np.where(rule.keeps(r, len(level)), best, -1)


def count(codes: Counts, n: int) -> Counts:
    """How often each of n levels is the best."""
    return np.bincount(codes[codes >= 0], minlength=n).astype(np.int64)


def count_best(levels: Sequence[Array], rule: UnitsThatCount) -> Counts:
    """Kept units of each level by the level that is best for them."""
    return np.stack([count(best_levels(level, rule), len(level)) for level in levels])
