"""What several model RDMs explain of others, split into unique and shared parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._commonality import Subset, shared_parts, subsets
from skdnn.rsa._comparison._rdm_stack import RDMStack, pair_positions, rdm_name
from skdnn.rsa._comparison._similarity_measures import ranks
from skdnn.rsa._fitting._rdm_predictor import condition_folds
from skdnn.rsa._fitting._regression import (
    Regression,
    check_design,
    names_of,
    read_both,
    same_known,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MAX_PARTS = 5


def variance_partitioning(
    models: Any,
    data: Any,
    *,
    groups: Mapping[str, Sequence[Any]] | None = None,
    cv: Any = None,
    random_state: Any = None,
    nonnegative: bool = False,
    rank: bool = False,
) -> pd.DataFrame:
    r"""Split what several models explain of RDMs into unique and shared parts.

    Parameters
    ----------
    models : dict, DataFrame or array-like
        RDMs of the models, in any form of several RDMs that :func:`skdnn.rsa.compare_rdms` takes.
    data : array-like, DataFrame, dict or list
        One RDM or several of the same conditions.
    groups : dict of str to list, default=None
        Models that count as one, e.g. the layers of a network:
        ``{"net": ["conv1", "fc6"], "pixels": ["pixels"]}``, by name, or by position if `models`
        have no names. Models in no group are left out. None: each model by itself. Two to five
        groups.
    cv : int, splitter or iterable, default=None
        None: fit and explain all pairs. Else :math:`R^2` on held-out *conditions*: regressions
        are fitted to the pairs of the training conditions of each fold, and explain those among
        its test conditions. An int is a shuffled :class:`~sklearn.model_selection.KFold`. A
        splitter must need no y.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds if `cv` is an int.
    nonnegative : bool, default=False
        Allow no negative coefficients.
    rank : bool, default=False
        Replace dissimilarities by their mid-ranks first, divided by the number of pairs; with
        `cv`, among training pairs and among test pairs.

    Returns
    -------
    parts : DataFrame of shape (2 ** n_groups - 1, n_rdms), float64
        A row for each part: what a group explains alone (``"a"``), what two share and no other
        explains (``"a & b"``), and so on. The sum of a column is the :math:`R^2` of all.

    Raises
    ------
    ValueError
        If RDMs are refused by :func:`skdnn.rsa.compare_rdms`, a group names a model that there
        isn't, there are fewer than two groups or more than five, a model's RDM is constant, or
        folds are too small.

    See Also
    --------
    regression_rsa : Coefficients of the regression of all.

    Notes
    -----
    Commonality analysis: with :math:`R^2(S)` of the regression on the groups in :math:`S`, the
    part that exactly the groups in :math:`T` share is

    .. math::
        C(T) = \sum_{S \subseteq T} (-1)^{|S| + 1} R^2(S \cup \bar T).

    Shared parts may be negative: with suppression, two models explain more together than the sum
    of what each explains.

    *Held out*, :math:`R^2 = 1 - \sum (d - \hat d)^2 / \sum (d - \bar d)^2`, both sums over the
    test pairs of all folds, with :math:`\bar d` the mean of the training pairs: what knowing the
    models adds to knowing the mean. Without a relation it is not 0 but a little below, by what
    the estimated coefficients cost; it is never above 0 in expectation, while :math:`R^2`
    within the sample always is. Negative values are kept: to cut them off would turn noise into
    evidence. Parts that are differences of such values may fall on either side of 0.

    Pairs that are NaN in a model are left out for all RDMs, those that are NaN in one of `data`
    for that one.

    References
    ----------
    Seibold, D. R., & McPhee, R. D. (1979). Commonality analysis: A method for decomposing
    explained variance in multiple regression analyses. Human Communication Research, 5(4),
    355-365.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.rsa import variance_partitioning
    >>> rng = np.random.default_rng(0)
    >>> common, early, late, noise = rng.random((4, 190))  # RDMs of 20 conditions
    >>> models = {"early": common + early, "late": common + late}
    >>> variance_partitioning(models, {"V4": common + early + noise}).round(2)
    rdm             V4
    part
    early         0.45
    late          0.00
    early & late  0.22
    """
    model_stack, data_stack = read_both(models, data)
    members = _members(model_stack, groups)
    used = [model for group in members.values() for model in group]
    model_stack = _pick(model_stack, used)
    firsts = np.cumsum([0, *map(len, members.values())])
    blocks = [tuple(range(a, b)) for a, b in pairwise(firsts)]
    n = model_stack.n_conditions
    folds = None if cv is None else condition_folds(cv, n, random_state)
    explained = {subset: np.full(len(data_stack), np.nan) for subset in subsets(len(blocks))}
    for rows, known in same_known(model_stack.pairs, data_stack.pairs):
        rdms = data_stack.pairs[rows]
        check_design(model_stack.pairs[:, known], model_stack, True)
        columns = {
            subset: tuple(model for block in subset for model in blocks[block])
            for subset in explained
        }
        if folds is None:
            found = _r2_within(
                model_stack.pairs[:, known], rdms[:, known], columns, nonnegative, rank
            )
        else:
            found = _r2_held_out(model_stack, rdms, known, folds, columns, nonnegative, rank)
        for subset, values in found.items():
            explained[subset][rows] = values
    parts = shared_parts(list(members), explained)
    index = pd.Index(list(parts), name="part")
    return pd.DataFrame(np.stack(list(parts.values())), index, names_of(data_stack, "rdm"))


def _r2_within(
    design: Array, wanted: Array, columns: Mapping[Subset, Subset], nonnegative: bool, rank: bool
) -> dict[Subset, Array]:
    if rank:
        design, wanted = ranks(design), ranks(wanted)
    fit = Regression(design, wanted, True, True, nonnegative)
    return {subset: fit.r2(models) for subset, models in columns.items()}


def _r2_held_out(
    models: RDMStack,
    wanted: Array,
    known: Mask,
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    columns: Mapping[Subset, Subset],
    nonnegative: bool,
    rank: bool,
) -> dict[Subset, Array]:
    """Share of the squared errors of the training mean that is saved on test pairs."""
    saved = {subset: np.zeros(len(wanted)) for subset in columns}
    total = np.zeros(len(wanted))
    for train, test in folds:
        sides = []
        for conditions in (train, test):
            pairs = pair_positions(conditions, models.n_conditions)
            pairs = pairs[known[pairs]]
            side = (models.pairs[:, pairs], wanted[:, pairs])
            sides.append(tuple(ranks(part) / len(pairs) for part in side) if rank else side)
        (design, target), (test_design, test_target) = sides
        if test_target.shape[1] == 0:
            continue
        check_design(design, models, True, " among the training conditions of a fold")
        fit = Regression(design, target, True, False, nonnegative)
        errors = test_target - fit.mean[:, None]
        centred = test_design - fit.model_mean[:, None]
        products, cross = centred @ centred.T, centred @ errors.T
        total += np.sum(errors**2, axis=1)
        for subset, chosen in columns.items():
            found = np.nan_to_num(fit.coefficients(chosen))  # of a constant RDM: none
            quadratic = np.sum(found * (products[np.ix_(chosen, chosen)] @ found), axis=0)
            saved[subset] += 2 * np.sum(found * cross[list(chosen)], axis=0) - quadratic
    total[total == 0] = np.nan
    return {subset: values / total for subset, values in saved.items()}


def _members(models: RDMStack, groups: Mapping[str, Sequence[Any]] | None) -> dict[str, list[int]]:
    """Positions of the models of each group."""
    names = list(names_of(models, "model"))
    if groups is None:
        members = {rdm_name(name): [k] for k, name in enumerate(names)}
    else:
        members = {}
        for group, wanted in groups.items():
            unknown = [name for name in wanted if name not in names]
            if unknown or isinstance(wanted, str) or not len(wanted):
                raise ValueError(
                    f"groups[{group!r}] = {wanted!r}: give a list of models, of {names}."
                )
            members[str(group)] = [names.index(name) for name in wanted]
    if not 2 <= len(members) <= _MAX_PARTS:
        raise ValueError(
            f"{len(members)} model(s): variance is split between two to five. Put models together "
            "by groups={'name': [models], ...}."
        )
    return members


def _pick(models: RDMStack, rows: list[int]) -> RDMStack:
    names = None if models.names is None else models.names[rows]
    return RDMStack(models.pairs[rows], models.n_conditions, models.conditions, names)
