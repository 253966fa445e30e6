"""Published files of weights: what they are called here, where they lie, how they come."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from skdnn._config import weights_home
from skdnn._file_digests import file_digest
from skdnn._optional import import_optional
from skdnn._version import __version__
from skdnn.models._model_spec import Checkpoint

#: First digits of the SHA-256, in the names of torch's files.
IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_OF_THE_HUB = (".pth", ".pt", ".bin", ".safetensors", ".npz")
_NOT_THERE = (401, 403, 404)  # how the hub says that a repository has no such file
_TIMEOUT = 30.0  # seconds without a byte
_PAUSES = (0.5, 1.0, 2.0)  # seconds before the next try; one that brought nothing new counts
_CHUNK = 10_000  # bytes; of the last one what arrived is lost when a connection is cut
_LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change


@dataclass(frozen=True)
class WebFile:
    """A file at an address, which is found on this machine or downloaded."""

    url: str
    name: str  # what it is called here: different files have the same last part of their address
    sha256: str | None = None  # or its first 8 digits; without, only the length is checked
    elsewhere: tuple[str | os.PathLike[str], ...] = ()  # where it may lie, too, with that hash
    check: bool = True  # whether a download must have that hash, which may be a guess

    @property
    def target(self) -> Path:
        """Where it is downloaded to."""
        return weights_home() / self.name

    def _places(self) -> list[Path]:
        """Where it lies; names that are not ours count only with the right content."""
        by_hand = self.target.with_name(base_name(self.url) or self.name)
        others = [] if self.sha256 is None else [by_hand, *map(Path, self.elsewhere)]
        return [place for place in (self.target, *others) if place.is_file()]

    def is_here(self) -> bool:
        """Whether a file of its names is on this machine, whatever is in it."""
        return bool(self._places())

    def checkpoint(self) -> Checkpoint:
        """What is known of it; nothing is downloaded."""
        begins = self.sha256 or ""
        if len(begins) == 64:
            return Checkpoint(self.url, begins)
        digests = map(file_digest, self._places())
        found = next((digest for digest in digests if digest.startswith(begins)), None)
        return Checkpoint(self.url, found, None if found else self.sha256)

    def path(self) -> Path:
        """Find it, or download it; an OSError says what to put where by hand."""
        expected = as_hash(self.sha256) if self.sha256 is not None and self.check else ""
        if not self.target.is_file():
            for place in self._places():
                if file_digest(place).startswith(str(self.sha256).lower()):
                    return place
            try:
                with _unfinished(self.target) as part:
                    if not self.target.is_file():  # another process may have brought it
                        _download(self.url, part, expected)
                        os.replace(part, self.target)
            except NetworkError as error:
                raise OSError(self._how_to_place(expected, error)) from error
        if expected and not file_digest(self.target).startswith(expected):
            raise OSError(
                f"{self.target} is not the file that was published: its SHA-256 is "
                f"{file_digest(self.target)}, expected {_shown(expected)}. It is not used, and "
                "left as it is; move it away to have it downloaded again, or name it as "
                f"weights={str(self.target)!r} to use it as your own."
            )
        return self.target

    def _how_to_place(self, expected: str, reason: object) -> str:
        """Say which file is missing, and how to put it in its place by hand."""
        known = expected if len(expected) == 64 else f"begins with {expected}"
        base = base_name(self.url) if self.sha256 else ""
        also = f" (or {base})" if base not in ("", self.name) else ""
        told = str(reason).partition("\n")[0] or type(reason).__name__
        return (
            f"The weights {self.name} could not be downloaded ({told}).\n"
            f"  address  {self.url}\n"
            f"  SHA-256  {known if expected else 'not published'}\n"
            f"  folder   {self.target.parent}\n"
            "Download the file on any computer and put it into this folder as "
            f"{self.name}{also}; the environment variable SKDNN_WEIGHTS moves the folder. Or use "
            "weights='path/of/a/file', or weights=None for random weights."
        )


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face hub, under the first of some names there."""

    repo: str
    names: tuple[str, ...]

    def _places(self) -> Iterator[Path]:
        for name in self.names:
            cached = _hub().try_to_load_from_cache(self.repo, name)
            if isinstance(cached, str):
                yield Path(cached)
            if (own := self._on_the_web(name).target).is_file():
                yield own

    def _on_the_web(self, name: str) -> WebFile:
        called = f"{self.repo}--{name}".replace("/", "--")
        return WebFile(_hub().hf_hub_url(self.repo, name), called)

    def is_here(self) -> bool:
        return any(self._places())

    def checkpoint(self) -> Checkpoint:
        file = next(self._places(), None)
        address = f"https://huggingface.co/{self.repo}"
        return Checkpoint(address, file_digest(file) if file else None)

    def path(self) -> Path:
        """Where it is found, or downloaded to."""
        there = next(self._places(), None)
        if there is not None:
            return there
        failed: list[OSError] = []
        for name in self.names:
            try:
                return self._on_the_web(name).path()
            except OSError as error:
                failed.append(error)
                if getattr(error.__cause__, "status", None) not in _NOT_THERE:
                    break
        raise failed[0]


