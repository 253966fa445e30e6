"""Tables of scores and tests of models, checked before they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


def check_columns(frame: pd.DataFrame, wanted: set[str], name: str) -> None:
    missing = wanted - set(frame.columns)
    if missing:
        raise ValueError(f"{name} lacks the column(s) {', '.join(sorted(missing))}.")


def p_column(frame: pd.DataFrame) -> Array | None:
    """Adjusted p values where there are any, else those that were not adjusted."""
    found = [name for name in ("p_adjusted", "p") if name in frame.columns]
    return frame[found[0]].to_numpy(dtype=np.float64) if found else None


def checked_pairs(pairwise: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """The pairs, with the p values that count in the column ``p``."""
    check_columns(pairwise, {"model_a", "model_b", "difference"}, "pairwise")
    p = p_column(pairwise)
    if p is None:
        raise ValueError("pairwise lacks the column p, or p_adjusted.")
    named = {str(name) for end in ("model_a", "model_b") for name in pairwise[end]}
    if named - set(models):
        raise ValueError(f"pairwise names {sorted(named - set(models))}, not in {models}.")
    return pairwise[["model_a", "model_b", "difference"]].assign(p=p)


def checked_each(each: Any, models: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(each)
    table.columns = table.columns.map(str)
    missing = set(models) - set(table.columns)
    if missing:
        raise ValueError(f"each lacks the model(s) {', '.join(sorted(missing))}.")
    return table
