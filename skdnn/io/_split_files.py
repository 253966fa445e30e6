"""Names of files and of parts of a split, and which rows go into which part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from pathlib import Path

_PART = re.compile(r"(?P<stem>.+)\.part-(?P<number>\d+)-of-(?P<of>\d+)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """A file whose name says that it is a part."""

    path: Path
    number: int
    of: int


def part_path(path: Path, number: int, of: int) -> Path:
    """``name.part-03-of-10.ext`` for ``name.ext``; the whole has its own name."""
    if of == 1:
        return path
    width = len(str(of))
    return path.with_name(f"{path.stem}.part-{number:0{width}d}-of-{of}{path.suffix}")


def sidecar(path: Path) -> Path:
    """The description beside a file that cannot hold one."""
    return path.with_name(f"{path.name}.json")


def whole_path(path: Path) -> Path | None:
    """``name.ext`` for ``name.part-03-of-10.ext``, None if it is no part."""
    found = _PART.fullmatch(path.stem)
    return path.with_name(found["stem"] + path.suffix) if found else None


def find_parts(path: Path) -> list[Part]:
    """Parts of ``name.ext`` in its folder, by number."""
    if not path.parent.is_dir():
        return []
    found = []
    for file in path.parent.iterdir():
        match = _PART.fullmatch(file.stem) if file.suffix == path.suffix else None
        if match and match["stem"] == path.stem and file.is_file():
            found.append(Part(file, int(match["number"]), int(match["of"])))
    return sorted(found, key=lambda part: (part.of, part.number, part.path.name))


def part_faults(parts: list[Part]) -> list[str]:
    """What the names alone tell: parts missing, doubled, or of two splits."""
    if len(of := {part.of for part in parts}) > 1:
        counts = " and ".join(map(str, sorted(of)))
        return [f"splits into {counts} parts lie side by side: remove those of the older one"]
    expected = parts[0].of
    faults = []
    for number in range(1, expected + 1):
        names = [part.path.name for part in parts if part.number == number]
        if not names:
            faults.append(f"part {number} of {expected} is missing")
        elif len(names) > 1:
            faults.append(f"part {number} is there twice: {', '.join(names)}")
    strange = [part.path.name for part in parts if not 1 <= part.number <= expected]
    return faults + [f"{name} has a number that cannot be" for name in strange]


def split_rows(n_rows: int, n_parts: int) -> list[tuple[int, int]]:
    """First row, and the one behind the last, of every part; sizes differ by one at most."""
    ends = [n_rows * number // n_parts for number in range(n_parts + 1)]
    return list(pairwise(ends))


def count_parts(
    n_rows: int, row_bytes: int, n_parts: int | None = None, max_bytes: int | None = None
) -> int:
    """How many parts are asked for, or an error if that cannot be done."""
    if n_parts is not None and max_bytes is not None:
        raise ValueError("Give n_parts or max_bytes, not both.")
    for name, value in (("n_parts", n_parts), ("max_bytes", max_bytes)):
        if value is not None and not isinstance(value, Integral):
            raise TypeError(f"{name} must be a whole number, got {value!r}.")
    if n_parts is not None:
        if not 1 <= n_parts <= max(n_rows, 1):
            raise ValueError(
                f"n_parts={n_parts!r} must lie between 1 and the number of rows, {n_rows}."
            )
        return n_parts
    if max_bytes is None:
        return 1
    if max_bytes < max(row_bytes, 1):
        raise ValueError(f"max_bytes={max_bytes!r} is less than one row, {row_bytes} bytes.")
    rows = max_bytes // max(row_bytes, 1)
    return max(1, -(-n_rows // rows))
