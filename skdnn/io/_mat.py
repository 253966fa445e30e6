"""MATLAB files: versions 4 and 5 through scipy, and 7.3, which is HDF5 with axes turned round."""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash

from skdnn._optional import import_optional
from skdnn.io._content import (
    HEADER,
    MARK,
    Ask,
    Content,
    DamageError,
    Raw,
    Stored,
    check_size,
    is_text,
)
from skdnn.io._files import ExternalError, replaced
from skdnn.io._hdf5 import Opened, is_hdf5
from skdnn.io._members import Opaque, Struct, finished, gathered

Version = Literal["7.3", "5"]
VERSIONS = ("7.3", "5")
# What version 5 can hold in one variable.
V5_BYTES = 2**31

_TEXT = 116  # how long the text is at the start of all versions
_OURS = re.compile(rf"{MARK} ([0-9a-f]{{32}})".encode())
_USER_BLOCK = 512  # what MATLAB puts before the HDF5 part
_CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}
_NUMBERS = {matlab: numpy for numpy, matlab in _CLASSES.items()}
_IDENTIFIER = 63
_OCTAVE = (b"# Created by Octave", b"Octave-1-", b"\x1f\x8b")


class MatError(DamageError):
    """A file is no .mat file, is cut short, or does not hold what is looked for."""


_PASSED_ON = (MatError, ExternalError, FileNotFoundError, PermissionError, ImportError)


def read_mat(path: str | os.PathLike[str], name: str, *, external: bool = False) -> Any:
    """Read one variable of a .mat file of version 4, 5 or 7.3.

    Parameters
    ----------
    path : str or path-like
        The file; any other HDF5 file is read as one of version 7.3.
    name : str
        The variable.
    external : bool, default=False
        Follow links to other files, which a file of version 7.3 can hold.

    Returns
    -------
    value : ndarray, str, list or dict
        Numbers with their axes as MATLAB shows them, dense and of the type that they have there;
        text; a list for the rows of a char matrix, a cell (column by column) or an array of
        structs; a dict for a struct.

    Raises
    ------
    ValueError
        If the file is unreadable, cut short, leads to other files, or has no such variable of
        real numbers or text.
    FileNotFoundError
        If there is no file.

    See Also
    --------
    skdnn.formats.write_mat : Write such a file.

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
        return read_variable(path, name, external)
    except MatError as error:
        raise MatError(f"{os.fspath(path)}: {error}") from error


def read_variable(path: str | os.PathLike[str], name: str, external: bool = False) -> Any:
    """The same, with errors that leave it to others to name the file."""
    with _variable(path, name, external) as value:
        return _read(value, name)


def mat_shape(path: str | os.PathLike[str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array without reading it; raises as `read_mat` does."""
    with _variable(path, name) as value:
        if hasattr(value, "dtype") and value.dtype.kind in "buif":
            return value.shape, value.dtype
        raise MatError(f"its variable {name!r} is no array of numbers")


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
        _write(temporary, made, version)


# --- saved features --------------------------------------------------------------------------


def write(path: Path, content: Content, version: Version | None = None) -> None:
    """``features`` (a struct of layers), ``labels``, ``targets``, and the header.

    By default of version 5, which every program reads, or 7.3 from 2 GB on.
    """
    numbers = [s.n_bytes * (2 if s.dtype == np.float16 else 1) for s in content.sources]
    size = sum(numbers) + sum(getattr(x, "nbytes", 0) for x in content.beside().values())
    if version == "5" and size >= V5_BYTES:
        raise ValueError(
            f"The features take {size} bytes, and a .mat file of version 5 ends at {V5_BYTES}: "
            'use format="mat" or "mat-v7.3", or split them with max_bytes=.'
        )
    arrays = [_as_matlab("features", source.whole()) for source in content.sources]
    names = fields([source.name for source in content.sources])
    made: dict[str, Any] = {
        "features": arrays[0] if content.single else dict(zip(names, arrays, strict=True))
    }
    for name, value in content.beside().items():
        column = value[:, None] if isinstance(value, np.ndarray) and value.ndim == 1 else value
        made[name] = column if isinstance(column, list) else _as_matlab(name, column)
    made[HEADER] = content.header()
    _write(path, made, version or ("7.3" if size >= V5_BYTES else "5"), seal=True)


