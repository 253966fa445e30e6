"""Headers and ends of image files, looked at before anything else is done."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

from skdnn._images._decode_with_pillow import (
    GHOSTSCRIPT,
    ImageReadError,
    has_ghostscript,
    identify,
    load,
    printable,
)
from skdnn._images._image_inputs import ImageInputs
from skdnn._wording import in_lines

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_SHOWN = 20


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
    >>> from skdnn._images import as_image_inputs
    >>> check_images(as_image_inputs(["nowhere/a.png"]))
    Traceback (most recent call last):
        ...
    ValueError: 1 of 1 image files cannot be used:
      nowhere/a.png: the file is missing
    """
    files = list(dict.fromkeys(item for item in inputs.items if isinstance(item, str)))
    with ThreadPoolExecutor(max(1, min(n_threads, len(files)))) as pool:
        reasons = list(pool.map(_fault, files))
    bad = [f"{printable(f)}: {reason}" for f, reason in zip(files, reasons, strict=True) if reason]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(files)} image files cannot be used:{in_lines(bad, _SHOWN)}"
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
        image = identify(file, path)
        if image.format == "EPS":
            return None if has_ghostscript() else GHOSTSCRIPT  # no end marker is compulsory
        if _END_CHECKS[str(image.format)](image, file, size):
            return None
    except ImageReadError as error:
        return error.reason
    except (struct.error, IndexError, KeyError, TypeError, ValueError):
        pass  # a structure we cannot follow: the decoder has the last word
    try:
        file.seek(0)
        load(identify(file, path), path)
    except ImageReadError as error:
        return f"it is cut off or damaged ({error.reason}; {size} bytes)"
    return None


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
