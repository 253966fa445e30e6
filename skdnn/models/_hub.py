"""Weights that timm and open_clip publish: found on this machine, or fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from skdnn._config import weights_home
from skdnn._optional import import_optional
from skdnn.digests import file_digest
from skdnn.models._places import base_name, fetch, known_of, own_name
from skdnn.models._spec import Checkpoint

_NOT_THERE = (401, 403, 404)  # how the hub says that a repository has no such file
#: First digits of the SHA-256, in the names of torch's files.
IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".npz")


def hub_file(repo: str, names: Sequence[str]) -> Path:
    """A file of a repository of the Hugging Face hub.

    It may lie in the hub's own cache or, put there by hand, in the folder of weights.

    Parameters
    ----------
    repo : str
        ``"owner/name"``.
    names : sequence of str
        The file; where a repository may lack it, others in its place, in this order.

    Raises
    ------
    OSError
        If it can't be had, saying what to put where by hand.
    """
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


def url_file(url: str, sha256: str | None = None) -> Path:
    """A file at an address.

    Raises
    ------
    OSError
        If it can't be had, saying what to put where by hand.
    """
    return fetch(url, name=own_name(url, _SUFFIXES, ".pth"), sha256=sha256)


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


def known_of_hub(repo: str, names: Sequence[str]) -> Checkpoint:
    """What is known of a file of a repository; nothing is downloaded."""
    file = found_on_disk(repo, names)
    return Checkpoint(f"https://huggingface.co/{repo}", file_digest(file) if file else None)


def known_of_url(url: str) -> Checkpoint:
    """What is known of a file at an address, which may tell the beginning of its hash."""
    told = IN_NAME.search(base_name(url))
    return known_of(url, name=own_name(url, _SUFFIXES, ".pth"), sha256=told[1] if told else None)


def _own_name(repo: str, name: str) -> str:
    """What a file of a repository is called in the folder of weights."""
    return f"{repo}--{name}".replace("/", "--")
