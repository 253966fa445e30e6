"""Forward engines: a network, its layers, and their activations. One room for each framework."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from skdnn._backends._engine import Capture, Engine, ForwardPass, kept
from skdnn._layers import LayerInfo
from skdnn._optional import import_optional
from skdnn.models import Preprocessing
from skdnn.models._keras import import_keras
from skdnn.models._model_spec import ModelSpec

_KEEP = 2  # a trained network and its untrained twin
_KEEP_TABLES = 8
_engines: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
_tables: OrderedDict[tuple[Any, ...], list[LayerInfo]] = OrderedDict()
_lock = Lock()


def _room_of(backend: str) -> Any:
    """The module that runs networks of a framework."""
    if backend == "tensorflow":
        import_keras("to run Keras's networks")  # torch first: see there
        from skdnn._backends import _tensorflow_engine

        return _tensorflow_engine
    import_optional("torch", "to run networks")
    import_optional("torchvision", "to run networks")  # before any tensorflow: see _optional
    from skdnn._backends import _torch_engine

    return _torch_engine


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
    room = _room_of(spec.backend)
    where = room.choose_device(device)

    def make() -> Engine:
        how: dict[str, Any] = {"device": where, "precision": precision, "compile": compile}
        if spec.backend == "tensorflow":
            return room.TensorFlowEngine(spec.load(), owned=spec.owned, **how)
        return room.TorchEngine(spec.load(), owned=spec.owned, forward=spec.forward, **how)

    with _lock:
        if spec.key is None:
            return make()
        return kept(_engines, (*spec.key, str(where), precision, compile), make, _KEEP)


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

    def make() -> list[LayerInfo]:
        network = (spec.skeleton or spec.load)()
        room = _room_of(spec.backend)
        if spec.backend != "tensorflow":
            return room.trace_layers(network, input_shape, spec.forward)
        last = isinstance(spec.preprocess, Preprocessing)  # a callable says it its own way
        shape = (*input_shape[1:], input_shape[0]) if last else input_shape
        return room.trace_layers(network, shape)

    with _lock:
        if spec.key is None:
            return make()
        return kept(_tables, (spec.name, input_shape), make, _KEEP_TABLES)


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
    _room_of(spec.backend)
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
    name = "TF_NUM_INTRAOP_THREADS"
    waits = "tensorflow" not in sys.modules and name not in os.environ
    if waits:
        os.environ[name] = str(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if waits:
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
