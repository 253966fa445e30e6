"""The layers of a Keras network: list them from one pass over shapes; watch their calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from skdnn._backends._engine import Capture, check_reached, returned, wanted_tensor
from skdnn._backends._layer_table import LayerTable
from skdnn._backends._penultimate import INPUT, Place, choose
from skdnn._backends._tensorflow_penultimate import Flow, last_with_weights
from skdnn._layers import CHANNELS_FIRST, CHANNELS_LAST, NETWORK, TOKENS, VECTOR, LayerInfo

_TRACE_BATCH = 3  # a size that no axis of a network is likely to have by chance
_CLASS_TOKENS = ("class_token", "cls_token")


class AllCaptured(BaseException):
    """Leaves the forward pass once every wanted layer has been captured.

    No Exception: Keras rewrites those on their way through its layers.
    """


def named_layers(network: keras.Model) -> dict[str, keras.Layer]:
    """All layers by path, nested ones as ``"outer/inner"``; inputs, which compute nothing, not.

    Of layers of one name in one place, the later ones are called ``"name#1"``, ``"name#2"``.
    """
    found: dict[str, keras.Layer] = {}

    def visit(parent: keras.Layer, prefix: str, above: tuple[int, ...]) -> None:
        for layer in parent._flatten_layers(include_self=False, recursive=False):
            if isinstance(layer, keras.layers.InputLayer) or id(layer) in above:
                continue
            path, number = prefix + layer.name, 0
            while path in found:
                number += 1
                path = f"{prefix}{layer.name}#{number}"
            found[path] = layer
            visit(layer, f"{path}/", (*above, id(layer)))

    visit(network, "", (id(network),))
    return found


@contextmanager
def watching(
    layers: Sequence[keras.Layer], see: Callable[[keras.Layer, Any, Any], None]
) -> Iterator[None]:
    """Have ``see(layer, inputs, output)`` called at each call of the layers; then as before.

    ``see(layer, inputs, None)`` comes before the call. It is `call` that is watched: Keras looks
    that up on the layer itself, in a network of whatever kind, however deeply nested.
    """
    before: list[tuple[keras.Layer, Any]] = []
    try:
        for layer in {id(layer): layer for layer in layers}.values():
            before.append((layer, vars(layer).get("call")))
            vars(layer)["call"] = _watched(layer, layer.call, see)
        yield
    finally:
        for layer, own in before:
            if own is None:
                vars(layer).pop("call", None)
            else:
                vars(layer)["call"] = own


def _watched(
    layer: keras.Layer, call: Callable[..., Any], see: Callable[[keras.Layer, Any, Any], None]
) -> Callable[..., Any]:
    def watched_call(*args: Any, **kwargs: Any) -> Any:
        see(layer, (args, kwargs), None)
        output = call(*args, **kwargs)
        see(layer, (args, kwargs), output)
        return output

    return watched_call


def seen_by(
    network: keras.Model, batch: tf.Tensor, captures: Sequence[Capture]
) -> dict[str, tf.Tensor]:
    """What the captures see of one forward pass, which stops after the last of them.

    Raises
    ------
    ValueError
        If a layer was not reached, or returned no tensor.
    """
    known = named_layers(network)
    wanted: dict[int, list[Capture]] = {}
    for capture in captures:
        source = capture.info.source or capture.request.path
        layer = network if source == NETWORK else known[source]
        wanted.setdefault(id(layer), []).append(capture)
    calls = dict.fromkeys(wanted, 0)
    seen: dict[str, tf.Tensor] = {}

    def see(layer: keras.Layer, inputs: Any, output: Any) -> None:
        call = calls[id(layer)]
        calls[id(layer)] += output is not None
        for capture in wanted[id(layer)]:
            is_input = capture.info.side == INPUT
            if call == capture.wanted_call and is_input == (output is None):
                seen[capture.name] = wanted_tensor(
                    capture, inputs if is_input else output, tf.is_tensor
                )
        if len(seen) == len(captures):
            raise AllCaptured

    layers = [network, *known.values()]
    try:
        with watching([layer for layer in layers if id(layer) in wanted], see):
            network(batch, training=False)
    except AllCaptured:
        pass
    check_reached({capture.name for capture in captures} - seen.keys())
    return seen


# --- listing -------------------------------------------------------------------------------


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
