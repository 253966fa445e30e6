"""Folders of features with one .mat file for each image, and which units were drawn of them."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdnn._html import product
from skdnn._labels import ImageNames, find_images, natural_key, without_ending
from skdnn.io._file_faults import nearest_of, noting, refuse
from skdnn.io._lazy_array import LazyArray, Positions
from skdnn.io._mat import Version, mat_shape, read_variable, write_mat
from skdnn.io._reading import DamageError

VARIABLE = "feat"
_INDEX = "index"


class MatFeatures(LazyArray):
    """Features of images that lie in one .mat file each; rows are read when they are asked for.

    Row i is image i, flattened in C order. It can stand wherever an array is read by slices. Each
    row asked for opens its file, whatever the columns: take rows where you can.

    Parameters
    ----------
    paths : sequence of path-like
        The files, in the order of the rows, each with a variable ``feat`` of shape (1, units) or
        (1, channels, height, width).
    names : sequence of str, default=None
        Names of the images; None takes those of the files.
    units : array-like of int, default=None
        Which units to keep, as 0-based positions in the flattened layer. None keeps all.

    Attributes
    ----------
    shape : tuple of int
        (n_images, n_units).
    dtype : numpy dtype
        As in the files; where they differ, the type that holds all.
    names : list of str
        The images.
    unit_shape : tuple of int
        Shape of one image's features in the file, before flattening and without the leading 1.

    Raises
    ------
    ValueError
        If files are missing, cut short or of different shapes: all of them in one error. Or if
        `units` are outside of the layer.

    See Also
    --------
    skdnn.formats.read_feature_folder : Makes one from a folder, a layer and names of images.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.formats import read_feature_folder, write_feature_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_feature_folder(folder, "conv1", ["a", "b"], np.arange(12.).reshape(2, 3, 2, 1))
    ...     features = read_feature_folder(folder, "conv1")
    ...     print(features, features[1:], features[:, [5, 0]])
    MatFeatures(shape=(2, 6), dtype=float64) [[ 6. 7. 8. 9. 10. 11.]] [[ 5. 0.] [11. 6.]]
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        names: Sequence[str] | None = None,
        units: ArrayLike | None = None,
    ) -> None:
        self._paths = [Path(path) for path in paths]
        if not self._paths:
            raise ValueError("paths is empty: features need at least one file.")
        self.names = list(names) if names is not None else [path.stem for path in self._paths]
        if len(self.names) != len(self._paths):
            raise ValueError(f"names has {len(self.names)} entries for {len(self._paths)} paths.")
        self.unit_shape, self.dtype = _common_shape(self._paths)
        self._n_stored = math.prod(self.unit_shape)
        self._units = None if units is None else _checked_units(units, self._n_stored)
        self.shape = (
            len(self._paths),
            self._n_stored if self._units is None else len(self._units),
        )

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        stored = columns if self._units is None else self._units[columns]
        faults: dict[str, str] = {}
        for place, path in enumerate(self._paths[row] for row in rows):
            with noting(faults, path):
                values = np.asarray(read_variable(path, VARIABLE))
                if values.size != self._n_stored:
                    was = f"{self._n_stored} when it was opened"
                    raise DamageError(f"it has {values.size} units now, {was}")
                out[place] = values.ravel()[stored]
        refuse("Features", faults, len(rows))

    def _facts(self) -> dict[str, Any]:
        n_images, n_units = self.shape
        shape = product(self.unit_shape)
        return {"files": n_images, "images": n_images, "units": n_units, "shape in a file": shape}


