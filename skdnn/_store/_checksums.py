"""Checksums that tell when a bit has flipped: of rows of a shard, and of each JSON file.

Such a file is there completely or not at all.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from skdnn._files import write_whole
from skdnn._store._plain_files import open_plain

_SEAL = "xxh3_128_of_all_above"
_OLD_SEAL = "crc32_of_all_above"  # of stores of format 1
_MOST_BYTES = 2**30


def row_sums(rows: np.ndarray, form: int = 2) -> np.ndarray:
    """XXH3 of each row's bytes, 64 bits.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n_units)
        Contiguous rows as they lie on disk.
    form : {1, 2}, default=2
        In format 1 it was a plain sum of words, which two flipped bits can leave as it is.

    Returns
    -------
    sums : ndarray of uint64, shape (n_rows,)
    """
    if form == 1:
        n_bytes = rows.shape[1] * rows.itemsize
        word = next(size for size in (8, 4, 2, 1) if n_bytes % size == 0)
        return rows.view(f"<u{word}").sum(axis=1, dtype=np.uint64)
    return np.fromiter(map(xxhash.xxh3_64_intdigest, rows), np.uint64, len(rows))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file under a temporary name, sync it and rename it; its last line is a checksum."""
    body = json.dumps(content, indent=1).encode().removesuffix(b"\n}")
    write_whole(path, body + _last_line(_SEAL, xxhash.xxh3_128_hexdigest(body)))


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises
    ------
    ValueError
        If it is not as it was written.
    OSError
        If it is not there, or can't be read.
    """
    written = read_bytes(path)
    body = written.rpartition(b",\n")[0]
    end = written[len(body) :]
    if end != _last_line(_SEAL, xxhash.xxh3_128_hexdigest(body)) and end != _last_line(
        _OLD_SEAL, f"{zlib.crc32(body):08x}"
    ):
        raise ValueError("its checksum is wrong")
    content: dict[str, Any] = json.loads(written)
    content.popitem()  # the checksum
    return content


def read_bytes(path: Path) -> bytes:
    """All of a plain file of bounded size; raises as `read_json`."""
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise ValueError("it is larger than any such file")
        return file.read()


def is_sealed(content: Any) -> bool:
    """Whether what a file holds has a checksum, right or wrong."""
    return isinstance(content, dict) and bool({_SEAL, _OLD_SEAL} & content.keys())


def _last_line(name: str, checksum: str) -> bytes:
    return f',\n "{name}": "{checksum}"\n}}\n'.encode()
