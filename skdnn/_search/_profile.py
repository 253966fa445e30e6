"""Scores by layer, read from the results of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skdnn._conditions import as_conditions
from skdnn._extraction import layers_for
from skdnn._layers import LayerInfo, resolve_layers
from skdnn._search._find import Found, find_extractors, make_candidates

# What RSAScorer(detail=True) calls the bounds.
_CEILINGS = ("ceiling_lower", "ceiling_upper")
_CHOSEN = "chosen by the search"


@dataclass(frozen=True)
class Setting:
    """An extractor in one candidate."""

    extractor: str
    model: str
    layer: str
    pooling: str


def has_layer_axis(candidates: Sequence[tuple[Mapping[str, Any], Sequence[Found]]]) -> list[str]:
    """Names of the extractors whose layer the grid sets."""
    layers: dict[str, set[str]] = {}
    for params, extractors in candidates:
        for found in extractors:
            values = layers.setdefault(found.name, set())
            values.add(label(found.extractor.layer))
            if _param(found.name, "layer") in params:
                values.add("")  # an axis, even if it has one value
    return [name for name, values in layers.items() if len(values) > 1]


def layer_profile(
    estimator: Any,
    param_grid: Any,
    results: Mapping[str, Any],
    refit: Any,
    X: Any,
    best_index: int | None = None,
) -> pd.DataFrame | None:
    """One row per layer: its best candidate's scores.

    Parameters
    ----------
    estimator : estimator
        Unfitted; its extractors may have caches, which then know the layers.
    param_grid : dict or list of dict
        The grid, in the order of the results.
    results : dict
        ``cv_results_``.
    refit : bool, str or callable
        Of the search: of several scores, the one that decides is shown, or all if none does.
    X : sequence of n_images
        The first one tells the size of what a network is fed, where preprocessing does not.
    best_index : int, default=None
        The candidate that the search chose, whatever by: its row has rank 1.

    Returns
    -------
    profile : DataFrame or None
        None where the grid has no axis of layers.
    """
    candidates = [
        (params, find_extractors(each, X, inner=False))
        for params, each in make_candidates(estimator, param_grid)
    ]
    names = has_layer_axis(candidates)
    if not names:
        return None
    groups: dict[Setting, list[int]] = {}
    extractors: dict[Setting, Found] = {}
    for number, (_, each) in enumerate(candidates):
        for found in each:
            if found.name in names:
                setting = _setting(found)
                groups.setdefault(setting, []).append(number)
                extractors.setdefault(setting, found)
    depths = _depths(extractors)
    metrics = _metrics(results, refit)
    rows = [
        _row(setting, depths[setting], numbers, results, metric, best_index)
        for metric in metrics
        for setting, numbers in groups.items()
    ]
    return _tidy(rows, metrics, names)


def _metrics(results: Mapping[str, Any], refit: Any) -> list[str]:
    start = "mean_test_"
    metrics = [key.removeprefix(start) for key in results if key.startswith(start)]
    # A rule of one's own, as refit, chooses by something made of the scores.
    deciding = "score" if callable(refit) else refit
    return [deciding] if deciding in metrics else metrics


def _row(
    setting: Setting,
    depth: int,
    numbers: Sequence[int],
    results: Mapping[str, Any],
    metric: str,
    best_index: int | None,
) -> dict[str, Any]:
    """The best of the candidates that have this setting."""
    means = np.asarray(results[f"mean_test_{metric}"])[list(numbers)]
    is_best = best_index in numbers
    best: int = (
        best_index  # type: ignore[assignment]  # among the numbers
        if is_best
        else numbers[int(np.argmax(np.nan_to_num(means, nan=-np.inf)))]
    )
    own = {_param(setting.extractor, name) for name in ("layer", "model", "pooling")}
    others = {
        k: v for k, v in results["params"][best].items() if k not in own | {setting.extractor}
    }
    n_splits = sum(k.startswith("split") and k.endswith(f"_test_{metric}") for k in results)
    return {
        **vars(setting),
        "depth": depth,
        "metric": metric,
        "mean": results[f"mean_test_{metric}"][best],
        "std": results[f"std_test_{metric}"][best],
        **{f"split{k}": results[f"split{k}_test_{metric}"][best] for k in range(n_splits)},
        "optimistic": len(numbers) > 1,
        _CHOSEN: is_best,
        **_ceilings(results, metric, best),
        **others,
    }


def _ceilings(results: Mapping[str, Any], metric: str, row: int) -> dict[str, float]:
    """The noise ceiling among the test conditions, mean over folds, where scores come with it."""
    keys = [f"mean_test_{name}" for name in _CEILINGS]
    if metric != "score" or not all(key in results for key in keys):
        return {}
    return {name: results[key][row] for name, key in zip(_CEILINGS, keys, strict=True)}


def _tidy(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], names: Sequence[str]
) -> pd.DataFrame:
    """Rows in the order of networks and depth, without columns that say nothing."""
    # One by one: a parameter's value may be a list or an estimator.
    columns = list(dict.fromkeys(key for row in rows for key in row))
    profile = pd.DataFrame(
        {c: pd.Series([row.get(c) for row in rows], dtype=_dtype(c)) for c in columns}
    )
    ranks = _ranks(profile)
    profile = profile.drop(columns=_CHOSEN)
    profile.insert(list(profile.columns).index("std") + 1, "rank", ranks)
    order = profile.assign(
        **{c: pd.factorize(profile[c])[0] for c in ("metric", "extractor", "model")}
    ).sort_values(["metric", "extractor", "model", "depth"], kind="stable")
    profile = profile.loc[order.index].reset_index(drop=True)
    single = {"metric": len(metrics) == 1, "extractor": len(names) == 1}
    for column in ("model", "pooling"):
        single[column] = len(set(profile[column])) == 1
    return profile.drop(columns=[column for column, drop in single.items() if drop])


def _ranks(profile: pd.DataFrame) -> pd.Series:
    """Ranks by mean score; what the search chose comes before what has a higher mean."""
    best = profile.groupby(["metric", "extractor"])["mean"].transform("max")
    ahead = profile[_CHOSEN].astype(bool) & (profile["mean"] != best)
    first = profile.assign(mean=profile["mean"].where(~ahead, np.inf))
    ranks = first.groupby(["metric", "extractor"])["mean"].rank(
        ascending=False, method="min", na_option="bottom"
    )
    return ranks.astype(int)


def _dtype(column: str) -> Any:
    if column in ("mean", "std", *_CEILINGS) or column.removeprefix("split").isdigit():
        return float
    return {"depth": int, "optimistic": bool}.get(column, object)


def _setting(found: Found) -> Setting:
    extractor = found.extractor
    model = extractor.model
    name = model if isinstance(model, str) else getattr(model, "name", type(model).__name__)
    return Setting(found.name, name, label(extractor.layer), extractor.pooling)


def _depths(extractors: Mapping[Setting, Found]) -> dict[Setting, int]:
    """Depth of each setting's deepest layer; each network is looked at once."""
    networks: dict[Any, Any] = {}
    depths = {}
    for setting, found in extractors.items():
        model = found.extractor.model
        key = model if isinstance(model, str) else id(model)
        try:
            if key not in networks:
                networks[key] = _layers(found)
            requests = resolve_layers(found.extractor.layer, networks[key], setting.model)
        except (TypeError, ValueError, OSError, RuntimeError):
            depths[setting] = -1  # the search has scored it as failed, by error_score
            continue
        by_name = {info.name: info.depth for info in networks[key]}
        depths[setting] = max(by_name[request.path] for request in requests)
    return depths


def _layers(found: Found) -> list[LayerInfo]:
    extractor = found.extractor
    inputs = None
    if found.data is not None:
        inputs = as_conditions(found.data.content, extractor.aggregate).inputs[:1]
    return layers_for(extractor._source(), inputs, extractor._store())


def label(layer: Any) -> str:
    """A layer, or several side by side."""
    return layer if isinstance(layer, str) else " + ".join(map(str, layer))


def _param(extractor: str, name: str) -> str:
    return f"{extractor}__{name}" if extractor else name
