"""Images as a person sees them: upright, in RGB, 8 bits per channel."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from skdnn._images._decode_with_pillow import ImageReadError, describe, identify, load
from skdnn._images._hdf5_images import HDF5Image
from skdnn._images._image_inputs import check_array, is_prepared

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

#: The colour that transparent pixels are laid over: white.
BACKGROUND = (255, 255, 255)


def read_image(item: Any, name: str | None = None, *, content: bytes | None = None) -> PILImage:
    """Read one image as RGB, the way a person would see it.

    Parameters
    ----------
    item : str, path-like, PIL.Image.Image, uint8 ndarray or HDF5Image
        A file, an image in memory, (H, W, 3), (H, W, 4) with alpha, or (H, W), or an image in
        an HDF5 file.
    name : str, default=None
        What an error calls it; None takes the path.
    content : bytes, default=None
        The bytes of the file `item`, where they have been read already.

    Returns
    -------
    image : PIL.Image.Image
        Mode RGB, 8 bits per channel; a picture of its own, also where `item` was one.

    Raises
    ------
    ImageReadError
        If it cannot be decoded completely, also where Pillow was told to load truncated images.

    See Also
    --------
    check_images : Find broken files before the work starts.

    Notes
    -----
    - The orientation in the EXIF data is applied.
    - Transparent pixels, of whatever mode, are laid over white (`BACKGROUND`).
    - Integers of 16 and 32 bits are scaled, 65535 becoming 255; an image with values outside
      0 to 65535 is scaled from its own minimum and maximum. Of 16-bit colour, the upper byte
      is kept, as Pillow does.
    - Floats between 0 and 1 are scaled by 255, between 0 and 255 rounded, others scaled from
      their own minimum and maximum.
    - CMYK is converted by Pillow's formula; colour profiles are not applied (as in
      torchvision's and Keras's own loaders).
    - Of files with several frames or pages, the first is read.
    - Of images of more than ``PIL.Image.MAX_IMAGE_PIXELS``, Pillow warns; of more than twice as
      many, this is an error.

    Examples
    --------
    >>> grey = np.array([[0, 128], [255, 7], [1, 2]], dtype=np.uint8)
    >>> image = read_image(grey)
    >>> image.mode, image.size
    ('RGB', (2, 3))
    """
    from PIL import Image

    if isinstance(item, str | os.PathLike):
        path = os.fspath(item)
        name = name or path
        try:
            file: BinaryIO = open(path, "rb") if content is None else io.BytesIO(content)  # noqa: SIM115
        except (OSError, ValueError) as error:  # ValueError: a path with a null character
            raise ImageReadError(name, f"it cannot be opened ({error})") from error
        with file:
            image = identify(file, name)
            load(image, name)
            return _upright_rgb(image, name)
    if isinstance(item, HDF5Image):
        return _upright_rgb(Image.fromarray(item.read()), name or item.name)
    if is_prepared(item):
        return item  # floats, as a network takes them
    name = name or "an image in memory"
    if isinstance(item, np.ndarray):
        check_array(item, name)
        return _upright_rgb(Image.fromarray(np.ascontiguousarray(item)), name)
    load(item, name)
    return _upright_rgb(item, name)


def _upright_rgb(image: PILImage, name: str) -> PILImage:
    """Convert a decoded image; a mode that Pillow has no conversion for is an error by name."""
    orientation = _orientation(image)
    try:
        result = _rotate(_to_rgb(image), orientation)
    except (Warning, MemoryError):
        raise
    except Exception as error:
        reason = f"mode {image.mode!r} cannot be shown as RGB ({describe(error)})"
        raise ImageReadError(name, reason) from error
    result.info = {}  # the orientation and transparency in it are used up
    return result


def _orientation(image: PILImage) -> int:
    """EXIF orientation; 1 (upright) where there is none, or where the EXIF data are broken."""
    read_exif = image.getexif  # a Pillow without it is no broken file
    try:
        return int(read_exif().get(274, 1))
    except Exception:
        return 1  # a viewer shows such a picture all the same


def _rotate(image: PILImage, orientation: int) -> PILImage:
    """Undo an EXIF orientation, as `PIL.ImageOps.exif_transpose` does."""
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb(image: PILImage) -> PILImage:
    """RGB pixels of an image of any mode, transparency laid over the background."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_rgb(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    image = _with_8bit_key(image).convert("RGBA")
    return Image.alpha_composite(_background(image.size), image).convert("RGB")


def _background(size: tuple[int, int]) -> PILImage:
    from PIL import Image

    return Image.new("RGBA", size, (*BACKGROUND, 255))


def _with_8bit_key(image: PILImage) -> PILImage:
    """Bring the transparent colour of a 16-bit PNG to the 8 bits that Pillow's pixels have."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


def _deep_to_rgb(image: PILImage) -> PILImage:
    """Scale grey values of 16 or 32 bits, or floats, to 0-255."""
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it has pixels that are NaN or infinite")
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        low, high = (0.0, 1.0) if 0 <= low <= high <= 1 else (low, high)
        low, high = (0.0, 255.0) if 0 <= low <= high and 1 < high <= 255 else (low, high)
    elif 0 <= low <= high <= 65535:
        low, high = 0.0, 65535.0
    scaled = (values - low) * (255.0 / (high - low if high > low else 1.0))
    result = Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")
    key = image.info.get("transparency")
    if isinstance(key, int):
        opaque = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
        result = Image.composite(result, _background(image.size).convert("RGB"), opaque)
    return result
