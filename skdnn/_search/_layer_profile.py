"""Scores by layer, read from the results of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skdnn._conditions import as_conditions
from skdnn._extraction import network_of, store_of
from skdnn._layers import LayerInfo, resolve_layers
from skdnn._search._extractors import FoundExtractor, find_extractors, make_candidates

_CEILINGS = ("ceiling_lower", "ceiling_upper")  # as RSAScorer(detail=True) calls them
_CHOSEN = "chosen by the search"


class Setting(NamedTuple):
    """An extractor in one candidate."""

    extractor: str
    model: str
    layer: str
    pooling: str


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
    layers: dict[str, set[str]] = {}
    candidates: dict[Setting, list[int]] = {}
    examples: dict[Setting, FoundExtractor] = {}
    for number, (params, candidate) in enumerate(make_candidates(estimator, param_grid)):
        for found in find_extractors(candidate, X, inner=False):
            setting = _setting(found)
            candidates.setdefault(setting, []).append(number)
            examples.setdefault(setting, found)
            layers.setdefault(found.name, set()).add(setting.layer)
            if _param(found.name, "layer") in params:
                layers[found.name].add("")  # an axis, even if it has one value
    names = [name for name, values in layers.items() if len(values) > 1]
    if not names:
        return None
    networks: dict[Any, list[LayerInfo]] = {}
    depths = {s: _depth(found, networks) for s, found in examples.items() if s.extractor in names}
    start = "mean_test_"
    metrics = [key.removeprefix(start) for key in results if key.startswith(start)]
    # A rule of one's own, as refit, chooses by something made of the scores.
    deciding = "score" if callable(refit) else refit
    metrics = [deciding] if deciding in metrics else metrics
    rows = [
        {**setting._asdict(), "depth": depth}
        | _scores(setting, candidates[setting], results, metric, best_index)
        for metric in metrics
        for setting, depth in depths.items()
    ]
    single = {"metric": len(metrics) == 1, "extractor": len(names) == 1}
    return _in_order(rows, [column for column, drop in single.items() if drop])


def _setting(found: FoundExtractor) -> Setting:
    model = found.extractor.model
    name = model if isinstance(model, str) else getattr(model, "name", type(model).__name__)
    return Setting(found.name, name, layer_label(found.extractor.layer), found.extractor.pooling)


def _depth(found: FoundExtractor, networks: dict[Any, list[LayerInfo]]) -> int:
    """Depth of the deepest layer; each network is looked at once."""
    extractor = found.extractor
    key = extractor.model if isinstance(extractor.model, str) else id(extractor.model)
    try:
        if key not in networks:
            inputs = None
            if found.data is not None:
                inputs = as_conditions(found.data.content, extractor.aggregate).inputs[:1]
            networks[key] = network_of(extractor).all_layers(inputs, store_of(extractor))
        requests = resolve_layers(extractor.layer, networks[key], _setting(found).model)
    except (TypeError, ValueError, OSError, RuntimeError):
        return -1  # the search has scored it as failed, by error_score
    depths = {info.name: info.depth for info in networks[key]}
    return max(depths[request.path] for request in requests)


def _scores(
    setting: Setting,
    candidates: Sequence[int],
    results: Mapping[str, Any],
    metric: str,
    best_index: int | None,
) -> dict[str, Any]:
    """Those of the best of the candidates that have this setting."""
    means = np.asarray(results[f"mean_test_{metric}"])
    best = max(candidates, key=lambda k: (k == best_index, np.nan_to_num(means[k], nan=-np.inf)))
    own = {_param(setting.extractor, name) for name in ("layer", "model", "pooling")}
    n_splits = sum(k.startswith("split") and k.endswith(f"_test_{metric}") for k in results)
    shown = [name for name in _CEILINGS if metric == "score" and f"mean_test_{name}" in results]
    return {
        "metric": metric,
        "mean": means[best],
        "std": results[f"std_test_{metric}"][best],
        **{f"split{k}": results[f"split{k}_test_{metric}"][best] for k in range(n_splits)},
        "optimistic": len(candidates) > 1,
        _CHOSEN: best == best_index,
        **{name: results[f"mean_test_{name}"][best] for name in shown},
        **{k: v for k, v in results["params"][best].items() if k not in own | {setting.extractor}},
    }


def _in_order(rows: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of networks and depth, without columns that say nothing."""
    # One by one: a parameter's value may be a list or an estimator.
    columns = list(dict.fromkeys(key for row in rows for key in row))
    profile = pd.DataFrame(
        {c: pd.Series([row.get(c) for row in rows], dtype=_dtype(c)) for c in columns}
    )
    # What the search chose comes before what has a higher mean.
    each = [profile[name] for name in ("metric", "extractor")]
    best = profile["mean"].groupby(each).transform("max")
    ahead = profile.pop(_CHOSEN).astype(bool) & (profile["mean"] != best)
    first = profile["mean"].mask(ahead, np.inf).groupby(each)
    ranks = first.rank(ascending=False, method="min", na_option="bottom").astype(int)
    profile.insert(profile.columns.tolist().index("std") + 1, "rank", ranks)
    numbers = {c: pd.factorize(profile[c])[0] for c in ("metric", "extractor", "model")}
    order = profile.assign(**numbers).sort_values([*numbers, "depth"], kind="stable").index
    profile = profile.loc[order].reset_index(drop=True)
    single = [column for column in ("model", "pooling") if len(set(profile[column])) == 1]
    return profile.drop(columns=[*left_out, *single])


def _dtype(column: str) -> Any:
    if column in ("mean", "std", *_CEILINGS) or column.removeprefix("split").isdigit():
        return float
    return {"depth": int, "optimistic": bool}.get(column, object)


def layer_label(layer: Any) -> str:
    """A layer, or several side by side."""
    return layer if isinstance(layer, str) else " + ".join(map(str, layer))


def layers_in(values: Iterable[Any]) -> list[str]:
    """The layers of candidates, each once; a candidate may be several side by side."""
    named = [[value] if isinstance(value, str) else list(value) for value in values]
    return list(dict.fromkeys(layer for layers in named for layer in layers))


def _param(extractor: str, name: str) -> str:
    return f"{extractor}__{name}" if extractor else name
