"""Responses in NIfTI files as rows of voxels, and values of voxels back as NIfTI files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skdnn._html import card, product
from skdnn._optional import import_optional
from skdnn.io._files import refuse, replaced


class NiftiBetas:
    """Responses to images in NIfTI files, row i image i; volumes are read when asked for.

    Parameters
    ----------
    paths : sequence of path-like
        Files with one volume each, or several; the rows are their volumes one after the other.
    mask : NIfTI image, path-like or array of bool, shape (nx, ny, nz)
        The voxels: where it is not zero, in C order.

    Attributes
    ----------
    shape : tuple of int
        (n_images, n_voxels).
    dtype : numpy dtype
        float32, or float64 where the files hold more digits.
    mask : ndarray of bool, shape (nx, ny, nz)
        The voxels.

    Raises
    ------
    ValueError
        If files are unreadable, or of another shape or place than the mask, or the mask is empty.

    See Also
    --------
    skdnn.formats.read_betas : Makes one.

    Examples
    --------
    >>> from skdnn.formats import NiftiBetas
    >>> NiftiBetas(["betas_of_80_images.nii"], "V1.nii")  # doctest: +SKIP
    NiftiBetas(shape=(80, 903), dtype=float32)
    """

    ndim = 2

    def __init__(self, paths: Sequence[str | os.PathLike[str]], mask: Any) -> None:
        self._paths = [Path(path).expanduser() for path in paths]
        if not self._paths:
            raise ValueError("paths is empty: betas need at least one file.")
        self.mask, affine = _as_mask(mask)
        faults: dict[str, str] = {}
        self._rows: list[tuple[int, int]] = []  # file, and volume within it
        types: list[np.dtype[Any]] = [np.dtype(np.float32)]
        for number, path in enumerate(self._paths):
            try:
                image = _load(path)
            except (OSError, ValueError) as error:
                faults[str(path)] = str(error)
                continue
            fault = _misfit(image, self.mask, affine)
            if fault:
                faults[str(path)] = fault
                continue
            types.append(image.get_data_dtype())
            n_volumes = image.shape[3] if len(image.shape) == 4 else 1
            self._rows += [(number, volume) for volume in range(n_volumes)]
        refuse("paths", faults, len(self._paths))
        self.dtype: np.dtype[Any] = np.result_type(*types)
        self.shape = (len(self._rows), int(self.mask.sum()))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Betas lie on disk: an array of them is always a copy.")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        single = isinstance(rows, int | np.integer)
        numbers = np.atleast_1d(np.arange(len(self))[rows])
        voxels = np.flatnonzero(self.mask)[columns]
        out = np.empty((len(numbers), *np.shape(voxels)), self.dtype)
        by_file: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            by_file.setdefault(self._rows[number][0], []).append(place)
        for file, places in by_file.items():
            image = _load(self._paths[file])
            for place in places:
                volume = self._rows[numbers[place]][1]
                whole = image.dataobj if len(image.shape) == 3 else image.dataobj[..., volume]
                out[place] = np.asarray(whole).ravel()[voxels]
        return out[0] if single else out

    def __repr__(self) -> str:
        return f"NiftiBetas(shape={self.shape}, dtype={self.dtype})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no file is opened."""
        facts = {
            "files": len(self._paths),
            "images": self.shape[0],
            "voxels": self.shape[1],
            "grid": product(self.mask.shape),
            "type": self.dtype,
        }
        return card("NiftiBetas", facts)


def read_betas(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], mask: Any
) -> NiftiBetas:
    """Open responses in NIfTI files as rows of voxels; needs nibabel.

    Parameters
    ----------
    paths : str, path-like or sequence of them
        Files of one volume for each image, or of several; rows are their volumes in order.
    mask : NIfTI image, path-like or array of bool, shape (nx, ny, nz)
        Which voxels: where it is not zero, in C order. An image must lie where the files do.

    Returns
    -------
    betas : NiftiBetas
        Of shape (n_images, n_voxels); volumes are read when rows are asked for.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If files are unreadable, or don't fit the mask: all of them in one error.

    See Also
    --------
    skdnn.formats.write_map : Values of these voxels as a NIfTI file.

    Examples
    --------
    >>> from skdnn.formats import read_betas
    >>> betas = read_betas(["beta_0001.nii", "beta_0002.nii"], "V1.nii")  # doctest: +SKIP
    >>> betas.shape, betas[:1].shape  # doctest: +SKIP
    ((2, 903), (1, 903))
    """
    single = isinstance(paths, str | os.PathLike)
    return NiftiBetas([paths] if single else list(paths), mask)  # type: ignore[arg-type,list-item]


