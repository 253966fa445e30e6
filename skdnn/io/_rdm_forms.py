"""RDMs in every form that files have, and errors that name the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from skdnn.rsa._comparison._rdm_stack import (
    MIN_CONDITIONS,
    check_unique,
    labelled_values,
    n_conditions_of,
    rdm_name,
    split_columns,
)

LEVELS = ("subject", "condition")


@dataclass
class RDMs:
    """One RDM, or several under names."""

    squares: list[np.ndarray]
    labels: list[Any] | None  # of the conditions
    names: list[tuple[Any, ...]] | None  # one per RDM; None if there is just one
    levels: list[Any]  # what names and labels are called

    def by_name(self) -> dict[str, np.ndarray]:
        """Under one text each."""
        joined = [rdm_name(name) for name in self.names or ()]
        if len(set(joined)) < len(joined) or "" in joined:
            raise ValueError(f"The RDMs need names of their own, got {joined[:5]}.")
        return dict(zip(joined, self.squares, strict=True)) if joined else {}

    def only(self, key: str | None, place: Path) -> RDMs:
        """The one that was asked for, or all."""
        found = {} if key is None else self.by_name()
        if key is None:
            return self
        if key not in found:
            held = ", ".join(map(repr, found)) or "one RDM without a name"
            raise ValueError(f"{place} holds no key={key!r}, but {held}.")
        return RDMs([found[key]], self.labels, None, self.levels[-1:])


def of_array(array: Any, labels: list[Any] | None, what: object) -> RDMs:
    """One RDM, or a stack whose members are counted."""
    found = as_squares(array)
    if found is None:
        shape = tuple(array.shape)
        reason = "a square matrix is needed, or its n(n-1)/2 values above the diagonal"
        if len(shape) > 3:
            reason = f"it has {len(shape)} axes, and a stack of RDMs has three: choose a part"
        raise ValueError(
            f"{what} holds no RDM of three or more conditions, but an array of shape {shape}: "
            f"{reason}."
        )
    squares, single = found
    width = len(str(len(squares)))
    names = [(f"rdm-{number:0{width}}",) for number in range(1, len(squares) + 1)]
    return RDMs(squares, labels, None if single else names, [None] if single else list(LEVELS))


def of_frame(frame: pd.DataFrame, what: object) -> RDMs:
    """Labelled in rows and columns; several side by side under a MultiIndex."""
    labels = None if isinstance(frame.index, pd.RangeIndex) else frame.index.tolist()
    if not isinstance(frame.columns, pd.MultiIndex):
        return RDMs([labelled_values(frame, str(what))], labels, None, [frame.index.name])
    parts = split_columns(frame)
    squares = [labelled_values(part, f"{what}, {rdm_name(key)}") for key, part in parts]
    names = [key if isinstance(key, tuple) else (key,) for key, _ in parts]
    return RDMs(squares, labels, names, list(frame.columns.names))


def as_squares(array: Any) -> tuple[list[np.ndarray], bool] | None:
    """An array as square matrices, and whether it is one RDM; None if its shape fits no RDM."""
    values = np.asarray(array)
    if values.dtype.kind not in "biuf" or not is_rdm_shape(values.shape):
        return None
    values = values.astype(np.float64)
    if values.ndim == 3:  # a stack along its first axis or, as MATLAB has it, along its last
        first = values.shape[1] == values.shape[2]
        if first and values.shape[0] == values.shape[1]:  # whichever is symmetric
            first = np.allclose(values, values.swapaxes(1, 2), equal_nan=True)
        return list(values if first else np.moveaxis(values, -1, 0)), False
    if values.ndim == 2 and values.shape[0] == values.shape[1]:
        return [values], True
    values = values.ravel() if 1 in values.shape else values
    return [squareform(x, checks=False) for x in np.atleast_2d(values)], values.ndim == 1


def is_rdm_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape could be an RDM, or a stack of them."""
    if 0 in shape or not 1 <= len(shape) <= 3:
        return False
    if len(shape) == 3:
        return shape[1] >= MIN_CONDITIONS and shape[1] in (shape[0], shape[2])
    square = len(shape) == 2 and shape[0] == shape[1] >= MIN_CONDITIONS
    return square or n_conditions(max(shape) if 1 in shape else shape[-1]) > 0


def n_conditions(n_pairs: int) -> int:
    """How many conditions, three or more, have that many pairs; 0 if none have."""
    n = n_conditions_of(n_pairs) or 0
    return n if n >= MIN_CONDITIONS else 0


def check_labels(labels: Sequence[Any], n: int) -> list[Any]:
    """Labels as a list, one per condition, each its own."""
    found = list(labels)
    if len(found) != n:
        raise ValueError(f"labels has {len(found)} entries, but the RDM has {n} conditions.")
    check_unique(pd.Index(found), "labels")
    return found


def together(parts: Mapping[str, RDMs], levels: Sequence[Any], what: object) -> RDMs:
    """RDMs of the same conditions, one of each, in the order of the first."""
    first = next(iter(parts.values()))
    squares = []
    for name, part in parts.items():
        square = part.squares[0]
        labels, order = part.labels or [], first.labels or []
        several = part.names is not None or square.shape != first.squares[0].shape
        if several or len(labels) != len(order) or set(labels) != set(order):
            held = "holds several RDMs" if part.names else "has other conditions than the first"
            raise ValueError(f"{what}: {name!r} {held}: save it by itself, or load it with key=.")
        rows = [labels.index(label) for label in order] or slice(None)
        squares.append(square[rows][:, rows])
    return RDMs(squares, first.labels, [(name,) for name in parts], list(levels))
