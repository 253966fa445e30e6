"""The RDM as a transformer."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._array_blocks import is_lazy
from skdnn._sklearn import Interval, fit_context, wants_dataframe
from skdnn.rsa._dissimilarity._component_signs import TellsSigns
from skdnn.rsa._dissimilarity._compute_rdm import check_metric, compute_rdm
from skdnn.rsa._dissimilarity._noise_precision import check_precision
from skdnn.rsa._dissimilarity._patterns import check_finite


# sklearn's own wrapper fixes column names at fit; the columns here are the rows of each call.
class RDM(TellsSigns, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turn patterns into their representational dissimilarity matrix.

    The rows that are transformed are compared with each other, never with the rows seen in
    ``fit``: in cross-validation the RDM of a test fold is among its own conditions only.

    Parameters
    ----------
    metric : str, default="correlation"
        ``"correlation"``, ``"spearman"``, ``"cosine"``, ``"euclidean"``, ``"sqeuclidean"``,
        ``"sqeuclidean_per_feature"``, ``"gaussian"``, ``"mahalanobis"``, ``"poisson"``, or
        another metric name of :func:`scipy.spatial.distance.pdist`; see
        :func:`skdnn.rsa.compute_rdm` for the definitions. ``"crossnobis"`` needs labels of
        repeated measurements, which rows alone do not have: it is for that function.
    gamma : float, default=None
        Width of the Gaussian; None is ``1 / n_features``. Other metrics ignore it.
    noise_precision : array-like of shape (n_features, n_features) or (n_features,), default=None
        Inverse covariance of the noise, or its diagonal: ``"mahalanobis"`` needs it, and no other
        metric takes it.
    prior_lambda : float, default=1.0
        Rate of the prior of ``"poisson"``. Other metrics ignore it.
    prior_weight : float, default=0.1
        Weight of that prior.
    metric_params : dict, default=None
        Further arguments for :func:`scipy.spatial.distance.pdist`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    Warns
    -----
    UserWarning
        In ``fit``, if X is what a PCA makes of its own training rows and the metric is
        ``"correlation"`` or ``"spearman"``: signs of components, a convention, would decide.
        Clones of one RDM say it once.

    See Also
    --------
    compute_rdm : The same as a function.
    RSAScorer : Compares the RDM with a target.

    Notes
    -----
    X may be a lazy array (a dataset of h5py, a stored layer), which ``fit`` does not read and
    ``transform`` reads in blocks, see :func:`skdnn.rsa.compute_rdm`.

    The output has one column per *condition of the call*, so there are no output feature names
    to ask for before it, and no ``get_feature_names_out``. With ``set_output(transform="pandas")``
    the labelled RDM comes as a DataFrame: index and columns are the index of X, or
    ``0, 1, ...`` if X has none.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import RDM
    >>> patterns = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> RDM("sqeuclidean").fit_transform(patterns)
    array([[ 0., 25.,  1.],
           [25.,  0., 18.],
           [ 1., 18.,  0.]])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "metric": [str],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "noise_precision": ["array-like", None],
        "prior_lambda": [Interval(Real, 0, None, closed="neither")],
        "prior_weight": [Interval(Real, 0, None, closed="neither")],
        "metric_params": [dict, None],
    }

    def __init__(
        self,
        metric: str = "correlation",
        *,
        gamma: float | None = None,
        noise_precision: ArrayLike | None = None,
        prior_lambda: float = 1.0,
        prior_weight: float = 0.1,
        metric_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.metric = metric
        self.gamma = gamma
        self.noise_precision = noise_precision
        self.prior_lambda = prior_lambda
        self.prior_weight = prior_weight
        self.metric_params = metric_params

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: Any = None) -> RDM:
        """Check the parameters and X; nothing is learnt.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_conditions, n_features)
            Patterns.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : RDM
            The estimator itself.
        """
        check_metric(self.metric, **self._options())
        patterns = self._checked(X, reset=True)
        if self.noise_precision is not None:
            check_precision(self.noise_precision, patterns.shape[1])
        if not is_lazy(patterns):
            check_finite(patterns, X.index if isinstance(X, pd.DataFrame) else None)
            self._tell_scores(patterns, stacklevel=4)
        return self

    def transform(self, X: ArrayLike | pd.DataFrame) -> Any:
        """Compute the RDM of the rows of X.

        Parameters
        ----------
        X : array-like or lazy array of shape (n_conditions, n_features)
            Patterns, two or more.

        Returns
        -------
        rdm : ndarray or DataFrame of shape (n_conditions, n_conditions), float64
            A DataFrame after ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        patterns = self._checked(X, reset=False)
        index = X.index if isinstance(X, pd.DataFrame) else None
        # With labels, so that a warning can name the conditions.
        labelled = patterns if index is None else pd.DataFrame(patterns, index=index, copy=False)
        rdm = compute_rdm(labelled, self.metric, **self._options())
        if wants_dataframe(self):
            return rdm if index is not None else pd.DataFrame(rdm)
        return rdm if index is None else rdm.to_numpy()

    def set_output(self, *, transform: Literal["default", "pandas"] | None = None) -> RDM:
        """Choose what ``transform`` returns.

        Parameters
        ----------
        transform : {"default", "pandas"} or None, default=None
            ``"pandas"``: a DataFrame labelled by condition on both sides; ``"default"``: an
            array; None leaves the choice as it is.

        Returns
        -------
        self : RDM
            The estimator itself.

        Raises
        ------
        ValueError
            For any other container.
        """
        if transform is None:
            return self
        if transform not in ("default", "pandas"):
            raise ValueError(
                f"transform={transform!r} is not supported by RDM: choose 'default' or 'pandas'. "
                "A labelled RDM needs row labels, which other containers lack."
            )
        self._sklearn_output_config = {"transform": transform}
        return self

    @property
    def _compares_by(self) -> str:
        return self.metric

    def _options(self) -> dict[str, Any]:
        """The parameters but for the metric, as `compute_rdm` takes them."""
        return {name: value for name, value in self.get_params().items() if name != "metric"}

    def _checked(self, X: Any, reset: bool) -> Any:
        """X as a 2-D array of its own dtype, or the lazy array."""
        if is_lazy(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        return validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
