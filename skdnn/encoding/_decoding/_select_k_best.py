"""Ridge regression in which each target has features of its own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skdnn._array_blocks import Array, checked_features, is_lazy
from skdnn._sklearn import Interval, StrOptions, fit_context
from skdnn._threads import blas, blas_threads
from skdnn.encoding._decoding import _rows_and_targets as inputs
from skdnn.encoding._decoding import _solvers as solvers
from skdnn.encoding._shared_checks import check_rows

Floats = NDArray[np.floating]

# Targets that are solved together in one thread, and numbers that their correlations may have.
_CHUNK, _CHUNK_ELEMENTS = 128, 2**24
# Multiplications beyond which BLAS's own threads are worth while.
_THREADED = 10**10
# Numbers of the features that are predicted from at a time.
_PREDICT_ELEMENTS = 2**24
# Features are picked for each target where predictions need fewer than one in so many.
_SPARSE = 8


class SelectKBestRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Ridge regression of each target on the features that correlate best with it.

    The decoder of Nonaka et al. (2021) from brain responses to units of a network (their
    FastL2LiR), with the same numbers in a fraction of the time. For each target, the `k` features
    of largest absolute Pearson correlation with it on the training data are selected, and a
    ridge regression on these alone is solved.

    Parameters
    ----------
    alpha : float, default=100
        Penalty on the sum of squares of the coefficients.
    k : int, default=500
        Number of features of each target. With `k` features or fewer in X, all are used.
    penalize_intercept : bool, default=True
        Whether the penalty falls on the intercept too, as in the original. False centres the
        data instead, as scikit-learn's Ridge does; for standardised data both give the same.
    dtype : {"float64", "float32"}, default="float64"
        Precision in which the equations are solved and the coefficients kept. Features are
        always selected, and inner products added up, in float64.
    chunk_size : int, default=None
        Number of targets that are solved together. None takes 128, or fewer for so many features
        that their correlations are beyond 128 MB.
    n_threads : int, default=None
        Number of threads. None takes as many as BLAS may use: all cores, or in a worker of
        joblib its share.

    Attributes
    ----------
    indices_ : ndarray of shape (n_targets, k_), int32
        Columns of X that are selected for each target, ascending.
    coefficients_ : ndarray of shape (n_targets, k_)
        Their coefficients.
    intercept_ : ndarray of shape (n_targets,)
        Intercept of each target.
    coef_ : scipy.sparse.csr_array of shape (n_targets, n_features_in_)
        The coefficients in their columns; made anew when it is asked for.
    k_ : int
        Number of features of each target: `k`, or all.
    method_ : {"all", "gram", "complement", "columns", "dual"}
        How the equations were solved (see Notes).
    target_shape_ : tuple of int
        Shape of y without its first dimension. Rows of the attributes above follow its C order.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    See Also
    --------
    sklearn.linear_model.Ridge : The same features for all targets.
    skdnn.encoding.brain_hierarchy_score : What Nonaka et al. computed from its accuracies.

    Notes
    -----
    With :math:`Z = [X_S\ 1]` for the selected features :math:`S` of a target :math:`y`, the
    coefficients and, last, the intercept are

    .. math:: (Z^\top Z + \alpha I)^{-1} Z^\top y .

    **Selection.** A column of X whose variance is below 1e-8 has correlation 0, so data on a
    tiny scale must be standardised first (a warning says so); it may still be selected where
    there are not enough others. A constant target correlates with nothing. Of features with equal
    correlations (to 1e-13), the last columns are taken, as
    :class:`~sklearn.feature_selection.SelectKBest` does; the original leaves their order to an
    unstable sort. A penalised intercept predicts a
    constant target as a share of it, :math:`n / (n + \alpha)` where X is centred.

    **Exact shortcuts.** The intercept is eliminated, and the cheapest of these ways to the same
    solution is taken: "gram", all inner products of features once, and for each target its part
    of them and a Cholesky factorisation; "complement", where few features are left out, the
    inverse of all once, and for each target equations in only those left out; "columns", where
    there are too many features for all inner products, those of the selected ones only;
    "dual", where there are fewer rows than selected features, inner products of rows; "all",
    where all features are used, one factorisation for all targets. They agree to rounding.

    **Repeats.** Rows that occur several times may be given once, with their number as
    `sample_weight`. Where only rows of y repeat (several trials of one image, each with its
    own response in X), give each once, and in `y_rows` the row of y for each row of X. Both
    equal the repeated data exactly, selection included.

    **Memory.** Beside X, y and the results: at most 256 MB for centred features, up to 512 MB
    (for 8192 features) of inner products, and for each thread some chunks. y may have any number
    of dimensions and may be lazy: anything with ``shape``, a numpy ``dtype`` and slicing
    (a dataset of h5py) is read in parts of about 64 MB along its second dimension. A lazy X is
    read into memory in its own dtype by ``fit``, and in parts by ``predict``.

    ``score`` is the mean of the targets' :math:`R^2`, over all dimensions of y.

    References
    ----------
    Nonaka, S., Majima, K., Aoki, S. C., & Kamitani, Y. (2021). Brain hierarchy score: Which deep
    neural networks are hierarchically brain-like? iScience, 24(9), 103013.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import SelectKBestRidge
    >>> rng = np.random.default_rng(0)
    >>> voxels = rng.normal(size=(60, 40))
    >>> units = voxels[:, :6].reshape(60, 2, 3) + 0.1 * rng.normal(size=(60, 2, 3))
    >>> decoder = SelectKBestRidge(alpha=1, k=5).fit(voxels, units)
    >>> decoder.predict(voxels[:4]).shape
    (4, 2, 3)
    >>> bool((decoder.indices_ == np.arange(6)[:, None]).any(axis=1).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "k": [Interval(Integral, 1, None, closed="left")],
        "penalize_intercept": ["boolean"],
        "dtype": [StrOptions({"float64", "float32"})],
        "chunk_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        alpha: float = 100,
        k: int = 500,
        *,
        penalize_intercept: bool = True,
        dtype: str = "float64",
        chunk_size: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.k = k
        self.penalize_intercept = penalize_intercept
        self.dtype = dtype
        self.chunk_size = chunk_size
        self.n_threads = n_threads

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike | Any,
        y: ArrayLike | Any,
        sample_weight: ArrayLike | None = None,
        y_rows: ArrayLike | None = None,
    ) -> SelectKBestRidge:
        """Select features of each target, and find their coefficients.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Features of any real dtype.
        y : array-like or lazy array of shape (n_samples,) or (n_samples, ...)
            Targets of any real dtype; with `y_rows`, of any number of rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows of X. A row of weight 3 counts as three equal rows, one of weight
            0 as none.
        y_rows : array-like of int of shape (n_samples,), default=None
            Row of y that belongs to each row of X. None: the same row.

        Returns
        -------
        self : SelectKBestRidge
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y has NaN or infinity (the columns are named), lengths differ, weights are
            negative or all zero, or `alpha` is too small for the features to be told apart.

        Warns
        -----
        UserWarning
            If columns of X vary, but so little that they count as constant.
        """
        if y is None:
            raise ValueError("SelectKBestRidge requires y to be passed, but the target y is None.")
        check_rows(X, y)
        X = checked_features(self, X, reset=True)
        X = inputs.read_columns(X) if is_lazy(X) else X
        inputs.check_finite(X, "X", getattr(self, "feature_names_in_", None))
        y = inputs.check_targets(y)
        if y_rows is None:
            check_consistent_length(X, y)
        X, weights, used, rows = inputs.match_rows(X, y.shape[0], sample_weight, y_rows)
        threads = self.n_threads or blas_threads()
        n, p = X.shape
        with self._blas_limit(min(n, p) * (n + p) * p):
            design, variance = solvers.make_design(
                X, weights, rows, float(self.alpha), self.penalize_intercept
            )
            self.k_ = min(int(self.k), p)
            self.target_shape_ = tuple(map(int, y.shape[1:]))
            n_targets = math.prod(self.target_shape_)
            self.indices_: NDArray[np.int32] = np.empty((n_targets, self.k_), np.int32)
            self.coefficients_: Floats = np.empty((n_targets, self.k_), self.dtype)
            self.intercept_: Floats = np.empty(n_targets, self.dtype)
            if self.k_ < p:
                inputs.warn_of_tiny(variance, design.mean)
            dtype = np.dtype(self.dtype).type
            self.method_ = solvers.choose_method(design.n_rows, p, self.k_, n_targets)
            solve = solvers.make_solver(design, self.k_, self.method_, dtype)
        self._fit_targets(partial(solvers.solve_chunk, design, solve), y, used, threads)
        return self

    def predict(self, X: ArrayLike | Any) -> Array:
        """Predict the targets.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Features of any real dtype.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, ...)
            Predictions in the shape of the targets of ``fit``, float64.
        """
        check_is_fitted(self)
        X = checked_features(self, X, reset=False)
        n, p = X.shape
        out = np.empty((n, len(self.intercept_)))
        with self._blas_limit(n * p * len(self.intercept_)):
            step = max(1, _PREDICT_ELEMENTS // p)  # rows that may be in memory
            for start in range(0, n, step):
                part = np.asarray(X[start : start + step])
                inputs.check_finite(part, "X", getattr(self, "feature_names_in_", None))
                part = part.astype(np.float64, copy=False)
                self._predict_part(part, out[start : start + step])
        return out.reshape(n, *self.target_shape_)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean of the targets' coefficients of determination.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, ...)
            True targets, in the shape of those of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Mean of :math:`R^2` over targets.
        """
        predicted = self.predict(X)
        true = np.asarray(y)
        if true.shape != predicted.shape:
            raise ValueError(
                f"y has shape {true.shape}, but predictions have {predicted.shape}: give targets "
                "in the shape of those of fit."
            )
        flat = (len(predicted), -1)
        return float(
            r2_score(true.reshape(flat), predicted.reshape(flat), sample_weight=sample_weight)
        )

    @property
    def coef_(self) -> csr_array:
        """The coefficients in their columns."""
        check_is_fitted(self)
        n_targets, k = self.coefficients_.shape
        starts = np.arange(0, n_targets * k + 1, k)
        parts = (self.coefficients_.ravel(), self.indices_.ravel(), starts)
        return csr_array(parts, shape=(n_targets, self.n_features_in_))

    def _fit_targets(
        self, work: Callable, y: Any, used: NDArray[np.intp] | None, threads: int
    ) -> None:
        """Solve chunks of targets in threads, reading no further ahead than these can take."""
        size = self.chunk_size or max(1, min(_CHUNK, _CHUNK_ELEMENTS // self.n_features_in_))
        waiting: deque[tuple[slice, Future]] = deque()

        def store() -> None:
            which, future = waiting.popleft()
            self.indices_[which], self.coefficients_[which], self.intercept_[which] = (
                future.result()
            )

        limit = blas().limit(limits=1, user_api="blas")
        with limit, ThreadPoolExecutor(threads) as pool:
            for which, chunk in inputs.chunks_of_targets(y, used, size):
                waiting.append((which, pool.submit(work, chunk)))
                if len(waiting) > 2 * threads:
                    store()
            while waiting:
                store()

    def _blas_limit(self, cost: float) -> AbstractContextManager:
        """BLAS's threads for so many multiplications.

        On a busy machine they wait for each other longer than small products take.
        """
        threads = (self.n_threads or blas_threads()) if cost > _THREADED else 1
        return blas().limit(limits=threads, user_api="blas")

    def _predict_part(self, part: Array, out: Array) -> None:
        """Predictions from some rows, into `out`."""
        p = self.n_features_in_
        if self.k_ * _SPARSE < p:
            out[:] = (self.coef_ @ np.ascontiguousarray(part.T)).T
        else:
            step = max(_CHUNK, _PREDICT_ELEMENTS // p)
            for start in range(0, len(self.intercept_), step):
                some = slice(start, start + step)
                dense = np.zeros((len(self.intercept_[some]), p))
                columns = self.indices_[some].astype(np.intp)
                np.put_along_axis(dense, columns, self.coefficients_[some], axis=1)
                out[:, some] = part @ dense.T
        out += self.intercept_
