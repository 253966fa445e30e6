"""Significance and uncertainty of scores, for each voxel or unit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import factorial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr
from sklearn.utils import check_random_state

from skdnn._array_blocks import Array
from skdnn._html import with_card
from skdnn._multiple_tests import adjusted
from skdnn.encoding._scores._correlation import correlations, determinations, explained_variances
from skdnn.encoding._scores._measured_and_predicted import (
    OK,
    BlockScore,
    centre,
    read_pair,
    score_targets,
    warn_undefined,
)

_ALTERNATIVES = ("greater", "less", "two-sided")
# Values in a block whose rows are permuted again and again: it stays in the cache.
_PERMUTED = 2**16
# Correlations that differ by less are the same.
_TIE = 1e-12
# Fewer orders of blocks than these cannot be significant at .05.
_LEAST_ORDERS = 20


def score_p_values(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    n_permutations: int = 1000,
    alternative: str = "greater",
    adjust: str | None = "fdr",
    random_state: Any = None,
    n_jobs: int | None = None,
    blocks: int | ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Permutation test of predictions, for each target.

    Parameters
    ----------
    y_true : array-like of shape (n_images,) or (n_images, ...)
        Measured values of images that no model was fitted to. It may be a lazy two-dimensional
        array.
    y_pred : array-like of the same shape
        Predicted values.
    n_permutations : int, default=1000
        Number of random orders of the images.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        Which correlations speak against the null hypothesis.
    adjust : {"fdr"} or None, default="fdr"
        Adjust for the number of targets: ``"fdr"`` is the procedure of Benjamini and Hochberg.
        None returns the p-values of the single tests.
    random_state : int, RandomState instance or None, default=None
        Seed of the orders. All targets see the same orders.
    n_jobs : int, default=None
        Threads that share the targets.
    blocks : int or array-like of shape (n_images,), default=None
        For rows in the order of time, whose neighbours are alike: what is permuted as a whole. An
        int is the length of successive blocks (the last may be shorter), an array says to which
        run each row belongs; the rows of a run must follow each other. None permutes rows.

    Returns
    -------
    p_values : ndarray
        Of float64, with the shape of the targets, (1,) for one-dimensional input.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two images or blocks, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        Once, if targets have no correlation: their p-value is NaN, and they do not count as
        tests. And if there are so few blocks that no p-value can reach .05.

    See Also
    --------
    correlation_p_values : From the t distribution; no permutations.
    bootstrap_scores : How precise a score is.

    Notes
    -----
    Under the null hypothesis that the measured values of a target are exchangeable over images,
    whatever was predicted,

    .. math:: p = \frac{1 + \#\{k : r(\pi_k y, \hat y) \ge r(y, \hat y)\}}{1 + K}.

    *One test for all scores.* A new order changes neither variance, only the sum of products, on
    which the correlation, R² and explained variance all depend in the same direction: with
    ``alternative="greater"`` their p-values are the same numbers.

    With 1000 permutations no p-value is below .001; of 10,000 targets at least 200 must reach it
    to survive the adjustment at .05.

    *Rows in time.* Neighbours that share a slow signal, in the data and in the predictions, are
    not exchangeable. Of unrelated series of 240 rows that are autoregressive by .8, both the
    measured and the predicted, row permutations find .213 at alpha .05; ``blocks`` of 10, 20 and
    40 rows .073, .056 and .058, ten runs of unequal lengths .056 (2,000 series; standard error
    .005). Blocks must be several times as long as the signal's memory, and some eight or
    more: b blocks have b! orders. Averages of repeats, shown in random orders, need none.

    References
    ----------
    Phipson, B., & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical
    Applications in Genetics and Molecular Biology, 9(1), 39.

    Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate. Journal of the
    Royal Statistical Society B, 57(1), 289-300.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import score_p_values
    >>> rng = np.random.default_rng(0)
    >>> measured = rng.normal(size=(40, 3))
    >>> predicted = rng.normal(size=(40, 3)) + [2, 0, 0] * measured
    >>> score_p_values(measured, predicted, random_state=0).round(3)
    array([0.003, 0.076, 0.638])
    """
    _check_alternative(alternative)
    check_adjust(adjust)
    _check_count(n_permutations, "n_permutations")
    pair = read_pair(y_true, y_pred)
    n_rows, n_targets = pair.shape
    rng = check_random_state(random_state)
    orders = _orders(n_rows, n_permutations, blocks, rng)
    p_values, states = np.empty(n_targets), np.empty(n_targets, dtype=np.int8)

    def test(columns: slice, true: Array, pred: Array) -> None:
        observed, states[columns] = correlations(true, pred, None, pair.tolerance)
        extreme = count_extreme(true, pred, observed, orders, alternative)
        p_values[columns] = (1 + extreme) / (1 + n_permutations)

    step = max(8, _PERMUTED // n_rows)
    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(test)(*block) for block in pair.blocks(step)
    )
    p_values[states != OK] = np.nan
    warn_undefined(states, "p-value", stacklevel=2)
    return adjusted(p_values, adjust).reshape(pair.target_shape)


