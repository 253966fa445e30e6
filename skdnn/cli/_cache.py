"""``skdnn cache``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import shtab

from skdnn.cli._command import add_json, command
from skdnn.cli._output import show_table

_SHOWN = ["model", "weights", "layer", "pooling", "images", "bytes", "date"]
_ACTIONS = ("list", "verify", "prune")


def add(commands: Any) -> None:
    """Declare the command."""
    cache = command(
        commands,
        "cache",
        _run,
        help="list, check or thin out a folder of stored activations",
        description="list: what is stored. verify: read everything and compare checksums; exit "
        "code 1 if something is damaged (--repair mends it; lost rows are computed anew). "
        "prune: remove what --model, --layer, --older-than or --max-bytes choose, and what "
        "killed runs have left.",
        examples=(
            "skdnn cache list activations/",
            "skdnn cache verify activations/ --repair",
            "skdnn cache prune activations/ --layer 'features.*' --older-than 90 --dry-run",
        ),
    )
    cache.add_argument("action", choices=_ACTIONS, help="what to do")
    folder = cache.add_argument("folder", metavar="FOLDER", help="the folder given as --cache")
    folder.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    cache.add_argument("--repair", action="store_true", help="verify: mend what is damaged")
    cache.add_argument("--model", metavar="PATTERN", help="prune: of these networks")
    cache.add_argument("--layer", metavar="PATTERN", help="prune: of these layers")
    cache.add_argument("--older-than", type=float, metavar="DAYS", help="prune: written before")
    cache.add_argument(
        "--max-bytes", type=int, metavar="N", help="prune: the oldest, down to this size"
    )
    cache.add_argument("--dry-run", action="store_true", help="prune: say what would go")
    add_json(cache)


def _run(arguments: argparse.Namespace) -> None:
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
        table = store.prune(
            model=arguments.model,
            layer=arguments.layer,
            older_than=arguments.older_than,
            max_bytes=arguments.max_bytes,
            dry_run=arguments.dry_run,
        )
        _show(table, "nothing to remove", arguments)


def _verify(store: Any, arguments: argparse.Namespace) -> None:
    faults = store.verify(repair=arguments.repair)
    _show(faults, "all is well", arguments)
    if len(faults) and not arguments.repair:
        raise ValueError(f"{len(faults)} file(s) are damaged: --repair mends them.")


def _show(table: pd.DataFrame, empty: str, arguments: argparse.Namespace) -> None:
    if table.empty and not arguments.json:
        print(empty)
    else:
        show_table(table, as_json=arguments.json)


def _check_options(arguments: argparse.Namespace) -> None:
    """An option of another action would do nothing; say so."""
    of_prune = ("model", "layer", "older_than", "max_bytes", "dry_run")
    options = {**dict.fromkeys(of_prune, "prune"), "repair": "verify"}
    for name, action in options.items():
        if getattr(arguments, name) and arguments.action != action:
            raise argparse.ArgumentError(
                None, f"--{name.replace('_', '-')} belongs to 'skdnn cache {action}'"
            )
