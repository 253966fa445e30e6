"""What MATLAB (7.3) and Octave keep in HDF5: marked, and with axes turned round."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from skdnn.io._mat_strings import text_or_opaque
from skdnn.io._reading import Stored, Struct, check_size, lines

if TYPE_CHECKING:
    from skdnn.io._hdf5 import OpenedHDF5

_LISTS = ("cell", "struct", "canonical empty")
_TYPES = {"double": "f8", "single": "f4", "logical": "bool"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def of_octave(file: OpenedHDF5, group: Any) -> Any:
    """``save -hdf5``: a type and a value, axes in reverse, cells and fields as groups."""
    members = dict(file.items(group))
    kind, value = members["type"][()].decode(), members["value"]
    if "OCTAVE_EMPTY_MATRIX" in group.attrs:
        empty = np.empty([int(n) for n in value[()]])
        return "" if "string" in kind else [] if kind in _LISTS else empty
    if "range" in kind:
        base, _, step = value[()].tolist()
        return (base + step * np.arange(int(value.attrs["OCTAVE_RANGE_NELEM"])))[None]
    boolean = bool if "bool" in kind else None
    if "sparse" in kind:
        part = dict(file.items(value))
        shape = (int(part["nr"][()]), int(part["nc"][()]))
        return _sparse(file, [part[x] for x in ("data", "ridx", "cidx")], shape, boolean)
    if "struct" in kind or kind == "cell":
        inner = Struct({n: file.value(x) for n, x in file.items(value) if n != "dims"})
        if kind == "cell":
            return [inner[name] for name in sorted(inner, key=lambda name: int(name[1:]))]
        return inner if kind == "scalar struct" else _records(inner)
    found = file.numbers(value, turned=True, dtype=boolean)
    if "string" in kind:
        rows = np.atleast_2d(found.read())
        return lines([row.tobytes().decode("utf-8", "replace") for row in rows])
    scalar = Stored((1, 1), found.dtype, lambda: np.atleast_2d(found.read()))
    return found if found.shape else scalar


def of_matlab(file: OpenedHDF5, item: Any) -> Any:
    """Version 7.3: the class as an attribute, axes in reverse, cells as references."""
    kind = bytes(item.attrs.get("MATLAB_class", b"")).decode()
    boolean = bool if kind == "logical" else None
    if "MATLAB_sparse" in item.attrs:
        part = dict(file.items(item))
        shape = (int(item.attrs["MATLAB_sparse"]), part["jc"].size - 1)
        return _sparse(file, [part.get(x) for x in ("data", "ir", "jc")], shape, boolean)
    if not hasattr(item, "dtype"):
        children = dict(file.items(item))
        many = [name for name, child in children.items() if _is_many(child)]
        fields = {n: _cells(file, x) if n in many else file.value(x) for n, x in children.items()}
        return _records(fields) if many else Struct(fields)
    if item.attrs.get("MATLAB_empty", 0):
        empty = np.empty([int(n) for n in item[()]], _TYPES.get(kind, "f8"))
        return "" if kind == "char" else [] if kind in _LISTS else empty
    if kind == "cell":
        return _cells(file, item)
    if kind == "char":
        units = np.atleast_2d(file.numbers(item, turned=True, dtype=np.uint16).read())
        return lines([row.tobytes().decode("utf-16-le", "replace") for row in units])
    found = file.numbers(item, turned=True, dtype=boolean)
    return found if kind in _TYPES else text_or_opaque(kind, found.read, partial(_objects, file))


def _objects(file: OpenedHDF5) -> list[Any]:
    """The table of what MATLAB's objects hold."""
    table = dict(file.items(dict(file.items(file.file, ""))["#subsystem#"]))["MCOS"]
    return [partial(_numbers_at, file, reference) for reference in table[()].ravel()]


def _numbers_at(file: OpenedHDF5, reference: Any) -> np.ndarray:
    return file.numbers(file.file[reference], turned=True).read()


def _cells(file: OpenedHDF5, item: Any) -> list[Any]:
    return [file.value(item.file[reference]) for reference in item[()].ravel()]


def _sparse(file: OpenedHDF5, parts: list[Any], shape: tuple[int, int], kind: Any) -> Stored:
    """Numbers, rows and where columns start, as a dense array; nothing, where all are zero."""
    from scipy.sparse import csc_array

    held = None if parts[0] is None else file.numbers(parts[0], turned=False).dtype
    dtype = np.dtype(kind or held or float)

    def dense() -> np.ndarray:
        check_size(shape, dtype.itemsize, file.size)
        values, rows, starts = (
            np.empty(0) if part is None else file.numbers(part, turned=False).read().ravel()
            for part in parts
        )
        made = csc_array((values.astype(dtype), rows.astype(int), starts), shape=shape)
        return np.asarray(made.toarray())

    return Stored(shape, dtype, dense)


def _records(fields: dict[str, list[Any]]) -> list[Struct]:
    """An array of structs, which is stored field by field."""
    return [Struct(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]


def _is_many(item: Any) -> bool:
    """A field of an array of structs, which is not marked as a cell."""
    import h5py

    return getattr(item, "dtype", None) == h5py.ref_dtype and "MATLAB_class" not in item.attrs
