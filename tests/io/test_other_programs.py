"""Files that other programs wrote: read right with their names, or refused by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix
from scipy.spatial.distance import squareform

from skdnn.cli import main
from skdnn.formats import read_mat
from skdnn.io import load_features, load_rdm

ROWS = ["img3", "img1", "img2", "img10", "img5"]
VALUES = np.arange(15.0).reshape(5, 3)
NAMES = ["cat", "ant", "dog", "bee"]
SQUARE = squareform([0.1, 0.2, 0.3, 0.4, 0.5, 0.7])


def array_of(path: Path, **more: Any) -> np.ndarray:
    features = load_features(path, **more).features
    (array,) = features.values() if isinstance(features, dict) else (features,)
    return array


def check(path: Path, labels: list[Any] | None = ROWS, values: np.ndarray = VALUES) -> None:
    """The one array in a file, and the names of its rows."""
    loaded = load_features(path)
    assert loaded.labels == labels
    np.testing.assert_array_equal(array_of(path), values)


def same_rdm(found: pd.DataFrame, names: list[Any] | None = NAMES) -> None:
    assert (None if isinstance(found.index, pd.RangeIndex) else list(found.index)) == names
    np.testing.assert_allclose(found, SQUARE)


# --- Octave's HDF5 ---------------------------------------------------------------------------


def octave(group: h5py.Group, name: str, value: Any) -> h5py.Group:
    """As ``save -hdf5`` of Octave 7.3 lays it out."""
    item = group.create_group(name)
    item.attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)

    def put(kind: str, data: Any = None, **more: Any) -> Any:
        item["type"] = np.bytes_(kind)
        if data is None:
            return item.create_group("value")
        return item.create_dataset("value", data=data, **more)

    if isinstance(value, str):
        put("sq_string", np.frombuffer(value.encode(), np.int8)[:, None])
    elif isinstance(value, list):
        inner = put("cell")
        inner["dims"] = np.array([1, len(value)])
        for number, one in enumerate(value):
            octave(inner, f"_{number}", one)
    elif isinstance(value, dict):
        arrays = all(isinstance(one, list) for one in value.values())
        inner = put("struct" if arrays else "scalar struct")
        for key, one in value.items():
            octave(inner, key, one)
    elif isinstance(value, range):
        kind = np.dtype([("base", "f8"), ("limit", "f8"), ("increment", "f8")])
        data = np.array((value.start, value.stop - 1, value.step), kind)
        put("double_range", data).attrs["OCTAVE_RANGE_NELEM"] = np.int64(len(value))
    elif isinstance(value, csc_matrix):
        inner = put("sparse matrix")
        parts = {"cidx": value.indptr, "ridx": value.indices, "data": value.data}
        for key, part in parts.items():
            inner[key] = part[:, None]
        inner["nr"], inner["nc"], inner["nz"] = *value.shape, value.nnz
    elif not value.size:
        item.attrs["OCTAVE_EMPTY_MATRIX"] = np.uint8(1)
        put("matrix", np.array(value.shape))
    elif value.dtype.kind == "c":
        kind = np.dtype([("real", "f8"), ("imag", "f8")])
        pairs = np.empty(value.T.shape, kind)
        pairs["real"], pairs["imag"] = value.T.real, value.T.imag
        put("complex matrix", pairs)
    else:
        kinds = {"b": "bool matrix", "f": "matrix", "i": f"{value.dtype} matrix"}
        data = value.T.astype(np.uint8) if value.dtype == bool else value.T
        put(kinds[value.dtype.kind], data)
    return item


def octave_file(path: Path, **variables: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in variables.items():
            octave(file, name, value)
    return path


def test_octave_turns_axes_round(tmp_path: Path) -> None:
    deep = np.arange(30.0).reshape(5, 3, 2)
    check(octave_file(tmp_path / "a.h5", deep=deep, labels=ROWS), values=deep)
    check(octave_file(tmp_path / "b.hdf5", features=VALUES), None)
    check(octave_file(tmp_path / "c.mat", features=VALUES, labels=ROWS))
    many = [f"i{n}" for n in range(12)]  # _10 stands behind _9, not behind _1
    loaded = load_features(octave_file(tmp_path / "d.h5", x=np.ones((12, 2)), names=many))
    assert loaded.labels == many


def test_octave_values_of_every_kind(tmp_path: Path) -> None:
    path = octave_file(
        tmp_path / "a.h5",
        flags=np.array([[True, False, True]]),
        whole=np.array([[1, -2]], np.int8),
        counted=range(2, 11, 4),
        sparse=csc_matrix(SQUARE),
        empty=np.empty((0, 3)),
        text="Käse",
        struct={"name": "hIT", "inner": {"x": VALUES}},
        structs={"name": ["a", "b"], "x": [VALUES, VALUES[:2]]},
        cell=[VALUES, "two", ["three"]],
    )
    expected: dict[str, Any] = {
        "flags": np.array([[True, False, True]]),
        "whole": np.array([[1, -2]], np.int8),
        "counted": np.array([[2.0, 6, 10]]),
        "sparse": SQUARE,
        "empty": np.empty((0, 3)),
    }
    for name, value in expected.items():
        found = read_mat(path, name)
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)
    assert read_mat(path, "text") == "Käse"
    struct = read_mat(path, "struct")
    assert struct["name"] == "hIT"
    np.testing.assert_array_equal(struct["inner"]["x"], VALUES)
    structs = read_mat(path, "structs")
    assert [one["name"] for one in structs] == ["a", "b"]
    np.testing.assert_array_equal(structs[1]["x"], VALUES[:2])
    assert read_mat(path, "cell")[1:] == ["two", ["three"]]


def test_octave_complex_is_refused(tmp_path: Path) -> None:
    path = octave_file(tmp_path / "a.h5", z=VALUES + 1j, x=VALUES)
    with pytest.raises(ValueError, match=r"a.h5: 'z': it holds complex numbers"):
        load_features(path)
    np.testing.assert_array_equal(array_of(path, layers=["x"]), VALUES)


def test_octaves_own_format_is_refused_by_name(tmp_path: Path) -> None:
    for start in (b"# Created by Octave 7.3.0\n# name: x\n", b"Octave-1-L\0", b"\x1f\x8b\x08"):
        (tmp_path / "a.mat").write_bytes(start + b"1 2 3\n" * 50)
        with pytest.raises(ValueError, match=r"Octave's own format, or packed: save it .* -v7"):
            load_features(tmp_path / "a.mat")


# --- MATLAB ----------------------------------------------------------------------------------


def matlab(group: h5py.Group, name: str, value: Any, *, field: bool = False) -> Any:
    """As MATLAB's version 7.3 lays it out: references for cells and fields of many structs."""
    if isinstance(value, dict):
        item = group.create_group(name)
        item.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, one in value.items():
            matlab(item, key, one, field=isinstance(one, tuple))
        return item
    if isinstance(value, list | tuple):
        refs = group.file.require_group("#refs#")
        made = [matlab(refs, f"r{len(refs)}_{n}", one).ref for n, one in enumerate(value)]
        data = np.array([made], dtype=h5py.ref_dtype)
        item = group.create_dataset(name, data=data, dtype=h5py.ref_dtype)
        if not field:
            item.attrs["MATLAB_class"] = np.bytes_("cell")
        return item
    if isinstance(value, csc_matrix):
        item = group.create_group(name)
        item["data"], item["ir"], item["jc"] = value.data, value.indices, value.indptr
        item.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        item.attrs["MATLAB_class"] = np.bytes_("logical" if value.dtype == bool else "double")
        return item
    text = isinstance(value, str)
    array = np.frombuffer(value.encode("utf-16-le"), np.uint16)[None] if text else value
    data = array.T.astype(np.uint8) if array.dtype == bool else array.T
    if not array.size:
        data = np.array(array.shape if array.ndim > 1 else (0, 0), np.uint64)
    item = group.create_dataset(name, data=data)
    kinds = {"float64": "double", "float32": "single", "bool": "logical"}
    kind = "char" if text else kinds.get(array.dtype.name, array.dtype.name)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    if not array.size:
        item.attrs["MATLAB_empty"] = np.uint8(1)
    return item


