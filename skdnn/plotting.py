"""Pictures in scikit-learn's manner: display objects that keep what they drew."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from sklearn.pipeline import Pipeline

from skdnn.rsa import RDM, RSAScorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_NAMED_CONDITIONS = 40
# Okabe and Ito's palette without its yellow: apart for colour-blind readers, dark enough on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_GREY = "#555555"


class _Display:
    """What the displays share: a place to draw and a way to save."""

    ax_: Axes
    figure_: Figure

    def save(self, path: str | os.PathLike[str], dpi: float = 200) -> None:
        """Write the figure to a file.

        Parameters
        ----------
        path : str or path-like
            Where to; the extension gives the format.
        dpi : float, default=200
            Resolution in dots per inch.
        """
        if not hasattr(self, "figure_"):
            raise ValueError("Nothing has been drawn yet: call plot() before save().")
        self.figure_.savefig(path, dpi=dpi)

    def _open(self, ax: Axes | None, size: tuple[float, float]) -> Axes:
        """Draw into `ax`, or into a figure of its own."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.ax_ = ax
        self.figure_ = ax.get_figure(root=True) if _has_subfigures(ax) else ax.figure  # type: ignore[assignment]
        return ax


def _has_subfigures(ax: Axes) -> bool:
    return hasattr(ax.figure, "figure") and ax.figure.figure is not ax.figure


