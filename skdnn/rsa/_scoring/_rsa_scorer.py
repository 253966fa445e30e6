"""Score a representation against a target representation, in scikit-learn's cross-validation."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skdnn._sklearn import StrOptions, fit_context
from skdnn.rsa._comparison._compare_rdms import warn_undefined
from skdnn.rsa._comparison._noise_ceiling import ceiling, subject_groups
from skdnn.rsa._comparison._rdm_stack import RDMStack, check_square, rdm_name
from skdnn.rsa._comparison._similarity_measures import (
    RANKED,
    check_comparison,
    similarities,
    similarities_to_prediction,
)
from skdnn.rsa._dissimilarity._component_signs import maker_of, signs_before_rdm
from skdnn.rsa._dissimilarity._compute_rdm import check_metric, compute_rdm
from skdnn.rsa._scoring._representation import check_rows, predicts_rdm, representation, source_rdm
from skdnn.rsa._scoring._targets import Targets, read_targets

Array = NDArray[np.float64]

_FEW = 10  # conditions
_ROUNDING = 1e-12  # of the largest dissimilarity


class RSAScorer(BaseEstimator):
    """Score RDMs by their similarity to a target: the end of a pipeline, or ``scoring=``.

    As the last step of a pipeline, behind :class:`RDM`, ``score`` compares the RDM of the
    conditions it is given with their target RDM. As ``scoring=`` of ``cross_val_score``,
    ``GridSearchCV`` and the like, it takes the RDM from an estimator that ends in :class:`RDM`,
    features from another transformer, or predicted patterns from a predictor, and turns the
    latter two into an RDM by `metric`.

    Parameters
    ----------
    comparison : str, default="spearman"
        How two RDMs are compared: ``"spearman"``, ``"pearson"``, ``"kendall"``, ``"tau-a"``,
        ``"rho-a"``, ``"cosine"``, ``"corr_cov"``, ``"cosine_cov"`` or ``"bures"``, see
        :func:`skdnn.rsa.compare_rdms`.
    target : {"auto", "rdm", "patterns"}, default="auto"
        What y is. ``"patterns"``: one pattern (of voxels, neurons, ratings) per row, turned into
        an RDM by `metric`. ``"rdm"``: an RDM; a DataFrame whose columns are labelled by
        condition, or outside cross-validation a bare square array. ``"auto"``: an RDM if y is a
        DataFrame whose columns hold the labels of its rows, else patterns; an error where that
        cannot be told (see Notes).
    metric : str, default="correlation"
        Dissimilarity for patterns and features, see :func:`skdnn.rsa.compute_rdm`.
    detail : bool, default=False
        As ``scoring=``, return a dict: ``"score"``; one score for each separate RDM of the
        target, by its name; with several subjects, ``"ceiling_lower"`` and ``"ceiling_upper"``,
        the noise ceiling among the same conditions (with several ROIs their mean, and
        ``"ROI/ceiling_lower"`` and so on); for comparisons of ranks ``"attainable"``, what an RDM
        in the order of the target would score if no two of its dissimilarities were equal (below
        1 where the target has ties, as categories do); ``"n_pairs"``, the number of pairs
        compared. All of them land in ``cv_results_``. Searches then need ``refit="score"``, or
        :func:`skdnn.rsa.best_by_pairs`, which weights folds by their number of pairs.
    subject_level : str or int, default=None
        Which level of MultiIndex columns is the subject. None takes one that is called
        "subject", or the first.

    Attributes
    ----------
    target_ : {"rdm", "patterns"}
        What y was taken for in ``fit``.
    rdm_names_ : list of str
        Names of the separate RDMs in y (subjects, ROIs), levels joined by ``"/"``; empty if there
        is only one.
    n_conditions_ : int
        Number of conditions in ``fit``.

    See Also
    --------
    RDM : The transformer that comes before.
    compare_rdms : The comparison as a function.
    category_rdm : A target from categories.

    Notes
    -----
    Cross-validation slices rows only. A labelled RDM keeps all columns in each fold, and the row
    labels pick those that belong to the fold, so that only dissimilarities among test conditions
    are scored. A bare array has no labels to pick by.

    *Several targets.* If the columns are a MultiIndex, the last level names conditions (or
    voxels), and the levels before it separate RDMs, e.g. subjects and ROIs. The score is the mean
    over them; one that is NaN makes the mean NaN.

    *Ties.* Rank comparisons take dissimilarities of X that differ by no more than 1e-12 of the
    largest for equal: the order of rounding errors is arbitrary.

    *Integer labels* may be no more than pandas' default numbering. With ``target="auto"`` they
    make y an RDM only if the columns they pick are symmetric with a zero diagonal.

    *Labels of images.* If rows of y are labelled by strings and X are image paths (or a
    DataFrame with a string index), each label must name its image: path, file name or stem.

    *Folds* change what is scored. The score among few conditions is lower on average: human and
    monkey IT agree by .44 over 92 images (Spearman), by .43 in folds of 18, .42 in folds of 9, .38
    in folds of 5. For a target of categories, ``StratifiedKFold`` leaves fewer pairs within a
    category in each fold than there are in all, and so lowers the score and what is attainable:
    take ``KFold(shuffle=True)``, repeated. Compare layers and models over the same folds, and
    scores of other folds not at all.

    *Components.* As ``scoring=``, behind a decomposition and with a distance that its signs decide
    (``"correlation"``, ``"spearman"``), a UserWarning names the step, once for a scorer and not
    in each fold: see ``keep_correlation`` of :class:`skdnn.GramPCA`.

    *Constant RDMs.* An estimator that predicts RDMs and learnt nothing predicts a constant one,
    which scores 0. A target RDM that is constant among the conditions of a fold (all of one
    category) has no correlation: a RuntimeWarning names it, and the score is NaN. scikit-learn
    turns errors of ``score`` into NaN, so y is checked in ``fit`` as far as it can be.

    References
    ----------
    Kriegeskorte, N., Mur, M., & Bandettini, P. (2008). Representational similarity analysis.
    Frontiers in Systems Neuroscience, 2, 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdnn.rsa import RDM, RSAScorer
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(24, 10))
    >>> voxels = features @ rng.normal(size=(10, 30))
    >>> folds = KFold(3, shuffle=True, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), RDM(), RSAScorer())
    >>> cross_val_score(pipeline, features, voxels, cv=folds).round(2)
    array([0.52, 0.81, 0.85])
    >>> pipeline = make_pipeline(StandardScaler(), RDM())
    >>> cross_val_score(pipeline, features, voxels, cv=folds, scoring=RSAScorer()).round(2)
    array([0.52, 0.81, 0.85])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (the name and form are sklearn's)
        "comparison": [str],
        "target": [StrOptions({"auto", "rdm", "patterns"})],
        "metric": [str],
        "detail": ["boolean"],
        "subject_level": [str, Integral, None],
    }

    # At the end of a pipeline, other scorers pass over it.
    _only_scores = True

    # Pipeline.score passes a sample_weight on, even None, and with metadata routing its last step
    # must know the name. Conditions have no weights here: passing one stays an error.
    __metadata_request__score = {"sample_weight": None}  # noqa: RUF012

    def __init__(
        self,
        comparison: str = "spearman",
        *,
        target: str = "auto",
        metric: str = "correlation",
        detail: bool = False,
        subject_level: str | int | None = None,
    ) -> None:
        self.comparison = comparison
        self.target = target
        self.metric = metric
        self.detail = detail
        self.subject_level = subject_level

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> RSAScorer:
        """Check the RDM, the target and the parameters; nothing is learnt.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_conditions)
            RDM, as :class:`RDM` gives it.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target: patterns or labelled RDM.

        Returns
        -------
        self : RSAScorer
            The estimator itself.

        Raises
        ------
        ValueError
            If X is no RDM, labels don't match or repeat, there are fewer than three conditions,
            here or among those that the columns of y hold and its rows don't, or it cannot be
            told what y is.
        """
        self._check_settings()
        rdm = source_rdm(X)
        check_rows(X, y, len(rdm))
        targets = read_targets(y, self.target, self.metric)
        targets.check_held_out()
        self.target_ = targets.kind
        self.rdm_names_ = targets.names
        self.n_conditions_ = len(rdm)
        return self

    def score(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> float:
        """Similarity of the RDM to the target of the same conditions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_conditions, n_conditions)
            RDM.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target, of the kind seen in ``fit``.

        Returns
        -------
        score : float
            Mean over the separate target RDMs.
        """
        check_is_fitted(self)
        rdm = source_rdm(X)
        check_rows(X, y, len(rdm))
        return self._score(rdm, y, self.target_)["score"]

    def __call__(self, estimator: Any, X: Any, y: Any) -> float | dict[str, float]:
        """Score a fitted estimator, as scikit-learn calls a scorer.

        Parameters
        ----------
        estimator : estimator
            Ends in :class:`RDM`, another transformer, or a predictor. A trailing RSAScorer is
            passed over, and a fitted search stands for its best estimator.
        X : array-like of length n_conditions
            What the estimator takes.
        y : array-like or DataFrame of shape (n_conditions, n_columns)
            Target: patterns or labelled RDM.

        Returns
        -------
        score : float or dict of str to float
            A dict with ``"score"`` and one entry per separate RDM if ``detail=True``.
        """
        self._validate_params()
        self._check_settings()
        check_rows(X, y, None)
        self._tell_signs(getattr(estimator, "best_estimator_", estimator))
        rdm = self._estimated_rdm(estimator, X)
        if len(rdm) < _FEW:
            warnings.warn(
                f"{len(rdm)} conditions, {len(rdm) * (len(rdm) - 1) // 2} pairs, are few: scores "
                "among so few conditions are lower on average, and vary widely. Take fewer folds.",
                UserWarning,
                stacklevel=2,
            )
        scores = self._score(rdm, y, self.target, predicts_rdm(estimator))
        return scores if self.detail else scores["score"]

    def _tell_signs(self, estimator: Any) -> None:
        """Say once, not in each fold, that signs of components decide the RDM."""
        text = signs_before_rdm(estimator, self.metric)
        if text is None:
            return
        step = maker_of(estimator)  # has said it already, where it saw it
        teller, key = (self, text) if step is None else (step, step._compares_by)
        told = teller.__dict__.setdefault("_told", set())
        if key not in told:
            warnings.warn(text, UserWarning, stacklevel=3)
        told.add(key)

    def _check_settings(self) -> None:
        check_comparison(self.comparison)
        check_metric(self.metric, None, None)

    def _score(self, rdm: Array, y: Any, target: str, predicted: bool = False) -> dict[str, float]:
        targets = read_targets(y, target, self.metric)
        if targets.n_conditions != len(rdm):
            raise ValueError(
                f"y has {targets.n_conditions} rows, but there are {len(rdm)} conditions in X."
            )
        comparison = check_comparison(self.comparison)
        pairs = squareform(rdm, checks=False)
        if comparison in RANKED:
            pairs = _with_ties(pairs)
        source = RDMStack(pairs[None], len(rdm), single=True)
        if predicted:
            each = similarities_to_prediction(
                source.pairs[0], targets.rdms.pairs, len(rdm), comparison
            )
        else:
            each = similarities(source.pairs, targets.rdms.pairs, len(rdm), comparison)[0]
        if np.isnan(each).any():
            whose = ("the RDM of X", "the target RDM")
            warn_undefined(source, targets.rdms, comparison, whose, stacklevel=4)
        score = {"score": float(np.mean(each))}
        if not self.detail:
            return score
        score |= dict(zip(targets.names, map(float, each), strict=False))
        known = ~np.isnan(source.pairs) & ~np.isnan(targets.rdms.pairs)
        score |= self._ceilings(targets, comparison)
        if comparison in RANKED:
            score["attainable"] = _attainable(targets.rdms, comparison)
        return score | {"n_pairs": float(known.sum(axis=1).mean())}

    def _ceilings(self, targets: Targets, comparison: str) -> dict[str, float]:
        """Noise ceilings among the same conditions: their mean, and of each ROI if several."""
        rdms = targets.rdms
        groups = subject_groups(rdms.names, len(rdms), self.subject_level)
        if rdms.names is None or any(len(rows) < 2 for rows in groups.values()):
            return {}
        found = {
            rdm_name(key): ceiling(rdms.pairs[rows], rdms.n_conditions, comparison)
            for key, rows in groups.items()
        }
        out = dict(
            zip(
                ("ceiling_lower", "ceiling_upper"),
                np.mean(list(found.values()), axis=0).tolist(),
                strict=True,
            )
        )
        if len(found) > 1:
            for name, (lower, upper) in found.items():
                out |= {f"{name}/ceiling_lower": lower, f"{name}/ceiling_upper": upper}
        return out

    def _estimated_rdm(self, estimator: Any, X: Any) -> Array:
        """RDM of what the estimator makes of X."""
        values, is_rdm = representation(estimator, X)
        if is_rdm:
            return check_square(np.asarray(values), "the RDM of X")
        if np.ndim(values) != 2:
            raise ValueError(
                f"The estimator gives an array of shape {np.shape(values)}, but RSA needs a "
                "pattern for each condition: predict several outputs, or end in a transformer."
            )
        rdm = np.asarray(compute_rdm(values, self.metric))
        return check_square(rdm, "the RDM of X")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        tags.target_tags.single_output = False
        return tags


def _attainable(targets: RDMStack, comparison: str) -> float:
    """What RDMs without ties in the order of the targets would score."""
    scores = []
    for pairs in targets.pairs:
        strict = np.argsort(np.argsort(pairs, kind="stable"), kind="stable").astype(np.float64)
        scores.append(similarities(strict[None], pairs[None], targets.n_conditions, comparison))
    return float(np.mean(scores))


def _with_ties(pairs: Array) -> Array:
    """Dissimilarities of which those that differ by rounding alone are equal.

    Ranks would tell them apart, and the order of rounding errors is arbitrary.
    """
    order = np.argsort(pairs)  # NaN last
    ordered = pairs[order]
    least = _ROUNDING * np.max(np.abs(pairs[~np.isnan(pairs)]), initial=0.0)
    first = np.r_[True, ~(np.diff(ordered) <= least)]
    tied = np.empty_like(pairs)
    tied[order] = ordered[first][np.cumsum(first) - 1]
    return tied
