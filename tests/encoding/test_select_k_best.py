"""SelectKBestRidge against its formula, written out, and against the original package."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdnn.encoding import SelectKBestRidge
from skdnn.encoding._decoding import _positive_definite
from skdnn.encoding._decoding import _solvers as solvers

METHODS = ["gram", "complement", "columns", "dual"]
SHAPES = {"tall": (90, 30, 12), "nearly all": (90, 30, 27), "wide": (40, 130, 60)}


@parametrize_with_checks(
    [
        SelectKBestRidge(),
        SelectKBestRidge(alpha=1, k=2, n_threads=1),
        SelectKBestRidge(alpha=0.5, k=3, penalize_intercept=False),
        SelectKBestRidge(alpha=1, k=3, dtype="float32", chunk_size=2),
    ]
)
def test_estimator_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def make_data(n: int, p: int, n_targets: int = 11, seed: int = 0) -> tuple[Any, Any]:
    """Features off zero, one constant, and targets that depend on some; one is constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, size=p) + rng.normal(size=p)
    X[:, 3] = 1.5
    y = X @ (rng.normal(size=(p, n_targets)) * (rng.random((p, n_targets)) < 0.2)) - 2
    y += rng.normal(size=y.shape)
    y[:, 4] = 0.7
    return X, y


