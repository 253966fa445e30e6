"""What all commands share: how one is declared, and options that several have."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import shtab

from skdnn.cli._networks import is_own, network
from skdnn.cli._reading import check_regular
from skdnn.cli._unfinished import unfinished_folder

Run = Callable[[argparse.Namespace], None]


def command(
    commands: Any, name: str, run: Run, *, help: str, description: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Declare a command; its examples stand at the end of its help text."""
    lines = "\n".join(f"  {line}" for line in examples)
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 90),
        epilog=f"examples:\n{lines}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--debug", action="store_true", help="after an error, also show where in the code it was"
    )
    made.set_defaults(run=run, parser=made)
    return made


def add_images(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """--images: folders and files."""
    option = parser.add_argument(
        "--images",
        nargs="+",
        required=required,
        metavar="PATH",
        help="a folder of images (folders inside included), or image files; rows come in natural "
        "order (img2 before img10)",
    )
    option.complete = shtab.FILE  # type: ignore[attr-defined]


def add_network(
    parser: argparse.ArgumentParser, *, several: bool = False, required: bool = True
) -> None:
    """Options of networks: --model, --weights, --seed, --backend, --device."""
    group = parser.add_argument_group("network")
    own = "FILE.py:FUNCTION, a function of yours that returns one"
    if several:
        given = group.add_argument(
            "--model",
            nargs="+",
            metavar="NAME",
            help=f"networks by name, or NAME@WEIGHTS with weights of their own; or {own}",
        )
    else:
        given = group.add_argument(
            "--model", required=required, metavar="NAME", help=f"a network by its name; or {own}"
        )
    given.complete = shtab.FILE  # type: ignore[attr-defined]
    option = group.add_argument(
        "--weights",
        default="default",
        metavar="WEIGHTS",
        help="'default' (the best published ones, downloaded once), 'none' (random), a published "
        "version, or a file (default: default)",
    )
    option.complete = shtab.FILE  # type: ignore[attr-defined]
    group.add_argument("--seed", type=int, default=0, help="of random weights (default: 0)")
    group.add_argument(
        "--backend",
        choices=("auto", "torch", "tensorflow"),
        default="auto",
        help="where the name is looked for (default: auto)",
    )
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )


def add_extraction(parser: argparse.ArgumentParser) -> None:
    """Options of extraction: --pooling, --batch-size, --precision, --cache."""
    group = parser.add_argument_group("extraction")
    group.add_argument(
        "--pooling",
        choices=("flatten", "mean", "max", "cls", "cls+mean"),
        default="flatten",
        help="what becomes of space or tokens: every unit, one value per channel, the class "
        "token (default: flatten)",
    )
    group.add_argument(
        "--batch-size", type=int, default=32, help="images at once, at most (default: 32)"
    )
    group.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="arithmetic of the network (default: float32)",
    )
    add_cache(
        group,
        "a folder that keeps activations for later commands; each image goes through each "
        "network once",
    )


def add_cache(parser: argparse._ActionsContainer, help: str) -> None:
    """--cache: a folder of activations."""
    option = parser.add_argument("--cache", metavar="FOLDER", help=help)
    option.complete = shtab.DIRECTORY  # type: ignore[attr-defined]


def add_layers(parser: argparse.ArgumentParser) -> None:
    """--layer: names, patterns, or all."""
    parser.add_argument(
        "--layer",
        nargs="+",
        metavar="NAME",
        help="layers by name, 'penultimate', 'output', patterns such as 'features.*' (all inside) "
        "or 'features.?' (direct children), or 'all'; without it, at a terminal, skdnn shows the "
        "layers and asks",
    )


def add_twin(parser: argparse._ActionsContainer) -> None:
    """--twin: the untrained control."""
    parser.add_argument(
        "--twin",
        nargs="?",
        type=int,
        const=1,
        default=0,
        metavar="N",
        help="also with random weights of N seeds (1 if N is left out), and the planned "
        "comparison of each layer with its untrained twin",
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """--json: a table for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet: no progress."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def add_assume_order(parser: argparse.ArgumentParser) -> None:
    """--assume-order: the user vouches for rows without names."""
    parser.add_argument(
        "--assume-order",
        action="store_true",
        help="take rows of files that hold no names in the order of the images (natural order: "
        "img2 before img10), or of the file that has names; names are never overruled",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """--overwrite: replace what is there."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there already"
    )


def extractor_from(arguments: argparse.Namespace, **changes: Any) -> Any:
    """The extractor that the options of `add_network` and `add_extraction` describe."""
    from skdnn import DNNFeatureExtractor

    options = {
        name: getattr(arguments, name)
        for name in ("model", "backend", "device", "pooling", "batch_size", "precision", "cache")
        if hasattr(arguments, name)
    }
    given = {
        **options,
        "weights": weights_from(arguments),
        "random_state": arguments.seed,
        "verbose": int(not getattr(arguments, "quiet", False)),
        **changes,
    }
    given["model"] = network(given["model"], given["weights"], arguments.seed)
    return DNNFeatureExtractor(**given)


def estimate_from(arguments: argparse.Namespace, rows: Any, layers: Any, out: Any = None) -> Any:
    """What an extraction will take. Nothing is downloaded: random weights are as fast."""
    cache = arguments.cache
    if cache is None and out is not None:
        cache = unfinished_folder(out)
    found = extractor_from(arguments, cache=cache).estimate(rows, layers, measure=False)
    if not found.n_to_forward:
        return found
    own = {} if is_own(arguments.model) else {"weights": None}
    twin = extractor_from(arguments, **own, cache=None).estimate(rows, layers)
    share = found.n_to_forward / twin.n_to_forward
    return replace(found, seconds=None if twin.seconds is None else twin.seconds * share)


def weights_from(arguments: argparse.Namespace, given: str | None = None) -> str | None:
    """Random weights are None in Python, and 'none' in a shell."""
    weights: str = arguments.weights if given is None else given
    check_regular(weights)
    return None if weights.lower() == "none" else weights
