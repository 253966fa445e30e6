"""String arrays of MATLAB: read as names, or refused by name; never numbers, never dropped.

MATLAB is not at hand where these tests are written. All files here are put together by hand, as
https://github.com/foreverallama/matio describes what MATLAB writes; only what that says is held.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from skdnn.formats import read_mat
from skdnn.io import load_features, load_rdm

NAMES = ["cat", "Käse 🧀", "dog", "bee"]
VALUES = np.arange(12.0).reshape(4, 3)
Maker = Callable[..., Path]


# --- what both versions share ----------------------------------------------------------------


def words(texts: Sequence[str | None], shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Version, axes, lengths (all bits set where a string is missing), UTF-16 in one piece."""
    units = ["" if text is None else text for text in texts]
    lengths = [len(unit.encode("utf-16-le")) // 2 for unit in units]
    lengths = [2**64 - 1 if t is None else n for t, n in zip(texts, lengths, strict=True)]
    text = "".join(units).encode("utf-16-le")
    text += bytes(-len(text) % 8)
    shape = shape or (len(texts), 1)
    head = np.array([1, len(shape), *shape, *lengths], np.uint64)
    return np.concatenate([head, np.frombuffer(text, "<u8")])


def metadata(n_objects: int) -> np.ndarray:
    """Names; then classes, blocks of properties, objects: all objects are of the class string."""
    names = b"any\0string\0".ljust(16, b"\0")
    classes = [0, 0, 0, 0, 0, 2, 0, 0]
    properties = [0, 0]
    objects = [0] * 6
    for number in range(1, n_objects + 1):
        properties += [1, 1, 1, number - 1]
        objects += [1, 0, 0, number, 0, number]
    starts = [40 + len(names)]
    parts = (classes, properties, objects, [0, 0], [0, 0] * (n_objects + 1), [], [0, 0])
    for part in parts:
        starts.append(starts[-1] + 4 * len(part))
    head = [4, 2, *starts]
    rest = [word for part in parts for word in part]
    made = struct.pack("<10I", *head) + names + struct.pack(f"<{len(rest)}I", *rest)
    return np.frombuffer(made, np.uint8)


def reference(number: int) -> np.ndarray:
    return np.array([0xDD000000, 2, 1, 1, number, 1], np.uint32)


# --- version 7.3 -----------------------------------------------------------------------------


def hdf5_file(
    path: Path, strings: Mapping[str, np.ndarray], kind: str = "string", table: Any = None
) -> Path:
    about = metadata(len(strings)) if table is None else table
    with h5py.File(path, "w", userblock_size=512) as file:
        file["features"] = VALUES.T
        file["features"].attrs["MATLAB_class"] = np.bytes_("double")
        cells: list[Any] = [about[None], np.zeros(2, np.uint64)]
        for number, (name, text) in enumerate(strings.items(), start=1):
            place = name.replace(".", "/")
            file[place] = reference(number)[None]
            file[place].attrs["MATLAB_class"] = np.bytes_(kind)
            file[place].attrs["MATLAB_object_decode"] = np.int32(3)
            if "." in name:
                file[place].parent.attrs["MATLAB_class"] = np.bytes_("struct")
            cells.append(text[:, None])
        kinds = ["uint8", "canonical empty"] + ["uint64"] * len(strings) + ["double", "int32"]
        cells += [np.zeros((1, 2)), np.zeros((1, 2), np.int32), np.zeros((1, 2))]  # of the class
        for number, (cell, of) in enumerate(zip(cells, [*kinds, "double"], strict=True)):
            file[f"#refs#/{number}"] = cell
            file[f"#refs#/{number}"].attrs["MATLAB_class"] = np.bytes_(of)
        file["#refs#/1"].attrs["MATLAB_empty"] = np.uint8(1)
        places = [[file[f"#refs#/{number}"].ref for number in range(len(cells))]]
        held = file.create_dataset("#subsystem#/MCOS", data=places, dtype=h5py.ref_dtype)
        held.attrs["MATLAB_class"] = np.bytes_("FileWrapper__")
        held.attrs["MATLAB_object_decode"] = np.int32(3)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x200) + b"IM")
    return path


# --- version 5 -------------------------------------------------------------------------------


