"""Transformers are not fitted again where neither they nor their data have changed."""

from __future__ import annotations

import pickle
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import joblib
import numpy as np
import sklearn
import xxhash
from sklearn.base import BaseEstimator

from skdnn._feature_extractor import DNNFeatureExtractor

LIMIT = 512 * 1024**2  # bytes per process
_PART = 8  # nothing larger than this share of it is kept, so that the folds of a layer fit
_UNSAID = {"message", "message_clsname", "caller", "callback_ctx"}  # do not change the result
_NOT_PICKLED = (pickle.PicklingError, TypeError, AttributeError)
_LOCK = threading.RLock()
_ENTRIES: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # the least recently used first


class FitMemory:
    """What a Pipeline takes as ``memory``: fitted transformers and outputs, in this process.

    joblib's own would write all features of each fold to disk. The key is a hash of
    contents: parameters, X, y and fit parameters. So nothing stale can come back, whoever
    changes an array in place. Entries are pickles: what is handed out is nobody else's. A fit
    that draws from numpy's global random numbers is not kept, nor one that shares a generator,
    since each of them is another.

    The object is no more than a name for its entries. Copies of it, in this or another process,
    use the entries of the process where they are.
    """

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex

    def cache(self, func: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """As joblib's ``Memory.cache``; `options` are of no use here."""
        return partial(self._call, func)

    def clear(self) -> None:
        """Forget all entries of this process."""
        with _LOCK:
            for key in [key for key in _ENTRIES if key[0] == self.token]:
                del _ENTRIES[key]

    def _call(
        self, func: Callable[..., Any], transformer: Any, X: Any, y: Any = None, **options: Any
    ) -> Any:
        said = {name: value for name, value in options.items() if name not in _UNSAID}
        found = _hash([func, transformer, X, y, said]) if _can_be_kept(transformer) else None
        if found is None:
            return func(transformer, X, y, **options)
        key = (self.token, found)
        with _LOCK:
            entry = _ENTRIES.get(key)
            if entry is not None:
                _ENTRIES.move_to_end(key)
        if entry is not None:
            result = pickle.loads(entry)
            _tell_callbacks(X, y, result[0], **options)
            return result
        before = np.random.get_state()  # noqa: NPY002 (what scikit-learn draws from)
        result = func(transformer, X, y, **options)
        if _same_state(before, np.random.get_state()):  # noqa: NPY002
            _keep(key, result)
        return result


def _hash(values: list[Any]) -> str | None:
    """Of contents and scikit-learn's settings; None where something has none, e.g. a lambda."""
    told = [_contents(value) for value in values]
    try:
        return joblib.hash([told, sklearn.get_config()], hash_name="sha1")
    except _NOT_PICKLED:
        return None


def _contents(value: Any) -> Any:
    """What tells large arrays apart, in a tenth of the time; all else is itself."""
    if type(value) is not np.ndarray or value.dtype.hasobject or not value.flags.forc:
        return value
    plain = value if value.flags.c_contiguous else value.T
    digest = xxhash.xxh3_128_hexdigest(plain.reshape(-1).view(np.uint8).data)
    return ("array", value.dtype.str, value.shape, plain is value, digest)


def _can_be_kept(transformer: Any) -> bool:
    """Not extractors, of which the store remembers more; nor what may draw where nobody sees."""
    params = transformer.get_params() if isinstance(transformer, BaseEstimator) else {}
    for each in [transformer, *params.values()]:
        if isinstance(each, DNNFeatureExtractor | np.random.RandomState | np.random.Generator):
            return False
        module = type(each).__module__.partition(".")[0]
        seedless = getattr(each, "random_state", 0) is None
        if isinstance(each, BaseEstimator) and seedless and module not in ("sklearn", "skdnn"):
            return False
    return True


def _tell_callbacks(
    X: Any, y: Any, output: Any, *, caller: Any = None, callback_ctx: Any = None, **options: Any
) -> None:
    """Count the step as done, for progress bars and the like."""
    if callback_ctx is not None:
        callback_ctx.call_on_fit_task_begin(estimator=caller, X=X, y=y)
        callback_ctx.call_on_fit_task_end(estimator=caller, X=output, y=y)


def _keep(key: tuple[str, str], result: Any) -> None:
    """Make an entry, unless it is too large or cannot be pickled."""
    if getattr(result[0], "nbytes", 0) > LIMIT // _PART:
        return
    try:
        entry = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
    except _NOT_PICKLED:
        return  # as in any search without this memory
    if len(entry) > LIMIT // _PART:
        return
    with _LOCK:
        _ENTRIES[key] = entry
        total = sum(map(len, _ENTRIES.values()))
        while total > LIMIT:
            total -= len(_ENTRIES.popitem(last=False)[1])


def _same_state(a: Any, b: Any) -> bool:
    return a[0] == b[0] and np.array_equal(a[1], b[1]) and a[2:] == b[2:]