def read(path: Path, ask: Ask) -> Raw:
    """Ours, or all variables of numbers of anyone's."""
    with open(path, "rb") as start:
        said = _OURS.search(start.read(_TEXT))
    # Before scipy sees it: what is damaged can end the process in there.
    if said and said[1].decode() != _digest(path):
        raise DamageError("it is not what was saved (its digest differs)")
    try:
        if is_hdf5(path):
            with Opened(path, ask.external, turned=True) as file:
                tree = file.tree("labels") if HEADER in file.file else file.tree()
                raw = finished(gathered(tree), path, ask, _key, said is not None)
        else:
            raw = finished(gathered(_of_v5(path)), path, ask, _key, said is not None)
    except MatError as error:
        raise DamageError(f"it is {error}") from error
    raw.unchecked = said is not None
    return raw


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


def _key(names: list[str], single: bool) -> list[str]:
    return ["features"] if single else [f"features.{field}" for field in fields(names)]


# --- writing ---------------------------------------------------------------------------------


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


def _write(path: Path, variables: Mapping[str, Any], version: str, *, seal: bool = False) -> None:
    """All variables, behind a text that names the program and, sealed, holds a digest."""
    if version == "7.3":
        h5py = import_optional("h5py", "for MATLAB files of version 7.3")
        with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
            for name, value in variables.items():
                _put(file, name, value)
    else:
        cells = {k: v if not is_text(v) else _cells(v) for k, v in variables.items()}
        savemat = import_optional("scipy.io", "to write .mat files").savemat
        savemat(path, cells, long_field_names=True)
    with open(path, "r+b") as file:
        if version == "7.3":
            file.write(bytes(_TEXT + 8) + struct.pack("<H", 0x0200) + b"IM")
            file.flush()
            file.seek(0)
        made = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
        about = f"{MARK} {_digest(path)}" if seal else f"Platform: skdnn, Created on: {made}"
        end = " HDF5 schema 1.00 ." if version == "7.3" else ""
        text = f"MATLAB {version.replace('5', '5.0')} MAT-file, {about}{end}"
        file.write(text.encode().ljust(_TEXT))


