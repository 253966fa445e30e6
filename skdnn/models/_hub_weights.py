"""Weights that timm and open_clip publish: found on this machine, or fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skdnn._config import weights_home
from skdnn._digests import file_digest
from skdnn._optional import import_optional
from skdnn.models._model_spec import Checkpoint
from skdnn.models._weights_choice import Weights
from skdnn.models._weights_folder import WebFile, base_name, own_name

_NOT_THERE = (401, 403, 404)  # how the hub says that a repository has no such file
#: First digits of the SHA-256, in the names of torch's files.
IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".npz")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository, under the first of some names that is there."""

    repo: str
    names: tuple[str, ...]

    def _found(self) -> Iterator[Path]:
        hub = _hub()
        for name in self.names:
            cached = hub.try_to_load_from_cache(self.repo, name)
            if isinstance(cached, str):
                yield Path(cached)
            if (own := weights_home() / self._own_name(name)).is_file():
                yield own

    def _own_name(self, name: str) -> str:
        """What it is called in the folder of weights."""
        return f"{self.repo}--{name}".replace("/", "--")

    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return any(self._found())

    def checkpoint(self) -> Checkpoint:
        """What is known of it; nothing is downloaded."""
        file = next(self._found(), None)
        address = f"https://huggingface.co/{self.repo}"
        return Checkpoint(address, file_digest(file) if file else None)

    def path(self) -> Path:
        """Where it is found, or downloaded to."""
        there = next(self._found(), None)
        if there is not None:
            return there
        failed: list[OSError] = []
        for name in self.names:
            try:
                return WebFile(_hub().hf_hub_url(self.repo, name), self._own_name(name)).path()
            except OSError as error:
                failed.append(error)
                if getattr(error.__cause__, "status", None) not in _NOT_THERE:
                    break
        raise failed[0]


def _hub() -> Any:
    return import_optional("huggingface_hub", "to find weights on the Hugging Face hub")


def file_at(repo: str, names: tuple[str, ...], url: str) -> HubFile | WebFile:
    """Weights in a repository of the hub, else at an address, which may tell their hash."""
    if repo:
        return HubFile(repo, names)
    told = IN_NAME.search(base_name(url))
    return WebFile(url, own_name(url, _SUFFIXES, ".pth"), told[1] if told else None, check=False)


def published_at(described: str, file: HubFile | WebFile, *tag: str) -> Weights:
    """Weights that such a file holds; a `tag` tells them apart, too."""
    where = (file.repo, file.names[0]) if isinstance(file, HubFile) else (file.url,)
    return Weights(described, (*tag, *where), lambda: ["published", *tag, *where], file)
