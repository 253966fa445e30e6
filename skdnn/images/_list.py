"""Image files below a folder, in one order on every system."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Extensions of image files, lower case; files count in any case (``.JPG``).
EXTENSIONS: tuple[str, ...] = (
    ".eps",
    ".jpg",
    ".jpeg",
    ".png",
    ".tif",
    ".tiff",
    ".bmp",
    ".webp",
    ".gif",
)


def natural_key(s: str) -> tuple[Any, ...]:
    """Sort key by which ``img2`` comes before ``img10``, the same on every system.

    Parameters
    ----------
    s : str
        A name or a path with ``/`` between its parts.

    Returns
    -------
    key : tuple
        To be compared with other keys only.

    Notes
    -----
    Paths are compared part by part. Runs of the digits 0-9 compare as numbers, the rest first
    without regard to case (composed and decomposed accents are one), by code point; ties are
    resolved by the code points of the whole string.

    Examples
    --------
    >>> sorted(["img10.png", "Img9.png", "img2.png", "img02.png"], key=natural_key)
    ['img02.png', 'img2.png', 'Img9.png', 'img10.png']
    """
    parts = [
        [
            (len(piece.lstrip("0")), piece.lstrip("0")) if i % 2 else piece
            for i, piece in enumerate(re.split("([0-9]+)", _folded(part)))
        ]
        for part in s.split("/")
    ]
    return (parts, s)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def list_images(root: str | os.PathLike[str]) -> list[Path]:
    """List the image files below a folder, in natural order.

    Parameters
    ----------
    root : str or path-like
        Folder, searched with all its subfolders; links to folders are followed.

    Returns
    -------
    paths : list of pathlib.Path
        Sorted by `natural_key` of the path relative to `root`, written with ``/``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.

    Notes
    -----
    Files with one of `EXTENSIONS` in any case. Hidden files and folders, whose names start with
    a dot (``.DS_Store``, ``._x.jpg``), are left out.
    """
    folder = Path(root).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"root: there is no folder {str(folder)!r}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"root: {str(folder)!r} is a file; give the folder.")
    found = list(_walk(folder, frozenset()))
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Image files below `folder`; a link back to a folder above is not entered again."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.suffix.lower() in EXTENSIONS:
            yield entry
