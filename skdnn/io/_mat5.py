"""MATLAB files of versions 4 and 5, through scipy, which is told what to look at."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

from skdnn.io._mat_strings import text_or_opaque
from skdnn.io._reading import DamageError, Opaque, Stored, Struct, check_size, first_line, lines
from skdnn.io._saved_header import HEADER

# What MATLAB calls types that numpy calls otherwise.
CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}
NUMBERS = {matlab: numpy for numpy, matlab in CLASSES.items()}
_OCTAVE = (b"# Created by Octave", b"Octave-1-", b"\x1f\x8b")
_START = 128  # bytes before the first variable
_COMPRESSED, _LOGICAL, _COMPLEX = 15, 0x200, 0x800
_KINDS = {
    **{1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single"},
    **{8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32"},
    **{14: "int64", 15: "uint64"},
    **{16: "function", 17: "opaque"},
}
_HEAD = 4096  # bytes that hold all that is said of a variable before its numbers


@dataclass
class Variable:
    """What a file says of one, and where in it that one lies."""

    shape: tuple[int, ...]
    kind: str
    place: int = 0
    size: int = 0


def read_variables(path: str | os.PathLike[str], name: str | None = None) -> dict[str, Any]:
    """One or all variables, of version 4 or 5, with the types that they have in MATLAB."""
    about = variables(path)
    for one in about.values():
        check_size(one.shape, 8, os.path.getsize(path))
    # Ours has labels in its header as well, and thousands of cells are slow.
    names = [one for one in about if one and (HEADER not in about or one != "labels")]
    names = names if name is None else [name]
    objects = [one for one in names if about[one].kind == "opaque"]
    found = _loaded(path, [one for one in names if one not in objects], about)
    found |= {one: _element(path, about[one])["None"] for one in objects}
    for key in found:
        if (dtype := NUMBERS.get(about[key].kind)) and found[key].dtype.kind in "buif":
            found[key] = found[key].astype(dtype, copy=False)

    @cache
    def cells() -> list[Callable[[], Any]]:
        """The table of what objects hold: a variable without a name, which is a file in itself."""
        inner = _element(path, about[""])["__function_workspace__"].tobytes()
        first = inner[8 : 16 + struct.unpack("<I", inner[12:16])[0]]
        table = _of_bytes(inner[:4], first)["__function_workspace__"]["MCOS"][0, 0]["arr"][0]
        return [cell.copy for cell in table.ravel()]

    return {key: _plain(value, cells) for key, value in found.items()}


def variables(path: str | os.PathLike[str]) -> dict[str, Variable]:
    """Those of a file that is whole; MATLAB's table of objects has no name."""
    size, found = os.path.getsize(path), {}
    with open(path, "rb") as file:
        head = file.read(_START)
        if head.startswith(_OCTAVE):
            raise DamageError(
                "it is in Octave's own format, or packed: save it there with -v7 or -hdf5"
            )
        if len(head) >= 20 and 0 in head[:4]:  # version 4, of which scipy says if it is cut short
            listed = whosmat(path)
            return {str(one): Variable(tuple(shape), str(kind)) for one, shape, kind in listed}
        if len(head) < _START or head[126:] not in (b"IM", b"MI"):
            raise DamageError("it is no .mat file of version 4, 5 or 7.3, or cut short")
        order, place = "<" if head[126:] == b"IM" else ">", _START
        while place < size:
            file.seek(place)
            start = file.read(_HEAD)
            if len(start) < 8:
                raise DamageError("it is cut short")
            packed, length = struct.unpack(f"{order}2I", start[:8])
            stop = place + 8 + length
            if stop > size:
                raise DamageError(f"it is cut short: {size} of {stop} bytes")
            inner = start[8 : 8 + length]
            if packed == _COMPRESSED:
                inner = zlib.decompressobj().decompress(inner, _HEAD)[8:]
            one, shape, kind = _described(inner, order)
            found[one] = Variable(shape, kind, place, stop - place)
            place = stop
    return found


def _described(start: bytes, order: str) -> tuple[str, tuple[int, ...], str]:
    """Name, shape and class, which stand at the start of a variable; objects have no shape."""
    (flags,) = struct.unpack(f"{order}I", start[8:12])
    kind = _KINDS.get(flags & 0xFF, "unknown")
    kind = "logical" if flags & _LOGICAL else "complex" if flags & _COMPLEX else kind
    shape, place = b"", 16
    if kind != "opaque":
        shape, place = _part(start, place, order)
    name, _ = _part(start, place, order)
    return name.decode("latin-1"), tuple(np.frombuffer(shape, f"{order}i4").tolist()), kind


def _part(start: bytes, place: int, order: str) -> tuple[bytes, int]:
    """What is said there, in a long or a short form, and where the next begins."""
    kind, size = struct.unpack(f"{order}2I", start[place : place + 8])
    if kind >> 16:
        return start[place + 4 : place + 4 + (kind >> 16)], place + 8
    stop = place + 8 + size
    return start[place + 8 : stop], stop + -size % 8


def _loaded(
    path: str | os.PathLike[str], names: list[str], about: dict[str, Variable]
) -> dict[str, Any]:
    """Variables as scipy gives them."""
    # Types inside of structs and cells scipy alone can tell, at the price of a copy.
    nested = any(about[one].kind in ("struct", "cell") for one in names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            found = loadmat(path, variable_names=names, mat_dtype=nested)
    except np.exceptions.ComplexWarning:  # imaginary parts would be lost
        found = loadmat(path, variable_names=names)
    except (ValueError, TypeError):
        for one in names if len(names) > 1 else ():
            try:
                loadmat(path, variable_names=[one])
            except Exception as error:  # of damage, any
                raise DamageError(f"it is unreadable at {one!r} ({first_line(error)})") from error
        raise
    return {one: found[one] for one in names if one in found}


def _element(path: str | os.PathLike[str], one: Variable) -> dict[str, Any]:
    """A variable without a name of its own in the eyes of scipy."""
    with open(path, "rb") as file:
        head = file.read(_START)
        file.seek(one.place)
        return _of_bytes(head[124:], file.read(one.size))


def _of_bytes(version: bytes, element: bytes) -> dict[str, Any]:
    """What scipy makes of a file of one variable."""
    made: dict[str, Any] = loadmat(io.BytesIO(b" " * 124 + version + element))
    return made


def _plain(value: Any, cells: Callable[[], Any]) -> Any:
    """Without scipy's wrapping: dict, list, str, and dense arrays of numbers."""
    if value is None:  # a struct without fields
        return Struct()
    if hasattr(value, "toarray"):
        size = value.data.nbytes
        return Stored(value.shape, value.dtype, lambda: _dense(value, size))
    if type(value).__name__ == "MatlabOpaque":
        (held,) = value.ravel()
        return text_or_opaque(held["s2"].decode("latin-1"), held["arr"].copy, cells)
    if type(value).__name__ in ("MatlabFunction", "MatlabObject"):
        return Opaque("object array")
    if value.dtype.names is not None:
        rows = [{key: item[key] for key in value.dtype.names} for item in value.ravel("F")]
        structs = [Struct((key, _plain(x, cells)) for key, x in row.items()) for row in rows]
        return structs[0] if value.size == 1 else structs
    if value.dtype == object:
        items = [_plain(item, cells) for item in value.ravel("F")]
        return items[0] if len(items) == 1 and value.item() is None else items
    if value.dtype.kind == "U":
        return lines([str(line) for line in value.ravel()])
    return value


def _dense(value: Any, size: int) -> np.ndarray:
    check_size(value.shape, value.dtype.itemsize, size)
    return np.asarray(value.toarray())