def read_feature_folder(
    root: str | os.PathLike[str],
    layer: str,
    images: Iterable[str | os.PathLike[str]] | None = None,
    *,
    units: ArrayLike | None = None,
) -> MatFeatures:
    """Open the features of a layer that lie as ``<root>/<layer>/<image>.mat``.

    Nothing but shapes is read until rows are asked for.

    Parameters
    ----------
    root : str or path-like
        Folder of the network, e.g. ``features/ImageNetTest/caffe/AlexNet``.
    layer : str
        Its folder within `root`. A slash in the name may be a colon on disk, and either an
        underscore; a folder that bears the very name comes first.
    images : iterable of str or path-like, default=None
        The rows: names of files without ``.mat``, or paths of images, whose file name counts,
        with or without its extension; two images may not share a file. None takes all files in
        natural order, ``img2`` before ``img10``.
    units : array-like of int, default=None
        Which units to keep, as 0-based positions in the layer flattened in C order; see
        `read_unit_index`. None keeps all.

    Returns
    -------
    features : MatFeatures
        Of shape (n_images, n_units), with ``names``, the images.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or layer; the nearest layers are named.
    ValueError
        If files are missing, cut short, or not of one shape: all of them in one error.

    See Also
    --------
    skdnn.formats.write_feature_folder : Write such a folder.
    skdnn.formats.read_unit_index : Which units were drawn at random.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.formats import read_feature_folder, write_feature_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_feature_folder(folder, "fire2/concat", ["x.jpg", "y.jpg"], np.eye(2, 3))
    ...     features = read_feature_folder(folder, "fire2/concat", ["y.jpg"], units=[1, 0])
    ...     print(features.names, features[:])
    ['y'] [[1. 0.]]
    """
    folder = find_layer(Path(root).expanduser(), layer)
    on_disk = {path.stem: path for path in folder.glob("*.mat") if not path.name.startswith(".")}
    if images is None:
        names = sorted(on_disk, key=natural_key)
        if not names:
            raise FileNotFoundError(f"layer: the folder {str(folder)!r} holds no .mat files.")
    else:
        names = _names_on_disk([os.fspath(image) for image in images], list(on_disk), folder)
    return MatFeatures([on_disk[name] for name in names], names, units)


