"""``skdnn layers``."""

from __future__ import annotations

import argparse
from typing import Any

from skdnn.cli._command import add_json, command
from skdnn.cli._networks import network
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
        examples=("skdnn layers alexnet", "skdnn layers timm/vit_tiny_patch16_224 --depth 2"),
    )
    layers.add_argument(
        "model", metavar="MODEL", help="a network by its name, or FILE.py:FUNCTION"
    )
    layers.add_argument(
        "--backend",
        choices=("auto", "torch", "tensorflow"),
        default="auto",
        help="where the name is looked for (default: auto)",
    )
    layers.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="names of at most N parts: 1 shows the network's own parts, 2 their children too",
    )
    add_json(layers)


def _run(arguments: argparse.Namespace) -> None:
    from skdnn import list_layers

    if arguments.depth is not None and arguments.depth < 1:
        raise argparse.ArgumentError(None, f"--depth {arguments.depth}: give 1 or more")
    table = list_layers(network(arguments.model), arguments.backend)
    if arguments.depth is not None:
        table = table[table["layer"].str.count(r"\.") < arguments.depth]
    show_table(table[_SHOWN], as_json=arguments.json)
