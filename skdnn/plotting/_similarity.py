"""Pictures of tables of similarities."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform

from skdnn._figures import root_figure
from skdnn.plotting._axes_parts import shortened
from skdnn.plotting._colours import COLOUR_MAP, styled
from skdnn.plotting._display import Display, settle
from skdnn.plotting._matrix_axes import (
    TREE_HEIGHT,
    draw_boundaries,
    draw_colour_bar,
    draw_matrix,
    draw_tree,
    set_title,
    spans,
)
from skdnn.plotting._matrix_order import cluster_tree, is_clustered, positions, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_SMALLEST_TEXT = 5.0  # points
_LARGEST_TEXT = 9.0
_MOST_NAMES = 80


class SimilarityDisplay(Display):
    """Heatmap of similarities between models, layers, brains.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Similarities, in the order in which they are drawn; levels of a MultiIndex are joined by
        a slash. A frame with the same labels in index and columns counts as square.
    groups : sequence of length n_rows, default=None
        Group of each row (and, if square, column), equal ones being neighbours: boundaries are
        drawn, and the groups are named at the right.
    tree : ndarray, default=None
        Linkage of the columns of a square frame, drawn above it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the heatmap was drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.
    image_ : matplotlib AxesImage
        The cells.
    colorbar_ : matplotlib Colorbar
        The scale.
    texts_ : list of matplotlib Text
        The numbers in the cells; empty where they don't fit.

    See Also
    --------
    SimilarityDisplay.from_frame : Sorts and draws.
    RDMDisplay : Dissimilarities of conditions.
    compare_models : Gives such frames.

    Examples
    --------
    >>> import matplotlib
    >>> import pandas as pd
    >>> matplotlib.use("agg")
    >>> from skdnn.plotting import SimilarityDisplay
    >>> names = ["alexnet", "cornet-s", "vgg16"]
    >>> frame = pd.DataFrame([[1, 0.2, 0.7], [0.2, 1, 0.1], [0.7, 0.1, 1]], names, names)
    >>> display = SimilarityDisplay.from_frame(frame, order="cluster")
    >>> list(display.frame), display.texts_[1].get_text()
    (['cornet-s', 'alexnet', 'vgg16'], '0.20')
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        groups: Sequence[Hashable] | None = None,
        tree: Array | None = None,
    ) -> None:
        if not isinstance(frame, pd.DataFrame) or 0 in frame.shape:
            raise ValueError(
                f"frame must be a DataFrame with rows and columns, got {type(frame).__name__} of "
                f"shape {np.shape(frame)}."
            )
        self.frame = frame
        self.values = frame.to_numpy(dtype=np.float64)
        self.groups = None if groups is None else list(groups)
        if self.groups is not None and len(self.groups) != len(frame):
            raise ValueError(f"groups has {len(self.groups)} entries for {len(frame)} rows.")
        self.tree = tree

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        order: str | ArrayLike | None = None,
        groups: Sequence[Hashable] | None = None,
        dendrogram: bool = False,
        **options: Any,
    ) -> SimilarityDisplay:
        """Draw a table of similarities.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, n_columns)
            Similarities.
        order : None, "cluster" or array-like of int, default=None
            Order of the rows (and, if square, of the columns): as given, by hierarchical
            clustering (average linkage, optimal leaf order), or positions. Clustering takes the
            largest similarity minus each as the distance in a square frame, and the Euclidean
            distance between rows in another. With `groups`, the order within each group.
        groups : sequence of length n_rows, default=None
            Group of each row. Groups stay together, in the order in which they first appear.
        dendrogram : bool, default=False
            Draw the tree of the clustering above a square frame; needs ``order="cluster"`` and
            no `groups`.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : SimilarityDisplay
            With `frame` and `groups` in the order in which they were drawn.
        """
        groups = None if groups is None else list(groups)
        given = cls(frame, groups=groups)  # checks
        square = given.is_square
        if dendrogram and (groups is not None or not is_clustered(order) or not square):
            raise ValueError(
                "dendrogram=True needs a square frame, order='cluster' and no groups."
            )
        tree = _tree(given.values, square) if is_clustered(order) else None
        places = positions(len(frame), order, tree, groups)
        return cls(
            frame.iloc[places, places] if square else frame.iloc[places],
            groups=None if groups is None else [groups[i] for i in places],
            tree=tree if dendrogram else None,
        ).plot(**options)

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are the same things."""
        return self.frame.index.equals(self.frame.columns)

    @styled
    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: Any = COLOUR_MAP,
        vmin: float | None = None,
        vmax: float | None = None,
        values: bool | None = None,
        fmt: str = ".2f",
        label: str = "similarity",
        title: str | None = None,
    ) -> SimilarityDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default="viridis"
            Colours; NaN stays grey.
        vmin, vmax : float, default=None
            Ends of the colour scale; None takes the smallest and the largest value.
        values : bool, default=None
            Whether the cells hold their numbers; None prints them where they fit.
        fmt : str, default=".2f"
            Format of the numbers.
        label : str, default="similarity"
            Name of the scale.
        title : str, default=None
            Title of the axes.

        Returns
        -------
        self : SimilarityDisplay
            The display itself.
        """
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=self._size(), layout="compressed")
        self.ax_, self.figure_ = ax, root_figure(ax)
        self.image_ = draw_matrix(ax, self.values, cmap, scale(self.values, vmin, vmax))
        self._name(ax)
        self._divide(ax)
        if self.tree is not None:
            draw_tree(ax, self.tree)
        if title is not None:
            set_title(ax, title, above_tree=self.tree is not None)
        shrink = 0.85 if len(self.values) > 4 else 1.0
        self.colorbar_ = draw_colour_bar(self.image_, ax, label, shrink)
        settle(self.figure_)
        self.texts_ = [] if values is False else self._print(ax, fmt, always=values is True)
        return self

    def _size(self) -> tuple[float, float]:
        """Inches: cells that hold a number, as long as the figure does not become too large."""
        rows, columns = self.values.shape
        side = float(np.clip(11.0 / max(rows, columns), 0.16, 0.5))
        beside, below = (
            0.075 * max(map(len, shortened(_names(labels))))
            for labels in (self.frame.index, self.frame.columns)
        )
        grouped = (
            0.0 if self.groups is None else 0.3 + 0.075 * max(map(len, map(str, self.groups)))
        )
        above = 0.7 + (TREE_HEIGHT * side * rows if self.tree is not None else 0.0)
        width = side * columns + beside + grouped + 1.3
        return max(3.2, width), max(2.4, side * rows + 0.75 * below + above)

    def _name(self, ax: Axes) -> None:
        """Names at both axes, those below slanted; of very many, none."""
        slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        for axis, labels in (("x", self.frame.columns), ("y", self.frame.index)):
            names = shortened(_names(labels))
            if len(names) > _MOST_NAMES:
                getattr(ax, f"set_{axis}ticks")([])
                continue
            size = 9 if len(names) <= 40 else 6.5
            options = slant if axis == "x" else {}
            getattr(ax, f"set_{axis}ticks")(range(len(names)), names, fontsize=size, **options)
        ax.tick_params(length=0)

    def _divide(self, ax: Axes) -> None:
        """Boundaries between groups, and their names at the right."""
        if self.groups is None:
            return
        draw_boundaries(ax, self.groups, 2.0, of_columns=self.is_square)
        names, starts, ends = spans(self.groups)
        right: Any = ax.secondary_yaxis("right")
        right.set_yticks((starts + ends - 1) / 2, names, fontsize=9)
        right.tick_params(length=0)
        right.spines[:].set_visible(False)

    def _print(self, ax: Axes, fmt: str, *, always: bool) -> list[Any]:
        """Numbers in the cells, black on light colours and white on dark ones."""
        numbers = [[format(value, fmt) for value in row] for row in self.values]
        size = self._text_size(ax, max(len(text) for row in numbers for text in row))
        if size < _SMALLEST_TEXT and not always:
            return []
        size = float(np.clip(size, 3.0, _LARGEST_TEXT))
        red, green, blue, _ = np.moveaxis(self.image_.to_rgba(self.values), -1, 0)
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
        return [
            ax.text(
                column, row, numbers[row][column], ha="center", va="center", fontsize=size,
                color="black" if light[row, column] else "white",
            )
            for row, column in zip(*np.nonzero(~np.isnan(self.values)), strict=True)
        ]  # fmt: skip

    def _text_size(self, ax: Axes, n_letters: int) -> float:
        """Points of the largest text that a cell holds, as it is laid out."""
        ax.apply_aspect()
        box = ax.get_window_extent()
        points = 72 / self.figure_.dpi
        rows, columns = self.values.shape
        width, height = box.width * points / columns, box.height * points / rows
        return min(0.9 * width / (0.62 * n_letters), 0.7 * height)


def _names(labels: pd.Index) -> list[str]:
    return [" / ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in labels]


def _tree(values: Array, square: bool) -> Array | None:
    """Average linkage of the rows; None for fewer than three."""
    if square:
        similarity = (values + values.T) / 2
        return cluster_tree(similarity.max() - similarity)
    return cluster_tree(squareform(pdist(values)))
