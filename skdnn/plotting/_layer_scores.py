"""Profiles of scores over layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn.plotting._axes_parts import (
    ceiling_pair,
    check_columns,
    draw_ceiling,
    draw_references,
    interval_name,
    legend_beside,
    quiet_frame,
    shortened,
)
from skdnn.plotting._colours import COLOURS, GREY, group_styles, styled
from skdnn.plotting._display import Display
from skdnn.plotting._search_scores import (
    averaged,
    layer_rows,
    lines_of_targets,
    score_folds,
    score_name,
    search_ceiling,
    search_parts,
)
from skdnn.plotting._significance import draw_dots, set_title_above_dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_SCORE = "RSA score"
_WIDEST = 18.0  # inches


class LayerScoresDisplay(Display):
    """Profile of scores over the layers of a network.

    Parameters
    ----------
    scores : DataFrame
        One row per layer, in the order in which they are drawn, with the columns ``layer``,
        ``mean``, ``std`` and, optionally, ``scores``: the scores of the folds, and ``low`` and
        ``high``: ends of a confidence interval, drawn in place of the standard deviation.
    ceiling : pair of floats or array-likes, default=None
        Lower and upper noise ceiling, which :meth:`plot` draws if it is given no other.
    each : DataFrame of shape (n_layers, n_targets), default=None
        Scores of the single targets (subjects, ROIs), of which ``mean`` is the mean.
    lines : DataFrame of shape (n_layers, n_lines), default=None
        Scores of what is drawn in lines of its own in place of the mean, e.g. ROIs.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the profile was drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.

    See Also
    --------
    LayerScoresDisplay.from_search : From a fitted search over layers.
    LayerScoresDisplay.from_scores : From the scores of each layer.
    ModelComparisonDisplay : Scores of models, with tests between them.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import LayerScoresDisplay
    >>> display = LayerScoresDisplay.from_scores({"conv1": [0.1, 0.2], "conv2": [0.3, 0.5]})
    >>> display.scores[["layer", "mean"]]
       layer  mean
    0  conv1  0.15
    1  conv2  0.40
    """

    def __init__(
        self,
        scores: pd.DataFrame,
        *,
        ceiling: tuple[Any, Any] | None = None,
        each: pd.DataFrame | None = None,
        lines: pd.DataFrame | None = None,
    ) -> None:
        check_columns(scores, {"layer", "mean", "std"}, "scores")
        if len(scores) == 0:
            raise ValueError("scores has no rows: there is no layer to draw.")
        for name, table in (("each", each), ("lines", lines)):
            if table is not None and len(table) != len(scores):
                raise ValueError(f"{name} has {len(table)} rows for {len(scores)} layers.")
        self.scores = scores.reset_index(drop=True)
        self.ceiling = ceiling_pair(ceiling)
        self.each = each
        self.lines = lines

    @classmethod
    def from_search(
        cls, search: Any, param: str | None = None, **options: Any
    ) -> LayerScoresDisplay:
        """Draw the scores of a fitted search over layers.

        Parameters
        ----------
        search : fitted search, e.g. GridSearchCV
            Its ``cv_results_`` are read. Where other parameters were searched too, each layer
            is shown with the best of them. The results of ``RSAScorer(detail=True)`` bring the
            noise ceiling, if there is one, and the scores of the single targets. Up to twelve
            ROIs become lines of their own; subjects (by their names, or where ROIs have several)
            are averaged.
        param : str, default=None
            Name of the parameter; None takes the one that is ``layer`` or ends in ``__layer``.
        **options : dict
            Arguments of :meth:`plot`; ``each=True`` draws the mean and a thin line for each
            target, ``each=False`` the mean alone. The axis is named by the search's scorer.

        Returns
        -------
        display : LayerScoresDisplay
            The profile, drawn.

        Raises
        ------
        ValueError
            If no such parameter was searched, or several were.
        """
        rows = layer_rows(search, param)
        table = _table(score_folds(search, rows))
        each = search_parts(search, rows)
        lines = lines_of_targets(search, each)
        display = cls(table, ceiling=search_ceiling(search), each=each, lines=lines)
        label = averaged(search) if each is None else None
        return display.plot(**{"ylabel": score_name(search), "label": label, **options})

    @classmethod
    def from_scores(
        cls, scores: Mapping[str, ArrayLike] | pd.DataFrame, **options: Any
    ) -> LayerScoresDisplay:
        """Draw the scores of layers.

        Parameters
        ----------
        scores : dict of str to array-like, or DataFrame
            Scores of the folds of each layer; a DataFrame has a column per layer, or the columns
            ``layer``, ``mean`` and ``std``.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : LayerScoresDisplay
            The profile, drawn.
        """
        if isinstance(scores, pd.DataFrame) and {"layer", "mean", "std"} <= set(scores.columns):
            return cls(scores).plot(**options)
        folds = {str(name): np.ravel(values).astype(float) for name, values in scores.items()}
        return cls(_table(folds)).plot(**options)

    @styled
    def plot(
        self,
        ax: Axes | None = None,
        *,
        label: str | None = None,
        ceiling: Any = None,
        reference: Mapping[str, Any] | pd.Series | None = None,
        colour: str | None = None,
        ylabel: str = _SCORE,
        title: str | None = None,
        p_values: Mapping[str, float] | pd.Series | ArrayLike | None = None,
        alpha: float = 0.05,
        intervals: Mapping[str, tuple[float, float]] | pd.DataFrame | None = None,
        each: bool | None = None,
        level: float | None = None,
        whiskers: str | None = None,
    ) -> LayerScoresDisplay:
        """Draw; call it again on the same axes to compare profiles.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        label : str, default=None
            Name of the profile in the legend.
        ceiling : pair of floats or array-likes, or False, default=None
            Lower and upper noise ceiling, drawn as a band; of arrays (of folds), the means. None
            takes that of the search, if it has one; False draws none.
        reference : dict of str to float, array-like, dict or Series, default=None
            What to compare with. A number is a horizontal line; of an array (of folds), the mean
            is. A dict or Series of layers is a profile, and so is `reference` itself where its
            keys are layers. Of more than four horizontal lines, the legend names the lowest and
            the highest.
        colour : str, default=None
            Colour of the profile; None takes the next of a colour-blind safe palette.
        ylabel : str, default="RSA score"
            What the scores are.
        title : str, default=None
            Title of the axes.
        p_values : dict of str to float, Series, or array-like of length n_layers, default=None
            The p value of each layer, corrected for the number of layers as you see fit. Layers
            below `alpha` have a dot above the axes; a dict may leave layers out.
        alpha : float, default=0.05
            Threshold of significance, named in the legend.
        intervals : dict of str to (low, high), or DataFrame, default=None
            Confidence interval of each layer; a DataFrame has the layers as index and the columns
            ``low`` and ``high``. Drawn in place of the standard deviation.
        each : bool, default=None
            Draw the mean and a thin line for each target, and no dots of folds; False draws the
            mean alone. None draws `lines` where there are any, which have no noise ceiling in
            common, and the mean elsewhere.
        level : float, default=None
            Level of the intervals, such as 0.95, named in the legend.
        whiskers : str, default=None
            What the bars are, in the legend; None says it by what is drawn, "" leaves it to you.

        Returns
        -------
        self : LayerScoresDisplay
            The display itself.

        Notes
        -----
        The line and dots are means, the bars one standard deviation over folds or the given
        interval, the small dots the folds. Folds overlap in their training data: a standard
        deviation shows spread, not confidence.
        """
        layers = [str(layer) for layer in self.scores["layer"]]
        significant = _significant(p_values, layers, alpha)
        ends = self._ends(intervals, layers)
        if each and self.each is None:
            raise ValueError("each=True, but there are no scores of single targets to draw.")
        has_interval = intervals is not None or {"low", "high"} <= set(self.scores.columns)
        apart = each is None and self.lines is not None and not has_interval and p_values is None
        ax = self._open(ax, _size(layers))
        drawn = _already_drawn(ax)
        if drawn and drawn[0] != layers:
            raise ValueError(f"The axes show the layers {drawn[0]}, not {layers}.")
        # Profiles stand side by side, so that their bars stay apart.
        x = np.arange(len(layers)) + 0.12 * ((len(drawn) + 1) // 2) * (-1) ** len(drawn)
        given, colour = colour, colour or COLOURS[len(drawn) % len(COLOURS)]
        if apart:
            self._draw_lines(ax, given, label)
        else:
            (self._draw_each if each else self._draw_folds)(ax, x, colour)
            if label is None and self.each is not None:
                label = f"mean of {self.each.shape[1]}"
            self._draw_profile(ax, x, ends, colour, label)
            if whiskers != "":
                self._name_whiskers(ax, ends, has_interval, level, whiskers)
        drawn.append(layers)
        own = None if apart else self.ceiling
        draw_ceiling(ax, own if ceiling is None else ceiling_pair(ceiling))
        draw_references(ax, {} if reference is None else reference, layers)
        self._finish(ax, layers, ylabel)
        if significant is not None:
            draw_dots(ax, x[significant], colour, alpha)
        set_title_above_dots(ax, title)
        _explain(ax)
        return self

    def _ends(self, intervals: Any, layers: list[str]) -> Array:
        """Lower and upper end of each layer's bar, shape (2, n_layers)."""
        if intervals is not None:
            return _interval_ends(intervals, layers)
        if {"low", "high"} <= set(self.scores.columns):
            return self.scores[["low", "high"]].to_numpy(dtype=np.float64).T
        mean, std = self.scores[["mean", "std"]].to_numpy(dtype=np.float64).T
        return np.stack([mean - std, mean + std])

    def _draw_each(self, ax: Axes, x: Array, colour: str) -> None:
        assert self.each is not None  # plot() asked
        lines = ax.plot(
            x, self.each.to_numpy(dtype=np.float64), color=colour, alpha=0.4, lw=0.9, zorder=2
        )
        lines[0].set_label(f"each of {len(lines)}")

    def _draw_lines(self, ax: Axes, colour: str | None, label: str | None) -> None:
        """A profile for each ROI, without whiskers: of many, they would hide each other."""
        assert self.lines is not None  # plot() asked
        styles = group_styles(list(self.lines))
        for (name, style), column in zip(styles.items(), self.lines, strict=True):
            ax.plot(
                self.lines[column].to_numpy(np.float64), color=colour or style["colour"], lw=1.6,
                zorder=3, marker=style["marker"], markersize=5, linestyle=style["line"],
                label=name if label is None else f"{label}, {name}",
            )  # fmt: skip

    def _name_whiskers(
        self, ax: Axes, ends: Array, has_interval: bool, level: float | None, name: str | None
    ) -> None:
        """What the bars are, in the legend, once."""
        if not (ends[1] > ends[0]).any():
            return
        if name is None and has_interval:
            name = interval_name(level)
        elif name is None:
            counts = {len(np.atleast_1d(folds)) for folds in self.scores.get("scores", [])}
            folds = f"{counts.pop()} folds" if len(counts) == 1 else "folds"
            name = f"\N{PLUS-MINUS SIGN} 1 SD over {folds}"
        if name not in ax.get_legend_handles_labels()[1]:
            ax.errorbar(
                [], [], yerr=[], fmt="none", ecolor=GREY, elinewidth=1.2, capsize=3, label=name
            )

    def _draw_folds(self, ax: Axes, x: Array, colour: str) -> None:
        if "scores" not in self.scores:
            return
        for place, values in zip(x, self.scores["scores"], strict=True):
            folds = np.asarray(values, dtype=np.float64)
            spread = np.linspace(-0.05, 0.05, len(folds)) if len(folds) > 1 else np.zeros(1)
            ax.scatter(
                place + spread, folds, s=11, color=colour, alpha=0.35, linewidths=0, zorder=2
            )

    def _draw_profile(
        self, ax: Axes, x: Array, ends: Array, colour: str, label: str | None
    ) -> None:
        # Bars apart from the line: an interval need not hold the mean.
        ax.errorbar(
            x, ends.mean(axis=0), yerr=(ends[1] - ends[0]) / 2, fmt="none", ecolor=colour,
            elinewidth=1.2, capsize=3, zorder=3,
        )  # fmt: skip
        means = self.scores["mean"].to_numpy(dtype=np.float64)
        ax.errorbar(
            x, means, color=colour, marker="o", markersize=6, linewidth=1.8, zorder=3, label=label
        )

    def _finish(self, ax: Axes, layers: list[str], ylabel: str) -> None:
        crowded = max(map(len, layers)) > 5
        ax.set_xticks(
            np.arange(len(layers)),
            shortened(layers),
            rotation=40 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor",
            fontsize=None if len(layers) <= 30 else 7,
        )
        ax.set_xlim(-0.5, len(layers) - 0.5)
        known = ax.get_ylabel() if ylabel == _SCORE else ""  # by a profile before this one
        ax.set(xlabel="layer", ylabel=known or ylabel)
        quiet_frame(ax, "y")
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color="black", linewidth=0.8, zorder=1)


