"""What a scorer compares with: target RDMs and patterns, read from y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from skdnn._labels import row_labels
from skdnn.rsa._comparison._rdm_stack import (
    MIN_CONDITIONS,
    RDMStack,
    check_square,
    check_unique,
    is_rdm_like,
    rdm_name,
    rdm_names,
    split_columns,
)
from skdnn.rsa._dissimilarity._compute_rdm import compute_rdm

Array = NDArray[np.float64]

# Keys of a scorer's results that are no RDM's.
RESERVED = ("", "score", "ceiling_lower", "ceiling_upper", "attainable", "n_pairs")


@dataclass(frozen=True)
class Targets:
    """The target RDMs of the rows of y."""

    kind: str
    rdms: RDMStack  # its names are None if there is one RDM
    n_columns: int = 0  # conditions in the columns of a labelled RDM

    @property
    def n_conditions(self) -> int:
        """Number of rows of y."""
        return self.rdms.n_conditions

    @property
    def names(self) -> list[str]:
        """Names of separate RDMs, levels joined."""
        return [] if self.rdms.names is None else [rdm_name(key) for key in self.rdms.names]

    def check_held_out(self) -> None:
        """Refuse a training fold that leaves one or two conditions to be tested."""
        left = self.n_columns - self.n_conditions
        if 1 <= left < MIN_CONDITIONS:
            raise ValueError(
                f"The columns of y hold {left} more condition(s) than its rows, "
                "so the held-out fold has fewer than three conditions. Use fewer folds; if y is "
                "a subset on purpose, pass y.loc[rows, rows]."
            )


def read_targets(y: Any, target: str, metric: str) -> Targets:
    """Read y as target RDMs, or say why that cannot be done."""
    if not isinstance(y, pd.DataFrame):
        return _bare_targets(y, target, metric)
    frames = separate(y)
    kind = _frame_kind(frames, target)
    if len(y) < MIN_CONDITIONS:
        raise ValueError(_too_few(len(y)))
    if kind == "patterns":
        if row_labels(y) is not None:
            check_unique(y.index, "row labels of y")
        rdms = [_pattern_rdm(frame, name, metric) for name, frame in frames.items()]
        return Targets(kind, _stacked(rdms, y))
    rdms = []
    for name, frame in frames.items():
        picked = frame.iloc[:, _columns_of_rows(frame, name)]
        rdms.append(check_square(picked.to_numpy(dtype=np.float64), named(name)))
    n_columns = min(frame.shape[1] for frame in frames.values())
    return Targets(kind, _stacked(rdms, y), n_columns)


def _stacked(squares: Sequence[Array], y: Any) -> RDMStack:
    """Square RDMs with the names that the columns of y give them."""
    several = isinstance(y, pd.DataFrame) and isinstance(y.columns, pd.MultiIndex)
    pairs = np.stack([squareform(square, checks=False) for square in squares])
    names = rdm_names(y) if several else None
    return RDMStack(pairs, len(squares[0]), names=names, single=not several)


def _bare_targets(y: Any, target: str, metric: str) -> Targets:
    values = np.asarray(y)
    if values.ndim == 1:
        raise ValueError(
            f"y is one-dimensional, of length {len(values)}, but RSA needs a pattern or a row of "
            "an RDM for each condition. For categories, pass y=skdnn.rsa.category_rdm(labels, "
            "names=...); for a single measurement, y=np.reshape(y, (-1, 1)) and a metric such "
            "as 'euclidean'."
        )
    if values.ndim != 2:
        raise ValueError(
            f"y has shape {values.shape}, but must be 2-D. For several subjects or ROIs put them "
            "side by side in a DataFrame whose columns are a MultiIndex (subject, voxel) or "
            "(subject, condition), e.g. pd.concat({'sub-01': first, 'sub-02': second}, axis=1)."
        )
    if len(values) < MIN_CONDITIONS:
        raise ValueError(_too_few(len(values)))
    if target == "rdm":
        if values.shape[0] != values.shape[1]:
            raise ValueError(
                f"y of shape {values.shape} is no square RDM. Inside cross-validation only rows "
                "are sliced, so the columns need labels: pass pd.DataFrame(rdm, index=names, "
                "columns=names)."
            )
        return Targets("rdm", _stacked([check_square(values, "y")], y))
    if target == "auto" and could_be_rdm(values):
        raise ValueError(_ambiguous("y is an array that looks like an RDM, or rows of one"))
    return Targets("patterns", _stacked([_pattern_rdm(values, "", metric)], y))


def separate(y: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One frame per separate RDM, its columns being the last column level."""
    if not isinstance(y.columns, pd.MultiIndex):
        return {"": y}
    frames: dict[str, pd.DataFrame] = {}
    for key, frame in split_columns(y):
        name = rdm_name(key)
        if name in frames or name in RESERVED:
            raise ValueError(f"The name {name!r} of an RDM in the columns of y cannot be used.")
        frames[name] = frame
    return frames


