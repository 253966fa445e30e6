"""MATLAB files of both versions, against scipy and plain h5py."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from skdnn.formats import read_mat, write_mat
from skdnn.io._mat import DamageError, is_hdf5, mat_shape

RNG = np.random.default_rng(0)
ARRAYS = {
    "double": RNG.normal(size=(2, 3)),
    "single": RNG.normal(size=(1, 4, 3, 2)).astype(np.float32),
    "counts": np.arange(6, dtype=np.uint8).reshape(3, 2),
    "signed": np.array([[-5, 2**40]]),
    "logical": np.array([[True, False, True]]),
    "scalar": np.array([[2.5]]),
}


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_written_is_read(tmp_path, version, name):
    path = tmp_path / "a.mat"
    write_mat(path, ARRAYS, version)
    found = read_mat(path, name)
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert found.dtype == ARRAYS[name].dtype
    assert mat_shape(path, name) == (ARRAYS[name].shape, ARRAYS[name].dtype)
    assert is_hdf5(path) is (version == "7.3")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mat"]


def test_version_7_3_is_what_matlab_expects(tmp_path):
    write_mat(tmp_path / "a.mat", ARRAYS)
    with open(tmp_path / "a.mat", "rb") as file:
        head = file.read(512 + 8)
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert struct.unpack("<H", head[124:126]) == (0x0200,)
    assert head[126:128] == b"IM"
    assert head[512:] == b"\x89HDF\r\n\x1a\n"
    with h5py.File(tmp_path / "a.mat") as file:
        assert file["single"].shape == (2, 3, 4, 1)  # axes are turned round
        np.testing.assert_array_equal(file["single"][()].T, ARRAYS["single"])
        kinds = {name: file[name].attrs["MATLAB_class"] for name in file}
    assert kinds == {
        "double": b"double",
        "single": b"single",
        "counts": b"uint8",
        "signed": b"int64",
        "logical": b"logical",
        "scalar": b"double",
    }


def test_against_scipy(tmp_path):
    write_mat(tmp_path / "ours.mat", ARRAYS, "5")
    theirs = loadmat(tmp_path / "ours.mat")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], array)
    for compressed in (False, True):
        savemat(tmp_path / "theirs.mat", ARRAYS, do_compression=compressed)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read_mat(tmp_path / "theirs.mat", name), array)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_structs_rows_and_halves(tmp_path, version):
    made = {"index": {"conv1": [3, 1, 2], "fc6": [7]}, "half": np.float16([1.5])}
    write_mat(tmp_path / "a.mat", made, version)
    index = read_mat(tmp_path / "a.mat", "index")
    assert list(index) == ["conv1", "fc6"]
    np.testing.assert_array_equal(index["conv1"], [[3, 1, 2]])
    half = read_mat(tmp_path / "a.mat", "half")
    assert half.dtype == np.float32
    assert half.shape == (1, 1)


def test_empty_arrays(tmp_path):
    for version in ("5", "7.3"):
        write_mat(tmp_path / "a.mat", {"a": np.empty((1, 0))}, version)
        assert read_mat(tmp_path / "a.mat", "a").shape == (1, 0)
        assert mat_shape(tmp_path / "a.mat", "a")[0] == (1, 0)


def test_plain_hdf5_is_read_too(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["a"] = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "a"), [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("look", [read_mat, mat_shape])
def test_broken_files(tmp_path, version, look):
    path = tmp_path / "a.mat"
    write_mat(path, {"a": RNG.normal(size=(1, 500))}, version)
    whole = path.read_bytes()
    with pytest.raises(DamageError, match="no variable 'b', only 'a'"):
        look(path, "b")
    for length in (len(whole) - 1, len(whole) // 2, 600, 130, 100, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(DamageError, match=r"cannot be read|cut short"):
            look(path, "a")
    path.write_bytes(b"<html>" * 100)
    with pytest.raises(DamageError, match=r"no \.mat file"):
        look(path, "a")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        look(path, "a")


def test_damage_within_a_compressed_file(tmp_path):
    savemat(tmp_path / "a.mat", {"a": RNG.normal(size=(1, 500))}, do_compression=True)
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[2000:2050] = bytes(50)
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DamageError, match="cannot be read"):
        read_mat(tmp_path / "a.mat", "a")


def test_texts_are_no_numbers(tmp_path):
    savemat(tmp_path / "a.mat", {"a": "text"})
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["a"] = "text"
    for name in ("a", "b"):
        assert read_mat(tmp_path / f"{name}.mat", "a") == "text"
        with pytest.raises(DamageError, match="no array of numbers"):
            mat_shape(tmp_path / f"{name}.mat", "a")
    with pytest.raises(TypeError, match=r"a is an array of <U1"):
        write_mat(tmp_path / "c.mat", {"a": ["x"]})
    with pytest.raises(ValueError, match=r"version must be '7.3' or '5', got '6'"):
        write_mat(tmp_path / "c.mat", {"a": [1]}, "6")
    assert not (tmp_path / "c.mat").exists()


def test_interrupted_writing_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    write_mat(path, {"a": [1.0]})
    monkeypatch.setattr("skdnn.io._mat._put", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_mat(path, {"a": [2.0]})
    assert read_mat(path, "a") == [[1.0]]
    assert len(list(tmp_path.iterdir())) == 1
