"""``skdnn version``."""

from __future__ import annotations

import argparse

from skdnn._version import __version__


def run(arguments: argparse.Namespace) -> None:
    print(f"skdnn {__version__}")
