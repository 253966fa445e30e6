"""Transformers are not fitted again where neither they nor their data have changed."""

from __future__ import annotations

import hashlib
import pickle
import sys
import threading
import types
import uuid
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator

from skdnn.feature_extractor import DNNFeatureExtractor

LIMIT = 512 * 1024**2  # bytes per process
_PART = 8  # nothing larger than this share of it is kept, so that the folds of a layer fit
_UNSAID = {"message", "message_clsname", "caller", "callback_ctx"}  # do not change the result
_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, slice, range),
    *(PurePath, np.generic, np.dtype),
)
_LOCK = threading.RLock()
_ENTRIES: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()  # the least recently used first


class _NoKey(Exception):
    """Something that cannot be told apart by its contents."""


class FitMemory:
    """What a Pipeline takes as ``memory``: fitted transformers and outputs, in this process.

    The key is made of contents: class, parameters, X, y and fit parameters. So nothing stale can
    come back, whoever changes an array in place. Entries are pickles: what is handed out is
    nobody else's. A fit that draws from numpy's global random numbers is not kept, nor one that
    shares a generator, since each of them is another.

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
        try:
            key = (self.token, _digest([func, transformer, X, y, said]))
        except _NoKey:
            return func(transformer, X, y, **options)
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


def _tell_callbacks(
    X: Any, y: Any, output: Any, *, caller: Any = None, callback_ctx: Any = None, **options: Any
) -> None:
    """Count the step as done, for progress bars and the like."""
    if callback_ctx is not None:
        callback_ctx.call_on_fit_task_begin(estimator=caller, X=X, y=y)
        callback_ctx.call_on_fit_task_end(estimator=caller, X=output, y=y)


def _keep(key: tuple[str, bytes], result: Any) -> None:
    """Make an entry, unless it is too large or cannot be pickled."""
    if getattr(result[0], "nbytes", 0) > LIMIT // _PART:
        return
    try:
        entry = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError):
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


def _digest(value: Any) -> bytes:
    sha = hashlib.sha256()
    _update(sha, value)
    _update(sha, sklearn.get_config())
    return sha.digest()


def _update(sha: Any, value: Any) -> None:
    """Add the contents of `value`, with types and lengths: no two values look the same."""
    if isinstance(value, _PLAIN):
        text = f"{type(value).__qualname__}:{value!r}"
        sha.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
    elif isinstance(value, list | tuple):
        _start(sha, value, len(value))
        for part in value:
            _update(sha, part)
    elif isinstance(value, dict):
        _start(sha, value, len(value))
        for name, part in value.items():
            _update(sha, name)
            _update(sha, part)
    elif type(value) is np.ndarray:
        _update_array(sha, value)
    elif isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        _update_pandas(sha, value)
    elif sparse.issparse(value) and value.format in ("csr", "csc"):
        _start(sha, value, value.nnz)
        for part in (value.shape, value.data, value.indices, value.indptr):
            _update(sha, part)
    elif isinstance(value, BaseEstimator):
        _update_estimator(sha, value)
    elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        _update(sha, ["by name", _importable(value)])
    else:
        raise _NoKey


def _start(sha: Any, value: Any, length: int) -> None:
    sha.update(f"{type(value).__qualname__}[{length}]".encode())


def _update_array(sha: Any, array: np.ndarray) -> None:
    if array.dtype.hasobject:
        if array.dtype != object:
            raise _NoKey
        _update(sha, ["objects", array.shape, array.ravel().tolist()])
        return
    columns_first = array.flags.f_contiguous and not array.flags.c_contiguous
    _update(sha, ["array", array.shape, array.dtype, columns_first])
    plain = np.ascontiguousarray(array.T if columns_first else array)
    sha.update(plain.reshape(-1).view(np.uint8).data)


def _update_pandas(sha: Any, value: Any) -> None:
    _start(sha, value, len(value))
    if isinstance(value, pd.MultiIndex):
        _update(sha, [value.tolist(), list(value.names)])
    elif isinstance(value, pd.Index):
        _update(sha, [str(value.dtype), value.to_numpy(), value.name])
    elif isinstance(value, pd.Series):
        _update(sha, [str(value.dtype), value.index, value.to_numpy(), value.name])
    else:
        types_ = [str(dtype) for dtype in value.dtypes]
        _update(sha, [types_, value.columns, value.index, value.to_numpy()])


def _update_estimator(sha: Any, estimator: BaseEstimator) -> None:
    """All that it holds: parameters, output settings, and what is fitted already."""
    if isinstance(estimator, DNNFeatureExtractor):
        raise _NoKey  # the store remembers more of it
    module = type(estimator).__module__.partition(".")[0]
    # Others may draw from generators of their own, where nobody sees it.
    seedless = getattr(estimator, "random_state", 0) is None
    if seedless and module not in ("sklearn", "skdnn"):
        raise _NoKey
    _update(sha, ["estimator", type(estimator)])
    _update(sha, dict(sorted(vars(estimator).items())))


def _importable(thing: Any) -> str:
    """Where a function or class is found by its name; not those made on the fly."""
    module = getattr(thing, "__module__", None) or "numpy"
    name = getattr(thing, "__qualname__", thing.__name__)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not thing:
        raise _NoKey
    return f"{module}.{name}"
