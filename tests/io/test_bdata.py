"""Brain data of BdPy: the selection language against sets, and the file's layout."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdnn._array_blocks import is_lazy
from skdnn.formats import BData, read_bdata, write_bdata

RNG = np.random.default_rng(0)
NAN = np.nan
KEYS = {
    "VoxelData": [1, 1, 1, 1, 1, 1, NAN, NAN],
    "ROI_V1": [1, 1, 0, 0, 0, 0, NAN, NAN],
    "ROI_V2": [0, 1, 1, 0, 0, 0, NAN, NAN],
    "ROI_hV4": [0, 0, 0, 1, 1, 0, NAN, NAN],
    "voxel_x": [-3, 0, 3, 6, 9, 12, NAN, NAN],
    "voxel_y": [1, 2, 3, 4, 5, 6, NAN, NAN],
    "voxel_z": [0, 0, 0, 0, 3, 3, NAN, NAN],
    "image_index": [NAN] * 6 + [1, NAN],
    "stimulus-name": [NAN] * 6 + [0, 1],
}
METADATA = pd.DataFrame(KEYS.values(), index=list(KEYS))
DATA = np.column_stack([RNG.normal(size=(5, 6)), [2, 1, 3, 3, 1], [10, 20, 30, 30, 20]])
VMAP = {"stimulus-name": {10: "fish", 20: "bird", 30: "käse"}}


@pytest.fixture
def brain() -> BData:
    return BData(DATA.copy(), METADATA, VMAP, {"ROI_V1": "1: V1"})


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("ROI_V1 = 1", [0, 1]),
        ("ROI_V1=1", [0, 1]),
        ("  ROI_V1  =  1.0 ", [0, 1]),
        ("ROI_V1", [0, 1]),
        ("ROI_V1 = 0", [2, 3, 4, 5]),  # NaN is not 0
        ("ROI_V1 = 1 + ROI_V2 = 1", [0, 1, 2]),
        ("ROI_V1 | ROI_V2", [0, 1, 2]),
        ("ROI_V1 = 1 & ROI_V2 = 1", [1]),
        ("ROI_V1 - ROI_V2", [0]),
        ("VoxelData - ROI_V1 = 1 - ROI_V2 = 1", [3, 4, 5]),
        ("VoxelData - (ROI_V1 - ROI_V2)", [1, 2, 3, 4, 5]),
        ("ROI_V1 | ROI_V2 & ROI_hV4 | ROI_V2", [1, 2]),  # from left to right, all alike
        ("ROI_V1 | (ROI_V2 & ROI_hV4) | ROI_V2", [0, 1, 2]),
        ("((ROI_V1)) + (((ROI_hV4 = 1)))", [0, 1, 3, 4]),
        ("ROI_*", [0, 1, 2, 3, 4]),
        ("ROI_V? = 1", [0, 1, 2]),
        ("ROI_V* - ROI_V1", [2]),
        ("voxel_x = -3", [0]),
        ("voxel_x = -3 + voxel_x = 1.2e1", [0, 5]),
        ("voxel_x = 3-ROI_V1", [2]),
        ("'stimulus-name' + image_index", [6, 7]),
        ('"stimulus-name" = 1', [7]),
    ],
)
def test_selection(brain, expression, columns):
    np.testing.assert_array_equal(brain.columns(expression), columns)
    np.testing.assert_array_equal(brain.select(expression), DATA[:, columns])


TERMS = st.sampled_from(["ROI_V1", "ROI_V2 = 1", "ROI_hV4 = 0", "VoxelData", "voxel_z = 3"])
OPERATORS = {"+": set.union, "|": set.union, "&": set.intersection, "-": set.difference}


@st.composite
def expressions(draw, depth=3) -> tuple[str, set[int]]:
    """An expression with the columns that plain sets, worked from left to right, give for it."""
    text, found = "", set()
    for i in range(draw(st.integers(1, 4))):
        if depth and draw(st.booleans()):
            inner, part = draw(expressions(depth - 1))
            inner = f"({inner})"
        else:
            inner = draw(TERMS)
            key, _, value = inner.partition(" = ")
            part = {j for j, number in enumerate(KEYS[key]) if number == float(value or 1)}
        sign = draw(st.sampled_from(sorted(OPERATORS))) if i else ""
        space = draw(st.sampled_from(["", " "]))
        text += f"{space}{sign}{space}{inner}"
        found = OPERATORS[sign](found, part) if i else part
    return text, found


@settings(max_examples=100, deadline=None)
@given(expressions())
def test_selection_against_sets(case):
    expression, expected = case
    brain = BData(DATA, METADATA)
    if expected:
        assert set(brain.columns(expression).tolist()) == expected
    else:
        with pytest.raises(ValueError, match="true of no column"):
            brain.columns(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("ROI_V3 = 1", r"no key 'ROI_V3' in the metadata\. Nearest: 'ROI_V."),
        ("ROI_X*", r"no key 'ROI_X\*'"),
        ("", "expected a key or '\\(', found its end"),
        ("   ", "found its end"),
        ("ROI_V1 +", "found its end"),
        ("+ ROI_V1", r"expected a key or '\(', found '\+ ROI_V1'"),
        ("(ROI_V1", r"expected '\)', found its end"),
        ("ROI_V1)", r"expected an operator or the end, found '\)'"),
        ("ROI_V1 =", "expected a key, an operator or a value, found '='"),
        ("ROI_V1 = x", "expected a number after '=', found '= x'"),
        ("ROI_V1 = 1 = 1", "expected a key, an operator or a value, found '= 1'"),
        ("ROI_V1 = 1 ROI_V2", "expected an operator or the end, found 'ROI_V2'"),
        ("ROI_V1 = 7", "is true of no column"),
        ("ROI_V1 'ROI_V2", "expected"),
    ],
)
def test_what_is_not_understood(brain, expression, message):
    with pytest.raises(ValueError, match=message):
        brain.select(expression)


def test_labels(brain):
    index = brain.label("image_index")
    np.testing.assert_array_equal(index, [2, 1, 3, 3, 1])
    assert index.dtype == np.int64
    assert brain.get_labels("stimulus-name").tolist() == ["fish", "bird", "käse", "käse", "bird"]
    assert brain.label("ROI_V1").shape == (5, 2)
    with pytest.raises(ValueError, match=r"no names for 'image_index'.*'stimulus-name'"):
        brain.get_labels("image_index")
    with pytest.raises(ValueError, match=r"no key 'image_indes'.*Nearest: 'image_index'"):
        brain.label("image_indes")
    with pytest.raises(ValueError, match="'voxel_z' is 1 for no column"):
        brain.label("voxel_z")
    brain.vmap["stimulus-name"].pop(30)
    with pytest.raises(ValueError, match=r"no names for the numbers \[30.0\] of 'stimulus-name'"):
        brain.get_labels("stimulus-name")
    brain.vmap["ROI_V1"] = {1: "x"}
    with pytest.raises(ValueError, match="'ROI_V1' has 2 columns: labels need one"):
        brain.get_labels("ROI_V1")


def test_numbers_that_are_not_whole_stay(brain):
    brain.dataset[0, 6] = 1.5
    assert brain.label("image_index").dtype == np.float64
    brain.dataset[0, 6] = np.nan
    assert np.isnan(brain.label("image_index")[0])


def test_coordinates(brain):
    xyz = brain.coordinates("ROI_V2 + ROI_hV4")
    np.testing.assert_array_equal(xyz, [[0, 2, 0], [3, 3, 0], [6, 4, 0], [9, 5, 3]])


@pytest.mark.parametrize("lazy", [True, False])
def test_round_trip(tmp_path, brain, lazy):
    write_bdata(tmp_path / "sub.h5", brain)
    found = read_bdata(tmp_path / "sub.h5", lazy=lazy)
    assert is_lazy(found.dataset) is lazy
    np.testing.assert_array_equal(found.dataset, DATA)
    np.testing.assert_array_equal(found.metadata, METADATA)
    assert list(found.metadata.index) == list(KEYS)
    assert found.vmap == VMAP
    assert found.descriptions["ROI_V1"] == "1: V1"
    np.testing.assert_array_equal(found.select("ROI_V1 + ROI_hV4"), DATA[:, [0, 1, 3, 4]])
    assert found.get_labels("stimulus-name")[2] == "käse"
    assert repr(found).startswith("BData(shape=(5, 8), keys=[VoxelData, ROI_V1,")
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.select("ROI_V2"), DATA[:, [1, 2]])
    with h5py.File(tmp_path / "sub.h5", "r+") as file:  # nothing holds it open
        assert set(file) == {"dataset", "metadata", "vmap"}
        assert set(file["metadata"]) == {"key", "description", "value"}
        assert file["metadata/value"].shape == (9, 8)
        assert set(file["vmap/stimulus-name"]) == {"10", "20", "30"}


def test_file_of_other_makers(tmp_path):
    """Bytes of fixed length as keys, numbers of names with a point, no vmap or a header more."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset"] = DATA.astype(np.float32)
        file["metadata/key"] = np.array(list(KEYS), dtype="S")
        file["metadata/description"] = np.array([b""] * len(KEYS), dtype="S")
        file["metadata/value"] = METADATA.to_numpy()
        file["header/ctime"] = "2020"
        file["vmap/stimulus-name/10.0"] = np.bytes_("fish")
    brain = read_bdata(tmp_path / "a.h5")
    assert brain.select("ROI_V1").dtype == np.float32
    assert brain.vmap == {"stimulus-name": {10.0: "fish"}}


