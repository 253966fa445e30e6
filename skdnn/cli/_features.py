"""Files of features, read no more than needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skdnn.cli._reading import reading
from skdnn.cli._targets import read_table

_MAPPED = (".npy", ".h5", ".hdf5")


@dataclass(frozen=True)
class Features:
    """Layers as one row per image, on disk where the file allows that."""

    path: str
    names: list[str] | None  # of rows
    layers: dict[str, Any]
    targets: Any = None

    @property
    def n_rows(self) -> int:
        """Number of images."""
        return len(next(iter(self.layers.values())))


def open_features(path: str, layers: Sequence[str] | None = None) -> Features:
    """Features of some layers of a file, or of all.

    Raises
    ------
    ValueError
        If the file is damaged, a layer is not in it, or rows hold NaN.
    """
    place = Path(path)
    with reading(path):
        if place.suffix.lower() in (".csv", ".tsv") and not _described(place):
            names, tables = read_table(path)
            found = Features(path, names, {"": tables[""].to_numpy()})
        else:
            found = _load(path, place)
        if not found.layers:
            raise ValueError("it holds no array of numbers")
    if list(found.layers) == [""]:
        found = Features(path, found.names, {place.stem: found.layers[""]}, found.targets)
    if layers is None:
        return found
    unknown = [name for name in layers if name not in found.layers]
    if unknown:
        raise ValueError(
            f"--layer: {', '.join(unknown)} not in {path}, which holds {', '.join(found.layers)}."
        )
    chosen = {name: found.layers[name] for name in layers}
    return Features(path, found.names, chosen, found.targets)


def _load(path: str, place: Path) -> Features:
    from skdnn import load_features

    try:
        loaded = load_features(place, mmap=place.suffix.lower() in _MAPPED)
    except FileNotFoundError:
        raise
    except ValueError:  # in parts or in pieces, or damaged, which is said now
        loaded = load_features(place)
    arrays = loaded.features
    if not isinstance(arrays, dict):
        arrays = {_layer_name(loaded.provenance): arrays}
    names = None if loaded.labels is None else list(map(str, loaded.labels))
    return Features(
        path, names, {str(k): _flat(array) for k, array in arrays.items()}, loaded.targets
    )


def _flat(array: Any) -> Any:
    """A row for each image; of a mapped array still on disk."""
    return array.reshape(len(array), int(np.prod(array.shape[1:], dtype=np.int64)))


def _layer_name(provenance: dict[str, Any]) -> str:
    """The layer of a file of one, where it says so."""
    layers = provenance.get("layers") or [provenance.get("layer")]
    first = layers[0] if isinstance(layers, list) and len(layers) == 1 else None
    name = first.get("name") if isinstance(first, dict) else first
    return str(name) if name else ""


def _described(place: Path) -> bool:
    return place.with_name(place.name + ".json").exists() or not place.is_file()
