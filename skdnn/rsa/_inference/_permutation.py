"""Permutation tests of models: is an RDM related to the data's at all?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, permutations
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from skdnn._html import card
from skdnn._multiple import adjusted, check_adjust
from skdnn.rsa._comparison._measures import PairSpace, is_flat, prepare, similarities
from skdnn.rsa._comparison._stack import pair_positions, rdm_name
from skdnn.rsa._inference._study import (
    NOT_CENTRED,
    Study,
    check_alternative,
    check_count,
    generators,
    read_study,
)

Array = NDArray[np.float64]
Orders = NDArray[np.intp]

# Permutations that share a generator. Results depend on it, so it never depends on the machine.
_BATCH = 250
# Numbers of permuted pairs held at a time by one worker.
_CHUNK = 2**21
# Scores that differ by round-off only are equal: with few conditions many permutations are.
_TOLERANCE = 1e-10
_ONE_BY_ONE = ("kendall", "tau-a", "bures")


@dataclass(frozen=True, repr=False)
class PermutationResult:
    """What :func:`permutation_test` found.

    Attributes
    ----------
    names : Index
        Names of the models, or their positions.
    scores : ndarray of shape (n_models,)
        Mean similarity to the subjects' RDMs.
    p_values : ndarray of shape (n_models,)
        Share of permutations with a score as extreme as the model's.
    p_max : ndarray of shape (n_models,)
        Share of permutations in which the best of all models is as extreme as this one: adjusted
        for the choice among models.
    null : ndarray of shape (n_permutations, n_models), float32
        Scores under permutation.
    n_permutations : int
        Number of permutations.
    exact : bool
        Whether these were all that there are.
    alternative : {"greater", "less", "two-sided"}
        Side of the test.
    comparison : str
        How RDMs were compared.
    """

    names: pd.Index
    scores: Array
    p_values: Array
    p_max: Array
    null: NDArray[np.float32] = field(repr=False)
    n_permutations: int
    exact: bool
    alternative: str
    comparison: str

    def to_frame(self, *, adjust: str | None = "holm") -> pd.DataFrame:
        """One row for each model.

        Parameters
        ----------
        adjust : {"holm", "fdr", None}, default="holm"
            How ``p_adjusted`` is made of the p-values of all models: Holm's step-down method, or
            Benjamini and Hochberg's for the false discovery rate.

        Returns
        -------
        frame : DataFrame
            With the columns ``model``, ``score``, ``p``, ``p_max`` and ``p_adjusted``.
        """
        check_adjust(adjust)
        return pd.DataFrame(
            {
                "model": [name_of(name) for name in self.names],
                "score": self.scores,
                "p": self.p_values,
                "p_max": self.p_max,
                "p_adjusted": adjusted(self.p_values, adjust),
            }
        )

    def __repr__(self) -> str:
        kind = "all" if self.exact else "random"
        head = (
            f"PermutationResult: {self.comparison}, {self.n_permutations} permutations ({kind}), "
            f"alternative {self.alternative!r}"
        )
        return f"{head}\n{self.to_frame().to_string(index=False, float_format='{:.4g}'.format)}"

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        kind = "all" if self.exact else "random"
        facts = {
            "compared by": self.comparison,
            "permutations": f"{self.n_permutations:,} ({kind})",
            "alternative": self.alternative,
            "p_adjusted": "by Holm's method",
        }
        return card("PermutationResult", facts, self.to_frame())


def name_of(name: Any) -> Any:
    """A model's name in a table: a position stays a number."""
    return rdm_name(name) if isinstance(name, tuple) else name


