"""Layers against RDMs over time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._docs import filled
from skdnn._wording import listed
from skdnn.rsa._comparison._rdm_stack import RDMStack, rdm_name, read_rdms
from skdnn.rsa._comparison._similarity_measures import check_comparison, tell_negative
from skdnn.rsa._time import _joint_models
from skdnn.rsa._time._rdm_movie import RDMMovie, first_frame
from skdnn.rsa._time._read_movie import read_movie
from skdnn.rsa._time._scores_over_time import score_frames
from skdnn.rsa._time._time_resolved_result import TimeResolvedRSA

Array = NDArray[np.float64]


@filled
def time_resolved_rsa(
    layers: Any,
    movie: Any,
    comparison: str = "spearman",
    *,
    times: ArrayLike | None = None,
    conditions: ArrayLike | None = None,
    ceiling: bool = True,
    partial: Any = None,
    regression: bool = False,
    n_jobs: int | None = None,
) -> TimeResolvedRSA:
    r"""Compare layers' RDMs with those of one subject or several at each time.

    Parameters
    ----------
    layers : array-like, DataFrame, dict or list
        One RDM or several, in any form that :func:`compare_rdms` takes. Names are kept.
    movie : RDMMovie, array-like, DataFrame or dict
        RDMs over time, of the same conditions, in any form that :func:`read_rdm_movie` takes:
        (n_times, n_pairs) or (n_times, n_conditions, n_conditions), with a further axis of
        subjects in front, or a dict by subject. Labels are aligned.
    comparison : str, default="spearman"
        How RDMs are compared, see :func:`compare_rdms`.
    times : array-like of shape (n_times,), default=None
        In seconds. None takes those of `movie`, or counts from 0 on.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s
    ceiling : bool, default=True
        Whether to compute the noise ceiling of each time, where there are several subjects.
    partial : True, or RDMs in any form, default=None
        For "spearman" and "pearson": what is held constant. True: all other layers. RDMs, such as
        ``{"pixels": rdm}``: these, for every layer.
    regression : bool, default=False
        For the same two: the scores are the standardized coefficients of all layers together (of
        ranks for "spearman"), and the result has what they explain.
    n_jobs : int or None, default=None
        Number of threads; the result does not depend on it.

    Returns
    -------
    result : TimeResolvedRSA
        Scores by subject, layer and time, ceilings, peaks and tests, see there.

    Raises
    ------
    ValueError
        If RDMs don't fit, or a parameter is not known; with `partial` or `regression`, if an RDM
        has NaN, or layers are constant or linearly dependent.

    Warns
    -----
    RuntimeWarning
        Once, naming layers and times whose score is NaN.
    UserWarning
        If one side is labelled and the other is not.

    See Also
    --------
    compute_rdm_movie : RDMs over time, of epochs.
    temporal_generalization : RDMs of one time against those of others.
    condition_test_over_time : For a single subject.
    compare_rdms, partial_rdm_correlation, regression_rsa, noise_ceiling : The same without time.

    Notes
    -----
    Layers are prepared (ranked) once, frames in blocks, and all layers are compared in one matrix
    product: further layers cost next to nothing. Every score equals that of
    :func:`compare_rdms`, :func:`partial_rdm_correlation` or :func:`regression_rsa` of the single
    frame, and every ceiling that of :func:`noise_ceiling`, to rounding.

    References
    ----------
    Cichy, R. M., Pantazis, D., & Oliva, A. (2014). Resolving human object recognition in space
    and time. Nature Neuroscience, 17(3), 455-462.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import time_resolved_rsa
    >>> rng = np.random.default_rng(0)
    >>> layers = {"conv1": rng.random(190), "fc8": rng.random(190)}  # RDMs of 20 conditions
    >>> times = np.arange(-10, 40) / 100
    >>> course = np.exp(-(((times - 0.1) / 0.05) ** 2))[:, None]
    >>> subjects = {f"sub-{k}": course * layers["fc8"] + rng.random((50, 190)) for k in range(8)}
    >>> result = time_resolved_rsa(layers, subjects, times=times)
    >>> result.to_frame().query("subject == 'sub-3' and time == 0.1").round(2)
        subject  time  layer  score
    320   sub-3   0.1  conv1   0.02
    370   sub-3   0.1    fc8   0.71
    """
    comparison = check_comparison(comparison)
    joint = _check_joint(partial, regression, comparison)
    data = read_movie(movie, "movie", times, conditions)
    stack = read_rdms(layers, "layers", conditions).like(first_frame(data), "layers", "movie")
    tell_negative(comparison, stack.pairs, data.pairs)
    names = pd.RangeIndex(len(stack)) if stack.names is None else stack.names
    several = ceiling and len(data.pairs) > 1
    r2, unique, held = None, None, None
    if not joint:
        scores, ceilings = score_frames(
            stack.pairs, data.pairs, stack.n_conditions, comparison, with_ceilings=several,
            n_jobs=n_jobs,
        )  # fmt: skip
    else:
        _refuse_nan(data)
        work: tuple[Any, ...] = (data.pairs, comparison, several, n_jobs)
        if regression:
            scores, unique, r2, ceilings = _joint_models.regressions(stack, *work)
        elif partial is True:
            held = ["all other layers"]
            scores, ceilings = _joint_models.partial_on_each_other(stack, *work)
        else:
            controls = read_rdms(partial, "partial", conditions)
            if data.conditions is None:
                controls = controls.like(stack, "partial", "layers")
            else:
                controls = controls.like(first_frame(data), "partial", "movie")
            held = controls.labels("partial") if controls.names is None else [*controls.names]
            scores, ceilings = _joint_models.partial_on(stack, controls, *work)
    _warn_undefined(scores, names, data, held is not None)
    return TimeResolvedRSA(
        scores=scores,
        ceilings=ceilings,
        layers=names.rename("layer") if names.nlevels == 1 else names,
        times=data.times,
        subjects=data.subjects,
        comparison=comparison,
        kind=joint or "similarity",
        held_constant=None if held is None else [str(name) for name in held],
        r2=r2,
        unique=unique,
    )


def _check_joint(partial: Any, regression: bool, comparison: str) -> str:
    """Which of the two is asked for, if it can be had."""
    wanted = partial is not None and partial is not False
    if not wanted and not regression:
        return ""
    if wanted and regression:
        raise ValueError(
            "partial= and regression= are two analyses: call the function once for each."
        )
    if isinstance(partial, str):
        raise ValueError(
            f"partial={partial!r} is no RDM: give what is to be held constant, such as "
            f"{{{partial!r}: rdm}}, or True for all other layers."
        )
    joint = "regression" if regression else "partial"
    if comparison not in _joint_models.COMPARISONS:
        raise ValueError(
            f"comparison={comparison!r}: {joint} RSA over time is "
            f"{' or '.join(map(repr, _joint_models.COMPARISONS))}."
        )
    return joint


def _refuse_nan(movie: RDMMovie) -> None:
    unknown = np.isnan(movie.pairs.sum(axis=-1))
    if unknown.any():
        subject, time = np.argwhere(unknown)[0]
        raise ValueError(
            f"movie holds NaN, first of subject {movie.subjects[subject]!r} at "
            f"{movie.times[time]:g} s: partial and regression need every pair. Leave out the "
            "conditions or times that were not measured."
        )


def _warn_undefined(scores: Array, names: pd.Index, movie: RDMMovie, partial: bool) -> None:
    """Say once where scores are NaN, and why it will mostly be so."""
    unknown = np.isnan(scores)
    if not unknown.any():
        return
    flat: NDArray[np.bool_] = np.asarray(unknown.all(axis=(0, 2)))
    if flat.any():
        wrong = [rdm_name(name) for name, is_flat in zip(names, flat, strict=True) if is_flat]
        what = f"of {listed(wrong)} at all times"
    else:
        subject, layer, time = np.argwhere(unknown)[0]
        what = (
            f"in {int(unknown.any(axis=1).sum())} of {unknown[:, 0].size} frames, first of "
            f"{rdm_name(names[layer])!r} with subject {movie.subjects[subject]!r} at "
            f"{movie.times[time]:g} s"
        )
    warnings.warn(
        f"Scores are NaN {what}: an RDM is constant there, "
        f"{'or nothing is left of it beside what is held constant, ' if partial else ''}or too "
        "few pairs are known.",
        RuntimeWarning,
        stacklevel=3,
    )


def layers_and_movie(
    layers: Any, movie: Any, comparison: str, times: Any, conditions: Any
) -> tuple[RDMStack, RDMMovie, str]:
    """Both read, the layers in the movie's order, and the comparison's own name."""
    data = read_movie(movie, "movie", times, conditions)
    stack = read_rdms(layers, "layers", conditions).like(first_frame(data), "layers", "movie")
    return stack, data, check_comparison(comparison)
