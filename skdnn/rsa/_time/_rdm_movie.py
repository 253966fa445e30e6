"""Movies of RDMs: one for each time, of one subject or several."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from skdnn._html import card
from skdnn._wording import in_bytes
from skdnn.rsa._comparison._rdm_stack import RDMStack, check_unique, outside

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class RDMMovie:
    """RDMs over time of one subject or several, of the same conditions and times.

    Parameters
    ----------
    pairs : ndarray of shape (n_subjects, n_times, n_pairs), float32 or float64
        Condensed RDMs, their pairs in the order of :func:`scipy.spatial.distance.squareform`.
    times : ndarray of shape (n_times,)
        In seconds, ascending.
    conditions : Index of length n_conditions or None
        Labels of the conditions.
    subjects : Index of length n_subjects
        Names of the subjects.

    See Also
    --------
    compute_rdm_movie : Of epochs.
    read_rdm_movie : Of RDMs in any form.
    time_resolved_rsa : Compares it with models.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import read_rdm_movie
    >>> rdms = np.random.default_rng(0).random((5, 3))  # five times, pairs of three conditions
    >>> movie = read_rdm_movie(rdms, times=np.arange(5) / 10, conditions=["cat", "dog", "saw"])
    >>> movie
    RDMMovie: 1 subject, 5 times (0 to 0.4 s), 3 conditions
    >>> movie.at(0.21).round(1)
         cat  dog  saw
    cat  0.0  0.6  0.7
    dog  0.6  0.0  0.5
    saw  0.7  0.5  0.0
    """

    pairs: NDArray[Any]
    times: Array
    conditions: pd.Index | None
    subjects: pd.Index

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return (1 + int(np.sqrt(1 + 8 * self.pairs.shape[-1]))) // 2

    def at(self, time: float) -> Any:
        """The RDM, or those of all subjects, at the time that is nearest.

        Parameters
        ----------
        time : float
            In seconds, within the movie.

        Returns
        -------
        rdm : ndarray, DataFrame or dict
            Of several subjects a dict by name. Labelled if the movie is.
        """
        step = np.diff(self.times).max(initial=0.0)
        if not self.times[0] - step <= time <= self.times[-1] + step:
            raise ValueError(
                f"time={time!r}: the movie goes from {self.times[0]:g} to {self.times[-1]:g} s."
            )
        return self._frames(self.pairs[:, np.abs(self.times - time).argmin()])

    def mean(self, start: float | None = None, stop: float | None = None) -> Any:
        """Mean RDMs of the times from `start` to `stop`.

        Parameters
        ----------
        start, stop : float, default=None
            In seconds, both included. None is the first or last time.

        Returns
        -------
        rdm : ndarray, DataFrame or dict
            As :meth:`at` gives it.
        """
        return self._frames(self.crop(start, stop).pairs.mean(axis=1, dtype=np.float64))

    def crop(self, start: float | None = None, stop: float | None = None) -> RDMMovie:
        """The times from `start` to `stop`.

        Parameters
        ----------
        start, stop : float, default=None
            In seconds, both included. None is the first or last time.

        Returns
        -------
        movie : RDMMovie
            Without a copy of its RDMs.
        """
        chosen = window(self.times, start, stop)
        return replace(self, pairs=self.pairs[:, chosen], times=self.times[chosen])

    def _frames(self, pairs: NDArray[Any]) -> Any:
        squares: list[Any] = [squareform(row, checks=False) for row in pairs]
        if self.conditions is not None:
            squares = [pd.DataFrame(one, self.conditions, self.conditions) for one in squares]
        return squares[0] if len(squares) == 1 else dict(zip(self.subjects, squares, strict=True))

    def _facts(self) -> dict[str, str]:
        n_subjects, n_times = self.pairs.shape[:2]
        return {
            "subjects": f"{n_subjects} subject{'s' * (n_subjects > 1)}",
            "times": f"{n_times} times ({self.times[0]:g} to {self.times[-1]:g} s)",
            "conditions": f"{self.n_conditions} conditions",
        }

    def __repr__(self) -> str:
        return f"RDMMovie: {', '.join(self._facts().values())}"

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        return card("RDMMovie", self._facts() | {"memory": in_bytes(self.pairs.nbytes)})


def first_frame(movie: RDMMovie) -> RDMStack:
    """One RDM with the movie's conditions, to put others into their order."""
    return RDMStack(movie.pairs[0, :1], movie.n_conditions, movie.conditions, single=True)


def window(times: Array, start: float | None, stop: float | None) -> slice:
    """Places of the times from `start` to `stop`, both included but for rounding."""
    reach = 1e-9 * max(1.0, float(np.abs(times).max()))
    first = 0 if start is None else int(np.searchsorted(times, start - reach))
    last = len(times) if stop is None else int(np.searchsorted(times, stop + reach))
    if first >= last:
        raise ValueError(
            f"No time lies between {start} and {stop}: there are {times[0]:g} to {times[-1]:g} s."
        )
    return slice(first, last)


def check_times(times: ArrayLike | None, n_times: int, what: str) -> Array:
    """Times in seconds, ascending; counted from 0 where there are none."""
    if times is None:
        return np.arange(n_times, dtype=np.float64)
    found = np.asarray(times, dtype=np.float64)
    if found.shape != (n_times,):
        raise ValueError(f"times has shape {found.shape}, and {what} has {n_times} times.")
    if not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise ValueError("times must ascend, without NaN: give the seconds of the movie's RDMs.")
    step = float(np.median(np.diff(found))) if n_times > 1 else 0.0
    if found[0] < 0 and step >= 1:  # a baseline, and a second between two samples
        warnings.warn(
            f"times go from {found[0]:g} to {found[-1]:g} in steps of {step:g}, and are taken as "
            "seconds: divide milliseconds by 1000.",
            UserWarning,
            stacklevel=outside(),
        )
    return found


def check_conditions(conditions: Any, n_conditions: int, what: str) -> pd.Index:
    """Labels of conditions, each once."""
    labels = pd.Index(np.asarray(conditions))
    if len(labels) != n_conditions:
        raise ValueError(
            f"conditions= has {len(labels)} labels, and {what} RDMs of {n_conditions} conditions."
        )
    check_unique(labels, "labels in conditions=")
    return labels
