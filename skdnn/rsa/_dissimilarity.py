"""Dissimilarities between the patterns of conditions."""

from __future__ import annotations

import difflib
import numbers
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform

Array = NDArray[np.float64]

# Computed here by matrix products; every other name goes to scipy.
PRODUCT_METRICS = ("correlation", "euclidean", "sqeuclidean", "cosine", "gaussian")
_SCIPY_METRICS = (
    *("braycurtis", "canberra", "chebyshev", "cityblock", "dice", "hamming", "jaccard"),
    *("jensenshannon", "mahalanobis", "minkowski", "rogerstanimoto", "russellrao"),
    *("seuclidean", "sokalsneath", "yule"),
)

_BLOCK_COLUMNS = 8192
_BLOCK_ELEMENTS = 2**22  # 32 MB of float64
# A squared distance below this share of the squared norms has lost four digits to cancellation.
_CANCELLED = 1e-4
# Four roundings of a float64: a correlation or cosine distance below it is a zero.
_ZERO = 1e-15


def compute_rdm(
    X: ArrayLike | pd.DataFrame,
    metric: str = "correlation",
    *,
    gamma: float | None = None,
    metric_params: Mapping[str, Any] | None = None,
) -> Any:
    r"""Representational dissimilarity matrix (RDM) of the patterns of conditions.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_conditions, n_features)
        One pattern per row, of any real dtype. It is never copied as a whole to float64 for the
        first five metrics below.
    metric : str, default="correlation"
        With patterns :math:`x_i` of :math:`p` features:

        - ``"correlation"``: :math:`1 - r(x_i, x_j)`;
        - ``"cosine"``: :math:`1 - \cos(x_i, x_j)`;
        - ``"euclidean"``: :math:`\lVert x_i - x_j \rVert`;
        - ``"sqeuclidean"``: :math:`\lVert x_i - x_j \rVert^2` (rsatoolbox's "euclidean" is this
          divided by :math:`p`);
        - ``"gaussian"``: :math:`1 - \exp(-\gamma \lVert x_i - x_j \rVert^2)`;
        - any other metric name of :func:`scipy.spatial.distance.pdist`.
    gamma : float, default=None
        Width of the Gaussian, positive. None is ``1 / n_features``. Other metrics ignore it.
    metric_params : dict, default=None
        Further arguments for :func:`scipy.spatial.distance.pdist`, which then computes the
        metric, e.g. ``{"p": 3}`` for ``"minkowski"``.

    Returns
    -------
    rdm : ndarray or DataFrame of shape (n_conditions, n_conditions), float64
        Symmetric to the bit, with an exact zero diagonal. A DataFrame, labelled by the index of
        X, if X is a DataFrame. A condition without a defined dissimilarity (a constant pattern
        for correlation, a zero pattern for cosine) has NaN off the diagonal.

    Raises
    ------
    ValueError
        If `metric` is unknown, X has fewer than two rows, or X holds NaN or infinity.

    Warns
    -----
    RuntimeWarning
        Once, naming the conditions whose dissimilarities are undefined.

    See Also
    --------
    RDM : The same as a transformer.
    compare_rdms : Compare two RDMs.

    Notes
    -----
    The first five metrics are matrix products over blocks of columns, in float64. Where a product
    would lose digits to cancellation (pairs closer than a hundredth of their norms), the distance
    is computed again from the differences, so near-duplicates keep their order and exact
    duplicates are exactly zero. Correlation and cosine distances below 1e-15 are set to zero.
    A pattern is constant if its standard deviation is below the resolution of its dtype
    (float64: ten times that) relative to its root mean square.

    References
    ----------
    Kriegeskorte, N., Mur, M., & Bandettini, P. (2008). Representational similarity analysis.
    Frontiers in Systems Neuroscience, 2, 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compute_rdm
    >>> patterns = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    >>> compute_rdm(patterns)
    array([[0. , 2. , 0.5],
           [2. , 0. , 1.5],
           [0.5, 1.5, 0. ]])
    """
    check_metric(metric, gamma, metric_params)
    patterns = _check_patterns(X)
    labels = X.index if isinstance(X, pd.DataFrame) else None
    rdm = _rdm_values(patterns, metric, gamma, metric_params)
    _warn_undefined(rdm, metric, labels)
    return rdm if labels is None else pd.DataFrame(rdm, index=labels, columns=labels)


