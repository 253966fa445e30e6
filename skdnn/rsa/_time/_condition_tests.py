"""Tests over time by permutation of conditions: of one subject's layers, of the noise ceiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from skdnn._docs import filled
from skdnn._wording import listed
from skdnn.rsa._comparison._rdm_stack import pair_positions, rdm_name
from skdnn.rsa._comparison._similarity_measures import PairSpace, check_comparison, prepare
from skdnn.rsa._inference._clusters import enhanced, largest_masses
from skdnn.rsa._inference._p_values import SIDES, check_alternative
from skdnn.rsa._inference._random_draws import batches, check_count
from skdnn.rsa._inference._time_course_result import TimeCourseTest
from skdnn.rsa._inference._time_course_test import check_kind, corrected
from skdnn.rsa._time._rdm_movie import RDMMovie
from skdnn.rsa._time._read_movie import read_movie
from skdnn.rsa._time._scores_over_time import ONE_BY_ONE, flat_or_unknown
from skdnn.rsa._time._time_resolved_rsa import layers_and_movie

Array = NDArray[np.float64]

# Permuted values held at a time.
_BLOCK = 2**20


@filled
def condition_test_over_time(
    layers: Any,
    movie: Any,
    comparison: str = "spearman",
    *,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
    kind: str = "cluster",
    alternative: str = "greater",
    cluster_alpha: float = 0.05,
    tfce_step: float = 0.2,
    n_permutations: int = 1000,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> TimeCourseTest:
    r"""Test when layers are related to the RDMs of one subject, by permuting conditions.

    Parameters
    ----------
    layers : array-like, DataFrame, dict or list
        One RDM or several, in any form that :func:`compare_rdms` takes.
    movie : RDMMovie, array-like, DataFrame or dict
        RDMs over time, in any form that :func:`read_rdm_movie` takes. Of several subjects the
        mean score is tested: the subjects are taken as they are.
    comparison : str, default="spearman"
        See :func:`compare_rdms`; all but Kendall's and Bures'.
    times : array-like of shape (n_times,), default=None
        In seconds. None takes those of `movie`, or counts from 0 on.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s
    kind : {"cluster", "max", "tfce"}, default="cluster"
        How p-values are corrected for all layers and times, see :func:`time_course_test`.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What is to be shown about the score.
    cluster_alpha : float, default=0.05
        The p-value of a single normal deviate at the threshold of clusters (one half at each side
        for "two-sided").
    tfce_step : float, default=0.2
        Between the thresholds of ``"tfce"``, in standard deviations.
    n_permutations : int, default=1000
        Number of random permutations.
    random_state : int, RandomState or None, default=None
        Where the permutations come from.
    n_jobs : int or None, default=None
        Number of threads; the result does not depend on it.

    Returns
    -------
    test : TimeCourseTest
        Its statistic is the score less the mean of its permutations, over their standard
        deviation, at each layer and time.

    Raises
    ------
    ValueError
        If RDMs don't fit, hold NaN or are constant (the layer or time is named), or a parameter
        is not known.

    See Also
    --------
    time_course_test : Over subjects, which generalises to others.
    permutation_test : The same without time.

    Notes
    -----
    The conditions of all times are permuted alike (Mantel's test), so that what neighbouring
    times share is kept. Scores are standardised with the mean and spread that all permutations,
    the observed one among them, have at that layer and time.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import condition_test_over_time
    >>> rng = np.random.default_rng(0)
    >>> layers = {"conv1": rng.random(190), "fc8": rng.random(190)}  # RDMs of 20 conditions
    >>> times = np.arange(-10, 40) / 100
    >>> course = np.exp(-(((times - 0.1) / 0.05) ** 2))[:, None]
    >>> movie = course * layers["fc8"] + rng.random((50, 190))
    >>> found = condition_test_over_time(layers, movie, times=times, n_permutations=199,
    ...                                  random_state=0)
    >>> found.spans()[["layer", "p"]]
      layer      p
    0   fc8  0.005
    """
    stack, data, comparison = layers_and_movie(layers, movie, comparison, times, conditions)
    _check_test(kind, alternative, cluster_alpha, tfce_step, comparison)
    n_permutations = check_count(n_permutations, "n_permutations", 1)
    labels = stack.labels("layers")
    flat = flat_or_unknown(stack.pairs, comparison)
    if flat.any():
        wrong = listed([labels[k] for k in np.flatnonzero(flat)], show=str)
        raise ValueError(f"{wrong}: an RDM that is constant or holds NaN can't be tested.")
    n, space = stack.n_conditions, PairSpace(stack.n_conditions)
    models = prepare(stack.pairs, space, comparison)[0]
    target = np.zeros(data.pairs.shape[1:])
    for number in range(len(data.pairs)):
        target += _prepared(data, number, comparison)[1]
    target = np.ascontiguousarray(target.T) / len(data.pairs)
    step = max(1, _BLOCK // models.size)

    def scores(orders: NDArray[np.intp]) -> Array:
        found = []
        for start in range(0, len(orders), step):
            part = orders[start : start + step]
            permuted = np.concatenate([models[:, pair_positions(order, n)] for order in part])
            found.append((permuted @ target).reshape(len(part), -1))
        return np.concatenate(found)

    def draw(rng: np.random.Generator, count: int) -> Array:
        return scores(rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1))

    calls = (delayed(draw)(*batch) for batch in batches(random_state, n_permutations))
    maps = np.concatenate(
        [scores(np.arange(n)[None]), *Parallel(n_jobs=n_jobs, prefer="threads")(calls)]
    )
    names = pd.RangeIndex(len(stack)) if stack.names is None else stack.names
    return _test_of_maps(
        maps, pd.Index([rdm_name(x) if isinstance(x, tuple) else x for x in names]), data.times,
        kind, alternative, cluster_alpha, tfce_step, "conditions",
    )  # fmt: skip


@filled
def ceiling_test_over_time(
    movie: Any,
    comparison: str = "spearman",
    *,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
    kind: str = "max",
    cluster_alpha: float = 0.05,
    tfce_step: float = 0.2,
    n_permutations: int = 1000,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> TimeCourseTest:
    """Test when the noise ceiling is above chance: whether subjects share anything at all.

    Parameters
    ----------
    movie : RDMMovie, array-like, DataFrame or dict
        RDMs over time of two subjects or more, in any form that :func:`read_rdm_movie` takes.
    comparison : str, default="spearman"
        See :func:`compare_rdms`; all but Kendall's and Bures'.
    times : array-like of shape (n_times,), default=None
        In seconds. None takes those of `movie`, or counts from 0 on.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s
    kind : {"max", "cluster", "tfce"}, default="max"
        How p-values are corrected for all times, see :func:`time_course_test`.
    cluster_alpha, tfce_step : float, default=0.05 and 0.2
        See :func:`condition_test_over_time`.
    n_permutations : int, default=1000
        Number of random permutations.
    random_state : int, RandomState or None, default=None
        Where the permutations come from.
    n_jobs : int or None, default=None
        Number of threads; the result does not depend on it.

    Returns
    -------
    test : TimeCourseTest
        Of one row, "noise ceiling". Its statistic is the lower ceiling in standard deviations of
        its permutations.

    Raises
    ------
    ValueError
        If there is one subject only, RDMs hold NaN or are constant, or a parameter is not known.

    See Also
    --------
    noise_ceiling : The ceiling itself.
    condition_test_over_time : Of layers.

    Notes
    -----
    The conditions of each subject are permuted by themselves, all times alike, which leaves
    nothing in common. Subjects' similarities to the others' pool depend on each other, so that
    signs of subjects could not be exchanged. For ranks the pool is not ranked anew.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import ceiling_test_over_time
    >>> rng = np.random.default_rng(0)
    >>> times = np.arange(-10, 20) / 100
    >>> course = (times > 0.045)[:, None] * rng.random(190)  # RDMs of 20 conditions
    >>> subjects = course + rng.random((5, 30, 190))
    >>> found = ceiling_test_over_time(subjects, times=times, n_permutations=199, random_state=0)
    >>> float(found.onsets()["noise ceiling"])
    0.05
    """
    comparison = check_comparison(comparison)
    _check_test(kind, "greater", cluster_alpha, tfce_step, comparison)
    n_permutations = check_count(n_permutations, "n_permutations", 1)
    data = read_movie(movie, "movie", times, conditions)
    if len(data.pairs) < 2:
        raise ValueError("A noise ceiling needs two subjects or more, and movie holds one.")
    both = [_prepared(data, number, comparison) for number in range(len(data.pairs))]
    first = np.stack([one[0] for one in both])
    second = first if both[0][0] is both[0][1] else np.stack([one[1] for one in both])
    n, n_subjects = data.n_conditions, len(data.pairs)

    def draw(rng: np.random.Generator, count: int) -> Array:
        orders = [[rng.permutation(n) for _ in range(n_subjects)] for _ in range(count)]
        return np.stack(
            [_lower_ceilings(first, second, [pair_positions(o, n) for o in one]) for one in orders]
        )

    calls = (delayed(draw)(*batch) for batch in batches(random_state, n_permutations))
    everyone = [np.arange(first.shape[2])] * n_subjects
    maps = np.concatenate(
        [
            _lower_ceilings(first, second, everyone)[None],
            *Parallel(n_jobs=n_jobs, prefer="threads")(calls),
        ]
    )
    return _test_of_maps(
        maps, pd.Index(["noise ceiling"]), data.times, kind, "greater", cluster_alpha, tfce_step,
        "each subject's conditions",
    )  # fmt: skip


def _lower_ceilings(first: Array, second: Array, places: list[NDArray[np.intp]]) -> Array:
    """Mean over subjects of the similarity to the others' pool, at each time.

    With prepared RDMs x and their sum s, that is (x's - x'x) / |s - x|; x'x is one but for ranks
    with ties.
    """
    n_subjects, n_times, n_pairs = first.shape
    step = max(1, _BLOCK // 4 // (n_subjects * n_pairs))
    out = np.empty(n_times)
    for start in range(0, n_times, step):
        part = slice(start, start + step)
        own = np.stack([rows[part][:, p] for rows, p in zip(first, places, strict=True)])
        other = own
        if second is not first:
            other = np.stack([rows[part][:, p] for rows, p in zip(second, places, strict=True)])
        total = own.sum(axis=0)
        to_all = np.einsum("tp,itp->it", total, other)
        size = np.einsum("itp,itp->it", own, other)
        norm = to_all.sum(axis=0)
        rest = np.sqrt(np.maximum(norm - 2 * to_all + size, np.finfo(float).tiny))
        out[part] = ((to_all - size) / rest).mean(axis=0)
    return out


def _check_test(
    kind: str, alternative: str, cluster_alpha: float, tfce_step: float, comparison: str
) -> None:
    check_kind(kind, cluster_alpha, tfce_step)
    check_alternative(alternative)
    if comparison in ONE_BY_ONE:
        raise ValueError(
            f"comparison={comparison!r} has no form in which thousands of permutations are one "
            "product: take 'spearman', 'rho-a' or another of compare_rdms."
        )


def _prepared(data: RDMMovie, number: int, comparison: str) -> tuple[Array, Array]:
    """One subject's frames in both forms of `prepare`."""
    pairs = data.pairs[number].astype(np.float64)
    odd = flat_or_unknown(pairs, comparison)
    if odd.any():
        seconds = listed(data.times[odd].tolist(), show=lambda t: f"{t:g}")
        raise ValueError(
            f"The RDMs of subject {data.subjects[number]!r} at {seconds} s are constant or hold "
            "NaN: crop the movie, or leave the conditions out."
        )
    return prepare(pairs, PairSpace(data.n_conditions), comparison)


def _test_of_maps(
    maps: Array,
    names: pd.Index,
    times: Array,
    kind: str,
    alternative: str,
    cluster_alpha: float,
    step: float,
    permuted: str,
) -> TimeCourseTest:
    """Test the first of `maps` (1 + n_permutations, n_layers * n_times) against the others."""
    spread = maps.std(axis=0, ddof=1)
    maps = (maps - maps.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    n_times = len(times)
    threshold = stats.norm.isf(cluster_alpha / (1 + (alternative == "two-sided")))
    largest: dict[str, Callable[[Array], Array]] = {
        "max": lambda sided: sided.max(axis=1),
        "cluster": lambda sided: largest_masses(sided, n_times, threshold),
        "tfce": lambda sided: enhanced(sided, n_times, step).max(axis=1),
    }
    sides = SIDES[alternative]
    null = np.sort(np.max([largest[kind](side * maps[1:]) for side in sides], axis=0))
    statistic = maps[0].reshape(len(names), n_times)
    names = names.rename("layer")
    p, clusters = corrected(
        statistic, null, names, times, kind=kind, alternative=alternative, threshold=threshold,
        step=step, exact=False,
    )  # fmt: skip
    return TimeCourseTest(
        statistic, p, names, times, clusters, null, kind, alternative, False, permuted
    )
