"""``skdnn version``."""

from __future__ import annotations

import argparse
from typing import Any

from skdnn._version import __version__
from skdnn.cli._command import command


def add(commands: Any) -> None:
    """Declare the command."""
    command(
        commands,
        "version",
        _run,
        help="print the version of skdnn",
        description="Print the version of skdnn.",
        examples=(),
    )


def _run(arguments: argparse.Namespace) -> None:
    print(f"skdnn {__version__}")
