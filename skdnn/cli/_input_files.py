"""Files that a command is given: regular ones only, and every error names its file."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skdnn._wording import listed
from skdnn.cli._terminal import reason, visible

if TYPE_CHECKING:
    from skdnn.io import OpenFeatures

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
# What says on its own where it comes from, or what to install.
_TOLD = (argparse.ArgumentError, ImportError)


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Read a file in this block: what would hang is refused, and errors come to name the file.

    Raises
    ------
    ValueError
        For a FIFO, device or socket, also in the place of a file that belongs to it; for any
        error that does not name the file.
    """
    check_regular(path, *_read_along(Path(path)))
    try:
        yield
    except _TOLD:
        raise
    except Exception as error:
        if re.search(rf"(?<!\w){re.escape(Path(path).name)}(?!\w)", str(error)):
            raise
        raise ValueError(f"{path}: {reason(error)}") from error


def check_regular(*paths: str | Path) -> None:
    """Refuse what is there and no file or folder: to open a FIFO is to wait for its writer."""
    for path in paths:
        try:
            kind = stat.S_IFMT(os.stat(path).st_mode)
        except (OSError, ValueError):  # whoever needs it says that it is missing
            continue
        if kind in _KINDS:
            raise ValueError(f"{path} is {_KINDS[kind]}, not a file.")


def _read_along(path: Path) -> list[Path]:
    """Files that are read along with a file of features, where they are there."""
    if not path.name:
        return []
    parts = parts_of(path)
    beside = [each.with_name(f"{each.name}.json") for each in (path, *parts)]
    return [*beside, *parts, path.with_name("file_names.txt")]


def parts_of(path: Path) -> list[Path]:
    """Parts in which features of this name lie."""
    pattern = f"{glob.escape(path.stem)}.part-*{glob.escape(path.suffix)}"
    return sorted(path.parent.glob(pattern))


def read_features(path: str, layers: Sequence[str] | None = None) -> OpenFeatures:
    """Features of some layers of a file, or of all."""
    from skdnn.io import open_features

    with reading(path):
        return open_features(path, layers)


def read_lines(path: str) -> list[str]:
    """Lines of a text file that hold something."""
    with reading(path):
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_names(path: str) -> list[str]:
    """Lines of a text file, each a name, once."""
    names = read_lines(path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise ValueError(f"{path} holds no names.")
    if twice:
        raise ValueError(f"{path}: named twice: {listed(twice, 10, visible)}.")
    return names