def element(kind: int, data: bytes) -> bytes:
    if 0 < len(data) <= 4 and kind != 14:
        return struct.pack("<2H", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)


def flags(kind: int) -> bytes:
    return element(6, struct.pack("<2I", kind, 0))


def matrix(kind: int, shape: Sequence[int], name: str, *parts: bytes) -> bytes:
    axes = element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, flags(kind) + axes + element(1, name.encode()) + b"".join(parts))


def numbers(array: np.ndarray, name: str = "") -> bytes:
    kinds = {"f8": (6, 9), "u1": (9, 2), "i4": (12, 5), "u4": (13, 6), "u8": (15, 13)}
    kind, packed = kinds[array.dtype.str[1:]]
    return matrix(kind, array.shape, name, element(packed, array.tobytes("F")))


def opaque(name: str, kind: str, held: bytes) -> bytes:
    return element(
        14, flags(17) + b"".join(element(1, x.encode()) for x in (name, "MCOS", kind)) + held
    )


def record(name: str, field: str, held: bytes) -> bytes:
    names = element(5, struct.pack("<i", 32)) + element(1, field.encode().ljust(32, b"\0"))
    return matrix(2, (1, 1), name, names, held)


def v5_file(
    path: Path, strings: Mapping[str, np.ndarray], kind: str = "string", table: Any = None
) -> Path:
    about = metadata(len(strings)) if table is None else table
    variables = [numbers(VALUES, "features")]
    for number, name in enumerate(strings, start=1):
        held = numbers(reference(number)[:, None])
        outer, _, field = name.rpartition(".")
        made = opaque("" if outer else name, kind, held)
        variables.append(record(outer, field, made) if outer else made)
    held = [numbers(about[:, None]), matrix(6, (0, 0), "", element(9, b""))]
    held += [numbers(text[None]) for text in strings.values()]
    held += [numbers(np.zeros((2, 1), kind)) for kind in ("f8", "i4", "f8")]  # of the class
    cells = matrix(1, (len(held), 1), "", *held)
    inner = b"\0\1IM" + bytes(4) + record("", "MCOS", opaque("", "FileWrapper__", cells))
    variables.append(numbers(np.frombuffer(inner, np.uint8)[None]))
    packed = [zlib.compress(variable) for variable in variables]
    body = b"".join(struct.pack("<2I", 15, len(one)) + one for one in packed)
    last = 128 + len(body) - len(packed[-1]) - 8  # where the table is
    head = b"MATLAB 5.0 MAT-file".ljust(116) + struct.pack("<Q", last) + b"\0\1IM"
    path.write_bytes(head + body)
    return path


both = pytest.mark.parametrize("make", [v5_file, hdf5_file])


# --- reading ---------------------------------------------------------------------------------


@both
def test_names_of_rows(make: Maker, tmp_path: Path) -> None:
    strings = {"about": words(["measured in May"]), "labels": words(NAMES)}
    path = make(tmp_path / "a.mat", strings)
    loaded = load_features(path)
    assert loaded.labels == NAMES
    np.testing.assert_array_equal(loaded.features["features"], VALUES)
    assert list(loaded.features) == ["features"]
    assert read_mat(path, "labels") == NAMES
    assert read_mat(path, "about") == "measured in May"
    np.testing.assert_array_equal(read_mat(path, "features"), VALUES)


@both
def test_shapes(make: Maker, tmp_path: Path) -> None:
    """Column by column, as cells are read; an empty string is one, an empty array has none."""
    strings = {
        "wide": words(["Apple", "Date", "Banana", "Fig", "Cherry", ""], (2, 3)),
        "empty": words([""]),
        "none": words([], (0, 0)),
        "cube": words(["a", "bc"], (1, 1, 2)),
    }
    path = make(tmp_path / "a.mat", strings)
    assert read_mat(path, "wide") == ["Apple", "Date", "Banana", "Fig", "Cherry", ""]
    assert read_mat(path, "empty") == ""
    assert read_mat(path, "none") == []
    assert read_mat(path, "cube") == ["a", "bc"]