def mat_file(path: Path, version: str, **variables: Any) -> Path:
    """Version 5 by scipy, or 7.3."""
    if version == "7.3":
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, value in variables.items():
                matlab(file, name, value)
        return path

    def plain(value: Any) -> Any:
        if isinstance(value, dict) and any(isinstance(one, tuple) for one in value.values()):
            kinds = [(key, object) for key in value]
            rows = list(zip(*value.values(), strict=True))
            made = np.empty((1, len(rows)), kinds)
            for number, row in enumerate(rows):
                made[0, number] = tuple(plain(one) for one in row)
            return made
        if isinstance(value, list):
            made = np.empty((len(value), 1), object)
            made[:, 0] = [plain(one) for one in value]
            return made
        return value

    savemat(path, {name: plain(value) for name, value in variables.items()})
    return path


both = pytest.mark.parametrize("version", ["5", "7.3"])


@both
@pytest.mark.parametrize("shape", ["cell", "char"])
def test_names_beside_the_numbers(tmp_path: Path, version: str, shape: str) -> None:
    names: Any = ROWS if shape == "cell" else np.array([list(f"{row:5}") for row in ROWS])
    if shape == "char" and version == "7.3":
        codes = np.array([[ord(letter) for letter in row] for row in names], np.uint16)
        path = mat_file(tmp_path / "a.mat", version, features=VALUES)
        with h5py.File(path, "r+") as file:
            file["labels"] = codes.T
            file["labels"].attrs["MATLAB_class"] = np.bytes_("char")
    else:
        given = np.array(ROWS) if shape == "char" else names
        path = mat_file(tmp_path / "a.mat", version, features=VALUES, labels=given)
    check(path)


