"""``skdnn demo``."""

from __future__ import annotations

from typing import Any

from skdnn.cli._arguments import Arguments


def run(arguments: Arguments) -> None:
    """Run the demonstration."""
    from skdnn.demo import run_demo  # here, so that --help does not wait for it

    less: Any = {"n_images": 100, "n_epochs": 10, "n_repeats": 1} if arguments.quick else {}
    run_demo(arguments.out, seed=arguments.seed, **less)
