"""Images in an HDF5 dataset: read one by one, in folds and workers too, or refused."""

from __future__ import annotations

import io
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_score
from sklearn.pipeline import Pipeline
from torch import nn

from skdnn import DNNFeatureExtractor, LayerSearchCV, _file_digests
from skdnn._images import ImageReadError, as_image_inputs, check_images, read_image
from skdnn.datasets import load_hdf5_images
from skdnn.models import Model

N = 23
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 18, 26, 3), dtype=np.uint8)


def extractor(**options: Any) -> DNNFeatureExtractor:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 3 * 4, 6)
    )
    model = Model(network, preprocess={"resize": (16, 20), "crop": None})
    return DNNFeatureExtractor(model, "3", device="cpu", **options)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the Natural Scenes Dataset stores its images, an image in each chunk."""
    path = tmp_path_factory.mktemp("nsd") / "stimuli.hdf5"
    with h5py.File(path, "w") as made:
        made.create_dataset("imgBrick", data=PIXELS, chunks=(1, 18, 26, 3))
        made["deep/float"] = PIXELS.astype(np.float32)
        made["first"] = np.moveaxis(PIXELS, 3, 1)
        made["grey"] = PIXELS[..., 0]
        made["names"] = np.array([b"a", b"b"])
    return path


@pytest.fixture
def brick(file: Path) -> Iterator[h5py.Dataset]:
    with h5py.File(file, "r") as opened:
        yield opened["imgBrick"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """How often each selection of a dataset was read."""
    counted: Counter[Any] = Counter()
    read = h5py.Dataset.__getitem__

    def counting(self: h5py.Dataset, key: Any, **options: Any) -> Any:
        counted[key if isinstance(key, int) else repr(key)] += 1
        return read(self, key, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    return counted


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return np.asarray(extractor().fit_transform(PIXELS))


def test_rows_and_names(brick: Any, expected: np.ndarray, reads: Counter[Any]) -> None:
    found = extractor(batch_size=4).set_output(transform="pandas").fit_transform(brick)
    np.testing.assert_array_equal(found.to_numpy(), expected)
    assert found.index.tolist() == [f"imgBrick[{row}]" for row in range(N)]
    assert reads == Counter(range(N))


def test_an_edited_pixel_is_another_image(tmp_path: Path, expected: np.ndarray) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stack = file.create_dataset("x", data=PIXELS)
        kept = extractor(cache=tmp_path / "kept")
        np.testing.assert_array_equal(kept.fit_transform(stack), expected)
        stack[3] = 255 - PIXELS[3]
        changed = kept.fit_transform(stack)
        assert np.flatnonzero((changed != expected).any(axis=1)).tolist() == [3]
        np.testing.assert_array_equal(changed[3], extractor().fit_transform(stack)[3])


def test_a_store_is_found_by_pixels(
    brick: Any,
    tmp_path: Path,
    expected: np.ndarray,
    reads: Counter[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keyed by their bytes: the same images in memory, or of a list in another order, are hits."""
    monkeypatch.setattr(_file_digests, "_SETTLED_NS", 0)  # the file is as old as this test
    kept = extractor(cache=tmp_path)
    np.testing.assert_array_equal(kept.fit_transform(brick), expected)
    first = reads.copy()
    assert set(first) == set(range(N))
    assert max(first.values()) == 2  # once for its digest, once for the network
    kept.fit(brick).transform(brick)
    assert reads == first  # the file was not touched
    order = np.random.default_rng(1).permutation(N)
    images = load_hdf5_images(brick.file.filename, "imgBrick")
    np.testing.assert_array_equal(
        kept.fit_transform([images[row] for row in order]), expected[order]
    )
    store = kept.precompute(PIXELS, verbose=0)
    assert store.contents()["images"].tolist() == [N]
    assert store.stats["images_forwarded"] == 0


def test_parts_conditions_and_repeats(brick: Any, expected: np.ndarray, file: Path) -> None:
    images = load_hdf5_images(file)
    rows = [5, 2, 5, 20]
    found = extractor().fit_transform([images[row] for row in rows])
    np.testing.assert_array_equal(found, expected[rows])
    found = extractor().fit_transform(np.array([images[3], images[1]], dtype=object))
    np.testing.assert_array_equal(found, expected[[3, 1]])
    found = extractor().fit_transform([images[:3], [images[7]]])
    np.testing.assert_allclose(found, [expected[:3].mean(axis=0), expected[7]], rtol=1e-6)
    mixed = extractor().fit_transform([images[4], PIXELS[2]])
    np.testing.assert_array_equal(mixed, expected[[4, 2]])


def test_repeated_images_are_read_once(file: Path, reads: Counter[Any]) -> None:
    images = load_hdf5_images(file, "imgBrick")
    extractor().fit_transform([images[2]] * 5 + [images[3]])
    assert reads.pop("'imgBrick'", 0) == 0
    assert reads == Counter([2, 3])


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=0), ShuffleSplit(2)])
def test_folds_of_a_search(brick: Any, cv: Any, tmp_path: Path, reads: Counter[Any]) -> None:
    y = np.random.default_rng(0).normal(size=(N, 2))
    pipe = Pipeline([("dnn", extractor()), ("ridge", RidgeCV())])
    search = LayerSearchCV(pipe, {"dnn__layer": ["0", "3"]}, cv=cv, cache=tmp_path)
    if isinstance(cv, ShuffleSplit):
        cv.random_state = 0
    search.fit(brick, y)
    assert set(reads) == set(range(N))  # one by one, never a fold
    in_memory = LayerSearchCV(pipe, {"dnn__layer": ["0", "3"]}, cv=cv).fit(PIXELS, y)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], in_memory.cv_results_[name])
    np.testing.assert_array_equal(search.predict(brick), in_memory.predict(PIXELS))


