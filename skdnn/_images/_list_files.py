"""Image files below a folder, in one order on every system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from skdnn._labels import natural_key

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
