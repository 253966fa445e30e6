"""``skdnn version``."""

from __future__ import annotations

from skdnn._version import __version__
from skdnn.cli._arguments import Arguments


def run(arguments: Arguments) -> None:
    """Print the version."""
    print(f"skdnn {__version__}")
