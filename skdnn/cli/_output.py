"""What commands print and write: tables, JSON, notes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd


def show_table(table: pd.DataFrame, *, as_json: bool) -> None:
    """Print all rows for people, or a list of JSON objects for programs."""
    if as_json:
        print(table.to_json(orient="records", indent=1, force_ascii=False, default_handler=str))
        return
    shown = table.map(lambda value: "" if value is None else value)
    print(shown.to_string(index=False, max_rows=None, max_cols=None))


def show_facts(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a text for people, or the same facts as one JSON object."""
    print(json.dumps(facts, indent=1, ensure_ascii=False, default=str) if as_json else text)


def note(text: str, arguments: argparse.Namespace) -> None:
    """Tell people how it goes, on stderr: what is printed on stdout may go to a program."""
    if not getattr(arguments, "quiet", False):
        print(text, file=sys.stderr)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table as .csv, .tsv or .json, whole or not at all."""
    kind = path.suffix.lower()
    if kind == ".json":
        text = table.to_json(orient="records", indent=1, force_ascii=False)
    else:
        text = table.to_csv(index=False, sep="," if kind == ".csv" else "\t")
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


def listed(values: Iterable[Any]) -> str:
    """Names for a message: the first ten, and how many more."""
    names = [str(value) for value in values]
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
