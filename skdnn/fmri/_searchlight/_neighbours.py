"""Which voxels or vertices lie around each of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

Points = NDArray[np.int32]
Mesh = tuple[NDArray[np.float64], NDArray[np.intp]]  # coordinates and faces

# A distance may exceed the radius by what a header's float32 loses.
_ROUNDING = 1e-6
# Centres whose neighbours are held at a time while they are counted or looked for.
_CHUNK = 1024
_PATCH = 512  # centres of a mesh that share a piece of it


class Neighbours(Protocol):
    """The points around each centre, ascending; centres are all points that are kept."""

    def of(self, start: int, stop: int) -> list[Points]:
        """Neighbours of some centres, themselves among them."""
        ...


class Spheres:
    """Voxels of a mask within a distance of each of them; the distance itself counts as within.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Voxels; they are numbered in C order.
    affine : ndarray of shape (4, 4)
        Gives their distances, in millimetres.
    radius : float
        In millimetres.
    """

    def __init__(self, mask: NDArray[np.bool_], affine: NDArray[np.float64], radius: float):
        step = np.asarray(affine, dtype=np.float64)[:3, :3]
        limit = radius * (1 + _ROUNDING)
        # How far a sphere reaches along each axis of the grid, which may be oblique.
        reach = np.floor(limit * np.linalg.norm(np.linalg.inv(step), axis=1))
        reach = np.minimum(reach, np.array(mask.shape) - 1).astype(int)  # further is no voxel
        box = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1)
        offsets = box[np.linalg.norm(box @ step.T, axis=-1) <= limit]
        padded = tuple(np.array(mask.shape) + 2 * reach)  # no sphere leaves it
        inside = np.argwhere(mask) + reach
        self._places = np.ravel_multi_index(tuple(inside.T), padded).astype(np.int64)
        strides = np.array([padded[1] * padded[2], padded[2], 1])
        self._offsets = offsets @ strides
        self._number = np.full(int(np.prod(padded)), -1, dtype=np.int32)
        self._number[self._places] = np.arange(len(inside), dtype=np.int32)

    def of(self, start: int, stop: int) -> list[Points]:
        """Neighbours of some centres, themselves among them."""
        found = self._number[self._places[start:stop, None] + self._offsets]
        whole = found.min(axis=1) >= 0
        return [row if all_in else row[row >= 0] for row, all_in in zip(found, whole, strict=True)]


class Patches:
    """Vertices of meshes within a distance of each of them.

    Parameters
    ----------
    meshes : list of (coordinates, faces)
        Of one hemisphere or two: arrays (n_vertices, 3) in millimetres, and (n_faces, 3).
    mask : ndarray of bool, shape (n_vertices,)
        Vertices of all meshes that count, and are numbered in their order.
    radius : float
        In millimetres.
    distance : {"edges", "straight"}
        The length of the shortest path along edges, over all vertices, or the straight line.
    """

    def __init__(
        self,
        meshes: list[Mesh],
        mask: NDArray[np.bool_],
        radius: float,
        distance: str,
    ) -> None:
        limit = radius * (1 + _ROUNDING)
        number = np.full(len(mask), -1, dtype=np.int32)
        number[mask] = np.arange(int(mask.sum()), dtype=np.int32)
        rows: list[Points] = []
        first = 0
        for xyz, faces in meshes:
            own = number[first : first + len(xyz)]
            near = _within_edges if distance == "edges" else _within_line
            rows += [np.sort(own[row[own[row] >= 0]]) for row in near(xyz, faces, own, limit)]
            first += len(xyz)
        self._ends = np.cumsum([0, *map(len, rows)])
        self._points = np.concatenate(rows)

    def of(self, start: int, stop: int) -> list[Points]:
        """Neighbours of some centres, themselves among them."""
        ends = self._ends[start : stop + 1]
        return [self._points[a:b] for a, b in pairwise(ends)]


def _within_line(xyz: NDArray, faces: NDArray, own: Points, limit: float) -> list[NDArray]:
    centres = np.flatnonzero(own >= 0)
    return [np.array(row) for row in KDTree(xyz).query_ball_point(xyz[centres], limit)]


def _within_edges(xyz: NDArray, faces: NDArray, own: Points, limit: float) -> list[NDArray]:
    """By Dijkstra's paths, in a piece of the mesh that holds every path of that length."""
    ends = _edges(faces)
    lengths = np.linalg.norm(xyz[ends[:, 0]] - xyz[ends[:, 1]], axis=1)
    # An edge without a length, between two vertices in one place, would be none in a graph.
    lengths = np.maximum(lengths, np.finfo(np.float64).tiny)
    edges = csr_array((lengths, (ends[:, 0], ends[:, 1])), shape=(len(xyz),) * 2)
    edges = csr_array(edges + edges.T)
    tree = KDTree(xyz)
    centres = np.flatnonzero(own >= 0)
    found: dict[int, NDArray] = {}
    for patch in _patches(centres, xyz):
        middle = (xyz[patch].min(axis=0) + xyz[patch].max(axis=0)) / 2
        extent = np.linalg.norm(xyz[patch] - middle, axis=1).max() + limit
        piece = np.sort(np.array(tree.query_ball_point(middle, extent * (1 + _ROUNDING))))
        part = edges[piece][:, piece]
        narrow = part.indices.astype(np.int32), part.indptr.astype(np.int32)  # for scipy 1.14
        distances = dijkstra(
            csr_array((part.data, *narrow), shape=part.shape), directed=False, limit=limit,
            indices=np.searchsorted(piece, patch),
        )  # fmt: skip
        for centre, row in zip(patch.tolist(), distances, strict=True):
            found[centre] = piece[np.isfinite(row)]
    return [found[centre] for centre in centres.tolist()]