@both
def test_which_text_names_rows(tmp_path: Path, version: str) -> None:
    path = mat_file(
        tmp_path / "a.mat",
        version,
        note="five",
        channels=["x", "y", "z"],
        category=["a", "a", "b", "b", "b"],
        image_files=ROWS,
        features=VALUES,
        count=np.array([[5.0]]),
    )
    loaded = load_features(path)
    assert list(loaded.features) == ["features"]
    assert loaded.labels == ROWS
    assert loaded.feature_names == ["x", "y", "z"]
    assert loaded.to_frame("features").loc["img10", "y"] == 10


@both
def test_names_that_fit_nothing_are_told(tmp_path: Path, version: str) -> None:
    path = mat_file(tmp_path / "a.mat", version, features=VALUES, labels=ROWS[:4])
    with pytest.warns(UserWarning, match=r"a.mat: 'labels' holds 4 names, which fit the rows"):
        assert load_features(path).labels is None


@both
def test_arrays_of_other_rows_are_not_mixed(tmp_path: Path, version: str) -> None:
    path = mat_file(tmp_path / "a.mat", version, x=VALUES, y=VALUES[:3], labels=ROWS)
    with pytest.raises(ValueError, match=r"rows of 'x' and of 'y' are not the same: .*layers="):
        load_features(path)
    assert load_features(path, layers=["x"]).labels == ROWS
    assert load_features(path, layers=["y"]).features["y"].shape == (3, 3)


@both
def test_a_cell_of_rows_is_one_array(tmp_path: Path, version: str) -> None:
    rows = [row[None] for row in VALUES]
    check(mat_file(tmp_path / "a.mat", version, features=rows, names=ROWS))


@both
def test_folder_listing_names_rows(tmp_path: Path, version: str) -> None:
    """What MATLAB's dir() gives, saved beside the features."""
    files = {"name": tuple(ROWS), "bytes": tuple(np.array([[n]]) for n in range(5))}
    check(mat_file(tmp_path / "a.mat", version, features=VALUES, files=files))


@both
def test_rdms_of_matlabs_toolbox(tmp_path: Path, version: str) -> None:
    colors = tuple(np.eye(3)[[k]] for k in range(3))
    squares = tuple(SQUARE * k for k in (1, 2, 3))
    structs = {"RDM": squares, "name": ("V1", "hIT", "V4"), "color": colors}
    path = mat_file(tmp_path / "a.mat", version, RDMs=structs, conditions=NAMES)
    found = load_rdm(path)
    assert list(found.columns.get_level_values(0).unique()) == ["V1", "hIT", "V4"]
    same_rdm(found["V4"] / 3)
    assert found.equals(load_rdm(path, key="RDMs.RDM"))
    assert found.equals(load_rdm(path, key="RDMs"))
    for key in ("RDMs(2)", "RDMs(2).RDM", "hIT", "RDMs{2}"):
        same_rdm(load_rdm(path, key=key) / 2)
    with pytest.raises(ValueError, match=r"no key='V2', but 'RDMs\(1\).RDM', .*'hIT'"):
        load_rdm(path, key="V2")
    single = {"RDM": squareform(SQUARE)[None], "name": "hIT", "color": colors[0]}
    path = mat_file(tmp_path / "b.mat", version, RDMs=single)
    for key in (None, "RDMs", "RDMs(1)", "RDMs.RDM", "hIT"):
        same_rdm(load_rdm(path, key=key), None)


@both
def test_cell_of_rdms(tmp_path: Path, version: str) -> None:
    path = mat_file(tmp_path / "a.mat", version, all=[SQUARE, 2 * SQUARE], names=NAMES)
    same_rdm(load_rdm(path, key="all{2}") / 2)
    same_rdm(load_rdm(path)["all(1)"])


@both
def test_meadows(tmp_path: Path, version: str) -> None:
    pairs = squareform(SQUARE)[None]
    path = mat_file(tmp_path / "a.mat", version, rdmutv=pairs, stimuli=NAMES)
    same_rdm(load_rdm(path))
    order = [2, 0, 3, 1]  # a participant can have the stimuli in an order of its own
    other = squareform(SQUARE[np.ix_(order, order)])[None]
    path = mat_file(
        tmp_path / "b.mat",
        version,
        rdmutv_ann=pairs,
        stimuli_ann=NAMES,
        rdmutv_bob=2 * other,
        stimuli_bob=[NAMES[n] for n in order],
    )
    found = load_rdm(path)
    same_rdm(found["ann"])
    same_rdm(found["bob"] / 2)
    assert list(load_rdm(path, key="rdmutv_bob").index) == [NAMES[n] for n in order]


