"""Find image files, check them before any work is done, and read them as a person sees them."""

from __future__ import annotations

import os
import re
import struct
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "BACKGROUND",
    "EXTENSIONS",
    "ImageInputs",
    "ImageReadError",
    "as_image_inputs",
    "check_images",
    "list_images",
    "natural_key",
    "read_image",
]

#: Extensions of image files, lower case; files count in any case (``.JPG``).
EXTENSIONS: tuple[str, ...] = (
    ".eps",
    ".jpg",
    ".jpeg",
    ".png",
    ".tif",
    ".tiff",
    ".bmp",
    ".webp",
    ".gif",
)

#: The colour that transparent pixels are laid over: white.
BACKGROUND = (255, 255, 255)

# Pillow's names of the formats behind EXTENSIONS. Content decides, not the extension; nothing
# else is opened, so that a stray file is refused the same way on every installation.
_FORMATS = ("EPS", "JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
_SIGNATURES = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
}
_GHOSTSCRIPT = (
    "EPS files need Ghostscript, which was not found; install it "
    "(https://ghostscript.com) or convert the file to PNG"
)
_SHOWN = 20


class ImageReadError(ValueError):
    """An image that cannot be read.

    Parameters
    ----------
    name : str
        The file, or the place of an image in memory.
    reason : str
        What is wrong with it.

    Attributes
    ----------
    name : str
        As given.
    reason : str
        As given.

    Examples
    --------
    >>> print(ImageReadError("a.jpg", "it is cut off"))
    a.jpg: it is cut off
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both in args: the error survives pickling by joblib
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class ImageInputs:
    """Images as the extraction takes them: a plain list, and a name for each.

    Parameters
    ----------
    items : list of str, PIL.Image.Image or numpy.ndarray
        Paths are strings.
    names : list of str
        The path as given, ``"X[3]"`` for an image in memory.

    Attributes
    ----------
    n : int
        Number of images.
    has_paths : bool
        Whether all images are files.

    Examples
    --------
    >>> inputs = as_image_inputs(["a.png", "b.png"])
    >>> inputs.n, inputs.has_paths
    (2, True)
    """

    items: list[Any]
    names: list[str]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.items)

    @property
    def has_paths(self) -> bool:
        """Whether all images are files."""
        return all(isinstance(item, str) for item in self.items)


# --- X: from whatever holds images to a list -------------------------------------------------


def as_image_inputs(X: Any) -> ImageInputs:
    """Turn the images that a user gives into one plain list with names.

    Files are not touched here; `check_images` looks at them.

    Parameters
    ----------
    X : sequence of images
        List, tuple, numpy array, pandas Series, Index or one-column DataFrame of paths (str or
        path-like); or PIL images or uint8 arrays of shape (H, W, 3), (H, W, 4) or (H, W), of
        any sizes; or one uint8 array of shape (n, H, W, 3).

    Returns
    -------
    inputs : ImageInputs
        Items and names in the order of `X`.

    Raises
    ------
    TypeError
        If `X` is a single image or no sequence, or an element is neither path nor image.
    ValueError
        If `X` is empty, or an array has the wrong shape or dtype.

    See Also
    --------
    check_images : Look at the files.
    read_image : Decode one item.

    Examples
    --------
    >>> as_image_inputs(["a.png", np.zeros((4, 5, 3), dtype=np.uint8)]).names
    ['a.png', 'X[1]']
    """
    elements = _elements(X)
    if len(elements) == 0:
        raise ValueError("X is empty: at least one image is needed.")
    items = [_as_item(element, f"X[{i}]") for i, element in enumerate(elements)]
    names = [x if isinstance(x, str) else f"X[{i}]" for i, x in enumerate(items)]
    return ImageInputs(items, names)


def _elements(X: Any) -> Sequence[Any]:
    """The elements of `X` in order; containers without an order are refused."""
    if isinstance(X, str | bytes | os.PathLike):
        raise TypeError(f"X is a single path, {X!r}: give a list of paths, e.g. [{X!r}].")
    if _is_pil(X):
        raise TypeError("X is a single image: give a list of images, e.g. [image].")
    if isinstance(X, np.ndarray):
        return _array_elements(X)
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            raise ValueError(
                f"X is a DataFrame of {X.shape[1]} columns: give the one that holds the paths."
            )
        return list(column_or_1d(X))
    if isinstance(X, list | tuple | pd.Series | pd.Index):
        return list(X)
    raise TypeError(
        "X must be a list, tuple, numpy array, pandas Series, Index or one-column DataFrame of "
        f"paths or images, got {type(X).__name__}."
    )


def _array_elements(X: np.ndarray) -> Sequence[Any]:
    """Rows of a numpy array: a column of paths or objects, or a stack of images."""
    if X.dtype.kind in "OUT":
        if X.ndim == 0:
            raise TypeError(f"X is a single path, {X.item()!r}: give a list of paths.")
        return list(column_or_1d(X))
    if X.ndim == 4 and X.shape[3] == 3:
        if X.dtype != np.uint8:
            raise ValueError(_dtype_message("X", X))
        return list(X)
    raise ValueError(
        f"X is a numeric array of shape {X.shape}: a stack of images has the shape "
        "(n, H, W, 3) and dtype uint8. For a single image, or images of one channel or of "
        "several sizes, give a list of arrays."
    )


def _as_item(element: Any, where: str) -> Any:
    """A path as str; a PIL image or a valid array as it is."""
    if isinstance(element, str | os.PathLike):
        path = os.fspath(element)
        if not isinstance(path, str) or not path:
            raise ValueError(f"{where} is {path!r}, which is no path of a file.")
        return str(path)  # np.str_ becomes str
    if isinstance(element, np.ndarray):
        _check_array(element, where)
        return element
    if _is_pil(element):
        return element
    raise TypeError(
        f"{where} is {element!r:.80} of type {type(element).__name__}: each element must be a "
        "path (str or Path), a PIL image or a uint8 array of shape (H, W, 3)."
    )


def _check_array(array: np.ndarray, where: str) -> None:
    """Raise unless `array` is one picture in uint8."""
    picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not picture or 0 in array.shape:
        raise ValueError(
            f"{where} is an array of shape {array.shape}: an image has the shape (H, W, 3), "
            "(H, W, 4) with alpha, or (H, W), none of them 0."
        )
    if array.dtype != np.uint8:
        raise ValueError(_dtype_message(where, array))


def _dtype_message(where: str, array: np.ndarray) -> str:
    return (
        f"{where} is an array of dtype {array.dtype}: uint8 with values 0-255 is needed. Values "
        "from 0 to 1 become so by np.round(255 * array).astype(np.uint8)."
    )


def _is_pil(obj: Any) -> bool:
    """Whether `obj` is a PIL image, without importing PIL for anything else."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(obj, pil.Image)


