"""What is kept of one result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from skdnn.report._json_tables import from_json, table_from_json, table_to_json, to_json


@dataclass
class Result:
    """What is kept of one result: its numbers, what they mean, and the tests behind them.

    Parameters
    ----------
    kind : str
        What it was: mostly the name of a class.
    tables : dict of str to DataFrame
        Its numbers, the most important table first.
    facts : dict of str
        Single values and settings.
    tests : list of dict of str
        Of each test, or score, its ``name`` and what it ``generalises_to``.
    texts : dict of str to str
        Of a methods text ``text`` and ``bibtex``.
    pictures : dict of str to list of str
        Of inputs ``images`` and ``inputs``, of an RDM without labels ``conditions``, of maps each
        under its caption, as ``data:`` addresses.
    warnings : list of str
        Given while the tables were made.

    See Also
    --------
    Results : Collects and saves them.

    Examples
    --------
    >>> import pandas as pd
    >>> from skdnn.report import Result
    >>> Result("DataFrame", {"scores": pd.DataFrame({"r": [0.5]})}).tables["scores"].shape
    (1, 1)
    """

    kind: str
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tests: list[dict[str, str]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


_PLAIN = ("facts", "tests", "texts", "pictures", "warnings")


def result_to_json(result: Result) -> dict[str, Any]:
    """Values that JSON can hold."""
    tables = [[name, table_to_json(table)] for name, table in result.tables.items()]
    plain = {name: to_json(getattr(result, name)) for name in _PLAIN}
    return {"kind": result.kind, **plain, "tables": tables}


def result_from_json(held: Mapping[str, Any]) -> Result:
    """What `result_to_json` was given; a ValueError says which table cannot be read."""
    tables = {}
    for name, table in held["tables"]:
        try:
            tables[name] = table_from_json(table)
        except Exception as error:
            raise ValueError(f"table {name!r}: {error}") from error
    plain = {name: from_json(held[name]) for name in _PLAIN}
    for name, value in plain.items():
        kind = list if name in ("tests", "warnings") else dict
        if not isinstance(value, kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    return Result(held["kind"], tables, **plain)
