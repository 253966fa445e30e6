"""HDF5 files that lead to others are opened only where that is allowed."""

from __future__ import annotations

import os
from typing import Any

from skdnn.io._reading import DamageError


def plain(value: Any) -> Any:
    """Text, where HDF5 gives bytes."""
    return value.decode() if isinstance(value, bytes) else value


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file is HDF5, be it MATLAB's or any other."""
    with open(path, "rb") as file:
        head = file.read(520)
    return any(head[start : start + 8] == b"\x89HDF\r\n\x1a\n" for start in (0, 512))


def open_hdf5(path: str | os.PathLike[str], external: bool = False) -> Any:
    """An HDF5 file to read; other files that it takes numbers from must be allowed.

    Nothing is read through links, storage elsewhere and virtual data that are not allowed.

    Raises
    ------
    DamageError
        Naming the file, what is in it, and the other file.
    """
    import h5py

    def elsewhere(name: bytes, link: Any) -> tuple[str, str] | None:
        """The first member that lies elsewhere ends the visit; each group is visited once."""
        others: list[Any] = []
        if link.type == h5py.h5l.TYPE_EXTERNAL:
            others = [file.id.links.get_val(name)[0]]
        elif link.type == h5py.h5l.TYPE_HARD:
            item = h5py.h5o.open(file.id, name)
            if isinstance(item, h5py.h5d.DatasetID):
                made = item.get_create_plist()
                others = [made.get_external(i)[0] for i in range(made.get_external_count())]
                if made.get_layout() == h5py.h5d.VIRTUAL:
                    sources = map(made.get_virtual_filename, range(made.get_virtual_count()))
                    others += [source for source in sources if source != "."]
        return (os.fsdecode(name), os.fsdecode(others[0])) if others else None

    file = h5py.File(path, "r")
    found = None if external else file.id.links.visit(elsewhere, info=True)
    if found:
        file.close()
        raise DamageError(
            f"{os.fspath(path)!r} takes {found[0]!r} from another file, {found[1]!r}. Pass "
            "external=True if you trust it"
        )
    return file
