"""What is printed: tables, facts, notes and errors, in text that steers no terminal."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_BREAK = re.compile(r"(?P<colon>:?)\s*\n\s*(- )?")


def visible(text: Any, *, keep: str = "") -> str:
    """Text without anything that steers a terminal; line breaks too, unless they are to be kept.

    Control characters, broken UTF-8 and marks that change the direction of writing are shown
    as escapes, as Python writes them.
    """
    return "".join(
        letter
        if letter in keep or _is_shown(letter)
        else letter.encode("unicode_escape").decode("ascii")
        for letter in str(text)
    )


def _is_shown(letter: str) -> bool:
    """Whether a terminal shows this letter and does nothing else."""
    if letter.isprintable():
        return True
    return unicodedata.category(letter) in ("Zs", "Cn", "Co") or letter in "\u200c\u200d"


def _print_json(text: str) -> None:
    """JSON whose strings steer no terminal either."""
    print(
        "".join(
            letter if letter == "\n" or _is_shown(letter) else json.dumps(letter)[1:-1]
            for letter in text
        )
    )


# --- results -------------------------------------------------------------------------------------


def show_table(table: pd.DataFrame, *, as_json: bool) -> None:
    """Print all rows for people, or a list of JSON objects for programs."""
    if as_json:
        _print_json(json_rows(table))
        return
    shown = table.rename(columns=visible).map(
        lambda value: "" if value is None else visible(value) if isinstance(value, str) else value
    )
    print(shown.to_string(index=False, max_rows=None, max_cols=None))


def as_text(table: pd.DataFrame, digits: int = 4) -> str:
    """A table for people, with so many digits behind the point."""
    return table.to_string(index=False, float_format=f"{{:.{digits}f}}".format)


def json_rows(table: pd.DataFrame) -> str:
    """A JSON object for each row."""
    return encodable(table).to_json(
        orient="records", indent=1, force_ascii=False, default_handler=str
    )


def encodable(table: pd.DataFrame) -> pd.DataFrame:
    """The table in text that UTF-8 can hold: names of files may not be."""
    return table.map(
        lambda value: (
            value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        )
    )


def records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of a table for :func:`show_facts`: what is not known is None."""
    return table.astype(object).where(table.notna(), None).to_dict(orient="records")


def show_facts(facts: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a text for people, or the same facts as one JSON object."""
    if as_json:
        _print_json(json.dumps(facts, indent=1, ensure_ascii=False, default=str))
    else:
        print(visible(text, keep="\n"))


# --- how it goes, on stderr: what is printed on stdout may go to a program -----------------------


def note(text: str, arguments: argparse.Namespace) -> None:
    """Tell people how it goes, unless they want it quiet."""
    if not getattr(arguments, "quiet", False):
        print(visible(text), file=sys.stderr)


def reason(error: Exception) -> str:
    """What went wrong, for people: of an error that was not meant for them, its kind as well."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"it takes more memory than there is{f' ({text})' if text else ''}"
    if isinstance(error, UnicodeError):
        return f"it is no text in UTF-8 ({text})"
    if isinstance(error, OSError) and error.filename is not None:  # in the system's own words
        name = os.fsdecode(error.filename)
        if isinstance(error, FileNotFoundError):
            return f"there is no file {name}"
        if isinstance(error, IsADirectoryError):
            return f"{name} is a folder, and a file is needed"
        return f"{name}: {error.strerror}"
    if text and isinstance(error, ValueError | TypeError | OSError | ImportError):
        return text
    return f"{type(error).__name__}{f': {text}' if text else ''}"


def one_line(text: str) -> str:
    """A message of several lines in one."""
    return visible(_BREAK.sub(lambda found: ": " if found["colon"] else "; ", text.strip()))
