"""The layers of an extraction: which of a network's, pooled how, and how large they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from skdnn._backends import Capture
from skdnn._extraction._chosen_network import layers_of
from skdnn._layers import (
    NETWORK,
    NOT_PER_IMAGE,
    PENULTIMATE,
    LayerInfo,
    pooled_shape,
    resolve_layers,
)
from skdnn.models._model_spec import ModelSpec
from skdnn.models._registry import resolve_model

_COLUMNS = ("type", "output_shape", "n_units", "n_params", "n_calls", "depth")


@dataclass(frozen=True)
class ChosenLayers:
    """Which layers, pooled how, and how large one image's features are.

    Attributes
    ----------
    captures : list of Capture
        In the order asked for.
    shapes : dict of str to tuple of int
        Features of one image, per layer.
    largest : int
        Values in the network's largest activation of one image.
    n_params : int
        Parameters of the whole network.
    """

    captures: list[Capture]
    shapes: dict[str, tuple[int, ...]]
    largest: int
    n_params: int

    @property
    def total_units(self) -> int:
        """Features of one image, all layers together."""
        return sum(map(self.n_units, self.shapes))

    def n_units(self, name: str) -> int:
        """Features of one image in one layer."""
        return math.prod(self.shapes[name])

    def only(self, names: Sequence[str]) -> ChosenLayers:
        """Some of the layers."""
        captures = [capture for capture in self.captures if capture.name in names]
        return replace(
            self, captures=captures, shapes={c.name: self.shapes[c.name] for c in captures}
        )

    def joined(self, other: ChosenLayers) -> ChosenLayers:
        """Both in one pass; what both ask for is there once, under the name it has here."""
        there = {(c.canonical, c.pooling) for c in self.captures}
        captures, shapes = list(self.captures), dict(self.shapes)
        for capture in other.captures:
            if (capture.canonical, capture.pooling) in there:
                continue
            name = capture.name
            if name in shapes:  # the same layer, pooled otherwise
                name = f"{capture.canonical} ({capture.pooling})"
            captures.append(replace(capture, request=replace(capture.request, name=name)))
            shapes[name] = other.shapes[capture.name]
        largest = max(self.largest, other.largest)
        return replace(self, captures=captures, shapes=shapes, largest=largest)

    def empty(self, n_images: int) -> dict[str, np.ndarray]:
        """Arrays to be filled, one per layer, in the layers' shapes."""
        return {
            name: np.empty((n_images, *shape), dtype=np.float32)
            for name, shape in self.shapes.items()
        }

    def columns(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Each layer's columns in an array that holds all layers side by side."""
        ends = np.cumsum([self.n_units(name) for name in self.shapes])
        parts = np.split(features, ends[:-1], axis=1)  # views
        return dict(zip(self.shapes, parts, strict=True))

    def described(self, capture: Capture, sized: bool) -> dict[str, Any]:
        """What is told of a layer in saved files; of its shape, where it is known."""
        info, name = capture.info, capture.name
        headless = name == PENULTIMATE and info.source == NETWORK
        return {
            "name": name,
            "module": None if headless else info.source or capture.request.path,
            "type": "the network's output" if headless else info.type,
            "output_shape": list(info.output_shape) if sized else None,
            "shape": list(self.shapes[name]) if sized else None,
            "units": self.n_units(name) if sized else None,
            "pooling": capture.pooling,
            "call": capture.wanted_call + 1,
            "n_calls": info.n_calls,
        }


def choose_layers(
    wanted: str | Sequence[str], layers: Sequence[LayerInfo], pooling: str, spec: ModelSpec
) -> ChosenLayers:
    """Resolve names of layers and refuse what cannot be captured or pooled."""
    by_name = {info.name: info for info in layers}
    captures = [
        Capture(request, by_name[request.path].of(request), pooling)
        for request in resolve_layers(wanted, layers, spec.name)
    ]
    shapes = {c.name: pooled_shape(c.info.output_shape, pooling, c.info) or (1,) for c in captures}
    largest = max(info.n_units for info in layers)
    return ChosenLayers(captures, shapes, largest, count_params(layers))


def count_params(layers: Sequence[LayerInfo]) -> int:
    """Parameters of a network, from its outermost modules."""
    own = {info.name: info.n_params for info in layers if not info.source}
    return sum(n for name, n in own.items() if name.rpartition(".")[0] not in own)


def layer_frame(layers: Sequence[LayerInfo]) -> pd.DataFrame:
    """Table of layers, in the order of the network; those that can't be captured are left out."""
    rows = [
        {
            "layer": info.name,
            **{column: getattr(info, column) for column in _COLUMNS},
            "source": info.meaning,
        }
        for info in layers
        if info.name == PENULTIMATE
        or not (info.n_calls and (info.layout == NOT_PER_IMAGE or info.refusal))
    ]
    return pd.DataFrame(rows)


def list_layers(model: Any, backend: str = "auto", *, preprocess: Any = "default") -> pd.DataFrame:
    """List the layers of a network that can be captured.

    Weights are neither downloaded nor built.

    Parameters
    ----------
    model : str, torch.nn.Module, keras.Model or skdnn.models.Model
        As for :class:`~skdnn.DNNFeatureExtractor`.
    backend : {"auto", "torch", "tensorflow"}, default="auto"
    preprocess : "default", dict or callable, default="default"
        Decides the size of the images, and with it the output shapes.

    Returns
    -------
    layers : DataFrame
        One row for each module, in the order of the network: ``layer`` (its name), ``type``,
        ``output_shape`` for one image (of the last call), ``n_units``, ``n_params`` (children
        included), ``n_calls`` per forward pass (a layer with 0 can't be captured), ``depth``,
        the order in which modules finish, and ``source``. Modules that do not return one row per
        image, such as tables of positions, are left out. The last two rows are ``"penultimate"``
        and ``"output"``; ``source`` says what they stand for, e.g. ``"input of fc"``.

    Raises
    ------
    TypeError, ValueError
        If `model`, `backend` or `preprocess` is unknown.

    See Also
    --------
    DNNFeatureExtractor.layer_table : The same for an extractor.

    Examples
    --------
    >>> from skdnn import list_layers
    >>> list_layers("alexnet").loc[:2, ["layer", "type", "output_shape"]]
             layer        type  output_shape
    0     features  Sequential   (256, 6, 6)
    1   features.0      Conv2d  (64, 55, 55)
    2   features.1        ReLU  (64, 55, 55)
    """
    weights = None if isinstance(model, str) else "default"
    spec = resolve_model(model, backend=backend, weights=weights, preprocess=preprocess)
    return layer_frame(layers_of(spec))
