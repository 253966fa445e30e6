"""Scores as a share of what the noise in the data allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._array_blocks import Array
from skdnn._html import with_card
from skdnn.encoding._repeats._noise_ceilings import mean_inverse, ncsnr_ceiling

_KINDS = ("r", "r2")
# Below, ratios of estimates are far from 1 for the true model, see the notes.
_MIN_CEILING = 0.1
_CEILINGS = ("reliability", "explainable_variance", "ncsnr", "max_r")


@with_card
class NormalizedScores(NamedTuple):
    """Normalised scores and what became of them: a named tuple; arrays have the scores' shape.

    Attributes
    ----------
    values : ndarray of float64
        Scores over divisors: never clipped, NaN where the data are not reliable.
    above_one : ndarray of bool
        Which values are above 1: chance, or a ceiling that does not belong to these data.
    unreliable : ndarray of bool
        Which were made NaN because of their reliability.
    reliability : ndarray of float64
        Reliability of the data that were scored, from the ceiling.
    divided_by : str
        What scores were divided by, in words.

    See Also
    --------
    normalize_scores : Makes it, with an example.

    Examples
    --------
    >>> from skdnn.encoding import normalize_scores
    >>> normalize_scores([0.3], [0.36]).values
    array([0.5])
    """

    values: NDArray[np.float64]
    above_one: NDArray[np.bool_]
    unreliable: NDArray[np.bool_]
    reliability: NDArray[np.float64]
    divided_by: str

    @property
    def n_targets(self) -> int:
        """Number of scores."""
        return self.values.size

    @property
    def n_unreliable(self) -> int:
        """Number of scores that were made NaN because of their reliability."""
        return int(self.unreliable.sum())

    @property
    def n_above_one(self) -> int:
        """Number of values above 1."""
        return int(self.above_one.sum())


def normalize_scores(
    scores: ArrayLike,
    ceiling: ArrayLike,
    *,
    kind: str = "r",
    ceiling_kind: str = "reliability",
    n_repeats: ArrayLike | None = None,
    min_ceiling: float = _MIN_CEILING,
) -> NormalizedScores:
    r"""Divide scores by what the true model would reach, given the noise in the data.

    Parameters
    ----------
    scores : array-like
        Scores of targets, against data that were measured with noise.
    ceiling : array-like
        What is known of the noise of each target, of the same shape (or one that numpy broadcasts
        to it).
    kind : {"r", "r2"}, default="r"
        What the scores are: correlations, or R² or explained variance.
    ceiling_kind : str, default="reliability"
        What the ceiling is:

        - ``"reliability"`` :math:`\rho` of the data that were scored: of the average of repeats,
          as :func:`split_half_reliability` gives it (with its correction), or
          :func:`ncsnr_ceiling`;
        - ``"explainable_variance"`` of one trial, with the correction of its bias;
        - ``"ncsnr"``, of one trial as always;
        - ``"max_r"``: the highest correlation, :math:`\sqrt\rho`.
    n_repeats : int or array-like of shape (n_images,), default=None
        Number of repeats in the averages that were scored, for the two kinds that are about one
        trial (there it must be given; 1 if single trials were scored).
    min_ceiling : float, default=0.1
        Targets whose reliability :math:`\rho` is not above this are NaN: there the ratio says
        little, see Notes. 0.0 keeps all that are positive.

    Returns
    -------
    normalized : NormalizedScores
        Named tuple ``(values, above_one, unreliable, reliability, divided_by)``, with the counts
        ``n_targets``, ``n_unreliable`` and ``n_above_one``.

    Raises
    ------
    ValueError
        If a parameter is invalid, a ceiling above 1 is no share of variance, or `n_repeats` is
        missing or out of place.

    Warns
    -----
    RuntimeWarning
        If targets are unreliable; and if values are above 1.

    See Also
    --------
    split_half_reliability, explainable_variance, ncsnr : Ceilings.

    Notes
    -----
    Let :math:`\rho = \sigma_s^2 / (\sigma_s^2 + \sigma_n^2 / n)` be the reliability of averages
    of :math:`n` repeats. The true signal correlates with them by :math:`\sqrt\rho` and has an R²
    of :math:`\rho`. So a correlation is divided by the **square root** of the reliability, and R²
    by the reliability itself. Divided by :math:`\rho`, correlations come out too high, by a
    factor of :math:`1 / \sqrt\rho`, and most so in the noisiest voxels.

    The reliability must be that of the data that were scored: of as many repeats, and of the same
    or comparable images. From what is known of one trial it is
    :math:`EV / (EV + (1 - EV) \overline{1/n})` or
    :math:`ncsnr^2 / (ncsnr^2 + \overline{1/n})`.

    The mean over targets is 1 for the true model only if the reliable ones are chosen without
    looking at the scores, and the ratio of two estimates grows wild as :math:`\rho` goes to 0.
    Simulated with 50 to 1,000 images and 2 to 4 repeats, the true model's mean is

    =========== ===================== =====================
    reliability ``min_ceiling=0``     ``min_ceiling=0.1``
    =========== ===================== =====================
    .5          1.00 to 1.07          1.00 to 1.04
    .3          1.01 to 1.18          .99 to 1.03
    .2          1.02 to 1.20          .87 to 1.02
    .1          .94 to 1.19           .67 to .87
    =========== ===================== =====================

    where at .1 half of the targets or more are left out, and without the limit 3 to 38% of them
    have no positive estimate. So targets that are as noisy as the limit are kept only where noise
    made their reliability too high, and come out too low; with few images, take 0.2 or 0.3 and
    report how many are left. Values above 1 are flagged and never clipped, which would make a
    biased mean look sound.

    References
    ----------
    Spearman, C. (1904). The proof and measurement of association between two things. American
    Journal of Psychology, 15(1), 72-101.

    Schoppe, O., Harper, N. S., Willmore, B. D., King, A. J., & Schnupp, J. W. (2016). Measuring
    the performance of neural models. Frontiers in Computational Neuroscience, 10, 10.

    Examples
    --------
    >>> from skdnn.encoding import normalize_scores
    >>> found = normalize_scores([0.3, 0.4], [0.25, 0.64])
    >>> found.values
    array([0.6, 0.5])
    >>> found.divided_by
    'r / sqrt(reliability)'
    >>> found = normalize_scores([0.3, 0.4], [0.5, 1.0], kind="r2", ceiling_kind="ncsnr",
    ...                          n_repeats=4)
    >>> found.reliability, found.values.round(2)
    (array([0.5, 0.8]), array([0.6, 0.5]))
    >>> found.divided_by
    'r2 / reliability, with reliability = ncsnr^2 / (ncsnr^2 + 1/n), mean 1/n = 0.25'
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {_KINDS}, got {kind!r}.")
    reliability, source = _reliability_of(ceiling, ceiling_kind, n_repeats)
    values = np.asarray(scores, dtype=np.float64)
    values, reliability = np.broadcast_arrays(values, reliability)
    with np.errstate(invalid="ignore"):
        unreliable = ~(reliability > max(min_ceiling, 0.0))
        divisor = np.sqrt(reliability) if kind == "r" else reliability
        values = values / np.where(unreliable, np.nan, divisor)
        above = values > 1
    _warn(unreliable, above, min_ceiling)
    text = ("r / sqrt(reliability)" if kind == "r" else "r2 / reliability") + source
    return NormalizedScores(values, above, unreliable, reliability.copy(), text)


