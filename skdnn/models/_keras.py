"""Networks of keras.applications: names, preprocessing, weights. One's own keras.Model."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skdnn._digests import file_digest
from skdnn._identity._keras_fingerprint import keras_identity
from skdnn._identity._provenance import platform_identity
from skdnn._layers import nearest
from skdnn._optional import import_optional
from skdnn.models._keras_build import (
    apart,
    build,
    constructor_of,
    homes,
    own_size,
    published_file,
    scaled_if_published,
    skeleton,
    with_helpers,
)
from skdnn.models._keras_weights import (
    PUBLISHED,
    choose_weights,
    folders,
    get_file_for,
    load_file,
    n_layers,
)
from skdnn.models._model_spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Checkpoint,
    ModelSpec,
    Preprocessing,
)
from skdnn.models._own_network import own_spec
from skdnn.models._weights_file import Weights

PREFIX = "keras/"


def import_keras(purpose: str = "to build keras's networks") -> Any:
    """Keras on tensorflow, loaded so that torch can still be loaded behind it."""
    if "tensorflow" not in sys.modules and importlib.util.find_spec("triton") is not None:
        import_optional("torchvision", "before tensorflow")  # see _optional: the order matters
    import_optional("tensorflow", purpose)
    keras = import_optional("keras", purpose)
    if keras.config.backend() != "tensorflow":
        raise ImportError(
            f"keras runs on {keras.config.backend()!r} in this process, and tensorflow is needed "
            f"{purpose}. Set the environment variable KERAS_BACKEND=tensorflow before keras is "
            "imported."
        )
    return keras


# --- preprocessing -------------------------------------------------------------------------


@dataclass(frozen=True)
class KerasPreprocessing(Preprocessing):
    """Resize and crop with Pillow; then the ``preprocess_input`` of keras.applications.`module`.

    Without a module, `mean` and `std` are applied as torchvision does it.
    """

    module: str = ""

    def pixels(self, image: Any) -> np.ndarray:
        """Resize and crop a PIL image in RGB: uint8 array (height, width, 3)."""
        if self.resize is not None:
            from PIL import Image

            size = _resized(image.size, self.resize)
            image = image.resize(size, Image.Resampling[self.interpolation.upper()])
        if self.crop is not None:
            image = _centre(image, (self.crop,) * 2 if isinstance(self.crop, int) else self.crop)
        return np.asarray(image)

    def batch(self, pixels: np.ndarray) -> np.ndarray:
        """Float32 input of the network for uint8 pixels (n, height, width, 3)."""
        values = pixels.astype(np.float32)
        if self.module:
            module = importlib.import_module(f"keras.applications.{self.module}")
            return np.asarray(module.preprocess_input(values, data_format="channels_last"))
        values /= np.float32(255)
        values -= np.asarray(self.mean, np.float32)
        values /= np.asarray(self.std, np.float32)
        return values


def _resized(size: tuple[int, int], wanted: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height after resizing; an int is the shorter side, as torchvision rounds it."""
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = size
    if width <= height:
        return wanted, int(wanted * height / width)
    return int(wanted * width / height), wanted