def _hub() -> Any:
    return import_optional("huggingface_hub", "to find weights on the Hugging Face hub")


def file_at(repo: str, names: tuple[str, ...], url: str) -> HubFile | WebFile:
    """Weights in a repository of the hub, else at an address, which may tell their hash."""
    if repo:
        return HubFile(repo, names)
    told = IN_NAME.search(base_name(url))
    name = own_name(url, _OF_THE_HUB, ".pth")
    return WebFile(url, name, told[1] if told else None, check=False)


# --- names and hashes ----------------------------------------------------------------------------


def as_hash(sha256: str) -> str:
    """A SHA-256 or its first digits, checked to be one."""
    lower = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{8,64}", lower):
        raise ValueError(
            f"sha256={sha256!r} must be 64 hexadecimal digits, or the first of them, 8 at least."
        )
    return lower


def base_name(url: str) -> str:
    """Last part of an address's path; empty where there is none."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def own_name(url: str, suffixes: Iterable[str], default: str) -> str:
    """A name for the file at an address, which no other address shares."""
    base = PurePosixPath(base_name(url))
    known = base.suffix in tuple(suffixes)
    stem = re.sub(r"[^\w.-]", "_", base.stem if known else base.name)[:80] or "weights"
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return f"{stem}-{digest}{base.suffix if known else default}"


def _shown(sha256: str) -> str:
    return sha256 if len(sha256) == 64 else f"{sha256}..."


# --- downloads: each request goes on where the last was cut --------------------------------------


class NetworkError(OSError):
    """A file can't be had; `status` is the server's answer, where it gave one."""

    def __init__(self, reason: object, status: int | None = None) -> None:
        super().__init__(str(reason))
        self.status = status


def _download(url: str, part: Path, sha256: str) -> None:
    """Complete the unfinished file; what an earlier process left counts where a hash is known."""
    if not sha256:
        os.truncate(part, 0)
    for _ in range(2 if part.stat().st_size else 1):  # begun with another version of the file?
        complete(url, part, checked=bool(sha256))
        if not sha256:
            return
        with open(part, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found.startswith(sha256):
            return
        os.truncate(part, 0)
    raise NetworkError(
        f"wrong content: its SHA-256 is {found}, expected {_shown(sha256)}; it was removed"
    )


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """The unfinished file beside `target`, this process's alone; others wait for their turn.

    The lock ends with the process. Where there are no such locks, each process has an unfinished
    file of its own. An empty one does not stay.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock, own = FileLock(target.with_name(f".{target.name}.lock")), ""
    try:
        while not (lock.is_locked and os.path.exists(lock.lock_file)):
            lock.release()  # who had it before has removed it
            lock.acquire()
    except (OSError, NotImplementedError):
        own = f".{os.getpid()}"
    part = target.with_name(f".{target.name}{own}.part")
    part.touch()
    try:
        yield part
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()
        with suppress(OSError):  # Windows removes it when it is released
            os.unlink(lock.lock_file)
        lock.release()


def complete(url: str, part: Path, *, checked: bool) -> None:
    """Complete an unfinished file, as long as a try brings something, and a few times more.

    What is there counts where the content will be checked against a hash; without, only what
    this call has brought, and only as the same version of the file.
    """
    import requests

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
    import requests

    from skdnn._progress import progress_bar

    headers = {"User-Agent": f"skdnn/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    headers |= {"If-Range": version[0]} if start and version else {}
    options: dict[str, Any] = {"headers": headers, "timeout": _TIMEOUT, "stream": True}
    with requests.get(url, **options) as response, open(part, "r+b") as file:
        told = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == 416 and told == str(start):
            return  # all of it had arrived
        total = _place(response, file, start, version)
        bar = progress_bar(total=total, unit="B", unit_scale=True, desc=part.name, disable=None)
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