@both
def test_inside_of_a_struct(make: Maker, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mat", {"about.stimuli": words(NAMES)})
    assert read_mat(path, "about") == {"stimuli": NAMES}
    assert load_features(path).labels == NAMES


@both
def test_conditions_of_an_rdm(make: Maker, tmp_path: Path) -> None:

    square = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    path = make(tmp_path / "a.mat", {"names": words(NAMES)})
    if make is hdf5_file:
        with h5py.File(path, "r+") as file:
            del file["features"]
            file["rdm"] = square
            file["rdm"].attrs["MATLAB_class"] = np.bytes_("double")
    else:
        body = zlib.compress(numbers(square, "rdm"))
        content = path.read_bytes()
        (length,) = struct.unpack("<I", content[132:136])
        path.write_bytes(
            content[:128] + struct.pack("<2I", 15, len(body)) + body + content[136 + length :]
        )
    assert load_rdm(path).index.tolist() == NAMES


@both
def test_other_objects_hide_no_numbers(make: Maker, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mat", {"T": words([]), "when": words([])}, "table")
    loaded = load_features(path)
    assert loaded.labels is None
    np.testing.assert_array_equal(loaded.features["features"], VALUES)
    with pytest.raises(ValueError, match="'T' is no array of numbers or text, but table array"):
        read_mat(path, "T")
    path = make(tmp_path / "b.mat", {"stimuli": words(NAMES)}, "table")
    with pytest.warns(UserWarning, match="'stimuli' is a table array. It is left aside"):
        assert load_features(path).labels is None


def test_a_struct_without_fields_hides_no_numbers(tmp_path: Path) -> None:
    path = v5_file(tmp_path / "a.mat", {"labels": words(NAMES)})
    fieldless = matrix(2, (1, 1), "nothing", element(5, struct.pack("<i", 1)), element(1, b""))
    content = path.read_bytes()
    path.write_bytes(content[:128] + fieldless + content[128:])
    assert load_features(path).labels == NAMES
    assert read_mat(path, "nothing") == {}


# --- refusing --------------------------------------------------------------------------------


def spoilt(place: int, value: int) -> np.ndarray:
    made = words(NAMES)
    made[place] = value
    return made


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (words(["cat", None, "dog", "bee"]), "its string 2 is missing"),
        (spoilt(0, 2), "an unknown layout of text"),
        (spoilt(4, 9), "an unknown layout of text"),
        (words(NAMES)[:5], "an unknown layout of text"),
        (words(NAMES)[:1], "its text is not where it should be"),
    ],
)
@both
def test_what_is_not_understood(
    make: Maker, text: np.ndarray, reason: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "a.mat", {"labels": text})
    told = rf"'labels' is a string array, which cannot be read \({reason}\): .*cellstr\(labels\)"
    with pytest.raises(ValueError, match=told):
        load_features(path)
    with pytest.raises(ValueError, match=f"but string array, .*{reason}"):
        read_mat(path, "labels")
    np.testing.assert_array_equal(read_mat(path, "features"), VALUES)
    path = make(tmp_path / "b.mat", {"units": text})
    with pytest.warns(UserWarning, match=rf"'units' is a string array, .*{reason}.* left aside"):
        assert load_features(path).labels is None


@both
def test_a_damaged_table_gives_no_other_names(
    make: Maker, tmp_path: Path, monkeypatch: Any
) -> None:
    """Whatever stands in its numbers: the right names, or a refusal."""
    whole = metadata(2)
    seen = set()
    for place in range(8, len(whole), 4):
        broken = whole.copy()
        broken[place] += 1
        monkeypatch.setitem(globals(), "metadata", lambda n, made=broken: made)
        path = make(tmp_path / f"{place}.mat", {"other": words(["x"] * 4), "labels": words(NAMES)})
        try:
            seen.add(tuple(read_mat(path, "labels")))
        except ValueError as error:
            seen.add(type(error).__name__)
    assert seen == {tuple(NAMES), "DamageError"}


@both
def test_categories(make: Maker, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mat", {"labels": words([])}, "categorical")
    with pytest.raises(ValueError, match=r"'labels' is a categorical array: .*cellstr\(labels\)"):
        load_features(path)


def test_a_table_in_another_file_is_not_opened(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.mat", {"labels": words(NAMES)})
    with h5py.File(path, "r+") as file:
        del file["#subsystem#"]
        file["#subsystem#"] = h5py.ExternalLink("other.mat", "/#subsystem#")
    with pytest.raises(ValueError, match=r"takes '#subsystem#' from another file, 'other.mat'"):
        load_features(path)
