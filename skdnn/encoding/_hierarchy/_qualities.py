"""What accuracies of layers and areas have beside the qualities of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST = 3  # levels of each hierarchy: fewer leave no rest


def beside_qualities(levels: Sequence[Array]) -> Array:
    """What a product of a quality of layers and one of areas leaves of the mean accuracies."""
    means = np.array([_means(level) for level in levels])
    left, size, right = np.linalg.svd(means, full_matrices=False)
    return means - size[0] * np.outer(left[:, 0], right[0])


def _means(level: Array) -> Array:
    """Mean accuracy of the units that have one, 0 where none has."""
    n_known = np.maximum((~np.isnan(level)).sum(axis=1), 1)
    return np.nan_to_num(level).sum(axis=1) / n_known


def moved(levels: Sequence[Array], rest: Array) -> list[Array]:
    """All units of each level with `rest` added."""
    return [(level + part[:, None]).clip(-1, 1) for level, part in zip(levels, rest, strict=True)]
