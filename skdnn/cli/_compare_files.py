"""Files to be compared: RDMs, or features that they are made of, under common names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._reading import parts_of, reading
from skdnn.cli._targets import matched


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
    labels: Sequence[str] | None = None  # other names for the conditions, shorter ones


def read_file(path: str, metric: str) -> list[RDMFile]:
    """All RDMs of a file, or those of the layers of a file of features."""
    if not Path(path).exists() and not parts_of(Path(path)):
        raise FileNotFoundError(f"there is no file {path}.")
    with reading(path):
        return _read(path, metric)


def _read(path: str, metric: str) -> list[RDMFile]:
    from skdnn.io import holds_rdms, load_rdm, open_features
    from skdnn.rsa import compute_rdm

    if holds_rdms(path):
        rdm = load_rdm(path)
        labels = None if isinstance(rdm.index, pd.RangeIndex) else list(map(str, rdm.index))
        if not isinstance(rdm.columns, pd.MultiIndex):
            return [RDMFile(path, "", rdm.to_numpy(), labels)]
        keys = rdm.columns.droplevel(-1).unique()
        return [RDMFile(path, _joined(key), rdm[key].to_numpy(), labels) for key in keys]
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
    labels = list(map(str, order.labels or order.names))
    return pd.DataFrame(one.square[np.ix_(rows, rows)], index=labels, columns=labels)


def _joined(key: Any) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
