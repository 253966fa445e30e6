"""``skdnn describe``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skdnn.cli._arguments import Arguments, refuse
from skdnn.cli._images import read_images
from skdnn.cli._input_files import reading
from skdnn.cli._network_and_layers import choose_layers, extractor_from
from skdnn.cli._terminal import visible


def run(arguments: Arguments) -> None:
    """Write the paragraph."""
    if bool(arguments.features) == bool(arguments.model):
        refuse("give either a file of features or --model")
    text = _of_file(arguments) if arguments.features else _of_network(arguments)
    if arguments.json:
        print(text.to_json())
    else:
        print(visible(text.bibtex if arguments.bibtex else text, keep="\n"))


def _of_file(arguments: Arguments) -> Any:
    from skdnn import MethodsText, load_features

    if arguments.layer or arguments.images:
        refuse("a file of features knows its layers and images")
    file = Path(arguments.features)
    with reading(file):
        if file.suffix.lower() == ".json" and file.is_file():
            return MethodsText(_facts_of_study(file))
        whole = file.is_file() and ".part-" not in file.name
        saved = load_features(file, mmap=whole and file.suffix in (".npy", ".h5", ".hdf5"))
        return MethodsText.from_provenance(saved.provenance)


def _facts_of_study(file: Path) -> dict[str, Any]:
    held = json.loads(file.read_text(encoding="utf-8"))
    facts = held.get("facts") if isinstance(held, dict) else None
    if not isinstance(facts, dict):
        raise ValueError("it holds no facts: 'skdnn search --methods' writes such files")
    return facts


def _of_network(arguments: Arguments) -> Any:
    extractor = extractor_from(arguments)
    layers = list(choose_layers(arguments, extractor))
    images = read_images(arguments.images).rows if arguments.images else None
    return extractor.describe(images, layers)
