"""GramPCA against a full singular value decomposition, and on data that stay on disk."""

from __future__ import annotations

import gc
import pickle
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info

from helpers.only_slices import OnlySlices
from skdnn import _array_blocks
from skdnn.decomposition import GramPCA, _gram

PER_COMPONENT = ("explained_variance_", "explained_variance_ratio_", "singular_values_")


def graded(n: int, p: int, seed: int = 0, decay: float = 0.8, dtype: Any = np.float64) -> Any:
    """Data with a known, well separated spectrum, and a mean far from zero."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(n, min(n, p))))[0]
    right = np.linalg.qr(rng.normal(size=(p, min(n, p))))[0]
    X = (left * 10 * decay ** np.arange(min(n, p))) @ right.T + 3 * rng.normal(size=p)
    return X.astype(dtype)


def full(X: Any, *args: Any, **params: Any) -> PCA:
    return PCA(*args, svd_solver="full", **params).fit(X)


@parametrize_with_checks(
    [GramPCA(), GramPCA(1, block_size=2), GramPCA(2, whiten=True), GramPCA(0.9, copy=False)]
)
def test_scikit_learns_checks(estimator: GramPCA, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("shape", [(11, 300), (37, 41), (20, 20), (60, 13)])
@pytest.mark.parametrize("n_components", [None, 0, 1, 5, 0.7, 0.95])
@pytest.mark.parametrize("whiten", [False, True])
def test_equals_the_full_decomposition(shape: Any, n_components: Any, whiten: bool) -> None:
    X, new = graded(*shape), graded(*shape, seed=1)[:7]
    ours = GramPCA(n_components, whiten=whiten).fit(X)
    theirs = full(X, n_components, whiten=whiten)
    rank = min(shape[0] - 1, theirs.n_components_)  # centring takes one dimension
    assert (ours.n_components_, ours.n_samples_) == (theirs.n_components_, shape[0])
    assert ours.components_.shape == theirs.components_.shape
    assert_allclose(ours.components_[:rank], theirs.components_[:rank], atol=1e-8)
    for name in PER_COMPONENT:
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-12)
    assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-8, atol=1e-14)
    assert_allclose(ours.transform(new)[:, :rank], theirs.transform(new)[:, :rank], atol=1e-6)
    scores = clone(ours).fit_transform(X)
    assert_allclose(scores[:, :rank], theirs.transform(X)[:, :rank], atol=1e-7)
    if n_components == 0:
        return
    assert_allclose(
        ours.inverse_transform(scores), theirs.inverse_transform(theirs.transform(X)), atol=1e-7
    )


@pytest.mark.parametrize("shape", [(23, 2500), (400, 19)])
def test_float32_in_float32_out(shape: Any) -> None:
    X = graded(*shape, dtype=np.float32)
    ours, exact = GramPCA(6).fit(X), full(X.astype(np.float64), 6)
    names = ("components_", "mean_", *PER_COMPONENT)
    assert {getattr(ours, name).dtype for name in names} == {np.dtype(np.float32)}
    assert ours.transform(X).dtype == np.float32
    assert clone(ours).fit_transform(X).dtype == np.float32
    assert ours.transform(X.astype(np.float64)).dtype == np.float64
    assert_allclose(ours.singular_values_, exact.singular_values_, rtol=1e-6)
    assert_allclose(ours.components_, exact.components_, atol=1e-6)
    assert_allclose(ours.transform(X), exact.transform(X), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, bool])
def test_other_dtypes_become_float64(dtype: Any) -> None:
    X = np.random.default_rng(0).choice([0, 1, 3, 7], (9, 50)).astype(dtype)
    ours, theirs = GramPCA(4).fit(X), full(X.astype(np.float64), 4)
    assert ours.components_.dtype == np.float64
    assert_allclose(ours.components_, theirs.components_, atol=1e-8)
    assert_allclose(ours.transform(X), theirs.transform(X.astype(np.float64)), atol=1e-8)


@given(
    n=st.integers(2, 14),
    p=st.integers(1, 40),
    block_size=st.one_of(st.none(), st.integers(1, 45)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_for_any_shape_and_block_size(n: int, p: int, block_size: int | None, seed: int) -> None:
    X = np.random.default_rng(seed).normal(1, 2, (n, p))
    pca = GramPCA(block_size=block_size).fit(X)
    k = min(n, p)
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(k), atol=1e-10)
    assert_allclose(pca.inverse_transform(pca.transform(X)), X, atol=1e-6)
    assert_allclose(pca.explained_variance_.sum(), X.var(axis=0, ddof=1).sum())
    assert (np.diff(pca.explained_variance_) <= 0).all()
    largest = np.take_along_axis(
        pca.components_, np.abs(pca.components_).argmax(axis=1)[:, None], axis=1
    )
    assert (largest > 0).all()
    again = GramPCA(block_size=max(1, p // 3)).fit_transform(X)
    kept = pca.singular_values_ > 1e-3 * pca.singular_values_[0]
    assert_allclose(np.abs(again[:, kept]), np.abs(pca.transform(X)[:, kept]), atol=1e-6)


def test_equal_variances_span_the_same_space() -> None:
    rng = np.random.default_rng(3)
    left = rng.normal(size=(16, 6))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.normal(size=(90, 6)))[0]
    X = (left * [5, 5, 5, 2, 2, 1]) @ right.T
    ours, theirs = GramPCA(6).fit(X), full(X, 6)
    assert_allclose(ours.singular_values_, [5, 5, 5, 2, 2, 1], rtol=1e-10)
    for same in (slice(0, 3), slice(3, 5), slice(5, 6)):
        spaces = [pca.components_[same].T @ pca.components_[same] for pca in (ours, theirs)]
        assert_allclose(*spaces, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(30, 200), (200, 30), (30, 31)])
def test_rank_deficient_data(shape: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(shape[0], 4)) @ rng.normal(size=(4, shape[1])) + 2).astype(dtype)
    X[:, 7] = 5
    X = np.asarray(X, dtype)
    ours, theirs = GramPCA().fit(X), full(X)
    assert_allclose(ours.components_[:4], theirs.components_[:4], atol=1e-5)
    noise = np.finfo(dtype).eps * 100 * ours.singular_values_[0]
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-5, atol=noise)
    assert_allclose(
        ours.components_ @ ours.components_.T, np.eye(30), atol=100 * np.finfo(dtype).eps
    )
    assert np.isfinite(GramPCA(whiten=True).fit(X).transform(X)).all()
    assert_allclose(ours.fit_transform(X), ours.transform(X), atol=1e-4)
    if dtype == np.float64:
        assert (ours.singular_values_[4:] == 0).all()
        assert GramPCA(4).fit(X).noise_variance_ == 0


@pytest.mark.parametrize("shape", [(6, 40), (40, 6)])
def test_constant_data(shape: Any) -> None:
    pca = GramPCA().fit(np.full(shape, 2.5))
    assert (pca.singular_values_ == 0).all()
    assert np.isnan(pca.explained_variance_ratio_).all()  # as in PCA
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(6), atol=1e-12)
    assert_allclose(pca.transform(np.full(shape, 2.5)), 0)


def test_small_components_are_as_precise_as_the_docstring_says() -> None:
    """Singular values from 1 down to 1e-9 of the largest."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(25, 10))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.normal(size=(300, 10)))[0]
    share = 10.0 ** -np.arange(10)
    pca = GramPCA(10).fit((left * share) @ right.T)
    kept = share > 2e-7
    error = np.abs(pca.singular_values_ / share - 1)
    assert (error[kept] < 20 * 1e-16 / share[kept] ** 2 + 1e-12).all()
    assert (pca.singular_values_[share < 5e-8] == 0).all()
    angle = 1 - np.abs(np.sum(pca.components_ * right.T, axis=1))
    assert (angle[kept] < 0.05).all()
    assert_allclose(pca.components_ @ pca.components_.T, np.eye(10), atol=1e-9)


