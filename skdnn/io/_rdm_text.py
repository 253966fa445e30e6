"""RDMs as tables of text."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._files import write_whole
from skdnn.io._rdm_check import RDMs, as_squares

EXTENSIONS = (".csv", ".tsv", ".txt")
_UNKNOWN = {"", "na", "n/a", "#n/a", "null", "none"}
_MOST_LEVELS = 6


def read(path: Path, key: str | None) -> RDMs:
    """What a text file says.

    Raises
    ------
    ValueError
        Naming the place that is no number, or saying that there is no RDM.
    """
    rows, decimal = _cells(path)
    n_levels = _header_rows(rows, path)
    named = n_levels > 0
    found = _labelled(rows, n_levels, decimal, path) if named else _plain(rows, decimal, path)
    if key is not None and found.names is None:
        raise ValueError(f"{path} holds one RDM without a name: key={key!r} picks none.")
    return found.only(key, path)


def write(rdms: RDMs, path: Path) -> None:
    """A table with names in the first row and column, or without any names.

    Raises
    ------
    ValueError
        For several RDMs without names of conditions.
    """
    buffer = io.StringIO()
    comma = "," if path.suffix.lower() == ".csv" else "\t"
    returns = any("\r" in str(label) for label in rdms.labels or ())
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    out = csv.writer(buffer, delimiter=comma, lineterminator="\n", quoting=quoting)
    names = [()] if rdms.names is None else rdms.names
    if rdms.labels is None and rdms.names is not None:
        raise ValueError(
            "A text file of several RDMs tells them apart by the labels of their conditions: give "
            "labels=, or save as .h5, .mat or .npy."
        )
    if rdms.labels is not None:
        labels = [str(label) for label in rdms.labels]
        if len(set(labels)) < len(labels):
            raise ValueError("Labels of conditions are the same text: rename them.")
        for level, what in enumerate(rdms.levels[:-1]):
            header = [str(name[level]) for name in names for _ in labels]
            out.writerow([_corner(what), *header])
        out.writerow([_corner(rdms.levels[-1]), *labels * len(names)])
    values = np.hstack(rdms.squares).tolist()
    for number, row in enumerate(values):
        start = [] if rdms.labels is None else [str(rdms.labels[number])]
        out.writerow([*start, *row])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue().encode("utf-8"))


def _cells(path: Path) -> tuple[list[list[str]], str]:
    """Rows of cells, and the decimal mark."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: save it as such.") from error
    first = text.partition("\n")[0]
    if path.suffix.lower() == ".csv":
        comma = ";" if first.count(";") > first.count(",") else ","
    else:
        comma = "\t" if "\t" in first or path.suffix.lower() == ".tsv" else " "
    if comma == " ":
        rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    else:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=comma))
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError(f"{path} is empty.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path}: line {number} has {len(row)} cells, but the first has {len(rows[0])}."
            )
    return rows, "," if comma == ";" else "."


def _header_rows(rows: list[list[str]], path: Path) -> int:
    """How many rows of names stand above the numbers, of a table whose rows are named as well.

    Raises
    ------
    ValueError
        If numbers could be names, or dissimilarities around a diagonal that is left blank.
    """
    for n_levels in range(1, min(_MOST_LEVELS, len(rows) - 1)):
        if _is_number(rows[n_levels - 1][0]):
            return 0
        if n_levels > 1 and not any(rows[n_levels][1:]):
            del rows[n_levels]  # pandas writes the name of the index into a row of its own
        names = [row[0] for row in rows[n_levels:]]
        if set(rows[n_levels - 1][1:]) == set(names):
            blank = not any(rows[k][k] for k in range(min(len(rows), len(rows[0]))))
            if blank and all(map(_is_number, names)):
                raise ValueError(
                    f"{path}: its first row and column could be names or dissimilarities, since "
                    "its diagonal is blank: fill the diagonal with zeros."
                )
            return n_levels
    return 0


