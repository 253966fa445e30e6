"""Folders of features: round trips, lazy reading, names, and files that cannot be used."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from skdnn import load_image_folder
from skdnn._array_blocks import is_lazy, row_parts
from skdnn.decomposition import GramPCA
from skdnn.formats import MatFeatures, read_feature_folder, write_feature_folder, write_mat

NAMES = ["n02_10", "n01_2", "n03_7"]
CONV = np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype(np.float32)
FLAT = CONV.reshape(3, -1)


@pytest.fixture(params=["5", "7.3"])
def folder(request, tmp_path: Path) -> Path:
    write_feature_folder(tmp_path, "conv1", NAMES, CONV, version=request.param)
    return tmp_path


def test_round_trip_in_c_order(folder):
    features = read_feature_folder(folder, "conv1", NAMES)
    assert features.shape == (3, 40)
    assert features.unit_shape == (2, 5, 4)
    assert features.dtype == np.float32
    assert features.nbytes == 480
    assert features.names == NAMES
    np.testing.assert_array_equal(features, FLAT)
    assert read_feature_folder(folder, "conv1").names == sorted(NAMES)


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        slice(1, None),
        slice(None, None, -2),
        2,
        -1,
        np.int64(1),
        [2, 0],
        np.array([True, False, True]),
        (slice(0, 2), slice(3, 9)),
        (1, slice(3, 30, 4)),
        (slice(None), [39, 0, 39]),
        (slice(None), 7),
        (2, -1),
        (slice(1), np.arange(40) % 3 == 0),
    ],
    ids=str,
)
def test_slices_are_those_of_an_array(folder, key):
    features = read_feature_folder(folder, "conv1", NAMES)
    np.testing.assert_array_equal(features[key], FLAT[key])
    assert features[key].shape == FLAT[key].shape


def test_only_rows_that_are_asked_for_are_read(folder, monkeypatch):
    from skdnn.io import _feature_folders as _features

    features = read_feature_folder(folder, "conv1", NAMES)
    read: list[str] = []
    original = _features.read_variable
    monkeypatch.setattr(
        _features,
        "read_variable",
        lambda path, name: read.append(path.stem) or original(path, name),
    )
    features[[2, 0]]
    assert read == ["n03_7", "n02_10"]


def test_units_by_position(folder):
    units = np.array([39, 0, 17])
    features = read_feature_folder(folder, "conv1", NAMES, units=units)
    assert features.shape == (3, 3)
    np.testing.assert_array_equal(features[:], FLAT[:, units])
    np.testing.assert_array_equal(features[1:, 1:], FLAT[1:, units[1:]])
    for wrong, message in (([40], "outside of the layer"), ([-1], "outside"), ([0.5], "integers")):
        with pytest.raises(ValueError, match=f"units.*{message}"):
            read_feature_folder(folder, "conv1", units=wrong)


def test_it_stands_where_lazy_arrays_stand(folder):
    features = read_feature_folder(folder, "conv1", NAMES)
    assert is_lazy(features)
    assert len(features) == 3
    np.testing.assert_array_equal(np.vstack([part for _, part in row_parts(features)]), FLAT)
    from_disk = GramPCA(2).fit(features).transform(features)
    np.testing.assert_allclose(from_disk, GramPCA(2).fit(FLAT).transform(FLAT), atol=1e-6)
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again[1], FLAT[1])
    with pytest.raises(ValueError, match="copy"):
        features.__array__(copy=False)  # as numpy asks from its version 2 on
    assert repr(features) == "MatFeatures(shape=(3, 40), dtype=float32)"


def test_files_as_others_write_them(tmp_path):
    """Transposed and without attributes, compressed, with trailing axes of one cut by MATLAB."""
    (tmp_path / "pool").mkdir()
    stack = np.arange(24.0).reshape(2, 4, 3, 1)
    with h5py.File(tmp_path / "pool" / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("feat", data=stack[:1].T, compression="gzip")
    savemat(tmp_path / "pool" / "b.mat", {"feat": stack[1:, :, :, :]}, do_compression=True)
    np.testing.assert_array_equal(read_feature_folder(tmp_path, "pool")[:], stack.reshape(2, 12))
    savemat(tmp_path / "pool" / "b.mat", {"feat": stack[1:, :, :, 0]})
    with pytest.raises(ValueError, match=r"b\.mat: 'feat' has shape \(1, 4, 3\), others"):
        read_feature_folder(tmp_path, "pool")


def test_names_of_images(tmp_path):
    names = ["stimuli/a.JPEG", Path("b.tiff"), "c.v2", "d.mat.png"]
    write_feature_folder(tmp_path, "fc", names, np.eye(4, 5))
    on_disk = sorted(path.name for path in (tmp_path / "fc").iterdir())
    assert on_disk == ["a.mat", "b.mat", "c.v2.mat", "d.mat.mat"]
    asked = ["other/c.v2", "d.mat.png", "a", "b.png", "a.mat"]
    features = read_feature_folder(tmp_path, "fc", asked)
    assert features.names == ["c.v2", "d.mat", "a", "b", "a"]
    np.testing.assert_array_equal(features[:], np.eye(4, 5)[[2, 3, 0, 1, 0]])
    for shared in (["x/a.png", "y/a.png"], ["cat/a", "a.png", "dog/a"]):
        with pytest.raises(ValueError, match=r"a\.mat fits two images"):
            read_feature_folder(tmp_path, "fc", shared)
    assert read_feature_folder(tmp_path, "fc", ["a", "x/a.png", "x\\a"]).names == ["a"] * 3
    with pytest.raises(ValueError, match=r"into one file: \['a'\]"):
        write_feature_folder(tmp_path, "fc", ["x/a.png", "y/a.png"], np.eye(2))
    with pytest.raises(ValueError, match=r"images has 1 names, but features 2 rows"):
        write_feature_folder(tmp_path, "fc", ["a"], np.eye(2))


def test_names_of_layers(tmp_path):
    write_feature_folder(tmp_path, "fire2/concat", ["a"], np.ones((1, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["fire2:concat"]
    for name in ("fire2/concat", "fire2:concat"):
        assert read_feature_folder(tmp_path, name)[:].tolist() == [[1, 1]]
    (tmp_path / "fire2:concat").rename(tmp_path / "fire2_concat")  # as unpacked on Windows
    for name in ("fire2/concat", "fire2:concat", "fire2_concat"):
        assert read_feature_folder(tmp_path, name).names == ["a"]
    write_feature_folder(tmp_path, "fire2:concat", ["b"], np.ones((1, 2)))
    assert read_feature_folder(tmp_path, "fire2:concat").names == ["b"]  # the very name first
    with pytest.raises(
        FileNotFoundError, match=r"no folder 'fire9/concat'.*Nearest: 'fire2:concat'"
    ):
        read_feature_folder(tmp_path, "fire9/concat")
    with pytest.raises(FileNotFoundError, match="root: there is no folder"):
        read_feature_folder(tmp_path / "nowhere", "fc")
    for name in ("", "..", "."):
        with pytest.raises(ValueError, match="no name for a folder"):
            write_feature_folder(tmp_path, name, ["a"], np.ones((1, 2)))
    assert not (tmp_path.parent / "a.mat").exists()


def test_all_faulty_files_are_in_one_error(folder):
    layer = folder / "conv1"
    names = [*NAMES, "cut", "other", "tall", "nothing", "point"]
    for name in names[3:]:
        write_mat(layer / f"{name}.mat", {"feat": CONV[:1]})
    (layer / "cut.mat").write_bytes((layer / "cut.mat").read_bytes()[:-200])
    write_mat(layer / "other.mat", {"feat": CONV[:1, :1]})
    write_mat(layer / "tall.mat", {"feat": CONV[:2]})
    write_mat(layer / "nothing.mat", {"features": CONV[:1]})
    with h5py.File(layer / "point.mat", "w") as file:
        file["feat"] = 1.0
    with pytest.raises(ValueError, match=r"5 of 8 files cannot be used") as caught:
        read_feature_folder(folder, "conv1", names)
    message = str(caught.value)
    assert "cut.mat: it cannot be read" in message
    assert "other.mat: 'feat' has shape (1, 1, 5, 4), others (1, 2, 5, 4)" in message
    assert "tall.mat: 'feat' has shape (2, 2, 5, 4), not (1, ...)" in message
    assert "point.mat: 'feat' has shape (), not (1, ...)" in message
    assert "nothing.mat: it has no variable 'feat', only 'features'" in message
    with pytest.raises(ValueError, match=r"2 of 3 files.*\n  x\.mat: is not there\n  y\.mat: is"):
        read_feature_folder(folder, "conv1", ["x", "y.jpg", NAMES[0]])


def test_files_without_names_are_in_the_order_of_images(tmp_path, image_paths):
    """img2 before img10, as `load_image_folder` has them; given names keep their own order."""
    names = [Path(path).stem for path in image_paths]
    write_feature_folder(tmp_path, "fc", names[::-1], np.arange(len(names))[::-1, None])
    features = read_feature_folder(tmp_path, "fc")
    images = load_image_folder(Path(image_paths[0]).parent)
    assert features.names == [Path(path).stem for path in images.paths]
    assert features.names.index("img2") < features.names.index("img10")
    np.testing.assert_array_equal(features[:, 0], np.arange(len(names)))
    assert read_feature_folder(tmp_path, "fc", sorted(names)).names == sorted(names)


def test_files_that_vanish_or_change_later(folder):
    features = read_feature_folder(folder, "conv1", NAMES)
    (folder / "conv1" / "n02_10.mat").unlink()
    write_mat(folder / "conv1" / "n03_7.mat", {"feat": CONV[:1, :1]})
    np.testing.assert_array_equal(features[1], FLAT[1])
    with pytest.raises(ValueError, match=r"(?s)2 of 3.*is not there.*has 20 units now, 40"):
        features[:]


def test_no_files_at_all(tmp_path):
    (tmp_path / "fc").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.mat files"):
        read_feature_folder(tmp_path, "fc")
    with pytest.raises(ValueError, match="paths is empty"):
        MatFeatures([])
