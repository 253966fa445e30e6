"""Lend a store to the extractors in an estimator, in a copy: nothing of the user's is changed."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._memory import FitMemory
from skdnn._store import ActivationStore
from skdnn.models._own_network import with_known_weights, without_known_weights

_LOCK = threading.Lock()
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
    found: list[Kind] = []

    def note(estimator: BaseEstimator) -> None:
        if isinstance(estimator, kind):
            found.append(estimator)

    rebuild(value, note)
    return found


def extractors_in(value: Any) -> list[DNNFeatureExtractor]:
    """All extractors that `lend` would reach, as copies."""
    return estimators_in(value, DNNFeatureExtractor)


def grids_of(param_grid: Any) -> list[Any]:
    """A grid may be one dict, or several."""
    return list(param_grid) if isinstance(param_grid, list | tuple) else [param_grid]


def lend(value: Any, store: ActivationStore | None, memory: FitMemory | None = None) -> Any:
    """Copy of `value` whose extractors without a cache read and fill `store`.

    Pipelines without a memory of their own get `memory`.
    """

    def change(estimator: BaseEstimator) -> None:
        if isinstance(estimator, DNNFeatureExtractor) and estimator.cache is None:
            estimator.cache = store
        elif isinstance(estimator, Pipeline) and estimator.memory is None:
            estimator.memory = memory

    return rebuild(value, change)


def know_weights(estimator: BaseEstimator, param_grid: Any) -> tuple[Any, Any]:
    """Both, with the weights of one's own networks hashed: once, however many folds follow."""
    known: dict[int, tuple[Any, Any]] = {}  # with what was given, so that ids stay valid
    steps = {**estimator.get_params(), "": estimator}

    def of(model: Any) -> Any:
        if id(model) not in known:
            known[id(model)] = (model, with_known_weights(model))
        return known[id(model)][1]

    def change(each: BaseEstimator) -> None:
        if isinstance(each, DNNFeatureExtractor):
            each.model = of(each.model)

    def axis(name: str, values: Any) -> Any:
        step, _, last = name.rpartition("__")
        if last == "model" and isinstance(steps.get(step), DNNFeatureExtractor):
            return list(map(of, values))
        return values

    told = [
        {name: axis(name, values) for name, values in grid.items()}
        for grid in grids_of(param_grid)
    ]
    grid = told if isinstance(param_grid, list | tuple) else told[0]
    return rebuild(estimator, change), rebuild(grid, change)


def give_back(value: Any, store: ActivationStore | None) -> Any:
    """Copy of `value` without what was lent to it; other processes' copies of it included."""

    def change(estimator: BaseEstimator) -> None:
        if isinstance(estimator, DNNFeatureExtractor):
            if _same(estimator.cache, store):
                estimator.cache = None
            _forget_weights(estimator)
        elif isinstance(estimator, Pipeline) and isinstance(estimator.memory, FitMemory):
            estimator.memory = None

    return rebuild(value, change)


def _forget_weights(extractor: DNNFeatureExtractor) -> None:
    """What a search knew of the weights; a bare network is copied, as by any search."""
    given = without_known_weights(extractor.model)
    if given is extractor.model:
        return
    extractor.model = clone(given, safe=False)
    source = vars(extractor).get("_fitted_source")
    if source is not None:
        extractor._fitted_source = replace(source, model=extractor.model)


def _same(cache: Any, store: ActivationStore | None) -> bool:
    return (
        store is not None
        and isinstance(cache, ActivationStore)
        and str(cache.root) == str(store.root)
    )


class TemporaryStore:
    """A store in a folder for temporary files, removed together with the last of its owners.

    The folder is made when first needed. Clones share the object. A copy that was pickled uses
    the same folder as long as it exists, makes its own where it is gone, and removes only that.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._store: ActivationStore | None = None

    def open(self) -> ActivationStore:
        """The store; made now if there is none."""
        with _LOCK:
            if self._path is None or not os.path.isdir(self._path):
                self._path, self._store = tempfile.mkdtemp(prefix="skdnn-"), None
                weakref.finalize(self, _remove, self._path, os.getpid())
            if self._store is None:
                self._store = ActivationStore(self._path)
                self._store.is_temporary = True
            return self._store

    def __sklearn_clone__(self) -> TemporaryStore:
        return self

    def __deepcopy__(self, memo: Any) -> TemporaryStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # The folder must exist before worker processes get to know of it, else each makes its own.
        self.open()
        return {"_path": self._path, "_store": None}


def _remove(path: str, owner: int) -> None:
    """Remove the folder, but not from a forked process: there it is borrowed."""
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
