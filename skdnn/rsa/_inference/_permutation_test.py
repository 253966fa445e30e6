"""Mantel's test, by permutation of conditions: is a model related to the data at all?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, permutations
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from skdnn._docs import filled
from skdnn._html import card
from skdnn._multiple_tests import adjusted, check_adjust
from skdnn.rsa._comparison._rdm_stack import pair_positions, rdm_name
from skdnn.rsa._comparison._similarity_measures import PairSpace, is_flat, prepare, similarities
from skdnn.rsa._inference._p_values import check_alternative, share_as_extreme, turned
from skdnn.rsa._inference._random_draws import BATCH, batches, check_count
from skdnn.rsa._inference._scored_models import NOT_CENTRED, ScoredModels, score_models

Array = NDArray[np.float64]
Orders = NDArray[np.intp]

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

    See Also
    --------
    permutation_test : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import compute_rdm, permutation_test
    >>> rdm = compute_rdm(np.random.default_rng(0).normal(size=(9, 5)))
    >>> permutation_test(rdm, rdm, n_permutations=99, random_state=0).p_values
    array([0.01])
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


@filled
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
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s

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
    scored = score_models(models, data, comparison, conditions)
    n = scored.n_conditions
    exact = math.factorial(n) <= n_permutations
    one_by_one = scored.comparison in _ONE_BY_ONE or not scored.complete
    score = partial(_one_by_one, scored) if one_by_one else _by_products(scored)

    def score_random(rng: np.random.Generator, count: int) -> Array:
        return score(rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1))

    if exact:
        calls = (delayed(score)(orders) for orders in _every_order(n))
    else:
        calls = (delayed(score_random)(*batch) for batch in batches(random_state, n_permutations))
    null = np.concatenate(Parallel(n_jobs=n_jobs, prefer="threads")(calls))
    observed = score(np.arange(n)[None])[0]
    p_values, p_max = _p_values(null, observed, alternative, exact, scored.comparison)
    return PermutationResult(
        names=scored.names,
        scores=scored.scores,
        p_values=p_values,
        p_max=p_max,
        null=null.astype(np.float32),
        n_permutations=len(null),
        exact=exact,
        alternative=alternative,
        comparison=scored.comparison,
    )


def _every_order(n: int) -> Iterator[Orders]:
    """All orders of n conditions, in batches."""
    every = permutations(range(n))
    while batch := list(islice(every, BATCH)):
        yield np.array(batch)


def _by_products(scored: ScoredModels) -> Callable[[Orders], Array]:
    """Gives the scores (n_orders, n_models) with the data's conditions in other orders.

    They are products of models with the mean of the data, both prepared once.
    """
    n, comparison = scored.n_conditions, scored.comparison
    defined = ~is_flat(scored.models, comparison)
    if not defined.any() or is_flat(scored.data, comparison).any():
        return lambda orders: np.full((len(orders), len(scored.models)), np.nan)
    space = PairSpace(n)
    models = prepare(scored.models[defined], space, comparison)[1]
    mean = squareform(prepare(scored.data, space, comparison)[0].mean(axis=0), checks=False)
    size = max(1, _CHUNK // models.shape[1])

    def score(orders: Orders) -> Array:
        out = np.full((len(orders), len(scored.models)), np.nan)
        pairs = np.empty((min(size, len(orders)), models.shape[1]))
        for start in range(0, len(orders), size):
            part = orders[start : start + size]
            for row, order in zip(pairs, part, strict=False):
                row[:] = squareform(mean.take(order, 0).take(order, 1), checks=False)
            out[start : start + len(part), defined] = pairs[: len(part)] @ models.T
        return out

    return score


def _one_by_one(scored: ScoredModels, orders: Orders) -> Array:
    """The same, computed anew for each order."""
    n = scored.n_conditions
    out = np.empty((len(orders), len(scored.models)))
    for row, order in zip(out, orders, strict=True):
        data = scored.data[:, pair_positions(order, n)]
        row[:] = similarities(scored.models, data, n, scored.comparison).mean(axis=1)
    return out


def _p_values(
    null: Array, observed: Array, alternative: str, exact: bool, comparison: str
) -> tuple[Array, Array]:
    """p-values of each model alone, and of each among all."""
    centre = null.mean(axis=0) if comparison in NOT_CENTRED else 0.0
    null, observed = turned(null, observed, alternative, centre)
    p_max = np.full(len(observed), np.nan)
    defined = ~np.isnan(observed)
    if defined.any():
        best = np.nanmax(null[:, defined], axis=1)
        p_max[defined] = share_as_extreme(best[:, None], observed[defined], _TOLERANCE, exact)
    share = share_as_extreme(null, observed, _TOLERANCE, exact)
    return np.where(defined, share, np.nan), p_max