def category_rdm(
    labels: ArrayLike | pd.Series, *, names: Sequence[Hashable] | pd.Index | None = None
) -> pd.DataFrame:
    """RDM of a category model: 0 within a category, 1 between categories.

    Parameters
    ----------
    labels : array-like of shape (n_conditions,)
        Category of each condition.
    names : sequence of length n_conditions, default=None
        Labels of the conditions. None takes the index of `labels` if it is a Series, else
        they are ``0, 1, ...`` in order.

    Returns
    -------
    rdm : DataFrame of shape (n_conditions, n_conditions), float64
        Labelled on both sides, so that cross-validation can pick its columns by row label.

    Raises
    ------
    ValueError
        If `labels` is not one-dimensional, a category is missing, or `names` don't fit.

    See Also
    --------
    RSAScorer : Scores a representation against such a model.

    Notes
    -----
    A function of its own rather than a meaning of one-dimensional targets: a vector of numbers
    may be categories, ratings or one voxel, and only the user knows.

    Examples
    --------
    >>> from skdnn.rsa import category_rdm
    >>> category_rdm(["animal", "animal", "tool"], names=["cat", "dog", "saw"])
         cat  dog  saw
    cat  0.0  0.0  1.0
    dog  0.0  0.0  1.0
    saw  1.0  1.0  0.0
    """
    values = labels.to_numpy() if isinstance(labels, pd.Series) else np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(f"labels must be one-dimensional, got shape {values.shape}.")
    missing = np.flatnonzero(pd.isna(values))
    if missing.size:
        raise ValueError(f"labels has no category for {_name_rows(missing, None)}.")
    if names is None:
        names = labels.index if isinstance(labels, pd.Series) else range(len(values))
    if len(names) != len(values):
        raise ValueError(f"names has {len(names)} entries for {len(values)} labels.")
    codes = pd.factorize(values)[0]
    between = (codes[:, None] != codes[None, :]).astype(np.float64)
    return pd.DataFrame(between, index=list(names), columns=list(names))


