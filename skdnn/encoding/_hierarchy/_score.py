"""The brain hierarchy score: is the order of the layers that of the brain areas?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skdnn._array_blocks import Array
from skdnn._html import card
from skdnn.encoding._hierarchy._accuracies import LEAST, beside_qualities, check_accuracies, moved
from skdnn.encoding._hierarchy._p_values import UnitsThatCount, best_levels, count, count_best

Counts = NDArray[np.int64]

_MUCH = 0.1  # for a score that qualities alone give
_MOST = 0.8  # of the score


@dataclass(frozen=True)
class HierarchyDetails:
    """What a brain hierarchy score was computed from.

    Attributes
    ----------
    table : ndarray of shape (n_levels, n_others), int64
        Number of kept units (or voxels) of each level that are predicted best from, or by, each
        level of the other hierarchy.
    n_units : ndarray of shape (n_levels,), int64
        Number of all units of each level.
    best : list of ndarray of shape (n_units,), int64
        For each level, the best level of the other hierarchy of each unit; -1 where none is kept.
    draws : ndarray of shape (n_draws,), or None
        Score of each random selection of levels, if levels were selected.

    See Also
    --------
    brain_hierarchy_score : Gives it with ``return_details=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import brain_hierarchy_score
    >>> rng = np.random.default_rng(0)
    >>> accuracies = [rng.uniform(0.3, 0.9, (2, 20)) for _ in range(3)]
    >>> score, details = brain_hierarchy_score(accuracies, n_samples=50, return_details=True)
    >>> details.table.shape, details.n_units.tolist()
    ((3, 2), [20, 20, 20])
    """

    table: Counts
    n_units: Counts
    best: list[Counts]
    draws: Array | None

    def _repr_html_(self) -> str:
        """A card for notebooks: kept units by what predicts them best."""
        n_levels, n_others = self.table.shape
        columns = [f"best {other + 1}" for other in range(n_others)]
        frame = pd.DataFrame(self.table, columns=columns)
        frame.insert(0, "level", range(1, n_levels + 1))
        frame.insert(1, "units", self.n_units)
        frame.insert(2, "kept", self.table.sum(axis=1))
        drawn = None if self.draws is None else len(self.draws)
        return card("HierarchyDetails", {"random selections of levels": drawn}, frame)


def brain_hierarchy_score(
    accuracies: Sequence[ArrayLike],
    *,
    n_samples: int,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
    n_layers: int | None = None,
    n_draws: int = 100,
    random_state: int | RandomState | None = None,
    return_details: bool = False,
) -> float | tuple[float, HierarchyDetails]:
    r"""Rank correlation of two hierarchies, over units and what predicts each of them best.

    Parameters
    ----------
    accuracies : sequence of array-like of shape (n_others, n_units) or (n_others, ...)
        One array for each level of one hierarchy, in order: accuracies (Pearson correlations of
        predictions with data) of its units, from each level of the other hierarchy, in order.
        Decoding: for each layer (brain areas, units). Encoding: for each brain area (layers,
        voxels). Several subjects: see `pool_subjects`. NaN is no accuracy, and counts as 0.
    n_samples : int
        Number of test samples (images) behind each accuracy, 3 or more.
    alpha : float, default=0.05
        A unit is kept if the p-value of its best accuracy is smaller.
    test : {"published", "t"}, default="published"
        How p-values are computed (see `hierarchy_p_values`). ``"published"`` gives the
        scores of the paper, but drops the best predicted units; ``"t"`` is the standard test.
    adjust : {"sidak"} or None, default=None
        Adjust the p-value for having chosen the best of several levels, after Šidák. None tests
        the best as if it were the only one, as the paper does: of five brain areas that predict
        nothing, the best is then significant for 12% of units at the level .05.
    n_layers : int, default=None
        Score random selections of so many levels, each of the first, the last and others drawn
        between them, in order; the result is their mean. The paper does this with 5 layers
        for decoding, to compare networks of different depth. None scores all levels.
    n_draws : int, default=100
        Number of random selections.
    random_state : int, RandomState instance or None, default=None
        Seeds the random selections.
    return_details : bool, default=False
        Whether to return what the score was computed from as well.

    Returns
    -------
    score : float
        Spearman's correlation, between -1 and 1, of the number of a unit's level with that of
        the level of the other hierarchy that is best for it. NaN where there is none.
    details : HierarchyDetails
        Only with `return_details`.

    Raises
    ------
    ValueError
        If the arrays do not have equally many rows, an accuracy is no correlation, a parameter
        is out of range, or there are so few samples that nothing can pass the published test
        (fewer than 20 at the level .05).

    Warns
    -----
    UserWarning
        If no unit is kept, or all that are kept share a level, so that the score is NaN; with the
        number of units that the published test drops because they are predicted too well; with
        the score that the qualities of layers and areas give alone, where that is above .1 and
        most of the score.

    See Also
    --------
    hierarchy_permutation_test : What the score would be without a hierarchy.
    pool_subjects : Units of several subjects side by side.
    bootstrap_hierarchy_score : An interval for the score.
    top_level_table : The proportions behind it.

    Notes
    -----
    For each unit the best level is that of its highest accuracy, the first of equal ones; the
    unit is kept if this accuracy is above zero and significant. The score needs only the counts
    of kept units by level and best level, in which equal ranks are averaged.

    References
    ----------
    Nonaka, S., Majima, K., Aoki, S. C., & Kamitani, Y. (2021). Brain hierarchy score: Which deep
    neural networks are hierarchically brain-like? iScience, 24(9), 103013.

    Examples
    --------
    Three layers of two units, decoded from two brain areas; the first layer is decoded best from
    the first area, the last from the second.

    >>> from skdnn.encoding import brain_hierarchy_score
    >>> layers = [[[0.6, 0.5], [0.4, 0.4]], [[0.6, 0.4], [0.5, 0.5]], [[0.3, 0.4], [0.5, 0.6]]]
    >>> round(brain_hierarchy_score(layers, n_samples=50), 3)
    0.816
    """
    levels = check_accuracies(accuracies)
    rule = UnitsThatCount(n_samples, alpha, test, adjust)
    rule.warn_of_dropped(levels)
    best = [best_levels(level, rule) for level in levels]
    table = np.stack([count(codes, len(levels[0])) for codes in best])
    draws = None
    if n_layers is None:
        score = spearman(table)
        if np.isnan(score):
            warn_of_nan(table)
        else:
            _warn_of_qualities(score, int(table.sum()), levels, rule)
    else:
        chosen = _draw_levels(len(table), n_layers, n_draws, check_random_state(random_state))
        draws = np.array([spearman(table[levels]) for levels in chosen])
        score = _mean_of_draws(draws, table)
    if not return_details:
        return score
    n_units = np.array([len(codes) for codes in best], dtype=np.int64)
    return score, HierarchyDetails(table, n_units, best, draws)


def top_level_table(
    accuracies: Sequence[ArrayLike],
    level_names: Sequence[str] | None = None,
    other_names: Sequence[str] | None = None,
    *,
    n_samples: int,
    alpha: float = 0.05,
    test: str = "published",
    adjust: str | None = None,
) -> pd.DataFrame:
    """Which level is best for how many units of each level.

    Parameters
    ----------
    accuracies : sequence of array-like of shape (n_others, n_units) or (n_others, ...)
        As `brain_hierarchy_score` takes them.
    level_names : sequence of str, default=None
        Names of the levels of the list (layers, for decoding). None: their numbers.
    other_names : sequence of str, default=None
        Names of the levels in the rows of the arrays (brain areas, for decoding).
    n_samples : int
        Number of test samples behind each accuracy.
    alpha : float, default=0.05
        A unit is kept if the p-value of its best accuracy is smaller.
    test : {"published", "t"}, default="published"
        How p-values are computed.
    adjust : {"sidak"} or None, default=None
        As in `brain_hierarchy_score`.

    Returns
    -------
    table : DataFrame
        A row for each level and each level of the other hierarchy, in order, with columns
        ``level`` and ``best`` (names), ``n_best`` (kept units for which it is the best),
        ``proportion`` (their share of the kept units of this level; NaN if none is), ``n_kept``
        and ``n_units`` (of the level).

    Raises
    ------
    ValueError
        As `brain_hierarchy_score`, and if names are too few or too many.

    See Also
    --------
    brain_hierarchy_score : The number that sums it up.
    BrainHierarchyScore : Draws the shares.

    Examples
    --------
    >>> from skdnn.encoding import top_level_table
    >>> layers = [[[0.6, 0.5], [0.4, 0.4]], [[0.3, 0.4], [0.5, 0.2]]]
    >>> table = top_level_table(layers, ["conv1", "fc8"], ["V1", "HVC"], n_samples=50)
    >>> table.pivot(index="level", columns="best", values="proportion")[["V1", "HVC"]]
    best    V1  HVC
    level
    conv1  1.0  0.0
    fc8    0.5  0.5
    """
    levels = check_accuracies(accuracies)
    rule = UnitsThatCount(n_samples, alpha, test, adjust)
    names = _check_names("level_names", level_names, len(levels))
    others = _check_names("other_names", other_names, len(levels[0]))
    rows = []
    for name, level in zip(names, levels, strict=True):
        counts = count(best_levels(level, rule), len(others))
        kept = int(counts.sum())
        for other, kept_there in zip(others, counts.tolist(), strict=True):
            share = kept_there / kept if kept else np.nan
            rows.append((name, other, kept_there, share, kept, level.shape[1]))
    columns = ["level", "best", "n_best", "proportion", "n_kept", "n_units"]
    return pd.DataFrame(rows, columns=columns)


def _check_names(parameter: str, names: Sequence[str] | None, n: int) -> list:
    if names is None:
        return list(range(n))
    if len(names) != n or len(set(names)) != n:
        raise ValueError(f"{parameter} has {len(names)} names: give {n} different ones.")
    return list(names)


def spearman(table: NDArray) -> float:
    """Spearman's correlation of the numbers of row and column, from their counts."""
    total = table.sum()
    if (table.any(axis=1).sum() < 2) or (table.any(axis=0).sum() < 2):
        return np.nan
    rows, columns = (_centred_ranks(table.sum(axis=axis)) for axis in (1, 0))
    covariance = rows @ (table / total) @ columns
    variances = [
        (table.sum(axis=axis) / total) @ ranks**2 for axis, ranks in ((1, rows), (0, columns))
    ]
    return float(np.clip(covariance / np.sqrt(variances[0] * variances[1]), -1, 1))


