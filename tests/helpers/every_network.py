"""Which of a library's many networks the tests go through."""

from __future__ import annotations

import os
from collections.abc import Sequence

# Any text but "": the giants too, for an hour or so.
VARIABLE = "SKDNN_TEST_EVERY_NETWORK"


def one_of_each_kind(names: Sequence[str], chosen: Sequence[str]) -> Sequence[str]:
    """The chosen names, or all of them where the environment asks for it."""
    return names if os.environ.get(VARIABLE) else [name for name in names if name in chosen]
