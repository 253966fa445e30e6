"""Where maps lie: a grid of voxels or the vertices of meshes, and files of values there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._optional import import_optional
from skdnn.fmri._betas import Betas
from skdnn.fmri._regions import sides_of
from skdnn.fmri._searchlight._neighbours import Mesh
from skdnn.io._nifti_files import load_image, side_of
from skdnn.io._nifti_masks import read_masks, space_of
from skdnn.io._nifti_writing import write_map


@dataclass(frozen=True)
class Places:
    """The points of maps.

    Attributes
    ----------
    mask : ndarray of bool, shape (nx, ny, nz) or (n_vertices,)
        Points, numbered in C order; vertices of two hemispheres one after the other.
    affine : ndarray of shape (4, 4) or None
        Where volumes lie.
    hemispheres : tuple of (str, int)
        Of surfaces, each side and its number of vertices.
    space : str
        ``"MNI152"`` where files say that volumes lie there.
    meshes : tuple of (coordinates, faces)
        Of surfaces that were searched, one for each hemisphere.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64] | None
    hemispheres: tuple[tuple[str, int], ...] = ()
    space: str = ""
    meshes: tuple[Mesh, ...] = ()

    @property
    def n_points(self) -> int:
        """Their number."""
        return int(self.mask.sum())

    @property
    def is_volume(self) -> bool:
        """Whether points are voxels."""
        return self.mask.ndim == 3

    def where(self, numbers: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Columns that tell some points: millimetres, or the hemisphere and the vertex there."""
        at = np.argwhere(self.mask)[numbers]
        if self.is_volume:
            assert self.affine is not None
            return dict(
                zip("xyz", (at @ self.affine[:3, :3].T + self.affine[:3, 3]).T, strict=True)
            )
        sides = np.array([side for side, _ in self.hemispheres])
        ends = np.cumsum([size for _, size in self.hemispheres])
        part = np.searchsorted(ends, at[:, 0], side="right")
        return {"hemisphere": sides[part], "vertex": at[:, 0] - np.append(0, ends)[part]}

    def whole(self, values: ArrayLike, fill: float = np.nan) -> NDArray[np.float32]:
        """Values of all points in their grid; maps come first."""
        given = np.asarray(values, dtype=np.float32)
        out = np.full((*given.shape[:-1], *self.mask.shape), fill, dtype=np.float32)
        out[..., self.mask] = given
        return out

    def image(self, values: ArrayLike, fill: float = np.nan) -> Any:
        """An image of nibabel with a volume for each map; of vertices the array."""
        whole = self.whole(values, fill)
        if not self.is_volume:
            return whole
        nibabel = import_optional("nibabel", "to make NIfTI images")
        if whole.ndim > 3:
            whole = np.moveaxis(whole, 0, -1)
        image = nibabel.Nifti1Image(whole, self.affine)
        image.header.set_xyzt_units("mm")
        return image

    def files(self, folder: Path, name: str) -> list[Path]:
        """Where a map of this name is written: a volume, or a file for each hemisphere."""
        if self.is_volume:
            return [folder / f"{name}.nii.gz"]
        sides = [side[:1].upper() for side, _ in self.hemispheres]
        return [folder / f"{f'hemi-{side}_' if side else ''}{name}.func.gii" for side in sides]

    def write(self, values: ArrayLike, folder: Path, name: str, fill: float = np.nan) -> None:
        """Write maps whole, or not at all."""
        files = self.files(folder, name)
        if self.is_volume:
            nibabel = import_optional("nibabel", "to write NIfTI files")
            reference: Any = nibabel.Nifti1Image(self.mask.astype(np.uint8), self.affine)
            write_map(values, reference, files[0], fill=fill)
            return
        ends = np.cumsum([size for _, size in self.hemispheres])[:-1]
        parts = np.split(self.mask, ends)
        write_map(
            values,
            tuple(parts) if len(parts) > 1 else parts[0],
            files if len(files) > 1 else files[0],
            fill=fill,
        )


def file_names(layers: Sequence[str]) -> list[str]:
    """Names of layers as parts of file names, still distinct."""
    names: list[str] = []
    for layer in layers:
        plain = re.sub(r"[^A-Za-z0-9.+-]+", "-", layer).strip("-.") or "layer"
        name, number = plain, 2
        while name.casefold() in map(str.casefold, names):
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return names


def places_of_betas(betas: Betas) -> tuple[Places, NDArray[np.intp]]:
    """Where the voxels of betas lie, and their columns in the order of the points."""
    if betas._mask is None:
        raise ValueError(
            "betas come from an array without a place in space: give load_betas their mask."
        )
    if getattr(betas._source, "axis", None) is not None:
        raise ValueError("betas are grayordinates (CIFTI): give surfaces or a volume by itself.")
    flat = np.flatnonzero(betas._mask)[betas.voxels]
    mask = np.zeros(betas._mask.size, dtype=bool)
    mask[flat] = True
    sides = _named(betas._sides)
    shape = betas._mask.shape
    if len(shape) == 1 and not sides:
        sides = (("", mask.size),)
    if len(shape) == 3 and betas.affine is None:
        raise ValueError("betas have no affine, so that millimetres have no meaning.")
    places = Places(mask.reshape(shape), betas.affine, sides, betas._space)
    return places, np.argsort(flat, kind="stable")


def places_of_mask(mask: Any) -> Places:
    """Where the voxels, or vertices, of a mask lie."""
    pair = isinstance(mask, list | tuple)
    read = read_masks(mask, len(mask) if pair else 1, None, None)
    chosen = [np.asarray(one.chosen) for one in read]
    if any(one.chosen is None for one in read):
        raise ValueError("mask: a .label does not say how many vertices there are.")
    if chosen[0].ndim == 1:
        return Places(np.concatenate(chosen), None, _named(sides_of(read)))
    if read[0].affine is None:
        raise ValueError(
            "mask is an array, which does not say how large its voxels are: give a NIfTI image, "
            "nibabel.Nifti1Image(mask, affine)."
        )
    return Places(chosen[0], np.asarray(read[0].affine), (), space_of(mask))


def _named(sides: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Pairs that don't say which side they are of are left and right, as everywhere."""
    if len(sides) != 2:
        return tuple(sides)
    (first, n_first), (second, n_second) = sides
    swapped = first == "right" or second == "left"
    names = ("right", "left") if swapped else ("left", "right")
    return ((names[0], n_first), (names[1], n_second))


def together(places: dict[str, Places]) -> tuple[Places, dict[str, NDArray[np.intp]]]:
    """All points that some subject has, and the points of each subject among them."""
    (first_name, first), *others = places.items()
    for name, one in others:
        if one.mask.shape != first.mask.shape or one.hemispheres != first.hemispheres:
            raise ValueError(
                f"betas of {name!r} have a grid of {one.mask.shape}, those of {first_name!r} of "
                f"{first.mask.shape}: subjects together need one space. Search each alone, and "
                "bring its maps into a standard space for the group."
            )
        if first.affine is None or one.affine is None:
            continue
        if not np.allclose(one.affine, first.affine, atol=1e-3):
            raise ValueError(
                f"betas of {name!r} lie elsewhere than those of {first_name!r}: their affine "
                "matrices differ. Search each alone, and bring its maps into a standard space."
            )
    union = np.logical_or.reduce([one.mask for one in places.values()])
    spaces = {one.space for one in places.values()}
    space = first.space if len(spaces) == 1 else ""
    whole = Places(union, first.affine, first.hemispheres, space)
    return whole, {name: np.flatnonzero(one.mask[union]) for name, one in places.items()}


def read_meshes(mesh: Any, places: Places) -> list[Mesh]:
    """Coordinates and faces of each hemisphere, which must have the vertices of the maps."""
    n = len(places.hemispheres)
    several = isinstance(mesh, list | tuple) and (
        n > 1 or len(mesh) == 1 or all(isinstance(one, str | os.PathLike) for one in mesh)
    )
    given = list(mesh) if several else [mesh]
    if len(given) != n:
        raise ValueError(f"mesh: {len(given)} given for {n} hemispheres: give one for each.")
    found = []
    for one, (side, size) in zip(given, places.hemispheres, strict=True):
        own = _side_of_mesh(one)
        if own and side and own != side:
            raise ValueError(
                f"mesh: {os.fspath(one)!r} is of the {own} hemisphere, where betas are of the "
                f"{side}: give meshes in the order of the betas."
                if isinstance(one, str | os.PathLike)
                else f"mesh of the {own} hemisphere stands where betas are of the {side}."
            )
        xyz, faces = _read_mesh(one)
        name = f" {os.fspath(one)!r}" if isinstance(one, str | os.PathLike) else ""
        name += f" of the {side} hemisphere" if side else ""
        if len(xyz) != size:
            raise ValueError(
                f"mesh{name} has {len(xyz)} vertices, the betas have {size}: give the mesh that "
                "they lie on."
            )
        if len(faces) and (faces.min() < 0 or faces.max() >= size):
            raise ValueError(f"mesh{name} has faces of vertices that it does not have.")
        found.append((xyz, faces))
    return found


def _side_of_mesh(mesh: Any) -> str:
    """As its name or its header says; empty where neither does."""
    if isinstance(mesh, str | os.PathLike):
        return side_of(Path(mesh))
    return side_of(mesh) if hasattr(mesh, "darrays") else ""


def _read_mesh(mesh: Any) -> Mesh:
    """A file of GIFTI or FreeSurfer, an image of nibabel, arrays, or what has them."""
    if isinstance(mesh, str | os.PathLike):
        path = Path(mesh).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"mesh: there is no file {str(path)!r}.")
        if path.suffix == ".gii":
            mesh = load_image(path)
        else:
            surfaces = import_optional("nibabel.freesurfer", "to read FreeSurfer's files")
            try:
                mesh = surfaces.read_geometry(path)
            except Exception as error:  # a broken file makes nibabel raise anything
                raise ValueError(f"mesh: {str(path)!r} is no surface: {error}") from error
    if hasattr(mesh, "agg_data"):
        arrays = [mesh.agg_data(kind) for kind in ("pointset", "triangle")]
        if any(isinstance(one, tuple) or one is None for one in arrays):
            raise ValueError("mesh: the GIFTI file holds no points and triangles (.surf.gii).")
        mesh = arrays
    if hasattr(mesh, "coordinates"):  # of nilearn
        mesh = (mesh.coordinates, mesh.faces)
    xyz, faces = (np.asarray(one) for one in mesh)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(
            f"mesh: coordinates (n, 3) and faces (m, 3) are needed, got {xyz.shape} and "
            f"{faces.shape}."
        )
    return xyz.astype(np.float64), faces.astype(np.intp)
