"""What is to be extracted: which network, which layers, pooled how, and how large it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skdnn._backends import Capture, Engine, describe_layers, open_engine, settings_of
from skdnn._digests import digest_of
from skdnn._images import ImageInputs, check_images, is_prepared, read_image
from skdnn._layers import (
    NETWORK,
    NOT_PER_IMAGE,
    PENULTIMATE,
    LayerInfo,
    pooled_shape,
    resolve_layers,
)
from skdnn._store import ActivationStore
from skdnn.models import Preprocessing
from skdnn.models._model_spec import ModelSpec, needs_download
from skdnn.models._own_network import without_known_weights
from skdnn.models._preprocessing import AsItIs, preprocess_identity
from skdnn.models._registry import resolve_model

#: To be raised whenever layers of the same network are listed otherwise than before: what
#: "penultimate" stands for, where units and tokens lie.
_LISTING = 2


@dataclass(frozen=True)
class Plan:
    """Which layers, pooled how, and how large one image's features are.

    Attributes
    ----------
    captures : list of Capture
        In the order asked for.
    shapes : dict of str to tuple of int
        Features of one image, per layer.
    largest : int
        Values in the network's largest activation of one image.
    """

    captures: list[Capture]
    shapes: dict[str, tuple[int, ...]]
    largest: int

    @property
    def total_units(self) -> int:
        """Features of one image, all layers together."""
        return sum(map(self.n_units, self.shapes))

    def empty(self, n_images: int) -> dict[str, np.ndarray]:
        """Arrays to be filled, one per layer, in the layers' shapes."""
        return {
            name: np.empty((n_images, *shape), dtype=np.float32)
            for name, shape in self.shapes.items()
        }

    def only(self, names: Sequence[str]) -> Plan:
        """The same for some of the layers."""
        captures = [capture for capture in self.captures if capture.name in names]
        return Plan(captures, {c.name: self.shapes[c.name] for c in captures}, self.largest)

    def n_units(self, name: str) -> int:
        """Features of one image in one layer."""
        return math.prod(self.shapes[name])

    def facts(self, capture: Capture, sized: bool) -> dict[str, Any]:
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

    def joined(self, other: Plan) -> Plan:
        """Both in one pass; what both ask for is there once, under the name it has here."""
        names = {(c.canonical, c.pooling): c.name for c in self.captures}
        captures, shapes = list(self.captures), dict(self.shapes)
        for capture in other.captures:
            if (capture.canonical, capture.pooling) in names:
                continue
            name = capture.name
            if name in shapes:  # the same layer, pooled otherwise
                name = f"{capture.canonical} ({capture.pooling})"
            captures.append(replace(capture, request=replace(capture.request, name=name)))
            shapes[name] = other.shapes[capture.name]
        return Plan(captures, shapes, max(self.largest, other.largest))

    def columns(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Each layer's columns in an array that holds all layers side by side."""
        parts, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            parts[name] = features[:, start:stop]
            start = stop
        return parts


@dataclass(frozen=True)
class Source:
    """Which network, with which weights, prepared how, run where: all that a worker must know.

    The network itself stays out of pickles where it can be built anew.
    """

    model: Any
    backend: str
    weights: Any
    preprocess: Any
    seed: int
    device: str
    precision: str
    compile: bool = False
    version: str | None = None

    @cached_property
    def spec(self) -> ModelSpec:
        """The network before it is built."""
        return resolve_model(
            self.model,
            backend=self.backend,
            weights=self.weights,
            preprocess=self.preprocess,
            seed=self.seed,
        )

    @cached_property
    def identity(self) -> tuple[str, Any, list[Any]]:
        """Fingerprint of the network, preparation of images, settings of the framework.

        As they were when they were asked for first; see `again`.

        Raises
        ------
        ValueError
            If some of it is code that cannot be fingerprinted.
        """
        preparation = preprocess_identity(self.spec.preprocess, self.version)
        settings = settings_of(self.spec, self.version)
        return self.spec.fingerprint(self.version), preparation, settings

    def again(self, *, known_weights: bool = True) -> Source:
        """The same, whose identity will be what it is now.

        Without `known_weights`, what a search knows of them does not count.
        """
        model = self.model if known_weights else without_known_weights(self.model)
        other = replace(self, model=model)
        if model is self.model:
            vars(other)["spec"] = self.spec
        return other

    def refuse_changed(self) -> None:
        """Raise if the weights are not those that were looked up."""
        if replace(self).spec.key != self.spec.key:
            raise self.changed()

    def changed(self) -> ValueError:
        """What to raise if they are not."""
        return ValueError(
            f"weights={self.weights!r} of {self.spec.name} have changed since they were looked "
            "up: call fit again."
        )

    def known_network(self) -> str | None:
        """Fingerprint; None where a file is not here, or where code cannot be fingerprinted."""
        if needs_download(self.spec):
            return None
        try:
            return self.spec.fingerprint(self.version)
        except ValueError:
            return None

    def open(self) -> Engine:
        """The network, ready to run; built once per process."""
        return open_engine(self.spec, self.device, self.precision, self.compile)

    def __getstate__(self) -> dict[str, Any]:
        found_here = ("spec", "identity")
        return {key: value for key, value in vars(self).items() if key not in found_here}


def layers_for(
    source: Source, inputs: ImageInputs | None = None, store: ActivationStore | None = None
) -> list[LayerInfo]:
    """All layers of a network; the first image tells the size where preprocessing does not.

    With a store they are written down there, and read again without building the network.
    """
    preprocess = source.spec.preprocess
    example = None
    fixed = isinstance(preprocess, Preprocessing) and preprocess.input_size is not None
    if inputs is not None:
        for item in inputs.items:
            refuse_unfit(item, preprocess)
    if inputs is not None and not fixed:
        first = ImageInputs(inputs.items[:1], inputs.names[:1])
        check_images(first)
        example = read_image(first.items[0])
    if store is None:
        return layers_of(source.spec, example)
    shape = _input_shape(source.spec, example)
    key = digest_of([source.identity[0], list(shape), _LISTING])[:32]
    known = store.depot.recall_network(key)
    if known is not None:
        return [LayerInfo.from_plain(plain) for plain in known["layers"]]
    layers = layers_of(source.spec, example)
    about = {
        "model": source.spec.name,
        "weights": source.spec.weights,
        "preprocess": source.spec.steps(),
        "input": list(shape),
        "meanings": {info.name: info.meaning for info in layers if info.meaning},
    }
    store.depot.remember_network(key, {**about, "layers": [info.as_plain() for info in layers]})
    return layers


def layers_of(spec: ModelSpec, example: Any = None) -> list[LayerInfo]:
    """All layers of a network.

    Parameters
    ----------
    spec : ModelSpec
    example : PIL image, default=None
        An image to learn the input's size from, where preprocessing does not fix it; without
        one, a blank image of 256 by 256 pixels.

    Returns
    -------
    layers : list of LayerInfo
    """
    return describe_layers(spec, _input_shape(spec, example))


def _input_shape(spec: ModelSpec, example: Any) -> tuple[int, ...]:
    preprocess = spec.preprocess
    size = preprocess.input_size if isinstance(preprocess, Preprocessing) else None
    if size is not None:
        return (3, *size)
    if example is None and isinstance(preprocess, AsItIs):
        example = np.zeros((3, 224, 224), np.float32)
    if example is None:
        from PIL import Image

        example = Image.new("RGB", (256, 256))
    shape = tuple(np.shape(prepare(example, preprocess)))
    return (3, *shape[:2]) if isinstance(preprocess, Preprocessing) else shape


def make_plan(
    wanted: str | Sequence[str], layers: Sequence[LayerInfo], pooling: str, spec: ModelSpec
) -> Plan:
    """Resolve names of layers and refuse what cannot be captured or pooled."""
    by_name = {info.name: info for info in layers}
    captures = [
        Capture(request, by_name[request.path].of(request), pooling)
        for request in resolve_layers(wanted, layers, spec.name)
    ]
    shapes = {c.name: pooled_shape(c.info.output_shape, pooling, c.info) or (1,) for c in captures}
    return Plan(captures, shapes, max(info.n_units for info in layers))


def refuse_unfit(item: Any, preprocess: Any) -> None:
    """Raise where floats would be prepared like an image, or an image taken for floats."""
    if is_prepared(item) and not isinstance(preprocess, AsItIs):
        raise ValueError(
            "X holds floats of shape (3, height, width), which a network takes as they are: give "
            "preprocess=None. Images are uint8, of shape (height, width, 3)."
        )
    if isinstance(preprocess, AsItIs) and not is_prepared(item):
        raise ValueError(
            "preprocess=None takes X as it is: floats of shape (n, 3, height, width), not images."
        )


def prepare(image: Any, preprocess: Any) -> Any:
    """Prepare one PIL image: uint8 pixels for a `Preprocessing`, else what the callable gives."""
    refuse_unfit(image, preprocess)
    if isinstance(preprocess, Preprocessing):
        return preprocess.pixels(image)
    prepared = preprocess(image)
    shape = tuple(getattr(prepared, "shape", ()))
    must = "preprocess must return a tensor or array (3, height, width) for an image"
    if len(shape) < 1:
        held = isinstance(prepared, Mapping) and "pixel_values" in prepared
        hint = ": take its ['pixel_values'][0], or give the processor itself" if held else ""
        raise TypeError(f"{must}, got {type(prepared).__name__}{hint}.")
    if len(shape) == 4 and shape[0] == 1:
        raise ValueError(f"{must}, got one of shape {shape}: take [0], the one image in it.")
    return prepared


def layer_frame(layers: Sequence[LayerInfo]) -> pd.DataFrame:
    """Table of layers, in the order of the network; those that can't be captured are left out."""
    rows = [
        {
            "layer": info.name,
            "type": info.type,
            "output_shape": info.output_shape,
            "n_units": info.n_units,
            "n_params": info.n_params,
            "n_calls": info.n_calls,
            "depth": info.depth,
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
