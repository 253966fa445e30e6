"""Maps in files that nibabel reads: volumes, or one value for each vertex or grayordinate."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn._wording import listed

_GATHER_BYTES, _PIECE = 2**24, 2**18
# How many bytes one byte of a compressed file can hold at most; deflate's limit is 1032.
_PACKED = {".gz": 1100.0, ".mgz": 1100.0, ".bz2": math.inf, ".zst": math.inf}
_SIDES = re.compile(r"(?i:(?:^|[._-])(?:(lh|hemi-L)|(rh|hemi-R))(?=[._-]))|\.(?:(L)|(R))\.")
_SURFACES = (".gii", ".mgh", ".mgz", ".label", ".annot")
# Arrays in GIFTI files that are no data of all vertices.
_NO_DATA = {1008: "points", 1009: "triangles", 2002: "a list of nodes", 2003: "colours"}
_NO_DATA[2004] = "colours"


@dataclass(frozen=True)
class MapFile:
    """What is in a file, and where: maps, each with a value for every point of the same grid."""

    path: Path
    grid: tuple[int, ...]  # (nx, ny, nz), or (n_vertices,)
    n_maps: int
    dtype: np.dtype[Any]
    kind: str  # "plain", "packed", "columns" (map is the inner axis), "gifti", "other"
    offset: int = 0
    scaling: tuple[float, float] = (1.0, 0.0)
    affine: np.ndarray | None = None
    axis: Any = None  # of grayordinates
    hemisphere: str = ""
    names: list[str] | None = None
    state: tuple[int, int] = (0, 0)  # when it was opened

    def open(self) -> Any:
        """The maps by number, each flat in the order of the file."""
        shape = (self.n_maps, math.prod(self.grid))
        if self.kind == "packed":
            return _Packed(self)
        if self.kind in ("plain", "columns"):
            order: Any = "F" if self.kind == "columns" else "C"
            return np.memmap(self.path, self.dtype, "r", self.offset, shape, order)
        image = load_image(self.path)
        if self.kind == "gifti":
            return gifti_maps(image)
        return np.asarray(image.dataobj).reshape(shape[::-1], order="F").T

    def fill(self, source: Any, out: np.ndarray, rows: Any, numbers: Any, points: Any) -> None:
        """Read ``points[j]`` of the map ``numbers[i]`` into ``out[rows[i], j]``."""
        if self.kind == "columns":
            step = max(1, _GATHER_BYTES // (self.n_maps * self.dtype.itemsize))
            for start in range(0, len(points), step):
                some = slice(start, start + step)
                out[rows, some] = self._scaled(source.T[points[some]][:, numbers]).T
            return
        for i in np.argsort(numbers, kind="stable"):
            out[rows[i]] = self._scaled(source[numbers[i]].take(points))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        tools = import_optional("nibabel.volumeutils", "to read NIfTI files")
        return np.asarray(tools.apply_read_scaling(values, *self.scaling))


class _Packed:
    """A compressed file, which is unpacked from its start, and only once for rising numbers."""

    def __init__(self, maps: MapFile) -> None:
        openers = import_optional("nibabel.openers", "to read NIfTI files")
        self._file = openers.ImageOpener(os.fspath(maps.path))
        self._maps = maps
        self._bytes = np.empty(math.prod(maps.grid) * maps.dtype.itemsize, np.uint8)
        self._next: float = math.inf  # the map after the one in memory

    def __getitem__(self, number: int) -> np.ndarray:
        if number < self._next - 1:
            self._file.seek(self._maps.offset)
            self._next = 0
        while self._next <= number:
            for start in range(0, len(self._bytes), _PIECE):
                piece = self._bytes[start : start + _PIECE]
                if self._file.readinto(piece) != len(piece):
                    raise ValueError("it ends before its last map")
            self._next += 1
        if self._next == self._maps.n_maps:
            while self._file.read(_PIECE):  # the checksum stands at the end
                pass
        return self._bytes.view(self._maps.dtype)


def load_image(path: str | os.PathLike[str]) -> Any:
    """An image whose numbers are still on disk, except for GIFTI's.

    Raises
    ------
    OSError, ValueError
        Why there is none.
    """
    nibabel = import_optional("nibabel", "to read NIfTI files")
    place = Path(path).expanduser()
    if not place.is_file():
        if place.is_dir():
            raise ValueError("is a folder: give the files in it")
        raise ValueError("is no file") if place.exists() else FileNotFoundError("is not there")
    try:
        image = nibabel.load(place)
    except (ImportError, MemoryError, PermissionError):
        raise
    except Exception as error:  # a broken file makes nibabel raise anything
        name = {".gii": "GIFTI", ".mgz": "MGH", ".mgh": "MGH"}.get(place.suffix, "NIfTI")
        raise ValueError(
            f"is no {name} file, or damaged ({error or type(error).__name__})"
        ) from error
    proxy: Any = getattr(image, "dataobj", None)
    if type(proxy) is nibabel.arrayproxy.ArrayProxy:
        held, said = os.path.getsize(proxy.file_like), int(proxy.offset)
        said += math.prod(int(n) for n in proxy.shape) * proxy.dtype.itemsize
        if said > held * _PACKED.get(Path(proxy.file_like).suffix.lower(), 1):
            raise ValueError(f"is cut short or damaged: {held} bytes cannot hold {said}")
    return image


def open_maps(path: Path) -> MapFile:
    """What is in a file.

    Raises
    ------
    OSError, ValueError
        Why it has no maps.
    """
    image, nibabel = load_image(path), import_optional("nibabel", "to read NIfTI files")
    if isinstance(image, nibabel.GiftiImage):
        return _gifti_file(path, image)
    proxy, shape = image.dataobj, tuple(map(int, image.shape))
    if proxy.dtype.kind not in "iuf":
        raise ValueError(f"holds {proxy.dtype}, no real numbers")
    if isinstance(image, nibabel.Cifti2Image):
        return _cifti_file(image, shape)
    if len(shape) not in (3, 4) or 0 in shape:
        packed = ": CIFTI is read where its name ends in .nii" if len(shape) == 6 else ""
        raise ValueError(f"has shape {shape}, not three or four dimensions{packed}")
    n_maps = math.prod(shape[3:])
    found = MapFile(path, shape[:3], n_maps, proxy.dtype, "other", affine=image.affine)
    if type(proxy) is nibabel.arrayproxy.ArrayProxy:
        place = Path(proxy.file_like)
        kind = "packed" if place.suffix.lower() in _PACKED else "plain"
        scaling = (proxy.slope, proxy.inter)
        found = replace(found, path=place, kind=kind, offset=proxy.offset, scaling=scaling)
    if shape[1:3] != (1, 1):
        return found
    return replace(found, grid=shape[:1], affine=None, hemisphere=side_of(found.path))


def state_of(path: Path) -> tuple[int, int]:
    """What changes with the file."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def in_pairs(files: Sequence[Any], what: str) -> list[Any]:
    """Surfaces of two hemispheres as pairs, the left first, in the order of the files.

    Their names tell them apart. Other files, and those of one hemisphere, stay as they are.

    Raises
    ------
    ValueError
        If one has no counterpart.
    """
    paths = [Path(one) for one in files if isinstance(one, str | os.PathLike)]
    sides = {path: side_of(path) for path in paths if path.suffix in _SURFACES}
    if len(paths) < len(files) or set(sides.values()) != {"left", "right"}:
        return list(files)
    pairs: dict[Path, dict[str, Path]] = {}
    for path in paths:
        name = path.with_name(_SIDES.sub("*", path.name, count=1))
        pairs.setdefault(name, {})[sides.get(path, "")] = path
    alone = [str(path) for pair in pairs.values() if len(pair) != 2 for path in pair.values()]
    if alone:
        raise ValueError(
            f"{what}: {listed(alone)} has no file of the other hemisphere beside it, by its name."
        )
    return [(str(pair["left"]), str(pair["right"])) for pair in pairs.values()]


