"""Marks of tests: stars at scores, dots over layers, wings between models that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skdnn._figures import root_figure
from skdnn.plotting._colours import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_GAP = 0.06  # inches
_MANY = 12  # models


def draw_stars(ax: Axes, places: Sequence[Any], *, side: int, across: bool) -> None:
    """Stars a little beyond the places, given along the models' axis and the scores'."""
    from matplotlib.transforms import offset_copy

    if len(places[0]) == 0:  # a line without points would stretch the layout to the corner
        return
    shift = (7 * side, 0) if across else (0, 7 * side)
    ax.plot(
        *(places[::-1] if across else places), linestyle="none", marker="*", markersize=7,
        color="black", clip_on=False, zorder=6,
        transform=offset_copy(ax.transData, root_figure(ax), *shift, units="points"),
    )  # fmt: skip


# --- dots over the layers of a profile ----------------------------------------------------------


def draw_dots(ax: Axes, x: NDArray[np.float64], colour: str, alpha: float) -> None:
    """A row of dots above the axes, where they hide nothing; one row for each profile."""
    rows: int = getattr(ax, "_skdnn_dots", 0)
    ax._skdnn_dots = rows + 1  # type: ignore[attr-defined]
    if len(x):  # a line without points would stretch the layout to the corner
        height = np.full(len(x), 1.025 + 0.03 * rows)
        ax.plot(
            x, height, "o", color=colour, markersize=4.5, clip_on=False,
            transform=ax.get_xaxis_transform(), scalex=False, scaley=False,
        )  # fmt: skip
    name = f"p < {alpha:g}"
    if name not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], "o", color=GREY, markersize=4.5, label=name)


def set_title_above_dots(ax: Axes, title: str | None) -> None:
    """A title, above the rows of dots."""
    rows: int = getattr(ax, "_skdnn_dots", 0)
    text = ax.get_title() if title is None else title
    if text:
        ax.set_title(text, y=1.0 + 0.03 * rows + 0.03 if rows else None)


# --- wings: a row for each model that surpasses another -----------------------------------------


def _row(n_models: int) -> float:
    """Inches of a row."""
    return 0.17 if n_models <= _MANY else 0.11


def wings_inches(better: Mapping[int, Sequence[int]], n_models: int) -> float:
    """Room for the rows beyond the axes."""
    return _GAP + _row(n_models) * len(better) if better else 0.0


def draw_wings(
    ax: Axes,
    better: Mapping[int, Sequence[int]],
    n_models: int,
    *,
    across: bool,
) -> Axes | None:
    """A filled dot for the better model, open dots for the worse, and a line through them.

    The rows stand above `ax`, or right of it for models that stand `across`; the first row is
    the farthest. Their distance is in inches: dots of one size need the same room in any axes.
    """
    if not better:
        return None
    wings = _beyond(ax, _row(n_models) * len(better), across)
    size = 5 if n_models <= _MANY else 3.5
    for row, (winner, losers) in enumerate(better.items()):
        height = len(better) - 1 - row
        ends = min(winner, *losers), max(winner, *losers)
        marks: Any = (
            (ends, "-", GREY, None),
            (losers, "o", GREY, "white"),
            ([winner], "o", GREY, GREY),
        )
        for places, style, colour, face in marks:
            points = [list(places), [height] * len(places)]
            wings.plot(
                *(points[::-1] if across else points), style, color=colour, lw=1.0,
                markersize=size, markerfacecolor=face, clip_on=False,
            )  # fmt: skip
    along, over = (-0.5, n_models - 0.5), (-0.5, len(better) - 0.5)
    if across:
        wings.set(xlim=over, ylim=along[::-1])
    else:
        wings.set(xlim=along, ylim=over)
    wings.set_axis_off()
    return wings


def _beyond(ax: Axes, inches: float, across: bool) -> Axes:
    """Axes of a given thickness above `ax`, or right of it."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    figure = root_figure(ax)
    # The upper right corner, in pixels.
    corner = ScaledTranslation(1.0, 1.0, ax.transAxes)  # type: ignore[arg-type]
    absolute = figure.dpi_scale_trans + corner
    if across:
        transform = blended_transform_factory(absolute, ax.transAxes)
        return ax.inset_axes((_GAP, 0.0, inches, 1.0), transform=transform)
    transform = blended_transform_factory(ax.transAxes, absolute)
    return ax.inset_axes((0.0, _GAP, 1.0, inches), transform=transform)