def test_a_far_mean_costs_no_digits() -> None:
    X = graded(12, 400)
    X -= X.mean(axis=0)
    ours, near = GramPCA(5).fit(X + 1e6), full(X, 5)
    assert_allclose(ours.components_, near.components_, atol=1e-7)


@pytest.mark.parametrize("whiten", [False, True])
def test_minkas_choice(whiten: bool) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(80, 9)) * [9, 7, 5, 1, 1, 1, 1, 1, 1]
    ours, theirs = GramPCA("mle", whiten=whiten).fit(X), full(X, "mle", whiten=whiten)
    assert ours.n_components_ == theirs.n_components_ == 3
    assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-8)


@pytest.mark.parametrize("shape", [(25, 60), (70, 12)])
@pytest.mark.parametrize("n_components", [0, 1, 4])
def test_probabilistic_model(shape: Any, n_components: int) -> None:
    X, new = graded(*shape, decay=0.9), graded(*shape, seed=1, decay=0.9)
    ours, theirs = GramPCA(n_components).fit(X), full(X, n_components)
    assert_allclose(ours.get_covariance(), theirs.get_covariance(), atol=1e-10)
    assert_allclose(ours.get_precision(), theirs.get_precision(), rtol=1e-6, atol=1e-8)
    assert_allclose(ours.score_samples(new), theirs.score_samples(new), rtol=1e-7)
    assert_allclose(ours.score(new), theirs.score(new), rtol=1e-7)


