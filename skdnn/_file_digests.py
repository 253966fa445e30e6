"""Digests of images, files and weights: who edits one of them has another one."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from skdnn._images import HDF5Image, ImageInputs, ImageReadError, check_images, read_image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "DECODING",
    "DIGEST",
    "digest_images",
    "digest_weights",
    "file_digest",
    "first_rows",
    "read_unchanged",
]

#: Version of our decoding: to be raised whenever `read_image` gives other pixels.
DECODING = 1
#: Type of an array of digests: SHA-256 in hexadecimal digits.
DIGEST = np.dtype("S64")

_CHANGED = "the file changed while it was being used; run again"
_CHUNK = 2**20
_AHEAD = 1024
# A file changed this short a time ago might change again without a new time stamp.
_SETTLED_NS = 3 * 10**9
_remembered: dict[bytes, bytes] = {}


def digest_images(inputs: ImageInputs, n_threads: int = 8) -> np.ndarray:
    """SHA-256 of every image: of a file's bytes, or of the pixels of an image in memory.

    Parameters
    ----------
    inputs : ImageInputs
    n_threads : int, default=8
        Files read side by side.

    Returns
    -------
    digests : ndarray of bytes, shape (n_images,)
        64 hexadecimal digits each, in the order of `inputs`; ``sha256sum`` gives the same for a
        file.

    Raises
    ------
    ValueError
        If files cannot be read: all of them are named.

    Notes
    -----
    Within a process, the digest of a file is remembered under its device, inode, size and times
    of modification and change, so that each file is read once.
    """
    known: dict[Any, bytes] = {}  # by path, for this call
    digests = np.empty(len(inputs), DIGEST)
    unknown: dict[Any, list[int]] = {}
    try:
        for row, item in enumerate(inputs.items):
            place = _place_of(item)
            if place is None:
                unknown[row] = [row]
                continue
            if place not in known and (found := _remembered.get(_identity_of(item))):
                known[place] = found
            if place in known:
                digests[row] = known[place]
            else:
                unknown.setdefault(place, []).append(row)
        with ThreadPoolExecutor(max(1, min(n_threads, len(unknown)))) as pool:
            places = iter(unknown.values())
            while some := list(itertools.islice(places, _AHEAD)):  # what waits takes memory
                found_now = pool.map(_digest, [inputs.items[rows[0]] for rows in some])
                for rows, digest in zip(some, found_now, strict=True):
                    digests[rows] = digest
    except (OSError, ValueError):
        check_images(inputs)  # names every faulty file, not just the first
        raise
    return digests


def _place_of(item: Any) -> Any:
    """What is equal for the same image on disk, given twice; None for one in memory."""
    return item.place if isinstance(item, HDF5Image) else item if isinstance(item, str) else None


def first_rows(inputs: ImageInputs) -> np.ndarray:
    """For each image, the row where it is given first; those in memory are not compared."""
    first: dict[Any, int] = {}
    places = enumerate(map(_place_of, inputs.items))
    rows = [first.setdefault(row if place is None else place, row) for row, place in places]
    return np.array(rows)


def read_unchanged(item: Any, name: str, digest: bytes) -> PILImage:
    """Decode the very bytes that have this digest.

    Parameters
    ----------
    item : str, PIL.Image.Image, uint8 ndarray or HDF5Image
        As in `ImageInputs`.
    name : str
        For messages.
    digest : bytes
        What `digest_images` gave for the item.

    Returns
    -------
    image : PIL.Image.Image
        As `read_image` gives it.

    Raises
    ------
    ImageReadError
        If it cannot be decoded, or has changed meanwhile.
    """
    if isinstance(item, HDF5Image):
        image = read_image(item, name)
        if _of_pixels(image) != digest:
            raise ImageReadError(name, _CHANGED)
        return image
    if not isinstance(item, str):
        return read_image(item, name)
    try:
        with open(item, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ImageReadError(name, f"it cannot be opened ({error})") from error
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ImageReadError(name, _CHANGED)
    return read_image(item, name, content=content)


def _of_pixels(image: PILImage | np.ndarray) -> bytes:
    if isinstance(image, np.ndarray):  # floats, as a network takes them
        numbers = hashlib.sha256(f"{image.dtype.str} {image.shape}".encode())
        numbers.update(np.ascontiguousarray(image).data)
        return numbers.hexdigest().encode()
    pixels = hashlib.sha256(f"RGB {image.size}".encode())
    pixels.update(image.tobytes())
    return pixels.hexdigest().encode()


def _digest(item: Any) -> bytes:
    if not isinstance(item, str):
        before = _identity_of(item)
        digest = _of_pixels(read_image(item))
        if before and _identity_of(item) == before and _is_settled(os.stat(item.stack.path)):
            _remembered[before] = digest
        return digest
    with open(item, "rb", buffering=0) as file:
        key = _identity(os.fstat(file.fileno()))
        content = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            content.update(chunk)
        after = os.fstat(file.fileno())
    digest = content.hexdigest().encode()
    if _is_settled(after) and _identity(after) == key:
        _remembered[key] = digest
    return digest


def _is_settled(stat: os.stat_result) -> bool:
    return time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS


def _identity_of(item: Any) -> bytes:
    """What changes when the content of an image does; empty where nothing on disk tells."""
    if isinstance(item, str):
        return _identity(os.stat(item))
    if isinstance(item, HDF5Image) and item.stack.is_constant:
        return _identity(os.stat(item.stack.path)) + item.name.encode()
    return b""


def _identity(stat: os.stat_result) -> bytes:
    return struct.pack(
        "<QQqqq", stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    )


# --- files and weights ---------------------------------------------------------------------


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read once as long as it does not change."""
    return _file_digest(str(path.resolve()), _identity(path.stat()))


@functools.lru_cache(maxsize=64)
def _file_digest(path: str, _identity: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_weights(network: Any, new: Any = xxhash.xxh3_128) -> str:
    """Digest of all parameters and buffers of a network in memory, every byte of them.

    `new` makes what digests: XXH3 reads faster than memory can, and `hashlib.sha256` is for
    people.
    """
    if hasattr(network, "named_parameters"):
        held = [*network.named_parameters(), *network.named_buffers()]
    else:  # Keras's, without the states of random generators
        held = [("", variable.numpy()) for variable in network.weights]
    about = [[name, str(values.dtype), list(values.shape)] for name, values in held]
    whole = new(json.dumps(about).encode())
    for _, values in held:
        whole.update(bytes_of(values))
    return str(whole.hexdigest())


def bytes_of(values: Any) -> Any:
    """The bytes of a tensor or array, on the CPU, in their order."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).tobytes()
    torch = sys.modules["torch"]
    tensor = values.detach().to("cpu").resolve_conj().resolve_neg()
    tensor = tensor.dequantize() if tensor.is_quantized else tensor
    tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
    flat = tensor.contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-like value, in hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
