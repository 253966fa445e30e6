"""Which units count, and which level is the best for each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skdnn.encoding._hierarchy._p_values import check_test, hierarchy_p_values

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Rule:
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


def best_levels(level: Array, rule: Rule) -> Counts:
    """For each unit the row of its highest accuracy, the first of equal ones; -1: not kept."""
    known = np.where(np.isnan(level), 0.0, level)
    best = np.argmax(known, axis=0).astype(np.int64)
    r = np.take_along_axis(known, best[None], axis=0)[0]
    return np.where(rule.keeps(r, len(level)), best, -1)


def count(codes: Counts, n: int) -> Counts:
    """How often each of n levels is the best."""
    return np.bincount(codes[codes >= 0], minlength=n).astype(np.int64)


def count_best(levels: Sequence[Array], rule: Rule) -> Counts:
    """Kept units of each level by the level that is best for them."""
    return np.stack([count(best_levels(level, rule), len(level)) for level in levels])
