"""What a forward pass takes: measured on one image before many are sent."""

from __future__ import annotations

import time
from collections.abc import Iterable

from skdnn._extraction._plan import Plan, Source, prepare
from skdnn._images import ImageInputs, read_image
from skdnn._threads import cores


def seconds_per_image(
    inputs: ImageInputs, rows: Iterable[int], source: Source, plan: Plan, batch_size: int
) -> float | None:
    """Time that each of many images takes in one process, the slower of decoding and forwarding.

    Parameters
    ----------
    inputs : ImageInputs
    rows : iterable of int
        Images to be forwarded; the first that can be decoded is.
    source : Source
        Its network is built.
    plan : Plan
    batch_size : int

    Returns
    -------
    seconds : float or None
        From one image decoded and one blank batch forwarded; None if no image can be decoded.
    """
    from PIL import Image

    engine, preprocess = source.open(), source.spec.preprocess
    size = engine.forward_size(batch_size, plan.largest)
    for row in rows:
        start = time.perf_counter()
        try:
            image = read_image(inputs.items[row])
            prepare(image, preprocess)
        except (OSError, ValueError, SyntaxError):
            continue  # told at the end, with all others that can't be decoded
        decode = (time.perf_counter() - start) / cores()
        break
    else:
        return None
    blank = prepare(Image.new("RGB", image.size), preprocess)
    into = {name: array.reshape(size, -1) for name, array in plan.empty(size).items()}
    with engine.session(plan.captures, preprocess) as run:
        for _ in range(2):  # the first batch of a network is slow
            start = time.perf_counter()
            run([blank] * size, into)
            forward = (time.perf_counter() - start) / size
    return max(forward, decode)
