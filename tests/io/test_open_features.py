"""Files as a script is given them: tables with or without names, layers on disk, RDMs or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdnn import load_features, save_features
from skdnn.formats import read_trials
from skdnn.io import holds_rdms, load_tables, open_features, save_rdm

NAMES = ["img2.png", "img10.png", "img1.png"]
VALUES = np.random.default_rng(0).normal(size=(3, 4)).round(3)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_text_table(tmp_path: Path, suffix: str, header: bool, named: bool) -> None:
    path = tmp_path / f"voxels{suffix}"
    frame = pd.DataFrame(VALUES, index=NAMES, columns=[f"v{k}" for k in range(4)])
    frame.to_csv(path, sep="," if suffix == ".csv" else "\t", header=header, index=named)
    names, tables = load_tables(path)
    assert names == (NAMES if named else None)
    np.testing.assert_array_equal(tables[""], VALUES)
    assert list(tables[""]) == list(frame) or not header


def test_names_that_are_numbers_where_images_have_them(tmp_path: Path) -> None:
    path = tmp_path / "voxels.csv"
    pd.DataFrame(VALUES, index=["7", "5", "6"]).to_csv(path, header=False)
    assert load_tables(path)[0] is None
    names, tables = load_tables(path, ["images/5.png", "images/6.png", "images/7.png"])
    assert names == ["7", "5", "6"]
    np.testing.assert_array_equal(tables[""], VALUES)


def test_words_are_refused_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "voxels.csv"
    path.write_text("image,a,b\nx,1,2\ny,3,low\n")
    with pytest.raises(ValueError, match=r"line 3, column 3 is 'low', which is no number"):
        load_tables(path)


def test_layers_stay_on_disk(tmp_path: Path) -> None:
    layers = {"conv": np.arange(24.0).reshape(3, 2, 4), "fc": VALUES}
    save_features(layers, tmp_path / "f.h5", labels=NAMES, targets=["a", "b", "a"])
    found = open_features(tmp_path / "f.h5")
    assert (found.names, found.n_rows, list(found.targets)) == (NAMES, 3, ["a", "b", "a"])
    np.testing.assert_array_equal(found.layers["conv"], layers["conv"].reshape(3, 8))
    assert list(open_features(tmp_path / "f.h5", ["fc"]).layers) == ["fc"]
    with pytest.raises(ValueError, match=r"fc9 not in .*f\.h5, which holds conv, fc"):
        open_features(tmp_path / "f.h5", ["fc9"])
    np.save(tmp_path / "plain.npy", VALUES)
    plain = open_features(tmp_path / "plain.npy")
    assert isinstance(plain.layers["plain"].base, np.memmap)
    pd.DataFrame(VALUES, index=NAMES).to_csv(tmp_path / "t.csv")
    assert open_features(tmp_path / "t.csv").names == NAMES


def test_rdms_are_told_from_features(tmp_path: Path) -> None:
    square = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    save_rdm(square, tmp_path / "rdm.h5")
    save_features(VALUES, tmp_path / "f.h5", provenance={"model": "x"})
    save_features(np.ones((4, 4)), tmp_path / "square.h5", provenance={"model": "x"})
    pd.DataFrame(square).to_csv(tmp_path / "rdm.csv")
    names = list("abcd")
    several = {"s1": pd.DataFrame(square, names, names), "s2": pd.DataFrame(square, names, names)}
    pd.concat(several, axis=1).to_csv(tmp_path / "several.tsv", sep="\t")
    several["s1"].set_axis(list("abcx"), axis=1).to_csv(tmp_path / "odd.csv")  # refused when read
    np.savetxt(tmp_path / "pairs.txt", np.arange(6.0))
    np.save(tmp_path / "stack.npy", np.stack([square, square]))
    np.save(tmp_path / "features.npy", VALUES)
    wide = pd.DataFrame(np.ones((6, 3)), list("abcdef"), ["v1", "v2", "v3"])
    wide.to_csv(tmp_path / "wide.csv", sep=";", decimal=",")
    wide[["v1"]].to_csv(tmp_path / "column.csv")
    answers = {
        path.name: holds_rdms(path) for path in tmp_path.glob("*.*") if path.suffix != ".json"
    }
    expected = {"rdm.h5", "rdm.csv", "stack.npy", "several.tsv", "odd.csv", "pairs.txt"}
    assert {name for name, answer in answers.items() if answer} == expected
    assert load_features(tmp_path / "square.h5").features.shape == (4, 4)


def test_trials_of_both_kinds_of_files(tmp_path: Path) -> None:
    shown = ["cat", "dog", "cat"]
    areas = {"V1": VALUES, "IT": VALUES[:, :2] + 1}
    save_features(areas, tmp_path / "S1.h5", labels=shown)
    names, found = read_trials(tmp_path / "S1.h5", ["IT", "V1"])
    assert (names, list(found)) == (shown, ["IT", "V1"])
    np.testing.assert_array_equal(found["V1"], VALUES)
    with pytest.raises(ValueError, match=r"S1\.h5 has no V9, but V1, IT"):
        read_trials(tmp_path / "S1.h5", ["V9"])
    save_features(areas, tmp_path / "bare.h5")
    with pytest.raises(ValueError, match="no names of images for its trials"):
        read_trials(tmp_path / "bare.h5", ["V1"])
