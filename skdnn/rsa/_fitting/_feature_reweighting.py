"""Feature-reweighted RSA: a weight for every feature, learnt from the training conditions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._sklearn import StrOptions, fit_context
from skdnn.rsa._fitting._pair_ridge import reweight, weighted_pairs
from skdnn.rsa._fitting._rdm_predictor import (
    SHARED_CONSTRAINTS,
    RDMPredictor,
    best_alpha,
    check_length,
    condition_folds,
    needed_target,
    read_alphas,
    scores_by_fold,
    strongest_as_good,
)
from skdnn.rsa._scoring._targets import Targets

Array = NDArray[np.float64]

# A pattern that is shorter than this share of what it was is the rounding of the mean.
_ROUNDING = 1e-12
_ALPHAS = {"equal": np.logspace(-3, 6, 10), "zero": np.logspace(-3, 4, 8)}


class FeatureReweightedRSA(RDMPredictor):
    r"""Predict an RDM by squared differences of features, each with a weight of its own.

    Classical RSA gives every feature the same weight. Here the weights are fitted by ridge
    regression to the target's dissimilarities among the training conditions, and
    ``predict`` gives the RDM of other conditions (Kaniuth & Hebart, 2022). By default the penalty
    draws weights together, and the patterns are prepared such that equal weights give the
    correlation distance: the strongest penalty is RSA without a fit.

    Parameters
    ----------
    comparison : str, default="spearman"
        How the predicted and the target RDM are compared in ``score``, and in choosing alpha;
        see :func:`skdnn.rsa.compare_rdms`.
    target : {"auto", "rdm", "patterns"}, default="auto"
        What y is, see :class:`RSAScorer`.
    target_metric : str, default="correlation"
        Dissimilarity for patterns in y, see :func:`skdnn.rsa.compute_rdm`.
    nonnegative : bool, default=False
        Allow no negative weights: with ``fit_intercept=False`` the prediction is then a squared
        Euclidean distance.
    normalize : bool, default=True
        Subtract from each feature its mean among the training conditions, then give each pattern
        the mean 0 and the length 1: a sum of squared differences is then twice the correlation
        distance. False takes features as they are: for targets that are (squared) Euclidean
        distances, and where magnitudes count.
    standardize : bool, default=False
        Divide each feature by its standard deviation among the training conditions, before the
        patterns are normalised. Units that hardly vary then count as much as any.
    shrink_to : {"equal", "zero"}, default="equal"
        What the penalty draws weights to: ``"equal"``, the one weight that would be best for all
        features, or ``"zero"``, as published.
    fit_intercept : bool, default=True
        Add a constant to all pairs. It changes no correlation.
    alphas : float or array-like, default=None
        Strength of the penalty on the squared weights, positive, relative to the mean variance
        of the squared differences: the ridge parameter is
        :math:`\lambda = \alpha \operatorname{tr}(G) / p` with G as in the Notes, so that one
        grid serves for all units and numbers of conditions. Of several values, cross-validation
        over the training conditions takes the one with the best score, or with
        ``shrink_to="equal"`` the largest that is no more than one standard error below it. None
        is ``np.logspace(-3, 6, 10)``, or ``np.logspace(-3, 4, 8)`` with ``shrink_to="zero"``.
    cv : int, splitter or iterable, default=None
        The inner cross-validation that chooses alpha; its folds are folds of *conditions*, and
        only pairs within the held-out conditions are predicted. An int is a shuffled
        :class:`~sklearn.model_selection.KFold`; None is five folds, or fewer where a fold would
        have less than four conditions. A splitter must need no y.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds where `cv` is None or an int.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,), float64
        Weight of the squared difference of each feature (after scaling).
    intercept_ : float
        Constant that is added to all pairs.
    scale_ : ndarray of shape (n_features,), float64
        What each feature is divided by.
    mean_ : ndarray of shape (n_features,), float64
        What is subtracted from each feature with ``normalize=True``.
    alpha_ : float
        The penalty that was chosen.
    alphas_ : ndarray of shape (n_alphas,), float64
        The penalties that were tried.
    cv_scores_ : ndarray of shape (n_alphas,) or None
        Mean score of each over the inner folds; None if there was only one.
    unfitted_score_ : float or None
        Mean score over the same folds without a fit: of the correlation distance of the centred
        features, or the squared Euclidean distance of the features, whichever is better.
    target_ : {"rdm", "patterns"}
        What y was taken for.
    rdm_names_ : list of str
        Names of the separate RDMs in y; empty if there is only one.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame whose columns are all strings.

    Warns
    -----
    UserWarning
        In ``fit``, if no penalty predicts held-out training conditions as well as no fit does,
        to a standard error over the inner folds; or if features are the scores of a PCA, whose
        signs decide with ``normalize=True`` (see ``keep_correlation`` of
        :class:`skdnn.GramPCA`).

    See Also
    --------
    LayerMixtureRSA : One weight per layer instead of one per feature.
    RSAScorer : RSA without weights; it also takes this estimator's prediction for an RDM.

    Notes
    -----
    With features :math:`x_{if}` of the :math:`n` training conditions, prepared, and target
    dissimilarities :math:`d_{ij}`, the weights minimise

    .. math::
        \sum_{i<j} \Big( d_{ij} - b - \sum_f w_f (x_{if} - x_{jf})^2 \Big)^2
        + \lambda \sum_f (w_f - w_0)^2,

    where :math:`w_0` is the least-squares weight of all features alike (at least a little above
    0), or 0 with ``shrink_to="zero"``.

    *What it must be compared with* is RSA without a fit, of features prepared as well: centred by
    the training mean, ``make_pipeline(StandardScaler(with_std=False), RDM("correlation"))``.
    Spearman with human IT of the 92 images in two times five outer folds, units of
    EfficientNet-Lite0 (blocks averaged over space):

    ==================================== ======= ======= ======= ===========
    .                                    block 1 block 3 block 5 penultimate
    ==================================== ======= ======= ======= ===========
    units                                24      80      192     1280
    correlation, no fit                  .205    .196    .340    .251
    the same, centred                    .208    .227    .345    .330
    the default                          .278    .283    .503    .347
    ``normalize=False``                  .240    .223    .429    .188
    as published, on standardised units  .303    .293    .431    .152
    ==================================== ======= ======= ======= ===========

    Where all features count alike, a fit can only lose: of 100 such features and 40 conditions
    the default keeps .154 of .170, and the published way .027 (20 studies).

    Conditions are what is sampled; pairs that share one are not independent. All folds are
    therefore folds of conditions, outside (cross-validate this estimator as any other) and
    inside, in the choice of alpha.

    *The design is not formed.* For centred features the cross products of its columns are
    :math:`\sum_{i<j} (x_{if} - x_{jf})^2 (x_{ig} - x_{jg})^2 = n \sum_i x_{if}^2 x_{ig}^2 +
    \sum_i x_{if}^2 \sum_i x_{ig}^2 + 2 \left( \sum_i x_{if} x_{ig} \right)^2`: three matrix
    products. G is that matrix less the part of the means over pairs. If there are fewer pairs
    than features, the kernel among pairs is used, which gives the same weights.
    Non-negative weights need the matrix among features; they are found by block principal
    pivoting, which ends at the exact minimum.

    *Several RDMs in y* (MultiIndex columns) have one set of weights in common, fitted to the
    mean of the RDMs, each z-scored over the training pairs first. ``score`` is the mean over
    them. For weights of a subject's own, fit the subjects one by one.

    *Unknown pairs* (NaN in y) are left out; the cross products are then summed pair by pair,
    which takes longer.

    The predicted RDM is symmetric with a zero diagonal, but need not be a metric, and its values
    may be negative: some weights are unless ``nonnegative=True``, and so may the intercept be.
    If all weights are zero, as non-negative ones may be, the prediction is constant and scores 0.

    References
    ----------
    Kaniuth, P., & Hebart, M. N. (2022). Feature-reweighted representational similarity analysis:
    A method for improving the fit between computational models, brains, and behavior.
    NeuroImage, 257, 119294.

    Kim, J., & Park, H. (2011). Fast nonnegative matrix factorization: An active-set-like method
    and comparisons. SIAM Journal on Scientific Computing, 33(6), 3261-3281.

    Examples
    --------
    Voxels that see only two of ten features:

    >>> import numpy as np
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from skdnn.rsa import RDM, FeatureReweightedRSA, RSAScorer
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(40, 10))
    >>> voxels = features[:, :2] @ rng.normal(size=(2, 30)) + rng.normal(size=(40, 30))
    >>> folds = KFold(4, shuffle=True, random_state=0)
    >>> scorer = RSAScorer(metric="sqeuclidean")
    >>> cross_val_score(RDM("sqeuclidean"), features, voxels, cv=folds, scoring=scorer).round(2)
    array([0.34, 0.46, 0.5 , 0.35])
    >>> reweighted = FeatureReweightedRSA(
    ...     target_metric="sqeuclidean", normalize=False, random_state=0)
    >>> cross_val_score(reweighted, features, voxels, cv=folds).round(2)
    array([0.84, 0.91, 0.9 , 0.95])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        **SHARED_CONSTRAINTS,
        "nonnegative": ["boolean"],
        "standardize": ["boolean"],
        "normalize": ["boolean"],
        "shrink_to": [StrOptions({"equal", "zero"})],
    }

    def __init__(
        self,
        comparison: str = "spearman",
        *,
        target: str = "auto",
        target_metric: str = "correlation",
        nonnegative: bool = False,
        normalize: bool = True,
        standardize: bool = False,
        shrink_to: str = "equal",
        fit_intercept: bool = True,
        alphas: float | ArrayLike | None = None,
        cv: Any = None,
        random_state: Any = None,
    ) -> None:
        self.comparison = comparison
        self.target = target
        self.target_metric = target_metric
        self.nonnegative = nonnegative
        self.normalize = normalize
        self.standardize = standardize
        self.shrink_to = shrink_to
        self.fit_intercept = fit_intercept
        self.alphas = alphas
        self.cv = cv
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame
    ) -> FeatureReweightedRSA:
        """Learn the weights from the pairs of the training conditions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target: patterns or labelled RDM, as :class:`RSAScorer` takes it.

        Returns
        -------
        self : FeatureReweightedRSA
            The estimator itself.

        Raises
        ------
        ValueError
            If y is refused (see :class:`RSAScorer`), no feature or no target RDM varies among
            the conditions, or there are so many pairs and features that neither of the two
            matrices fits into 2 GB.
        """
        features = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._tell_scores(features, stacklevel=4)
        targets = self._read_y(X, y)
        check_length(targets, len(features))
        target = needed_target(targets)
        self.alphas_ = read_alphas(self.alphas, _ALPHAS[self.shrink_to], zero=False)
        self.alpha_ = float(self.alphas_[0])
        self.cv_scores_: Array | None = None
        self.unfitted_score_: float | None = None
        if len(self.alphas_) > 1:
            self._choose(features, targets)
        chosen = np.array([self.alpha_])
        self.mean_, self.scale_ = _moments(features, self.standardize)
        moments = self.mean_, self.scale_
        weights, intercepts = self._solve(features, moments, target, chosen)
        self.coef_ = weights[:, 0]
        self.intercept_ = float(intercepts[0])
        return self

    def predict(self, X: ArrayLike | pd.DataFrame) -> Array:
        """RDM of the conditions in X.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            Features of any conditions, two or more.

        Returns
        -------
        rdm : ndarray of shape (n_conditions, n_conditions), float64
            Symmetric, with a zero diagonal; some values may be negative.
        """
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=np.float64, ensure_min_samples=2)
        ready = _ready(features, self.mean_, self.scale_, self.normalize)
        pairs = weighted_pairs(ready, self.coef_[:, None])[0]
        return squareform(pairs + self.intercept_, checks=False)

    @property
    def _compares_by(self) -> str:
        return "correlation" if self.normalize else "sqeuclidean"

    def _choose(self, features: Array, targets: Targets) -> None:
        """Set the penalty by folds of conditions, and say where no fit would be better."""
        folds = condition_folds(self.cv, len(features), self.random_state)

        def fit_predict(train: Any, test: Any, known: Array, alphas: Array) -> Array:
            moments = _moments(features[train], self.standardize)
            weights, intercepts = self._solve(features[train], moments, known, alphas)
            ready = _ready(features[test], *moments, self.normalize)
            fitted = weighted_pairs(ready, weights) + intercepts[:, None]
            return np.concatenate([fitted, _without_fit(features[train], features[test])])

        scores = scores_by_fold(fit_predict, targets, self.alphas_, folds, self.comparison)
        if not scores.size:
            self.alpha_ = float(self.alphas_.max())
            self.cv_scores_ = np.full(len(self.alphas_), np.nan)
            return
        fitted, unfitted = scores[: len(self.alphas_)], scores[len(self.alphas_) :]
        means = fitted.mean(axis=1)
        self.cv_scores_ = means
        self.unfitted_score_ = float(unfitted.mean(axis=1).max())
        if self.shrink_to == "equal":
            self.alpha_ = strongest_as_good(self.alphas_, fitted)
        else:
            self.alpha_ = best_alpha(self.alphas_, means)
        if _is_behind(fitted[np.argmax(means)], unfitted):
            warnings.warn(
                f"FeatureReweightedRSA predicts held-out training conditions by "
                f"{means.max():.3f} at best, and features without a fit by "
                f"{self.unfitted_score_:.3f} ({self.comparison}): the fit is worse than none. "
                "See normalize=, standardize= and shrink_to=, or use RDM.",
                UserWarning,
                stacklevel=5,
            )

    def _solve(
        self, features: Array, moments: tuple[Array, Array], target: Array, alphas: Array
    ) -> tuple[Array, Array]:
        """Weights (n_features, n_alphas) and intercepts."""
        ready = _ready(features, *moments, self.normalize)
        if not self.normalize:
            ready[:, np.ptp(features, axis=0) == 0] = 0  # not the round-off of a mean
        return reweight(
            ready - ready.mean(axis=0),
            target,
            alphas,
            nonnegative=self.nonnegative,
            intercept=self.fit_intercept,
            equal=self.shrink_to == "equal",
        )


