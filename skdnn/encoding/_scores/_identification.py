"""Identification: whether an image can be told from others by the pattern predicted for it."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from skdnn._array_blocks import Array
from skdnn.encoding._scores._measured_and_predicted import read_pair
from skdnn.encoding._scores._patterns import Patterns, finite_targets
from skdnn.encoding._shared_checks import Flags

_METRICS = ("correlation", "cosine", "euclidean")


def identification_accuracy(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    metric: str = "correlation",
    n_candidates: int | str = 2,
    average: bool = True,
) -> Any:
    r"""How often an image is identified among others by its predicted pattern.

    Parameters
    ----------
    y_true : array-like of shape (n_images, ...)
        Measured patterns. It may be a lazy two-dimensional array.
    y_pred : array-like of the same shape
        Predicted patterns.
    metric : {"correlation", "cosine", "euclidean"}, default="correlation"
        How similar a predicted and a measured pattern are; the nearest in Euclidean distance is
        the most similar.
    n_candidates : int or "all", default=2
        Size of the set that the image is to be found in, itself included. 2 is pairwise
        identification; ``"all"`` takes all images.
    average : bool, default=True
        Return the mean over images.

    Returns
    -------
    accuracy : float or ndarray of shape (n_images,)
        Mean, or one accuracy for each image. Chance is ``1 / n_candidates``.

    Raises
    ------
    ValueError
        If the shapes differ, no target is a number throughout, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        If targets are left out because of NaN, or images because their measured pattern is
        constant.

    See Also
    --------
    pattern_correlation : The similarity of each image's own two patterns.

    Notes
    -----
    Let the measured patterns of :math:`b` of the :math:`M` other images be less similar to the
    prediction than the image's own. Pairwise accuracy is :math:`b / M`. The probability to be the
    most similar one among :math:`c` others drawn without replacement, which others estimate by
    drawing, is exactly

    .. math:: \binom{b}{c} / \binom{M}{c}, \qquad c = \text{n\_candidates} - 1 .

    Ties are broken by chance: of :math:`e` images that are as similar, half count in pairs, and
    the probability becomes
    :math:`[\binom{b + e + 1}{c + 1} - \binom{b}{c + 1}] / [(e + 1) \binom{M}{c}]`.

    A target with NaN or infinity for any image is left out. An image whose measured pattern is
    constant has no correlation (all zero: no cosine): it is NaN, left out of the mean, and no
    candidate for the others. A prediction that is constant identifies nothing: all candidates
    tie, and the accuracy is that of chance.

    References
    ----------
    Kay, K. N., Naselaris, T., Prenger, R. J., & Gallant, J. L. (2008). Identifying natural images
    from human brain activity. Nature, 452, 352-355.

    Horikawa, T., & Kamitani, Y. (2017). Generic decoding of seen and imagined objects using
    hierarchical visual features. Nature Communications, 8, 15037.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import identification_accuracy
    >>> rng = np.random.default_rng(0)
    >>> measured = rng.normal(size=(50, 100))
    >>> predicted = measured + 5 * rng.normal(size=(50, 100))
    >>> round(identification_accuracy(measured, predicted), 2)
    0.92
    >>> round(identification_accuracy(measured, predicted, n_candidates="all"), 2)
    0.4
    """
    if metric not in _METRICS:
        raise ValueError(f"metric must be one of {_METRICS}, got {metric!r}.")
    pair = read_pair(y_true, y_pred)
    kept = finite_targets(pair, stacklevel=2)
    if not kept.any():
        raise ValueError(f"None of the {pair.shape[1]} targets is a number for every image.")
    usable = np.ones(pair.shape[0], dtype=bool)
    patterns = Patterns(pair, kept, metric)
    if metric != "euclidean":
        usable = ~patterns.constant[0]
    others = int(usable.sum()) - 1
    drawn = _n_drawn(n_candidates, others)
    accuracy = np.full(pair.shape[0], np.nan)
    for some, similarity in patterns.similarities():
        worse, ties = _compare(similarity, some, usable, patterns.tie)
        accuracy[some] = np.where(usable[some], _probability(worse, ties, others, drawn), np.nan)
    if not usable.all():
        warnings.warn(
            f"{(~usable).sum()} of {len(usable)} images have a constant measured pattern: they "
            "are not identified, and no candidates.",
            RuntimeWarning,
            stacklevel=2,
        )
    return float(accuracy[usable].mean()) if average else accuracy


def _n_drawn(n_candidates: int | str, others: int) -> int:
    """Candidates beside the image itself."""
    if others < 1:
        raise ValueError(f"{others + 1} image with a pattern is left: at least 2 are needed.")
    if isinstance(n_candidates, str) and n_candidates == "all":
        return others
    whole = isinstance(n_candidates, Integral) and not isinstance(n_candidates, bool)
    if not whole or not 2 <= int(n_candidates) <= others + 1:
        raise ValueError(
            f"n_candidates must be 'all' or an integer from 2 to the number of images with a "
            f"pattern, {others + 1}; got {n_candidates!r}."
        )
    return int(n_candidates) - 1


def _compare(similarity: Array, rows: slice, usable: Flags, tie: float) -> tuple[Array, Array]:
    """How many other usable images are less similar than the own one, and how many as similar."""
    own = np.diagonal(similarity, rows.start)[:, None]
    worse = ((similarity < own - tie) & usable).sum(axis=1)
    equal = ((np.abs(similarity - own) <= tie) & usable).sum(axis=1) - usable[rows]
    return worse.astype(np.float64), equal.astype(np.float64)


def _probability(worse: Array, ties: Array, others: int, drawn: int) -> Array:
    """That the own image is the most similar one among `drawn` of the `others`."""
    if drawn == 1:
        return (worse + ties / 2) / others
    total = _log_binomial(others, drawn)
    alone = np.exp(_log_binomial(worse, drawn) - total)
    upper = np.exp(_log_binomial(worse + ties + 1, drawn + 1) - total)
    lower = np.exp(_log_binomial(worse, drawn + 1) - total)
    return np.where(ties == 0, alone, (upper - lower) / (ties + 1))


def _log_binomial(n: Any, k: int) -> Any:
    n = np.asarray(n, dtype=np.float64)
    top = np.maximum(n, k)  # where n < k there is none
    found = gammaln(top + 1) - gammaln(k + 1) - gammaln(top - k + 1)
    return np.where(n >= k, found, -np.inf)
