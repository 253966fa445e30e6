"""A large file over HTTP: tries go on where the one before was cut, one process at a time.

pooch makes the requests; it begins anew with each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
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

    Raises
    ------
    NetworkError
        With the reason of the last try.
    """
    requests = import_optional("requests", _PURPOSE)
    of_network = (requests.RequestException, ConnectionError, TimeoutError)
    transfer = _Transfer(url, part)
    farthest = failed = 0
    while True:
        size = part.stat().st_size
        try:
            return transfer.run(size if checked or transfer.version else 0)
        except of_network as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            arrived = part.stat().st_size
            failed = 0 if arrived > max(farthest, size) else failed + 1
            if failed == len(_PAUSES) or (status is not None and status not in _LATER):
                raise NetworkError(error, status) from error
        farthest = max(farthest, arrived)
        time.sleep(_PAUSES[failed])


class _Transfer:
    """Requests for one file."""

    def __init__(self, url: str, part: Path) -> None:
        self._url = url
        self._part = part
        self.version: str | None = None  # how the server tells versions of the file apart

    def run(self, start: int) -> None:
        """One request, for what comes behind the first `start` bytes."""
        pooch = import_optional("pooch", _PURPOSE)
        requests = import_optional("requests", _PURPOSE)
        from tqdm.auto import tqdm

        headers = {"User-Agent": f"skdnn/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.version:
                headers["If-Range"] = self.version
        total: list[int] = []
        with open(self._part, "r+b") as file:

            def look(response: Any, **options: Any) -> None:
                if response.status_code == 416 or (response.ok and not response.is_redirect):
                    total[:] = self._place(response, file, start)

            bar = tqdm(total=1, unit="B", unit_scale=True, desc=self._part.name, disable=None)
            fetch = pooch.HTTPDownloader(
                bar, _CHUNK, headers=headers, timeout=_TIMEOUT, hooks={"response": look}
            )
            try:
                fetch(self._url, file, None)
            except _Whole:
                return
            except requests.RequestException:
                if not total:  # else what is missing is told below
                    raise
            os.fsync(file.fileno())
        arrived = self._part.stat().st_size
        if total and arrived != total[0]:
            raise ConnectionError(f"cut after {arrived} of {total[0]} bytes")

    def _place(self, response: Any, file: Any, start: int) -> list[int]:
        """Put the file where the answer goes on; length of the whole, where it is told."""
        ranges = response.headers.get("Content-Range", "")
        told = ranges.rpartition("/")[2]
        if response.status_code == 416 and told == str(start):
            raise _Whole
        goes_on = response.status_code == 206 and ranges.startswith(f"bytes {start}-")
        file.truncate(start if goes_on else 0)
        file.seek(start if goes_on else 0)
        if response.status_code in (206, 416) and not goes_on:
            raise ConnectionError("the server continues the file at another place")
        tag = response.headers.get("ETag")
        weak = not tag or tag.startswith("W/")
        self.version = response.headers.get("Last-Modified") if weak else tag
        length = told if goes_on else response.headers.get("Content-Length", "")
        return [int(length)] if length.isdigit() else []


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """The unfinished file beside `target`, this process's alone; others wait for their turn.

    The lock is on the file itself and ends with the process. Where there are no such locks, each
    process has an unfinished file of its own.
    """
    try:
        import fcntl
    except ImportError:
        yield from _unshared(target)
        return
    part = target.with_name(f".{target.name}.part")
    while True:
        lock = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                yield from _unshared(target)
                return
            if _is_still(part, lock):
                try:
                    yield part
                finally:
                    if _is_still(part, lock) and not part.stat().st_size:
                        part.unlink()
                return
        finally:
            os.close(lock)


def _unshared(target: Path) -> Iterator[Path]:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.touch()
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still means the open file: who had the lock before may have renamed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