def gifti_maps(image: Any) -> list[np.ndarray]:
    """One map for each array of a GIFTI image, or for each column of one.

    Raises
    ------
    ValueError
        If they are no data of the same vertices.
    """
    for array in image.darrays:
        if array.intent in _NO_DATA or array.data.ndim > 2:
            raise ValueError(f"holds {_NO_DATA.get(array.intent, 'more')}, not data of vertices")
    arrays = [np.asarray(array.data) for array in image.darrays]
    lengths = sorted({len(array) for array in arrays})
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"has arrays of {lengths} vertices" if lengths else "has no data")
    return [each for array in arrays for each in array.reshape(len(array), -1).T]


def _gifti_file(path: Path, image: Any) -> MapFile:
    maps = gifti_maps(image)
    names = [str(array.meta.get("Name", "")) for array in image.darrays]
    return MapFile(
        path,
        maps[0].shape,
        len(maps),
        np.result_type(*(each.dtype for each in maps)),
        "gifti",
        hemisphere=side_of(image) or side_of(path),
        names=names if all(names) and len(names) == len(maps) else None,
    )


def _cifti_file(image: Any, shape: tuple[int, ...]) -> MapFile:
    cifti2 = import_optional("nibabel.cifti2", "to read CIFTI files")
    axes = [image.header.get_axis(i) for i in range(len(shape))]
    kinds = [type(axis).__name__.removesuffix("Axis") for axis in axes]
    if kinds[1:] != ["BrainModel"] or kinds[0] not in ("Scalar", "Series", "Label"):
        raise ValueError(f"holds {' x '.join(kinds)}, not maps x grayordinates (BrainModel)")
    proxy = image.dataobj
    return MapFile(
        Path(proxy.file_like),
        shape[1:],
        shape[0],
        proxy.dtype,
        "columns",
        proxy.offset,
        (proxy.slope, proxy.inter),
        axis=axes[1],
        names=None if isinstance(axes[0], cifti2.SeriesAxis) else list(map(str, axes[0].name)),
    )


def side_of(thing: Any) -> str:
    """The hemisphere: of a GIFTI image, or by the names that FreeSurfer, BIDS and the HCP give."""
    if isinstance(thing, Path):
        found = _SIDES.search(thing.name)
        return "" if found is None else "left" if found.lastindex in (1, 3) else "right"
    metas = [thing.meta, *(array.meta for array in thing.darrays)]
    said = {meta.get("AnatomicalStructurePrimary") for meta in metas}
    sides = [side for side in ("left", "right") if f"Cortex{side.title()}" in said]
    return sides[0] if len(sides) == 1 else ""
