"""RDMs in every form that files have, and errors that name the place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform

from skdnn.rsa._comparison._rdm_stack import labelled_values, rdm_name, split_columns

# Two triangles may differ by what a float32 or a text file loses, relative to the largest value.
_SYMMETRY = 1e-6
_MIN_CONDITIONS = 3
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
        return shape[1] >= _MIN_CONDITIONS and shape[1] in (shape[0], shape[2])
    square = len(shape) == 2 and shape[0] == shape[1] >= _MIN_CONDITIONS
    return square or n_conditions(max(shape) if 1 in shape else shape[-1]) > 0


def n_conditions(n_pairs: int) -> int:
    """How many conditions, three or more, have that many pairs; 0 if none have."""
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    return n if n >= _MIN_CONDITIONS and n * (n - 1) // 2 == n_pairs else 0


def check_rdm(square: np.ndarray, what: object, labels: Sequence[Any] | None) -> np.ndarray:
    """The same, symmetric to the bit and zero on its diagonal; `what` is its name in errors."""

    def name(position: Any) -> str:
        return f"{position + 1}" if labels is None else repr(labels[position])

    if np.isinf(square).any():
        i, j = np.argwhere(np.isinf(square))[0]
        raise ValueError(f"{what}: infinity at row {name(i)}, column {name(j)}.")
    diagonal = np.diag(square)
    largest = float(np.nanmax(np.abs(square), initial=0.0))
    wrong = np.flatnonzero(np.abs(diagonal) > _SYMMETRY * largest)
    if wrong.size and np.allclose(diagonal, 1, atol=1e-6):
        raise ValueError(
            f"{what}: its diagonal is 1, so it holds similarities: save 1 - similarity, which is "
            "a dissimilarity."
        )
    if wrong.size:
        raise ValueError(
            f"{what}: the diagonal is {diagonal[wrong[0]]:g} at {name(wrong[0])}, not zero, so it "
            "is no RDM."
        )
    differ = ~np.isclose(square, square.T, rtol=0, atol=_SYMMETRY * largest, equal_nan=True)
    if differ.any():
        i, j = np.argwhere(differ)[0]
        lower, upper = (np.nan_to_num(part(square)).any() for part in (np.tril, np.triu))
        half = "" if lower and upper else " One triangle is empty: give the whole matrix."
        raise ValueError(
            f"{what}: not symmetric: row {name(i)}, column {name(j)} is {square[i, j]:g}, but row "
            f"{name(j)}, column {name(i)} is {square[j, i]:g}.{half}"
        )
    made = square.copy() if np.array_equal(square, square.T) else (square + square.T) / 2
    np.fill_diagonal(made, 0.0)
    return made


def check_labels(labels: Sequence[Any], n: int) -> list[Any]:
    """Labels as a list, one per condition, each its own."""
    found = list(labels)
    if len(found) != n:
        raise ValueError(f"labels has {len(found)} entries, but the RDM has {n} conditions.")
    if len(set(found)) < len(found):
        twice = sorted({str(label) for label in found if found.count(label) > 1})
        raise ValueError(f"labels repeat: {', '.join(twice[:5])}. Each needs a condition.")
    return found
