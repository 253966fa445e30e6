"""The extractors in an estimator and in all candidates of a search, and what each will see."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._sklearn import safe_indexing

# Parameters of meta-estimators whose estimators see X as it is.
_PASSED_ON = (
    *("estimator", "base_estimator", "regressor", "classifier", "estimators", "transformer_list"),
)
Kind = TypeVar("Kind")


def rebuild(
    value: Any,
    change: Callable[[BaseEstimator], None] = lambda estimator: None,
    memo: dict[int, Any] | None = None,
) -> Any:
    """Copy the estimators in `value`, change the copies, and share all else with the original.

    Estimators are looked for in parameters and in what was fitted, in lists, tuples, dicts and
    arrays of objects. Networks and data are never copied.
    """
    memo = {} if memo is None else memo
    if isinstance(value, BaseEstimator):
        if id(value) not in memo:
            twin = memo[id(value)] = type(value).__new__(type(value))  # type: ignore[call-overload]
            vars(twin).update({k: rebuild(v, change, memo) for k, v in vars(value).items()})
            change(twin)
        return memo[id(value)]
    if type(value) in (list, tuple):
        parts = [rebuild(part, change, memo) for part in value]
        same = all(a is b for a, b in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if type(value) in (dict, Bunch):
        changed = {k: rebuild(v, change, memo) for k, v in value.items()}
        if all(changed[k] is v for k, v in value.items()):
            return value
        twin = copy.copy(value)
        twin.update(changed)
        return twin
    if type(value) is np.ndarray and value.dtype == object:
        array = value.copy()
        for place, part in np.ndenumerate(value):
            if isinstance(part, BaseEstimator | list | tuple | dict):
                array[place] = rebuild(part, change, memo)
        return array
    return value


def estimators_in(value: Any, kind: type[Kind]) -> list[Kind]:
    """All estimators of a kind that `rebuild` would reach, as copies."""
    found: list[Any] = []
    rebuild(value, found.append)
    return [each for each in found if isinstance(each, kind)]


def extractors_in(value: Any) -> list[DNNFeatureExtractor]:
    """All extractors that `rebuild` would reach, as copies."""
    return estimators_in(value, DNNFeatureExtractor)


def grids_of(param_grid: Any) -> list[Any]:
    """A grid may be one dict, or several."""
    return list(param_grid) if isinstance(param_grid, list | tuple) else [param_grid]


def scorers_of(scoring: Any) -> list[Any]:
    """A search may have one scorer, or several."""
    if isinstance(scoring, Mapping):
        return list(scoring.values())
    return list(scoring) if isinstance(scoring, list | tuple | set) else [scoring]


def make_candidates(estimator: Any, param_grid: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Parameters, and the estimator that has them: a copy that shares networks and data."""
    for params in ParameterGrid(param_grid):
        yield params, rebuild(estimator).set_params(**rebuild(params))


@dataclass(frozen=True)
class SeenData:
    """What an estimator sees: X itself, or columns of it, told apart by `key`."""

    key: tuple[str, ...]
    content: Any


@dataclass(frozen=True)
class FoundExtractor:
    """An extractor, the prefix of its parameters, and its data (None where nobody knows yet)."""

    name: str
    extractor: DNNFeatureExtractor
    data: SeenData | None

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for extractors that do the same."""
        params = self.extractor.get_params(deep=False)
        return tuple((name, _hashable(value)) for name, value in sorted(params.items()))


def find_extractors(estimator: Any, X: Any, *, inner: bool = True) -> list[FoundExtractor]:
    """Find the extractors in an estimator that will be fitted on X, however deep.

    With `inner`, those in the candidates of searches inside the estimator, too.
    """
    return list(_walk(estimator, SeenData((), X), "", inner))


def _walk(
    estimator: Any, data: SeenData | None, name: str, inner: bool
) -> Iterator[FoundExtractor]:
    if isinstance(estimator, DNNFeatureExtractor):
        yield FoundExtractor(name, estimator, data)
    elif isinstance(estimator, BaseEstimator):  # not a class, nor a plain value
        parts: Iterator[tuple[str, Any, SeenData | None]]
        search = estimator if inner and isinstance(estimator, GridSearchCV) else None
        if search is not None and isinstance(search.estimator, BaseEstimator):
            candidates = make_candidates(search.estimator, search.param_grid)
            parts = (("estimator", each, data) for _, each in candidates)
        else:
            parts = _parts(estimator, data)
        for part, each, seen in parts:
            yield from _walk(each, seen, f"{name}__{part}".removeprefix("__"), inner)


def _parts(
    estimator: BaseEstimator, data: SeenData | None
) -> Iterator[tuple[str, Any, SeenData | None]]:
    """What may be estimators in another: names, and what they will see."""
    if isinstance(estimator, Pipeline):
        for step, each in estimator.steps:
            yield step, each, data
            if each is not None and each != "passthrough":
                data = None
    elif isinstance(estimator, ColumnTransformer):
        for part, each, columns in estimator.transformers:
            if isinstance(each, BaseEstimator):
                seen, is_empty = _columns(data, columns)
                if not is_empty:
                    yield part, each, seen
        yield "remainder", estimator.remainder, None
    else:
        for param, value in estimator.get_params(deep=False).items():
            seen = data if param in _PASSED_ON else None
            for number, each in enumerate(value if isinstance(value, list | tuple) else ()):
                named = isinstance(each, tuple) and len(each) > 1 and isinstance(each[0], str)
                yield (each[0], each[1], seen) if named else (f"{param}{number}", each, seen)
            yield param, value, seen


def _columns(data: SeenData | None, columns: Any) -> tuple[SeenData | None, bool]:
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
    return SeenData((*data.key, label), values), len(shape) == 2 and shape[1] == 0


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
