"""``skdnn classify``."""

from __future__ import annotations

from typing import Any

from skdnn.cli._extractor import weights_from
from skdnn.cli._frame import Arguments, refuse
from skdnn.cli._images import image_paths
from skdnn.cli._networks import network
from skdnn.cli._output import note, show_table, write_table
from skdnn.cli._places import TABLES, places
from skdnn.cli._reading import read_lines


def run(arguments: Arguments) -> None:
    """Name what images show."""
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
        refuse(f"--top {arguments.top}: between 1 and {len(classifier.classes_)} classes")
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
    return read_lines(given)
