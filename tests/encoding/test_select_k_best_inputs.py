"""What SelectKBestRidge takes: lazy arrays, other dtypes, pipelines; and what it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.only_slices import OnlySlices
from skdnn.encoding import SelectKBestRidge
from skdnn.encoding._decoding import _rows_and_targets as inputs


def make_data(n: int, p: int, n_targets: int = 11, seed: int = 0) -> tuple[Any, Any]:
    """Features off zero, one constant, and targets that depend on some; one is constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, size=p) + rng.normal(size=p)
    X[:, 3] = 1.5
    y = X @ (rng.normal(size=(p, n_targets)) * (rng.random((p, n_targets)) < 0.2)) - 2
    y += rng.normal(size=y.shape)
    y[:, 4] = 0.7
    return X, y


@pytest.fixture
def lazy(tmp_path: Path) -> Any:
    file = h5py.File(tmp_path / "lazy.h5", "w")
    yield lambda array: file.create_dataset(f"d{len(file)}", data=array, chunks=True)
    file.close()


@pytest.mark.parametrize("target_shape", [(24,), (4, 2, 3)])
def test_lazy_targets_are_read_once_in_parts(
    target_shape: tuple[int, ...], lazy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = make_data(60, 30, 24)
    y = y.reshape(60, *target_shape).astype(np.float32)
    monkeypatch.setattr(inputs, "_READ_BYTES", 60 * 7 * 4)
    expected = SelectKBestRidge(1, 10).fit(X, y)
    model = SelectKBestRidge(1, 10, chunk_size=5).fit(X, lazy(y))
    assert model.target_shape_ == target_shape
    assert_allclose(model.predict(X), expected.predict(X), rtol=0, atol=1e-12)
    assert_allclose(model.score(X, lazy(y)), expected.score(X, y))
    weights = np.arange(60) % 3
    weighted = SelectKBestRidge(1, 10).fit(X, lazy(y), weights)
    expected.fit(X, y, weights)
    assert_allclose(weighted.predict(X), expected.predict(X), rtol=0, atol=1e-12)


def test_lazy_targets_with_only_shape_dtype_and_slices() -> None:
    X, y = make_data(60, 30)
    model = SelectKBestRidge(1, 10).fit(X, OnlySlices(y))
    assert_array_equal(model.predict(X), SelectKBestRidge(1, 10).fit(X, y).predict(X))


def test_lazy_and_mapped_features(
    lazy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = make_data(60, 30)
    X = X.astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    expected = SelectKBestRidge(1, 10).fit(X, y).predict(X)
    monkeypatch.setattr(inputs, "_READ_BYTES", 1000)
    for features in (lazy(X), np.load(tmp_path / "X.npy", mmap_mode="r"), pd.DataFrame(X)):
        model = SelectKBestRidge(1, 10).fit(features, y)
        assert_allclose(model.predict(features), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="30 features"):
        model.predict(lazy(X[:, :20]))
    with pytest.raises(TypeError, match="complex64: a lazy array must hold real"):
        model.fit(lazy(X.astype(np.complex64)), y)
    with pytest.raises(TypeError, match="y has dtype complex"):
        model.fit(X, lazy(y.astype(complex)))


@pytest.mark.parametrize("n_features", [12, 30, 200])
def test_predictions_of_every_density(n_features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_data(60, n_features, 40)
    model = SelectKBestRidge(1, 12).fit(X, y)
    expected = X @ model.coef_.toarray().T + model.intercept_
    assert_allclose(model.predict(X), expected, rtol=0, atol=1e-12)
    monkeypatch.setattr("skdnn.encoding._decoding._select_k_best._PREDICT_ELEMENTS", 400)
    monkeypatch.setattr("skdnn.encoding._decoding._select_k_best._CHUNK", 3)
    assert_allclose(model.predict(X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool, np.float16, np.float32])
def test_other_dtypes(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    X, y = (rng.integers(0, 2, size=(40, n)).astype(dtype) for n in (15, 4))
    model = SelectKBestRidge(1, 5).fit(X, y)
    expected = SelectKBestRidge(1, 5).fit(X.astype(float), y.astype(float))
    assert_allclose(model.predict(X), expected.predict(X.astype(float)), atol=1e-12)


def test_pipeline_search_clone_and_pickle() -> None:
    X, y = make_data(60, 30)
    pipeline = make_pipeline(StandardScaler(), SelectKBestRidge(1, 10))
    assert len(cross_validate(pipeline, X, y[:, :3], cv=3)["test_score"]) == 3
    search = GridSearchCV(pipeline, {"selectkbestridge__k": [5, 20]}, cv=3).fit(X, y[:, :3])
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(again.predict(X), search.predict(X))
    everything = SelectKBestRidge(1, 100).fit(X, y)
    assert_array_equal(pickle.loads(pickle.dumps(everything)).indices_, everything.indices_)
    assert clone(everything).get_params() == everything.get_params()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_named(bad: float, lazy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_data(60, 30, 12)
    broken = X.copy()
    broken[3, [4, 17]] = bad
    model = SelectKBestRidge(1, 10)
    with pytest.raises(ValueError, match=r"Input X contains NaN or inf.* 2 of 30 columns: 4, 17"):
        model.fit(broken, y)
    with pytest.raises(ValueError, match="columns: 'v4', 'v17'"):
        model.fit(pd.DataFrame(broken).add_prefix("v"), y)
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"Input X contains NaN or inf.*: 4, 17"):
        model.predict(broken)
    for many in (y, y.astype(np.float32)):
        many[5, 1:] = bad
        with pytest.raises(ValueError, match=r"Input y .* 11 of 12 .*: 1, .*10 and 1 more"):
            model.fit(X, many)
    y[5, 1:10] = 0
    monkeypatch.setattr(inputs, "_READ_BYTES", 60 * 4 * 8)
    with pytest.raises(ValueError, match=r"Input y contains NaN or inf.*: 10, 11"):
        model.fit(X, lazy(y))


def test_huge_numbers_are_not_taken_for_infinity() -> None:
    inputs.check_finite(np.full((4, 2), 1e308), "X")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"y": None}, "requires y to be passed"),
        ({"y": np.zeros((59, 2))}, "inconsistent numbers of samples"),
        ({"y": np.zeros((60, 0))}, "0 feature"),
        ({"sample_weight": np.ones(59)}, "sample_weight has shape .59,.: give one"),
        ({"sample_weight": np.full(60, -1.0)}, "sample_weight must be finite, not negative"),
        ({"sample_weight": np.zeros(60)}, "not all zero"),
        ({"y_rows": np.zeros(59, int)}, "y_rows has shape .59,."),
        ({"y_rows": np.zeros(60)}, "dtype float64: give a row number"),
        ({"y_rows": np.full(60, 60)}, "y_rows reaches from 60 to 60, but y has rows 0 to 59"),
        ({"y_rows": np.full(60, -1)}, "y_rows reaches from -1"),
    ],
)
def test_input_errors(kwargs: dict[str, Any], message: str) -> None:
    X, y = make_data(60, 30)
    with pytest.raises(ValueError, match=message):
        SelectKBestRidge(1, 10).fit(**{"X": X, "y": y, **kwargs})


@pytest.mark.parametrize(
    "params",
    [
        {"alpha": 0},
        {"k": 0},
        {"k": 2.5},
        {"dtype": "float16"},
        {"n_threads": 0},
        {"chunk_size": 0},
    ],
)
def test_parameter_errors(params: dict[str, Any]) -> None:
    X, y = make_data(60, 30)
    with pytest.raises(ValueError, match=next(iter(params))):
        SelectKBestRidge(**params).fit(X, y)