def _frame_kind(frames: Mapping[str, pd.DataFrame], target: str) -> str:
    """Whether the frames are RDMs or patterns: by `target`, else by their labels."""
    if target != "auto":
        return target
    kinds = {name: _kind_by_labels(frame, name) for name, frame in frames.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(_ambiguous(f"Some parts of y look like RDMs, others do not: {kinds}"))
    return next(iter(kinds.values()))


def _kind_by_labels(frame: pd.DataFrame, name: str) -> str:
    held = frame.index.isin(frame.columns)
    numbered = pd.api.types.is_integer_dtype(frame.index)
    if held.all() and not numbered:
        return "rdm"
    if held.any() and not numbered:
        missing = ", ".join(map(repr, frame.index[~held][:5]))
        raise ValueError(
            f"The columns of {named(name)} hold the labels of some of its rows but not of "
            f"{missing}: an RDM needs a column for each row."
        )
    values = _numeric(frame, name)
    if held.all():  # numbers, which may be names or pandas' default
        check_unique(frame.columns, f"column labels of {named(name)}")
        block = values[:, frame.columns.get_indexer(frame.index)]
        if is_rdm_like(block):
            if block.any():
                return "rdm"
            raise ValueError(_ambiguous(f"{named(name)} has integer labels and is zero"))
        return "patterns"
    if could_be_rdm(values):
        raise ValueError(
            _ambiguous(f"{named(name)} looks like an RDM, but its columns aren't its row labels")
        )
    return "patterns"


def could_be_rdm(values: NDArray[Any]) -> bool:
    """Whether rows could come from an RDM: one zero in each, symmetric where the zeros meet."""
    if values.dtype.kind not in "biuf":
        return False
    values = values.astype(np.float64)
    if is_rdm_like(values):
        return True
    zeros = values == 0
    if not (zeros.sum(axis=1) == 1).all():
        return False
    columns = zeros.argmax(axis=1)
    return len(np.unique(columns)) == len(values) and is_rdm_like(values[:, columns])


def _columns_of_rows(frame: pd.DataFrame, name: str) -> NDArray[np.intp]:
    """Positions of the columns that carry the labels of the rows."""
    check_unique(frame.index, f"row labels of {named(name)}")
    check_unique(frame.columns, f"column labels of {named(name)}")
    positions = frame.columns.get_indexer(frame.index)
    missing = frame.index[positions < 0]
    if len(missing):
        shown = ", ".join(map(repr, missing[:5]))
        raise ValueError(
            f"{named(name)} has no column for {shown}"
            f"{f' and {len(missing) - 5} more rows' if len(missing) > 5 else ''}: "
            "an RDM needs columns labelled like its rows. If y holds patterns, pass "
            "target='patterns'."
        )
    return positions


def _pattern_rdm(patterns: Any, name: str, metric: str) -> Array:
    try:
        return np.asarray(compute_rdm(patterns, metric))
    except ValueError as error:
        raise ValueError(f"{named(name)}, as patterns: {error}") from error


def _numeric(frame: pd.DataFrame, name: str) -> Array:
    try:
        return frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{named(name)} is not numeric: {error}") from error


def named(name: str) -> str:
    return f"y of {name!r}" if name else "y"


def _too_few(n: int) -> str:
    return (
        f"y has {n} rows: fewer than three conditions cannot be compared. RSA needs three or "
        "more in each fold: use fewer folds."
    )


def _ambiguous(finding: str) -> str:
    return (
        f"{finding}: say what it is. Pass target='patterns' if its columns are features, or "
        "label an RDM: pd.DataFrame(rdm, index=names, columns=names). target='rdm' takes a bare "
        "square array outside cross-validation, where no rows are sliced."
    )
