"""``skdnn classify``."""

from __future__ import annotations

from skdnn.cli._arguments import Arguments, in_python, refuse
from skdnn.cli._images import image_paths
from skdnn.cli._input_files import read_lines
from skdnn.cli._network_and_layers import network, weights_from
from skdnn.cli._output_files import REPORTS, TABLES, checked_outs, write_all
from skdnn.cli._report_files import of_classes
from skdnn.cli._terminal import note, show_table


def run(arguments: Arguments) -> None:
    """Name what images show."""
    from skdnn import DNNClassifier

    paths = image_paths(arguments.images)
    files = checked_outs(arguments, (*TABLES, *REPORTS))
    weights, classes = weights_from(arguments), arguments.classes
    classifier = DNNClassifier(
        network(arguments.model, weights, arguments.seed),
        weights=weights,
        classes=classes if classes in (None, "imagenet") else read_lines(classes),
        **in_python(arguments, "backend", "device", "cache", "seed"),
        verbose=int(not arguments.quiet),
    ).fit(paths)
    if not 1 <= arguments.top <= len(classifier.classes_):
        refuse(f"--top {arguments.top}: between 1 and {len(classifier.classes_)} classes")
    note(classifier.classes_note_, arguments)
    table = classifier.top_k(paths, k=arguments.top)
    write_all(files, table)
    of_classes(arguments, table, classifier, paths)
    if not files:
        show_table(table, as_json=arguments.json)
