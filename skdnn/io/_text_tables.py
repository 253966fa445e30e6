"""Tables of text as pandas, R, MATLAB, numpy and spreadsheets write them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from skdnn._labels import without_ending
from skdnn.io._reading import Ask, DamageError, Raw
from skdnn.io._row_names import finished

_UNKNOWN = {"", "na", "n/a", "#n/a", "nan", "null", "none"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_QUOTED_FIRST = re.compile(r'"[^"]*"[,;\t ]+[^"]*')
# Over a column of whole numbers, these say that it names rows.
_CORNER = re.compile(
    r"(image|img|stim\w*|file|name|label|cond\w*|item|exemplar|object|picture|path|id|index)s?"
    r"[_. ]?(id|name|file|path|number)?",
    re.IGNORECASE,
)
_LEVEL = re.compile(rf"(voxel|unit|channel|neuroid|neuron|feature|{_CORNER.pattern})", re.I)
_MOST_LEVELS = 6


@dataclass
class Table:
    """Numbers, with the names of rows and columns where there are any."""

    values: np.ndarray
    names: list[str] | None
    head: list[list[str]]  # rows of names, the outer level first
    corners: list[str]  # what stands before these


def read(path: Path, ask: Ask) -> Raw:
    """Features."""
    table = read_table(path, ask.known)
    raw = Raw({"": table.values}, labels=table.names)
    columns = ["/".join(levels) for levels in zip(*table.head, strict=True)]
    raw.feature_names = columns if columns and len(set(columns)) == len(columns) else None
    return finished(raw, path, ask)


def read_table(path: Path, known: frozenset[str] = frozenset()) -> Table:
    """A table of anyone's; a DamageError names the cell that is no number.

    Some names of rows may be `known`, which can then be numbers.
    """
    numbered = bool(known) and all(map(is_number, known))
    if not numbered and (bare := _bare(path)) is not None:
        return Table(bare, None, [], [])
    rows, decimal, named = _cells(path)
    by_names = _levels_by_names(rows)
    n, start = by_names or _levels_by_kind(rows, known)
    head, body = rows[:n], rows[start:]
    named = named or by_names is not None or (numbered and known <= {row[0] for row in body})
    first = _first_number(head, body, named)
    if not any(row[first:] for row in body):
        raise DamageError("it holds names, and no columns of numbers")
    values = np.empty((len(body), len(body[0]) - first))
    for number, row in enumerate(body):
        values[number] = _numbers(row, first, decimal, start + number + 1)
    names = [row[first - 1] for row in body] if first else None
    return Table(values, names, [row[first:] for row in head], [row[0] for row in head])


def is_number(cell: str) -> bool:
    """Whether a cell is one, with either decimal mark."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _unknown(cell: str) -> bool:
    return cell.strip().lower() in _UNKNOWN


