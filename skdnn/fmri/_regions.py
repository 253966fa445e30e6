"""Regions of interest: which voxels of the mask each has, in its own grid or hemisphere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._optional import import_optional
from skdnn.io._nifti_files import load_image
from skdnn.io._nifti_masks import MEANT, Mask, read_masks

# Of each hemisphere its side, "" where it is not known, and the number of its vertices.
Sides = Sequence[tuple[str, int]]


def check_is_mapping(rois: Any) -> None:
    """Raise TypeError if regions have no names."""
    if rois is not None and not isinstance(rois, Mapping):
        raise TypeError(
            f"rois is {type(rois).__name__}: give a dict of masks by the name of their region."
        )


def sides_of(masks: Sequence[Mask]) -> Sides:
    """Of a mask of vertices, or a pair of them, each side and its number of vertices.

    Raises
    ------
    ValueError
        If both of a pair are of one hemisphere.
    """
    known = [one.side for one in masks if one.side]
    if len(known) == 2 and known[0] == known[1]:
        raise ValueError(f"mask: both of the pair are of the {known[0]} hemisphere.")
    return [(one.side, 0 if one.chosen is None else one.chosen.size) for one in masks]


def regions_in(
    rois: Mapping[str, Any],
    mask: NDArray[np.bool_] | None,
    affine: Any,
    resample: bool,
    hemispheres: Sides | None,
) -> dict[str, NDArray[np.bool_]]:
    """Which voxels of the mask each region has."""
    if rois and mask is None:
        raise ValueError("rois lie in a grid: give the mask of betas, too.")
    found: dict[str, NDArray[np.bool_]] = {}
    for name, given in rois.items():
        assert mask is not None
        sides = list(hemispheres or ())
        if mask.ndim != 1 or sum(size for _, size in sides) != mask.size:  # grayordinates
            sides = [("", mask.size)]
        region, label = given if is_atlas(given) else (given, None)
        pair = mask.ndim == 1 and isinstance(region, list | tuple) and len(region) == 2
        pair = pair and not _is_number(region[0])
        try:
            if resample and affine is not None:
                region = _in_grid(region, mask.shape, affine)
            if pair and len(sides) != 2:
                raise ValueError("a pair of masks is for betas that are pairs of hemispheres")
            read = read_masks(region, 2 if pair else 1, None, label)
            chosen = _in_halves(read, sides) if mask.ndim == 1 else np.asarray(read[0].chosen)
        except ValueError as error:
            text = str(error).removeprefix("mask: ").removeprefix("mask ")
            text = text.replace(MEANT, "say which is meant, by a pair (atlas, label)")
            raise ValueError(f"rois[{name!r}]: {text}") from error
        if chosen.shape != mask.shape:
            raise ValueError(
                f"rois[{name!r}] has shape {chosen.shape}, the mask {mask.shape}"
                ": resample=True brings volumes into one grid."
            )
        place = read[0].affine
        if not (place is None or affine is None or np.allclose(place, affine, atol=1e-3)):
            raise ValueError(
                f"rois[{name!r}] lies elsewhere than the mask: their affine matrices differ. "
                "resample=True brings it there."
            )
        found[str(name)] = chosen[mask]
        if not found[str(name)].any():
            raise ValueError(f"rois[{name!r}] has no voxel in common with the mask.")
    return found


def _in_halves(read: list[Mask], sides: Sides) -> NDArray[np.bool_]:
    """Vertices of all hemispheres, of a pair of masks or of one."""
    if len(read) == len(sides):
        halves = [_of_side(one, *side) for one, side in zip(read, sides, strict=True)]
        return np.concatenate(halves)
    (one,) = read
    n = sum(size for _, size in sides)
    if one.chosen is not None and one.chosen.size == n:
        return one.chosen
    known = [side for side, _ in sides]
    if not one.side or one.side not in known:
        raise ValueError(
            f"it is of {'one hemisphere' if not one.side else f'the {one.side} hemisphere'}, and "
            f"{'its name does not say' if not one.side else 'names of betas do not say'} which "
            "half of the vertices that is: give a pair of masks, None for none"
        )
    return np.concatenate(
        [
            _of_side(one, side, size) if side == one.side else np.zeros(size, dtype=bool)
            for side, size in sides
        ]
    )


def _of_side(one: Mask, side: str, size: int) -> NDArray[np.bool_]:
    """Vertices of one hemisphere, which the mask must be of."""
    if one.side and side and one.side != side:
        raise ValueError(f"it is of the {one.side} hemisphere, betas are of the {side}")
    if one.chosen is not None:
        if one.chosen.shape != (size,):
            half = f" of the {side} hemisphere" if side else ""
            raise ValueError(f"it has shape {one.chosen.shape}, betas{half} {size} vertices")
        return one.chosen
    if one.vertices is None:
        return np.zeros(size, dtype=bool)  # None in a pair
    if one.vertices[-1] >= size:
        raise ValueError(f"it names vertex {one.vertices[-1]}, betas have {size} vertices")
    return np.isin(np.arange(size), one.vertices)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.generic)


def is_atlas(given: Any) -> bool:
    """A pair of an atlas and what is meant in it, not a pair of hemispheres."""
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    second = given[1]
    return isinstance(second, int | np.integer | list) or (
        isinstance(second, str) and not Path(second).suffix
    )


def _in_grid(region: Any, shape: tuple[int, ...], affine: Any) -> Any:
    """A region, or an atlas, in another grid: each voxel takes the value of the nearest."""
    image = load_image(region) if isinstance(region, str | os.PathLike) else region
    if not hasattr(image, "affine"):
        return region
    processing = import_optional("nibabel.processing", "to bring regions into another grid")
    nibabel = import_optional("nibabel", "to read NIfTI files")
    plain = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(np.float32), image.affine)
    return processing.resample_from_to(plain, (shape, affine), order=0)
