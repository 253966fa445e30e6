"""Saved features in MATLAB files: numbers, and text as MATLAB's cells of char."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._content import Content, DamageError, Raw, as_utf8, parse_header, wanted
from skdnn.io._mat import read_mat, write_mat

HEADER = "skdnn"
# What version 5 can hold in one variable.
V5_BYTES = 2**31
_IDENTIFIER = 63


def write_auto(path: Path, content: Content) -> None:
    """Version 5, which every program reads, or 7.3 from 2 GB on."""
    write_v73(path, content) if n_bytes(content) >= V5_BYTES else write_v5(path, content)


def write_v5(path: Path, content: Content) -> None:
    """``features`` (a struct of layers), ``labels``, ``targets``, and the header."""
    if n_bytes(content) >= V5_BYTES:
        raise ValueError(
            f"The features take {n_bytes(content)} bytes, and a .mat file of version 5 ends at "
            f'{V5_BYTES}: use format="mat" or "mat-v7.3", or split them with max_bytes=.'
        )
    write_mat(path, _numbers(content), version="5")
    texts: dict[str, Any] = {HEADER: json.dumps(content.header(inline=False))}
    for name, values in _texts(content).items():
        texts[name] = np.array([*values, None], dtype=object)[:-1, None]
    savemat = import_optional("scipy.io", "to write .mat files").savemat
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)  # behind the numbers; scipy then writes no second head
        savemat(file, texts)


def write_v73(path: Path, content: Content) -> None:
    """The same as HDF5 with MATLAB's attributes."""
    write_mat(path, _numbers(content), version="7.3")
    h5py = import_optional("h5py", "for MATLAB files of version 7.3")
    with h5py.File(path, "r+") as file:
        _put_text(file, HEADER, json.dumps(content.header(inline=False)))
        for name, values in _texts(content).items():
            group = file.require_group("#refs#")
            cells = [_put_text(group, f"{name}{n}", value) for n, value in enumerate(values)]
            references = np.array([[cell.ref for cell in cells]], dtype=h5py.ref_dtype)
            data = file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
            data.attrs["MATLAB_class"] = np.bytes_(b"cell")


def read(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or all variables of numbers of anyone's."""
    names, text = _look(path)
    if text is None:
        found = _others(path, names)
        return Raw({name: found[name] for name in wanted(list(found), layers)})
    header = parse_header(text)
    described = [entry["name"] for entry in header["arrays"]]
    chosen = wanted(described, layers)
    value = read_mat(path, "features")
    if header["single"]:
        arrays = {"": value}
    else:
        field = dict(zip(described, fields(described), strict=True))
        arrays = {name: value[field[name]] for name in chosen}
    inline = header["targets"] is None or "values" in header["targets"]
    return Raw(arrays, header, None if inline else read_mat(path, "targets"))


def fields(names: list[str]) -> list[str]:
    """Names as MATLAB has them: letters, digits and underscores, all different."""
    made: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = (plain if plain[:1].isalpha() else f"x{plain}")[:_IDENTIFIER]
        unique, n = plain, 1
        while unique in made:
            n += 1
            unique = f"{plain[: _IDENTIFIER - len(str(n)) - 1]}_{n}"
        made.append(unique)
    return made


def n_bytes(content: Content) -> int:
    """Of all numbers, in types that MATLAB has."""
    sizes = (s.n_bytes * (2 if s.dtype == np.float16 else 1) for s in content.sources)
    return sum(sizes) + (content.target_array.n_bytes if content.target_array else 0)


def _numbers(content: Content) -> dict[str, Any]:
    arrays = [source.whole() for source in content.sources]
    names = fields([source.name for source in content.sources])
    made: dict[str, Any] = {
        "features": arrays[0] if content.single else dict(zip(names, arrays, strict=True))
    }
    if content.target_array is not None:
        made["targets"] = _column(content.target_array.whole())
    if content.labels and not isinstance(content.labels[0], str):
        made["labels"] = _column(np.array(content.labels))
    return made


def _texts(content: Content) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if content.labels and isinstance(content.labels[0], str):
        made["labels"] = as_utf8(content.labels)
    if content.targets and not content.target_array:
        made["targets"] = as_utf8(content.targets)
    return made


def _column(array: np.ndarray) -> np.ndarray:
    return array[:, None] if array.ndim == 1 else array


def _put_text(group: Any, name: str, text: str) -> Any:
    """Char as MATLAB stores it, and its data set."""
    units = np.frombuffer(text.encode("utf-16-le", "replace"), np.uint16)
    data = group.create_dataset(name, data=units[:, None] if text else np.zeros(2, np.uint64))
    data.attrs["MATLAB_class"] = np.bytes_(b"char")
    data.attrs["MATLAB_int_decode"] = np.int32(2)
    if not text:
        data.attrs["MATLAB_empty"] = np.uint8(1)
    return data


def _look(path: Path) -> tuple[list[str], str | None]:
    """Names of variables, and the header."""
    h5py = import_optional("h5py", "for MATLAB files of version 7.3")
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            names = [name for name in file if not name.startswith("#")]
            if HEADER not in names:
                return names, None
            return names, file[HEADER][()].tobytes().decode("utf-16-le")
    io = import_optional("scipy.io", "to read .mat files")
    names = [name for name, *_ in io.whosmat(path)]
    if HEADER not in names:
        return names, None
    return names, str(io.loadmat(path, variable_names=[HEADER])[HEADER][0])


def _others(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Variables that are arrays of numbers, and fields of structs that are."""
    found: dict[str, np.ndarray] = {}
    for name in names:
        try:
            value = read_mat(path, name)
        except ValueError:  # text, cells
            continue
        fields_of = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name}.{field}".rstrip("."): item for field, item in fields_of}
    if not found:
        raise DamageError("it holds no variables of numbers, or is cut short")
    return found
