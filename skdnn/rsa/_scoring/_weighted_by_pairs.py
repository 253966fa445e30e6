"""Folds of unequal size: means over them weighted by the pairs they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weighted_scores(cv_results: Mapping[str, Any], name: str = "score") -> Array:
    r"""Mean test score of each candidate, each fold weighted by its number of pairs.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search, or the result of
        :func:`sklearn.model_selection.cross_validate`, with
        ``scoring=RSAScorer(detail=True)``.
    name : str, default="score"
        Which score: ``"score"``, or the name of a separate RDM.

    Returns
    -------
    scores : ndarray of shape (n_candidates,)
        :math:`\sum_k P_k s_k / \sum_k P_k` over folds with :math:`P_k` pairs; one number for
        ``cross_validate``. NaN where a fold's score is NaN.

    Raises
    ------
    ValueError
        If the results hold no such score, or no numbers of pairs.

    See Also
    --------
    best_by_pairs : Lets a search choose by these scores.
    RSAScorer : Its ``detail=True`` gives the numbers of pairs.

    Notes
    -----
    A fold of m conditions has m(m-1)/2 pairs. Folds of 19 and 18 conditions have 171 and 153
    pairs; leaving out whole sessions or categories makes larger differences.

    Examples
    --------
    >>> from skdnn.rsa import weighted_scores
    >>> weighted_scores({"test_score": [0.2, 0.5], "test_n_pairs": [30, 10]})
    array([0.275])
    """
    scores, pairs = _splits(cv_results, name), _splits(cv_results, "n_pairs")
    return (scores * pairs).sum(axis=1) / pairs.sum(axis=1)


def best_by_pairs(cv_results: Mapping[str, Any]) -> int:
    """Choose the candidate with the highest score weighted by pairs: for ``refit=`` of a search.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search with ``scoring=RSAScorer(detail=True)``.

    Returns
    -------
    best_index : int
        The first of the best candidates; those whose score is NaN come last.

    Raises
    ------
    ValueError
        If the results hold no numbers of pairs.

    See Also
    --------
    weighted_scores : The scores themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdnn.rsa import RDM, RSAScorer, best_by_pairs
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(20, 8))
    >>> voxels = features @ rng.normal(size=(8, 30))
    >>> search = GridSearchCV(
    ...     make_pipeline(RDM()), {"rdm__metric": ["correlation", "euclidean"]},
    ...     cv=KFold(3, shuffle=True, random_state=0),
    ...     scoring=RSAScorer(detail=True), refit=best_by_pairs)
    >>> search.fit(features, voxels).best_params_
    {'rdm__metric': 'euclidean'}
    """
    scores = weighted_scores(cv_results)
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))


def _splits(cv_results: Mapping[str, Any], name: str) -> Array:
    """Values by candidate and fold."""
    if f"test_{name}" in cv_results:
        return np.asarray(cv_results[f"test_{name}"], dtype=np.float64)[None]
    found: list[Array] = []
    while (key := f"split{len(found)}_test_{name}") in cv_results:
        found.append(np.asarray(cv_results[key], dtype=np.float64))
    if not found:
        raise ValueError(
            f"The results have no test scores called {name!r}: use "
            "scoring=RSAScorer(detail=True), which also counts the pairs of each fold."
        )
    return np.stack(found, axis=1)
