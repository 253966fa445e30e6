"""Tests of time courses over subjects, corrected for all times and layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from skdnn.rsa._inference._clusters import clusters_of, enhanced
from skdnn.rsa._inference._flipped_clusters import largest_of_clusters, null_of_sides
from skdnn.rsa._inference._p_values import SIDES, check_alternative
from skdnn.rsa._inference._random_draws import check_count
from skdnn.rsa._inference._sign_flips import (
    flip_signs,
    largest_t,
    p_by_maximum,
    refuse_undefined,
    scale_columns,
    t_of_sums,
)
from skdnn.rsa._inference._time_course_result import TimeCourseTest

Array = NDArray[np.float64]

KINDS = ("max", "cluster", "tfce")
# Values of maps that are worked on at a time: they should stay in the processor's cache.
_BLOCK = 2**18


def time_course_test(
    scores: ArrayLike,
    *,
    times: ArrayLike | None = None,
    layers: ArrayLike | None = None,
    kind: str = "max",
    alternative: str = "greater",
    cluster_alpha: float = 0.05,
    tfce_step: float = 0.2,
    n_permutations: int = 10_000,
    random_state: Any = None,
) -> TimeCourseTest:
    r"""Test over subjects whether time courses are zero, corrected for all times and layers.

    Parameters
    ----------
    scores : array-like of shape (n_subjects, n_layers, n_times) or (n_subjects, n_times)
        What is zero by chance: correlations, partial correlations, coefficients, or differences
        of two layers' scores.
    times : array-like of shape (n_times,), default=None
        In seconds. None counts them from 0 on.
    layers : array-like of shape (n_layers,), default=None
        Names. None counts them from 0 on.
    kind : {"max", "cluster", "tfce"}, default="max"
        How p-values are corrected, by what is the largest anywhere:

        - ``"max"``: t itself. Each time stands for itself, so onsets can be told;
        - ``"cluster"``: the sum of t over neighbouring times of a layer where t is above a
          threshold. More power for long effects; what is shown is that there is an effect
          somewhere in the cluster, not when it begins;
        - ``"tfce"``: t enhanced by the length of such runs over all thresholds.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What is to be shown about the mean over subjects.
    cluster_alpha : float, default=0.05
        The p-value of a single t at the threshold of clusters (one half at each side for
        "two-sided").
    tfce_step : float, default=0.2
        Between the thresholds of ``"tfce"``, in units of t.
    n_permutations : int, default=10_000
        Number of random sets of signs of the subjects; all of them where there are no more (14
        subjects have 8192, opposite ones counted once).
    random_state : int, RandomState or None, default=None
        Where the signs come from.

    Returns
    -------
    test : TimeCourseTest
        Statistics and p-values by layer and time, spans and onsets.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, times don't ascend, a parameter is not known, or a
        score is NaN or the same in all subjects: the layer and time are named.

    See Also
    --------
    time_resolved_rsa : The scores.
    condition_test_over_time : For a single subject.
    random_effects_test : The same without time.

    Notes
    -----
    Subjects are the random factor: what is tested is the mean in their population, for these
    conditions. It supposes that a subject's scores are symmetric about zero where there is no
    effect. A subject has one sign for all layers and times, so whatever these share, such as the
    smoothness in time, is kept (Nichols & Holmes, 2002).

    Neighbours are times of the same layer: layers never join a cluster. mne's functions take a
    map (times, layers) for a lattice unless an adjacency says otherwise. Sets of signs,
    statistics, masses and enhanced statistics are those of ``mne.stats`` (with ``threshold=
    dict(start=0, step=tfce_step)`` for "tfce"); its ``permutation_t_test`` compares a one-sided
    t with the two-sided null, and is more careful than it need be.

    References
    ----------
    Maris, E., & Oostenveld, R. (2007). Nonparametric statistical testing of EEG- and MEG-data.
    Journal of Neuroscience Methods, 164(1), 177-190.

    Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional
    neuroimaging: A primer with examples. Human Brain Mapping, 15(1), 1-25.

    Sassenhagen, J., & Draschkow, D. (2019). Cluster-based permutation tests of MEG/EEG data do
    not establish significance of effect latency or location. Psychophysiology, 56(6), e13335.

    Smith, S. M., & Nichols, T. E. (2009). Threshold-free cluster enhancement: Addressing problems
    of smoothing, threshold dependence and localisation in cluster inference. NeuroImage, 44(1),
    83-98.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import time_course_test
    >>> scores = np.random.default_rng(0).normal(size=(12, 2, 50))
    >>> scores[:, 1, 20:30] += 2
    >>> found = time_course_test(scores, times=np.arange(50) / 100, layers=["conv1", "fc"])
    >>> found.onsets()
    layer
    conv1    NaN
    fc       0.2
    Name: onset, dtype: float64
    """
    check_kind(kind, cluster_alpha, tfce_step)
    check_alternative(alternative)
    n_permutations = check_count(n_permutations, "n_permutations", 1)
    values, names, seconds = read_courses(scores, times, layers)
    n_subjects, n_layers, n_times = values.shape
    columns = values.reshape(n_subjects, -1)
    refuse_undefined(
        columns, lambda place: f"{names[place // n_times]!r}, {seconds[place % n_times]:g} s"
    )
    scaled, groups = scale_columns(columns)
    t = t_of_sums(scaled.sum(axis=0), groups.n).reshape(n_layers, n_times)
    signs = flip_signs(n_subjects, n_permutations, random_state)
    threshold = stats.t.isf(cluster_alpha / (1 + (alternative == "two-sided")), n_subjects - 1)
    if kind == "max":
        null = largest_t(scaled, groups, signs, alternative)
    else:
        found = largest_of_clusters(
            scaled, groups.n, signs, n_times, kind, alternative, threshold, tfce_step, _BLOCK
        )
        null = null_of_sides(found, alternative)
    p, clusters = corrected(
        t, null, names, seconds, kind=kind, alternative=alternative, threshold=threshold,
        step=tfce_step, exact=signs.exact,
    )  # fmt: skip
    return TimeCourseTest(t, p, names, seconds, clusters, null, kind, alternative, signs.exact,
                          "signs of subjects")  # fmt: skip


def check_kind(kind: str, cluster_alpha: float, tfce_step: float) -> None:
    """Raise ValueError for parameters of a test over time that have no meaning."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not known: choose one of {', '.join(KINDS)}.")
    if not 0 < cluster_alpha < 0.5:
        raise ValueError(f"cluster_alpha must be above 0 and below 0.5, got {cluster_alpha!r}.")
    if not tfce_step > 0:
        raise ValueError(f"tfce_step must be positive, got {tfce_step!r}.")


