"""p-values adjusted for the number of tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

Array = NDArray[np.float64]

ADJUSTMENTS = ("holm", "fdr", None)


def check_adjust(adjust: str | None) -> str | None:
    """`adjust` if it is known, else ValueError."""
    if adjust not in ADJUSTMENTS:
        raise ValueError(
            f"adjust={adjust!r} is not known: 'holm' holds the chance of any false positive, "
            "'fdr' the expected share of false ones among the positives, None changes nothing."
        )
    return adjust


def adjusted(p_values: ArrayLike, adjust: str | None) -> Array:
    """p-values adjusted by Holm (1979) or Benjamini and Hochberg (1995); NaN are no tests."""
    check_adjust(adjust)
    p = np.array(p_values, dtype=np.float64)
    tests = ~np.isnan(p)
    if adjust == "holm" and tests.any():
        p[tests] = _holm(p[tests])
    elif adjust == "fdr" and tests.any():
        p[tests] = false_discovery_control(p[tests])
    return p


def _holm(p: Array) -> Array:
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(steps, 1)
    return out
