"""Values of voxels or vertices back into files, as they were read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdnn._optional import import_optional
from skdnn.io._files import replaced
from skdnn.io._maps import load_image, side_of
from skdnn.io._masks import Label, read_masks
from skdnn.io._nifti import NiftiBetas, OnePath

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
    import_optional("nibabel", "to write NIfTI files")
    maps = np.asarray(values, dtype=np.float32)
    if on_surface:
        if coordinates is not None:
            raise ValueError("coordinates are those of voxels, and path is a surface.")
        images = _surfaces(maps, reference, targets, fill, (threshold, label))
    else:
        images = [_volume(maps, reference, coordinates, fill, (threshold, label))]
    with ExitStack() as files:
        for image, target, ending in zip(images, targets, endings, strict=True):
            image.to_filename(files.enter_context(replaced(target, ending)))


def _volume(
    maps: np.ndarray,
    reference: Any,
    coordinates: ArrayLike | None,
    fill: float,
    taken: tuple[float | None, Label | None],
) -> Any:
    """An image in the space of the reference."""
    nibabel = import_optional("nibabel", "to write NIfTI files")
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
        where = np.flatnonzero(np.asarray(read_masks(held, 1, *taken)[0].chosen))
    else:
        where = _voxels_at(np.asarray(coordinates, dtype=np.float64), affine, shape)
    _check_values(maps, len(where), "voxels")
    volumes = np.full((math.prod(shape), *maps.shape[:-1]), fill, dtype=np.float32)
    volumes[where] = maps.T
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm")
    return nibabel.Nifti1Image(volumes.reshape(*shape, *maps.shape[:-1]), affine, header)


def _surfaces(
    maps: np.ndarray,
    reference: Any,
    targets: Sequence[Path],
    fill: float,
    taken: tuple[float | None, Label | None],
) -> list[Any]:
    """An image for each hemisphere."""
    chosen, sides = _hemispheres(reference, len(targets), taken)
    ends = np.cumsum([int(one.sum()) for one in chosen])
    _check_values(maps, ends[-1], "vertices")
    images = []
    for target, one, side, part in zip(
        targets, chosen, sides, np.split(maps, ends[:-1], axis=-1), strict=True
    ):
        named = side_of(target)
        if side and named and side != named:
            raise ValueError(f"path: {str(target)!r} would hold the {side} hemisphere.")
        whole = np.full((*maps.shape[:-1], one.size), fill, np.float32)
        whole[..., one] = part
        images.append(_surface(whole, side or named, target.suffix))
    return images


def _hemispheres(
    reference: Any, n: int, taken: tuple[float | None, Label | None]
) -> tuple[list[np.ndarray], list[str]]:
    """Which vertices values belong to, and the sides."""
    if isinstance(reference, NiftiBetas):
        if reference.axis is not None or not reference.hemispheres:
            raise TypeError("reference must be betas of surfaces, where path is a surface.")
        sides, sizes = zip(*reference.hemispheres, strict=True)
        if len(sizes) != n:
            raise ValueError(f"path: {n} given, but the reference has {len(sizes)} hemispheres.")
        return np.split(reference.mask, np.cumsum(sizes)[:-1]), list(sides)
    masks = read_masks(reference, n, *taken)
    chosen = [one.chosen for one in masks if one.chosen is not None and one.chosen.ndim == 1]
    if len(chosen) < n or any(one.axis is not None for one in masks):
        raise TypeError(
            "reference must have a value for each vertex, where path is a surface; a .label does "
            "not say how many there are: give the betas."
        )
    return chosen, [one.side for one in masks]


def _surface(maps: np.ndarray, side: str, ending: str) -> Any:
    """One hemisphere as an image."""
    nibabel = import_optional("nibabel", "to write NIfTI files")
    if ending != ".gii":
        several = maps.T[:, None, None] if len(np.atleast_2d(maps)) > 1 else maps.reshape(-1, 1, 1)
        return nibabel.MGHImage(several, None)
    meta = {"AnatomicalStructurePrimary": f"Cortex{side.title()}"} if side else {}
    arrays = [nibabel.gifti.GiftiDataArray(one) for one in np.atleast_2d(maps)]
    return nibabel.GiftiImage(darrays=arrays, meta=nibabel.gifti.GiftiMetaData(meta))


def _check_values(maps: np.ndarray, n: int, what: str) -> None:
    if maps.ndim not in (1, 2):
        raise ValueError(f"values must have one or two dimensions, got shape {maps.shape}.")
    if maps.shape[-1] != n:
        raise ValueError(f"values has {maps.shape[-1]} {what}, the reference {n}.")


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
