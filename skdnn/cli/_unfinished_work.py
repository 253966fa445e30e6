"""Where activations are kept until a command is done, so that it goes on where it stopped."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = "skdnn.lock"


@contextlib.contextmanager
def unfinished(out: str | Path | None, cache: str | Path | None) -> Iterator[str | None]:
    """The folder for activations: the cache if there is one, else one beside the result.

    ``OUT.unfinished`` is removed when the block ends well, but for files that skdnn did not
    write, and stays when it is interrupted: the same command finds it. Without both, nothing is
    kept and the folder is None.

    Raises
    ------
    BlockingIOError
        If another process is at the same result.
    FileExistsError
        If the folder is a link.
    """
    if cache is not None:
        yield str(cache)
        return
    if out is None:
        yield None
        return
    activations = activations_beside(out)
    activations.mkdir(parents=True, exist_ok=True)
    if activations.is_symlink():  # what is behind it may be in use elsewhere
        raise FileExistsError(
            f"{activations} is a link: give its folder as --cache, or remove it."
        )
    lock = FileLock(activations.with_name(_LOCK))  # goes with its process, however that ends
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
            _remove(activations)
        lock.release()
        activations.with_name(_LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # activations to go on from, or someone else's files
            activations.parent.rmdir()


def activations_beside(out: str | Path) -> Path:
    """Where activations for a result are kept until it is whole."""
    return Path(f"{out}.unfinished") / "activations"


# What a store writes into its folder; whatever else is there is somebody's own.
_OURS = re.compile(
    r"skdnn-store\.json|networks/[0-9a-f]{32}\.json"
    r"|layers/[^/]+--[0-9a-f]{16}/(layer\.json|\d{8}T\d{6}-[0-9a-f]+\.(npy|json))"
    r"|((networks|layers/[^/]+--[0-9a-f]{16})/)?\.tmp-[^/]*"
)


def _remove(activations: Path) -> None:
    """Remove a store, and nothing else."""
    for folder, _, names in os.walk(activations, topdown=False):
        here = Path(folder)
        for name in names:
            if _OURS.fullmatch((here / name).relative_to(activations).as_posix()):
                (here / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            here.rmdir()
