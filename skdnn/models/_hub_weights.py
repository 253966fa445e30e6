"""Weights that timm and open_clip publish: found on this machine, or fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skdnn._config import weights_home
from skdnn._digests import file_digest
from skdnn._optional import import_optional
from skdnn.models._model_spec import Checkpoint
from skdnn.models._weights_file import Weights
from skdnn.models._weights_folder import base_name, fetch, known_of, own_name

_NOT_THERE = (401, 403, 404)  # how the hub says that a repository has no such file
#: First digits of the SHA-256, in the names of torch's files.
IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".npz")


class Place(NamedTuple):
    """Where weights are: files of a repository, of which one is there, else an address."""

    repo: str
    files: tuple[str, ...]
    url: str


def published_at(described: str, place: Place, *tag: str) -> Weights:
    """Weights in a repository of the hub, else at an address; a `tag` tells them apart, too."""
    repo, files, url = place
    where = [*tag, repo, files[0]] if repo else [*tag, url]
    return Weights(
        described,
        tuple(where),
        lambda: ["published", *where],
        lambda: _hub_file(repo, files) if repo else fetch(url, name=_name_of(url)),
        lambda: _known_of_hub(repo, files) if repo else _known_of_url(url),
    )


def is_here(place: Place) -> bool:
    """Whether the file of such weights is on this machine."""
    repo, files, url = place
    if repo:
        return found_on_disk(repo, files) is not None
    by_hash = [base_name(url)] if IN_NAME.search(base_name(url)) else []
    files_here = [weights_home() / name for name in (_name_of(url), *by_hash)]
    return bool(url) and any(file.is_file() for file in files_here)


def _hub_file(repo: str, names: Sequence[str]) -> Path:
    """A file of a repository: in the hub's own cache, the folder of weights, or downloaded."""
    hub = import_optional("huggingface_hub", "to find weights on the Hugging Face hub")
    there = found_on_disk(repo, names)
    if there is not None:
        return there
    first: OSError | None = None
    for name in names:
        try:
            return fetch(hub.hf_hub_url(repo, name), name=_own_name(repo, name))
        except OSError as error:
            first = first or error
            if getattr(error.__cause__, "status", None) not in _NOT_THERE:
                break
    assert first is not None  # there is a name
    raise first


def found_on_disk(repo: str, names: Sequence[str]) -> Path | None:
    """The first of these files in the hub's own cache or in the folder of weights."""
    hub = import_optional("huggingface_hub", "to find weights on the Hugging Face hub")
    for name in names:
        cached = hub.try_to_load_from_cache(repo, name)
        if isinstance(cached, str):
            return Path(cached)
        own = weights_home() / _own_name(repo, name)
        if own.is_file():
            return own
    return None


def _known_of_hub(repo: str, names: Sequence[str]) -> Checkpoint:
    file = found_on_disk(repo, names)
    return Checkpoint(f"https://huggingface.co/{repo}", file_digest(file) if file else None)


def _known_of_url(url: str) -> Checkpoint:
    """The address may tell the beginning of the hash."""
    told = IN_NAME.search(base_name(url))
    return known_of(url, name=_name_of(url), sha256=told[1] if told else None)


def _name_of(url: str) -> str:
    return own_name(url, _SUFFIXES, ".pth")


def _own_name(repo: str, name: str) -> str:
    """What a file of a repository is called in the folder of weights."""
    return f"{repo}--{name}".replace("/", "--")
