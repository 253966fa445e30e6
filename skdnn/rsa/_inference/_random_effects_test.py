"""Tests over subjects of their scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from skdnn._multiple_tests import adjusted, check_adjust
from skdnn.rsa._inference._p_values import check_alternative, share_as_extreme, turned
from skdnn.rsa._inference._random_draws import check_count, generators

Array = NDArray[np.float64]

TESTS = ("t", "wilcoxon", "sign-flip")
# What RSAScorer(detail=True) returns beside the subjects' scores.
_RESERVED = re.compile(r"score|n_pairs|attainable|(.*/)?ceiling_(lower|upper)")
_TOLERANCE = 1e-12


def random_effects_test(
    table: pd.DataFrame | ArrayLike,
    *,
    test: str = "t",
    alternative: str = "greater",
    pairwise: bool = False,
    adjust: str | None = "holm",
    n_permutations: int = 10_000,
    random_state: Any = None,
) -> pd.DataFrame:
    r"""Test over subjects whether scores, or their differences, are zero in the population.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_subjects, n_columns)
        One score for each subject and layer (or model), e.g.
        ``compare_rdms(models, subjects).T`` or :func:`subject_layer_table`.
    test : {"t", "wilcoxon", "sign-flip"}, default="t"
        Student's t; Wilcoxon's signed ranks (exact with few subjects and no ties); or the mean
        under random signs of the subjects' scores, with one set of signs for all columns.
    alternative : {"greater", "less", "two-sided"}, default="greater"
        What is to be shown.
    pairwise : bool, default=False
        Test the differences between columns in place of the columns.
    adjust : {"holm", "fdr", None}, default="holm"
        How ``p_adjusted`` is made for the number of tests.
    n_permutations : int, default=10_000
        Number of random sets of signs. If there are no more than that at all (13 subjects have
        8192), each is taken once, and the p-values are exact.
    random_state : int, RandomState or None, default=None
        Where random signs come from.

    Returns
    -------
    frame : DataFrame
        One row for each column, with ``model``, ``mean``, ``sem``, ``n`` (subjects with a score),
        ``statistic``, ``p`` and ``p_adjusted``; with `pairwise`, ``model_a`` and ``model_b`` in
        place of ``model``. For ``test="sign-flip"`` also ``p_max``, adjusted by the
        max-statistic over all rows.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or a parameter is not known.

    See Also
    --------
    bootstrap_rsa : Generalises to other conditions also.
    subject_layer_table : The table, from a search.

    Notes
    -----
    Subjects are the random factor, conditions are fixed: what is tested is the mean score in the
    population of subjects for these conditions. Scores are NaN where they are undefined; those
    are left out of their column.

    References
    ----------
    Nili, H., Wingfield, C., Walther, A., Su, L., Marslen-Wilson, W., & Kriegeskorte, N. (2014).
    A toolbox for representational similarity analysis. PLOS Computational Biology, 10(4),
    e1003553.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.rsa import random_effects_test
    >>> table = pd.DataFrame({"conv1": [0.02, -0.01, 0.03, 0.01], "conv5": [0.2, 0.15, 0.22, 0.1]})
    >>> random_effects_test(table).round(4)
       model    mean     sem  n  statistic       p  p_adjusted
    0  conv1  0.0125  0.0085  4     1.4639  0.1197      0.1197
    1  conv5  0.1675  0.0269  4     6.2298  0.0042      0.0083
    >>> random_effects_test(table, pairwise=True, alternative="two-sided").round(4)
      model_a model_b   mean     sem  n  statistic       p  p_adjusted
    0   conv1   conv5 -0.155  0.0225  4    -6.8748  0.0063      0.0063
    """
    check_alternative(alternative)
    check_adjust(adjust)
    if test not in TESTS:
        raise ValueError(f"test={test!r} is not known: choose one of {', '.join(TESTS)}.")
    n_permutations = check_count(n_permutations, "n_permutations", 1)
    scores = _read_table(table)
    values, labels = scores.to_numpy(dtype=np.float64), list(scores.columns)
    frame: dict[str, Any] = {"model": labels}
    if pairwise:
        pairs = list(combinations(range(len(labels)), 2))
        values = np.stack([values[:, a] - values[:, b] for a, b in pairs], axis=1)
        frame = {f"model_{ab}": [labels[pair[k]] for pair in pairs] for k, ab in enumerate("ab")}
    n = (~np.isnan(values)).sum(axis=0)
    if (n < 2).any():
        culprit = np.flatnonzero(n < 2)[0]
        name = " and ".join(str(column[culprit]) for column in frame.values())
        raise ValueError(f"table has fewer than two subjects with a score for {name}.")
    frame["mean"] = np.nanmean(values, axis=0)
    frame["sem"] = np.nanstd(values, axis=0, ddof=1) / np.sqrt(n)
    frame["n"] = n
    if test == "sign-flip":
        signs = _signs(len(values), n_permutations, random_state)
        frame |= _sign_flip(values, signs, alternative)
    else:
        frame |= _scipy_test(values, test, alternative)
    p_max = frame.pop("p_max", None)
    frame["p_adjusted"] = adjusted(frame["p"], adjust)
    if p_max is not None:
        frame["p_max"] = p_max
    return pd.DataFrame(frame)


def _read_table(table: Any) -> pd.DataFrame:
    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(np.asarray(table))
    if len(frame) < 2:
        raise ValueError(
            f"table has {len(frame)} rows: one row for each of two or more subjects is needed."
        )
    return frame


def _scipy_test(values: Array, test: str, alternative: str) -> dict[str, Array]:
    found = []
    for column in values.T:
        scores = column[~np.isnan(column)]
        if test == "t":
            result = stats.ttest_1samp(scores, 0, alternative=alternative)
        elif not scores.any():
            found.append((0.0, 1.0))
            continue
        else:
            result = stats.wilcoxon(scores, alternative=alternative)
        found.append((float(result.statistic), float(result.pvalue)))
    statistic, p = np.array(found).T
    return {"statistic": statistic, "p": p}


def _signs(n_subjects: int, n_permutations: int, random_state: Any) -> tuple[Array, bool]:
    """Signs (n_permutations, n_subjects), and whether these are all that there are."""
    if 2**n_subjects <= n_permutations:
        return np.array(list(product([1.0, -1.0], repeat=n_subjects))), True
    rng = generators(random_state, 1)[0]
    return rng.choice([1.0, -1.0], size=(n_permutations, n_subjects)), False


def _sign_flip(values: Array, signs: tuple[Array, bool], alternative: str) -> dict[str, Array]:
    """Mean scores against those with random signs, each column alone and the best of all.

    Columns differ in spread; divided by their root mean square, which signs don't change, they
    share one scale, on which the best is chosen.
    """
    flips, every = signs
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    size = np.sqrt(np.square(filled).sum(axis=0))
    filled = np.divide(filled, size, out=np.zeros_like(filled), where=size > 0)
    null, observed = flips @ filled, filled.sum(axis=0)
    statistic = observed
    null, observed = turned(null, observed, alternative)
    best = null.max(axis=1, keepdims=True)
    p, p_max = (share_as_extreme(of, observed, _TOLERANCE, every) for of in (null, best))
    return {"statistic": statistic, "p": p, "p_max": p_max}


def subject_layer_table(
    cv_results: Mapping[str, Any],
    param: str = "param_dnn__layer",
    *,
    subjects: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Table of scores, subjects by layers, from a search.

    Parameters
    ----------
    cv_results : dict or DataFrame
        ``cv_results_`` of a search with ``scoring=RSAScorer(detail=True)``.
    param : str, default="param_dnn__layer"
        The column of `cv_results` that names the layers (or whatever was searched).
    subjects : iterable of str, default=None
        The scorer's names for the subjects, e.g. ``"sub-01"`` or ``"sub-01/V1"``. None takes all
        scores but the mean, the ceilings and the number of pairs.

    Returns
    -------
    table : DataFrame of shape (n_subjects, n_layers)
        Mean over folds of each subject's score. Where several candidates share a layer, the one
        with the best mean score over subjects.

    Raises
    ------
    ValueError
        If `param` or a subject is not in `cv_results`, or it has no subjects' scores.

    See Also
    --------
    random_effects_test : Tests the table.
    RSAScorer : Gives one score for each subject with ``detail=True``.

    Notes
    -----
    Where several candidates share a layer, their scores are those that chose the best, and so a
    little too high: search layers alone, or test the scores of an outer cross-validation.

    Examples
    --------
    >>> from skdnn.rsa import subject_layer_table
    >>> cv_results = {"param_dnn__layer": ["conv1", "conv2"], "mean_test_score": [0.1, 0.3],
    ...               "mean_test_anna": [0.1, 0.2], "mean_test_ben": [0.1, 0.4]}
    >>> subject_layer_table(cv_results)
    layer    conv1  conv2
    subject
    anna       0.1    0.2
    ben        0.1    0.4
    """
    keys = [key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_")]
    found = [key for key in keys if not _RESERVED.fullmatch(key)]
    chosen = found if subjects is None else list(subjects)
    missing = [subject for subject in chosen if subject not in found]
    if missing:
        raise ValueError(
            f"cv_results has no scores of {', '.join(map(repr, missing))}: it has those of "
            f"{', '.join(map(repr, found)) or 'no subject'}."
        )
    if not chosen:
        raise ValueError(
            "cv_results has no scores of single subjects: search with "
            "scoring=RSAScorer(detail=True) and RDMs of several subjects."
        )
    if param not in cv_results:
        known = [key for key in cv_results if key.startswith("param_")]
        raise ValueError(f"param={param!r} is not in cv_results: it has {known}.")
    layers = [layer if isinstance(layer, str) else str(layer) for layer in cv_results[param]]
    frame = pd.DataFrame({subject: cv_results[f"mean_test_{subject}"] for subject in chosen})
    best = frame.mean(axis=1).groupby(pd.Series(layers), sort=False).idxmax()
    table = frame.loc[best].set_axis(pd.Index(best.index, name=param.rsplit("__")[-1])).T
    return table.rename_axis("subject")
