"""Pictures of RDMs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._figures import root_figure
from skdnn.plotting._axes_parts import shortened
from skdnn.plotting._colours import COLOUR_MAP, styled
from skdnn.plotting._display import Display, settle
from skdnn.plotting._matrix_axes import (
    MOST_NAMED,
    NAME_SIDE,
    are_names,
    categories,
    draw_boundaries,
    draw_colour_bar,
    draw_images,
    draw_matrix,
    draw_tree,
    n_image_rows,
    name_conditions,
    name_groups,
    new_panels,
    set_title,
)
from skdnn.plotting._matrix_order import (
    cluster_tree,
    estimated_rdm,
    is_clustered,
    named_stack,
    positions,
    ranked,
    scale,
    take,
)
from skdnn.plotting._thumbnails import read_thumbnails

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


class RDMDisplay(Display):
    """Picture of a representational dissimilarity matrix, or of several side by side.

    Parameters
    ----------
    rdm : ndarray or DataFrame of shape (n_conditions, n_conditions)
        Dissimilarities, in the order in which they are drawn; or several RDMs of the same
        conditions, an array of shape (n_rdms, n_conditions, n_conditions).
    labels : sequence of length n_conditions, default=None
        Names of the conditions; None takes the index of a DataFrame. Of more than 40, the
        categories are written at the axis where names carry them (`animal_01`, folders) and
        stand in blocks, else as many names as there is room for.
    groups : sequence of length n_conditions, default=None
        Group of each condition, equal ones being neighbours: boundaries are drawn, and the names
        of the groups take the place of the conditions' names.
    rank_transformed : bool, default=False
        Whether the values are ranks, scaled to 0 to 1; for the colour bar's name.
    names : sequence of str of length n_rdms, default=None
        Titles of several RDMs.
    images : list of length n_conditions, default=None
        Paths, PIL images or uint8 arrays, drawn small along both axes in place of the names; of
        a condition of several images, the first. More than 96 would be too small to see: then
        the groups are named instead.
    tree : ndarray of shape (n_conditions - 1, 4), default=None
        Linkage (see :func:`scipy.cluster.hierarchy.linkage`) whose leaves stand in the order of
        the conditions: drawn above the matrix.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the RDM was drawn; of several, the first.
    axes_ : list of matplotlib Axes
        One for each RDM.
    figure_ : matplotlib Figure
        The figure it belongs to.
    image_ : matplotlib AxesImage
        The picture; of several, the first.
    images_ : list of matplotlib AxesImage
        One for each RDM.
    colorbar_ : matplotlib Colorbar
        Its colour bar; several RDMs share one.

    See Also
    --------
    RDMDisplay.from_rdm : Sort, rank and draw in one call.
    RDMDisplay.from_rdms : The same for several RDMs.
    MDSDisplay : The conditions of an RDM as places in a plane.

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
    >>> rdms = {"a model": category_rdm(categories), "another": category_rdm([1, 2, 2, 2])}
    >>> [ax.get_title() for ax in RDMDisplay.from_rdms(rdms).axes_]
    ['a model', 'another']
    """

    def __init__(
        self,
        rdm: ArrayLike | pd.DataFrame,
        *,
        labels: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
        rank_transformed: bool = False,
        names: Sequence[str] | None = None,
        images: Any = None,
        tree: NDArray[np.float64] | None = None,
    ) -> None:
        if labels is None and isinstance(rdm, pd.DataFrame):
            labels = list(rdm.index)
        self.rdm = np.asarray(rdm, dtype=np.float64)
        if self.rdm.ndim not in (2, 3) or self.rdm.shape[-2] != self.rdm.shape[-1]:
            raise ValueError(f"rdm must be square, got shape {self.rdm.shape}.")
        n = self.rdm.shape[-1]
        self.labels = None if labels is None else list(labels)
        self.groups = None if groups is None else list(groups)
        self.rank_transformed = rank_transformed
        self.names = None if names is None else [str(name) for name in names]
        for name, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries for {n} rows.")
        if self.names is not None and len(self.names) != len(self._stack()):
            raise ValueError(f"names has {len(self.names)} entries for {len(self._stack())} RDMs.")
        self.images = read_thumbnails(images, n, self.groups)
        self.tree = tree

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
        cmap: Any = COLOUR_MAP,
        title: str | None = None,
        images: Any = None,
        dendrogram: bool = False,
        vmin: float | None = None,
        vmax: float | None = None,
        metric: str | None = None,
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
        images : list of length n_conditions, default=None
            Paths, PIL images or uint8 arrays in the order of `rdm`, drawn small along both axes,
            framed in the colours of the groups. Of more than 96 conditions the groups are named
            instead.
        dendrogram : bool, default=False
            Draw the tree of the clustering above the matrix; needs ``order="cluster"`` and no
            `groups`, which the tree would cut through.
        vmin, vmax : float, default=None
            Ends of the colour scale; None takes the smallest and the largest value.
        metric : str, default=None
            Which dissimilarity it is, for the colour bar.

        Returns
        -------
        display : RDMDisplay
            With `rdm`, `labels` and `groups` in the order in which they were drawn.
        """
        if labels is None and isinstance(rdm, pd.DataFrame):
            labels = list(rdm.index)
        values = np.asarray(rdm, dtype=np.float64)
        if values.ndim != 2:
            raise ValueError(f"rdm must be square, got shape {values.shape}.")
        display = cls._sorted(
            values[None], labels, order, groups, rank_transform, images, dendrogram
        )
        display.rdm = display.rdm[0]
        return display.plot(ax, cmap=cmap, title=title, vmin=vmin, vmax=vmax, metric=metric)

    @classmethod
    def from_rdms(
        cls,
        rdms: Mapping[str, ArrayLike | pd.DataFrame] | pd.DataFrame | ArrayLike,
        *,
        labels: Sequence[Hashable] | None = None,
        order: str | ArrayLike | None = None,
        groups: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
        rank_transform: bool = False,
        ax: Sequence[Axes] | None = None,
        cmap: Any = COLOUR_MAP,
        images: Any = None,
        dendrogram: bool = False,
        vmin: float | None = None,
        vmax: float | None = None,
        n_columns: int = 4,
        metric: str | None = None,
    ) -> RDMDisplay:
        """Draw several RDMs of the same conditions side by side, with a common scale.

        Parameters
        ----------
        rdms : dict, DataFrame or ndarray of shape (n_rdms, n_conditions, n_conditions)
            RDMs by name; labelled ones are put into the order of the first labelled one. A
            DataFrame has MultiIndex columns, whose last level names the conditions, and the
            levels before it the RDMs.
        labels : sequence of length n_conditions, default=None
            Names of the conditions; None takes those of the first labelled RDM.
        order : None, "cluster" or array-like of int, default=None
            As in :meth:`from_rdm`; ``"cluster"`` is the order of the first RDM.
        groups : sequence of length n_conditions, default=None
            Group of each condition, which stay together.
        rank_transform : bool, default=False
            Draw mid-ranks within each RDM, scaled to 0 to 1: for RDMs of different units.
        ax : sequence of n_rdms matplotlib Axes, default=None
            Where to draw; None makes a figure.
        cmap : str or Colormap, default="viridis"
            Colours.
        images : list of length n_conditions, default=None
            Images of the conditions, drawn small along both axes.
        dendrogram : bool, default=False
            Draw the tree of the clustering above the first RDM.
        vmin, vmax : float, default=None
            Ends of the colour scale; None takes the smallest and the largest value of all.
        n_columns : int, default=4
            RDMs beside each other before a new row begins.
        metric : str, default=None
            Which dissimilarity they are, for the colour bar.

        Returns
        -------
        display : RDMDisplay
            One display for all, `rdm` being of shape (n_rdms, n_conditions, n_conditions).
        """
        names, found, stack = named_stack(rdms)
        display = cls._sorted(
            stack, found if labels is None else labels, order, groups, rank_transform, images,
            dendrogram, names,
        )  # fmt: skip
        return display.plot(
            ax, cmap=cmap, vmin=vmin, vmax=vmax, n_columns=n_columns, metric=metric
        )

    @classmethod
    def _sorted(
        cls,
        stack: Array,
        labels: Sequence[Hashable] | None,
        order: str | ArrayLike | None,
        groups: Sequence[Hashable] | np.ndarray | pd.Series | None,
        rank_transform: bool,
        images: Any,
        dendrogram: bool,
        names: Sequence[str] | None = None,
    ) -> RDMDisplay:
        """RDMs in the order in which they are drawn."""
        groups = None if groups is None else list(groups)
        given = cls(stack, labels=labels, groups=groups, images=images)  # checks, reads images
        if dendrogram and (groups is not None or not is_clustered(order)):
            raise ValueError("dendrogram=True needs order='cluster' and no groups.")
        tree = cluster_tree(stack[0]) if is_clustered(order) else None
        places = positions(stack.shape[1], order, tree, groups)
        if rank_transform:
            stack = np.stack([ranked(values) for values in stack])
        return cls(
            stack[:, places[:, None], places],
            labels=take(given.labels, places),
            groups=take(groups, places),
            rank_transformed=rank_transform,
            names=names,
            images=take(given.images, places),
            tree=tree if dendrogram else None,
        )

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
            The RDM of X, drawn.
        """
        rdm, metric = estimated_rdm(estimator, X)
        return cls.from_rdm(rdm, **{"metric": metric, **options})

    @styled
    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        cmap: Any = COLOUR_MAP,
        title: str | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        n_columns: int = 4,
        metric: str | None = None,
    ) -> RDMDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw, a sequence of them for several RDMs; None makes a figure.
        cmap : str or Colormap, default="viridis"
            Colours; undefined dissimilarities (NaN) stay grey.
        title : str, default=None
            Title of the axes; of the figure for several RDMs, which have names of their own.
        vmin, vmax : float, default=None
            Ends of the colour scale; None takes the smallest and the largest value.
        n_columns : int, default=4
            Of several RDMs, how many stand beside each other.
        metric : str, default=None
            Which dissimilarity it is, for the colour bar.

        Returns
        -------
        self : RDMDisplay
            The display itself.
        """
        stack = self._stack()
        axes, left, bottom = self._open_axes(ax, n_columns)
        limits = scale(stack, vmin, vmax)
        self.images_ = []
        for k, (values, place) in enumerate(zip(stack, axes, strict=True)):
            self.images_.append(draw_matrix(place, values, cmap, limits))
            self._surround(place, left[k], bottom[k])
            tree = self.tree if k == 0 else None
            if tree is not None:
                draw_tree(place, tree)
            head = title if self.rdm.ndim == 2 else None
            if head is None and self.names is not None:
                head = self.names[k]
            if head is not None:
                set_title(place, head, above_tree=tree is not None)
        if title is not None and self.rdm.ndim == 3:
            self.figure_.suptitle(title)
        self.image_ = self.images_[0]
        about = [metric] if metric else []
        about += ["scaled rank"] if self.rank_transformed else []
        name = f"dissimilarity ({', '.join(about)})" if about else "dissimilarity"
        self.colorbar_ = draw_colour_bar(self.image_, axes if len(axes) > 1 else axes[0], name)
        if self.images is not None or self.tree is not None:
            settle(self.figure_)
        return self

    def _stack(self) -> Array:
        return self.rdm if self.rdm.ndim == 3 else self.rdm[None]

    def _open_axes(
        self, ax: Any, n_columns: int
    ) -> tuple[list[Axes], NDArray[np.bool_], NDArray[np.bool_]]:
        """The axes, and which of them carry names at the left and at the bottom."""
        k = len(self._stack())
        if n_columns < 1:
            raise ValueError(f"n_columns must be at least 1, got {n_columns!r}.")
        columns = min(k, n_columns)
        if ax is None:
            axes = new_panels(k, columns, self._panel_size(k))
            left, bottom = np.arange(k) % columns == 0, np.arange(k) + columns >= k
        else:
            axes = list(np.ravel(np.asarray(ax, dtype=object)))
            left = bottom = np.ones(len(axes), dtype=bool)
        if len(axes) != k:
            raise ValueError(f"ax holds {len(axes)} axes for {k} RDM(s).")
        self.axes_, self.ax_, self.figure_ = axes, axes[0], root_figure(axes[0])
        return axes, left, bottom

    def _panel_size(self, n_panels: int) -> tuple[float, float]:
        """Inches for one RDM with its names or images."""
        side = 4.4 if n_panels == 1 else 3.3
        if self.images is not None:
            side += 1.2 * n_image_rows(len(self.images)) - 0.6
        blocks = self._blocks()
        texts = blocks or self.labels or ()
        longest = max(map(len, shortened(texts)), default=0)
        side += 0.07 * max(0, longest - 10)
        if blocks is None and self.images is None and are_names(self.labels) and n_panels == 1:
            side = max(side, min(10.5, NAME_SIDE * len(texts) + 0.06 * longest))
        return side, side + (0.6 if self.tree is not None else 0.0)

    def _surround(self, ax: Axes, left: bool, bottom: bool) -> None:
        """Images or names of the conditions or groups, and boundaries between groups."""
        below = beside = ax
        blocks = self._blocks()
        if blocks is not None:
            draw_boundaries(ax, blocks)
        if self.images is not None:
            below, beside = draw_images(ax, self.images, self.groups)
        if blocks is not None:
            name_groups(below, beside, blocks)
        elif self.images is None and are_names(self.labels):
            name_conditions(ax, self.labels or ())
        elif self.images is None:
            ax.set(xlabel="condition" if bottom else "", ylabel="condition" if left else "")
        if not bottom:
            below.tick_params(labelbottom=False)
        if not left:
            beside.tick_params(labelleft=False)

    def _blocks(self) -> list[Hashable] | None:
        """What is named in place of conditions: groups, or categories that many names carry."""
        few = self.rdm.shape[-1] <= MOST_NAMED
        if self.groups is not None or self.images is not None or few:
            return self.groups
        return categories(self.labels)
