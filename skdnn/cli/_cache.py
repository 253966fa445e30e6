"""``skdnn cache``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from skdnn.cli._arguments import Arguments, in_python, refuse
from skdnn.cli._terminal import show_table

_SHOWN = ["model", "weights", "layer", "pooling", "images", "bytes", "date"]
_OF_PRUNE = ("model", "layer", "older_than", "max_bytes", "dry_run")


def run(arguments: Arguments) -> None:
    """List, check or thin out."""
    from skdnn import ActivationStore

    _check_options(arguments)
    if not Path(arguments.folder).is_dir():
        raise FileNotFoundError(f"there is no folder {arguments.folder}.")
    changes = arguments.repair or (arguments.action == "prune" and not arguments.dry_run)
    store = ActivationStore(arguments.folder, mode="a" if changes else "r")
    if arguments.action == "list":
        show_table(store.contents()[_SHOWN], as_json=arguments.json)
    elif arguments.action == "verify":
        _verify(store, arguments)
    else:
        table = store.prune(**in_python(arguments, *_OF_PRUNE))
        _show(table, "nothing to remove", arguments)


def _verify(store: Any, arguments: Arguments) -> None:
    faults = store.verify(repair=arguments.repair)
    _show(faults, "all is well", arguments)
    if len(faults) and not arguments.repair:
        raise ValueError(f"{len(faults)} file(s) are damaged: --repair mends them.")


def _show(table: pd.DataFrame, empty: str, arguments: Arguments) -> None:
    if table.empty and not arguments.json:
        print(empty)
    else:
        show_table(table, as_json=arguments.json)


def _check_options(arguments: Arguments) -> None:
    """An option of another action would do nothing; say so."""
    options = {**dict.fromkeys(_OF_PRUNE, "prune"), "repair": "verify"}
    for name, action in options.items():
        if getattr(arguments, name) and arguments.action != action:
            refuse(f"--{name.replace('_', '-')} belongs to 'skdnn cache {action}'")