def permutation_test(
    models: Any,
    data: Any,
    comparison: str = "spearman",
    *,
    n_permutations: int = 10_000,
    alternative: str = "greater",
    random_state: Any = None,
    n_jobs: int | None = None,
    conditions: ArrayLike | None = None,
) -> PermutationResult:
    r"""Test whether models are related to the data by permuting conditions (Mantel's test).

    Parameters
    ----------
    models : array-like, DataFrame, dict or list
        One model RDM or several, in any form that :func:`compare_rdms` takes. Names are kept.
    data : array-like, DataFrame, dict or list
        RDMs of one or several subjects, of the same conditions. Labels are aligned.
    comparison : str, default="spearman"
        How RDMs are compared, see :func:`compare_rdms`.
    n_permutations : int, default=10_000
        Number of random permutations. If there are no more than that at all (7 conditions have
        5040), each is taken once and the p-values are exact.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What to show about the score. For the cosines and Bures' similarity, which are far above
        zero for unrelated RDMs, two-sided means far from the mean of the permutations.
    random_state : int, RandomState or None, default=None
        Where the permutations come from.
    n_jobs : int or None, default=None
        Number of threads; the result does not depend on it.
    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. They are then
        matched with the labels of the others, and nothing is taken to be in the same order.

    Returns
    -------
    result : PermutationResult
        Scores and p-values, see there; ``result.to_frame()`` is the table.

    Raises
    ------
    ValueError
        If RDMs don't fit or a parameter is not known.

    Warns
    -----
    RuntimeWarning
        If a similarity is NaN, saying which RDM is the cause.

    See Also
    --------
    bootstrap_rsa : Confidence intervals, and tests between models and against the ceiling.
    random_effects_test : Tests over subjects' scores.

    Notes
    -----
    Rows and columns of the data RDMs are permuted together, with the same permutation for all
    subjects, and the score is the mean over subjects:

    .. math:: p = \frac{1 + \#\{\mathrm{null} \ge \mathrm{score}\}}{1 + n_\mathrm{permutations}}

    The pairs of an RDM depend on each other (each condition is in n - 1 of them). Shuffling
    conditions keeps that dependence; shuffling single pairs destroys it and gives two to five
    times as many false positives as it should.

    *What is tested* is that conditions are exchangeable: that the model knows nothing of the
    data's RDM. It is not a test of one model against another. Subjects are taken as they are; for
    a statement on other subjects see :func:`bootstrap_rsa` or :func:`random_effects_test`.

    *Several models.* ``p_max`` compares each score with the best of all models in every
    permutation (Nichols & Holmes, 2002). The chance of any false positive is then held at alpha,
    with less loss than by Holm's method where models are alike, as layers of a network are.

    *Speed.* Ranks, norms and whitening are done once, since permutations change none of them,
    and all models are compared in one matrix product. Kendall's and Bures' comparisons, and RDMs
    with NaN, are computed anew for each permutation.

    References
    ----------
    Mantel, N. (1967). The detection of disease clustering and a generalized regression approach.
    Cancer Research, 27(2), 209-220.

    Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional
    neuroimaging: A primer with examples. Human Brain Mapping, 15(1), 1-25.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compute_rdm, permutation_test
    >>> rng = np.random.default_rng(0)
    >>> patterns = rng.normal(size=(20, 30))
    >>> models = {"related": compute_rdm(patterns + rng.normal(size=(20, 30))),
    ...           "unrelated": compute_rdm(rng.normal(size=(20, 30)))}
    >>> result = permutation_test(models, compute_rdm(patterns), n_permutations=999,
    ...                           random_state=0)
    >>> result.to_frame().round(3)
           model  score      p  p_max  p_adjusted
    0    related  0.520  0.001  0.001       0.002
    1  unrelated  0.013  0.426  0.658       0.426
    """
    check_alternative(alternative)
    n_permutations = check_count(n_permutations, "n_permutations", 1)
    study = read_study(models, data, comparison, conditions)
    exact = math.factorial(study.n_conditions) <= n_permutations
    score = _statistic(study)
    batches = _batches(study.n_conditions, n_permutations, exact, random_state)
    null = np.concatenate(
        Parallel(n_jobs=n_jobs, prefer="threads")(delayed(score)(batch) for batch in batches)
    )
    observed = score(np.arange(study.n_conditions)[None])[0]
    p_values, p_max = _p_values(null, observed, alternative, exact, study.comparison)
    return PermutationResult(
        names=study.names,
        scores=study.scores,
        p_values=p_values,
        p_max=p_max,
        null=null.astype(np.float32),
        n_permutations=len(null),
        exact=exact,
        alternative=alternative,
        comparison=study.comparison,
    )


