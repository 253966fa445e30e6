"""Heavy packages, imported when a test first uses them: collecting the tests stays quick."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest


class Late:
    """Stands for a module until a test asks for one of its names; skips where it is missing."""

    __slots__ = ("_load",)  # no dict of its own, so that monkeypatch restores the module
    _mock_name = None  # pytest, which collects, asks every object for it

    def __init__(self, name: str, load: Callable[[str], Any] = pytest.importorskip) -> None:
        object.__setattr__(self, "_load", lambda: load(name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_pytest", "pytest")):  # and for these
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What a test patches is the module."""
        setattr(self._load(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._load(), name)


def _after_torch(name: str) -> Any:
    """A module that imports tensorflow, which must not come before torch."""
    pytest.importorskip("torchvision")
    pytest.importorskip("tensorflow")
    return importlib.import_module(name)


keras = Late("keras", _after_torch)
tensorflow = Late("tensorflow", _after_torch)
timm = Late("timm")
torchvision = Late("torchvision")
models = Late("torchvision.models")
transforms = Late("torchvision.transforms")
open_clip = Late("open_clip")
rsatoolbox = Late("rsatoolbox")


def late_keras(name: str) -> Late:
    """A module of ours that imports Keras."""
    return Late(name, _after_torch)


def needs(*packages: str) -> pytest.MarkDecorator:
    """Mark tests that are skipped where a package is not installed; imports none of them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
