"""When scores are highest: latencies, their intervals over subjects, and their order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from skdnn.rsa._inference._random_draws import batches
from skdnn.rsa._inference._sign_flips import sign_flip_test

Array = NDArray[np.float64]


class LatencyOrder(NamedTuple):
    """Whether latencies rise from layer to layer: a named tuple.

    Parameters
    ----------
    correlation : float
        Spearman's correlation of the layers' order with the peak latencies of the mean over
        subjects.
    low, high : float
        Its bootstrap interval over subjects.
    mean : float
        Mean over subjects of the same correlation with the subject's own latencies.
    p : float
        Of a mean of zero, by random signs of the subjects' correlations.
    subjects : ndarray of shape (n_subjects,)
        The correlation of each subject.

    See Also
    --------
    TimeResolvedRSA : Gives it by ``latency_order()``.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import time_resolved_rsa
    >>> rng = np.random.default_rng(0)
    >>> layers = {name: rng.random(190) for name in ("conv1", "conv3", "fc8")}
    >>> times = np.arange(40) / 100
    >>> peaks = {"conv1": 0.1, "conv3": 0.15, "fc8": 0.2}
    >>> movie = sum(np.exp(-(((times[:, None] - peaks[k]) / 0.05) ** 2)) * layers[k]
    ...             for k in layers) + rng.random((9, 40, 190))
    >>> order = time_resolved_rsa(layers, movie, times=times).latency_order(random_state=0)
    >>> round(order.correlation, 2), order.p < 0.01
    (1.0, True)
    """

    correlation: float
    low: float
    high: float
    mean: float
    p: float
    subjects: Array


def peak_times(courses: Array, times: Array) -> Array:
    """Time of the largest value along the last axis; NaN where one is NaN."""
    known = ~np.isnan(courses).any(axis=-1)
    return np.where(known, times[np.where(np.isnan(courses), -np.inf, courses).argmax(-1)], np.nan)


def resampled_peaks(scores: Array, times: Array, n_boot: int, random_state: Any) -> Array:
    """Peak times (n_boot, n_layers) of means over subjects that are drawn with replacement."""
    n_subjects, n_layers, n_times = scores.shape
    flat = scores.reshape(n_subjects, -1)
    found = []
    for rng, count in batches(random_state, n_boot):
        drawn = rng.integers(0, n_subjects, size=(count, n_subjects))
        counts = np.zeros((count, n_subjects))
        np.add.at(counts, (np.arange(count)[:, None], drawn), 1)
        found.append(peak_times((counts @ flat).reshape(count, n_layers, n_times), times))
    return np.concatenate(found)


def latency_order(
    scores: Array, times: Array, level: float, n_boot: int, alternative: str, random_state: Any
) -> LatencyOrder:
    """Test whether latencies follow the order of the layers."""
    if len(scores) < 2:
        raise ValueError("The order of latencies is tested over subjects: two or more are needed.")
    if scores.shape[1] < 3:
        raise ValueError("The order of latencies needs three layers or more.")
    unknown = int(np.isnan(scores).any(axis=(1, 2)).sum())
    if unknown:
        raise ValueError(
            f"Scores of {unknown} of {len(scores)} subjects are NaN at some of these times, where "
            "no peak can be told: leave these subjects out, or choose start= and stop=."
        )
    group = float(_order(peak_times(scores.mean(axis=0), times)[None])[0])
    samples = _order(resampled_peaks(scores, times, n_boot, random_state))
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    own = _order(peak_times(scores, times))
    p = np.nan
    if np.ptp(own) > 0:
        test = sign_flip_test(own[:, None], alternative=alternative, random_state=random_state)
        p = float(test.p[0])
    elif own[0] != 0:  # all alike: only the observed signs are as extreme
        p = 2.0 ** -(len(own) - (alternative == "two-sided"))
        p = p if alternative == "two-sided" or (own[0] > 0) == (alternative == "greater") else 1.0
    else:
        p = 1.0
    return LatencyOrder(group, float(low), float(high), float(own.mean()), p, own)


def _order(latencies: Array) -> Array:
    """Spearman's correlation of each row with 0, 1, 2, ...; 0 where all latencies are equal."""
    ranks = rankdata(latencies, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    order = np.arange(latencies.shape[1]) - (latencies.shape[1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=1) * (order**2).sum())
    return np.divide(ranks @ order, norm, out=np.zeros(len(ranks)), where=norm > 0)
