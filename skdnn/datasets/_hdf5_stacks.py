"""Stacks of images in HDF5 files, such as those of the Natural Scenes Dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._images import HDF5Image, images_of
from skdnn._optional import import_optional


def load_hdf5_images(path: str | os.PathLike[str], dataset: str | None = None) -> list[HDF5Image]:
    """List the images of an HDF5 file, to be read one by one when they are needed.

    Parameters
    ----------
    path : str or path-like
        The file; it stays open as long as one of the images is in use.
    dataset : str, default=None
        Name of the dataset: uint8, shape (n, height, width, 3), e.g. ``"imgBrick"`` in the file
        of the Natural Scenes Dataset (Allen et al., 2022). None takes the only one of this kind.

    Returns
    -------
    images : list of n HDF5Image
        What everything takes that takes images. ``images[3].read()`` gives the pixels, and
        ``images[3].name`` is ``"imgBrick[3]"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no HDF5 file, has no such dataset, or several and none is chosen.

    See Also
    --------
    load_image_folder : Images as files.

    Notes
    -----
    :class:`~skdnn.DNNFeatureExtractor` and :class:`~skdnn.LayerSearchCV` take a dataset of h5py
    as it is. scikit-learn's own searches and ``cross_validate`` would read whole folds of it into
    memory, and fail where these are shuffled; of this list they take parts without reading.
    Other processes open the file by its name.

    References
    ----------
    Allen, E. J., St-Yves, G., Wu, Y., et al. (2022). A massive 7T fMRI dataset to bridge
    cognitive neuroscience and artificial intelligence. Nature Neuroscience, 25(1), 116-126.

    Examples
    --------
    >>> import tempfile
    >>> import h5py
    >>> import numpy as np
    >>> from skdnn.datasets import load_hdf5_images
    >>> folder = tempfile.TemporaryDirectory()
    >>> with h5py.File(folder.name + "/stimuli.hdf5", "w") as file:
    ...     file["imgBrick"] = np.zeros((4, 30, 40, 3), dtype=np.uint8)
    >>> images = load_hdf5_images(folder.name + "/stimuli.hdf5")
    >>> len(images), images[3].name, images[3].read().shape
    (4, 'imgBrick[3]', (30, 40, 3))
    >>> del images
    >>> folder.cleanup()
    """
    h5py = import_optional("h5py", "to read images from HDF5 files")
    place = Path(path).expanduser()
    if not place.is_file():
        reason = "is no regular file" if place.exists() else "does not exist"
        raise FileNotFoundError(f"path: {str(place)!r} {reason}.")
    try:
        file = h5py.File(place, "r")
    except OSError as error:
        raise ValueError(f"path: {str(place)!r} can't be read as HDF5 ({error}).") from error
    held: dict[str, Any] = {}
    file.visititems(lambda name, part: held.update({name: part}) if _is_stack(part) else None)
    if dataset is None and len(held) != 1:
        found = f"{len(held)} stacks of images, {list(held)}" if held else "no stack of images"
        raise ValueError(
            f"dataset=None: {str(place)!r} holds {found} (uint8, shape (n, height, width, 3)): "
            "name a dataset."
        )
    name = next(iter(held)) if dataset is None else dataset
    if name not in file:
        raise ValueError(
            f"dataset={name!r}: there is none in {str(place)!r}, but {list(held) or list(file)}."
        )
    images: list[HDF5Image] = images_of(file[name])
    return images


def _is_stack(part: Any) -> bool:
    shape: tuple[int, ...] = getattr(part, "shape", None) or ()
    return len(shape) == 4 and shape[3] == 3 and part.dtype == np.uint8
