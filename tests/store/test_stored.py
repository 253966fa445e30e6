"""Features as arrays on disk, in float16, of images in memory and of several images."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tiny_network import LAYERS, SMALL, extractor, network

from skdnn import RDM, ActivationStore, DNNFeatureExtractor
from skdnn.models import Model

SEVERAL = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def named(cache: object, **more: object) -> DNNFeatureExtractor:
    options = {"preprocess": {"resize": 40, "crop": 32}, "device": "cpu", "weights": None, **more}
    return DNNFeatureExtractor("shufflenet_v2_x0_5", "conv1", cache=cache, **options)


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


@pytest.fixture(scope="module")
def full(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """A store that holds all; not to be changed."""
    store = ActivationStore(tmp_path_factory.mktemp("full") / "store")
    return extractor(store).precompute(paths, LAYERS, verbose=0)


def forwarded(store: ActivationStore) -> int:
    return store.stats["images_forwarded"]


# --- arrays on disk ----------------------------------------------------------------------


@SEVERAL
@given(data=st.data())
def test_stored_against_transform(full, paths, expected, data):
    whole = np.concatenate([expected[layer] for layer in LAYERS], axis=1)
    dnn = extractor(full, LAYERS).fit(paths)
    order = data.draw(st.lists(st.integers(0, 22), min_size=1, max_size=30))
    stored, rows = dnn.stored([paths[row] for row in order]), whole[order]
    assert (stored.shape, len(stored), stored.nbytes) == (rows.shape, len(rows), rows.nbytes)
    picked = data.draw(st.lists(st.integers(0, len(order) - 1), min_size=1, max_size=9))
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, whole.shape[1])] * 2)))
    assert_array_equal(stored[picked], rows[picked])
    assert_array_equal(stored[:, low:high], rows[:, low:high])
    assert_array_equal(stored[picked, low:high], rows[picked, low:high])
    assert_array_equal(stored[picked[0]], rows[picked[0]])
    assert_array_equal(stored[1:5, ::7], rows[1:5, ::7])
    assert_array_equal(np.asarray(stored), rows)
    blocks = list(stored.iter_blocks(4))
    assert_array_equal(np.concatenate([block for _, block in blocks]), rows)
    assert [rows.start for rows, _ in blocks] == list(range(0, len(rows), 4))


def test_stored_needs_a_store_and_single_images(full, paths):
    with pytest.raises(ValueError, match="cache=None"):
        extractor(None).fit(paths).stored(paths)
    with pytest.raises(ValueError, match="several images"):
        extractor(full).fit(paths).stored([paths[:2], paths[2:]])


def test_stored_features_travel_to_other_processes(full, paths):
    features = extractor(full, LAYERS).fit(paths).stored(paths)
    travelled = pickle.loads(pickle.dumps(features))
    assert_array_equal(travelled[:], features[:])
    assert_array_equal(travelled[:, 3:9], features[:, 3:9])


def test_stored_rows_that_are_pruned_are_missed_by_name(store, paths):
    stored = extractor(store, "conv").fit(paths).stored(paths)
    assert stored[:, 3:5].shape == (23, 2)
    for manifest in (store.root / "layers").glob("*/2*.json"):
        manifest.unlink()
        manifest.with_suffix(".npy").unlink()
    for key in (slice(None), (slice(None), slice(3, 5))):
        with pytest.raises(KeyError, match="no longer stored"):
            stored[key]


def test_float16_costs_little(tmp_path, paths):
    store = ActivationStore(tmp_path / "store", dtype="float16")
    exact = named(None).fit_transform(paths)
    dnn = named(store).fit(paths)
    features = dnn.transform(paths)
    assert features.dtype == np.float32
    assert_array_equal(features, exact.astype(np.float16).astype(np.float32))
    difference = RDM().fit_transform(features) - RDM().fit_transform(exact)
    assert 0 < np.abs(difference).max() < 2e-5
    assert_array_equal(dnn.stored(paths)[:, 5:77], features[:, 5:77])
    data = next((store.root / "layers").glob("*/*.npy"))
    assert np.load(data).dtype == np.float16


def test_float16_that_overflows_is_refused(tmp_path, paths):
    store = ActivationStore(tmp_path / "store", dtype="float16")
    net = network()
    net.conv.weight.data *= 1e6
    dnn = DNNFeatureExtractor(Model(net, SMALL), "conv", cache=store).fit(paths)
    with pytest.raises(ValueError, match=r'fit into float16.*dtype="float32"'):
        dnn.transform(paths)
    assert store.contents().empty
    assert store.verify().empty


# --- images in memory, conditions --------------------------------------------------------


def test_images_in_memory(store, expected, paths):
    images = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in images]
    assert_array_equal(extractor(store).fit_transform(images), expected["fc"])
    assert_array_equal(extractor(store).fit_transform(np.stack(arrays)), expected["fc"])
    assert forwarded(store) == 23
    arrays[3] = arrays[3].copy()
    arrays[3][0, 0, 0] ^= 128
    extractor(store).fit_transform(arrays)
    assert forwarded(store) == 24


@pytest.mark.parametrize("cached", [True, False])
def test_conditions_of_several_images(store, paths, expected, tmp_path, cached):
    folder = tmp_path / "dogs.v1"
    folder.mkdir()
    for row in (5, 6, 7):
        shutil.copy(paths[row], folder)
    X = [folder, paths[0:4], paths[9], [paths[9], paths[9], paths[10]]]
    means = [
        expected["fc"][rows].astype(np.float64).mean(axis=0)
        for rows in ([5, 6, 7], [0, 1, 2, 3], [9], [9, 9, 10])
    ]
    dnn = extractor(store if cached else None).set_output(transform="pandas")
    found = dnn.fit_transform(X)
    assert_allclose(found, means, rtol=1e-6, atol=1e-7)
    assert list(found.index) == [str(folder), "X[1]", paths[9], "X[3]"]
    if cached:
        assert forwarded(store) == 9
        assert store.contents().images.sum() == 9
    series = pd.Series(X, dtype=object)
    assert_array_equal(extractor(store).fit_transform(series), found)
    assert_array_equal(extractor(store).fit_transform(series.to_frame()), found)


def test_labels_of_conditions(store, paths, tmp_path):
    for name, rows in {"cat": (1, 2), "dog": (3,)}.items():
        (tmp_path / name).mkdir()
        for row in rows:
            shutil.copy(paths[row], tmp_path / name)
    X = [tmp_path / "cat", tmp_path / "dog"]
    extractor(store).fit(X, pd.DataFrame(np.eye(2), index=["cat", "dog"]))
    with pytest.raises(ValueError, match="don't match"):
        extractor(store).fit(X, pd.DataFrame(np.eye(2), index=["dog", "cat"]))
    with pytest.raises((ValueError, TypeError)):
        extractor(store, aggregate=None).fit_transform(X)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        extractor(store).fit([*X, tmp_path / "none"])
    with pytest.raises(ValueError, match=r"X\[1\] is an empty list"):
        extractor(store).fit([X[0], []])
    with pytest.raises(TypeError):
        extractor(store).fit({str(X[0]), str(X[1])})  # has no order
