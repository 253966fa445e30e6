"""The brain hierarchy score against what layers and areas without a hierarchy would give."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skdnn._array_blocks import Array
from skdnn._html import card
from skdnn.encoding._hierarchy._accuracies import LEAST, beside_qualities, check_accuracies, moved
from skdnn.encoding._hierarchy._p_values import UnitsThatCount, count_best
from skdnn.encoding._hierarchy._score import spearman, warn_of_nan


@dataclass(frozen=True)
class HierarchyPermutation:
    """A brain hierarchy score beside its null distribution.

    Attributes
    ----------
    score : float
        The score of the data.
    p_value : float
        One-sided: how often a score as large comes about without a hierarchy.
    expected : float
        Mean of the null distribution: what the qualities of layers and areas give alone.
    null : ndarray of shape (n_permutations,)
        Scores without a hierarchy.
    """

    score: float
    p_value: float
    expected: float
    null: Array

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {
            "score": self.score,
            "expected without a hierarchy": self.expected,
            "p (one-sided)": self.p_value,
            "permutations": len(self.null),
        }
        return card("HierarchyPermutation", facts)


def hierarchy_permutation_test(
    accuracies: Sequence[ArrayLike],
    *,
    n_samples: int,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
    n_permutations: int = 1000,
    random_state: int | RandomState | None = None,
) -> HierarchyPermutation:
    r"""Test the brain hierarchy score, with the qualities of layers and areas as they are.

    A score above zero is no hierarchy yet. Where one area is best for every layer, but later
    layers are predicted better, units of early layers have their best area by chance, those of
    late layers have the good one: that is a rank correlation of layers and areas, made of quality
    alone.

    Parameters
    ----------
    accuracies : sequence of array-like of shape (n_others, n_units) or (n_others, ...)
        One array for each level of one hierarchy, as `brain_hierarchy_score` takes them.
    n_samples : int
        Number of test samples (images) behind each accuracy.
    alpha : float, default=0.05
        A unit is kept if the p-value of its best accuracy is smaller.
    test : {"published", "t"}, default="published"
        How p-values of units are computed (see `hierarchy_p_values`).
    adjust : {"sidak"} or None, default=None
        As in `brain_hierarchy_score`.
    n_permutations : int, default=1000
        Number of random pairings.
    random_state : int, RandomState instance or None, default=None
        Seeds them.

    Returns
    -------
    result : HierarchyPermutation
        With attributes `score`, `p_value`, `expected` and `null`.

    Raises
    ------
    ValueError
        As `brain_hierarchy_score`, and if a hierarchy has fewer than three levels, which leaves
        too few pairings.

    Warns
    -----
    UserWarning
        If the score, or that of some pairings, is NaN; the test is over the others.

    See Also
    --------
    brain_hierarchy_score : The score itself.
    bootstrap_hierarchy_score : An interval for it.

    Notes
    -----
    Mean accuracies :math:`M_{la}` of layers and areas are parted into what their qualities say,
    :math:`q_l s_a` (the nearest matrix of rank one), and the rest, :math:`R_{la}`, in which a
    hierarchy must show. If there is none, it does not matter which layer and area a rest belongs
    to: each sample takes :math:`R` off all units and puts it back with its rows and its columns in
    random order, and scores what comes about. Units keep how they differ from the mean of their
    layer. So the mean of the null distribution is the score that qualities give alone, and

    .. math:: p = \frac{1 + \#\{k : S_k \ge S\}}{1 + K}.

    The product stands for how correlations are made: what a network knows of a unit times what an
    area tells of it.

    References
    ----------
    Nonaka, S., Majima, K., Aoki, S. C., & Kamitani, Y. (2021). Brain hierarchy score: Which deep
    neural networks are hierarchically brain-like? iScience, 24(9), 103013.

    Examples
    --------
    Layers of rising quality, and one area that is best for all of them: there is no hierarchy.

    >>> import numpy as np
    >>> from skdnn.encoding import hierarchy_permutation_test
    >>> rng = np.random.default_rng(0)
    >>> areas = np.array([0.4, 0.5, 0.6, 0.75])[:, np.newaxis]
    >>> layers = [quality * areas + 0.1 * rng.normal(size=(4, 200))
    ...           for quality in (0.3, 0.5, 0.7, 0.9)]
    >>> result = hierarchy_permutation_test(
    ...     layers, n_samples=50, test="t", n_permutations=200, random_state=0)
    >>> round(result.score, 2), round(result.expected, 2), result.p_value > 0.05
    (0.23, 0.21, True)
    """
    levels = check_accuracies(accuracies)
    rule = UnitsThatCount(n_samples, alpha, test, adjust)
    rule.warn_of_dropped(levels)
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations} must be 1 at least.")
    shape = (len(levels), len(levels[0]))
    check_pairings(*shape)
    empty = [number for number, level in enumerate(levels) if not level.size]
    if empty:
        raise ValueError(f"accuracies[{empty[0]}] has no units.")
    rest = beside_qualities(levels)
    rng = check_random_state(random_state)
    table = count_best(levels, rule)
    score = spearman(table)
    null = np.empty(n_permutations)
    for number in range(n_permutations):
        mixed = rest[rng.permutation(shape[0])][:, rng.permutation(shape[1])]
        null[number] = spearman(count_best(moved(levels, mixed - rest), rule))
    n_unknown = int(np.isnan(null).sum())
    if np.isnan(score):
        warn_of_nan(table)
    elif n_unknown:
        warnings.warn(
            f"{n_unknown} of {len(null)} pairings have no score: the test is over the others.",
            UserWarning,
            stacklevel=2,
        )
    return HierarchyPermutation(score, *against(score, null), null)


def against(score: float, null: Array) -> tuple[float, float]:
    """One-sided p of a score, and the mean of the scores without a hierarchy that are known.

    Without a score there is neither.
    """
    known = null[~np.isnan(null)]
    if np.isnan(score):
        return np.nan, np.nan
    reached = int(np.sum(known >= score - 1e-12))  # the same pairing again, whatever the rounding
    return (1 + reached) / (1 + len(known)), float(known.mean()) if len(known) else np.nan


def check_pairings(n_levels: int, n_others: int) -> None:
    """Raise ValueError if there are too few ways to pair layers and areas."""
    if min(n_levels, n_others) < LEAST:
        raise ValueError(
            f"There are {n_levels} and {n_others} levels: a test by permutation needs {LEAST} of "
            "each."
        )
