"""Tables as a page shows them: their beginning as text; the page's script sorts all rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skdnn.report._charts import Chart
from skdnn.report._result import Result

_ROWS = 200
# Too many numbers to read: they can be exported.
_EXPORTED = ("RDM", "places", "bootstrap samples", "scores under permutation", "accuracies")
_OPEN = 30  # rows of a first table that need no click


def tables_of(result: Result) -> list[Chart]:
    """All tables of a result; the page's script knows them by their names."""
    shown = []
    for k, (name, table) in enumerate(result.tables.items()):
        if name in _EXPORTED:
            size = {"n_rows": len(table), "n_columns": table.shape[1]}
            shown.append({"name": name, "exported": True, **size})
        else:
            is_short = len(table) <= _OPEN or len(result.tables) == 1
            is_open = k == 0 and is_short and name != "inputs"
            shown.append(_shown(name, table, is_open=is_open))
    return shown


def _shown(name: str, table: pd.DataFrame, *, is_open: bool) -> Chart:
    part, heads = table.iloc[:_ROWS], [_head(column) for column in table.columns]
    columns: list[Any] = [part.iloc[:, k] for k in range(part.shape[1])]
    if not isinstance(table.index, pd.RangeIndex) or table.index.name is not None:
        levels = range(table.index.nlevels)
        heads = [_head(table.index.names[k] or "") for k in levels] + heads
        columns = [part.index.get_level_values(k) for k in levels] + columns
    numeric = [column.dtype.kind in "iuf" for column in columns]
    rows = [list(map(cell, row)) for row in zip(*columns, strict=True)]
    more = max(0, len(table) - _ROWS)
    return {"name": name, "heads": list(zip(heads, numeric, strict=True)), "rows": rows,
            "numeric": numeric, "more": more, "open": is_open, "n_rows": len(table)}  # fmt: skip


def _head(column: Any) -> str:
    return " / ".join(map(str, column)) if isinstance(column, tuple) else str(column)


def cell(value: Any) -> str:
    """Four digits are enough for eyes; `cell` of page.js says the same."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        number = float(value)
        if not np.isfinite(number):
            return str(number)
        return f"{number:.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {cell(each)}" for name, each in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(cell, value))
    return str(value)
