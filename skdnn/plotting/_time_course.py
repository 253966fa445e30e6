"""Time courses of layers: lines with their spread, ceilings, spans of significance, peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from skdnn.plotting._axes_parts import legend_beside, quiet_frame, shortened
from skdnn.plotting._colours import CEILING, COLOUR_MAP, COLOURS, GREY, styled
from skdnn.plotting._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_MOST_NAMES = 12
_SPREADS = ("interval", "sem", "subjects", None)
_SCORE = {
    "similarity": "similarity of RDMs",
    "partial": "partial correlation of RDMs",
    "regression": "standardized coefficient",
}


class TimeCourseDisplay(Display):
    """Scores of layers over time.

    Parameters
    ----------
    scores : array-like of shape (n_subjects, n_layers, n_times)
        As :func:`skdnn.rsa.time_resolved_rsa` gives them.
    times : array-like of shape (n_times,)
        In seconds.
    layers : sequence of length n_layers
        Names of the layers.
    ceilings : array-like of shape (n_times, 2), default=None
        Lower and upper noise ceiling of each time.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the courses were drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.
    lines_ : list of matplotlib Line2D
        The mean of each layer.

    See Also
    --------
    TimeCourseDisplay.from_result : From a time-resolved RSA and its test.
    TimeCourseDisplay.from_generalization : RDMs of one time against those of others.
    LayerScoresDisplay : Profiles without time.

    Examples
    --------
    >>> import matplotlib
    >>> import numpy as np
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import TimeCourseDisplay
    >>> scores = np.random.default_rng(0).normal(size=(8, 2, 50))
    >>> display = TimeCourseDisplay(scores, np.arange(50) / 100, ["conv1", "fc8"]).plot()
    >>> len(display.lines_)
    2
    """

    lines_: list[Any]
    image_: Any
    colorbar_: Any

    def __init__(self, scores: Any, times: Any, layers: Any, *, ceilings: Any = None) -> None:
        self.scores = np.asarray(scores, dtype=np.float64)
        self.times = np.asarray(times, dtype=np.float64)
        self.layers = [str(layer) for layer in layers]
        if self.scores.ndim != 3 or self.scores.shape[1:] != (len(self.layers), len(self.times)):
            raise ValueError(
                f"scores has shape {self.scores.shape}: (n_subjects, {len(self.layers)} layers, "
                f"{len(self.times)} times) is needed."
            )
        self.ceilings = None if ceilings is None else np.asarray(ceilings, dtype=np.float64)
        if self.ceilings is not None and self.ceilings.shape != (len(self.times), 2):
            raise ValueError(
                f"ceilings has shape {self.ceilings.shape} for {len(self.times)} times: "
                "(n_times, 2) is needed."
            )

    @classmethod
    def from_result(cls, result: Any, test: Any = None, **options: Any) -> TimeCourseDisplay:
        """Draw a time-resolved RSA.

        Parameters
        ----------
        result : TimeResolvedRSA
            Of :func:`skdnn.rsa.time_resolved_rsa`.
        test : TimeCourseTest, default=None
            Its test: spans of significance are drawn as bars, and onsets marked.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : TimeCourseDisplay
            The courses, drawn. Noise ceilings are those of similarities, and are not drawn for
            partial correlations and coefficients.

        Raises
        ------
        TypeError
            If it is something else.
        """
        if not hasattr(result, "scores") or not hasattr(result, "layers"):
            raise TypeError(
                f"result is {type(result).__name__}: give what time_resolved_rsa returns."
            )
        names = ["/".join(map(str, x)) if isinstance(x, tuple) else x for x in result.layers]
        ceilings = result.ceilings if result.kind == "similarity" else None
        display = cls(result.scores, result.times, names, ceilings=ceilings)
        score = f"{_SCORE[result.kind]} ({result.comparison})"
        return display.plot(**{"test": test, "ylabel": score, **options})

    @classmethod
    @styled
    def from_generalization(
        cls,
        result: Any,
        ax: Axes | None = None,
        *,
        vmin: float | None = None,
        vmax: float | None = None,
        title: str | None = None,
    ) -> TimeCourseDisplay:
        """Draw the similarity of RDMs of one time with those of others, as a matrix.

        Parameters
        ----------
        result : TemporalGeneralization
            Of :func:`skdnn.rsa.temporal_generalization`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        vmin, vmax : float, default=None
            Ends of the colour scale. None takes the range of what is drawn, the diagonal of
            RDMs against themselves left out.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        display : TimeCourseDisplay
            With ``image_`` and ``colorbar_``.
        """
        mean = result.scores.mean(axis=0)
        display = cls(result.scores, result.other_times, result.times)
        ax = display._open(ax, (5.6, 4.6))
        shown = mean
        if result.against == "self":
            shown = np.where(np.eye(len(mean), dtype=bool), np.nan, mean)
        known = shown[np.isfinite(shown)]
        low = known.min(initial=0.0) if vmin is None else vmin
        high = known.max(initial=-1.0) if vmax is None else vmax
        display.image_ = ax.pcolormesh(
            result.other_times, result.times, mean, cmap=COLOUR_MAP, vmin=low, vmax=high,
            shading="nearest", rasterized=True,
        )  # fmt: skip
        display.colorbar_ = display.figure_.colorbar(
            display.image_, ax=ax, label=f"similarity of RDMs ({result.comparison})"
        )
        other = {"movie": "time of the other movie (s)", "others": "time, other subjects (s)"}
        ax.set(xlabel=other.get(result.against, "time (s)"), ylabel="time (s)", title=title)
        if result.against != "movie":
            ax.set_aspect("equal")
        for line, times in ((ax.axvline, result.other_times), (ax.axhline, result.times)):
            if times[0] < 0 < times[-1]:
                line(0, color="white", linewidth=0.8, linestyle=":")
        display.ax_ = ax
        return display

    @styled
    def plot(
        self,
        ax: Axes | None = None,
        *,
        test: Any = None,
        alpha: float = 0.05,
        spread: str | None = "interval",
        level: float = 0.95,
        ceiling: bool = True,
        peaks: Any = None,
        onsets: bool = True,
        colours: Any = None,
        title: str | None = None,
        ylabel: str = "score",
    ) -> TimeCourseDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        test : TimeCourseTest, default=None
            Spans below `alpha` are drawn as bars above the axes, a row for each layer.
        alpha : float, default=0.05
            Of spans and onsets.
        spread : {"interval", "sem", "subjects", None}, default="interval"
            What is drawn of the subjects: Student's interval of the mean, the standard error, or
            a thin line for each.
        level : float, default=0.95
            Of the interval.
        ceiling : bool, default=True
            Whether to draw the noise ceilings, if there are some.
        peaks : DataFrame, default=None
            Of :meth:`skdnn.rsa.TimeResolvedRSA.peaks`: marked with their intervals.
        onsets : bool, default=True
            Whether to mark the first significant time of each layer at the foot of the axes.
            Those of clusters say nothing of when an effect begins, and are not marked.
        colours : sequence of length n_layers, default=None
            None takes the palette, or for more layers than it has a scale in their order.
        title, ylabel : str
            Title of the axes, and name of the score.

        Returns
        -------
        self : TimeCourseDisplay
            The display itself.
        """
        if spread not in _SPREADS:
            known = ", ".join(map(repr, _SPREADS))
            raise ValueError(f"spread={spread!r} is not known: choose one of {known}.")
        if not 0 < level < 1 or not 0 < alpha < 1:
            raise ValueError(f"level and alpha lie between 0 and 1, got {level!r} and {alpha!r}.")
        spans = self._spans(test, alpha)
        palette = self._colours(colours)
        ax = self._open(ax, (7.2, 4.2))
        if ceiling and self.ceilings is not None:
            ax.fill_between(
                self.times, *self.ceilings.T, color=CEILING, alpha=0.5, linewidth=0, zorder=0,
                label="noise ceiling",
            )  # fmt: skip
        self._draw_spread(ax, spread, level, palette)
        names = self._legend_names()
        mean = self.scores.mean(axis=0)
        self.lines_ = [
            ax.plot(self.times, row, color=colour, linewidth=1.8, zorder=3, label=name)[0]
            for row, colour, name in zip(mean, palette, names, strict=True)
        ]
        if peaks is not None:
            self._draw_peaks(ax, peaks, palette)
        self._finish(ax, ylabel)
        top = 1.0
        if spans is not None:
            top = self._draw_spans(ax, spans, palette, alpha)
            if onsets and test.kind != "cluster":
                self._draw_onsets(ax, test.onsets(alpha), palette)
        if title:
            ax.set_title(title, y=top + 0.02 if top > 1 else None)
        handles, labels = ax.get_legend_handles_labels()
        entries = sorted(zip(handles, labels, strict=True), key=lambda e: e[1] not in names)
        legend_beside(ax, [e[0] for e in entries], [e[1] for e in entries])
        return self

    def _spans(self, test: Any, alpha: float) -> pd.DataFrame | None:
        if test is None:
            return None
        unknown = [str(name) for name in test.layers if str(name) not in self.layers]
        if unknown:
            raise ValueError(
                f"test is of {unknown[0]!r}, which is none of the layers {self.layers}: draw the "
                "test of these scores."
            )
        return test.spans(alpha)

    def _colours(self, given: Any) -> list[Any]:
        n = len(self.layers)
        if given is not None:
            if len(given) != n:
                raise ValueError(f"colours has {len(given)} entries for {n} layers.")
            return list(given)
        if n <= len(COLOURS):
            return list(COLOURS[:n])
        import matplotlib as mpl

        return [mpl.colormaps[COLOUR_MAP](place) for place in np.linspace(0, 0.92, n)]

    def _legend_names(self) -> list[str]:
        """Names of the layers; of very many only some, whose colours tell where others lie."""
        names = shortened(self.layers)
        if len(names) <= _MOST_NAMES:
            return names
        shown = set(np.linspace(0, len(names) - 1, _MOST_NAMES - 3).round().astype(int))
        return [name if k in shown else f"_{name}" for k, name in enumerate(names)]

    def _draw_spread(self, ax: Axes, spread: str | None, level: float, palette: list[Any]) -> None:
        n_subjects = len(self.scores)
        if spread is None or n_subjects < 2:
            return
        if spread == "subjects":
            for layer, colour in enumerate(palette):
                ax.plot(
                    self.times, self.scores[:, layer].T, color=colour, alpha=0.25, linewidth=0.7,
                    zorder=2,
                )  # fmt: skip
            ax.plot([], [], color=GREY, alpha=0.5, linewidth=0.7, label="each subject")
            return
        mean = self.scores.mean(axis=0)
        reach = self.scores.std(axis=0, ddof=1) / np.sqrt(n_subjects)
        name = "\N{PLUS-MINUS SIGN} 1 SEM over subjects"
        if spread == "interval":
            reach = reach * stats.t.ppf((1 + level) / 2, n_subjects - 1)
            name = f"{100 * level:g}% interval of the mean"
        for row, half, colour in zip(mean, reach, palette, strict=True):
            ax.fill_between(
                self.times, row - half, row + half, color=colour, alpha=0.18, linewidth=0,
                zorder=1,
            )  # fmt: skip
        ax.fill_between([], [], [], color=GREY, alpha=0.25, linewidth=0, label=name)

    def _draw_peaks(self, ax: Axes, peaks: pd.DataFrame, palette: list[Any]) -> None:
        lacking = {"layer", "latency", "low", "high", "score"} - set(peaks)
        if lacking:
            raise ValueError(f"peaks lacks the column(s) {', '.join(sorted(lacking))}.")
        of = dict(zip(self.layers, palette, strict=True))
        columns = [peaks[name] for name in ("layer", "latency", "low", "high", "score")]
        for layer, latency, low, high, score in zip(*columns, strict=True):
            if str(layer) not in of:
                continue
            colour = of[str(layer)]
            ax.plot([low, high], [score] * 2, color=colour, linewidth=1.2, zorder=4)
            ax.plot(
                latency, score, "o", color=colour, markersize=6, markeredgecolor="white", zorder=5
            )
        ax.plot([], [], "o-", color=GREY, markersize=6, linewidth=1.2, label="peak, interval")

    def _draw_spans(
        self, ax: Axes, spans: pd.DataFrame, palette: list[Any], alpha: float
    ) -> float:
        """Bars above the axes, a row for each layer; how high they reach."""
        step = min(0.03, 0.25 / len(self.layers))
        period = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1.0
        for number, (layer, colour) in enumerate(zip(self.layers, palette, strict=True)):
            height = 1.02 + step * (len(self.layers) - 1 - number)
            own = spans[spans["layer"].map(str) == layer]
            for start, stop in zip(own["start"], own["stop"], strict=True):
                ax.plot(
                    [start - period / 2, stop + period / 2], [height] * 2, color=colour,
                    linewidth=min(4.0, 100 * step), solid_capstyle="butt", clip_on=False,
                    transform=ax.get_xaxis_transform(), scalex=False, scaley=False,
                )  # fmt: skip
        ax.plot([], [], color=GREY, linewidth=4, solid_capstyle="butt", label=f"p < {alpha:g}")
        return 1.02 + step * len(self.layers)

    def _draw_onsets(self, ax: Axes, onsets: pd.Series, palette: list[Any]) -> None:
        of = dict(zip(self.layers, palette, strict=True))
        for layer, onset in onsets.dropna().items():
            ax.plot(
                onset, 0.0, "^", color=of[str(layer)], markersize=7, clip_on=False, zorder=6,
                transform=ax.get_xaxis_transform(), scalex=False, scaley=False,
            )  # fmt: skip
        ax.plot([], [], "^", color=GREY, markersize=7, linestyle="none", label="onset")

    def _finish(self, ax: Axes, ylabel: str) -> None:
        ax.set(xlabel="time (s)", ylabel=ylabel)
        ax.set_xlim(self.times[0], self.times[-1] if len(self.times) > 1 else None)
        quiet_frame(ax, "y")
        ax.axhline(0, color="black", linewidth=0.8, zorder=1)
        if self.times[0] < 0 < self.times[-1]:
            ax.axvline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
