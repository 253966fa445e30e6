"""Dissimilarities between the patterns of conditions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from skdnn._array_blocks import Array, column_blocks, row_parts
from skdnn._wording import nearest
from skdnn.rsa._dissimilarity._category_rdm import category_rdm
from skdnn.rsa._dissimilarity._correlation_and_euclidean import (
    angular,
    euclidean_squared,
    paired_differences,
)
from skdnn.rsa._dissimilarity._crossnobis import crossnobis
from skdnn.rsa._dissimilarity._noise_precision import check_precision, precision_root, whitened
from skdnn.rsa._dissimilarity._patterns import Patterns, name_rows, read_patterns

__all__ = ["category_rdm", "compute_rdm"]

# Computed here; every other name goes to scipy.
OWN_METRICS = (
    *("correlation", "euclidean", "sqeuclidean", "sqeuclidean_per_feature", "cosine", "gaussian"),
    *("spearman", "mahalanobis", "crossnobis", "poisson"),
)
_SCIPY_METRICS = (
    *("braycurtis", "canberra", "chebyshev", "cityblock", "dice", "hamming", "jaccard"),
    *("jensenshannon", "minkowski", "rogerstanimoto", "russellrao"),
    *("seuclidean", "sokalsneath", "yule"),
)
# Those of ours that scipy knows too, and computes where it is given parameters.
_IN_SCIPY = ("correlation", "cosine", "euclidean", "sqeuclidean", "mahalanobis")
_WITH_NOISE = ("mahalanobis", "crossnobis")


def compute_rdm(
    X: ArrayLike | pd.DataFrame | Any,
    metric: str = "correlation",
    *,
    conditions: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    noise_precision: Any = None,
    gamma: float | None = None,
    prior_lambda: float = 1.0,
    prior_weight: float = 0.1,
    metric_params: Mapping[str, Any] | None = None,
    block_size: int | None = None,
) -> Any:
    r"""Representational dissimilarity matrix (RDM) of the patterns of conditions.

    Parameters
    ----------
    X : array-like, DataFrame or lazy array of shape (n_conditions, n_features)
        One pattern per row, of any real dtype; with `conditions` of shape (n_measurements,
        n_features). A lazy array is any object with ``shape``, a numpy ``dtype``, and slicing
        by rows and by columns (``X[i:j]``, ``X[:, a:b]``): a dataset of h5py, a stored layer.
        It is read in blocks, see Notes.
    metric : str, default="correlation"
        With patterns :math:`x_i` of :math:`p` features:

        - ``"correlation"``: :math:`1 - r(x_i, x_j)`;
        - ``"spearman"``: the same of the ranks of each pattern's features (ties have their mean
          rank);
        - ``"cosine"``: :math:`1 - \cos(x_i, x_j)`;
        - ``"euclidean"``: :math:`\lVert x_i - x_j \rVert`;
        - ``"sqeuclidean"``: :math:`\lVert x_i - x_j \rVert^2`;
        - ``"sqeuclidean_per_feature"``: :math:`\lVert x_i - x_j \rVert^2 / p`, which is
          rsatoolbox's "euclidean";
        - ``"gaussian"``: :math:`1 - \exp(-\gamma \lVert x_i - x_j \rVert^2)`;
        - ``"mahalanobis"``: :math:`(x_i - x_j)^\top \Sigma^{-1} (x_i - x_j) / p`, where
          :math:`\Sigma^{-1}` is `noise_precision`;
        - ``"crossnobis"``: its cross-validated form,
          :math:`\frac{1}{Mp} \sum_m (x_i - x_j)_{\neg m}^\top \Sigma^{-1} (x_i - x_j)_m`, with
          the means of fold :math:`m` and of all rows of the other folds. Its expected value is
          free of the noise, so it may be negative, and no root is taken;
        - ``"poisson"``: :math:`(\lambda_i - \lambda_j)^\top (\log \lambda_i - \log \lambda_j)
          / p` with :math:`\lambda = (x + \lambda_0 w) / (1 + w)`, the symmetrised divergence
          of Poisson rates, for counts;
        - any other metric name of :func:`scipy.spatial.distance.pdist`.
    conditions : array-like of shape (n_measurements,), default=None
        Label of the condition of each row. Rows of the same condition are averaged (for
        ``"crossnobis"``, within folds), and the RDM has the conditions in the order in which
        they first appear. None takes every row as a condition. A Series must have the index of
        X, where both have one.
    folds : array-like of shape (n_measurements,), default=None
        For ``"crossnobis"`` only: label of the fold of each row, such as its run. The noise of
        different folds must be independent.
    noise_precision : array-like of shape (n_features, n_features) or (n_features,), default=None
        For ``"mahalanobis"``, which needs it, and ``"crossnobis"``, where None is the identity:
        the inverse covariance of the noise, or its diagonal alone, see
        :func:`~skdnn.rsa.estimate_noise_precision`. For ``"crossnobis"`` also one for each
        fold, as a dict by fold label, or a list in the order in which the folds first appear;
        see Notes.
    gamma : float, default=None
        Width of the Gaussian, positive. None is ``1 / n_features``. Other metrics ignore it.
    prior_lambda, prior_weight : float, default=1.0 and 0.1
        :math:`\lambda_0` and :math:`w` of ``"poisson"``, both positive: they keep rates of zero
        from having no logarithm. Other metrics ignore them.
    metric_params : dict, default=None
        Further arguments for :func:`scipy.spatial.distance.pdist`, which then computes the
        metric by its own definition, e.g. ``{"p": 3}`` for ``"minkowski"``, or ``{"VI": ...}``
        for the root of scipy's ``"mahalanobis"``.
    block_size : int, default=None
        Number of columns that are read and computed on at a time. None takes blocks of some MB
        of an array, and reads about 64 MB at a time from a file.

    Returns
    -------
    rdm : ndarray or DataFrame of shape (n_conditions, n_conditions), float64
        Symmetric to the bit, with an exact zero diagonal. A DataFrame if X is one, labelled by
        its index, or if there are `conditions`, labelled by them. A condition without a defined
        dissimilarity (a constant pattern for correlation, a zero pattern for cosine) has NaN off
        the diagonal.

    Raises
    ------
    ValueError
        If `metric` is unknown, X has fewer than two conditions, or X holds NaN or infinity; if
        labels or a precision do not fit X or the metric.
    TypeError
        If a lazy array holds no numbers.

    Warns
    -----
    RuntimeWarning
        Once, naming the conditions whose dissimilarities are undefined.

    See Also
    --------
    RDM : The same as a transformer.
    estimate_noise_precision : Precision of the noise from residuals.
    compare_rdms : Compare two RDMs.

    Notes
    -----
    **Precision.** Our own metrics are matrix products over blocks of columns, in float64,
    whatever the input. Where a product would lose digits to cancellation (pairs closer than a
    hundredth of their norms), the distance is computed again from the differences, so
    near-duplicates keep their order and exact duplicates are exactly zero. Correlation, Spearman
    and cosine distances below 1e-15 are set to zero. A pattern is constant if its standard
    deviation is below the resolution of its dtype (float64: ten times that) relative to its root
    mean square.

    **Memory.** X is read in blocks and never copied as a whole, with these exceptions:
    ``"spearman"`` holds the ranks of all patterns (as float32), a full `noise_precision` and one
    for each fold hold the whitened or averaged patterns, and scipy's metrics hold X in float64.
    Arrays on disk are read once by the correlation, cosine and Euclidean metrics, and again only
    where close pairs or extreme numbers ask for it.

    **Folds.** If a condition has no row in a fold, distances are averaged over each two folds that
    hold both conditions of a pair, so that what a fold adds to all its patterns cancels; a pair
    that no two folds hold is NaN. With a precision for each fold,
    there is one product for each pair of folds, with the inverse of the mean of their two
    covariances; each should be the precision of the fold's *mean* patterns.

    **Other software.** rsatoolbox sorts conditions, and folds that come with a list of
    precisions, by label. Its "mahalanobis" is this one, but silently Euclidean without a
    precision. A constant float32 pattern has a correlation distance of about 1 there, and is NaN
    here. A condition that some fold lacks is an error there, or (``calc_rdm_unbalanced``) the
    means of folds do not cancel. scipy's "mahalanobis" is a root, is not divided by :math:`p`, and
    takes the covariance of X itself.

    References
    ----------
    Kriegeskorte, N., Mur, M., & Bandettini, P. (2008). Representational similarity analysis.
    Frontiers in Systems Neuroscience, 2, 4.

    Walther, A., Nili, H., Ejaz, N., Alink, A., Kriegeskorte, N., & Diedrichsen, J. (2016).
    Reliability of dissimilarity measures for multi-voxel pattern analysis. NeuroImage, 137,
    188-200.

    Schuett, H. H., Kipnis, A. D., Diedrichsen, J., & Kriegeskorte, N. (2023). Statistical
    inference on representational geometries. eLife, 12, e82566.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compute_rdm
    >>> patterns = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    >>> compute_rdm(patterns)
    array([[0. , 2. , 0.5],
           [2. , 0. , 1.5],
           [0.5, 1.5, 0. ]])

    Two measurements of each of two conditions, in two runs:

    >>> measured = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 2.0], [0.0, 2.0]])
    >>> compute_rdm(measured, "crossnobis", conditions=["cat", "dog", "cat", "dog"],
    ...             folds=[1, 1, 2, 2])
         cat  dog
    cat  0.0  1.5
    dog  1.5  0.0
    """
    check_metric(
        metric, gamma, metric_params, prior_lambda, prior_weight, noise_precision, repeated=True
    )
    _check_labels(metric, conditions, folds)
    patterns = read_patterns(X, conditions)
    if metric == "crossnobis":
        rdm = crossnobis(patterns, folds, noise_precision, block_size)
    elif metric not in OWN_METRICS or metric_params:
        rdm = _by_scipy(patterns, metric, metric_params or {})
    else:
        options = {
            "gaussian": {"gamma": gamma},
            "mahalanobis": {"precision": noise_precision},
            "poisson": {"prior_lambda": prior_lambda, "prior_weight": prior_weight},
        }
        rdm = _OWN[metric](patterns, block_size, **options.get(metric, {}))
    _warn_undefined(rdm, metric, patterns.labels)
    if patterns.labels is None:
        return rdm
    return pd.DataFrame(rdm, index=patterns.labels, columns=patterns.labels)


def check_metric(
    metric: str,
    gamma: float | None = None,
    metric_params: Mapping[str, Any] | None = None,
    prior_lambda: float = 1.0,
    prior_weight: float = 0.1,
    noise_precision: Any = None,
    repeated: bool = False,
) -> None:
    """Raise ValueError for an unknown metric or for parameters that cannot go with it.

    Patterns that are not `repeated` measurements, with labels of their own, have no crossnobis.
    """
    if metric not in OWN_METRICS and not _is_scipy_metric(metric):
        known = [*OWN_METRICS, *_SCIPY_METRICS]
        near = nearest(str(metric), known, 3)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(
            f"metric={metric!r} is not known. {hint}Choose one of {', '.join(OWN_METRICS)}, "
            "or another metric name of scipy.spatial.distance.pdist."
        )
    if gamma is not None and not _is_positive(gamma):
        raise ValueError(f"gamma must be a positive number or None, got {gamma!r}.")
    for name, value in (("prior_lambda", prior_lambda), ("prior_weight", prior_weight)):
        if not _is_positive(value):
            raise ValueError(f"{name} must be a positive number, got {value!r}.")
    if metric in OWN_METRICS and metric not in _IN_SCIPY and metric_params:
        instead = {"gaussian": "set gamma", "poisson": "set prior_lambda and prior_weight"}
        raise ValueError(
            f"metric={metric!r} takes no metric_params, got {dict(metric_params)!r}: "
            f"{instead.get(metric, 'leave them out')}."
        )
    _check_noise(metric, noise_precision, metric_params)
    if metric == "crossnobis" and not repeated:
        raise ValueError(
            "metric='crossnobis' compares repeated measurements, and patterns alone do not say "
            "which these are: call compute_rdm with conditions and folds."
        )


def _check_noise(
    metric: str, noise_precision: Any, metric_params: Mapping[str, Any] | None
) -> None:
    """Raise ValueError for noise that the metric has no use for, or that it lacks."""
    if noise_precision is not None and (metric not in _WITH_NOISE or metric_params):
        raise ValueError(
            f"noise_precision is for {' and '.join(map(repr, _WITH_NOISE))} without "
            f"metric_params, not for metric={metric!r}."
        )
    if metric == "mahalanobis" and noise_precision is None and not metric_params:
        raise ValueError(
            "metric='mahalanobis' needs noise_precision, the inverse covariance of the noise "
            "(estimate_noise_precision gives one). For scipy's distance, a root, give "
            "metric_params={'VI': ...}; for the identity, take 'sqeuclidean_per_feature'."
        )


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < np.inf


def _check_labels(metric: str, conditions: Any, folds: Any) -> None:
    """Raise ValueError for labels that the metric has no use for, or that it lacks."""
    if folds is not None and metric != "crossnobis":
        raise ValueError(
            f"folds are for metric='crossnobis', not for {metric!r}: leave them out, and all rows "
            "of a condition are averaged."
        )
    if metric == "crossnobis" and (conditions is None or folds is None):
        missing = "conditions" if conditions is None else "folds"
        raise ValueError(
            "metric='crossnobis' compares repeated measurements: give conditions and folds, a "
            f"label for each row of X ({missing} is None)."
        )


def _is_scipy_metric(metric: str) -> bool:
    """Ask scipy itself, so that its aliases and future names count."""
    if not isinstance(metric, str):
        return False
    if metric in _SCIPY_METRICS:
        return True
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pdist(np.eye(2), metric)
    except Exception as error:
        return "unknown distance metric" not in str(error).lower()
    return True


def _by_scipy(patterns: Patterns, metric: str, params: Mapping[str, Any]) -> Array:
    patterns.check_finite()
    values = patterns.by_condition
    whole = values if isinstance(values, np.ndarray) else np.asarray(values[0 : values.shape[0]])
    with np.errstate(all="ignore"):  # what is undefined becomes NaN and is named later
        condensed = pdist(whole, metric, **params)
    return squareform(np.asarray(condensed, dtype=np.float64), checks=False)


def _angular(patterns: Patterns, size: int | None, centre_rows: bool) -> Array:
    resolution = _resolution(patterns.rows.dtype)
    return angular(patterns.by_condition, centre_rows, resolution, size, patterns.check_finite)


def _rank_correlation(patterns: Patterns, size: int | None) -> Array:
    """Centred mid-ranks are multiples of one half, which float32 holds up to 8 million."""
    patterns.check_finite()
    n, p = patterns.by_condition.shape
    ranks = np.empty((n, p), np.float32 if p < 2**23 else np.float64)
    for rows, part in row_parts(patterns.by_condition):
        step = max(1, 2**21 // p)
        for start in range(0, len(part), step):
            ranked = rankdata(part[start : start + step], axis=1) - (p + 1) / 2
            ranks[rows][start : start + step] = ranked
    return angular(ranks, True, _resolution(ranks.dtype), size, patterns.check_finite)


def _squared(
    patterns: Patterns, size: int | None, weights: Array | None = None, power: int = 2
) -> Array:
    """Squared Euclidean distances, or distances (power 1)."""
    squared, scale = euclidean_squared(patterns.by_condition, weights, size, patterns.check_finite)
    if power == 1:
        np.sqrt(squared, out=squared)
    if scale != 1:
        with np.errstate(over="ignore", under="ignore"):
            for _ in range(power):
                squared *= scale
    return squared


def _squared_per_feature(patterns: Patterns, size: int | None) -> Array:
    return _squared(patterns, size) / patterns.rows.shape[1]


def _gaussian(patterns: Patterns, size: int | None, gamma: float | None) -> Array:
    width = 1.0 / patterns.rows.shape[1] if gamma is None else float(gamma)
    squared = _squared(patterns, size)
    squared *= -width
    return -np.expm1(squared, out=squared)


def _mahalanobis(patterns: Patterns, size: int | None, precision: Any) -> Array:
    p = patterns.rows.shape[1]
    checked = check_precision(precision, p)
    if checked.ndim == 1:
        return _squared(patterns, size, weights=np.sqrt(checked)) / p
    patterns.check_finite()
    white = whitened(patterns.by_condition, precision_root(checked))
    return _squared(Patterns(white, None, None, None), size) / p


def _poisson(
    patterns: Patterns, size: int | None, prior_lambda: float, prior_weight: float
) -> Array:
    patterns.check_finite()
    X = patterns.by_condition
    negative = np.zeros(X.shape[0], dtype=bool)

    def rates_and_logarithms() -> Iterator[tuple[Array, Array]]:
        for _, block in column_blocks(X, size):
            np.logical_or(negative, (block < 0).any(axis=1), out=negative)
            if negative.any():
                raise ValueError(
                    "metric='poisson' is for counts or rates, and X is negative in "
                    f"{name_rows(np.flatnonzero(negative), patterns.labels)}."
                )
            block += prior_lambda * prior_weight
            block /= 1 + prior_weight
            logarithms = np.log(block)
            # What all rows share changes no difference; without it fewer digits are lost.
            block -= block.mean(axis=0)
            logarithms -= logarithms.mean(axis=0)
            yield block, logarithms

    return paired_differences(rates_and_logarithms, X.shape[0]) / X.shape[1]


_OWN: dict[str, Callable[..., Array]] = {
    "correlation": partial(_angular, centre_rows=True),
    "cosine": partial(_angular, centre_rows=False),
    "spearman": _rank_correlation,
    "euclidean": partial(_squared, power=1),
    "sqeuclidean": _squared,
    "sqeuclidean_per_feature": _squared_per_feature,
    "gaussian": _gaussian,
    "mahalanobis": _mahalanobis,
    "poisson": _poisson,
}


def _resolution(dtype: np.dtype[Any]) -> float:
    """Relative spread below which values of `dtype` cannot be told from a constant."""
    if dtype.kind == "f" and dtype.itemsize < 8:
        return float(np.finfo(dtype).eps)
    return 10 * float(np.finfo(np.float64).eps)


def _warn_undefined(rdm: Array, metric: str, labels: pd.Index | None) -> None:
    missing = np.isnan(rdm)
    if not missing.any():
        return
    n = len(rdm)
    whole = missing.sum(axis=1) == n - 1
    rows = np.flatnonzero(whole if whole.any() else missing.any(axis=1))
    constant = "a constant pattern has no correlation"
    reason = {
        "correlation": constant,
        "spearman": constant,
        "cosine": "a zero pattern has no direction",
        "crossnobis": "no two folds have both conditions of a pair",
    }.get(metric, "the metric is not defined there")
    warnings.warn(
        f"The {metric} dissimilarities of {name_rows(rows, labels)} are NaN: {reason}.",
        RuntimeWarning,
        stacklevel=3,
    )
