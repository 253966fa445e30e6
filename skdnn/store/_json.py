"""JSON files that are there completely or not at all, and that tell when a bit has flipped."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
_SEAL = b',\n "crc32_of_all_above": "'


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file under a temporary name, sync it and rename it; its last line is a checksum."""
    body = json.dumps(content, indent=1).encode().removesuffix(b"\n}")
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}-{path.name}")
    try:
        with open(temporary, "wb") as file:
            file.write(body + _SEAL + f'{zlib.crc32(body):08x}"\n}}\n'.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
