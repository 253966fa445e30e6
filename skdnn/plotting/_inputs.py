"""Pictures of what a network sees: originals beside its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skdnn._conditions import as_conditions
from skdnn._images import ImageInputs, check_images, read_image
from skdnn.models import Preprocessing
from skdnn.models._registry import fixed_seed, resolve_model
from skdnn.plotting._colours import COLOURS, GREY, styled
from skdnn.plotting._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]

_PIXELS = 480  # longer side of an original as it is drawn
_LONGEST_CAPTION = 32
_TIMES = "\N{MULTIPLICATION SIGN}"
_UNKNOWN_SCALE = "* colours stretched to the range of the values"


@dataclass(frozen=True)
class NetworkInput:
    """An image, and what became of it.

    Parameters
    ----------
    original : ndarray of uint8, shape (h, w, 3)
        The image, perhaps made smaller.
    size : tuple of int
        Its width and height in truth.
    picture : ndarray of uint8, shape (height, width, 3)
        The network's input, mapped back to colours.
    low, high : float
        The smallest and the largest value of the input itself.
    box : tuple of float, default=None
        Left, top, right and bottom of what the network sees, in pixels of the image in its own
        size; None where that is not known.
    caption : str, default=""
        What to write above.
    exact : bool, default=True
        Whether the colours are those of the image, rather than stretched.

    See Also
    --------
    InputsDisplay : Draws them.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.plotting._inputs import NetworkInput
    >>> blank = np.zeros((4, 4, 3), dtype=np.uint8)
    >>> NetworkInput(blank, (4, 4), blank, -2.1, 2.6).exact
    True
    """

    original: NDArray[np.uint8]
    size: tuple[int, int]
    picture: NDArray[np.uint8]
    low: float
    high: float
    box: Box | None = None
    caption: str = ""
    exact: bool = True


class InputsDisplay(Display):
    """Originals beside what a network is fed: the first thing to look at in any study.

    Parameters
    ----------
    inputs : sequence of NetworkInput
        Images and what became of them; :meth:`from_extractor` makes them.
    model : str, default=""
        Name of the network, for the title.

    Attributes
    ----------
    axes_ : list of pairs of matplotlib Axes
        Of each image, the original and the input.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    InputsDisplay.from_extractor : Draws the inputs of an extractor's network.
    DNNFeatureExtractor : Its ``preprocess`` says what becomes of an image.

    Notes
    -----
    The inputs go the whole way that they go in an extraction, to the numbers that enter the
    network, whose range is written above them. They are mapped back to colours by undoing mean
    and standard deviation, or in Keras what ``preprocess_input`` does. What one's own function
    does is not known: its values are stretched from their smallest to their largest.

    Examples
    --------
    >>> import matplotlib
    >>> import numpy as np
    >>> matplotlib.use("agg")
    >>> from skdnn import DNNFeatureExtractor
    >>> from skdnn.plotting import InputsDisplay
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    >>> display = InputsDisplay.from_extractor(DNNFeatureExtractor("alexnet"), images)
    >>> display.inputs[0].picture.shape, display.inputs[0].box
    ((224, 224, 3), (12.5, 2.5, 47.5, 37.5))
    """

    def __init__(self, inputs: Sequence[NetworkInput], *, model: str = "") -> None:
        if not inputs:
            raise ValueError("inputs is empty: there is no image to draw.")
        self.inputs = list(inputs)
        self.model = model

    @classmethod
    def from_extractor(
        cls,
        extractor: Any,
        X: Any,
        *,
        n_images: int = 8,
        labels: Sequence[Any] | None = None,
        random_state: Any = None,
        **options: Any,
    ) -> InputsDisplay:
        """Draw some of the images and what an extractor's network is fed.

        Parameters
        ----------
        extractor : DNNFeatureExtractor, Pipeline or fitted search
            Need not be fitted; of a pipeline, its first step. The network is not built.
        X : sequence of images
            As for the extractor. Of elements that stand for several images, the first is drawn.
        n_images : int, default=8
            How many are drawn.
        labels : sequence of the length of X, default=None
            Labels of the images, such as categories, written above them. They need not be
            unique.
        random_state : int, RandomState or None, default=None
            Draws the images by chance; None takes them at equal distances from first to last.
        **options : dict
            Arguments of :meth:`plot`.

        Returns
        -------
        display : InputsDisplay
            The images, drawn.

        Raises
        ------
        TypeError
            If there is no extractor.
        ValueError
            If `labels` is not as long as X, or an image cannot be read or prepared.
        """
        shown, model = network_inputs(extractor, X, n_images, labels, random_state)
        return cls(shown, model=model).plot(**options)

    @styled
    def plot(self, *, n_columns: int = 2, title: str | None = None) -> InputsDisplay:
        """Draw.

        Parameters
        ----------
        n_columns : int, default=2
            Pairs of original and input beside each other.
        title : str, default=None
            Title of the figure; None names the network.

        Returns
        -------
        self : InputsDisplay
            The display itself.
        """
        import matplotlib.pyplot as plt

        if n_columns < 1:
            raise ValueError(f"n_columns must be at least 1, got {n_columns!r}.")
        columns = min(n_columns, len(self.inputs))
        rows = -(-len(self.inputs) // columns)
        size = (4.6 * columns, 2.75 * rows + 0.4)
        figure, grid = plt.subplots(rows, 2 * columns, figsize=size, squeeze=False)
        # What is written below a row keeps apart from what is written above the next.
        figure.set_layout_engine("constrained", h_pad=0.1, hspace=0.03)
        pairs = grid.reshape(rows * columns, 2)
        for shown, pair in zip(self.inputs, pairs, strict=False):
            _draw_original(pair[0], shown)
            _draw_input(pair[1], shown)
        for pair in pairs[len(self.inputs) :]:
            for spare in pair:
                figure.delaxes(spare)
        self.axes_ = [(pair[0], pair[1]) for pair in pairs[: len(self.inputs)]]
        self.ax_, self.figure_ = self.axes_[0][0], figure
        if title is None:
            title = f"What {self.model} sees" if self.model else None
        if title:
            figure.suptitle(title)
        if not all(shown.exact for shown in self.inputs):
            figure.supxlabel(_UNKNOWN_SCALE, fontsize=8, color=GREY)
        return self


# --- drawing -----------------------------------------------------------------------------------


def _draw_original(ax: Axes, shown: NetworkInput) -> None:
    """The image in its own pixels, and the frame of what the network sees of it."""
    from matplotlib.patches import Rectangle

    width, height = shown.size
    ax.imshow(shown.original, extent=(0, width, height, 0), interpolation="bilinear")
    if shown.box is not None and not np.allclose(shown.box, (0, 0, width, height), atol=0.5):
        left, top, right, bottom = shown.box
        for colour, line in (("white", 3.0), (COLOURS[1], 1.5)):  # seen on any picture
            frame = Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                linewidth=line,
            )  # fmt: skip
            frame.set_clip_on(False)
            ax.add_patch(frame)
        ax.set(xlim=(min(0, left), max(width, right)), ylim=(max(height, bottom), min(0, top)))
    _caption(ax, shown.caption, f"{width} {_TIMES} {height}")


def _draw_input(ax: Axes, shown: NetworkInput) -> None:
    height, width = shown.picture.shape[:2]
    ax.imshow(shown.picture, interpolation="antialiased")
    _caption(ax, "input" if shown.exact else "input*", f"{width} {_TIMES} {height}")
    values = f"values {shown.low:.3g} to {shown.high:.3g}"
    ax.set_xlabel(values if shown.exact else f"{values}, stretched", fontsize=7, color=GREY)


def _caption(ax: Axes, name: str, size: str) -> None:
    lines = [_cut(line) for line in name.split("\n")]
    ax.set_title("\n".join([*lines, size]), fontsize=8)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CAPTION else f"{text[:12]}…{text[-19:]}"


# --- what the network is fed -------------------------------------------------------------------


def network_inputs(
    extractor: Any,
    X: Any,
    n_images: int,
    labels: Sequence[Any] | None = None,
    random_state: Any = None,
) -> tuple[list[NetworkInput], str]:
    """Some of the images, what an extractor's network is fed, and its name; undrawn."""
    extractor = _extractor_of(extractor)
    spec = resolve_model(
        extractor.model,
        backend=extractor.backend,
        weights=extractor.weights,
        preprocess=extractor.preprocess,
        seed=fixed_seed(extractor.random_state),
    )
    conditions = as_conditions(X)
    n = len(conditions)
    if labels is not None and len(labels) != n:
        raise ValueError(f"labels has {len(labels)} entries for {n} images.")
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1, got {n_images!r}.")
    rows = _chosen(n, n_images, random_state)
    first = rows if conditions.ends is None else conditions.ends[rows]
    inputs = conditions.inputs[first]
    check_images(inputs)
    captions = ["" if labels is None else str(list(labels)[row]) for row in rows]
    shown = [
        _shown(inputs, k, spec.preprocess, spec.backend, caption)
        for k, caption in enumerate(captions)
    ]
    return shown, spec.name


