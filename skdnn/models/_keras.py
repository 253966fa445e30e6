"""Networks of keras.applications: names, preprocessing, weights. One's own keras.Model."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import random
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._config import weights_home
from skdnn._optional import import_optional
from skdnn.digests import digest_weights, file_digest
from skdnn.identity._keras import keras_identity
from skdnn.identity._record import platform_identity
from skdnn.layers import nearest
from skdnn.models._keras_weights import PUBLISHED, choose_weights, get_file_for, load_file
from skdnn.models._spec import Checkpoint, ModelSpec, Preprocessing
from skdnn.models._weights_file import Weights

PREFIX = "keras/"
_UNSPECIFIED_SIZE = 224  # of networks that take any size (MobileNetV3): what they were trained on
_random_lock = threading.Lock()


def import_keras(purpose: str = "to build keras's networks") -> Any:
    """Keras on tensorflow, loaded so that torch can still be loaded behind it.

    Raises
    ------
    ImportError
        If either is not installed, or Keras runs on another backend in this process.
    """
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


# --- names ---------------------------------------------------------------------------------


def names() -> list[str]:
    """Names of all networks of the installed Keras, without the prefix; [] without tensorflow."""
    return sorted(_homes())


@functools.cache
def _homes() -> dict[str, str]:
    """Name of each network, and the module of keras.applications that it belongs to.

    Read from the source: loading tensorflow for the sake of names would take seconds.
    """
    found = importlib.util.find_spec("keras")
    if found is None or found.origin is None or importlib.util.find_spec("tensorflow") is None:
        return {}
    root = Path(found.origin).parent
    for folder in (root / "applications", root / "api" / "applications"):  # by Keras's version
        index = folder / "__init__.py"
        if index.is_file():
            return {
                name: module
                for module, name in _imported(index)
                if (folder / module / "__init__.py").is_file()
                and "preprocess_input"
                in (name for _, name in _imported(folder / module / "__init__.py"))
            }
    warnings.warn(
        f"keras.applications is not where this version of skdnn looks for it (in {root}): Keras's "
        "networks cannot be named. Install another version of Keras, or a newer skdnn.",
        UserWarning,
        stacklevel=2,
    )
    return {}


def _imported(index: Path) -> Iterator[tuple[str, str]]:
    """(last part of the module, name) of all that a file imports from other modules."""
    for node in ast.parse(index.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module.rpartition(".")[2], alias.asname or alias.name


# --- preprocessing -------------------------------------------------------------------------


@dataclass(frozen=True)
class KerasPreprocessing(Preprocessing):
    """Resize and crop with Pillow; then the network's own ``preprocess_input``.

    Attributes
    ----------
    module : str
        Module of keras.applications whose ``preprocess_input`` is applied to a batch of floats
        0 to 255 in RGB, channels last. If empty, `mean` and `std` are applied as torchvision
        does it.
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
    """Spec of a network of keras.applications; nothing is built.

    Raises
    ------
    ImportError
        If tensorflow is not installed.
    ValueError
        For an unknown name, weights or preprocessing.
    """
    import_keras(f"for the network {PREFIX + name}")
    if name not in _homes():
        near = nearest(name, _homes())
        hint = f"Did you mean {near}? " if near else ""
        raise ValueError(f"model={PREFIX + name!r} is unknown. {hint}list_models() gives all.")
    own = own_size(name)
    default = KerasPreprocessing(resize=own, crop=None, module=_homes()[name])
    chosen = as_keras_preprocessing(preprocess, default)
    fixed = chosen.input_size if isinstance(chosen, KerasPreprocessing) else None
    size = fixed if fixed is not None else own
    source = choose_weights(weights, name, seed)

    def identity(version: str | None) -> Any:
        keras_version = platform_identity("keras")["keras"]  # whose architecture it is
        return [PREFIX + name, list(size), keras_version, *source.identify()]

    return ModelSpec(
        name=PREFIX + name,
        backend="tensorflow",
        weights=source.described,
        preprocess=chosen,
        load=lambda: apart(lambda: _load(name, size, source, seed)),
        skeleton=lambda: apart(lambda: _skeleton(name, size)),
        key=("keras", name, size, *source.key),
        identify=identity,
        origin=source.origin,
        checkpoint=(lambda: _published(name))
        if source.described == PUBLISHED
        else source.checkpoint,
    )


def keras_custom_spec(wrapped: Any, preprocess: Any) -> ModelSpec:
    """Spec of a user's keras.Model, given by a `skdnn.models.Model`: never copied or changed."""
    import_keras("to run a keras.Model")
    is_default = isinstance(preprocess, str) and preprocess == "default"
    chosen = wrapped.preprocess if is_default else preprocess
    return ModelSpec(
        name=wrapped.name,
        backend="tensorflow",
        weights="as given",
        preprocess=as_keras_preprocessing(chosen, KerasPreprocessing()),
        load=lambda: wrapped.network,
        owned=False,
        identify=lambda version: keras_identity(
            wrapped.network, version, getattr(wrapped, "_weights", None)
        ),
        origin="own",
        checkpoint=lambda: Checkpoint(sha256=digest_weights(wrapped.network, hashlib.sha256)),
    )


# --- building ------------------------------------------------------------------------------


