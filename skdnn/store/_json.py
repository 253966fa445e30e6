"""JSON files that are there completely or not at all, and that tell when a bit has flipped."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from skdnn._files import write_whole

_SEAL = b',\n "crc32_of_all_above": "'


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file under a temporary name, sync it and rename it; its last line is a checksum."""
    body = json.dumps(content, indent=1).encode().removesuffix(b"\n}")
    write_whole(path, body + _SEAL + f'{zlib.crc32(body):08x}"\n}}\n'.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file.

    Raises
    ------
    ValueError
        If it is not as it was written.
    FileNotFoundError
        If it is not there.
    """
    written = path.read_bytes()
    body, seal, end = written.rpartition(_SEAL)
    if not seal or end != f'{zlib.crc32(body):08x}"\n}}\n'.encode():
        raise ValueError("its checksum is wrong")
    content: dict[str, Any] = json.loads(written)
    return content
