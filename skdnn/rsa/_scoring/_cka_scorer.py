"""Score features by their CKA with measured patterns, in scikit-learn's cross-validation."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._array_blocks import is_lazy
from skdnn._labels import row_labels
from skdnn._sklearn import Interval, StrOptions, fit_context
from skdnn.rsa._comparison._centred_products import Patterns, check_finite, read_patterns
from skdnn.rsa._comparison._cka import Centring, cka_table, warn_undefined
from skdnn.rsa._comparison._rdm_stack import check_unique, is_rdm_like
from skdnn.rsa._scoring._representation import check_rows, representation
from skdnn.rsa._scoring._targets import could_be_rdm, named, separate

_RDM = (
    "{what}, but CKA compares patterns: {instead}. To compare RDMs, use RSAScorer "
    "(comparison='cosine_cov' on squared Euclidean RDMs is the biased linear CKA)."
)


class CKAScorer(BaseEstimator):
    """Score features by their CKA with patterns: the end of a pipeline, or ``scoring=``.

    As the last step of a pipeline, behind a transformer, ``score`` compares the features of the
    conditions it is given with their patterns, by centred kernel alignment. As ``scoring=`` of
    ``cross_val_score``, ``GridSearchCV`` and the like, it takes features from an estimator that
    ends in a transformer, or predicted patterns from a predictor.

    Parameters
    ----------
    kernel : {"linear", "rbf"}, default="linear"
        See :func:`skdnn.rsa.cka`.
    debiased : bool, default=True
        Use the unbiased estimator, under which unrelated features score 0 on average whatever
        their number. The biased one prefers wide layers, all the more in small folds.
    gamma : float, default=None
        Of the Gaussian; None is the median heuristic among the conditions that are scored.
    bandwidth : float, default=1.0
        Share of the median distance, see :func:`skdnn.rsa.cka`.
    detail : bool, default=False
        As ``scoring=``, return a dict: the score, and one score for each separate block of
        columns of y. Searches then need ``refit="score"``.

    Attributes
    ----------
    target_names_ : list of str
        Names of the separate blocks of columns of y (subjects, ROIs), levels joined by ``"/"``;
        empty if there is only one.
    n_conditions_ : int
        Number of conditions in ``fit``.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    See Also
    --------
    cka : The similarity as a function.
    RSAScorer : Scores an RDM.

    Notes
    -----
    Features and patterns are centred among the conditions that are scored, so that a test fold
    knows of no other conditions. A fold needs four conditions, three with ``debiased=False``.

    *Several targets.* If the columns of y are a MultiIndex, the last level names voxels, and the
    levels before it separate patterns, e.g. subjects and ROIs. The score is the mean over them;
    one that is NaN, since its patterns don't vary in the fold, makes the mean NaN, with a
    RuntimeWarning that names it.

    *Labels of images.* If rows of y are labelled by strings and X are image paths (or a
    DataFrame with a string index), each label must name its image: path, file name or stem.

    References
    ----------
    Kornblith, S., Norouzi, M., Lee, H., & Hinton, G. (2019). Similarity of neural network
    representations revisited. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdnn.rsa import CKAScorer
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(24, 10))
    >>> voxels = features @ rng.normal(size=(10, 30))
    >>> folds = KFold(3, shuffle=True, random_state=0)
    >>> cross_val_score(PCA(5), features, voxels, cv=folds, scoring=CKAScorer()).round(2)
    array([0.73, 0.74, 0.78])
    >>> cross_val_score(make_pipeline(PCA(5), CKAScorer()), features, voxels, cv=folds).round(2)
    array([0.73, 0.74, 0.78])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "kernel": [StrOptions({"linear", "rbf"})],
        "debiased": ["boolean"],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "bandwidth": [Interval(Real, 0, None, closed="neither")],
        "detail": ["boolean"],
    }

    # At the end of a pipeline, other scorers pass over it.
    _only_scores = True

    # As in RSAScorer: Pipeline.score passes the name on, and a weight stays an error.
    __metadata_request__score = {"sample_weight": None}  # noqa: RUF012

    def __init__(
        self,
        kernel: str = "linear",
        *,
        debiased: bool = True,
        gamma: float | None = None,
        bandwidth: float = 1.0,
        detail: bool = False,
    ) -> None:
        self.kernel = kernel
        self.debiased = debiased
        self.gamma = gamma
        self.bandwidth = bandwidth
        self.detail = detail

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> CKAScorer:
        """Check the features, the patterns and the parameters; nothing is learnt.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features.
        y : array-like or DataFrame of shape (n_conditions, n_voxels)
            Patterns.

        Returns
        -------
        self : CKAScorer
            The estimator itself.

        Raises
        ------
        ValueError
            If labels don't match or repeat, there are too few conditions, X or y is an RDM, or
            there is NaN or infinity, naming the rows.
        """
        features, targets = self._checked(X, y, reset=True)
        self.target_names_ = [name for name in targets if name]
        self.n_conditions_ = features.shape[0]
        return self

    def score(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> float:
        """CKA of the features with the patterns of the same conditions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features.
        y : array-like or DataFrame of shape (n_conditions, n_voxels)
            Patterns.

        Returns
        -------
        score : float
            Mean over the separate blocks of columns of y.
        """
        check_is_fitted(self)
        return self._score(*self._checked(X, y, reset=False))["score"]

    def __call__(self, estimator: Any, X: Any, y: Any) -> float | dict[str, float]:
        """Score a fitted estimator, as scikit-learn calls a scorer.

        Parameters
        ----------
        estimator : estimator
            Ends in a transformer or a predictor. A trailing scorer is passed over, and a fitted
            search stands for its best estimator.
        X : array-like of length n_conditions
            What the estimator takes.
        y : array-like or DataFrame of shape (n_conditions, n_voxels)
            Patterns.

        Returns
        -------
        score : float or dict of str to float
            A dict with ``"score"`` and one entry per separate block of y if ``detail=True``.
        """
        self._validate_params()
        check_rows(X, y, None)
        values, is_rdm = representation(estimator, X)
        if is_rdm:
            raise ValueError(
                _RDM.format(what="The estimator ends in RDM", instead="leave RDM() out")
            )
        if np.ndim(values) != 2:
            raise ValueError(
                f"The estimator gives an array of shape {np.shape(values)}, but CKA needs a "
                "pattern for each condition: predict several outputs, or end in a transformer."
            )
        targets = self._targets(y)
        scores = self._score(self._features(values, len(y)), targets)
        return scores if self.detail else scores["score"]

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Patterns, dict[str, Patterns]]:
        """Features and patterns of a call of ``fit`` or ``score``."""
        if is_lazy(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            values = X
        else:
            values = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False)
        check_rows(X, y, values.shape[0])
        features = self._features(values, len(y))
        if not is_lazy(values):
            check_finite(features.data, features)
        return features, self._targets(y)

    def _features(self, values: Any, n_conditions: int) -> Patterns:
        features = read_patterns(values, "X")
        n, p = features.shape
        if n != n_conditions:
            raise ValueError(f"y has {n_conditions} rows, but there are {n} conditions in X.")
        self._check_enough(n)
        if n == p and not is_lazy(values) and is_rdm_like(np.asarray(values, dtype=np.float64)):
            raise ValueError(_RDM.format(what="X is an RDM", instead="leave RDM() out"))
        return features

    def _targets(self, y: Any) -> dict[str, Patterns]:
        """The separate blocks of columns of y, checked."""
        values = y if isinstance(y, pd.DataFrame) else np.asarray(y)
        if len(np.shape(values)) != 2:
            raise ValueError(
                f"y has shape {np.shape(values)}, but CKA needs a pattern for each condition: "
                "(n_conditions, n_voxels), or np.reshape(y, (-1, 1)) for a single measurement. "
                "Several subjects or ROIs go side by side in a DataFrame whose columns are a "
                "MultiIndex (subject, voxel)."
            )
        self._check_enough(len(values))
        if isinstance(y, pd.DataFrame) and row_labels(y) is not None:
            check_unique(y.index, "row labels of y")
        frames = separate(y) if isinstance(y, pd.DataFrame) else {"": values}
        targets = {name: read_patterns(frame, named(name)) for name, frame in frames.items()}
        for name, patterns in targets.items():
            check_finite(patterns.data, patterns)
            if _is_rdm(frames[name], patterns):
                raise ValueError(
                    _RDM.format(what=f"{patterns.name} is an RDM", instead="pass patterns as y")
                )
        return targets

    def _check_enough(self, n: int) -> None:
        least = 4 if self.debiased else 3
        if n < least:
            raise ValueError(
                f"CKA needs {'four' if self.debiased else 'three'} conditions or more in each "
                f"fold with debiased={self.debiased}, but there are {n} (n_samples = {n}). Use "
                "fewer folds."
            )

    def _score(self, features: Patterns, targets: dict[str, Patterns]) -> dict[str, float]:
        centre = Centring(self.kernel, self.gamma, self.bandwidth)
        values, undefined = cka_table([features], list(targets.values()), centre, self.debiased)
        warn_undefined(undefined, "CKA", stacklevel=4)
        each = dict(zip(targets, values[0].tolist(), strict=True))
        score = {"score": float(np.mean(values))}
        return score | {name: value for name, value in each.items() if name}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags


def _is_rdm(given: Any, patterns: Patterns) -> bool:
    """By the labels of rows and columns, else by zeros and symmetry."""
    if isinstance(given, pd.DataFrame) and row_labels(given) is not None:
        return bool(given.index.isin(given.columns).all())
    return could_be_rdm(patterns.data)
