"""Principal components in front of an RDM: their signs are a convention and must not decide."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor

# Distances that subtract the mean over columns, or rank them.
SIGNED = ("correlation", "spearman")
# What all messages begin with: a search says it once and keeps its folds silent.
START = "Signs of components"
_EFFECT = (
    f"{START} decide this RDM: {{who}} gives components, whose signs are a convention, and the "
    "{metric} distance subtracts their mean or ranks them. "
)
_WAYS = {
    "correlation": "GramPCA(..., keep_correlation=True) gives the correlation distance of the "
    "patterns that they stand for; 'cosine' and 'euclidean' do not depend on signs.",
    "spearman": "Ranks across components mean nothing: leave the decomposition out, or take "
    "GramPCA(..., keep_correlation=True) with 'correlation', or 'cosine' or 'euclidean'.",
}
# Parts of components that are never negative have no free sign.
_WITHOUT_SIGNS = ("NMF", "MiniBatchNMF", "LatentDirichletAllocation")
_DECOMPOSITIONS = ("decomposition", "cross_decomposition")  # of scikit-learn, and of others
_FIRST = 8  # columns that are looked at before all


def message(who: str, metric: str) -> str:
    """What to say of a decomposition in front of such a distance."""
    return _EFFECT.format(who=who, metric=metric) + _WAYS[metric]


class TellsSigns:
    """Mixin for what makes RDMs: all clones together, those of folds, speak of signs once."""

    @property
    def _compares_by(self) -> str:
        """The distance."""
        raise NotImplementedError

    def _tell_signs(self, text: str, stacklevel: int) -> None:
        told = self.__dict__.setdefault("_told", set())
        if self._compares_by not in told or "_is_clone" not in self.__dict__:
            warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)
        told.add(self._compares_by)

    def _tell_scores(self, patterns: NDArray[Any], stacklevel: int) -> None:
        """Say it where these are the scores of a PCA on its own training rows."""
        if self._compares_by in SIGNED and look_like_scores(patterns):
            who = f"what stands before {type(self).__name__}"
            self._tell_signs(message(who, self._compares_by), stacklevel + 1)

    def __sklearn_clone__(self) -> Any:
        twin = super().__sklearn_clone__()  # type: ignore[misc]
        twin._told, twin._is_clone = self.__dict__.setdefault("_told", set()), True
        return twin


def maker_of(estimator: Any) -> Any:
    """The step of a pipeline that makes the RDM, None if it has none."""
    return next((s for _, s in _leaves(estimator, "") if isinstance(s, TellsSigns)), None)


def signs_before_rdm(estimator: Any, metric: str | None = None) -> str | None:
    """A message if a pipeline has a decomposition in front of a distance that sees its signs.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    metric : str, default=None
        The distance of a scorer that makes the RDM itself; None looks for an RDM in the pipeline.

    Returns
    -------
    message : str or None
        Names the step; None where no sign decides.
    """
    steps = [
        each for each in _leaves(estimator, "") if not getattr(each[1], "_only_scores", False)
    ]
    found: tuple[str, Any] | None = None
    for name, step in steps:
        if isinstance(step, TellsSigns):
            return _judged(found, step._compares_by)
        if _is_decomposition(step):
            if found is None or _is_exact(found[1]):
                found = (name, step)
        elif found is not None and _is_exact(found[1]) and _rescales(step):
            found = (f"{found[0]}, rescaled by {name},", None)
    if metric is None or (steps and _predicts(steps[-1][1])):
        return None
    return _judged(found, metric)


def _judged(found: tuple[str, Any] | None, metric: str) -> str | None:
    if found is None or metric not in SIGNED or (metric == "correlation" and _is_exact(found[1])):
        return None
    name, step = found
    kind = "" if step is None else f" ({type(step).__name__})"
    return message(f"the step {name}{kind}", metric)


def _leaves(estimator: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The steps of pipelines and the parts of unions, in the order of the data."""
    parts = None
    for attribute in ("steps", "transformer_list", "transformers"):
        value = getattr(estimator, attribute, None)
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            parts = value
            break
    if parts is None:
        if isinstance(estimator, BaseEstimator):
            yield name, estimator
        return
    for part in parts:
        yield from _leaves(part[1], f"{name}__{part[0]}" if name else part[0])


def _predicts(step: Any) -> bool:
    """Whether a scorer takes predictions of this last step, not what it transforms."""
    return hasattr(step, "predict") and (is_regressor(step) or not hasattr(step, "transform"))


def _is_decomposition(step: Any) -> bool:
    classes = type(step).__mro__
    if any(each.__name__ in _WITHOUT_SIGNS for each in classes):
        return False
    rooms = {part for each in classes for part in each.__module__.split(".")}
    return hasattr(step, "transform") and not rooms.isdisjoint(_DECOMPOSITIONS)


def _is_exact(step: Any) -> bool:
    return bool(getattr(step, "keep_correlation", False))


def _rescales(step: Any) -> bool:
    """Whether a step treats columns differently, which undoes an exact turn."""
    if not any(each.__module__.startswith("sklearn.preprocessing") for each in type(step).__mro__):
        return False
    if type(step).__name__ in ("FunctionTransformer", "Normalizer"):
        return False
    return bool(getattr(step, "with_std", True))


def look_like_scores(patterns: NDArray[Any]) -> bool:
    """Whether these are the scores of a PCA on its own training rows.

    Their columns are centred and uncorrelated to rounding, which no measurement is.
    """
    n_rows, n_columns = patterns.shape
    if not n_rows > n_columns > 1 or patterns.dtype.kind not in "f":
        return False
    tolerance = 1e-4 if patterns.dtype.itemsize < 8 else 1e-7
    first = patterns[:, :_FIRST].astype(np.float64)
    return _orthogonal(first, tolerance) and (
        n_columns <= _FIRST or _orthogonal(patterns.astype(np.float64), tolerance)
    )


def _orthogonal(columns: NDArray[np.float64], tolerance: float) -> bool:
    """Whether the columns are centred and orthogonal; those of zeros do not count."""
    lengths = np.linalg.norm(columns, axis=0)
    if not np.isfinite(lengths).all():
        return False
    columns = columns[:, lengths > tolerance * lengths.max()]
    if columns.shape[1] < 2:
        return False
    columns = columns / np.linalg.norm(columns, axis=0)
    if np.abs(columns.sum(axis=0)).max() > tolerance * np.sqrt(len(columns)):
        return False
    products = columns.T @ columns
    np.fill_diagonal(products, 0)
    return bool(np.abs(products).max() <= tolerance)