def _batches(n: int, count: int, exact: bool, random_state: Any) -> Iterator[Any]:
    """What each call of the statistic is to do: orders of the conditions, or how to draw them."""
    if exact:
        every = permutations(range(n))
        while batch := list(islice(every, _BATCH)):
            yield np.array(batch)
        return
    starts = range(0, count, _BATCH)
    for start, rng in zip(starts, generators(random_state, len(starts)), strict=True):
        yield rng, min(_BATCH, count - start)


def _orders(batch: Any, n: int) -> Orders:
    if isinstance(batch, np.ndarray):
        return batch
    rng, count = batch
    return rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1)


def _statistic(study: Study) -> Callable[[Any], Array]:
    """Gives the scores (n_orders, n_models) with the data's conditions in other orders."""
    if study.comparison in _ONE_BY_ONE or not study.complete:
        return _loop(study)
    return _products(study)


def _products(study: Study) -> Callable[[Any], Array]:
    """Scores as products of models with the mean of the data, both made ready once."""
    n, comparison = study.n_conditions, study.comparison
    defined = ~is_flat(study.models, comparison)
    if not defined.any() or is_flat(study.data, comparison).any():
        return lambda batch: np.full((len(_orders(batch, n)), len(study.models)), np.nan)
    space = PairSpace(n)
    ready = prepare(study.models[defined], space, comparison)[1]
    mean = squareform(prepare(study.data, space, comparison)[0].mean(axis=0), checks=False)
    size = max(1, _CHUNK // ready.shape[1])

    def score(batch: Any) -> Array:
        orders = _orders(batch, n)
        out = np.full((len(orders), len(study.models)), np.nan)
        pairs = np.empty((min(size, len(orders)), ready.shape[1]))
        for start in range(0, len(orders), size):
            part = orders[start : start + size]
            for row, order in zip(pairs, part, strict=False):
                row[:] = squareform(mean.take(order, 0).take(order, 1), checks=False)
            out[start : start + len(part), defined] = pairs[: len(part)] @ ready.T
        return out

    return score


def _loop(study: Study) -> Callable[[Any], Array]:
    """Scores computed anew for each order."""
    n = study.n_conditions

    def score(batch: Any) -> Array:
        orders = _orders(batch, n)
        out = np.empty((len(orders), len(study.models)))
        for row, order in zip(out, orders, strict=True):
            data = study.data[:, pair_positions(order, n)]
            row[:] = similarities(study.models, data, n, study.comparison).mean(axis=1)
        return out

    return score


def _p_values(
    null: Array, observed: Array, alternative: str, exact: bool, comparison: str
) -> tuple[Array, Array]:
    """p-values of each model alone, and of each among all."""
    if alternative == "less":
        null, observed = -null, -observed
    elif alternative == "two-sided":
        centre = null.mean(axis=0) if comparison in NOT_CENTRED else 0.0
        null, observed = np.abs(null - centre), np.abs(observed - centre)
    p_max = np.full(len(observed), np.nan)
    defined = ~np.isnan(observed)
    if defined.any():
        best = np.nanmax(null[:, defined], axis=1)
        p_max[defined] = _share(best[:, None], observed[defined], exact)
    return np.where(defined, _share(null, observed, exact), np.nan), p_max


def _share(null: Array, observed: Array, exact: bool) -> Array:
    # A random sample of permutations lacks the one that was observed.
    reached = (null >= observed - _TOLERANCE).sum(axis=0) + (not exact)
    return reached / (len(null) + (not exact))
