"""Responses of single trials, by area, with the name of the image that each trial showed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skdnn._wording import listed
from skdnn.io._bdata import BData, read_bdata
from skdnn.io._open_features import open_features


def read_trials(
    path: str | os.PathLike[str], areas: Sequence[str], *, stimulus_key: str = "stimulus_name"
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Read one subject's responses to images, a row for each trial.

    Parameters
    ----------
    path : str or path-like
        A file of BdPy (.h5), or a file of features with an array for each area and the images'
        names as labels.
    areas : sequence of str
        Names of areas; in a file of BdPy also without ``ROI_``.
    stimulus_key : str, default="stimulus_name"
        In a file of BdPy, the label that names the image of a trial.

    Returns
    -------
    names : list of str
        The image of each trial.
    responses : dict of str to ndarray of shape (n_trials, n_voxels)
        By area.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If an area is not in the file, or trials have no names.

    See Also
    --------
    read_bdata : All that a file of BdPy holds.
    skdnn.encoding.average_repeats : Trials of the same image averaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn import save_features
    >>> from skdnn.formats import read_trials
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/S1.h5"
    ...     _ = save_features({"V1": np.ones((3, 2)), "IT": np.ones((3, 4))}, file,
    ...         labels=["cat", "dog", "cat"])
    ...     names, responses = read_trials(file, ["V1"])
    >>> names, responses["V1"].shape
    (['cat', 'dog', 'cat'], (3, 2))
    """
    brain = _brain_data(Path(path))
    if brain is not None:
        held = [str(key) for key in brain.metadata.index]
        shown = sorted(key for key in held if key.startswith("ROI_"))
        places = {area: area if area in held else f"ROI_{area}" for area in areas}
    else:
        features = open_features(path)
        held = shown = list(features.layers)
        places = {area: area for area in areas}
        if features.names is None:
            raise ValueError(f"{path} has no names of images for its trials: save it with labels.")
    if unknown := [area for area, place in places.items() if place not in held]:
        told = f"has no {listed(unknown, 10, str)}, but {listed(shown, 10, str)}"
        raise ValueError(f"areas: {path} {told}.")
    if brain is None:
        names = list(features.names or ())
        return names, {area: np.asarray(features.layers[area], np.float64) for area in areas}
    names = list(map(str, brain.get_labels(stimulus_key)))
    return names, {area: brain.select(f'"{key}" = 1') for area, key in places.items()}


def _brain_data(path: Path) -> BData | None:
    """The file, where it is one of BdPy's."""
    if path.suffix.lower() not in (".h5", ".hdf5"):
        return None
    try:
        return read_bdata(path)
    except FileNotFoundError:
        raise
    except ValueError:  # another kind of HDF5 file
        return None
