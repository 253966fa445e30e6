"""RDMs in every form that users hold them, as one stack of condensed RDMs."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from skdnn._array_blocks import refuse_sparse
from skdnn._wording import listed

Array = NDArray[np.float64]

MIN_CONDITIONS = 3
# Two triangles may differ by what a float32 or a text file loses, relative to the largest value.
_SYMMETRY = 1e-6


@dataclass(frozen=True)
class RDMStack:
    """One or several RDMs of the same conditions."""

    pairs: Array  # (n_rdms, n_pairs), in the order of scipy's squareform
    n_conditions: int
    conditions: pd.Index | None = None  # labels of the conditions
    names: pd.Index | None = None  # of the RDMs
    single: bool = False  # whether it was one RDM rather than a stack of one

    def __len__(self) -> int:
        return len(self.pairs)

    def square(self) -> Array:
        """The RDMs as an array (n_rdms, n_conditions, n_conditions)."""
        return np.stack([squareform(pairs, checks=False) for pairs in self.pairs])

    def subset(self, conditions: ArrayLike) -> RDMStack:
        """The RDMs among the conditions at these positions."""
        positions = np.asarray(conditions, dtype=np.intp)
        labels = None if self.conditions is None else self.conditions[positions]
        return replace(
            self,
            pairs=self.pairs[:, pair_positions(positions, self.n_conditions)],
            n_conditions=len(positions),
            conditions=labels,
        )

    def like(self, other: RDMStack, own: str, others: str) -> RDMStack:
        """This stack with its conditions in the order of `other`; the names are for errors."""
        unlabelled = is_unlabelled(self.conditions) or is_unlabelled(other.conditions)
        if unlabelled and self.n_conditions != other.n_conditions:
            raise ValueError(
                f"{others} has {other.n_conditions} conditions and {own} has "
                f"{self.n_conditions}: RDMs of the same conditions are needed."
            )
        if unlabelled:
            _tell_half_labelled(self.conditions, other.conditions, own, others)
            return self
        if self.conditions is None or self.conditions.equals(other.conditions):
            return self
        assert other.conditions is not None  # as labelled as this one
        order = alignment(other.conditions, self.conditions, others, own)
        return self.subset(order)

    def labels(self, what: str) -> list[str]:
        """What to call each RDM in a message."""
        if self.single:
            return [what]
        if self.names is None:
            return [f"{what}[{k}]" for k in range(len(self))]
        return [f"{what} of {rdm_name(name)!r}" for name in self.names]


def rdm_name(key: Any) -> str:
    """Name of an RDM; the levels of a MultiIndex joined."""
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def without_level(index: Any, level: int) -> pd.Index:
    """A MultiIndex without one of its levels."""
    return index.droplevel(level)


def n_conditions_of(n_pairs: int) -> int | None:
    """Number of conditions of that many pairs; None if there is none."""
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    return n if n * (n - 1) // 2 == n_pairs else None


def pair_positions(positions: NDArray[np.intp], n_conditions: int) -> NDArray[np.intp]:
    """Where the pairs among the conditions at `positions` stand in the condensed form."""
    first, second = np.triu_indices(len(positions), k=1)
    a, b = positions[first], positions[second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    return low * (2 * n_conditions - low - 1) // 2 + high - low - 1


def is_unlabelled(conditions: pd.Index | None) -> bool:
    """Whether nothing says what the conditions are: pandas's count from 0 on names none."""
    if isinstance(conditions, pd.RangeIndex):
        return conditions.start == 0 and conditions.step == 1
    return conditions is None


