"""Which voxels, vertices or grayordinates: masks, and whether files of maps fit them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn.io._maps import MapFile, gifti_arrays, load_image
from skdnn.io._selection import nearest

Label = int | str | Sequence[int | str]
# Scaled integers on disk give no exact 0 and 1.
_TOLERANCE = 1e-4
_SHOWN = 5


class Mask:
    """Which points are kept; what the mask leaves open is decided by the first file that fits.

    Parameters
    ----------
    mask : image of nibabel, path-like, array or None
    threshold, label : as in `read_betas`

    Attributes
    ----------
    chosen : ndarray of bool or None
        None until a file says how many points there are.
    affine : ndarray of shape (4, 4) or None
        Where volumes lie.
    axis : nibabel.cifti2.BrainModelAxis or None
        What grayordinates are.
    labels, known : list
        Those of `label` that the mask has, and all that it has.
    """

    def __init__(self, mask: Any, threshold: float | None, label: Label | None) -> None:
        self.chosen: np.ndarray | None = None
        self.affine: np.ndarray | None = None
        self.axis = self._vertices = None
        self.labels: list[Any] = []
        self.known: list[Any] = []
        self._owner = "first file" if mask is None else "mask"
        if isinstance(mask, str | os.PathLike):
            try:
                values, names = self._opened(Path(mask).expanduser())
            except (OSError, ValueError) as error:
                raise ValueError(f"mask: {os.fspath(mask)!r} {error}.") from error
        else:
            values, names = self._values(mask)
        if values is None:
            return
        if values.ndim not in (1, 3) or values.dtype.kind not in "biuf":
            raise ValueError(
                "mask must have three dimensions, or one of vertices, and hold numbers; got shape "
                f"{values.shape} of {values.dtype}."
            )
        if label is not None:
            self.chosen = self._labelled(values, names, label)
        else:
            self.chosen = _ones(values) if threshold is None else np.asarray(values > threshold)

    def _opened(self, path: Path) -> tuple[np.ndarray | None, dict[int, str]]:
        """Values of a file, and names of them."""
        if path.suffix not in (".label", ".annot"):
            return self._values(load_image(path))
        if not path.is_file():
            raise FileNotFoundError("is not there")
        surfaces = import_optional("nibabel.freesurfer", "to read FreeSurfer's files")
        try:
            if path.suffix == ".label":
                self._vertices = surfaces.read_label(path)
                self._vertices.max()  # of none is an error
                return None, {}
            values, _, names = surfaces.read_annot(path)
        except Exception as error:  # a broken file makes nibabel raise anything
            raise ValueError(f"is no {path.suffix} of FreeSurfer, or damaged ({error})") from error
        return values, {number: name.decode() for number, name in enumerate(names)}

    def _values(self, mask: Any) -> tuple[np.ndarray | None, dict[int, str]]:
        """Values of an image or array, and names of them; where it lies is noted."""
        if mask is None:
            return None, {}
        if hasattr(mask, "darrays"):
            values = np.array([array.data for array in gifti_arrays(mask)])
            return _only(values), mask.labeltable.get_labels_as_dict()
        if hasattr(getattr(mask, "header", None), "get_axis"):
            maps, self.axis = mask.header.get_axis(0), mask.header.get_axis(1)
            names = {n: name for n, (name, _) in getattr(maps, "label", [{}])[0].items()}
            return _only(np.asarray(mask.dataobj)), names
        values = np.asarray(mask.dataobj if hasattr(mask, "dataobj") else mask)
        values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
        if values.shape[1:] == (1, 1):
            return values.ravel(), {}
        self.affine = getattr(mask, "affine", None)
        return values, {}

    def _labelled(self, values: np.ndarray, names: dict[int, str], label: Label) -> np.ndarray:
        self.known = list(names.values()) or np.unique(values).tolist()
        chosen = np.zeros(values.shape, dtype=bool)
        for each in [label] if np.ndim(label) == 0 else label:  # type: ignore[union-attr]
            numbers = [n for n, name in names.items() if name == each]
            found = np.isin(values, numbers if isinstance(each, str) else [each])
            self.labels += [each] if found.any() else []
            chosen |= found
        return chosen

    def misfit(self, maps: MapFile) -> str:
        """What keeps a file from being read through the mask; nothing where it fits."""
        if self.chosen is None and len(maps.grid) == 3:
            return "holds volumes, which need a mask"
        if self.chosen is None and self._vertices is not None:
            if self._vertices.max() >= maps.grid[0]:
                return f"has {maps.grid[0]} vertices, the mask names {self._vertices.max()}"
            self.chosen = np.isin(np.arange(maps.grid[0]), self._vertices)
        elif self.chosen is None:
            self.chosen = np.ones(maps.grid, dtype=bool)
        if maps.grid != self.chosen.shape:
            return f"has shape {maps.grid}, the {self._owner} {self.chosen.shape}"
        if self.affine is None and self.axis is None:
            self.affine, self.axis, self._owner = maps.affine, maps.axis, "first file"
        if maps.affine is not None and (
            self.affine is None or not np.allclose(maps.affine, self.affine, atol=1e-3)
        ):
            return f"lies elsewhere than the {self._owner}: their affine matrices differ"
        return "" if maps.axis == self.axis else f"has other grayordinates than the {self._owner}"


def read_masks(
    mask: Any, n_masks: int, threshold: float | None, label: Label | None
) -> list[Mask]:
    """The mask, or those of two hemispheres.

    Raises
    ------
    ValueError
        If a mask cannot be used, or chooses nothing.
    """
    if threshold is not None and label is not None:
        raise ValueError("threshold and label cannot both say what is taken of a mask.")
    if mask is None and (threshold, label) != (None, None):
        raise ValueError("threshold and label say what is taken of a mask: give one.")
    parts = [mask] if n_masks == 1 else [None] * n_masks if mask is None else mask
    if n_masks > 1 and not (isinstance(parts, list | tuple) and len(parts) == n_masks):
        raise ValueError("mask must be a pair, too, where paths are pairs of hemispheres.")
    found = [Mask(part, threshold, label) for part in parts]
    for each in () if label is None else [label] if np.ndim(label) == 0 else label:  # type: ignore[union-attr]
        if not any(each in one.labels for one in found):
            known = [name for one in found for name in one.known]
            raise ValueError(
                f"label: the mask has no {each!r}. {nearest(str(each), list(map(str, known)))}"
            )
    if all(one.chosen is not None and not one.chosen.any() for one in found):
        limit = "is zero everywhere" if threshold is None else f"has nothing above {threshold}"
        raise ValueError(f"mask {limit}: it chooses no voxel.")
    return found


def _only(maps: np.ndarray) -> np.ndarray:
    if len(maps) != 1:
        raise ValueError(f"mask has {len(maps)} maps, not one.")
    return np.asarray(maps[0])


def _ones(values: np.ndarray) -> np.ndarray:
    """Where a mask of 0 and 1 is 1."""
    ones = np.isclose(values, 1, rtol=0, atol=_TOLERANCE)
    odd = np.unique(values[~(ones | np.isclose(values, 0, rtol=0, atol=_TOLERANCE))])
    if odd.size:
        more = f", ... ({odd.size} in all)" if odd.size > _SHOWN else ""
        raise ValueError(
            f"mask has values other than 0 and 1: {', '.join(f'{v:.4g}' for v in odd[:_SHOWN])}"
            f"{more}. Resample a mask by nearest neighbour, not linearly; or say what is meant: "
            "threshold= keeps what is larger, label= what is equal."
        )
    return ones
