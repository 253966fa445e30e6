"""Responses in NIfTI files as rows of voxels, and values of voxels back as NIfTI files."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._html import product
from skdnn.io._file_faults import noting, refuse
from skdnn.io._lazy_array import LazyArray, Positions
from skdnn.io._nifti_files import MapFile, open_maps, state_of
from skdnn.io._nifti_masks import Label, Mask, read_masks

OnePath = str | os.PathLike[str]


class NiftiBetas(LazyArray):
    """Responses to images in files of fMRI, row i image i; maps are read when asked for.

    Parameters
    ----------
    paths : sequence of path-like, or of pairs of them
        As in `read_betas`.
    mask : NIfTI image, path-like, array or None, default=None
        As in `read_betas`.
    threshold : float, default=None
        As in `read_betas`.
    label : int, str or sequence of them, default=None
        As in `read_betas`.

    Attributes
    ----------
    shape : tuple of int
        (n_images, n_voxels).
    dtype : numpy dtype
        float32, or float64 where the files hold more digits.
    mask : ndarray of bool, shape (nx, ny, nz), (n_vertices,) or (n_grayordinates,)
        The voxels; of two hemispheres, the vertices of both, one after the other.
    affine : ndarray of shape (4, 4) or None
        Where volumes lie.
    hemispheres : list of tuples of str and int
        Of surfaces, ``"left"``, ``"right"`` or ``""`` (unknown) and the number of all vertices,
        in the order of the columns.
    axis : nibabel.cifti2.BrainModelAxis or None
        What the grayordinates are, before the mask.
    names : list of str or None
        Of the maps, where all files name them (GIFTI, CIFTI).
    file_of : ndarray of int, shape (n_images,)
        Which of `paths` each row is in.
    plain_integers : bool
        Whether a file holds integers without a factor of their own, as the Natural Scenes Dataset
        does: numbers that its reader has to divide.

    Raises
    ------
    ValueError
        As `read_betas`.

    See Also
    --------
    skdnn.formats.read_betas : Makes one.

    Examples
    --------
    >>> from skdnn.formats import NiftiBetas
    >>> NiftiBetas(["betas_of_80_images.nii"], "V1.nii")  # doctest: +SKIP
    NiftiBetas(shape=(80, 903), dtype=float32)
    """

    def __init__(
        self,
        paths: Sequence[OnePath | Sequence[OnePath]],
        mask: Any = None,
        *,
        threshold: float | None = None,
        label: Label | None = None,
    ) -> None:
        rows = [(path,) if isinstance(path, str | os.PathLike) else tuple(path) for path in paths]
        if not rows:
            raise ValueError("paths is empty: betas need at least one file.")
        if {len(row) for row in rows} not in ({1}, {2}):
            raise ValueError("paths must all be single files, or all pairs of hemispheres.")
        masks = read_masks(mask, len(rows[0]), threshold, label)
        self._files = _fitting(rows, masks)
        files = [file for row in self._files for file in row]
        kept = [np.asarray(one.chosen) for one in masks]
        self._ends = np.cumsum([one.size for one in kept])
        self._voxels = np.concatenate(
            [_points(one) + end - one.size for one, end in zip(kept, self._ends, strict=True)]
        )
        n_maps = [row[0].n_maps for row in self._files]
        self.file_of = np.repeat(np.arange(len(rows)), n_maps)
        self._map_of = np.concatenate([np.arange(n) for n in n_maps])
        self.dtype = np.result_type(np.float32, *{file.dtype for file in files})
        self.plain_integers = any(
            file.dtype.kind in "iu" and file.scaling == (1.0, 0.0) for file in files
        )
        self.shape = (len(self._map_of), len(self._voxels))
        self.mask = kept[0] if len(kept) == 1 else np.concatenate(kept)
        self.affine, self.axis = masks[0].affine, masks[0].axis
        self.hemispheres = _hemispheres(self._files)
        self._open: dict[int, tuple[Any, Any]] = {}
        names = [name for row in self._files for name in row[0].names or ()]
        self.names = names if len(names) == len(self) else None

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        voxels, file_of = self._voxels[columns], self.file_of[rows]
        part_of = np.searchsorted(self._ends, voxels, side="right")
        for part, end in enumerate(self._ends):
            here = np.flatnonzero(part_of == part)
            if not here.size:
                continue
            is_run = here[-1] - here[0] + 1 == here.size
            found = out[:, here[0] : here[-1] + 1] if is_run else np.empty_like(out[:, here])
            for number in np.unique(file_of):
                file, places = self._files[number][part], np.flatnonzero(file_of == number)
                points = voxels[here] - (end - math.prod(file.grid))
                self._read_file(part, file, found, places, self._map_of[rows[places]], points)
            if not is_run:
                out[:, here] = found

    def _read_file(self, part: int, file: MapFile, *request: Any) -> None:
        """One file; it stays open, for rows that follow upon these."""
        try:
            if state_of(file.path) != file.state:
                raise ValueError("it has changed since it was opened")
            place = (file.path, os.getpid())  # a fork shares the place in an open file
            kept, source = self._open.pop(part, (None, None))  # no other thread has it then
            source = source if kept == place else file.open()
            file.fill(source, *request)
            self._open[part] = (place, source)
        except FileNotFoundError:
            raise FileNotFoundError(f"paths: {str(file.path)!r} is not there any more.") from None
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ValueError(f"paths: {str(file.path)!r} cannot be read: {error}.") from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def _facts(self) -> dict[str, Any]:
        return {
            "files": sum(map(len, self._files)),
            "images": self.shape[0],
            "voxels": self.shape[1],
            "grid": product(self.mask.shape),
            "hemispheres": [f"{side} {n:,}".strip() for side, n in self.hemispheres] or None,
        }


def read_betas(
    paths: OnePath | Sequence[OnePath | Sequence[OnePath]],
    mask: Any = None,
    *,
    threshold: float | None = None,
    label: Label | None = None,
) -> NiftiBetas:
    """Open responses in files of fMRI as rows of voxels or vertices; needs nibabel.

    Parameters
    ----------
    paths : str, path-like or sequence of them, or of pairs of them
        Files of one map for each image, or of several; rows are their maps in order. Volumes:
        NIfTI and other formats of nibabel. Surfaces: GIFTI, and ``.mgh``, ``.mgz`` or NIfTI of
        shape (n_vertices, 1, 1, n_maps). Grayordinates: CIFTI (``.dscalar.nii``,
        ``.dtseries.nii``). In a pair are the same maps of two hemispheres: the columns are the
        vertices of the first, then those of the second.
    mask : NIfTI image, path-like, array of bool or None, default=None
        Which voxels, in C order: of shape (nx, ny, nz), or a value for each vertex. It must lie
        where the files do. For surfaces it may also be FreeSurfer's ``.label`` or ``.annot``; of
        pairs it is a pair; None, which is not for volumes, keeps all.
    threshold : float, default=None
        Keep where the mask is larger. Without it and `label`, the mask must hold 0 and 1 only.
    label : int, str or sequence of them, default=None
        Keep where the mask has these numbers or, in GIFTI, CIFTI and ``.annot``, names.

    Returns
    -------
    betas : NiftiBetas
        Of shape (n_images, n_voxels); maps are read when rows are asked for.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If files are unreadable, or don't fit the mask: all of them in one error. If the mask has
        other values than 0 and 1, or keeps nothing. If files of both hemispheres stand in one
        column.

    See Also
    --------
    skdnn.formats.write_map : Values of these voxels as a NIfTI file.

    Notes
    -----
    A compressed file is unpacked once for rows in rising order, and from its start again for an
    earlier row, or for each block where work goes by columns: take all at once where you can.
    Beside the result about one map is in memory; of GIFTI, one file. What is NaN in a file stays
    NaN.

    Examples
    --------
    >>> from skdnn.formats import read_betas
    >>> betas = read_betas(["beta_0001.nii", "beta_0002.nii"], "V1.nii")  # doctest: +SKIP
    >>> betas.shape, betas[:1].shape  # doctest: +SKIP
    ((2, 903), (1, 903))
    >>> pair = ("lh.betas.mgh", "rh.betas.mgh")
    >>> both = read_betas([pair], ("lh.V1.label", "rh.V1.label"))  # doctest: +SKIP
    """
    every = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return NiftiBetas(every, mask, threshold=threshold, label=label)


def _fitting(rows: Sequence[Sequence[OnePath]], masks: Sequence[Mask]) -> list[list[MapFile]]:
    """All files, if each can be read through its mask."""
    found: list[list[MapFile]] = []
    faults: dict[str, str] = {}
    for row in rows:
        found.append([])
        for given, mask in zip(row, masks, strict=True):
            path = Path(given).expanduser()
            with noting(faults, path):
                file = open_maps(path)
                fault = mask.misfit(file)
                if len(row) == 2 and (file.axis is not None or len(file.grid) == 3):
                    fault = "is no surface of one hemisphere, as the files of a pair are"
                if not fault and found[-1] and found[-1][0].n_maps != file.n_maps:
                    fault = f"has {file.n_maps} maps, the other hemisphere {found[-1][0].n_maps}"
                if fault:
                    raise ValueError(fault)
                shared = {"affine": mask.affine, "axis": mask.axis}  # one for all
                found[-1].append(replace(file, **shared, state=state_of(file.path)))
    refuse("paths", faults, len(rows) * len(masks))
    return found


def _points(mask: np.ndarray) -> np.ndarray:
    """Where voxels in C order stand in a file, whose first axis runs fastest."""
    return np.asarray(np.ravel_multi_index(np.nonzero(mask), mask.shape, order="F"))


def _hemispheres(rows: Sequence[Sequence[MapFile]]) -> list[tuple[str, int]]:
    """Side and number of vertices of each part of the columns."""
    first = rows[0]
    if first[0].axis is not None:
        cortex = {f"CIFTI_STRUCTURE_CORTEX_{side.upper()}": side for side in ("left", "right")}
        return [(cortex.get(name, ""), int(n)) for name, n in first[0].axis.nvertices.items()]
    if len(first[0].grid) == 3:
        return []
    sides = [{row[part].hemisphere for row in rows} - {""} for part in range(len(first))]
    if any(len(side) > 1 for side in sides) or (len(sides) == 2 and sides[0] & sides[1]):
        raise ValueError(
            "paths: files of both hemispheres stand in one column, or a pair has one hemisphere "
            "twice. Give pairs, always in the same order: [(left, right), ...]."
        )
    return [("".join(side), file.grid[0]) for side, file in zip(sides, first, strict=True)]
