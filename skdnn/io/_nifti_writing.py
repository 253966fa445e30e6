"""Values of voxels or vertices back into files, as they were read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdnn._files import replaced
from skdnn._optional import import_optional
from skdnn.io._nifti import NiftiBetas, OnePath
from skdnn.io._nifti_files import load_image, side_of
from skdnn.io._nifti_masks import Label, read_masks

_SURFACES = {".gii", ".mgz", ".mgh"}
_ENDINGS = (".nii.gz", ".nii", *_SURFACES)


def write_map(
    values: ArrayLike,
    reference: Any,
    path: OnePath | Sequence[OnePath],
    *,
    coordinates: ArrayLike | None = None,
    fill: float = np.nan,
    threshold: float | None = None,
    label: Label | None = None,
) -> None:
    """Write a number for each voxel or vertex, such as a score, into a file; needs nibabel.

    Parameters
    ----------
    values : array-like of shape (n_voxels,) or (n_maps, n_voxels)
        Numbers of the voxels or vertices, stored as float32; several maps become the volumes, or
        the maps, of one file.
    reference : NiftiBetas, or image, path-like or array
        Says where they lie: what `read_betas` returned, or the mask that it was given. Values go
        where the mask is 1, in C order; of two hemispheres, first those of the first. With
        `coordinates`, any image in whose space they lie. For volumes no array, which has no place
        in space; for two hemispheres a pair of masks.
    path : str or path-like, or a pair of them
        The file; an existing one is replaced. Volumes: ``.nii``, ``.nii.gz``. Surfaces: GIFTI
        (``.func.gii``) or ``.mgz``, ``.mgh``, one for each hemisphere.
    coordinates : array-like of shape (n_voxels, 3), default=None
        Where the voxels lie, in millimetres, e.g. from `BData.coordinates`: each goes into the
        voxel of `reference` that it lies in.
    fill : float, default=nan
        What all other voxels or vertices get.
    threshold : float, default=None
        As in `read_betas`, for a mask.
    label : int, str or sequence of them, default=None
        As in `read_betas`, for a mask.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    TypeError
        If `reference` does not say where voxels lie, or is no surface where `path` is one.
    ValueError
        If the number of values or of hemispheres does not fit, a file is named for the other
        hemisphere, `coordinates` are outside of the reference or two of them in one voxel, or
        `path` ends otherwise.

    See Also
    --------
    skdnn.formats.read_betas : Rows of voxels or vertices from files.
    skdnn.formats.BData.coordinates : Where voxels lie.

    Examples
    --------
    >>> from skdnn.formats import write_map
    >>> write_map([.5, .25], "mask_of_two_voxels.nii", "scores.nii.gz")  # doctest: +SKIP
    >>> both = read_betas([("lh.betas.mgh", "rh.betas.mgh")])  # doctest: +SKIP
    >>> write_map(scores, both, ("lh.scores.func.gii", "rh.scores.func.gii"))  # doctest: +SKIP
    """
    given = (path,) if isinstance(path, str | os.PathLike) else path
    targets = [Path(one).expanduser() for one in given]
    endings = [next((x for x in _ENDINGS if one.name.endswith(x)), "") for one in targets]
    on_surface = set(endings) <= _SURFACES
    if not on_surface and (len(targets) != 1 or not endings[0]):
        raise ValueError(
            "path must end in .nii or .nii.gz; or for a surface, or a pair of hemispheres, in "
            f".gii, .mgz or .mgh, got {', '.join(repr(str(one)) for one in targets)}."
        )
    if len(set(targets)) < len(targets):
        raise ValueError(f"path: both hemispheres would be written into {str(targets[0])!r}.")
    nibabel = import_optional("nibabel", "to write NIfTI files")
    maps = np.asarray(values, dtype=np.float32)
    if maps.ndim not in (1, 2):
        raise ValueError(f"values must have one or two dimensions, got shape {maps.shape}.")
    if on_surface:
        if coordinates is not None:
            raise ValueError("coordinates are those of voxels, and path is a surface.")
        parts = _hemispheres(reference, targets, threshold, label)
    else:
        parts = [_voxels(reference, coordinates, threshold, label)]
    ends = np.cumsum([len(part.where) for part in parts])
    if maps.shape[-1] != ends[-1]:
        what = "vertices" if on_surface else "voxels"
        raise ValueError(f"values has {maps.shape[-1]} {what}, the reference {ends[-1]}.")
    with ExitStack() as files:
        for part, target, ending, stop in zip(parts, targets, endings, ends, strict=True):
            whole = np.full((math.prod(part.shape), *maps.shape[:-1]), fill, dtype=np.float32)
            whole[part.where] = maps[..., stop - len(part.where) : stop].T
            image = _image(nibabel, whole, part, ending)
            image.to_filename(files.enter_context(replaced(target, ending)))


@dataclass
class _Part:
    """Where values of one file lie: places in a grid, flattened in C order."""

    where: np.ndarray
    shape: tuple[int, ...]
    affine: Any = None
    side: str = ""


def _voxels(
    reference: Any, coordinates: ArrayLike | None, threshold: float | None, label: Label | None
) -> _Part:
    """Voxels of a volume."""
    try:
        image = load_image(reference) if isinstance(reference, str | os.PathLike) else reference
    except (OSError, ValueError) as error:
        raise ValueError(f"reference: {os.fspath(reference)!r} {error}.") from error
    affine = getattr(image, "affine", None)
    if affine is None:
        raise TypeError(
            "reference must be a NIfTI image or its path, or betas of volumes, got "
            f"{type(image).__name__}, which does not say where its voxels lie."
        )
    held = image.mask if isinstance(image, NiftiBetas) else image
    shape = tuple(map(int, held.shape[:3]))
    if coordinates is None:
        where = np.flatnonzero(np.asarray(read_masks(held, 1, threshold, label)[0].chosen))
    else:
        where = _voxels_at(np.asarray(coordinates, dtype=np.float64), affine, shape)
    return _Part(where, shape, affine)


def _hemispheres(
    reference: Any, targets: Sequence[Path], threshold: float | None, label: Label | None
) -> list[_Part]:
    """Vertices of one hemisphere, or of each of two."""
    if isinstance(reference, NiftiBetas):
        if reference.axis is not None or not reference.hemispheres:
            raise TypeError("reference must be betas of surfaces, where path is a surface.")
        sides, sizes = zip(*reference.hemispheres, strict=True)
        if len(sizes) != len(targets):
            n = len(targets)
            raise ValueError(f"path: {n} given, but the reference has {len(sizes)} hemispheres.")
        chosen: list[Any] = np.split(reference.mask, np.cumsum(sizes)[:-1])
    else:
        masks = read_masks(reference, len(targets), threshold, label)
        chosen, sides = [one.chosen for one in masks], tuple(one.side for one in masks)
        if any(one is None or one.ndim != 1 for one in chosen) or masks[0].axis is not None:
            raise TypeError(
                "reference must have a value for each vertex, where path is a surface; a .label "
                "does not say how many there are: give the betas."
            )
    for target, side in zip(targets, sides, strict=True):
        if side and side_of(target) not in ("", side):
            raise ValueError(f"path: {str(target)!r} would hold the {side} hemisphere.")
    return [
        _Part(np.flatnonzero(one), one.shape, side=side or side_of(target))
        for one, side, target in zip(chosen, sides, targets, strict=True)
    ]


def _image(nibabel: Any, whole: np.ndarray, part: _Part, ending: str) -> Any:
    """Values of all points, one map in a column, as a file has them."""
    if ending == ".gii":
        meta = {"AnatomicalStructurePrimary": f"Cortex{part.side.title()}"} if part.side else {}
        columns = whole.reshape(len(whole), -1).T
        arrays = [nibabel.gifti.GiftiDataArray(column) for column in columns]
        return nibabel.GiftiImage(darrays=arrays, meta=nibabel.gifti.GiftiMetaData(meta))
    if ending in _SURFACES:
        several = whole.shape[1:] if whole.size > len(whole) else ()  # MGH has no axis of one
        return nibabel.MGHImage(whole.reshape(len(whole), 1, 1, *several), None)
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm")
    return nibabel.Nifti1Image(whole.reshape(*part.shape, *whole.shape[1:]), part.affine, header)


def _voxels_at(xyz: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Positions, in a volume flattened in C order, of the voxels that points lie in."""
    if xyz.ndim != 2 or xyz.shape[1] != 3 or not np.isfinite(xyz).all():
        raise ValueError(f"coordinates must be finite, of shape (n_voxels, 3), got {xyz.shape}.")
    inverse = np.linalg.inv(affine)
    indices = np.rint(xyz @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    outside = ((indices < 0) | (indices >= shape)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"coordinates: {int(outside.sum())} of {len(xyz)} lie outside of the reference, the "
            f"first is {xyz[outside][0].tolist()}."
        )
    where = np.ravel_multi_index(tuple(indices.T), shape)
    if len(np.unique(where)) != len(where):
        raise ValueError(
            f"coordinates: {len(where) - len(np.unique(where))} of {len(where)} lie in the same "
            "voxel of the reference as another: its voxels are too large."
        )
    return where
