"""The forward engine of tensorflow: one graph for each set of layers, traced once and kept."""

from __future__ import annotations

import json
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from skdnn._backends._engine import (
    Capture,
    Engine,
    ForwardPass,
    check_held,
    check_size,
    kept,
)
from skdnn._backends._padded_batches import PaddedBatches
from skdnn._backends._tensorflow_capture import seen_by
from skdnn._backends._tensorflow_layers import check_input, trace_layers
from skdnn._layers import CHANNELS_FIRST, TOKENS
from skdnn.models import Preprocessing

_KEEP = 4  # graphs of one network: sets of layers, and sizes of batches
_GraphKey = tuple[Any, ...]
_graphs: weakref.WeakKeyDictionary[keras.Model, OrderedDict[_GraphKey, _Graph]] = (
    weakref.WeakKeyDictionary()
)


def choose_device(device: str) -> str:
    """``"auto"`` is the GPU where there is one; gives ``"cpu"`` or ``"cuda:0"``.

    Raises
    ------
    ValueError
        If the device does not exist on this machine.
    """
    n_gpus = len(tf.config.list_logical_devices("GPU"))
    if device == "auto":
        return "cuda:0" if n_gpus else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cpu" and number in ("", "0"):
        return "cpu"
    if kind in ("cuda", "gpu") and (number or "0").isdigit() and int(number or 0) < n_gpus:
        return f"cuda:{int(number or 0)}"
    raise ValueError(
        f"device={device!r} can't be used here: tensorflow sees the CPU and {n_gpus} GPU(s). "
        "Use 'auto' or 'cpu'."
    )


class TensorFlowEngine(Engine):
    """A Keras network, ready to run on one device.

    Parameters
    ----------
    network : keras.Model
    owned : bool
        Whether the network may be converted for good. A user's own is never changed.
    device : str
        As `choose_device` gives it.
    precision : {"float32", "bfloat16", "float16"}
        Arithmetic of the network; float32 leaves a network of another precision as it is.
    compile : bool, default=False
        Whether XLA compiles the forward pass.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        owned: bool,
        device: str,
        precision: str,
        compile: bool = False,
    ) -> None:
        self.network = network if precision == "float32" else _cast(network, precision)
        self.hooked = self.network
        self.owned = owned
        self.device = device
        self.compile = compile
        # Graphs of a user's network outlive the engine, and not the network.
        self._state = None if owned else _state_of(self.network)
        self._graphs: OrderedDict[_GraphKey, _Graph] = OrderedDict()
        if self._state is not None:
            self._graphs = _graphs.setdefault(self.network, OrderedDict())

    @contextmanager
    def _ready(self, captures: Sequence[Capture], preprocess: Any) -> Iterator[ForwardPass]:
        yield _Forward(self, captures, preprocess)

    def graph(self, captures: Sequence[Capture], shape: tuple[int, ...]) -> _Graph:
        """The graph for a set of layers and a shape of batch; traced when first asked for."""
        wanted = [
            (c.name, c.request.path, c.request.key, c.wanted_call, c.pooling) for c in captures
        ]
        key = (shape, self.device, self.compile, self._state, *wanted)

        def make() -> _Graph:
            check_input(self.network, shape[1:])
            return _Graph(self.network, captures, shape, self.device, self.compile)

        return kept(self._graphs, key, make, _KEEP)


def _state_of(network: keras.Model) -> tuple[Any, ...] | None:
    """What a graph of a user's network depends on; None where code of their own may change it."""
    layers = list(network._flatten_layers(include_self=True, recursive=True))
    if any(
        not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda)
        for layer in layers
    ):
        return None
    functions = [
        id(part)
        for layer in layers
        for part in vars(layer).values()
        if isinstance(part, types.FunctionType)
    ]
    config = json.dumps(network.get_config(), sort_keys=True, default=repr)
    return config, tuple(functions), tuple(id(variable) for variable in network.variables)


