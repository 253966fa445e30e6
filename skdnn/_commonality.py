"""Unique and shared parts of what several predictors explain, by inclusion and exclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Subset = tuple[int, ...]


def subsets(n: int) -> list[Subset]:
    """All sets of one predictor or more, by position, the small ones first."""
    return [chosen for size in range(1, n + 1) for chosen in combinations(range(n), size)]


def shared_parts(names: Sequence[str], explained: Mapping[Subset, Array]) -> dict[str, Array]:
    """What exactly the predictors of each set share: of one what it explains alone.

    `explained` is what each set of predictors explains together, as `subsets` gives them. The
    parts are called ``"a"``, ``"a & b"``, and add up to what all explain.
    """
    return {
        " & ".join(names[k] for k in part): _shared(part, len(names), explained)
        for part in subsets(len(names))
    }


def _shared(part: Subset, n: int, explained: Mapping[Subset, Array]) -> Array:
    rest = set(range(n)) - set(part)
    out = np.zeros_like(next(iter(explained.values())))
    for size in range(len(part) + 1):
        for chosen in combinations(part, size):
            if together := tuple(sorted(rest | set(chosen))):  # nothing explains nothing
                out += (-1) ** (size + 1) * explained[together]
    return out
