"""A large file over HTTP: pooch makes requests, and each goes on where the last was cut."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn._version import __version__

_PURPOSE = "to download weights"
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (0.5, 1.0, 2.0)  # seconds before the next try; one that brought nothing new counts
_CHUNK = 10_000  # bytes; of the last one what arrived is lost when a connection is cut
_LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change


class NetworkError(OSError):
    """A file can't be had; `status` is the server's answer, where it gave one."""

    def __init__(self, reason: object, status: int | None = None) -> None:
        super().__init__(str(reason))
        self.status = status


class _Whole(Exception):
    """All of it had arrived."""


def complete(url: str, part: Path, *, checked: bool) -> None:
    """Complete an unfinished file, as long as a try brings something, and a few times more.

    What is there counts where the content will be checked against a hash; without, only what
    this call has brought, and only as the same version of the file.
    """
    requests = import_optional("requests", _PURPOSE)
    farthest = failed = 0
    version: list[str] = []  # how the server tells versions of the file apart
    while True:
        size = part.stat().st_size
        try:
            return _request(url, part, size if checked or version else 0, version)
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            arrived = part.stat().st_size
            failed = 0 if arrived > max(farthest, size) else failed + 1
            if failed == len(_PAUSES) or (status is not None and status not in _LATER):
                raise NetworkError(error, status) from error
        farthest = max(farthest, arrived)
        time.sleep(_PAUSES[failed])


def _request(url: str, part: Path, start: int, version: list[str]) -> None:
    """One request, for what comes behind the first `start` bytes."""
    pooch, requests = (import_optional(name, _PURPOSE) for name in ("pooch", "requests"))
    from skdnn._progress import progress_bar

    headers = {"User-Agent": f"skdnn/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    headers |= {"If-Range": version[0]} if start and version else {}
    total: list[int] = []
    with open(part, "r+b") as file:

        def look(response: Any, **options: Any) -> None:
            if response.status_code == 416 or (response.ok and not response.is_redirect):
                total[:] = _place(response, file, start, version)

        bar = progress_bar(total=1, unit="B", unit_scale=True, desc=part.name, disable=None)
        options = {"headers": headers, "timeout": _TIMEOUT, "hooks": {"response": look}}
        try:
            pooch.HTTPDownloader(bar, _CHUNK, **options)(url, file, None)
        except _Whole:
            return
        except requests.RequestException:
            if not total:  # else what is missing is told below
                raise
        os.fsync(file.fileno())
    if total and part.stat().st_size != total[0]:
        raise ConnectionError(f"cut after {part.stat().st_size} of {total[0]} bytes")


def _place(response: Any, file: Any, start: int, version: list[str]) -> list[int]:
    """Put the file where the answer goes on; length of the whole, where it is told."""
    ranges, tag = (response.headers.get(name, "") for name in ("Content-Range", "ETag"))
    told = ranges.rpartition("/")[2]
    if response.status_code == 416 and told == str(start):
        raise _Whole
    goes_on = response.status_code == 206 and ranges.startswith(f"bytes {start}-")
    file.truncate(start if goes_on else 0)
    file.seek(start if goes_on else 0)
    if response.status_code in (206, 416) and not goes_on:
        raise ConnectionError("the server continues the file at another place")
    strong = tag if not tag.startswith("W/") else ""
    version[:] = filter(None, [strong or response.headers.get("Last-Modified")])
    length = told if goes_on else response.headers.get("Content-Length", "")
    return [int(length)] if length.isdigit() else []
