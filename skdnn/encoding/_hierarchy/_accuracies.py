"""Accuracies by level: checked, pooled over subjects, and what they have beside qualities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from skdnn._array_blocks import Array
from skdnn.encoding._hierarchy._p_values import ROUNDING

LEAST = 3  # levels of each hierarchy: fewer leave no rest


def pool_subjects(
    accuracies_by_subject: Sequence[Sequence[ArrayLike]],
) -> list[Array]:
    """Put units (or voxels) of several subjects side by side.

    Parameters
    ----------
    accuracies_by_subject : sequence of sequence of array-like of shape (n_others, n_units)
        For each subject, one array for each level, as `brain_hierarchy_score` takes them. Numbers
        of units may differ between subjects and levels.

    Returns
    -------
    accuracies : list of ndarray of shape (n_others, n_units of all subjects), float64
        New arrays, one for each level.

    Raises
    ------
    ValueError
        If subjects differ in the number of levels of either hierarchy.

    See Also
    --------
    brain_hierarchy_score : Takes the pooled accuracies.
    bootstrap_hierarchy_score : Takes the subjects one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import pool_subjects
    >>> first = [np.zeros((5, 30)), np.zeros((5, 20))]
    >>> second = [np.zeros((5, 30)), np.zeros((5, 25))]
    >>> [level.shape for level in pool_subjects([first, second])]
    [(5, 60), (5, 45)]
    """
    subjects = check_subjects(accuracies_by_subject)
    return [np.concatenate(level, axis=1) for level in zip(*subjects, strict=True)]


def check_accuracies(accuracies: Sequence[ArrayLike], name: str = "accuracies") -> list[Array]:
    """Arrays of (other levels, units); those given are not written to."""
    levels = [np.asarray(level, dtype=np.float64) for level in accuracies]
    if not levels:
        raise ValueError(f"{name} is empty: give an array for each level of a hierarchy.")
    for number, level in enumerate(levels):
        if level.ndim < 2 or len(level) == 0:
            raise ValueError(
                f"{name}[{number}] has shape {level.shape}: give (levels of the other hierarchy, "
                "units)."
            )
        if len(level) != len(levels[0]):
            raise ValueError(
                f"{name}[{number}] has {len(level)} rows, but {name}[0] has {len(levels[0])}: "
                "each row is a level of the other hierarchy."
            )
        if (np.abs(level) > 1 + ROUNDING).any():
            raise ValueError(
                f"{name}[{number}] reaches from {np.nanmin(level)} to {np.nanmax(level)}: "
                "accuracies are correlations, between -1 and 1."
            )
    return [level.reshape(len(level), -1) for level in levels]


def check_subjects(accuracies_by_subject: Sequence[Sequence[ArrayLike]]) -> list[list[Array]]:
    subjects = [
        check_accuracies(subject, f"accuracies of subject {number}")
        for number, subject in enumerate(accuracies_by_subject)
    ]
    if not subjects:
        raise ValueError("accuracies_by_subject is empty: give at least one subject.")
    sizes = [(len(subject), len(subject[0])) for subject in subjects]
    for number, size in enumerate(sizes):
        if size != sizes[0]:
            raise ValueError(
                f"subject {number} has {size[0]} levels of {size[1]} rows, but subject 0 has "
                f"{sizes[0][0]} of {sizes[0][1]}."
            )
    return subjects


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