def _tell_half_labelled(
    own: pd.Index | None, other: pd.Index | None, name: str, others: str
) -> None:
    """Warn where only one side says what its conditions are.

    Raises
    ------
    ValueError
        If the other has rows that pandas has counted, which no name may be matched with.
    """
    sides = [(own, name), (other, others)]
    (labels, with_labels), (count, without) = sorted(sides, key=lambda one: is_unlabelled(one[0]))
    if labels is None or is_unlabelled(labels):
        return
    if count is not None:
        if labels.tolist() == count.tolist():
            return
        raise ValueError(
            f"The conditions of {with_labels} are labelled, {listed(labels, 2)}, and the rows of "
            f"{without} only counted, 0, 1, ...: give both the same labels (by conditions= where "
            f"the function takes it), or {without} as an array if the order is known to be the "
            "same."
        )
    warnings.warn(
        f"{with_labels} is labelled and {without} is not: its conditions are taken to be in the "
        "same order. Give labels to both, by conditions= where the function takes it.",
        UserWarning,
        stacklevel=outside(),
    )


def outside() -> int:
    """The level of the caller who called into this package, for a warning."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("skdnn."):
        frame, level = frame.f_back, level + 1
    return level


def read_rdms(rdms: Any, what: str, conditions: ArrayLike | None = None) -> RDMStack:
    """Read one RDM or several; `what` is their name in errors.

    `conditions` are the labels of those that have none.

    One RDM is a square array, its condensed form, or a labelled DataFrame. Several are a stack
    (k, n, n) or (k, n_pairs), a DataFrame whose columns are a MultiIndex that ends in the
    condition, or a dict or list of RDMs.
    """
    if conditions is not None:
        return _labelled(rdms, what, conditions)
    if isinstance(rdms, RDMStack):
        return rdms
    if isinstance(rdms, pd.DataFrame):
        if isinstance(rdms.columns, pd.MultiIndex):
            return _read_frame(rdms, what)
        pairs = _condensed(labelled_values(rdms, what), what)
        return RDMStack(pairs[None], len(rdms), rdms.index, single=True)
    if isinstance(rdms, Mapping):
        names = pd.Index(list(rdms))
        if names.nlevels == 1:
            names = names.rename("rdm")
        return replace(
            _read_several([(rdms[key], f"{what}[{key!r}]") for key in rdms], what), names=names
        )
    if isinstance(rdms, (list, tuple)) and _is_list_of_rdms(rdms):
        return _read_several([(item, f"{what}[{k}]") for k, item in enumerate(rdms)], what)
    return _read_array(rdms, what)


def _labelled(rdms: Any, what: str, conditions: ArrayLike) -> RDMStack:
    """RDMs of which those without labels get these."""
    labels = pd.Index(np.asarray(conditions))
    check_unique(labels, "labels in conditions=")
    if isinstance(rdms, Mapping):
        rdms = {
            key: _with_labels(read_rdms(rdm, f"{what}[{key!r}]"), labels)
            for key, rdm in rdms.items()
        }
    elif isinstance(rdms, (list, tuple)) and _is_list_of_rdms(rdms):
        rdms = [_with_labels(read_rdms(rdm, f"{what}[{k}]"), labels) for k, rdm in enumerate(rdms)]
    stack = read_rdms(rdms, what)
    return _with_labels(stack, labels)


def _with_labels(stack: RDMStack, labels: pd.Index) -> RDMStack:
    if not is_unlabelled(stack.conditions):
        return stack
    if len(labels) != stack.n_conditions:
        raise ValueError(
            f"conditions= has {len(labels)} labels for RDMs of {stack.n_conditions} conditions."
        )
    return replace(stack, conditions=labels)


def _is_list_of_rdms(rdms: Sequence[Any]) -> bool:
    return any(
        isinstance(item, RDMStack)
        or (isinstance(item, (pd.DataFrame, np.ndarray)) and item.ndim > 1)
        for item in rdms
    )


def _read_array(rdms: Any, what: str) -> RDMStack:
    refuse_sparse(rdms, what)
    values = np.asarray(rdms)
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} is not numeric: {error}") from error
    values = values.astype(np.float64, copy=False)
    if values.ndim == 3:
        if len(values) == 0:
            raise ValueError(f"{what} holds no RDM.")
        pairs = [_condensed(square, f"{what}[{k}]") for k, square in enumerate(values)]
        return RDMStack(np.stack(pairs), values.shape[1])
    if values.ndim == 2 and values.shape[0] == values.shape[1]:
        return RDMStack(_condensed(values, what)[None], len(values), single=True)
    if values.ndim not in (1, 2):
        raise ValueError(
            f"{what} has shape {values.shape}: give one RDM, square or condensed, or a stack of "
            "shape (n_rdms, n_conditions, n_conditions) or (n_rdms, n_pairs)."
        )
    n = n_conditions_of(values.shape[-1])
    if n is None:
        if values.ndim == 2:
            raise ValueError(f"{what} must be a square RDM, got shape {values.shape}.")
        raise ValueError(
            f"{what} has length {len(values)}, which is no number of pairs n(n-1)/2: give the "
            "square RDM, or all pairs above its diagonal."
        )
    _check_size(n, what)
    if len(values) == 0:
        raise ValueError(f"{what} holds no RDM.")
    if np.isinf(values).any():
        raise ValueError(f"{what} contains infinity.")
    return RDMStack(np.atleast_2d(values), n, single=values.ndim == 1)


def _read_frame(frame: pd.DataFrame, what: str) -> RDMStack:
    """Labelled RDMs side by side; the last column level is the condition."""
    parts = split_columns(frame)
    pairs = []
    for key, part in parts:
        name = f"{what}[{rdm_name(key)!r}]"
        pairs.append(_condensed(labelled_values(part, name), name))
    return RDMStack(np.stack(pairs), len(frame), frame.index, rdm_names(frame))


def rdm_names(frame: pd.DataFrame) -> pd.Index:
    """Names of the separate RDMs in a frame whose columns are a MultiIndex."""
    return without_level(frame.columns, -1).unique()


def split_columns(frame: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    """Separate frames by all column levels but the last, which labels their columns."""
    codes, keys = pd.factorize(without_level(frame.columns, -1))
    labels = frame.columns.get_level_values(-1)
    values = frame.to_numpy()
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(keys) + 1))
    parts = []
    for k, key in enumerate(keys):
        columns = order[bounds[k] : bounds[k + 1]]
        part = pd.DataFrame(values[:, columns], index=frame.index, columns=labels[columns])
        parts.append((key, part))
    return parts


def _read_several(items: Sequence[tuple[Any, str]], what: str) -> RDMStack:
    if not items:
        raise ValueError(f"{what} holds no RDM.")
    stacks = []
    for rdm, name in items:
        stack = read_rdms(rdm, name)
        if not stack.single:
            raise ValueError(f"{name} holds {len(stack)} RDMs: each entry must be one RDM.")
        stacks.append(stack)
    first = next((stack for stack in stacks if not is_unlabelled(stack.conditions)), stacks[0])
    first_name = items[next(k for k, stack in enumerate(stacks) if stack is first)][1]
    aligned = [
        stack.like(first, name, first_name).pairs
        for stack, (_, name) in zip(stacks, items, strict=True)
    ]
    return RDMStack(np.concatenate(aligned), first.n_conditions, first.conditions)


def _condensed(square: Array, what: str, labels: Sequence[Any] | None = None) -> Array:
    """The pairs of one square RDM, after its checks; round-off between triangles is averaged."""
    if square.ndim != 2 or square.shape[0] != square.shape[1]:
        raise ValueError(f"{what} must be a square RDM, got shape {square.shape}.")
    _check_size(len(square), what)
    upper = squareform(square, checks=False)
    lower = squareform(np.ascontiguousarray(square.T), checks=False)
    largest = max(np.nanmax(np.abs(upper), initial=0.0), np.nanmax(np.abs(lower), initial=0.0))
    same = np.array_equal(upper, lower)
    atol = _SYMMETRY * largest
    symmetric = same or np.allclose(upper, lower, rtol=0, atol=atol, equal_nan=True)
    on_diagonal = np.nanmax(np.abs(np.diag(square)), initial=0.0)
    if np.isinf(largest) or not symmetric or on_diagonal > atol:
        raise ValueError(f"{what}: {_fault(square, atol, labels)}.")
    return upper if same else (upper + lower) / 2


def _fault(square: Array, atol: float, labels: Sequence[Any] | None) -> str:
    """What keeps a square matrix from being an RDM, and where."""

    def name(position: Any) -> str:
        return f"{position + 1}" if labels is None else repr(labels[position])

    for i, j in np.argwhere(np.isinf(square))[:1]:
        return f"infinity at row {name(i)}, column {name(j)}"
    for i, j in np.argwhere(~np.isclose(square, square.T, rtol=0, atol=atol, equal_nan=True))[:1]:
        lower, upper = (np.nan_to_num(part(square)).any() for part in (np.tril, np.triu))
        half = "" if lower and upper else ". One triangle is empty: give the whole matrix"
        return (
            f"not symmetric: row {name(i)}, column {name(j)} is {square[i, j]:g}, but row "
            f"{name(j)}, column {name(i)} is {square[j, i]:g}{half}"
        )
    diagonal = np.diag(square)
    if np.allclose(diagonal, 1, atol=1e-6):
        return "its diagonal is 1, so it holds similarities: give 1 - similarity"
    i = np.argmax(np.abs(diagonal) > atol)
    return f"the diagonal is {diagonal[i]:g} at {name(i)}, not zero, so it is no RDM"


def _check_size(n: int, what: str) -> None:
    if n < MIN_CONDITIONS:
        raise ValueError(
            f"{what} has {n} conditions: fewer than three conditions cannot be compared."
        )


def check_square(values: ArrayLike, what: str, labels: Sequence[Any] | None = None) -> Array:
    """`values` as a symmetric float64 RDM of three conditions or more; `what` is its name."""
    return squareform(_condensed(np.asarray(values, np.float64), what, labels), checks=False)


def is_rdm_like(values: Array) -> bool:
    """Whether an array is square, symmetric and zero on the diagonal."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    largest = np.nanmax(np.abs(values), initial=0.0)
    return bool(
        np.nanmax(np.abs(np.diag(values)), initial=0.0) <= _SYMMETRY * largest
        and np.allclose(values, values.T, rtol=0, atol=_SYMMETRY * largest, equal_nan=True)
    )


