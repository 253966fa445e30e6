"""A store lent to the extractors of a search, in a copy: nothing of the user's is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from dataclasses import replace
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from skdnn._feature_extractor import DNNFeatureExtractor
from skdnn._search._extractors import grids_of, rebuild
from skdnn._search._fit_memory import FitMemory
from skdnn._store import ActivationStore
from skdnn.models._own_network import with_known_weights, without_known_weights

_LOCK = threading.Lock()


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


def with_hashed_weights(estimator: BaseEstimator, param_grid: Any) -> tuple[Any, list[Any]]:
    """Both, with the weights of one's own networks hashed: once, however many folds follow."""
    known: dict[int, tuple[Any, Any]] = {}  # with what was given, so that ids stay valid
    steps = {**estimator.get_params(), "": estimator}

    def hashed(model: Any) -> Any:
        if id(model) not in known:
            known[id(model)] = (model, with_known_weights(model))
        return known[id(model)][1]

    def change(each: BaseEstimator) -> None:
        if isinstance(each, DNNFeatureExtractor):
            each.model = hashed(each.model)

    def axis(name: str, values: Any) -> Any:
        step, _, last = name.rpartition("__")
        of_networks = last == "model" and isinstance(steps.get(step), DNNFeatureExtractor)
        return list(map(hashed, values)) if of_networks else values

    grids = [{k: axis(k, v) for k, v in grid.items()} for grid in grids_of(param_grid)]
    return rebuild(estimator, change), rebuild(grids, change)


def give_back(value: Any, store: ActivationStore | None) -> Any:
    """Copy of `value` without what was lent to it; other processes' copies of it included."""

    def change(estimator: BaseEstimator) -> None:
        if isinstance(estimator, DNNFeatureExtractor):
            cache = estimator.cache
            if store is not None and getattr(cache, "root", None) == store.root:
                estimator.cache = None
            _forget_weights(estimator)
        elif isinstance(estimator, Pipeline) and isinstance(estimator.memory, FitMemory):
            estimator.memory = None

    return rebuild(value, change)


def _forget_weights(extractor: DNNFeatureExtractor) -> None:
    """What a search knew of the weights; a bare network is copied, as by any search."""
    given = without_known_weights(extractor.model)
    if given is not extractor.model:
        extractor.model = clone(given, safe=False)
        network = vars(extractor).get("_network")
        if network is not None:
            extractor._network = replace(network, model=extractor.model)


class TemporaryStore:
    """A store in a folder for temporary files, removed together with the last of its owners.

    The folder is made when first needed. Clones share the object. A copy that was pickled uses
    the same folder as long as it exists, makes its own where it is gone, and removes only that.
    """

    def __init__(self) -> None:
        self._store: ActivationStore | None = None

    def open(self) -> ActivationStore:
        """The store; made now if there is none."""
        with _LOCK:
            if self._store is None or not self._store.root.is_dir():
                folder = tempfile.mkdtemp(prefix="skdnn-")
                weakref.finalize(self, _remove, folder, os.getpid())
                self._store = ActivationStore(folder)
                self._store.is_temporary = True
            return self._store

    def __sklearn_clone__(self) -> TemporaryStore:
        return self

    def __deepcopy__(self, memo: Any) -> TemporaryStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # The folder must exist before worker processes get to know of it, else each makes its own.
        return {"_store": self.open()}


def _remove(path: str, owner: int) -> None:
    """Remove the folder, but not from a forked process: there it is borrowed."""
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
