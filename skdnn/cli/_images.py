"""Images as a command is given them: folders and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn.cli._input_files import check_regular


@dataclass(frozen=True)
class Images:
    """Rows to extract, with their names; where all lie in class folders, their classes."""

    rows: list[Any]
    names: list[str]
    classes: list[str] | None
    are_folders: bool


def read_images(given: Sequence[str], *, average_folders: bool = False) -> Images:
    """All images, or one row for each folder of a folder.

    Raises
    ------
    ValueError
        If a file is named twice, or folders are to be averaged and images lie in none.
    FileNotFoundError
        If there is no such file or folder.
    """
    paths = image_paths(given)
    classes = _classes(given, paths)
    if not average_folders:
        return Images(paths, image_names(paths), classes, are_folders=False)
    if classes is None:
        raise ValueError(
            f"--average-folders: {', '.join(given)} must be one folder with a folder of images "
            "for each row."
        )
    folders: dict[str, list[str]] = {}
    for path, name in zip(paths, classes, strict=True):
        folders.setdefault(name, []).append(path)
    return Images(list(folders.values()), list(folders), None, are_folders=True)


def image_paths(given: Sequence[str]) -> list[str]:
    """All image files: those of folders in natural order, single ones as they were given.

    Raises
    ------
    ValueError
        If a file is named twice.
    FileNotFoundError
        If there is no such file or folder.
    """
    from skdnn import load_image_folder

    paths: list[str] = []
    for place in given:
        if Path(place).is_dir():
            paths += load_image_folder(place, class_folders=False).paths
        elif Path(place).exists():
            paths.append(place)
        else:
            raise FileNotFoundError(f"--images: there is no file or folder {place}.")
    check_regular(*paths)
    if len(set(paths)) < len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"--images: given twice: {', '.join(twice[:5])}.")
    return paths


def image_names(paths: Sequence[str]) -> list[str]:
    """Row labels: file names where they tell all images apart, else paths."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _classes(given: Sequence[str], paths: Sequence[str]) -> list[str] | None:
    """The class of each image, where one folder is given whose images all lie in subfolders."""
    if len(given) != 1 or not Path(given[0]).is_dir():
        return None
    root = Path(given[0]).expanduser()
    parts = [Path(path).relative_to(root).parts for path in paths]
    return [part[0] for part in parts] if all(len(part) > 1 for part in parts) else None
