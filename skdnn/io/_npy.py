"""NumPy's own files: one array (.npy), or several with everything that belongs to them (.npz)."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from skdnn.io._reading import Ask, DamageError, Raw, Stored, check_size
from skdnn.io._row_names import finished, gathered
from skdnn.io._saved_header import HEADER, MARK, Content, Source


def write_npy(path: Path, content: Content) -> None:
    """One array in blocks."""
    with open(path, "wb") as file:
        _stream(file, content.sources[0])


def read_npy(path: Path, ask: Ask) -> Raw:
    """One array; what is beside it is read elsewhere."""
    with open(path, "rb") as file:
        stored = _header(file, os.path.getsize(path))
    mapped = ask.mmap and 0 not in stored.shape
    stored.read = lambda: np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    raw = finished(Raw({"": stored}), path, ask)
    raw.mapped = ask.mmap
    return raw


def write_npz(path: Path, content: Content) -> None:
    """``features``, or ``features/LAYER`` each; ``labels``, ``targets``; the header as text."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        places = _key([source.name for source in content.sources], content.single)
        for place, source in zip(places, content.sources, strict=True):
            with file.open(f"{place}.npy", "w", force_zip64=True) as entry:
                _stream(entry, source)
        for name, value in {**content.beside(), HEADER: content.header()}.items():
            with file.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.array(value), allow_pickle=False)
        file.comment = MARK.encode()


def read_npz(path: Path, ask: Ask) -> Raw:
    """Ours, or any arrays of anyone's."""
    with np.load(path, allow_pickle=False) as file:
        said, mark = file.zip.comment, MARK.encode()
        if said != mark and said.startswith(mark[:5]):
            raise DamageError("it is cut short")
        tree = {name: _member(file, name) for name in file.files}
        return finished(gathered(tree), path, ask, _key, said == mark)


def _key(names: list[str], single: bool) -> list[str]:
    return ["features"] if single else [f"features/{name}" for name in names]


def _member(file: Any, name: str) -> Any:
    """Text, or an array that is still on disk."""
    about = file.zip.getinfo(name if name in file.zip.NameToInfo else f"{name}.npy")
    check_size((about.file_size,), 1, about.compress_size)
    with file.zip.open(about) as entry:
        stored = _header(entry, about.file_size)
    if stored.dtype.kind in "US" and len(stored.shape) < 2:
        return file[name].astype(str).tolist()
    stored.read = lambda: file[name]
    return stored


def _header(file: IO[bytes], size: int) -> Stored:
    """What a file of NumPy says of its array, if it is long enough to hold it."""
    version = np.lib.format.read_magic(file)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    missing = math.prod(shape) * dtype.itemsize - (size - file.tell())
    if missing > 0 and not dtype.hasobject:
        raise DamageError(f"it is cut short: {missing} bytes of its array {shape} are missing")
    return Stored(shape, dtype, lambda: np.empty(0))


def _stream(file: IO[bytes], source: Source) -> None:
    described = {
        "descr": np.lib.format.dtype_to_descr(source.dtype),
        "fortran_order": False,
        "shape": source.shape,
    }
    np.lib.format.write_array_header_1_0(file, described)
    for block in source.blocks():
        file.write(block.reshape(-1).view(np.uint8).data)