def apart(build: Callable[[], Any]) -> Any:
    """Run a builder in a thread of its own, with Keras's settings and counters as if new.

    Keras numbers layers without a name ("conv2d_17") across all networks of a thread: only in a
    fresh one are names the same at every time. What the user has set stays untouched.
    """

    def in_float32() -> Any:
        importlib.import_module("keras").config.set_dtype_policy("float32")
        return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_float32).result()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Keras draws the seed of each initializer from Python's generator; it is put back."""
    with _random_lock:
        before = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)


def _constructor(name: str) -> Any:
    applications = importlib.import_module("keras.applications")
    if importlib.import_module("keras").config.image_data_format() != "channels_last":
        raise ValueError(
            "keras is set to images with channels first; skdnn needs Keras's default. Call "
            "keras.config.set_image_data_format('channels_last')."
        )
    return getattr(applications, name)


def _build(name: str, size: tuple[int, int], seed: int = 0) -> Any:
    with _seeded(seed):
        return _constructor(name)(weights=None, input_shape=(*size, 3))


def _skeleton(name: str, size: tuple[int, int]) -> Any:
    """The architecture without memory for its weights."""
    with importlib.import_module("keras").StatelessScope(initialize_variables=False):
        return _build(name, size)


def _load(name: str, size: tuple[int, int], source: Weights, seed: int) -> Any:
    if source.path is not None:
        network = _build(name, size)
        load_file(network, source.path(), name)
        return network
    if source.described != PUBLISHED:
        return _build(name, size, seed)
    constructor = _with_helpers(_constructor(name), "file_utils", get_file=get_file_for(name))
    network = constructor(weights=PUBLISHED)
    if tuple(network.input_shape[1:3]) in (size, (None, None)):
        return network
    return _at_size(network, name, size)


def _at_size(network: Any, name: str, size: tuple[int, int]) -> Any:
    """The same weights in the network for images of another size."""
    other = _build(name, size)
    shapes = [[tuple(w.shape) for w in n.weights] for n in (network, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"The published weights of {name} are for images of {network.input_shape[1:3]} "
            f"pixels; with preprocess of {size} its layers have other shapes. "
            "Use preprocess='default', or weights=None."
        )
    other.set_weights(network.get_weights())
    return other


class _SizeFound(Exception):
    """Leaves a constructor as soon as it says its size."""


@functools.cache
def own_size(name: str) -> tuple[int, int]:
    """Height and width that a network of keras.applications was made for."""

    def obtain_input_shape(*args: Any, **kwargs: Any) -> Any:
        size = kwargs.get("default_size", args[1] if len(args) > 1 else None)
        raise _SizeFound(size)

    helper = {"obtain_input_shape": obtain_input_shape}
    constructor = _with_helpers(_constructor(name), "imagenet_utils", **helper)
    try:
        height, width = apart(lambda: constructor(weights=None)).input_shape[1:3]
    except _SizeFound as found:
        height = width = found.args[0]
    return height or _UNSPECIFIED_SIZE, width or _UNSPECIFIED_SIZE


def _with_helpers(constructor: Any, module: str, **helpers: Any) -> Any:
    """A copy of a constructor that sees other helper functions; Keras itself stays as it is."""
    scope = _scope(sys.modules[constructor.__module__], module, helpers)
    return scope[constructor.__name__]


class _AskedFor(Exception):
    """Leaves a constructor as soon as it asks for its weights."""


@functools.cache
def _published_file(name: str) -> tuple[str, str, str]:
    """File, address and hash (MD5 or SHA-256) of weights that Keras publishes."""

    def get_file(fname: str, origin: str, **options: Any) -> str:
        raise _AskedFor(fname, origin, options.get("file_hash") or "")

    def build() -> None:
        constructor = _with_helpers(_constructor(name), "file_utils", get_file=get_file)
        with importlib.import_module("keras").StatelessScope(initialize_variables=False):
            constructor(weights=PUBLISHED)

    try:
        apart(build)
    except _AskedFor as asked:
        return asked.args[0], asked.args[1], asked.args[2]
    raise AssertionError(f"keras.applications.{name} asked for no file of weights")


def _published(name: str) -> Checkpoint:
    """What is known of published weights; nothing is downloaded."""
    file, address, published = _published_file(name)
    if len(published) == 64:
        return Checkpoint(address, sha256=published)
    keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    places = (weights_home() / file, keras_home / "models" / file)
    return Checkpoint(address, next((file_digest(p) for p in places if p.is_file()), None))


def _scope(home: types.ModuleType, module: str, helpers: dict[str, Any]) -> dict[str, Any]:
    """Globals of a module, with its functions bound to them, and helpers replaced."""
    scope: dict[str, Any] = dict(vars(home))
    for name, value in vars(home).items():
        if isinstance(value, types.FunctionType) and value.__module__ == home.__name__:
            copy = types.FunctionType(
                value.__code__, scope, value.__name__, value.__defaults__, value.__closure__
            )
            copy.__kwdefaults__ = value.__kwdefaults__
            scope[name] = copy
        elif name == module:
            scope[name] = types.SimpleNamespace(**{**vars(value), **helpers})
        elif isinstance(value, types.ModuleType) and _is_network_module(value):
            scope[name] = types.SimpleNamespace(**_scope(value, module, helpers))
    return scope


def _is_network_module(module: types.ModuleType) -> bool:
    """resnet_v2 builds on resnet: what one borrows from the other is copied too."""
    return module.__name__.startswith("keras.src.applications.") and hasattr(
        module, "preprocess_input"
    )
