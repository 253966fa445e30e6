"""What a page draws of a result: rows of scores with intervals, histograms, matrices, maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skdnn._wording import counted
from skdnn.report._result import Result

Chart = dict[str, Any]
Facts = Mapping[str, Any]

_MAP = 640  # sides of a map of images, in its own units
_BINS = 30


def charts_of(name: str, result: Result) -> list[Chart]:
    """Everything that is drawn of a result, in its order on the page."""
    return [
        {**chart, "of": name, "table": title}
        for title, table in result.tables.items()
        for chart in (_DRAWN[title](table, result.facts) if title in _DRAWN else ())
    ]


# --- scores with intervals -----------------------------------------------------------------------


def _profile(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """Layers from input to output, beside their noise ceiling and untrained twin."""
    if not {"layer", "mean"} <= set(table) or "metric" in table:
        return
    texts = [column for column in ("extractor", "model", "layer", "pooling") if column in table]
    rows = pd.DataFrame({"label": table[texts].astype(str).agg(" · ".join, axis=1)})
    rows["value"] = table["mean"]
    if "std" in table:
        rows["low"], rows["high"] = table["mean"] - table["std"], table["mean"] + table["std"]
    if "rank" in table:
        rows["chosen"] = table["rank"] == 1
    if "twin" in table:
        rows["other"] = table["twin"]
    ends = [table[f"ceiling_{end}"].mean() for end in ("lower", "upper")
            if f"ceiling_{end}" in table]  # fmt: skip
    notes = ["Layers from the input of the network to its output."]
    notes += ["Whiskers: standard deviation over folds."] * ("std" in table)
    notes += ["Hollow: the untrained twin."] * ("twin" in table)
    notes += ["Bold: the layer that was chosen."] * ("rank" in table)
    yield _intervals("Layer profile", rows, ends, notes)


def _scores(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """Models, or parts of a score; a chart for each reference."""
    label = next((each for each in ("model", "score of", "network") if each in table), None)
    if label is None or "score" not in table:
        return
    groups = table.groupby("reference", sort=False) if "reference" in table else [("", table)]
    for reference, part in groups:
        rows = pd.DataFrame({"label": part[label].astype(str), "value": part["score"]})
        has_interval = {"low", "high"} <= set(part)
        if has_interval:
            rows["low"], rows["high"] = part["low"], part["high"]
        if "untrained" in part:
            rows["other"] = part["untrained"]
        ends = [part[f"ceiling_{end}"].iloc[0] for end in ("lower", "upper")
                if f"ceiling_{end}" in part]  # fmt: skip
        notes = ["Whiskers: 95% confidence."] * has_interval
        notes += ["Hollow: the untrained twin."] * ("untrained" in part)
        yield _intervals(
            f"Scores against {reference!s}" if reference else "Scores", rows, ends, notes
        )


def _against(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """The scores of a comparison of networks, under (reference, statistic)."""
    for reference in table.columns.unique(0):
        part = table[reference]
        labels = [" / ".join(map(str, key)) for key in table.index]
        rows = pd.DataFrame({"label": labels, "value": part["score"].to_numpy()})
        ends = list(part[["lower", "upper"]].iloc[0]) if "lower" in part else []
        yield _intervals(f"Scores against {reference}", rows, ends, [])


def _regions(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    for (subject, region), part in table.groupby(["subject", "roi"], sort=False):
        rows = pd.DataFrame({"label": part["layer"].astype(str), "value": part["score"]})
        rows["low"], rows["high"] = part["score"] - part["std"], part["score"] + part["std"]
        rows["chosen"] = part["chosen"].astype(bool)
        yield _intervals(
            " ".join(filter(None, (str(subject), str(region)))) or "Layers",
            rows,
            list(part[["ceiling_lower", "ceiling_upper"]].iloc[0]),
            ["Whiskers: standard deviation over folds. Bold: the layer that was chosen."],
        )


def _intervals(
    title: str, rows: pd.DataFrame, ceiling: Sequence[float], notes: list[str]
) -> Chart:
    """Places in per cent of the width; values that are not finite are not drawn."""
    columns = [each for each in ("value", "low", "high", "other") if each in rows]
    drawn = np.array([0.0, *rows[columns].to_numpy(dtype=float).ravel(), *ceiling])
    drawn = drawn[np.isfinite(drawn)]
    low, high = float(drawn.min()), float(drawn.max())
    margin = 0.04 * (high - low or 1.0)
    low, high = low - margin * (low < 0), high + margin

    def place(value: Any) -> float | None:
        return round(100 * (float(value) - low) / (high - low), 2) if np.isfinite(value) else None

    made = []
    for row in rows.to_dict(orient="records"):
        places = {key: place(row[key]) for key in columns}
        reach = [
            f"{row[end]:.3f}" for end in ("low", "high") if end in row and np.isfinite(row[end])
        ]
        told = f"{row['value']:.3f}" if np.isfinite(row["value"]) else "undefined"
        untrained = "" if places.get("other") is None else f"{row['other']:.3f}"
        made.append({**places, "label": row["label"], "chosen": row.get("chosen", False),
                     "told": told, "reach": " to ".join(reach),
                     "untrained": untrained})  # fmt: skip
    known = len(ceiling) == 2 and bool(np.isfinite(ceiling).all())
    if known:
        notes = [*notes, f"Band: the noise ceiling, {ceiling[0]:.3f} to {ceiling[1]:.3f}."]
    return {
        "draw": "intervals",
        "title": title,
        "rows": made,
        "ticks": [(place(each), f"{each:.4g}") for each in _ticks(low, high)],
        "zero": place(0.0),
        "band": [place(end) for end in ceiling] if known else None,
        "note": " ".join(notes),
    }


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers."""
    size = 10.0 ** np.floor(np.log10((high - low) / 3))
    step = next(size * k for k in (1, 2, 5, 10) if (high - low) / (size * k) <= 6)
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return [round(k * step, 12) for k in range(first, last + 1)]