@both
def test_values_of_every_kind(tmp_path: Path, version: str) -> None:
    flags = np.array([[True, False, True]])
    path = mat_file(
        tmp_path / "a.mat",
        version,
        flags=flags,
        sparse=csc_matrix(SQUARE),
        empty=np.empty((0, 3)),
        text="Käse",
        nothing="",
        struct={"a": VALUES, "b": "text", "c": ["x", VALUES]},
    )
    assert read_mat(path, "flags").dtype == bool
    np.testing.assert_array_equal(read_mat(path, "sparse"), SQUARE)
    assert read_mat(path, "empty").shape == (0, 3)
    assert read_mat(path, "text") == "Käse"
    assert read_mat(path, "nothing") == ""
    struct = read_mat(path, "struct")
    assert struct["b"] == "text"
    assert struct["c"][0] == "x"
    np.testing.assert_array_equal(struct["a"], VALUES)
    loaded = load_features(path, layers=["struct.a", "flags"]).features
    np.testing.assert_array_equal(loaded["struct.a"], VALUES)  # text beside hides nothing
    assert loaded["flags"].dtype == bool


@both
def test_cells_of_text_and_numbers(tmp_path: Path, version: str) -> None:
    """They name no rows, whatever stands first."""
    odd = ["a", VALUES, "b", "c", "d"]
    path = mat_file(tmp_path / "a.mat", version, features=VALUES, names=odd, labels=ROWS)
    loaded = load_features(path)
    assert loaded.labels == ROWS
    np.testing.assert_array_equal(loaded.features["features"], VALUES)
    np.testing.assert_array_equal(loaded.features["names(2)"], VALUES)


def test_whole_numbers_that_matlab_holds_as_double(tmp_path: Path) -> None:
    """Version 5 packs doubles into fewer bytes; one complex variable changes nothing in that."""
    for more in ({}, {"z": np.array([[1 + 2j]])}):
        savemat(tmp_path / "a.mat", {"x": np.array([[1, 2]], np.uint8), "f": [[True]], **more})
        content = bytearray((tmp_path / "a.mat").read_bytes())
        content[content.index(b"\x09\x00\x00\x00", 140)] = 6  # its class: double
        (tmp_path / "a.mat").write_bytes(content)
        assert read_mat(tmp_path / "a.mat", "x").dtype == np.float64
        assert read_mat(tmp_path / "a.mat", "f").dtype == bool
    with pytest.raises(ValueError, match="complex"):
        read_mat(tmp_path / "a.mat", "z")
    with pytest.raises(ValueError, match=r"a.mat: 'z': it holds complex numbers"):
        load_features(tmp_path / "a.mat")


def test_version_4(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"x": VALUES, "labels": np.array(ROWS)}, format="4")
    check(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"m": csc_matrix(SQUARE)}, format="4")
    same_rdm(load_rdm(tmp_path / "b.mat"), None)
    savemat(tmp_path / "c.mat", {"z": np.array([[1 + 2j]])}, format="4")
    with pytest.raises(ValueError, match="'z' is no array of numbers or text, but complex128"):
        read_mat(tmp_path / "c.mat", "z")
    content = (tmp_path / "a.mat").read_bytes()
    for length in (10, 30, len(content) - 1):
        (tmp_path / "a.mat").write_bytes(content[:length])
        with pytest.raises(
            ValueError, match=r"a.mat: it (cannot be read|is no .mat file|is unreadable at)"
        ):
            load_features(tmp_path / "a.mat")


def test_matlabs_strings_are_no_names_that_could_be_dropped(tmp_path: Path) -> None:
    path = mat_file(tmp_path / "a.mat", "7.3", features=VALUES)
    with h5py.File(path, "r+") as file:
        for name in ("note", "labels"):
            file[name] = np.zeros((1, 6), np.uint32)
            file[name].attrs["MATLAB_class"] = np.bytes_("string")
    with pytest.raises(ValueError, match=r"'labels' is a string array, .*save cellstr\(labels\)"):
        load_features(path)
    with h5py.File(path, "r+") as file:
        del file["labels"]
    with pytest.warns(UserWarning, match=r"'note' is a string array, .* left aside"):
        loaded = load_features(path)
    assert loaded.labels is None
    np.testing.assert_array_equal(loaded.features["features"], VALUES)


# --- THINGSvision ----------------------------------------------------------------------------


