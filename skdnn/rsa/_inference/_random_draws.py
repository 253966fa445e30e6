"""Random draws that are the same whoever does them, and however many do."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

# Permutations that share a generator. Results depend on it, so it never depends on the machine.
BATCH = 250


def check_count(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`, else ValueError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    return int(value)


def generators(random_state: Any, n: int) -> list[np.random.Generator]:
    """Independent generators, one for each batch of work, whoever does it."""
    entropy = check_random_state(random_state).randint(2**31, size=4).tolist()
    return [np.random.default_rng(seed) for seed in np.random.SeedSequence(entropy).spawn(n)]


def batches(random_state: Any, count: int) -> list[tuple[np.random.Generator, int]]:
    """Generators, and how many permutations each is to draw."""
    starts = range(0, count, BATCH)
    each = generators(random_state, len(starts))
    return [(rng, min(BATCH, count - start)) for start, rng in zip(starts, each, strict=True)]
