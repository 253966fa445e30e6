"""``skdnn layers``."""

from __future__ import annotations

import argparse
from typing import Any

from skdnn.cli._command import add_json, command
from skdnn.cli._output import show_table

_SHOWN = ["layer", "type", "output_shape", "n_units", "n_params", "n_calls", "source"]


def add(commands: Any) -> None:
    """Declare the command."""
    layers = command(
        commands,
        "layers",
        _run,
        help="list the layers of a network",
        description="List the layers that --layer takes, in the order of the network, with the "
        "shape of what they compute for one image and the number of units. Nothing is downloaded.",
        examples=("skdnn layers alexnet", "skdnn layers cornet-s --json"),
    )
    layers.add_argument("model", metavar="MODEL", help="a network by its name")
    layers.add_argument(
        "--backend",
        choices=("auto", "torch", "tensorflow"),
        default="auto",
        help="where the name is looked for (default: auto)",
    )
    add_json(layers)


def _run(arguments: argparse.Namespace) -> None:
    from skdnn import list_layers

    table = list_layers(arguments.model, arguments.backend)
    show_table(table[_SHOWN], as_json=arguments.json)
