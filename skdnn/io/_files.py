"""Files that are there completely or not at all, and one error for all that is wrong with many."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_SHOWN = 10


@contextmanager
def replaced(path: Path, suffix: str = "") -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place once everything is written.

    `suffix` ends the temporary name, for libraries that choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{os.urandom(4).hex()}{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def refuse(what: str, faults: Mapping[str, str], n_files: int) -> None:
    """Raise if there are faults, naming the first files with what is wrong with each.

    Raises
    ------
    ValueError
        `what`, and the files.
    """
    if not faults:
        return
    shown = "\n".join(f"  {name}: {fault}" for name, fault in list(faults.items())[:_SHOWN])
    more = f"\n  ... and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    raise ValueError(f"{what}: {len(faults)} of {n_files} files cannot be used:\n{shown}{more}")
