"""What one's own keras.Model computes, as plain values."""

from __future__ import annotations

import importlib
import json
import re
import types
from typing import Any

from skdnn._identity._fingerprint import Description, Unseen
from skdnn._identity._installed_packages import library

_TENSOR = re.compile(r"^keras_tensor(_\d+)*$")


def keras_identity(network: Any, version: str | None, weights: str | None = None) -> Any:
    """As `network_identity`: weights, configuration, classes and their code."""
    describe = _KerasDescription(version, network)
    return describe.model(lambda: list(map(describe.layer, describe.layers)), network, weights)


class _KerasDescription(Description):
    """The same for layers: by configuration where Keras wrote the class, else by code."""

    def __init__(self, version: str | None, network: Any) -> None:
        super().__init__(version)
        self._keras = importlib.import_module("keras")
        self.layers = list(network._flatten_layers(include_self=True, recursive=True))
        self._places = {id(layer): place for place, layer in enumerate(self.layers)}
        inputs = self._keras.layers.InputLayer
        unnamed = [network, *(layer for layer in self.layers if isinstance(layer, inputs))]
        self._numbered = {layer.name: type(layer).__name__ for layer in unnamed}
        self._bookkeeping = {*vars(self._keras.Layer()), *vars(self._keras.Model())}

    def layer(self, layer: Any) -> Any:
        """Class, configuration, and what neither tells: functions, a class's own attributes."""
        cls, own = type(layer), not library(type(layer).__module__)
        held = [
            (name, part)
            for name, part in sorted(vars(layer).items())
            if name not in self._bookkeeping and not name.startswith("_self_")  # tensorflow's
            if name != "call"  # ours, while it is watched
            if own or isinstance(part, types.FunctionType)
        ]
        # Of a Functional of one's own class, the configuration is how its layers hang together.
        is_graph = isinstance(layer, self._keras.Sequential) or hasattr(layer, "operations")
        config = self._config(layer) if is_graph or not own else layer.dtype_policy.name
        return [self.of(cls), config, self.named(held)]

    def _config(self, layer: Any) -> Any:
        try:
            config = layer.get_config()
        except NotImplementedError as error:
            raise Unseen(f"{type(layer).__name__} has no get_config") from error
        return json.dumps(self._unnumbered(config), sort_keys=True, default=self.of)

    def _unnumbered(self, config: Any) -> Any:
        """Without the numbers that Keras gives inputs, tensors and networks as it counts them.

        Names of all other layers stay: they are what activations are asked for by.
        """
        if isinstance(config, dict):
            return {key: self._unnumbered(part) for key, part in config.items()}
        if isinstance(config, list | tuple):
            return [self._unnumbered(part) for part in config]
        if isinstance(config, str):
            return self._numbered.get(config, _TENSOR.sub("keras_tensor", config))
        return config

    def _of(self, value: Any) -> Any:
        if isinstance(value, self._keras.Layer):
            if id(value) not in self._places:
                raise Unseen(f"{type(value).__name__} is no tracked layer of the network")
            return ["layer", self._places[id(value)]]
        if isinstance(value, self._keras.Variable | self._keras.KerasTensor):
            return [list(value.shape), str(value.dtype)]  # among the weights; in the graph
        base, home = type(value).__bases__[0], library(type(value).__module__)
        if home.startswith("keras") and issubclass(base, list | dict | set):
            return super()._of(base(value))  # Keras's own kind, which sees what is put in
        if home and hasattr(type(value), "get_config"):
            return [self.of(type(value)), self._config(value)]  # initializers and their like
        return super()._of(value)
