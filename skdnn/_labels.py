"""Names of images: which rows belong to which image, and in which order files come."""

from __future__ import annotations

import difflib
import glob
import itertools
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import pandas as pd

from skdnn import _wording

# Endings that a name may lack, or have where the image's own name lacks it. What follows the
# last dot of any other name ("img10.v2", "a.left") tells stimuli apart.
_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
    *(".webp", ".eps", ".ps", ".svg", ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jxl"),
    *(".avif", ".heic", ".heif", ".ico", ".tga", ".psd", ".exr", ".hdr", ".pcx", ".dng"),
    *(".mp4", ".m4v", ".avi", ".mov", ".mpg", ".mpeg", ".webm", ".mkv", ".wmv"),
    *(".wav", ".mp3", ".ogg", ".flac"),
}
_DRIVE = re.compile(r"[A-Za-z]:/")
_SEARCHED = 5000  # names among which the nearest are looked for


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


def without_ending(name: str) -> str:
    """A file's name without the ending of an image, film or sound."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in _ENDINGS else name


@dataclass(frozen=True)
class _Name:
    """A name taken apart, so that spellings of one path become equal."""

    text: str  # as a path of this system: what tells images apart
    folders: tuple[str, ...]
    file: str
    stem: str
    is_absolute: bool

    def above(self, n_folders: int) -> tuple[str, ...]:
        """The folders above the last ones."""
        return self.folders[: len(self.folders) - n_folders]


@lru_cache(maxsize=2**17)
def _parsed(name: str) -> _Name:
    path = unicodedata.normalize("NFC", name).strip(" \t\r\n\0").replace("\\", "/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    file = parts.pop() if parts else ""
    stem = without_ending(file)
    file = stem + file[len(stem) :].lower()
    is_absolute = path.startswith("/") or _DRIVE.match(path) is not None
    return _Name(str(PurePath(name)), tuple(parts), file, stem.rstrip(), is_absolute)


# What a name's last part is compared with, the more exact first: two names that differ in
# their endings are two images.
_SPELLINGS = (("file", "file"), ("file", "stem"), ("stem", "file"))


class ImageNames:
    """Images, found by any name that they may go by.

    Parameters
    ----------
    images : sequence of str
        Their paths or names; one that is repeated is one image.

    Notes
    -----
    A name is an image's path or the end of it (``cat/1.jpg`` of ``/data/cat/1.jpg``), with or
    without the ending; or the image's path is the end of the name. The exact path comes first,
    then the more exact spelling, then the longer end. ``/`` and Windows's separator are one;
    composed and decomposed accents too; ``./``, blanks around a name, and the case of an ending
    don't count. The case of all else does: ``A.png`` and ``a.png`` are two stimuli.
    """

    def __init__(self, images: Iterable[str]) -> None:
        self._first: dict[str, int] = {}
        self._names: dict[int, _Name] = {}
        for position, image in enumerate(images):
            name = _parsed(image)
            if name.text not in self._first:
                self._first[name.text] = position
                self._names[position] = name
        self._ends: dict[tuple[str, int], dict[tuple[str, ...], list[int]]] = {}
        self._wholes: dict[str, dict[tuple[str, ...], list[int]]] = {}

    def fitting(self, label: str) -> list[int]:
        """Positions of the images that a label fits; several if it can't tell them apart."""
        name = _parsed(label)
        if name.text in self._first:
            return [self._first[name.text]]
        for own, other in _SPELLINGS if name.file else ():
            parts = (*name.folders, getattr(name, own))
            if found := self._ending_in(parts, other):
                return found
            for start in range(1, len(parts)):  # images whose whole path ends the label
                if whole := self._whole(other).get(parts[start:]):
                    return whole
        return []

    def moved(self, label: str) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
        """Images with which a label that fits none shares the longest end, one folder or more.

        Returns
        -------
        found : list of (position, folders of the label, folders of the image)
            The folders above those that both share. Only for an absolute label, which may be of
            another computer, while a relative one says what it means.
        """
        name = _parsed(label)
        for own, other in _SPELLINGS if name.is_absolute else ():
            parts = (*name.folders, getattr(name, own))
            for start in range(1, len(parts) - 1):
                shared = len(parts) - start - 1  # folders
                found = [
                    (position, name.above(shared), self._names[position].above(shared))
                    for position in self._ending_in(parts[start:], other)
                ]
                if found:
                    return found
        return []

    def _ending_in(self, parts: tuple[str, ...], last: str) -> list[int]:
        """Images whose path ends in these folders and file."""
        n_folders = len(parts) - 1
        if (last, n_folders) not in self._ends:
            table = self._ends[last, n_folders] = {}
            for position, name in self._names.items():
                if len(name.folders) >= n_folders:
                    folders = name.folders[len(name.folders) - n_folders :]
                    table.setdefault((*folders, getattr(name, last)), []).append(position)
        return self._ends[last, n_folders].get(parts, [])

    def _whole(self, last: str) -> dict[tuple[str, ...], list[int]]:
        """Images by their whole path."""
        if last not in self._wholes:
            table = self._wholes[last] = {}
            for position, name in self._names.items():
                table.setdefault((*name.folders, getattr(name, last)), []).append(position)
        return self._wholes[last]