def things_folder(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "file_names.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


FILES = ["img2.png", "img10.png", "cat.jpg", "ant.JPEG", "b/dog.png"]


@pytest.mark.parametrize("ending", ["npy", "hdf5", "txt", "pt", "mat"])
def test_file_names_beside(tmp_path: Path, ending: str) -> None:
    import torch

    path = things_folder(tmp_path, FILES) / f"features.{ending}"
    writers = {
        "npy": lambda: np.save(path, VALUES),
        "txt": lambda: np.savetxt(path, VALUES),
        "pt": lambda: torch.save(torch.tensor(VALUES), path),
        "mat": lambda: savemat(path, {"features": VALUES}),
    }
    if ending == "hdf5":
        with h5py.File(path, "w") as file:
            file["features"] = VALUES
    else:
        writers[ending]()
    check(path, FILES)
    things_folder(tmp_path, FILES[:4])
    with pytest.raises(ValueError, match=rf"features.{ending}: .* not have the 4 rows"):
        load_features(path)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4), (3, 3), (1, 4)])
def test_a_variable_per_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(5.0 * np.prod(shape)).reshape(5, *shape)
    path = things_folder(tmp_path, FILES) / "features.mat"
    stems = [name.removesuffix(".png").removesuffix(".jpg") for name in FILES]  # not .JPEG
    savemat(path, {stem: values[n] for n, stem in reversed(list(enumerate(stems)))})
    loaded = load_features(path)
    assert loaded.labels == FILES
    np.testing.assert_array_equal(loaded.features.reshape(5, -1), values.reshape(5, -1))
    assert main(["rdm", str(path), "--out", str(tmp_path / "r.csv"), "--quiet"]) == 0
    assert load_rdm(tmp_path / "r.csv").index.tolist() == FILES


def test_images_that_got_lost_on_the_way(tmp_path: Path) -> None:
    """Two names become one variable, or none at all."""
    path = things_folder(tmp_path, ["cat.png", "cat.jpg", "dog.png"]) / "features.mat"
    savemat(path, {"cat": VALUES[0], "dog": VALUES[1]})
    with pytest.raises(ValueError, match=r"2 variables are not the 3 images of file_names.txt"):
        load_features(path)
    things_folder(tmp_path, ["cat.png", "dog.png", "_1.png"])
    with pytest.raises(ValueError, match=r"not the 3 images .*'_1'"):
        load_features(path)
    things_folder(tmp_path, ["cat.png", "dog.png"])
    savemat(path, {"cat": VALUES[0], "dog": VALUES})
    with pytest.raises(ValueError, match="or differ in shape"):
        load_features(path)


def test_splits_of_one_file(tmp_path: Path) -> None:
    path = things_folder(tmp_path, FILES) / "features.hdf5"
    with h5py.File(path, "w") as file:
        file["features_01"], file["features_02"] = VALUES[:2], VALUES[2:]
    check(path, FILES)


def test_other_files_in_such_a_folder(tmp_path: Path) -> None:
    things_folder(tmp_path, NAMES)
    np.save(tmp_path / "other.npy", VALUES)
    check(tmp_path / "other.npy", None)
    np.save(tmp_path / "rdm.npy", SQUARE)
    same_rdm(load_rdm(tmp_path / "rdm.npy"))
    np.save(tmp_path / "pairs.npy", squareform(SQUARE))
    same_rdm(load_rdm(tmp_path / "pairs.npy"))


# --- rsatoolbox ------------------------------------------------------------------------------


def toolbox_file(path: Path, pairs: Any, **more: Any) -> Path:
    rdm = pytest.importorskip("rsatoolbox.rdm")
    rdm.RDMs(np.atleast_2d(pairs), **more).save(str(path), "hdf5")
    return path


@pytest.mark.parametrize("names", [NAMES, [7, 3, 5, 1]], ids=["text", "integers"])
@pytest.mark.parametrize("descriptor", ["conds", "stim", "x"])
def test_rdms_of_rsatoolbox(tmp_path: Path, names: list[Any], descriptor: str) -> None:
    patterns = {descriptor: names, "category": ["a", "a", "b", "b"]}
    path = toolbox_file(tmp_path / "a.h5", squareform(SQUARE), pattern_descriptors=patterns)
    same_rdm(load_rdm(path), names)
    assert load_features(path).labels == names


def test_several_rdms_of_rsatoolbox(tmp_path: Path) -> None:
    pairs = np.stack([squareform(SQUARE) * k for k in (1, 2, 3)])
    subjects = {"subject": ["s1", "s2", "s3"], "session": [1, 1, 2]}
    more = {"pattern_descriptors": {"conds": NAMES}, "rdm_descriptors": subjects}
    found = load_rdm(toolbox_file(tmp_path / "a.h5", pairs, **more))
    assert found.columns.names == ["session", "subject", "condition"]
    same_rdm(found[2]["s3"] / 3)
    same_rdm(load_rdm(tmp_path / "a.h5", key="1/s2") / 2)
    counted = load_rdm(toolbox_file(tmp_path / "b.h5", pairs))
    same_rdm(counted[2] / 3, None)


