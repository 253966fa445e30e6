"""Networks as a command is given them: by name, or by a function in a file of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from skdnn.cli._frame import refuse
from skdnn.cli._reading import check_regular

#: ``FILE.py:FUNCTION``; without a function, one is asked for.
_IN_FILE = re.compile(r"(?P<file>.+\.py)(:(?P<function>\w*))?", re.DOTALL)


def network(text: str, weights: str | None = "default", seed: int = 0) -> Any:
    """The name that is given as --model, or the network that a file's function returns.

    Raises
    ------
    argparse.ArgumentError
        If weights are given for a network of one's own.
    FileNotFoundError, ValueError
        If there is no such file or function, or the function fails or returns something else.
    """
    from skdnn.models import load_own_network

    found = _IN_FILE.fullmatch(text)
    if found is None:
        return text
    if weights != "default":
        refuse(f"--weights goes with networks named by their name; {text} brings its own")
    check_regular(Path(found["file"]).expanduser())
    try:
        return load_own_network(text, seed=seed)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"--model {error}") from error


def is_own(text: str) -> bool:
    """Whether this means a function in a file."""
    return _IN_FILE.fullmatch(text) is not None


def name_and_weights(text: str) -> tuple[str, str | None]:
    """``NAME@WEIGHTS`` apart; None where no weights are given."""
    name, sign, weights = text.partition("@")
    if is_own(text) or not sign:
        return text, None
    if not name or not weights:
        refuse(f"--model {text}: before @ stands a network's name, and behind it its weights")
    return name, weights
