"""Text files of ours (.txt, .csv): arrays as two-dimensional slices under headings."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from skdnn.io import _text_tables
from skdnn.io._reading import Ask, DamageError, Raw, wanted
from skdnn.io._saved_header import Content, Source
from skdnn.io._split_files import sidecar

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


def is_ours(path: Path) -> bool:
    """Whether the description must lie beside the file."""
    with open(path, "rb") as file:
        return file.readline().rstrip() == _FIRST.encode()


def _write(path: Path, content: Content, *, comma: str) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{_FIRST}\n")
        for source in content.sources:
            about = {**source.describe(), "save": content.save}
            file.write(f"{_ARRAY}{json.dumps(about)}\n")
            row = 0
            for block in source.blocks():
                _write_block(file, source, block, row, comma)
                row += len(block)


def _write_block(file: TextIO, source: Source, block: np.ndarray, row: int, comma: str) -> None:
    """Rows of an array: each last axis is a line; from three axes on, slices have headings."""
    write = _DIGITS.get(source.dtype.name, str)
    for index in np.ndindex(block.shape[:-2]) if block.size else ():
        if index:
            where = ", ".join(map(str, (index[0] + row, *index[1:])))
            file.write(f"{_SLICE}[{where}, :, :]\n")
        table = block[index] if index else block.reshape(len(block), -1)
        file.writelines(comma.join(map(write, line)) + "\n" for line in table.tolist())


def _read(path: Path, ask: Ask, *, comma: str) -> Raw:
    """Ours, or one table of anyone's."""
    if ask.header is None:
        return _text_tables.read(path, ask)
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise DamageError("it is cut short: its last line has no end")
    places = _sections(path)
    entries = {entry["name"]: entry for entry in ask.header["arrays"]}
    arrays = {}
    for name in wanted(list(entries), ask.layers):
        said, lines = places.get(name, ({"shape": None}, slice(0)))
        about = {**entries[name], "save": ask.header["save"]}
        if any(said.get(key, about[key]) != about[key] for key in ("shape", "dtype", "save")):
            raise DamageError(f"it is not the file that {sidecar(path).name} describes")
        arrays[name] = _read_section(path, said, lines, comma)
    return Raw(arrays, ask.header)


def _sections(path: Path) -> dict[str, tuple[dict[str, Any], slice]]:
    """The arrays by name: what the heading says, and the lines below it."""
    with open(path, encoding="utf-8") as file:
        heads = {n: line for n, line in enumerate(file) if line.startswith(_ARRAY)}
    found = {}
    for (start, line), stop in zip(heads.items(), [*heads, None][1:], strict=True):
        entry = json.loads(line.removeprefix(_ARRAY))
        found[entry["name"]] = (entry, slice(start + 1, stop))
    return found


def _read_section(path: Path, entry: dict[str, Any], rows: slice, comma: str) -> np.ndarray:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if not math.prod(shape):
        return np.empty(shape, dtype)
    # Half precision and booleans are parsed as types that numpy parses.
    simple: dict[str, type[Any]] = {"f": np.float64, "b": np.uint8}
    parsed: np.dtype[Any] = np.dtype(simple.get(dtype.kind, dtype))
    with open(path, encoding="utf-8") as file:
        lines = islice(file, rows.start, rows.stop)
        values = np.loadtxt(lines, parsed, comments="#", delimiter=comma, ndmin=2)
    if values.size != math.prod(shape):
        raise DamageError(f"its array {entry['name']!r} has {values.size} numbers, not {shape}")
    return values.astype(dtype).reshape(shape)


write_txt, read_txt = partial(_write, comma=" "), partial(_read, comma=" ")
write_csv, read_csv = partial(_write, comma=","), partial(_read, comma=",")