def _orders(n_rows: int, n_permutations: int, blocks: Any, rng: Any) -> NDArray[np.intp]:
    """Random orders of the rows, or of whole blocks of them."""
    if blocks is None:
        return np.stack([rng.permutation(n_rows) for _ in range(n_permutations)])
    parts = _blocks_of(blocks, n_rows)
    if factorial(len(parts)) < _LEAST_ORDERS:
        warnings.warn(
            f"blocks= gives {len(parts)} blocks, which have {factorial(len(parts))} orders: no "
            f"p-value is below {1 / factorial(len(parts)):.3f}. Take more and shorter blocks.",
            RuntimeWarning,
            stacklevel=3,
        )
    return np.stack([
        np.concatenate([parts[k] for k in rng.permutation(len(parts))])
        for _ in range(n_permutations)
    ])  # fmt: skip


def _blocks_of(blocks: Any, n_rows: int) -> list[NDArray[np.intp]]:
    """Rows of each block."""
    rows = np.arange(n_rows)
    if np.ndim(blocks) == 0:
        _check_count(blocks, "blocks")
        ends = np.arange(int(blocks), n_rows, int(blocks))
    else:
        runs = np.asarray(blocks)
        if runs.shape != (n_rows,):
            raise ValueError(
                f"blocks has shape {runs.shape}: give a run for each of {n_rows} rows."
            )
        ends = np.flatnonzero(runs[1:] != runs[:-1]) + 1
        if len(np.unique(runs)) != len(ends) + 1:
            raise ValueError(
                "blocks= holds a run whose rows do not follow each other: sort y_true, y_pred and "
                "blocks by run and time."
            )
    if not len(ends):
        raise ValueError(f"blocks={blocks!r} makes one block of {n_rows} rows: two are the least.")
    return np.split(rows, ends)


def count_extreme(
    true: Array, pred: Array, observed: Array, orders: NDArray[np.intp], alternative: str
) -> NDArray[np.int64]:
    """In how many orders of the centred `true` the correlation is as extreme as observed.

    Both blocks are overwritten.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        for block in (true, pred):
            block /= np.sqrt(np.einsum("ij,ij->j", block, block))
    count = np.zeros(true.shape[1], dtype=np.int64)
    shuffled = np.empty_like(true)
    sign = -1.0 if alternative == "less" else 1.0
    limit = (np.abs(observed) if alternative == "two-sided" else sign * observed) - _TIE
    for order in orders:
        np.take(true, order, axis=0, out=shuffled, mode="clip")
        r = sign * np.einsum("ij,ij->j", shuffled, pred)
        count += (np.abs(r) if alternative == "two-sided" else r) >= limit
    return count


def correlation_p_values(
    correlation: ArrayLike,
    n_images: int,
    *,
    alternative: str = "greater",
    adjust: str | None = "fdr",
) -> NDArray[np.float64]:
    r"""Significance of Pearson correlations by the t distribution.

    Parameters
    ----------
    correlation : array-like
        Correlations, of any shape; NaN stays NaN.
    n_images : int
        Number of images that each of them was computed from, at least 3.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        Which correlations speak against the null hypothesis.
    adjust : {"fdr"} or None, default="fdr"
        Adjust for the number of targets, see :func:`score_p_values`.

    Returns
    -------
    p_values : ndarray
        Of float64 and the same shape.

    Raises
    ------
    ValueError
        If a correlation is outside of [-1, 1] or a parameter is invalid.

    See Also
    --------
    score_p_values : By permutation.
    scipy.stats.pearsonr : The same for one pair of vectors.

    Notes
    -----
    :math:`t = r \sqrt{(n - 2) / (1 - r^2)}` with :math:`n - 2` degrees of freedom, exact for
    independent normal values. Averages of repeats are nearly normal, rectified units are not.

    Examples
    --------
    >>> from skdnn.encoding import correlation_p_values
    >>> correlation_p_values([0.3, 0.1], n_images=50, adjust=None).round(4)
    array([0.0171, 0.2448])
    """
    _check_alternative(alternative)
    check_adjust(adjust)
    _check_count(n_images, "n_images", 3)
    r = np.asarray(correlation, dtype=np.float64)
    if (np.abs(r) > 1 + _TIE).any():
        raise ValueError("correlation must lie between -1 and 1.")
    with np.errstate(divide="ignore"):
        t = r * np.sqrt((n_images - 2) / np.maximum(1 - r**2, 0))
    if alternative == "two-sided":
        p_values = 2 * stdtr(n_images - 2, -np.abs(t))
    else:
        p_values = stdtr(n_images - 2, -t if alternative == "greater" else t)
    return adjusted(p_values, adjust)


@with_card
class ScoreInterval(NamedTuple):
    """Percentile interval of scores and their standard error: a named tuple of arrays.

    Attributes
    ----------
    lower, upper : ndarray of shape (n_targets,)
        Bounds of the interval.
    standard_error : ndarray of shape (n_targets,)
        Standard deviation of the score over the samples.

    See Also
    --------
    bootstrap_scores : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import bootstrap_scores
    >>> y = np.arange(20.0).reshape(10, 2)
    >>> interval = bootstrap_scores(y, y, n_bootstraps=20, random_state=0)
    >>> interval.lower
    array([1., 1.])
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def bootstrap_scores(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    score: str = "correlation",
    n_bootstraps: int = 1000,
    confidence_level: float = 0.95,
    random_state: Any = None,
) -> ScoreInterval:
    """Bootstrap interval of a score over images, for each target.

    Parameters
    ----------
    y_true : array-like of shape (n_images,) or (n_images, ...)
        Measured values. It may be a lazy two-dimensional array.
    y_pred : array-like of the same shape
        Predicted values.
    score : {"correlation", "r2", "explained_variance"}, default="correlation"
        Which score.
    n_bootstraps : int, default=1000
        Number of samples of images, drawn with replacement; all targets see the same ones.
    confidence_level : float, default=0.95
        Share of the samples inside of the interval.
    random_state : int, RandomState instance or None, default=None
        Seed of the samples.

    Returns
    -------
    interval : ScoreInterval
        Named tuple ``(lower, upper, standard_error)`` of float64 arrays with the shape of the
        targets, (1,) for one-dimensional input.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two images, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        Once, if targets have no score; theirs is NaN.

    See Also
    --------
    score_p_values : Test against no relation at all.

    Notes
    -----
    The model is not fitted again: the interval is about other images of the same kind, given
    this model. A sample in which a target does not vary is left out for it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import bootstrap_scores
    >>> rng = np.random.default_rng(0)
    >>> measured = rng.normal(size=(100, 1))
    >>> interval = bootstrap_scores(measured, measured + rng.normal(size=(100, 1)), random_state=0)
    >>> interval.lower.round(2), interval.upper.round(2)
    (array([0.65]), array([0.8]))
    """
    if score not in _BOOTSTRAPS:
        raise ValueError(f"score must be one of {tuple(_BOOTSTRAPS)}, got {score!r}.")
    _check_count(n_bootstraps, "n_bootstraps")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level must lie between 0 and 1, got {confidence_level!r}.")
    pair = read_pair(y_true, y_pred)
    n_rows, n_targets = pair.shape
    rng = check_random_state(random_state)
    weights = rng.multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=n_bootstraps) / n_rows
    block_score, resample = _BOOTSTRAPS[score]
    _, states = score_targets(pair, None, block_score)
    tails = (1 - confidence_level) / 2, (1 + confidence_level) / 2
    found = np.full((3, n_targets), np.nan)
    for columns, true, pred in pair.blocks():
        use = states[columns] == OK
        if use.any():
            samples = resample(true[:, use], pred[:, use], weights)
            places = np.arange(n_targets)[columns][use]
            found[:2, places] = _quantiles(samples, tails)
            found[2, places] = np.nanstd(samples, axis=0, ddof=1)
    warn_undefined(states, score, stacklevel=2)
    return ScoreInterval(*(part.reshape(pair.target_shape) for part in found))


