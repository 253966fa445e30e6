"""Where signs of components decide an RDM, a search says it once and its folds no more."""

from __future__ import annotations

import warnings
from typing import Any

from skdnn._search._extractors import estimators_in, make_candidates, scorers_of
from skdnn.rsa import RSAScorer
from skdnn.rsa._dissimilarity._component_signs import START, TellsSigns, maker_of, signs_before_rdm


def tell_signs(estimator: Any, param_grid: Any, scoring: Any) -> None:
    """Say once, for the whole search, where signs of components decide an RDM.

    Its folds say no more then: what ignores them is left by the ``catch_warnings`` around. Nor
    do clones of the search, in the folds around it.
    """
    scorers = scorers_of(scoring)
    metrics: list[str | None] = [s.metric for s in scorers if isinstance(s, RSAScorer)]
    if not metrics and not estimators_in([estimator, param_grid], TellsSigns):
        return  # nothing makes an RDM
    texts = {
        signs_before_rdm(candidate, metric)
        for _, candidate in make_candidates(estimator, param_grid)
        for metric in metrics or [None]
    } - {None}
    maker = maker_of(estimator)
    known = {} if maker is None else maker.__dict__
    told = known.setdefault("_told", set())  # of all clones
    for text in sorted(map(str, texts)):
        if text not in told or "_is_clone" not in known:
            warnings.warn(text, UserWarning, stacklevel=4)
        told.add(text)
    if texts:
        warnings.filterwarnings("ignore", message=START)
