"""The activation store as its users meet it: what is found, what is missed, what is told."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from tiny_network import LAYERS, extractor, write_images

from skdnn import ActivationStore
from skdnn._backends import _torch_engine

SEVERAL = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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


# --- hits and misses ---------------------------------------------------------------------


def test_each_image_is_forwarded_once_for_all_layers(store, paths, expected):
    found = extractor(store, LAYERS, batch_size=5).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    missed = {"hits": 0, "misses": 69, "images_forwarded": 23, "batches_forwarded": 5}
    assert store.stats == missed
    for layer in LAYERS:
        features = extractor(store, layer).fit_transform(paths)
        assert features.dtype == np.float32
        assert_array_equal(features, expected[layer])
    assert store.stats == {**missed, "hits": 69}


def test_stats_count_what_the_network_saw(store, paths, monkeypatch):
    passes = []
    run = _torch_engine.Run.__call__

    def count(self, batch, rows):
        passes.append(len(batch))
        run(self, batch, rows)

    dnn = extractor(store, "conv", batch_size=8).fit(paths)
    monkeypatch.setattr(_torch_engine.Run, "__call__", count)
    dnn.transform(paths)
    assert store.stats["batches_forwarded"] == 3
    assert passes == [8] * 4  # the first batch twice: is the network repeatable?
    dnn.transform(paths)
    extractor(store, "conv").fit_transform(paths)
    assert len(passes) == 4


def test_only_what_is_missing_is_forwarded(store, paths, expected):
    extractor(store, "fc").precompute(paths[:9], verbose=0)
    extractor(store, "conv").precompute(paths[4:12], verbose=0)
    assert forwarded(store) == 17
    found = extractor(store, ["conv", "fc"]).extract(paths, flatten=True)
    assert forwarded(store) == 17 + 4 + 3 + 11  # all but the five that were there in both
    for layer in found:
        assert_array_equal(found[layer], expected[layer])


@SEVERAL
@given(rows=st.lists(st.integers(0, 22), min_size=1, max_size=40), layer=st.sampled_from(LAYERS))
def test_any_rows_in_any_order(full, paths, expected, rows, layer):
    X = [paths[row] for row in rows]
    assert_array_equal(extractor(full, layer).fit_transform(X), expected[layer][rows])


@settings(SEVERAL, max_examples=15)
@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.integers(0, 22), min_size=1, max_size=12),
            st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3, unique=True),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_store_behaves_like_a_dict(steps, paths, expected, tmp_path_factory):
    """Against a set of what has been asked for: rows, misses and forwards."""
    store = ActivationStore(tmp_path_factory.mktemp("any"))
    held: set[tuple[str, int]] = set()
    hits = misses = passes = 0
    for rows, layers in steps:
        found = extractor(store, layers).extract([paths[row] for row in rows], flatten=True)
        for layer in layers:
            assert_array_equal(found[layer], expected[layer][rows])
        wanted = [(layer, row) for layer in layers for row in rows]
        misses += sum(pair not in held for pair in wanted)
        hits += sum(pair in held for pair in wanted)
        passes += len({row for layer, row in wanted if (layer, row) not in held})
        held.update(wanted)
    assert store.stats["images_forwarded"] == passes
    # Reading several images of one condition or a second look may count hits again, never misses.
    assert (store.stats["hits"], store.stats["misses"]) == (hits, misses)
    assert store.contents().images.sum() == len(held)


def test_duplicates_go_through_once(store, paths, expected):
    rows = [3, 3, 1, 3, 0, 1]
    features = extractor(store).fit_transform([paths[row] for row in rows])
    assert_array_equal(features, expected["fc"][rows])
    assert forwarded(store) == 3


def test_one_byte_of_one_image(store, tmp_path):
    paths = write_images(tmp_path / "images", 6)
    before = extractor(store).fit_transform(paths)
    picture = np.asarray(Image.open(paths[2])).copy()
    picture[3, 4, 1] ^= 64
    Image.fromarray(picture).save(paths[2])
    after = extractor(store).fit_transform(paths)
    assert forwarded(store) == 7
    changed = np.any(before != after, axis=1)
    assert_array_equal(np.flatnonzero(changed), [2])
    with open(paths[4], "ab") as file:  # decodes to the same pixels
        file.write(b"\0")
    assert_array_equal(extractor(store).fit_transform(paths), after)
    assert forwarded(store) == 8


def test_edit_that_keeps_size_and_times(store, tmp_path):
    paths = write_images(tmp_path / "images", 4)
    for path in paths:
        os.utime(path, (1e9, 1e9))
    bmp = tmp_path / "images" / "a.bmp"
    Image.open(paths[0]).save(bmp)
    os.utime(bmp, (1e9, 1e9))
    before = extractor(store).fit_transform([bmp])
    content = bytearray(bmp.read_bytes())
    content[-20] ^= 255
    bmp.write_bytes(content)
    os.utime(bmp, (1e9, 1e9))
    assert np.any(extractor(store).fit_transform([bmp]) != before)
    assert forwarded(store) == 2


def test_moved_and_renamed_images_are_known(store, tmp_path):
    paths = write_images(tmp_path / "images", 4)
    before = extractor(store).fit_transform(paths)
    shutil.move(tmp_path / "images", tmp_path / "elsewhere")
    moved = sorted((tmp_path / "elsewhere").iterdir())
    copied = shutil.copy(moved[1], tmp_path / "copy.png")
    after = extractor(store).fit_transform([*moved, copied])
    assert_array_equal(after, before[[0, 1, 2, 3, 1]])
    assert forwarded(store) == 4


# --- layers, prefetch, precompute --------------------------------------------------------


def test_globs_calls_and_penultimate(store, paths):
    wanted = ["conv*", "relu@0", "relu", "penultimate"]
    plain = extractor(None, wanted).extract(paths)
    for _ in range(2):
        found = extractor(store, wanted).extract(paths)
        assert list(found) == list(plain) == ["conv", "conv2", "relu@0", "relu", "penultimate"]
        for layer in plain:
            assert_array_equal(found[layer], plain[layer])
    assert forwarded(store) == 23


def test_prefetch(store, paths, expected):
    dnn = extractor(store, "fc", prefetch=["conv*"]).fit(paths)
    assert dnn.layers_ == ["fc"]
    assert_array_equal(dnn.transform(paths), expected["fc"])
    assert_array_equal(extractor(store, "conv2").fit_transform(paths), expected["conv2"])
    assert forwarded(store) == 23
    assert sorted(store.contents().layer) == ["conv", "conv2", "fc"]
    with pytest.raises(ValueError, match=r"prefetch.*needs a cache"):
        extractor(None, prefetch="conv").fit(paths)


def test_prefetch_alone_makes_no_pass(store, paths):
    extractor(store, "fc").precompute(paths, verbose=0)
    extractor(store, "fc", prefetch="conv").fit_transform(paths)
    assert forwarded(store) == 23
    assert list(store.contents().layer) == ["fc"]


def test_precompute_tells_and_goes_on(store, paths, expected, capsys):
    extractor(store).precompute(paths[:10], LAYERS, verbose=0)
    assert capsys.readouterr() == ("", "")
    same = extractor(store).precompute(paths, LAYERS)
    assert same is store
    told = capsys.readouterr()
    told = " ".join((told.out + told.err).split())
    assert "tiny: 13 of 23 images to forward for 3 layer(s)" in told
    assert "extracting: 100%" in told
    assert str(store.root) in told
    assert forwarded(store) == 23
    for layer in LAYERS:
        assert_array_equal(extractor(store, layer).fit_transform(paths), expected[layer])
    with pytest.raises(ValueError, match="cache=None"):
        extractor(None).precompute(paths)


def test_a_disk_that_is_too_small_is_told_beforehand(store, paths, monkeypatch):
    extractor(store).precompute(paths[:3], LAYERS, verbose=0)
    usage = shutil.disk_usage(store.root)._replace(free=3000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"can't hold what is asked for: .* for 20 images.*3 kB"):
        extractor(store).precompute(paths, LAYERS)
    assert forwarded(store) == 3
    assert_array_equal(
        extractor(store).fit_transform(paths[:3]), tiny_network.plain(paths[:3])["fc"]
    )


def test_jobs_count_and_agree(tmp_path, paths, expected):
    store = ActivationStore(tmp_path / "store")
    with parallel_config("loky"):
        found = extractor(store, LAYERS, n_jobs=2, batch_size=4).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert forwarded(store) == 23
    assert store.verify().empty


# --- clone, pickle, opening --------------------------------------------------------------


def test_clone_and_pickle(store, paths, expected):
    dnn = extractor(store)
    assert clone(dnn).cache is store
    dnn.fit_transform(paths)
    again = pickle.loads(pickle.dumps(store))
    assert (again.root, again.dtype, again.mode) == (store.root, store.dtype, store.mode)
    assert again.stats["images_forwarded"] == 0
    loaded = pickle.loads(pickle.dumps(dnn))
    assert_array_equal(loaded.transform(paths), expected["fc"])
    assert forwarded(store) == 23
    assert forwarded(again) == 0


def test_a_folder_is_as_good_as_a_store(tmp_path, paths, expected):
    for cache in (tmp_path / "store", str(tmp_path / "store")):
        assert_array_equal(extractor(cache).fit_transform(paths), expected["fc"])
    assert len(ActivationStore(tmp_path / "store").contents()) == 1


def test_nothing_is_made_before_something_is_stored(tmp_path, paths):
    store = ActivationStore(tmp_path / "a" / "b")
    assert (store.size, len(store.contents()), len(store.verify())) == (0, 0, 0)
    assert not (tmp_path / "a").exists()
    extractor(store).precompute(paths, verbose=0)
    assert (tmp_path / "a" / "b").is_dir()


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(ValueError, match=r"no activation store.*thesis\.doc"):
        ActivationStore(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        ActivationStore(tmp_path / "thesis.doc")
    with pytest.raises(ValueError, match="no such store"):
        ActivationStore(tmp_path / "none", mode="r")
    with pytest.raises(ValueError, match="dtype='float64'"):
        ActivationStore(tmp_path / "new", dtype="float64")
    with pytest.raises(ValueError, match="mode='w'"):
        ActivationStore(tmp_path / "new", mode="w")


@pytest.mark.parametrize(
    ("content", "message"), [('{"format": 99}', "format 99.*update"), ("{", "is damaged")]
)
def test_other_formats_are_refused(tmp_path, content, message):
    (tmp_path / "skdnn-store.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        ActivationStore(tmp_path)
