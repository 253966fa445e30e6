"""False positives of the tests over time, by simulation.

    python benchmarks/time_calibration.py [--studies 500] [--jobs 1]

Each study draws patterns of noise that is smooth in time (an autoregression), makes RDMs of them
at each time, and runs the tests as a user would: the share of studies in which anything is below
.05 should be .05. "Unequal noise": the scores of half of the subjects are three times as large.
Seeds are fixed. The standard error of a rate is .010 with 500 studies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.signal import lfilter

from skdnn.rsa import (
    ceiling_test_over_time,
    compute_rdm,
    compute_rdm_movie,
    condition_test_over_time,
    time_course_test,
    time_resolved_rsa,
)

ALPHA = 0.05
N_CHANNELS, N_TIMES, N_LAYERS = 15, 50, 3
# Conditions, autocorrelation of neighbouring times, subjects.
SETTINGS = ((12, 0.9, 12), (12, 0.98, 20), (30, 0.9, 12))
KINDS = ("max", "cluster", "tfce")


def noise(rng: np.random.Generator, n_conditions: int, autocorrelation: float) -> np.ndarray:
    """Epochs (conditions, channels, times) of one subject."""
    white = rng.normal(size=(n_conditions, N_CHANNELS, N_TIMES + 50))
    return lfilter([1.0], [1.0, -autocorrelation], white, axis=2)[:, :, 50:]


def study(
    seed: int, n_conditions: int, autocorrelation: float, n_subjects: int
) -> dict[str, bool]:
    """Whether each test finds anything in noise."""
    rng = np.random.default_rng(seed)
    layers = {f"layer {k}": compute_rdm(rng.normal(size=(n_conditions, 8)))
              for k in range(N_LAYERS)}  # fmt: skip
    subjects = [
        compute_rdm_movie(noise(rng, n_conditions, autocorrelation)) for _ in range(n_subjects)
    ]
    result = time_resolved_rsa(layers, subjects, ceiling=False)
    mixed = result.scores * np.where(np.arange(n_subjects) % 2, 3.0, 1.0)[:, None, None]
    found = {}
    few = {"n_permutations": 199, "random_state": seed}
    for kind in KINDS:
        tests: dict[str, Callable] = {
            "time_course_test": lambda kind=kind: result.test(
                kind, n_permutations=999, random_state=seed
            ),
            "the same, two-sided": lambda kind=kind: result.test(
                kind, alternative="two-sided", n_permutations=999, random_state=seed
            ),
            "the same, subjects of unequal noise": lambda kind=kind: time_course_test(
                mixed, kind=kind, n_permutations=999, random_state=seed
            ),
            "condition_test_over_time, one subject": lambda kind=kind: condition_test_over_time(
                layers, subjects[0], kind=kind, **few
            ),
            "ceiling_test_over_time": lambda kind=kind: ceiling_test_over_time(
                subjects, kind=kind, **few
            ),
        }
        for name, test in tests.items():
            found[name, kind] = bool((test().p_values < ALPHA).any())
    order = result.latency_order(n_boot=1, random_state=seed)
    found["latency_order", "p"] = order.p < ALPHA
    return found


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    for n_conditions, autocorrelation, n_subjects in SETTINGS:
        rows = Parallel(n_jobs=arguments.jobs)(
            delayed(study)(seed, n_conditions, autocorrelation, n_subjects)
            for seed in range(arguments.studies)
        )
        rates = pd.Series({key: np.mean([row[key] for row in rows]) for key in rows[0]})
        rates = pd.crosstab(
            rates.index.get_level_values(0),
            rates.index.get_level_values(1),
            rates.to_numpy(),
            rownames=["test"],
            colnames=[""],
            aggfunc="mean",
        )
        print(
            f"\n{arguments.studies} studies, {n_conditions} conditions, autocorrelation "
            f"{autocorrelation}, {n_subjects} subjects"
        )
        print(rates.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
