"""What the inference on models has in common: its input, its warnings, its random numbers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skdnn.rsa._comparison._ceiling import subject_groups
from skdnn.rsa._comparison._compare import warn_undefined
from skdnn.rsa._comparison._measures import check_comparison, similarities
from skdnn.rsa._comparison._stack import read_rdms

Array = NDArray[np.float64]

ALTERNATIVES = ("greater", "less", "two-sided")
# Their values for unrelated RDMs are far above zero.
NOT_CENTRED = ("cosine", "cosine_cov", "bures")


@dataclass(frozen=True)
class Study:
    """Model RDMs and subjects' RDMs of the same conditions, in the same order."""

    models: Array  # (n_models, n_pairs)
    data: Array  # (n_subjects, n_pairs)
    n_conditions: int
    names: pd.Index  # of the models
    comparison: str
    each: Array  # similarity of each model to each subject, (n_models, n_subjects)

    @property
    def scores(self) -> Array:
        """Mean similarity of each model to the subjects."""
        return self.each.mean(axis=1)

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self.data)

    @property
    def complete(self) -> bool:
        """Whether no pair is NaN."""
        return not (np.isnan(self.models).any() or np.isnan(self.data).any())


def read_study(
    models: Any, data: Any, comparison: str, conditions: Any = None, stacklevel: int = 4
) -> Study:
    """Read and align models and subjects; warns once of similarities that are NaN."""
    comparison = check_comparison(comparison)
    stack = read_rdms(models, "models", conditions)
    subjects = read_rdms(data, "data", conditions).like(stack, "data", "models")
    if len(subject_groups(subjects.names, len(subjects))) > 1:
        raise ValueError(
            "data holds RDMs that differ by more than the subject (e.g. by ROI): select one of "
            "them, since the subjects' RDMs are taken together."
        )
    each = similarities(stack.pairs, subjects.pairs, stack.n_conditions, comparison)
    if np.isnan(each).any():
        warn_undefined(stack, subjects, comparison, ("models", "data"), stacklevel)
    names = pd.RangeIndex(len(stack)) if stack.names is None else stack.names
    return Study(stack.pairs, subjects.pairs, stack.n_conditions, names, comparison, each)


def check_alternative(alternative: str, known: tuple[str, ...] = ALTERNATIVES) -> str:
    """`alternative` if it is known, else ValueError."""
    if alternative not in known:
        raise ValueError(
            f"alternative={alternative!r} is not known: choose one of {', '.join(known)}."
        )
    return alternative


def check_count(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`, else ValueError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    return int(value)


def generators(random_state: Any, n: int) -> list[np.random.Generator]:
    """Independent generators, one for each batch of work, whoever does it."""
    entropy = check_random_state(random_state).randint(2**31, size=4).tolist()
    return [np.random.default_rng(seed) for seed in np.random.SeedSequence(entropy).spawn(n)]


def warn_no_zero(comparison: str, stacklevel: int = 3) -> None:
    """Say that a test against zero would mean nothing."""
    warnings.warn(
        f"Unrelated RDMs have a {comparison} similarity far above zero, so a test against zero "
        "says nothing, and p is NaN: use permutation_test, or a centred comparison such as "
        "'spearman' or 'corr_cov'.",
        RuntimeWarning,
        stacklevel=stacklevel,
    )
