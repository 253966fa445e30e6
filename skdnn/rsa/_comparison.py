"""Comparisons of two RDMs."""

from __future__ import annotations

import difflib
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata

Array = NDArray[np.float64]

COMPARISONS = ("pearson", "spearman", "kendall", "cosine")
MIN_CONDITIONS = 3

# Two triangles may differ by what a float32 or a text file loses, relative to the largest value.
_SYMMETRY = 1e-6
# A spread below this share of the largest value is round-off.
_CONSTANT = 1e-12


def compare_rdms(
    a: ArrayLike | pd.DataFrame,
    b: ArrayLike | pd.DataFrame,
    comparison: str = "spearman",
) -> float:
    r"""Similarity of two RDMs over their pairs of conditions.

    Parameters
    ----------
    a, b : array-like or DataFrame
        A square RDM of shape (n_conditions, n_conditions), or its condensed form of length
        ``n_conditions * (n_conditions - 1) / 2`` as :func:`scipy.spatial.distance.squareform`
        orders it. A DataFrame is labelled: its columns are put into the order of its index, and
        if both RDMs are labelled, `b` into the order of `a`. If only one is labelled, or none,
        the order is taken as the same.
    comparison : {"spearman", "pearson", "kendall", "cosine"}, default="spearman"
        Over the :math:`P = n(n-1)/2` pairs: Spearman's correlation with mid-ranks, Pearson's,
        Kendall's :math:`\tau_b`, or the cosine of the two vectors (not centred).

    Returns
    -------
    similarity : float
        NaN if an RDM is constant (for "cosine": all zero), or fewer than three pairs are left.

    Raises
    ------
    ValueError
        If `comparison` is unknown, an RDM is not square and symmetric with a zero diagonal, the
        sizes or sets of labels differ, labels repeat, or there are fewer than three conditions.

    Warns
    -----
    RuntimeWarning
        If the result is NaN, saying which RDM is the cause.

    See Also
    --------
    compute_rdm : RDM of patterns.
    RSAScorer : The comparison in cross-validation.

    Notes
    -----
    Pairs that are NaN in either RDM are left out of both. Triangles may differ by 1e-6 of the
    largest value, and their mean is compared. An RDM counts as constant if its values differ by
    less than 1e-12 of the largest; rsatoolbox scores such an RDM 0, here its correlation is
    undefined.

    References
    ----------
    Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W., & Kriegeskorte, N. (2014).
    A toolbox for representational similarity analysis. PLOS Computational Biology, 10(4),
    e1003553.

    Examples
    --------
    >>> from skdnn.rsa import category_rdm, compare_rdms
    >>> model = category_rdm(["a", "a", "b"], names=["cat", "dog", "saw"])
    >>> compare_rdms(model, model.loc[["saw", "cat", "dog"], ["saw", "cat", "dog"]], "pearson")
    1.0
    >>> round(compare_rdms(model, [0.3, 0.9, 0.8], "spearman"), 3)
    0.866
    """
    check_comparison(comparison)
    labels_a, square_a = _square(a, "a")
    labels_b, square_b = _square(b, "b")
    if labels_a is not None and labels_b is not None:
        square_b = square_b[np.ix_(*[_alignment(labels_a, labels_b)] * 2)]
    if len(square_a) != len(square_b):
        raise ValueError(
            f"a has {len(square_a)} conditions and b has {len(square_b)}: RDMs of the same "
            "conditions are needed."
        )
    return compare_square(square_a, square_b, comparison, "a", "b")


def check_comparison(comparison: str) -> None:
    """Raise ValueError for an unknown comparison."""
    if comparison in COMPARISONS:
        return
    near = difflib.get_close_matches(str(comparison).lower(), COMPARISONS, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"comparison={comparison!r} is not known. {hint}Choose one of {', '.join(COMPARISONS)}."
    )


def check_square(values: ArrayLike, what: str) -> Array:
    """`values` as a symmetric float64 RDM of three conditions or more; `what` is its name."""
    square = np.asarray(values, dtype=np.float64)
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise ValueError(f"{what} must be a square RDM, got shape {square.shape}.")
    if len(square) < MIN_CONDITIONS:
        raise ValueError(
            f"{what} has {len(square)} conditions: fewer than three conditions cannot be compared."
        )
    if np.isinf(square).any():
        raise ValueError(f"{what} contains infinity.")
    largest = np.nanmax(np.abs(square), initial=0.0)
    if not np.allclose(square, square.T, rtol=0, atol=_SYMMETRY * largest, equal_nan=True):
        raise ValueError(
            f"{what} is not symmetric: give the whole matrix, with the same conditions in the "
            "same order in rows and columns."
        )
    if np.nanmax(np.abs(np.diag(square)), initial=0.0) > _SYMMETRY * largest:
        raise ValueError(
            f"The diagonal of {what} is not zero, so it is no dissimilarity matrix. If it holds "
            "similarities, give 1 - similarity."
        )
    return (square + square.T) / 2


