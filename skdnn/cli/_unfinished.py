"""Where activations are kept until a command is done, so that it goes on where it stopped."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def unfinished(out: str | Path | None, cache: str | Path | None) -> Iterator[str | None]:
    """The folder for activations: the cache if there is one, else one beside the result.

    ``OUT.unfinished`` is removed when the block ends well, and stays when it is interrupted:
    the same command finds it. Without both, nothing is kept and the folder is None.
    """
    if cache is not None:
        yield str(cache)
        return
    if out is None:
        yield None
        return
    activations = unfinished_folder(out)
    activations.mkdir(parents=True, exist_ok=True)
    try:
        yield str(activations)
    except BaseException:
        if not any(activations.rglob("*.npy")):  # nothing to go on from
            _remove(activations)
        raise
    _remove(activations)


def unfinished_folder(out: str | Path) -> Path:
    """Where activations for a result are kept until it is whole."""
    return Path(f"{out}.unfinished") / "activations"


def _remove(activations: Path) -> None:
    shutil.rmtree(activations)
    with contextlib.suppress(OSError):  # someone else's files are in it
        activations.parent.rmdir()
