"""What to download by hand, and where to put it, where a data set cannot be fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def how_to_place(data_set: str, files: Iterable[tuple[str, str]], folder: Path, why: str) -> str:
    """A message that tells the address of each file, and what is to know about it."""
    told = "\n".join(f"  {address}\n    {about}" for address, about in files)
    return (
        f"Files of the data set {data_set} are missing and could not be downloaded ({why}):\n"
        f"{told}\nTo place them by hand, download them on any computer and put them, under the "
        f"same names, into\n  {folder}"
    )


def sha256_of(path: Path) -> str:
    """The digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
