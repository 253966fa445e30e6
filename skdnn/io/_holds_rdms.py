"""Whether a file holds RDMs; features are rows of images, and nothing is guessed of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from skdnn.io._load_features import load_features
from skdnn.io._rdm_forms import is_rdm_shape
from skdnn.io._reading import DamageError
from skdnn.io._split_files import sidecar
from skdnn.io._text_tables import read_table
from skdnn.rsa._comparison._rdm_stack import is_rdm_like


def holds_rdms(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file holds RDMs, or features that RDMs can be made of.

    Parameters
    ----------
    path : str or path-like
        What :func:`load_rdm` or :func:`~skdnn.load_features` reads.

    Returns
    -------
    answer : bool
        True of files that :func:`save_rdm` wrote, of square tables of conditions and of arrays of
        other programs that have the shape of RDMs. Features that :func:`~skdnn.save_features`
        wrote with their provenance hold RDMs only if all of them are: symmetric, with a zero
        diagonal.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can't be read.

    See Also
    --------
    load_rdm : Read RDMs.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.io import holds_rdms, save_rdm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_rdm(1 - np.eye(4), f"{folder}/rdm.npy")
    ...     np.save(f"{folder}/features.npy", np.zeros((4, 7)))
    ...     holds_rdms(f"{folder}/rdm.npy"), holds_rdms(f"{folder}/features.npy")
    (True, False)
    """
    place = Path(path)
    if place.suffix.lower() in (".csv", ".tsv", ".txt") and not sidecar(place).exists():
        return _is_square_text(place)
    loaded = load_features(place)
    if "rdm" in loaded.provenance:
        return True
    several = isinstance(loaded.features, dict)
    values = [np.asarray(x) for x in (loaded.features.values() if several else [loaded.features])]
    fits = [_has_shape_of_rdms(array.shape) for array in values]
    if not loaded.provenance:
        return any(fits)
    return all(fits) and all(map(is_rdm_like, values))


def _is_square_text(place: Path) -> bool:
    """Whether a table is one of conditions by conditions, or of pairs without names."""
    try:
        table = read_table(place)
    except DamageError:  # whoever reads it says why
        return False
    rows, columns = table.values.shape
    if rows == columns or not table.names:
        return rows == columns or 1 in (rows, columns)
    return set(table.names) == {name for level in table.head[-1:] for name in level}


def _has_shape_of_rdms(shape: tuple[int, ...]) -> bool:
    """Whether an array of another program does; rows of pairs could as well be features."""
    is_line = math.prod(shape) == max(shape, default=0)
    return is_rdm_shape(shape) and (is_line or len(shape) == 3 or shape[0] == shape[1])
