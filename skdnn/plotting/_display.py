"""What the displays share: a place to draw, a way to save, colours, and a few marks."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skdnn._files import write_whole
from skdnn.plotting._style import CEILING, COLOURS, GREY, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".svg": "svg", ".pdf": "pdf"}
_LONGEST_NAME = 40
_MOST_NAMED_LINES = 4


class Display:
    """What the displays share: a place to draw and a way to save."""

    ax_: Axes
    figure_: Figure

    @styled
    def save(self, path: str | os.PathLike[str], dpi: float = 200) -> Self:
        """Write the figure to a file.

        Parameters
        ----------
        path : str or path-like
            Where to; the ending gives the format: png, jpg, svg or pdf. A file of that name is
            replaced once the new one is complete.
        dpi : float, default=200
            Resolution in dots per inch.

        Returns
        -------
        self : object
            The display itself.

        Raises
        ------
        ValueError
            If nothing has been drawn, or the ending is none of the four.
        FileNotFoundError
            If the folder does not exist.
        """
        if not hasattr(self, "figure_"):
            raise ValueError("Nothing has been drawn yet: call plot() before save().")
        path = Path(path)
        kind = _FORMATS.get(path.suffix.lower())
        if kind is None:
            raise ValueError(
                f"path={str(path)!r} ends in {path.suffix or 'nothing'!r}: pictures are saved as "
                ".png, .jpg, .svg or .pdf."
            )
        if not path.parent.is_dir():
            raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist.")
        buffer = io.BytesIO()
        self.figure_.savefig(buffer, format=kind, dpi=dpi)
        write_whole(path, buffer.getvalue())
        return self

    def _ipython_display_(self) -> None:
        """In a notebook: the picture without a line of text, and not twice."""
        if hasattr(self, "figure_") and not is_open(self.figure_):
            from IPython.display import display

            display(self.figure_)

    def _open(self, ax: Axes | None, size: tuple[float, float]) -> Axes:
        """Draw into `ax`, or into a figure of its own."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
            ax.tick_params(labelsize=plt.rcParams["xtick.labelsize"])  # ticks are made later
        self.ax_ = ax
        self.figure_ = root_figure(ax)
        return ax


def root_figure(ax: Axes) -> Figure:
    """The figure that an axes belongs to, also from within a subfigure."""
    figure: Any = ax.figure
    while getattr(figure, "figure", None) not in (None, figure):
        figure = figure.figure
    return figure


def is_open(figure: Figure) -> bool:
    """Whether pyplot holds the figure, and so shows it at the end of a notebook's cell."""
    import matplotlib.pyplot as plt

    number = getattr(figure, "number", None)
    if number is None or not plt.fignum_exists(number):
        return False
    current = plt.gcf().number
    found = plt.figure(number)  # numbers are given again, and asking makes it the current one
    plt.figure(current)
    return found is figure


def settle(figure: Figure) -> None:
    """Repeat a layout that depends on itself: what stands beside an axes may scale with it."""
    engine = figure.get_layout_engine()
    for _ in range(3 if engine is not None else 0):
        engine.execute(figure)  # type: ignore[union-attr]


def shortened(names: Sequence[Any]) -> list[str]:
    """Names that are not longer than an axis can bear: what all share goes, then the middles."""
    texts = [str(name) for name in names]
    if max(map(len, texts), default=0) <= _LONGEST_NAME:
        return texts
    start = _n_shared(texts)
    end = _n_shared([text[start:][::-1] for text in texts])
    if len(set(texts)) > 1:
        texts = [
            ("…" if start > 3 else text[:start])
            + text[start : len(text) - end]
            + ("…" if end > 3 else text[len(text) - end :])
            for text in texts
        ]
    return [t if len(t) <= _LONGEST_NAME else f"{t[:14]}…{t[-25:]}" for t in texts]


def _n_shared(texts: Sequence[str]) -> int:
    """Number of letters that all begin with."""
    columns = zip(*texts, strict=False)
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, columns))


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
