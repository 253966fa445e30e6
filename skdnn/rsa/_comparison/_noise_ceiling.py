"""Noise ceilings: how similar a perfect model could be to the RDMs of several subjects."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._docs import filled
from skdnn._html import with_card
from skdnn.rsa._comparison._compare_rdms import warn_no_ceiling
from skdnn.rsa._comparison._rank_pools import rank_pools
from skdnn.rsa._comparison._rdm_stack import read_rdms, without_level
from skdnn.rsa._comparison._similarity_measures import (
    CENTRED,
    RANKED,
    WHITENED,
    PairSpace,
    check_comparison,
    ranks,
    similarities,
    tell_negative,
)

Array = NDArray[np.float64]


@with_card
class NoiseCeiling(NamedTuple):
    """Bounds of the similarity that a perfect model could reach: a named tuple.

    Parameters
    ----------
    lower : float
        Similarity of subjects to the pooled RDM of the others.
    upper : float
        Similarity of subjects to the pooled RDM of all.

    See Also
    --------
    noise_ceiling : Computes it.

    Examples
    --------
    >>> from skdnn.rsa import NoiseCeiling
    >>> ceiling = NoiseCeiling(0.37, 0.67)
    >>> lower, upper = ceiling
    >>> ceiling.upper
    0.67
    """

    lower: float
    upper: float


@filled
def noise_ceiling(
    rdms: ArrayLike | pd.DataFrame | Any,
    comparison: str = "spearman",
    *,
    subject_level: str | int | None = None,
    conditions: ArrayLike | None = None,
) -> Any:
    r"""Noise ceiling of the RDMs of several subjects.

    Parameters
    ----------
    rdms : array-like, DataFrame, dict or list
        RDMs of two subjects or more: a stack of shape (n_subjects, n_conditions, n_conditions) or
        (n_subjects, n_pairs), a dict or list of RDMs, or a DataFrame whose columns are a
        MultiIndex of the subject, any further levels (e.g. ROIs) and the condition.
    comparison : str, default="spearman"
        How RDMs are compared, see :func:`skdnn.rsa.compare_rdms`.
    subject_level : str or int, default=None
        Which level of the MultiIndex is the subject. None takes one that is called "subject"
        (in any case), or the first.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s

    Returns
    -------
    ceiling : NoiseCeiling or DataFrame
        The named tuple ``(lower, upper)``. If the columns have levels beside subject and
        condition, a DataFrame with the columns ``lower`` and ``upper`` and a row for each of
        their combinations.

    Raises
    ------
    ValueError
        If there is only one subject, whose noise cannot be told from its signal, or the RDMs or
        `comparison` are refused by :func:`skdnn.rsa.compare_rdms`.

    Warns
    -----
    UserWarning
        If a ceiling is NaN, naming the subjects whose RDM is constant.
    UserWarning
        If some RDMs are labelled and others are not.

    See Also
    --------
    compare_rdms : The similarity itself.
    RSAScorer : With ``detail=True`` it gives the ceiling of every fold.
    bootstrap_rsa : Tests models against the ceiling.

    Notes
    -----
    With subjects' RDMs :math:`r_i` and :math:`s` the comparison (Nili et al., 2014),

    - upper: :math:`\frac{1}{N} \sum_i s(\mathrm{pool}(r_1, ..., r_N), r_i)`. No model can be
      nearer to all subjects than their own pooled RDM (exactly for cosines and correlations,
      Spearman's and the whitened ones among them; nearly for Kendall's and Bures');
    - lower: :math:`\frac{1}{N} \sum_i s(\mathrm{pool}(r_{j \ne i}), r_i)`, what is
      reached by a pooled RDM that never saw the subject.

    RDMs are made comparable before their mean is taken: divided by their root mean square for
    cosines, centred and divided by it for correlations, replaced by mid-ranks for rank measures,
    divided by their mean for Bures' similarity. For the whitened comparisons it is the root mean
    square in the whitened space, so that the upper bound is one; rsatoolbox takes the plain one
    there, and its bounds are a little lower. Pairs that are NaN in some subjects are pooled over
    the others. Ranks among different pairs have different scales, so where subjects lack
    different conditions, the known pairs of each take the values that the pooled ranks have
    there, in the subject's own order, and are pooled again, five times: of subjects who agree,
    some of whom lack half of the conditions, both bounds are 1 to rounding or a little below.

    References
    ----------
    Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W., & Kriegeskorte, N. (2014).
    A toolbox for representational similarity analysis. PLOS Computational Biology, 10(4),
    e1003553.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import noise_ceiling
    >>> rng = np.random.default_rng(0)
    >>> subjects = rng.random(45) + 0.2 * rng.random((4, 45))  # RDMs of 10 conditions
    >>> lower, upper = noise_ceiling(subjects, "pearson")
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.975 0.986
    """
    comparison = check_comparison(comparison)
    stack = read_rdms(rdms, "rdms", conditions)
    tell_negative(comparison, stack.pairs)
    groups = subject_groups(stack.names, len(stack), subject_level)
    found = {}
    for name, rows in groups.items():
        if len(rows) < 2:
            of = f" of {name!r}" if len(groups) > 1 else ""
            raise ValueError(
                f"rdms holds the RDM{of} of one subject only: a noise ceiling needs two or more."
            )
        found[name] = ceiling(stack.pairs[rows], stack.n_conditions, comparison)
    if np.isnan(list(found.values())).any():
        warn_no_ceiling(stack, comparison)
    if stack.names is None or stack.names.nlevels == 1:
        return next(iter(found.values()))
    level = _subject_level(stack.names, subject_level)
    index = without_level(stack.names, level).unique()
    return pd.DataFrame(list(found.values()), index=index, columns=["lower", "upper"])


def subject_groups(
    names: pd.Index | None, n_rdms: int, subject_level: str | int | None = None
) -> dict[Any, NDArray[np.intp]]:
    """Rows of the RDMs that differ by subject only, by what else their names say."""
    if names is None or names.nlevels == 1:
        return {"": np.arange(n_rdms)}
    rest = without_level(names, _subject_level(names, subject_level))
    return {key: np.flatnonzero(np.asarray(rest == key)) for key in rest.unique()}


def _subject_level(names: pd.Index, wanted: str | int | None) -> int:
    known = list(names.names)
    if wanted is None:
        found = [k for k, name in enumerate(known) if str(name).lower() == "subject"]
        return found[0] if found else 0
    if isinstance(wanted, int) and -len(known) <= wanted < len(known):
        return wanted % len(known)
    if wanted in known:
        return known.index(wanted)
    raise ValueError(f"subject_level={wanted!r} is no level of the columns: they are {known}.")


def ceiling(
    pairs: Array, n_conditions: int, comparison: str, drawn: NDArray[np.int64] | None = None
) -> NoiseCeiling:
    """Ceiling of the RDMs in the rows of `pairs`; NaN where a similarity is undefined.

    `drawn` says how often each subject counts; the pool of the others lacks all draws of one.
    """
    counts = np.ones(len(pairs), dtype=np.int64) if drawn is None else drawn
    subjects = np.flatnonzero(counts)
    pooled, others = pools(pairs, n_conditions, comparison, counts)
    share = counts[subjects] / counts.sum()
    upper = similarities(pooled[None], pairs[subjects], n_conditions, comparison)[0]
    lower = np.full(len(subjects), np.nan)
    for row, subject in enumerate(subjects) if len(subjects) > 1 else ():
        own = pairs[[subject]]
        lower[row] = similarities(others[[subject]], own, n_conditions, comparison)[0, 0]
    return NoiseCeiling(float(lower @ share), float(upper @ share))


def pools(
    pairs: Array, n_conditions: int, comparison: str, drawn: NDArray[np.int64] | None = None
) -> tuple[Array, Array]:
    """The pooled RDM, and for each subject that of all others; NaN where it is not known."""
    counts = np.ones(len(pairs), dtype=np.int64) if drawn is None else drawn
    known = ~np.isnan(pairs)
    if comparison in RANKED and (known != known[0]).any():
        return rank_pools(pairs, counts)
    ready = comparable(pairs, n_conditions, comparison)
    known = ~np.isnan(ready)
    ready = np.where(known, ready, 0) * counts[:, None]
    weight = known * counts[:, None]
    total, count = ready.sum(axis=0), weight.sum(axis=0)
    return _mean(total, count), _mean(total - ready, count - weight)


def _mean(total: Array, count: NDArray[np.int64]) -> Array:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def comparable(pairs: Array, n_conditions: int, comparison: str) -> Array:
    """The RDMs in the form whose mean is the pooled RDM; an undefined one is NaN throughout."""
    out = np.full_like(pairs, np.nan)
    for row, values in enumerate(pairs):
        known = ~np.isnan(values)
        if known.any():
            out[row, known] = _comparable(values[known], n_conditions, known, comparison)
    return out


def _comparable(
    values: Array, n_conditions: int, known: NDArray[np.bool_], comparison: str
) -> Array:
    if comparison in RANKED:
        return ranks(values[None])[0]
    if comparison == "bures":
        norm = values.mean()
    else:
        if comparison in CENTRED:
            values = values - values.mean()
        whitened = values
        if comparison in WHITENED:
            whitened = PairSpace(n_conditions, known).whiten(values[None])[0]
        norm = np.sqrt(values @ whitened / len(values))
    return values / norm if norm > 0 else np.full_like(values, np.nan)
