"""Files as a script is given them: tables whose rows are images, and layers left on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from skdnn._html import card
from skdnn._labels import without_ending
from skdnn.io._load_features import SavedFeatures, as_saved, load_features, read_files, tell
from skdnn.io._reading import Ask


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

    def _repr_html_(self) -> str:
        """A card for notebooks; no numbers are read."""
        rows = [
            (name, layer.shape[1], layer.dtype, "memory" if type(layer) is np.ndarray else "disk")
            for name, layer in self.layers.items()
        ]
        table = pd.DataFrame(rows, columns=["layer", "units", "type", "place"])
        facts = {"file": self.path, "images": self.n_rows, "names": self.names}
        return card("OpenFeatures", facts, table)


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
    try:
        loaded = load_features(place, mmap=place.suffix.lower() in (".npy", ".h5", ".hdf5"))
    except FileNotFoundError:
        raise
    except ValueError:  # in parts or in pieces, or damaged, which is said now
        loaded = load_features(place)
    arrays = loaded.features
    if not isinstance(arrays, dict):
        arrays = {_layer_name(loaded.provenance) or place.stem: arrays}
    flat = {
        str(name): array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))
        for name, array in arrays.items()
    }
    if not flat:
        raise ValueError(f"{path}: it holds no array of numbers.")
    if unknown := [name for name in layers or () if name not in flat]:
        raise ValueError(
            f"layer: {', '.join(unknown)} not in {path}, which holds {', '.join(flat)}."
        )
    chosen = flat if layers is None else {name: flat[name] for name in layers}
    return OpenFeatures(str(path), _row_names(loaded), chosen, loaded.targets)


def _layer_name(provenance: dict[str, Any]) -> str:
    """The layer of a file of one, where it says so."""
    layers = provenance.get("layers") or [provenance.get("layer")]
    first = layers[0] if isinstance(layers, list) and len(layers) == 1 else None
    name = first.get("name") if isinstance(first, dict) else first
    return str(name) if name else ""


def _row_names(loaded: SavedFeatures) -> list[str] | None:
    return None if loaded.labels is None else list(map(str, loaded.labels))


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
    known = frozenset(without_ending(PurePath(str(name)).name) for name in rows or ())
    found = read_files(Path(path), None, Ask(known=known))
    tell(found)
    loaded = as_saved(found)
    layers = loaded.features if isinstance(loaded.features, dict) else {"": None}
    if not layers:
        raise ValueError(f"{path} holds no array of numbers.")
    tables = {str(name): loaded.to_frame(name or None).reset_index(drop=True) for name in layers}
    return _row_names(loaded), tables
