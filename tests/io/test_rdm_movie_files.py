"""RDMs over time in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skdnn.io import load_rdm_movie, save_rdm_movie
from skdnn.rsa import read_rdm_movie

TIMES = np.arange(5) / 10 - 0.1
NAMES = ["cat", "dög", "saw", "axe"]


@pytest.fixture
def pairs() -> np.ndarray:
    return np.random.default_rng(0).random((2, 5, 6))


@pytest.mark.parametrize("names", [NAMES, [7, 3, 5, 1], None])
def test_what_was_saved_is_loaded(pairs, names, tmp_path: Path) -> None:
    movie = read_rdm_movie(
        dict(zip(("sub-1", "sub-2"), pairs, strict=True)), times=TIMES, conditions=names
    )
    by_subject = {"sub-1": movie.pairs[0], "sub-2": movie.pairs[1]}
    plain = load_rdm_movie(save_rdm_movie(by_subject, tmp_path / "meg.h5"))
    assert_array_equal(plain.pairs, pairs)
    loaded = load_rdm_movie(save_rdm_movie(movie, tmp_path / "meg.h5", overwrite=True))
    assert_array_equal(loaded.pairs, pairs)
    assert_array_equal(loaded.times, TIMES)
    assert loaded.subjects.tolist() == ["sub-1", "sub-2"]
    assert names is None or loaded.conditions.tolist() == names
    assert (loaded.conditions is None) == (names is None)
    with pytest.raises(FileExistsError, match="overwrite"):
        save_rdm_movie(movie, tmp_path / "meg.h5")
    save_rdm_movie(movie, tmp_path / "meg.h5", overwrite=True)
    with pytest.raises(ValueError, match=r"must end in \.h5"):
        save_rdm_movie(movie, tmp_path / "meg.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["meg.h5"]


def test_numbers_that_only_count_are_no_names(pairs, tmp_path: Path) -> None:
    movie = replace(read_rdm_movie(pairs, times=TIMES), conditions=pd.RangeIndex(4))
    path = save_rdm_movie(movie, tmp_path / "meg.h5")
    loaded = load_rdm_movie(path)
    assert loaded.conditions is None
    assert isinstance(loaded.subjects, pd.RangeIndex)
    assert loaded.subjects.tolist() == [0, 1]
    assert load_rdm_movie(path, conditions=NAMES).conditions.tolist() == NAMES
    every_other = replace(movie, subjects=pd.RangeIndex(0, 4, 2))
    save_rdm_movie(every_other, path, overwrite=True)
    assert load_rdm_movie(path).subjects.tolist() == [0, 2]
    some = replace(movie, pairs=pairs[1:], subjects=movie.subjects[1:])  # the second's number
    save_rdm_movie(some, path, overwrite=True)
    assert load_rdm_movie(path).subjects.tolist() == [1]


def test_arrays_of_others(pairs, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    np.save(tmp_path / "one.npy", pairs[0])
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["rdms"] = pairs
    assert_array_equal(load_rdm_movie(tmp_path / "one.npy", times=TIMES).pairs, pairs[:1])
    movie = load_rdm_movie(tmp_path / "several.h5", conditions=NAMES)
    assert_array_equal(movie.pairs, pairs)


def test_rdms_of_rsatoolbox(tmp_path: Path) -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="writes such files")
    data = rsatoolbox.data.TemporalDataset(
        np.random.default_rng(0).normal(size=(4, 7, 5)),
        obs_descriptors={"condition": ["cat", "dog", "saw", "axe"]},  # it writes ASCII only
        time_descriptors={"time": TIMES},
    )
    rdms = rsatoolbox.rdm.calc_rdm_movie(data, method="correlation", descriptor="condition")
    rdms.save(str(tmp_path / "theirs.h5"), file_type="hdf5")
    movie = load_rdm_movie(tmp_path / "theirs.h5")
    assert_array_equal(movie.pairs[0], rdms.get_vectors())
    assert_array_equal(movie.times, TIMES)
    assert movie.conditions.tolist() == list(rdms.pattern_descriptors["condition"])


def test_errors_name_the_file(pairs, tmp_path: Path) -> None:
    np.save(tmp_path / "meg.npy", pairs[:, :4, :5])
    with pytest.raises(ValueError, match=r"meg\.npy.*no number of pairs"):
        load_rdm_movie(tmp_path / "meg.npy")
    np.save(tmp_path / "meg.npy", pairs)
    with pytest.raises(ValueError, match=r"meg\.npy.*times has shape"):
        load_rdm_movie(tmp_path / "meg.npy", times=TIMES[1:])
    (tmp_path / "cut.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cut\.h5"):
        load_rdm_movie(tmp_path / "cut.h5")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"objects\.npy holds no array of numbers"):
        load_rdm_movie(tmp_path / "objects.npy")
    with pytest.raises(IsADirectoryError, match="is a folder: give a file in it"):
        load_rdm_movie(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        load_rdm_movie(tmp_path / "none.npy")
