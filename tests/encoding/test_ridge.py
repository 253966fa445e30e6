"""VoxelwiseRidgeCV against scikit-learn and himalaya, in both forms, in blocks, and on disk."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from ridge_study import ALPHAS, SHAPES, assert_same_fit, study
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.only_slices import OnlySlices
from skdnn.encoding import VoxelwiseRidgeCV
from skdnn.encoding._ridge import _cross_validation as _ridge_solvers
from skdnn.encoding._ridge import _solution as _ridge_solution


@parametrize_with_checks(
    [
        VoxelwiseRidgeCV(),
        VoxelwiseRidgeCV(cv=None, store="dual", solver="dual"),
        VoxelwiseRidgeCV(ALPHAS, cv=3, scoring="correlation", solver="primal", random_state=0),
        VoxelwiseRidgeCV(10.0, alpha_per_target=False, fit_intercept=False, target_chunk=2),
    ]
)
def test_scikit_learns_checks(estimator: VoxelwiseRidgeCV, check: Any) -> None:
    check(estimator)


# Against scikit-learn and himalaya


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leaving_out_each_row_equals_ridge_cv(shape: Any, fit_intercept: bool) -> None:
    X, Y = study(*shape)
    ours = VoxelwiseRidgeCV(ALPHAS, cv=None, fit_intercept=fit_intercept).fit(X, Y)
    theirs = RidgeCV(
        ALPHAS, alpha_per_target=True, fit_intercept=fit_intercept, store_cv_results=True
    ).fit(X, Y)
    assert len(set(ours.alpha_)) > 1
    assert_array_equal(ours.alpha_, theirs.alpha_)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-11)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-9)
    errors = theirs.cv_results_.mean(axis=0).T  # squared, (alphas, targets)
    assert_allclose(ours.cv_scores_, 1 - errors / Y.var(axis=0), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solver", ["auto", "primal", "dual"])
@pytest.mark.parametrize(
    ("cv", "fit_intercept"),
    [
        (5, True),
        (5, False),
        (KFold(4, shuffle=True, random_state=1), True),
        (ShuffleSplit(3, random_state=0, train_size=0.3), True),
    ],
)
def test_folds_equal_a_search_for_each_target(
    shape: Any, solver: str, cv: Any, fit_intercept: bool
) -> None:
    X, Y = study(*shape, n_targets=3)
    ours = VoxelwiseRidgeCV(ALPHAS, cv=cv, solver=solver, fit_intercept=fit_intercept).fit(X, Y)
    for target, y in enumerate(Y.T):
        theirs = GridSearchCV(Ridge(fit_intercept=fit_intercept), {"alpha": ALPHAS}, cv=cv)
        theirs.fit(X, y)
        best = theirs.best_estimator_
        assert ours.alpha_[target] == best.alpha
        scores = theirs.cv_results_["mean_test_score"]
        assert_allclose(ours.cv_scores_[:, target], scores, rtol=1e-9, atol=1e-9)
        assert_allclose(ours.best_score_[target], theirs.best_score_, rtol=1e-9, atol=1e-9)
        assert_allclose(ours.coef_[target], best.coef_, rtol=1e-10, atol=1e-10)
        assert_allclose(ours.intercept_[target], best.intercept_, rtol=1e-10, atol=1e-8)
        assert_allclose(ours.predict(X)[:, target], best.predict(X), rtol=1e-10, atol=1e-9)


def test_one_penalty_for_all_equals_ridge_cv() -> None:
    X, Y = study(60, 30)
    ours = VoxelwiseRidgeCV(ALPHAS, alpha_per_target=False).fit(X, Y)
    theirs = RidgeCV(ALPHAS, cv=5).fit(X, Y)
    assert isinstance(ours.alpha_, float)
    assert ours.alpha_ == theirs.alpha_
    assert_allclose(ours.best_score_.mean(), theirs.best_score_, rtol=1e-9)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-10)
    assert_allclose(ours.score(X, Y), theirs.score(X, Y), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:Solving:UserWarning")  # which form is quicker
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_himalaya(shape: Any) -> None:
    pytest.importorskip("himalaya")
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV as HimalayaRidgeCV
    from himalaya.scoring import r2_score as himalaya_r2

    set_backend("numpy")
    X, Y = study(*shape)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    cv = KFold(5, shuffle=True, random_state=0)
    params: dict[str, Any] = {"alphas": ALPHAS, "cv": cv}
    params["solver_params"] = {"score_func": himalaya_r2}
    ours = VoxelwiseRidgeCV(ALPHAS, cv=cv, fit_intercept=False).fit(X, Y)
    primal = HimalayaRidgeCV(fit_intercept=False, **params).fit(X, Y)
    dual = KernelRidgeCV(kernel="linear", **params).fit(X, Y)
    for theirs, coef in ((primal, primal.coef_), (dual, X.T @ dual.dual_coef_)):
        assert_allclose(ours.alpha_, theirs.best_alphas_, rtol=1e-12)
        assert_allclose(ours.coef_.T, coef, rtol=1e-6, atol=1e-6)


def test_scores_of_left_out_rows_are_of_all_of_them_together() -> None:
    X, Y = study(25, 40)
    for scoring in ("r2", "correlation"):
        ours = VoxelwiseRidgeCV([1, 100], cv=None, scoring=scoring).fit(X, Y)
        for row, alpha in enumerate([1, 100]):
            left_out = np.empty_like(Y)
            for i in range(25):
                others = np.arange(25) != i
                left_out[i] = Ridge(alpha).fit(X[others], Y[others]).predict(X[[i]])[0]
            if scoring == "r2":
                expected = r2_score(Y, left_out, multioutput="raw_values")
            else:
                pairs = zip(Y.T, left_out.T, strict=True)
                expected = np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])
            assert_allclose(ours.cv_scores_[row], expected, rtol=1e-8, atol=1e-10)


def test_correlation_as_criterion() -> None:
    X, Y = study(50, 70)
    folds = KFold(3)
    ours = VoxelwiseRidgeCV([10, 1e4], cv=folds, scoring="correlation").fit(X, Y)
    expected = np.zeros((2, Y.shape[1]))
    for train, test in folds.split(X):
        for row, alpha in enumerate([10, 1e4]):
            predicted = Ridge(alpha).fit(X[train], Y[train]).predict(X[test])
            pairs = zip(Y[test].T, predicted.T, strict=True)
            expected[row] += [np.corrcoef(a, b)[0, 1] / 3 for a, b in pairs]
    assert_allclose(ours.cv_scores_, expected, rtol=1e-8, atol=1e-10)


# However it is computed


@given(
    n=st.integers(6, 25),
    p=st.integers(1, 30),
    n_targets=st.integers(1, 5),
    intercept=st.booleans(),
    cv=st.sampled_from([None, 2, 3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_primal_equals_dual(
    n: int, p: int, n_targets: int, intercept: bool, cv: Any, seed: int
) -> None:
    X, Y = study(n, p, n_targets, seed)
    one, other = (
        VoxelwiseRidgeCV([1, 1000], cv=cv, solver=solver, fit_intercept=intercept).fit(X, Y)
        for solver in ("primal", "dual")
    )
    assert_allclose(one.cv_scores_, other.cv_scores_, rtol=1e-8, atol=1e-8)
    same = one.alpha_ == other.alpha_  # a tie may be broken by rounding
    assert_allclose(one.coef_[same], other.coef_[same], rtol=1e-8, atol=1e-8)
    assert_allclose(one.predict(X)[:, same], other.predict(X)[:, same], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_operator", [True, False])
def test_operators_and_eigenvectors_agree(
    cv: Any, shape: Any, by_operator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, Y = study(*shape)
    plain = VoxelwiseRidgeCV(ALPHAS, cv=cv).fit(X, Y)
    plan = (by_operator, 2 if by_operator else len(ALPHAS))
    monkeypatch.setattr(_ridge_solvers, "_plan", lambda *args: plan)
    monkeypatch.setattr(_ridge_solvers, "_SCORED", 1)
    monkeypatch.setattr(_ridge_solution, "OPERATOR_BYTES", 0 if by_operator else 2**40)
    assert_same_fit(VoxelwiseRidgeCV(ALPHAS, cv=cv).fit(X, Y), plain, X, 1e-9)


def test_penalties_are_shared_or_solved_one_by_one() -> None:
    """Many targets on few rows take one inverse for each penalty."""
    X, Y = study(20, 60, 700)
    many = VoxelwiseRidgeCV(ALPHAS).fit(X, Y)
    few = VoxelwiseRidgeCV(ALPHAS).fit(X, Y[:, :9])
    assert len(set(many.alpha_[:9])) > 2
    assert_allclose(many.coef_[:9], few.coef_, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_targets_change_nothing(cv: Any, shape: Any) -> None:
    X, Y = study(*shape, n_targets=11)
    whole = VoxelwiseRidgeCV(ALPHAS, cv=cv).fit(X, Y)
    for chunk in (1, 4, 100):
        chunked = VoxelwiseRidgeCV(ALPHAS, cv=cv, target_chunk=chunk).fit(X, Y)
        assert_same_fit(chunked, whole, X, 1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("store", ["coef", "dual"])
def test_lazy_arrays(shape: Any, store: str, tmp_path: Path) -> None:
    X, Y = study(*shape)
    cv = KFold(3, shuffle=True, random_state=0)
    plain = VoxelwiseRidgeCV(ALPHAS, cv=cv, store="coef").fit(X, Y)
    for name, array in (("x.npy", X), ("y.npy", Y)):
        np.save(tmp_path / name, array)
    maps = [np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy")]
    with h5py.File(tmp_path / "both.h5", "w") as file:
        sets = [file.create_dataset("x", data=X, chunks=(7, 5)), file.create_dataset("y", data=Y)]
        for lazy_X, lazy_Y in (
            maps,
            sets,
            (OnlySlices(X, rows=True), OnlySlices(Y, rows=True)),
            (X, OnlySlices(Y, rows=True)),
        ):
            lazy = VoxelwiseRidgeCV(ALPHAS, cv=cv, store=store).fit(lazy_X, lazy_Y)
            assert_same_fit(lazy, plain, X, 1e-10)
            assert_allclose(lazy.predict(lazy_X), plain.predict(X), rtol=1e-10)
            assert_allclose(lazy.score(lazy_X, lazy_Y), plain.score(X, Y), rtol=1e-10)


@pytest.mark.parametrize("given_as", ["X", "parameter"])
def test_float32(given_as: str) -> None:
    X, Y = study(80, 200, 20)
    exact = VoxelwiseRidgeCV(ALPHAS).fit(X, Y)
    if given_as == "X":
        single = VoxelwiseRidgeCV(ALPHAS).fit(X.astype(np.float32), Y)
    else:
        single = VoxelwiseRidgeCV(ALPHAS, dtype="float32").fit(X, Y)
    assert single.coef_.dtype == single.predict(X).dtype == single.intercept_.dtype == np.float32
    assert exact.coef_.dtype == exact.predict(X).dtype == np.float64
    assert_array_equal(single.alpha_, exact.alpha_)
    assert_allclose(single.cv_scores_, exact.cv_scores_, atol=1e-4)
    assert_allclose(single.coef_, exact.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(single.predict(X), exact.predict(X), rtol=1e-4, atol=1e-3)
    wide = VoxelwiseRidgeCV(ALPHAS, dtype="float64").fit(X.astype(np.float32), Y)
    assert wide.coef_.dtype == np.float64


def assert_torch_agrees(device: str, cv: Any, shape: Any, dtype: str) -> None:
    X, Y = study(*shape, n_targets=60)
    params = {"cv": cv, "dtype": dtype, "scoring": "correlation"}
    tol = 1e-8 if dtype == "float64" else 1e-2
    ours = VoxelwiseRidgeCV(ALPHAS, **params).fit(X, Y)
    on_device = VoxelwiseRidgeCV(ALPHAS, device=device, **params).fit(X, Y)
    assert isinstance(on_device.coef_, np.ndarray)
    assert_same_fit(on_device, ours, X, tol)
    assert_same_fit(pickle.loads(pickle.dumps(on_device)), ours, X, tol)


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch(cv: Any, shape: Any, dtype: str) -> None:
    pytest.importorskip("torch")
    assert_torch_agrees("cpu:0", cv, shape, dtype)  # torch's name of what numpy calls nothing


@pytest.mark.gpu
@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gpu(cv: Any, shape: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert_torch_agrees("cuda", cv, shape, dtype)


def test_memory_is_bounded_by_blocks(tmp_path: Path) -> None:
    """Neither X nor coefficients of its columns are ever whole in memory."""
    n, p, n_targets = 250, 60_000, 3000
    X = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (n, p))
    Y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (n, n_targets))
    rng = np.random.default_rng(0)
    X[:] = rng.integers(0, 100, X.shape, dtype=np.int16)
    Y[:] = rng.normal(size=Y.shape)
    tracemalloc.start()
    model = VoxelwiseRidgeCV(ALPHAS, cv=3).fit(X, Y)
    _, fitting = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    predicted = model.predict(X[:50])
    _, predicting = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert predicted.shape == (50, n_targets)
    assert model.dual_coef_.shape == (n, n_targets)
    assert X.nbytes == 60_000_000
    assert n_targets * p * 4 == 720_000_000
    assert fitting < 50_000_000
    assert predicting < 30_000_000
