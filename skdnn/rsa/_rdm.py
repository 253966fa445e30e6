"""The RDM as a transformer."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._sklearn import Interval, fit_context, wants_dataframe
from skdnn.rsa._dissimilarity import check_finite, check_metric, compute_rdm


# sklearn's own wrapper fixes column names at fit; the columns here are the rows of each call.
class RDM(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turn patterns into their representational dissimilarity matrix.

    The rows that are transformed are compared with each other, never with the rows seen in
    ``fit``: in cross-validation the RDM of a test fold is among its own conditions only.

    Parameters
    ----------
    metric : str, default="correlation"
        ``"correlation"``, ``"euclidean"``, ``"sqeuclidean"``, ``"cosine"``, ``"gaussian"``, or
        another metric name of :func:`scipy.spatial.distance.pdist`; see
        :func:`skdnn.rsa.compute_rdm` for the definitions.
    gamma : float, default=None
        Width of the Gaussian; None is ``1 / n_features``. Other metrics ignore it.
    metric_params : dict, default=None
        Further arguments for :func:`scipy.spatial.distance.pdist`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    See Also
    --------
    compute_rdm : The same as a function.
    RSAScorer : Compares the RDM with a target.

    Notes
    -----
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
        "metric_params": [dict, None],
    }

    def __init__(
        self,
        metric: str = "correlation",
        *,
        gamma: float | None = None,
        metric_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.metric = metric
        self.gamma = gamma
        self.metric_params = metric_params

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: Any = None) -> RDM:
        """Check the parameters and X; nothing is learnt.

        Parameters
        ----------
        X : array-like of shape (n_conditions, n_features)
            Patterns.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : RDM
            The estimator itself.
        """
        check_metric(self.metric, self.gamma, self.metric_params)
        self._checked(X, reset=True)
        return self

    def transform(self, X: ArrayLike | pd.DataFrame) -> Any:
        """Compute the RDM of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_conditions, n_features)
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
        labelled = patterns if index is None else pd.DataFrame(patterns, index=index)
        rdm = compute_rdm(
            labelled, self.metric, gamma=self.gamma, metric_params=self.metric_params
        )
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

    def _checked(self, X: Any, reset: bool) -> Any:
        patterns = validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1
        )
        check_finite(patterns, X.index if isinstance(X, pd.DataFrame) else None)
        return patterns

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
