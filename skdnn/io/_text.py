"""Text files (.txt, .csv): N-dimensional arrays as two-dimensional slices under headings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from skdnn.io._content import Content, Raw, Source, wanted

_FIRST = "# skdnn features, described in the .json file beside this one"
_ARRAY = "# array "
_SLICE = "# slice "
# Nine digits are enough for every float32 to be read as itself; Python's own for float64.
_DIGITS: dict[str, Callable[[Any], str]] = {
    "float16": "{:.6g}".format,
    "float32": "{:.9g}".format,
    "float64": repr,
    "bool": "{:d}".format,
}


def write_txt(path: Path, content: Content) -> None:
    """Numbers between spaces."""
    _write(path, content, " ")


def write_csv(path: Path, content: Content) -> None:
    """Numbers between commas."""
    _write(path, content, ",")


def read_txt(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or one table of anyone's."""
    return _read(path, layers, " ")


def read_csv(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or one table of anyone's."""
    return _read(path, layers, ",")


def is_ours(path: Path) -> bool:
    """Whether the description must lie beside the file."""
    with open(path, "rb") as file:
        return file.readline().rstrip() == _FIRST.encode()


def _write(path: Path, content: Content, comma: str) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{_FIRST}\n")
        for source in content.sources:
            file.write(_ARRAY + json.dumps(source.describe()) + "\n")
            row = 0
            for block in source.blocks():
                _write_block(file, source, block, row, comma)
                row += len(block)


def _write_block(file: TextIO, source: Source, block: np.ndarray, row: int, comma: str) -> None:
    """Rows of an array: each last axis is a line; from three axes on, slices have headings."""
    if not block.size:
        return
    write = _DIGITS.get(source.dtype.name, str)
    if block.ndim <= 2:
        lines = block.reshape(len(block), -1).tolist()
        file.writelines(comma.join(map(write, line)) + "\n" for line in lines)
        return
    for index in np.ndindex(block.shape[:-2]):
        where = ", ".join(map(str, (index[0] + row, *index[1:])))
        file.write(f"{_SLICE}[{where}, :, :]\n")
        lines = block[index].tolist()
        file.writelines(comma.join(map(write, line)) + "\n" for line in lines)


def _read(path: Path, layers: list[str] | None, comma: str) -> Raw:
    if not is_ours(path):
        wanted([""], layers)
        return Raw({"": _read_foreign(path, comma)})
    entries = dict(_sections(path))
    arrays = {}
    for name in wanted(list(entries), layers):
        entry, first, stop = entries[name]
        arrays[name] = _read_section(path, entry, first, stop, comma)
    return Raw(arrays)


def _read_foreign(path: Path, comma: str) -> np.ndarray:
    """A table, with or without names of columns."""
    delimiter = comma if comma != " " else None
    try:
        return np.loadtxt(path, delimiter=delimiter, ndmin=2)
    except ValueError:
        return np.loadtxt(path, delimiter=delimiter, ndmin=2, skiprows=1)


def _sections(path: Path) -> Iterator[tuple[str, tuple[dict[str, Any], int, int]]]:
    """Names of the arrays, with description, first line, and the line behind the last."""
    open_entry: dict[str, Any] | None = None
    start = number = 0
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            if line.startswith(_ARRAY):
                if open_entry is not None:
                    yield open_entry["name"], (open_entry, start, number)
                open_entry, start = json.loads(line.removeprefix(_ARRAY)), number + 1
    if open_entry is not None:
        yield open_entry["name"], (open_entry, start, number + 1)


def _read_section(
    path: Path, entry: dict[str, Any], first: int, stop: int, comma: str
) -> np.ndarray:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if not np.prod(shape, dtype=np.int64):
        return np.empty(shape, dtype)
    # Half precision and booleans are parsed as types that numpy parses.
    simple: dict[str, type[Any]] = {"f": np.float64, "b": np.uint8}
    parsed: np.dtype[Any] = np.dtype(simple.get(dtype.kind, dtype))
    with open(path, encoding="utf-8") as file:
        lines = (line for number, line in enumerate(file) if first <= number < stop)
        values = np.loadtxt(lines, parsed, comments="#", delimiter=comma, ndmin=2)
    return values.astype(dtype).reshape(shape)