def _centred_ranks(counts: NDArray) -> Array:
    """Mean rank of each group of equal values, minus the mean of all, as a share of their number.

    Groups are in order, and the rank of one is the number below it and half its own.
    """
    return (np.cumsum(counts) - counts / 2) / counts.sum() - 0.5


def _warn_of_qualities(
    score: float, n_kept: int, levels: Sequence[Array], rule: UnitsThatCount
) -> None:
    """Say what the score is without anything that layers and areas have together."""
    if min(len(levels), len(levels[0])) < LEAST or score < _MUCH:
        return
    bare = moved(levels, -beside_qualities(levels))
    table = count_best(bare, rule)
    if table.sum() < n_kept / 2:  # what layers and areas have together makes units significant
        return
    alone = spearman(table)
    if alone > max(_MUCH, _MOST * score):
        warnings.warn(
            f"Of the brain hierarchy score, {score:.3f}, the qualities of layers and areas alone "
            f"give {alone:.3f}, without any hierarchy: test it with hierarchy_permutation_test.",
            UserWarning,
            stacklevel=3,
        )


def warn_of_nan(table: NDArray) -> None:
    if not table.any():
        why = "no unit has a best accuracy that is positive and significant"
    else:
        side = "list" if table.any(axis=1).sum() < 2 else "arrays' rows"
        why = f"all {table.sum()} units that are kept share one level of the {side}"
    warnings.warn(f"The brain hierarchy score is NaN: {why}.", UserWarning, stacklevel=3)


def _draw_levels(n: int, n_layers: int, n_draws: int, rng: RandomState) -> list[NDArray[np.intp]]:
    """Selections of the first level, the last, and others between them, in order."""
    if not 2 <= n_layers <= n:
        raise ValueError(f"n_layers={n_layers} must be 2 at least, and {n} (all levels) at most.")
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws} must be 1 at least.")
    found = []
    for _ in range(n_draws):
        between = rng.permutation(np.arange(1, n - 1))[: n_layers - 2]
        found.append(np.concatenate([[0], np.sort(between), [n - 1]]).astype(np.intp))
    return found


def _mean_of_draws(draws: Array, table: NDArray) -> float:
    """Mean over the selections that have a score."""
    known = draws[~np.isnan(draws)]
    if len(known) == 0:
        warn_of_nan(table)
        return np.nan
    if len(known) < len(draws):
        warnings.warn(
            f"{len(draws) - len(known)} of {len(draws)} selections of layers have no score, "
            "because the units that are kept share one level: the mean is over the others.",
            UserWarning,
            stacklevel=3,
        )
    return float(known.mean())
