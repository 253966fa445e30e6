"""A matrix as a picture, and what stands around it: colours, names, images, groups, a tree."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skdnn._figures import root_figure
from skdnn.plotting._axes_parts import shortened
from skdnn.plotting._colours import GREY, PALE, group_styles
from skdnn.plotting._thumbnails import fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage

TREE_HEIGHT = 0.16
NAME_SIDE = 0.1  # inches that a name in small letters takes
MOST_NAMED = 40  # names that have room in letters of the usual size
_PER_ROW = 24  # images that are still seen side by side along an axis
_GAP = 0.012


def new_panels(n_panels: int, n_columns: int, panel: tuple[float, float]) -> list[Axes]:
    """Axes of a new figure, each with so many inches."""
    import matplotlib.pyplot as plt

    n_rows = -(-n_panels // n_columns)
    size = (n_columns * panel[0] + 1.0, n_rows * panel[1] + 0.2)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=size, layout="compressed", squeeze=False
    )
    for spare in grid.flat[n_panels:]:
        figure.delaxes(spare)
    return list(grid.flat[:n_panels])


def draw_matrix(
    ax: Axes, values: NDArray[np.float64], cmap: Any, limits: tuple[float | None, float | None]
) -> AxesImage:
    """The cells; NaN stays grey."""
    ax.set_facecolor(PALE)
    ax.spines[:].set_visible(False)
    low, high = limits
    return ax.imshow(values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")


def draw_colour_bar(image: AxesImage, axes: Any, label: str, shrink: float = 0.85) -> Colorbar:
    """The scale, right of the axes."""
    bar = root_figure(image.axes).colorbar(image, ax=axes, label=label, shrink=shrink)
    bar.outline.set_visible(False)
    return bar


def set_title(ax: Axes, title: str, above_tree: bool) -> None:
    """A title, above the tree where there is one."""
    ax.set_title(title, y=1.0 + TREE_HEIGHT if above_tree else None)


def spans(groups: Sequence[Hashable]) -> tuple[list[str], NDArray[np.intp], NDArray[np.intp]]:
    """Name, first place and place behind the last of each run of equal groups."""
    names = np.asarray([str(group) for group in groups], dtype=object)
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    return list(names[starts]), starts, np.r_[starts[1:], len(names)]


def draw_boundaries(
    ax: Axes, groups: Sequence[Hashable], linewidth: float = 1.2, *, of_columns: bool = True
) -> None:
    """Lines between groups of rows, and of columns."""
    for start in spans(groups)[1][1:]:
        ax.axhline(start - 0.5, color="white", linewidth=linewidth)
        if of_columns:
            ax.axvline(start - 0.5, color="white", linewidth=linewidth)


def name_groups(below: Axes, beside: Axes, groups: Sequence[Hashable]) -> None:
    """Each group's name at its middle; `below` and `beside` are the axes that carry names."""
    names, starts, ends = spans(groups)
    name_ticks(below, beside, (starts + ends - 1) / 2, names, length=0)


def name_ticks(
    below: Axes, beside: Axes, places: ArrayLike, names: Sequence[Any], length: float
) -> None:
    """The names at both axes, those below slanted."""
    texts = shortened(names)
    size = 9 if len(texts) <= 20 else 6.5
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    below.set_xticks(np.asarray(places), texts, fontsize=size, **slant)
    beside.set_yticks(np.asarray(places), texts, fontsize=size)
    below.tick_params(axis="x", length=length)
    beside.tick_params(axis="y", length=length)


def are_names(labels: Sequence[Hashable] | None) -> bool:
    """Whether labels say more than their places do; a few are written in any case."""
    if not labels:
        return False
    return len(labels) <= MOST_NAMED or any(not str(label).isdigit() for label in labels)