def test_probabilistic_model_of_all_components() -> None:
    X = graded(70, 8)
    ours = GramPCA(whiten=True).fit(X)
    assert_allclose(ours.get_covariance(), np.cov(X.T), atol=1e-10)
    assert_allclose(ours.get_precision() @ np.cov(X.T), np.eye(8), atol=1e-8)
    assert_allclose(ours.score_samples(X), full(X).score_samples(X), rtol=1e-8)


@pytest.mark.parametrize("n_components", [None, 24])
def test_singular_covariance_has_no_likelihood(n_components: int | None) -> None:
    X = graded(25, 60)
    pca = GramPCA(n_components).fit(X)
    for method in (pca.get_precision, lambda: pca.score(X)):
        with pytest.raises(ValueError, match=f"n_components={n_components} .*singular"):
            method()


@pytest.mark.parametrize("shape", [(14, 900), (33, 34), (300, 17)])
@pytest.mark.parametrize("block_size", [None, 5, 64])
def test_lazy_arrays_give_the_same(shape: Any, block_size: int | None, tmp_path: Path) -> None:
    X = graded(*shape, dtype=np.float32)
    expected = GramPCA(6, block_size=block_size).fit(X)
    np.save(tmp_path / "x.npy", X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        lazy = [
            OnlySlices(X),
            np.load(tmp_path / "x.npy", mmap_mode="r"),
            file.create_dataset("plain", data=X),
            file.create_dataset("chunks", data=X, chunks=(3, 16), compression="gzip"),
        ]
        for data in lazy:
            pca = GramPCA(6, block_size=block_size)
            scores = pca.fit_transform(data)
            assert_allclose(pca.components_, expected.components_, atol=1e-7)
            assert pca.components_.dtype == np.float32
            assert pca.n_features_in_ == shape[1]
            assert_allclose(scores, expected.transform(X), atol=1e-5)
            assert_allclose(pca.transform(data), expected.transform(X), atol=1e-6)
            assert_allclose(pca.score(data), expected.score(X), rtol=1e-5)


def test_a_lazy_array_is_read_twice_in_fit_and_once_in_transform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 2000)
    data = OnlySlices(graded(9, 333))
    pca = GramPCA(4)
    pca.fit_transform(data)
    assert (data.reads == 2).all()
    assert len(data.keys) == 2 * 13  # 27 columns at a time
    data.reads[:] = 0
    data.keys.clear()
    pca.transform(data)
    assert (data.reads == 1).all()
    assert data.keys == [slice(i, i + 1) for i in range(9)]  # a row is 2664 bytes


