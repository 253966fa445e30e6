"""Scores of layers over time, with what is asked of them: peaks, their order, tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._html import card
from skdnn.rsa._comparison._rdm_stack import rdm_name
from skdnn.rsa._inference._p_values import check_alternative
from skdnn.rsa._inference._random_draws import check_count
from skdnn.rsa._inference._scored_models import NOT_CENTRED
from skdnn.rsa._inference._time_course_result import TimeCourseTest
from skdnn.rsa._inference._time_course_test import time_course_test
from skdnn.rsa._time._peak_latencies import (
    LatencyOrder,
    latency_order,
    peak_times,
    resampled_peaks,
)
from skdnn.rsa._time._rdm_movie import window

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class TimeResolvedRSA:
    """What :func:`time_resolved_rsa` found.

    Attributes
    ----------
    scores : ndarray of shape (n_subjects, n_layers, n_times)
        Similarities, partial correlations, or coefficients of a regression.
    ceilings : ndarray of shape (n_times, 2) or None
        Lower and upper noise ceiling of the similarity; None with one subject.
    layers : Index
        Names of the layers, or their positions.
    times : ndarray of shape (n_times,)
        In seconds.
    subjects : Index
        Names of the subjects, or their positions.
    comparison : str
        How RDMs were compared.
    kind : {"similarity", "partial", "regression"}
        What scores are.
    held_constant : list of str or None
        For "partial": the names of what was.
    r2 : ndarray of shape (n_subjects, n_times) or None
        For "regression": the share of the variance over pairs that all layers explain together.
    unique : ndarray of shape (n_subjects, n_layers, n_times) or None
        By how much it falls without the layer.

    See Also
    --------
    time_resolved_rsa : Makes it.
    skdnn.plotting.TimeCourseDisplay : Draws it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import time_resolved_rsa
    >>> rng = np.random.default_rng(1)
    >>> layers = {"conv1": rng.random(190), "fc8": rng.random(190)}  # RDMs of 20 conditions
    >>> times = np.arange(-10, 40) / 100
    >>> course = np.exp(-(((times - 0.1) / 0.05) ** 2))[:, None]
    >>> subjects = {f"sub-{k}": course * layers["fc8"] + rng.random((50, 190)) for k in range(8)}
    >>> result = time_resolved_rsa(layers, subjects, times=times)
    >>> result.test().spans().round(3)
      layer  start  stop      p
    0   fc8   0.03  0.16  0.004
    >>> result.peaks(random_state=0).round(2)
       layer  latency   low  high  score
    0  conv1     0.07 -0.04  0.30   0.06
    1    fc8     0.10  0.09  0.11   0.70
    """

    scores: Array
    ceilings: Array | None
    layers: pd.Index
    times: Array
    subjects: pd.Index
    comparison: str
    kind: str = "similarity"
    held_constant: list[str] | None = None
    r2: Array | None = field(default=None, repr=False)
    unique: Array | None = field(default=None, repr=False)

    @property
    def mean(self) -> pd.DataFrame:
        """Mean scores over subjects, a row for each layer and a column for each time."""
        return pd.DataFrame(self.scores.mean(axis=0), self._names(), self._time_index())

    def to_frame(self) -> pd.DataFrame:
        """Scores, one row for each subject, layer and time.

        Returns
        -------
        frame : DataFrame
            With the columns ``subject``, ``time``, ``layer`` and ``score``; of a regression also
            ``unique`` and ``r2``.
        """
        n_subjects, n_layers, n_times = self.scores.shape
        columns = {
            "subject": self.subjects.repeat(n_layers * n_times),
            "time": np.tile(self.times, n_subjects * n_layers),
            "layer": np.tile(np.repeat(self._names(), n_times), n_subjects),
            "score": self.scores.ravel(),
        }
        if self.unique is not None and self.r2 is not None:
            columns["unique"] = self.unique.ravel()
            columns["r2"] = np.repeat(self.r2[:, None], n_layers, axis=1).ravel()
        return pd.DataFrame(columns)

    def ceiling(self) -> pd.DataFrame:
        """Noise ceilings, a row for each time.

        Returns
        -------
        frame : DataFrame
            Indexed by time, with the columns ``lower`` and ``upper``.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.ceilings is None:
            raise ValueError("There is no noise ceiling: it needs two or more subjects.")
        return pd.DataFrame(self.ceilings, self._time_index(), ["lower", "upper"])

    def peaks(
        self,
        start: float | None = None,
        stop: float | None = None,
        *,
        level: float = 0.95,
        n_boot: int = 5000,
        random_state: Any = None,
    ) -> pd.DataFrame:
        """When the mean score over subjects is highest.

        Parameters
        ----------
        start, stop : float, default=None
            Between which times to look, in seconds, both included.
        level : float, default=0.95
            Level of the intervals.
        n_boot : int, default=5000
            Number of bootstrap samples of the subjects.
        random_state : int, RandomState or None, default=None
            Where the samples come from.

        Returns
        -------
        frame : DataFrame
            With the columns ``layer``, ``latency`` (seconds), ``low`` and ``high`` (percentiles
            of the latencies in bootstrap samples; NaN with one subject) and ``score``, the mean
            score at the peak. A layer without an effect has a peak too, anywhere: a wide interval
            says so.
        """
        scores, times = self._window(start, stop)
        self._check_bootstrap(level, n_boot)
        mean = scores.mean(axis=0)
        low = high = np.full(len(self.layers), np.nan)
        if len(scores) > 1:
            samples = resampled_peaks(scores, times, n_boot, random_state)
            low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return pd.DataFrame(
            {
                "layer": self._names(),
                "latency": peak_times(mean, times),
                "low": low,
                "high": high,
                "score": mean.max(axis=1),
            }
        )

    def latency_order(
        self,
        start: float | None = None,
        stop: float | None = None,
        *,
        layers: Sequence[Any] | None = None,
        level: float = 0.95,
        n_boot: int = 5000,
        alternative: str = "greater",
        random_state: Any = None,
    ) -> LatencyOrder:
        """Test whether peak latencies follow the order of the layers.

        Parameters
        ----------
        start, stop : float, default=None
            Between which times to look for peaks, in seconds, both included.
        layers : sequence, default=None
            Names of the layers in the order that is to be shown. None takes all, as they are.
        level : float, default=0.95
            Level of the interval.
        n_boot : int, default=5000
            Number of bootstrap samples of the subjects.
        alternative : {"greater", "less", "two-sided"}, default="greater"
            "greater": later layers peak later.
        random_state : int, RandomState or None, default=None
            Where samples and signs come from.

        Returns
        -------
        order : LatencyOrder
            The rank correlation of order and latency, its interval over subjects, and the p-value
            of the mean over subjects of the correlations with their own latencies.

        Raises
        ------
        ValueError
            If there are fewer than two subjects or three layers, or scores are NaN.
        """
        check_alternative(alternative)
        self._check_bootstrap(level, n_boot)
        scores, times = self._window(start, stop)
        places = [self._place(layer) for layer in layers] if layers is not None else slice(None)
        return latency_order(scores[:, places], times, level, n_boot, alternative, random_state)

    def test(
        self,
        kind: str = "max",
        *,
        pairs: Sequence[tuple[Any, Any]] | None = None,
        start: float | None = None,
        stop: float | None = None,
        alternative: str = "greater",
        cluster_alpha: float = 0.05,
        tfce_step: float = 0.2,
        n_permutations: int = 10_000,
        random_state: Any = None,
    ) -> TimeCourseTest:
        """Test over subjects where scores, or differences of layers, are above zero.

        Parameters
        ----------
        kind : {"max", "cluster", "tfce"}, default="max"
            How p-values are corrected for all layers and times, see :func:`time_course_test`.
        pairs : sequence of pairs of layers, default=None
            Test the first layer's scores less those of the second, for each of these pairs.
        start, stop : float, default=None
            The times to test, in seconds, both included.
        alternative : {"greater", "less", "two-sided"}, default="greater"
            What is to be shown about the mean over subjects.
        cluster_alpha, tfce_step : float, default=0.05 and 0.2
            See :func:`time_course_test`.
        n_permutations : int, default=10_000
            Number of random sets of signs; all of them where there are no more.
        random_state : int, RandomState or None, default=None
            Where the signs come from.

        Returns
        -------
        test : TimeCourseTest
            Statistics and p-values by layer (or pair) and time.

        Raises
        ------
        ValueError
            If there is one subject only, a score is NaN, or scores are not zero by chance, as
            those of the cosines and Bures' similarity.
        """
        if len(self.scores) < 2:
            raise ValueError(
                "There is one subject, and this test is over subjects: condition_test_over_time "
                "permutes the conditions of one."
            )
        scores, times = self._window(start, stop)
        names = list(self._names())
        if pairs is not None:
            if any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
                raise ValueError(
                    f"pairs={pairs!r}: give a list of pairs of layers, such as "
                    f"[({names[0]!r}, {names[-1]!r})]."
                )
            sides = [(self._place(a), self._place(b)) for a, b in pairs]
            scores = np.stack([scores[:, a] - scores[:, b] for a, b in sides], axis=1)
            names = [f"{names[a]} - {names[b]}" for a, b in sides]
        elif self.comparison in NOT_CENTRED:
            raise ValueError(
                f"A {self.comparison} similarity is far above zero by chance, so a test against "
                "zero says nothing: test pairs=, take condition_test_over_time, or a centred "
                "comparison such as 'spearman' or 'corr_cov'."
            )
        return time_course_test(
            scores, times=times, layers=names, kind=kind, alternative=alternative,
            cluster_alpha=cluster_alpha, tfce_step=tfce_step, n_permutations=n_permutations,
            random_state=random_state,
        )  # fmt: skip

    def _window(self, start: float | None, stop: float | None) -> tuple[Array, Array]:
        chosen = window(self.times, start, stop)
        return self.scores[..., chosen], self.times[chosen]

    def _check_bootstrap(self, level: float, n_boot: int) -> None:
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level!r}.")
        check_count(n_boot, "n_boot", 1)

    def _place(self, layer: Any) -> int:
        names = list(self._names())
        if layer not in names:
            raise ValueError(f"{layer!r} is no layer of this result: they are {names}.")
        return names.index(layer)

    def _names(self) -> pd.Index:
        named = [rdm_name(name) if isinstance(name, tuple) else name for name in self.layers]
        return pd.Index(named, name="layer")

    def _time_index(self) -> pd.Index:
        return pd.Index(self.times, name="time")

    def _facts(self) -> dict[str, Any]:
        span = f"{len(self.times)} ({self.times[0]:g} to {self.times[-1]:g} s)"
        facts: dict[str, Any] = {
            "compared by": self.comparison,
            "scores": {
                "similarity": "similarities",
                "partial": "partial correlations",
                "regression": "standardized coefficients",
            }[self.kind],
            "held constant": self.held_constant,
            "subjects": len(self.subjects),
            "times": span,
        }
        if self.ceilings is not None and not np.isnan(self.ceilings).all():
            best = int(np.nanargmax(self.ceilings[:, 0]))
            low, high = self.ceilings[best]
            facts["highest noise ceiling"] = f"{low:.3f} to {high:.3f} at {self.times[best]:g} s"
        return facts

    def _summary(self) -> pd.DataFrame:
        mean = self.scores.mean(axis=0)
        return pd.DataFrame(
            {
                "layer": self._names(),
                "peak latency": peak_times(mean, self.times),
                "peak score": mean.max(axis=1),
            }
        )

    def __repr__(self) -> str:
        facts = {name: value for name, value in self._facts().items() if value is not None}
        head = ", ".join(f"{name} {value}" for name, value in facts.items())
        table = self._summary().to_string(index=False, float_format="{:.4g}".format)
        return f"TimeResolvedRSA: {head}\n{table}"

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        return card("TimeResolvedRSA", self._facts(), self._summary())
