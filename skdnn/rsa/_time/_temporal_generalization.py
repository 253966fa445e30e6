"""RDMs of one time against those of others: does what conditions look like stay, or come back?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._docs import filled
from skdnn._html import card
from skdnn.rsa._comparison._rdm_stack import RDMStack
from skdnn.rsa._comparison._similarity_measures import (
    check_comparison,
    similarities,
    tell_negative,
)
from skdnn.rsa._time._rdm_movie import first_frame
from skdnn.rsa._time._read_movie import read_movie

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class TemporalGeneralization:
    """What :func:`temporal_generalization` found.

    Attributes
    ----------
    scores : ndarray of shape (n_subjects, n_times, n_other_times)
        Similarity of each subject's RDM at one time with the other RDM at another.
    times, other_times : ndarray
        In seconds.
    subjects : Index
        Names of the subjects, or their positions.
    comparison : str
        How RDMs were compared.
    against : {"self", "others", "movie"}
        What the RDMs are compared with.

    See Also
    --------
    temporal_generalization : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import temporal_generalization
    >>> movie = np.random.default_rng(0).random((4, 10, 45))
    >>> temporal_generalization(movie, against="others").mean.shape
    (10, 10)
    """

    scores: Array
    times: Array
    other_times: Array
    subjects: pd.Index
    comparison: str
    against: str

    @property
    def mean(self) -> pd.DataFrame:
        """Mean over subjects, a row for each time and a column for each other time."""
        rows = pd.Index(self.times, name="time")
        columns = pd.Index(self.other_times, name="other time")
        return pd.DataFrame(self.scores.mean(axis=0), rows, columns)

    def __repr__(self) -> str:
        n_subjects, n_times, n_others = self.scores.shape
        return (
            f"TemporalGeneralization: {self.comparison}, {n_subjects} subjects against "
            f"{self.against}, {n_times} x {n_others} times"
        )

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        facts = {
            "compared by": self.comparison,
            "subjects": len(self.subjects),
            "against": self.against,
            "times": f"{self.scores.shape[1]} x {self.scores.shape[2]}",
        }
        return card("TemporalGeneralization", facts)


@filled
def temporal_generalization(
    movie: Any,
    other: Any = None,
    comparison: str = "spearman",
    *,
    against: str | None = None,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
) -> TemporalGeneralization:
    """Similarity of the RDM of each time with that of each other time.

    Parameters
    ----------
    movie : RDMMovie, array-like, DataFrame or dict
        RDMs over time, in any form that :func:`read_rdm_movie` takes.
    other : RDMMovie, array-like, DataFrame or dict, default=None
        Another movie of the same conditions and subjects, or of one subject for all: another
        session, or another modality. Labels are aligned.
    comparison : str, default="spearman"
        How RDMs are compared, see :func:`compare_rdms`.
    against : {"self", "others"}, default=None
        Without `other`: each subject's own RDMs, with ones on the diagonal and noise in common
        off it; or the mean over the other subjects of their RDMs, whose noise is another, of
        each pair over those for whom it is known.
        None takes "others" where there are several subjects.
    times : array-like of shape (n_times,), default=None
        In seconds. None takes those of `movie`, or counts from 0 on. They are those of `other`
        too, where it has as many and none of its own.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s

    Returns
    -------
    result : TemporalGeneralization
        Scores by subject, time and other time.

    Raises
    ------
    ValueError
        If RDMs or subjects don't fit, or a parameter is not known.

    Warns
    -----
    RuntimeWarning
        Once, naming where scores are NaN.

    See Also
    --------
    skdnn.plotting.TimeCourseDisplay.from_generalization : Draws it.

    Notes
    -----
    An RDM that is sustained makes a square, one that passes on a diagonal. Neighbouring times of
    one recording share their noise: "others" and `other` are free of it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import temporal_generalization
    >>> rng = np.random.default_rng(0)
    >>> states = np.repeat(rng.random((2, 45)), 3, axis=0)  # two states of three times each
    >>> movie = states + 0.5 * rng.random((5, 6, 45))
    >>> temporal_generalization(movie, comparison="pearson").mean.round(1).iloc[:, [0, 2, 3, 5]]
    other time    0.0  2.0  3.0  5.0
    time
    0.0         0.9  0.9  0.2  0.2
    1.0         0.9  0.9  0.2  0.2
    2.0         0.9  0.9  0.2  0.2
    3.0         0.2  0.2  0.9  0.9
    4.0         0.2  0.2  0.9  0.9
    5.0         0.2  0.2  0.9  0.9
    """
    comparison = check_comparison(comparison)
    data = read_movie(movie, "movie", times, conditions)
    n_subjects, n = len(data.pairs), data.n_conditions
    if against not in (None, "self", "others"):
        raise ValueError(f"against={against!r} is not known: choose 'self' or 'others'.")
    if other is not None and against is not None:
        raise ValueError("other= says what the RDMs are compared with: leave against= out.")
    own = data.pairs.astype(np.float64, copy=False)
    others, seconds = own, data.times
    if other is not None:
        second = read_movie(other, "other", None, conditions)
        counted = np.array_equal(second.times, np.arange(len(second.times)))
        if times is not None and counted and len(second.times) == len(data.times):
            second = replace(second, times=data.times)
        if len(second.pairs) not in (1, n_subjects):
            raise ValueError(
                f"other holds {len(second.pairs)} subjects and movie {n_subjects}: one, or the "
                "same ones."
            )
        if len(second.pairs) > 1 and not _same_names(data.subjects, second.subjects):
            raise ValueError(
                f"other holds the subjects {list(second.subjects)[:5]}, movie "
                f"{list(data.subjects)[:5]}: put them in the same order."
            )
        shape = second.pairs.shape
        rows = RDMStack(second.pairs.reshape(-1, shape[2]), second.n_conditions, second.conditions)
        others = rows.like(first_frame(data), "other", "movie").pairs.reshape(*shape[:2], -1)
        seconds = second.times
    elif against == "others" and n_subjects < 2:
        raise ValueError("against='others' needs two subjects or more.")
    tell_negative(comparison, own, others)
    chosen = "movie" if other is not None else against or ("others" if n_subjects > 1 else "self")
    scores = np.empty((n_subjects, own.shape[1], others.shape[1]))
    rest_of = _means_of_others(own) if chosen == "others" else None
    for subject in range(n_subjects):
        target = others[min(subject, len(others) - 1)] if rest_of is None else rest_of(subject)
        scores[subject] = similarities(own[subject], target, n, comparison)
    found = TemporalGeneralization(scores, data.times, seconds, data.subjects, comparison, chosen)
    _warn_undefined(found)
    return found


def _means_of_others(movies: Array) -> Callable[[int], Array]:
    """What gives the mean over all subjects but one, of each pair where it is known."""
    known = ~np.isnan(movies)
    total, count = movies.sum(axis=0, where=known), known.sum(axis=0)

    def rest(subject: int) -> Array:
        left = count - known[subject]
        own = np.where(known[subject], movies[subject], 0)
        return np.where(left > 0, (total - own) / np.maximum(left, 1), np.nan)

    return rest


def _warn_undefined(found: TemporalGeneralization) -> None:
    unknown = np.isnan(found.scores)
    if unknown.any():
        subject, time, other = np.argwhere(unknown)[0]
        warnings.warn(
            f"Scores of {int(unknown.any(axis=(1, 2)).sum())} of {len(unknown)} subjects are NaN "
            f"at some times, first of {found.subjects[subject]!r} at {found.times[time]:g} and "
            f"{found.other_times[other]:g} s: an RDM is constant there, or too few pairs are "
            "known. The mean over subjects is NaN there too.",
            RuntimeWarning,
            stacklevel=3,
        )


def _same_names(a: pd.Index, b: pd.Index) -> bool:
    counted = isinstance(a, pd.RangeIndex) or isinstance(b, pd.RangeIndex)
    return counted or a.equals(b)