def _reliability_of(ceiling: Any, kind: str, n_repeats: Any) -> tuple[Array, str]:
    """Reliability of the data that were scored, and how it came about."""
    if kind not in _CEILINGS:
        raise ValueError(f"ceiling_kind must be one of {_CEILINGS}, got {kind!r}.")
    values = np.asarray(ceiling, dtype=np.float64)
    single_trial = kind in ("explainable_variance", "ncsnr")
    if single_trial != (n_repeats is not None):
        raise ValueError(
            f"ceiling_kind={kind!r} is about one trial: n_repeats must say how many repeats were "
            "averaged in the data that were scored."
            if single_trial
            else f"n_repeats has no meaning for ceiling_kind={kind!r}, which is about the data "
            "that were scored, however many repeats they are averages of."
        )
    if kind != "ncsnr" and (values > 1 + 1e-9).any():
        raise ValueError(
            f"ceiling holds {np.nanmax(values):.4g}: a {kind} is not above 1. Give a share, not "
            "per cent."
        )
    if not single_trial:
        return _FROM[kind](values)
    inverse = mean_inverse(n_repeats)
    if kind == "ncsnr":
        formula, found = "ncsnr^2 / (ncsnr^2 + 1/n)", ncsnr_ceiling(values, n_repeats)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = values / (values + (1 - values) * inverse)
        found = np.where(values > 0, found, np.minimum(values, 0))
        formula = "EV / (EV + (1 - EV) / n)"
    return found, f", with reliability = {formula}, mean 1/n = {inverse:.4g}"


_FROM: dict[str, Callable[[Array], tuple[Array, str]]] = {
    "reliability": lambda values: (values, ""),
    "max_r": lambda values: (
        np.where(values > 0, values**2, np.minimum(values, 0)),
        ", with reliability = max_r^2",
    ),
}


def _warn(unreliable: NDArray[np.bool_], above: NDArray[np.bool_], min_ceiling: float) -> None:
    if unreliable.any():
        warnings.warn(
            f"{unreliable.sum()} of {unreliable.size} targets have a reliability that is NaN or "
            f"not above {max(min_ceiling, 0.0):g} (min_ceiling): their normalised score is NaN.",
            RuntimeWarning,
            stacklevel=3,
        )
    if above.any():
        warnings.warn(
            f"{above.sum()} of {above.size} normalised scores are above 1: by chance, or because "
            "the ceiling is not that of the data that were scored. See above_one.",
            RuntimeWarning,
            stacklevel=3,
        )
