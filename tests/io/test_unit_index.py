"""Which units were drawn at random, from files of both versions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from skdnn.formats import (
    read_feature_folder,
    read_unit_index,
    write_feature_folder,
    write_mat,
    write_unit_index,
)

INDEX = {"conv1": np.array([9, 0, 4]), "fc6": np.array([2])}


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_round_trip(tmp_path, version):
    write_unit_index(tmp_path / "index.mat", INDEX, version=version)
    found = read_unit_index(tmp_path / "index.mat")
    assert list(found) == list(INDEX)
    for layer, positions in INDEX.items():
        np.testing.assert_array_equal(found[layer], positions)
        assert found[layer].dtype == np.int64


def test_files_as_scipy_writes_them(tmp_path):
    savemat(tmp_path / "index.mat", {"index": {"conv1": np.float64([[3], [0]])}})
    assert read_unit_index(tmp_path / "index.mat")["conv1"].tolist() == [3, 0]


def test_positions_pick_units(tmp_path):
    features = np.arange(20.0).reshape(2, 2, 5, 1)
    write_feature_folder(tmp_path, "conv1", ["a", "b"], features)
    write_unit_index(tmp_path / "index.mat", INDEX)
    units = read_unit_index(tmp_path / "index.mat")["conv1"]
    found = read_feature_folder(tmp_path, "conv1", units=units)
    np.testing.assert_array_equal(found[:], [[9, 0, 4], [19, 10, 14]])


def test_wrong_files(tmp_path):
    path = tmp_path / "index.mat"
    with pytest.raises(FileNotFoundError):
        read_unit_index(path)
    write_mat(path, {"index": [1, 2]})
    with pytest.raises(ValueError, match=r"index.mat': its variable 'index' is no struct"):
        read_unit_index(path)
    write_mat(path, {"other": [1, 2]})
    with pytest.raises(ValueError, match="has no variable 'index', only 'other'"):
        read_unit_index(path)
    write_mat(path, {"index": {"conv1": [0.5]}})
    with pytest.raises(ValueError, match="'conv1' are not whole numbers from 0"):
        read_unit_index(path)
    with pytest.raises(ValueError, match="index: the positions of 'fc' are not whole"):
        write_unit_index(path, {"fc": [-1]})
