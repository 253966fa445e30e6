"""What is saved comes back: every format, type and shape, whole and in parts."""

from __future__ import annotations

import gc
import importlib.util
import io
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skdnn import DNNFeatureExtractor
from skdnn.io import SavedFeatures, load_features, save_features

needs_arrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)
# Formats with the extension of their files.
DEEP = {
    "npy": "npy",
    "npz": "npz",
    "hdf5": "h5",
    "mat-v5": "mat",
    "mat-v7.3": "mat",
    "txt": "txt",
    "csv": "csv",
    "pt": "pt",
}
FLAT = pytest.param("parquet", marks=needs_arrow)
EVERY = [*DEEP, FLAT]
LAYERED = [name for name in EVERY if name != "npy"]
DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16"]
DTYPES += ["int32", "uint32", "int64", "uint64", "bool"]
SHAPES = [(7,), (6, 5), (5, 1), (1, 4), (5, 3, 2), (5, 3, 4, 2), (2, 1, 3, 1, 2)]
EMPTY = [(3, 0), (0, 4), (3, 0, 2), (0,)]
NAMES = ["a b.png", "Käse.jpg", "c/d.e.png", "", "猫.png", "a b.png", "x,y.png"]


def numbers(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers of all sizes, with the ends of the range among them."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        info = np.finfo(dtype)
        made = (rng.normal(size=shape) * 10.0 ** rng.integers(-4, 4, shape)).astype(dtype)
        odd: list[Any] = [info.max, info.tiny, info.smallest_subnormal, -0.0]
        odd += [np.nan, -np.inf, 0.1]
    else:
        ends = np.iinfo(dtype)
        made = rng.integers(ends.min, ends.max, shape, dtype=dtype, endpoint=True)
        odd = [ends.min, ends.max]
    flat = made.reshape(-1)
    flat[: len(odd)] = odd[: flat.size]
    return made


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal in type, shape and every bit, but for kinds of NaN."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    if expected.dtype.kind == "f":
        there = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[there]), np.signbit(expected[there]))
    return True


def put(tmp_path: Path, features: Any, name: str, **more: Any) -> Path:
    path = tmp_path / "out"
    (saved, *_) = save_features(features, path, name, overwrite=True, **more)
    return saved


def old_torch_lacks(name: str, dtype: Any) -> bool:
    """Whether this torch cannot save unsigned numbers of more than a byte."""
    if name != "pt" or np.dtype(dtype).kind != "u" or np.dtype(dtype).itemsize == 1:
        return False
    try:
        torch.save(torch.from_numpy(np.zeros(1, dtype)), io.BytesIO())
    except KeyError:
        return True
    return False


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EVERY)
def test_types_and_shapes(name: str, dtype: str, tmp_path: Path) -> None:
    if old_torch_lacks(name, dtype):
        with pytest.raises(ValueError, match=f"cannot save torch.{dtype}: use another format"):
            put(tmp_path, numbers(dtype, (3, 2)), name)
        return
    for shape in SHAPES + (EMPTY if dtype in ("float32", "bool") else []):
        if name == "parquet" and len(shape) > 2:
            continue
        features = numbers(dtype, shape)
        labels = [*NAMES, *map(str, range(9))][: len(features)]
        targets = np.arange(len(features)) * 0.1
        path = put(tmp_path, features, name, labels=labels, targets=targets)
        loaded = load_features(path)
        assert same(loaded.features, features)
        assert loaded.labels == labels
        assert same(loaded.targets, targets)
        n_parts = min(3, len(features))
        if n_parts > 1 and len(shape) in (2, 4):
            part = put(tmp_path, features, name, labels=labels, targets=targets, n_parts=n_parts)
            loaded = load_features(part)
            assert same(loaded.features, features)
            assert loaded.labels == labels
            assert same(loaded.targets, targets)


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("name", LAYERED)
def test_dicts_of_layers(name: str, n_parts: int, tmp_path: Path) -> None:
    deep = name != "parquet"
    layers = {
        "features.10": numbers("float32", (5, 3, 2, 4) if deep else (5, 3)),
        "block1/conv": numbers("float16", (5, 6)),
        "block1": numbers("float64", (5,)),
        "features 10": numbers("int32", (5, 2)),
        "..": numbers("bool", (5, 0)),
    }
    path = put(tmp_path, layers, name, n_parts=n_parts, targets=["cat", "dög", "", "a", "b"])
    loaded = load_features(path)
    assert list(loaded.features) == list(layers)
    assert all(same(loaded.features[layer], array) for layer, array in layers.items())
    assert loaded.targets.tolist() == ["cat", "dög", "", "a", "b"]
    some = load_features(path, layers=["block1", "features.10"]).features
    assert set(some) == {"block1", "features.10"}
    assert same(some["features.10"], layers["features.10"])
    with pytest.raises(ValueError, match=r"layers=\['conv9'\] are not in it. It holds: \['feat"):
        load_features(path, layers=["block1", "conv9"])


