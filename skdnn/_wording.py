"""Words for messages: the first few of many, the nearest names, amounts as people write them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


def listed(things: Iterable[Any], shown: int = 5, show: Callable[[Any], str] = repr) -> str:
    """The first few, and how many more: ``"'a', 'b' and 3 more"``."""
    every = list(things)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(map(show, every[:shown])) + more


def in_lines(things: Iterable[str], shown: int = 10) -> str:
    """The same, each on an indented line of its own; begins with a line break."""
    every = list(things)
    more = [f"... and {len(every) - shown} more"] if len(every) > shown else []
    return "".join(f"\n  {thing}" for thing in [*every[:shown], *more])


def nearest(name: str, known: Iterable[str], n: int = 5) -> list[str]:
    """The names most like one that does not exist, whatever the case; the likest first."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    near = difflib.get_close_matches(name.casefold(), list(folded), n=n, cutoff=0.45)
    return [folded[one] for one in near]


def counted(n: int, noun: str) -> str:
    """E.g. ``"1 image"``, ``"12,000 images"``."""
    return f"{f'{n:,}' if n >= 10_000 else n} {noun}{'' if n == 1 else 's'}"


def in_bytes(n_bytes: float) -> str:
    """E.g. ``"1.23 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 999.5:  # what would be rounded to 1000 belongs to the next unit
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB" if n_bytes < 999.5 else f"{n_bytes:,.0f} TB"


def in_time(seconds: float) -> str:
    """E.g. ``"12 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
