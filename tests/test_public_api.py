"""Public names and their signatures, as written down in ``public_api.txt``.

A change there is a change for users: it needs a line in CHANGELOG.md. The list is written anew by
``python tests/test_public_api.py``.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import skdnn

LIST = Path(__file__).with_name("public_api.txt")
ROOMS = ("skdnn", *(f"skdnn.{room}" for room in skdnn._ROOMS))


def public_api() -> Iterator[str]:
    """A line for each public name, and one for each method that its class itself writes."""
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            if isinstance(thing, str):
                continue
            yield f"{room}.{name}{signature(thing)}"
            if inspect.isclass(thing) and room == first_home(name, thing):
                yield from (f"  .{member}" for member in sorted(members(thing)))


def first_home(name: str, thing: Any) -> str:
    """Methods of a class that stands in two rooms are listed once."""
    return next(
        room for room in ROOMS if getattr(importlib.import_module(room), name, None) is thing
    )


def members(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        if base.__module__.startswith("skdnn"):
            for name, value in vars(base).items():
                if name.startswith("_") and name != "__call__":
                    continue
                if isinstance(value, property):
                    yield name
                elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
                    yield f"{name}{signature(getattr(kind, name))}"


def signature(thing: Any) -> str:
    """Names, kinds and defaults; what is only said for type checkers may change."""
    try:
        found = inspect.signature(thing)
    except ValueError:  # a class that python cannot describe
        return ""
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
    ]
    text = str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def test_public_names_and_signatures_are_those_of_the_list() -> None:
    known = LIST.read_text(encoding="utf-8").splitlines()
    assert list(public_api()) == known


if __name__ == "__main__":
    LIST.write_text("".join(f"{line}\n" for line in public_api()), encoding="utf-8")
