"""What a test over time found: where, when, and how surely."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._html import card
from skdnn.rsa._inference._clusters import joined

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class TimeCourseTest:
    """What a test over time found.

    Attributes
    ----------
    statistic : ndarray of shape (n_layers, n_times)
        t over subjects, or the score in standard deviations of its permutations.
    p_values : ndarray of shape (n_layers, n_times)
        Corrected for all layers and times. With ``kind="cluster"`` a time has the p-value of its
        cluster, and 1 outside of clusters.
    layers : Index
        Names of the layers, or of what else was tested.
    times : ndarray of shape (n_times,)
        In seconds.
    clusters : DataFrame or None
        With ``kind="cluster"``: ``layer``, ``start`` and ``stop`` (the first and last time),
        ``mass`` (the sum of the statistic) and ``p``.
    null : ndarray of shape (n_permutations,)
        The most extreme statistic, mass or enhanced statistic anywhere, in each permutation.
    kind : {"max", "cluster", "tfce"}
        What was corrected by.
    alternative : {"greater", "less", "two-sided"}
        Side of the test.
    exact : bool
        Whether the permutations were all that there are.
    permuted : str
        What the permutations were of.

    See Also
    --------
    time_course_test : Over subjects.
    condition_test_over_time : By permutation of conditions.
    ceiling_test_over_time : Of the noise ceiling.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import time_course_test
    >>> scores = np.random.default_rng(0).normal(size=(12, 1, 50))
    >>> scores[:, :, 20:30] += 2
    >>> found = time_course_test(scores, times=np.arange(50) / 100, kind="cluster")
    >>> found.clusters[["start", "stop", "p"]].query("p < 0.05").round(4)
       start  stop       p
    0    0.2  0.29  0.0002
    """

    statistic: Array
    p_values: Array
    layers: pd.Index
    times: Array
    clusters: pd.DataFrame | None
    null: Array = field(repr=False)
    kind: str
    alternative: str
    exact: bool
    permuted: str

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer and time.

        Returns
        -------
        frame : DataFrame
            With the columns ``layer``, ``time``, ``statistic`` and ``p``.
        """
        n_layers, n_times = self.statistic.shape
        return pd.DataFrame(
            {
                "layer": self.layers.repeat(n_times),
                "time": np.tile(self.times, n_layers),
                "statistic": self.statistic.ravel(),
                "p": self.p_values.ravel(),
            }
        )

    def spans(self, alpha: float = 0.05) -> pd.DataFrame:
        """Give the runs of times below a level.

        Parameters
        ----------
        alpha : float, default=0.05
            What p-values are below.

        Returns
        -------
        spans : DataFrame
            With the columns ``layer``, ``start`` and ``stop``, the first and last time in
            seconds, and ``p``, the smallest of the span. A span of the two-sided test holds one
            sign.
        """
        sides = np.sign(self.statistic) * (self.p_values < alpha)
        found = []
        for side in (1, -1):
            same = joined(np.flatnonzero(sides == side), len(self.times))
            for first, length in zip(same.firsts, same.sizes, strict=True):
                layer, start = divmod(int(first), len(self.times))
                part = self.p_values[layer, start : start + length]
                ends = self.times[start], self.times[start + length - 1]
                found.append((layer, self.layers[layer], *ends, part.min()))
        table = pd.DataFrame(found, columns=["number", "layer", "start", "stop", "p"])
        table = table.sort_values(["number", "start"], ignore_index=True)
        return table.drop(columns="number")

    def onsets(self, alpha: float = 0.05) -> pd.Series[float]:
        """First time of each layer below a level.

        Parameters
        ----------
        alpha : float, default=0.05
            What p-values are below.

        Returns
        -------
        onsets : Series of length n_layers
            In seconds; NaN where there is none. A cluster's p-value says that there is an effect
            somewhere in it, not that it begins at its first time: take "max" or "tfce" for that.
        """
        below = self.p_values < alpha
        first = np.where(below.any(axis=1), self.times[below.argmax(axis=1)], np.nan)
        return pd.Series(first, self.layers, name="onset")

    def _facts(self) -> dict[str, object]:
        kinds = {"max": "largest statistic", "cluster": "cluster mass", "tfce": "TFCE"}
        which = "all" if self.exact else "random"
        return {
            "corrected by": kinds[self.kind],
            "permutations": f"{len(self.null):,} ({which}), of {self.permuted}",
            "alternative": self.alternative,
            "layers, times": f"{len(self.layers)}, {len(self.times)}",
        }

    def __repr__(self) -> str:
        head = ", ".join(f"{name} {value}" for name, value in self._facts().items())
        spans = self.spans()
        found = "no time below .05"
        if len(spans):
            found = spans.to_string(index=False, float_format="{:.4g}".format)
        return f"TimeCourseTest: {head}\n{found}"

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        spans = self.spans()
        facts = self._facts() | {"spans below .05": len(spans)}
        return card("TimeCourseTest", facts, spans)
