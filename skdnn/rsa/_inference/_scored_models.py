"""Models and their similarity to each subject: what all inference starts from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn.rsa._comparison._compare_rdms import warn_undefined
from skdnn.rsa._comparison._noise_ceiling import subject_groups
from skdnn.rsa._comparison._rdm_stack import read_rdms
from skdnn.rsa._comparison._similarity_measures import (
    check_comparison,
    similarities,
    tell_negative,
)

Array = NDArray[np.float64]

# Their values for unrelated RDMs are far above zero.
NOT_CENTRED = ("cosine", "cosine_cov", "bures")


@dataclass(frozen=True)
class ScoredModels:
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


def score_models(
    models: Any, data: Any, comparison: str, conditions: Any = None, stacklevel: int = 4
) -> ScoredModels:
    """Read and align models and subjects; warns once of similarities that are NaN."""
    comparison = check_comparison(comparison)
    stack = read_rdms(models, "models", conditions)
    subjects = read_rdms(data, "data", conditions).like(stack, "data", "models")
    if len(subject_groups(subjects.names, len(subjects))) > 1:
        raise ValueError(
            "data holds RDMs that differ by more than the subject (e.g. by ROI): select one of "
            "them, since the subjects' RDMs are taken together."
        )
    tell_negative(comparison, stack.pairs, subjects.pairs)
    each = similarities(stack.pairs, subjects.pairs, stack.n_conditions, comparison)
    if np.isnan(each).any():
        warn_undefined(stack, subjects, comparison, ("models", "data"), stacklevel)
    names = pd.RangeIndex(len(stack)) if stack.names is None else stack.names
    return ScoredModels(stack.pairs, subjects.pairs, stack.n_conditions, names, comparison, each)


def warn_no_zero(comparison: str, stacklevel: int = 3) -> None:
    """Say that a test against zero would mean nothing."""
    warnings.warn(
        f"Unrelated RDMs have a {comparison} similarity far above zero, so a test against zero "
        "says nothing, and p is NaN: use permutation_test, or a centred comparison such as "
        "'spearman' or 'corr_cov'.",
        RuntimeWarning,
        stacklevel=stacklevel,
    )
