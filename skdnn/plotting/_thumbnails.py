"""Small pictures of the conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skdnn._conditions import as_conditions
from skdnn._images import read_image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_PIXELS = 128
_MAX_IMAGES = 96


def thumbnails(images: Any, n_conditions: int) -> list[NDArray[np.uint8]]:
    """RGB arrays whose longer side is at most 128 pixels; of several images, the first."""
    conditions = as_conditions(images)
    if len(conditions) != n_conditions:
        raise ValueError(f"images has {len(conditions)} entries for {n_conditions} conditions.")
    first = range(n_conditions) if conditions.ends is None else conditions.ends[:-1]
    inputs = conditions.inputs
    return [_thumbnail(inputs.items[i], inputs.names[i]) for i in first]


def _thumbnail(item: Any, name: str) -> NDArray[np.uint8]:
    image = _drafted(item) if isinstance(item, str) else read_image(item, name)
    image.thumbnail((_PIXELS, _PIXELS))
    return np.array(image)


def _drafted(path: str) -> PILImage:
    """Read a file; a JPEG at a fraction of its size, which is many times quicker."""
    from PIL import Image

    try:
        image = Image.open(path, formats=("JPEG",))
    except OSError:  # another format, or none: reading it will tell
        return read_image(path)
    with image:
        image.draft(None, (2 * _PIXELS, 2 * _PIXELS))
        return read_image(image, path)


def fitted(picture: NDArray[np.uint8], side: float) -> tuple[float, float]:
    """Width and height of a picture in a square of length `side`."""
    height, width = picture.shape[:2]
    longer = max(height, width)
    return side * width / longer, side * height / longer


def read_thumbnails(images: Any, n: int, groups: Any) -> list[NDArray[np.uint8]] | None:
    """Small pictures along an axis, or none where groups are named in their place."""
    if images is None:
        return None
    if n <= _MAX_IMAGES:
        return thumbnails(images, n)
    if groups is None:
        raise ValueError(
            f"images of {n} conditions would be too small to see (at most {_MAX_IMAGES}): give "
            "groups, which are named instead, or fewer conditions."
        )
    return None
