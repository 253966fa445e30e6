"""The network of an extraction, with its weights and preprocessing, and the layers that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from skdnn._backends import Engine, describe_layers, open_engine, settings_of
from skdnn._file_digests import digest_of
from skdnn._images import ImageInputs, check_images, is_prepared, read_image
from skdnn._layers import LayerInfo
from skdnn._store import ActivationStore
from skdnn.models import Preprocessing
from skdnn.models._model_spec import ModelSpec, needs_download
from skdnn.models._own_network import without_known_weights
from skdnn.models._preprocessing import AsItIs, preprocess_identity
from skdnn.models._registry import fixed_seed, resolve_model

#: To be raised whenever layers of the same network are listed otherwise than before: what
#: "penultimate" stands for, where units and tokens lie.
_LISTING = 2


@dataclass(frozen=True)
class ChosenNetwork:
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

        As they were when they were asked for first; see `again`. ValueError if some of it is code
        that cannot be fingerprinted.
        """
        preparation = preprocess_identity(self.spec.preprocess, self.version)
        settings = settings_of(self.spec, self.version)
        return self.spec.fingerprint(self.version), preparation, settings

    def again(self, *, known_weights: bool = True) -> ChosenNetwork:
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

    def known_fingerprint(self) -> str | None:
        """None where a file is not here, or where code cannot be fingerprinted."""
        if needs_download(self.spec):
            return None
        try:
            return self.spec.fingerprint(self.version)
        except ValueError:
            return None

    def open(self) -> Engine:
        """The network, ready to run; built once per process."""
        return open_engine(self.spec, self.device, self.precision, self.compile)

    def all_layers(
        self, inputs: ImageInputs | None = None, store: ActivationStore | None = None
    ) -> list[LayerInfo]:
        """All its layers; the first image tells the size where preprocessing does not.

        With a store they are written down there, and read again without building the network.
        """
        example = None
        for item in [] if inputs is None else inputs.items:
            refuse_unfit(item, self.spec.preprocess)
        if inputs is not None and input_size(self.spec) is None:
            check_images(inputs[:1])
            example = read_image(inputs.items[0])
        if store is None:
            return layers_of(self.spec, example)
        shape = _input_shape(self.spec, example)
        key = digest_of([self.identity[0], list(shape), _LISTING])[:32]
        known = store.depot.recall_network(key)
        if known is not None:
            return [LayerInfo.from_plain(plain) for plain in known["layers"]]
        layers = layers_of(self.spec, example)
        about = {
            "model": self.spec.name,
            "weights": self.spec.weights,
            "preprocess": self.spec.steps(),
            "input": list(shape),
            "meanings": {info.name: info.meaning for info in layers if info.meaning},
        }
        plain = [info.as_plain() for info in layers]
        store.depot.remember_network(key, {**about, "layers": plain})
        return layers

    def __getstate__(self) -> dict[str, Any]:
        found_here = ("spec", "identity")
        return {key: value for key, value in vars(self).items() if key not in found_here}


def network_of(estimator: Any, seed: int | None = None) -> ChosenNetwork:
    """What the parameters of an extractor or classifier stand for."""
    return ChosenNetwork(
        estimator.model,
        estimator.backend,
        estimator.weights,
        estimator.preprocess,
        fixed_seed(estimator.random_state) if seed is None else seed,
        estimator.device,
        estimator.precision,
        getattr(estimator, "compile", False),
        estimator.version,
    )


def layers_of(spec: ModelSpec, example: Any = None) -> list[LayerInfo]:
    """All layers of a network.

    Where preprocessing does not fix the size of its input, that of a PIL image, `example`; without
    one, of a blank image of 256 by 256 pixels.
    """
    return describe_layers(spec, _input_shape(spec, example))


def input_size(spec: ModelSpec) -> tuple[int, int] | None:
    """Height and width that preprocessing gives every image; None where that depends on it."""
    preprocess = spec.preprocess
    return preprocess.input_size if isinstance(preprocess, Preprocessing) else None


def _input_shape(spec: ModelSpec, example: Any) -> tuple[int, ...]:
    preprocess, size = spec.preprocess, input_size(spec)
    if size is not None:
        return (3, *size)
    if example is None and isinstance(preprocess, AsItIs):
        example = np.zeros((3, 224, 224), np.float32)
    if example is None:
        from PIL import Image

        example = Image.new("RGB", (256, 256))
    shape = tuple(np.shape(prepare(example, preprocess)))
    return (3, *shape[:2]) if isinstance(preprocess, Preprocessing) else shape


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
