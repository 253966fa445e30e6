"""What a store holds at a glance: from names and sizes of files, and one manifest per layer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skdnn._html import MAX_ROWS, card
from skdnn._store._index import LayerRows
from skdnn._store._layer_folder import block_names
from skdnn._store._shard import CorruptShardError, Shard, describe_layer
from skdnn._wording import in_bytes


def store_card(root: Path, folders: Sequence[Path], facts: Mapping[str, Any]) -> str:
    """A card of a whole store, as quick for a million images as for ten."""
    shards = {folder: _shard_sizes(folder) for folder in folders}
    filled = [folder for folder in folders if shards[folder]]
    rows = [_row(folder, shards[folder]) for folder in filled[:MAX_ROWS]]
    total = sum(sum(sizes.values()) for sizes in shards.values())
    known = {
        "folder": root,
        "layers": len(filled),
        "activations": in_bytes(total),
        **facts,
    }
    more = len(filled) - len(rows)
    return card("ActivationStore", known, pd.DataFrame(rows, dtype=object), more=more)


def features_card(
    layers: Iterable[LayerRows], n_units: Iterable[int], facts: Mapping[str, Any]
) -> str:
    """A card of features that stay on disk."""
    pairs = list(zip(layers, n_units, strict=True))
    rows = [{**_identity(layer.folder), "units": int(units)} for layer, units in pairs[:MAX_ROWS]]
    more = len(pairs) - len(rows)
    return card("StoredFeatures", facts, pd.DataFrame(rows, dtype=object), more=more)


def _identity(folder: Path) -> dict[str, Any]:
    """Who the rows of a folder belong to, or at least its name."""
    found = describe_layer(folder)
    return {name: found.get(name) for name in ("model", "weights", "layer", "pooling")}


def _shard_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each complete shard, without opening any."""
    names = block_names(folder)
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name[:-4]: entry.stat().st_size
                for entry in entries
                if entry.name.endswith(".npy") and entry.name[:-4] in names
            }
    except OSError:  # removed meanwhile
        return {}


def _row(folder: Path, shards: Mapping[str, int]) -> dict[str, Any]:
    return {
        **_identity(folder),
        "rows": _n_rows(folder, shards),
        "size": in_bytes(sum(shards.values())),
    }


def _n_rows(folder: Path, shards: Mapping[str, int]) -> int | None:
    """From the sizes of the files: all have the rows and the head that one manifest tells of."""
    block = min(shards)
    try:
        shard = Shard.open(folder / f"{block}.json")
    except (FileNotFoundError, CorruptShardError):
        return None
    if not shard.row_bytes:
        return None
    head = shards[block] - shard.n_bytes
    return sum((n_bytes - head) // shard.row_bytes for n_bytes in shards.values())
