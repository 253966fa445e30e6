"""Rows of files, put into the order of the images by name; responses to images among them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd

from skdnn._wording import listed
from skdnn.cli._input_files import reading
from skdnn.cli._terminal import visible


def read_responses(
    path: str, rows: Sequence[str], option: str, *, assume_order: bool
) -> pd.DataFrame:
    """Voxels of one area, or of several, in the order of the rows and labelled like them."""
    from skdnn.io import load_tables

    with reading(path):
        names, parts = load_tables(path, rows)
    n_rows = len(next(iter(parts.values())))
    order = matched(names, n_rows, rows, f"{option} {path}", assume_order=assume_order)
    frames = {
        area: frame.iloc[order].set_axis(list(map(str, rows)), axis=0)
        for area, frame in parts.items()
    }
    for area, frame in frames.items():
        _check_known(frame, f"{option} {path}{f', {area}' if area else ''}")
    if list(frames) == [""]:
        return frames[""]
    return pd.concat(frames, axis=1, names=["area", "voxel"])


def matched(
    names: Sequence[str] | None,
    n_rows: int,
    wanted: Sequence[str],
    what: str,
    *,
    assume_order: bool = False,
    order: str = "the images",
) -> list[int]:
    """Where the rows that are wanted stand: by name, or in the order that the user vouches for.

    Raises
    ------
    ValueError
        If some are missing or named twice, a name fits several, numbers of rows without names
        differ, or nobody has vouched for the order.
    """
    if names is not None:
        from skdnn.encoding import align_responses

        try:
            found = align_responses(wanted, np.arange(n_rows), names, surplus="drop")
        except ValueError as error:
            raise ValueError(f"{what}: {str(error).removeprefix('ids: ')}") from error
        return [int(row) for row in found]
    first = listed([PurePath(str(name)).name for name in wanted[:3]], show=visible)
    if n_rows != len(wanted):
        raise ValueError(
            f"{what} has {n_rows} rows without names, but there are {len(wanted)} images: "
            "a row per image is needed, and names (in a table, its first column)."
        )
    if not assume_order:
        raise ValueError(
            f"{what} has no names, so nothing says which row is which image. Put the names into "
            f"it, or give --assume-order if its rows are in the order of {order} ({first}, ...)."
        )
    note = f"note: {what} has no names: its rows are taken in the order of {order} ({first}, ...)"
    print(visible(note), file=sys.stderr)  # also where all else is quiet
    return list(range(n_rows))


def _check_known(frame: pd.DataFrame, what: str) -> None:
    unknown = ~np.isfinite(frame.to_numpy(dtype=np.float64))
    if unknown.any():
        i, j = np.argwhere(unknown)[0]
        raise ValueError(
            f"{what}: no number for {PurePath(str(frame.index[i])).name}, column "
            f"{frame.columns[j]!r} ({int(unknown.sum())} such cells): drop or impute them first."
        )
