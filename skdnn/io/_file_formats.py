"""The formats by name and by extension."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skdnn.io import (
    _hdf5,
    _hdf5_dialects,
    _mat,
    _npy,
    _parquet,
    _text_features,
    _text_tables,
    _torch,
)
from skdnn.io._reading import Ask, Raw
from skdnn.io._saved_header import Content

Read = Callable[[Path, Ask], Raw]
Write = Callable[[Path, Content], None]


@dataclass(frozen=True)
class Format:
    """How one kind of file is written and read; the first extension is given to new files."""

    name: str
    extensions: tuple[str, ...]
    read: Read
    write: Write | None
    beside: bool = False  # the header lies beside the file
    maps: bool = False  # can be mapped into memory
    text: bool = False  # people edit it by hand


_TEXT = {"beside": True, "text": True}
FORMATS = {
    made.name: made
    for made in (
        Format("npy", (".npy",), _npy.read_npy, _npy.write_npy, beside=True, maps=True),
        Format("npz", (".npz",), _npy.read_npz, _npy.write_npz),
        Format("hdf5", (".h5", ".hdf5"), _hdf5.read, _hdf5.write, maps=True),
        Format("mat", (".mat",), _mat.read, _mat.write),
        Format("mat-v5", (".mat",), _mat.read, partial(_mat.write, version="5")),
        Format("mat-v7.3", (".mat",), _mat.read, partial(_mat.write, version="7.3")),
        Format("txt", (".txt",), _text_features.read_txt, _text_features.write_txt, **_TEXT),
        Format("csv", (".csv",), _text_features.read_csv, _text_features.write_csv, **_TEXT),
        Format("parquet", (".parquet",), _parquet.read, _parquet.write),
        Format("pt", (".pt", ".pth"), _torch.read, _torch.write),
        Format("tsv", (".tsv",), _text_tables.read, None),
        Format("netcdf", (".nc", ".nc4"), _hdf5_dialects.read_netcdf, None),
    )
}
KNOWN = ", ".join(f"{made.name} ({', '.join(made.extensions)})" for made in FORMATS.values())


def by_extension(path: Path) -> Format | None:
    """The format that a name asks for."""
    suffix = path.suffix.lower()
    return next((made for made in FORMATS.values() if suffix in made.extensions), None)


def choose(path: Path, name: str | None, *, found: bool = False) -> tuple[Format, Path]:
    """The format, and the path with an extension; a ValueError names the known formats.

    Of a file that was `found`, the name of the format alone counts.
    """
    by_name = by_extension(path)
    if name is None:
        if by_name is None:
            raise ValueError(
                f"path={str(path)!r} has no extension that names a format. Known formats are "
                f"{KNOWN}: change the extension or give format=."
            )
        return by_name, path
    if name not in FORMATS:
        raise ValueError(f"format={name!r} is unknown. Known formats are {KNOWN}.")
    chosen = FORMATS[name]
    if found or path.suffix.lower() in chosen.extensions:
        return chosen, path
    if by_name is not None:
        raise ValueError(
            f"path={str(path)!r} ends like a file of format {by_name.name}, but format={name!r}: "
            "change one of them."
        )
    return chosen, path.with_name(path.name + chosen.extensions[0])
