"""Which models are better than which: a row for each that surpasses another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skdnn.plotting._display import root_figure
from skdnn.plotting._style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


GAP = 0.06  # inches
_MANY = 12


def _row(n_models: int) -> float:
    """Inches of a row."""
    return 0.17 if n_models <= _MANY else 0.11


def wings_inches(better: Mapping[int, Sequence[int]], n_models: int) -> float:
    """Room for the rows beyond the axes."""
    return GAP + _row(n_models) * len(better) if better else 0.0


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
        return ax.inset_axes((GAP, 0.0, inches, 1.0), transform=transform)
    transform = blended_transform_factory(ax.transAxes, absolute)
    return ax.inset_axes((0.0, GAP, 1.0, inches), transform=transform)