def write_feature_folder(
    root: str | os.PathLike[str],
    layer: str,
    images: Iterable[str | os.PathLike[str]],
    features: Any,
    *,
    version: Version = "7.3",
) -> None:
    """Write features as ``<root>/<layer>/<image>.mat``, one file for each image.

    Parameters
    ----------
    root : str or path-like
        Folder of the network; made where it does not exist.
    layer : str
        Name of the layer. Slashes become colons in the name of its folder, and on Windows, which
        has no colons in names, slashes and colons become underscores.
    images : iterable of str or path-like
        Names or paths of the images: the file name counts, without the extension of an image.
    features : array-like of shape (n_images, n_units) or (n_images, n_channels, height, width)
        Row i of image i; it is read row by row, and may lie on disk. Each file's variable
        ``feat`` has this shape with a leading 1.
    version : {"7.3", "5"}, default="7.3"
        Of MATLAB's file format.

    Raises
    ------
    ValueError
        If names and rows don't match, or two images would have the same file.

    See Also
    --------
    skdnn.formats.read_feature_folder : Read such a folder.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.formats import write_feature_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_feature_folder(folder, "fc6", ["cat.png"], np.zeros((1, 5)))
    ...     [path.relative_to(folder).as_posix() for path in Path(folder).glob("*/*")]
    ['fc6/cat.mat']
    """
    names = [_image_name(image) for image in images]
    if len(names) != len(features):
        raise ValueError(f"images has {len(names)} names, but features {len(features)} rows.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"images: several would be written into one file: {twice[:10]}.")
    folder = Path(root).expanduser() / _folder_name(layer)
    for i, name in enumerate(names):
        row = np.asarray(features[i])
        write_mat(folder / f"{name}.mat", {VARIABLE: row[None]}, version)


def read_unit_index(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read which units of each layer belong to a random sample.

    Parameters
    ----------
    path : str or path-like
        A .mat file of version 5 or 7.3, its variable ``index`` a struct with one field of whole
        numbers for each layer.

    Returns
    -------
    index : dict of str to ndarray of int64, shape (n_units,)
        By layer, positions in the layer flattened in C order, counted from 0, as in the file.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file cannot be read or holds something else.

    See Also
    --------
    skdnn.formats.read_feature_folder : Takes such positions as `units`.
    skdnn.formats.write_unit_index : Write such a file.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.formats import read_unit_index, write_unit_index
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_unit_index(f"{folder}/index_random3.mat", {"conv1": [7, 0, 2]})
    ...     read_unit_index(f"{folder}/index_random3.mat")
    {'conv1': array([7, 0, 2])}
    """
    file_path = Path(path).expanduser()
    try:
        index = read_variable(file_path, _INDEX)
        if not isinstance(index, dict):
            raise DamageError(f"its variable {_INDEX!r} is no struct with a field for each layer")
        return {layer: _checked_positions(layer, values) for layer, values in index.items()}
    except DamageError as error:
        raise ValueError(f"path: {str(file_path)!r}: {error}.") from error


def write_unit_index(
    path: str | os.PathLike[str], index: Mapping[str, ArrayLike], *, version: Version = "7.3"
) -> None:
    """Write which units of each layer belong to a random sample.

    Parameters
    ----------
    path : str or path-like
        The .mat file; an existing one is replaced.
    index : mapping of str to array-like of int, shape (n_units,)
        By layer, positions in the layer flattened in C order, counted from 0.
    version : {"7.3", "5"}, default="7.3"
        Of MATLAB's file format.

    Raises
    ------
    ValueError
        If positions are no whole numbers from 0.

    See Also
    --------
    skdnn.formats.read_unit_index : Read such a file.

    Examples
    --------
    >>> import tempfile
    >>> from skdnn.formats import read_unit_index, write_unit_index
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_unit_index(f"{folder}/index.mat", {"fc6": [4, 1]}, version="5")
    ...     read_unit_index(f"{folder}/index.mat")
    {'fc6': array([4, 1])}
    """
    try:
        made = {
            layer: _checked_positions(layer, np.asarray(values)) for layer, values in index.items()
        }
    except DamageError as error:
        raise ValueError(f"index: {error}.") from error
    write_mat(Path(path).expanduser(), {_INDEX: made}, version)


def find_layer(root: Path, layer: str) -> Path:
    """The folder of a layer, whatever became of slashes and colons in its name.

    Raises
    ------
    FileNotFoundError
        If there is none; the nearest are named.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root: there is no folder {str(root)!r}.")
    colons = layer.replace("/", ":")
    spellings = dict.fromkeys((layer, colons, layer.replace("/", "_"), colons.replace(":", "_")))
    for spelling in spellings:
        if spelling and (root / spelling).is_dir():
            return root / spelling
    found = sorted((path.name for path in root.iterdir() if path.is_dir()), key=natural_key)
    near = nearest_of(colons, found)
    raise FileNotFoundError(f"layer: there is no folder {layer!r} in {str(root)!r}. {near}")


def _folder_name(layer: str) -> str:
    """One folder's name for a layer."""
    if not layer or layer in (".", ".."):
        raise ValueError(f"layer: {layer!r} is no name for a folder.")
    name = layer.replace("/", ":")
    return name.replace(":", "_").replace("\\", "_") if os.name == "nt" else name


def _image_name(image: str | os.PathLike[str]) -> str:
    return without_ending(PurePath(image).name)


def _names_on_disk(images: list[str], on_disk: list[str], folder: Path) -> list[str]:
    """What the files of images are called."""
    what = f"images: features in {str(folder)!r}"
    labels = [image.removesuffix(".mat") for image in images]
    found = find_images(labels, on_disk, what)
    pairs = zip(images, found, strict=True)
    missing = {f"{_image_name(image)}.mat": "is not there" for image, k in pairs if k is None}
    refuse(what, missing, len(images))
    names = [on_disk[k] for k in found if k is not None]
    shared: dict[str, str] = {}
    for name, label in zip(names, labels, strict=True):
        if not ImageNames([shared.setdefault(name, label)]).fitting(label):
            raise ValueError(
                f"{what}: {name}.mat fits two images, {shared[name]!r} and {label!r}."
            )
    return names


def _common_shape(paths: Sequence[Path]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape that most files have, an error naming those of another, and a type for all."""
    found: dict[Path, tuple[int, ...]] = {}
    faults: dict[str, str] = {}
    types = set()
    for path in paths:
        with noting(faults, path):
            shape, dtype = mat_shape(path, VARIABLE)
            if shape[:1] != (1,) or 0 in shape:
                raise DamageError(f"{VARIABLE!r} has shape {shape}, not (1, ...)")
            found[path] = shape
            types.add(dtype)
    common = Counter(found.values()).most_common(1)[0][0] if found else ()
    odd = {str(path): shape for path, shape in found.items() if shape != common}
    faults |= {
        path: f"{VARIABLE!r} has shape {shape}, others {common}" for path, shape in odd.items()
    }
    refuse("Features", faults, len(paths))
    return common[1:], np.result_type(*types)


def _checked_units(units: ArrayLike, n_units: int) -> np.ndarray:
    wanted = np.asarray(units)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu" or wanted.size == 0:
        raise ValueError(
            f"units must be a one-dimensional array of integers, got {wanted.dtype} of shape "
            f"{wanted.shape}."
        )
    outside = wanted[(wanted < 0) | (wanted >= n_units)]
    if outside.size:
        raise ValueError(
            f"units: {outside.size} lie outside of the layer, which has {n_units} units counted "
            f"from 0: {outside[:5].tolist()}."
        )
    return wanted.astype(np.intp)


def _checked_positions(layer: str, values: object) -> np.ndarray:
    found = np.asarray(values).ravel()
    if found.dtype.kind not in "iuf":
        raise DamageError(f"the positions of {layer!r} are no numbers")
    whole = found.astype(np.int64)
    if not np.array_equal(whole, found) or (whole < 0).any():
        raise DamageError(f"the positions of {layer!r} are not whole numbers from 0")
    return whole