@pytest.mark.parametrize(
    "key",
    [
        slice(None),
        (slice(None), [5, 0]),
        ([4, 0, 0], slice(2, 4)),
        3,
        (slice(None), 2),
        (1, 1),
        (slice(0, 0), slice(None)),
        np.array([True, False, False, False, True]),
    ],
    ids=str,
)
@pytest.mark.parametrize("read_bytes", [1, 70, 2**26])
def test_lazy_slices_are_those_of_an_array(tmp_path, brain, monkeypatch, key, read_bytes):
    monkeypatch.setattr("skdnn.io._bdata._READ_BYTES", read_bytes)
    write_bdata(tmp_path / "sub.h5", brain)
    lazy = read_bdata(tmp_path / "sub.h5").dataset
    np.testing.assert_array_equal(lazy[key], DATA[key])
    assert np.shape(lazy[key]) == np.shape(DATA[key])


def test_broken_files(tmp_path, brain):
    path = tmp_path / "sub.h5"
    with pytest.raises(FileNotFoundError, match=r"no file .*sub.h5"):
        read_bdata(path)
    write_bdata(path, brain)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"sub.h5' is no BData file"):
        read_bdata(path)
    with h5py.File(path, "w") as file:
        file["dataset"] = DATA
    with pytest.raises(ValueError, match="has no /metadata/key, /metadata/description, /meta"):
        read_bdata(path)
    write_bdata(path, brain)
    with h5py.File(path, "r+") as file:
        del file["dataset"]
        file["dataset"] = DATA[:, 1:]
    with pytest.raises(ValueError, match=r"metadata describes 8 columns.*\(5, 7\)"):
        read_bdata(path)
    with h5py.File(path, "r+") as file:
        del file["dataset"]
        file.create_group("dataset")
    with pytest.raises(ValueError, match=r"sub.h5' is no BData file"):
        read_bdata(path)