def labelled_values(rdm: pd.DataFrame, name: str) -> Array:
    """Values of a labelled square RDM, its columns in the order of its index."""
    if rdm.shape[0] != rdm.shape[1]:
        raise ValueError(f"{name} must be a square RDM, got shape {rdm.shape}.")
    for labels, axis in ((rdm.index, "row"), (rdm.columns, "column")):
        check_unique(labels, f"{axis} labels of {name}")
    missing = rdm.index.difference(rdm.columns, sort=False)
    if len(missing):
        surplus = rdm.columns.difference(rdm.index, sort=False)
        raise ValueError(
            f"The rows and columns of {name} are labelled differently: {_some(missing)} only in "
            f"the rows, {_some(surplus)} only in the columns."
        )
    order = rdm.columns.get_indexer(rdm.index)
    return rdm.to_numpy(dtype=np.float64)[:, order]


def check_unique(labels: pd.Index, what: str) -> None:
    """Raise ValueError naming labels that repeat."""
    if not labels.is_unique:
        raise ValueError(
            f"The {what} repeat: {_some(labels[labels.duplicated()].unique())}. Each condition "
            "needs a label of its own."
        )


def alignment(
    labels_a: pd.Index, labels_b: pd.Index, a: str = "a", b: str = "b"
) -> NDArray[np.intp]:
    """Positions in `labels_b` of `labels_a`; `a` and `b` are their names in errors."""
    only_a = labels_a.difference(labels_b, sort=False)
    only_b = labels_b.difference(labels_a, sort=False)
    if len(only_a) or len(only_b):
        raise ValueError(
            f"{a} and {b} are labelled differently: {_some(only_a)} only in {a}, {_some(only_b)} "
            f"only in {b}. Select the conditions that both have, or drop the labels of one if "
            "the order is known to be the same."
        )
    return labels_b.get_indexer(labels_a)


def _some(labels: pd.Index) -> str:
    """The first labels, for a message."""
    return listed(labels) or "none"
