"""Patterns as they come: arrays or files, one row for each condition or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from skdnn._array_blocks import Array, is_lazy, refuse_sparse
from skdnn._wording import listed

_BLOCK_ELEMENTS = 2**22  # 32 MB of float64


@dataclass(frozen=True)
class Patterns:
    """Rows as they were measured, and the conditions that they belong to."""

    rows: Any  # array or lazy array
    row_labels: pd.Index | None
    codes: NDArray[np.intp] | None  # of the condition of each row; None: each is one
    labels: pd.Index | None  # of the conditions

    @property
    def by_condition(self) -> Any:
        """One row for each condition, still unread where the rows are."""
        return self.rows if self.codes is None else ConditionMeans(self.rows, self.codes)

    def check_finite(self) -> None:
        """Raise ValueError naming the rows that hold NaN or infinity."""
        check_finite(self.rows, self.row_labels)


class ConditionMeans:
    """Means of the rows of each condition, computed for the part that is asked for."""

    dtype = np.dtype(np.float64)

    def __init__(self, rows: Any, codes: NDArray[np.intp]) -> None:
        self.rows = rows
        self.average = averaging(codes, np.ones(len(codes), dtype=bool), int(codes.max()) + 1)
        self.shape = (self.average.shape[0], rows.shape[1])

    def __getitem__(self, key: Any) -> Array:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if columns != slice(None):
            return self._columns(*columns.indices(self.shape[1])[:2])[rows]
        average = self.average[rows]
        used, inverse = np.unique(average.indices, return_inverse=True)
        means = csr_array((average.data, inverse, average.indptr), (average.shape[0], len(used)))
        out = np.zeros((average.shape[0], self.shape[1]))
        for first in range(0, len(used), 256):
            part = slice(first, first + 256)
            taken = _take(self.rows, used[part])
            out += means[:, part] @ taken.astype(np.float64)
        return out

    def _columns(self, start: int, stop: int) -> Array:
        """In parts: there may be many more rows than conditions."""
        out = np.empty((self.shape[0], stop - start))
        step = max(1, 2 * _BLOCK_ELEMENTS // self.rows.shape[0])
        for first in range(start, stop, step):
            last = min(first + step, stop)
            part = np.asarray(self.rows[:, first:last]).astype(np.float64)
            out[:, first - start : last - start] = self.average @ part
        return out


def averaging(codes: NDArray[np.intp], chosen: NDArray[np.bool_], n: int) -> csr_array:
    """Matrix that averages the chosen rows of each of n conditions; zero where there are none."""
    counts = np.bincount(codes[chosen], minlength=n)
    where = np.flatnonzero(chosen)
    entries = 1.0 / counts[codes[where]]
    return csr_array((entries, (codes[where], where)), shape=(n, len(codes)))


def _take(X: Any, rows: NDArray[np.intp]) -> NDArray[Any]:
    """Some rows (in increasing order); of a lazy array by runs, which every file can give."""
    if isinstance(X, np.ndarray):
        return X[rows]
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return np.concatenate([np.asarray(X[run[0] : run[-1] + 1]) for run in runs])


def read_patterns(X: Any, conditions: Any) -> Patterns:
    """Check X and the labels of its rows; of a lazy array nothing is read."""
    row_labels = X.index if isinstance(X, pd.DataFrame) else None
    rows = _check_rows(X)
    if conditions is None:
        _check_count(rows.shape[0], "row")
        return Patterns(rows, row_labels, None, row_labels)
    codes, labels = encode(conditions, rows.shape[0], "conditions", row_labels)
    _check_count(len(labels), "condition")
    return Patterns(rows, row_labels, codes, labels)


def _check_rows(X: Any) -> Any:
    """X as a real 2-D array of its own dtype, or the lazy array."""
    refuse_sparse(X, "X")
    frame = isinstance(X, pd.DataFrame)
    rows = X.to_numpy() if frame else X if is_lazy(X) else np.asarray(X)
    if len(rows.shape) != 2:
        raise ValueError(
            f"X must be 2-D, (n_conditions, n_features), got shape {rows.shape}. Flatten "
            "each pattern to one row."
        )
    if rows.dtype.kind == "c":
        raise ValueError("X is complex, and its dissimilarities are not defined here.")
    if rows.dtype.kind not in "biuf":
        if is_lazy(rows):
            raise TypeError(f"X has dtype {rows.dtype}: a lazy array must hold real numbers.")
        rows = rows.astype(np.float64)
    if rows.shape[1] < 1:
        raise ValueError("X has 0 feature(s): an RDM needs one or more.")
    return rows


def _check_count(n: int, what: str) -> None:
    if n < 2:
        found = f"n_samples = {n} row" if what == "row" else f"{n} condition"
        raise ValueError(f"X has {found}: an RDM needs two or more.")


def encode(
    labels: Any, n_rows: int, name: str, row_labels: pd.Index | None
) -> tuple[NDArray[np.intp], pd.Index]:
    """Number of the label of each row, and the labels in the order of their first rows."""
    known = isinstance(labels, pd.Series | pd.Index)
    plain = labels.tolist() if isinstance(labels, np.ndarray) else labels
    values = labels if known else pd.Series(list(plain))
    if len(values) != n_rows:
        raise ValueError(f"{name} has {len(values)} labels for {n_rows} rows of X.")
    if isinstance(labels, pd.Series):
        _check_same_rows(labels.index, row_labels, name)
    codes, found = pd.factorize(values)
    missing = np.flatnonzero(codes < 0)
    if missing.size:
        raise ValueError(f"{name} has no label for {name_rows(missing, None)}.")
    # A categorical index would refuse to be joined with others.
    categorical = isinstance(found, pd.CategoricalIndex)
    return codes, pd.Index(found.tolist() if categorical else found)


def _check_same_rows(index: pd.Index, row_labels: pd.Index | None, name: str) -> None:
    """Two indices that both say what a row is must say the same."""
    if row_labels is None or index.equals(row_labels):
        return
    if not isinstance(index, pd.RangeIndex) and not isinstance(row_labels, pd.RangeIndex):
        row = int(np.flatnonzero(np.asarray(index != row_labels))[0])
        raise ValueError(
            f"The index of {name} is not that of X: row {row} is {index.tolist()[row]!r} there, "
            f"{row_labels.tolist()[row]!r} in X. Take {name}.loc[X.index], or {name}.to_numpy() "
            "if the order is known to be right."
        )


def check_finite(rows: Any, labels: pd.Index | None) -> None:
    """Raise ValueError naming what holds NaN or infinity: rows, or columns where they are fewer.

    A voxel outside of the scanned volume is missing in every row.
    """
    if rows.dtype.kind != "f":
        return
    step = max(1, _BLOCK_ELEMENTS // rows.shape[1])
    bad, columns = [], np.zeros(rows.shape[1], dtype=bool)
    for start in range(0, rows.shape[0], step):
        wrong = ~np.isfinite(np.asarray(rows[start : start + step]))
        bad.append(start + np.flatnonzero(wrong.any(axis=1)))
        columns |= wrong.any(axis=0)
    found = np.concatenate(bad)
    if not found.size:
        return
    where = name_rows(found, labels)
    if columns.sum() < len(found):
        each = "every row" if len(found) == rows.shape[0] else f"{len(found)} rows"
        where = f"{name_rows(np.flatnonzero(columns), None, 'column')}, in {each}"
    raise ValueError(f"X contains NaN or infinity in {where}. Drop or impute these values first.")


def name_rows(rows: NDArray[np.intp], labels: pd.Index | None, kind: str = "row") -> str:
    """The first rows (or columns), by label where there are labels."""
    names = listed((rows if labels is None else labels[rows]).tolist(), 8)
    what = kind if labels is None else "condition"
    return f"{what}{'s' if len(rows) > 1 else ''} {names}"