# --- voxels --------------------------------------------------------------------------------------


def _histogram(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """How well voxels are predicted; those that surely are stand below."""
    known = table[np.isfinite(table["r"].to_numpy(dtype=float))]
    if known.empty:
        return
    ends = np.histogram_bin_edges(known["r"], bins=_BINS)
    alpha = facts.get("false_discovery_rate", 0.05)
    sure = np.histogram(known.loc[known["p_fdr"] < alpha, "r"], ends)[0]
    rest = np.histogram(known["r"], ends)[0] - sure
    most = int((sure + rest).max())
    bars = [
        {"sure": 100 * s / most, "rest": 100 * r / most,
         "told": f"{low:.3f} to {high:.3f}: {s + r} voxels, {s} of them significant"}
        for s, r, low, high in zip(sure.tolist(), rest.tolist(), ends, ends[1:], strict=False)
    ]  # fmt: skip
    n_sure = counted(int(sure.sum()), "voxel")
    note = (
        f"Correlations with held-out responses. Strong colour: p_fdr below {alpha:g} ({n_sure})."
    )
    yield {"draw": "histogram", "title": "How well voxels are predicted", "bars": bars,
           "most": most, "low": f"{ends[0]:.2f}", "high": f"{ends[-1]:.2f}", "note": note,
           "n": len(known)}  # fmt: skip


# --- matrices and maps: painted by the page's script, from the results in it --------------------


def _rdm(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    labels = [str(label) for label in table.index]
    yield {"draw": "matrix", "title": "Dissimilarities", "rows": labels, "columns": labels,
           "what": "dissimilarity"}  # fmt: skip


def _alike(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    labels = [" / ".join(map(str, key)) if isinstance(key, tuple) else str(key)
              for key in table.index]  # fmt: skip
    yield {"draw": "matrix", "title": "Similarities", "rows": labels, "columns": labels,
           "what": "similarity"}  # fmt: skip


def _shares(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """Which levels are best for the units of each level."""
    groups = table.groupby("direction", sort=False) if "direction" in table else [("", table)]
    for direction, part in groups:
        shares = part.pivot_table("proportion", "level", "best", sort=False, dropna=False)
        best = {"decoding": "best area", "encoding": "best layer"}.get(
            str(direction), "best level"
        )
        title = f"{direction}: share of each level by {best}".lstrip(": ")
        yield {"draw": "matrix", "title": title,
               "values": shares.to_numpy(dtype=float), "rows": list(map(str, shares.index)),
               "columns": list(map(str, shares.columns)), "what": "share"}  # fmt: skip


def _map(table: pd.DataFrame, facts: Facts) -> Iterator[Chart]:
    """Conditions in a plane, in a picture that is as wide as it is told."""
    places = table[["x", "y"]].to_numpy(dtype=float)
    places = (places - places.min(axis=0)) * [1, -1]  # upwards is up
    places[:, 1] -= places[:, 1].min()
    side = 0.62 * _MAP / np.sqrt(len(places))
    side = float(min(max(side, 22), 90))
    places *= (_MAP - side) / max(float(places.max()), np.finfo(float).tiny)
    yield {"draw": "map", "title": "Conditions in a plane", "places": (places + side / 2).tolist(),
           "labels": list(map(str, table.index)), "side": side, "width": _MAP,
           "height": float(places[:, 1].max() + side)}  # fmt: skip


_DRAWN: dict[str, Callable[[pd.DataFrame, Facts], Iterator[Chart]]] = {
    "layer profile": _profile,
    "scores": _scores,
    "scores against references": _against,
    "regions": _regions,
    "voxels": _histogram,
    "RDM": _rdm,
    "places": _map,
    "similarities": _alike,
    "best levels": _shares,
}
