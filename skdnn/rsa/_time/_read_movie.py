"""RDMs over time in every form that users hold them, as one movie."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._array_blocks import refuse_sparse
from skdnn._wording import listed
from skdnn.rsa._comparison._rdm_stack import (
    RDMStack,
    is_unlabelled,
    n_conditions_of,
    read_rdms,
)
from skdnn.rsa._time._rdm_movie import RDMMovie, check_conditions, check_times

Array = NDArray[np.float64]

# What differs by less than this share of the spread is meant to be symmetric.
_SYMMETRIC = 1e-3


def read_rdm_movie(
    rdms: Any,
    *,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
) -> RDMMovie:
    """Read RDMs over time of one subject or several, in any form, as a movie.

    Parameters
    ----------
    rdms : RDMMovie, array-like, DataFrame, dict or list
        - an array of shape (n_times, n_pairs) or (n_times, n_conditions, n_conditions) of one
          subject, (n_subjects, n_times, n_pairs) or (n_subjects, n_times, n_conditions,
          n_conditions) of several;
        - a dict of these (or of what follows) by subject; labelled ones are aligned by label, and
          pandas's count of rows from 0 on is no label;
        - a dict of RDMs by time in seconds, or a list of labelled RDMs, of one subject;
        - a DataFrame of labelled RDMs side by side, as :func:`from_rsatoolbox` and
          :func:`~skdnn.io.load_rdm` give them: one of its column levels is called "time", and
          one of several may be called "subject".
    times : array-like of shape (n_times,), default=None
        In seconds. None takes those of `rdms`, or counts from 0 on where it has none.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions, in their order, where `rdms` has none.

    Returns
    -------
    movie : RDMMovie
        Where `rdms` is a condensed float array, without a copy of it.

    Raises
    ------
    ValueError
        If shapes, times or labels don't fit, or an RDM is not symmetric with a zero diagonal.

    See Also
    --------
    compute_rdm_movie : Of epochs.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import read_rdm_movie
    >>> subjects = {f"sub-{k}": np.random.default_rng(k).random((50, 45)) for k in (1, 2)}
    >>> read_rdm_movie(subjects, times=np.arange(50) / 100)
    RDMMovie: 2 subjects, 50 times (0 to 0.49 s), 10 conditions
    """
    return read_movie(rdms, "rdms", times, conditions)


def read_movie(rdms: Any, what: str, times: Any = None, conditions: Any = None) -> RDMMovie:
    """The same, with a name for errors."""
    if isinstance(rdms, RDMMovie):
        return _with_given(rdms, what, times, conditions)
    if isinstance(rdms, pd.DataFrame):
        return _with_given(_of_frame(rdms, what), what, times, conditions)
    if isinstance(rdms, Mapping) and _by_time(rdms):
        own = sorted(rdms)
        stack = read_rdms({key: rdms[key] for key in own}, what)
        one = _of_stack(stack, check_times(own, len(own), what))
        return _with_given(one, what, times, conditions)
    if isinstance(rdms, Mapping):
        return _of_subjects(rdms, what, times, conditions)
    if isinstance(rdms, list | tuple) and any(isinstance(one, pd.DataFrame) for one in rdms):
        stack = read_rdms(list(rdms), what)
        one = _of_stack(stack, check_times(times, len(stack), what))
        return _with_given(one, what, times, conditions)
    if isinstance(rdms, list | tuple) and any(isinstance(one, RDMMovie) for one in rdms):
        return _of_subjects(dict(enumerate(rdms)), what, times, conditions)
    pairs = _condensed(rdms, what, times, conditions)
    n = n_conditions_of(pairs.shape[-1])
    assert n is not None  # by its shape
    labels = None if conditions is None else check_conditions(conditions, n, what)
    return RDMMovie(pairs, check_times(times, pairs.shape[1], what), labels, _counts(len(pairs)))


def _by_time(rdms: Mapping[Any, Any]) -> bool:
    """Whether keys are times, of one RDM each; subjects may have numbers too."""
    shapes = [np.shape(one) for one in rdms.values()]
    single = all(len(shape) == 1 or (len(shape) == 2 and shape[0] == shape[1]) for shape in shapes)
    return bool(shapes) and single and all(isinstance(key, Real) for key in rdms)


def _counts(n_subjects: int) -> pd.Index:
    return pd.RangeIndex(n_subjects, name="subject")


def _of_stack(stack: RDMStack, times: Array) -> RDMMovie:
    return RDMMovie(stack.pairs[None], times, stack.conditions, _counts(1))


def _with_given(movie: RDMMovie, what: str, times: Any, conditions: Any) -> RDMMovie:
    """With times and labels for what has none; times that differ from its own are an error."""
    n_times = movie.pairs.shape[1]
    if times is not None:
        given = check_times(times, n_times, what)
        counted = np.array_equal(movie.times, np.arange(n_times))
        if not counted and not np.allclose(given, movie.times, rtol=0, atol=1e-9):
            raise ValueError(
                f"times= goes from {given[0]:g} to {given[-1]:g}, and {what} has times of its "
                f"own, from {movie.times[0]:g} to {movie.times[-1]:g}: leave times= out."
            )
        movie = replace(movie, times=given)
    if conditions is not None and is_unlabelled(movie.conditions):
        labels = check_conditions(conditions, movie.n_conditions, what)
        movie = replace(movie, conditions=labels)
    return movie


def _of_subjects(rdms: Mapping[Hashable, Any], what: str, times: Any, conditions: Any) -> RDMMovie:
    """Movies of one subject each, their conditions in the order of the first labelled one."""
    if not rdms:
        raise ValueError(f"{what} holds no subject.")
    parts = {key: read_movie(one, f"{what}[{key!r}]", times, conditions)
             for key, one in rdms.items()}  # fmt: skip
    first_key = next((k for k, part in parts.items() if not is_unlabelled(part.conditions)),
                     next(iter(parts)))  # fmt: skip
    first = parts[first_key]
    aligned = []
    for key, part in parts.items():
        name = f"{what}[{key!r}]"
        if len(part.pairs) > 1:
            raise ValueError(f"{name} holds {len(part.pairs)} subjects: give one for each name.")
        if part.times.shape != first.times.shape or not np.allclose(
            part.times, first.times, rtol=0, atol=1e-9
        ):
            raise ValueError(
                f"{name} has {len(part.times)} times from {part.times[0]:g} to "
                f"{part.times[-1]:g} s, and {what}[{first_key!r}] {len(first.times)} from "
                f"{first.times[0]:g} to {first.times[-1]:g} s: crop them to the same."
            )
        stack = RDMStack(part.pairs[0], part.n_conditions, part.conditions)
        other = RDMStack(first.pairs[0], first.n_conditions, first.conditions)
        aligned.append(stack.like(other, name, f"{what}[{first_key!r}]").pairs)
    subjects = pd.Index(list(parts), name="subject")
    return RDMMovie(np.stack(aligned), first.times, first.conditions, subjects)


def _of_frame(frame: pd.DataFrame, what: str) -> RDMMovie:
    """Labelled RDMs side by side, by subject and time."""
    names = [str(name).lower() for name in frame.columns.names]
    if frame.columns.nlevels < 2 or "time" not in names[:-1]:
        raise ValueError(
            f"{what} is a DataFrame without times: one of its column levels must be called "
            f"'time', and they are {list(frame.columns.names)}."
        )
    stack = read_rdms(frame, what)
    assert stack.names is not None  # of several
    rest = [k for k in range(stack.names.nlevels) if names[k] != "time"]
    if len(rest) > 1:
        raise ValueError(
            f"{what} has the column levels {list(frame.columns.names)}: besides 'time' and the "
            "condition only the subject may differ."
        )
    seconds = stack.names.get_level_values(names.index("time")).to_numpy(dtype=np.float64)
    of_subject = stack.names.get_level_values(rest[0]) if rest else _counts(1).repeat(len(stack))
    codes, subjects = pd.factorize(of_subject)
    own = np.unique(seconds)
    check_times(own, len(own), what)
    pairs = np.full((len(subjects), len(own), stack.pairs.shape[1]), np.nan)
    filled = np.zeros(pairs.shape[:2], dtype=int)
    places = codes, np.searchsorted(own, seconds)
    np.add.at(filled, places, 1)
    if (filled != 1).any():
        subject, time = np.argwhere(filled != 1)[0]
        raise ValueError(
            f"{what} has {filled[subject, time]} RDMs of {subjects[subject]!r} at {own[time]:g} "
            "s: one for each subject and time is needed."
        )
    pairs[places] = stack.pairs
    return RDMMovie(pairs, own, stack.conditions, pd.Index(subjects, name="subject"))


def _condensed(rdms: Any, what: str, times: Any, conditions: Any) -> NDArray[Any]:
    """An array of RDMs as (n_subjects, n_times, n_pairs)."""
    refuse_sparse(rdms, what)
    try:
        values = np.asarray(rdms)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        shapes = [np.shape(one) for one in rdms] if isinstance(rdms, list | tuple) else []
        told = (
            f"it is a list of shapes {listed(shapes, show=str)}" if len(set(shapes)) > 1 else error
        )
        raise ValueError(f"{what} is not an array of numbers: {told}.") from error
    shape = values.shape
    if values.size == 0:
        raise ValueError(f"{what} has shape {shape}, and holds no RDM.")
    if _is_square(values):
        n = shape[-1]
        flat = values.reshape(-1, n, n)
        pairs = read_rdms(flat, what).pairs.astype(values.dtype, copy=False)
        values = pairs.reshape(*shape[:-2], -1)
    elif values.ndim == 2 and shape[0] == shape[1] and _looks_square(values):
        raise ValueError(
            f"{what} has shape {shape} and looks like one square RDM, without times: give "
            "(n_times, n_conditions, n_conditions)."
        )
    elif n_conditions_of(shape[-1]) is None or values.ndim not in (2, 3):
        raise ValueError(
            f"{what} has shape {shape}: give (n_times, n_pairs) or (n_times, n_conditions, "
            "n_conditions), with a further axis of subjects in front where there are several. "
            f"{shape[-1]} is no number of pairs n(n-1)/2."
        )
    values = values if values.ndim == 3 else values[None]
    n_pairs = values.shape[-1]
    n = n_conditions_of(n_pairs)
    if n is None or n < 3:
        raise ValueError(f"{what} has RDMs of {n} conditions: three or more are needed.")
    if conditions is not None and len(np.asarray(conditions)) != n:
        check_conditions(conditions, n, f"{what} of shape {shape}")
    if times is not None and len(np.atleast_1d(times)) != values.shape[1]:
        check_times(times, values.shape[1], f"{what} of shape {shape}")
    with np.errstate(invalid="ignore"):
        if np.isinf(values.sum(dtype=np.float64)) or np.isinf(values).any():
            raise ValueError(f"{what} contains infinity.")
    return values


def _is_square(values: NDArray[Any]) -> bool:
    """Whether the last two axes are those of RDMs; times could be as many as pairs."""
    shape = values.shape
    if values.ndim not in (3, 4) or shape[-1] != shape[-2]:
        return False
    if values.ndim == 4 or n_conditions_of(shape[-1]) is None:
        return True
    return any(_looks_square(frame) for frame in values)


def _looks_square(frame: NDArray[Any]) -> bool:
    """Whether a square array is meant as one RDM, right or not: pairs by time are neither
    symmetric nor zero on the diagonal."""
    frame = frame.astype(np.float64)
    diagonal = np.diag(frame)
    known = np.isfinite(frame) & np.isfinite(frame.T) & ~np.eye(len(frame), dtype=bool)
    pairs, mirrored = frame[known], frame.T[known]
    largest = np.abs(pairs).max(initial=0.0)
    if not largest > 0:
        return False
    if (diagonal == 0).all():
        return True
    spread = np.ptp(pairs)
    tolerance = _SYMMETRIC * spread + 1e-6 * largest
    return bool(spread > 1e-6 * largest and (np.abs(pairs - mirrored) <= tolerance).all())
