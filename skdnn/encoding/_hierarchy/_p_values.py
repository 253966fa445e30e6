"""Significance of accuracies: the standard test, and the one published with the score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]

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
