"""One network by its name: its spec, and what the engine gives of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from skdnn._backends import open_engine
from skdnn._extraction._chosen_layers import choose_layers
from skdnn._extraction._chosen_network import layers_of, prepare
from skdnn._images import read_image


def spec_from(source: Any, name: str, weights: Any = None, seed: int = 0) -> Any:
    """Spec of a network of a source, such as ``skdnn.models._timm``; random weights by default."""
    return source.spec(name, weights=weights, seed=seed, preprocess="default")


def captured(
    spec: Any, paths: list[str], layers: list[str], pooling: str = "flatten"
) -> dict[str, np.ndarray]:
    """What the engine gives, without the extractor around it."""
    chosen = choose_layers(layers, layers_of(spec), pooling, spec)
    rows = chosen.empty(len(paths))
    images = [prepare(read_image(path), spec.preprocess) for path in paths]
    with open_engine(spec, "cpu").session(chosen.captures, spec.preprocess) as forward:
        forward(images, rows)
    return rows
