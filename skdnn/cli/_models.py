"""``skdnn models``."""

from __future__ import annotations

import fnmatch
import json

from skdnn.cli._answer_cache import kept_answer
from skdnn.cli._arguments import Arguments


def run(arguments: Arguments) -> None:
    """List names."""
    names = _names(arguments.source)
    if arguments.pattern:
        pattern = arguments.pattern.lower()
        names = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern)]
        if not names:
            raise ValueError(
                f"no network is called {arguments.pattern!r}. A pattern needs stars: "
                f"'*{arguments.pattern.strip('*')}*' finds names that hold these letters."
            )
    print(json.dumps(names, indent=1) if arguments.json else "\n".join(names))


def _names(source: str | None) -> list[str]:
    """What `list_models` gives; whose weights are on this machine may change at any time."""

    def listed() -> list[str]:
        from skdnn import list_models

        return list_models(source)

    found: list[str] = (
        listed() if source == "installed" else kept_answer(f"models {source}", listed)
    )
    return found
