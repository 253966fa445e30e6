"""What searchlights are made of, from betas or arrays: each subject's patterns at all points."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._labels import row_labels
from skdnn._wording import listed
from skdnn.fmri._betas import Betas
from skdnn.fmri._events import files_of
from skdnn.fmri._searchlight._places import Places, places_of_betas, places_of_mask, together
from skdnn.fmri._searchlight._sphere_rdms import Patterns
from skdnn.fmri._trials import Trials
from skdnn.formats import read_betas
from skdnn.io._lazy_array import LazyArray
from skdnn.rsa._dissimilarity._noise_precision import _COVARIANCES

# What is turned, read and summed at a time.
_BLOCK_BYTES, _READ_BYTES, _SUM_BYTES = 2**20, 2**24, 2**29


@dataclass(frozen=True)
class Subject:
    """One subject's data, not read yet, and its place among the points of all."""

    name: str
    data: Any  # Betas, or an array (n_images, n_voxels)
    columns: NDArray[np.intp]  # of the data, in the order of `points`
    points: NDArray[np.intp]
    images: list[str] | None


def read_subjects(betas: Any, mask: Any) -> tuple[list[Subject], Places]:
    """Subjects whose images are the same, and all points; nothing large is read."""
    if isinstance(betas, str | os.PathLike):
        raise TypeError(
            f"betas={os.fspath(betas)!r} is the name of a file: load_betas or load_subjects reads "
            "it, and knows which trial showed which image."
        )
    if isinstance(betas, list | tuple) and any(isinstance(one, Betas) for one in betas):
        raise TypeError("betas of several subjects are a dict by their names, not a list.")
    given = betas if isinstance(betas, Mapping) else {"": betas}
    if not given:
        raise ValueError("betas is empty: give at least one subject.")
    of_mask = None
    if mask is not None:
        of_mask = places_of_mask(mask)
    places: dict[str, Places] = {}
    columns: dict[str, NDArray[np.intp]] = {}
    images: dict[str, list[str] | None] = {}
    data: dict[str, Any] = {}
    for key, one in given.items():
        name = str(key)
        of = f"betas of {name!r}" if name else "betas"
        if isinstance(one, Betas):
            if mask is not None:
                raise ValueError("mask goes with arrays: Betas know their own.")
            places[name], columns[name] = places_of_betas(one)
            images[name], data[name] = one.images, one
            continue
        if of_mask is None:
            raise ValueError(f"{of} are an array, which has no place in space: give mask=.")
        numbered = isinstance(one, pd.DataFrame) and one.columns.dtype.kind in "iu"
        if numbered and not one.columns.is_monotonic_increasing:
            raise ValueError(
                f"columns of {of} are numbers of voxels that do not ascend, as the mask has them: "
                "sort them with .sort_index(axis=1)."
            )
        values = one.to_numpy() if isinstance(one, pd.DataFrame) else np.asarray(one)
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise ValueError(
                f"{of} must be numbers of shape (n_images, n_voxels), got {values.shape} of "
                f"{values.dtype}."
            )
        if values.shape[1] != of_mask.n_points:
            raise ValueError(
                f"{of} have {values.shape[1]} voxels, the mask has {of_mask.n_points}."
            )
        places[name], columns[name] = of_mask, np.arange(values.shape[1])
        images[name], data[name] = row_labels(one), values
    _same_images(images, data)
    whole, points = together(places)
    return [
        Subject(name, data[name], columns[name], points[name], images[name]) for name in data
    ], whole


def _same_images(images: Mapping[str, list[str] | None], data: Mapping[str, Any]) -> None:
    labelled = [name for name in data if images[name] is not None]
    first = labelled[0] if labelled else next(iter(images))
    if 0 < len(labelled) < len(data):
        without = [name for name in data if images[name] is None]
        warnings.warn(
            f"betas of {listed(without)} have no names of images: they are taken to be in the "
            f"order of those of {first!r}. Give DataFrames with the names as index.",
            UserWarning,
            stacklevel=5,
        )
    for name, own in images.items():
        sizes = [_n_images(data[one]) for one in (first, name)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"betas of {name!r} have {sizes[1]} images, those of {first!r} {sizes[0]}."
            )
        if own is not None and images[first] is not None and own != images[first]:
            raise ValueError(
                f"betas of {name!r} are of other images than those of {first!r}, or in another "
                "order: load them with the same images=."
            )


def _n_images(data: Any) -> int:
    return len(data.images) if isinstance(data, Betas) else len(data)


