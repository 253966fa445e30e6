"""Features that THINGSvision wrote in several files: all rows with their names, or an error.

Files are called as `split_features` and `extract_features(output_dir=)` of THINGSvision call them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from skdnn.cli import main
from skdnn.formats import write_mat
from skdnn.io import load_features, load_rdm

NAMES = [f"img{n}.png" for n in range(24)]
VALUES = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Write = Callable[[Path, np.ndarray, Sequence[str]], Any]


def named(folder: Path, names: Sequence[str] = NAMES) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "file_names.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def split(folder: Path, n_parts: int, ending: str = "npy", values: np.ndarray = VALUES) -> None:
    """As `split_features` does, which makes a part less than it is asked for."""
    import torch

    write: dict[str, Write] = {
        "npy": lambda path, rows, names: np.save(path, rows),
        "txt": lambda path, rows, names: np.savetxt(path, rows),
        "pt": lambda path, rows, names: torch.save(torch.tensor(rows), path),
        "mat": lambda path, rows, names: savemat(path, dict(zip(names, rows, strict=True))),
    }
    ends = np.linspace(0, len(values), n_parts + 1, dtype=int)
    stems = [name.removesuffix(".png") for name in NAMES]
    for i in range(1, len(ends)):
        rows = slice(ends[i - 1], ends[i])
        write[ending](folder / f"features_{i:02d}.{ending}", values[rows], stems[rows])


def stepwise(folder: Path, ends: Sequence[int], suffix: str = "") -> None:
    """As `extract_features(output_dir=)` does: first row, and the one behind the last."""
    folder.mkdir(exist_ok=True, parents=True)
    for first, stop in zip([0, *ends], ends, strict=False):
        np.save(folder / f"features{suffix}_{first}-{stop}.npy", VALUES[first:stop])


def check(path: Path, **more: Any) -> None:
    loaded = load_features(path, **more)
    assert loaded.labels == NAMES
    np.testing.assert_allclose(np.reshape(loaded.features, (24, 3)), VALUES, rtol=1e-6)


@pytest.mark.parametrize("n_parts", [1, 3, 12])
@pytest.mark.parametrize("ending", ["npy", "txt", "pt", "mat"])
def test_folder_and_pattern(tmp_path: Path, ending: str, n_parts: int) -> None:
    split(named(tmp_path), n_parts, ending)
    check(tmp_path)
    check(tmp_path / f"features_*.{ending}")
    check(tmp_path / f"features_??.{ending}")
    check(tmp_path, format=ending)


def test_numbers_without_zeros_in_front(tmp_path: Path) -> None:
    split(named(tmp_path), 12)
    for path in tmp_path.glob("*.npy"):
        path.rename(tmp_path / re.sub("_0", "_", path.name))
    assert (tmp_path / "features_2.npy").exists()
    check(tmp_path)


def test_maps_of_units_keep_their_shape_and_type(tmp_path: Path) -> None:
    values = np.arange(24.0 * 8).reshape(24, 2, 2, 2).astype(np.float16)
    split(named(tmp_path), 4, values=values)
    loaded = load_features(tmp_path)
    assert loaded.features.dtype == np.float16
    np.testing.assert_array_equal(loaded.features, values)


@pytest.mark.parametrize("suffix", ["", "_train"])
def test_rows_in_the_names(tmp_path: Path, suffix: str) -> None:
    """A folder for each layer; the names of rows lie beside these, or in them."""
    stepwise(named(tmp_path) / "layer4.1", [8, 16, 24], suffix)
    check(tmp_path / "layer4.1")
    check(tmp_path / "layer4.1" / f"features{suffix}_*.npy")
    stepwise(named(tmp_path / "fc"), [10, 20, 24], suffix)
    check(tmp_path / "fc")


def test_a_pattern_chooses_among_several(tmp_path: Path) -> None:
    stepwise(named(tmp_path), [10, 24], "_train")
    stepwise(tmp_path, [12, 24], "_val")
    np.save(tmp_path / "features.npy", VALUES)
    with pytest.raises(
        ValueError, match=r"could be any of features.npy, features_train_\*.npy, features_val_\*"
    ):
        load_features(tmp_path)
    check(tmp_path / "features_val*.npy")
    check(tmp_path / "features.npy")
    for path in tmp_path.glob("features_*"):
        path.unlink()
    check(tmp_path)  # the one file in it


def test_commands_take_the_folder(tmp_path: Path) -> None:
    split(named(tmp_path / "out"), 3)
    pattern = str(tmp_path / "out" / "features_*.npy")
    assert main(["rdm", pattern, "--out", str(tmp_path / "r.csv"), "--quiet"]) == 0
    assert load_rdm(tmp_path / "r.csv").index.tolist() == NAMES


# --- refusing --------------------------------------------------------------------------------


def test_a_missing_part(tmp_path: Path) -> None:
    split(named(tmp_path), 6)
    (tmp_path / "features_03.npy").rename(tmp_path / "away.npy")
    with pytest.raises(ValueError, match=r"part 3 is missing, before features_04.npy"):
        load_features(tmp_path)
    with pytest.raises(ValueError, match=r"part 3 is missing"):
        load_features(tmp_path / "features_*.npy")
    (tmp_path / "away.npy").rename(tmp_path / "features_03.npy")
    (tmp_path / "features_06.npy").unlink()
    with pytest.raises(ValueError, match=r"shape \(20, 3\) do not have the 24 rows that file_na"):
        load_features(tmp_path)
    (tmp_path / "features_01.npy").unlink()
    with pytest.raises(ValueError, match=r"part 1 is missing, before features_02.npy"):
        load_features(tmp_path)


def test_a_missing_part_of_single_images(tmp_path: Path) -> None:
    split(named(tmp_path), 6, "mat")
    (tmp_path / "features_06.mat").unlink()
    with pytest.raises(ValueError, match=r"20 variables are not the 24 images .*'img20'"):
        load_features(tmp_path)
    savemat(tmp_path / "features_06.mat", {"img0": VALUES[0], "img23": VALUES[23]})
    with pytest.raises(ValueError, match=r"features_06.mat and a part before it .* 'img0'"):
        load_features(tmp_path)


def test_missing_rows(tmp_path: Path) -> None:
    stepwise(named(tmp_path), [8, 16, 24])
    middle = tmp_path / "features_8-16.npy"
    np.save(middle, VALUES[8:15])
    with pytest.raises(ValueError, match=r"features_8-16.npy holds 7 rows, not 8"):
        load_features(tmp_path)
    middle.unlink()
    with pytest.raises(ValueError, match=r"row 8 is missing, before features_16-24.npy"):
        load_features(tmp_path)
    np.save(tmp_path / "features_6-16.npy", VALUES[6:16])
    with pytest.raises(ValueError, match=r"row 6 is there twice, in features_6-16.npy"):
        load_features(tmp_path)


def test_what_belongs_to_other_images(tmp_path: Path) -> None:
    split(named(tmp_path, NAMES[:-1]), 6)
    with pytest.raises(ValueError, match=r"\(24, 3\) do not have the 23 rows that file_names.txt"):
        load_features(tmp_path)
    np.save(tmp_path / "features_2.npy", VALUES[:4])
    with pytest.raises(ValueError, match=r"part 2 is there twice, in features_2.npy"):
        load_features(tmp_path)


def test_parts_that_do_not_go_together(tmp_path: Path) -> None:
    split(named(tmp_path), 6)
    np.save(tmp_path / "features_04.npy", VALUES[12:16].astype(float))
    with pytest.raises(
        ValueError, match=r"features_04.npy holds float64 \(4, 3\), which does not"
    ):
        load_features(tmp_path)
    np.save(tmp_path / "features_04.npy", VALUES[12:16, :2])
    with pytest.raises(
        ValueError, match=r"features_04.npy holds float32 \(4, 2\), which does not"
    ):
        load_features(tmp_path)
    (tmp_path / "features_04.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"(?s)cannot be loaded:.*features_04.npy: it cannot be"):
        load_features(tmp_path)


def test_without_names(tmp_path: Path) -> None:
    """Who could tell whether the last part is there?"""
    split(tmp_path, 3)
    with pytest.raises(ValueError, match=r"no file_names.txt beside it or in the folder above"):
        load_features(tmp_path)


def test_one_part_alone(tmp_path: Path) -> None:
    split(named(tmp_path), 3)
    with pytest.raises(ValueError, match=r"\(8, 3\) do not have the 24 rows .* load the folder"):
        load_features(tmp_path / "features_01.npy")
    with pytest.raises(ValueError, match="not with features in parts"):
        load_features(tmp_path, mmap=True)
    with pytest.raises(ValueError, match="ends like a file of format npy, but format='txt'"):
        load_features(tmp_path, format="txt")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*features_\*.npy"):
        load_features(tmp_path / "features_*.npy")
    with pytest.raises(ValueError, match="is a folder: give a file in it"):
        load_features(named(tmp_path))
    np.save(tmp_path / "a[1].npy", VALUES)  # no pattern, but a name
    check(tmp_path / "a[1].npy")


def test_parts_of_other_formats(tmp_path: Path) -> None:
    named(tmp_path)
    for n, rows in enumerate(np.split(VALUES, 4), start=1):
        with h5py.File(tmp_path / f"features_{n}.h5", "w") as file:
            file["features"] = rows
        np.savez(tmp_path / f"features_{n}.npz", rows)
        stems = [name.removesuffix(".png") for name in NAMES[6 * n - 6 : 6 * n]]
        write_mat(tmp_path / f"features_{n}.mat", dict(zip(stems, rows, strict=True)))
    for ending in ("h5", "npz", "mat"):
        check(tmp_path / f"features_*.{ending}")
    np.savez(tmp_path / "features_2.npz", VALUES[6:12], VALUES)
    with pytest.raises(ValueError, match=r"features_2.npz does not hold one array with rows"):
        load_features(tmp_path / "features_*.npz")
    split(tmp_path, 4)
    np.save(tmp_path / "features_02.npy", np.float32(1))
    with pytest.raises(ValueError, match=r"features_02.npy does not hold one array with rows"):
        load_features(tmp_path / "features_*.npy")


def test_splits_in_one_file_go_together(tmp_path: Path) -> None:
    path = named(tmp_path) / "features.hdf5"
    with h5py.File(path, "w") as file:
        for n in range(12):
            file[f"features_{n + 1}"] = VALUES[2 * n : 2 * n + 2]
    check(path)
    with h5py.File(path, "r+") as file:
        del file["features_3"]
        file["features_3"] = VALUES[4:6, :2]
    with pytest.raises(ValueError, match=r"features_3 holds float32 \(2, 2\)"):
        load_features(path)
