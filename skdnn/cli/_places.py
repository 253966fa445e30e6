"""Files that a command is to write: looked at before the work, written whole after it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skdnn.cli._frame import Arguments
from skdnn.cli._output import write_file, write_table
from skdnn.cli._reading import check_regular
from skdnn.cli._text import listed

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".json")
PICTURES = (".png", ".pdf", ".svg", ".jpg")
RDM_FILES = (".csv", ".tsv", ".npy", ".npz", ".mat", ".h5")


def places(arguments: Arguments, endings: Sequence[str]) -> list[Path]:
    """The files of --out, if all of them can be written.

    Raises
    ------
    ValueError
        For an ending that is none of those.
    FileExistsError
        If one is there and may not be replaced.
    OSError
        If its folder can't be written to.
    """
    found = [Path(name) for name in arguments.out or []]
    wrong = [str(path) for path in found if path.suffix.lower() not in endings]
    if wrong:
        raise ValueError(f"--out {listed(wrong)}: the name must end in {', '.join(endings)}.")
    twice = {str(path) for path in found if found.count(path) > 1}
    if twice:
        raise ValueError(f"--out: given twice: {listed(twice)}.")
    check_free(found, arguments)
    return found


def check_free(paths: Sequence[Path], arguments: Arguments) -> None:
    """Refuse to replace files unasked, or to begin where nothing can be written."""
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(f"--out {path} is a folder: give the name of a file.")
        check_regular(path)
        if path.exists() and not arguments.overwrite:
            raise FileExistsError(f"{path} exists: give --overwrite, or another name.")
        folder = next(place for place in path.absolute().parents if place.exists())
        if not folder.is_dir():
            raise NotADirectoryError(f"--out {path}: {folder} is no folder.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"--out {path}: the folder {folder} can't be written to.")


def is_picture(path: Path) -> bool:
    """Whether a file's ending asks for a picture."""
    return path.suffix.lower() in PICTURES


def write_all(outs: Sequence[Path], table: pd.DataFrame, draw: Callable[[], Any]) -> None:
    """Each file as its ending says: the table, or the picture of it that is drawn anew."""
    for out in outs:
        if is_picture(out):
            save_picture(draw(), out)
        else:
            write_table(table, out)


def save_picture(drawn: Any, path: Path) -> None:
    """Write a figure, or what a display drew, whole or not at all; and forget it."""
    import matplotlib.pyplot as plt

    if not hasattr(drawn, "figure_"):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format=path.suffix[1:].lower(), dpi=200)
        plt.close(drawn)
        write_file(path, buffer.getvalue())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(path)
    plt.close(drawn.figure_)