def _extractor_of(estimator: Any) -> Any:
    """The extractor in an estimator."""
    estimator = getattr(estimator, "best_estimator_", getattr(estimator, "estimator", estimator))
    first = estimator[0] if isinstance(estimator, Pipeline) else estimator
    if not all(hasattr(first, name) for name in ("model", "preprocess", "weights", "backend")):
        raise TypeError(
            "extractor must be a DNNFeatureExtractor, or a pipeline that begins with one, got "
            f"{type(first).__name__}."
        )
    return first


def _chosen(n: int, n_images: int, random_state: Any) -> NDArray[np.intp]:
    """Which images are drawn, in their order."""
    if n_images >= n:
        return np.arange(n)
    if random_state is None:
        return np.linspace(0, n - 1, n_images).round().astype(np.intp)
    return np.sort(check_random_state(random_state).choice(n, n_images, replace=False))


def _shown(inputs: ImageInputs, k: int, preprocess: Any, backend: str, label: str) -> NetworkInput:
    """One image, its input, and what is written above."""
    name = inputs.names[k]
    image = read_image(inputs.items[k], name)
    is_known = isinstance(preprocess, Preprocessing)
    tensor = _tensor(image, preprocess, backend)
    size = image.size
    short = PurePath(name).name if inputs.has_name[k] else name
    small = image.copy()
    small.thumbnail((_PIXELS, _PIXELS))
    return NetworkInput(
        original=np.asarray(small),
        size=size,
        picture=_as_seen(tensor, preprocess, backend) if is_known else _stretched(tensor, name),
        low=float(tensor.min()),
        high=float(tensor.max()),
        box=_crop_box(size, preprocess) if is_known else None,
        caption=f"{label}\n{short}" if label else short,
        exact=is_known,
    )


