"""Archives of others: unpacked whole, or refused by name."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from skdnn._wording import in_bytes

_METHODS = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
    getattr(zipfile, "ZIP_ZSTANDARD", zipfile.ZIP_STORED),  # from Python 3.14 on
}
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError),
)
# What the system says of names that cannot stand side by side; bzip2 says no number at all.
_ODD_NAMES = (None, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive beside a folder and rename it, so that no part is ever used alone.

    Parameters
    ----------
    archive : pathlib.Path
    folder : pathlib.Path
        Does not exist yet, or is empty.

    Raises
    ------
    ValueError
        Naming the archive, if it is damaged, empty, encrypted, packed by a method that Python
        does not know, or holds names that lead elsewhere.
    OSError
        If the disk can't hold it.
    """
    temporary = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        with zipfile.ZipFile(archive) as file:
            _check(file, archive, folder)
            file.extractall(temporary)
        if folder.is_dir():
            folder.rmdir()
        os.replace(temporary, folder)
    except _Refused as error:
        raise ValueError(f"{archive} {error}: it is left as it is, and not unpacked.") from None
    except _DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno in _ODD_NAMES:
            raise _damaged(archive, error) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Refused(Exception):
    """What is wrong with an archive that could be read."""


def _damaged(archive: Path, error: Exception) -> ValueError:
    return ValueError(f"{archive} is damaged ({error}): move it away to have it downloaded again.")


def _check(file: zipfile.ZipFile, archive: Path, folder: Path) -> None:
    """Look at the list of what an archive holds."""
    entries = file.infolist()
    if all(entry.is_dir() for entry in entries):
        raise _Refused("is an empty archive")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if entry.flag_bits & 1:
            raise _Refused(f"is encrypted ({name!r})")
        if entry.compress_type not in _METHODS:
            raise _Refused(f"is packed by the unknown method {entry.compress_type} ({name!r})")
        if _leads_out(name) or stat.S_ISLNK(entry.external_attr >> 16):
            raise _Refused(f"holds the name {name!r}, which leads out of the folder")
        if "\0" in name or name in seen:
            raise _Refused(f"holds the name {name!r}, which cannot be kept apart from another")
        seen.add(name)
    needed = sum(entry.file_size for entry in entries)
    free = shutil.disk_usage(archive.parent).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{archive} takes {in_bytes(needed)} when it is unpacked into {folder}, and "
            f"{in_bytes(free)} are free",
        )


def _leads_out(name: str) -> bool:
    """Of any system: absolute, on another drive, or through a folder above."""
    ways = (PurePosixPath(name), PureWindowsPath(name))
    return any(way.is_absolute() or way.anchor or ".." in way.parts for way in ways)
