"""Figures of matplotlib as notebooks show them: once, and without a line of text."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def show(figure: Figure) -> None:
    """Show a figure in a notebook, unless pyplot will do so at the end of the cell."""
    import matplotlib as mpl
    from IPython import get_ipython
    from IPython.display import display

    if is_open(figure) and mpl.is_interactive():
        return
    data, about = get_ipython().display_formatter.format(figure)
    if not any(kind.startswith("image/") for kind in data):  # the backend draws files only
        png = io.BytesIO()
        figure.savefig(png, format="png")
        data["image/png"] = png.getvalue()
    display(data, metadata=about, raw=True)


def without_text(ax: Axes) -> Axes:
    """The same axes; a cell that ends with them shows the picture, and no line above it."""
    ax._ipython_display_ = partial(_show_around, ax)  # type: ignore[attr-defined]
    return ax


def _show_around(ax: Axes) -> None:
    show(root_figure(ax))


def root_figure(ax: Axes) -> Figure:
    """The figure that an axes belongs to, also from within a subfigure."""
    figure: Any = ax.figure
    while getattr(figure, "figure", None) not in (None, figure):
        figure = figure.figure
    return figure


def is_open(figure: Figure) -> bool:
    """Whether pyplot holds the figure."""
    import matplotlib.pyplot as plt

    number = getattr(figure, "number", None)
    if number is None or not plt.fignum_exists(number):
        return False
    current = plt.gcf().number
    found = plt.figure(number)  # numbers are given again, and asking makes it the current one
    plt.figure(current)
    return found is figure
