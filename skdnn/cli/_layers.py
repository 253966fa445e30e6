"""``skdnn layers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from skdnn.cli._answer_cache import kept_answer
from skdnn.cli._arguments import Arguments
from skdnn.cli._network_and_layers import is_own, network
from skdnn.cli._terminal import show_table

_SHOWN = ["layer", "type", "output_shape", "n_units", "n_params", "n_calls", "source"]


def run(arguments: Arguments) -> None:
    """List layers."""
    table = _table(arguments.model, arguments.backend)
    if arguments.depth is not None:
        table = table[table["layer"].str.count(r"\.") < arguments.depth]
    show_table(table, as_json=arguments.json)


def _table(model: str, backend: str) -> pd.DataFrame:
    """What `list_layers` gives, of the columns that are shown."""

    def listed() -> dict[str, Any]:
        from skdnn import list_layers

        table = list_layers(network(model), backend)
        return {name: table[name].tolist() for name in _SHOWN}

    found = kept_answer(f"layers {backend} {model}", listed) if _is_named(model) else listed()
    return pd.DataFrame({**found, "output_shape": list(map(tuple, found["output_shape"]))})


def _is_named(model: str) -> bool:
    """Whether installed packages alone decide what a network is: files and hubs may change."""
    return not (
        is_own(model)
        or ":" in model
        or model.startswith("hf/")
        or Path(model).expanduser().exists()
    )
