"""The scores of both directions of a study, and of the two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from skdnn._blocks import Array
from skdnn.encoding._hierarchy._bootstrap import (
    bootstrap_hierarchy_score,
    percentile_interval,
    student_interval,
)
from skdnn.encoding._hierarchy._permutation import against, hierarchy_permutation_test
from skdnn.encoding._hierarchy._score import brain_hierarchy_score, pool_subjects, top_level_table


@dataclass
class Combined:
    """Scores by direction, and what is said of their mean."""

    scores: dict[str, float] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    expected: float | None = None

    @property
    def score(self) -> float:
        """The mean over directions."""
        return float(np.mean(list(self.scores.values())))


def combine(
    accuracies: Mapping[str, Sequence[Sequence[Array]]],
    names: Mapping[str, tuple[list[str], list[str]]],
    rule: Mapping[str, Any],
    *,
    n_layers: int | None,
    n_draws: int,
    n_boot: int | None,
    confidence: float,
    n_permutations: int | None,
    seeds: Mapping[str, Any],
) -> Combined:
    """Score accuracies by direction, then subject and level; `rule` says which units count."""
    found = Combined()
    tables, boots, tests = [], [], []
    for direction, by_subject in accuracies.items():
        decoding, pooled = direction == "decoding", pool_subjects(by_subject)
        score: Any = brain_hierarchy_score(
            pooled,
            n_layers=n_layers if decoding else None,
            n_draws=n_draws,
            random_state=seeds["score"],
            **rule,
        )
        found.scores[direction] = score
        tables.append(top_level_table(pooled, *names[direction], **rule))
        tables[-1].insert(0, "direction", direction)
        if n_boot is not None:
            # With one seed, each resample has the same subjects in both directions.
            options = {"shared_units": decoding, "random_state": seeds["boot"]}
            boots.append(bootstrap_hierarchy_score(by_subject, n_boot=n_boot, **options, **rule))
        if n_permutations is not None:
            options = {"n_permutations": n_permutations, "random_state": seeds["boot"]}
            tests.append(hierarchy_permutation_test(pooled, **options, **rule))
    found.table = pd.concat(tables, ignore_index=True)
    if boots:
        score, samples, left_out = (
            np.mean([getattr(boot, name) for boot in boots], axis=0)
            for name in ("score", "samples", "left_out")
        )
        variance = sum(boot.unit_variance for boot in boots) / len(boots) ** 2
        if len(left_out) > 1:
            low, high, _ = student_interval(float(score), left_out, variance, confidence)
        else:
            low, high, _ = percentile_interval(samples, confidence)
        found.interval = (low, high)
    if tests:
        null = np.mean([each.null for each in tests], axis=0)
        score = float(np.mean([each.score for each in tests]))  # of all layers, without draws
        found.p_value, found.expected = against(score, null)
    return found