def _size(layers: list[str]) -> tuple[float, float]:
    """Inches of a figure with room for the names and a legend."""
    longest = max(map(len, shortened(layers)))
    return min(_WIDEST, max(5.6, 2.4 + 0.62 * len(layers))), 4.2 + 0.05 * max(0, longest - 14)


def _table(folds: Mapping[str, Array]) -> pd.DataFrame:
    """Means and standard deviations over the folds of each layer."""
    rows = [(name, np.mean(values), np.std(values), values) for name, values in folds.items()]
    return pd.DataFrame(rows, columns=["layer", "mean", "std", "scores"])


def _significant(p_values: Any, layers: list[str], alpha: float) -> NDArray[np.bool_] | None:
    """Which layers are below the threshold; NaN is not."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}.")
    if p_values is None:
        return None
    if isinstance(p_values, Mapping | pd.Series):
        given = {str(layer): float(p) for layer, p in p_values.items()}
        _check_known(given, layers, "p_values")
        p = np.array([given.get(layer, np.nan) for layer in layers])
    else:
        p = np.asarray(p_values, dtype=np.float64)
    if p.shape != (len(layers),):
        raise ValueError(f"p_values has shape {p.shape} for {len(layers)} layers.")
    if ((p < 0) | (p > 1)).any():
        raise ValueError("p_values must lie between 0 and 1.")
    return p < alpha


def _interval_ends(intervals: Any, layers: list[str]) -> Array:
    if isinstance(intervals, pd.DataFrame):
        check_columns(intervals, {"low", "high"}, "intervals")
        intervals = intervals[["low", "high"]].T  # a column for each layer
    given = {str(layer): ends for layer, ends in intervals.items()}
    _check_known(given, layers, "intervals")
    ends = np.array([given.get(layer, (np.nan, np.nan)) for layer in layers], dtype=np.float64)
    if (ends[:, 0] > ends[:, 1]).any():
        raise ValueError("intervals must be pairs (low, high) with low below high.")
    return ends.T


def _check_known(given: Mapping[str, Any], layers: list[str], name: str) -> None:
    unknown = [layer for layer in given if layer not in layers]
    if unknown:
        raise ValueError(f"{name} names {unknown[0]!r}, which is none of the layers {layers}.")


def _explain(ax: Axes) -> None:
    """The legend, profiles first."""
    from matplotlib.container import Container

    entries = list(zip(*ax.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: not (isinstance(entry[0], Container) and entry[0][0]))
    legend_beside(ax, [handle for handle, _ in entries], [name for _, name in entries])


def _already_drawn(ax: Axes) -> list[list[str]]:
    """Layers of the profiles drawn into `ax` so far; the list is kept on the axes."""
    drawn: list[list[str]] = ax.__dict__.setdefault("_skdnn_profiles", [])
    return drawn
