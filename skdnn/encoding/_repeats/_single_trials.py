"""Responses to repeated images, of shape (repeats, images, voxels), read in blocks of voxels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._array_blocks import Array
from skdnn.encoding._blocks_of_columns import blocks_of_columns
from skdnn.encoding._shared_checks import Flags, some_columns

# A standard deviation below this share of the largest value is rounding.
_CONSTANT = 1e-13


@dataclass(frozen=True)
class Repeats:
    """Responses and where they are missing."""

    values: Any  # (n_repeats, n_images, n_voxels), ndarray or lazy
    voxel_shape: tuple[int, ...]
    there: Flags  # (n_repeats, n_images): the image was shown
    holes: Flags  # (n_voxels,): not a number although the image was shown

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.values.shape[2]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of repeats of each image."""
        return self.there.sum(axis=0)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Voxels, and a float64 copy of their responses with 0 for what is missing."""
        for voxels, (block,) in blocks_of_columns(self.values):
            block[~np.isfinite(block)] = 0
            yield voxels, block


def read_repeats(responses: Any, *, stacklevel: int) -> Repeats:
    """Check responses; find out what is missing.

    Raises
    ------
    ValueError
        If the shape is wrong or no image was repeated.
    """
    lazy = not isinstance(responses, np.ndarray) and isinstance(
        getattr(responses, "dtype", None), np.dtype
    )
    values: Any = responses if lazy and len(responses.shape) == 3 else np.asarray(responses)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"responses has dtype {values.dtype}: it must hold real numbers.")
    if len(values.shape) < 3 or 0 in values.shape:
        raise ValueError(
            f"responses has shape {values.shape}: (n_repeats, n_images, n_voxels) is needed, with "
            "NaN where an image has fewer repeats than others."
        )
    shape = values.shape[2:]
    if len(shape) > 1:
        values = values.reshape(*values.shape[:2], -1)
    there, holes = _missing(values)
    if (there.sum(axis=0) >= 2).sum() < 2:
        raise ValueError("responses needs two images or more that have two repeats or more.")
    if holes.any():
        warnings.warn(
            f"{holes.sum()} of {len(holes)} voxels have NaN or infinity where others have a "
            f"response ({some_columns(holes)}): their result is NaN.",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
    return Repeats(values, shape, there, holes)


def _missing(values: Any) -> tuple[Flags, Flags]:
    """Repeats of images that have a number in any voxel; voxels that lack one there."""
    there = np.zeros(values.shape[:2], dtype=bool)
    known = np.empty(values.shape[2], dtype=np.int64)
    for voxels, (block,) in blocks_of_columns(values):
        finite = np.isfinite(block)
        there |= finite.any(axis=2)
        known[voxels] = finite.sum(axis=(0, 1))
    return there, known < there.sum()


@dataclass(frozen=True)
class Variances:
    """Variance of the signal over images and of the noise of one trial, for each voxel."""

    signal: Array
    noise: Array
    of_mean: Array  # over images, of the average of repeats
    inverse_counts: float  # mean of 1 / number of repeats


def variance_components(repeats: Repeats, *, centre: bool) -> Variances:
    """Unbiased estimates by analysis of variance, NaN for constant voxels.

    `centre` removes the mean of each repeat.
    """
    images = repeats.counts > 0
    there = repeats.there[:, images]
    counts = there.sum(axis=0)
    shown = there.sum(axis=1)
    freedom = int((counts - 1).sum()) - (int((shown > 0).sum()) - 1 if centre else 0)
    if freedom < 1:
        raise ValueError(
            "responses has too few repeats to tell noise from signal beside the mean of each "
            "repeat: set center_repeats=False or give more images."
        )
    noise, of_mean = np.empty((2, repeats.n_voxels))
    for voxels, block in repeats.blocks():
        block = block[:, images]
        limit = _CONSTANT * np.abs(block).max(axis=(0, 1))
        if centre:
            _centre_repeats(block, there, shown)
        means = block.sum(axis=0) / counts[:, None]
        block -= means
        block *= there[:, :, None]
        noise[voxels] = np.einsum("rij,rij->j", block, block) / freedom
        of_mean[voxels] = means.var(axis=0, ddof=1)
        constant = noise[voxels] + of_mean[voxels] <= limit**2
        noise[voxels][constant] = of_mean[voxels][constant] = np.nan
    inverse = float(np.mean(1 / counts))
    for part in (noise, of_mean):
        part[repeats.holes] = np.nan
    return Variances(of_mean - noise * inverse, noise, of_mean, inverse)


def _centre_repeats(block: Array, there: Flags, shown: NDArray[np.int64]) -> None:
    """Give every repeat the mean of all, in place; what is missing stays 0."""
    used = shown > 0
    means = block[used].sum(axis=1) / shown[used, None]
    overall = block.sum(axis=(0, 1)) / shown.sum()
    block[used] -= (means - overall)[:, None]
    block *= there[:, :, None]
