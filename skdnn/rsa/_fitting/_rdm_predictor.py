"""What estimators that predict RDMs share: their target, folds over conditions, their score."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from skdnn._sklearn import Interval, StrOptions
from skdnn.rsa._comparison._compare_rdms import warn_undefined
from skdnn.rsa._comparison._rdm_stack import MIN_CONDITIONS, RDMStack
from skdnn.rsa._comparison._similarity_measures import (
    check_comparison,
    similarities,
    similarities_to_prediction,
    varies,
)
from skdnn.rsa._dissimilarity._component_signs import TellsSigns
from skdnn.rsa._dissimilarity._compute_rdm import check_metric
from skdnn.rsa._scoring._representation import check_rows
from skdnn.rsa._scoring._targets import Targets, read_targets

Array = NDArray[np.float64]
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
# Conditions to fit, conditions to predict, target pairs of the first, penalties -> predicted
# pairs of the second, one row per penalty.
FitPredict = Callable[[NDArray[np.intp], NDArray[np.intp], Array, Array], Array]

# Conditions in a test fold of the default inner cross-validation, or more.
_FOLD_SIZE = 4
_MAX_FOLDS = 5


class RDMPredictor(TellsSigns, BaseEstimator):
    """An estimator whose ``predict`` gives the RDM of the conditions that it is given."""

    # A scorer takes what it predicts for an RDM, not for patterns.
    _predicts_rdm = True

    # As for RSAScorer: Pipeline.score passes a sample_weight on, even None.
    __metadata_request__score = {"sample_weight": None}  # noqa: RUF012

    def score(self, X: Any, y: ArrayLike) -> float:
        """Similarity of the predicted RDM to the target among the same conditions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_features)
            As in ``fit``, for any conditions.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target of the kind seen in ``fit``.

        Returns
        -------
        score : float
            Mean over the separate target RDMs; NaN, with a warning, if one of them is constant.
            A constant prediction, of weights that are all zero, scores 0.
        """
        check_is_fitted(self)
        check_rows(X, y, None)
        rdm = self.predict(X)
        targets = read_targets(y, self.target_, self.target_metric)
        check_length(targets, len(rdm))
        comparison = check_comparison(self.comparison)
        pairs = squareform(rdm, checks=False)
        each = similarities_to_prediction(pairs, targets.rdms.pairs, len(rdm), comparison)
        if np.isnan(each).any():
            whose = ("the predicted RDM", "the target RDM")
            source = RDMStack(pairs[None], len(rdm), single=True)
            warn_undefined(source, targets.rdms, comparison, whose)
        return float(np.mean(each))

    def _read_y(self, X: Any, y: Any) -> Targets:
        """The target RDMs of the training conditions, after all checks; sets what y was."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        check_comparison(self.comparison)
        check_metric(self.target_metric, None, None)
        check_rows(X, y, None)
        targets = read_targets(y, self.target, self.target_metric)
        targets.check_held_out()
        self.target_ = targets.kind
        self.rdm_names_ = targets.names
        return targets

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        tags.target_tags.single_output = False
        return tags


SHARED_CONSTRAINTS: dict[str, list[Any]] = {
    "comparison": [str],
    "target": [StrOptions({"auto", "rdm", "patterns"})],
    "target_metric": [str],
    "fit_intercept": ["boolean"],
    "alphas": ["array-like", Interval(Real, 0, None, closed="left"), None],
    "cv": ["cv_object"],
    "random_state": ["random_state"],
}