@pytest.mark.parametrize("n_rdms", [1, 3])
def test_three_conditions(tmp_path: Path, n_rdms: int) -> None:
    """Of three RDMs, the stack of pairs is as square as an RDM."""
    pairs = np.arange(1.0, 3 * n_rdms + 1).reshape(n_rdms, 3)
    found = load_rdm(toolbox_file(tmp_path / "a.h5", pairs))
    squares = [squareform(row) for row in pairs]
    np.testing.assert_array_equal(found, np.hstack(squares))


def test_chosen_conditions_keep_their_index(tmp_path: Path) -> None:
    rdm = pytest.importorskip("rsatoolbox.rdm")
    whole = rdm.RDMs(squareform(SQUARE)[None])
    whole.subset_pattern("index", [0, 2, 3]).save(str(tmp_path / "a.h5"), "hdf5")
    assert load_rdm(tmp_path / "a.h5").index.tolist() == [0, 2, 3]
    classes = {"category": ["a", "a", "b", "b"]}
    whole = rdm.RDMs(squareform(SQUARE)[None], pattern_descriptors=classes)
    whole.subset_pattern("index", [0, 2, 3]).save(str(tmp_path / "b.h5"), "hdf5")
    assert load_rdm(tmp_path / "b.h5").index.tolist() == [0, 2, 3]


def test_data_of_rsatoolbox(tmp_path: Path) -> None:
    data = pytest.importorskip("rsatoolbox.data")
    about = {"obs_descriptors": {"stim": ROWS, "run": [1, 1, 2, 2, 2]}}
    columns = {"channel_descriptors": {"voxel": ["u", "v", "w"]}}
    data.Dataset(VALUES, **about, **columns).save(str(tmp_path / "a.h5"), "hdf5")
    check(tmp_path / "a.h5")
    assert load_features(tmp_path / "a.h5").feature_names == ["u", "v", "w"]


# --- pandas ----------------------------------------------------------------------------------

FRAME = pd.DataFrame(VALUES, ROWS, ["u", "v", "w"])


@pytest.mark.parametrize("kind", ["fixed", "table"])
def test_tables_of_pandas(tmp_path: Path, kind: Any) -> None:
    pytest.importorskip("tables")
    FRAME.to_hdf(tmp_path / "a.h5", key="study/features", format=kind)
    check(tmp_path / "a.h5")
    loaded = load_features(tmp_path / "a.h5")
    pd.testing.assert_frame_equal(loaded.to_frame(), FRAME, check_names=False)
    FRAME.reset_index(drop=True).to_hdf(tmp_path / "b.h5", key="x", format=kind)
    check(tmp_path / "b.h5", None)
    levels = FRAME.set_axis(pd.MultiIndex.from_product([["cat"], ROWS], names=["c", "image"]))
    levels.to_hdf(tmp_path / "c.h5", key="x", format=kind)
    check(tmp_path / "c.h5", [f"cat/{row}" for row in ROWS])
    square = pd.DataFrame(SQUARE, NAMES, NAMES)
    square[["dog", "cat", "bee", "ant"]].to_hdf(tmp_path / "d.h5", key="rdm", format=kind)
    same_rdm(load_rdm(tmp_path / "d.h5"))


def test_several_tables_of_pandas(tmp_path: Path) -> None:
    pytest.importorskip("tables")
    FRAME.to_hdf(tmp_path / "a.h5", key="conv1")
    (FRAME * 2).to_hdf(tmp_path / "a.h5", key="fc")
    loaded = load_features(tmp_path / "a.h5")
    assert list(loaded.features) == ["conv1", "fc"]
    assert loaded.labels == ROWS
    np.testing.assert_array_equal(array_of(tmp_path / "a.h5", layers=["fc"]), VALUES * 2)
    FRAME.iloc[::-1].to_hdf(tmp_path / "a.h5", key="other")
    with pytest.raises(ValueError, match="its tables have different rows"):
        load_features(tmp_path / "a.h5")
    assert load_features(tmp_path / "a.h5", layers=["other"]).labels == ROWS[::-1]


def test_rdms_of_subjects_in_a_table_of_pandas(tmp_path: Path) -> None:
    pytest.importorskip("tables")
    table = pd.DataFrame(SQUARE, NAMES, NAMES)
    both_ = pd.concat({"s1": table, "s2": 2 * table}, axis=1, names=["subject", "condition"])
    both_.to_hdf(tmp_path / "a.h5", key="it")
    found = load_rdm(tmp_path / "a.h5")
    assert found.columns.names == ["subject", "condition"]
    same_rdm(found["s2"] / 2)