def written_out(
    X: np.ndarray, y: np.ndarray, alpha: float, k: int, penalize: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts, one target after the other, from the definition."""
    n, p = X.shape
    coef, intercept = np.zeros((y.shape[1], p)), np.zeros(y.shape[1])
    for target in range(y.shape[1]):
        r = np.zeros(p)
        for column in range(p):
            if X[:, column].var() >= 1e-8 and np.ptp(y[:, target]) > 0:
                r[column] = abs(np.corrcoef(X[:, column], y[:, target])[0, 1])
        which = np.argsort(r, kind="stable")[::-1][:k]
        Z = np.column_stack([X[:, which], np.ones(n)])
        if not penalize:
            Z -= Z.mean(axis=0)
        solution = np.linalg.solve(Z.T @ Z + alpha * np.eye(Z.shape[1]), Z.T @ y[:, target])
        coef[target, which], intercept[target] = solution[:-1], solution[-1]
        if not penalize:
            intercept[target] = y[:, target].mean() - X.mean(axis=0) @ coef[target]
    return coef, intercept


def assert_solves(model: SelectKBestRidge, X: Any, y: Any, tolerance: float = 1e-10) -> None:
    coef, intercept = written_out(X, y, model.alpha, model.k, model.penalize_intercept)
    assert_allclose(model.coef_.toarray(), coef, rtol=0, atol=tolerance)
    assert_allclose(model.intercept_, intercept, rtol=0, atol=tolerance)
    new = np.random.default_rng(9).normal(size=(7, X.shape[1]))
    assert_allclose(model.predict(new), new @ coef.T + intercept, rtol=0, atol=10 * tolerance)


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Any:
    def choose(method: str) -> None:
        monkeypatch.setattr(solvers, "choose_method", lambda *_: method)

    return choose


# Against the formula


@pytest.mark.parametrize("penalize", [True, False])
@pytest.mark.parametrize("alpha", [0.1, 100])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_is_the_formula(
    shape: str, method: str, alpha: float, penalize: bool, force: Any
) -> None:
    n, p, k = SHAPES[shape]
    X, y = make_data(n, p)
    force(method)
    model = SelectKBestRidge(alpha, k, penalize_intercept=penalize, chunk_size=4).fit(X, y)
    assert model.method_ == method
    assert_solves(model, X, y)


@pytest.mark.parametrize("penalize", [True, False])
@pytest.mark.parametrize("alpha", [0.1, 100])
@pytest.mark.parametrize(("n", "p", "k"), [(90, 30, 30), (40, 130, 130), (40, 130, 500)])
def test_all_features(n: int, p: int, k: int, alpha: float, penalize: bool) -> None:
    X, y = make_data(n, p)
    model = SelectKBestRidge(alpha, k, penalize_intercept=penalize).fit(X, y)
    assert model.method_ == "all"
    assert model.k_ == p
    assert_solves(model, X, y)
    if not penalize:
        ridge = Ridge(alpha).fit(X, y)
        assert_allclose(model.coef_.toarray(), ridge.coef_, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("n", "p", "k", "n_targets", "method"),
    [
        (1200, 600, 500, 1000, "complement"),
        (1200, 1200, 500, 1000, "gram"),
        (1200, 3000, 500, 1000, "gram"),
        (1200, 290_400, 500, 1000, "columns"),
        (1200, 3000, 500, 3, "columns"),
        (50, 3000, 500, 1000, "dual"),
        (50, 300, 500, 1000, "all"),
    ],
)
def test_the_cheapest_way_is_chosen(n: int, p: int, k: int, n_targets: int, method: str) -> None:
    assert solvers.choose_method(n, p, k, n_targets) == method


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(5, 40), st.integers(1, 45))
def test_any_shape(seed: int, n: int, p: int, k: int) -> None:
    X, y = make_data(n, p, 6, seed)
    assert_solves(SelectKBestRidge(1, k).fit(X, y), X, y, 1e-9)


def test_targets_of_four_dimensions() -> None:
    X, y = make_data(60, 30, 24)
    flat = SelectKBestRidge(1, 10).fit(X, y)
    model = SelectKBestRidge(1, 10, chunk_size=5).fit(X, y.reshape(60, 2, 3, 4))
    assert model.target_shape_ == (2, 3, 4)
    assert model.intercept_.shape == (24,)
    assert model.predict(X[:7]).shape == (7, 2, 3, 4)
    assert_allclose(model.predict(X).reshape(60, -1), flat.predict(X), rtol=0, atol=1e-12)
    fortran = SelectKBestRidge(1, 10).fit(X, np.asfortranarray(y.reshape(60, 2, 3, 4)))
    assert_array_equal(fortran.predict(X).reshape(60, -1), flat.predict(X))
    expected = r2_score(y, flat.predict(X))
    assert_allclose(model.score(X, y.reshape(60, 2, 3, 4)), expected)
    assert isinstance(model.score(X, y.reshape(60, 2, 3, 4)), float)


def test_one_target() -> None:
    X, y = make_data(60, 30)
    model = SelectKBestRidge(1, 10).fit(X, y[:, 0])
    assert model.target_shape_ == ()
    assert model.predict(X).shape == (60,)
    column = SelectKBestRidge(1, 10).fit(X, y[:, :1])
    assert column.predict(X).shape == (60, 1)
    assert_array_equal(column.predict(X)[:, 0], model.predict(X))
    weights = np.random.default_rng(0).random(60)
    expected = r2_score(y[:, 0], model.predict(X), sample_weight=weights)
    assert_allclose(model.score(X, y[:, 0], weights), expected)


def test_score_refuses_targets_of_another_shape() -> None:
    X, y = make_data(60, 30, 6)
    model = SelectKBestRidge(1, 10).fit(X, y)
    with pytest.raises(ValueError, match=r"y has shape \(60, 2, 3\), but .* \(60, 6\)"):
        model.score(X, y.reshape(60, 2, 3))


def test_a_constant_target_is_predicted_by_its_intercept() -> None:
    X, _ = make_data(50, 20)
    X = StandardScaler().fit_transform(X)
    y = np.full(50, 4.0)
    assert_allclose(SelectKBestRidge(100, 5).fit(X, y).predict(X), 4 * 50 / 150)
    free = SelectKBestRidge(100, 5, penalize_intercept=False).fit(X, y)
    assert_allclose(free.predict(X), 4)
    assert_allclose(free.coefficients_, 0, atol=1e-12)


def test_equal_correlations_go_to_the_last_columns() -> None:
    rng = np.random.default_rng(0)
    X = np.tile(rng.integers(0, 2, size=(20, 1)), (1, 6)).astype(float)
    X[:, 4] = rng.normal(size=20)
    model = SelectKBestRidge(1, 3).fit(X, X[:, 0])
    assert_array_equal(model.indices_, [[2, 3, 5]])
    nothing = SelectKBestRidge(1, 2).fit(X, np.ones(20))
    assert_array_equal(nothing.indices_, [[4, 5]])
    assert nothing.indices_.dtype == np.int32


def test_columns_of_tiny_variance_correlate_with_nothing() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    y = X[:, 1] + 0.01 * rng.normal(size=40)
    X[:, 1] *= 5e-5
    with pytest.warns(UserWarning, match=r"1 of 5 columns of X vary.*column 1\)"):
        model = SelectKBestRidge(1, 2).fit(X, y)
    assert 1 not in model.indices_
    X[:, 1] = 0.1  # constant: its variance is rounding
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SelectKBestRidge(1, 2).fit(X, y)


def test_data_far_from_zero() -> None:
    X, y = make_data(80, 30)
    near = SelectKBestRidge(1, 10, penalize_intercept=False).fit(X, y)
    far = SelectKBestRidge(1, 10, penalize_intercept=False).fit(X + 1e6, y + 1e6)
    assert_array_equal(far.indices_[:4], near.indices_[:4])
    assert_allclose(far.predict(X + 1e6) - 1e6, near.predict(X), atol=1e-6)


# Against the original


@pytest.mark.parametrize(("n", "p", "k"), [(120, 60, 20), (120, 60, 50), (60, 200, 40)])
@pytest.mark.parametrize("alpha", [0.1, 100])
def test_original_package(
    n: int, p: int, k: int, alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pytest.importorskip("fastl2lir").FastL2LiR()
    X, y = make_data(n, p, 12)
    y[:, 4] = y[:, 5] ** 2  # of a constant target the original selects anything
    solve = np.linalg.solve
    # The package assigns arrays of one number to numbers, which numpy has come to refuse.
    monkeypatch.setattr(np.linalg, "solve", lambda matrix, right: solve(matrix, right)[:, 0])
    original.fit(X, y, alpha=alpha, n_feat=k)
    monkeypatch.undo()
    model = SelectKBestRidge(alpha, k).fit(X, y)
    assert_allclose(model.coef_.toarray().T, original.W, rtol=0, atol=1e-9)
    assert_allclose(model.intercept_, original.b[0], rtol=0, atol=1e-9)
    assert_allclose(model.predict(X), original.predict(X), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("n", "p"), [(120, 60), (60, 200)])
def test_original_package_without_selection(n: int, p: int) -> None:
    original = pytest.importorskip("fastl2lir").FastL2LiR()
    X, y = make_data(n, p, 6)
    original.fit(X, y, alpha=10, n_feat=p)
    model = SelectKBestRidge(10, p).fit(X, y)
    assert_allclose(model.predict(X), original.predict(X), rtol=0, atol=1e-9)


# Weights and repeats


@pytest.mark.parametrize("method", [*METHODS, "all"])
@pytest.mark.parametrize("penalize", [True, False])
def test_weights_are_repetitions(method: str, penalize: bool, force: Any) -> None:
    X, y = make_data(40, 30)
    times = np.random.default_rng(0).integers(0, 4, size=40)
    k = 30 if method == "all" else 12
    force(method)
    model = SelectKBestRidge(3, k, penalize_intercept=penalize)
    weighted = clone(model).fit(X, y, sample_weight=times)
    repeated = clone(model).fit(np.repeat(X, times, axis=0), np.repeat(y, times, axis=0))
    assert_array_equal(weighted.indices_, repeated.indices_)
    assert_allclose(weighted.coefficients_, repeated.coefficients_, rtol=0, atol=1e-11)
    assert_allclose(weighted.intercept_, repeated.intercept_, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", ["wide", "tall"])
def test_uniform_weights_scale_the_penalty(shape: str) -> None:
    n, p, k = SHAPES[shape]
    X, y = make_data(n, p)
    model = SelectKBestRidge(3, k).fit(X, y, sample_weight=3)
    expected = SelectKBestRidge(1, k).fit(X, y)
    assert_allclose(model.coefficients_, expected.coefficients_, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", [*METHODS, "all"])
@pytest.mark.parametrize("held", [True, False])
def test_rows_of_y_for_trials(
    method: str, held: bool, force: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _ = make_data(70, 30)
    _, y = make_data(25, 30)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 24, size=70)  # the last image was never shown
    weights = rng.integers(0, 3, size=70).astype(float)
    k = 30 if method == "all" else 12
    if not held:
        monkeypatch.setattr(solvers, "_HELD", 0)
    force(method)
    model = SelectKBestRidge(3, k, chunk_size=4)
    short = clone(model).fit(X, y, y_rows=rows, sample_weight=weights)
    full = clone(model).fit(X, y[rows], sample_weight=weights)
    assert_array_equal(short.indices_, full.indices_)
    assert_allclose(short.coefficients_, full.coefficients_, rtol=0, atol=1e-11)
    assert_allclose(short.intercept_, full.intercept_, rtol=0, atol=1e-11)


def test_rows_of_y_in_another_order() -> None:
    X, y = make_data(40, 30)
    order = np.random.default_rng(0).permutation(40)
    model = SelectKBestRidge(3, 12).fit(X, y, y_rows=order)
    expected = SelectKBestRidge(3, 12).fit(X, y[order])
    assert_allclose(model.predict(X), expected.predict(X), rtol=0, atol=1e-11)


# Precision, threads, memory


@pytest.mark.parametrize("method", [*METHODS, "all"])
def test_float32(method: str, force: Any) -> None:
    X, y = make_data(90, 30)
    k = 30 if method == "all" else 12
    force(method)
    double = SelectKBestRidge(10, k).fit(X, y)
    single = SelectKBestRidge(10, k, dtype="float32").fit(X, y)
    assert single.coefficients_.dtype == single.intercept_.dtype == np.float32
    assert single.predict(X).dtype == np.float64
    assert_array_equal(single.indices_, double.indices_)
    assert_allclose(single.predict(X), double.predict(X), rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_float32_falls_back_where_digits_run_out(
    method: str, force: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []

    def watched(matrix: np.ndarray, right: np.ndarray) -> Any:
        solved = _positive_definite.solve_positive(matrix, right)
        failures.append(solved is None and matrix.dtype == np.float32)
        return solved

    monkeypatch.setattr(solvers, "solve_positive", watched)
    X, y = make_data(90, 30)
    X[:, 5:10] = X[:, [5]] + 1e-5 * X[:, 5:10]
    force(method)
    double = SelectKBestRidge(1e-7, 20).fit(X, y)
    single = SelectKBestRidge(1e-7, 20, dtype="float32").fit(X, y)
    assert any(failures)
    assert np.isfinite(single.coefficients_).all()
    assert_allclose(single.predict(X), double.predict(X), atol=0.1)


def test_too_small_alpha() -> None:
    X, y = make_data(90, 30)
    X[:, 5:15] = X[:, [5]]
    for k in (20, 30):
        with pytest.raises(ValueError, match="alpha=1e-30 is too small"):
            SelectKBestRidge(1e-30, k).fit(1e4 * X, y)


def test_an_ill_conditioned_inverse_is_not_used() -> None:
    X, y = make_data(90, 30)
    X[:, 10] = X[:, 9] + 1e-5 * X[:, 10]
    gram = solvers._gram(solvers.make_design(X, np.ones(90), None, 1e-8, True)[0], slice(None))
    assert solvers._inverse(gram) is None
    model = SelectKBestRidge(1e-8, 27).fit(X, y)
    assert model.method_ == "complement"
    good = solvers._inverse(gram + np.eye(30))
    assert_allclose(good, np.linalg.inv(gram + np.eye(30)), atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_and_chunks_change_nothing(shape: str) -> None:
    n, p, k = SHAPES[shape]
    X, y = make_data(n, p, 150)
    one = SelectKBestRidge(2, k, n_threads=1).fit(X, y)
    for params in ({"n_threads": 3}, {}):
        other = SelectKBestRidge(2, k, **params).fit(X, y)
        assert_array_equal(other.coefficients_, one.coefficients_)
        assert_array_equal(other.intercept_, one.intercept_)
    chunked = SelectKBestRidge(2, k, chunk_size=7, n_threads=2).fit(X, y)
    assert_array_equal(chunked.indices_, one.indices_)
    assert_allclose(chunked.coefficients_, one.coefficients_, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [*METHODS, "all"])
@pytest.mark.parametrize("shape", SHAPES)
def test_features_too_large_to_be_held(
    shape: str, method: str, force: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, p, k = SHAPES[shape]
    X, y = make_data(n, 5 * p)
    k = 5 * p if method == "all" else k
    monkeypatch.setattr(solvers, "_HELD", 0)
    monkeypatch.setattr(solvers, "_BLOCK", 1)
    force(method)
    assert_solves(SelectKBestRidge(1, k).fit(X, y), X, y)


def test_columns_together_and_apart(force: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_data(60, 200, 20)
    force("columns")
    together = SelectKBestRidge(1, 50).fit(X, y)
    monkeypatch.setattr(solvers, "_UNION_FEATURES", 0)
    apart = SelectKBestRidge(1, 50).fit(X, y)
    assert_array_equal(together.indices_, apart.indices_)
    assert_allclose(together.coefficients_, apart.coefficients_, rtol=0, atol=1e-12)


def test_memory_does_not_grow_with_targets_or_square_of_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 20_000)).astype(np.float32)  # inner products: 3.2 GB
    model = SelectKBestRidge(1, 20, n_threads=2)
    model.fit(X[:, :100], X[:, :2])  # what is imported and looked for once
    with h5py.File(tmp_path / "y.h5", "w") as file:
        y = file.create_dataset("y", data=rng.normal(size=(30, 3000)))
        tracemalloc.start()
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    results = sum(a.nbytes for a in (model.indices_, model.coefficients_, model.intercept_))
    # The features as float64 (5 MB), y as it is read, and for two threads some rows of 10 MB.
    assert peak - results < 130e6
