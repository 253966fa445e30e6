"""Where features come from, as JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike, fspath
from typing import Any

import numpy as np

from skdnn._version import __version__

_PACKAGES = ("numpy", "torch", "torchvision", "tensorflow", "Pillow")


def complete(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was given, with date and versions of libraries where it does not name them.

    Raises
    ------
    TypeError
        If something in it cannot be written as JSON.
    """
    if provenance is not None and not isinstance(provenance, Mapping):
        raise TypeError(
            f"provenance must be a dict, got {type(provenance).__name__}: e.g. "
            'provenance={"model": "alexnet", "layer": "features.10"}.'
        )
    made = as_json(provenance or {}, "provenance")
    made.setdefault("date", datetime.now(UTC).isoformat(timespec="seconds"))
    made.setdefault("versions", _versions())
    return dict(made)


def as_json(value: Any, what: str) -> Any:
    """Plain lists, dicts, numbers and text.

    Raises
    ------
    TypeError
        Naming what is none of these.
    """
    if isinstance(value, Mapping):
        return {str(key): as_json(item, f"{what}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [as_json(item, f"{what}[{n}]") for n, item in enumerate(items)]
    if isinstance(value, np.ndarray | np.generic):
        return as_json(value.tolist(), what)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(
        f"{what} is a {type(value).__name__}, which JSON cannot hold: give text or numbers."
    )


def _versions() -> dict[str, str]:
    found = {"skdnn": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name.lower()] = version(name)
        except PackageNotFoundError:
            continue
    return found