def training_target(pairs: Array) -> Array | None:
    """The pairs to fit: of one RDM itself, of several the mean of their z-scores.

    None if no RDM varies.
    """
    varied = [row for row in pairs if varies(row)]
    if not varied:
        return None
    if len(pairs) == 1:
        return pairs[0]
    z = np.stack([(row - np.nanmean(row)) / np.nanstd(row) for row in varied])
    known = ~np.isnan(z)
    count = known.sum(axis=0)
    total = np.where(known, z, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def needed_target(targets: Targets) -> Array:
    """`training_target`, or an error if there is nothing to fit."""
    found = training_target(targets.rdms.pairs)
    if found is None:
        raise ValueError(
            "The target RDM in y is constant among the training conditions (or unknown): nothing "
            "can be learnt from it. Stratify or shuffle the folds."
        )
    return found


def read_alphas(alphas: Any, default: Array, *, zero: bool) -> Array:
    """The penalties to try, checked; `zero` says whether none at all is allowed."""
    found = np.atleast_1d(np.asarray(default if alphas is None else alphas, dtype=np.float64))
    low = (found < 0) if zero else (found <= 0)
    if found.ndim != 1 or len(found) == 0 or low.any() or not np.isfinite(found).all():
        kind = "no negative ones" if zero else "positive ones"
        raise ValueError(f"alphas={alphas!r}: give one penalty or several, {kind}, all finite.")
    return found


def condition_folds(cv: Any, n_conditions: int, random_state: Any) -> Folds:
    """Training and test conditions of each fold; None is at most five folds, not too small."""
    if cv is None:
        cv = min(_MAX_FOLDS, n_conditions // _FOLD_SIZE)
        if cv < 2:
            raise ValueError(
                f"{n_conditions} training conditions are too few to cross-validate over: "
                f"{2 * _FOLD_SIZE} or more are needed. Pass a single alpha, which needs none."
            )
    if isinstance(cv, Integral):
        if cv < 2:
            raise ValueError(f"cv={cv}: two folds or more are needed.")
        if n_conditions // int(cv) < MIN_CONDITIONS:
            raise ValueError(
                f"cv={cv} leaves fewer than three of {n_conditions} conditions in a fold, and "
                "fewer cannot be compared: use fewer folds."
            )
        cv = KFold(int(cv), shuffle=True, random_state=random_state)
    splits = cv.split(np.zeros((n_conditions, 1))) if hasattr(cv, "split") else cv
    folds = [(np.arange(n_conditions)[train], np.arange(n_conditions)[test])
             for train, test in splits]  # fmt: skip
    if not folds:
        raise ValueError(f"cv={cv!r} has no folds.")
    for number, (train, test) in enumerate(folds):
        if min(len(train), len(test)) < MIN_CONDITIONS:
            raise ValueError(
                f"Fold {number} of cv has {len(train)} training and {len(test)} test conditions: "
                "fewer than three cannot be compared. Use fewer folds."
            )
        if np.intersect1d(train, test).size:
            raise ValueError(f"Fold {number} of cv tests on conditions that it trains on.")
    return folds


def held_out_scores(
    fit_predict: FitPredict, targets: Targets, alphas: Array, folds: Folds, comparison: str
) -> Array:
    """Mean similarity, for each penalty, of predicted and target RDMs of held-out conditions.

    Nothing is learnt from a pair with a held-out condition in it. A constant prediction counts
    as 0, folds whose target is constant are left out; NaN if that leaves none.
    """
    scores = scores_by_fold(fit_predict, targets, alphas, folds, comparison)
    return scores.mean(axis=1) if scores.size else np.full(len(scores), np.nan)


def scores_by_fold(
    fit_predict: FitPredict, targets: Targets, alphas: Array, folds: Folds, comparison: str
) -> Array:
    """The same for each fold and target RDM: (n_predicted, n_columns), of none if none counts."""
    comparison = check_comparison(comparison)
    columns = []
    for train, test in folds:
        target = training_target(targets.rdms.subset(train).pairs)
        if target is None:
            continue
        predicted = fit_predict(train, test, target, alphas)
        held_out = targets.rdms.subset(test)
        found = similarities(predicted, held_out.pairs, len(test), comparison)
        columns.append(found[:, ~np.isnan(found).all(axis=0)])
    if not columns:
        return np.empty((len(alphas), 0))
    return np.nan_to_num(np.concatenate(columns, axis=1))


def best_alpha(alphas: Array, scores: Array) -> float:
    """The penalty with the highest score, the largest of equals; the largest if none has one."""
    defined = np.nan_to_num(scores, nan=-np.inf)
    return float(alphas[defined == defined.max()].max())


def strongest_as_good(alphas: Array, scores: Array) -> float:
    """The largest penalty that is no more than one standard error below the best one.

    `scores` (n_alphas, n_folds); the error is that of the differences, fold by fold.
    """
    if scores.shape[1] < 2:
        return float(alphas.max()) if not scores.size else best_alpha(alphas, scores[:, 0])
    means = scores.mean(axis=1)
    best = scores[np.flatnonzero(alphas == best_alpha(alphas, means))[0]]
    behind = best - scores
    error = behind.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
    return float(alphas[behind.mean(axis=1) <= error].max())


def check_length(targets: Targets, n_conditions: int) -> None:
    """Refuse a y with another number of conditions than X."""
    if targets.n_conditions != n_conditions:
        raise ValueError(
            f"y has {targets.n_conditions} rows, but there are {n_conditions} conditions in X: "
            "inconsistent numbers of samples."
        )
