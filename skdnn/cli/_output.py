"""What commands print and write: tables, JSON, notes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skdnn.cli._frame import Arguments
from skdnn.cli._text import is_shown, visible

if TYPE_CHECKING:
    import pandas as pd


def show_table(table: pd.DataFrame, *, as_json: bool) -> None:
    """Print all rows for people, or a list of JSON objects for programs."""
    if as_json:
        print(_plain_json(_json(table)))
        return
    shown = table.rename(columns=visible).map(_cell)
    print(shown.to_string(index=False, max_rows=None, max_cols=None))


def _json(table: pd.DataFrame) -> str:
    return table.map(_encodable).to_json(
        orient="records", indent=1, force_ascii=False, default_handler=str
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else value


def _plain_json(text: str) -> str:
    """JSON whose strings steer no terminal either."""
    return "".join(
        letter if letter == "\n" or is_shown(letter) else _json_escaped(letter) for letter in text
    )


def _json_escaped(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _encodable(value: Any) -> Any:
    """Text that UTF-8 can hold: names of files may not be."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def show_facts(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a text for people, or the same facts as one JSON object."""
    if as_json:
        print(_plain_json(json.dumps(facts, indent=1, ensure_ascii=False, default=str)))
    else:
        print(visible(text, keep="\n"))


def note(text: str, arguments: Arguments) -> None:
    """Tell people how it goes, on stderr: what is printed on stdout may go to a program."""
    if not getattr(arguments, "quiet", False):
        print(visible(text), file=sys.stderr)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table as .csv, .tsv or .json, whole or not at all."""
    kind = path.suffix.lower()
    if kind == ".json":
        text = _json(table)
    else:
        text = table.map(_encodable).to_csv(index=False, sep="," if kind == ".csv" else "\t")
    write_file(path, text.encode("utf-8"))


def write_file(path: Path, content: bytes) -> None:
    """A file that is there whole or not at all; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
