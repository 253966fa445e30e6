"""``skdnn models``."""

from __future__ import annotations

import argparse
import fnmatch
import json
from typing import Any

from skdnn.cli._command import add_json, command

_SOURCES = (
    *("torchvision", "keras", "cornet", "clip", "published", "pretrained", "timm", "open_clip"),
    "installed",
)


def add(commands: Any) -> None:
    """Declare the command."""
    models = command(
        commands,
        "models",
        _run,
        help="list the networks that have names",
        description="List the names that --model takes. Packages that are not installed "
        "contribute none.",
        examples=("skdnn models", "skdnn models 'resnet*'", "skdnn models --source installed"),
    )
    models.add_argument(
        "pattern", nargs="?", metavar="PATTERN", help="only these, such as 'resnet*'"
    )
    models.add_argument(
        "--source",
        choices=_SOURCES,
        help="only those of one source; 'installed': those whose trained weights are here already",
    )
    add_json(models)


def _run(arguments: argparse.Namespace) -> None:
    from skdnn import list_models

    names = list_models(arguments.source)
    if arguments.pattern:
        pattern = arguments.pattern.lower()
        names = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern)]
        if not names:
            raise ValueError(
                f"no network is called {arguments.pattern!r}. A pattern needs stars: "
                f"'*{arguments.pattern.strip('*')}*' finds names that hold these letters."
            )
    print(json.dumps(names, indent=1) if arguments.json else "\n".join(names))