class _Graph:
    """A forward pass that ends at the deepest wanted layer, for batches of one shape."""

    def __init__(
        self,
        network: keras.Model,
        captures: Sequence[Capture],
        shape: tuple[int, ...],
        device: str,
        compile: bool,
    ) -> None:
        self._network = weakref.ref(network)  # the engine holds it; see `_graphs`
        self._captures = list(captures)
        self._device = f"/GPU:{device[5:]}" if device != "cpu" else "/CPU:0"
        self.is_traced = True
        self.n_traces = 0  # beyond one: passes without a graph
        function = tf.function(self._pass, autograph=False, jit_compile=compile or None)
        self._run: Callable[[tf.Tensor], dict[str, tf.Tensor]]
        with tf.device(self._device):
            try:
                self._run = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
            except Exception as error:  # code of one's own that shapes alone can't follow
                if compile:
                    raise ValueError(
                        f"compile=True: {network.name!r} can't be traced "
                        f"({_first_line(error)}). Use compile=False."
                    ) from error
                self.is_traced = False
                self._run = self._pass

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        with tf.device(self._device):
            seen = self._run(tf.convert_to_tensor(batch, tf.float32))
        return {name: tensor.numpy() for name, tensor in seen.items()}

    def _pass(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        self.n_traces += 1
        network = self._network()
        assert network is not None
        seen = seen_by(network, batch, self._captures)
        return {capture.name: _pooled(seen[capture.name], capture) for capture in self._captures}


def _pooled(tensor: tf.Tensor, capture: Capture) -> tf.Tensor:
    """Pool in float32, as `skdnn._layers.pool` does it for arrays."""
    info, pooling = capture.info, capture.pooling
    tensor = tf.cast(tensor, tf.float32)
    ndim = tensor.shape.rank
    if pooling == "flatten" or (ndim <= 2 and not pooling.startswith("cls")):
        return tensor
    if pooling == "cls":
        return tensor[:, 0]
    if pooling == "cls+mean":
        tokens = tensor[:, info.n_prefix_tokens :]
        return tf.concat([tensor[:, 0], tf.reduce_mean(tokens, axis=1)], axis=1)
    if info.layout == TOKENS:
        tensor = tensor[:, info.n_prefix_tokens :]
    axes = range(2, ndim) if info.layout == CHANNELS_FIRST else range(1, ndim - 1)
    reduce = tf.reduce_mean if pooling == "mean" else tf.reduce_max
    return reduce(tensor, axis=list(axes))


class _Forward(PaddedBatches):
    """Runs batches through the graph for their layers."""

    def __init__(
        self, engine: TensorFlowEngine, captures: Sequence[Capture], preprocess: Any
    ) -> None:
        super().__init__(engine.device)
        self._engine = engine
        self._captures = captures
        self._preprocess = preprocess

    def _runs(self, part: Sequence[Any], rows: Mapping[str, np.ndarray]) -> bool:
        """Run a part of a batch; False if the memory does not hold it."""
        try:
            batch = make_batch(part, self._preprocess)
            seen = self._engine.graph(self._captures, batch.shape)(batch)
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            self._refuse_single(part, error)
            return False
        except (tf.errors.OpError, NotImplementedError) as error:
            raise ValueError(_unsupported(self._engine, error)) from error
        for capture in self._captures:
            target = rows[capture.name]  # may be columns of others
            values = seen[capture.name][: len(target)]
            check_size(capture, values.shape[1:], target)
            target[...] = values.reshape(target.shape)
        return True


def _unsupported(engine: TensorFlowEngine, error: Exception) -> str:
    precision = engine.network.dtype_policy.name
    return (
        f"tensorflow can't run {engine.network.name!r} on device {engine.device!r} with "
        f"precision {precision} and compile={engine.compile} ({_first_line(error)}). "
        "precision='float32' with compile=False works everywhere."
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def make_batch(prepared: Sequence[Any], preprocess: Any) -> np.ndarray:
    """Stack prepared images, channels last: uint8 pixels are scaled as the network wants it."""
    stacked = np.stack([np.asarray(image) for image in prepared])
    if hasattr(preprocess, "batch"):
        return preprocess.batch(stacked)
    if isinstance(preprocess, Preprocessing):
        raise TypeError(
            f"preprocess is {preprocess!r}, which is for torch's networks; one of Keras takes "
            "'default', a dict or a callable."
        )
    return np.asarray(stacked, dtype=np.float32)


# --- precision -----------------------------------------------------------------------------


def _cast(network: keras.Model, precision: str) -> keras.Model:
    """A copy in another precision, weights and arithmetic."""
    try:
        config = _with_policy(network.get_config(), precision)
        copy = type(network).from_config(config)
        if not copy.built:
            copy.build(network.input_shape)
        weights = network.get_weights()
        with np.errstate(over="ignore"):  # looked for below
            copy.set_weights(weights)
    except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"precision={precision!r}: {network.name!r} can't be rebuilt in another precision "
            f"from its configuration ({_first_line(error)}). Functional and Sequential networks "
            "of Keras's layers can; use precision='float32' for others."
        ) from error
    lost = [
        variable.path
        for variable, before in zip(copy.weights, weights, strict=True)
        if np.isfinite(before).all() and not np.isfinite(_as_float32(variable)).all()
    ]
    check_held(precision, lost)
    return copy


def _as_float32(variable: keras.Variable) -> np.ndarray:
    return np.asarray(tf.cast(variable.value, tf.float32))


def _with_policy(config: Any, precision: str) -> Any:
    """A configuration with the arithmetic of every layer replaced."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": precision}}
        return {key: _with_policy(value, precision) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(value, precision) for value in config)
    return config


__all__ = ["TensorFlowEngine", "choose_device", "make_batch", "trace_layers"]