def fold_codes(betas: Betas, folds: str, what: str) -> tuple[NDArray[np.intp], int]:
    """The fold of each trial, and their number."""
    by = {"run": ["session", "run"], "session": ["session"]}.get(folds)
    if by is None:
        raise ValueError(f"folds must be 'run' or 'session', got {folds!r}.")
    codes = betas.trials.groupby(by, sort=False).ngroup().to_numpy().astype(np.intp)
    n_folds = int(codes.max()) + 1
    if n_folds < 2:
        raise ValueError(
            f"{what} have one {folds} only: crossnobis needs trials of two or more, whose noise "
            "is independent."
        )
    return codes, n_folds


def patterns_of(subject: Subject, n_points: int, folds: str | None, residuals: Any) -> Patterns:
    """A subject's data at all points; those without data are not usable.

    A point has no data where a response is not finite, where all responses are the same, as
    outside of the brain, and where it has residuals that are not finite or all the same.
    """
    of_betas = isinstance(subject.data, Betas)
    read = _means_of_trials(subject, folds) if of_betas else _rows_of_array(subject)
    counts, dtype, parts = read
    values = np.zeros((n_points, counts.size), dtype=dtype)
    usable = np.zeros(n_points, dtype=bool)
    for points, columns, rows in parts:
        _put(rows, points, columns, counts.ravel() > 0, values, usable)
    if folds is not None:
        _centre(values.reshape(n_points, *counts.shape), counts)
    kept = None
    if residuals is not None:
        kept = _read_residuals(residuals, subject, n_points)
        with np.errstate(invalid="ignore"):
            spread = np.ptp(kept, axis=1)
        usable &= np.isfinite(spread) & (spread > 0)
    if not usable.any():
        raise ValueError(f"betas of {subject.name!r} have no voxel with data.")
    return Patterns(values, usable, counts, kept)


# Rows of some points: where these are, their columns, and the numbers.
Parts = Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]]


def _rows_of_array(subject: Subject) -> tuple[NDArray[np.int64], np.dtype[Any], Parts]:
    rows = np.asarray(subject.data)
    dtype = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float64)
    counts = np.ones((1, len(rows)), dtype=np.int64)
    return counts, dtype, iter([(subject.points, subject.columns, rows)])


