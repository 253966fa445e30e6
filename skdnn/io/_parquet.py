"""Parquet tables of flat features: one column per feature, rows indexed by their labels."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skdnn._optional import import_optional
from skdnn.io._hdf5_dialects import of_frame
from skdnn.io._reading import Ask, DamageError, Raw, wanted
from skdnn.io._row_names import finished
from skdnn.io._saved_header import HEADER, MARK, Content, parse_header

_PURPOSE = "for parquet files"


def write(path: Path, content: Content) -> None:
    """A table whose schema carries the header."""
    deep = [f"{s.name or 'features'} {s.shape}" for s in content.sources if len(s.shape) > 2]
    if deep:
        raise ValueError(
            f"A parquet table holds flat features, but these have more axes: {', '.join(deep)}. "
            'Flatten them with features.reshape(len(features), -1), or use format="hdf5".'
        )
    arrow = import_optional("pyarrow", _PURPOSE)
    parquet = import_optional("pyarrow.parquet", _PURPOSE)
    table = arrow.Table.from_pandas(as_frame(content))
    ours = {HEADER: content.header(inline=True).encode(), MARK: b"1"}
    parquet.write_table(table.replace_schema_metadata({**table.schema.metadata, **ours}), path)


def read(path: Path, ask: Ask) -> Raw:
    """Ours, or all columns of numbers of anyone's."""
    table = import_optional("pyarrow.parquet", _PURPOSE).read_table(path)
    about = table.schema.metadata or {}
    frame = table.to_pandas()
    if HEADER.encode() in about:
        header, _ = parse_header(about[HEADER.encode()].decode())
        labels = None if header["labels"] is None else frame.index.tolist()
        return Raw(from_frame(frame, header, ask.layers), header, labels)
    if MARK.encode() in about:
        raise DamageError("its description is missing")
    raw = of_frame(frame)
    return finished(raw, path, ask)


def as_frame(content: Content) -> pd.DataFrame:
    """Layers side by side; columns are called by number, behind the layer's name if it has one."""
    columns: dict[str, np.ndarray] = {}
    for source in content.sources:
        # Few programs read half precision from parquet.
        dtype = np.dtype(np.float32) if source.dtype == np.float16 else source.dtype
        array = source.whole().astype(dtype).reshape(source.shape[0], _width(source.shape))
        names = [f"{source.name}_{n}".lstrip("_") for n in range(array.shape[1])]
        if content.single and content.feature_names is not None:
            names = content.feature_names
        columns |= dict(zip(names, array.T, strict=True))
    n_rows = content.rows[1] - content.rows[0]
    labels: Any = content.beside().get("labels")
    index = pd.RangeIndex(n_rows) if labels is None else pd.Index(labels, name="label")
    return pd.DataFrame(columns, index=index)


def from_frame(
    frame: pd.DataFrame, header: dict[str, Any], layers: list[str] | None
) -> dict[str, np.ndarray]:
    """The layers that were put side by side."""
    entries = {entry["name"]: entry for entry in header["arrays"]}
    widths = [_width(tuple(entry["shape"])) for entry in entries.values()]
    ends = list(accumulate(widths, initial=0))
    if frame.shape[1] != ends[-1]:
        raise DamageError(f"it should have {ends[-1]} columns, but has {frame.shape[1]}")
    places = dict(zip(entries, pairwise(ends), strict=True))
    return {
        name: frame.iloc[:, slice(*places[name])].to_numpy().astype(entries[name]["dtype"])
        for name in wanted(list(entries), layers)
    }


def _width(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) == 2 else 1
