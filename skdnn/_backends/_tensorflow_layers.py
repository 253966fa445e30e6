"""The layers of a Keras network, listed from one pass over shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from skdnn._backends._engine import returned
from skdnn._backends._layer_table import LayerTable
from skdnn._backends._penultimate import Place, choose
from skdnn._backends._tensorflow_capture import named_layers, watching
from skdnn._backends._tensorflow_penultimate import Flow, last_with_weights
from skdnn._layers import CHANNELS_FIRST, CHANNELS_LAST, TOKENS, VECTOR, LayerInfo

_TRACE_BATCH = 3  # a size that no axis of a network is likely to have by chance
_CLASS_TOKENS = ("class_token", "cls_token")


def trace_layers(network: keras.Model, input_shape: tuple[int, ...]) -> list[LayerInfo]:
    """List every layer with its shape, calls and layout, from one pass over shapes.

    Only a network that cannot be followed so is sent three blank images.

    Parameters
    ----------
    network : keras.Model
    input_shape : tuple of int
        (height, width, 3).

    Returns
    -------
    layers : list of LayerInfo
        In the order of the network, then ``"penultimate"`` and ``"output"``.

    Raises
    ------
    ValueError
        If the network has no weights yet, or takes images of another shape.
    """
    check_input(network, input_shape)
    shape = (_TRACE_BATCH, *input_shape)
    trace = _Trace(network)
    try:
        tf.function(trace.run, autograph=False).get_concrete_function(
            tf.TensorSpec(shape, tf.float32)
        )
    except Exception:  # whatever a network does that shapes alone cannot follow
        trace = _Trace(network)
        trace.run(tf.zeros(shape))
    return trace.layers()


def check_input(network: keras.Model, shape: Sequence[int]) -> None:
    """Refuse images that the network can't take, before Keras does so less plainly."""
    if not network.built:
        raise ValueError(
            f"model of class {type(network).__name__} has no weights yet: call it once with a "
            "batch, or build it with network.build((None, height, width, 3))."
        )
    inputs = getattr(network, "inputs", None) or []
    if len(inputs) > 1:
        raise ValueError(
            f"model {network.name!r} takes {len(inputs)} inputs; a network of images takes one."
        )
    wanted = tuple(inputs[0].shape[1:]) if inputs else tuple(shape)
    fits = len(wanted) == len(shape) and all(
        size in (None, given) for size, given in zip(wanted, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The network {network.name!r} takes images of shape {wanted} (height, width, "
            f"channels), and preprocess gives {tuple(shape)}. Give preprocess="
            "{'resize': (height, width), 'crop': None}, or a callable that returns such arrays."
        )


class _Trace(LayerTable):
    """Watches one forward pass of every layer."""

    def __init__(self, network: keras.Model) -> None:
        named = named_layers(network)
        super().__init__(network, named, tf.is_tensor, _TRACE_BATCH, batch_axes=1)
        self._paths = {id(layer): path for path, layer in reversed(self.named.items())}
        self._flow = Flow()

    def shape_of(self, tensor: tf.Tensor) -> tuple[int, ...]:
        if tensor.shape.rank is None or None in tensor.shape.as_list():
            raise _UnknownShape(str(tensor.shape))
        return tuple(tensor.shape.as_list())

    def layout_of(self, layer: keras.Layer, shape: tuple[int, ...]) -> str:
        data_format = getattr(layer, "data_format", None)
        if len(shape) > 2 and data_format == "channels_first":
            return CHANNELS_FIRST
        if len(shape) > 2 and data_format == "channels_last":
            return TOKENS if len(shape) == 3 else CHANNELS_LAST
        return self.layout_of_input(shape)

    def layout_of_input(self, shape: tuple[int, ...]) -> str:
        """The layout of what was computed last, where the number of axes is still the same."""
        layout, before = self.last
        if len(shape) <= 2:
            return VECTOR
        if len(before) == len(shape):
            return layout
        return TOKENS if len(shape) == 3 else CHANNELS_LAST

    def n_params(self, layer: keras.Layer) -> int:
        return layer.count_params() if layer.built else 0

    def prefix_tokens(self, shape: tuple[int, ...]) -> tuple[int, bool]:
        has_class = any(
            any(part in _CLASS_TOKENS for part in variable.path.split("/"))
            for variable in self.network.variables
        )
        return int(getattr(self.network, "num_prefix_tokens", int(has_class))), has_class

    def run(self, blank: tf.Tensor) -> None:
        with watching([*self.named.values(), self.network], self._watch):
            output = self.network(blank, training=False)
        self.decide(lambda: self._read_by_a_classifier(blank, output))

    def _read_by_a_classifier(self, blank: tf.Tensor, output: Any) -> Place | None:
        """By what the output is made of."""
        if tf.executing_eagerly():
            passes = [(path, layer, self.passes(layer)) for path, layer in self.named.items()]
            called = [each for each in passes if each[2].n_calls]
            called.sort(key=lambda each: each[2].finished)
            return last_with_weights([(path, layer, p.n_calls) for path, layer, p in called])
        steps = self._flow.steps(blank)
        parts, several = returned(output)
        tensors = {name: self.first_tensor(part) for name, part in parts.items()}
        known = {
            name: steps[t.ref()]
            for name, t in tensors.items()
            if t is not None and t.ref() in steps
        }
        return choose(known, (), several=several)

    def _watch(self, layer: keras.Layer, inputs: Any, output: Any) -> None:
        if output is None:
            self.note_input(layer, self.first_tensor(inputs))
            return
        self.note_output(layer, output)
        passes = self.passes(layer)
        if layer is not self.network and (passes.n_calls - 1, None) in passes.seen:
            path, call = self._paths[id(layer)], passes.n_calls - 1
            self._flow.note(layer, path, call, inputs, self.first_tensor(output))


class _UnknownShape(Exception):
    """A shape that depends on values: only a real pass tells it."""
