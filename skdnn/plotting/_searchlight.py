"""Maps of searchlights, drawn by nilearn: slices through a volume, or views of a surface."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.plotting._axes_parts import shortened
from skdnn.plotting._colours import COLOUR_MAP, COLOURS, GREY, styled
from skdnn.plotting._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

Array = NDArray[np.float64]
Mesh = tuple[NDArray[Any], NDArray[Any]]

_SHOWN = ("layers", "best_layer", "ceiling", "sizes", "t")
_KINDS = ("slices", "glass")
_DIVERGING = "RdBu_r"
_TEMPLATE = "MNI152"  # the space of nilearn's template and glass brain
_WIDTH = 9.0  # of a figure, in inches
_TINY = 1e-12  # values that nilearn draws: what is 0 or NaN is nothing to it
_VIEWS = {"from the left": (0.0, 180.0), "from the right": (0.0, 0.0)}


class SearchlightDisplay(Display):
    """Maps in the brain, one below the other, on one scale of colours; drawn by nilearn.

    Parameters
    ----------
    maps : mapping of str to array-like of shape (n_voxels,)
        Values by title. What is NaN is not drawn.
    mask : ndarray of bool, shape (nx, ny, nz) or (n_vertices,)
        Where they lie, in C order.
    affine : ndarray of shape (4, 4), default=None
        Of volumes.
    meshes : mapping of str to (coordinates, faces), default=None
        Of surfaces, by the name of the hemisphere: those that the values were computed on, or
        others of the same vertices, such as inflated ones.
    space : str, default=""
        ``"MNI152"`` puts nilearn's template behind the maps. In any other space that would say
        where nothing is known: the mask is drawn, in grey.

    Attributes
    ----------
    axes_ : list of list of matplotlib Axes
        Of each map, its slices or views.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    SearchlightDisplay.from_result : From a searchlight and its test.
    skdnn.fmri.searchlight_rsa : Makes the maps.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.plotting import SearchlightDisplay
    >>> mask, affine = np.ones((5, 6, 7), dtype=bool), np.diag([3.0, 3, 3, 1])
    >>> display = SearchlightDisplay({"conv1": np.linspace(-0.1, 0.4, 210)}, mask, affine)
    >>> display.plot(label="similarity").save("conv1.png")  # doctest: +SKIP
    """

    axes_: list[list[Axes]]

    def __init__(
        self,
        maps: Mapping[str, ArrayLike],
        mask: Any,
        affine: Any = None,
        *,
        meshes: Mapping[str, Mesh] | None = None,
        space: str = "",
    ) -> None:
        self.mask = np.asarray(mask, dtype=bool)
        self.affine = None if affine is None else np.asarray(affine, dtype=np.float64)
        self.maps = {str(name): np.asarray(one, dtype=np.float64) for name, one in maps.items()}
        self.meshes, self.space = dict(meshes or {}), space
        n = int(self.mask.sum())
        if not self.maps:
            raise ValueError("maps is empty: there is nothing to draw.")
        for name, one in self.maps.items():
            if one.shape != (n,):
                raise ValueError(f"maps: {name!r} has shape {one.shape}, the mask {n} voxels.")
        if self.mask.ndim == 3 and (self.affine is None or self.affine.shape != (4, 4)):
            raise ValueError("affine of shape (4, 4) says where a volume lies: give it.")
        if self.mask.ndim == 1:
            held = [len(xyz) for xyz, _ in self.meshes.values()]
            if sum(held) != self.mask.size:
                raise ValueError(
                    f"meshes have {listed(held, show=str) or 'no'} vertices, the mask has "
                    f"{self.mask.size}: give the mesh of each hemisphere."
                )

    @classmethod
    def from_result(
        cls,
        result: Any,
        test: Any = None,
        *,
        show: str = "layers",
        layers: Sequence[str] | None = None,
        subject: str | None = None,
        alpha: float = 0.05,
        meshes: Mapping[str, Mesh] | None = None,
        **options: Any,
    ) -> SearchlightDisplay:
        """Draw what a searchlight found.

        Parameters
        ----------
        result : SearchlightResult
            Of :func:`skdnn.fmri.searchlight_rsa`.
        test : SearchlightTest, default=None
            Its test: scores, t and best layers are drawn where p is at most `alpha`; best layers,
            where that is so of any layer.
        show : {"layers", "best_layer", "ceiling", "sizes", "t"}, default="layers"
            Scores of each layer, the layer that is most similar at each place, the two bounds of
            the noise ceiling, how many voxels spheres hold, or t of each layer.
        layers : sequence of str, default=None
            Which layers; None draws all.
        subject : str, default=None
            Whose scores or spheres; None is the mean over subjects.
        alpha : float, default=0.05
            Of `test`.
        meshes : mapping of str to (coordinates, faces), default=None
            Of surfaces: others to draw on, such as inflated ones; None takes those of the result.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : SearchlightDisplay
            The maps, drawn.

        Raises
        ------
        ValueError
            If there is no such layer or subject, no ceiling, or no test of which to draw t.
        """
        if show not in _SHOWN:
            known = ", ".join(map(repr, _SHOWN))
            raise ValueError(f"show={show!r} is not known: choose one of {known}.")
        rows = _positions(result.layers if layers is None else layers, result.layers, "layer")
        whose = None if subject is None else _positions([subject], result.subjects, "subject")[0]
        found = None if test is None else np.asarray(test.significant(alpha))
        score = f"similarity of RDMs ({result.settings['comparison']})"
        where = "" if test is None else f", p ≤ {alpha:g}"
        drawing: dict[str, Any] = {"label": score + where}
        if show == "best_layer":
            best = result.best_layer().astype(np.float64)
            best[(best < 0) | (False if found is None else ~found.any(axis=0))] = np.nan
            maps = {f"most similar layer{where}": best}
            drawing = {"categories": result.layers}
        elif show == "ceiling":
            if result.ceiling is None:
                raise ValueError("There is no noise ceiling: it takes two or more subjects.")
            maps = dict(zip(("lower noise ceiling", "upper noise ceiling"), result.ceiling,
                            strict=True))  # fmt: skip
            drawing = {"label": score}
        elif show == "sizes":
            own = result.sizes.astype(np.float64)
            own[own == 0] = np.nan
            sizes = own[whose] if whose is not None else pd.DataFrame(own).mean().to_numpy()
            unit = "voxels" if result.affine is not None else "vertices"
            maps = {f"{unit} with data around each": sizes}
            drawing = {"label": unit, "vmin": 0.0, "cmap": COLOUR_MAP}
        else:
            if show == "t" and test is None:
                raise ValueError("show='t' needs the test of the result.")
            scores = result.mean() if whose is None else result.scores[whose]
            values = test.t if show == "t" else scores
            if show == "t":
                drawing = {"label": f"t over subjects{where}"}
            maps = {
                result.layers[row]: np.where(
                    True if found is None else found[row], values[row], np.nan
                )
                for row in rows
            }
        places = result.meshes if meshes is None else meshes
        space = result.settings.get("space") or ""
        display = cls(maps, result.mask, result.affine, meshes=places, space=space)
        return display.plot(**{**drawing, **options})

    @styled
    def plot(
        self,
        *,
        kind: str = "slices",
        slices: int | Sequence[float] = 7,
        categories: Sequence[str] | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        cmap: Any = None,
        label: str = "",
        title: str | None = None,
    ) -> SearchlightDisplay:
        """Draw; needs nilearn (``pip install "skdnn[nilearn]"``).

        Parameters
        ----------
        kind : {"slices", "glass"}, default="slices"
            Of volumes: horizontal slices, or, in MNI152 alone, projections through a glass brain.
        slices : int or sequence of float, default=7
            How many, at equal distances but for one, which goes through the largest value; or
            their heights in millimetres.
        categories : sequence of str, default=None
            What whole numbers from 0 mean: maps are drawn in as many colours, with a legend.
        vmin, vmax : float, default=None
            Ends of the scale. None of both is symmetric around 0.
        cmap : str or Colormap, default=None
            None is red above 0, and blue below.
        label : str, default=""
            What the values are.
        title : str, default=None
            Title of the figure.

        Returns
        -------
        self : SearchlightDisplay
            The display itself.

        Raises
        ------
        ImportError
            If nilearn is not installed.
        ValueError
            If a glass brain is asked for where it does not fit.
        """
        import matplotlib as mpl
        import matplotlib.pyplot as plt

        if kind not in _KINDS:
            raise ValueError(f"kind={kind!r} is not known: choose one of 'slices', 'glass'.")
        if kind == "glass" and (self.mask.ndim != 3 or self.space != _TEMPLATE):
            raise ValueError("kind='glass' is a brain in MNI152, and these maps are not in it.")
        nilearn = import_optional("nilearn.plotting", "to draw maps in brains")
        colours, norm = self._scale(vmin, vmax, cmap, categories)
        is_surface = self.mask.ndim == 1
        cuts = [] if is_surface else self.heights(slices) if isinstance(slices, int) else slices
        tall = 1.8 if is_surface or kind == "glass" else self._height(len(cuts))
        top = 0.4 * bool(title)
        bottom = 0.75 if categories is None else 0.3 + 0.2 * -(-len(categories) // 6)
        height = len(self.maps) * (tall + 0.3) + top + bottom
        shades: Any = {"cmap": colours, "vmin": norm.vmin, "vmax": norm.vmax, "colorbar": False}
        if is_surface:
            of_faces = "mean" if categories is None else "max"
            draw: Any = partial(self._surfaces, nilearn, avg_method=of_faces, **shades)
        else:
            draw = partial(self._volume, nilearn, kind, cuts, **shades)
        figure = plt.figure(figsize=(_WIDTH, height))
        self.figure_, self.axes_ = figure, []
        for number, (name, values) in enumerate(self.maps.items()):
            low = 1 - (top + (number + 1) * (tall + 0.3)) / height
            area = (0.01, low, 0.98, tall / height)
            figure.text(0.012, low + tall / height, name, va="bottom", fontsize=10)
            if categories is not None:
                values = values + 1  # nilearn takes 0 for nothing
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "empty mask")  # a map of nothing is one, too
                self.axes_.append(draw(area, values))
        self.ax_ = self.axes_[0][0]
        foot = (0.3, 0.45 / height, 0.4, 0.12 / height)
        if categories is not None:
            self._legend(categories, colours, norm)
        else:
            bar = figure.colorbar(mpl.cm.ScalarMappable(norm, colours), orientation="horizontal",
                                  cax=figure.add_axes(foot))  # fmt: skip
            bar.set_label(label)
        if title:
            figure.suptitle(title, y=1 - 0.1 / height, va="top")
        return self

    def _scale(
        self, vmin: float | None, vmax: float | None, cmap: Any, categories: Any
    ) -> tuple[Colormap, Normalize]:
        """Colours of all maps."""
        import matplotlib as mpl

        if categories is not None:
            n = len(categories)
            scale = mpl.colormaps[COLOUR_MAP](np.linspace(0, 0.95, n))
            shades = [mpl.colors.to_rgba(one) for one in COLOURS[:n]] if n <= len(COLOURS) else (
                scale)  # fmt: skip
            return mpl.colors.ListedColormap(shades), mpl.colors.Normalize(0.5, n + 0.5)
        known = np.concatenate(list(self.maps.values()))
        known = known[np.isfinite(known)]
        reach = float(np.abs(known).max(initial=0.0)) or 1.0
        if vmin is None and vmax is None:
            vmin, vmax = -reach, reach
        low = -reach if vmin is None else vmin
        high = reach if vmax is None else vmax
        if not low < high:
            raise ValueError(f"vmin={low!r} is not below vmax={high!r}.")
        return mpl.colormaps.get_cmap(cmap or _DIVERGING), mpl.colors.Normalize(low, high)

    def heights(self, n: int = 7) -> list[float]:
        """Where slices are drawn: at equal distances, but for that through the largest value.

        Parameters
        ----------
        n : int, default=7
            How many, at most.

        Returns
        -------
        heights : list of float
            In millimetres, from below.
        """
        z = np.round(self._millimetres()[:, 2], 3)
        levels = np.unique(z)
        if len(levels) <= n:
            return levels.tolist()
        low, high = np.quantile(z, (0.04, 0.96)).tolist()
        wanted = np.linspace(low, high, n)
        cuts = levels[np.abs(levels[:, None] - wanted).argmin(axis=0)]
        size = np.max([np.nan_to_num(np.abs(each)) for each in self.maps.values()], axis=0)
        peak = z[size.argmax()]
        cuts[np.abs(cuts - peak).argmin()] = peak
        return np.unique(cuts).tolist()

    def _height(self, n_slices: int) -> float:
        """Of a row of slices, in inches."""
        wide, tall = 150.0, 190.0  # millimetres of the template
        if self.space != _TEMPLATE:
            wide, tall = np.ptp(self._millimetres(), axis=0)[:2] + 10
        return float(np.clip(_WIDTH * tall / (wide * max(n_slices, 1)), 0.6, 2.6))

    def _millimetres(self) -> Array:
        assert self.affine is not None
        return np.argwhere(self.mask) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def _volume(
        self,
        nilearn: Any,
        kind: str,
        cuts: Sequence[float],
        area: Any,
        values: Array,
        **shades: Any,
    ) -> list[Axes]:
        image, brain = self._image(np.nan_to_num(values)), self._image(1.0)
        options: dict[str, Any] = {
            **shades, "axes": self.figure_.add_axes(area), "threshold": _TINY, "black_bg": False,
            "resampling_interpolation": "nearest", "annotate": False, "symmetric_cbar": False,
        }  # fmt: skip
        if kind == "glass":
            drawn = nilearn.plot_glass_brain(image, display_mode="lyrz", plot_abs=False, **options)
        else:
            options |= {"display_mode": "z", "cut_coords": list(cuts)}
            if self.space == _TEMPLATE:
                drawn = nilearn.plot_stat_map(image, **options)
            else:
                drawn = nilearn.plot_stat_map(image, bg_img=None, **options)
                drawn.add_contours(brain, levels=[0.5], colors=[GREY], linewidths=0.6)
        drawn.annotate(size=8)
        return [each.ax for each in drawn.axes.values()]

    def _image(self, values: Any) -> Any:
        """With a margin of one voxel, in which outlines close."""
        nibabel = import_optional("nibabel", "to draw maps in brains")
        assert self.affine is not None
        shift = np.eye(4)
        shift[:3, 3] = -1
        whole = np.pad(self._whole(values, 0.0), 1)
        return nibabel.Nifti1Image(whole, self.affine @ shift)

    def _whole(self, values: Any, fill: float) -> NDArray[np.float32]:
        whole = np.full(self.mask.shape, fill, dtype=np.float32)
        whole[self.mask] = values
        return whole

    def _surfaces(self, nilearn: Any, area: Any, values: Array, **shades: Any) -> list[Axes]:
        ends = np.cumsum([len(xyz) for xyz, _ in self.meshes.values()])
        parts = np.split(self._whole(values, np.nan), ends[:-1])
        left, low, width, tall = area
        step = width / (2 * len(parts))
        axes: list[Axes] = []
        for (side, mesh), part in zip(self.meshes.items(), parts, strict=True):
            for name, view in _VIEWS.items():
                place = (left + len(axes) * step, low, step, tall)
                ax: Any = self.figure_.add_axes(place, projection="3d")
                nilearn.plot_surf(
                    list(mesh),
                    part,
                    hemi="left",
                    view=view,
                    axes=ax,
                    figure=self.figure_,
                    **shades,
                )
                told = f"{side} hemisphere, {name}" if side else name
                ax.set_title(told, fontsize=8, color=GREY, y=0.0)
                axes.append(ax)
        return axes

    def _legend(self, categories: Sequence[str], colours: Any, norm: Any) -> None:
        from matplotlib.patches import Patch

        shown = [int(k) for k in np.unique(np.concatenate(list(self.maps.values()))) if k == k]
        names = shortened(list(categories))
        patches = [Patch(color=colours(norm(k + 1)), label=names[k]) for k in shown]
        self.figure_.legend(
            handles=patches, loc="lower center", ncols=min(6, max(1, len(patches))), fontsize=9
        )


def _positions(names: Sequence[str], known: Sequence[str], what: str) -> list[int]:
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"There is no {what} {missing[0]!r}; there are {listed(known)}.")
    return [list(known).index(name) for name in names]