def test_pickles_in_a_table_are_not_opened(tmp_path: Path) -> None:
    """PyTables unpickles attributes, and would run what is in them."""
    pytest.importorskip("tables")
    FRAME.to_hdf(tmp_path / "a.h5", key="x")
    target = tmp_path / "ran"
    code = f"cposix\nsystem\n(S'touch {target}'\ntR.".encode()
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["x"].attrs["encoding"] = np.bytes_(code)
    with pytest.raises(ValueError, match=r"a.h5: '/x' holds Python objects \(posix.system\)"):
        load_features(tmp_path / "a.h5")
    FRAME.to_hdf(tmp_path / "b.h5", key="x")
    for kind in (b"object", "object"):
        with h5py.File(tmp_path / "b.h5", "r+") as file:
            del file["x/axis1"]
            rows = file["x"].create_dataset("axis1", (1,), h5py.vlen_dtype(np.uint8))
            rows[0] = np.frombuffer(code, np.uint8)
            rows.attrs["CLASS"], rows.attrs["PSEUDOATOM"] = np.bytes_("VLARRAY"), kind
        with pytest.raises(ValueError, match=r"b.h5: '/x/axis1' holds Python objects"):
            load_features(tmp_path / "b.h5")
    assert not target.exists()


def test_parquet_of_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "a.parquet")
    check(tmp_path / "a.parquet")
    named = FRAME.rename_axis("image").reset_index().assign(category="x")
    named.to_parquet(tmp_path / "b.parquet", index=False)
    check(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("package", "message"),
    [("tables", "tables of pandas"), ("xarray", "is netCDF, which needs xarray and h5netcdf")],
)
def test_what_cannot_be_read_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, message: str
) -> None:
    pytest.importorskip(package)
    path = tmp_path / "a.h5"
    if package == "tables":
        FRAME.to_hdf(path, key="features")
    else:
        assembly().to_netcdf(path, engine="h5netcdf")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"a.h5: it .*{message}"):
        load_features(path)


# --- netCDF ----------------------------------------------------------------------------------


def assembly(dims: tuple[str, ...] = ("presentation", "neuroid"), **more: Any) -> Any:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    coords = {
        "stimulus_id": ("presentation", ROWS),
        "object_name": ("presentation", ["a", "a", "b", "b", "b"]),
        "neuroid_id": ("neuroid", ["n1", "n2", "n3"]),
        **more,
    }
    values = VALUES if dims[0] == "presentation" else VALUES.T
    values = values[:, :, None] if len(dims) == 3 else values
    return xarray.DataArray(values, coords, dims, name="activations")


@pytest.mark.parametrize("ending", ["nc", "h5"])
@pytest.mark.parametrize(
    "dims", [("presentation", "neuroid"), ("neuroid", "presentation"), ("neuroid",) * 2]
)
def test_assemblies(tmp_path: Path, dims: tuple[str, ...], ending: str) -> None:
    wide = dims == ("neuroid", "neuroid")  # with time, as brain data have it
    dims = ("neuroid", "presentation", "time_bin") if wide else dims
    path = tmp_path / f"a.{ending}"
    assembly(dims).to_netcdf(path, engine="h5netcdf")
    check(path, values=VALUES[:, :, None] if wide else VALUES)
    assert load_features(path).feature_names == ["n1", "n2", "n3"]


def test_layers_of_an_assembly(tmp_path: Path) -> None:
    layers = ("neuroid", ["fc", "conv", "fc"])
    assembly(layer=layers).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    loaded = load_features(tmp_path / "a.nc")
    assert loaded.labels == ROWS
    assert list(loaded.features) == ["fc", "conv"]
    np.testing.assert_array_equal(loaded.features["fc"], VALUES[:, [0, 2]])
    assert array_of(tmp_path / "a.nc", layers=["conv"]).shape == (5, 1)


def test_assemblies_that_take_numbers_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    assembly(("presentation", "neuroid")).to_netcdf(path, engine="h5netcdf")
    with h5py.File(path, "r+") as file:
        del file["activations"]
        file["activations"] = h5py.ExternalLink("other.nc", "activations")
    with pytest.raises(ValueError, match=r"takes 'activations' from another file, 'other.nc'"):
        load_features(path)


def test_classic_netcdf(tmp_path: Path) -> None:
    assembly().to_netcdf(tmp_path / "a.nc", engine="scipy", format="NETCDF3_CLASSIC")
    check(tmp_path / "a.nc")


# --- names beside numbers in the rest --------------------------------------------------------


