"""NumPy's own files: one array (.npy), or several with everything that belongs to them (.npz)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skdnn.io._content import Content, Raw, Source, parse_header, wanted

HEADER = "skdnn"


def write_npy(path: Path, content: Content) -> None:
    """One array in blocks."""
    with open(path, "wb") as file:
        _stream(file, content.sources[0])


def read_npy(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """One array; what is beside it is read elsewhere."""
    wanted([""], layers)
    array = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    return Raw({"": array}, mapped=mmap)


def write_npz(path: Path, content: Content) -> None:
    """``features``, or ``features/LAYER`` each; ``labels``, ``targets``; the header as text."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        for source in content.sources:
            _put(file, key(source.name, content.single), source)
        if content.target_array is not None:
            _put(file, "targets", content.target_array)
        elif content.targets is not None:
            _put_small(file, "targets", np.array(content.targets, dtype=str))
        if content.labels is not None:
            _put_small(file, "labels", np.array(content.labels))
        _put_small(file, HEADER, np.array(json.dumps(content.header(inline=False))))


def read_npz(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or any arrays of anyone's."""
    with np.load(path, allow_pickle=False) as file:
        if HEADER not in file.files:
            return Raw({name: file[name] for name in wanted(list(file.files), layers)})
        header = parse_header(str(file[HEADER]))
        names = wanted([entry["name"] for entry in header["arrays"]], layers)
        arrays = {name: file[key(name, header["single"])] for name in names}
        return Raw(arrays, header, file["targets"] if "targets" in file.files else None)


def key(name: str, single: bool) -> str:
    """The name of an array in a file of several."""
    return "features" if single else f"features/{name}"


def _put(file: zipfile.ZipFile, name: str, source: Source) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
        _stream(entry, source)


def _put_small(file: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with file.open(f"{name}.npy", "w") as entry:
        np.lib.format.write_array(entry, array, allow_pickle=False)


def _stream(file: BinaryIO | Any, source: Source) -> None:
    described = {
        "descr": np.lib.format.dtype_to_descr(source.dtype),
        "fortran_order": False,
        "shape": source.shape,
    }
    np.lib.format.write_array_header_1_0(file, described)
    for block in source.blocks():
        file.write(block.reshape(-1).view(np.uint8).data)
