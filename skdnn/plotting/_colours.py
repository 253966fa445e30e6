"""Colours of all pictures, of groups, and matplotlib's settings while they are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")

# Okabe and Ito's palette without its yellow: apart for colour-blind readers, dark enough on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#555555"
PALE = "#d9d9d9"  # what is not defined, or stands in the background
CEILING = "#bbbbbb"
COLOUR_MAP = "viridis"

_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#333333",
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.titlesize": 11,
    "figure.titlesize": 12,
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    # Letters stay letters in files that are edited later.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """A method that draws or saves, under the settings of all pictures."""

    @functools.wraps(draw)
    def under_settings(*args: Arguments.args, **options: Arguments.kwargs) -> Drawn:
        from matplotlib import rcParams

        # Not rc_context: a notebook's backend, loaded by the first figure, makes settings of its
        # own (`interactive`), and without them no cell would show a picture again.
        before = {name: rcParams[name] for name in _SETTINGS}
        rcParams.update(_SETTINGS)
        try:
            return draw(*args, **options)
        finally:
            rcParams.update(before)

    return under_settings


def group_styles(groups: Sequence[Any]) -> dict[str, dict[str, str]]:
    """Colour, marker and line style of each group, in the order of their first appearance."""
    names = list(dict.fromkeys(str(group) for group in groups))
    turns = [divmod(k, len(COLOURS)) for k in range(len(names))]
    return {
        name: {
            "colour": COLOURS[colour],
            "marker": "osD^vP*"[turn % 7],
            "line": ("-", "--", ":", "-.")[turn % 4],
        }
        for name, (turn, colour) in zip(names, turns, strict=True)
    }
