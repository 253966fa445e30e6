"""Which voxels, vertices or grayordinates: masks, and whether files of maps fit them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.io._file_faults import nearest_of
from skdnn.io._nifti_files import MapFile, gifti_maps, load_image, side_of

Label = int | str | Sequence[int | str]
# The space of a volume by its name in BIDS, and the code in headers that means MNI152.
_SPACE, _MNI152 = re.compile(r"(?:^|_)space-([A-Za-z0-9]+)"), 4
# Scaled integers on disk give no exact 0 and 1.
_TOLERANCE = 1e-4
_RESAMPLE = "resample a mask by nearest neighbour, not linearly"
MEANT = "say what is meant: threshold= keeps what is larger, label= what is equal"


class Mask:
    """Which points are kept; what the mask leaves open is decided by the first file that fits."""

    def __init__(self, mask: Any, threshold: float | None, labels: Sequence[Any] | None) -> None:
        self.chosen: np.ndarray | None = None
        self.affine: np.ndarray | None = None  # where volumes lie
        self.axis: Any = None  # what grayordinates are
        self.vertices: Any = None  # of FreeSurfer's .label files, which don't say of how many
        self.side = ""
        self.names: Mapping[int, str] = {}
        self.labels: list[Any] = []  # those that the mask has
        self._owner = "first file" if mask is None else "mask"
        values = None if mask is None else self._values(mask)
        if values is None:
            return
        if values.ndim not in (1, 3) or values.dtype.kind not in "biuf":
            raise ValueError(
                "must have three dimensions, or one of vertices, and hold numbers; got shape "
                f"{values.shape} of {values.dtype}"
            )
        if labels is None:
            self.chosen = _ones(values) if threshold is None else np.asarray(values > threshold)
            return
        self.names = self.names or {n: str(n) for n in np.unique(values).tolist()}
        self.chosen = np.zeros(values.shape, dtype=bool)
        for label in labels:
            named = [n for n, name in self.names.items() if name == label]
            found = np.isin(values, named if isinstance(label, str) else [label])
            self.labels += [label] if found.any() else []
            self.chosen |= found

    def _values(self, mask: Any) -> np.ndarray | None:
        """What a mask holds at each point; what else it says is noted."""
        if isinstance(mask, str | os.PathLike):
            path = Path(mask).expanduser()
            self.side = side_of(path)
            if path.suffix in (".label", ".annot"):
                return self._of_freesurfer(path)
            mask = load_image(path)
        if hasattr(mask, "darrays"):
            self.names = mask.labeltable.get_labels_as_dict()
            self.side = side_of(mask) or self.side
            return _only(gifti_maps(mask))
        if hasattr(getattr(mask, "header", None), "get_axis"):  # CIFTI
            maps, self.axis = mask.header.get_axis(0), mask.header.get_axis(1)
            self.names = {n: name for n, (name, _) in getattr(maps, "label", [{}])[0].items()}
            return _only(np.asarray(mask.dataobj))
        values = np.asarray(mask.dataobj if hasattr(mask, "dataobj") else mask)
        values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
        if values.shape[1:] == (1, 1):
            return values.ravel()
        self.affine = getattr(mask, "affine", None)
        return values

    def _of_freesurfer(self, path: Path) -> np.ndarray | None:
        surfaces = import_optional("nibabel.freesurfer", "to read FreeSurfer's files")
        try:
            if path.suffix == ".label":
                self.vertices = np.unique(surfaces.read_label(path))
                self.vertices[-1]  # there must be one
                return None
            values, _, names = surfaces.read_annot(path)
        except FileNotFoundError:
            raise FileNotFoundError("is not there") from None
        except Exception as error:  # a broken file makes nibabel raise anything
            raise ValueError(f"is no {path.suffix} of FreeSurfer, or damaged ({error})") from error
        self.names = {number: name.decode() for number, name in enumerate(names)}
        return np.asarray(values)

    def misfit(self, maps: MapFile) -> str:
        """What keeps a file from being read through the mask; nothing where it fits."""
        if self.side and maps.hemisphere and self.side != maps.hemisphere:
            return f"is of the {maps.hemisphere} hemisphere, the mask of the {self.side}"
        if self.chosen is None and len(maps.grid) == 3:
            return "holds volumes, which need a mask"
        if self.chosen is None and self.vertices is None:
            self.chosen = np.ones(maps.grid, dtype=bool)
        elif self.chosen is None:
            if self.vertices[-1] >= maps.grid[0]:
                return f"has {maps.grid[0]} vertices, the mask names {self.vertices[-1]}"
            self.chosen = np.isin(np.arange(maps.grid[0]), self.vertices)
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
    labels: Any = [label] if label is not None and np.ndim(label) == 0 else label
    if threshold is not None and label is not None:
        raise ValueError("threshold and label cannot both say what is taken of a mask.")
    if mask is None and (threshold, label) != (None, None):
        raise ValueError("threshold and label say what is taken of a mask: give one.")
    parts = [mask] if n_masks == 1 else [None] * n_masks if mask is None else mask
    if n_masks > 1 and not (isinstance(parts, list | tuple) and len(parts) == n_masks):
        raise ValueError("mask must be a pair, too, where paths are pairs of hemispheres.")
    found = []
    for part in parts:
        try:
            found.append(Mask(part, threshold, labels))
        except (OSError, ValueError) as error:
            name = f": {os.fspath(part)!r}" if isinstance(part, str | os.PathLike) else ""
            raise ValueError(f"mask{name} {error}.") from error
    for each in labels or ():
        if not any(each in one.labels for one in found):
            known = [name for one in found for name in one.names.values()]
            raise ValueError(f"label: the mask has no {each!r}. {nearest_of(str(each), known)}")
    if all(one.chosen is not None and not one.chosen.any() for one in found):
        limit = "is zero everywhere" if threshold is None else f"has nothing above {threshold}"
        raise ValueError(f"mask {limit}: it chooses no voxel.")
    return found


def space_of(volume: Any) -> str:
    """``"MNI152"`` where the name of a volume, or else its header, says so; otherwise empty."""
    if isinstance(volume, str | os.PathLike):
        named = _SPACE.search(Path(volume).name)
        if named:
            return "MNI152" if named[1].startswith("MNI152") else ""
        volume = load_image(volume)
    header: Any = getattr(volume, "header", None)
    if not hasattr(header, "get_sform"):
        return ""
    code = int(header["sform_code"]) or int(header["qform_code"])
    return "MNI152" if code == _MNI152 else ""


def _only(maps: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    if len(maps) != 1:
        raise ValueError(f"has {len(maps)} maps, not one")
    return np.asarray(maps[0])


def _advice(odd: np.ndarray) -> str:
    """Whole numbers are likely those of an atlas, others come from resampling."""
    if np.isfinite(odd).all() and (odd == np.rint(odd)).all():
        return f"If it is an atlas, {MEANT}; else {_RESAMPLE}"
    return f"{_RESAMPLE[0].upper()}{_RESAMPLE[1:]}; or {MEANT}"


def _ones(values: np.ndarray) -> np.ndarray:
    """Where a mask of 0 and 1 is 1."""
    ones = np.isclose(values, 1, rtol=0, atol=_TOLERANCE)
    odd = np.unique(values[~(ones | np.isclose(values, 0, rtol=0, atol=_TOLERANCE))])
    if odd.size:
        raise ValueError(
            f"has values other than 0 and 1: {listed(odd, show='{:.4g}'.format)}. {_advice(odd)}"
        )
    return ones
