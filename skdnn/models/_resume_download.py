"""A large file over HTTP: each request goes on where the last was cut."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn._version import __version__

_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (0.5, 1.0, 2.0)  # seconds before the next try; one that brought nothing new counts
_CHUNK = 10_000  # bytes; of the last one what arrived is lost when a connection is cut
_LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change


class NetworkError(OSError):
    """A file can't be had; `status` is the server's answer, where it gave one."""

    def __init__(self, reason: object, status: int | None = None) -> None:
        super().__init__(str(reason))
        self.status = status


def complete(url: str, part: Path, *, checked: bool) -> None:
    """Complete an unfinished file, as long as a try brings something, and a few times more.

    What is there counts where the content will be checked against a hash; without, only what
    this call has brought, and only as the same version of the file.
    """
    requests = import_optional("requests", "to download weights")
    farthest = failed = 0
    version: list[str] = []  # how the server tells versions of the file apart
    while True:
        size = part.stat().st_size
        try:
            return _request(requests, url, part, size if checked or version else 0, version)
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            arrived = part.stat().st_size
            failed = 0 if arrived > max(farthest, size) else failed + 1
            if failed == len(_PAUSES) or (status is not None and status not in _LATER):
                raise NetworkError(error, status) from error
        farthest = max(farthest, arrived)
        time.sleep(_PAUSES[failed])


def _request(requests: Any, url: str, part: Path, start: int, version: list[str]) -> None:
    """One request, for what comes behind the first `start` bytes."""
    from tqdm.auto import tqdm

    headers = {"User-Agent": f"skdnn/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    headers |= {"If-Range": version[0]} if start and version else {}
    options = {"headers": headers, "timeout": _TIMEOUT, "stream": True}
    with requests.get(url, **options) as response, open(part, "r+b") as file:
        told = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == 416 and told == str(start):
            return  # all of it had arrived
        total = _place(response, file, start, version)
        bar = tqdm(total=total, unit="B", unit_scale=True, desc=part.name, disable=None)
        try:
            for chunk in response.iter_content(_CHUNK):
                bar.update(file.write(chunk))
        except requests.RequestException:
            if total is None:  # else what is missing is told below
                raise
        finally:
            bar.close()
        os.fsync(file.fileno())
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"cut after {part.stat().st_size} of {total} bytes")


def _place(response: Any, file: Any, start: int, version: list[str]) -> int | None:
    """Put the file where the answer goes on; length of the whole, where it is told."""
    ranges, tag = (response.headers.get(name, "") for name in ("Content-Range", "ETag"))
    if response.status_code != 416:
        response.raise_for_status()
    goes_on = response.status_code == 206 and ranges.startswith(f"bytes {start}-")
    file.truncate(start if goes_on else 0)
    file.seek(start if goes_on else 0)
    if response.status_code in (206, 416) and not goes_on:
        raise ConnectionError("the server continues the file at another place")
    strong = tag if not tag.startswith("W/") else ""
    version[:] = filter(None, [strong or response.headers.get("Last-Modified")])
    length = ranges.rpartition("/")[2] if goes_on else response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
