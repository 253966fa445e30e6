"""What a fitted search over layers knows: scores of folds, of single targets, and ceilings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CEILINGS = ("ceiling_lower", "ceiling_upper")


def layer_rows(search: Any, param: str | None) -> dict[str, int]:
    """The row of ``cv_results_`` that is best for each layer; the search's own choice is."""
    results = search.cv_results_
    chosen = getattr(search, "best_index_", None)
    means = np.asarray(results[f"mean_test_{_metric(search)}"])
    rows: dict[str, int] = {}
    for row, value in enumerate(results[_layer_parameter(results, param)]):
        name = _layer_name(value)
        best = rows.get(name)
        if best is not None and chosen in (best, row):
            rows[name] = chosen
        elif best is None or not means[row] <= np.nan_to_num(means[best], nan=-np.inf):
            rows[name] = row
    return rows


def score_folds(search: Any, rows: Mapping[str, int]) -> dict[str, Array]:
    """Scores of the folds of each layer."""
    results, metric = search.cv_results_, _metric(search)
    folds = np.array([results[f"split{k}_test_{metric}"] for k in range(_n_splits(search))]).T
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


def _layer_name(value: Any) -> str:
    """A layer, or several side by side."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return " + ".join(map(str, value))
    return str(value)


def _n_splits(search: Any) -> int:
    keys = (f"split{k}_test_{_metric(search)}" for k in count())
    return sum(1 for _ in takewhile(search.cv_results_.__contains__, keys))
