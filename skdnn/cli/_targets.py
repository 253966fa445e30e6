"""Brains and behaviour in files: RDMs and responses, put into the order of images by name."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from skdnn.cli._reading import reading
from skdnn.cli._text import listed, visible

_TEXT = (".csv", ".tsv")
_IMAGES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"),
    *(".jfif", ".avif", ".heic"),
}


def read_rdm(path: str, rows: Sequence[str], option: str, *, assume_order: bool) -> pd.DataFrame:
    """One RDM or several, in the order of the rows and labelled like them."""
    from skdnn.io import load_rdm

    with reading(path):
        rdm = load_rdm(path)
    names = None if isinstance(rdm.index, pd.RangeIndex) else list(map(str, rdm.index))
    order = matched(names, len(rdm), rows, f"{option} {path}", assume_order=assume_order)
    labels = pd.Index(list(map(str, rows)))
    if not isinstance(rdm.columns, pd.MultiIndex):
        return pd.DataFrame(rdm.to_numpy()[np.ix_(order, order)], index=labels, columns=labels)
    keys = rdm.columns.droplevel(-1).unique()
    parts = [rdm[key].to_numpy()[np.ix_(order, order)] for key in keys]
    tuples = [key if isinstance(key, tuple) else (key,) for key in keys]
    columns = pd.MultiIndex.from_tuples(
        [(*key, label) for key in tuples for label in labels], names=rdm.columns.names
    )
    return pd.DataFrame(np.hstack(parts), index=labels, columns=columns)


def read_responses(
    path: str, rows: Sequence[str], option: str, *, assume_order: bool
) -> pd.DataFrame:
    """Voxels of one area, or of several, in the order of the rows and labelled like them."""
    with reading(path):
        names, parts = read_table(path, rows)
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


def read_table(
    path: str, rows: Sequence[str] | None = None
) -> tuple[list[str] | None, dict[str, pd.DataFrame]]:
    """Names of rows where the file has them, and a table for each area (or layer) in it."""
    from skdnn import load_features

    place = Path(path)
    if place.suffix.lower() in _TEXT and place.is_file() and not _saved_by_us(place):
        try:
            loaded = load_features(place)
        except ValueError:  # said below, by column
            loaded = None
        if loaded is None or loaded.labels is None:  # names can be numbers, if images have them
            names, frame = _text_table(place, rows)
            return names, {"": frame}
    else:
        loaded = load_features(place)
    names = None if loaded.labels is None else list(map(str, loaded.labels))
    if not isinstance(loaded.features, dict):
        return names, {"": loaded.to_frame().reset_index(drop=True)}
    if not loaded.features:
        raise ValueError(f"{path} holds no array of numbers.")
    tables = {str(name): loaded.to_frame(name).reset_index(drop=True) for name in loaded.features}
    return names, tables


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
    first = listed([PurePath(str(name)).name for name in wanted[:3]])
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


def _saved_by_us(path: Path) -> bool:
    return path.with_name(path.name + ".json").exists()


def _bare(name: str) -> str:
    """A name without the ending of an image file."""
    path = PurePath(name)
    return path.stem if path.suffix.lower() in _IMAGES else name


def _text_table(path: Path, rows: Sequence[str] | None) -> tuple[list[str] | None, pd.DataFrame]:
    """A table of numbers; its first column holds names unless all of it is numbers."""
    comma = "," if path.suffix.lower() == ".csv" else "\t"
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file, delimiter=comma), None)
    if not first:
        raise ValueError(f"{path} is empty.")
    stems = {_bare(PurePath(str(name)).name) for name in rows or ()}
    headed = _is_header(first, stems)
    table = pd.read_csv(
        path, sep=comma, header=0 if headed else None, dtype=str, encoding="utf-8-sig",
        keep_default_na=False,
    )  # fmt: skip
    column = table.iloc[:, 0]
    named = (
        (headed and first[0].strip() == "")
        or not all(map(_is_number, column))
        or (bool(stems) and stems <= set(column))
    )
    body = table.iloc[:, 1:] if named else table
    if body.shape[1] == 0:
        raise ValueError(f"{path} holds names, and no columns of numbers.")
    numbers = body.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    blank = body.apply(lambda cells: cells.str.strip().str.lower().isin(["", "nan", "na"]))
    wrong = np.argwhere((numbers.isna() & ~blank).to_numpy())
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"{path}: line {i + 1 + headed}, column {body.columns[j]!r} is {body.iloc[i, j]!r}, "
            "which is no number."
        )
    return (column.tolist() if named else None), numbers


def _is_header(cells: list[str], stems: set[str]) -> bool:
    """Whether the first row names columns; a row of data may begin with the name of an image."""
    if not all(map(_is_number, cells[1:])) or cells[0].strip() == "":
        return True
    if _is_number(cells[0]) or _bare(PurePath(cells[0]).name) in stems:
        return False
    return cells[1:] in ([str(n + k) for n in range(len(cells) - 1)] for k in (0, 1))


def _check_known(frame: pd.DataFrame, what: str) -> None:
    unknown = ~np.isfinite(frame.to_numpy(dtype=np.float64))
    if unknown.any():
        i, j = np.argwhere(unknown)[0]
        raise ValueError(
            f"{what}: no number for {PurePath(str(frame.index[i])).name}, column "
            f"{frame.columns[j]!r} ({int(unknown.sum())} such cells): drop or impute them first."
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_measures(arguments: argparse.Namespace, *, comparison: str | None = None) -> None:
    """Refuse unknown names of metric and comparison before the work."""
    from skdnn.rsa import compare_rdms, compute_rdm

    tiny = np.random.default_rng(0).random((4, 5))
    compute_rdm(tiny, arguments.metric)
    if comparison is not None:
        compare_rdms(compute_rdm(tiny), compute_rdm(tiny[:, :3]), comparison)
