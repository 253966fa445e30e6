"""Transformers are fitted once for the same data, and nothing stale comes back."""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdnn import DNNFeatureExtractor, LayerSearchCV
from skdnn._search import _fit_memory as _memory
from skdnn._search._fit_memory import FitMemory
from skdnn.models import Model

FOLDS = KFold(4, shuffle=True, random_state=1)
X = np.random.default_rng(0).normal(size=(19, 7))
Y = np.random.default_rng(1).normal(size=(19, 3))
FITS: Counter[Any] = Counter()


class CountingPCA(PCA):
    """Says how often it was fitted."""

    def _fit(self, X: Any) -> Any:
        FITS[self.n_components] += 1
        return super()._fit(X)


@pytest.fixture(autouse=True)
def findable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are imported under names that lead nowhere; classes of a user have a module."""
    FITS.clear()
    _memory._ENTRIES.clear()
    module = ModuleType(__name__)
    for name in ("CountingPCA", "Holder", "InPlace", "double"):
        setattr(module, name, globals()[name])
    monkeypatch.setitem(sys.modules, __name__, module)


class InPlace(TransformerMixin, BaseEstimator):
    """Changes what it is given, and what it has given before."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def fit(self, X: Any, y: Any = None) -> InPlace:
        return self

    def transform(self, X: Any) -> Any:
        X *= self.factor
        return X


class Holder(TransformerMixin, BaseEstimator):
    """Has something as a parameter."""

    def __init__(self, inside: Any = None) -> None:
        self.inside = inside

    def fit(self, X: Any, y: Any = None) -> Holder:
        return self

    def transform(self, X: Any) -> Any:
        return X


def double(X: Any, unused: Any = None) -> Any:
    return 2 * X


def exact_pca() -> CountingPCA:
    return CountingPCA(2, svd_solver="full", random_state=0)


_fit_transform = sklearn.pipeline._fit_transform_one  # as a Pipeline calls it


def call(memory: FitMemory, transformer: Any, X: Any, y: Any = None) -> np.ndarray:
    """Fit as a Pipeline does, and return the output."""
    function = memory.cache(_fit_transform)
    return function(clone(transformer), X, y, weight=None, message="", params={})[0]


# In a search


def search_grid(model: Model, kind: Any, pca: Any, paths: Any, y: Any, **options: Any) -> Any:
    pipeline = Pipeline(
        [
            ("dnn", DNNFeatureExtractor(model, "3")),
            ("scale", StandardScaler(copy=False)),
            ("pca", pca),
            ("ridge", Ridge()),
        ]
    )
    grid = {
        "dnn__layer": ["3", "0"],
        "pca__n_components": [2, 4],
        "ridge__alpha": [0.1, 10.0],
    }
    return kind(pipeline, grid, cv=FOLDS, **options).fit(paths, y)


def test_a_grid_fits_each_transformer_once_per_fold(paths, model, patterns):
    pca = exact_pca()
    reference = search_grid(model, GridSearchCV, pca, paths, patterns)
    assert {2: 2 * 2 * 4 + (reference.best_params_["pca__n_components"] == 2)} | {
        4: 2 * 2 * 4 + (reference.best_params_["pca__n_components"] == 4)
    } == FITS
    FITS.clear()
    search = search_grid(model, LayerSearchCV, pca, paths, patterns)
    assert sum(FITS.values()) == 2 * 2 * 4 + 1  # layers, components, folds; and the refit
    for key, values in reference.cv_results_.items():
        if "test" in key:
            assert_allclose(search.cv_results_[key], values, rtol=0, atol=1e-12, err_msg=key)
    assert search.best_estimator_.memory is None
    assert not _memory._ENTRIES


def test_a_memory_of_ones_own_stays(paths, model, patterns, tmp_path):
    pipeline = Pipeline(
        [("dnn", DNNFeatureExtractor(model, "3")), ("r", Ridge())], memory=str(tmp_path)
    )
    search = LayerSearchCV(pipeline, {"r__alpha": [1.0, 2.0]}, cv=FOLDS).fit(paths, patterns)
    assert search.best_estimator_.memory == str(tmp_path)
    assert any(tmp_path.iterdir())


# By itself


def test_the_second_fit_is_remembered():
    memory = FitMemory()
    first, second = (call(memory, exact_pca(), X) for _ in range(2))
    assert FITS[2] == 1
    assert_array_equal(first, second)
    first[:] = 0
    assert_array_equal(call(memory, exact_pca(), X), second)
    memory.clear()
    call(memory, exact_pca(), X)
    assert FITS[2] == 2


