"""Values and tables as JSON holds them, and back to the bit."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else {"float": str(number)}
    if isinstance(value, tuple):
        return {"tuple": [plain(each) for each in value]}
    if isinstance(value, list | np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    return str(value)


def back(value: Any) -> Any:
    """What `plain` was given."""
    if isinstance(value, list):
        return [back(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == {"float"} and isinstance(value["float"], str):
            return float(value["float"])
        if value.keys() == {"tuple"}:
            return tuple(map(back, value["tuple"]))
        return {name: back(each) for name, each in value.items()}
    return value


def table_to(table: pd.DataFrame) -> dict[str, Any]:
    """A table with its index and dtypes."""
    levels = [table.index.get_level_values(level) for level in range(table.index.nlevels)]
    columns: list[tuple[Any, Any]] = [(None, level) for level in levels]
    columns += [(table.columns[k], table.iloc[:, k]) for k in range(table.shape[1])]
    return {
        "levels": plain(list(table.index.names)),
        "column_names": plain(list(table.columns.names)),
        "columns": [
            {"name": plain(name), "dtype": _dtype(values), "values": plain(list(values))}
            for name, values in columns
        ],
    }


def _dtype(values: Any) -> str:
    if isinstance(values, pd.RangeIndex) and values.equals(pd.RangeIndex(len(values))):
        return "range"
    return str(values.dtype) if values.dtype.kind in "iufb" else "object"


def table_from(held: dict[str, Any]) -> pd.DataFrame:
    """The table that `table_to` wrote."""
    arrays = []
    for column in held["columns"]:
        values = np.empty(len(column["values"]), dtype=object)
        values[:] = back(column["values"])
        dtype = column["dtype"]
        arrays.append(values if dtype == "range" else values.astype(dtype))
    n = len(held["levels"])
    names = [back(column["name"]) for column in held["columns"][n:]]
    several = len(held["column_names"]) > 1
    name = back(held["levels"])[0]
    if held["columns"][0]["dtype"] == "range":
        index: pd.Index = pd.RangeIndex(len(arrays[0]), name=name)
    else:
        index = pd.Index(arrays[0], name=name)
    if n > 1:
        index = pd.MultiIndex.from_arrays(arrays[:n], names=back(held["levels"]))
    table = pd.DataFrame(dict(enumerate(arrays[n:])), index=index)
    kept = back(held["column_names"])
    table.columns = (
        pd.MultiIndex.from_tuples(names, names=kept) if several else pd.Index(names, name=kept[0])
    )
    return table