@pytest.mark.parametrize("shape", [(9, 333), (333, 9)])
def test_threads_change_nothing(shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X = graded(*shape)
    alone = GramPCA(4).fit(X)
    before = threadpool_info()
    monkeypatch.setattr(_array_blocks, "blas_threads", lambda: 3)
    used, together = set(), threading.Barrier(3)

    def check_finite(block: np.ndarray) -> None:
        if threading.get_ident() not in used:
            used.add(threading.get_ident())
            together.wait(timeout=30)  # passes only if three threads are at work

    with monkeypatch.context() as patch:
        patch.setattr(_gram, "check_finite", check_finite)
        first = GramPCA(4, block_size=10).fit(X)
    assert len(used) == 3
    second = GramPCA(4, block_size=10).fit(X)
    assert_array_equal(first.components_, second.components_)
    assert_allclose(first.components_, alone.components_, atol=1e-10)
    assert_allclose(first.mean_, alone.mean_, rtol=1e-12)
    assert_allclose(first.transform(X), alone.transform(X), atol=1e-9)
    assert threadpool_info() == before


def test_whole_chunks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 2000)
    data: Any = OnlySlices(graded(9, 333))
    data.chunks = (9, 8)
    GramPCA(4).fit(data)
    assert {key[1].start % 8 for key in data.keys} == {0}
    assert (data.reads == 2).all()


@pytest.mark.parametrize("kind", ["memmap", "hdf5", "array"])
def test_memory_is_bounded_by_the_block(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 2**20)
    monkeypatch.setattr(_array_blocks, "WORK_ELEMENTS", 2**16)
    X = np.random.default_rng(0).standard_normal((128, 60_000), dtype=np.float32)  # 31 MB
    allowed = 6e6
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if kind == "memmap":
            np.save(tmp_path / "x.npy", X)
            data: Any = np.load(tmp_path / "x.npy", mmap_mode="r")
        elif kind == "hdf5":
            data = file.create_dataset("x", data=X)
        else:
            data = X
        pca = GramPCA(3)
        gc.collect()
        tracemalloc.start()
        pca.fit(data)
        fitting = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        pca.transform(data)
        transforming = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert pca.components_.nbytes < 1e6
    assert max(fitting, transforming) < allowed < X.nbytes / 5


def test_input_is_left_alone_and_results_repeat() -> None:
    X = graded(9, 120)
    before = X.copy()
    first, second = (GramPCA(copy=False).fit(X) for _ in range(2))
    assert_array_equal(X, before)
    assert_array_equal(first.components_, second.components_)
    assert_array_equal(pickle.loads(pickle.dumps(first)).transform(X), first.transform(X))


def test_names_and_pandas() -> None:
    X = pd.DataFrame(graded(9, 12), index=[f"im{i}" for i in range(9)]).add_prefix("unit")
    pca = GramPCA(2).set_output(transform="pandas")
    out = pca.fit_transform(X)
    assert list(out.columns) == ["grampca0", "grampca1"] == list(pca.get_feature_names_out())
    assert list(out.index) == list(X.index)
    assert list(pca.feature_names_in_) == list(X.columns)


def test_in_a_grid_search() -> None:
    X = graded(40, 300)
    y = X @ np.random.default_rng(1).normal(size=(300, 2))
    grid = {"reduce__n_components": [2, 5, 0.9]}
    results = []
    for reduce in (GramPCA(), PCA(svd_solver="full")):
        pipe = make_pipeline(reduce, Ridge()).set_params()
        pipe.steps[0] = ("reduce", reduce)
        results.append(GridSearchCV(pipe, grid, cv=4).fit(X, y).cv_results_["mean_test_score"])
    assert_allclose(*results, rtol=1e-8)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": -1}, "n_components"),
        ({"n_components": 1.5}, "n_components"),
        ({"n_components": "all"}, "n_components"),
        ({"block_size": 0}, "block_size"),
        ({"whiten": "yes"}, "whiten"),
        ({"n_components": 10}, r"n_components=10 must be between 0 and .*=9"),
        ({"n_components": "mle"}, "only supported if n_samples >= n_features"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GramPCA(**params).fit(graded(9, 12))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(9, 50), (50, 9)])
