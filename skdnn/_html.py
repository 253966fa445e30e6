"""Cards that notebooks show: a title, some facts and a table, in plain and safe HTML."""

from __future__ import annotations

import html
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

Kind = TypeVar("Kind")

MAX_ROWS, MAX_COLUMNS = 20, 12
_LONGEST = 160
_LISTED = 6
# In the attributes, so that no style sheet leaks; colours come from the notebook, dark or light.
_LINE = "1px solid rgba(128,128,128,.35)"
_CARD = (
    "display:inline-block;box-sizing:border-box;max-width:100%;margin-bottom:.4em;"
    f"border:{_LINE};border-radius:4px;padding:.5em .8em"
)
_TABLE = "border-collapse:collapse;margin:.4em 0 0 0;font-size:.92em"
_NAME = "text-align:left;font-weight:normal;opacity:.7;padding:.1em 1em .1em 0;vertical-align:top"
_VALUE = "text-align:left;padding:.1em 0;overflow-wrap:anywhere"  # paths have no other breaks
_HEAD = f"padding:.15em .8em .15em 0;border-bottom:{_LINE}"
_CELL = "text-align:left;padding:.15em .8em .15em 0"
_NUMBER = "text-align:right;padding:.15em .8em .15em 0;font-variant-numeric:tabular-nums"
_REST = "opacity:.7;font-size:.92em;margin-top:.3em"


def card(
    title: str,
    facts: Mapping[str, Any],
    table: pd.DataFrame | None = None,
    *,
    more: int = 0,
    index: bool = False,
) -> str:
    """A card as a fragment of HTML.

    Parameters
    ----------
    title : str
        Usually the name of the class.
    facts : mapping of str to object
        Names and values, one on a line; None is left out, long ones are cut.
    table : DataFrame, default=None
        The first `MAX_ROWS` rows and `MAX_COLUMNS` columns are shown, and the rest is counted.
    more : int, default=0
        Rows that are not even in `table`.
    index : bool, default=False
        Whether the index of `table` is shown.

    Returns
    -------
    fragment : str
        Whatever the names and values hold, it is text in it.
    """
    rows = "".join(
        f'<tr><th scope="row" style="{_NAME}">{text(name)}</th>'
        f'<td style="{_VALUE}">{text(value)}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    listed = f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>' if rows else ""
    shown = "" if table is None or table.empty else _table(table, more, index)
    return f'<div style="{_CARD}"><strong>{text(title)}</strong>{listed}{shown}</div>'


def with_card(kind: type[Kind]) -> type[Kind]:
    """A class of named tuples, of which notebooks show a card."""
    kind._repr_html_ = tuple_card  # type: ignore[attr-defined]
    return kind


def tuple_card(found: Any) -> str:
    """A card of a named tuple: arrays in a few numbers and, of one dimension, as columns."""
    facts, columns = {}, {}
    for name, value in found._asdict().items():
        is_array = isinstance(value, np.ndarray) and value.ndim > 0
        facts[name] = _in_numbers(value) if is_array else value
        if is_array and value.ndim == 1:
            columns[name] = value
    return card(type(found).__name__, facts, pd.DataFrame(columns), index=True)


def facts_in(lines: str) -> dict[str, str]:
    """Lines of a name and a value, as facts of a card."""
    return dict(line.split(maxsplit=1) for line in lines.splitlines())


def text(value: Any) -> str:
    """Any value as short, escaped text."""
    return html.escape(_shortened(_plain(value)))


def product(shape: Iterable[int]) -> str:
    """A shape as people write it."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{length:,}" for length in shape)


def _plain(value: Any) -> str:
    if value is None or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return "" if math.isnan(value) else f"{float(value):.4g}"
    if isinstance(value, Mapping):
        return _joined((f"{_plain(k)}: {_plain(v)}" for k, v in value.items()), len(value))
    if isinstance(value, list | tuple | set | frozenset):
        return _joined(map(_plain, value), len(value))
    return str(value)


def _in_numbers(array: np.ndarray) -> str:
    """How many are true; the range of numbers; else how many there are."""
    if array.dtype == bool:
        return f"{int(array.sum()):,} of {array.size:,}"
    known = array[~pd.isna(array)]
    if array.dtype.kind not in "fiu" or not known.size:
        return product(array.shape)
    low, middle, high = (_plain(x) for x in (known.min(), np.median(known), known.max()))
    return f"{product(array.shape)} values, {low} to {high}, median {middle}"


def _joined(parts: Iterable[str], n_parts: int) -> str:
    """The first of many."""
    first = [part for part, _ in zip(parts, range(_LISTED), strict=False)]
    more = f", ... ({n_parts:,} in all)" if n_parts > _LISTED else ""
    return ", ".join(first) + more


def _shortened(found: str) -> str:
    """One line that every page can hold: no control characters, no halves of surrogates."""
    if len(found) > _LONGEST:
        found = f"{found[: _LONGEST - 60]} ... {found[-50:]}"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in found)


def _table(table: pd.DataFrame, more: int, index: bool) -> str:
    """The beginning of a table, and how much there is of the rest."""
    part = table.iloc[:MAX_ROWS, :MAX_COLUMNS]
    names = [_plain(list(map(str, filter(None, part.index.names))))] if index else []
    sides = ["left"] * len(names) + [
        "right" if kind.kind in "iuf" else "left" for kind in part.dtypes
    ]
    heads = "".join(
        f'<th scope="col" style="text-align:{side};{_HEAD}">{text(name)}</th>'
        for name, side in zip([*names, *part.columns], sides, strict=True)
    )
    body = "".join(
        f"<tr>{_cells(label, row, index)}</tr>"
        for label, row in zip(part.index, part.itertuples(index=False, name=None), strict=True)
    )
    left_out = [
        f"{n:,} more {what}"
        for n, what in (
            (len(table) - len(part) + more, "rows"),
            (table.shape[1] - part.shape[1], "columns"),
        )
        if n
    ]
    rest = f'<div style="{_REST}">and {" and ".join(left_out)}</div>' if left_out else ""
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{rest}"
    )


def _cells(label: Any, row: Iterable[Any], index: bool) -> str:
    head = f'<th scope="row" style="{_CELL}">{text(label)}</th>' if index else ""
    return head + "".join(
        f'<td style="{_NUMBER if _is_number(value) else _CELL}">{text(value)}</td>'
        for value in row
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number) and not isinstance(value, bool)
