"""Files of features, read no more than needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.io._load_features import load_features
from skdnn.io._split_files import sidecar
from skdnn.io._row_tables import load_tables

_MAPPED = (".npy", ".h5", ".hdf5")


@dataclass(frozen=True)
class OpenFeatures:
    """Layers of a file as one row per image, on disk where the file allows that.

    Given by :func:`open_features`.

    Parameters
    ----------
    path : str
        The file.
    names : list of str or None
        Of the rows.
    layers : dict of str to array of shape (n_images, n_units)
        By name, in the order of the file or as asked for.
    targets : array-like or None, default=None
        Classes of the images, where the features were saved with them.

    Attributes
    ----------
    n_rows : int
        Number of images.

    See Also
    --------
    open_features : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.io import OpenFeatures
    >>> OpenFeatures("f.npy", None, {"conv1": np.zeros((3, 4))}).n_rows
    3
    """

    path: str
    names: list[str] | None
    layers: dict[str, Any]
    targets: Any = None

    @property
    def n_rows(self) -> int:
        """Number of images."""
        return len(next(iter(self.layers.values())))


def open_features(
    path: str | os.PathLike[str], layers: Sequence[str] | None = None
) -> OpenFeatures:
    """Open features of some layers of a file, or of all, each a row per image.

    Parameters
    ----------
    path : str or path-like
        What :func:`~skdnn.load_features` or :func:`load_tables` reads.
    layers : sequence of str or None, default=None
        Names of layers in it; None takes all.

    Returns
    -------
    features : OpenFeatures
        Arrays of .npy and HDF5 files stay on disk. A layer without a name has that of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds no numbers, or a layer is not in it.

    See Also
    --------
    skdnn.load_features : The features as they were saved, with their provenance.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn import save_features
    >>> from skdnn.io import open_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_features({"conv1": np.zeros((3, 4, 5))}, f"{folder}/f.h5")
    ...     features = open_features(f"{folder}/f.h5")
    >>> list(features.layers), features.names
    (['conv1'], None)
    """
    place = Path(path)
    if place.suffix.lower() in (".csv", ".tsv") and not _described(place):
        names, tables = load_tables(path)
        found = OpenFeatures(str(path), names, {"": tables[""].to_numpy()})
    else:
        found = _load(str(path), place)
    if not found.layers:
        raise ValueError(f"{path}: it holds no array of numbers.")
    if list(found.layers) == [""]:
        named = {place.stem: found.layers[""]}
        found = OpenFeatures(str(path), found.names, named, found.targets)
    if layers is None:
        return found
    unknown = [name for name in layers if name not in found.layers]
    if unknown:
        raise ValueError(
            f"layer: {', '.join(unknown)} not in {path}, which holds {', '.join(found.layers)}."
        )
    chosen = {name: found.layers[name] for name in layers}
    return OpenFeatures(str(path), found.names, chosen, found.targets)


def _load(path: str, place: Path) -> OpenFeatures:
    try:
        loaded = load_features(place, mmap=place.suffix.lower() in _MAPPED)
    except FileNotFoundError:
        raise
    except ValueError:  # in parts or in pieces, or damaged, which is said now
        loaded = load_features(place)
    arrays = loaded.features
    if not isinstance(arrays, dict):
        arrays = {_layer_name(loaded.provenance): arrays}
    names = None if loaded.labels is None else list(map(str, loaded.labels))
    return OpenFeatures(
        path, names, {str(k): _flat(array) for k, array in arrays.items()}, loaded.targets
    )


def _flat(array: Any) -> Any:
    """A row for each image; of a mapped array still on disk."""
    return array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))


def _layer_name(provenance: dict[str, Any]) -> str:
    """The layer of a file of one, where it says so."""
    layers = provenance.get("layers") or [provenance.get("layer")]
    first = layers[0] if isinstance(layers, list) and len(layers) == 1 else None
    name = first.get("name") if isinstance(first, dict) else first
    return str(name) if name else ""


def _described(place: Path) -> bool:
    return sidecar(place).exists() or not place.is_file()
