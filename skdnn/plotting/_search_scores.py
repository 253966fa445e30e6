"""What a picture takes from a fitted search over layers: scores, ceilings, single targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_regressor

Array = NDArray[np.float64]

_CEILINGS = ("ceiling_lower", "ceiling_upper")
_MOST_LINES = 12
_SUBJECT = re.compile(
    r"(sub(j(ect)?)?|participant|observer|person|animal|monkey|human|s|p|vp)?[-_ ]*\d+", re.I
)
# Initials look like names of areas.
_AREAS = {"IT", "TE", "LO", "MT", "FFA", "OFA", "PPA", "EBA", "FBA", "RSC", "OPA", "TOS", "STS"}
_AREAS |= {"LOC", "EVC", "LVC", "HVC", "VTC", "IPS", "MST", "AIT", "PIT", "CIT", "TEO", "PFC"}


def layer_rows(search: Any, param: str | None) -> dict[str, int]:
    """The row of ``cv_results_`` that is best for each layer; the search's own choice is."""
    results = search.cv_results_
    chosen = getattr(search, "best_index_", None)
    means = np.asarray(results[f"mean_test_{_metric(search)}"])
    rows: dict[str, int] = {}
    for row, value in enumerate(results[_layer_parameter(results, param)]):
        parts = value if isinstance(value, list | tuple | np.ndarray) else [value]
        name = " + ".join(map(str, parts))  # of several layers side by side
        best = rows.get(name)
        if best is not None and chosen in (best, row):
            rows[name] = chosen
        elif best is None or not means[row] <= np.nan_to_num(means[best], nan=-np.inf):
            rows[name] = row
    return rows


def score_folds(search: Any, rows: Mapping[str, int]) -> dict[str, Array]:
    """Scores of the folds of each layer."""
    of_fold = re.compile(rf"split\d+_test_{re.escape(_metric(search))}")
    folds = np.array([v for key, v in search.cv_results_.items() if of_fold.fullmatch(key)]).T
    return {name: folds[row] for name, row in rows.items()}


def search_ceiling(search: Any) -> tuple[float, float] | None:
    """Mean noise ceiling of the best row: it depends on the conditions of the folds alone."""
    results = search.cv_results_
    if not all(f"mean_test_{name}" in results for name in _CEILINGS):
        return None
    means = np.nan_to_num(results[f"mean_test_{_metric(search)}"], nan=-np.inf)
    best = int(getattr(search, "best_index_", np.argmax(means)))
    low, high = (float(results[f"mean_test_{name}"][best]) for name in _CEILINGS)
    return low, high


def search_parts(search: Any, rows: Mapping[str, int]) -> pd.DataFrame | None:
    """Mean scores of the single targets, a column each; None if the search kept none."""
    results = search.cv_results_
    if isinstance(getattr(search, "scoring", None), dict | list | tuple | set):
        return None  # several measures, not several targets
    start = "mean_test_"
    names = [key.removeprefix(start) for key in results if key.startswith(start)]
    besides = (_metric(search), "n_pairs", "attainable")
    parts = [name for name in names if name not in besides and not name.endswith(_CEILINGS)]
    if _metric(search) != "score" or not parts:
        return None
    columns = {name: np.asarray(results[start + name])[list(rows.values())] for name in parts}
    return pd.DataFrame(columns, index=list(rows))


def _metric(search: Any) -> str:
    """A multimetric search names its scores; refit says which one chose the layer."""
    refit = getattr(search, "refit", None)
    metric = refit if isinstance(refit, str) else "score"
    if f"mean_test_{metric}" not in search.cv_results_:
        raise ValueError(
            "The search has several scores and none called 'score': set refit to one of them."
        )
    return metric


def _layer_parameter(results: Mapping[str, Any], param: str | None) -> str:
    names = [key[len("param_") :] for key in results if key.startswith("param_")]
    if param is not None:
        if param not in names:
            raise ValueError(f"param={param!r} was not searched; choose one of {names}.")
        return f"param_{param}"
    found = [name for name in names if name == "layer" or name.endswith("__layer")]
    if len(found) != 1:
        raise ValueError(
            f"The search varied {names}, of which {found or 'none'} "
            f"{'are layers' if found else 'is a layer'}: name one as param."
        )
    return f"param_{found[0]}"


def lines_of_targets(search: Any, each: pd.DataFrame | None) -> pd.DataFrame | None:
    """Scores that have nothing to do with each other, e.g. of regions; None where there are none.

    Of regions in several subjects, each region's mean over them: the search has a noise ceiling
    for each region. Other targets are subjects if they are called like subjects.
    """
    if each is None or each.shape[1] < 2:
        return None
    found = (re.fullmatch("mean_test_(.*)/ceiling_lower", key) for key in search.cv_results_)
    regions = [match[1] for match in found if match]
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