def test_names_in_npz_hdf5_and_torch(tmp_path: Path) -> None:
    import torch

    np.savez(tmp_path / "a.npz", features=VALUES, names=np.array(ROWS))
    np.savez(tmp_path / "b.npz", features=VALUES, names=np.array(ROWS, dtype="S"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["features"], file["stimuli"] = VALUES, ROWS
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["run/features"] = VALUES
        file["run/names"] = np.array(ROWS, dtype="S")[:, None]
    torch.save({"features": torch.tensor(VALUES), "files": ROWS}, tmp_path / "e.pt")
    for path in sorted(tmp_path.iterdir()):
        check(path)
    np.savez(tmp_path / "r.npz", rdm=SQUARE, conditions=np.array(NAMES))
    same_rdm(load_rdm(tmp_path / "r.npz"))


def test_matlabs_version_73_under_another_ending(tmp_path: Path) -> None:
    check(mat_file(tmp_path / "a.h5", "7.3", features=VALUES, labels=ROWS))


# --- what lies in other files ----------------------------------------------------------------


def elsewhere(tmp_path: Path, how: str, ending: str) -> Path:
    other, raw = tmp_path / "other.h5", tmp_path / "raw.bin"
    with h5py.File(other, "w") as file:
        file["x"] = VALUES.T if ending == "mat" else VALUES
    raw.write_bytes((VALUES.T if ending == "mat" else VALUES).tobytes())
    shape = (3, 5) if ending == "mat" else (5, 3)
    path = tmp_path / f"a.{ending}"
    with h5py.File(path, "w") as file:
        if how == "link":
            file["x"] = h5py.ExternalLink("other.h5", "x")
        elif how == "group":
            file.create_group("deep/er")["x"] = h5py.ExternalLink("other.h5", "x")
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, "f8")
            layout[:] = h5py.VirtualSource("other.h5", "x", shape)
            file.create_virtual_dataset("x", layout)
        else:
            file.create_dataset("x", shape, "f8", external=[(str(raw), 0, VALUES.nbytes)])
    return path


@pytest.mark.parametrize("ending", ["h5", "mat"])
@pytest.mark.parametrize("how", ["link", "group", "virtual", "storage"])
def test_other_files_are_opened_only_if_allowed(tmp_path: Path, how: str, ending: str) -> None:
    path = elsewhere(tmp_path, how, ending)
    what = rf"a.{ending}' takes '(x|deep/er/x)' from another file, .*(other.h5|raw.bin)'.*external"
    with pytest.raises(ValueError, match=what):
        load_features(path)
    with pytest.raises(ValueError, match=what):
        load_rdm(path)
    np.testing.assert_array_equal(array_of(path, external=True), VALUES)
    if ending == "h5":
        for external in (False, True):
            with pytest.raises(ValueError, match=r"another file|in pieces"):
                load_features(path, mmap=True, external=external)
    elif how != "group":
        with pytest.raises(ValueError, match=what):
            read_mat(path, "x")
        np.testing.assert_array_equal(read_mat(path, "x", external=True), VALUES)


def test_a_group_that_holds_itself(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/x"] = VALUES
        file["g/again"] = file["g"]
        file["g/soft"] = h5py.SoftLink("/g")
        file["lost"] = h5py.SoftLink("/nowhere")
    check(tmp_path / "a.h5", None)


# --- more declared than there is -------------------------------------------------------------


def test_declared_shapes_beyond_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**9, 10**6), "f4", chunks=(1, 1000))
    savemat(tmp_path / "b.mat", {"x": csc_matrix((10**6, 10**6))})
    savemat(tmp_path / "c.mat", {"x": np.array([["a"], ["b"]], object)})
    for name, old in (("c.mat", (2).to_bytes(4, "little") + (1).to_bytes(4, "little")),):
        content = (tmp_path / name).read_bytes()
        assert old in content
        (tmp_path / name).write_bytes(content.replace(old, b"\xff\xff\xff\x7f\x01\0\0\0", 1))
    np.savez(tmp_path / "d.npz", x=VALUES)
    content = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(content.replace(b"(5, 3), }      ", b"(5000000000,3)}"))
    np.save(tmp_path / "e.npy", VALUES)
    content = (tmp_path / "e.npy").read_bytes()
    (tmp_path / "e.npy").write_bytes(content.replace(b"(5, 3), }      ", b"(5000000000,3)}"))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=rf"{path.name}: ('x': an array|it|an array)"):
            load_features(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("words.h5", "it holds no arrays of numbers, but 'x'"),
        ("words.mat", "it holds no arrays of numbers, but 'x'"),
        ("words.npy", "it holds text, not real numbers"),
        ("complex.npy", "it holds complex numbers, not real numbers"),
        ("words.csv", "line 2, column 2 is 'b', which is no number"),
        ("empty.h5", "it holds no arrays of numbers"),
    ],
)
def test_a_whole_file_is_not_called_cut_short(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    if name.endswith("h5"):
        with h5py.File(path, "w") as file:
            if name == "words.h5":
                file["x"] = ["a", "b"]
    elif name.endswith("mat"):
        savemat(path, {"x": "text"})
    elif name.endswith("csv"):
        path.write_text("x,y,z\nimg1,b,1\nimg2,d,2\n")
    else:
        np.save(path, np.array(["a", "b"]) if "words" in name else VALUES * 1j)
    with pytest.raises(ValueError, match=f"{name}: {reason}") as error:
        load_features(path)
    assert "cut short" not in str(error.value)


def test_a_stack_of_stacks_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 5, 4, 4)))
    with pytest.raises(ValueError, match=r"\(2, 5, 4, 4\): it has 4 axes, and a stack .* three"):
        load_rdm(tmp_path / "a.npy")
