"""Data for the tests of encoders that choose layers."""

from __future__ import annotations

import numpy as np

ALPHAS = [1, 100, 10_000]
SIZES = {"low": 12, "mid": 90, "high": 35}


def study(n: int = 60, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three layers of unequal size, and voxels that come from one, another, or two."""
    rng = np.random.default_rng(seed)
    layers = {name: rng.normal(size=(n, size)) + 1 for name, size in SIZES.items()}
    low, mid, high = (layer @ rng.normal(size=(layer.shape[1], 2)) for layer in layers.values())
    Y = np.column_stack([low, mid, high, low / low.std() + high / high.std()])
    return layers, Y + 0.3 * rng.normal(size=Y.shape)