def find_images(labels: Sequence[str], images: Sequence[str], what: str) -> list[int | None]:
    """Position of the image that each label names; None where it names none.

    Parameters
    ----------
    labels : sequence of str
        Names as data bring them.
    images : sequence of str
        Paths or names of the images; of one that is repeated, the first position is given.
    what : str
        What the labels are, for messages.

    Returns
    -------
    positions : list of int or None
        One for each label.

    Raises
    ------
    ValueError
        If a label fits several images.

    Warns
    -----
    UserWarning
        If the files seem to have been moved: labels and images lie in two folders, and all
        paths below are alike.

    See Also
    --------
    ImageNames : What fits.
    find_rows : The other way round.
    """
    known = ImageNames(images)
    found = [known.fitting(label) for label in labels]
    if not all(found):
        _add_moved(found, labels, known, what)
    for label, positions in zip(labels, found, strict=True):
        if len(positions) > 1:
            several = listed([images[position] for position in positions])
            raise ValueError(
                f"{what}: {label!r} fits several images, {several}: give more of their paths."
            )
    return [positions[0] if positions else None for positions in found]


def _add_moved(
    found: list[list[int]], labels: Sequence[str], known: ImageNames, what: str
) -> None:
    """Labels of files that lie elsewhere now, if one change of folder accounts for all."""
    elsewhere = {
        row: moved
        for row, label in enumerate(labels)
        if not found[row] and (moved := known.moved(label))
    }
    changes = {(old, new) for moved in elsewhere.values() for _, old, new in moved}
    if not changes:
        return
    old, new = min(changes, key=lambda change: (len(change[0]) + len(change[1]), change))
    if not all(a[: len(old)] == old and b[: len(new)] == new for a, b in changes):
        for row, moved in elsewhere.items():  # sorted anew: one name may be another image now
            found[row] = [position for position, _, _ in moved] if len(moved) > 1 else []
        return
    for row, moved in elsewhere.items():
        found[row] = [position for position, a, b in moved if (a, b) == (old, new)]
    warnings.warn(
        f"{what}: files in {'/'.join(old)!r} are taken to be those in {'/'.join(new)!r}, since "
        "all below is named alike.",
        UserWarning,
        stacklevel=4,
    )


def refuse_repeated(images: Iterable[str]) -> None:
    """Raise ValueError if an image is given twice, in whatever spelling of its path."""
    texts = Counter(_parsed(image).text for image in images)
    if twice := [text for text, count in texts.items() if count > 1]:
        raise ValueError(f"images holds more than once {listed(twice)}: give each image once.")


def find_rows(
    labels: Sequence[str], images: Sequence[str], what: str, *, surplus: bool = True
) -> list[int]:
    """Row of each image in data whose rows are labelled.

    Parameters
    ----------
    labels : sequence of str
        Names of the rows.
    images : sequence of str
        Paths or names of the images, each once.
    what : str
        What the labels are, for messages.
    surplus : bool, default=True
        Whether there may be rows of other images.

    Returns
    -------
    rows : list of int
        One for each image.

    Raises
    ------
    ValueError
        If an image has no row or several, or a row no image, with the nearest names; if a label
        fits several images, or an image is given twice.

    See Also
    --------
    ImageNames : What fits.
    """
    refuse_repeated(images)
    rows: list[list[int]] = [[] for _ in images]
    strangers: list[int] = []
    for row, position in enumerate(find_images(labels, images, what)):
        (strangers if position is None else rows[position]).append(row)
    if strangers and not surplus:
        unknown = [labels[row] for row in strangers]
        raise ValueError(
            f"{what} holds {listed(unknown)}, the name of no image"
            f"{nearest_names(unknown, images)}: drop these rows, or set surplus='drop'. {MEANING}"
        )
    missing = [image for image, found in zip(images, rows, strict=True) if not found]
    if missing:
        raise ValueError(
            f"{what}: no row for {len(missing)} of {len(images)} images: {listed(missing)}"
            f"{nearest_names(missing, labels)}. {MEANING}"
        )
    for image, found in zip(images, rows, strict=True):
        if len(found) > 1:
            names = listed([labels[row] for row in found])
            raise ValueError(
                f"{what}: {len(found)} rows fit {image!r}, named {names}: one row for each image "
                "is needed (average repetitions first)."
            )
    return [found[0] for found in rows]


