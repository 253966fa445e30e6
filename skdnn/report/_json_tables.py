"""Values and tables as JSON holds them, and back to the bit.

What JSON has no word for stands in an object with one key that begins with ``$``: ``{"$float":
"nan"}``, ``{"$tuple": [...]}``, ``{"$dict": [[key, value], ...]}`` for keys that are no names,
and ``{"$text": "..."}`` for objects of which only the text is kept.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_UNITS = "iufb"  # kinds of numpy's dtypes whose values JSON has: whole numbers, floats, bool


def to_json(value: Any) -> Any:
    """A value as JSON holds it."""
    if value is None or isinstance(value, str):
        return str(value) if isinstance(value, str) else None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else {"$float": str(number)}
    if isinstance(value, tuple):
        return {"$tuple": [to_json(each) for each in value]}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [to_json(each) for each in value]
    if isinstance(value, Mapping):
        if all(isinstance(name, str) and not name.startswith("$") for name in value):
            return {name: to_json(each) for name, each in value.items()}
        return {"$dict": [[to_json(name), to_json(each)] for name, each in value.items()]}
    return {"$text": str(value)}


def from_json(value: Any) -> Any:
    """What `to_json` was given; of other objects, their text."""
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    name = next(iter(value), "")
    if not name.startswith("$"):
        return {key: from_json(each) for key, each in value.items()}
    held = value[name]
    if name == "$float":
        return float(held)
    if name == "$tuple":
        return tuple(map(from_json, held))
    if name == "$dict":
        return {from_json(key): from_json(each) for key, each in held}
    if name == "$text":
        return held
    raise ValueError(f"{name} is no mark of a value")


# --- tables --------------------------------------------------------------------------------------


def table_to_json(table: pd.DataFrame) -> dict[str, Any]:
    """A table with names, dtypes and levels of its rows and columns."""
    return {
        "index": _axis_to_json(table.index),
        "columns": _axis_to_json(table.columns),
        "values": [_array_to_json(table.iloc[:, k]) for k in range(table.shape[1])],
    }


def table_from_json(held: dict[str, Any]) -> pd.DataFrame:
    """The table that `table_to_json` was given."""
    index, columns = _axis_from_json(held["index"]), _axis_from_json(held["columns"])
    arrays = [_array_from_json(each) for each in held["values"]]
    if len(arrays) != len(columns):
        raise ValueError(f"{len(columns)} names of columns for {len(arrays)} columns")
    for name, array in zip(columns, arrays, strict=True):
        if len(array) != len(index):
            raise ValueError(f"column {name!r} has {len(array)} values for {len(index)} rows")
    table = pd.DataFrame(dict(enumerate(arrays)), index=range(len(index)))
    return table.set_axis(index, axis=0).set_axis(columns, axis=1)


def _axis_to_json(axis: pd.Index) -> dict[str, Any]:
    """Names of rows or columns: an array for each level."""
    names = [to_json(name) for name in axis.names]
    if isinstance(axis, pd.RangeIndex):
        return {"names": names, "range": [axis.start, axis.stop, axis.step]}
    levels = [axis.get_level_values(k) for k in range(axis.nlevels)]
    several = isinstance(axis, pd.MultiIndex)
    return {"names": names, "several": several, "levels": list(map(_array_to_json, levels))}


def _axis_from_json(held: dict[str, Any]) -> pd.Index:
    names = [from_json(name) for name in held["names"]]
    if "range" in held:
        return pd.RangeIndex(range(*held["range"]), name=names[0])
    levels = [_array_from_json(level) for level in held["levels"]]
    if held["several"]:
        return pd.MultiIndex.from_arrays(levels, names=names)
    dtype = object if held["levels"][0]["dtype"] == "object" else None
    return pd.Index(levels[0], dtype=dtype, name=names[0], tupleize_cols=False)


def _array_to_json(values: Any) -> dict[str, Any]:
    """A column or level; of dtypes that JSON and numpy do not share, category and dates are kept.

    Floats that are not finite are texts here, since the dtype says what they are.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = getattr(values, "cat", values).codes
        kinds = _array_to_json(pd.Series(dtype.categories))
        return {"dtype": "category", "ordered": bool(dtype.ordered), "categories": kinds,
                "values": codes.tolist()}  # fmt: skip
    if isinstance(dtype, np.dtype) and dtype.kind in _UNITS and dtype.itemsize <= 8:
        plain = np.asarray(values).tolist()
        if dtype.kind == "f":
            plain = [each if math.isfinite(each) else str(each) for each in plain]
        return {"dtype": dtype.name, "values": plain}
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return {"dtype": dtype.str, "values": np.asarray(values).astype(np.int64).tolist()}
    kind = "str" if isinstance(dtype, pd.StringDtype) else "object"
    return {"dtype": kind, "values": [to_json(each) for each in values]}


def _array_from_json(held: dict[str, Any]) -> Any:
    kind, values = held["dtype"], held["values"]
    if kind == "category":
        kinds = pd.Index(_array_from_json(held["categories"]))
        return pd.Categorical.from_codes(values, kinds, ordered=held["ordered"])
    if kind in ("str", "object"):
        array = np.empty(len(values), dtype=object)
        array[:] = [from_json(each) for each in values]
        # An object array alone would be taken for texts where it holds nothing else.
        return pd.Series(array, dtype="str" if kind == "str" else object)
    dtype = np.dtype(kind)
    if dtype.kind in "mM":
        return np.array(values, dtype=np.int64).view(dtype)
    if dtype.kind == "f":
        values = [float(each) for each in values]
    elif any(isinstance(each, bool) != (dtype.kind == "b") for each in values):
        raise ValueError(f"{kind} cannot hold all of its values")
    return np.array(values, dtype=dtype)
