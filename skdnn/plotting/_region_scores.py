"""Profiles of scores over layers, a panel for each region, subjects as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._multiple_tests import adjusted
from skdnn.plotting._axes_parts import draw_ceiling, quiet_frame, shortened
from skdnn.plotting._colours import COLOURS, GREY, styled
from skdnn.plotting._display import Display
from skdnn.rsa import random_effects_test

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEEDED = ("roi", "layer", "score")


class RegionScoresDisplay(Display):
    """Scores of layers in several regions and subjects.

    Parameters
    ----------
    table : DataFrame
        A row for each subject, region and layer with the columns ``roi``, ``layer`` and
        ``score``, and optionally ``subject``, ``chosen``, ``p``, ``ceiling_lower`` and
        ``ceiling_upper``, as :func:`skdnn.fmri.search_regions` gives it. Layers are drawn in the
        order in which they first appear.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        A panel for each region.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    skdnn.fmri.search_regions : Makes the table.
    LayerScoresDisplay : One search.

    Examples
    --------
    >>> import matplotlib, pandas as pd
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import RegionScoresDisplay
    >>> table = pd.DataFrame({"roi": ["V1", "V1", "IT", "IT"], "layer": ["conv1", "fc"] * 2,
    ...                       "score": [0.4, 0.2, 0.1, 0.3]})
    >>> display = RegionScoresDisplay(table).plot()
    >>> [ax.get_title() for ax in display.axes_]
    ['V1', 'IT']
    """

    axes_: list[Axes]

    def __init__(self, table: pd.DataFrame) -> None:
        missing = [name for name in _NEEDED if name not in table.columns]
        if missing:
            raise ValueError(f"table lacks the column(s) {', '.join(missing)}.")
        if table.empty:
            raise ValueError("table has no rows: there is nothing to draw.")
        self.table = table.reset_index(drop=True)
        if "subject" not in table:
            self.table["subject"] = ""
        if self.table.duplicated(["subject", "roi", "layer"]).any():
            raise ValueError("table has several rows for the same subject, region and layer.")

    @styled
    def plot(
        self,
        *,
        ylabel: str = "RSA score",
        title: str | None = None,
        alpha: float = 0.05,
        stars: bool = True,
    ) -> RegionScoresDisplay:
        """Draw a panel for each region.

        Parameters
        ----------
        ylabel : str, default="RSA score"
            What the scores are.
        title : str, default=None
            Title of the figure.
        alpha : float, default=0.05
            Threshold of the stars.
        stars : bool, default=True
            Whether to mark layers whose scores are above zero.

        Returns
        -------
        self : RegionScoresDisplay
            The display itself.

        Notes
        -----
        The line is the mean over subjects, a dot a subject, the ring around a dot the layer that
        the subject's search chose, the band the noise ceiling of the region. A star says: of one
        subject, its ``p`` (over images), of several, Student's t over subjects, below `alpha`
        after Holm's correction for all layers and regions drawn. The legend names which it was.
        """
        import matplotlib.pyplot as plt

        layers = list(dict.fromkeys(self.table["layer"]))
        regions = list(dict.fromkeys(self.table["roi"]))
        p, test = self._p_values() if stars else (None, "")
        width = max(2.2, 0.9 + 0.34 * len(layers))
        figure, axes = plt.subplots(
            1, len(regions), sharey=True, squeeze=False, layout="constrained",
            figsize=(min(18.0, width * len(regions) + 1.6), 3.8),
        )  # fmt: skip
        self.figure_, self.axes_ = figure, list(axes[0])
        self.ax_ = self.axes_[0]
        for number, (region, ax) in enumerate(zip(regions, self.axes_, strict=True)):
            rows = self.table[self.table["roi"] == region]
            self._draw_region(ax, rows, layers, COLOURS[number % len(COLOURS)])
            if p is not None:
                found = [p.get((region, layer), np.nan) < alpha for layer in layers]
                _draw_stars(ax, np.flatnonzero(found))
            ax.set_title(str(region), y=1.09 if p is not None else None)
        self.ax_.set_ylabel(ylabel)
        if title:
            figure.suptitle(title)
        self._explain(f"* {test}, p < {alpha:g}" if p is not None else "")
        return self

    def _draw_region(self, ax: Axes, rows: pd.DataFrame, layers: list[Any], colour: str) -> None:
        scores = rows.pivot_table(index="subject", columns="layer", values="score", sort=False)
        scores = scores.reindex(columns=layers)
        x = np.arange(len(layers))
        spread = np.linspace(-0.12, 0.12, len(scores)) if len(scores) > 1 else np.zeros(1)
        if len(scores) > 1:
            for place, values in zip(spread, scores.to_numpy(), strict=True):
                ax.scatter(x + place, values, s=14, color=colour, alpha=0.45, lw=0, zorder=2)
        ax.plot(x, scores.mean(axis=0), color=colour, marker="o", markersize=5, lw=1.8, zorder=3)
        if "chosen" in rows:
            at = dict(zip(scores.index, spread, strict=True))
            chosen = rows[rows["chosen"].astype(bool)]
            places = [layers.index(row.layer) + at[row.subject] for row in chosen.itertuples()]
            ax.scatter(
                places, chosen["score"], s=60, facecolors="none", edgecolors=GREY, lw=1.2, zorder=4
            )
        draw_ceiling(ax, _ceiling(rows))
        ax.set_xticks(
            x, shortened(layers), rotation=40, ha="right", rotation_mode="anchor",
            fontsize=None if len(layers) <= 12 else 7,
        )  # fmt: skip
        ax.set_xlim(-0.5, len(layers) - 0.5)
        quiet_frame(ax, "y")
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color="black", linewidth=0.8, zorder=1)

    def _p_values(self) -> tuple[dict[tuple[Any, Any], float] | None, str]:
        """Of each region and layer, corrected for all of them, and what the test was."""
        by = self.table.groupby(["roi", "layer"], sort=False)
        if len(self.table["subject"].unique()) > 1:
            wide = self.table.pivot_table(
                index="subject", columns=["roi", "layer"], values="score", sort=False
            )
            found = random_effects_test(wide.to_numpy(), adjust="holm")["p_adjusted"]
            each: Any = zip(wide.columns, found, strict=True)
            return dict(each), "t over subjects, Holm"
        if "p" not in self.table or self.table["p"].isna().all():
            return None, ""
        p = by["p"].first()
        return dict(zip(p.index, adjusted(p.to_numpy(), "holm"), strict=True)), (
            "permutations of images, Holm"
        )

    def _explain(self, star: str) -> None:
        """What marks are, below the panels."""
        several = self.table["subject"].nunique()
        words = [f"line: mean of {several} subjects, dots: subjects"] if several > 1 else []
        if "chosen" in self.table:
            words.append("ring: chosen by the search")
        if any(_ceiling(rows) for _, rows in self.table.groupby("roi")):
            words.append("band: noise ceiling")
        words += [star] if star else []
        self.figure_.supxlabel("; ".join(words), fontsize=8.5, color=GREY)


def _ceiling(rows: pd.DataFrame) -> tuple[float, float] | None:
    if not {"ceiling_lower", "ceiling_upper"} <= set(rows.columns):
        return None
    low, high = rows[["ceiling_lower", "ceiling_upper"]].astype(float).mean()
    return None if np.isnan(low) or np.isnan(high) else (float(low), float(high))


def _draw_stars(ax: Axes, places: NDArray[np.intp]) -> None:
    """Above the panel, where they hide nothing."""
    for x in places:
        ax.text(
            x, 1.0, "*", transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=12
        )