def _is_behind(fitted: Array, unfitted: Array) -> bool:
    """Whether a fit is worse than the better of two ways without one, by more than chance.

    More than a standard error of the differences over folds.
    """
    ahead = unfitted[np.argmax(unfitted.mean(axis=1))] - fitted
    error = ahead.std(ddof=1) / np.sqrt(len(ahead)) if len(ahead) > 1 else 0.0
    return bool(ahead.mean() > max(error, 1e-9))


def _moments(features: Array, standardize: bool) -> tuple[Array, Array]:
    """Mean and scale of the features of training conditions."""
    scaler = StandardScaler(with_std=standardize).fit(features)
    return scaler.mean_, scaler.scale_ if standardize else np.ones(features.shape[1])


def _ready(features: Array, mean: Array, scale: Array, normalize: bool) -> Array:
    """Features as they are weighted; with `normalize` each pattern has mean 0 and length 1."""
    ready = (features - mean) / scale
    if not normalize:
        return ready
    ready -= ready.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ready, axis=1, keepdims=True)
    rounding = _ROUNDING * np.linalg.norm(features / scale, axis=1, keepdims=True)
    return np.divide(ready, lengths, out=np.zeros_like(ready), where=lengths > rounding)


def _without_fit(train: Array, test: Array) -> Array:
    """Correlation distances of centred features, and squared Euclidean ones: (2, n_pairs)."""
    ones = np.ones((train.shape[1], 1))
    mean = train.mean(axis=0)
    both = [_ready(test, mean, np.ones(len(mean)), normalize) for normalize in (True, False)]
    return np.concatenate([weighted_pairs(each, ones) for each in both])
