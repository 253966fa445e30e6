"""Files that a command is given: regular ones only, and every error names its file."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# What says on its own where it comes from, or what to install.
_TOLD = (argparse.ArgumentError, ImportError)


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Read a file in this block: what would hang is refused, and errors come to name the file.

    Raises
    ------
    ValueError
        For a FIFO, device or socket, also in the place of a file that belongs to it; for any
        error that does not name the file.
    """
    check_regular(path, *_companions(Path(path)))
    try:
        yield
    except _TOLD:
        raise
    except Exception as error:
        if re.search(rf"(?<!\w){re.escape(Path(path).name)}(?!\w)", str(error)):
            raise
        raise ValueError(f"{path}: {reason(error)}") from error


def read_lines(path: str | Path) -> list[str]:
    """Lines of a text file that hold something."""
    with reading(path):
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def check_regular(*paths: str | Path) -> None:
    """Refuse what is there and no file or folder: to open a FIFO is to wait for its writer."""
    for path in paths:
        try:
            kind = stat.S_IFMT(os.stat(path).st_mode)
        except (OSError, ValueError):  # whoever needs it says that it is missing
            continue
        if kind in _KINDS:
            raise ValueError(f"{path} is {_KINDS[kind]}, not a file.")


def _companions(path: Path) -> Iterator[Path]:
    """Files that are read along with a file of features, where they are there."""
    if not path.name:
        return
    parts = parts_of(path)
    for each in (path, *parts):
        yield each.with_name(f"{each.name}.json")
    yield from parts
    yield path.with_name("file_names.txt")


def parts_of(path: Path) -> list[Path]:
    """Parts in which features of this name lie."""
    pattern = f"{glob.escape(path.stem)}.part-*{glob.escape(path.suffix)}"
    return sorted(path.parent.glob(pattern))


def reason(error: Exception) -> str:
    """What went wrong, for people: of an error that was not meant for them, its kind as well."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"it takes more memory than there is{f' ({text})' if text else ''}"
    if isinstance(error, UnicodeError):
        return f"it is no text in UTF-8 ({text})"
    if text and isinstance(error, ValueError | TypeError | OSError | ImportError):
        return text
    return f"{type(error).__name__}{f': {text}' if text else ''}"
