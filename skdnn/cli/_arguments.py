"""The frame of all commands: arguments are written as usage lines show them, and told once.

What an argument's value is called says what it is: ``FILE`` and ``FOLDER`` are completed by a
shell, ``N`` and ``K`` are integers.
"""

from __future__ import annotations

import argparse
import importlib
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import shtab

from skdnn.cli._terminal import visible

Arguments = argparse.Namespace
_USAGE = re.compile(r"(?P<name>\S+)(?: (?P<value>.+))?")
_COUNTS = ("N", "K")
_NUMBERS: dict[str, type] = {**dict.fromkeys(_COUNTS, int), "DAYS": float, "NUMBER": float}
# What Python's functions call an option, where that is another word.
_IN_PYTHON = {
    **{"bootstrap": "n_boot", "permutations": "n_permutations", "seed": "random_state"},
    **{"components": "n_components", "repeats": "n_repeats", "cv": "n_splits", "jobs": "n_jobs"},
    **{"units": "n_units", "voxels": "n_voxels", "random_layers": "n_layers"},
    **{"stim_column": "stimulus", "zscore": "standardize", "results": "folder"},
}
_COMPLETED = {
    **dict.fromkeys(("FILE", "PATH", "FEATURES"), shtab.FILE),
    "FOLDER": shtab.DIRECTORY,
}


@dataclass(frozen=True)
class Option:
    """One argument: its name, what argparse is told of it, and how a shell completes it."""

    name: str
    settings: dict[str, Any]
    complete: Any = None

    def add_to(self, container: argparse._ActionsContainer) -> None:
        """Declare it."""
        action = container.add_argument(self.name, **self.settings)
        if self.complete is not None:
            action.complete = self.complete  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Group:
    """Options under a title of their own, or, without one, options that exclude each other."""

    title: str
    options: tuple[Option, ...]
    required: bool = False

    def add_to(self, container: argparse._ActionsContainer) -> None:
        """Declare all of them."""
        group: argparse._ActionsContainer = (
            container.add_argument_group(self.title)
            if self.title
            else container.add_mutually_exclusive_group(required=self.required)
        )
        for each in self.options:
            each.add_to(group)


def option(
    usage: str,
    help: str,
    default: Any = None,
    *,
    required: bool = False,
    const: Any = None,
    files: bool = False,
    least: int | None = 0,
) -> Option:
    """An argument, from what its usage looks like.

    ``"--quiet"`` is a flag, ``"--rdm FILE"`` takes a value, ``"--out FILE..."`` one or more,
    ``"--twin [N]"`` one or none (which means `const`), ``"--method {rsa,encoding}"`` one of
    these. Without dashes it is positional. Defaults are added to the help text. A count (N, K)
    that is smaller than `least` is wrong usage.
    """
    match = _USAGE.fullmatch(usage)
    assert match is not None
    name, value = match["name"], match["value"]
    if value is None:
        return Option(name, {"action": "store_true", "help": help})
    settings: dict[str, Any] = {"default": default}
    is_optional, several = value.startswith("["), value.endswith("...")
    word = value.removesuffix("...").strip("[]")
    if word.startswith("{"):
        settings["choices"] = word.strip("{}").split(",")
    else:
        metavar = tuple(word.split())
        settings["metavar"] = metavar if len(metavar) > 1 else word
        if len(metavar) > 1:
            settings["nargs"] = len(metavar)
    if is_optional or several:
        settings["nargs"] = "*" if is_optional and several else "+" if several else "?"
    if const is not None:
        settings["const"] = const
    number = type(default) if isinstance(default, int | float) else _NUMBERS.get(word)
    if number is not None:
        settings["type"] = number
        if word in _COUNTS and least is not None:
            settings["type"] = _at_least(least)
    if required:
        settings["required"] = True
    if default not in (None, []) and const is None and "default:" not in help:
        help += " (default: %(default)s)"
    complete = shtab.FILE if files else _COMPLETED.get(word)
    return Option(name, {**settings, "help": help}, complete)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text}: give {least} or more")
        return int(text)

    number.__name__ = "int"  # as argparse calls what it can't read
    return number


def group(title: str, *options: Option) -> Group:
    """Options under a title."""
    return Group(title, options)


def one_of(*options: Option, required: bool = False) -> Group:
    """Options that exclude each other."""
    return Group("", options, required)


_DEBUG = option("--debug", "after an error, also show where in the code it was")


@dataclass(frozen=True)
class Command:
    """A command: what its help page says. What it does is ``run`` of the file of its name."""

    name: str
    help: str
    description: str
    examples: Sequence[str] = ()
    options: Sequence[Option | Group] = field(default=(), repr=False)

    def add_to(self, commands: Any) -> None:
        """Declare it; its examples stand at the end of its help page."""
        lines = "\n".join(f"  {line}" for line in self.examples)
        made: argparse.ArgumentParser = commands.add_parser(
            self.name,
            help=self.help,
            description=textwrap.fill(self.description, 90),
            epilog=f"examples:\n{lines}" if lines else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for each in (_DEBUG, *self.options):
            each.add_to(made)
        made.set_defaults(parser=made)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints steer no terminal."""

    def error(self, message: str) -> NoReturn:
        """Print usage and complaint, and exit with 2."""
        super().error(visible(message))


def made_parser(
    description: str, epilog: str, commands: Sequence[Command]
) -> argparse.ArgumentParser:
    """The parser of all commands."""
    made = Parser(
        prog="skdnn",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shtab.add_argument_to(made, "--print-completion", help="print a script for your shell")
    chosen = made.add_subparsers(dest="command", required=True, metavar="command")
    for command in commands:
        command.add_to(chosen)
    return made


def run(arguments: argparse.Namespace) -> None:
    """Do what a command does; its code is loaded now."""
    importlib.import_module(f"skdnn.cli._{arguments.command}").run(arguments)


def in_python(arguments: argparse.Namespace, *options: str) -> dict[str, Any]:
    """These options, called as Python's functions call them."""
    return {_IN_PYTHON.get(name, name): getattr(arguments, name) for name in options}


def refuse(wrong: str | None) -> None:
    """End with usage and exit code 2, if something is wrong that argparse can't know."""
    if wrong:
        raise argparse.ArgumentError(None, wrong)


def refuse_if(rules: Mapping[str, Any]) -> None:
    """The same for the first of several reasons that holds."""
    refuse(next((why for why, holds in rules.items() if holds), None))
