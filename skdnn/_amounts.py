"""Amounts as people write them."""

from __future__ import annotations


def in_bytes(n_bytes: float) -> str:
    """E.g. ``"1.23 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def in_time(seconds: float) -> str:
    """E.g. ``"12 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
