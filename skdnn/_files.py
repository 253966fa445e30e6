"""Files that survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path

# How the names of unfinished files begin.
TEMPORARY = ".tmp-"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, sync it and rename it."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}-{path.name}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