def joined(path, how: str) -> str:
    """A file whose dataset, or a part of its metadata, lies in another file; the other's name."""
    with h5py.File(path.with_name("one session.h5"), "w") as file:
        file["dataset"], file["value"] = DATA, METADATA.to_numpy()
    DATA.tofile(path.with_name("raw.bin"))
    write_bdata(path, BData(DATA, METADATA, VMAP))
    with h5py.File(path, "r+") as file:
        del file["dataset"]
        if how == "link":
            file["dataset"] = h5py.ExternalLink("one session.h5", "/dataset")
        elif how == "soft link to a link":
            file["far"] = h5py.ExternalLink("one session.h5", "/dataset")
            file["dataset"] = h5py.SoftLink("/far")
        elif how == "storage":
            raw = [(str(path.with_name("raw.bin")), 0, DATA.nbytes)]
            file.create_dataset("dataset", DATA.shape, DATA.dtype, external=raw)
        elif how == "virtual":
            layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
            layout[:] = h5py.VirtualSource("one session.h5", "dataset", DATA.shape)
            file.create_virtual_dataset("dataset", layout)
        else:
            file["dataset"] = DATA
            del file["metadata/value"]
            file["metadata/value"] = h5py.ExternalLink("one session.h5", "/value")
    return "raw.bin" if how == "storage" else "one session.h5"


@pytest.mark.parametrize(
    "how", ["link", "soft link to a link", "storage", "virtual", "link of metadata"]
)
def test_other_files_are_read_only_where_it_is_said(tmp_path, how):
    path = tmp_path / "joined.h5"
    other = joined(path, how)
    member = {"link of metadata": "metadata/value", "soft link to a link": "far"}
    with pytest.raises(
        ValueError, match=rf"joined\.h5' takes '{member.get(how, 'dataset')}'.*{other}"
    ):
        read_bdata(path)
    for lazy in (True, False):
        brain = read_bdata(path, external=True, lazy=lazy)
        np.testing.assert_array_equal(brain.select("ROI_V1"), DATA[:, :2])
    again = pickle.loads(pickle.dumps(read_bdata(path, external=True)))
    np.testing.assert_array_equal(again.select("ROI_V1"), DATA[:, :2])


def test_rings_and_parts_of_the_same_file_are_no_other_files(tmp_path, brain):
    path = tmp_path / "sub.h5"
    write_bdata(path, brain)
    with h5py.File(path, "r+") as file:
        file["metadata/again"] = file["metadata"]
        file["metadata/nowhere"] = h5py.SoftLink("/nothing")
        layout = h5py.VirtualLayout(DATA.shape, DATA.dtype)
        layout[:] = h5py.VirtualSource(file["dataset"])
        file.create_virtual_dataset("copy", layout)
    np.testing.assert_array_equal(read_bdata(path).dataset, DATA)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="metadata describes 8 columns"):
        BData(DATA[:, 1:], METADATA)
    with pytest.raises(ValueError, match=r"keys more than once: \['ROI_V1'\]"):
        BData(DATA, pd.concat([METADATA, METADATA.iloc[1:2]]))
    with pytest.raises(TypeError, match="data must be a BData, got ndarray"):
        write_bdata(tmp_path / "a.h5", DATA)
