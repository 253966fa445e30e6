"""HDF5 files: unchunked data sets, which can be mapped into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._content import Content, DamageError, Raw, Source, as_utf8, parse_header, wanted

HEADER = "skdnn"


def write_hdf5(path: Path, content: Content) -> None:
    """``features``, or a group of one data set per layer; ``labels``, ``targets``; the header."""
    h5py = _h5py()
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        for source in content.sources:
            _put(file, key(source.name, content.single), source)
        if content.target_array is not None:
            _put(file, "targets", content.target_array)
        elif content.targets is not None:
            file.create_dataset("targets", data=as_utf8(content.targets), dtype=text)
        if content.labels and isinstance(content.labels[0], str):
            file.create_dataset("labels", data=as_utf8(content.labels), dtype=text)
        elif content.labels:
            file.create_dataset("labels", data=np.array(content.labels))
        header = json.dumps(content.header(inline=False))
        file.create_dataset(HEADER, data=header, dtype=text)


def read_hdf5(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or all data sets of numbers of anyone's."""
    with _h5py().File(path, "r") as file:
        if HEADER not in file or file[HEADER].shape != ():
            found = _numbers(file)
            chosen = {name: found[name] for name in wanted(list(found), layers)}
            return Raw({k: _get(path, v, mmap) for k, v in chosen.items()}, mapped=mmap)
        header = parse_header(file[HEADER].asstr()[()])
        names = wanted([entry["name"] for entry in header["arrays"]], layers)
        single = header["single"]
        arrays = {name: _get(path, file[key(name, single)], mmap) for name in names}
        inline = header["targets"] is None or "values" in header["targets"]
        return Raw(arrays, header, None if inline else file["targets"][()], mmap)


def key(name: str, single: bool) -> str:
    """Where an array lies: a slash would make a group, a dot would mean this one."""
    if single:
        return "features"
    quoted = quote(name, safe=" @,+:;=!$&'()*[]")
    return f"features/{quoted.replace('.', '%2E') if not quoted.strip('.') else quoted}"


def _h5py() -> Any:
    return import_optional("h5py", "for HDF5 files")


def _put(file: Any, name: str, source: Source) -> None:
    data = file.create_dataset(name, shape=source.shape, dtype=source.dtype)
    row = 0
    for block in source.blocks():
        if block.size:
            data[row : row + len(block)] = block
        row += len(block)


def _get(path: Path, data: Any, mmap: bool) -> np.ndarray:
    if not mmap:
        return np.asarray(data[()])
    offset = data.id.get_offset()  # of the file, where the numbers lie in one piece
    if offset is None:
        if data.size:
            raise DamageError(f"{data.name} is stored in pieces, so mmap=True cannot map it")
        return np.empty(data.shape, data.dtype)
    return np.memmap(path, data.dtype, "r", offset, data.shape)


def _numbers(file: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if getattr(item, "shape", ()) and item.dtype.kind in "buif":
            found[name] = item

    file.visititems(visit)
    return found
