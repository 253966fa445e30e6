"""Score a representation against a target representation, in scikit-learn's cross-validation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdnn._labels import check_labels, row_labels
from skdnn._sklearn import StrOptions, fit_context
from skdnn.rsa._comparison import (
    MIN_CONDITIONS,
    check_comparison,
    check_square,
    check_unique,
    compare_square,
    is_rdm_like,
)
from skdnn.rsa._dissimilarity import check_metric, compute_rdm
from skdnn.rsa._rdm import RDM

Array = NDArray[np.float64]

_NO_RDM = (
    "RSAScorer scores an RDM, but X is {what}. As the last step of a pipeline it needs RDM() "
    "before it; to score features directly, leave it out of the pipeline and pass "
    "scoring=RSAScorer()."
)


class RSAScorer(BaseEstimator):
    """Score RDMs by their similarity to a target: the end of a pipeline, or ``scoring=``.

    As the last step of a pipeline, behind :class:`RDM`, ``score`` compares the RDM of the
    conditions it is given with their target RDM. As ``scoring=`` of ``cross_val_score``,
    ``GridSearchCV`` and the like, it takes the RDM from an estimator that ends in :class:`RDM`,
    features from another transformer, or predicted patterns from a predictor, and turns the
    latter two into an RDM by `metric`.

    Parameters
    ----------
    comparison : {"spearman", "pearson", "kendall", "cosine"}, default="spearman"
        How two RDMs are compared, see :func:`skdnn.rsa.compare_rdms`.
    target : {"auto", "rdm", "patterns"}, default="auto"
        What y is. ``"patterns"``: one pattern (of voxels, neurons, ratings) per row, turned into
        an RDM by `metric`. ``"rdm"``: an RDM; a DataFrame whose columns are labelled by
        condition, or outside cross-validation a bare square array. ``"auto"``: an RDM if y is a
        DataFrame whose columns hold the labels of its rows, else patterns; an error where that
        cannot be told (see Notes).
    metric : str, default="correlation"
        Dissimilarity for patterns and features, see :func:`skdnn.rsa.compute_rdm`.
    detail : bool, default=False
        As ``scoring=``, return a dict: the score, and one score for each separate RDM of the
        target. Searches then need ``refit="score"``.

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

    *Integer labels* may be no more than pandas' default numbering. With ``target="auto"`` they
    make y an RDM only if the columns they pick are symmetric with a zero diagonal.

    *Labels of images.* If rows of y are labelled by strings and X are image paths (or a
    DataFrame with a string index), each label must be its image's path, file name or stem.

    A target RDM that is constant among the conditions of a fold (all of one category) has no
    correlation: a RuntimeWarning names it, and the score is NaN. scikit-learn turns errors of
    ``score`` into NaN, so y is checked in ``fit`` as far as it can be.

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
    }

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
    ) -> None:
        self.comparison = comparison
        self.target = target
        self.metric = metric
        self.detail = detail

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
        rdm = _source_rdm(X)
        _check_rows(X, y, len(rdm))
        targets = _targets(y, self.target, self.metric)
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
        rdm = _source_rdm(X)
        _check_rows(X, y, len(rdm))
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
        _check_rows(X, y, None)
        rdm = self._estimated_rdm(estimator, X)
        scores = self._score(rdm, y, self.target)
        return scores if self.detail else scores["score"]

    def _check_settings(self) -> None:
        check_comparison(self.comparison)
        check_metric(self.metric, None, None)

    def _score(self, rdm: Array, y: Any, target: str) -> dict[str, float]:
        targets = _targets(y, target, self.metric)
        if targets.n_conditions != len(rdm):
            raise ValueError(
                f"y has {targets.n_conditions} rows, but there are {len(rdm)} conditions in X."
            )
        each = {
            name: compare_square(
                rdm,
                values,
                self.comparison,
                "the RDM of X",
                f"the target RDM of {name!r}" if name else "the target RDM",
            )
            for name, values in targets.rdms.items()
        }
        score = {"score": float(np.mean(list(each.values())))}
        return score | {name: value for name, value in each.items() if name}

    def _estimated_rdm(self, estimator: Any, X: Any) -> Array:
        """RDM of what the estimator makes of X."""
        values, is_rdm = _representation(estimator, X)
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