# --- checking: headers and ends of files, before anything else ------------------------------


def check_images(inputs: ImageInputs, n_threads: int = 8) -> None:
    """Raise one error that names every file which is missing, empty, cut off or no image.

    Reads headers and ends of files, in threads, each file once; images in memory pass. A file
    that looks cut off is decoded before it is accused, so none is refused that can be read.

    Parameters
    ----------
    inputs : ImageInputs
        As `as_image_inputs` gives them.
    n_threads : int, default=8
        Files looked at side by side.

    Raises
    ------
    ValueError
        Listing the files with a reason each (the first 20, and how many there are).

    See Also
    --------
    read_image : Raises `ImageReadError` for what only the decoder finds.

    Notes
    -----
    What is inside a file decides, not its extension. The end is checked by format: the end
    marker of JPEG, PNG's last chunk, the first frame's last block of GIF, the length that WebP
    states, the extent of the pixels of BMP and TIFF. Bytes after the end are allowed (padding,
    the video of a motion photo). EPS files have no compulsory end: their header and bounding
    box are checked, and that Ghostscript is there.

    Examples
    --------
    >>> check_images(as_image_inputs(["nowhere/a.png"]))
    Traceback (most recent call last):
        ...
    ValueError: 1 of 1 image files cannot be used:
      nowhere/a.png: the file is missing
    """
    files = list(dict.fromkeys(item for item in inputs.items if isinstance(item, str)))
    with ThreadPoolExecutor(max(1, min(n_threads, len(files)))) as pool:
        reasons = list(pool.map(_fault, files))
    bad = [f"{f}: {reason}" for f, reason in zip(files, reasons, strict=True) if reason]
    if bad:
        more = [f"... and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        raise ValueError(
            "\n  ".join(
                [f"{len(bad)} of {len(files)} image files cannot be used:", *bad[:_SHOWN], *more]
            )
        )