class RDMDisplay(_Display):
    """Picture of a representational dissimilarity matrix.

    Parameters
    ----------
    rdm : ndarray or DataFrame of shape (n_conditions, n_conditions)
        Dissimilarities, in the order in which they are drawn.
    labels : sequence of length n_conditions, default=None
        Names of the conditions; None takes the index of a DataFrame. Up to 40 are written at the
        axis.
    groups : sequence of length n_conditions, default=None
        Group of each condition, equal ones being neighbours: boundaries are drawn, and the names
        of the groups take the place of the conditions' names.
    rank_transformed : bool, default=False
        Whether the values are ranks, scaled to 0 to 1; for the colour bar's name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the RDM was drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.
    image_ : matplotlib AxesImage
        The picture.
    colorbar_ : matplotlib Colorbar
        Its colour bar.

    See Also
    --------
    RDMDisplay.from_rdm : Sort, rank and draw in one call.
    LayerScoresDisplay : Scores of layers.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import RDMDisplay
    >>> from skdnn.rsa import category_rdm
    >>> categories = ["tool", "animal", "tool", "animal"]
    >>> display = RDMDisplay.from_rdm(category_rdm(categories), groups=categories)
    >>> display.labels
    [0, 2, 1, 3]
    """

    def __init__(
        self,
        rdm: ArrayLike | pd.DataFrame,
        *,
        labels: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
        rank_transformed: bool = False,
    ) -> None:
        if labels is None and isinstance(rdm, pd.DataFrame):
            labels = list(rdm.index)
        self.rdm = np.asarray(rdm, dtype=np.float64)
        if self.rdm.ndim != 2 or self.rdm.shape[0] != self.rdm.shape[1]:
            raise ValueError(f"rdm must be square, got shape {self.rdm.shape}.")
        self.labels = None if labels is None else list(labels)
        self.groups = None if groups is None else list(groups)
        self.rank_transformed = rank_transformed
        for name, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and len(values) != len(self.rdm):
                raise ValueError(f"{name} has {len(values)} entries for {len(self.rdm)} rows.")

    @classmethod
    def from_rdm(
        cls,
        rdm: ArrayLike | pd.DataFrame,
        *,
        labels: Sequence[Hashable] | None = None,
        order: str | ArrayLike | None = None,
        groups: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
        rank_transform: bool = False,
        ax: Axes | None = None,
        cmap: Any = "viridis",
        title: str | None = None,
    ) -> RDMDisplay:
        """Draw an RDM.

        Parameters
        ----------
        rdm : ndarray or DataFrame of shape (n_conditions, n_conditions)
            Dissimilarities.
        labels : sequence of length n_conditions, default=None
            Names of the conditions; None takes the index of a DataFrame.
        order : None, "cluster" or array-like of int, default=None
            Order of the conditions: as given, by hierarchical clustering (average linkage,
            optimal leaf order), or positions. With `groups`, the order within each group.
        groups : sequence of length n_conditions, default=None
            Group of each condition, e.g. its category. Groups stay together, in the order in which
            they first appear.
        rank_transform : bool, default=False
            Draw mid-ranks of the dissimilarities, scaled to 0 to 1.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default="viridis"
            Colours.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        display : RDMDisplay
        """
        if labels is None and isinstance(rdm, pd.DataFrame):
            labels = list(rdm.index)
        values = np.asarray(rdm, dtype=np.float64)
        cls(values, labels=labels, groups=None if groups is None else list(groups))  # checks
        positions = _positions(values, order)
        if groups is not None:
            codes = pd.factorize(np.asarray(groups))[0]
            positions = positions[np.argsort(codes[positions], kind="stable")]
        if rank_transform:
            values = _ranked(values)
        display = cls(
            values[np.ix_(positions, positions)],
            labels=None if labels is None else [list(labels)[i] for i in positions],
            groups=None if groups is None else [list(groups)[i] for i in positions],
            rank_transformed=rank_transform,
        )
        return display.plot(ax=ax, cmap=cmap, title=title)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, **options: Any) -> RDMDisplay:
        """Draw the RDM that a fitted estimator computes.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`skdnn.rsa.RDM`, a pipeline that ends in one or in one and an
            :class:`skdnn.rsa.RSAScorer`, or a fitted search over such a pipeline.
        X : array-like of length n_conditions
            What the estimator takes.
        **options : dict
            Arguments of :meth:`from_rdm`.

        Returns
        -------
        display : RDMDisplay
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, Pipeline) and isinstance(estimator[-1], RSAScorer):
            estimator = estimator[:-1]
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if not isinstance(last, RDM):
            raise ValueError(
                f"estimator must end in RDM, or in RDM and RSAScorer, but ends in {last!r}."
            )
        return cls.from_rdm(estimator.transform(X), **options)

    def plot(
        self, ax: Axes | None = None, *, cmap: Any = "viridis", title: str | None = None
    ) -> RDMDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default="viridis"
            Colours; undefined dissimilarities (NaN) stay grey.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        self : RDMDisplay
            The display itself.
        """
        ax = self._open(ax, (5.4, 4.6))
        ax.set_facecolor("#d9d9d9")
        self.image_ = ax.imshow(self.rdm, cmap=cmap, interpolation="nearest")
        name = "dissimilarity (scaled rank)" if self.rank_transformed else "dissimilarity"
        self.colorbar_ = self.figure_.colorbar(self.image_, ax=ax, label=name, shrink=0.85)
        self.colorbar_.outline.set_visible(False)
        for side in ax.spines.values():
            side.set_visible(False)
        if self.groups is not None:
            self._draw_groups(ax)
        elif self.labels is not None and len(self.labels) <= _MAX_NAMED_CONDITIONS:
            _name_ticks(ax, np.arange(len(self.labels)), self.labels, length=2)
        else:
            ax.set(xlabel="condition", ylabel="condition")
        if title is not None:
            ax.set_title(title)
        return self

    def _draw_groups(self, ax: Axes) -> None:
        """Lines between groups, and each group's name at its middle."""
        names = np.asarray([str(group) for group in self.groups or ()], dtype=object)
        starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
        ends = np.r_[starts[1:], len(names)]
        for start in starts[1:]:
            ax.axhline(start - 0.5, color="white", linewidth=1.2)
            ax.axvline(start - 0.5, color="white", linewidth=1.2)
        _name_ticks(ax, (starts + ends - 1) / 2, list(names[starts]), length=0)


