"""Folders of the library and the environment variables that move them."""

from __future__ import annotations

import os
from pathlib import Path


def data_home(folder: str | os.PathLike[str] | None = None) -> Path:
    """Folder where fetched data sets are kept.

    Parameters
    ----------
    folder : str or path-like, default=None
        An explicit choice; None takes the environment variable ``SKDNN_DATA``, and without it
        ``~/skdnn_data``.

    Returns
    -------
    path : pathlib.Path
        Not necessarily existing.
    """
    chosen = folder if folder is not None else os.environ.get("SKDNN_DATA", "~/skdnn_data")
    return Path(chosen).expanduser()


def weights_home(folder: str | os.PathLike[str] | None = None) -> Path:
    """Folder where published weights are kept, and where they can be put by hand.

    Parameters
    ----------
    folder : str or path-like, default=None
        An explicit choice; None takes the environment variable ``SKDNN_WEIGHTS``, and without
        it ``skdnn/weights`` in the user's cache (``XDG_CACHE_HOME``, or ``~/.cache``).

    Returns
    -------
    path : pathlib.Path
        Not necessarily existing.
    """
    chosen = folder if folder is not None else os.environ.get("SKDNN_WEIGHTS")
    if chosen:
        return Path(chosen).expanduser()
    return user_cache() / "weights"


def user_cache() -> Path:
    """Folder of skdnn in the user's cache, ``XDG_CACHE_HOME`` or ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "skdnn"
