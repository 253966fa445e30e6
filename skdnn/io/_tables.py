"""Tables of text as pandas, R, MATLAB, numpy and spreadsheets write them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skdnn.io._content import Ask, DamageError, Raw
from skdnn.io._members import finished, is_naming

UNKNOWN = {"", "na", "n/a", "#n/a", "nan", "null", "none"}
_QUOTED_FIRST = re.compile(r'"[^"]*"[,;\t ]+[^"]*')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass
class Cells:
    """A table before it is known what is a name and what a number."""

    rows: list[list[str]]
    decimal: str
    # Beyond doubt the first column holds names: R leaves no cell above them, or quotes only them.
    named: bool


def read_table(path: Path, ask: Ask) -> Raw:
    """Features: a table of numbers with or without names of rows and columns."""
    if (bare := _bare(path)) is not None:
        return finished(Raw({"": bare}), path, ask)
    cells = read_cells(path)
    rows, n = cells.rows, 0
    while n < len(rows) - 1 and _is_header(rows, n):
        n += 1
    if n > 1 and not any(rows[n - 1][1:]):
        n -= 1
        del rows[n]  # pandas writes the name of the index into a row of its own
    head, body = rows[:n], rows[n:]
    start = _name_columns(head, body, cells.named)
    names = [row[start - 1] for row in body] if start else None
    if not any(row[start:] for row in body):
        raise DamageError("it holds names, and no columns of numbers")
    values = as_numbers([row[start:] for row in body], cells.decimal, n + 1, start + 1)
    columns = ["/".join(level) for level in zip(*(row[start:] for row in head), strict=True)]
    raw = Raw({"": values}, labels=names)
    if columns and len(set(columns)) == len(columns):
        raw.feature_names = columns
    return finished(raw, path, ask)


def read_cells(path: Path) -> Cells:
    """Rows of cells, each as long as the others; blank lines and comments are left out."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
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
    short = len(rows) > 1 and len(rows[0]) == len(rows[1]) - 1 and not all(map(is_number, rows[0]))
    if short:
        rows[0].insert(0, "")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DamageError(
                f"line {number} has {len(row)} cells, but the first has {len(rows[0]) - short}"
            )
    points = any("." in cell for row in rows[1:] for cell in row[1:])
    decimal = "," if comma == ";" or (comma != "," and not points) else "."
    lines = text.strip().splitlines()
    quoted = all(map(_QUOTED_FIRST.fullmatch, lines[1:] or lines))
    return Cells(rows, decimal, short or quoted)


def as_numbers(
    body: list[list[str]], decimal: str, first_row: int, first_column: int
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
                    made[i, j] = np.nan if cell.strip().lower() in UNKNOWN else float(cell)
                except ValueError:
                    raise DamageError(
                        f"line {i + first_row}, column {j + first_column} is {row[j]!r}, which is "
                        "no number"
                    ) from None
    return made


def is_number(cell: str) -> bool:
    """Whether a cell is one, with either decimal mark."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


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
        reader = csv.reader(
            lines, delimiter=comma, skipinitialspace=comma == " ", strict=True, escapechar=escape
        )
        try:
            return [row for row in reader if row]
        except csv.Error:
            continue
    raise DamageError("its quotation marks do not match")


def _is_header(rows: list[list[str]], n: int) -> bool:
    """Whether the cells of a row name columns, given that those of all rows above do."""
    row, below = rows[n], rows[n + 1]
    known = [cell for cell in row[1:] if cell.strip().lower() not in UNKNOWN]
    if n > 0:
        above = list(zip(*(row[1:] for row in rows[:n]), strict=True))
        if not known:
            return n > 1 and bool(row[0])  # the name of the index
        return len(set(above)) < len(above) or not any(map(is_number, known))
    if not all(map(is_number, known)) or (len(row) == 1 and not is_number(row[0])):
        return True
    if is_number(row[0]) or not known:
        return False
    counted = any(row[1:] == [str(k + n) for n in range(len(row) - 1)] for k in (0, 1))
    return counted or (not row[0].strip() and bool(below[0].strip()))


def _name_columns(head: list[list[str]], body: list[list[str]], named: bool) -> int:
    """How many columns stand before the numbers; the last of them holds names of rows."""
    columns = list(zip(*body, strict=True))
    corner = head[-1][0].strip() if head else "0"
    named = named or not corner or is_naming(corner) or corner.lower() in ("id", "index")
    named = named or not all(is_number(c) or c.strip().lower() in UNKNOWN for c in columns[0])
    count = named and any(columns[0] == tuple(str(k + n) for n in range(len(body))) for k in (0, 1))
    text = count and len(columns) > 1 and not any(map(is_number, columns[1]))
    return int(named) + int(text)
