"""Folders of images: their order and their classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skdnn._images import EXTENSIONS, list_images
from skdnn._labels import find_images, natural_key
from skdnn._wording import listed
from skdnn.datasets._data_set import DataSet


def load_image_folder(
    root: str | os.PathLike[str],
    file_names: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    class_folders: bool | str = "auto",
) -> Bunch:
    """List the images of a folder, with their classes where each has a folder of its own.

    Parameters
    ----------
    root : str or path-like
        Folder with images, or with one subfolder of images for each class.
    file_names : sequence of str, str or path-like, default=None
        The order of the images: paths, file names or stems, or a text file with one of them on a
        line (UTF-8, blank lines ignored), which must name every image of the folder exactly
        once. None sorts naturally, the same on every system (see Notes).
    class_folders : {"auto"} or bool, default="auto"
        Whether the first subfolder on the way to an image is its class. ``"auto"`` says yes if
        all images lie in subfolders, no if none does, and refuses a mixture. False takes the
        images of all subfolders without classes.

    Returns
    -------
    images : sklearn.utils.Bunch
        With the attributes

        - ``paths`` : list of str, the files, `root` included;
        - ``target`` : int64 ndarray of shape (n_images,), the class of each image as an index
          into ``target_names``, or None without classes;
        - ``target_names`` : list of str, the folders of the classes in natural order, or None.

    Raises
    ------
    FileNotFoundError
        If the folder, or the text file of names, does not exist.
    ValueError
        If there are no images, `file_names` does not match them exactly, or images lie where
        `class_folders` does not allow them.

    See Also
    --------
    skdnn._images.list_images : The plain list.
    skdnn._images.natural_key : The order.

    Notes
    -----
    Images are the files ending in .eps .jpg .jpeg .png .tif .tiff .bmp .webp .gif, in any case;
    whatever starts with a dot is ignored. In natural order digits compare as numbers
    (``img2`` before ``img10``), then names without regard to case.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ["cat/10.png", "cat/9.png", "dog/1.png"]:
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     Image.new("RGB", (5, 4)).save(folder / name)
    >>> images = load_image_folder(folder)
    >>> [Path(path).name for path in images.paths], images.target, images.target_names
    (['9.png', '10.png', '1.png'], array([0, 0, 1]), ['cat', 'dog'])
    """
    if not (isinstance(class_folders, bool) or class_folders == "auto"):
        raise ValueError(f"class_folders must be 'auto', True or False, got {class_folders!r}.")
    folder = Path(root).expanduser()
    names = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    if not names:
        raise ValueError(
            f"root: the folder {str(folder)!r} holds no images. Looked for files ending in "
            f"{' '.join(EXTENSIONS)} (in any case), also in its subfolders."
        )
    with_classes = _has_classes(names, class_folders, folder)
    if file_names is not None:
        names = _in_given_order(names, _read_names(file_names, folder))
    paths = [str(folder / name) for name in names]
    if not with_classes:
        return DataSet(paths=paths, target=None, target_names=None)
    classes = [name.partition("/")[0] for name in names]
    target_names = sorted(set(classes), key=natural_key)
    number = {name: i for i, name in enumerate(target_names)}
    target = np.array([number[name] for name in classes], dtype=np.int64)
    return DataSet(paths=paths, target=target, target_names=target_names)


def _has_classes(names: Sequence[str], class_folders: bool | str, folder: Path) -> bool:
    """Whether subfolders are classes; images outside of them are an error where they are."""
    flat = [name for name in names if "/" not in name]
    if class_folders is False or (class_folders == "auto" and len(flat) == len(names)):
        return False
    if flat:
        raise ValueError(
            f"root: {len(flat)} of the {len(names)} images in {str(folder)!r} lie outside of "
            f"class folders: {listed(flat, 20)}. Move them into the folders of their classes, or "
            "pass class_folders=False to take all images, without classes."
        )
    return True


def _read_names(file_names: Any, folder: Path) -> list[str]:
    """The names of `file_names`, from a sequence or a text file."""
    if isinstance(file_names, str | os.PathLike):
        source = Path(file_names).expanduser()
        source = source if source.is_file() else folder / source
        if not source.is_file():
            raise FileNotFoundError(
                f"file_names: there is no text file {str(file_names)!r}. For names themselves, "
                "give a list."
            )
        try:
            lines = source.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"file_names: {str(source)!r} is no text in UTF-8 ({error})."
            ) from None
        return [line.strip() for line in lines if line.strip()]
    names = list(file_names)
    for i, name in enumerate(names):
        if not isinstance(name, str | os.PathLike):
            raise TypeError(f"file_names[{i}] is {name!r}: each must be a str or path.")
    return [os.fspath(name) for name in names]


def _in_given_order(found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The names found on disk in the order wanted, if both are the same set."""
    places = find_images(wanted, found, "file_names")
    counts = Counter(places)
    strange = [name for name, place in zip(wanted, places, strict=True) if place is None]
    faults = {
        "named more than once": [name for k, name in enumerate(found) if counts[k] > 1],
        "named, but not in the folder": list(dict.fromkeys(strange)),
        "in the folder, but not named": [name for k, name in enumerate(found) if not counts[k]],
    }
    if any(faults.values()):
        told = "; ".join(f"{what}: {listed(names, 20)}" for what, names in faults.items() if names)
        raise ValueError(f"file_names must name every image of the folder once. {told}.")
    return [found[place] for place in places if place is not None]
