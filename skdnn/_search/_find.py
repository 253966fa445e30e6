"""Find the extractors of all candidates, and what each of them will see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import FeatureUnion, Pipeline

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._lend import rebuild
from skdnn._sklearn import safe_indexing

# Parameters of meta-estimators whose estimators see X as it is.
_PASSED_ON = {"estimator", "base_estimator", "regressor", "classifier", "estimators"}


@dataclass(frozen=True)
class Data:
    """What an estimator sees: X itself, or columns of it, told apart by `key`."""

    key: tuple[str, ...]
    content: Any


@dataclass(frozen=True)
class Found:
    """An extractor, the prefix of its parameters, and its data (None where nobody knows yet)."""

    name: str
    extractor: DNNFeatureExtractor
    data: Data | None

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for extractors that do the same."""
        params = self.extractor.get_params(deep=False)
        return tuple((name, _hashable(value)) for name, value in sorted(params.items()))


def make_candidates(estimator: Any, param_grid: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Parameters, and the estimator that has them: a copy that shares networks and data."""
    for params in ParameterGrid(param_grid):
        yield params, rebuild(estimator).set_params(**rebuild(params))


def find_extractors(estimator: Any, X: Any = None, *, inner: bool = True) -> list[Found]:
    """Find the extractors in an estimator, however deep.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    X : object, default=None
        What it will be fitted on.
    inner : bool, default=True
        Whether to look at the candidates of searches inside the estimator, too.

    Returns
    -------
    found : list of Found
    """
    return list(_walk(estimator, Data((), X), "", inner))


def _walk(estimator: Any, data: Data | None, name: str, inner: bool) -> Iterator[Found]:
    if isinstance(estimator, DNNFeatureExtractor):
        yield Found(name, estimator, data)
    elif isinstance(estimator, Pipeline):
        for step, each in estimator.steps:
            yield from _walk(each, data, _join(name, step), inner)
            if each is not None and each != "passthrough":
                data = None
    elif isinstance(estimator, FeatureUnion):
        for part, each in estimator.transformer_list:
            yield from _walk(each, data, _join(name, part), inner)
    elif isinstance(estimator, ColumnTransformer):
        for part, each, columns in estimator.transformers:
            if isinstance(each, BaseEstimator):
                seen, is_empty = _columns(data, columns)
                if not is_empty:
                    yield from _walk(each, seen, _join(name, part), inner)
        yield from _walk(estimator.remainder, None, _join(name, "remainder"), inner)
    elif isinstance(estimator, GridSearchCV) and inner and _is_estimator(estimator.estimator):
        for _, each in make_candidates(estimator.estimator, estimator.param_grid):
            yield from _walk(each, data, _join(name, "estimator"), inner)
    elif _is_estimator(estimator):
        yield from _walk_params(estimator, data, name, inner)


def _walk_params(
    estimator: BaseEstimator, data: Data | None, name: str, inner: bool
) -> Iterator[Found]:
    """Estimators among the parameters of another."""
    for param, value in estimator.get_params(deep=False).items():
        seen = data if param in _PASSED_ON else None
        if isinstance(value, list | tuple):
            for number, part in enumerate(value):
                named = isinstance(part, tuple) and len(part) > 1 and isinstance(part[0], str)
                label, each = (part[0], part[1]) if named else (f"{param}{number}", part)
                yield from _walk(each, seen, _join(name, label), inner)
        else:
            yield from _walk(value, seen, _join(name, param), inner)


def _columns(data: Data | None, columns: Any) -> tuple[Data | None, bool]:
    """Columns of X as a ColumnTransformer passes them on, and whether there are none."""
    table = None if data is None else data.content
    if data is None or not (
        isinstance(table, pd.DataFrame) or (isinstance(table, np.ndarray) and table.ndim == 2)
    ):
        return None, False
    chosen = columns(table) if callable(columns) else columns
    values = safe_indexing(table, chosen, axis=1)
    shape = np.shape(values)
    label = repr(chosen.tolist() if isinstance(chosen, np.ndarray) else chosen)
    return Data((*data.key, label), values), len(shape) == 2 and shape[1] == 0


def _is_estimator(value: Any) -> bool:
    return isinstance(value, BaseEstimator)  # classes and plain values are none


def _join(*names: str) -> str:
    return "__".join(name for name in names if name)


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(str, value))
    if isinstance(value, dict):
        return repr(value)
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value