class LayerScoresDisplay(_Display):
    """Profile of scores over the layers of a network.

    Parameters
    ----------
    scores : DataFrame
        One row per layer, in the order in which they are drawn, with the columns ``layer``,
        ``mean``, ``std`` and, optionally, ``scores``: the scores of the folds.

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

    def __init__(self, scores: pd.DataFrame) -> None:
        missing = {"layer", "mean", "std"} - set(scores.columns)
        if missing:
            raise ValueError(f"scores lacks the column(s) {', '.join(sorted(missing))}.")
        if len(scores) == 0:
            raise ValueError("scores has no rows: there is no layer to draw.")
        self.scores = scores.reset_index(drop=True)

    @classmethod
    def from_search(
        cls, search: Any, param: str | None = None, **options: Any
    ) -> LayerScoresDisplay:
        """Draw the scores of a fitted search over layers.

        Parameters
        ----------
        search : fitted search, e.g. GridSearchCV
            Its ``cv_results_`` are read. Where other parameters were searched too, each layer
            is shown with the best of them.
        param : str, default=None
            Name of the parameter; None takes the one that is ``layer`` or ends in ``__layer``.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : LayerScoresDisplay

        Raises
        ------
        ValueError
            If no such parameter was searched, or several were.
        """
        results = search.cv_results_
        key = _layer_parameter(results, param)
        # A multimetric search names its scores; refit says which one chose the layer.
        metric = search.refit if isinstance(getattr(search, "refit", None), str) else "score"
        if f"mean_test_{metric}" not in results:
            raise ValueError(
                "The search has several scores and none called 'score': set refit to one of them."
            )
        folds = np.array(
            [results[f"split{k}_test_{metric}"] for k in range(_n_splits(results, metric))]
        ).T
        means = np.asarray(results[f"mean_test_{metric}"])
        rows: dict[str, int] = {}
        for row, value in enumerate(results[key]):
            name = _layer_name(value)
            best = rows.get(name)
            if best is None or not means[row] <= np.nan_to_num(means[best], nan=-np.inf):
                rows[name] = row
        return cls.from_scores({name: folds[row] for name, row in rows.items()}, **options)

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
        """
        if isinstance(scores, pd.DataFrame) and {"layer", "mean", "std"} <= set(scores.columns):
            return cls(scores).plot(**options)
        folds = [np.asarray(values, dtype=np.float64).ravel() for _, values in scores.items()]
        table = pd.DataFrame(
            {
                "layer": [str(name) for name in scores],
                "mean": [float(np.mean(values)) for values in folds],
                "std": [float(np.std(values)) for values in folds],
                "scores": folds,
            }
        )
        return cls(table).plot(**options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        label: str | None = None,
        ceiling: tuple[float, float] | None = None,
        reference: Mapping[str, ArrayLike] | None = None,
        colour: str | None = None,
        ylabel: str = "RSA score",
        title: str | None = None,
    ) -> LayerScoresDisplay:
        """Draw; call it again on the same axes to compare profiles.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        label : str, default=None
            Name of the profile in the legend.
        ceiling : tuple of two floats, default=None
            Lower and upper noise ceiling, drawn as a band.
        reference : dict of str to float or array-like, default=None
            Horizontal lines to compare with; the mean of an array (of folds) is drawn.
        colour : str, default=None
            Colour of the profile; None takes the next of a colour-blind safe palette.
        ylabel : str, default="RSA score"
            What the scores are.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        self : LayerScoresDisplay
            The display itself.

        Notes
        -----
        The line and dots are means, the bars one standard deviation over folds, the small dots
        the folds. Folds overlap in their training data: bars show spread, not confidence.
        """
        layers = [str(layer) for layer in self.scores["layer"]]
        ax = self._open(ax, (max(5.0, 1.8 + 0.62 * len(layers)), 4.2))
        drawn = _already_drawn(ax)
        if drawn and drawn[0] != layers:
            raise ValueError(f"The axes show the layers {drawn[0]}, not {layers}.")
        colour = colour or _COLOURS[len(drawn) % len(_COLOURS)]
        # Profiles stand side by side, so that their bars stay apart.
        x = np.arange(len(layers)) + 0.16 * ((len(drawn) + 1) // 2) * (-1) ** len(drawn)
        self._draw_profile(ax, x, colour, label)
        drawn.append(layers)
        if ceiling is not None:
            low, high = ceiling
            ax.axhspan(
                low, high, color="#bbbbbb", alpha=0.5, zorder=0, lw=0, label="noise ceiling"
            )
        for k, (name, value) in enumerate((reference or {}).items()):
            style = ("--", ":", "-.")[k % 3]
            ax.axhline(
                float(np.mean(np.asarray(value))),
                color=_GREY,
                linestyle=style,
                zorder=1,
                label=name,
            )
        self._finish(ax, layers, ylabel, title)
        return self

    def _draw_profile(
        self, ax: Axes, x: NDArray[np.float64], colour: str, label: str | None
    ) -> None:
        if "scores" in self.scores:
            for place, values in zip(x, self.scores["scores"], strict=True):
                folds = np.asarray(values, dtype=np.float64)
                spread = np.linspace(-0.05, 0.05, len(folds)) if len(folds) > 1 else np.zeros(1)
                ax.scatter(
                    place + spread, folds, s=11, color=colour, alpha=0.35, linewidths=0, zorder=2
                )
        ax.errorbar(
            x,
            self.scores["mean"].to_numpy(dtype=np.float64),
            yerr=self.scores["std"].to_numpy(dtype=np.float64),
            color=colour,
            marker="o",
            markersize=6,
            linewidth=1.8,
            elinewidth=1.2,
            capsize=3,
            zorder=3,
            label=label,
        )

    def _finish(self, ax: Axes, layers: list[str], ylabel: str, title: str | None) -> None:
        crowded = max(map(len, layers)) > 5
        ax.set_xticks(
            np.arange(len(layers)),
            layers,
            rotation=40 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor",
        )
        ax.set_xlim(-0.5, len(layers) - 0.5)
        ax.set(xlabel="layer", ylabel=ylabel)
        ax.grid(axis="y", color="#e5e5e5", zorder=-1)
        ax.set_axisbelow(True)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color="black", linewidth=0.8, zorder=1)
        handles, names = ax.get_legend_handles_labels()
        if handles:
            # Beside the axes: nothing that is drawn can lie under it.
            ax.legend(handles, names, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if title is not None:
            ax.set_title(title)


def _positions(values: NDArray[np.float64], order: str | ArrayLike | None) -> NDArray[np.intp]:
    n = len(values)
    if order is None:
        return np.arange(n)
    if isinstance(order, str):
        if order != "cluster":
            raise ValueError(f"order must be None, 'cluster' or positions, got {order!r}.")
        if n < 3:
            return np.arange(n)
        if np.isnan(values).any():
            raise ValueError("order='cluster' needs an RDM without NaN: drop those conditions.")
        pairs = squareform((values + values.T) / 2, checks=False)
        return leaves_list(linkage(pairs, method="average", optimal_ordering=True))
    positions = np.asarray(order)
    if not np.array_equal(np.sort(positions), np.arange(n)):
        raise ValueError(f"order must hold each position from 0 to {n - 1} once.")
    return positions.astype(np.intp)


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks of the pairs scaled to 0 to 1; the diagonal stays 0, NaN stays NaN."""
    upper = np.triu_indices(len(values), k=1)
    ranks = rankdata(values[upper], nan_policy="omit")
    ranked = np.zeros_like(values)
    ranked[upper] = (ranks - 1) / max(1.0, np.nanmax(ranks, initial=1.0) - 1)
    return ranked + ranked.T


def _name_ticks(ax: Axes, places: ArrayLike, names: Sequence[Any], length: float) -> None:
    """The names at both axes, those below slanted."""
    texts = [str(name) for name in names]
    size = 9 if len(texts) <= 20 else 6.5
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(np.asarray(places), texts, fontsize=size, **slant)
    ax.set_yticks(np.asarray(places), texts, fontsize=size)
    ax.tick_params(length=length)


def _already_drawn(ax: Axes) -> list[list[str]]:
    """Layers of the profiles drawn into `ax` so far; the list is kept on the axes."""
    if not hasattr(ax, "_skdnn_profiles"):
        ax._skdnn_profiles = []  # type: ignore[attr-defined]
    return ax._skdnn_profiles  # type: ignore[attr-defined]


def _layer_parameter(results: Mapping[str, Any], param: str | None) -> str:
    names = [key[len("param_") :] for key in results if key.startswith("param_")]
    if param is not None:
        if param not in names:
            raise ValueError(f"param={param!r} was not searched; choose one of {names}.")
        return f"param_{param}"
    found = [name for name in names if name == "layer" or name.endswith("__layer")]
    if len(found) != 1:
        raise ValueError(
            f"The search varied {names}, of which {found or 'none'} "
            f"{'are layers' if found else 'is a layer'}: name one as param."
        )
    return f"param_{found[0]}"


def _layer_name(value: Any) -> str:
    """A layer, or several side by side."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return " + ".join(map(str, value))
    return str(value)


def _n_splits(results: Mapping[str, Any], metric: str) -> int:
    return sum(key.startswith("split") and key.endswith(f"_test_{metric}") for key in results)
