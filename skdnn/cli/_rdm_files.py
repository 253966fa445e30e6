"""RDMs in files, or made of features in files, with their conditions in one order by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn.cli._arguments import Arguments
from skdnn.cli._input_files import parts_of, reading
from skdnn.cli._row_order import matched

Key = tuple[object, ...]


def check_measures(arguments: Arguments, *, comparison: str | None = None) -> None:
    """Refuse unknown names of metric and comparison before the work."""
    from skdnn.rsa import compare_rdms, compute_rdm

    tiny = np.random.default_rng(0).random((4, 5))
    compute_rdm(tiny, arguments.metric)
    if comparison is not None:
        compare_rdms(compute_rdm(tiny), compute_rdm(tiny[:, :3]), comparison)


def _load(path: str) -> tuple[list[str] | None, dict[Key, np.ndarray], list[Any]]:
    """Names of the conditions, RDMs by what tells them apart (nothing, of one), and its levels."""
    from skdnn.io import load_rdm

    rdm = load_rdm(path)
    names = None if isinstance(rdm.index, pd.RangeIndex) else list(map(str, rdm.index))
    if not isinstance(rdm.columns, pd.MultiIndex):
        return names, {(): rdm.to_numpy()}, []
    keys = rdm.columns.droplevel(-1).unique()
    squares = {key if isinstance(key, tuple) else (key,): rdm[key].to_numpy() for key in keys}
    return names, squares, list(rdm.columns.names)


def _side_by_side(frames: dict[Key, pd.DataFrame], levels: Sequence[str]) -> pd.DataFrame:
    """RDMs under the levels that tell them apart; without levels, the only one as it is."""
    if not levels:
        return next(iter(frames.values()))
    return pd.concat(frames, axis=1).rename_axis(columns=levels)


# --- files to be compared, of RDMs or features ---------------------------------------------------


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

    def bring(self, one: RDMFile) -> pd.DataFrame:
        """An RDM in this order."""
        n_rows = len(one.square)
        try:
            rows = matched(
                *(one.labels, n_rows, self.names, one.path),
                assume_order=self.assumed,
                order=self.of,
            )
        except ValueError as error:
            if one.labels is None or one.path == self.of:
                raise
            raise ValueError(f"{error} The names looked for are those of {self.of}.") from error
        labels = list(map(str, self.labels or self.names))
        return pd.DataFrame(one.square[np.ix_(rows, rows)], index=labels, columns=labels)


def read_rdm(path: str, rows: Sequence[str], option: str, *, assume_order: bool) -> pd.DataFrame:
    """One RDM or several, in the order of the rows and labelled like them."""
    with reading(path):
        names, squares, levels = _load(path)
    order, what = Order(rows, "the images", assume_order), f"{option} {path}"
    parts = {key: RDMFile(what, "", square, names) for key, square in squares.items()}
    return _side_by_side({key: order.bring(part) for key, part in parts.items()}, levels)


def read_file(path: str, metric: str) -> list[RDMFile]:
    """All RDMs of a file, or those of the layers of a file of features."""
    from skdnn.io import holds_rdms, open_features
    from skdnn.rsa import compute_rdm

    if not Path(path).exists() and not parts_of(Path(path)):
        raise FileNotFoundError(f"there is no file {path}.")
    with reading(path):
        if holds_rdms(path):
            labels, squares, _ = _load(path)
            named = {"/".join(map(str, key)): square for key, square in squares.items()}
        else:
            features = open_features(path)
            labels, single = features.names, len(features.layers) == 1
            named = {
                "" if single else name: compute_rdm(array, metric)
                for name, array in features.layers.items()
            }
    return [RDMFile(path, name, square, labels) for name, square in named.items()]


def in_common_order(
    found: Sequence[RDMFile], references: Sequence[str], metric: str, *, assume_order: bool
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Models and references with the conditions of the first file that names them."""
    others = (one for path in references for one in read_file(path, metric))
    named = (one for one in itertools.chain(found, others) if one.labels is not None)
    first = next(named, found[0])
    names = first.labels or [f"row {row + 1}" for row in range(len(first.square))]
    order = Order(names, first.path, assume_order)
    starts = short_names([one.path for one in found])
    models = {}
    for one in found:
        start = starts[one.path]
        name = f"{start}/{one.name}" if one.name else start
        if name in models:
            raise ValueError(f"{one.path} is given twice.")
        models[name] = order.bring(one)
    return models, read_references(references, order, metric)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """By path the stem of a file, or where files share one the path itself."""
    stems = {path: Path(path).stem for path in paths}
    return stems if len(set(stems.values())) == len(stems) else {path: path for path in paths}


def read_references(
    references: Sequence[str], order: Order, metric: str
) -> dict[str, pd.DataFrame]:
    """RDMs of references by name of their file; several subjects side by side."""
    made: dict[str, pd.DataFrame] = {}
    for path in references:
        parts = read_file(path, metric)
        _refuse_frames(path, parts, len(order.names))
        name = Path(path).stem if Path(path).stem not in made else path
        if name in made:
            raise ValueError(f"--reference {path} is given twice.")
        frames: dict[Key, pd.DataFrame] = {(part.name,): order.bring(part) for part in parts}
        made[name] = _side_by_side(frames, ["subject", "condition"] if len(frames) > 1 else [])
    return made


def _refuse_frames(path: str, parts: Sequence[RDMFile], n_conditions: int) -> None:
    """Say what to add, if an array of another size looks like RDMs over time."""
    if Path(path).suffix.lower() != ".npy" or len(parts[0].square) == n_conditions:
        return
    shape = np.load(path, mmap_mode="r").shape
    n_pairs = n_conditions * (n_conditions - 1) // 2
    if len(shape) > 1 and (shape[-1] == n_pairs or shape[-2:] == (n_conditions, n_conditions)):
        raise ValueError(
            f"--reference {path} has shape {shape}, as RDMs over time have: give --times FILE "
            "(the seconds of each, one on each line) or --conditions FILE (the names of the "
            f"{n_conditions} conditions)."
        )
