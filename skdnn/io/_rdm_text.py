"""RDMs as tables of text."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._files import write_whole
from skdnn.io._content import DamageError
from skdnn.io._rdm_check import RDMs, as_squares
from skdnn.io._tables import Cells, as_numbers, is_number, read_cells

EXTENSIONS = (".csv", ".tsv", ".txt")
_MOST_LEVELS = 6


def read(path: Path) -> RDMs:
    """What a text file says; a ValueError names the place that is no number, or tells why not."""
    cells = read_cells(path)
    n_levels = _header_rows(cells.rows)
    return _labelled(cells, n_levels) if n_levels else _plain(cells)


def write(rdms: RDMs, path: Path) -> None:
    """A table with names in the first row and column, or without any names."""
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
    for number, row in enumerate(np.hstack(rdms.squares).tolist()):
        start = [] if rdms.labels is None else [str(rdms.labels[number])]
        out.writerow([*start, *row])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue().encode("utf-8"))


def _header_rows(rows: list[list[str]]) -> int:
    """How many rows of names stand above the numbers, of a table whose rows are named as well."""
    for n_levels in range(1, min(_MOST_LEVELS, len(rows) - 1)):
        if is_number(rows[n_levels - 1][0]):
            return 0
        above = set(rows[n_levels - 1][1:])
        if n_levels > 1 and not any(rows[n_levels][1:]) and rows[n_levels][0] not in above:
            del rows[n_levels]  # pandas writes the name of the index into a row of its own
        names = [row[0] for row in rows[n_levels:]]
        if above == set(names):
            blank = not any(rows[k][k] for k in range(min(len(rows), len(rows[0]))))
            if blank and all(map(is_number, names)):
                raise DamageError(
                    "its first row and column could be names or dissimilarities, since its "
                    "diagonal is blank: fill the diagonal with zeros"
                )
            return n_levels
    return 0


def _labelled(cells: Cells, n_levels: int) -> RDMs:
    head, body = cells.rows[:n_levels], cells.rows[n_levels:]
    labels = [row[0] for row in body]
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise DamageError(f"labels of rows repeat: {', '.join(map(repr, twice[:5]))}")
    values = as_numbers([row[1:] for row in body], cells.decimal, n_levels + 1, 2)
    columns = head[-1][1:]
    keys = list(zip(*(row[1:] for row in head[:-1]), strict=True)) or [()] * len(columns)
    squares = []
    for key in dict.fromkeys(keys):
        place = {columns[j]: j for j, other in enumerate(keys) if other == key}
        n_columns = keys.count(key)
        if set(place) != set(labels) or n_columns != len(labels):
            raise DamageError(
                f"{'/'.join(key)}: its {n_columns} columns are not those of its {len(labels)} "
                "rows, once each"
            )
        squares.append(values[:, [place[label] for label in labels]])
    names = list(dict.fromkeys(keys)) if n_levels > 1 else None
    return RDMs(squares, labels, names, [row[0] or None for row in head])


def _plain(cells: Cells) -> RDMs:
    """A table of numbers, with names in one place or none."""
    rows = cells.rows
    top = len(rows) == len(rows[0]) + 1 or len(rows) == 2 or len(rows[0]) == 1
    side = len(rows) + 1 == len(rows[0])
    top = top and not all(map(is_number, rows[0]))
    side = side and (cells.named or not all(is_number(row[0]) for row in rows))
    labels = rows[0] if top else [row[0] for row in rows] if side else None
    both = len(rows) == len(rows[0]) > 3 and not is_number(rows[0][0])
    if both and not all(map(is_number, rows[0][1:])):
        raise DamageError(_differing(rows))
    body = [row[side:] for row in rows[top:]]
    found = as_squares(as_numbers(body, cells.decimal, 1 + top, 1 + side))
    if found is None:
        raise DamageError(
            f"it holds no RDM of three or more conditions, but a table of {len(body)} rows and "
            f"{len(body[0])} columns of numbers: a square table is needed, or the n(n-1)/2 values "
            "above its diagonal"
        )
    squares, single = found
    if labels is not None and len(labels) != len(squares[0]):
        labels = None  # names of pairs
    return RDMs.counted(squares, labels, single=single)


def _differing(rows: list[list[str]]) -> str:
    above, beside = rows[0][1:], [row[0] for row in rows[1:]]
    only_above = [name for name in above if name not in beside][:5]
    only_beside = [name for name in beside if name not in above][:5]
    return (
        f"rows and columns are named differently: {', '.join(map(repr, only_beside))} only in the "
        f"rows, {', '.join(map(repr, only_above))} only in the columns"
    )


def _corner(name: Any) -> str:
    """What stands above the labels of rows: no number, by which tables without names are known."""
    text = "" if name is None else str(name)
    return "" if is_number(text) else text
