"""RDMs over time, of epochs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn.rsa._dissimilarity._compute_rdm import check_metric
from skdnn.rsa._dissimilarity._crossnobis import (
    fold_precisions,
    precision_of_mean_covariance,
)
from skdnn.rsa._dissimilarity._noise_precision import check_precision
from skdnn.rsa._dissimilarity._patterns import averaging, encode
from skdnn.rsa._time._epochs import EpochData, check_length, read_epochs
from skdnn.rsa._time._frame_distances import (
    ANGULAR,
    SQUARED,
    careful_rdm,
    condensed_by_products,
    condensed_one_by_one,
    cross_validated,
    leave_one_out,
    pairs_of_folds,
    root_of,
    whiten,
)
from skdnn.rsa._time._rdm_movie import RDMMovie
from skdnn.rsa._time._windows import Windows, sliding

Array = NDArray[np.float64]
Distances = Callable[[Array, slice], Array]

# Values of patterns that are turned and worked on at a time.
_BLOCK = 2**21

# Scales of types of channels that differ by no more than this are taken together as they are.
_ALIKE = 3.0


def compute_rdm_movie(
    epochs: Any,
    metric: str = "correlation",
    *,
    conditions: ArrayLike | str | None = None,
    times: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    noise_precision: Any = None,
    window: float | None = None,
    step: float | None = None,
    pool: str = "mean",
    start: float | None = None,
    stop: float | None = None,
    subject: Any = None,
) -> RDMMovie:
    r"""RDM of the patterns of conditions over channels, at each time of epochs.

    Parameters
    ----------
    epochs : array-like of shape (n_trials, n_channels, n_times) or mne.Epochs
        One trial per row, of any real dtype. Of MNE's epochs the data channels that are not marked
        as bad are taken, with their times, and events as conditions.
    metric : str, default="correlation"
        See :func:`compute_rdm`. Correlation, cosine, Euclidean, Mahalanobis and crossnobis
        distances are computed for many times together; others time by time.
    conditions : array-like of shape (n_trials,) or str, default=None
        Label of the condition of each trial; trials of a condition are averaged (for
        ``"crossnobis"``, within folds). Of MNE's epochs also the name of a column of their
        metadata. None takes every trial as a condition; of MNE's epochs, their events.
    times : array-like of shape (n_times,), default=None
        In seconds, of an array. None counts them from 0 on.
    folds : array-like of shape (n_trials,), default=None
        For ``"crossnobis"`` only: label of the fold of each trial, such as its run.
    noise_precision : array-like or dict, default=None
        For ``"mahalanobis"`` and ``"crossnobis"``, see :func:`estimate_noise_precision`: one for
        all, (n_channels, n_channels) or its diagonal (n_channels,); a dict with one for each
        fold, by its label; or one for each time of the movie (or, with `window`, each window),
        (n_times, n_channels, n_channels) or (n_times, n_channels) as a list.
    window : float, default=None
        Length of a sliding window in seconds, rounded to samples. Times are the middles of
        windows that lie in the epochs as a whole. None takes single samples.
    step : float, default=None
        From one window to the next, in seconds. None takes every sample.
    pool : {"mean", "gaussian", "concatenate"}, default="mean"
        What becomes of the samples of a window: their mean; a mean weighted by a Gaussian whose
        standard deviation is a quarter of the window; or all of them, as further features of the
        pattern.
    start, stop : float, default=None
        First and last time of the movie, in seconds.
    subject : object, default=None
        Name of the subject.

    Returns
    -------
    movie : RDMMovie
        Of one subject; a dict of these by subject is read by :func:`time_resolved_rsa`.

    Raises
    ------
    TypeError
        If epochs are something else of MNE, such as ``Evoked`` or ``Raw``.
    ValueError
        If shapes, labels or parameters don't fit, or epochs hold NaN or infinity: the trial and
        the time are named.

    Warns
    -----
    RuntimeWarning
        Once, if dissimilarities are NaN, as correlations of a constant pattern.
    UserWarning
        If epochs of MNE have channels of several types whose scales differ, such as magnetometers,
        gradiometers and EEG, and there is no `noise_precision` to make them alike.

    See Also
    --------
    compute_rdm : Of one time; says what the metrics are.
    read_rdm_movie : Of RDMs that were computed before.
    time_resolved_rsa : Compares it with models.

    Notes
    -----
    Each RDM equals that of :func:`compute_rdm` of the same patterns, close pairs included. Of a
    window the trials are averaged first.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compute_rdm_movie
    >>> epochs = np.random.default_rng(0).normal(size=(40, 30, 100))  # trials, channels, times
    >>> images = [f"image {k % 10}" for k in range(40)]
    >>> compute_rdm_movie(epochs, conditions=images, times=np.arange(100) / 100 - 0.2,
    ...                   window=0.02, step=0.01)
    RDMMovie: 1 subject, 99 times (-0.195 to 0.785 s), 10 conditions
    """
    check_metric(metric, noise_precision=noise_precision, repeated=True)
    if metric == "crossnobis" and folds is None:
        raise ValueError("metric='crossnobis' needs folds, a label for each trial.")
    if metric != "crossnobis" and folds is not None:
        raise ValueError(f"folds are for metric='crossnobis', not for {metric!r}.")
    data = read_epochs(epochs, times, conditions)
    if noise_precision is None:
        _warn_of_scales(data)
    windows = sliding(data.times, window, step, start, stop, pool)
    if metric == "crossnobis":
        groups, n_groups, distances = _crossnobis(data, windows, folds, noise_precision)
    else:
        groups, n_groups = data.codes, data.n_conditions
        distances = _distances(metric, data, windows, noise_precision)
    n = data.n_conditions
    out = np.empty((len(windows.starts), n * (n - 1) // 2))
    rows = data.trials if groups is None else _means(data.trials, groups, n_groups)
    size = max(1, _BLOCK // (windows.n_features(rows.shape[1]) * len(rows)))
    for first in range(0, len(out), size):
        part = slice(first, min(first + size, len(out)))
        frames = windows.patterns(rows, part)
        if not _is_finite(frames):
            _refuse_nan(data)
        out[part] = distances(frames, part)
    _warn_undefined(out, metric, windows.times)
    subjects = pd.RangeIndex(1) if subject is None else pd.Index([subject])
    return RDMMovie(out[None], windows.times, data.conditions, subjects.rename("subject"))


def _means(trials: NDArray[Any], groups: NDArray[np.intp], n_groups: int) -> Array:
    """Means (n_groups, n_channels, n_samples) of the trials of each group."""
    average = averaging(groups, np.ones(len(groups), dtype=bool), n_groups)
    if trials.dtype == np.float64 and trials.flags.c_contiguous:
        found = np.asarray(average @ trials.reshape(len(trials), -1))
        return found.reshape(n_groups, *trials.shape[1:])
    out = np.empty((n_groups, *trials.shape[1:]))
    for channel in range(0, trials.shape[1], 8):  # a few: the float64 copy stays small
        part = trials[:, channel : channel + 8]
        found = average @ part.reshape(len(trials), -1).astype(np.float64, copy=False)
        out[:, channel : channel + 8] = found.reshape(n_groups, *part.shape[1:])
    return out


def _distances(metric: str, data: EpochData, windows: Windows, noise_precision: Any) -> Distances:
    """Gives the RDMs of patterns of conditions, for a part of the windows."""
    n_features = windows.n_features(data.trials.shape[1])
    careful = careful_rdm(metric)
    roots = _roots(noise_precision, windows, n_features)
    if metric == "mahalanobis":
        careful = careful_rdm("sqeuclidean_per_feature")

    def of(frames: Array, part: slice) -> Array:
        if roots is not None:
            frames = _whitened(frames, roots, part)
        if metric in ANGULAR or metric in SQUARED:
            return condensed_by_products(frames, metric, careful)
        return condensed_one_by_one(frames, careful)

    return of


def _crossnobis(
    data: EpochData, windows: Windows, folds: Any, noise_precision: Any
) -> tuple[NDArray[np.intp] | None, int, Distances]:
    """Groups of trials that are averaged, their number, and what gives RDMs of the means."""
    codes, n = data.codes, data.n_conditions
    if codes is None:
        raise ValueError("metric='crossnobis' needs conditions, a label for each trial.")
    check_length(folds, "folds", data.trials)
    of_fold, names = encode(folds, len(codes), "folds", None)
    n_folds, n_features = len(names), windows.n_features(data.trials.shape[1])
    if n_folds < 2:
        raise ValueError(f"folds has one label, {names[0]!r}: crossnobis needs two or more.")
    counts = np.zeros((n_folds, n), dtype=np.intp)
    np.add.at(counts, (of_fold, codes), 1)
    by_fold = isinstance(noise_precision, Mapping)
    roots = None
    if by_fold:
        each = fold_precisions(noise_precision, names, n_features)
        pair_roots = [root_of(precision_of_mean_covariance(each[i], each[j]))
                      for i, j in combinations(range(n_folds), 2)]  # fmt: skip
    else:
        roots = _roots(noise_precision, windows, n_features)
    if (counts == 0).any():
        precision = noise_precision if by_fold or roots is None or len(roots) == 1 else None
        if precision is None and roots is not None:
            raise ValueError(
                "A condition lacks in a fold, and noise_precision has one for each time: give one "
                "for all, or leave the condition out."
            )
        careful = careful_rdm("crossnobis", conditions=codes, folds=folds,
                              noise_precision=precision)  # fmt: skip
        return None, 0, lambda frames, part: condensed_one_by_one(frames, careful)

    def of(frames: Array, part: slice) -> Array:
        means = np.ascontiguousarray(
            frames.reshape(len(frames), n_folds, n, n_features).transpose(1, 0, 2, 3)
        )
        if by_fold:
            return pairs_of_folds(means, pair_roots, n_features)
        if roots is not None:
            means = np.stack([_whitened(fold, roots, part) for fold in means])
        return cross_validated(means, leave_one_out(counts), n_features)

    return of_fold * n + codes, n_folds * n, of


def _roots(noise_precision: Any, windows: Windows, n_features: int) -> list[Array] | None:
    """Roots of one precision for all windows, or of one for each."""
    if noise_precision is None:
        return None
    if isinstance(noise_precision, Mapping):
        raise ValueError("noise_precision has one for each fold: that is for 'crossnobis'.")
    listed = isinstance(noise_precision, list | tuple) and np.ndim(noise_precision[0]) > 0
    each: Any = [noise_precision]
    if np.ndim(noise_precision) == 3 or (
        listed and np.shape(noise_precision) != (n_features, n_features)
    ):
        each = noise_precision
        if len(each) != len(windows.starts):
            raise ValueError(
                f"noise_precision has {len(each)} entries for {len(windows.starts)} times: give "
                "one for each, one for all, or a dict with one for each fold."
            )
    return [root_of(check_precision(one, n_features)) for one in each]


def _whitened(frames: Array, roots: list[Array], part: slice) -> Array:
    if len(roots) == 1:
        return whiten(frames, roots[0])
    return np.stack([whiten(one, root) for one, root in zip(frames, roots[part], strict=True)])


def _is_finite(frames: Array) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(frames.sum()) or np.isfinite(frames).all())


def _refuse_nan(data: EpochData) -> None:
    """Name the first trial and time that can't be used."""
    for trial, values in enumerate(data.trials):
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            channel, sample = wrong[wrong[:, 1].argmin()]
            raise ValueError(
                f"epochs holds NaN or infinity, first in trial {trial} at "
                f"{data.times[sample]:g} s, channel {channel}: drop such trials or channels first."
            )


