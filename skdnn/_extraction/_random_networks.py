"""Whether a network gives the same features twice: asked before a layer is first stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np

from skdnn._extraction._chosen_layers import ChosenLayers
from skdnn._extraction._chosen_network import ChosenNetwork, prepare
from skdnn._images import ImageInputs, read_image
from skdnn.models import Preprocessing
from skdnn.models._model_spec import ModelSpec

#: Part of the keys of what is checked: rows that were stored without are not found.
CHECK = 1
_PREPARED = 32  # images: a flip of every second one stays unseen in one of 4e9 times
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 5e-2}  # of the largest value


def is_repeatable(spec: ModelSpec) -> bool:
    """Whether nothing needs to be tried: networks known by name draw nothing in eval mode."""
    return spec.owned and isinstance(spec.preprocess, Preprocessing)


def refuse_random_network(
    network: ChosenNetwork,
    layers: ChosenLayers,
    run: Callable[[dict[str, np.ndarray]], None],
    rows: dict[str, np.ndarray],
) -> None:
    """Forward a batch once more, and raise if these layers differ from the `rows` that it gave.

    The error names the first layer that is another the second time.
    """
    if network.spec.owned:
        return
    again = {name: np.empty_like(array) for name, array in rows.items()}
    run(again)
    for capture in sorted(layers.captures, key=lambda capture: capture.info.depth):
        share = _difference(rows[capture.name], again[capture.name])
        if share > _TOLERANCE[network.precision]:
            raise ValueError(
                f"cache: layer {capture.name!r} of {network.spec.name} is another each time, for "
                f"the same images (by up to {share:.0%} of its largest value): the network draws "
                "random numbers in eval mode, as masks, noise or functional dropout do. Only one "
                "draw would be stored, for good. Switch that off in the network, let it draw from "
                "a generator that it seeds in each pass, or use cache=None."
            )


def refuse_random_preparation(inputs: ImageInputs, preprocess: Any) -> None:
    """Prepare the first images twice, and raise if the results differ."""
    if isinstance(preprocess, Preprocessing):
        return
    known = list(islice(_prepared(inputs, preprocess), _PREPARED))
    for first, image in islice(cycle(known), _PREPARED):
        if not _equal(first, prepare(image, preprocess)):
            raise ValueError(
                f"cache: preprocess={preprocess!r} gives another result each time for the same "
                "image, as random crops, flips and noise do. Only one draw would be stored, for "
                "good. Use steps that are the same for every pass, such as Resize and "
                "CenterCrop, or cache=None."
            )


def _prepared(inputs: ImageInputs, preprocess: Any) -> Iterator[tuple[Any, Any]]:
    """Prepared images with the images themselves; those that can't be decoded are left out."""
    for item in inputs.items:
        try:
            image = read_image(item)
            prepared = prepare(image, preprocess)
        except (OSError, ValueError, SyntaxError):
            continue  # told at the end, with all others that can't be decoded
        yield prepared, image


def _equal(first: Any, second: Any) -> bool:
    """Whether two arrays or tensors, of whatever type and device, hold the same."""
    if not (hasattr(first, "detach") and hasattr(second, "detach")):
        first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        gap = np.abs(first - second)[~same].max()
        scale = np.abs(first[np.isfinite(first)]).max(initial=0)
    return float(gap / scale) if scale and np.isfinite(gap) else 1.0