def _patches(centres: NDArray[np.intp], xyz: NDArray) -> list[NDArray[np.intp]]:
    """Centres in groups that lie together: halved along the longest side until small."""
    if len(centres) <= _PATCH:
        return [centres]
    axis = int(np.ptp(xyz[centres], axis=0).argmax())
    order = centres[np.argsort(xyz[centres, axis], kind="stable")]
    half = len(order) // 2
    return [*_patches(order[:half], xyz), *_patches(order[half:], xyz)]


def adjacent(mask: NDArray[np.bool_], meshes: Sequence[Mesh] = ()) -> Points:
    """Points next to each other: voxels that share a face, vertices that share an edge.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz) or (n_vertices,)
        Points, numbered in C order.
    meshes : list of (coordinates, faces)
        On which vertices lie, one after the other.

    Returns
    -------
    table : ndarray of int, shape (n_points, k)
        Neighbours of each point; -1 for none. Each pair is there once.
    """
    number = np.full(mask.shape, -1, dtype=np.int32)
    number[mask] = np.arange(int(mask.sum()), dtype=np.int32)
    if mask.ndim == 3:
        following = np.full((3, *mask.shape), -1, dtype=np.int32)
        following[0, :-1], following[1, :, :-1], following[2, :, :, :-1] = (
            number[1:], number[:, 1:], number[:, :, 1:],
        )  # fmt: skip
        return following[:, mask].T
    pairs, first = [], 0
    for xyz, faces in meshes:
        pairs.append(number[first : first + len(xyz)][_edges(faces)])
        first += len(xyz)
    both = np.concatenate(pairs)
    both = both[(both >= 0).all(axis=1)]  # of masked vertices, in the order of the first
    counts = np.bincount(both[:, 0], minlength=int(mask.sum()))
    table = np.full((len(counts), max(1, counts.max(initial=0))), -1, dtype=np.int32)
    places = np.arange(len(both)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[both[:, 0], places] = both[:, 1]
    return table


def _edges(faces: NDArray[np.intp]) -> NDArray[np.intp]:
    """Pairs of vertices (n_edges, 2), each once, the smaller number first; sorted."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    return ends[ends[:, 0] != ends[:, 1]]


def sizes_of(neighbours: Neighbours, usable: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many usable points lie around each centre; 0 where the centre is not usable itself."""
    sizes, whole = np.zeros(len(usable), dtype=np.int32), usable.all()
    for start in range(0, len(usable), _CHUNK):
        rows = neighbours.of(start, start + _CHUNK)
        sizes[start : start + _CHUNK] = [
            len(row) if whole else np.count_nonzero(usable[row]) for row in rows
        ]
    sizes[~usable] = 0
    return sizes
