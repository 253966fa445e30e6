"""Files that a command is to write: looked at before the work, written whole after it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skdnn._files import replaced, write_whole
from skdnn._wording import listed
from skdnn.cli._arguments import Arguments
from skdnn.cli._input_files import check_regular
from skdnn.cli._terminal import encodable, json_rows, visible

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".json")
PICTURES = (".png", ".pdf", ".svg", ".jpg")
MAPS = (".nii.gz", ".nii")
REPORTS = (".html", ".skdnn.json")
RDM_FILES = (".csv", ".tsv", ".npy", ".npz", ".mat", ".h5")


def checked_outs(
    arguments: Arguments, endings: Sequence[str] = (*TABLES, *PICTURES, *REPORTS)
) -> list[Path]:
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
    wrong = [path for path in found if _ending(path) not in endings]
    if wrong:
        raise ValueError(
            f"--out {listed(wrong, 10, visible)}: the name must end in {', '.join(endings)}."
        )
    twice = {str(path) for path in found if found.count(path) > 1}
    if twice:
        raise ValueError(f"--out: given twice: {listed(twice, 10, visible)}.")
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


def _ending(path: Path) -> str:
    """The suffix of a name, both of a compressed map; maps are written in small letters alone."""
    if path.name.endswith(".nii.gz"):
        return ".nii.gz"
    small = path.suffix.lower()
    return path.suffix if small in (".nii", ".gz") else small


def is_map(path: Path) -> bool:
    """Whether a file's ending asks for a map of voxels."""
    return _ending(path) in MAPS


def map_files(
    out: Path, subjects: Sequence[str], quantities: Sequence[str]
) -> dict[tuple[str, str], Path]:
    """A file for each subject and quantity, with both in its name where there are several."""
    ending = out.name[-len(_ending(out)) :]
    stem = out.name.removesuffix(ending)
    several = (len(subjects) > 1, len(quantities) > 1)
    files = {}
    for key in itertools.product(subjects, quantities):
        parts = [part for part, named in zip(key, several, strict=True) if named]
        files[key] = out.with_name("_".join([stem, *parts]) + ending)
    return files


def is_picture(path: Path) -> bool:
    """Whether a file's ending asks for a picture."""
    return path.suffix.lower() in PICTURES


def is_report(path: Path) -> bool:
    """Whether a file's name asks for a report, or for the results that it is made of."""
    return path.name.lower().endswith(REPORTS)


def write_all(
    outs: Sequence[Path], table: pd.DataFrame, draw: Callable[[], Any] | None = None
) -> None:
    """Each file as its ending says: the table, or the picture of it that is drawn anew.

    Reports are written when the command is done, tables before pictures that may fail.
    """
    for out in sorted(outs, key=is_picture):
        if draw is not None and is_picture(out):
            save_picture(draw(), out)
        elif not is_report(out):
            write_table(table, out)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A table as .csv, .tsv or .json, whole or not at all."""
    kind = path.suffix.lower()
    if kind == ".json":
        text = json_rows(table)
    else:
        text = encodable(table).to_csv(index=False, sep="," if kind == ".csv" else "\t")
    write_whole(path, text.encode("utf-8"))


def save_picture(drawn: Any, path: Path) -> None:
    """Write a figure, or what a display drew, whole or not at all; and forget it."""
    import matplotlib.pyplot as plt

    if hasattr(drawn, "figure_"):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure = drawn.save(path).figure_
    else:
        figure = drawn
        with replaced(path, path.suffix) as temporary:
            figure.savefig(temporary, dpi=200)
    plt.close(figure)
