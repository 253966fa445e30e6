"""The layers of a Keras network: list them from one pass over shapes; watch their calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from skdnn._backends._engine import Capture, elements, first_part, returned, without_tensor
from skdnn._backends._penultimate import INPUT, Place, UnclearError, choose
from skdnn._backends._tensorflow_penultimate import Flow, last_with_weights
from skdnn._layers import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    NETWORK,
    NOT_PER_IMAGE,
    OUTPUT,
    PENULTIMATE,
    TOKENS,
    VECTOR,
    LayerInfo,
)

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


def first_tensor(output: Any) -> tf.Tensor | None:
    """The first tensor in a tensor, tuple, list or dict, however deep; None without any."""
    return first_part(output, tf.is_tensor)


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
                seen[capture.name] = _picked(capture, inputs if is_input else output)
        if len(seen) == len(captures):
            raise AllCaptured

    layers = [network, *known.values()]
    try:
        with watching([layer for layer in layers if id(layer) in wanted], see):
            network(batch, training=False)
    except AllCaptured:
        pass
    missing = sorted({capture.name for capture in captures} - seen.keys())
    if missing:
        raise ValueError(
            f"layers {missing} were not reached in this forward pass, though they were when the "
            "layers were listed: the network takes another way from image to image."
        )
    return seen


def _picked(capture: Capture, output: Any) -> tf.Tensor:
    tensor = first_tensor(elements(output).get(capture.request.key))
    if tensor is None:
        raise ValueError(
            f"layer {capture.name!r} returned no tensor, though it did when layers were listed."
        )
    return tensor


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


class _Trace:
    """Watches one forward pass of every layer."""

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self.named = named_layers(network)
        self.calls: dict[int, int] = {}
        self.seen: dict[int, dict[tuple[int, str | None], tuple[tuple[int, ...], str]]] = {}
        self.nothing: dict[int, str] = {}  # outputs without any tensor
        self.order: dict[int, int] = {}
        # What went into each call of a layer: shape and layout.
        self.given: dict[int, list[tuple[tuple[int, ...], str]]] = {}
        self.penultimate: Place | None = None
        self.unclear = ""
        self._paths = {id(layer): path for path, layer in reversed(self.named.items())}
        self._flow = Flow()
        self._layout = (VECTOR, 0)

    def run(self, blank: tf.Tensor) -> None:
        with watching([*self.named.values(), self.network], self._watch):
            output = self.network(blank, training=False)
        try:
            self.penultimate = self._followed(blank, output)
        except UnclearError as error:
            self.unclear = f"it is not clear: {error}"

    def _followed(self, blank: tf.Tensor, output: Any) -> Place | None:
        """What a classifier reads, by what the output is made of."""
        if isinstance(blank, tf.Tensor) and not tf.executing_eagerly():
            steps = self._flow.steps(blank)
            parts, several = returned(output)
            tensors = {name: first_tensor(part) for name, part in parts.items()}
            known = {
                name: steps[t.ref()]
                for name, t in tensors.items()
                if t is not None and t.ref() in steps
            }
            return choose(known, (), several=several)
        by_order = sorted(self.named.items(), key=lambda item: self.order.get(id(item[1]), -1))
        called = [(path, layer) for path, layer in by_order if id(layer) in self.order]
        return last_with_weights(called, self.calls)

    def _watch(self, layer: keras.Layer, inputs: Any, output: Any) -> None:
        if output is None:
            tensor = first_tensor(inputs)
            shape = () if tensor is None else _known_shape(tensor)
            given = (shape, _inherited(self._layout, len(shape)))
            self.given.setdefault(id(layer), []).append(given)
            return
        call = self.calls.get(id(layer), 0)
        self.calls[id(layer)] = call + 1
        self.order.pop(id(layer), None)
        self.order[id(layer)] = len(self.order)
        seen = self.seen.setdefault(id(layer), {})
        for key, part in elements(output).items():
            tensor = first_tensor(part)
            if tensor is not None:
                shape = _known_shape(tensor)
                seen[call, key] = (shape, _layout(layer, len(shape), self._layout))
        if (call, None) in seen:
            shape, layout = seen[call, None]
            self._layout = (layout, len(shape))
            if layer is not self.network:
                path = self._paths[id(layer)]
                self._flow.note(layer, path, call, inputs, first_tensor(output))
        else:
            self.nothing[id(layer)] = without_tensor(output)

    def layers(self) -> list[LayerInfo]:
        found = [self._with_variants(path, layer) for path, layer in self.named.items()]
        output = self._with_variants(OUTPUT, self.network).of_network()
        if PENULTIMATE not in self.named:
            found.append(self._penultimate(output))
        if OUTPUT not in self.named:
            found.append(output)
        return found

    def _penultimate(self, output: LayerInfo) -> LayerInfo:
        place = self.penultimate
        if self.unclear:
            return LayerInfo(PENULTIMATE, "", (), 0, 0, refusal=self.unclear)
        if place is None:
            return replace(output, name=PENULTIMATE)
        layer = self.named[place.layer]
        if place.side == INPUT:
            shape, layout = self.given[id(layer)][place.call]
        else:
            shape, layout = self.seen[id(layer)][place.call, None]
        info = self._info(PENULTIMATE, layer, shape, layout)
        return replace(info, source=place.layer, side=place.side, n_calls=place.call + 1)

    def _with_variants(self, name: str, layer: keras.Layer) -> LayerInfo:
        seen = self.seen.get(id(layer), {})
        last = self.calls.get(id(layer), 0) - 1
        shape, layout = seen.get((last, None), ((), NOT_PER_IMAGE if last >= 0 else VECTOR))
        info = self._info(name, layer, shape, layout)
        if last >= 0 and (last, None) not in seen:
            info = replace(info, refusal=self.nothing[id(layer)])
        if len(seen) > 1:
            for at, (shape, layout) in seen.items():
                info.variants[at] = self._info(name, layer, shape, layout)
        return info

    def _info(
        self, name: str, layer: keras.Layer, shape: tuple[int, ...], layout: str
    ) -> LayerInfo:
        per_image = shape[:1] == (_TRACE_BATCH,)
        if not per_image and self.calls.get(id(layer)):
            layout = NOT_PER_IMAGE
        prefix, has_class = _prefix_tokens(self.network) if layout == TOKENS else (0, False)
        return LayerInfo(
            name=name,
            type=type(layer).__name__,
            output_shape=shape[1:] if per_image else shape,
            n_params=layer.count_params() if layer.built else 0,
            n_calls=self.calls.get(id(layer), 0),
            layout=layout,
            n_prefix_tokens=prefix,
            has_class_token=has_class,
            depth=self.order.get(id(layer), -1),
        )


class _UnknownShape(Exception):
    """A shape that depends on values: only a real pass tells it."""


def _known_shape(tensor: tf.Tensor) -> tuple[int, ...]:
    if tensor.shape.rank is None or None in tensor.shape.as_list():
        raise _UnknownShape(str(tensor.shape))
    return tuple(tensor.shape.as_list())


def _layout(layer: keras.Layer, ndim: int, before: tuple[str, int]) -> str:
    """Where the unit axis lies: layers that know say it, the others inherit it."""
    if ndim <= 2:
        return VECTOR
    data_format = getattr(layer, "data_format", None)
    if data_format == "channels_first":
        return CHANNELS_FIRST
    if data_format == "channels_last":
        return TOKENS if ndim == 3 else CHANNELS_LAST
    return _inherited(before, ndim)


def _inherited(before: tuple[str, int], ndim: int) -> str:
    """The layout of what was computed last, where the number of axes is still the same."""
    if ndim <= 2:
        return VECTOR
    if before[1] == ndim:
        return before[0]
    return TOKENS if ndim == 3 else CHANNELS_LAST


def _prefix_tokens(network: keras.Model) -> tuple[int, bool]:
    """Number of tokens before the image's own, and whether the first is a class token."""
    has_class = any(
        any(part in _CLASS_TOKENS for part in variable.path.split("/"))
        for variable in network.variables
    )
    return int(getattr(network, "num_prefix_tokens", int(has_class))), has_class
