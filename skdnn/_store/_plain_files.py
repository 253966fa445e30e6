"""Files that may turn out to be something else: a pipe, a device, a folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

# How the names begin of what is not ours, and was in our way.
ASIDE = ".aside-"


class NotPlainError(ValueError):
    """A pipe, a device, a folder or a ring of links stands where a file should be."""


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read, without a buffer; a pipe is refused, not waited for.

    Raises
    ------
    NotPlainError
        If there is something, and it is no file.
    OSError
        As `open`.
    """
    try:
        is_plain = stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        is_plain = False
    if not is_plain:
        raise NotPlainError("it is no plain file")
    return open(path, "rb", buffering=0)


def remove(path: Path) -> None:
    """Remove what stands in the place of a file of ours; a folder that holds something is kept."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # systems differ in what they say of folders
        if not path.is_dir():
            raise
        try:
            path.rmdir()
        except OSError:
            set_aside(path)


def set_aside(path: Path) -> None:
    """Give a hidden name to what is not ours and in our way."""
    path.rename(path.with_name(f"{ASIDE}{os.urandom(4).hex()}-{path.name}"))
