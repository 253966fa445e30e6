"""Features that THINGSvision wrote in several files, whose names number them or their rows."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from skdnn._labels import ImageNames
from skdnn._wording import listed
from skdnn.io._file_formats import by_extension
from skdnn.io._reading import DamageError, Raw, Stored
from skdnn.io._row_names import FILE_NAMES, joined, names_of, read_names

# features_01.npy, or by first row and the one behind the last features_train_0-64.npy.
_NUMBERED = re.compile(r"(?P<stem>features.*?)_(?P<first>\d+)(-(?P<stop>\d+))?")


def find_numbered(path: Path) -> list[Path] | None:
    """Files that a folder or a pattern stands for: one, or all parts in order; None for others.

    Raises
    ------
    FileNotFoundError, ValueError
        If nothing fits the pattern, or several features do, or a part is missing.
    """
    in_folder = path.is_dir()
    if not in_folder and (path.exists() or not glob.has_magic(path.name)):
        return None
    fits = path.glob("features*") if in_folder else path.parent.glob(path.name)
    found: dict[str, list[Path]] = {}
    for file in fits:
        if file.is_file() and by_extension(file) is not None:
            match = _NUMBERED.fullmatch(file.stem)
            whole = f"{match['stem']}_*{file.suffix}" if match else file.name
            found.setdefault(whole, []).append(file)
    if len(found) > 1:
        names = listed(sorted(found), show=str)
        raise ValueError(f"path={str(path)!r} could be any of {names}: say which.")
    if not found and in_folder:
        return None
    if not found:
        raise FileNotFoundError(f"There is no file {path}.")
    (files,) = found.values()
    return _in_order(files) if is_numbered(files[0]) else files


def join(raws: list[Raw], files: list[Path]) -> Raw:
    """All rows, and their names, which lie beside the parts or in the folder above."""
    folders = (files[0].parent, files[0].absolute().parent.parent)
    names = next((n for folder in folders if (n := read_names(folder)) is not None), None)
    made = Raw({}, notes=[note for raw in raws for note in raw.notes])
    parts: list[Stored] = []
    own: list[list[str] | None] = []  # names that the parts hold
    for raw, file in zip(raws, files, strict=True):
        if file.suffix.lower() == ".mat":  # a variable for each image
            if twice := sorted(made.arrays.keys() & raw.arrays.keys()):
                raise DamageError(f"{file.name} and a part before it both hold {twice[0]!r}")
            made.arrays |= raw.arrays
            continue
        ((place, rows), *more) = raw.arrays.items()
        if more or not rows.shape:
            raise DamageError(f"{file.name} does not hold one array with rows")
        named = names_of(raw, place, rows.shape[0], places=[place])
        own.append(None if named is None else raw.texts[named])
        first, stop = _rows_of(file)
        if stop is not None and rows.shape[0] != stop - first:
            raise DamageError(f"{file.name} holds {rows.shape[0]} rows, not {stop - first}")
        parts.append(rows)
    if names is None and own and all(own):
        names = [name for part in own for name in part or ()]
    if names is None:
        raise DamageError(f"no {FILE_NAMES} beside it or in the folder above names its rows")
    _check_own(own, parts, names, files)
    made.arrays = made.arrays or {"": joined(parts, [file.name for file in files])}
    made.file_names = names
    return made


def _check_own(
    own: list[list[str] | None], parts: list[Stored], names: list[str], files: list[Path]
) -> None:
    """Names that parts hold must be those of the whole, row by row."""
    row = 0
    for held, part, file in zip(own, parts, files, strict=False):  # none of variables per image
        for name, other in zip(held or (), names[row:], strict=False):
            if not ImageNames([name]).fitting(other):
                raise DamageError(
                    f"{file.name} names its rows itself, and not as {FILE_NAMES} does: {name!r} "
                    f"there is {other!r} here"
                )
        row += part.shape[0]


def is_numbered(file: Path) -> bool:
    """Whether a file is called like a part."""
    return _NUMBERED.fullmatch(file.stem) is not None


def _rows_of(file: Path) -> tuple[int, int | None]:
    """The number of a part; or its first row, and the one behind its last."""
    match = _NUMBERED.fullmatch(file.stem)
    assert match is not None
    return int(match["first"]), None if match["stop"] is None else int(match["stop"])


def _in_order(files: list[Path]) -> list[Path]:
    """The parts by number, if none lacks between them."""
    files = sorted(files, key=lambda file: (_rows_of(file)[0], file.name))
    due = -1
    for file in files:
        first, stop = _rows_of(file)
        what, start = ("part", 1) if stop is None else ("row", 0)
        due = start if due < 0 else due
        if first != due:
            fault = f"{due} is missing, before" if first > due else f"{first} is there twice, in"
            raise ValueError(f"{file.parent}: {what} {fault} {file.name}.")
        due = first + 1 if stop is None else stop
    return files
