"""Networks whose default weights are on this machine; nothing is loaded, hashed or downloaded."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from skdnn._config import weights_home
from skdnn.models import (
    _cornet,
    _open_clip,
    _pip_weights,
    _published_checkpoints,
    _timm,
    _torchvision,
)
from skdnn.models._hub_weights import is_here
from skdnn.models._keras_weights import folders
from skdnn.models._weights_folder import base_name

# What Keras writes around the name of a network in the name of its file, where that is more.
_OF_KERAS = re.compile(r"(?:weights)?(?P<name>.+?)(?:weightstfdim.*|10224tf|22410float)?")


def weights_here(source: str, names: Iterable[str]) -> list[str]:
    """Those of a source's networks whose default weights need no download."""
    if source == "keras":
        files = _files_of_keras()
        return [name for name in names if name.lower() in files]
    return [name for name in names if _IS_HERE[source](name)]


def _any_file(*places: Path) -> bool:
    return any(place.is_file() for place in places)


def _in_package(name: str) -> bool:
    modules = (_pip_weights.PACKAGES[name].module, "timm")
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _of_torchvision(name: str) -> bool:
    default = getattr(_torchvision._models().get_model_weights(name), "DEFAULT", None)
    if default is None:
        return False
    where = _torchvision._whereabouts(default.url)
    own = (weights_home() / where["name"], *where.get("elsewhere", ()))
    return _any_file(*own, weights_home() / base_name(default.url))


def _of_cornet(name: str) -> bool:
    return _any_file(weights_home() / _cornet._published(name.removeprefix("cornet-")).file)


def _of_published(name: str) -> bool:
    name = _published_checkpoints._ALIASES.get(name, name)
    return _any_file(weights_home() / f"{name}{_published_checkpoints._ENTRIES[name].suffix}")


def _of_timm(name: str) -> bool:
    card = _timm._timm().get_pretrained_cfg(name)
    if card is None or not card.has_weights:
        return False
    return is_here(_timm._place(card))


def _of_open_clip(name: str) -> bool:
    architecture = _open_clip.ALIASES.get(name, name)
    if importlib.util.find_spec("open_clip") is None:
        return False
    tag = _open_clip._default_tag(architecture) or ""
    return is_here(_open_clip._place(_open_clip._tags(architecture).get(tag, {})))


def _files_of_keras() -> set[str]:
    """Names in small letters, read from the names of files: Keras itself need not be loaded."""
    files = [file for folder in folders() if folder.is_dir() for file in folder.glob("*.h5")]
    stems = [re.sub(r"[^a-z0-9]", "", file.stem.lower()) for file in files]
    found = [_OF_KERAS.fullmatch(stem) for stem in stems if "notop" not in stem]
    return {match["name"] for match in found if match}


_IS_HERE: dict[str, Callable[[str], bool]] = {
    "torchvision": _of_torchvision,
    "cornet": _of_cornet,
    "clip": _of_open_clip,
    "published": _of_published,
    "pretrained": _in_package,
    "timm": _of_timm,
    "open_clip": _of_open_clip,
}