CHANGES = {
    "data": lambda: (exact_pca(), X + 1e-12, Y),
    "type": lambda: (exact_pca(), X.astype(np.float32), Y),
    "shape": lambda: (exact_pca(), X[:-1], Y[:-1]),
    "order in memory": lambda: (
        exact_pca(),
        np.asfortranarray(X),
        Y,
    ),
    "target": lambda: (exact_pca(), X, Y[::-1]),
    "no target": lambda: (exact_pca(), X, None),
    "parameter": lambda: (CountingPCA(2, svd_solver="covariance_eigh", random_state=0), X, Y),
    "output": lambda: (
        exact_pca().set_output(transform="pandas"),
        X,
        Y,
    ),
    "labels": lambda: (exact_pca(), pd.DataFrame(X), Y),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_fitted_anew(change):
    memory = FitMemory()
    call(memory, exact_pca(), X, Y)
    transformer, other, y = CHANGES[change]()
    expected = clone(transformer).fit_transform(other, y)
    FITS.clear()
    found = call(memory, transformer, other, y)
    assert FITS[2] == 1
    assert type(found) is type(expected)
    assert_array_equal(found, expected)


def test_settings_of_scikit_learn_count():
    memory = FitMemory()
    assert isinstance(call(memory, StandardScaler(), X), np.ndarray)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(call(memory, StandardScaler(), X), pd.DataFrame)


def test_changes_in_place_are_seen():
    memory = FitMemory()
    array = X.copy()
    for factor in (1, 2, 4):
        assert_array_equal(array, X * factor)
        found = call(memory, InPlace(), array)  # changes `array`, at least the first time
        assert_array_equal(found, X * factor * 2)
        array = found
    # What is remembered does not hang on arrays that others have.
    again = call(memory, InPlace(), X.copy())
    assert_array_equal(again, X * 2)
    again *= 0
    assert_array_equal(call(memory, InPlace(), X.copy()), X * 2)


@pytest.mark.parametrize(
    ("transformer", "is_kept"),
    [
        (PCA(2, svd_solver="full"), True),  # has a seed, but draws nothing
        (PCA(2, svd_solver="randomized"), False),
        (PCA(2, svd_solver="randomized", random_state=0), True),
        (PCA(2, svd_solver="randomized", random_state=np.random.RandomState(0)), False),
        (CountingPCA(2, svd_solver="full"), False),  # not known to draw where it is seen
    ],
)
def test_random_fits(transformer, is_kept):
    memory = FitMemory()
    function = memory.cache(_fit_transform)
    function(transformer, X, None, weight=None)
    assert len(_memory._ENTRIES) == is_kept


def test_what_has_no_name_is_not_kept():
    memory = FitMemory()
    memory.cache(_fit_transform)(FunctionTransformer(lambda X: 2 * X), X.copy(), None, weight=None)
    assert not _memory._ENTRIES


@pytest.mark.parametrize("inside", [DNNFeatureExtractor(), np.random.default_rng(0)])
def test_what_holds_an_extractor_or_a_generator_is_not_kept(inside):
    memory = FitMemory()
    memory.cache(_fit_transform)(Holder(inside), X.copy(), None, weight=None)
    assert not _memory._ENTRIES
    memory.cache(_fit_transform)(Holder(), X.copy(), None, weight=None)
    assert len(_memory._ENTRIES) == 1


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(double),
        SelectKBest(f_regression, k=2),
        FeatureUnion([("a", StandardScaler()), ("b", PCA(2, svd_solver="full"))]),
    ],
    ids=["function", "function as parameter", "union"],
)
@pytest.mark.parametrize("kind", ["array", "frame"])
def test_what_is_kept_is_what_was_fitted(transformer, kind):
    memory = FitMemory()
    data = pd.DataFrame(X, columns=list("abcdefg")) if kind == "frame" else X
    expected = clone(transformer).fit(data, Y[:, 0]).transform(data)
    for _ in range(2):
        found = call(memory, transformer, data, Y[:, 0])
        assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert len(_memory._ENTRIES) == 1
    memory.clear()


def test_sparse_and_labelled_inputs():
    for data in (sparse.csr_array(X), pd.DataFrame(X).rename(columns=str)):
        memory = FitMemory()
        scaler = StandardScaler(with_mean=False)
        first, second = call(memory, scaler, data), call(memory, scaler, data)
        assert len(_memory._ENTRIES) == 1
        assert abs(first - second).max() == 0
        memory.clear()


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(_memory, "LIMIT", 20_000)
    memory = FitMemory()
    kept = []
    for step in range(20):
        call(memory, StandardScaler(), X + step)
        kept.append(sum(map(len, _memory._ENTRIES.values())))
    assert max(kept) <= 20_000
    assert 5 < len(_memory._ENTRIES) < 20
    call(memory, StandardScaler(), np.ones((100, 100)))  # larger than its share
    assert sum(map(len, _memory._ENTRIES.values())) == kept[-1]
    memory.clear()


def test_all_share_the_entries_of_their_process():
    memory = FitMemory()
    call(memory, exact_pca(), X)
    for other in (pickle.loads(pickle.dumps(memory)), clone(memory, safe=False), FitMemory()):
        call(other, exact_pca(), X)
        assert FITS[2] == len(_memory._ENTRIES) == 1
    memory.clear()
    assert not _memory._ENTRIES


plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)
)
nested = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=6,
)


def exact(value: Any) -> str:
    """A text that tells types apart, 1 and 1.0 and True too."""
    return repr(value)


@settings(max_examples=200, deadline=None)
@given(nested, nested)
def test_hashes_are_equal_where_values_are(a, b):
    same = exact(a) == exact(b)
    assert (_memory._hash([a]) == _memory._hash([b])) == same
    assert (_memory._hash([a, b]) == _memory._hash([b, a])) == same
    assert _memory._hash([pickle.loads(pickle.dumps(a))]) == _memory._hash([a])
