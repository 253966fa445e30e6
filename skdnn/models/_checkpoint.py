"""Which file a network's weights come from: its address and hash, without downloading it."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn._config import weights_home
from skdnn.models import _keras, _keras_weights, _timm, _weights_file
from skdnn.models._download import base_name, own_name
from skdnn.models._fingerprint import file_digest
from skdnn.models._hub import found_on_disk
from skdnn.models._open_clip import _HUB_FILES
from skdnn.models._spec import ModelSpec

_SUFFIXES = (*_weights_file.SUFFIXES, *_keras_weights.SUFFIXES, ".npz")
_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")  # torchvision's files tell their hash


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a file of weights.

    Attributes
    ----------
    address : str or None
        Where it was published.
    sha256 : str or None
        All 64 digits, where they are published or the file is at hand.
    begins : str or None
        The first digits, where no more are published.
    """

    address: str | None = None
    sha256: str | None = None
    begins: str | None = None


def origin_of_weights(spec: ModelSpec, weights: Any) -> str:
    """``"own"`` (network), ``"random"``, ``"address"``, ``"file"`` or ``"published"``.

    `weights` is what was asked for: None for random ones.
    """
    if not spec.owned:
        return "own"
    if weights is None:
        return "random"
    if re.match(r"https?://", spec.weights, re.IGNORECASE):
        return "address"
    return "file" if spec.weights.endswith(_SUFFIXES) else "published"


def needs_download(spec: ModelSpec, weights: Any) -> bool:
    """Whether the fingerprint can't be told without the file, and the file is not here."""
    is_hashed = spec.name.startswith("published/")
    return is_hashed and origin_of_weights(spec, weights) == "published" and _tagged(spec) is None


def find_checkpoint(spec: ModelSpec, weights: Any, version: str | None = None) -> Checkpoint:
    """Look for the file that holds a network's weights; nothing is downloaded.

    Parameters
    ----------
    spec : ModelSpec
    weights : str, path or None
        What was asked for.
    version : str, default=None
        Stands for code that cannot be fingerprinted.

    Returns
    -------
    checkpoint : Checkpoint
        Nothing is known of random weights, and of one's own network only the SHA-256 of all its
        parameters.
    """
    origin = origin_of_weights(spec, weights)
    assert spec.identify is not None  # every way to a spec gives one
    if origin == "random":
        return Checkpoint()
    if origin == "own":  # where code cannot be fingerprinted, weights still can
        return Checkpoint(sha256=spec.identify(version or "1")["weights"])
    if origin == "published" and spec.name.startswith("published/"):
        file = _tagged(spec)
        return Checkpoint(sha256=None if file is None else file_digest(file))
    known = [str(part) for part in spec.identify(None)[1:]]
    if "sha256" in known:
        address = spec.weights.partition("#")[0] if origin == "address" else None
        return Checkpoint(address, sha256=known[-1])
    if spec.backend == "tensorflow" and origin == "published":
        return _of_keras(spec.name.partition("/")[2])
    return _published(known)


def _published(known: Sequence[str]) -> Checkpoint:
    """From what published weights are found by: an address and hash, or a place on the hub."""
    address = next((part for part in known if part.startswith("http")), None)
    if address is None:
        repo, name = known[-2:]
        names = list(dict.fromkeys([name, *_timm._HUB_FILES, *_HUB_FILES]))
        file = found_on_disk(repo, names)
        return Checkpoint(f"https://huggingface.co/{repo}", file_digest(file) if file else None)
    in_name = _IN_NAME.search(base_name(address))
    begins = known[-1] if known[-1] != address else (in_name[1] if in_name else None)
    file = _downloaded(address, begins)
    return Checkpoint(address, file_digest(file) if file else None, None if file else begins)


def _downloaded(address: str, begins: str | None) -> Path | None:
    """A file that lies where downloads are put; its own name counts with the right hash only."""
    home = weights_home()
    suffix = next((end for end in _SUFFIXES if address.endswith(end)), ".pth")
    file = home / own_name(address, (suffix,), suffix)
    if begins is None:
        return file if file.is_file() else None
    places = [file, home / base_name(address)]
    torch = sys.modules.get("torch")
    if torch is not None:
        places.append(Path(torch.hub.get_dir()) / "checkpoints" / base_name(address))
    found = (place for place in places if place.is_file())
    return next((place for place in found if file_digest(place).startswith(begins)), None)


def _tagged(spec: ModelSpec) -> Path | None:
    """A published file that is called by the name of the network."""
    places = (weights_home() / (spec.weights + suffix) for suffix in _SUFFIXES)
    return next((place for place in places if place.is_file()), None)


class _AskedFor(Exception):
    """Leaves a constructor of Keras when it asks for its weights."""


@functools.cache
def _keras_file(name: str) -> tuple[str, str, str]:
    """File, address and hash (MD5 or SHA-256) of weights that Keras publishes."""

    def get_file(fname: str, origin: str, **options: Any) -> str:
        raise _AskedFor(fname, origin, options.get("file_hash") or "")

    def build() -> None:
        constructor = _keras._constructor(name)
        constructor = _keras._with_helpers(constructor, "file_utils", get_file=get_file)
        with _keras.import_keras().StatelessScope(initialize_variables=False):
            constructor(weights=_keras_weights.PUBLISHED)

    try:
        _keras.apart(build)
    except _AskedFor as asked:
        return asked.args[0], asked.args[1], asked.args[2]
    raise AssertionError(f"keras.applications.{name} asked for no file of weights")


def _of_keras(name: str) -> Checkpoint:
    file, address, published = _keras_file(name)
    if len(published) == 64:
        return Checkpoint(address, sha256=published)
    keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    for place in (weights_home() / file, keras_home / "models" / file):
        if place.is_file():
            return Checkpoint(address, file_digest(place))
    return Checkpoint(address)
