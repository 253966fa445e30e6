"""Two-dimensional arrays that stay on disk: rows and columns are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn._html import card
from skdnn._wording import in_bytes

_BLOCK_BYTES = 64 * 2**20
Positions = NDArray[np.intp]


class LazyArray:
    """What every array on disk can do; a reader sets `shape` and `dtype` and has `_fill`.

    Rows and columns are chosen by integers, slices, arrays and masks, which mean what they mean in
    numpy. Going through the rows reads them in blocks.
    """

    ndim = 2
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def _fill(self, out: np.ndarray, rows: Positions, columns: Positions | slice) -> None:
        """Read rows x columns. Neither are empty, all lie within, and a slice has step 1."""
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        """What a card says, without opening a file."""
        return dict(zip(("rows", "columns"), self.shape, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{type(self).__name__} lies on disk: an array of it is a copy.")
        return np.asarray(self[:], dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        keys = _two_parts(key)
        rows = _positions(keys[0], self.shape[0], "rows")
        columns = _positions(keys[1], self.shape[1], "columns")
        is_run = isinstance(columns, slice)
        if not any(isinstance(part, slice) for part in keys) and rows.ndim and columns.ndim:
            return self._points(rows, columns)
        found = self._read(rows.ravel(), columns if is_run else columns.ravel())
        shape = found.shape[1:] if is_run else columns.shape
        return found.reshape(rows.shape + shape)[()]

    def _read(self, rows: Positions, columns: Positions | slice) -> np.ndarray:
        """Rows x columns."""
        n_columns = columns.stop - columns.start if isinstance(columns, slice) else columns.size
        out = np.empty((len(rows), n_columns), self.dtype)
        if out.size:
            self._fill(out, rows, columns)
        return out

    def _points(self, rows: Positions, columns: Positions) -> np.ndarray:
        """One number for each pair of a row and a column."""
        try:
            rows, columns = np.broadcast_arrays(rows, columns)
        except ValueError as error:
            raise IndexError(f"rows and columns do not go together: {error}") from None
        wanted, row = np.unique(rows.ravel(), return_inverse=True)
        units, column = np.unique(columns.ravel(), return_inverse=True)
        return self._read(wanted, units)[row, column].reshape(rows.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        for _, block in self.iter_blocks():
            yield from block

    def iter_blocks(self, n_rows: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Give the rows in blocks, in order.

        Parameters
        ----------
        n_rows : int, default=None
            In a block; None takes as many as 64 MB hold.

        Returns
        -------
        blocks : iterator of tuples
            Which rows of the whole, as a slice, and they as an array (n_rows, n_columns).
        """
        if n_rows is None:
            n_rows = max(1, _BLOCK_BYTES // max(1, self.shape[1] * self.dtype.itemsize))
        for start in range(0, len(self), n_rows):
            rows = slice(start, min(start + n_rows, len(self)))
            yield rows, self[rows]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def _repr_html_(self) -> str:
        """A card for notebooks; no file is opened."""
        facts = {"type": self.dtype, "in memory": in_bytes(self.nbytes)}
        return card(type(self).__name__, {**self._facts(), **facts})


def _two_parts(key: Any) -> tuple[Any, Any]:
    """The index of rows and that of columns."""
    if not isinstance(key, tuple):
        is_mask = isinstance(key, np.ndarray) and key.ndim == 2 and key.dtype == bool
        key = np.nonzero(key) if is_mask else (key,)  # a mask of single numbers
    parts = [part for part in key if part is not Ellipsis]
    if len(parts) > 2 or len(key) - len(parts) > 1:
        raise IndexError(f"an array of two dimensions takes two indices, not {len(key)}")
    if len(parts) < 2 and key and key[0] is Ellipsis:
        parts.insert(0, slice(None))
    rows, columns, *_ = (*parts, slice(None), slice(None))
    return rows, columns


def _positions(part: Any, length: int, what: str) -> Any:
    """Which rows or columns, counted from 0: an array, for successive columns a slice."""
    if isinstance(part, slice):
        start, stop, step = part.indices(length)
        if what == "columns" and step == 1:
            return slice(start, max(start, stop))
        return np.arange(start, stop, step)
    if part is None or isinstance(part, bool | np.bool_):
        raise IndexError(f"{what}: {part} is no index")
    try:
        return np.asarray(np.arange(length)[list(part) if isinstance(part, tuple) else part])
    except IndexError as error:
        raise IndexError(f"{what}: {error}") from None
