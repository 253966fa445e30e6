"""Small pictures as ``data:`` addresses, which a page and a JSON file can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from skdnn.plotting._thumbnails import thumbnails

_THUMBNAIL, _INPUT = 64, 224  # pixels of the longer side
_DPI = 110  # of figures


def as_address(pixels: Any, side: int) -> str:
    """A JPEG whose longer side is at most so long."""
    from PIL import Image

    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def of_figure(figure: Any) -> str:
    """A PNG of a figure, in 256 colours, rare ones among them: letters stay sharp."""
    from PIL import Image

    file, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, facecolor="white")
    image = Image.open(file).convert("RGB")
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()


def small(images: Any, n: int) -> list[str]:
    """Thumbnails of n conditions."""
    return [as_address(pixels, _THUMBNAIL) for pixels in thumbnails(images, n)]


def pairs(inputs: Sequence[Any]) -> dict[str, list[str]]:
    """Images, framed where the network sees a part of them, and what it is fed."""
    return {
        "images": [as_address(_framed(each), _INPUT) for each in inputs],
        "inputs": [as_address(each.picture, _INPUT) for each in inputs],
    }


def _framed(shown: Any) -> Any:
    """The image with a frame around the crop, black in white, to be seen on any picture."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(shown.original).convert("RGB")
    if shown.box is None or np.allclose(shown.box, (0, 0, *shown.size), atol=0.5):
        return picture
    scale = picture.width / shown.size[0]
    left, top, right, bottom = (round(end * scale) for end in shown.box)
    line = max(1, round(max(picture.size) / _INPUT))
    draw = ImageDraw.Draw(picture)
    for colour, inset in (("white", 0), ("black", line)):
        corners = (left + inset, top + inset, right - 1 - inset, bottom - 1 - inset)
        draw.rectangle(corners, outline=colour, width=line)
    return picture