def test_scikit_learns_own_cross_validation(file: Path, reads: Counter[Any]) -> None:
    images = load_hdf5_images(file, "imgBrick")
    y = np.random.default_rng(0).normal(size=(N, 2))
    pipe = Pipeline([("dnn", extractor()), ("ridge", RidgeCV())])
    cv = ShuffleSplit(2, random_state=0)
    found = cross_val_score(pipe, images, y, cv=cv)
    assert all(isinstance(key, int) for key in reads)
    np.testing.assert_array_equal(found, cross_val_score(pipe, PIXELS, y, cv=cv))


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_other_processes_open_the_file(
    brick: Any, cached: bool, tmp_path: Path, expected: np.ndarray
) -> None:
    some = extractor(n_jobs=2, batch_size=4, cache=tmp_path if cached else None)
    np.testing.assert_allclose(some.fit_transform(brick), expected, rtol=1e-5)


def test_pickles_hold_names(brick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(as_image_inputs(brick))
    assert len(pickled) < 60 * N + 500
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(np.asarray(read_image(again.items[7])), PIXELS[7])
    monkeypatch.chdir("/")  # a relative name would be another file now
    np.testing.assert_array_equal(again.items[8].read(), PIXELS[8])


def test_a_file_in_memory_stays_in_this_process() -> None:
    with h5py.File(io.BytesIO(), "w") as file:
        file["x"] = PIXELS[:4]
        inputs = as_image_inputs(file["x"])
        assert read_image(inputs.items[1]).size == (26, 18)
        with pytest.raises(ValueError, match="lies in memory"):
            pickle.dumps(inputs)


def test_a_file_closed_meanwhile_is_opened_again(file: Path) -> None:
    with h5py.File(file, "r") as opened:
        inputs = as_image_inputs(opened["imgBrick"])
    np.testing.assert_array_equal(inputs.items[3].read(), PIXELS[3])


def test_a_file_that_is_gone_is_named(file: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.h5"
    gone.write_bytes(file.read_bytes())
    with h5py.File(gone, "r") as opened:
        inputs = as_image_inputs(opened["imgBrick"])
    gone.unlink()
    with pytest.raises(ImageReadError, match=r"imgBrick\[3\]: it cannot be read from .*gone.h5"):
        read_image(inputs.items[3])


def test_what_is_no_stack_of_images(file: Path) -> None:
    with h5py.File(file, "r") as opened:
        for name, message in (
            ("deep/float", "dtype float32: uint8"),
            ("first", r"shape \(23, 3, 18, 26\).*channels come first"),
            ("grey", r"shape \(23, 18, 26\)"),
            ("names", r"shape \(2,\)"),
        ):
            with pytest.raises(ValueError, match=message):
                extractor().fit(opened[name])
        with pytest.raises(TypeError, match="group of an HDF5 file, with 'float'"):
            extractor().fit(opened["deep"])
        brick = opened["imgBrick"]
    with pytest.raises(ValueError, match="closed"):
        extractor().fit(brick)
    with pytest.raises(ValueError, match="closed"):
        LayerSearchCV(Pipeline([("dnn", extractor())]), {"dnn__layer": ["0"]}).fit(brick)


def test_an_empty_stack(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = PIXELS[:0]
        with pytest.raises(ValueError, match="X is empty"):
            as_image_inputs(file["x"])


def test_damaged_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", data=PIXELS, chunks=(1, 18, 26, 3), fletcher32=True)
        place = made.id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 255
    path.write_bytes(content)
    with h5py.File(path, "r") as file:
        check_images(as_image_inputs(file["x"]))  # looks at files of images only
        with pytest.raises(ValueError, match=r"1 image\(s\) could not be decoded:\n  x\[4\]"):
            extractor().fit_transform(file["x"])


def test_labels_of_y_name_no_rows_of_a_dataset(brick: Any) -> None:
    y = pd.DataFrame(np.ones((N, 2)), index=[f"nsd{row}" for row in range(N)])
    extractor().fit(brick, y)


def test_the_dataset_is_chosen_or_named(file: Path, tmp_path: Path) -> None:
    assert [image.name for image in load_hdf5_images(file)][:2] == ["imgBrick[0]", "imgBrick[1]"]
    with pytest.raises(ValueError, match=r"there is none in .*, but \['imgBrick'\]"):
        load_hdf5_images(file, "imgbrick")
    with pytest.raises(ValueError, match="channels come first"):
        load_hdf5_images(file, "first")
    with h5py.File(tmp_path / "two.h5", "w") as made:
        made["a"], made["b"] = PIXELS[:2], PIXELS[:3]
    with pytest.raises(ValueError, match="holds 2 stacks of images"):
        load_hdf5_images(tmp_path / "two.h5")
    assert len(load_hdf5_images(tmp_path / "two.h5", "b")) == 3
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text.h5' can't be read as HDF5"):
        load_hdf5_images(tmp_path / "text.h5")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_hdf5_images(tmp_path / "no.h5")
