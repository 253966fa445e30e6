"""The ``skdnn`` command: a thin layer over public functions.

What a command does lies in the file of its name.
"""

from skdnn.cli._main import main, parser

__all__ = ["main", "parser"]
