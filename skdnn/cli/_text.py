"""Text that steers no terminal, in lines as messages need them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_BREAK = re.compile(r"(?P<colon>:?)\s*\n\s*(- )?")


def visible(text: Any, *, keep: str = "") -> str:
    """Text without anything that steers a terminal; line breaks too, unless they are to be kept.

    Control characters, broken UTF-8 and marks that change the direction of writing are shown
    as escapes, as Python writes them.
    """
    return "".join(
        letter if letter in keep or is_shown(letter) else _escaped(letter) for letter in str(text)
    )


def is_shown(letter: str) -> bool:
    """Whether a terminal shows this letter and does nothing else."""
    if letter.isprintable():
        return True
    return unicodedata.category(letter) in ("Zs", "Cn", "Co") or letter in "\u200c\u200d"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """A message of several lines in one."""
    joined = _BREAK.sub(lambda found: ": " if found["colon"] else "; ", text.strip())
    return visible(joined)


def listed(values: Iterable[Any]) -> str:
    """Names for a message: the first ten, and how many more."""
    names = [visible(value) for value in values]
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
