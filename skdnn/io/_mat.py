"""MATLAB files: versions 4 and 5 through scipy, and 7.3, which is HDF5 with axes turned round."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from scipy.io import savemat

from skdnn._files import replaced
from skdnn.io._hdf5 import OpenedHDF5
from skdnn.io._hdf5_links import is_hdf5
from skdnn.io._mat5 import CLASSES, NUMBERS, read_variables, variables
from skdnn.io._reading import Ask, DamageError, Opaque, Raw, Stored, damage_told, is_text
from skdnn.io._row_names import finished, gathered
from skdnn.io._saved_header import HEADER, MARK, Content

Version = Literal["7.3", "5"]
VERSIONS = ("7.3", "5")
# What version 5 can hold in one variable.
V5_BYTES = 2**31

_TEXT = 116  # how long the text is at the start of all versions
_OURS = re.compile(rf"{MARK} ([0-9a-f]{{32}})".encode())
_USER_BLOCK = 512  # what MATLAB puts before the HDF5 part
_IDENTIFIER = 63


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
        text; a list for the rows of a char matrix, a cell or string array (column by column) or
        an array of structs; a dict for a struct.

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
    except DamageError as error:
        raise DamageError(f"{os.fspath(path)}: {error}") from error


def read_variable(path: str | os.PathLike[str], name: str, external: bool = False) -> Any:
    """The same, with errors that leave it to others to name the file."""
    with _variable(path, name, external) as value:
        return _read(value, name)


def mat_shape(path: str | os.PathLike[str], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array without reading it; raises as `read_mat` does."""
    with _variable(path, name) as value:
        if hasattr(value, "dtype") and value.dtype.kind in "buif":
            return value.shape, value.dtype
        raise DamageError(f"its variable {name!r} is no array of numbers")


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
    if is_hdf5(path):
        with OpenedHDF5(path, ask.external, turned=True) as file:
            tree = file.tree("labels") if HEADER in file.file else file.tree()
            raw = finished(gathered(tree), path, ask, _key, said is not None)
    else:
        raw = finished(gathered(read_variables(path)), path, ask, _key, said is not None)
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
        import h5py

        with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
            for name, value in variables.items():
                _put(file, name, value)
    else:
        cells = {k: v if not is_text(v) else _cells(v) for k, v in variables.items()}
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
    import h5py

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
    kind = "char" if text else CLASSES.get(value.dtype.name, value.dtype.name)
    data.attrs["MATLAB_class"] = np.bytes_(kind.encode())
    if text or value.dtype == bool:
        data.attrs["MATLAB_int_decode"] = np.int32(2) if text else np.uint8(1)
    return data


# --- reading ---------------------------------------------------------------------------------


@contextmanager
def _variable(path: str | os.PathLike[str], name: str, external: bool = False) -> Iterator[Any]:
    """One variable, its arrays still on disk; errors while they are read are told as damage."""
    with damage_told(path):
        if is_hdf5(path):
            with OpenedHDF5(Path(path), external, turned=True) as file:
                items = dict(file.items(file.file))
                yield file.value(_found(items, name))
        else:
            about = _found(variables(path), name)
            if re.fullmatch(r"double|single|logical|u?int\d+", about.kind):
                dtype = np.dtype(NUMBERS.get(about.kind, about.kind))
                yield Stored(about.shape, dtype, lambda: read_variables(path, name)[name])
            else:
                yield read_variables(path, name)[name]


def _found(variables: Mapping[str, Any], name: str) -> Any:
    if name in variables:
        return variables[name]
    has = f"only {', '.join(map(repr, list(variables)[:5]))}" if variables else "none at all"
    raise DamageError(f"it has no variable {name!r}, {has}")


def _read(value: Any, name: str) -> Any:
    """What was found, with all numbers in memory."""
    if isinstance(value, Mapping):
        return {key: _read(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, name) for item in value]
    value = value.read() if isinstance(value, Stored) and value.dtype.kind != "c" else value
    held = value if isinstance(value, str | Opaque) else value.dtype
    if not isinstance(held, str) and (isinstance(held, Opaque) or held.kind not in "buif"):
        raise DamageError(f"its variable {name!r} is no array of numbers or text, but {held}")
    return value
