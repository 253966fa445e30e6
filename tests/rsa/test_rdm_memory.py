"""RDMs of arrays that stay on disk: what is read, how often, and what it takes."""

import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from helpers.only_slices import OnlySlices
from skdnn import DNNFeatureExtractor, _array_blocks
from skdnn.rsa import RDM, compute_rdm

ONE_PASS = ["correlation", "cosine", "euclidean", "sqeuclidean_per_feature", "gaussian"]
OWN = [*ONE_PASS, "mahalanobis", "poisson", "spearman"]


def counts(n=14, p=900, dtype=np.float32):
    return np.random.default_rng(0).poisson(5.0, (n, p)).astype(dtype)


def options(metric, p=900):
    return {"noise_precision": np.linspace(1, 2, p)} if metric == "mahalanobis" else {}


@pytest.mark.parametrize("metric", [*OWN, "cityblock"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16])
def test_lazy_arrays_give_the_same(metric, dtype, tmp_path):
    X = counts(dtype=dtype)
    np.save(tmp_path / "x.npy", X)
    expected = compute_rdm(X, metric, **options(metric))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        lazy = [
            OnlySlices(X),
            np.load(tmp_path / "x.npy", mmap_mode="r"),
            file.create_dataset("x", data=X, chunks=(5, 100)),
        ]
        for data in lazy:
            rdm = compute_rdm(data, metric, **options(metric))
            assert isinstance(rdm, np.ndarray)
            assert_allclose(rdm, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", ONE_PASS)
def test_every_number_is_read_once_and_in_parts(metric, monkeypatch):
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 14 * 4 * 100)
    X = OnlySlices(counts())
    compute_rdm(X, metric)
    assert (X.reads == 1).all()
    assert X.largest == 14 * 4 * 100


@pytest.mark.parametrize("metric", ["correlation", "crossnobis"])
def test_repeated_measurements_are_read_in_parts(metric, monkeypatch):
    monkeypatch.setattr("skdnn.rsa._dissimilarity._patterns._BLOCK_ELEMENTS", 14 * 25)
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 14 * 4 * 50)
    X = OnlySlices(counts())
    conditions = np.tile(list("abcdefg"), 2)
    folds = {"folds": np.repeat([0, 1], 7)} if metric == "crossnobis" else {}
    rdm = compute_rdm(X, metric, conditions=conditions, **folds)
    expected = compute_rdm(counts(), metric, conditions=conditions, **folds)
    assert_allclose(rdm, expected, atol=1e-12)
    assert X.largest <= 14 * 4 * 100
    assert (X.reads == (1 if metric == "correlation" else 2)).all()  # finite first, then products


@pytest.mark.parametrize("metric", [*OWN, "cityblock"])
def test_conditions_of_lazy_rows(metric):
    X, conditions = (
        counts(),
        ["b", "a", "c", "b", "c", "c", "a", "d", "d", "a", "b", "b", "c", "a"],
    )
    means = pd.DataFrame(X.astype(float)).groupby(conditions, sort=False).mean()
    expected = compute_rdm(means, metric, **options(metric))
    for data in (X, OnlySlices(X), pd.DataFrame(X)):
        rdm = compute_rdm(data, metric, conditions=conditions, **options(metric))
        assert list(rdm.index) == list(rdm.columns) == ["b", "a", "c", "d"]
        assert_allclose(rdm, expected, rtol=1e-9, atol=1e-12)


def peak(work):
    """Bytes that numpy held at once beyond what was there."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("metric", [*ONE_PASS, "mahalanobis"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_beyond_input_and_result(metric, dtype):
    """150 x 40,000: 48 MB as float64, and .2 MB the result."""
    X = np.random.default_rng(0).random((150, 40_000), dtype=np.float32).astype(dtype)
    used = peak(lambda: compute_rdm(X, metric, **options(metric, 40_000)))
    assert used < 16e6


@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
def test_memory_does_not_grow_with_features(metric, monkeypatch):
    monkeypatch.setattr(_array_blocks, "_READ_BYTES", 2**20)

    class Endless:
        dtype = np.dtype(np.float32)

        def __init__(self, p):
            self.shape = (30, p)

        def __getitem__(self, key):
            start, stop, _ = key[1].indices(self.shape[1])
            rng = np.random.default_rng(start)
            return rng.standard_normal((30, stop - start), dtype=np.float32)

    small, large = (peak(lambda p=p: compute_rdm(Endless(p), metric)) for p in (10**5, 5 * 10**5))
    assert large < 1.2 * small


def test_a_stored_layer(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    extractor = DNNFeatureExtractor("alexnet", "features.3", weights=None, cache=tmp_path)
    stored, features = extractor.fit(images).stored(images), extractor.transform(images)
    for metric in ("correlation", "spearman", "euclidean"):
        assert_allclose(compute_rdm(stored, metric), compute_rdm(features, metric), atol=1e-12)
    assert_allclose(RDM().fit_transform(stored), RDM().fit_transform(features), atol=1e-12)


# -- RDM ------------------------------------------------------------------------------------


def test_rdm_reads_lazy_arrays_only_when_it_transforms():
    X = OnlySlices(counts())
    rdm = RDM().fit(X)
    assert not X.reads.any()
    assert rdm.n_features_in_ == 900
    assert_array_equal(rdm.transform(X), compute_rdm(counts()))
    assert (X.reads == 1).all()


def test_rdm_in_a_pipeline_with_a_lazy_array(tmp_path):
    from skdnn.decomposition import GramPCA

    np.save(tmp_path / "x.npy", counts())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    pipeline = make_pipeline(GramPCA(5), RDM("euclidean"))
    expected = clone(pipeline).fit_transform(counts())
    assert_allclose(pipeline.fit_transform(mapped), expected, atol=1e-5)
    assert_array_equal(RDM().fit_transform(mapped), RDM().fit_transform(counts()))


def test_rdm_labels_lazy_rows_by_number():
    out = RDM().set_output(transform="pandas").fit_transform(OnlySlices(counts(5)))
    assert list(out.index) == list(out.columns) == list(range(5))


def test_lazy_arrays_that_cannot_be_used():
    X = counts()
    X[2, 5] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in row 2"):
        compute_rdm(OnlySlices(X))
    with pytest.raises(TypeError, match="dtype object: a lazy array must hold"):
        compute_rdm(OnlySlices(X.astype(object)))
    with pytest.raises(ValueError, match="complex"):
        compute_rdm(OnlySlices(X.astype(complex)))
    with pytest.raises(ValueError, match="features"):
        RDM().fit(OnlySlices(X)).transform(OnlySlices(X[:, :5]))
    with pytest.raises(ValueError, match="two or more"):
        RDM().fit_transform(OnlySlices(X[:1]))
