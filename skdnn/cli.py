"""The ``skdnn`` command: a thin layer over public functions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from skdnn._version import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``skdnn`` command.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    code : int
        0 when done, 1 when the command failed (the reason is on stderr). Wrong usage exits
        with 2, an interrupt returns 130.

    Examples
    --------
    >>> from skdnn.cli import main
    >>> main(["version"])  # doctest: +ELLIPSIS
    skdnn ...
    0
    """
    arguments = _parser().parse_args(argv)
    # The command writes files and opens no window; a machine without a display must do.
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"skdnn {arguments.command}: error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """Build the parser; each command's function is its `run`."""
    parser = argparse.ArgumentParser(
        prog="skdnn",
        description="Deep network activations for scikit-learn: RSA, encoding models and layer "
        "searches for neuroscience.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    demo = commands.add_parser(
        "demo",
        help="train a small network on handwritten digits and search its layers",
        description="Writes scikit-learn's handwritten digits as image files, trains a small "
        "convolutional network on half of them, compares its layers and those of its untrained "
        "twin on held-out digits, and draws the result. Needs no download.",
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
    demo.set_defaults(run=_demo)

    version = commands.add_parser("version", help="print the version of skdnn")
    version.set_defaults(run=_version)
    return parser


def _demo(arguments: argparse.Namespace) -> None:
    from skdnn.demo import run_demo  # here, so that --help does not wait for it

    if arguments.quick:
        run_demo(arguments.out, seed=arguments.seed, n_images=100, n_epochs=10, n_repeats=1)
    else:
        run_demo(arguments.out, seed=arguments.seed)


def _version(arguments: argparse.Namespace) -> None:
    print(f"skdnn {__version__}")