@pytest.mark.parametrize("name", EVERY)
def test_one_layer_stays_a_dict(name: str, tmp_path: Path) -> None:
    array = numbers("float32", (4, 3))
    loaded = load_features(put(tmp_path, {"fc": array}, name)).features
    assert list(loaded) == ["fc"]
    assert same(loaded["fc"], array)


ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)
    )
)


@pytest.mark.parametrize("name", list(DEEP))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(features=ARRAYS, data=st.data())
def test_any_shape_and_number(
    name: str, tmp_path: Path, features: np.ndarray, data: st.DataObject
) -> None:
    if old_torch_lacks(name, features.dtype):
        return
    n_parts = data.draw(st.integers(1, max(1, len(features))))
    assert same(load_features(put(tmp_path, features, name, n_parts=n_parts)).features, features)


@pytest.mark.parametrize("name", EVERY)
def test_frames_keep_index_and_columns(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(numbers("float32", (3, 2)), ["x.png", "y.png", "z.png"], ["f0", "f1"])
    loaded = load_features(put(tmp_path, frame, name))
    assert loaded.labels == ["x.png", "y.png", "z.png"]
    pd.testing.assert_frame_equal(loaded.to_frame(), frame)
    mere_count = frame.reset_index(drop=True)
    assert load_features(put(tmp_path, mere_count, name)).labels is None


@pytest.mark.parametrize("name", EVERY)
def test_whole_numbers_as_labels_and_targets_of_several_columns(name: str, tmp_path: Path) -> None:
    targets = numbers("float32", (4, 3))
    path = put(tmp_path, np.ones((4, 2)), name, labels=np.array([7, 7, 0, -1]), targets=targets)
    loaded = load_features(path)
    assert loaded.labels == [7, 7, 0, -1]
    assert same(loaded.targets, targets)


@pytest.mark.parametrize("name", EVERY)
def test_provenance(name: str, tmp_path: Path) -> None:
    given_ = {
        "model": "alexnet",
        "layers": ("a", "b"),
        "size": np.int64(224),
        "mean": np.array([0.5, 0.25]),
        "root": Path("images"),
        "weights": None,
        "note": "größer\n\u2603",
    }
    loaded = load_features(put(tmp_path, np.ones((2, 2)), name, provenance=given_)).provenance
    assert loaded["layers"] == ["a", "b"]
    assert loaded["size"] == 224
    assert loaded["mean"] == [0.5, 0.25]
    assert loaded["root"] == "images"
    assert loaded["weights"] is None
    assert loaded["note"] == "größer\n\u2603"
    assert loaded["versions"]["numpy"] == np.__version__
    assert loaded["date"].startswith("20")


class Slices:
    """Rows that are made when asked for, and never more than a block of them."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.longest = 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, stop, _ = rows.indices(self.shape[0])
        self.longest = max(self.longest, stop - first)
        made = np.arange(first, stop, dtype=np.float32).reshape(-1, *[1] * (len(self.shape) - 1))
        return np.broadcast_to(made, (stop - first, *self.shape[1:]))


@pytest.mark.parametrize("n_parts", [1, 2])
@pytest.mark.parametrize("name", ["npy", "npz", "hdf5", "txt"])
def test_lazy_arrays_are_read_in_blocks(
    name: str, n_parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skdnn.io._saved_header.BLOCK_BYTES", 4 * 6 * 4)
    lazy = Slices((11, 2, 3))
    loaded = load_features(put(tmp_path, lazy, name, n_parts=n_parts))
    assert lazy.longest == 4
    assert same(loaded.features, np.asarray(Slices((11, 2, 3))[:]))


@pytest.mark.parametrize("name", EVERY)
def test_hdf5_data_sets_as_input(name: str, tmp_path: Path) -> None:
    import h5py

    array = numbers("float16", (5, 4))
    with h5py.File(tmp_path / "input.h5", "w") as file:
        data = file.create_dataset("x", data=array, chunks=(2, 2))
        path = put(tmp_path, data, name)
    assert same(load_features(path).features, array)


@pytest.mark.parametrize("name", EVERY)
def test_names_of_files_that_are_no_text(name: str, tmp_path: Path) -> None:
    labels = [os.fsdecode(b"\xff.png"), "b.png"]
    assert load_features(put(tmp_path, np.ones((2, 2)), name, labels=labels)).labels == labels


@pytest.mark.parametrize("name", EVERY)
def test_stored_features_of_a_network(name: str, tmp_path: Path) -> None:
    """What the store keeps on disk goes from there into a file."""
    from torch import nn

    images = np.random.default_rng(0).integers(0, 256, (5, 20, 24, 3), dtype=np.uint8)
    extractor = DNNFeatureExtractor(
        nn.Conv2d(3, 4, 3),
        "output",
        preprocess={"resize": 16, "crop": 12},
        cache=tmp_path / "store",
    ).fit(images)
    path = put(tmp_path, extractor.stored(images), name, n_parts=2)
    assert same(load_features(path).features, extractor.transform(images))


def test_other_orders_of_bytes_and_axes(tmp_path: Path) -> None:
    array = np.asfortranarray(numbers("float32", (4, 3, 2)))
    for given_ in (array, array.astype(">f4"), array[::-1], array.transpose(1, 2, 0)):
        for name in DEEP:
            found = load_features(put(tmp_path, given_, name)).features
            assert same(found, given_.astype("<f4"))


@pytest.mark.parametrize("name", ["npy", "hdf5"])
def test_mapped_into_memory(name: str, tmp_path: Path) -> None:
    array = numbers("float32", (5, 3, 2))
    path = put(tmp_path, array, name, labels=list("abcde"))
    loaded = load_features(path, mmap=True)
    assert isinstance(loaded.features, np.memmap)
    assert same(np.asarray(loaded.features), array)
    assert loaded.labels == list("abcde")
    with pytest.raises(ValueError, match="read-only"):
        loaded.features[0] = 1


def test_mapped_layers(tmp_path: Path) -> None:
    layers = {"a": numbers("float16", (4, 3)), "b": np.empty((4, 0)), "c": numbers("bool", (4, 2))}
    found = load_features(put(tmp_path, layers, "hdf5"), mmap=True).features
    assert all(same(np.asarray(found[name]), array) for name, array in layers.items())


def test_what_cannot_be_mapped(tmp_path: Path) -> None:
    path = put(tmp_path, np.ones((4, 2)), "npz")
    with pytest.raises(
        ValueError, match=r"mmap=True works with one .npy or .h5 file, not with fi"
    ):
        load_features(path, mmap=True)
    path = put(tmp_path, np.ones((4, 2)), "npy", n_parts=2)
    with pytest.raises(ValueError, match="not with features in parts"):
        load_features(path, mmap=True)


def test_frame_of_a_layer() -> None:
    loaded = SavedFeatures({"a": np.ones((2, 3, 2)), "b": np.zeros((2, 1))}, labels=["x", "y"])
    assert loaded.to_frame("a").shape == (2, 6)
    assert loaded.to_frame("b").index.tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="there are several"):
        loaded.to_frame()
    with pytest.raises(ValueError, match="layer='a', but there is one array"):
        SavedFeatures(np.ones((2, 2))).to_frame("a")


@pytest.mark.parametrize("name", EVERY)
def test_arrays_are_free_when_nobody_holds_them(name: str, tmp_path: Path) -> None:
    """Without waiting for Python's collector of cycles: they can be large."""
    path = put(tmp_path, numbers("float32", (5, 4)), name)
    load_features(path)
    gc.disable()
    try:
        held = weakref.ref(load_features(path).features)
        assert held() is None
    finally:
        gc.enable()


def test_one_array_is_an_array_for_numpy() -> None:
    features = np.arange(6.0).reshape(2, 3)
    for given_ in (features, {"fc": features}):
        loaded = SavedFeatures(given_)
        np.testing.assert_array_equal(np.asarray(loaded), features)
        assert np.asarray(loaded, np.float32).dtype == np.float32
        assert not np.shares_memory(np.array(loaded, copy=True), features)
    with pytest.raises(TypeError, match=r"several arrays, \['a', 'b'\]: choose one of features"):
        np.asarray(SavedFeatures({"a": features, "b": features}))


def test_what_is_printed_is_short() -> None:
    labels = [f"image-{n}.png" for n in range(1000)]
    layers = {f"conv{n}": np.zeros((1000, 3, 2), np.float32) for n in range(9)}
    shown = repr(SavedFeatures(layers, labels, np.zeros(1000), {"model": "alexnet", "date": "x"}))
    assert shown == (
        "SavedFeatures(features: conv0 (1000, 3, 2) float32, conv1 (1000, 3, 2) float32, conv2 "
        "(1000, 3, 2) float32 and 6 more; labels: 1000, ['image-0.png', 'image-1.png', ...]; "
        "targets: (1000,); provenance: model, date)"
    )
    assert repr(SavedFeatures(np.zeros((2, 3)))) == "SavedFeatures(features: (2, 3) float64)"