def _warn_of_scales(data: EpochData) -> None:
    """Say that channels of one type decide, if those of another are much smaller."""
    known = {kind: scale for kind, scale in data.scales.items() if scale > 0}
    if len(known) > 1 and max(known.values()) > _ALIKE * min(known.values()):
        told = ", ".join(f"{kind} {scale:.1e}" for kind, scale in known.items())
        largest = max(known, key=lambda kind: known[kind])
        warnings.warn(
            "A pattern has channels of several types, whose numbers differ in scale (standard "
            f"deviations: {told}): {largest!r} decides nearly alone. Compute an RDM of each type "
            f"(epochs.copy().pick({largest!r})), z-score the channels, or give noise_precision= "
            "with metric='mahalanobis' or 'crossnobis'.",
            UserWarning,
            stacklevel=3,
        )


def _warn_undefined(pairs: Array, metric: str, times: Array) -> None:
    unknown = np.isnan(pairs).any(axis=1)
    if unknown.any():
        warnings.warn(
            f"The {metric} dissimilarities are NaN at {int(unknown.sum())} of {len(times)} times, "
            f"first at {times[unknown][0]:g} s: a pattern is constant there, or no two folds have "
            "both conditions of a pair.",
            RuntimeWarning,
            stacklevel=3,
        )
