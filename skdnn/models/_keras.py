"""Networks of keras.applications: names, preprocessing, weights. One's own keras.Model."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skdnn._file_digests import file_digest
from skdnn._identity._keras_fingerprint import keras_identity
from skdnn._identity._provenance import platform_identity
from skdnn._optional import import_optional
from skdnn.models import _keras_build, _keras_weights
from skdnn.models._keras_build import apart, build, homes, scaled_if_published
from skdnn.models._keras_weights import PUBLISHED, SUFFIXES, folders, load_file
from skdnn.models._model_spec import Checkpoint, ModelSpec
from skdnn.models._own_network import own_spec
from skdnn.models._preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, is_default
from skdnn.models._weights_choice import Weights, other_weights
from skdnn.models._weights_file import WeightsFile
from skdnn.models._weights_folder import own_name

PREFIX = "keras/"
names = _keras_build.names
# What Keras writes around the name of a network in the name of its file, where that is more.
_FILE_NAME = re.compile(r"(?:weights)?(?P<name>.+?)(?:weightstfdim.*|10224tf|22410float)?")


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


# --- specs ---------------------------------------------------------------------------------


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network of keras.applications; nothing is built."""
    import_keras(f"for the network {PREFIX + name}")
    own = _keras_build.own_size(name)
    default = KerasPreprocessing(resize=own, crop=None, module=homes()[name])
    chosen = as_keras_preprocessing(preprocess, default)
    fixed = chosen.input_size if isinstance(chosen, KerasPreprocessing) else None
    size = fixed if fixed is not None else own
    source = choose_weights(weights, name, seed)
    is_published = source.origin == "published"
    known = source.file.checkpoint if source.file else Checkpoint
    corrected = []  # what was stored before these networks were right is not found
    if scaled_if_published(name) and not (is_published and size == own):
        corrected = ["scaled"]
    elif size != own and is_published and homes()[name] == "mobilenet_v3":
        corrected = ["padded"]

    def identity(version: str | None) -> Any:
        keras_version = platform_identity("keras")["keras"]  # whose architecture it is
        return [PREFIX + name, list(size), keras_version, *source.identify(), *corrected]

    return ModelSpec(
        PREFIX + name,
        "tensorflow",
        source.described,
        chosen,
        load=lambda: apart(lambda: _load(name, size, source, seed)),
        skeleton=lambda: apart(lambda: _keras_build.skeleton(name, size)),
        key=("keras", name, size, *source.key),
        identify=identity,
        origin=source.origin,
        checkpoint=(lambda: _published(name)) if is_published else known,
    )


def keras_custom_spec(wrapped: Any, preprocess: Any) -> ModelSpec:
    """Spec of a user's keras.Model, given by a `skdnn.models.Model`: never copied or changed."""
    import_keras("to run a keras.Model")
    chosen = wrapped.preprocess if is_default(preprocess) else preprocess
    return own_spec(
        wrapped,
        "tensorflow",
        as_keras_preprocessing(chosen, KerasPreprocessing()),
        lambda version: keras_identity(
            wrapped.network, version, getattr(wrapped, "_weights", None)
        ),
    )


def is_here(name: str) -> bool:
    """Whether the published weights of a network are on this machine; Keras is not loaded."""
    files = [file for folder in folders() if folder.is_dir() for file in folder.glob("*.h5")]
    stems = [re.sub(r"[^a-z0-9]", "", file.stem.lower()) for file in files]
    found = [_FILE_NAME.fullmatch(stem) for stem in stems if "notop" not in stem]
    return name.lower() in {match["name"] for match in found if match}


# --- weights -------------------------------------------------------------------------------


def _published(name: str) -> Checkpoint:
    """What is known of published weights; nothing is downloaded."""
    file, address, published = _keras_build.published_file(name)
    if len(published) == 64:
        return Checkpoint(address, sha256=published)
    here = (folder / file for folder in folders() if (folder / file).is_file())
    return Checkpoint(address, next(map(file_digest, here), None))


def choose_weights(weights: Any, name: str, seed: int) -> Weights:
    """Read the ``weights`` parameter; nothing is loaded.

    Published weights have no file here: Keras fetches it as it builds.
    """
    if isinstance(weights, str) and weights in ("default", PUBLISHED):
        return Weights(PUBLISHED, (PUBLISHED,), lambda: [PUBLISHED])
    if isinstance(weights, WeightsFile):
        raise TypeError(f"weights={weights!r}: names are changed in files for torch only.")
    found = other_weights(weights, name, seed, "", [PUBLISHED], SUFFIXES, _name_here)
    if weights is not None:
        return found
    tensorflow = importlib.import_module("tensorflow").__version__  # of several distributions
    platform = {**platform_identity("keras"), "tensorflow": tensorflow}
    return replace(found, identify=lambda: ["random", seed, platform])


def _name_here(url: str) -> str:
    """What the file at an address is called here, where it ends as Keras asks."""
    for suffix in SUFFIXES:
        if url.endswith(suffix):
            return own_name(url, (), suffix)
    raise ValueError(
        f"weights={url!r}: the address must end in one of {', '.join(SUFFIXES)}, and then "
        "'#sha256=HASH'."
    )


def _load(name: str, size: tuple[int, int], source: Weights, seed: int) -> Any:
    if source.origin == "published":
        get_file = _keras_weights.get_file_for(name)
        network = _keras_build.with_helpers(name, get_file=get_file)(weights=PUBLISHED)
        return network if network.input_shape[1:3] == size else _at_size(network, name, size)
    if source.file is not None:
        path = source.file.path()  # downloaded before anything big is built
        network = build(name, size)
        load_file(network, path, name)
        if scaled_if_published(name) and _keras_weights.n_layers(path, "rescaling") == 1:
            # As it was when it was saved.
            network = apart(lambda: build(name, size, as_published=False))
            load_file(network, path, name)
        return network
    network = build(name, size, seed)
    for layer in _scalings(network):
        layer.set_weights(
            [np.asarray(IMAGENET_MEAN), np.asarray(IMAGENET_STD), np.zeros((), np.int32)]
        )
        layer.finalize_state()
    return network


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


# --- preparation of images -----------------------------------------------------------------------


@dataclass(frozen=True)
class KerasPreprocessing(Preprocessing):
    """Resize and crop; then the ``preprocess_input`` of keras.applications.`module`.

    Without a module, `mean` and `std` are applied as torchvision does it.
    """

    module: str = ""

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


def as_keras_preprocessing(
    preprocess: Any, default: KerasPreprocessing
) -> KerasPreprocessing | Callable[[Any], Any]:
    """Read the ``preprocess`` parameter; what a dict leaves out stays the network's own.

    A mean or standard deviation takes the place of ``preprocess_input``. The length of the
    shorter side alone, without a crop, asks for a square of that size.
    """
    if is_default(preprocess):
        return default
    if isinstance(preprocess, dict):
        read = Preprocessing.from_dict(preprocess)
        changed = {key: getattr(read, key) for key in preprocess}
        if default.module and isinstance(changed.get("resize"), int):
            changed.setdefault("crop", changed["resize"])
        if "mean" in changed or "std" in changed:
            changed["module"] = ""
        return replace(default, **changed)
    if isinstance(preprocess, KerasPreprocessing) or callable(preprocess):
        return preprocess
    if isinstance(preprocess, Preprocessing):
        return KerasPreprocessing(**vars(preprocess))
    raise ValueError(
        f"preprocess must be 'default', a dict or a callable on a PIL image, got {preprocess!r}."
    )