def _digest(path: Path) -> str:
    """Of all that stands behind the text."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        file.seek(_TEXT)
        while block := file.read(2**24):
            digest.update(block)
    return digest.hexdigest()


def _cells(texts: list[str]) -> np.ndarray:
    return np.array([*texts, None], dtype=object)[:-1, None]


def _put(group: Any, name: str, value: Any) -> Any:
    """An array, transposed, text, a cell of texts or a struct, with MATLAB's class."""
    h5py = import_optional("h5py", "for MATLAB files of version 7.3")
    if isinstance(value, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_(b"struct")
        for key, item in value.items():
            _put(inner, key, item)
        return inner
    if isinstance(value, list):
        places = group.require_group("#refs#")
        texts = [_put(places, f"{name}{n}", text).ref for n, text in enumerate(value)]
        references = np.array([texts], dtype=h5py.ref_dtype)
        data = group.create_dataset(name, data=references, dtype=h5py.ref_dtype)
        data.attrs["MATLAB_class"] = np.bytes_(b"cell")
        return data
    if text := isinstance(value, str):
        value = np.frombuffer(value.encode("utf-16-le", "replace"), np.uint16)[None]
    stored = value.astype(np.uint8) if value.dtype == bool else value
    if stored.size:
        data = group.create_dataset(name, data=stored.T)
    else:  # HDF5 has no empty arrays of MATLAB's kind: the shape stands for it
        data = group.create_dataset(name, data=np.array(stored.shape, dtype=np.uint64))
        data.attrs["MATLAB_empty"] = np.uint8(1)
    kind = "char" if text else _CLASSES.get(value.dtype.name, value.dtype.name)
    data.attrs["MATLAB_class"] = np.bytes_(kind.encode())
    if text or value.dtype == bool:
        data.attrs["MATLAB_int_decode"] = np.int32(2) if text else np.uint8(1)
    return data


# --- reading ---------------------------------------------------------------------------------


@contextmanager
def _variable(path: str | os.PathLike[str], name: str, external: bool = False) -> Iterator[Any]:
    """One variable, its arrays still on disk; errors while they are read are told as damage."""
    try:
        if is_hdf5(path):
            with Opened(Path(path), external, turned=True) as file:
                items = dict(file.items(file.file))
                yield file.value(_found(items, name))
        else:
            shape, kind = _found(_whosmat(path), name)
            if re.fullmatch(r"double|single|logical|u?int\d+", kind):
                dtype = np.dtype(_NUMBERS.get(kind, kind))
                yield Stored(shape, dtype, lambda: np.asarray(_of_v5(path, name)[name]))
            else:
                yield _of_v5(path, name)[name]
    except _PASSED_ON:
        raise
    except Exception as error:  # a broken file makes the libraries raise anything
        raise MatError(f"cannot be read ({_first_line(error)})") from error


def _found(variables: Mapping[str, Any], name: str) -> Any:
    if name in variables:
        return variables[name]
    has = f"only {', '.join(map(repr, list(variables)[:5]))}" if variables else "none at all"
    raise MatError(f"has no variable {name!r}, {has}")


def _read(value: Any, name: str) -> Any:
    """What was found, with all numbers in memory."""
    if isinstance(value, Mapping):
        return {key: _read(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, name) for item in value]
    value = value.read() if isinstance(value, Stored) and value.dtype.kind != "c" else value
    kind = value if isinstance(value, Opaque) else getattr(value, "dtype", np.dtype(int))
    if isinstance(value, Opaque) or np.dtype(kind).kind not in "buif":
        raise MatError(f"its variable {name!r} is no array of numbers, but {kind}")
    return value


def _of_v5(path: str | os.PathLike[str], name: str | None = None) -> dict[str, Any]:
    """One or all variables, of version 4 or 5, with the types that they have in MATLAB."""
    about = _whosmat(path)
    for shape, _ in about.values():
        check_size(shape, 8, os.path.getsize(path))
    loadmat = import_optional("scipy.io", "to read .mat files").loadmat
    # Ours has labels in its header as well, and thousands of cells are slow.
    names = [one for one in about if HEADER not in about or one != "labels"]
    names = names if name is None else [name]
    # Types inside of structs and cells scipy alone can tell, at the price of a copy.
    nested = any(about[one][1] in ("struct", "cell") for one in names if one in about)
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
                raise MatError(f"unreadable at {one!r} ({_first_line(error)})") from error
        raise
    for key in found.keys() & about.keys():
        if (dtype := _NUMBERS.get(about[key][1])) and found[key].dtype.kind in "buif":
            found[key] = found[key].astype(dtype, copy=False)
    return {key: _plain(value) for key, value in found.items() if key in about}


def _plain(value: Any) -> Any:
    """Without scipy's wrapping: dict, list, str, and dense arrays of numbers."""
    if hasattr(value, "toarray"):
        size = value.data.nbytes
        return Stored(value.shape, value.dtype, lambda: _dense(value, size))
    if type(value).__name__ in ("MatlabOpaque", "MatlabFunction", "MatlabObject"):
        return Opaque("string" if b"string" in value.tobytes() else "an object")
    if value.dtype.names is not None:
        names = value.dtype.names
        structs = [Struct((key, _plain(item[key])) for key in names) for item in value.ravel("F")]
        return structs[0] if value.size == 1 else structs
    if value.dtype == object:
        return [_plain(item) for item in value.ravel("F")]
    if value.dtype.kind == "U":
        lines = [str(line) for line in value.ravel()]
        return "".join(lines) if len(lines) < 2 else [line.rstrip(" \0") for line in lines]
    return value


def _dense(value: Any, size: int) -> np.ndarray:
    check_size(value.shape, value.dtype.itemsize, size)
    return np.asarray(value.toarray())


def _whosmat(path: str | os.PathLike[str]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and classes of the variables, of a file that is whole."""
    _check_complete(path)
    found = import_optional("scipy.io", "to read .mat files").whosmat(path)
    return {str(name): (tuple(shape), str(kind)) for name, shape, kind in found}


def _check_complete(path: str | os.PathLike[str]) -> None:
    """Follow the lengths of the variables to the end of the file, which scipy does not."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(128)
        if head.startswith(_OCTAVE):
            raise MatError("in Octave's own format, or packed: save it there with -v7 or -hdf5")
        if len(head) >= 20 and 0 in head[:4]:
            return  # version 4, of which scipy says if it is cut short
        if len(head) < 128 or head[126:] not in (b"IM", b"MI"):
            raise MatError("no .mat file of version 4, 5 or 7.3, or cut short")
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


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
