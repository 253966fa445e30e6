"""Scores of predicted responses for each voxel or unit, and for each image."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdnn._array_blocks import Array
from skdnn.encoding._scores._measured_and_predicted import (
    CONSTANT,
    FLAT,
    MISSING,
    OK,
    BlockScore,
    Scored,
    Spread,
    centre,
    read_pair,
    read_weights,
    score_targets,
    spread,
    warn_undefined,
)
from skdnn.encoding._scores._patterns import Patterns, finite_targets

_OUTPUTS = ("uniform_average", "raw_values")


def correlation_score(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str = "uniform_average",
) -> Any:
    r"""Correlation (Pearson's) of measured and predicted values, for each target.

    Parameters
    ----------
    y_true : array-like of shape (n_images,) or (n_images, ...)
        Measured values; what follows the first axis are targets (voxels, units). It may be a lazy
        two-dimensional array (a dataset of h5py).
    y_pred : array-like of the same shape
        Predicted values.
    sample_weight : array-like of shape (n_images,), default=None
        Weight of each image, e.g. its number of repeats.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        The mean over targets, or one score for each of them.

    Returns
    -------
    score : float or ndarray
        A float, or with ``"raw_values"`` a float64 array with the shape of the targets, (1,) for
        one-dimensional input.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two images, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        Once, if targets have no score, with their number and why.

    See Also
    --------
    profile_correlation : The same under its other name.
    pattern_correlation : For each image, across voxels.
    score_p_values : Its significance by permutation.
    normalize_scores : Divides it by what the noise allows.

    Notes
    -----
    With weights :math:`w` that add up to one (:math:`1/n` if none are given) and weighted means,

    .. math:: r = \frac{\sum_i w_i (y_i - \bar y)(\hat y_i - \bar{\hat y})}
        {\sqrt{\sum_i w_i (y_i - \bar y)^2 \sum_i w_i (\hat y_i - \bar{\hat y})^2}}.

    *Undefined targets.* One with NaN or infinity, or constant (a standard deviation below 1e-13
    of the mean, 2.4e-7 if an input is float32), is NaN. The mean over targets leaves out those
    that are NaN or constant in `y_true`, which no model could have scored on, and those whose
    predictions are not numbers. Where only the prediction is constant, the mean counts 0: else a
    model would gain by giving up on difficult voxels.

    Arithmetic is in float64 whatever the input, in blocks of targets.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import correlation_score
    >>> measured = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0]])
    >>> predicted = np.array([[0.1, 0.4], [0.2, 0.8], [0.4, 0.6]])
    >>> correlation_score(measured, predicted, multioutput="raw_values").round(10)
    array([ 1., -1.])

    In scikit-learn's cross-validation:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.metrics import make_scorer
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(60, 5))
    >>> voxels = features @ rng.normal(size=(5, 20)) + 2 * rng.normal(size=(60, 20))
    >>> scorer = make_scorer(correlation_score)
    >>> cross_val_score(Ridge(), features, voxels, scoring=scorer, cv=3).round(2)
    array([0.59, 0.64, 0.67])
    """
    return _score(y_true, y_pred, sample_weight, multioutput, correlations, "correlation")


def profile_correlation(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str = "uniform_average",
) -> Any:
    """Correlation of each target's profile over images: another name of `correlation_score`.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_images,) or (n_images, ...)
        Measured and predicted values.
    sample_weight : array-like of shape (n_images,), default=None
        Weight of each image.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        The mean over targets, or one score for each of them.

    Returns
    -------
    score : float or ndarray
        As :func:`correlation_score` gives it.

    See Also
    --------
    pattern_correlation : The other direction: for each image, across targets.

    Notes
    -----
    The decoding literature calls the vector of one unit's values over images its profile, and
    that of one image's values over units its pattern.

    Examples
    --------
    >>> from skdnn.encoding import profile_correlation
    >>> profile_correlation([1.0, 2.0, 4.0], [0.1, 0.2, 0.4])
    1.0
    """
    return _score(y_true, y_pred, sample_weight, multioutput, correlations, "correlation")


def r2_score(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str = "uniform_average",
) -> Any:
    r"""Coefficient of determination, for each target.

    Parameters
    ----------
    y_true : array-like of shape (n_images,) or (n_images, ...)
        Measured values; what follows the first axis are targets. It may be a lazy
        two-dimensional array.
    y_pred : array-like of the same shape
        Predicted values.
    sample_weight : array-like of shape (n_images,), default=None
        Weight of each image.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        The mean over targets, or one score for each of them.

    Returns
    -------
    score : float or ndarray
        A float, or with ``"raw_values"`` a float64 array with the shape of the targets.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two images, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        Once, if targets have no score, with their number and why.

    See Also
    --------
    sklearn.metrics.r2_score : The same for targets that are not constant.
    explained_variance_score : Does not punish a wrong mean.

    Notes
    -----
    .. math:: R^2 = 1 - \frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i (y_i - \bar y)^2},

    with the mean of the images that are scored. It equals scikit-learn's, except that a target
    that is constant, or not a number somewhere, is NaN here (there 0 or 1, or an error); such
    targets are left out of the mean over targets. What counts as constant is said at
    :func:`correlation_score`.

    Examples
    --------
    >>> from skdnn.encoding import r2_score
    >>> r2_score([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    0.625
    """
    return _score(y_true, y_pred, sample_weight, multioutput, determinations, "R²")


def explained_variance_score(
    y_true: ArrayLike | Any,
    y_pred: ArrayLike | Any,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str = "uniform_average",
) -> Any:
    r"""Share of the variance that the prediction explains, for each target.

    Parameters
    ----------
    y_true : array-like of shape (n_images,) or (n_images, ...)
        Measured values; what follows the first axis are targets. It may be a lazy
        two-dimensional array.
    y_pred : array-like of the same shape
        Predicted values.
    sample_weight : array-like of shape (n_images,), default=None
        Weight of each image.
    multioutput : {"uniform_average", "raw_values"}, default="uniform_average"
        The mean over targets, or one score for each of them.

    Returns
    -------
    score : float or ndarray
        A float, or with ``"raw_values"`` a float64 array with the shape of the targets.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two images, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        Once, if targets have no score, with their number and why.

    See Also
    --------
    sklearn.metrics.explained_variance_score : The same for targets that are not constant.
    explainable_variance : How much there is to explain.

    Notes
    -----
    .. math:: 1 - \operatorname{var}(y - \hat y) / \operatorname{var}(y).

    Targets that are constant or not numbers are treated as in :func:`r2_score`.

    Examples
    --------
    >>> from skdnn.encoding import explained_variance_score
    >>> explained_variance_score([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    1.0
    """
    what = "explained variance"
    return _score(y_true, y_pred, sample_weight, multioutput, explained_variances, what)


def pattern_correlation(
    y_true: ArrayLike | Any, y_pred: ArrayLike | Any, *, average: bool = True
) -> Any:
    """Correlation of measured and predicted patterns, for each image across targets.

    Parameters
    ----------
    y_true : array-like of shape (n_images, ...)
        Measured values, two targets (voxels, units) or more. It may be a lazy two-dimensional
        array.
    y_pred : array-like of the same shape
        Predicted values.
    average : bool, default=True
        Return the mean over images.

    Returns
    -------
    score : float or ndarray of shape (n_images,)
        Mean, or one correlation for each image.

    Raises
    ------
    ValueError
        If the shapes differ or fewer than two targets are numbers throughout.

    Warns
    -----
    RuntimeWarning
        If targets are left out because of NaN, or images have a constant pattern.

    See Also
    --------
    profile_correlation : For each target, across images.
    identification_accuracy : Whether the image can be told from others by its pattern.

    Notes
    -----
    A target with NaN or infinity for any image is left out for all of them. An image whose
    measured pattern is constant is NaN and left out of the mean; one whose predicted pattern is
    constant is NaN and counts 0, as in :func:`correlation_score`.

    Patterns share what all images have in common: the mean pattern alone often correlates highly
    with each of them. Subtract the mean of the training images from each target of both, or
    standardise it, if the correlation is to be about differences between images.

    Examples
    --------
    >>> from skdnn.encoding import pattern_correlation
    >>> pattern_correlation([[1.0, 2.0, 4.0], [5.0, 3.0, 4.0]], [[1, 2, 4], [5, 4, 3]])
    0.75
    """
    pair = read_pair(y_true, y_pred, min_rows=1)
    kept = finite_targets(pair, stacklevel=2)
    if kept.sum() < 2:
        raise ValueError(
            f"A pattern needs two targets or more that are numbers; {kept.sum()} of "
            f"{pair.shape[1]} are."
        )
    patterns = Patterns(pair, kept, "correlation")
    scores, states = _ratio(patterns.own / patterns.n_kept, *patterns.spreads())
    for state, name in ((CONSTANT, "measured"), (FLAT, "predicted")):
        if (states == state).any():
            warnings.warn(
                f"{(states == state).sum()} of {len(states)} images have a constant {name} "
                "pattern: their correlation is NaN.",
                RuntimeWarning,
                stacklevel=2,
            )
    return _mean(scores, states) if average else scores


def _score(
    y_true: Any, y_pred: Any, sample_weight: Any, multioutput: str, score: BlockScore, what: str
) -> Any:
    if multioutput not in _OUTPUTS:
        raise ValueError(f"multioutput must be one of {_OUTPUTS}, got {multioutput!r}.")
    pair = read_pair(y_true, y_pred)
    weights = read_weights(sample_weight, pair.shape[0])
    scores, states = score_targets(pair, weights, score)
    warn_undefined(states, what, stacklevel=3)
    if multioutput == "raw_values":
        return scores.reshape(pair.target_shape)
    return _mean(scores, states)


def _mean(scores: Array, states: Any) -> float:
    """Mean over what could be scored; a constant prediction counts 0."""
    counted = np.where(states == FLAT, 0.0, scores)[(states == OK) | (states == FLAT)]
    return float(counted.mean()) if counted.size else float("nan")


def correlations(true: Array, pred: Array, weights: Array | None, tolerance: float) -> Scored:
    """Pearson's r of each column; both blocks are overwritten."""
    measured = spread(*centre(true, weights), tolerance)
    predicted = spread(*centre(pred, weights), tolerance)
    with np.errstate(invalid="ignore", over="ignore"):
        return _ratio(np.einsum("ij,ij->j", true, pred) / len(true), measured, predicted)


def _ratio(covariance: Array, measured: Spread, predicted: Spread) -> Scored:
    (s_true, ok_true, constant), (s_pred, ok_pred, flat) = measured, predicted
    states = np.select([~(ok_true & ok_pred), constant, flat], [MISSING, CONSTANT, FLAT], OK)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.clip(covariance / s_true / s_pred, -1, 1)
    return np.where(states == OK, r, np.nan), states.astype(np.int8)


def determinations(true: Array, pred: Array, weights: Array | None, tolerance: float) -> Scored:
    """R² of each column; both blocks are overwritten."""
    with np.errstate(invalid="ignore", over="ignore"):
        pred -= true
        if weights is not None:
            pred *= np.sqrt(weights * len(true))[:, None]
        residual = np.einsum("ij,ij->j", pred, pred) / len(true)
    return _one_minus(residual, true, weights, tolerance)


def explained_variances(
    true: Array, pred: Array, weights: Array | None, tolerance: float
) -> Scored:
    """Explained variance of each column; both blocks are overwritten."""
    with np.errstate(invalid="ignore", over="ignore"):
        pred -= true
    return _one_minus(centre(pred, weights)[1], true, weights, tolerance)


def _one_minus(residual: Array, true: Array, weights: Array | None, tolerance: float) -> Scored:
    mean, total = centre(true, weights)
    _, finite, constant = spread(mean, total, tolerance)
    states = np.select([~(finite & np.isfinite(residual)), constant], [MISSING, CONSTANT], OK)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = 1 - residual / total
    return np.where(states == OK, scores, np.nan), states.astype(np.int8)
