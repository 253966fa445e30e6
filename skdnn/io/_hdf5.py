"""HDF5: our own files, and members of anyone's by the marks of the program that wrote them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from skdnn.io._hdf5_dialects import of_hdf5
from skdnn.io._hdf5_links import open_hdf5
from skdnn.io._hdf5_matlab_octave import of_matlab, of_octave
from skdnn.io._reading import Ask, DamageError, Opaque, Raw, Stored, check_size
from skdnn.io._row_names import finished, gathered
from skdnn.io._saved_header import HEADER, MARK, VERSION, Content


def write(path: Path, content: Content) -> None:
    """``features``, or a group of one data set per layer; ``labels``, ``targets``; the header."""
    import h5py

    with h5py.File(path, "w") as file:
        places = key([source.name for source in content.sources], content.single)
        for place, source in zip(places, content.sources, strict=True):
            data = file.create_dataset(place, shape=source.shape, dtype=source.dtype)
            row = 0
            for block in source.blocks():
                if block.size:
                    data[row : row + len(block)] = block
                row += len(block)
        for name, value in {**content.beside(), HEADER: content.header()}.items():
            text = None if isinstance(value, np.ndarray) else h5py.string_dtype()
            file.create_dataset(name, data=value, dtype=text)
        file.attrs[MARK] = VERSION


def read(path: Path, ask: Ask) -> Raw:
    """Ours, or all arrays of numbers of anyone's, with the names of their rows."""
    with OpenedHDF5(path, ask.external, mmap=ask.mmap) as file:
        raw = of_hdf5(file, path, ask)
        if raw is None:
            raw = finished(gathered(file.tree()), path, ask, key, MARK in file.file.attrs)
        raw.mapped = ask.mmap
        return raw


def key(names: list[str], single: bool) -> list[str]:
    """Where layers lie: a slash would make a group, a dot would mean this one."""
    if single:
        return ["features"]
    quoted = [quote(name, safe=" @,+:;=!$&'()*[]") for name in names]
    return [f"features/{q if q.strip('.') else q.replace('.', '%2E')}" for q in quoted]


class OpenedHDF5:
    """An HDF5 file; what lies in other files is read only if `external` allows it.

    With `turned`, axes of all arrays are turned round, as in MATLAB's files; in what MATLAB and
    Octave marked as theirs they always are.
    """

    def __init__(
        self, path: Path, external: bool = False, *, mmap: bool = False, turned: bool = False
    ) -> None:
        self._path, self._external, self._mmap, self._turned = path, external, mmap, turned
        self._seen: set[Any] = set()
        self.size = os.path.getsize(path)
        self.file = open_hdf5(path, external)

    def __enter__(self) -> OpenedHDF5:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def tree(self, *but: str) -> dict[str, Any]:
        """All members: numbers, text, lists and dicts of these."""
        items = self.items(self.file)
        return {name: self.value(item) for name, item in items if name not in but}

    def items(self, group: Any, hidden: str = "#") -> Iterator[tuple[str, Any]]:
        """Members of a group but for references (`hidden`), dead links, and PyTables' own."""
        for name in group:
            item = None if hidden and name.startswith(hidden) else group.get(name)
            if item is not None and item.attrs.get("CLASS") != b"TINDEX":
                yield name, item

    def value(self, item: Any) -> Any:
        """What a member holds; arrays stay on disk."""
        if "OCTAVE_NEW_FORMAT" in item.attrs:
            return of_octave(self, item)
        if "MATLAB_class" in item.attrs or "MATLAB_sparse" in item.attrs:
            return of_matlab(self, item)
        if hasattr(item, "dtype"):
            return self._of_anyone(item)
        if item.id in self._seen:  # a group that holds itself
            return {}
        self._seen.add(item.id)
        return {name: self.value(child) for name, child in self.items(item)}

    def numbers(self, data: Any, *, turned: bool, dtype: Any = None) -> Stored:
        """A data set, still on disk."""
        imaginary = data.dtype.names == ("real", "imag")
        dtype = np.dtype(complex if imaginary else dtype or data.dtype)
        shape = data.shape[::-1] if turned else data.shape

        def read() -> np.ndarray:
            if self._mmap:
                return self._mapped(data)
            if not self._external:
                check_size(shape, data.dtype.itemsize, self.size)
            values = np.asarray(data[()])
            return (values.T if turned else values).astype(dtype, copy=False)

        return Stored(shape, dtype, read)

    def _mapped(self, data: Any) -> np.ndarray:
        offset = data.id.get_offset()  # in the file, where the numbers lie in one piece
        if data.external or data.file.filename != self.file.filename:
            raise DamageError(f"{data.name} lies in another file, so mmap=True cannot map it")
        if offset is None and data.size:
            raise DamageError(f"{data.name} is stored in pieces, so mmap=True cannot map it")
        if offset is None:
            return np.empty(data.shape, data.dtype)
        return np.memmap(self._path, data.dtype, "r", offset, data.shape)

    def _of_anyone(self, data: Any) -> Any:
        """Numbers, or text along one axis."""
        import h5py

        if data.shape is None:
            return Opaque("nothing")
        found = self.numbers(data, turned=self._turned)
        if h5py.check_string_dtype(data.dtype) is None:
            return found if data.dtype.kind in "buifc" else Opaque(str(data.dtype))
        if max(data.shape, default=1) < data.size:
            return Opaque("a table of text")
        check_size(data.shape, data.dtype.itemsize, self.size)
        values = data.asstr(errors="replace")[()]
        return values if isinstance(values, str) else [str(text) for text in values.ravel()]