def name_conditions(ax: Axes, labels: Sequence[Hashable]) -> None:
    """Names of all conditions; of more than there is room for, at equal distances."""
    n = len(labels)
    if n <= MOST_NAMED:
        name_ticks(ax, ax, np.arange(n), labels, length=2)
        return
    figure = root_figure(ax)
    figure.draw_without_rendering()  # how large the axes are in the end
    size = ax.get_window_extent().height / figure.dpi
    places = np.arange(0, n, max(1, -(-int(n * NAME_SIDE * 100) // int(size * 100))))
    texts = [shortened(labels)[k] for k in places]
    ax.set_xticks(places, texts, fontsize=5.5, rotation=90)
    ax.set_yticks(places, texts, fontsize=5.5)
    ax.tick_params(length=2)


def categories(labels: Sequence[Hashable] | None) -> list[Hashable] | None:
    """What names say of categories: a folder, or the name without its number.

    None unless each category has two members or more on average, all of them neighbours.
    """
    names = [str(label).replace("\\", "/") for label in labels or ()]
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
    stems = [re.sub(r"\.[A-Za-z]\w{1,4}$", "", name.rpartition("/")[2]) for name in names]
    kinds = [re.sub(r"^\d+[_\-. ]+|[_\-. ]*\d+[a-z]?$", "", stem) for stem in stems]
    for found in (folders, kinds):
        n_kinds = len(set(found))
        if all(found) and 1 < n_kinds <= len(found) / 2 and len(spans(found)[0]) == n_kinds:
            return list(found)
    return None


def n_image_rows(n_conditions: int) -> int:
    """In how many rows images stand along an axis: with more, each may be larger."""
    return -(-n_conditions // _PER_ROW)


def draw_images(
    ax: Axes, pictures: Sequence[NDArray[np.uint8]], groups: Sequence[Hashable] | None
) -> tuple[Axes, Axes]:
    """Pictures below and beside the matrix; returns the axes that they were drawn into."""
    n = len(pictures)
    rows = n_image_rows(n)
    thickness = rows**2 / n
    below = ax.inset_axes((0.0, -_GAP - thickness, 1.0, thickness))
    beside = ax.inset_axes((-_GAP - thickness, 0.0, thickness, 1.0))
    colours = _frame_colours(groups, n)
    for k, picture in enumerate(pictures):
        depth = rows * (k % rows + 0.5)
        _draw_picture(below, picture, (k, depth), rows, colours[k])
        _draw_picture(beside, picture, (rows**2 - depth, k), rows, colours[k])
    below.set(xlim=(-0.5, n - 0.5), ylim=(rows**2, 0))
    beside.set(xlim=(0, rows**2), ylim=(n - 0.5, -0.5))
    for strip in (below, beside):
        strip.set(xticks=[], yticks=[], facecolor="none", aspect="auto")
        strip.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])
    return below, beside


def _frame_colours(groups: Sequence[Hashable] | None, n: int) -> list[str]:
    if groups is None:
        return ["none"] * n
    styles = group_styles(groups)
    return [styles[str(group)]["colour"] for group in groups]


def _draw_picture(
    ax: Axes, picture: NDArray[np.uint8], at: tuple[float, float], side: float, colour: str
) -> None:
    """A picture around a place of axes whose y runs down."""
    from matplotlib.patches import Rectangle

    width, height = fitted(picture, 0.9 * side)
    x, y = at
    left, right = x - width / 2, x + width / 2
    top, bottom = y - height / 2, y + height / 2
    image = ax.imshow(picture, extent=(left, right, bottom, top), aspect="auto", zorder=2)
    image.set_clip_on(False)
    frame = Rectangle(
        (left, top), width, height, fill=False, edgecolor=colour, linewidth=0.8, zorder=3
    )
    frame.set_clip_on(False)
    ax.add_patch(frame)


def draw_tree(ax: Axes, tree: NDArray[np.float64]) -> Axes:
    """The dendrogram of the conditions above the matrix, leaf over column."""
    from matplotlib.collections import LineCollection
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    # scipy's leaves stand at 5, 15, 25, ...
    x = (np.asarray(drawn["icoord"], dtype=np.float64) - 5) / 10
    y = np.asarray(drawn["dcoord"], dtype=np.float64)
    above = ax.inset_axes((0.0, 1.0 + _GAP, 1.0, TREE_HEIGHT - 2 * _GAP))
    above.add_collection(LineCollection(list(np.stack([x, y], axis=-1)), colors=GREY, lw=0.9))
    above.set(xlim=(-0.5, len(tree) + 0.5), ylim=(0, 1.03 * max(float(y.max()), 1e-12)))
    above.set_axis_off()
    return above
