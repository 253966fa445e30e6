"""RDMs over time in files: arrays as other programs save them, and movies whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skdnn._files import refuse_existing, replaced
from skdnn.io._hdf5_dialects import MOVIE
from skdnn.io._hdf5_links import open_hdf5
from skdnn.io._rdm_files import load_rdm
from skdnn.rsa import RDMMovie, read_rdm_movie

_COUNTED = "counted"  # says of subjects that their numbers are no names


def load_rdm_movie(
    path: str | os.PathLike[str],
    *,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
) -> RDMMovie:
    """Load RDMs over time, of one subject or several.

    Parameters
    ----------
    path : str or path-like
        An .npy or .h5 file of one array of RDMs, (n_times, n_pairs) or (n_times, n_conditions,
        n_conditions), with a further axis of subjects in front where there are several, as
        stacked RDMs of mne-rsa are; a file of :func:`save_rdm_movie`; or RDMs whose names have a
        level "time", as rsatoolbox's (``RDMs.save``) and those of :func:`save_rdm`.
    times : array-like of shape (n_times,), default=None
        In seconds, where the file has none.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions, in their order, where the file has none.

    Returns
    -------
    movie : RDMMovie
        See :func:`skdnn.rsa.time_resolved_rsa`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no RDMs over time, or times or labels don't fit, naming the file.

    See Also
    --------
    save_rdm_movie : Save a movie.
    skdnn.rsa.read_rdm_movie : Of RDMs in memory.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.io import load_rdm_movie
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/meg.npy", np.random.default_rng(0).random((4, 50, 45)))
    ...     load_rdm_movie(f"{folder}/meg.npy", times=np.arange(50) / 100)
    RDMMovie: 4 subjects, 50 times (0 to 0.49 s), 10 conditions
    """
    place = Path(path)
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder: give a file in it.")
    if not place.is_file():
        raise FileNotFoundError(f"There is no file {place}.")
    try:
        return read_rdm_movie(_content(place), times=times, conditions=conditions)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(place) in text else f"{place}: {text}") from error


def _content(place: Path) -> Any:
    """An array, a movie, or a table of labelled RDMs."""
    kind = place.suffix.lower()
    if kind == ".npy":
        try:
            return np.load(place, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{place} holds no array of numbers: {error}") from error
    if kind in (".h5", ".hdf5"):
        try:
            with open_hdf5(place) as file:
                if file.attrs.get("format") == MOVIE:
                    return _movie(file)
                sets = [one for one in file.values() if getattr(one, "ndim", 0) > 1]
                if len(file) == len(sets) == 1:
                    return sets[0][...]
        except OSError as error:
            raise ValueError(f"{place} is no whole HDF5 file: {error}") from error
    return load_rdm(place)


def _movie(file: Any) -> RDMMovie:
    def names(key: str) -> list[Any]:
        values = file[key]
        found = values.asstr()[...] if values.dtype.kind == "O" else values[...]
        return list(found.tolist())

    labels = pd.Index(names("conditions")) if "conditions" in file else None
    subjects = pd.Index(names("subjects"), name="subject")
    if file["subjects"].attrs.get(_COUNTED):
        subjects = pd.RangeIndex(len(subjects), name="subject")
    return RDMMovie(file["pairs"][...], file["times"][...], labels, subjects)


def save_rdm_movie(movie: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Save RDMs over time with their times, conditions and subjects.

    Parameters
    ----------
    movie : RDMMovie, or what read_rdm_movie takes
        Of :func:`skdnn.rsa.compute_rdm_movie` or :func:`skdnn.rsa.read_rdm_movie`; of several
        subjects a dict.
    path : str or path-like
        The file, which ends in .h5. It is there whole or not at all.
    overwrite : bool, default=False
        Replace the file if it is there.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If the ending is another.
    FileExistsError
        If there is such a file and `overwrite` is false.

    See Also
    --------
    load_rdm_movie : Load what was saved.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skdnn.io import load_rdm_movie, save_rdm_movie
    >>> from skdnn.rsa import read_rdm_movie
    >>> movie = read_rdm_movie({"sub-01": np.ones((5, 3))}, conditions=["cat", "dog", "saw"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_rdm_movie(save_rdm_movie(movie, f"{folder}/meg.h5")).subjects.tolist()
    ['sub-01']
    """
    import h5py

    place = Path(path)
    if place.suffix.lower() != ".h5":
        raise ValueError(f"path={str(path)!r} must end in .h5.")
    refuse_existing(place, overwrite)
    movie = movie if isinstance(movie, RDMMovie) else read_rdm_movie(movie)
    with replaced(place, ".h5") as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = MOVIE
        file["pairs"], file["times"] = movie.pairs, movie.times
        _write_names(file, "subjects", movie.subjects)
        first = pd.RangeIndex(len(movie.subjects))
        counted = isinstance(movie.subjects, pd.RangeIndex) and movie.subjects.equals(first)
        file["subjects"].attrs[_COUNTED] = counted
        if movie.conditions is not None and not isinstance(movie.conditions, pd.RangeIndex):
            _write_names(file, "conditions", movie.conditions)
    return place


def _write_names(file: Any, key: str, names: pd.Index) -> None:
    import h5py

    if pd.api.types.is_integer_dtype(names.dtype):
        file[key] = names.to_numpy()
    else:
        text = [str(name) for name in names]
        file.create_dataset(key, data=text, dtype=h5py.string_dtype())