def _centre(image: Any, size: tuple[int, ...]) -> Any:
    """Crop at the centre as torchvision does it: what reaches over the edge is black."""
    height, width = size
    left, top = max(width - image.width, 0), max(height - image.height, 0)
    if left or top:
        from PIL import ImageOps

        image = ImageOps.expand(image, (left // 2, top // 2, (left + 1) // 2, (top + 1) // 2))
    left = round((image.width - width) / 2)
    top = round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def as_keras_preprocessing(
    preprocess: Any, default: KerasPreprocessing
) -> KerasPreprocessing | Callable[[Any], Any]:
    """Read the ``preprocess`` parameter; what a dict leaves out stays the network's own.

    A mean or standard deviation takes the place of ``preprocess_input``. The length of the
    shorter side alone, without a crop, asks for a square of that size.
    """
    if isinstance(preprocess, str) and preprocess == "default":
        return default
    if isinstance(preprocess, KerasPreprocessing):
        return preprocess
    if isinstance(preprocess, Preprocessing):
        return KerasPreprocessing(**vars(preprocess))
    if isinstance(preprocess, dict):
        read = Preprocessing.from_dict(preprocess)
        changed = {key: getattr(read, key) for key in preprocess}
        if default.module and isinstance(changed.get("resize"), int):
            changed.setdefault("crop", changed["resize"])
        if "mean" in changed or "std" in changed:
            changed["module"] = ""
        return replace(default, **changed)
    if callable(preprocess):
        return preprocess
    raise ValueError(
        f"preprocess must be 'default', a dict or a callable on a PIL image, got {preprocess!r}."
    )


# --- specs ---------------------------------------------------------------------------------


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network of keras.applications; nothing is built."""
    import_keras(f"for the network {PREFIX + name}")
    if name not in homes():
        near = nearest(name, homes())
        hint = f"Did you mean {near}? " if near else ""
        raise ValueError(f"model={PREFIX + name!r} is unknown. {hint}list_models() gives all.")
    own = own_size(name)
    default = KerasPreprocessing(resize=own, crop=None, module=homes()[name])
    chosen = as_keras_preprocessing(preprocess, default)
    fixed = chosen.input_size if isinstance(chosen, KerasPreprocessing) else None
    size = fixed if fixed is not None else own
    source = choose_weights(weights, name, seed)
    is_other = source.described != PUBLISHED or size != own
    corrected = []  # what was stored before these networks were right is not found
    if is_other and scaled_if_published(name):
        corrected = ["scaled"]
    elif size != own and source.described == PUBLISHED and homes()[name] == "mobilenet_v3":
        corrected = ["padded"]

    def identity(version: str | None) -> Any:
        keras_version = platform_identity("keras")["keras"]  # whose architecture it is
        return [PREFIX + name, list(size), keras_version, *source.identify(), *corrected]

    is_published = source.described == PUBLISHED
    return source.spec(
        PREFIX + name,
        backend="tensorflow",
        preprocess=chosen,
        load=lambda: apart(lambda: _load(name, size, source, seed)),
        skeleton=lambda: apart(lambda: skeleton(name, size)),
        key=("keras", name, size, *source.key),
        identify=identity,
        checkpoint=partial(_published, name) if is_published else source.checkpoint,
    )


def keras_custom_spec(wrapped: Any, preprocess: Any) -> ModelSpec:
    """Spec of a user's keras.Model, given by a `skdnn.models.Model`: never copied or changed."""
    import_keras("to run a keras.Model")
    is_default = isinstance(preprocess, str) and preprocess == "default"
    chosen = wrapped.preprocess if is_default else preprocess
    network = wrapped.network
    return own_spec(
        wrapped,
        "tensorflow",
        as_keras_preprocessing(chosen, KerasPreprocessing()),
        lambda version: keras_identity(network, version, getattr(wrapped, "_weights", None)),
    )


# --- weights -------------------------------------------------------------------------------


def _load(name: str, size: tuple[int, int], source: Weights, seed: int) -> Any:
    if source.path is not None:
        path = source.path()  # downloaded before anything big is built
        network = build(name, size)
        load_file(network, path, name)
        if scaled_if_published(name) and n_layers(path, "rescaling") == 1:
            # As it was when it was saved.
            network = apart(lambda: build(name, size, as_published=False))
            load_file(network, path, name)
        return network
    if source.described != PUBLISHED:
        network = build(name, size, seed)
        for layer in _scalings(network):
            layer.set_weights(
                [np.asarray(IMAGENET_MEAN), np.asarray(IMAGENET_STD), np.zeros((), np.int32)]
            )
            layer.finalize_state()
        return network
    constructor = with_helpers(constructor_of(name), get_file=get_file_for(name))
    network = constructor(weights=PUBLISHED)
    if network.input_shape[1:3] == size:
        return network
    return _at_size(network, name, size)


def _scalings(network: Any) -> list[Any]:
    """Layers whose mean and variance are weights, which they read when they are told to."""
    layers = importlib.import_module("keras").layers
    return [
        layer
        for layer in network.layers
        if isinstance(layer, layers.Normalization) and layer.weights
    ]


def _at_size(network: Any, name: str, size: tuple[int, int]) -> Any:
    """The same weights in the network for images of another size."""
    other = apart(lambda: build(name, size))  # whose layers are called as at any other time
    shapes = [[tuple(w.shape) for w in n.weights] for n in (network, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The published weights of {name} are for images of {network.input_shape[1:3]} "
            f"pixels; with preprocess of {size} its layers have other shapes. "
            "Use preprocess='default', or weights=None."
        )
    other.set_weights(network.get_weights())
    for layer in _scalings(other):
        layer.finalize_state()
    return other


def _published(name: str) -> Checkpoint:
    """What is known of published weights; nothing is downloaded."""
    file, address, published = published_file(name)
    if len(published) == 64:
        return Checkpoint(address, sha256=published)
    places = [folder / file for folder in folders()]
    return Checkpoint(address, next((file_digest(p) for p in places if p.is_file()), None))
