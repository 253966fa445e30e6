"""``skdnn classify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import shtab

from skdnn.cli._command import (
    add_cache,
    add_images,
    add_json,
    add_network,
    add_overwrite,
    add_quiet,
    command,
    weights_from,
)
from skdnn.cli._images import image_paths
from skdnn.cli._networks import network
from skdnn.cli._output import note, show_table, write_table
from skdnn.cli._places import TABLES, add_out, places
from skdnn.cli._reading import reading


def add(commands: Any) -> None:
    """Declare the command."""
    classify = command(
        commands,
        "classify",
        _run,
        help="name what images show, with probabilities",
        description="Print the most probable classes of each image, by the class names of the "
        "network's weights.",
        examples=(
            "skdnn classify --model alexnet --images ./images",
            "skdnn classify --model resnet50 --images cat.jpg --top 3 --json",
        ),
    )
    add_images(classify)
    classify.add_argument(
        "--top", type=int, default=5, metavar="K", help="classes per image (default: 5)"
    )
    names = classify.add_argument(
        "--classes",
        metavar="FILE",
        help="names of the network's outputs, one on a line, in its order; or 'imagenet' "
        "(default: those of the weights)",
    )
    names.complete = shtab.FILE  # type: ignore[attr-defined]
    add_out(classify, "write .csv, .tsv or .json instead of printing")
    add_cache(classify, "a folder that keeps the network's outputs")
    add_overwrite(classify)
    add_quiet(classify)
    add_json(classify)
    add_network(classify)


def _run(arguments: argparse.Namespace) -> None:
    from skdnn import DNNClassifier

    paths = image_paths(arguments.images)
    files = places(arguments, TABLES)
    classifier = DNNClassifier(
        network(arguments.model, weights_from(arguments), arguments.seed),
        backend=arguments.backend,
        device=arguments.device,
        weights=weights_from(arguments),
        classes=_names(arguments.classes),
        cache=arguments.cache,
        random_state=arguments.seed,
        verbose=int(not arguments.quiet),
    ).fit(paths)
    if not 1 <= arguments.top <= len(classifier.classes_):
        raise argparse.ArgumentError(
            None, f"--top {arguments.top}: between 1 and {len(classifier.classes_)} classes"
        )
    note(classifier.classes_note_, arguments)
    table = classifier.top_k(paths, k=arguments.top)
    for file in files:
        write_table(table, file)
    if not files:
        show_table(table, as_json=arguments.json)


def _names(given: str | None) -> Any:
    """Class names from a file."""
    if given is None or given == "imagenet":
        return given
    with reading(given):
        lines = Path(given).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]
