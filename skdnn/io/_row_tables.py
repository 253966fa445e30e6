"""Tables of numbers with a row for each image, whose names are told from their content."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from skdnn.io._load_features import load_features
from skdnn.io._split_files import sidecar

_TEXT = (".csv", ".tsv")
_IMAGES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"),
    *(".jfif", ".avif", ".heic"),
}


def load_tables(
    path: str | os.PathLike[str], rows: Sequence[str] | None = None
) -> tuple[list[str] | None, dict[str, pd.DataFrame]]:
    """Load tables of numbers whose rows are images, whatever file they are in.

    Parameters
    ----------
    path : str or path-like
        A text table (.csv, .tsv), with or without a header and names, or any file that
        :func:`~skdnn.load_features` reads.
    rows : sequence of str or None, default=None
        Names or paths of the images, where they are known: names may then be numbers.

    Returns
    -------
    names : list of str or None
        Of the rows; None where the file has none.
    tables : dict of str to DataFrame
        One for each area or layer in the file, by its name; ``""`` where there is only one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or holds something else than numbers behind the names.

    See Also
    --------
    open_features : Layers of a file as arrays that stay on disk.
    skdnn.encoding.align_responses : Bring rows into the order of images.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skdnn.io import load_tables
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "voxels.csv"
    ...     _ = file.write_text("image,v1,v2\\ncat,0.5,1\\ndog,2,3\\n")
    ...     names, tables = load_tables(file)
    >>> names, tables[""].shape
    (['cat', 'dog'], (2, 2))
    """
    place = Path(path)
    if place.suffix.lower() in _TEXT and place.is_file() and not sidecar(place).exists():
        try:
            loaded = load_features(place)
        except ValueError:  # said below, by column
            loaded = None
        if loaded is None or loaded.labels is None:  # names can be numbers, if images have them
            names, frame = _text_table(place, rows)
            return names, {"": frame}
    else:
        loaded = load_features(place)
    names = None if loaded.labels is None else list(map(str, loaded.labels))
    if not isinstance(loaded.features, dict):
        return names, {"": loaded.to_frame().reset_index(drop=True)}
    if not loaded.features:
        raise ValueError(f"{path} holds no array of numbers.")
    tables = {str(name): loaded.to_frame(name).reset_index(drop=True) for name in loaded.features}
    return names, tables


def _bare(name: str) -> str:
    """A name without the ending of an image file."""
    path = PurePath(name)
    return path.stem if path.suffix.lower() in _IMAGES else name


def _text_table(path: Path, rows: Sequence[str] | None) -> tuple[list[str] | None, pd.DataFrame]:
    """A table of numbers; its first column holds names unless all of it is numbers."""
    comma = "," if path.suffix.lower() == ".csv" else "\t"
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file, delimiter=comma), None)
    if not first:
        raise ValueError(f"{path} is empty.")
    stems = {_bare(PurePath(str(name)).name) for name in rows or ()}
    headed = _is_header(first, stems)
    table = pd.read_csv(
        path, sep=comma, header=0 if headed else None, dtype=str, encoding="utf-8-sig",
        keep_default_na=False,
    )  # fmt: skip
    column = table.iloc[:, 0]
    named = (
        (headed and first[0].strip() == "")
        or not all(map(_is_number, column))
        or (bool(stems) and stems <= set(column))
    )
    body = table.iloc[:, 1:] if named else table
    if body.shape[1] == 0:
        raise ValueError(f"{path} holds names, and no columns of numbers.")
    numbers = body.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    blank = body.apply(lambda cells: cells.str.strip().str.lower().isin(["", "nan", "na"]))
    wrong = np.argwhere((numbers.isna() & ~blank).to_numpy())
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"{path}: line {i + 1 + headed}, column {body.columns[j]!r} is {body.iloc[i, j]!r}, "
            "which is no number."
        )
    return (column.tolist() if named else None), numbers


def _is_header(cells: list[str], stems: set[str]) -> bool:
    """Whether the first row names columns; a row of data may begin with the name of an image."""
    if not all(map(_is_number, cells[1:])) or cells[0].strip() == "":
        return True
    if _is_number(cells[0]) or _bare(PurePath(cells[0]).name) in stems:
        return False
    return cells[1:] in ([str(n + k) for n in range(len(cells) - 1)] for k in (0, 1))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