def read_courses(scores: Any, times: Any, layers: Any) -> tuple[Array, pd.Index, Array]:
    """Scores (n_subjects, n_layers, n_times), names of layers, times."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim == 2:
        values = values[:, None]
    if values.ndim != 3 or len(values) < 2 or values.size == 0:
        raise ValueError(
            f"scores has shape {np.shape(scores)}: (n_subjects, n_layers, n_times) with two or "
            "more subjects is needed."
        )
    _, n_layers, n_times = values.shape
    names = pd.RangeIndex(n_layers) if layers is None else pd.Index(list(layers))
    seconds = np.asarray(range(n_times) if times is None else times, dtype=np.float64)
    if len(names) != n_layers or seconds.shape != (n_times,):
        raise ValueError(
            f"scores has {n_layers} layers and {n_times} times, but there are {len(names)} names "
            f"in layers and {seconds.size} in times."
        )
    if not (np.diff(seconds) > 0).all() or not np.isfinite(seconds).all():
        raise ValueError("times must ascend, without NaN: sort times and scores together.")
    return values, names.rename("layer"), seconds


def corrected(
    statistic: Array,
    null: Array,
    layers: pd.Index,
    times: Array,
    *,
    kind: str,
    alternative: str,
    threshold: float,
    step: float,
    exact: bool,
) -> tuple[Array, pd.DataFrame | None]:
    """p-values of a map by the null of its most extreme values, and its clusters."""
    n_times = len(times)
    sides = SIDES[alternative]
    if kind == "max":
        own = np.abs(statistic) if len(sides) == 2 else statistic * sides[0]
        return p_by_maximum(null, own, "greater", exact), None
    if kind == "tfce":
        flat = statistic.reshape(1, -1)
        own = np.max([enhanced(side * flat, n_times, step)[0] for side in sides], axis=0)
        return p_by_maximum(null, own.reshape(statistic.shape), "greater", exact), None
    p, found = np.ones(statistic.size), []
    for side in sides:
        clusters, masses = clusters_of(side * statistic, n_times, threshold)
        p[clusters.places] = p_by_maximum(null, masses, "greater", exact)[clusters.numbers]
        for first, length, mass in zip(clusters.firsts, clusters.sizes, masses, strict=True):
            layer, start = divmod(int(first), n_times)
            ends = times[start], times[start + length - 1]
            found.append((layer, layers[layer], *ends, side * mass, p[first]))
    table = pd.DataFrame(found, columns=["number", "layer", "start", "stop", "mass", "p"])
    table = table.sort_values(["number", "start"], ignore_index=True).drop(columns="number")
    return p.reshape(statistic.shape), table