def is_rdm_like(values: Array) -> bool:
    """Whether an array is square, symmetric and zero on the diagonal."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    largest = np.nanmax(np.abs(values), initial=0.0)
    return bool(
        np.nanmax(np.abs(np.diag(values)), initial=0.0) <= _SYMMETRY * largest
        and np.allclose(values, values.T, rtol=0, atol=_SYMMETRY * largest, equal_nan=True)
    )


def compare_square(a: Array, b: Array, comparison: str, name_a: str, name_b: str) -> float:
    """Compare two checked square RDMs; the names appear in warnings."""
    upper = np.triu_indices(len(a), k=1)
    pairs_a, pairs_b = a[upper], b[upper]
    known = ~(np.isnan(pairs_a) | np.isnan(pairs_b))
    pairs_a, pairs_b = pairs_a[known], pairs_b[known]
    if len(pairs_a) < MIN_CONDITIONS:
        return _undefined(
            f"Only {len(pairs_a)} pairs of conditions are known (not NaN) in both {name_a} and "
            f"{name_b}: their similarity is NaN."
        )
    flat = [
        name
        for name, pairs in ((name_a, pairs_a), (name_b, pairs_b))
        if _is_flat(pairs, comparison)
    ]
    if flat:
        kind = "zero everywhere" if comparison == "cosine" else "constant"
        return _undefined(
            f"{' and '.join(flat)} {'is' if len(flat) == 1 else 'are'} {kind}: the {comparison} "
            "comparison is NaN."
        )
    return _similarity(pairs_a, pairs_b, comparison)


def _similarity(a: Array, b: Array, comparison: str) -> float:
    if comparison == "kendall":
        return float(kendalltau(a, b, method="asymptotic").statistic)
    if comparison == "spearman":
        a, b = rankdata(a), rankdata(b)
    if comparison != "cosine":
        a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    cosine = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
    return min(1.0, max(-1.0, cosine))


def _is_flat(pairs: Array, comparison: str) -> bool:
    largest = np.abs(pairs).max()
    if comparison == "cosine":
        return bool(largest == 0)
    return bool(np.ptp(pairs) <= _CONSTANT * largest)


def _undefined(message: str) -> float:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
    return math.nan


def _square(rdm: Any, name: str) -> tuple[pd.Index | None, Array]:
    """Labels, if any, and the checked square form of an RDM."""
    if isinstance(rdm, pd.DataFrame):
        return rdm.index, check_square(labelled_values(rdm, name), name)
    values = np.asarray(rdm, dtype=np.float64)
    if values.ndim != 1:
        return None, check_square(values, name)
    n = (1 + math.isqrt(1 + 8 * len(values))) // 2
    if n * (n - 1) // 2 != len(values):
        raise ValueError(
            f"{name} has length {len(values)}, which is no number of pairs n(n-1)/2: give the "
            "square RDM, or all pairs above its diagonal."
        )
    square = np.zeros((n, n))
    square[np.triu_indices(n, k=1)] = values
    return None, check_square(square + square.T, name)


def labelled_values(rdm: pd.DataFrame, name: str) -> Array:
    """Values of a labelled square RDM, its columns in the order of its index."""
    if rdm.shape[0] != rdm.shape[1]:
        raise ValueError(f"{name} must be a square RDM, got shape {rdm.shape}.")
    for labels, axis in ((rdm.index, "row"), (rdm.columns, "column")):
        check_unique(labels, f"{axis} labels of {name}")
    missing = rdm.index.difference(rdm.columns, sort=False)
    if len(missing):
        surplus = rdm.columns.difference(rdm.index, sort=False)
        raise ValueError(
            f"The rows and columns of {name} are labelled differently: {_some(missing)} only in "
            f"the rows, {_some(surplus)} only in the columns."
        )
    order = rdm.columns.get_indexer(rdm.index)
    return rdm.to_numpy(dtype=np.float64)[:, order]


def check_unique(labels: pd.Index, what: str) -> None:
    """Raise ValueError naming labels that repeat."""
    if not labels.is_unique:
        raise ValueError(
            f"The {what} repeat: {_some(labels[labels.duplicated()].unique())}. Each condition "
            "needs a label of its own."
        )


def _alignment(labels_a: pd.Index, labels_b: pd.Index) -> NDArray[np.intp]:
    """Positions in b of the labels of a."""
    only_a = labels_a.difference(labels_b, sort=False)
    only_b = labels_b.difference(labels_a, sort=False)
    if len(only_a) or len(only_b):
        raise ValueError(
            f"a and b are labelled differently: {_some(only_a)} only in a, {_some(only_b)} only "
            "in b. Select the conditions that both have, or drop the labels of one if the "
            "order is known to be the same."
        )
    return labels_b.get_indexer(labels_a)


def _some(labels: pd.Index) -> str:
    """The first labels, for a message."""
    if len(labels) == 0:
        return "none"
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return ", ".join(map(repr, labels[:5])) + more
