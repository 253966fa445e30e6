"""``skdnn demo``."""

from __future__ import annotations

import argparse


def run(arguments: argparse.Namespace) -> None:
    from skdnn.demo import run_demo  # here, so that --help does not wait for it

    if arguments.quick:
        run_demo(arguments.out, seed=arguments.seed, n_images=100, n_epochs=10, n_repeats=1)
    else:
        run_demo(arguments.out, seed=arguments.seed)
