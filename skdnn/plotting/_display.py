"""What the displays share: a place to draw and a way to save."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from skdnn._figures import root_figure, show
from skdnn._files import write_whole
from skdnn.plotting._colours import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".svg": "svg", ".pdf": "pdf"}


class Display:
    """What the displays share: a place to draw and a way to save."""

    ax_: Axes
    figure_: Figure

    @styled
    def save(self, path: str | os.PathLike[str], dpi: float = 200) -> Self:
        """Write the figure to a file.

        Parameters
        ----------
        path : str or path-like
            Where to; the ending gives the format: png, jpg, svg or pdf. A file of that name is
            replaced once the new one is complete.
        dpi : float, default=200
            Resolution in dots per inch.

        Returns
        -------
        self : object
            The display itself.

        Raises
        ------
        ValueError
            If nothing has been drawn, or the ending is none of the four.
        FileNotFoundError
            If the folder does not exist.
        """
        if not hasattr(self, "figure_"):
            raise ValueError("Nothing has been drawn yet: call plot() before save().")
        path = Path(path)
        kind = _FORMATS.get(path.suffix.lower())
        if kind is None:
            raise ValueError(
                f"path={str(path)!r} ends in {path.suffix or 'nothing'!r}: pictures are saved as "
                ".png, .jpg, .svg or .pdf."
            )
        if not path.parent.is_dir():
            raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist.")
        buffer = io.BytesIO()
        self.figure_.savefig(buffer, format=kind, dpi=dpi)
        write_whole(path, buffer.getvalue())
        return self

    def _ipython_display_(self) -> None:
        """In a notebook: the picture without a line of text, and not twice."""
        if hasattr(self, "figure_"):
            show(self.figure_)
        else:
            print(f"{type(self).__name__}: not drawn yet, plot() draws it")

    def _open(self, ax: Axes | None, size: tuple[float, float]) -> Axes:
        """Draw into `ax`, or into a figure of its own."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
            ax.tick_params(labelsize=plt.rcParams["xtick.labelsize"])  # ticks are made later
        self.ax_ = ax
        self.figure_ = root_figure(ax)
        return ax


def settle(figure: Figure) -> None:
    """Repeat a layout that depends on itself: what stands beside an axes may scale with it."""
    engine = figure.get_layout_engine()
    for _ in range(3 if engine is not None else 0):
        engine.execute(figure)  # type: ignore[union-attr]