@pytest.mark.parametrize("wrap", [np.asarray, OnlySlices])
def test_missing_values(bad: float, shape: Any, wrap: Any) -> None:
    X = graded(*shape)
    pca = GramPCA(3).fit(X)
    X[4, 3] = bad
    for method in (pca.transform, clone(pca).fit, pca.score_samples):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(wrap(X))


def test_wrong_lazy_arrays() -> None:
    X = graded(9, 30)
    pca = GramPCA(3).fit(OnlySlices(X))
    with pytest.raises(ValueError, match="30 features"):
        pca.transform(OnlySlices(X[:, :20]))
    with pytest.raises(ValueError, match="minimum of 2 row"):
        GramPCA().fit(OnlySlices(X[:1]))
    assert pca.transform(OnlySlices(X[:1])).shape == (1, 3)
    with pytest.raises(TypeError, match="real numbers"):
        GramPCA().fit(OnlySlices(X.astype(complex)))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        GramPCA().fit(csr_matrix(X))


def test_unfitted() -> None:
    X = graded(9, 30)
    pca = GramPCA()
    for method in (pca.transform, pca.inverse_transform, pca.score_samples):
        with pytest.raises(NotFittedError):
            method(X)
    for method in (pca.get_covariance, pca.get_precision):
        with pytest.raises(NotFittedError):
            method()


def test_constructor_takes_the_parameters_of_scikit_learn() -> None:
    shared = {"n_components", "copy", "whiten"}
    with sklearn.config_context(print_changed_only=False):
        assert shared <= GramPCA().get_params().keys() & PCA().get_params().keys()
    assert all(GramPCA().get_params()[name] == PCA().get_params()[name] for name in shared)


# --- correlations that do not hang on signs --------------------------------------------------


class Flipped(GramPCA):
    """Components of the other sign, every second one."""

    def fit(self, X: Any, y: Any = None) -> GramPCA:
        super().fit(X, y)
        signs = np.where(np.arange(self.n_components_) % 2, -1, 1)
        self.components_ = self.components_ * signs[:, None].astype(self.components_.dtype)
        return self


@pytest.mark.parametrize("shape", [(30, 200), (40, 7)])
@pytest.mark.parametrize("n_components", [1, 3, 7])
@pytest.mark.parametrize("whiten", [False, True])
def test_correlations_are_those_of_what_components_stand_for(
    shape: Any, n_components: int, whiten: bool
) -> None:
    X = graded(*shape) + 0.3
    pca = GramPCA(n_components, whiten=whiten, keep_correlation=True)
    turned = pca.fit_transform(X)
    assert turned.shape == (shape[0], n_components + 1)
    scores = GramPCA(n_components, whiten=whiten).fit_transform(X)
    stand_for = scores @ pca.components_
    if n_components > 1:
        expected = np.corrcoef(stand_for)
        assert_allclose(np.corrcoef(turned), expected, atol=1e-12)
        assert_allclose(
            np.corrcoef(
                Flipped.transform(
                    Flipped(n_components, whiten=whiten, keep_correlation=True).fit(X), X
                )
            ),
            expected,
            atol=1e-12,
        )
    assert_allclose(turned @ turned.T, scores @ scores.T, atol=1e-10)
    assert_allclose(pca.transform(X), turned, atol=1e-10)
    back = GramPCA(n_components, whiten=whiten).fit(X).inverse_transform(scores)
    assert_allclose(pca.inverse_transform(turned), back, atol=1e-10)
    assert len(pca.get_feature_names_out()) == n_components + 1


def test_turned_scores_of_float32_stay_float32() -> None:
    X = graded(20, 90, dtype=np.float32)
    pca = GramPCA(4, keep_correlation=True)
    assert pca.fit_transform(X).dtype == pca.transform(X).dtype == np.float32
    assert pca.inverse_transform(pca.transform(X)).dtype == np.float32
