"""Tables with numbers for each voxel, as results come, turned into maps with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._wording import counted, listed, nearest

VOXEL = "voxel"


@dataclass(frozen=True)
class Maps:
    """Numbers of voxels, of a single map in one dimension.

    With what each map of a table is called, and what its numbers mean where they are codes.
    """

    numbers: NDArray[np.float32]
    names: list[str] = field(default_factory=list)
    meanings: dict[str, dict[str, str]] = field(default_factory=dict)


def as_maps(values: Any, columns: str | Sequence[str] | None, voxels: NDArray[np.intp]) -> Maps:
    """Arrays as they are; of a table, a map for each column, put into the order of the voxels.

    Raises
    ------
    TypeError
        If a column holds text.
    ValueError
        If the numbers of voxels differ, a table is of other voxels, or has no such column.
    """
    if not isinstance(values, pd.DataFrame):
        if columns is not None:
            raise ValueError("columns chooses from a table, and values is none.")
        return Maps(_of_these(np.asarray(values, dtype=np.float32), voxels))
    table = _by_voxel(values, voxels)
    if columns is None:
        numbers = [name for name in table if _kind(table[name]) != "text" and name != "fold"]
        chosen = [name for name in numbers if table[name].notna().any()]
        if not chosen:
            raise ValueError(f"values has no column of numbers: {listed(table.columns, 10)}.")
    else:
        chosen = [columns] if isinstance(columns, str) else list(columns)
    known = list(map(str, table.columns))
    for name in chosen:
        if name not in table:
            near = nearest(str(name), known) or known
            raise ValueError(f"columns: values has no {name!r}; there are {listed(near, 10)}.")
    maps = Maps(np.empty((len(chosen), len(voxels)), dtype=np.float32), list(map(str, chosen)))
    for number, name in enumerate(chosen):
        column = table[name]
        kind = _kind(column)
        if kind == "text":
            raise TypeError(
                f"columns: {name!r} holds text, which a map can't: say which number stands for "
                f"which with table[{name!r}] = pd.Categorical(table[{name!r}], [...]), whose "
                "categories count from 1."
            )
        if kind == "category":
            maps.numbers[number] = np.where(column.cat.codes < 0, np.nan, column.cat.codes + 1.0)
            names = enumerate(column.cat.categories, 1)
            maps.meanings[str(name)] = {str(code): str(meaning) for code, meaning in names}
        else:
            maps.numbers[number] = column.to_numpy(dtype=np.float32, na_value=np.nan)
    return replace(maps, numbers=maps.numbers[0]) if len(chosen) == 1 else maps


def _by_voxel(values: pd.DataFrame, voxels: NDArray[np.intp]) -> pd.DataFrame:
    """A row for each voxel, in their order; whose rows name none must be maps over all of them."""
    if VOXEL in values.columns:
        table = values.set_index(VOXEL)
    elif VOXEL in values.index.names:
        table = values.reset_index().set_index(VOXEL)
    elif values.columns.name == VOXEL:
        table = values.T
    else:
        rows = _of_these(values.to_numpy(dtype=np.float32), voxels)
        return pd.DataFrame(rows.T, columns=values.index)
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise ValueError(
            f"values has several rows for voxel {twice}: give one subject, model and fold, such "
            "as pool_folds makes of the folds."
        )
    missing, others = np.setdiff1d(voxels, table.index), np.setdiff1d(table.index, voxels)
    if len(missing) or len(others):
        lacking = f"; {counted(len(missing), 'voxel')} of these betas not" if len(missing) else ""
        raise ValueError(
            f"values is of other voxels than these betas: {counted(len(others), 'voxel')} of it "
            f"are not here{lacking}. Use the betas that gave the responses, as averages() with "
            "its labels or with voxels=betas.voxels; and fill rows with NaN, don't leave them out."
        )
    return table.loc[voxels]


def _of_these(values: NDArray[Any], voxels: NDArray[np.intp]) -> NDArray[Any]:
    if values.ndim not in (1, 2) or values.shape[-1] != len(voxels):
        raise ValueError(f"values has shape {values.shape}, but there are {len(voxels)} voxels.")
    return values


def _kind(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "category"
    return "number" if pd.api.types.is_numeric_dtype(column) else "text"
