"""``skdnn demo``."""

from __future__ import annotations

import argparse
from typing import Any

from skdnn.cli._command import command


def add(commands: Any) -> None:
    """Declare the command."""
    demo = command(
        commands,
        "demo",
        _run,
        help="train a small network on handwritten digits and search its layers",
        description="Writes scikit-learn's handwritten digits as image files, trains a small "
        "convolutional network on half of them, compares its layers and those of its untrained "
        "twin on held-out digits, and draws the result. Needs no download.",
        examples=("skdnn demo", "skdnn demo --quick --out results/"),
    )
    demo.add_argument(
        "--out",
        default=".",
        metavar="FOLDER",
        help="where to write the pictures and image files; made if missing (default: the "
        "current folder)",
    )
    demo.add_argument("--seed", type=int, default=0, help="decides everything random (default: 0)")
    demo.add_argument(
        "--quick",
        action="store_true",
        help="the same on half the images, with fewer epochs and folds",
    )


def _run(arguments: argparse.Namespace) -> None:
    from skdnn.demo import run_demo  # here, so that --help does not wait for it

    if arguments.quick:
        run_demo(arguments.out, seed=arguments.seed, n_images=100, n_epochs=10, n_repeats=1)
    else:
        run_demo(arguments.out, seed=arguments.seed)
