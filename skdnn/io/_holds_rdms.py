"""Whether a file holds RDMs; features are rows of images, and nothing is guessed of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from skdnn.io._load_features import load_features
from skdnn.io._rdm_files import load_rdm
from skdnn.io._split_files import sidecar

_TEXT = (".csv", ".tsv", ".txt")


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
    if place.suffix.lower() in _TEXT and not sidecar(place).exists():
        return _is_square_text(place)
    loaded = load_features(place)
    if "rdm" in loaded.provenance:
        return True
    arrays = loaded.features
    values = list(arrays.values()) if isinstance(arrays, dict) else [arrays]
    fits = [_fits(np.asarray(array)) for array in values]
    if loaded.provenance:
        return all(fits) and all(_is_rdm(np.asarray(array)) for array in values)
    return any(fits)


def _is_square_text(place: Path) -> bool:
    """Whether a table is one of conditions by conditions, or one line of pairs."""
    comma = "," if place.suffix.lower() == ".csv" else None
    lines = [line for line in place.read_text("utf-8-sig").splitlines() if line.strip()]
    widths = {len(line.split(comma) if comma else line.split("\t")) for line in lines[:2]}
    width = max(widths, default=0)
    n = len(lines)
    if n == 1 or width == 1 or abs(n - width) <= 1:
        return True
    try:  # several RDMs side by side, under rows of names
        rdm = load_rdm(place)
    except ValueError:
        return False
    return isinstance(rdm.columns, pd.MultiIndex) and not isinstance(rdm.index, pd.RangeIndex)


def _fits(values: np.ndarray) -> bool:
    """Whether an array of another program has the shape of an RDM or a stack of them."""
    shape = values.shape
    if values.ndim == 2 and shape[0] == shape[1] >= 3:
        return True
    if values.ndim == 3 and (shape[1] == shape[2] or shape[0] == shape[1]):
        return True
    n_pairs = max(shape, default=0)
    n = (1 + int(np.sqrt(1 + 8 * n_pairs))) // 2
    return values.size == n_pairs and n >= 3 and n * (n - 1) // 2 == n_pairs


def _is_rdm(values: np.ndarray) -> bool:
    square = values.ndim == 2 and values.shape[0] == values.shape[1]
    return square and not np.diag(values).any() and np.allclose(values, values.T, equal_nan=True)