def _means_of_trials(
    subject: Subject, folds: str | None
) -> tuple[NDArray[np.int64], np.dtype[Any], Parts]:
    """Trials of each image (n_folds, n_images), and means of them, in each fold or of all.

    Sums are in float64. Voxels are read in as many parts as sums of a bounded size allow.
    """
    betas, of = subject.data, f"betas of {subject.name!r}"
    shown = betas.trials["image"].to_numpy()
    codes, n_folds = np.zeros(len(shown), dtype=np.intp), 1
    if folds is not None:
        codes, n_folds = fold_codes(betas, folds, of)
    counts = np.zeros((n_folds, len(betas.images)), dtype=np.int64)
    np.add.at(counts, (codes, shown), 1)
    dtype = np.dtype(np.float64) if folds is not None else betas.responses.dtype
    cells, width = codes * len(betas.images) + shown, max(1, _SUM_BYTES // (8 * counts.size))

    def parts() -> Parts:
        whole = width >= betas.n_voxels
        if betas.responses.groups is not None and not whole:
            betas.responses.moments()  # once, for all parts
        for start in range(0, betas.n_voxels, width):
            some = slice(start, start + width)
            columns = subject.columns[some]
            trials = betas.responses if whole else betas.responses.of(columns)
            means = _means(trials, cells, counts)
            yield subject.points[some], columns if whole else np.arange(len(columns)), means

    return counts, dtype, parts()


def bytes_of_reading(betas: Betas, n_cells: int) -> int:
    """What `_means_of_trials` holds at a time, besides the values that it fills."""
    n_trials, n_voxels = betas.responses.shape
    sums = min(_SUM_BYTES, 8 * n_cells * n_voxels)
    block = min(_READ_BYTES, n_trials * n_voxels * betas.responses.dtype.itemsize)
    return sums + block + _BLOCK_BYTES


def _means(
    trials: Trials, cells: NDArray[np.intp], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Means of the trials in each cell (n_cells, n_voxels); 0 where there are none."""
    sums = np.zeros((counts.size, trials.shape[1]))
    n_rows = max(1, _READ_BYTES // (trials.shape[1] * trials.dtype.itemsize))
    for rows, block in trials.iter_blocks(n_rows):
        for cell, row in zip(cells[rows].tolist(), block, strict=True):
            sums[cell] += row
        del block, row  # before the next is read
    sums /= np.maximum(counts, 1).reshape(-1, 1)
    return sums


def _put(
    rows: NDArray[Any],
    points: NDArray[np.intp],
    columns: NDArray[np.intp],
    measured: NDArray[np.bool_],
    values: NDArray[Any],
    usable: NDArray[np.bool_],
) -> None:
    """Turn rows into a row for each point, and say whether it has data that was measured."""
    step = max(1, _BLOCK_BYTES // (len(rows) * values.dtype.itemsize))
    for start in range(0, len(points), step):
        some = slice(start, start + step)
        part = rows[:, columns[some]].T.astype(values.dtype, copy=False)
        finite = np.isfinite(part).all(axis=1)
        part[~finite] = 0.0
        values[points[some]] = part
        shown = part if measured.all() else part[:, measured]
        usable[points[some]] = finite & (np.ptp(shown, axis=1) > 0)


def _centre(values: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """What changes no difference goes: the mean over the images of a fold, or over all.

    A fold's own mean would not cancel in a mean over folds that holds images differently often.
    """
    measured = counts > 0
    if measured.all() and not (counts == counts[0]).all():
        values -= values.mean(axis=(1, 2), keepdims=True)
        return
    for fold, here in enumerate(measured):
        values[:, fold, here] -= values[:, fold, here].mean(axis=1, keepdims=True)


def check_residuals(residuals: Any, subjects: list[Subject], method: str) -> dict[str, Any]:
    """What each subject's noise is estimated from, by name; None where there is none."""
    if method not in _COVARIANCES:
        raise ValueError(
            f"covariance={method!r} is not known: choose one of {listed(_COVARIANCES, 9)}."
        )
    if residuals is None:
        return {subject.name: None for subject in subjects}
    if not isinstance(residuals, Mapping):
        if len(subjects) > 1:
            raise ValueError("residuals must be a dict of subjects, as betas are.")
        residuals = {subjects[0].name: residuals}
    given = {str(name): one for name, one in residuals.items()}
    missing = [subject.name for subject in subjects if subject.name not in given]
    if missing:
        raise ValueError(f"residuals has nothing for {listed(missing)}.")
    for subject in subjects:
        files = _files_of_residuals(given[subject.name])
        if files and (not isinstance(subject.data, Betas) or subject.data.affine is None):
            raise ValueError(f"{_of(subject)} are files, which need betas of volumes.")
        absent = [path for path in files if not os.path.isfile(path)]
        if absent:
            raise FileNotFoundError(f"{_of(subject)}: there is no file {listed(absent)}.")
    return {subject.name: given[subject.name] for subject in subjects}


def _of(subject: Subject) -> str:
    return f"residuals of {subject.name!r}" if subject.name else "residuals"


def _files_of_residuals(residuals: Any) -> list[str]:
    """Paths, if these are given, and not numbers."""
    if isinstance(residuals, str | os.PathLike) or (
        isinstance(residuals, list) and residuals and isinstance(residuals[0], str | os.PathLike)
    ):
        return [os.path.expanduser(os.fspath(one)) for one in files_of(residuals, "residuals")]
    return []


def _read_residuals(residuals: Any, subject: Subject, n_points: int) -> NDArray[Any]:
    """Residuals at all points (n_points, n_residuals) less their mean, of their own precision."""
    of = _of(subject)
    if files := _files_of_residuals(residuals):
        mask = Places(_own_mask(subject.data), subject.data.affine)
        inside = mask.image(np.ones(mask.n_points), fill=0)
        residuals = read_betas(files, inside)
        columns = np.arange(len(subject.points))  # volumes come in the order of the points
    else:
        columns = subject.columns
    if not isinstance(residuals, LazyArray):
        residuals = np.asarray(residuals)
    if len(residuals.shape) != 2 or residuals.shape[1] != len(subject.points):
        raise ValueError(
            f"{of} have shape {residuals.shape}: (n_residuals, {len(subject.points)}), a column "
            "for each voxel of the betas, is needed."
        )
    if residuals.shape[0] < 3:
        raise ValueError(f"{of} have {residuals.shape[0]} rows: too few to estimate noise.")
    dtype = np.float64 if residuals.dtype.kind != "f" else residuals.dtype
    out = np.zeros((n_points, residuals.shape[0]), dtype=dtype)
    step = max(1, _BLOCK_BYTES // (residuals.shape[1] * np.dtype(dtype).itemsize))
    for start in range(0, residuals.shape[0], step):
        rows = slice(start, min(start + step, residuals.shape[0]))
        out[subject.points, rows] = np.asarray(residuals[rows])[:, columns].T
    with np.errstate(invalid="ignore"):
        out -= out.mean(axis=1, keepdims=True, dtype=np.float64).astype(dtype)
    return out


def _own_mask(betas: Betas) -> NDArray[np.bool_]:
    return places_of_betas(betas)[0].mask
