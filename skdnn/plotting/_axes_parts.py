"""What is drawn in and around axes alike: names, noise ceilings, references, a frame, a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import numpy as np

from skdnn._figures import root_figure
from skdnn.plotting._colours import CEILING, GREY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_LONGEST_NAME = 40
_MOST_NAMED_LINES = 4


def check_columns(frame: pd.DataFrame, wanted: set[str], name: str) -> None:
    """Refuse a table without columns that are drawn."""
    missing = wanted - set(frame.columns)
    if missing:
        raise ValueError(f"{name} lacks the column(s) {', '.join(sorted(missing))}.")


def shortened(names: Sequence[Any]) -> list[str]:
    """Names that are not longer than an axis can bear: what all share goes, then the middles."""
    texts = [str(name) for name in names]
    if max(map(len, texts), default=0) <= _LONGEST_NAME:
        return texts
    start = len(commonprefix(texts))  # noqa: RUF071 (letters are meant, not folders)
    end = len(commonprefix([text[start:][::-1] for text in texts]))  # noqa: RUF071
    if len(set(texts)) > 1:
        texts = [
            ("…" if start > 3 else text[:start])
            + text[start : len(text) - end]
            + ("…" if end > 3 else text[len(text) - end :])
            for text in texts
        ]
    return [t if len(t) <= _LONGEST_NAME else f"{t[:14]}…{t[-25:]}" for t in texts]


def interval_name(level: float | None) -> str:
    """What intervals are called in a legend."""
    return "interval as given" if level is None else f"{100 * level:g}% interval"


def ceiling_pair(ceiling: Any) -> tuple[float, float] | None:
    """Lower and upper noise ceiling, means over folds; None where it is not defined."""
    if ceiling is None or ceiling is False:
        return None
    if isinstance(ceiling, str) or not hasattr(ceiling, "__len__") or len(ceiling) != 2:
        raise ValueError(f"ceiling must be a pair of lower and upper ceilings, got {ceiling!r}.")
    low, high = (float(np.mean(np.asarray(end, dtype=np.float64))) for end in ceiling)
    return None if np.isnan(low) or np.isnan(high) else (low, high)


def draw_ceiling(ax: Axes, ceiling: tuple[float, float] | None, *, across: bool = False) -> None:
    """The noise ceiling as a grey band; `across` for scores that run to the right."""
    drawn: set[tuple[float, float]] = ax.__dict__.setdefault("_skdnn_ceilings", set())
    if ceiling is not None and ceiling not in drawn:  # twice the same would be twice as dark
        drawn.add(ceiling)
        span = ax.axvspan if across else ax.axhspan
        span(*ceiling, color=CEILING, alpha=0.5, zorder=0, lw=0, label="noise ceiling")


def draw_references(ax: Axes, reference: Mapping[str, Any] | Any, layers: Sequence[str]) -> None:
    """Horizontal lines, or profiles of what has a score for each layer."""
    given = {str(name): value for name, value in reference.items()}
    if len(given) > 1 and given.keys() <= set(layers):
        given = {"reference": given}
    styles = ("--", ":", "-.")
    heights = {}
    for name, value in given.items():
        if not hasattr(value, "items"):
            heights[name] = float(np.mean(np.asarray(value)))
            continue
        scores = {str(layer): float(np.mean(np.asarray(score))) for layer, score in value.items()}
        if not scores.keys() <= set(layers):
            unknown = next(layer for layer in scores if layer not in layers)
            raise ValueError(f"reference {name!r} names {unknown!r}, none of the layers {layers}.")
        profile = [scores.get(layer, np.nan) for layer in layers]
        style = styles[len(ax.lines) % 3]
        ax.plot(range(len(layers)), profile, color=GREY, ls=style, marker=".", label=name)
    if len(heights) <= _MOST_NAMED_LINES:
        for k, (name, height) in enumerate(heights.items()):
            ax.axhline(height, color=GREY, linestyle=styles[k % 3], zorder=1, label=name)
        return
    low, high = min(heights, key=heights.__getitem__), max(heights, key=heights.__getitem__)
    ends = f"{heights[low]:.2f} ({low}) to {heights[high]:.2f} ({high})"
    for k, height in enumerate(heights.values()):
        label = f"{len(heights)} references,\n{ends}" if k == 0 else None
        ax.axhline(height, color=GREY, lw=0.7, alpha=0.6, linestyle=":", zorder=1, label=label)


def quiet_frame(ax: Axes, grid: str) -> None:
    """Grid lines behind what is drawn, and no frame above and to the right."""
    ax.grid(axis=grid, color="#e5e5e5", zorder=-1)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def legend_beside(
    ax: Axes, handles: Sequence[Any], names: Sequence[str], inches: float = 0.0
) -> None:
    """A legend to the right of the axes: nothing that is drawn can lie under it."""
    from matplotlib.transforms import ScaledTranslation

    entries = dict(zip(reversed(names), reversed(handles), strict=True))  # each name once
    if entries:
        names, handles = list(reversed(entries)), list(reversed(entries.values()))
        beyond = ScaledTranslation(inches, 0.0, root_figure(ax).dpi_scale_trans)
        ax.legend(
            handles, names, loc="upper left", bbox_to_anchor=(1.0, 1.0),
            bbox_transform=ax.transAxes + beyond,
        )  # fmt: skip
