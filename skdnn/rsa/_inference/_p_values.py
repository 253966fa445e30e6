"""p-values: by Student's t, and as the share of permutations that are as extreme."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

# Of a test, and the signs with which its statistic is large.
SIDES = {"greater": (1,), "less": (-1,), "two-sided": (1, -1)}
ALTERNATIVES = tuple(SIDES)


def check_alternative(alternative: str, known: tuple[str, ...] = ALTERNATIVES) -> None:
    """Raise ValueError for a side of a test that is not known."""
    if alternative not in known:
        raise ValueError(
            f"alternative={alternative!r} is not known: choose one of {', '.join(known)}."
        )


def t_test(values: Array, errors: Array, dof: Array, alternative: str) -> Array:
    """p-values of values over their standard errors; NaN where there is no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = values / errors
    if alternative == "two-sided":
        return 2 * stats.t.sf(np.abs(t), dof)
    return stats.t.sf(t if alternative == "greater" else -t, dof)


def turned(
    null: Array, observed: Array, alternative: str, centre: Any = 0.0
) -> tuple[Array, Array]:
    """Both with signs such that larger is more extreme; two-sided: far from the centre."""
    if alternative == "less":
        return -null, -observed
    if alternative == "two-sided":
        return np.abs(null - centre), np.abs(observed - centre)
    return null, observed


def share_as_extreme(null: Array, observed: Array, rounding: Any, every: bool) -> Array:
    """Share of the rows of `null` that reach what was observed, but for rounding.

    Unless `null` holds `every` permutation, it lacks the one that was observed, which counts.
    """
    reached = (null >= observed - rounding).sum(axis=0) + (not every)
    return reached / (len(null) + (not every))
