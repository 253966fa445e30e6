"""Scores of several targets in one picture: which are subjects, and which lines of their own."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, is_regressor

_CEILING = "/ceiling_lower"
_MOST_LINES = 12
_SUBJECT = re.compile(
    r"(sub(j(ect)?)?|participant|observer|person|animal|monkey|human|s|p|vp)?[-_ ]*\d+", re.I
)
# Initials look like names of areas.
_AREAS = {"IT", "TE", "LO", "MT", "FFA", "OFA", "PPA", "EBA", "FBA", "RSC", "OPA", "TOS", "STS"}
_AREAS |= {"LOC", "EVC", "LVC", "HVC", "VTC", "IPS", "MST", "AIT", "PIT", "CIT", "TEO", "PFC"}


def lines_of_targets(search: Any, each: pd.DataFrame | None) -> pd.DataFrame | None:
    """Scores that have nothing to do with each other, e.g. of regions; None where there are none.

    Of regions in several subjects, each region's mean over them: the search has a noise ceiling
    for each region. Other targets are subjects if they are called like subjects.
    """
    if each is None or each.shape[1] < 2:
        return None
    start = "mean_test_"
    regions = [
        key[len(start) : -len(_CEILING)]
        for key in search.cv_results_
        if key.startswith(start) and key.endswith(_CEILING)
    ]
    if regions:
        members = {
            region: [name for name in each if region in _without_one_part(str(name))]
            for region in regions
        }
        each = pd.DataFrame({name: each[of].mean(axis=1) for name, of in members.items() if of})
    elif all(_is_subject(str(name)) for name in each):
        return None
    return each if 1 < each.shape[1] <= _MOST_LINES else None


def _without_one_part(name: str) -> set[str]:
    """A name of several levels without each of them in turn."""
    parts = name.split("/")
    return {"/".join(parts[:k] + parts[k + 1 :]) for k in range(len(parts))}


def _is_subject(name: str) -> bool:
    is_initials = re.fullmatch("[A-Z]{2,3}", name) is not None and name not in _AREAS
    return is_initials or _SUBJECT.fullmatch(name) is not None


def averaged(search: Any) -> str | None:
    """What the scores are a mean of, where the search kept no more than that; None of one."""
    last = getattr(getattr(search, "best_estimator_", None), "steps", [("", None)])[-1][1]
    names = getattr(last, "rdm_names_", ())
    return f"mean of {len(names)}" if len(names) > 1 else None


def score_name(search: Any) -> str:
    """What the scores of a search are, for an axis."""
    estimator = getattr(search, "estimator", None)
    last = getattr(estimator, "steps", [("", estimator)])[-1][1]
    for scorer in (getattr(search, "scoring", None), last):
        comparison = getattr(scorer, "comparison", None)
        if comparison is not None:
            return f"RSA score ({comparison})"
        if isinstance(scorer, str):
            return f"score ({scorer})"
    return "score (R²)" if isinstance(last, BaseEstimator) and is_regressor(last) else "score"
