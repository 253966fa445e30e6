"""What makes a matrix an RDM, and errors that name the place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import squareform

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

    @classmethod
    def counted(cls, squares: list[np.ndarray], labels: Any, *, single: bool) -> RDMs:
        """One RDM, or several that have numbers for names."""
        if single:
            return cls(squares, labels, None, [None])
        width = len(str(len(squares)))
        names = [(f"rdm-{number:0{width}}",) for number in range(1, len(squares) + 1)]
        return cls(squares, labels, names, list(LEVELS))

    def by_name(self) -> dict[str, np.ndarray]:
        """Under one text each."""
        if self.names is None:
            return {}
        joined = ["/".join(map(str, name)) for name in self.names]
        if len(set(joined)) < len(joined) or "" in joined:
            raise ValueError(f"The RDMs need names of their own, got {joined[:5]}.")
        return dict(zip(joined, self.squares, strict=True))

    def only(self, key: str | None, place: Path) -> RDMs:
        """The one that was asked for, or all."""
        if key is None:
            return self
        found = self.by_name()
        if key not in found:
            raise ValueError(f"{place} holds no key={key!r}, but {', '.join(map(repr, found))}.")
        return RDMs([found[key]], self.labels, None, self.levels[-1:])


def as_squares(array: Any) -> tuple[list[np.ndarray], bool] | None:
    """An array as square matrices, and whether it is one RDM; None if its shape fits no RDM."""
    values = np.asarray(array)
    if values.dtype.kind not in "biuf" or not is_rdm_shape(values.shape):
        return None
    values = values.astype(np.float64)
    if values.ndim == 3:
        return _slices(values)
    if values.ndim == 2 and values.shape[0] == values.shape[1]:
        return [values], True
    values = values.ravel() if 1 in values.shape else values
    squares = [squareform(pairs, checks=False) for pairs in np.atleast_2d(values)]
    return squares, values.ndim == 1


def check_rdm(square: np.ndarray, what: str, labels: Sequence[Any] | None) -> np.ndarray:
    """The same, symmetric to the bit and zero on its diagonal; `what` is its name in errors."""
    name = _names(labels)
    if np.isinf(square).any():
        i, j = np.argwhere(np.isinf(square))[0]
        raise ValueError(f"{what}: infinity at row {name(i)}, column {name(j)}.")
    diagonal = np.diag(square)
    largest = float(np.nanmax(np.abs(square), initial=0.0))
    wrong = np.flatnonzero(np.abs(diagonal) > _SYMMETRY * largest)
    if wrong.size:
        raise ValueError(f"{what}: {_diagonal(diagonal, int(wrong[0]), name)}")
    differ = ~np.isclose(square, square.T, rtol=0, atol=_SYMMETRY * largest, equal_nan=True)
    if differ.any():
        i, j = np.argwhere(differ)[0]
        raise ValueError(
            f"{what}: not symmetric: row {name(i)}, column {name(j)} is {square[i, j]:g}, but row "
            f"{name(j)}, column {name(i)} is {square[j, i]:g}.{_half(square)}"
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


def is_rdm_shape(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape could be an RDM, or a stack of them."""
    if len(shape) == 3:
        return shape[1] == shape[2] >= _MIN_CONDITIONS or shape[0] == shape[1] >= _MIN_CONDITIONS
    square = len(shape) == 2 and shape[0] == shape[1] >= _MIN_CONDITIONS
    pairs = max(shape) if len(shape) == 2 and 1 in shape else shape[-1] if shape else 0
    return square or (len(shape) in (1, 2) and 0 not in shape and n_conditions(pairs) > 0)


def n_conditions(n_pairs: int) -> int:
    """How many conditions, three or more, have that many pairs; 0 if none have."""
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    return n if n >= _MIN_CONDITIONS and n * (n - 1) // 2 == n_pairs else 0


def _slices(values: np.ndarray) -> tuple[list[np.ndarray], bool] | None:
    """A stack along its first axis, or, as MATLAB has it, along its last."""
    first = values.shape[1] == values.shape[2]
    last = values.shape[0] == values.shape[1]
    if first and last:  # as many RDMs as conditions: whichever is symmetric
        first = np.allclose(values, values.swapaxes(1, 2), equal_nan=True)
    stack = values if first else np.moveaxis(values, -1, 0) if last else None
    if stack is None or not len(stack) or stack.shape[1] < _MIN_CONDITIONS:
        return None
    return list(stack), False


def _names(labels: Sequence[Any] | None) -> Any:
    if labels is None:
        return lambda position: f"{position + 1}"
    return lambda position: repr(labels[position])


def _diagonal(diagonal: np.ndarray, place: int, name: Any) -> str:
    if np.allclose(diagonal, 1, atol=1e-6):
        return (
            "its diagonal is 1, so it holds similarities: save 1 - similarity, which is a "
            "dissimilarity."
        )
    return f"the diagonal is {diagonal[place]:g} at {name(place)}, not zero, so it is no RDM."


def _half(square: np.ndarray) -> str:
    """A hint where one triangle only is filled."""
    lower, upper = (np.nan_to_num(part(square)) for part in (np.tril, np.triu))
    if lower.any() and upper.any():
        return ""
    return " One triangle is empty: give the whole matrix."
