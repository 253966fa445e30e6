"""Files of weights: what they are called here, where they may lie, and how they are had."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from skdnn._config import weights_home
from skdnn._digests import file_digest
from skdnn.models._model_spec import Checkpoint
from skdnn.models._resume_download import NetworkError, complete

_HASH = re.compile(r"[0-9a-f]{8,64}")


def fetch(
    url: str,
    *,
    name: str,
    sha256: str | None = None,
    elsewhere: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Find a file of weights, or download it.

    It is called `name` here: different files have the same last part of their address. Other
    places count only with the right SHA-256, of which the first 8 digits do; without one nothing
    but the length is checked. An OSError says what to put where by hand.
    """
    expected = as_hash(sha256) if sha256 is not None else None
    target = weights_home() / name
    places = [target.with_name(base_name(url) or name), *map(Path, elsewhere)]
    found = _at_hand(target, expected, places)
    if found is not None:
        return found
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part_of(target) as part:
            if _at_hand(target, expected) is None:  # another process may have brought it
                _download(url, part, expected)
                os.replace(part, target)
            else:
                part.unlink()
    except NetworkError as error:
        raise OSError(how_to_place(target, url, expected, error)) from error
    return target


def known_of(
    url: str,
    *,
    name: str,
    sha256: str | None = None,
    elsewhere: Iterable[str | os.PathLike[str]] = (),
) -> Checkpoint:
    """What is known of a file that `fetch` would find or download; nothing is downloaded."""
    target = weights_home() / name
    if sha256 is None:
        return Checkpoint(url, file_digest(target) if target.is_file() else None)
    places = (target, target.with_name(base_name(url) or name), *map(Path, elsewhere))
    digests = (file_digest(place) for place in places if place.is_file())
    found = next((digest for digest in digests if digest.startswith(sha256)), None)
    if found is None and len(sha256) < 64:
        return Checkpoint(url, begins=sha256)
    return Checkpoint(url, found or sha256)


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


def how_to_place(target: Path, url: str, sha256: str | None, reason: object) -> str:
    """Say which file is missing, and how to put it in its place by hand."""
    known = "not published" if sha256 is None else sha256
    if sha256 is not None and len(sha256) < 64:
        known = f"begins with {sha256}"
    also = f" (or {base_name(url)})" if sha256 and base_name(url) not in ("", target.name) else ""
    return (
        f"The weights {target.name} could not be downloaded ({_first_line(reason)}).\n"
        f"  address  {url}\n"
        f"  SHA-256  {known}\n"
        f"  folder   {target.parent}\n"
        f"Download the file on any computer and put it into this folder as {target.name}{also}; "
        "the environment variable SKDNN_WEIGHTS moves the folder. Or use weights='path/of/a/file',"
        " or weights=None for random weights."
    )


def _first_line(reason: object) -> str:
    return str(reason).partition("\n")[0] or type(reason).__name__


def _at_hand(target: Path, sha256: str | None, elsewhere: Iterable[Path] = ()) -> Path | None:
    """The file, if it is there; names that are not ours count only with the right content."""
    if target.is_file():
        if sha256 is not None and not file_digest(target).startswith(sha256):
            raise OSError(
                f"{target} is not the file that was published: its SHA-256 is "
                f"{file_digest(target)}, expected {_expected(sha256)}. It is not used, and left "
                "as it is; move it away to have it downloaded again, or name it as "
                f"weights={str(target)!r} to use it as your own."
            )
        return target
    if sha256 is not None:
        for path in elsewhere:
            if path.is_file() and file_digest(path).startswith(sha256):
                return path
    return None


def _expected(sha256: str) -> str:
    return sha256 if len(sha256) == 64 else f"{sha256}..."


def _download(url: str, part: Path, sha256: str | None) -> None:
    """Complete the unfinished file; what an earlier process left counts where a hash is known."""
    left_over = part.stat().st_size > 0
    if left_over and sha256 is None:
        os.truncate(part, 0)
    complete(url, part, checked=sha256 is not None)
    if sha256 is None:
        return
    found = _digest(part)
    if left_over and not found.startswith(sha256):
        os.truncate(part, 0)  # begun with another version of the file
        complete(url, part, checked=True)
        found = _digest(part)
    if not found.startswith(sha256):
        part.unlink()
        raise NetworkError(
            f"wrong content: its SHA-256 is {found}, expected {_expected(sha256)}; it was removed"
        )


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
