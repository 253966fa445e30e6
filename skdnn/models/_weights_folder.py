"""Published files of weights: what they are called here, where they lie, how they come."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from skdnn._config import weights_home
from skdnn._digests import file_digest
from skdnn.models._model_spec import Checkpoint
from skdnn.models._resume_download import NetworkError, complete

_HASH = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class WebFile:
    """A file at an address, which is found on this machine or downloaded.

    Attributes
    ----------
    url : str
    name : str
        What it is called here: different files have the same last part of their address.
    sha256 : str or None
        Of which the first 8 digits do; without, nothing but the length is checked.
    elsewhere : tuple of path-like
        Other places where it may lie; they count only with the right SHA-256.
    check : bool
        Whether what is downloaded must have that SHA-256, which an address may only suggest.
    """

    url: str
    name: str
    sha256: str | None = None
    elsewhere: tuple[str | os.PathLike[str], ...] = ()
    check: bool = True

    @property
    def target(self) -> Path:
        """Where it is downloaded to."""
        return weights_home() / self.name

    def _places(self) -> list[Path]:
        """Where else it may lie: names that are not ours count only with the right content."""
        if self.sha256 is None:
            return []
        return [
            self.target.with_name(base_name(self.url) or self.name),
            *map(Path, self.elsewhere),
        ]

    def is_here(self) -> bool:
        """Whether a file of its names is on this machine, whatever is in it."""
        return any(place.is_file() for place in (self.target, *self._places()))

    def checkpoint(self) -> Checkpoint:
        """What is known of it; nothing is downloaded."""
        begins = self.sha256 or ""
        if len(begins) == 64:
            return Checkpoint(self.url, begins)
        here = (place for place in (self.target, *self._places()) if place.is_file())
        digests = (digest for place in here if (digest := file_digest(place)).startswith(begins))
        found = next(digests, None)
        return Checkpoint(self.url, found, None if found else self.sha256)

    def path(self) -> Path:
        """Find it, or download it; an OSError says what to put where by hand."""
        expected = as_hash(self.sha256) if self.sha256 is not None and self.check else ""
        found = self._at_hand(expected, self._places())
        if found is not None:
            return found
        try:
            with _unfinished(self.target) as part:
                if self._at_hand(expected) is None:  # another process may have brought it
                    _download(self.url, part, expected)
                    os.replace(part, self.target)
        except NetworkError as error:
            raise OSError(self._how_to_place(expected, error)) from error
        return self.target

    def _at_hand(self, expected: str, elsewhere: Iterable[Path] = ()) -> Path | None:
        if not self.target.is_file():
            here = (path for path in elsewhere if path.is_file())
            begins = str(self.sha256).lower()
            return next((path for path in here if file_digest(path).startswith(begins)), None)
        if not expected or file_digest(self.target).startswith(expected):
            return self.target
        raise OSError(
            f"{self.target} is not the file that was published: its SHA-256 is "
            f"{file_digest(self.target)}, expected {_shown(expected)}. It is not used, and left "
            "as it is; move it away to have it downloaded again, or name it as "
            f"weights={str(self.target)!r} to use it as your own."
        )

    def _how_to_place(self, expected: str, reason: object) -> str:
        """Say which file is missing, and how to put it in its place by hand."""
        known = expected if len(expected) == 64 else f"begins with {expected}"
        others = {place.name for place in self._places()[:1]} - {self.name}
        also = "".join(f" (or {name})" for name in others)
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


def as_hash(sha256: str) -> str:
    """A SHA-256 or its first digits, checked to be one."""
    lower = sha256.lower()
    if not _HASH.fullmatch(lower):
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


def _download(url: str, part: Path, sha256: str) -> None:
    """Complete the unfinished file; what an earlier process left counts where a hash is known."""
    left_over = part.stat().st_size > 0
    if left_over and not sha256:
        os.truncate(part, 0)
    complete(url, part, checked=bool(sha256))
    if not sha256:
        return
    found = _digest(part)
    if left_over and not found.startswith(sha256):
        os.truncate(part, 0)  # begun with another version of the file
        complete(url, part, checked=True)
        found = _digest(part)
    if not found.startswith(sha256):
        os.truncate(part, 0)
        raise NetworkError(
            f"wrong content: its SHA-256 is {found}, expected {_shown(sha256)}; it was removed"
        )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
