"""The network, its layers and the extractor that a command's options describe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skdnn.cli._arguments import Arguments, in_python, refuse
from skdnn.cli._input_files import check_regular
from skdnn.cli._terminal import note
from skdnn.cli._unfinished_work import activations_beside

_ANSWERS = "numbers or names, apart by spaces; patterns such as features.*; all"


# --- the network: by name, or by a function in a file of one's own -------------------------------


def is_own(text: str) -> bool:
    """Whether this means a function in a file, as ``FILE.py:FUNCTION``."""
    return re.fullmatch(r".+\.py(:\w*)?", text, re.DOTALL) is not None


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

    if not is_own(text):
        return text
    if weights != "default":
        refuse(f"--weights goes with networks named by their name; {text} brings its own")
    check_regular(Path(text[: text.rindex(".py") + 3]).expanduser())
    try:
        return load_own_network(text, seed=seed)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"--model {error}") from error


def name_and_weights(text: str) -> tuple[str, str | None]:
    """``NAME@WEIGHTS`` apart; None where no weights are given."""
    name, sign, weights = text.partition("@")
    if is_own(text) or not sign:
        return text, None
    if not name or not weights:
        refuse(f"--model {text}: before @ stands a network's name, and behind it its weights")
    return name, weights


def weights_from(arguments: Arguments, given: str | None = None) -> str | None:
    """Random weights are None in Python, and 'none' in a shell."""
    weights: str = arguments.weights if given is None else given
    check_regular(weights)
    return None if weights.lower() == "none" else weights


# --- its layers: named, all of them, or asked for at a terminal ----------------------------------


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


def layers_worth_scoring(arguments: Arguments, extractor: Any) -> list[str]:
    """The layers; of a pattern without those that would be scored as copies of another."""
    from skdnn import passed_on_layers

    layers = list(choose_layers(arguments, extractor))
    copies = passed_on_layers(extractor, layers)
    copies = {name: kind for name, kind in copies.items() if name not in arguments.layer}
    if copies and len(copies) < len(layers):
        types = ", ".join(sorted(set(copies.values())))
        note(f"left out of the pattern: {len(copies)} layers that change nothing ({types}); "
             "give their names to have them", arguments)  # fmt: skip
        return [name for name in layers if name not in copies]
    return layers


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


# --- the extractor, and what its work will take --------------------------------------------------


def extractor_from(arguments: Arguments, **changes: Any) -> Any:
    """The extractor that the options of network and extraction describe."""
    from skdnn import DNNFeatureExtractor

    given = {
        **in_python(arguments, "model", "backend", "device", "seed"),
        **in_python(arguments, "pooling", "batch_size", "precision", "cache"),
        "weights": weights_from(arguments),
        "verbose": int(not getattr(arguments, "quiet", False)),
        **changes,
    }
    given["model"] = network(given["model"], given["weights"], arguments.seed)
    return DNNFeatureExtractor(**given)


def precomputed(folder: str | None, rows: Any, layers: Sequence[str], arguments: Arguments) -> Any:
    """The same, after each image has gone through the network."""
    extractor = extractor_from(arguments, cache=folder)
    extractor.precompute(rows, layers, verbose=extractor.verbose)
    return extractor.set_params(verbose=0)


def estimate_from(arguments: Arguments, rows: Any, layers: Any, out: Any = None) -> Any:
    """What an extraction will take. Nothing is downloaded: random weights are as fast."""
    cache = arguments.cache
    if cache is None and out is not None:
        cache = activations_beside(out)
    found = extractor_from(arguments, cache=cache).estimate(rows, layers, measure=False)
    if not found.n_to_forward:
        return found
    own = {} if is_own(arguments.model) else {"weights": None}
    twin = extractor_from(arguments, **own, cache=None).estimate(rows, layers)
    share = found.n_to_forward / twin.n_to_forward
    return replace(found, seconds=None if twin.seconds is None else twin.seconds * share)
