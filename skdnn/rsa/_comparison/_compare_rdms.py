"""Comparisons of RDMs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from skdnn._docs import filled
from skdnn.rsa._comparison._rdm_stack import RDMStack, read_rdms
from skdnn.rsa._comparison._similarity_measures import (
    MIN_PAIRS,
    check_comparison,
    is_flat,
    similarities,
    tell_negative,
)


@filled
def compare_rdms(
    a: ArrayLike | pd.DataFrame | Any,
    b: ArrayLike | pd.DataFrame | Any,
    comparison: str = "spearman",
    *,
    conditions: ArrayLike | None = None,
) -> Any:
    r"""Similarity of RDMs over their pairs of conditions.

    Parameters
    ----------
    a, b : array-like, DataFrame, dict or list
        One RDM: a square array of shape (n_conditions, n_conditions), its condensed form of
        length ``n_conditions * (n_conditions - 1) / 2`` as
        :func:`scipy.spatial.distance.squareform` orders it, or a DataFrame whose index and
        columns are the labels of the conditions. Several RDMs: a stack of shape (n_rdms,
        n_conditions, n_conditions) or (n_rdms, n_pairs), a DataFrame whose columns are a
        MultiIndex that ends in the condition, or a dict or list of RDMs.
    comparison : str, default="spearman"
        With the :math:`P = n(n-1)/2` pairs of both RDMs:

        - ``"spearman"``: Pearson's correlation of the mid-ranks;
        - ``"pearson"``: Pearson's correlation;
        - ``"kendall"`` (or ``"tau-b"``): Kendall's :math:`\tau_b`;
        - ``"tau-a"``: Kendall's :math:`\tau_a`, concordant minus discordant pairs of pairs over
          all of them, so that a model that predicts ties gains nothing by them;
        - ``"rho-a"``: :math:`12 \sum r_a r_b / (P^3 - P)` with centred mid-ranks: Spearman's
          correlation expected when ties are broken by chance;
        - ``"cosine"``: cosine of the two vectors (not centred);
        - ``"cosine_cov"``, ``"corr_cov"``: cosine and Pearson's correlation after whitening by
          the covariance that squared distances have with equal, independent noise in the
          patterns; for squared Euclidean distances ``"cosine_cov"`` is linear CKA;
        - ``"bures"``: fidelity of the two centred kernels
          :math:`G = -\frac{1}{2} H D H`, where D holds squared distances:
          :math:`\operatorname{tr} (G_a^{1/2} G_b G_a^{1/2})^{1/2} / \sqrt{\operatorname{tr} G_a
          \operatorname{tr} G_b}`.

    conditions : array-like of shape (n_conditions,), default=None
        Labels of the conditions of those RDMs that have none, in their order. %(conditions)s

    Returns
    -------
    similarity : float, ndarray or DataFrame
        A float for two single RDMs. If one is a stack, an array (n_rdms_a, n_rdms_b), a DataFrame
        if the RDMs of one have names.

    Raises
    ------
    ValueError
        If `comparison` is unknown, an RDM is not square and symmetric with a zero diagonal, the
        sizes or sets of labels differ, labels repeat, one DataFrame is labelled and the other's
        rows are only counted, or there are fewer than three conditions.

    Warns
    -----
    RuntimeWarning
        If a similarity is NaN, saying which RDM is the cause; if Bures' similarity is asked of
        dissimilarities of which some are negative.
    UserWarning
        If one side is labelled and the other is not.

    See Also
    --------
    compute_rdm : RDM of patterns.
    noise_ceiling : How similar a perfect model could be to the RDMs of several subjects.
    RSAScorer : The comparison in cross-validation.

    Notes
    -----
    *Labels.* If both RDMs are labelled, `b` is put into the order of `a`, and other labels are an
    error. If only one is labelled, or none, the order is taken as the same; a warning says so in
    the first case, and `conditions` avoids it. pandas's own count of rows from 0 on is no label:
    beside labels, or numbers in another order, it is an error rather than matched with them.

    *Unknown and constant.* Pairs that are NaN in either of two RDMs are left out of both; the
    whitened comparisons then use the covariance of the pairs that are left, and Bures'
    similarity, which needs all pairs, is NaN. So is every comparison with fewer than three pairs
    or with a constant RDM (for the two cosines and Bures: one that is zero everywhere): its
    similarity to anything is undefined. An RDM counts as constant if its values differ by less
    than 1e-12 of the largest. Triangles may differ by 1e-6 of the largest value, and their mean
    is compared.

    *Negative dissimilarities*, as of crossnobis, are taken as they are by all comparisons but one.
    The whitened ones are made for them: with crossnobis of patterns without any signal they are
    zero on average, also where pairs are missing. Bures' similarity is not defined there (see
    below), and a warning says so.

    *Where rsatoolbox differs.* It ignores labels, scores a constant RDM 0, refuses RDMs whose
    NaN differ, and its Bures' similarity of an RDM that is not Euclidean depends on the order of
    the two; here negative eigenvalues count as zero in both.

    References
    ----------
    Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W., & Kriegeskorte, N. (2014).
    A toolbox for representational similarity analysis. PLOS Computational Biology, 10(4),
    e1003553.

    Diedrichsen, J., Berlot, E., Mur, M., Schütt, H. H., Shahbazi, M., & Kriegeskorte, N. (2021).
    Comparing representational geometries using whitened unbiased-distance-matrix similarity.
    Neurons, Behavior, Data Analysis, and Theory, 5(3).

    Examples
    --------
    >>> from skdnn.rsa import category_rdm, compare_rdms
    >>> model = category_rdm(["a", "a", "b"], names=["cat", "dog", "saw"])
    >>> shuffled = model.loc[["saw", "cat", "dog"], ["saw", "cat", "dog"]]
    >>> round(compare_rdms(model, shuffled, "pearson"), 10)
    1.0
    >>> names = ["cat", "dog", "saw"]  # of the RDMs that have no labels
    >>> round(compare_rdms(model, [0.3, 0.9, 0.8], conditions=names), 3)
    0.866
    >>> subjects = {"sub-01": [0.3, 0.9, 0.8], "sub-02": [0.4, 0.5, 0.4]}
    >>> compare_rdms(model, subjects, conditions=names).round(3)
    rdm  sub-01  sub-02
    0     0.866     0.5
    """
    comparison = check_comparison(comparison)
    stack_a, stack_b = read_rdms(a, "a", conditions), read_rdms(b, "b", conditions)
    stack_b = stack_b.like(stack_a, "b", "a")
    tell_negative(comparison, stack_a.pairs, stack_b.pairs)
    found = similarities(stack_a.pairs, stack_b.pairs, stack_a.n_conditions, comparison)
    if np.isnan(found).any():
        warn_undefined(stack_a, stack_b, comparison, ("a", "b"))
    if stack_a.single and stack_b.single:
        return float(found[0, 0])
    if stack_a.names is None and stack_b.names is None:
        return found
    return pd.DataFrame(found, index=stack_a.names, columns=stack_b.names)


def warn_undefined(
    a: RDMStack, b: RDMStack, comparison: str, names: tuple[str, str], stacklevel: int = 3
) -> None:
    """Say once which RDMs have no similarity."""
    found = _flat_ones(a, names[0], comparison) + _flat_ones(b, names[1], comparison)
    if found:
        kind = "constant" if comparison not in _ZERO else "zero everywhere"
        many = len(found) > 1
        shown = " and ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        message = f"{shown} {'are' if many else 'is'} {kind}: the {comparison} comparison is NaN."
    else:
        known = int((~np.isnan(a.pairs).any(axis=0) & ~np.isnan(b.pairs).any(axis=0)).sum())
        reason = f"Only {known} pairs of conditions are known (not NaN) in both"
        if known >= MIN_PAIRS and comparison == "bures":
            reason = "Bures' similarity needs all pairs, and some are NaN, in"
        elif known >= MIN_PAIRS:
            reason = "Constant, or fewer than three, are the pairs of conditions known in both"
        message = f"{reason} {names[0]} and {names[1]}: their similarity is NaN."
    warnings.warn(message, RuntimeWarning, stacklevel=stacklevel)


def warn_no_ceiling(stack: RDMStack, comparison: str, stacklevel: int = 3) -> None:
    """Say which subjects leave a noise ceiling undefined."""
    found = _flat_ones(stack, "rdms", comparison)
    if found:
        kind = "constant" if comparison not in _ZERO else "zero everywhere"
        reason = f"{' and '.join(found)} {'are' if len(found) > 1 else 'is'} {kind}"
        way = "Leave such subjects out."
    else:
        reason = "subjects share too few known pairs of conditions"
        way = "Each needs three or more, that differ, in common with the others."
    warnings.warn(
        f"The noise ceiling is NaN: {reason}, so the {comparison} comparison is undefined. {way}",
        UserWarning,
        stacklevel=stacklevel,
    )


_ZERO = ("cosine", "cosine_cov", "bures")


def _flat_ones(stack: RDMStack, what: str, comparison: str) -> list[str]:
    """What to call the RDMs that have no similarity to anything."""
    names = stack.labels(what)
    flat = []
    for name, pairs in zip(names, stack.pairs, strict=True):
        known = pairs[~np.isnan(pairs)]
        if len(known) >= MIN_PAIRS and is_flat(known[None], comparison)[0]:
            flat.append(name)
    return flat
