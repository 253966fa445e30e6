"""Which units of each layer were drawn at random: ``index_random1000.mat``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from skdnn.io._mat import Version, read_variable, write_mat
from skdnn.io._reading import DamageError

_VARIABLE = "index"


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
        index = read_variable(file_path, _VARIABLE)
        if not isinstance(index, dict):
            raise DamageError(
                f"its variable {_VARIABLE!r} is no struct with a field for each layer"
            )
        return {layer: _checked(layer, values) for layer, values in index.items()}
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
        made = {layer: _checked(layer, np.asarray(values)) for layer, values in index.items()}
    except DamageError as error:
        raise ValueError(f"index: {error}.") from error
    write_mat(Path(path).expanduser(), {_VARIABLE: made}, version)


def _checked(layer: str, values: object) -> np.ndarray:
    found = np.asarray(values).ravel()
    if found.dtype.kind not in "iuf":
        raise DamageError(f"the positions of {layer!r} are no numbers")
    whole = found.astype(np.int64)
    if not np.array_equal(whole, found) or (whole < 0).any():
        raise DamageError(f"the positions of {layer!r} are not whole numbers from 0")
    return whole
