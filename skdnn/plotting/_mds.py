"""Conditions of an RDM as places in a plane."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import smacof
from sklearn.utils import check_random_state

from skdnn._wording import listed
from skdnn.plotting._axes_parts import legend_beside, shortened
from skdnn.plotting._colours import GREY, group_styles, styled
from skdnn.plotting._display import Display
from skdnn.plotting._matrix_axes import MOST_NAMED
from skdnn.plotting._matrix_order import estimated_rdm
from skdnn.plotting._thumbnails import fitted, thumbnails
from skdnn.rsa._comparison._rdm_stack import check_square

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


class MDSDisplay(Display):
    r"""Conditions at places whose distances are near their dissimilarities.

    Parameters
    ----------
    coordinates : ndarray of shape (n_conditions, 2)
        Places of the conditions.
    stress : float, default=None
        How badly the distances fit, written in the corner.
    images : list of length n_conditions, default=None
        Paths, PIL images or uint8 arrays, drawn small at their places; of a condition of several
        images, the first.
    groups : sequence of length n_conditions, default=None
        Group of each condition: gives its colour, or its frame's.
    names : sequence of length n_conditions, default=None
        Written beside the places.

    Attributes
    ----------
    coordinates_ : ndarray of shape (n_conditions, 2)
        Places of the conditions.
    stress_ : float or None
        Kruskal's stress 1.
    ax_ : matplotlib Axes
        Where the places were drawn.
    figure_ : matplotlib Figure
        The figure it belongs to.

    See Also
    --------
    MDSDisplay.from_rdm : Find the places and draw them in one call.
    RDMDisplay : The RDM itself.
    sklearn.manifold.smacof : The method behind it.

    Notes
    -----
    Kruskal's stress 1 of distances :math:`d` and dissimilarities :math:`\delta` is
    :math:`\min_b \sqrt{\sum_{i<j} (b \delta_{ij} - d_{ij})^2 / \sum_{i<j} d_{ij}^2}`, from 0 to 1;
    the factor b makes it independent of the scale of the picture. Where "smacof" has converged, it
    is what scikit-learn calls normalized stress. Kruskal called 0.05 good and 0.2 poor. RDMs of
    many conditions rarely come below 0.2 in a plane: neighbours in such a picture need not be
    similar.

    References
    ----------
    Kruskal, J. B. (1964). Multidimensional scaling by optimizing goodness of fit to a nonmetric
    hypothesis. Psychometrika, 29, 1-27.

    Torgerson, W. S. (1952). Multidimensional scaling: I. Theory and method. Psychometrika, 17,
    401-419.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from skdnn.plotting import MDSDisplay
    >>> from skdnn.rsa import compute_rdm
    >>> places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    >>> rdm = compute_rdm(places, "euclidean")
    >>> display = MDSDisplay.from_rdm(rdm, groups=["left", "right", "left", "right"])
    >>> round(display.stress_, 3)
    0.0
    """

    def __init__(
        self,
        coordinates: ArrayLike,
        *,
        stress: float | None = None,
        images: Any = None,
        groups: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
        names: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
    ) -> None:
        self.coordinates_ = np.asarray(coordinates, dtype=np.float64)
        if self.coordinates_.ndim != 2 or self.coordinates_.shape[1] != 2:
            raise ValueError(f"coordinates must have two columns, got {self.coordinates_.shape}.")
        n = len(self.coordinates_)
        self.stress_ = stress
        self.groups = None if groups is None else [str(group) for group in groups]
        self.names = None if names is None else [str(name) for name in names]
        for what, values in (("groups", self.groups), ("names", self.names)):
            if values is not None and len(values) != n:
                raise ValueError(f"{what} has {len(values)} entries for {n} conditions.")
        self.images = None if images is None else thumbnails(images, n)

    @classmethod
    def from_rdm(
        cls,
        rdm: ArrayLike | pd.DataFrame,
        *,
        images: Any = None,
        groups: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
        names: Sequence[Hashable] | np.ndarray | pd.Series | None = None,
        method: str = "smacof",
        n_init: int = 4,
        random_state: Any = 0,
        **options: Any,
    ) -> MDSDisplay:
        """Find the places of the conditions of an RDM and draw them.

        Parameters
        ----------
        rdm : ndarray or DataFrame of shape (n_conditions, n_conditions)
            Dissimilarities.
        images : list of length n_conditions, default=None
            Paths, PIL images or uint8 arrays, drawn small at their places.
        groups : sequence of length n_conditions, default=None
            Group of each condition, e.g. its category.
        names : sequence of length n_conditions, default=None
            Names of the conditions, written beside the places. None takes the index of a
            DataFrame of up to 40 conditions if there are no images.
        method : {"smacof", "classical"}, default="smacof"
            Metric scaling by stress majorisation, or Torgerson's classical scaling, which is an
            eigendecomposition: quick, also for thousands of conditions, but of higher stress.
        n_init : int, default=4
            Random starts of "smacof", besides one from the classical solution; the best counts.
        random_state : int, RandomState instance or None, default=0
            Of the random starts.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : MDSDisplay
            The places, drawn. They are centred and turned so that the first axis is the longer.

        Raises
        ------
        ValueError
            If the RDM is not square and symmetric, has NaN, is all zero, or holds fewer than
            three conditions; or `method` is unknown.

        Warns
        -----
        UserWarning
            If dissimilarities are negative (as crossnobis's can be): they are drawn as 0.
        """
        if names is None and images is None and isinstance(rdm, pd.DataFrame):
            names = list(rdm.index) if len(rdm) <= MOST_NAMED else None
        places, stress = scaled_places(rdm, method, n_init, random_state)
        display = cls(places, stress=stress, images=images, groups=groups, names=names)
        return display.plot(**options)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, **options: Any) -> MDSDisplay:
        """Draw the conditions of the RDM that a fitted estimator computes.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`skdnn.rsa.RDM`, a pipeline that ends in one or in one and an
            :class:`skdnn.rsa.RSAScorer`, or a fitted search over such a pipeline.
        X : array-like of length n_conditions
            What the estimator takes.
        **options : dict
            Arguments of :meth:`from_rdm`; if X are images, ``images=X`` draws them.

        Returns
        -------
        display : MDSDisplay
            The places, drawn.
        """
        rdm, metric = estimated_rdm(estimator, X)
        return cls.from_rdm(rdm, **{"metric": metric, **options})

    @styled
    def plot(
        self,
        ax: Axes | None = None,
        *,
        image_size: float | None = None,
        title: str | None = None,
        metric: str | None = None,
    ) -> MDSDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        image_size : float, default=None
            Longer side of the images, as a share of the wider extent of the places; None makes it
            smaller the more conditions there are.
        title : str, default=None
            Title of the axes.
        metric : str, default=None
            Which dissimilarity it is, written beside the stress.

        Returns
        -------
        self : MDSDisplay
            The display itself.
        """
        if image_size is not None and not 0 < image_size <= 1:
            raise ValueError(f"image_size must lie between 0 and 1, got {image_size!r}.")
        is_large = self.images is not None and len(self.images) > MOST_NAMED
        ax = self._open(ax, (9.4, 7.6) if is_large else (6.6, 5.6))
        extent = float(np.ptp(self.coordinates_, axis=0).max()) or 1.0
        share = image_size or min(0.16, 0.62 / np.sqrt(len(self.coordinates_)))
        if self.images is None:
            self._draw_points(ax)
            margin = 0.06 * extent
        else:
            self._draw_images(ax, share * extent)
            margin = (0.5 * share + 0.02) * extent
        self._write_names(ax, 0.5 * share * extent if self.images is not None else 0.0)
        low, high = self.coordinates_.min(axis=0) - margin, self.coordinates_.max(axis=0) + margin
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        ax.set_aspect("equal")
        ax.spines[:].set_color("#cccccc")
        if self.stress_ is not None:
            note = f"stress {self.stress_:.2f}" + (f" ({metric})" if metric else "")
            ax.text(
                1.0, -0.012, note, transform=ax.transAxes, ha="right", va="top", color=GREY, size=9
            )
        legend_beside(ax, *self._legend())
        if title is not None:
            ax.set_title(title)
        return self

    def _draw_points(self, ax: Axes) -> None:
        if self.groups is None:
            x, y = self.coordinates_.T
            ax.scatter(x, y, s=30, color=GREY, zorder=2)
            return
        members = np.asarray(self.groups, dtype=object)
        for name, style in group_styles(self.groups).items():
            x, y = self.coordinates_[members == name].T
            ax.scatter(
                x, y, s=34, color=style["colour"], marker=style["marker"], linewidths=0, zorder=2
            )

    def _draw_images(self, ax: Axes, side: float) -> None:
        from matplotlib.patches import Rectangle

        assert self.images is not None  # plot() asked
        styles = group_styles(self.groups or [])
        for k, (picture, (x, y)) in enumerate(zip(self.images, self.coordinates_, strict=True)):
            width, height = fitted(picture, side)
            left, bottom = x - width / 2, y - height / 2
            ax.imshow(picture, extent=(left, left + width, bottom, bottom + height), zorder=2 + k)
            style = styles[self.groups[k]] if self.groups else {"colour": GREY, "line": "-"}
            frame = Rectangle(
                (left, bottom), width, height, fill=False, edgecolor=style["colour"],
                linestyle=style["line"], linewidth=1.6 if self.groups else 0.5, zorder=2 + k,
            )  # fmt: skip
            ax.add_patch(frame)

    def _write_names(self, ax: Axes, below: float) -> None:
        """Names beside points, towards the middle, or under images."""
        middle = float(self.coordinates_[:, 0].max() + self.coordinates_[:, 0].min()) / 2
        if self.names is None:
            return
        for text, (x, y) in zip(shortened(self.names), self.coordinates_, strict=True):
            shift: Any = {"xytext": (5, 0), "ha": "left", "va": "center"}
            if x > middle:
                shift |= {"xytext": (-5, 0), "ha": "right"}
            if below:
                shift = {"xytext": (0, -2), "ha": "center", "va": "top"}
            ax.annotate(
                text, (x, y - below), textcoords="offset points", size=8, zorder=200, **shift
            )

    def _legend(self) -> tuple[list[Any], list[str]]:
        from matplotlib.lines import Line2D

        styles = group_styles(self.groups or [])
        if self.images is not None:
            looks: list[Any] = [
                {"color": style["colour"], "linestyle": style["line"], "linewidth": 2.0}
                for style in styles.values()
            ]
        else:
            looks = [
                {"color": style["colour"], "marker": style["marker"], "linestyle": "none"}
                for style in styles.values()
            ]
        return [Line2D([], [], **look) for look in looks], list(styles)


def scaled_places(
    rdm: Any, method: str = "smacof", n_init: int = 4, random_state: Any = 0
) -> tuple[Array, float]:
    """Places of the conditions of an RDM in a plane, and their stress; nothing is drawn."""
    if method not in ("smacof", "classical"):
        raise ValueError(f"method must be 'smacof' or 'classical', got {method!r}.")
    values = _checked(rdm)
    places = _classical(values)
    if method == "smacof":
        places = _smacof(values, places, n_init, random_state)
    return places, _stress(values, places)


def _checked(rdm: Any) -> Array:
    """A symmetric RDM without NaN and below nothing."""
    values = np.asarray(rdm, dtype=np.float64)
    if values.ndim == 2:
        bad = ~np.isfinite(values) & (np.eye(*values.shape) == 0)
        labels = rdm.index if isinstance(rdm, pd.DataFrame) else np.arange(len(values))
        if bad.any():
            raise ValueError(
                "rdm has NaN or infinite values, at the condition(s) "
                f"{listed(labels[bad.any(axis=1)], show=str)}: drop those."
            )
    pairs = squareform(check_square(values, "rdm"), checks=False)
    if (pairs < 0).any():
        warnings.warn(
            f"{np.mean(pairs < 0):.0%} of the dissimilarities in rdm are negative and drawn as 0.",
            UserWarning,
            stacklevel=4,
        )
    if not (pairs > 0).any():
        raise ValueError("rdm has no dissimilarity above 0: all conditions are one place.")
    return squareform(np.maximum(pairs, 0.0))


def _classical(values: Array) -> Array:
    """Torgerson: the two largest eigenvectors of the doubly centred squares."""
    squares = -0.5 * values**2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    weights, vectors = np.linalg.eigh(centred)
    return _turned(vectors[:, :-3:-1] * np.sqrt(np.maximum(weights[:-3:-1], 0.0)))


def _smacof(values: Array, start: Array, n_init: int, random_state: Any) -> Array:
    """The best of the classical start and some random ones."""
    options: Any = {"metric": True, "n_components": 2, "n_jobs": 1, "normalized_stress": False}
    random = check_random_state(random_state)
    found = [smacof(values, init=start, n_init=1, eps=1e-6, random_state=random, **options)]
    if n_init > 0:
        found.append(smacof(values, n_init=n_init, eps=1e-6, random_state=random, **options))
    return _turned(min(found, key=lambda places_stress: places_stress[1])[0])


def _turned(places: Array) -> Array:
    """Centred, along the axes of largest variance, the farthest place of each axis positive."""
    centred = places - places.mean(axis=0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    farthest = turned[np.abs(turned).argmax(axis=0), [0, 1]]
    return turned * np.where(farthest < 0, -1.0, 1.0)


def _stress(values: Array, places: Array) -> float:
    """Kruskal's stress 1 of dissimilarities times the factor that fits best."""
    distances, pairs = pdist(places), squareform(values, checks=False)
    cosine = np.sum(pairs * distances) / np.sqrt(np.sum(pairs**2) * np.sum(distances**2))
    return float(np.sqrt(max(0.0, 1.0 - cosine**2)))