def _representation(estimator: Any, X: Any) -> tuple[Any, bool]:
    """What the estimator makes of X, and whether that is an RDM."""
    if hasattr(estimator, "cv_results_") and hasattr(estimator, "best_estimator_"):
        if hasattr(estimator, "_ready"):  # a search that lends its activations
            estimator = estimator._ready(X)
        return _representation(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        last = len(estimator.steps)
        while last and _is_passed_over(estimator.steps[last - 1][1]):
            last -= 1
        if last == 0:
            return X, False
        before = estimator[: last - 1].transform(X) if last > 1 else X
        return _representation(estimator.steps[last - 1][1], before)
    if hasattr(estimator, "predict") and (
        is_regressor(estimator) or not hasattr(estimator, "transform")
    ):
        return estimator.predict(X), False
    if hasattr(estimator, "transform"):
        return estimator.transform(X), isinstance(estimator, RDM)
    raise TypeError(
        f"RSAScorer cannot score {estimator!r}: it has neither transform nor predict. A search "
        "needs refit=True."
    )


def _is_passed_over(step: Any) -> bool:
    return step is None or step == "passthrough" or isinstance(step, RSAScorer)


def _source_rdm(X: Any) -> Array:
    """The square RDM in X; the rows of a labelled one pick its columns."""
    if isinstance(X, pd.DataFrame):
        check_unique(X.index, "row labels of X")
        check_unique(X.columns, "column labels of X")
        positions = X.columns.get_indexer(X.index)
        if (positions >= 0).all() and len(positions):
            X = X.iloc[:, positions]
    values = np.asarray(X)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(_NO_RDM.format(what=f"of shape {values.shape}"))
    if len(values) < MIN_CONDITIONS:
        raise ValueError(
            f"X holds fewer than three conditions (n_samples = {len(values)}): RSA needs three "
            "or more in each fold. Use fewer folds."
        )
    if values.dtype.kind not in "biuf" or not is_rdm_like(values.astype(np.float64)):
        raise ValueError(_NO_RDM.format(what="not symmetric with a zero diagonal"))
    return check_square(values, "X")


def _check_rows(X: Any, y: Any, n_conditions: int | None) -> None:
    """Refuse a y that has another length than X, or whose labels name other images."""
    if y is None:
        raise ValueError("RSAScorer requires y to be passed, but the target y is None.")
    if n_conditions is not None and len(y) != n_conditions:
        raise ValueError(
            f"Found {len(y)} rows of y for {n_conditions} conditions in X: inconsistent numbers "
            "of samples."
        )
    names = _names(X)
    if names is not None:
        check_labels(row_labels(y), names)


def _names(X: Any) -> list[str] | None:
    """Image names in X: a list, array or column of paths, or the string index of a frame."""
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            return row_labels(X)
        return _paths(X.iloc[:, 0]) or row_labels(X)
    if isinstance(X, (list, tuple, pd.Series, pd.Index)):
        return _paths(X)
    if (
        isinstance(X, np.ndarray)
        and X.dtype.kind in "OUT"
        and (X.ndim == 1 or X.shape[1:] == (1,))
    ):
        return _paths(X.ravel())
    return None


def _paths(values: Any) -> list[str] | None:
    items = list(values)
    if items and all(isinstance(item, (str, os.PathLike)) for item in items):
        return [os.fspath(item) for item in items]
    return None


@dataclass(frozen=True)
class _Targets:
    """The target RDMs of the rows of y."""

    kind: str
    rdms: Mapping[str, Array]  # name -> square RDM; the name is "" if there is one RDM
    n_conditions: int
    n_columns: int = 0  # conditions in the columns of a labelled RDM

    @property
    def names(self) -> list[str]:
        return [name for name in self.rdms if name]

    def check_held_out(self) -> None:
        """Refuse a training fold that leaves one or two conditions to be tested."""
        left = self.n_columns - self.n_conditions
        if 1 <= left < MIN_CONDITIONS:
            raise ValueError(
                f"The columns of y hold {left} more condition(s) than its rows, "
                "so the held-out fold has fewer than three conditions. Use fewer folds; if y is "
                "a subset on purpose, pass y.loc[rows, rows]."
            )


def _targets(y: Any, target: str, metric: str) -> _Targets:
    """Read y as target RDMs, or say why that cannot be done."""
    if not isinstance(y, pd.DataFrame):
        return _bare_targets(y, target, metric)
    frames = _separate(y)
    kind = _frame_kind(frames, target)
    if len(y) < MIN_CONDITIONS:
        raise ValueError(_too_few(len(y)))
    if kind == "patterns":
        if row_labels(y) is not None:
            check_unique(y.index, "row labels of y")
        rdms = {name: _pattern_rdm(frame, name, metric) for name, frame in frames.items()}
        return _Targets(kind, rdms, len(y))
    rdms = {}
    for name, frame in frames.items():
        picked = frame.iloc[:, _columns_of_rows(frame, name)]
        rdms[name] = check_square(picked.to_numpy(dtype=np.float64), _named(name))
    return _Targets(kind, rdms, len(y), min(frame.shape[1] for frame in frames.values()))


def _bare_targets(y: Any, target: str, metric: str) -> _Targets:
    values = np.asarray(y)
    if values.ndim == 1:
        raise ValueError(
            f"y is one-dimensional, of length {len(values)}, but RSA needs a pattern or a row of "
            "an RDM for each condition. For categories, pass y=skdnn.rsa.category_rdm(labels, "
            "names=...); for a single measurement, y=np.reshape(y, (-1, 1)) and a metric such "
            "as 'euclidean'."
        )
    if values.ndim != 2:
        raise ValueError(
            f"y has shape {values.shape}, but must be 2-D. For several subjects or ROIs put them "
            "side by side in a DataFrame whose columns are a MultiIndex (subject, voxel) or "
            "(subject, condition), e.g. pd.concat({'sub-01': first, 'sub-02': second}, axis=1)."
        )
    if len(values) < MIN_CONDITIONS:
        raise ValueError(_too_few(len(values)))
    if target == "rdm":
        if values.shape[0] != values.shape[1]:
            raise ValueError(
                f"y of shape {values.shape} is no square RDM. Inside cross-validation only rows "
                "are sliced, so the columns need labels: pass pd.DataFrame(rdm, index=names, "
                "columns=names)."
            )
        return _Targets("rdm", {"": check_square(values, "y")}, len(values))
    if target == "auto" and _could_be_rdm(values):
        raise ValueError(_ambiguous("y is an array that looks like an RDM, or rows of one"))
    return _Targets("patterns", {"": _pattern_rdm(values, "", metric)}, len(values))


def _separate(y: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One frame per separate RDM, its columns being the last column level."""
    if not isinstance(y.columns, pd.MultiIndex):
        return {"": y}
    keys = y.columns.droplevel(-1)
    frames: dict[str, pd.DataFrame] = {}
    for key in keys.unique():
        name = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        if name in frames or name in ("", "score"):
            raise ValueError(f"The name {name!r} of an RDM in the columns of y cannot be used.")
        frame = y.loc[:, np.asarray(keys == key)]
        frames[name] = frame.set_axis(frame.columns.get_level_values(-1), axis=1)
    return frames


def _frame_kind(frames: Mapping[str, pd.DataFrame], target: str) -> str:
    """Whether the frames are RDMs or patterns: by `target`, else by their labels."""
    if target != "auto":
        return target
    kinds = {name: _kind_by_labels(frame, name) for name, frame in frames.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(_ambiguous(f"Some parts of y look like RDMs, others do not: {kinds}"))
    return next(iter(kinds.values()))


def _kind_by_labels(frame: pd.DataFrame, name: str) -> str:
    held = frame.index.isin(frame.columns)
    numbered = pd.api.types.is_integer_dtype(frame.index)
    if held.all() and not numbered:
        return "rdm"
    if held.any() and not numbered:
        missing = ", ".join(map(repr, frame.index[~held][:5]))
        raise ValueError(
            f"The columns of {_named(name)} hold the labels of some of its rows but not of "
            f"{missing}: an RDM needs a column for each row."
        )
    values = _numeric(frame, name)
    if held.all():  # numbers, which may be names or pandas' default
        check_unique(frame.columns, f"column labels of {_named(name)}")
        block = values[:, frame.columns.get_indexer(frame.index)]
        if is_rdm_like(block):
            if block.any():
                return "rdm"
            raise ValueError(_ambiguous(f"{_named(name)} has integer labels and is zero"))
        return "patterns"
    if _could_be_rdm(values):
        raise ValueError(
            _ambiguous(f"{_named(name)} looks like an RDM, but its columns aren't its row labels")
        )
    return "patterns"


def _could_be_rdm(values: NDArray[Any]) -> bool:
    """Whether rows could come from an RDM: one zero in each, symmetric where the zeros meet."""
    if values.dtype.kind not in "biuf":
        return False
    values = values.astype(np.float64)
    if is_rdm_like(values):
        return True
    zeros = values == 0
    if not (zeros.sum(axis=1) == 1).all():
        return False
    columns = zeros.argmax(axis=1)
    return len(np.unique(columns)) == len(values) and is_rdm_like(values[:, columns])


def _columns_of_rows(frame: pd.DataFrame, name: str) -> NDArray[np.intp]:
    """Positions of the columns that carry the labels of the rows."""
    check_unique(frame.index, f"row labels of {_named(name)}")
    check_unique(frame.columns, f"column labels of {_named(name)}")
    positions = frame.columns.get_indexer(frame.index)
    missing = frame.index[positions < 0]
    if len(missing):
        shown = ", ".join(map(repr, missing[:5]))
        raise ValueError(
            f"{_named(name)} has no column for {shown}"
            f"{f' and {len(missing) - 5} more rows' if len(missing) > 5 else ''}: "
            "an RDM needs columns labelled like its rows. If y holds patterns, pass "
            "target='patterns'."
        )
    return positions


def _pattern_rdm(patterns: Any, name: str, metric: str) -> Array:
    try:
        return np.asarray(compute_rdm(patterns, metric))
    except ValueError as error:
        raise ValueError(f"{_named(name)}, as patterns: {error}") from error


def _numeric(frame: pd.DataFrame, name: str) -> Array:
    try:
        return frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_named(name)} is not numeric: {error}") from error


def _named(name: str) -> str:
    return f"y of {name!r}" if name else "y"


def _too_few(n: int) -> str:
    return (
        f"y has {n} rows: fewer than three conditions cannot be compared. RSA needs three or "
        "more in each fold: use fewer folds."
    )


def _ambiguous(finding: str) -> str:
    return (
        f"{finding}: say what it is. Pass target='patterns' if its columns are features, or "
        "label an RDM: pd.DataFrame(rdm, index=names, columns=names). target='rdm' takes a bare "
        "square array outside cross-validation, where no rows are sliced."
    )
