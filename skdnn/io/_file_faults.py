"""One error for all that is wrong with many files, and the nearest names to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from skdnn._wording import in_lines, listed, nearest


@contextmanager
def noting(faults: dict[str, str], path: Path) -> Iterator[None]:
    """Note what is wrong with one of many files, and go on; `refuse` tells it of all."""
    try:
        yield
    except FileNotFoundError:
        faults[str(path)] = "is not there"
    except (OSError, ValueError, TypeError) as error:
        faults[str(path)] = str(error)


def refuse(what: str, faults: Mapping[str, str], n_files: int) -> None:
    """Raise if there are faults, naming the first files with what is wrong with each.

    Raises
    ------
    ValueError
        `what`, and the files.
    """
    if not faults:
        return
    shown = in_lines([f"{printable(name)}: {fault}" for name, fault in faults.items()])
    raise ValueError(f"{what}: {len(faults)} of {n_files} files cannot be used:{shown}")


def printable(name: str) -> str:
    """A name of a file with its control characters escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)


def nearest_of(name: str, known: Iterable[str]) -> str:
    """A sentence that names those most like what is not there."""
    every = list(map(str, known))
    near = nearest(name, every) or every[:5]
    return f"Nearest: {listed(near)}." if near else "There are none."
