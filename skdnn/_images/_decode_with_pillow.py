"""Pillow, held to complete files and to errors that name the file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

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
GHOSTSCRIPT = (
    "EPS files need Ghostscript, which was not found; install it "
    "(https://ghostscript.com) or convert the file to PNG"
)


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
        return f"{printable(self.name)}: {self.reason}"


def printable(name: str) -> str:
    """A name as it is, or with escapes where it would break a line or steer a terminal."""
    return name if name.isprintable() else repr(name)


def identify(file: BinaryIO, name: str) -> PILImage:
    """Identify an image by its content, without decoding."""
    from PIL import Image

    head = file.read(16)
    file.seek(0)
    try:
        return Image.open(file, formats=_FORMATS)
    except (Warning, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageReadError(name, describe(error)) from error
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
    detail = "" if isinstance(error, UnidentifiedImageError) else f" ({describe(error)})"
    return f"it starts like {known}, but its header is cut off or damaged{detail}"


def load(image: PILImage, name: str) -> None:
    """Decode all pixels of the current frame; a part is not enough."""
    try:
        with _no_truncated_images():
            image.load()
    except (Warning, MemoryError):
        raise
    except Exception as error:
        reason = describe(error)
        if image.format == "EPS" and not has_ghostscript():
            reason = GHOSTSCRIPT
        raise ImageReadError(name, reason) from error


def describe(error: Exception) -> str:
    """An error's message; Pillow raises some without one."""
    return str(error) or type(error).__name__


def has_ghostscript() -> bool:
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
