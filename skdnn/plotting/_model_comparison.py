"""Scores of models beside each other, with tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn.plotting._axes_parts import (
    ceiling_pair,
    check_columns,
    draw_ceiling,
    interval_name,
    legend_beside,
    quiet_frame,
    shortened,
)
from skdnn.plotting._colours import COLOURS, GREY, group_styles, styled
from skdnn.plotting._display import Display
from skdnn.plotting._significance import draw_stars, draw_wings, wings_inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_LONG_NAME = 12  # letters; longer names are read only from the side
_MANY = 12  # models; more stand below each other, the best on top


class ModelComparisonDisplay(Display):
    """Scores of models, with intervals, noise ceiling, and tests against zero and each other.

    Parameters
    ----------
    frame : DataFrame
        One row per model, in the order in which they are drawn, with the columns ``model``,
        ``score`` and, optionally, ``low`` and ``high``: ends of a confidence interval, ``p``
        or ``p_adjusted``: of the test against zero, the adjusted one being used where both are,
        and ``group``, equal ones being neighbours, e.g. the network whose layers the models are:
        each has a colour, and its name stands at its first bar.
    ceiling : pair of floats or array-likes, default=None
        Lower and upper noise ceiling.
    pairwise : DataFrame, default=None
        One row per pair of models, with the columns ``model_a``, ``model_b``, ``difference``
        (score of a minus score of b), and ``p`` or ``p_adjusted``.
    each : DataFrame or dict of str to array-like, default=None
        Scores of the single subjects, a column for each model.
    level : float, default=None
        Level of the intervals, such as 0.95, named in the legend.
    whiskers : str, default=None
        More about the intervals, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the scores were drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.
    horizontal_ : bool
        Whether bars run to the right.
    wings_ : matplotlib Axes or None
        Where the significant differences were drawn; None if there are none.

    See Also
    --------
    ModelComparisonDisplay.from_result : From the result of a bootstrap or a permutation test.
    ModelComparisonDisplay.from_frame : From one's own numbers.
    LayerScoresDisplay : Scores over the layers of one model.

    Notes
    -----
    Differences stand above the bars (right of them, if bars run to the right), in one row for each
    model that scores higher than another: its own dot is filled, the dots of the models that it
    surpasses are open. Twelve models have 66 pairs, too many for brackets, but never more than
    eleven such rows. A star marks a score whose test against zero is significant and whose
    interval, where there is one, does not hold zero: a one-sided test and a two-sided interval may
    disagree, and a picture should not.

    More than twelve models stand below each other, the best on top, unless they have groups.

    Examples
    --------
    >>> import matplotlib
    >>> import pandas as pd
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import ModelComparisonDisplay
    >>> frame = pd.DataFrame({"model": ["V1", "IT"], "score": [0.1, 0.4], "p": [0.2, 0.001]})
    >>> display = ModelComparisonDisplay.from_frame(frame, ceiling=(0.5, 0.6))
    >>> [tick.get_text() for tick in display.ax_.get_xticklabels()]
    ['V1', 'IT']
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        ceiling: tuple[Any, Any] | None = None,
        pairwise: pd.DataFrame | None = None,
        each: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        level: float | None = None,
        whiskers: str | None = None,
    ) -> None:
        check_columns(frame, {"model", "score"}, "frame")
        if len(frame) == 0:
            raise ValueError("frame has no rows: there is no model to draw.")
        if ("low" in frame.columns) != ("high" in frame.columns):
            raise ValueError("frame has only one of the columns low and high.")
        self.frame = frame.reset_index(drop=True)
        self.models = [str(model) for model in self.frame["model"]]
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"Models in frame have the same name: {self.models}.")
        self.ceiling = ceiling_pair(ceiling)
        self.pairwise = None if pairwise is None else _checked_pairs(pairwise, self.models)
        self.each = None if each is None else _checked_each(each, self.models)
        self.level, self.whiskers = level, whiskers

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        each: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        **options: Any,
    ) -> ModelComparisonDisplay:
        """Draw the result of a bootstrap or a permutation test.

        Parameters
        ----------
        result : object
            With ``to_frame()`` (see `frame` above), ``ceiling`` (lower and upper, or None),
            ``pairwise()`` (see `pairwise` above) and ``comparison``, which names the axis.
        each : DataFrame or dict of str to array-like, default=None
            Scores of the single subjects, a column for each model.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : ModelComparisonDisplay
            The models, drawn.
        """
        frame = result.to_frame()
        if "model" not in frame.columns and frame.index.name == "model":
            frame = frame.reset_index()
        compare = getattr(result, "pairwise", None)
        pairwise = compare() if callable(compare) and len(frame) > 1 else None
        ceiling = getattr(result, "ceiling", None)
        level = 0.95 if hasattr(result, "intervals") else None  # to_frame's own default
        resampled = getattr(result, "resample", None)
        what = "conditions and subjects" if resampled == "both" else resampled
        display = cls(
            frame, ceiling=ceiling, pairwise=pairwise, each=each, level=level,
            whiskers=what and f"bootstrap of {what}",
        )  # fmt: skip
        comparison = getattr(result, "comparison", None)
        named = {"ylabel": f"RSA score ({comparison})"} if comparison else {}
        return display.plot(**{**named, **options})

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        ceiling: tuple[Any, Any] | None = None,
        pairwise: pd.DataFrame | None = None,
        each: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        level: float | None = None,
        **options: Any,
    ) -> ModelComparisonDisplay:
        """Draw one's own numbers.

        Parameters
        ----------
        frame : DataFrame
            One row per model: ``model``, ``score``, and optionally ``low``, ``high``, ``p``,
            ``p_adjusted``, ``group``.
        ceiling : pair of floats or array-likes, default=None
            Lower and upper noise ceiling; of arrays (of subjects or folds), the means are drawn.
        pairwise : DataFrame, default=None
            One row per pair: ``model_a``, ``model_b``, ``difference``, and ``p`` or
            ``p_adjusted``.
        each : DataFrame or dict of str to array-like, default=None
            Scores of the single subjects, a column for each model.
        level : float, default=None
            Level of the intervals, such as 0.95, named in the legend.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : ModelComparisonDisplay
            The models, drawn.
        """
        display = cls(frame, ceiling=ceiling, pairwise=pairwise, each=each, level=level)
        return display.plot(**options)

    @styled
    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "bar",
        horizontal: bool | None = None,
        alpha: float = 0.05,
        colours: str | Sequence[str] | Mapping[str, str] | None = None,
        ylabel: str = "RSA score",
        title: str | None = None,
        sort: bool | None = None,
    ) -> ModelComparisonDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        kind : {"bar", "dot"}, default="bar"
            Bars from zero, or dots.
        horizontal : bool, default=None
            Let bars run to the right; None does so where a name is longer than twelve letters,
            there are more than twelve models, or they have groups.
        alpha : float, default=0.05
            Threshold of significance, named in the legend.
        colours : str, sequence or dict, default=None
            One colour for all models, or one for each.
        ylabel : str, default="RSA score"
            What the scores are.
        title : str, default=None
            Title of the axes.
        sort : bool, default=None
            Put the best model first; None does so of more than twelve without groups, unless
            ``horizontal=False`` asks for columns.

        Returns
        -------
        self : ModelComparisonDisplay
            The display itself.
        """
        if kind not in ("bar", "dot"):
            raise ValueError(f"kind must be 'bar' or 'dot', got {kind!r}.")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}.")
        fills = self._fills(colours)
        many, grouped = len(self.models) > _MANY, "group" in self.frame
        if sort or (sort is None and many and not grouped and horizontal is not False):
            fills = self._sort(fills)
        if horizontal is None:
            horizontal = many or grouped or max(map(len, self.models)) > _LONG_NAME
        self.horizontal_ = horizontal
        better = self._better(alpha)
        ax = self._open(ax, self._size(wings_inches(better, len(self.models))))
        self._draw_scores(ax, kind, fills)
        self._draw_intervals(ax, on_bars=kind == "bar")
        self._draw_subjects(ax)
        draw_ceiling(ax, self.ceiling, across=horizontal)
        self._draw_stars(ax, alpha)
        self._finish(ax, ylabel)
        self.wings_ = draw_wings(ax, better, len(self.models), across=horizontal)
        if title is not None:
            over = 0.0 if horizontal else wings_inches(better, len(self.models))
            ax.set_title(title, pad=6 + 72 * over)
        self._explain(ax, better, alpha)
        return self

    def _size(self, wings: float) -> tuple[float, float]:
        """Inches of a figure that holds all models, the rows of comparisons and a legend."""
        n, longest = len(self.models), max(map(len, shortened(self.models)))
        if self.horizontal_:
            return 6.6 + 0.07 * longest + wings, max(2.6, 1.0 + (0.36 if n <= _MANY else 0.25) * n)
        return max(5.6, 3.6 + 0.5 * n), 4.0 + wings

    def _sort(self, fills: list[str]) -> list[str]:
        """The best model first; its colour goes with it."""
        order = np.argsort(-self._column("score"), kind="stable")  # NaN last
        self.frame = self.frame.iloc[order].reset_index(drop=True)
        self.models = [self.models[k] for k in order]
        return [fills[k] for k in order]

    def _fills(self, colours: Any) -> list[str]:
        n = len(self.models)
        if colours is None and "group" in self.frame:
            styles = group_styles(list(self.frame["group"]))
            return [styles[str(group)]["colour"] for group in self.frame["group"]]
        if colours is None or isinstance(colours, str):
            return [colours or COLOURS[0]] * n
        if isinstance(colours, Mapping):
            missing = [model for model in self.models if model not in colours]
            if missing:
                raise ValueError(f"colours has none for the model(s) {', '.join(missing)}.")
            return [colours[model] for model in self.models]
        if len(colours) != n:
            raise ValueError(f"colours has {len(colours)} entries for {n} models.")
        return list(colours)

    def _better(self, alpha: float) -> dict[int, list[int]]:
        """For each model that is significantly better than others, which; the best first."""
        if self.pairwise is None:
            return {}
        found: dict[int, list[int]] = {}
        for a, b, difference, p in self.pairwise.itertuples(index=False):
            if p < alpha and difference != 0:
                pair = self.models.index(str(a)), self.models.index(str(b))
                winner, loser = pair if difference > 0 else pair[::-1]
                found.setdefault(winner, []).append(loser)
        scores = self._column("score")
        return {k: sorted(found[k]) for k in sorted(found, key=lambda k: -scores[k])}

    def _column(self, name: str) -> Array:
        return self.frame[name].to_numpy(dtype=np.float64)

    def _xy(self, places: ArrayLike, values: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
        """Along the models' axis and along the scores'."""
        return (values, places) if self.horizontal_ else (places, values)

    def _draw_scores(self, ax: Axes, kind: str, fills: list[str]) -> None:
        places, scores = np.arange(len(self.models)), self._column("score")
        if kind == "dot":
            ax.scatter(*self._xy(places, scores), s=60, c=fills, zorder=4)
        else:
            draw = ax.barh if self.horizontal_ else ax.bar
            draw(places, scores, 0.62, color=fills, zorder=2)

    def _draw_intervals(self, ax: Axes, on_bars: bool) -> None:
        if "low" not in self.frame.columns:
            return
        low, high = self._column("low"), self._column("high")
        bars: dict[str, Any] = {"xerr" if self.horizontal_ else "yerr": (high - low) / 2}
        ax.errorbar(
            *self._xy(np.arange(len(low)), (low + high) / 2),
            **bars,
            fmt="none", ecolor="black" if on_bars else GREY, elinewidth=1.4, capsize=3, zorder=3,
            label=",\n".join(filter(None, [interval_name(self.level), self.whiskers])),
        )  # fmt: skip

    def _draw_subjects(self, ax: Axes) -> None:
        if self.each is None:
            return
        for k, model in enumerate(self.models):
            values = self.each[model].to_numpy(dtype=np.float64)
            # Subjects beside the interval, so that neither hides the other.
            spread = np.linspace(0.1, 0.26, len(values)) if len(values) > 1 else np.full(1, 0.18)
            ax.scatter(
                *self._xy(k + spread, values), s=13, color="white", edgecolors="#333333",
                linewidths=0.8, zorder=5, label="subject" if k == 0 else None,
            )  # fmt: skip

    def _ends(self) -> tuple[Array, Array]:
        """The lowest and the highest that is drawn of each model."""
        drawn = [self._column(name) for name in ("score", "low", "high") if name in self.frame]
        if self.each is not None:
            drawn += list(self.each[self.models].to_numpy(dtype=np.float64))
        return np.fmin.reduce(drawn), np.fmax.reduce(drawn)

    def _starred(self, alpha: float) -> NDArray[np.bool_]:
        """Scores whose test says that they are not zero, and whose interval says it too."""
        p = _p_column(self.frame)
        if p is None:
            return np.zeros(len(self.models), dtype=bool)
        found = p < alpha
        if "low" in self.frame.columns:
            found &= ~((self._column("low") <= 0) & (self._column("high") >= 0))
        return found

    def _draw_stars(self, ax: Axes, alpha: float) -> None:
        """Stars beyond what is drawn of a model: above it, or below where the score is."""
        low, high = self._ends()
        scores, starred = self._column("score"), self._starred(alpha)
        for side, ends in ((1, np.maximum(high, 0)), (-1, np.minimum(low, 0))):
            marked = np.flatnonzero(starred & (np.sign(scores) == side))
            draw_stars(ax, (marked, ends[marked]), side=side, across=self.horizontal_)

    def _finish(self, ax: Axes, ylabel: str) -> None:
        names = shortened(self._tick_names(ax))
        places = np.arange(len(names))
        quiet_frame(ax, "x" if self.horizontal_ else "y")
        if self.horizontal_:
            ax.set_yticks(places, names)
            ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=ylabel)
            ax.margins(x=0.1)
            ax.axvline(0, color="black", linewidth=0.8, zorder=3)
            return
        longest = max(map(len, names))
        crowded = longest > 8 or longest * len(names) > 36
        slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(places, names, **(slant if crowded else {}))
        ax.set(xlim=(-0.5, len(names) - 0.5), ylabel=ylabel)
        ax.margins(y=0.1)
        ax.axhline(0, color="black", linewidth=0.8, zorder=3)

    def _tick_names(self, ax: Axes) -> list[str]:
        """Names at the axis; a group is named at its first bar, and parted from the one before."""
        if "group" not in self.frame:
            return self.models
        groups, names, previous = list(map(str, self.frame["group"])), [], None
        for k, (group, model) in enumerate(zip(groups, self.models, strict=True)):
            short = model.removeprefix(group).lstrip(" /") or model
            names.append(short if group == previous else f"{group}  {short}")
            if k and group != previous:
                line = ax.axhline if self.horizontal_ else ax.axvline
                line(k - 0.5, color="#cccccc", linewidth=0.8, zorder=1)
            previous = group
        return names

    def _explain(self, ax: Axes, better: Mapping[int, Any], alpha: float) -> None:
        """The legend: what band, dots, stars and wings mean."""
        from matplotlib.lines import Line2D

        handles, names = ax.get_legend_handles_labels()
        if self._starred(alpha).any():
            handles.append(Line2D([], [], linestyle="none", marker="*", color="black"))
            names.append(f"p < {alpha:g} against 0")
        if better:
            handles.append(Line2D([], [], linestyle="none", marker="o", markersize=5, color=GREY))
            names.append(f"scores higher than ○, p < {alpha:g}")
        beyond = wings_inches(better, len(self.models)) if self.horizontal_ else 0.0
        legend_beside(ax, handles, names, inches=beyond)


def _p_column(frame: pd.DataFrame) -> Array | None:
    """Adjusted p values where there are any, else those that were not adjusted."""
    name = "p_adjusted" if "p_adjusted" in frame else "p"
    return frame[name].to_numpy(dtype=np.float64) if name in frame else None


def _checked_pairs(pairwise: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """The pairs, with the p values that count in the column ``p``."""
    check_columns(pairwise, {"model_a", "model_b", "difference"}, "pairwise")
    p = _p_column(pairwise)
    if p is None:
        raise ValueError("pairwise lacks the column p, or p_adjusted.")
    unknown = {str(name) for name in pairwise[["model_a", "model_b"]].to_numpy().flat} - set(
        models
    )
    if unknown:
        raise ValueError(f"pairwise names {sorted(unknown)}, not in {models}.")
    return pairwise[["model_a", "model_b", "difference"]].assign(p=p)


def _checked_each(each: Any, models: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(each).rename(columns=str)
    missing = set(models) - set(table.columns)
    if missing:
        raise ValueError(f"each lacks the model(s) {', '.join(sorted(missing))}.")
    return table
