"""The scores of both directions of a study, and of the two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skdnn._array_blocks import Array
from skdnn.encoding._hierarchy._accuracies import pool_subjects
from skdnn.encoding._hierarchy._bootstrap import (
    bootstrap_hierarchy_score,
    percentile_interval,
    student_interval,
)
from skdnn.encoding._hierarchy._permutation import against, hierarchy_permutation_test
from skdnn.encoding._hierarchy._score import brain_hierarchy_score, top_level_table


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
) -> dict[str, Any]:
    """Attributes of a study, from accuracies by direction, then subject and level.

    `rule` says which units count.
    """
    found: dict[str, Any] = {}
    tables, boots, tests = [], [], []
    for direction, by_subject in accuracies.items():
        decoding, pooled = direction == "decoding", pool_subjects(by_subject)
        found[f"{direction}_score_"] = brain_hierarchy_score(
            pooled,
            n_layers=n_layers if decoding else None,
            n_draws=n_draws,
            random_state=seeds["score"],
            **rule,
        )
        tables.append(top_level_table(pooled, *names[direction], **rule))
        tables[-1].insert(0, "direction", direction)
        if n_boot is not None:
            # With one seed, each resample has the same subjects in both directions.
            options = {"shared_units": decoding, "random_state": seeds["boot"]}
            boots.append(bootstrap_hierarchy_score(by_subject, n_boot=n_boot, **options, **rule))
        if n_permutations is not None:
            options = {"n_permutations": n_permutations, "random_state": seeds["boot"]}
            tests.append(hierarchy_permutation_test(pooled, **options, **rule))
    found["score_"] = float(np.mean(list(found.values())))
    found["top_table_"] = pd.concat(tables, ignore_index=True)
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
        found["interval_"] = (low, high)
    if tests:
        null = np.mean([each.null for each in tests], axis=0)
        score = float(np.mean([each.score for each in tests]))  # of all layers, without draws
        found["p_value_"], found["expected_score_"] = against(score, null)
    return found