def _tensor(image: Any, preprocess: Any, backend: str) -> Array:
    """The numbers that enter the network for one image, in its own layout."""
    prepared = preprocess.pixels(image) if isinstance(preprocess, Preprocessing) else None
    if prepared is None:
        return _as_array(preprocess(image))
    return _batch(prepared[None], preprocess, backend)[0]


def _batch(pixels: NDArray[np.uint8], preprocess: Preprocessing, backend: str) -> Array:
    """As the engines make a batch of pixels (n, height, width, 3)."""
    if backend == "tensorflow":
        return np.asarray(preprocess.batch(pixels), dtype=np.float64)  # type: ignore[attr-defined]
    import torch

    from skdnn._backends._torch_engine import make_batch

    batch = make_batch(list(pixels), preprocess, torch.device("cpu"), torch.float32)
    return _as_array(batch)


def _as_array(tensor: Any) -> Array:
    values = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(values, dtype=np.float64)


def _as_seen(tensor: Array, preprocess: Preprocessing, backend: str) -> NDArray[np.uint8]:
    """Colours of a prepared image: what was done to them is linear, so four of them tell it."""
    colours = np.zeros((4, 1, 1, 3), dtype=np.uint8)
    colours[1:, 0, 0] = 255 * np.eye(3, dtype=np.uint8)
    black, *basis = _batch(colours, preprocess, backend).reshape(4, 3)
    change = np.stack([column - black for column in basis], axis=1) / 255
    values = tensor if backend == "tensorflow" else np.moveaxis(tensor, 0, -1)
    undone = np.linalg.solve(change, (values.reshape(-1, 3) - black).T).T
    return np.clip(np.rint(undone), 0, 255).astype(np.uint8).reshape(values.shape)


def _stretched(tensor: Array, name: str) -> NDArray[np.uint8]:
    """Values of unknown meaning as colours, from the smallest to the largest."""
    if tensor.ndim == 3 and tensor.shape[0] in (1, 3):
        tensor = np.moveaxis(tensor, 0, -1)
    if tensor.ndim != 3 or tensor.shape[-1] not in (1, 3):
        raise ValueError(
            f"preprocess made an array of shape {tensor.shape} of {name}: only (3, height, "
            "width) or (height, width, 3) can be drawn."
        )
    low, high = tensor.min(), tensor.max()
    scaled = (tensor - low) / (high - low if high > low else 1.0)
    return np.rint(255 * np.broadcast_to(scaled, (*tensor.shape[:2], 3))).astype(np.uint8)


def _crop_box(size: tuple[int, int], preprocess: Preprocessing) -> Box:
    """Left, top, right and bottom of the crop in the pixels of the image before it was resized."""
    width, height = size
    wide, high = _resized(size, preprocess.resize)
    crop = preprocess.crop
    if crop is None:
        return 0.0, 0.0, float(width), float(height)
    tall, broad = (crop, crop) if isinstance(crop, int) else crop
    left, top = _start(wide, broad), _start(high, tall)
    across, down = width / wide, height / high
    return left * across, top * down, (left + broad) * across, (top + tall) * down


def _resized(size: tuple[int, int], wanted: int | tuple[int, int] | None) -> tuple[int, int]:
    """Width and height after resizing, as torchvision rounds them."""
    if wanted is None:
        return size
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    short, long = min(size), max(size)
    other = int(wanted * long / short)
    return (wanted, other) if size[0] <= size[1] else (other, wanted)


def _start(length: int, crop: int) -> int:
    """Where a centred crop begins; before the edge if it is the longer one."""
    return round((length - crop) / 2) if length >= crop else -((crop - length) // 2)