def _labelled(rows: list[list[str]], n_levels: int, decimal: str, path: Path) -> RDMs:
    labels = [row[0] for row in rows[n_levels:]]
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise ValueError(f"{path}: labels of rows repeat: {', '.join(map(repr, twice[:5]))}.")
    values = _numbers([row[1:] for row in rows[n_levels:]], decimal, path, n_levels + 1, 2)
    levels = [row[0] or None for row in rows[:n_levels]]
    keys = list(zip(*(row[1:] for row in rows[: n_levels - 1]), strict=True))
    columns = rows[n_levels - 1][1:]
    keys = keys or [()] * len(columns)
    squares = []
    for key in dict.fromkeys(keys):
        place = {columns[j]: j for j, other in enumerate(keys) if other == key}
        n_columns = sum(other == key for other in keys)
        if set(place) != set(labels) or n_columns != len(labels):
            name = "/".join(key)
            raise ValueError(
                f"{path}{f', {name}' if name else ''}: its {n_columns} columns are not those of "
                f"its {len(labels)} rows, once each."
            )
        squares.append(values[:, [place[label] for label in labels]])
    names = list(dict.fromkeys(keys)) if n_levels > 1 else None
    return RDMs(squares, labels, names, levels)


def _plain(rows: list[list[str]], decimal: str, path: Path) -> RDMs:
    """A table of numbers, with names in one place or none."""
    top = len(rows) == len(rows[0]) + 1 or _one_line(rows)
    side = len(rows) + 1 == len(rows[0])
    top = top and not all(map(_is_number, rows[0]))
    side = side and not all(_is_number(row[0]) for row in rows)
    labels = rows[0] if top else [row[0] for row in rows] if side else None
    body = [row[side:] for row in rows[top:]]
    if _names_differ(rows):
        raise ValueError(_differing(rows, path))
    values = _numbers(body, decimal, path, 1 + top, 1 + side)
    found = as_squares(values)
    if found is None:
        raise ValueError(
            f"{path} holds no RDM of three or more conditions, but a table of {values.shape[0]} "
            f"rows and {values.shape[1]} columns of numbers: a square table is needed, or the "
            "n(n-1)/2 values above its diagonal."
        )
    squares, single = found
    if labels is not None and len(labels) != len(squares[0]):
        labels = None  # names of pairs
    width = len(str(len(squares)))
    names = None if single else [(f"rdm-{k:0{width}}",) for k in range(1, len(squares) + 1)]
    return RDMs(squares, labels, names, [None] if single else ["subject", "condition"])


def _one_line(rows: list[list[str]]) -> bool:
    """Condensed under a header."""
    return len(rows) == 2 or (len(rows[0]) == 1 and not _is_number(rows[0][0]))


def _names_differ(rows: list[list[str]]) -> bool:
    """Whether a square table is named at both sides, but not alike."""
    named = len(rows) == len(rows[0]) > 3 and not _is_number(rows[0][0])
    return named and not all(_is_number(cell) for cell in rows[0][1:])


def _differing(rows: list[list[str]], path: Path) -> str:
    above, beside = rows[0][1:], [row[0] for row in rows[1:]]
    only_above = [name for name in above if name not in beside][:5]
    only_beside = [name for name in beside if name not in above][:5]
    return (
        f"{path}: rows and columns are named differently: {', '.join(map(repr, only_beside))} "
        f"only in the rows, {', '.join(map(repr, only_above))} only in the columns."
    )


def _numbers(
    body: list[list[str]], decimal: str, path: Path, first_row: int, first_column: int
) -> np.ndarray:
    """Cells as numbers; empty ones are unknown."""
    made = np.empty((len(body), len(body[0]) if body else 0))
    for i, row in enumerate(body):
        cells = [cell.replace(",", ".") for cell in row] if decimal == "," else row
        try:
            made[i] = np.array(cells, dtype=np.float64)
        except ValueError:
            for j, cell in enumerate(cells):
                try:
                    made[i, j] = np.nan if cell.strip().lower() in _UNKNOWN else float(cell)
                except ValueError:
                    raise ValueError(
                        f"{path}: line {i + first_row}, column {j + first_column} is "
                        f"{cell!r}, which is no number."
                    ) from None
    return made


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _corner(name: Any) -> str:
    """What stands above the labels of rows: no number, by which tables without names are known."""
    text = "" if name is None else str(name)
    return "" if _is_number(text) else text
