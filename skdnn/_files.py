"""Files that are there completely or not at all, and survive a power cut."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How the names of unfinished files begin.
TEMPORARY = ".tmp-"


@contextmanager
def replaced(path: Path, suffix: str = "") -> Iterator[Path]:
    """A temporary name beside `path`; what is written there is synced and takes its place.

    Missing folders are made; after an error nothing is left. `suffix` ends the temporary name,
    for libraries that choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}{suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have a file on disk before it is renamed."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sidecar(path: Path) -> Path:
    """The file beside a map that says what is in it, named as BIDS does."""
    stem = re.sub(r"(\.nii|\.func)?\.[a-z]+$", "", path.name)
    return path.with_name(f"{stem}.json")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError for a file that may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists: give overwrite=True to replace it, or another name."
        )


def write_whole(path: Path, content: bytes) -> None:
    """A file of these bytes."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
