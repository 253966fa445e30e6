"""Arrays side by side in blocks of their last axis: voxels, units, targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from skdnn._array_blocks import WORK_ELEMENTS, Array

# What is read at a time of arrays that stay on disk, and columns in a block, at least.
_READ_BYTES = 2**26
_MIN_COLUMNS = 16


def blocks_of_columns(
    *arrays: Any, step: int | None = None
) -> Iterator[tuple[slice, list[Array]]]:
    """Columns, and float64 copies of them of each array, which may be written to.

    Arrays are in memory or lazy and have the same shape. `step` is the number of columns; None
    takes as many as stay in the processor's cache.
    """
    *rows, n_columns = arrays[0].shape
    n_rows = math.prod(rows)
    step = step or max(_MIN_COLUMNS, WORK_ELEMENTS // n_rows)
    bytes_each = n_rows * max(array.dtype.itemsize for array in arrays)
    read = max(step, _READ_BYTES // bytes_each // step * step)
    all_rows = (slice(None),) * len(rows)
    for start in range(0, n_columns, read):
        wide = (*all_rows, slice(start, min(start + read, n_columns)))
        parts = [np.asarray(array[wide]) for array in arrays]
        for first in range(0, parts[0].shape[-1], step):
            some = (*all_rows, slice(first, first + step))
            blocks = [part[some].astype(np.float64, order="C") for part in parts]
            yield slice(start + first, start + first + blocks[0].shape[-1]), blocks