def check_metric(
    metric: str, gamma: float | None, metric_params: Mapping[str, Any] | None
) -> None:
    """Raise ValueError for an unknown metric or for parameters that cannot go with it."""
    if metric not in PRODUCT_METRICS and not _is_scipy_metric(metric):
        known = [*PRODUCT_METRICS, *_SCIPY_METRICS]
        near = difflib.get_close_matches(str(metric).lower(), known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise ValueError(
            f"metric={metric!r} is not known. {hint}Choose one of {', '.join(PRODUCT_METRICS)}, "
            "or another metric name of scipy.spatial.distance.pdist."
        )
    if gamma is not None and not (
        isinstance(gamma, numbers.Real) and np.isfinite(gamma) and gamma > 0
    ):
        raise ValueError(f"gamma must be a positive number or None, got {gamma!r}.")
    if metric == "gaussian" and metric_params:
        raise ValueError(
            f"metric='gaussian' takes no metric_params, got {dict(metric_params)!r}: set gamma."
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


def _check_patterns(X: Any) -> NDArray[Any]:
    """X as a real 2-D array of its own dtype, finite and with two rows or more."""
    patterns = X.to_numpy() if isinstance(X, pd.DataFrame) else np.asarray(X)
    if patterns.ndim != 2:
        raise ValueError(
            f"X must be 2-D, (n_conditions, n_features), got shape {patterns.shape}. Flatten "
            "each pattern to one row."
        )
    if patterns.dtype.kind == "c":
        raise ValueError("X is complex, and its dissimilarities are not defined here.")
    if patterns.dtype.kind not in "biuf":
        patterns = patterns.astype(np.float64)
    if patterns.shape[0] < 2:
        raise ValueError(f"X has n_samples = {patterns.shape[0]} row: an RDM needs two or more.")
    if patterns.shape[1] < 1:
        raise ValueError("X has 0 feature(s): an RDM needs one or more.")
    check_finite(patterns, X.index if isinstance(X, pd.DataFrame) else None)
    return patterns


def check_finite(patterns: NDArray[Any], labels: pd.Index | None) -> None:
    """Raise ValueError naming the rows that hold NaN or infinity."""
    if patterns.dtype.kind != "f":
        return
    rows = max(1, _BLOCK_ELEMENTS // max(1, patterns.shape[1]))
    bad = [
        start + np.flatnonzero(~np.isfinite(patterns[start : start + rows]).all(axis=1))
        for start in range(0, len(patterns), rows)
    ]
    wrong = np.concatenate(bad)
    if wrong.size:
        raise ValueError(
            f"X contains NaN or infinity in {_name_rows(wrong, labels)}. Drop or impute "
            "these values first."
        )


def _name_rows(rows: NDArray[np.intp], labels: pd.Index | None) -> str:
    """The first rows, by label where there are labels."""
    shown = [str(row) if labels is None else repr(labels[row]) for row in rows[:8]]
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    what = "row" if labels is None else "condition"
    return f"{what}{'s' if len(rows) > 1 else ''} {', '.join(shown)}{more}"


@dataclass(frozen=True)
class _Blocks:
    """Float64 blocks of the columns of X: scaled, then shifted or centred, then normed."""

    X: NDArray[Any]
    scale: Any = 1.0
    shifts: tuple[Array, ...] = ()
    norm: Any = 1.0
    centre_columns: bool = False

    def __iter__(self) -> Iterator[Array]:
        n, p = self.X.shape
        width = max(64, min(_BLOCK_COLUMNS, _BLOCK_ELEMENTS // n))
        for start in range(0, p, width):
            block = self.X[:, start : start + width].astype(np.float64, order="C")
            block /= self.scale
            for shift in self.shifts:
                block -= shift
            if self.centre_columns:
                block -= block.mean(axis=0)
            block /= self.norm
            yield block

    def row_sums(self) -> tuple[Array, Array]:
        """Sum and sum of squares of each row, as columns."""
        sums, squares = np.zeros((2, len(self.X), 1))
        for block in self:
            sums += block.sum(axis=1, keepdims=True)
            squares += np.einsum("ij,ij->i", block, block)[:, None]
        return sums, squares


def _rdm_values(
    X: NDArray[Any],
    metric: str,
    gamma: float | None,
    metric_params: Mapping[str, Any] | None,
) -> Array:
    if metric not in PRODUCT_METRICS or metric_params:
        with np.errstate(all="ignore"):  # what is undefined becomes NaN and is named later
            condensed = pdist(X, metric, **(metric_params or {}))
        return squareform(np.asarray(condensed, dtype=np.float64), checks=False)
    if metric in ("correlation", "cosine"):
        return _angular(X, centre_rows=metric == "correlation")
    # Centring the columns changes no distance and saves the digits that an offset would eat.
    scale = _power_of_two(np.array(_largest(X).max()))
    squared = _squared_distances(_Blocks(X, scale=scale, centre_columns=True))
    if metric == "euclidean":
        return np.sqrt(squared) * scale
    squared *= scale**2
    if metric == "sqeuclidean":
        return squared
    width = 1.0 / X.shape[1] if gamma is None else float(gamma)
    return -np.expm1(-width * squared)


def _angular(X: NDArray[Any], centre_rows: bool) -> Array:
    """One minus the cosine of (centred) rows: half the squared distance of unit vectors."""
    p = X.shape[1]
    blocks = _Blocks(X, scale=_power_of_two(_largest(X))[:, None])
    raw = blocks.row_sums()[1]
    undefined = raw[:, 0] == 0
    if centre_rows:
        # The first value goes first: it makes a constant row exactly zero.
        first = X[:, :1].astype(np.float64) / blocks.scale
        mean = _Blocks(X, scale=blocks.scale, shifts=(first,)).row_sums()[0] / p
        blocks = _Blocks(X, scale=blocks.scale, shifts=(first, mean))
        centred = blocks.row_sums()[1]
        undefined = (np.sqrt(centred) <= _resolution(X.dtype) * np.sqrt(raw))[:, 0]
        raw = centred
    norm = np.where(undefined[:, None], 1.0, np.sqrt(raw))
    rdm = _squared_distances(_Blocks(X, blocks.scale, blocks.shifts, norm)) / 2
    rdm[rdm < _ZERO] = 0.0
    rdm[undefined] = np.nan
    rdm[:, undefined] = np.nan
    np.fill_diagonal(rdm, 0.0)
    return rdm


def _squared_distances(blocks: _Blocks) -> Array:
    """Squared distances between rows by matrix product, close pairs from their differences."""
    n = len(blocks.X)
    gram = np.zeros((n, n))
    for block in blocks:
        gram += block @ block.T
    squares = np.diag(gram)
    total = squares[:, None] + squares[None, :]
    squared = total - 2 * gram
    rows, columns = np.nonzero(np.triu(squared < _CANCELLED * total, k=1))
    if rows.size:
        squared[rows, columns] = _direct(blocks, rows, columns)
    upper = np.triu(squared, k=1)
    return upper + upper.T


def _direct(blocks: _Blocks, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """Squared distances of the pairs (rows[k], columns[k]) from differences."""
    squared = np.zeros(len(rows))
    for block in blocks:
        step = max(1, _BLOCK_ELEMENTS // block.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            difference = block[rows[part]] - block[columns[part]]
            squared[part] += np.einsum("ij,ij->i", difference, difference)
    return squared


def _largest(X: NDArray[Any]) -> Array:
    """Largest magnitude of each row."""
    return np.maximum(X.max(axis=1).astype(np.float64), -(X.min(axis=1).astype(np.float64)))


def _power_of_two(largest: Array) -> Array:
    """Powers of two near `largest`: dividing by them rounds nothing and squares stay finite."""
    return np.ldexp(1.0, np.clip(np.frexp(largest)[1], -1000, 1000))


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
    reason = {
        "correlation": "a constant pattern has no correlation",
        "cosine": "a zero pattern has no direction",
    }.get(metric, "the metric is not defined there")
    warnings.warn(
        f"The {metric} dissimilarities of {_name_rows(rows, labels)} are NaN: {reason}.",
        RuntimeWarning,
        stacklevel=3,
    )
