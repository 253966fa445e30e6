"""Where activations are kept until a command is done, so that it goes on where it stopped."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def unfinished(out: str | Path | None, cache: str | Path | None) -> Iterator[str | None]:
    """The folder for activations: the cache if there is one, else one beside the result.

    ``OUT.unfinished`` is removed when the block ends well, and stays when it is interrupted:
    the same command finds it. Without both, nothing is kept and the folder is None.

    Raises
    ------
    BlockingIOError
        If another process is at the same result.
    """
    if cache is not None:
        yield str(cache)
        return
    if out is None:
        yield None
        return
    activations = unfinished_folder(out)
    activations.mkdir(parents=True, exist_ok=True)
    lock = FileLock(activations.with_name("lock"))  # goes with its process, however that ends
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"another command is writing {out} at this moment: wait for it, or give another --out."
        ) from None
    done = False
    try:
        yield str(activations)
        done = True
    finally:
        if done or not any(activations.rglob("*.npy")):  # nothing to go on from
            shutil.rmtree(activations)
        lock.release()
        _tidy(activations)


def unfinished_folder(out: str | Path) -> Path:
    """Where activations for a result are kept until it is whole."""
    return Path(f"{out}.unfinished") / "activations"


def _tidy(activations: Path) -> None:
    """Remove the lock, and the folder if nothing is left in it."""
    activations.with_name("lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # activations to go on from, or someone else's files
        activations.parent.rmdir()
