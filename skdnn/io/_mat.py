"""Numbers in .mat files, of version 5 and of version 7.3, which is HDF5 with axes turned round."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._files import replaced

Version = Literal["7.3", "5"]
VERSIONS = ("7.3", "5")

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # what MATLAB puts before the HDF5 part
_CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}


class MatError(ValueError):
    """A file is no .mat file, is cut short, or does not hold what is looked for."""


_PASSED_ON = (MatError, FileNotFoundError, PermissionError, ImportError, MemoryError)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file is HDF5, be it MATLAB's or any other."""
    with open(path, "rb") as file:
        head = file.read(_USER_BLOCK + len(_HDF5))
    return head.startswith(_HDF5) or head[_USER_BLOCK:] == _HDF5


def read_mat(path: str | os.PathLike[str], name: str) -> Any:
    """Read one variable of a .mat file of version 5 or 7.3.

    Parameters
    ----------
    path : str or path-like
        The file; any other HDF5 file is read as one of version 7.3.
    name : str
        The variable.

    Returns
    -------
    value : ndarray or dict of str to ndarray
        The array with its axes as MATLAB shows them; a dict for a struct.

    Raises
    ------
    ValueError
        If the file is unreadable, cut short, or has no such variable of numbers.
    FileNotFoundError
        If there is no file.

    See Also
    --------
    skdnn.formats.write_mat : Write such a file; has an example.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.formats import read_mat, write_mat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mat(f"{folder}/a.mat", {"a": [[1, 2, 3]]}, version="5")
    ...     read_mat(f"{folder}/a.mat", "a")
    array([[1, 2, 3]])
    """
    try:
        return _read_hdf5(path, name) if is_hdf5(path) else _read_v5(path, name)
    except _PASSED_ON:
        raise
    except Exception as error:  # a broken file makes the libraries raise anything
        raise MatError(f"cannot be read ({_first_line(error)})") from error


def mat_shape(path: str | os.PathLike[str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array without reading it; also that the file is not cut short.

    Raises
    ------
    MatError, FileNotFoundError
        As `read_mat`, for what can be known without reading the numbers.
    """
    try:
        return _shape_hdf5(path, name) if is_hdf5(path) else _shape_v5(path, name)
    except _PASSED_ON:
        raise
    except Exception as error:  # a broken file makes the libraries raise anything
        raise MatError(f"cannot be read ({_first_line(error)})") from error


def write_mat(
    path: str | os.PathLike[str], variables: Mapping[str, Any], version: Version = "7.3"
) -> None:
    """Write arrays, and dicts of arrays as structs, into a .mat file.

    Parameters
    ----------
    path : str or path-like
        The file; an existing one is replaced.
    variables : mapping of str to array-like or mapping
        By name. One-dimensional arrays become rows; half precision, which MATLAB doesn't have,
        becomes single.
    version : {"7.3", "5"}, default="7.3"
        Of MATLAB's file format; 7.3 is HDF5.

    Raises
    ------
    ValueError
        If `version` is unknown.
    TypeError
        If something is no array of real numbers.

    See Also
    --------
    skdnn.formats.read_mat : Read a variable.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.formats import read_mat, write_mat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mat(f"{folder}/a.mat", {"a": [[1.5], [2.5]]})
    ...     read_mat(f"{folder}/a.mat", "a")
    array([[1.5],
           [2.5]])
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be '7.3' or '5', got {version!r}.")
    made = {name: _as_matlab(name, value) for name, value in variables.items()}
    with replaced(Path(path), ".mat") as temporary:
        if version == "7.3":
            _write_hdf5(temporary, made)
        else:
            savemat = import_optional("scipy.io", "to write .mat files").savemat
            savemat(temporary, made, long_field_names=True)


def _as_matlab(name: str, value: Any) -> Any:
    """An array of at least two dimensions of a type that MATLAB has; dicts recursively."""
    if isinstance(value, Mapping):
        return {str(key): _as_matlab(f"{name}.{key}", item) for key, item in value.items()}
    array = np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{name} is an array of {array.dtype}: only real numbers are written into .mat files."
        )
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return np.atleast_2d(array)


# --- version 7.3 -----------------------------------------------------------------------------


def _h5py() -> Any:
    return import_optional("h5py", "for MATLAB files of version 7.3 and HDF5")


def _write_hdf5(path: Path, variables: Mapping[str, Any]) -> None:
    with _h5py().File(path, "w", userblock_size=_USER_BLOCK) as file:
        for name, value in variables.items():
            _put(file, name, value)
    made = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
    text = f"MATLAB 7.3 MAT-file, Platform: skdnn, Created on: {made} HDF5 schema 1.00 ."
    header = text.encode().ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM"
    with open(path, "r+b") as file:
        file.write(header.ljust(_USER_BLOCK, b"\0"))


def _put(group: Any, name: str, value: Any) -> None:
    """One array, transposed, or one struct, with the class that MATLAB asks for."""
    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for key, item in value.items():
            _put(inner, key, item)
        return
    kind = _CLASSES.get(value.dtype.name, value.dtype.name)
    stored = value.astype(np.uint8) if value.dtype == bool else value
    if stored.size:
        dataset = group.create_dataset(name, data=stored.T)
    else:  # HDF5 has no empty arrays of MATLAB's kind: the shape stands for it
        dataset = group.create_dataset(name, data=np.array(stored.shape, dtype=np.uint64))
        dataset.attrs["MATLAB_empty"] = np.uint8(1)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind.encode())
    if value.dtype == bool:
        dataset.attrs["MATLAB_int_decode"] = np.uint8(1)


