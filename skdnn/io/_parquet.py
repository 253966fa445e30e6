"""Parquet tables of flat features: one column per feature, rows indexed by their labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._optional import import_optional
from skdnn.io._content import Content, DamageError, Raw, as_utf8, parse_header, wanted

HEADER = b"skdnn"
_PURPOSE = "for parquet files"


def write(path: Path, content: Content) -> None:
    """A table whose schema carries the header."""
    check_flat(content)
    arrow = import_optional("pyarrow", _PURPOSE)
    parquet = import_optional("pyarrow.parquet", _PURPOSE)
    table = arrow.Table.from_pandas(as_frame(content))
    header = json.dumps(content.header(inline=True)).encode()
    parquet.write_table(
        table.replace_schema_metadata({**table.schema.metadata, HEADER: header}), path
    )


def read(path: Path, layers: list[str] | None, mmap: bool) -> Raw:
    """Ours, or all columns of numbers of anyone's."""
    parquet = import_optional("pyarrow.parquet", _PURPOSE)
    table = parquet.read_table(path)
    found = (table.schema.metadata or {}).get(HEADER)
    frame = table.to_pandas()
    if found is None:
        wanted([""], layers)
        return Raw({"": frame.select_dtypes(["number", "bool"]).to_numpy()})
    header = parse_header(found.decode())
    return Raw(from_frame(frame, header, layers), header)


def check_flat(content: Content) -> None:
    """Raise if a table cannot hold the arrays.

    Raises
    ------
    ValueError
        Naming those of more than two axes.
    """
    deep = [f"{s.name or 'features'} {s.shape}" for s in content.sources if len(s.shape) > 2]
    if deep:
        raise ValueError(
            f"A parquet table holds flat features, but these have more axes: {', '.join(deep)}. "
            'Flatten them with features.reshape(len(features), -1), or use format="hdf5".'
        )


def as_frame(content: Content) -> pd.DataFrame:
    """Layers side by side; columns are called by number, behind the layer's name if it has one."""
    columns: dict[str, np.ndarray] = {}
    for source in content.sources:
        # Few programs read half precision from parquet.
        dtype = np.dtype(np.float32) if source.dtype == np.float16 else source.dtype
        array = source.whole().astype(dtype).reshape(source.shape[0], width(source.shape))
        names = [f"{source.name}_{n}".lstrip("_") for n in range(array.shape[1])]
        if content.single and content.feature_names is not None:
            names = content.feature_names
        columns |= dict(zip(names, array.T, strict=True))
    n_rows = content.rows[1] - content.rows[0]
    index = None if content.labels is None else pd.Index(_plain(content.labels), name="label")
    return pd.DataFrame(columns, index=pd.RangeIndex(n_rows) if index is None else index)


def from_frame(
    frame: pd.DataFrame, header: dict[str, Any], layers: list[str] | None
) -> dict[str, np.ndarray]:
    """The layers that were put side by side."""
    entries = header["arrays"]
    ends = np.cumsum([0, *(width(tuple(entry["shape"])) for entry in entries)])
    if frame.shape[1] != ends[-1]:
        raise DamageError(f"it should have {ends[-1]} columns, but has {frame.shape[1]}")
    chosen = wanted([entry["name"] for entry in entries], layers)
    return {
        entry["name"]: frame.iloc[:, first:stop].to_numpy().astype(entry["dtype"])
        for entry, first, stop in zip(entries, ends[:-1], ends[1:], strict=True)
        if entry["name"] in chosen
    }


def width(shape: tuple[int, ...]) -> int:
    """Columns of an array."""
    return shape[1] if len(shape) == 2 else 1


def _plain(labels: list[str] | list[int]) -> list[Any]:
    return as_utf8(labels) if labels and isinstance(labels[0], str) else list(labels)
