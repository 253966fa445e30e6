"""Small volumes, layers and betas for tests of searchlights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import load_betas
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")

N = 9
IMAGES = [f"stimuli/{kind}/{k}.jpg" for kind in ("cat", "dog", "saw") for k in range(3)]
GRID = (4, 5, 6)
# Voxels of 2 x 2.5 x 3 mm, their axes turned and swapped.
AFFINE = np.array([[0.0, -2.4, 0.5, 8], [2, 0, 0.1, -3], [0, 0.7, 2.95, 7], [0, 0, 0, 1]])


def random_mask(seed: int = 0, grid: Any = GRID, share: float = 0.8) -> Any:
    return np.random.default_rng(seed).random(grid) < share


def image_of(mask: Any, affine: Any = AFFINE) -> Any:
    return nibabel.Nifti1Image(mask.astype(np.uint8), affine)


def layer_rdms(n_layers: int = 3, seed: int = 1, labels: Any = None) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = {f"layer{k}": compute_rdm(rng.normal(size=(N, 20))) for k in range(n_layers)}
    if labels is None:
        return found
    return {name: pd.DataFrame(rdm, labels, labels) for name, rdm in found.items()}


def responses(n_voxels: int, seed: int = 2, n: int = N) -> Any:
    return np.random.default_rng(seed).normal(3, 1, size=(n, n_voxels))


def spheres(mask: Any, radius: float, affine: Any = AFFINE) -> list[Any]:
    """Neighbours by the distances of all pairs of voxels."""
    xyz = np.argwhere(mask) @ affine[:3, :3].T
    distances = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    return [np.flatnonzero(row <= radius) for row in distances]


def betas_of(mask: Any, runs: list[list[int]], seed: int = 5) -> Any:
    """Betas of trials that show images by number, run by run."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(N, int(mask.sum())))
    trials = np.concatenate([
        signal[run] + rng.normal(number, 1, size=(len(run), signal.shape[1]))
        for number, run in enumerate(runs)
    ])  # fmt: skip
    events = [pd.DataFrame({"stim_file": [IMAGES[k] for k in run]}) for run in runs]
    volumes = np.zeros((*mask.shape, len(trials)))
    volumes[mask] = trials.T
    return trials, load_betas(volumes, events=events, mask=image_of(mask), images=IMAGES)


def icosphere() -> tuple[Any, Any]:
    """A ball of 162 vertices."""
    from scipy.spatial import ConvexHull

    k = np.arange(162) + 0.5
    angle, height = np.pi * (1 + 5**0.5) * k, 1 - 2 * k / 162
    ring = np.sqrt(1 - height**2)
    xyz = 20 * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    return xyz, ConvexHull(xyz).simplices


EVERY = list(range(N))
DESIGNS = {
    "balanced": [EVERY, EVERY[::-1], EVERY],
    "some twice": [[*EVERY, 3], EVERY, [*EVERY, 0, 3]],
    "with gaps": [EVERY[:-1], EVERY[1:], [*EVERY, 2], EVERY[:4]],
    "pairs never together": [[*range(6)], [*range(6)], [*range(3, 9)], [*range(3, 9)]],
}