def _quantiles(samples: Array, tails: tuple[float, float]) -> Array:
    if np.isnan(samples).any():
        return np.nanquantile(samples, tails, axis=0)
    return np.quantile(samples, tails, axis=0)


def _resampled_correlations(true: Array, pred: Array, weights: Array) -> Array:
    """Correlation of each column (columns of the result) in each sample (rows)."""
    centre(true, None), centre(pred, None)
    covariance = weights @ (true * pred) - (weights @ true) * (weights @ pred)
    return covariance / np.sqrt(_variances(true, weights) * _variances(pred, weights))


def _resampled_r2(true: Array, pred: Array, weights: Array) -> Array:
    residual = weights @ (true - pred) ** 2
    centre(true, None)
    return 1 - residual / _variances(true, weights)


def _resampled_explained(true: Array, pred: Array, weights: Array) -> Array:
    residual = true - pred
    centre(true, None), centre(residual, None)
    raw = weights @ residual**2 - (weights @ residual) ** 2
    return 1 - np.maximum(raw, 0) / _variances(true, weights)


def _variances(centred: Array, weights: Array) -> Array:
    """Of each column in each sample; NaN where it does not vary."""
    variance = weights @ centred**2 - (weights @ centred) ** 2
    return np.where(variance > _TIE * np.mean(centred**2, axis=0), variance, np.nan)


Resample = Callable[[Array, Array, Array], Array]
_BOOTSTRAPS: dict[str, tuple[BlockScore, Resample]] = {
    "correlation": (correlations, _resampled_correlations),
    "r2": (determinations, _resampled_r2),
    "explained_variance": (explained_variances, _resampled_explained),
}


def check_adjust(adjust: Any) -> None:
    """Raise if there is no such adjustment."""
    if adjust not in ("fdr", None):
        raise ValueError(f"adjust must be 'fdr' or None, got {adjust!r}.")


def _check_alternative(alternative: Any) -> None:
    if alternative not in _ALTERNATIVES:
        raise ValueError(f"alternative must be one of {_ALTERNATIVES}, got {alternative!r}.")


def _check_count(value: Any, name: str, least: int = 1) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
