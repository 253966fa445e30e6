"""What is kept of searchlights: numbers of each layer, and pictures of the maps.

Maps themselves are not: those of 20 layers at 50,000 voxels would make a page of 20 megabytes.
They lie in the files of :meth:`skdnn.fmri.SearchlightResult.save`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn.fmri import SearchlightResult, SearchlightTest
from skdnn.plotting import SearchlightDisplay
from skdnn.report._pictures import of_figure
from skdnn.report._result import Result

Array = NDArray[np.float64]

_MOST = 24  # layers that are drawn
_MOST_CLUSTERS = 100  # in a table
_ALPHA = 0.05
_DECIDES = {
    "max": "the largest t",
    "cluster": "the largest mass of a cluster",
    "tfce": "the largest enhanced t",
}


def of_searchlight(result: SearchlightResult) -> Result:
    """Scores, spheres and noise ceilings."""
    mean, best = result.mean(), result.best_layer()
    layers = pd.DataFrame({
        "layer": result.layers, "largest": _largest(mean), **_places(result, mean),
        "median": [_of_known(np.median, row) for row in mean],
        "best in": [int((best == row).sum()) for row in range(len(mean))],
    })  # fmt: skip
    tables = {"layers": layers, "spheres": _spheres(result)}
    if result.ceiling is not None:
        tables["noise ceiling"] = pd.DataFrame({
            "bound": ["lower", "upper"], "largest": _largest(result.ceiling),
            **_places(result, result.ceiling),
            "median": [_of_known(np.median, row) for row in result.ceiling],
        })  # fmt: skip
    facts = {
        "subjects": len(result.subjects), "layers": len(result.layers),
        "centres": int((result.sizes > 0).any(axis=0).sum()),
        **{name: value for name, value in result.settings.items() if value is not None},
    }  # fmt: skip
    told = {"name": "Scores without a test",
            "generalises_to": "nothing: they describe these images and subjects"}  # fmt: skip
    found = Result("SearchlightResult", tables, facts, [told])
    options = _slices(result, mean)
    whose = "" if len(result.subjects) == 1 else ", mean of the subjects"
    if (best >= 0).any():
        if len(result.layers) > 1:
            caption = f"Most similar layer at each place{whose}"
            _draw(found, caption, result, show="best_layer", **options)
        _draw_layers(found, result, mean, f"similarity{whose}", **options)
    if result.ceiling is not None and np.isfinite(result.ceiling).any():
        caption = "Noise ceiling over subjects: lower and upper bound"
        _draw(found, caption, result, show="ceiling", **options)
    _draw(found, f"Sizes of spheres{whose}", result, show="sizes", **options)
    return found


def of_searchlight_test(test: SearchlightTest) -> Result:
    """Where layers are found, over subjects."""
    result, found = test._result, test.significant(_ALPHA)
    unit = "voxels" if result.affine is not None else "vertices"
    layers = pd.DataFrame({
        "layer": result.layers, "significant": found.sum(axis=1),
        "largest t": _largest(test.t), **_places(result, test.t),
        "smallest p": [_of_known(np.min, row) for row in test.p],
    })  # fmt: skip
    told = {
        "name": f"Signs of subjects flipped, {_DECIDES[test.kind]} decides: p of all {unit} and "
        f"layers, significant at p <= {_ALPHA:g}",
        "generalises_to": "other subjects, for these images",
    }
    facts = {"subjects": len(result.subjects), "all sets of signs": test.exact}
    made = Result("SearchlightTest", {"layers": layers}, facts, [told])
    if test.clusters is not None:
        made.tables["clusters"] = test.clusters.head(_MOST_CLUSTERS)
        if len(test.clusters) > _MOST_CLUSTERS:
            made.warnings.append(
                f"{_MOST_CLUSTERS} of {len(test.clusters)} clusters are shown, the least likely."
            )
    if not found.any():
        return made
    shown = np.where(found, test.t, np.nan)
    options = _slices(result, shown)
    if len(result.layers) > 1:
        caption = f"Most similar layer, where any is significant (p <= {_ALPHA:g})"
        _draw(made, caption, result, test, show="best_layer", **options)
    if result.settings.get("space"):
        options = {"kind": "glass"}
    _draw_layers(made, result, shown, f"t, p <= {_ALPHA:g}", test, show="t", **options)
    return made


# --- pictures ------------------------------------------------------------------------------------


def _slices(result: Any, values: Array) -> dict[str, Any]:
    """The same slices for all pictures of a section; surfaces have none."""
    if result.affine is None:
        return {}
    maps = {str(row): one for row, one in enumerate(values)}
    return {"slices": SearchlightDisplay(maps, result.mask, result.affine).heights()}


def _draw_layers(
    found: Result, result: Any, values: Array, what: str, test: Any = None, **options: Any
) -> None:
    """A picture of each layer, all on one scale."""
    largest = np.array(_largest(values))
    order = np.argsort(-np.nan_to_num(largest, nan=-np.inf), kind="stable")
    if len(largest) > _MOST:
        found.warnings.append(
            f"{_MOST} of {len(largest)} layers are drawn: those with the largest values."
        )
    reach = float(np.nanmax(np.abs(values))) or 1.0
    for row in sorted(order[:_MOST].tolist()):
        if np.isfinite(largest[row]):
            name = result.layers[row]
            _draw(found, f"{name}: {what} (largest {largest[row]:.3f})", result, test,
                  layers=[name], vmin=-reach, vmax=reach, **options)  # fmt: skip


def _draw(found: Result, caption: str, *given: Any, **options: Any) -> None:
    import matplotlib.pyplot as plt

    figure = SearchlightDisplay.from_result(*given, **options).figure_
    found.pictures[caption] = [of_figure(figure)]
    plt.close(figure)


# --- numbers -------------------------------------------------------------------------------------


def _spheres(result: SearchlightResult) -> pd.DataFrame:
    """How many centres each subject has, and how many points with data are around them."""
    rows = []
    for subject, sizes in zip(result.subjects, result.sizes, strict=True):
        own = sizes[sizes > 0]
        row = {"subject": subject} if len(result.subjects) > 1 else {}
        rows.append({
            **row, "centres": len(own), "without a score": int(
                (own < result.settings["min_voxels"]).sum()),
            "smallest": own.min(initial=own.max(initial=0)), "median": float(np.median(own)),
            "largest": own.max(initial=0),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _places(result: SearchlightResult, values: Array) -> dict[str, Any]:
    """Where each row is largest: millimetres, or hemisphere and vertex."""
    at = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    found = pd.DataFrame(result._places.where(at))
    if "vertex" not in found:
        found = found.round(2)
    elif not found["hemisphere"].any():
        found = found.drop(columns="hemisphere")
    known = ~np.isnan(values).all(axis=1)
    unknown = {"hemisphere": ""}
    return {str(name): np.where(known, column, unknown.get(str(name), np.nan)).tolist()
            for name, column in found.items()}  # fmt: skip


def _largest(values: Array) -> list[float]:
    return [_of_known(np.max, row) for row in values]


def _of_known(take: Any, row: Array) -> float:
    known = row[~np.isnan(row)]
    return float(take(known)) if known.size else np.nan
