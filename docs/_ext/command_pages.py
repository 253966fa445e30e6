"""The help texts of the command line, as argparse writes them: ``generated/commands.md``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from skdnn.cli import parser

WIDTH = "88"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to sphinx."""
    app.connect("config-inited", write_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_page(app: Sphinx, config: Config) -> None:
    """Write the help texts, to be included in a page."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    (folder / "commands.md").write_text(help_texts(), encoding="utf-8")


def help_texts() -> str:
    """A heading and a block for ``skdnn`` and for each command."""
    os.environ.update(COLUMNS=WIDTH, NO_COLOR="1")
    made = parser()
    sections = [f"```text\n{made.format_help()}```\n"]
    for name, command in commands(made).items():
        sections.append(f"## skdnn {name}\n\n```text\n{command.format_help()}```\n")
    return "\n".join(sections)


def commands(made: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands, by name."""
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
