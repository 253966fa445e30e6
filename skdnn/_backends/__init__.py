"""Forward engines: a network, its layers, and their activations. One room for each framework."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from skdnn._backends._engine import Capture, Engine, ForwardPass
from skdnn._layers import LayerInfo
from skdnn._optional import import_optional
from skdnn.models import Preprocessing
from skdnn.models._keras import import_keras
from skdnn.models._model_spec import ModelSpec

_KEEP = 2  # a trained network and its untrained twin
_engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
_tables: OrderedDict[tuple[Any, ...], list[LayerInfo]] = OrderedDict()
_lock = Lock()


def _torch_room() -> Any:
    import_optional("torch", "to run networks")
    import_optional("torchvision", "to run networks")  # before any tensorflow: see _optional
    from skdnn._backends import _torch_engine

    return _torch_engine


def _tensorflow_room() -> Any:
    import_keras("to run Keras's networks")  # torch first: see there
    from skdnn._backends import _tensorflow_engine

    return _tensorflow_engine


def open_engine(
    spec: ModelSpec, device: str = "auto", precision: str = "float32", compile: bool = False
) -> Engine:
    """Build a network with its weights, or take the one that this process has built already.

    Parameters
    ----------
    spec : ModelSpec
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
    precision : {"float32", "bfloat16", "float16"}
    compile : bool, default=False
        Whether forward passes are compiled, by ``torch.compile`` or tensorflow's XLA: at the
        first batch, anew for each set of layers.

    Returns
    -------
    engine : Engine

    Raises
    ------
    ValueError
        If the device does not exist, the weights do not fit, or the precision can't hold them.
    OSError
        If published weights cannot be downloaded.
    """
    is_keras = spec.backend == "tensorflow"
    room = _tensorflow_room() if is_keras else _torch_room()
    engine_class = room.TensorFlowEngine if is_keras else room.TorchEngine
    where = room.choose_device(device)
    key = None if spec.key is None else (*spec.key, str(where), precision, compile)
    with _lock:
        if key is not None and key in _engines:
            _engines.move_to_end(key)
            return _engines[key]
        options = {} if is_keras else {"forward": spec.forward}
        engine: Engine = engine_class(
            spec.load(),
            owned=spec.owned,
            device=where,
            precision=precision,
            compile=compile,
            **options,
        )
        if key is not None:
            _engines[key] = engine
            while len(_engines) > _KEEP:
                _engines.popitem(last=False)
        return engine


def describe_layers(spec: ModelSpec, input_shape: tuple[int, ...]) -> list[LayerInfo]:
    """All layers of a network; weights are neither loaded nor needed.

    Parameters
    ----------
    spec : ModelSpec
    input_shape : tuple of int
        Of one prepared image, (3, height, width); of one that a callable prepared for a Keras
        network, as the callable gives it.

    Returns
    -------
    layers : list of LayerInfo
    """
    key = None if spec.key is None else (spec.name, input_shape)
    with _lock:
        if key is not None and key in _tables:
            return _tables[key]
        network = (spec.skeleton or spec.load)()
        layers: list[LayerInfo]
        if spec.backend == "tensorflow":
            last = isinstance(spec.preprocess, Preprocessing)  # a callable says it its own way
            shape = (*input_shape[1:], input_shape[0]) if last else input_shape
            layers = _tensorflow_room().trace_layers(network, shape)
        else:
            layers = _torch_room().trace_layers(network, input_shape, spec.forward)
        if key is not None:
            _tables[key] = layers
            while len(_tables) > 8:
                _tables.popitem(last=False)
        return layers


def settings_of(spec: ModelSpec, version: str | None = None) -> list[Any]:
    """What of a framework's settings changes the values of every pass; empty if nothing does.

    Raises
    ------
    ValueError
        If hooks or modes that see every network cannot be fingerprinted, and no `version`
        stands for them.
    """
    if spec.backend != "torch":  # the policies of Keras's layers are the layers' own
        return []
    _torch_room()
    from skdnn._backends._torch_global_settings import torch_settings

    return torch_settings(version)


@contextmanager
def limit_threads(n_threads: int) -> Iterator[None]:
    """Let the frameworks use so many threads for a while: processes share the cores out.

    Tensorflow fixes its threads when it starts: one that starts within has so many for good, and
    one that runs already keeps those that it has.
    """
    torch = import_optional("torch", "to run networks")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with _environment("TF_NUM_INTRAOP_THREADS", str(n_threads)):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a while, where tensorflow has not started yet."""
    if "tensorflow" in sys.modules or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


__all__ = [
    "Capture",
    "Engine",
    "ForwardPass",
    "describe_layers",
    "limit_threads",
    "open_engine",
    "settings_of",
]