def _bare(path: Path) -> np.ndarray | None:
    """Numbers and nothing else, the quick way; None if there is more."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = next((line for line in file if line.strip() and not line.startswith("#")), "x")
    if not all(map(is_number, re.split(r"[,\s]+", first.strip()))):
        return None
    try:
        return np.loadtxt(path, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=2)
    except ValueError:
        return None


def _cells(path: Path) -> tuple[list[list[str]], str, bool]:
    """Rows of equal length, the decimal mark, and whether the first column names rows for sure."""
    content = path.read_bytes()
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamageError("it is no text in UTF-8: save it as such") from error
    while text.startswith("# "):  # a heading as numpy writes it
        text = text.partition("\n")[2]
    comma = _comma(text, path.suffix.lower())
    if comma == " ":
        lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
        text = "\n".join(re.sub(r"\t+", " ", line) for line in lines)
    rows = _split(text, comma)
    if not rows:
        raise DamageError("it is empty")
    # R leaves no cell above names of rows.
    short = len(rows) > 1 and len(rows[0]) == len(rows[1]) - 1
    short = short and (text.lstrip().startswith('"') or not all(map(is_number, rows[0])))
    rows[0] = [""] * short + rows[0]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            held = len(rows[0]) - short
            raise DamageError(f"line {number} has {len(row)} cells, but the first has {held}")
    points = any("." in cell for row in rows[1:] for cell in row[1:])
    decimal = "," if comma == ";" or (comma != "," and not points) else "."
    lines = text.strip().splitlines()
    return rows, decimal, short or all(map(_QUOTED_FIRST.fullmatch, lines[1:] or lines))


def _comma(text: str, suffix: str) -> str:
    """What stands between cells, by the first line without its quoted parts."""
    first = next((line for line in text.splitlines() if not line.startswith("#")), "")
    first = _QUOTED.sub('""', first)
    semicolons, commas = first.count(";"), first.count(",")
    if suffix == ".tsv" or ("\t" in first and not (suffix == ".csv" and semicolons + commas)):
        return "\t"
    if semicolons > (commas if suffix == ".csv" else 0):
        return ";"
    bare = re.sub(r",\s*", ",", first.strip())
    return "," if suffix == ".csv" or ("," in bare and not re.search(r"\s", bare)) else " "


def _split(text: str, comma: str) -> list[list[str]]:
    """Quotes in names are doubled, or as in R follow a backslash."""
    for escape in (None, "\\"):
        lines = io.StringIO(text, newline="")
        blanks = comma == " "
        made = csv.reader(
            lines, delimiter=comma, skipinitialspace=blanks, strict=True, escapechar=escape
        )
        try:
            return [row for row in made if row]
        except csv.Error:
            continue
    raise DamageError("its quotation marks do not match")


def _levels_by_names(rows: list[list[str]]) -> tuple[int, int] | None:
    """Of an RDM: how many rows name its columns, and where the rows of the same names begin."""
    for n in range(1, min(_MOST_LEVELS, len(rows) - 1)):
        corner, above = rows[n - 1][0], set(rows[n - 1][1:])
        if is_number(corner) or (corner and _unknown(corner)):
            return None
        # pandas writes the name of the index into a row of its own
        start = n + (n > 1 and not any(rows[n][1:]) and rows[n][0] not in above)
        names = [row[0] for row in rows[start:]]
        if above == set(names):
            blank = not any(rows[k][k] for k in range(min(len(rows), len(rows[0]))))
            if blank and all(map(is_number, names)):
                raise DamageError(
                    "its first row and column could be names or dissimilarities, since its "
                    "diagonal is blank: fill the diagonal with zeros"
                )
            return n, start
    return None


def _levels_by_kind(rows: list[list[str]], names: frozenset[str]) -> tuple[int, int]:
    """How many rows name columns, and where the numbers begin."""
    n = 0
    while n < len(rows) - 1 and _is_header(rows, n, names):
        n += 1
    return n - (n > 1 and not any(rows[n - 1][1:])), n


def _is_header(rows: list[list[str]], n: int, names: frozenset[str]) -> bool:
    """Whether the cells of a row name columns, given that those of all rows above do."""
    row = rows[n]
    known = [cell for cell in row[1:] if not _unknown(cell)]
    if n > 0:
        if not known:
            return n > 1 and bool(row[0])  # the name of the index
        levels = list(zip(*(row[1:] for row in rows[:n]), strict=True))
        corner = row[0].strip()
        told = not corner or _LEVEL.fullmatch(corner) or not any(rows[n + 1][1:])
        return bool(told) and (len(set(levels)) < len(levels) or not any(map(is_number, known)))
    if not all(map(is_number, known)) or (len(row) == 1 and not is_number(row[0])):
        return True
    if is_number(row[0]) or not known or without_ending(PurePath(row[0]).name) in names:
        return False
    counted = any(row[1:] == [str(k + m) for m in range(len(row) - 1)] for k in (0, 1))
    counted = counted and (len(row) > 3 or _CORNER.fullmatch(row[0]) is not None)
    return counted or (not row[0].strip() and bool(rows[1][0].strip()))


def _first_number(head: list[list[str]], body: list[list[str]], named: bool) -> int:
    """Which column is the first of numbers; the one before it names rows."""
    columns = list(zip(*body, strict=True))
    first, corner = columns[0], head[-1][0].strip() if head else "0"
    counts = any(first == tuple(str(k + n) for n in range(len(body))) for k in (0, 1))
    ids = all(cell.isdigit() for cell in first) and len(set(first)) == len(first)
    named = named or not corner or not all(is_number(c) or _unknown(c) for c in first)
    named = named or (ids and _CORNER.fullmatch(corner) is not None)
    # R counts the rows of a table and keeps their names behind that.
    return named + (named and counts and len(columns) > 1 and not any(map(is_number, columns[1])))


def _numbers(row: list[str], first: int, decimal: str, line: int) -> np.ndarray:
    """Cells as numbers; empty ones are unknown."""
    cells = [cell.replace(",", ".") for cell in row] if decimal == "," else row
    try:
        return np.array(cells[first:], dtype=np.float64)
    except ValueError:
        told = [_unknown(cell) or (is_number(cell) and "," not in cell) for cell in cells]
        wrong = [n for n in range(first, len(row)) if not told[n]]
    if wrong:
        raise DamageError(
            f"line {line}, column {wrong[0] + 1} is {row[wrong[0]]!r}, which is no number"
        )
    return np.array([np.nan if _unknown(cell) else float(cell) for cell in cells[first:]])