def _fault(path: str) -> str | None:
    """What is wrong with a file, or None."""
    try:
        if os.path.isdir(path):
            return "it is a folder, not a file"
        if not os.path.isfile(path):
            return "it is not a regular file" if os.path.exists(path) else "the file is missing"
        size = os.stat(path).st_size
        if size == 0:
            return "the file is empty (0 bytes)"
        with open(path, "rb") as file:
            return _content_fault(file, path, size)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        return f"it cannot be opened ({error})"


def _content_fault(file: BinaryIO, path: str, size: int) -> str | None:
    """What is wrong with the bytes of an open file, or None."""
    try:
        image = _open(file, path)
        if image.format == "EPS":
            return None if _has_ghostscript() else _GHOSTSCRIPT  # no end marker is compulsory
        if _END_CHECKS[str(image.format)](image, file, size):
            return None
    except ImageReadError as error:
        return error.reason
    except (struct.error, IndexError, KeyError, TypeError, ValueError):
        pass  # a structure we cannot follow: the decoder has the last word
    try:
        file.seek(0)
        _load(_open(file, path), path)
    except ImageReadError as error:
        return f"it is cut off or damaged ({error.reason}; {size} bytes)"
    return None


def _open(file: BinaryIO, name: str) -> PILImage:
    """Identify an image by its content, without decoding."""
    from PIL import Image

    head = file.read(16)
    file.seek(0)
    try:
        return Image.open(file, formats=_FORMATS)
    except (Warning, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(name, _describe(error)) from error
    except Exception as error:  # each of Pillow's readers has its own errors
        raise ImageReadError(name, _header_fault(head, error)) from error


def _header_fault(head: bytes, error: Exception) -> str:
    """Why Pillow could not identify a file that begins with `head`."""
    from PIL import UnidentifiedImageError

    known = next((f for start, f in _SIGNATURES.items() if head.startswith(start)), None)
    if known is None:
        formats = ", ".join(_FORMATS)
        return f"it is not an image of a known format ({formats}); it starts with {head!r}"
    # the message of UnidentifiedImageError only repeats that it is not identified
    detail = "" if isinstance(error, UnidentifiedImageError) else f" ({_describe(error)})"
    return f"it starts like {known}, but its header is cut off or damaged{detail}"


def _load(image: PILImage, name: str) -> None:
    """Decode all pixels of the current frame; a part is not enough."""
    try:
        with _no_truncated_images():
            image.load()
    except (Warning, MemoryError):
        raise
    except Exception as error:
        reason = _describe(error)
        if image.format == "EPS" and not _has_ghostscript():
            reason = _GHOSTSCRIPT
        raise ImageReadError(name, reason) from error


def _describe(error: Exception) -> str:
    """An error's message; Pillow raises some without one."""
    return str(error) or type(error).__name__


def _has_ghostscript() -> bool:
    from PIL import EpsImagePlugin

    return bool(EpsImagePlugin.has_ghostscript())


_truncated_lock = threading.Lock()
_truncated_users = 0
_truncated_before = False


@contextmanager
def _no_truncated_images() -> Iterator[None]:
    """Switch Pillow's global LOAD_TRUNCATED_IMAGES off while any of our threads decodes.

    With it, a file cut in half gives a picture that is half grey, and no error.
    """
    global _truncated_users, _truncated_before
    from PIL import ImageFile

    with _truncated_lock:
        if _truncated_users == 0:
            _truncated_before = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        _truncated_users += 1
    try:
        yield
    finally:
        with _truncated_lock:
            _truncated_users -= 1
            if _truncated_users == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_before


def _forget_other_threads() -> None:
    """After a fork, only the thread that forked goes on: nobody will release the lock."""
    global _truncated_lock, _truncated_users
    from_parent, _truncated_users = _truncated_users, 0
    _truncated_lock = threading.Lock()
    if from_parent:
        sys.modules["PIL.ImageFile"].__dict__["LOAD_TRUNCATED_IMAGES"] = _truncated_before


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


# Each takes the identified image, its file and size, and says whether the end is where it
# should be. False is only a suspicion: the decoder is asked before a file is refused.


def _jpeg_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether JPEG's end marker follows its scans; a look at the tail mostly suffices."""
    file.seek(max(0, size - 4096))
    if file.read().rstrip(b"\0").endswith(b"\xff\xd9"):
        return True
    file.seek(0)
    return _jpeg_scan_ends(file.read())


# A marker in compressed data: not a stuffed zero, not a restart, not fill bytes.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)


def _jpeg_scan_ends(data: bytes) -> bool:
    """Walk a JPEG's segments to its own end marker, past the thumbnails that segments hold."""
    position = 2
    while match := _JPEG_MARKER.search(data, position):
        if match[1] == b"\xd9":
            return True
        position = match.end()
        if match[1] != b"\x01":  # all others are segments with a length
            position += struct.unpack_from(">H", data, position)[0]
    return False


def _png_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether PNG's chunks run to IEND."""
    file.seek(-min(12, size), os.SEEK_END)
    if file.read() == b"\0\0\0\0IEND\xaeB`\x82":
        return True
    position = 8
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        position += length + 12
        if kind == b"IEND":
            return position <= size
    return False


def _gif_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether the blocks of GIF's first frame run to its last one."""
    file.seek(0)
    data = file.read()
    position = 13 + _gif_table(data[10])
    while data[position] == 0x21:  # extensions
        position = _gif_blocks(data, position + 2)
    if data[position] != 0x2C:
        return False
    position += 10 + _gif_table(data[position + 9])
    return _gif_blocks(data, position + 1) <= size


def _gif_table(flags: int) -> int:
    """Bytes of a colour table, from the flags before it."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks(data: bytes, position: int) -> int:
    """Where a chain of sub-blocks ends."""
    while data[position]:
        position += data[position] + 1
    return position + 1


def _webp_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether the file is as long as its RIFF header says."""
    file.seek(4)
    return int(struct.unpack("<I", file.read(4))[0]) + 8 <= size


def _bmp_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether BMP's rows lie within the file; if compressed, the length that it states."""
    file.seek(2)
    (stated,) = struct.unpack("<I", file.read(4))
    codec, _, offset, args = image.tile[0]  # type: ignore[attr-defined]
    if codec != "raw":
        return 0 < stated <= size
    return bool(offset + args[1] * image.size[1] <= size)  # args[1]: bytes of a row


def _tiff_ends(image: PILImage, file: BinaryIO, size: int) -> bool:
    """Whether the first page's strips or tiles, and the values of its tags, lie in the file."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    offsets, counts = (273, 279) if 273 in tags else (324, 325)
    pairs = zip(tags[offsets], tags[counts], strict=True)
    return all(start + count <= size for start, count in (*pairs, *_tiff_values(file)))


# Bytes of a value, by TIFF's number of its type.
_TIFF_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)


def _tiff_values(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Position and length of the values that lie outside of the first page's directory."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43  # BigTIFF: offsets of 8 bytes
    start, number, word = (8, "Q", "Q") if big else (4, "H", "L")
    room, entry = (8, 20) if big else (4, 12)
    file.seek(struct.unpack_from(order + word, head, start)[0])
    (n,) = struct.unpack(order + number, file.read(struct.calcsize(order + number)))
    directory = file.read(n * entry)
    for i in range(n):
        _, kind, count, offset = struct.unpack_from(f"{order}HH{word}{word}", directory, i * entry)
        length = count * (_TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0)
        if length > room:
            yield offset, length


_END_CHECKS: dict[str, Callable[[PILImage, BinaryIO, int], bool]] = {
    "JPEG": _jpeg_ends,
    "MPO": _jpeg_ends,  # several JPEGs in one file: the first is the picture
    "PNG": _png_ends,
    "GIF": _gif_ends,
    "WEBP": _webp_ends,
    "BMP": _bmp_ends,
    "TIFF": _tiff_ends,
}


# --- reading ---------------------------------------------------------------------------------


def read_image(item: Any, name: str | None = None) -> PILImage:
    """Read one image as RGB, the way a person would see it.

    Parameters
    ----------
    item : str, path-like, PIL.Image.Image or uint8 ndarray
        A file, or an image in memory: (H, W, 3), (H, W, 4) with alpha, or (H, W).
    name : str, default=None
        What an error calls it; None takes the path.

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
            file = open(path, "rb")  # noqa: SIM115
        except (OSError, ValueError) as error:  # ValueError: a path with a null character
            raise ImageReadError(name, f"it cannot be opened ({error})") from error
        with file:
            image = _open(file, name)
            _load(image, name)
            return _upright_rgb(image, name)
    name = name or "an image in memory"
    if isinstance(item, np.ndarray):
        _check_array(item, name)
        return _upright_rgb(Image.fromarray(np.ascontiguousarray(item)), name)
    _load(item, name)
    return _upright_rgb(item, name)


def _upright_rgb(image: PILImage, name: str) -> PILImage:
    """Convert a decoded image; a mode that Pillow has no conversion for is an error by name."""
    orientation = _orientation(image)
    try:
        result = _rotate(_to_rgb(image), orientation)
    except (Warning, MemoryError):
        raise
    except Exception as error:
        reason = f"mode {image.mode!r} cannot be shown as RGB ({_describe(error)})"
        raise ImageReadError(name, reason) from error
    result.info = {}  # the orientation and transparency in it are used up
    return result


def _orientation(image: PILImage) -> int:
    """EXIF orientation; 1 (upright) where there is none, or where the EXIF data are broken."""
    try:
        return int(image.getexif().get(274, 1))
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


# --- listing ---------------------------------------------------------------------------------


def natural_key(s: str) -> tuple[Any, ...]:
    """Sort key by which ``img2`` comes before ``img10``, the same on every system.

    Parameters
    ----------
    s : str
        A name or a path with ``/`` between its parts.

    Returns
    -------
    key : tuple
        To be compared with other keys only.

    Notes
    -----
    Paths are compared part by part. Runs of the digits 0-9 compare as numbers, the rest first
    without regard to case (composed and decomposed accents are one), by code point; ties are
    resolved by the code points of the whole string.

    Examples
    --------
    >>> sorted(["img10.png", "Img9.png", "img2.png", "img02.png"], key=natural_key)
    ['img02.png', 'img2.png', 'Img9.png', 'img10.png']
    """
    parts = [
        [
            (len(piece.lstrip("0")), piece.lstrip("0")) if i % 2 else piece
            for i, piece in enumerate(re.split("([0-9]+)", _folded(part)))
        ]
        for part in s.split("/")
    ]
    return (parts, s)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def list_images(root: str | os.PathLike[str]) -> list[Path]:
    """List the image files below a folder, in natural order.

    Parameters
    ----------
    root : str or path-like
        Folder, searched with all its subfolders; links to folders are followed.

    Returns
    -------
    paths : list of pathlib.Path
        Sorted by `natural_key` of the path relative to `root`, written with ``/``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.

    Notes
    -----
    Files with one of `EXTENSIONS` in any case. Hidden files and folders, whose names start with
    a dot (``.DS_Store``, ``._x.jpg``), are left out.
    """
    folder = Path(root).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"root: there is no folder {str(folder)!r}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"root: {str(folder)!r} is a file; give the folder.")
    found = list(_walk(folder, frozenset()))
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Image files below `folder`; a link back to a folder above is not entered again."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.suffix.lower() in EXTENSIONS:
            yield entry
