"""Capture layers of a Keras network in one pass, which stops after the deepest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from skdnn._backends._engine import Capture, check_reached, wanted_tensor
from skdnn._backends._penultimate import INPUT


class _AllCaptured(BaseException):
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

    def watched(layer: keras.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched_call(*args: Any, **kwargs: Any) -> Any:
            see(layer, (args, kwargs), None)
            output = call(*args, **kwargs)
            see(layer, (args, kwargs), output)
            return output

        return watched_call

    before: list[tuple[keras.Layer, Any]] = []
    try:
        for layer in {id(layer): layer for layer in layers}.values():
            before.append((layer, vars(layer).get("call")))
            vars(layer)["call"] = watched(layer, layer.call)
        yield
    finally:
        for layer, own in before:
            if own is None:
                vars(layer).pop("call", None)
            else:
                vars(layer)["call"] = own


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
        layer = network if capture.of_network else known[source]
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
            raise _AllCaptured

    layers = [network, *known.values()]
    try:
        with watching([layer for layer in layers if id(layer) in wanted], see):
            network(batch, training=False)
    except _AllCaptured:
        pass
    check_reached({capture.name for capture in captures} - seen.keys())
    return seen