#: What a name may be, for messages.
MEANING = (
    "A name is an image's path or the end of it, its file name, or that without ending; case "
    "counts."
)


def nearest_names(names: Sequence[str], known: Iterable[str]) -> str:
    """The names most like the first of `names`, as the end of a message."""
    keys: dict[str, str] = {}
    for name in itertools.islice(known, _SEARCHED):
        keys.setdefault(_roughly(name), name)
    near = difflib.get_close_matches(_roughly(names[0]), list(keys), n=3, cutoff=0.5)
    shown = [keys[key] for key in near] or list(keys.values())[:3]
    return f" (nearest to the first: {listed(shown)})" if shown else " (there are no names)"


def _roughly(name: str) -> str:
    """What names that a person confuses have in common."""
    parsed = _parsed(name)
    return _folded("/".join([*parsed.folders[-1:], parsed.stem]))


def listed(names: Iterable[Any]) -> str:
    """The first names for a message, and how many more there are."""
    return _wording.listed(str(name) if isinstance(name, PurePath) else name for name in names)


def fitting_files(path: str, what: str) -> list[str]:
    """The file, or those that fit wildcards which no shell has expanded, in natural order.

    FileNotFoundError, which begins with `what`, if there are wildcards and none fits.
    """
    name = os.path.expanduser(path)
    if os.path.exists(name) or not glob.has_magic(name):
        return [name]
    fitting = sorted(glob.glob(name), key=natural_key)
    if not fitting:
        raise FileNotFoundError(f"{what}: no file fits {name!r}.")
    return fitting


def row_labels(y: Any) -> list[str] | None:
    """Labels of the rows of `y` where it has an index of strings, else None.

    Parameters
    ----------
    y : object
        Any target; only a pandas object can carry labels.

    Returns
    -------
    labels : list of str or None
    """
    return text_labels(getattr(y, "index", None))


def text_labels(index: Any) -> list[str] | None:
    """Labels of an index if all of them are strings, which name images; else None."""
    if not isinstance(index, pd.Index) or isinstance(index, pd.MultiIndex) or len(index) == 0:
        return None
    labels = list(index)
    return labels if all(isinstance(label, str) for label in labels) else None


def check_labels(labels: Sequence[str] | None, names: Sequence[str | None]) -> None:
    """Raise if a row's label does not name the row's image.

    Parameters
    ----------
    labels : sequence of str or None
        Labels of the rows of a target, as `row_labels` gives them; None passes.
    names : sequence of str or None
        Paths of the images, in the order of the rows; None for an image without a name, whose
        label is not looked at.

    Raises
    ------
    ValueError
        Naming the first rows that do not match, or a label that fits several images.

    See Also
    --------
    ImageNames : What fits.
    """
    if labels is None or list(labels) == list(names) or not any(names):
        return
    if len(labels) != len(names):
        raise ValueError(
            f"y has {len(labels)} labelled rows, but X has {len(names)} images: "
            "give one row of y for each image, in the same order."
        )
    rows = {row: name for row, name in enumerate(names) if name is not None}
    images, own = list(rows.values()), [labels[row] for row in rows]
    wrong = [
        (row, labels[row], name)
        for (row, name), found in zip(
            rows.items(), find_images(own, images, "row labels of y"), strict=True
        )
        if found is None or _parsed(images[found]).text != _parsed(name).text
    ]
    if wrong:
        shown = "; ".join(f"row {r}: y says {la!r}, X is {na!r}" for r, la, na in wrong[:5])
        more = f" (and {len(wrong) - 5} more rows)" if len(wrong) > 5 else ""
        raise ValueError(
            f"The row labels of y don't match the images in X: {shown}{more}. {MEANING} Sort y "
            "like X, e.g. y.loc[[Path(p).stem for p in X]], or drop the labels if the order is "
            "known to be right."
        )
