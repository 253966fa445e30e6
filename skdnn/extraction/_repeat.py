"""Whether a network gives the same features twice: asked before a layer is first stored."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np

from skdnn.extraction._plan import Plan, Source, prepare
from skdnn.images import ImageInputs, read_image
from skdnn.models import ModelSpec, Preprocessing

#: Part of the keys of what is checked: rows that were stored without are not found.
CHECK = 1
_PREPARED = 32  # images: a flip of every second one stays unseen in one of 4e9 times
_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 5e-2}  # of the largest value


def is_repeatable(spec: ModelSpec) -> bool:
    """Whether nothing needs to be tried: networks known by name draw nothing in eval mode."""
    return spec.owned and isinstance(spec.preprocess, Preprocessing)


def refuse_random(inputs: ImageInputs, source: Source, plan: Plan, batch_size: int) -> None:
    """Prepare and forward one batch twice, and raise if the features differ.

    Parameters
    ----------
    inputs : ImageInputs
        The first batch of them is taken.
    source : Source
        Its network is built.
    plan : Plan
        Layers that are stored for the first time; without any, nothing is done.
    batch_size : int

    Raises
    ------
    ValueError
        If images are prepared, or layers computed, otherwise the second time.
    """
    spec = source.spec
    if not plan.captures or is_repeatable(spec):
        return
    engine = source.open()
    size = engine.forward_size(batch_size, plan.largest)
    prepared = [image for image, _ in islice(_decoded(inputs, spec.preprocess), size)]
    if not prepared:
        return  # told at the end, with all others that can't be decoded
    if not isinstance(spec.preprocess, Preprocessing):
        _refuse_random_preparation(inputs, spec.preprocess)
    if spec.owned or len({np.shape(image) for image in prepared}) > 1:
        return
    batch = prepared + [prepared[-1]] * (size - len(prepared))
    passes = [plan.empty(len(prepared)) for _ in range(2)]
    with engine.session(plan.captures, spec.preprocess) as run:
        for rows in passes:
            run(batch, rows)
    for capture in sorted(plan.captures, key=lambda capture: capture.info.depth):
        share = _difference(*(rows[capture.name] for rows in passes))
        if share > _TOLERANCE[source.precision]:
            raise ValueError(
                f"cache: layer {capture.name!r} of {spec.name} is another each time, for the same "
                f"images (by up to {share:.0%} of its largest value): the network draws random "
                "numbers in eval mode, as masks, noise or functional dropout do. Only one draw "
                "would be stored, for good. Switch that off in the network, let it draw from a "
                "generator that it seeds in each pass, or use cache=None."
            )


def _decoded(inputs: ImageInputs, preprocess: Any) -> Any:
    """Prepared images with the images themselves; those that can't be decoded are left out."""
    for item in inputs.items:
        try:
            image = read_image(item)
            yield prepare(image, preprocess), image
        except (OSError, ValueError, SyntaxError):
            continue


def _refuse_random_preparation(inputs: ImageInputs, preprocess: Any) -> None:
    known = list(islice(_decoded(inputs, preprocess), _PREPARED))
    for first, image in islice(cycle(known), _PREPARED):
        if not _equal(first, prepare(image, preprocess)):
            raise ValueError(
                f"cache: preprocess={preprocess!r} gives another result each time for the same "
                "image, as random crops, flips and noise do. Only one draw would be stored, for "
                "good. Use steps that are the same for every pass, such as Resize and "
                "CenterCrop, or cache=None."
            )


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
