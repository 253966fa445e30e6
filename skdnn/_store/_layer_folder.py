"""The folder of one layer: its name, the file that describes it, the shards in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skdnn._file_digests import digest_of
from skdnn._store._checksums import read_json
from skdnn._store._plain_files import ASIDE, remove

LAYER_FILE = "layer.json"
#: Of a manifest, what is said of the shard; the rest is said of its layer.
_OF_SHARD = {
    *("format", "block", "rows", "shape", "written", "forward", "software"),
    *("names", "images", "row_sums", "crc32"),
}


def folder_name(identity: Mapping[str, Any], dtype: str) -> str:
    """Name of a layer's folder: words for people, and a digest of all that values depend on."""
    return f"{_words(identity)}--{digest_of([identity['key'], dtype])[:16]}"


def is_name(name: str) -> bool:
    """Whether it is the plain name of a file, and leads nowhere else."""
    return Path(name).name == name and "\\" not in name


def is_folder_name(name: str) -> bool:
    """Whether a folder may be one of a layer, by its name."""
    looks_like_it = re.fullmatch(r".+--[0-9a-f]{16}", name) is not None
    return looks_like_it and is_name(name) and not name.startswith(ASIDE)


def _words(identity: Mapping[str, Any]) -> str:
    words = [str(identity[name]) for name in ("model", "layer", "pooling")]
    return "--".join(re.sub(r"[^A-Za-z0-9._@]+", "-", word)[-60:] for word in words)


def belongs(content: Mapping[str, Any], folder: Path) -> bool:
    """Whether a manifest, or a layer's file, is of the layer that its folder is named after."""
    if "folder" in content:
        return bool(content["folder"] == folder.name)
    if "key" in content:  # a layer's file of format 1
        return folder_name(content, content["dtype"]) == folder.name
    return folder.name.startswith(_words(content) + "--")  # a manifest of format 1


def about_layer(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest of a shard says of its layer."""
    return {name: value for name, value in manifest.items() if name not in _OF_SHARD}


def read_layer(folder: Path) -> dict[str, Any]:
    """What a layer's file says.

    Raises
    ------
    ValueError
        If it is not as it was written, or of another layer.
    OSError
        If it is not there, or can't be read.
    """
    content = read_json(folder / LAYER_FILE)
    try:
        if belongs(content, folder):
            return content
    except (KeyError, TypeError) as error:
        raise ValueError("it describes no layer") from error
    raise ForeignLayerError("it describes another layer")


class ForeignLayerError(ValueError):
    """A layer's file is sound, and of another layer."""


def block_names(folder: Path) -> set[str]:
    """Names of the complete shards in a layer's folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {
        name[:-5]
        for name in names
        if name.endswith(".json") and not name.startswith(".") and name != LAYER_FILE
    }


def remove_shard(folder: Path, block: str) -> None:
    """Remove the manifest first: without it the rows don't count."""
    remove(folder / f"{block}.json")
    remove(folder / f"{block}.npy")