def write_map(
    values: ArrayLike,
    reference: Any,
    path: str | os.PathLike[str],
    *,
    coordinates: ArrayLike | None = None,
    fill: float = np.nan,
) -> None:
    """Write a number for each voxel, such as a score, as a NIfTI file; needs nibabel.

    Parameters
    ----------
    values : array-like of shape (n_voxels,) or (n_maps, n_voxels)
        Numbers of the voxels; several maps become the volumes of one file.
    reference : NIfTI image or path-like
        Says where voxels lie. Without `coordinates` it is the mask of `read_betas`: values go
        where it is not zero, in C order.
    path : str or path-like
        The file, ending in .nii or .nii.gz; an existing one is replaced.
    coordinates : array-like of shape (n_voxels, 3), default=None
        Where the voxels lie, in millimetres, e.g. from `BData.coordinates`: each goes into the
        voxel of `reference` that it lies in.
    fill : float, default=nan
        What all other voxels get.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    TypeError
        If `reference` is no image.
    ValueError
        If the number of values does not fit, `coordinates` are outside of the reference or two
        of them in one voxel, or `path` ends otherwise.

    See Also
    --------
    skdnn.formats.read_betas : Rows of voxels from NIfTI files.
    skdnn.formats.BData.coordinates : Where voxels lie.

    Examples
    --------
    >>> from skdnn.formats import write_map
    >>> write_map([.5, .25], "mask_of_two_voxels.nii", "scores.nii.gz")  # doctest: +SKIP
    """
    target = Path(path).expanduser()
    suffix = next((end for end in (".nii.gz", ".nii") if target.name.endswith(end)), None)
    if suffix is None:
        raise ValueError(f"path must end in .nii or .nii.gz, got {str(target)!r}.")
    nibabel = import_optional("nibabel", "to write NIfTI files")
    image = _load(reference) if isinstance(reference, str | os.PathLike) else reference
    if not hasattr(image, "affine"):
        raise TypeError(
            f"reference must be a NIfTI image or its path, got {type(image).__name__}: an array "
            "does not say where its voxels lie."
        )
    shape = tuple(image.shape[:3])
    maps = np.asarray(values, dtype=np.float32)
    if maps.ndim not in (1, 2):
        raise ValueError(f"values must have one or two dimensions, got shape {maps.shape}.")
    if coordinates is None:
        where = np.flatnonzero(_as_mask(image)[0])
    else:
        where = _voxels_at(np.asarray(coordinates, dtype=np.float64), image.affine, shape)
    if maps.shape[-1] != len(where):
        raise ValueError(f"values has {maps.shape[-1]} voxels, the reference {len(where)}.")
    volumes = np.full((int(np.prod(shape)), *maps.shape[:-1]), fill, dtype=np.float32)
    volumes[where] = maps.T
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm")
    made = nibabel.Nifti1Image(volumes.reshape(*shape, *maps.shape[:-1]), image.affine, header)
    with replaced(target, suffix) as temporary:
        nibabel.save(made, temporary)


def _load(path: str | os.PathLike[str]) -> Any:
    """An image whose numbers are still on disk.

    Raises
    ------
    OSError, ValueError
        If there is none.
    """
    nibabel = import_optional("nibabel", "to read NIfTI files")
    if not Path(path).is_file():
        raise FileNotFoundError("is not there")
    try:
        return nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, EOFError, TypeError) as error:
        raise ValueError(f"is no NIfTI file ({error})") from error


def _as_mask(mask: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Which voxels, and where the image of them lies, if it is one."""
    if isinstance(mask, str | os.PathLike):
        try:
            mask = _load(mask)
        except (OSError, ValueError) as error:
            raise ValueError(f"mask: {os.fspath(mask)!r} {error}.") from error
    affine = getattr(mask, "affine", None)
    values = np.asarray(mask.dataobj if hasattr(mask, "dataobj") else mask)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise ValueError(f"mask must have three dimensions, got shape {values.shape}.")
    chosen = np.nan_to_num(values) != 0
    if not chosen.any():
        raise ValueError("mask is zero everywhere: it chooses no voxel.")
    return chosen, affine


def _misfit(image: Any, mask: np.ndarray, affine: np.ndarray | None) -> str:
    """What keeps an image from being read through the mask."""
    if image.shape[:3] != mask.shape or len(image.shape) not in (3, 4):
        return f"has shape {image.shape}, the mask {mask.shape}"
    if affine is not None and not np.allclose(image.affine, affine, atol=1e-3):
        return "lies elsewhere than the mask: their affine matrices differ"
    return ""


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
