"""Files to be compared: RDMs, or features that they are made of, under common names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._features import open_features
from skdnn.cli._reading import parts_of, reading
from skdnn.cli._targets import matched

_TEXT = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class RDMFile:
    """One RDM of a file, its conditions named or not."""

    path: str
    name: str  # what distinguishes it in its file; may be empty
    square: np.ndarray
    labels: list[str] | None


@dataclass(frozen=True)
class Order:
    """The conditions in the order in which all RDMs are brought."""

    names: Sequence[str]
    of: str  # whose order it is
    assumed: bool = False  # also of files without names


def read_file(path: str, metric: str) -> list[RDMFile]:
    """All RDMs of a file, or those of the layers of a file of features."""
    if not Path(path).exists() and not parts_of(Path(path)):
        raise FileNotFoundError(f"there is no file {path}.")
    with reading(path):
        return _read(path, metric)


def _read(path: str, metric: str) -> list[RDMFile]:
    if _holds_rdms(path):
        from skdnn.io import load_rdm

        rdm = load_rdm(path)
        labels = None if isinstance(rdm.index, pd.RangeIndex) else list(map(str, rdm.index))
        if not isinstance(rdm.columns, pd.MultiIndex):
            return [RDMFile(path, "", rdm.to_numpy(), labels)]
        keys = rdm.columns.droplevel(-1).unique()
        return [RDMFile(path, _joined(key), rdm[key].to_numpy(), labels) for key in keys]
    from skdnn.rsa import compute_rdm

    features = open_features(path)
    single = len(features.layers) == 1
    return [
        RDMFile(path, "" if single else name, compute_rdm(array, metric), features.names)
        for name, array in features.layers.items()
    ]


def common(
    found: Sequence[RDMFile], references: Sequence[str], metric: str, *, assume_order: bool
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Models and references with the conditions of the first file that names them."""
    named = next((one for one in found if one.labels is not None), None)
    if named is None:
        others = (one for path in references for one in read_file(path, metric))
        named = next((one for one in others if one.labels is not None), None)
    if named is None or named.labels is None:
        names = [f"row {row + 1}" for row in range(len(found[0].square))]
        order = Order(names, found[0].path, assume_order)
    else:
        order = Order(named.labels, named.path, assume_order)
    stems = [Path(one.path).stem for one in found]
    distinct = len(dict.fromkeys(one.path for one in found)) == len(set(stems))
    models = {}
    for one, stem in zip(found, stems, strict=True):
        start = stem if distinct else one.path
        name = f"{start}/{one.name}" if one.name else start
        if name in models:
            raise ValueError(f"{one.path} is given twice.")
        models[name] = _framed(one, order)
    return models, labelled_alike(references, order, metric)


def labelled_alike(
    references: Sequence[str], order: Order, metric: str
) -> dict[str, pd.DataFrame]:
    """RDMs of references by name of their file; several subjects side by side."""
    made: dict[str, Any] = {}
    for path in references:
        parts = read_file(path, metric)
        name = Path(path).stem if Path(path).stem not in made else path
        if name in made:
            raise ValueError(f"--reference {path} is given twice.")
        frames = {part.name: _framed(part, order) for part in parts}
        if len(frames) == 1:
            made[name] = next(iter(frames.values()))
        else:
            made[name] = pd.concat(frames, axis=1, names=["subject", "condition"])
    return made


def _framed(one: RDMFile, order: Order) -> pd.DataFrame:
    rows = matched(
        one.labels,
        len(one.square),
        order.names,
        one.path,
        assume_order=order.assumed,
        order=order.of,
    )
    labels = list(map(str, order.names))
    return pd.DataFrame(one.square[np.ix_(rows, rows)], index=labels, columns=labels)


def _holds_rdms(path: str) -> bool:
    """Whether a file holds RDMs; features are rows of images, and nothing is guessed of them."""
    from skdnn import load_features

    place = Path(path)
    described = place.with_name(place.name + ".json").exists()
    if place.suffix.lower() in _TEXT and not described:
        return _is_square_text(place)
    loaded = load_features(place)
    if "rdm" in loaded.provenance:
        return True
    arrays = loaded.features
    values = list(arrays.values()) if isinstance(arrays, dict) else [arrays]
    fits = [_fits(np.asarray(array)) for array in values]
    if loaded.provenance:
        return all(fits) and all(_is_rdm(np.asarray(array)) for array in values)
    return any(fits)


def _is_square_text(place: Path) -> bool:
    """Whether a table is one of conditions by conditions, or one line of pairs."""
    from skdnn.io import load_rdm

    comma = "," if place.suffix.lower() == ".csv" else None
    lines = [line for line in place.read_text("utf-8-sig").splitlines() if line.strip()]
    widths = {len(line.split(comma) if comma else line.split("\t")) for line in lines[:2]}
    width = max(widths, default=0)
    n = len(lines)
    if n == 1 or width == 1 or abs(n - width) <= 1:
        return True
    try:  # several RDMs side by side, under rows of names
        rdm = load_rdm(place)
    except ValueError:
        return False
    return isinstance(rdm.columns, pd.MultiIndex) and not isinstance(rdm.index, pd.RangeIndex)


def _fits(values: np.ndarray) -> bool:
    """Whether an array of another program has the shape of an RDM or a stack of them."""
    shape = values.shape
    if values.ndim == 2 and shape[0] == shape[1] >= 3:
        return True
    if values.ndim == 3 and (shape[1] == shape[2] or shape[0] == shape[1]):
        return True
    n_pairs = max(shape, default=0)
    n = (1 + int(np.sqrt(1 + 8 * n_pairs))) // 2
    return values.size == n_pairs and n >= 3 and n * (n - 1) // 2 == n_pairs


def _is_rdm(values: np.ndarray) -> bool:
    square = values.ndim == 2 and values.shape[0] == values.shape[1]
    return square and not np.diag(values).any() and np.allclose(values, values.T, equal_nan=True)


def _joined(key: Any) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
