"""Which layers a command is about: named, all of them, or asked for at a terminal."""

from __future__ import annotations

import sys
from typing import Any

from skdnn.cli._frame import Arguments, refuse

_ANSWERS = "numbers or names, apart by spaces; patterns such as features.*; all"


def choose_layers(arguments: Arguments, extractor: Any) -> dict[str, tuple[int, ...]]:
    """Names of layers, patterns resolved, in the order asked for; and the shape of each.

    Raises
    ------
    argparse.ArgumentError
        If no layer is given and there is no terminal to ask at.
    ValueError
        For unknown names, with the nearest ones.
    """
    given = arguments.layer = arguments.layer or _ask(extractor, arguments.model)
    wanted = ["*"] if given == ["all"] else given
    facts = extractor.describe(layers=wanted).facts
    return {layer["name"]: tuple(layer["shape"]) for layer in facts["layers"]}


def _ask(extractor: Any, model: str) -> list[str]:
    """Show the layers and wait for an answer that names some of them."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        refuse(
            "--layer is needed where there is no terminal to ask at; "
            f"'skdnn layers {model}' lists the names",
        )
    table = extractor.layer_table()
    table = table[table["n_calls"] > 0].reset_index(drop=True)
    shown = table[["layer", "type", "output_shape", "n_units"]]
    print(shown.to_string(), file=sys.stderr)
    while True:
        print(f"Which layers? ({_ANSWERS})", file=sys.stderr)
        answer = input("> ").replace(",", " ").split()
        numbers = [int(word) for word in answer if word.isdecimal()]
        wrong = [str(number) for number in numbers if number >= len(table)]
        if answer and not wrong:
            return [
                str(table["layer"][int(word)]) if word.isdecimal() else word for word in answer
            ]
        print(f"No layer has the number {', '.join(wrong)}." if wrong else "", file=sys.stderr)
