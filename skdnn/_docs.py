"""Texts of parameters that many public functions have, written once.

In the source a docstring has the parameter's first sentence, for whoever reads it in an editor,
and behind it the name of a text, ``%(device)s``; :func:`filled` puts the text there when the
module is imported, so that ``help()`` and the site show it whole.
"""

from __future__ import annotations

import re
import textwrap
from typing import TypeVar

Documented = TypeVar("Documented")

_WIDTH = 99
_MARK = re.compile(r"^(?P<indent> *)(?P<first>.*?)(?P<mark>%\((?P<name>\w+)\)s)$", re.MULTILINE)

TEXTS = {
    "conditions": """
        They are then matched with the labels of the others, and nothing is taken to be in the
        same order.""",
    "device": """
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` takes the GPU where there is one.""",
}


def filled(thing: Documented) -> Documented:
    """Put the shared texts into the docstring of a class or function.

    Raises
    ------
    KeyError
        Of a name that has no text.
    """
    if thing.__doc__:  # python -OO keeps none
        thing.__doc__ = _MARK.sub(_with_text, thing.__doc__)
    return thing


def _with_text(found: re.Match[str]) -> str:
    """The line with its text, in lines of the usual width."""
    whole = f"{found['first']}{' '.join(TEXTS[found['name']].split())}"
    indent = found["indent"]
    lines = textwrap.wrap(
        whole, _WIDTH - 8, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip
    return "\n".join(lines)
