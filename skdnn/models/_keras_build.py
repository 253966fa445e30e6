"""Networks of keras.applications: their names, and architectures built as if nothing else was."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import random
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skdnn.models._keras_weights import PUBLISHED

_random_lock = threading.Lock()


def names() -> list[str]:
    """Names of all networks of the installed Keras, without the prefix; [] without tensorflow."""
    return sorted(homes())


@functools.cache
def homes() -> dict[str, str]:
    """Name of each network, and the module of keras.applications that it belongs to.

    Read from the source: loading tensorflow for the sake of names would take seconds.
    """
    found = importlib.util.find_spec("keras")
    if found is None or found.origin is None or importlib.util.find_spec("tensorflow") is None:
        return {}
    root = Path(found.origin).parent
    for folder in (root / "applications", root / "api" / "applications"):  # by Keras's version
        if (folder / "__init__.py").is_file():
            text = {
                path.parent.name: path.read_text("utf-8") for path in folder.rglob("__init__.py")
            }
            imports = re.findall(r"from [\w.]*\.(\w+) import \(?\s*(\w+)", text[folder.name])
            return {
                name: home for home, name in imports if "preprocess_input" in text.get(home, "")
            }
    warnings.warn(
        f"keras.applications is not where this version of skdnn looks for it (in {root}): Keras's "
        "networks cannot be named. Install another version of Keras, or a newer skdnn.",
        UserWarning,
        stacklevel=2,
    )
    return {}


def scaled_if_published(name: str) -> bool:
    """Whether a network has its scaling of pixels, by weights, only with published ones."""
    return homes()[name] == "efficientnet"


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


class _Stopped(Exception):
    """Leaves a constructor as soon as it has said what is asked."""


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


def constructor_of(name: str) -> Any:
    """The function of keras.applications that builds a network."""
    applications = importlib.import_module("keras.applications")
    if importlib.import_module("keras").config.image_data_format() != "channels_last":
        raise ValueError(
            "keras is set to images with channels first; skdnn needs Keras's default. Call "
            "keras.config.set_image_data_format('channels_last')."
        )
    return getattr(applications, name)


def build(name: str, size: tuple[int, int], seed: int = 0, *, as_published: bool = True) -> Any:
    """The architecture that published weights are for, with random ones."""
    with _seeded(seed):
        if as_published and scaled_if_published(name):
            return _built_as_published(name, (*size, 3))
        return constructor_of(name)(weights=None, input_shape=(*size, 3))


def _built_as_published(name: str, shape: tuple[int, ...]) -> Any:
    """What a constructor has made when it asks for its published weights."""
    functional = sys.modules[constructor_of(name).__module__].Functional
    made: list[Any] = []

    def remember(*args: Any, **kwargs: Any) -> Any:
        made.append(functional(*args, **kwargs))
        return made[-1]

    def get_file(*args: Any, **kwargs: Any) -> Any:
        raise _Stopped

    helpers = {"get_file": get_file, "obtain_input_shape": lambda *args, **kwargs: shape}
    with suppress(_Stopped):
        with_helpers(name, **helpers, Functional=remember)(weights=PUBLISHED)
    return made[-1]


def skeleton(name: str, size: tuple[int, int]) -> Any:
    """The architecture without memory for its weights."""
    with importlib.import_module("keras").StatelessScope(initialize_variables=False):
        return build(name, size)


@functools.cache
def own_size(name: str) -> tuple[int, int]:
    """Height and width that a network of keras.applications was made for."""

    def obtain_input_shape(*args: Any, **kwargs: Any) -> Any:
        size = kwargs.get("default_size", args[1] if len(args) > 1 else None)
        raise _Stopped(size)

    constructor = with_helpers(name, obtain_input_shape=obtain_input_shape)
    try:
        height, width = apart(lambda: constructor(weights=None)).input_shape[1:3]
    except _Stopped as found:
        height = width = found.args[0]
    return height or 224, width or 224  # MobileNetV3 takes any size, and was trained on these


def with_helpers(name: str, **helpers: Any) -> Any:
    """A copy of a constructor that sees other helper functions; Keras itself stays as it is."""
    constructor = constructor_of(name)
    scope = _scope(sys.modules[constructor.__module__], helpers)
    return scope[constructor.__name__]


@functools.cache
def published_file(name: str) -> tuple[str, str, str]:
    """File, address and hash (MD5 or SHA-256) of weights that Keras publishes."""

    def get_file(fname: str, origin: str, **options: Any) -> str:
        raise _Stopped(fname, origin, options.get("file_hash") or "")

    def build() -> None:
        with importlib.import_module("keras").StatelessScope(initialize_variables=False):
            with_helpers(name, get_file=get_file)(weights=PUBLISHED)

    try:
        apart(build)
    except _Stopped as asked:
        return asked.args[0], asked.args[1], asked.args[2]
    raise AssertionError(f"keras.applications.{name} asked for no file of weights")


def _scope(home: types.ModuleType, helpers: dict[str, Any]) -> dict[str, Any]:
    """Globals of a module, with its functions bound to them, and helpers replaced.

    resnet_v2 builds on resnet: what one borrows from the other is copied too.
    """
    scope: dict[str, Any] = {**vars(home), **helpers}
    for name, value in vars(home).items():
        if isinstance(value, types.FunctionType) and value.__module__ == home.__name__:
            copy = types.FunctionType(
                value.__code__, scope, value.__name__, value.__defaults__, value.__closure__
            )
            copy.__kwdefaults__ = value.__kwdefaults__
            scope[name] = copy
        elif name in ("file_utils", "imagenet_utils"):
            scope[name] = types.SimpleNamespace(**{**vars(value), **helpers})
        elif isinstance(value, types.ModuleType) and hasattr(value, "preprocess_input"):
            scope[name] = types.SimpleNamespace(**_scope(value, helpers))
    return scope