def _read_hdf5(path: str | os.PathLike[str], name: str) -> Any:
    with _h5py().File(path, "r") as file:
        return _get(_member(file, name), name)


def _get(item: Any, name: str) -> Any:
    if not hasattr(item, "dtype"):
        return {key: _get(item[key], f"{name}.{key}") for key in item}
    kind = bytes(item.attrs.get("MATLAB_class", b""))
    if item.dtype.kind not in "buif" or kind in (b"char", b"cell"):
        raise MatError(f"its variable {name!r} is no array of numbers")
    if item.attrs.get("MATLAB_empty", 0):
        return np.empty([int(n) for n in item[()]])
    values = np.asarray(item[()]).T
    return values.astype(bool) if kind == b"logical" else values


def _shape_hdf5(path: str | os.PathLike[str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _h5py().File(path, "r") as file:
        item = _member(file, name)
        if not hasattr(item, "dtype") or item.dtype.kind not in "buif":
            raise MatError(f"its variable {name!r} is no array of numbers")
        if item.attrs.get("MATLAB_empty", 0):
            return tuple(int(n) for n in item[()]), np.dtype(np.float64)
        return tuple(reversed(item.shape)), item.dtype


def _member(file: Any, name: str) -> Any:
    if name not in file:
        raise MatError(_no_variable(name, [key for key in file if not key.startswith("#")]))
    return file[name]


# --- version 5 -------------------------------------------------------------------------------


def _read_v5(path: str | os.PathLike[str], name: str) -> Any:
    _check_complete(path)
    loadmat = import_optional("scipy.io", "to read .mat files").loadmat
    file = loadmat(path, variable_names=[name])
    if name not in file:
        raise MatError(_no_variable(name, [found for found, *_ in _whosmat(path)]))
    return _unpacked(file[name], name)


def _unpacked(value: Any, name: str) -> Any:
    """A struct of MATLAB's as a dict."""
    if value.dtype.names is not None:
        return {key: _unpacked(value[key].item(), f"{name}.{key}") for key in value.dtype.names}
    if value.dtype.kind not in "buif":
        raise MatError(f"its variable {name!r} is no array of numbers")
    return value


def _shape_v5(path: str | os.PathLike[str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    _check_complete(path)
    found = {key: (shape, kind) for key, shape, kind in _whosmat(path)}
    if name not in found:
        raise MatError(_no_variable(name, list(found)))
    shape, kind = found[name]
    types = {"double": "float64", "single": "float32", "logical": "bool"}
    try:
        return tuple(shape), np.dtype(types.get(kind, kind))
    except TypeError:
        raise MatError(f"its variable {name!r} is no array of numbers") from None


def _whosmat(path: str | os.PathLike[str]) -> list[tuple[str, tuple[int, ...], str]]:
    found = import_optional("scipy.io", "to read .mat files").whosmat(path)
    return [(str(name), tuple(shape), str(kind)) for name, shape, kind in found]


def _check_complete(path: str | os.PathLike[str]) -> None:
    """Follow the lengths of the variables to the end of the file, which scipy does not."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(128)
        if len(head) < 128 or head[126:] not in (b"IM", b"MI"):
            raise MatError("no .mat file of version 5 or 7.3, or cut short")
        order = "<" if head[126:] == b"IM" else ">"
        place = 128
        while place < size:
            file.seek(place + 4)
            length = file.read(4)
            if len(length) < 4:
                raise MatError("cut short")
            place += 8 + struct.unpack(f"{order}I", length)[0]
    if place != size:
        raise MatError(f"cut short: {size} of {place} bytes")


def _no_variable(name: str, found: list[str]) -> str:
    has = f"only {', '.join(repr(key) for key in found[:5])}" if found else "none at all"
    return f"has no variable {name!r}, {has}"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
