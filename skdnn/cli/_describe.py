"""``skdnn describe``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import shtab

from skdnn.cli._ask import choose_layers
from skdnn.cli._command import (
    add_extraction,
    add_images,
    add_json,
    add_layers,
    add_network,
    command,
    extractor_from,
)
from skdnn.cli._images import read_images
from skdnn.cli._output import visible
from skdnn.cli._reading import reading


def add(commands: Any) -> None:
    """Declare the command."""
    describe = command(
        commands,
        "describe",
        _run,
        help="write the paragraph for the methods section",
        description="Print a paragraph fit for a methods section and its references as BibTeX: "
        "of features that were saved, or of a network and layers.",
        examples=(
            "skdnn describe features.h5",
            "skdnn describe --model alexnet --layer features.10",
            "skdnn describe features.h5 --bibtex > references.bib",
        ),
    )
    file = describe.add_argument(
        "features", nargs="?", metavar="FEATURES", help="a file that skdnn saved"
    )
    file.complete = shtab.FILE  # type: ignore[attr-defined]
    add_layers(describe)
    add_images(describe, required=False)
    only = describe.add_mutually_exclusive_group()
    only.add_argument("--bibtex", action="store_true", help="print the references only")
    add_json(only)
    add_network(describe, required=False)
    add_extraction(describe)


def _run(arguments: argparse.Namespace) -> None:
    if bool(arguments.features) == bool(arguments.model):
        raise argparse.ArgumentError(None, "give either a file of features or --model")
    text = _of_file(arguments) if arguments.features else _of_network(arguments)
    if arguments.json:
        print(text.to_json())
    else:
        print(visible(text.bibtex if arguments.bibtex else text, keep="\n"))


def _of_file(arguments: argparse.Namespace) -> Any:
    from skdnn import MethodsText, load_features

    if arguments.layer or arguments.images:
        raise argparse.ArgumentError(None, "a file of features knows its layers and images")
    file = Path(arguments.features)
    whole = file.is_file() and ".part-" not in file.name
    with reading(file):
        saved = load_features(file, mmap=whole and file.suffix in (".npy", ".h5", ".hdf5"))
        return MethodsText.from_provenance(saved.provenance)


def _of_network(arguments: argparse.Namespace) -> Any:
    extractor = extractor_from(arguments)
    layers = list(choose_layers(arguments, extractor))
    images = read_images(arguments.images).rows if arguments.images else None
    return extractor.describe(images, layers)
