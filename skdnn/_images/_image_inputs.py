"""X: from whatever holds images to a plain list with names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d

from skdnn._images._hdf5_images import HDF5Image, HDF5Stack, is_hdf5


@dataclass(frozen=True)
class ImageInputs:
    """Images as the extraction takes them: a plain list, and a name for each.

    Parameters
    ----------
    items : list of str, PIL.Image.Image, numpy.ndarray or HDF5Image
        Paths are strings.
    names : list of str
        The path as given, ``"X[3]"`` for an image in memory, ``"imgBrick[3]"`` for one in a
        dataset of that name.

    Attributes
    ----------
    has_name : list of bool
        Whether each image is a file, which labels can name.

    Examples
    --------
    >>> inputs = as_image_inputs(["a.png", "b.png"])
    >>> len(inputs), inputs.has_name
    (2, [True, True])
    """

    items: list[Any]
    names: list[str]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: slice | np.ndarray) -> ImageInputs:
        """Some of the images, in the order of `rows`."""
        if isinstance(rows, slice):
            return ImageInputs(self.items[rows], self.names[rows])
        return ImageInputs([self.items[i] for i in rows], [self.names[i] for i in rows])

    @property
    def has_name(self) -> list[bool]:
        """Whether each image is a file, which labels can name."""
        return [isinstance(item, str) for item in self.items]


def as_image_inputs(X: Any) -> ImageInputs:
    """Turn the images that a user gives into one plain list with names.

    Files are not touched here; `check_images` looks at them.

    Parameters
    ----------
    X : sequence of images
        List, tuple, numpy array, pandas Series, Index or one-column DataFrame of paths (str or
        path-like); or PIL images or uint8 arrays of shape (H, W, 3), (H, W, 4) or (H, W), of
        any sizes; or one uint8 array of shape (n, H, W, 3); or a dataset of h5py of that type and
        shape, whose images are read one by one when they are needed, or single ones of them.
        Floats of shape (n, 3, H, W), an array or a torch tensor, are inputs of a network already,
        for ``preprocess=None``.

    Returns
    -------
    inputs : ImageInputs
        Items and names in the order of `X`.

    Raises
    ------
    TypeError
        If `X` is a single image or no sequence, or an element is neither path nor image.
    ValueError
        If `X` is empty, an array or dataset has the wrong shape or dtype, or the file of a
        dataset is closed.

    See Also
    --------
    check_images : Look at the files.
    read_image : Decode one item.

    Examples
    --------
    >>> as_image_inputs(["a.png", np.zeros((4, 5, 3), dtype=np.uint8)]).names
    ['a.png', 'X[1]']
    """
    elements = _elements(X)
    if len(elements) == 0:
        raise ValueError("X is empty: at least one image is needed.")
    items = [_as_item(element, f"X[{i}]") for i, element in enumerate(elements)]
    return ImageInputs(items, [_name(item, i) for i, item in enumerate(items)])


def _name(item: Any, i: int) -> str:
    if isinstance(item, str):
        return item
    return item.name if isinstance(item, HDF5Image) else f"X[{i}]"


def images_of(X: Any) -> Any:
    """A dataset of h5py as the list of its images, which can be split without reading any."""
    _refuse_single(X)
    return _dataset_elements(X) if is_hdf5(X) else X


def _refuse_single(X: Any) -> None:
    """Raise TypeError for a path, and for a data set in the place of its paths."""
    if isinstance(X, Mapping) and "paths" in X:
        raise TypeError(f"X is a {type(X).__name__} of images: give its paths, X.paths.")
    if isinstance(X, str | os.PathLike) and os.path.isdir(X):
        raise TypeError(
            f"X is a folder, {X!r}: give a list of paths, such as load_image_folder({X!r}).paths."
        )
    if isinstance(X, str | bytes | os.PathLike):
        raise TypeError(f"X is a single path, {X!r}: give a list of paths, e.g. [{X!r}].")


def _elements(X: Any) -> Sequence[Any]:
    """The elements of `X` in order; containers without an order are refused."""
    _refuse_single(X)
    if _is_pil(X):
        raise TypeError("X is a single image: give a list of images, e.g. [image].")
    if is_hdf5(X):
        return _dataset_elements(X)
    X = as_array(X)
    if isinstance(X, np.ndarray):
        return _array_elements(X)
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            raise ValueError(
                f"X is a DataFrame of {X.shape[1]} columns: give the one that holds the paths."
            )
        return list(column_or_1d(X))
    if isinstance(X, list | tuple | pd.Series | pd.Index):
        return list(X)
    raise TypeError(
        "X must be a list, tuple, numpy array, pandas Series, Index or one-column DataFrame of "
        f"paths or images, got {type(X).__name__}."
    )


def _array_elements(X: np.ndarray) -> Sequence[Any]:
    """Rows of a numpy array: a column of paths or objects, or a stack of images."""
    if X.dtype.kind in "OUT":
        if X.ndim == 0:
            raise TypeError(f"X is a single path, {X.item()!r}: give a list of paths.")
        return list(column_or_1d(X))
    if X.ndim == 4 and X.shape[3] == 3:
        if X.dtype != np.uint8:
            raise ValueError(_dtype_message("X", X))
        return list(X)
    if X.ndim == 4 and X.shape[1] == 3 and X.dtype.kind == "f":
        return list(X)
    raise ValueError(
        f"X is a numeric array of shape {X.shape}: a stack of images has the shape "
        "(n, H, W, 3) and dtype uint8. For a single image, or images of one channel or of "
        "several sizes, give a list of arrays."
    )


def _dataset_elements(X: Any) -> list[HDF5Image]:
    """The images of a dataset of h5py."""
    if not X:
        raise ValueError("X belongs to an HDF5 file that is closed: open it, and keep it open.")
    if not hasattr(X, "dtype") or not hasattr(X, "shape"):
        held = ", ".join(map(repr, list(X)[:5])) if hasattr(X, "keys") else "none"
        raise TypeError(f"X is no dataset but a group of an HDF5 file, with {held}: give X[name].")
    shape: tuple[int, ...] = X.shape or ()
    if len(shape) != 4 or shape[3] != 3:
        is_first = len(shape) == 4 and shape[1] == 3
        hint = " The channels come first here: write it anew, channels last." if is_first else ""
        raise ValueError(
            f"X, the dataset {X.name}, has the shape {shape}: a stack of images has the shape "
            f"(n, H, W, 3) and dtype uint8.{hint}"
        )
    if X.dtype != np.uint8:
        raise ValueError(_dtype_message(f"X, the dataset {X.name},", X))
    stack = HDF5Stack(X)
    return [HDF5Image(stack, row) for row in range(shape[0])]


def _as_item(element: Any, where: str) -> Any:
    """A path as str; a PIL image or a valid array as it is."""
    if isinstance(element, str | os.PathLike):
        path = os.fspath(element)
        if not isinstance(path, str) or not path:
            raise ValueError(f"{where} is {path!r}, which is no path of a file.")
        return str(path)  # np.str_ becomes str
    element = as_array(element)
    if is_prepared(element):
        return element
    if isinstance(element, np.ndarray):
        check_array(element, where)
        return element
    if _is_pil(element) or isinstance(element, HDF5Image):
        return element
    raise TypeError(
        f"{where} is {element!r:.80} of type {type(element).__name__}: each element must be a "
        "path (str or Path), a PIL image or a uint8 array of shape (H, W, 3)."
    )


def as_array(X: Any) -> Any:
    """A torch tensor as an array; all else as it is."""
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(X, torch.Tensor)
    return X.detach().cpu().numpy() if is_tensor else X


def is_prepared(item: Any) -> bool:
    """Whether this is no image but floats (3, H, W), as a network takes them."""
    return isinstance(item, np.ndarray) and item.dtype.kind == "f" and item.shape[:-2] == (3,)


def batches_of(X: Any) -> Iterator[Any] | None:
    """The batches that a loader gives, of pairs the first part; None for a plain X."""
    known = str | bytes | os.PathLike | np.ndarray | list | tuple | pd.DataFrame | pd.Series
    plain = isinstance(X, known | pd.Index | Mapping | Set) or _is_pil(X) or is_hdf5(X)
    if plain or isinstance(as_array(X), np.ndarray) or not hasattr(X, "__iter__"):
        return None
    return (_first_part(batch) for batch in X)


def _first_part(batch: Any) -> Any:
    """Loaders give inputs and targets side by side."""
    is_pair = isinstance(batch, list | tuple) and len(batch) > 0
    first = as_array(batch[0]) if is_pair else None
    return first if isinstance(first, np.ndarray) and first.ndim == 4 else batch


def check_array(array: np.ndarray, where: str) -> None:
    """Raise unless `array` is one picture in uint8."""
    picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not picture or 0 in array.shape:
        raise ValueError(
            f"{where} is an array of shape {array.shape}: an image has the shape (H, W, 3), "
            "(H, W, 4) with alpha, or (H, W), none of them 0."
        )
    if array.dtype != np.uint8:
        raise ValueError(_dtype_message(where, array))


def _dtype_message(where: str, array: Any) -> str:
    return (
        f"{where} is an array of dtype {array.dtype}: uint8 with values 0-255 is needed. Values "
        "from 0 to 1 become so by np.round(255 * array).astype(np.uint8)."
    )


def _is_pil(obj: Any) -> bool:
    """Whether `obj` is a PIL image, without importing PIL for anything else."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(obj, pil.Image)
