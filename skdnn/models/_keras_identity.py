"""What one's own keras.Model computes, as plain values."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import types
from typing import Any

import numpy as np

from skdnn.models._fingerprint import (
    _Description,
    _library,
    _needs_version,
    _qualified,
    _Unknown,
)
from skdnn.models._spec import digest_of

_TENSOR = re.compile(r"^keras_tensor(_\d+)*$")


def keras_identity(network: Any, version: str | None) -> Any:
    """What a user's keras.Model computes: weights, configuration, classes and their code.

    Raises
    ------
    ValueError
        If some of it is code that cannot be fingerprinted and there is no `version`.
    """
    describe = _KerasDescription(version, network)
    try:
        layers = [describe.layer(layer) for layer in describe.layers]
    except (_Unknown, RecursionError) as error:
        if version is None:
            raise _needs_version(f"model of class {type(network).__name__}", str(error)) from None
        layers = [[_qualified(type(network))]]
    known = {"layers": digest_of(layers), "weights": _weights_digest(network)}
    return known if version is None else {**known, "version": version}


def _weights_digest(network: Any) -> str:
    """SHA-256 of all weights, in Keras's order."""
    whole = hashlib.sha256()
    for variable in network.weights:  # not the states of random generators
        values = np.ascontiguousarray(variable.numpy())
        whole.update(json.dumps([str(values.dtype), list(values.shape)]).encode())
        whole.update(values.tobytes())
    return whole.hexdigest()


class _KerasDescription(_Description):
    """The same for layers: by configuration where Keras wrote the class, else by code."""

    def __init__(self, version: str | None, network: Any) -> None:
        super().__init__(version)
        self._keras = importlib.import_module("keras")
        self._tensorflow = importlib.import_module("tensorflow")
        self.layers = list(network._flatten_layers(include_self=True, recursive=True))
        self._places = {id(layer): place for place, layer in enumerate(self.layers)}
        inputs = self._keras.layers.InputLayer
        unnamed = [network, *(layer for layer in self.layers if isinstance(layer, inputs))]
        self._numbered = {layer.name: type(layer).__name__ for layer in unnamed}
        self._bookkeeping = {*vars(self._keras.Layer()), *vars(self._keras.Model())}

    def layer(self, layer: Any) -> Any:
        """Class, configuration, and what neither tells: functions, a class's own attributes."""
        cls = type(layer)
        held = {
            name: part
            for name, part in vars(layer).items()
            if name not in self._bookkeeping and name != "call"  # ours, while it is watched
        }
        if not _library(cls.__module__):
            own = [[name, self.of(held[name])] for name in sorted(held)]
            return [self.of(cls), own, self._dtype(layer), self._graph(layer)]
        functions = [
            [name, self.of(part)]
            for name, part in sorted(held.items())
            if isinstance(part, types.FunctionType)
        ]
        return [self.of(cls), self._config(layer), functions]

    def _graph(self, layer: Any) -> Any:
        """How the layers of a Functional of the user's own class hang together."""
        is_graph = isinstance(layer, self._keras.Sequential) or hasattr(layer, "operations")
        return self._config(layer) if is_graph else None

    def _dtype(self, layer: Any) -> str:
        return str(layer.dtype_policy.name)

    def _config(self, layer: Any) -> Any:
        try:
            config = layer.get_config()
        except NotImplementedError as error:
            raise _Unknown(f"{type(layer).__name__} has no get_config") from error
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
                raise _Unknown(f"{type(value).__name__} is no tracked layer of the network")
            return ["layer", self._places[id(value)]]
        if isinstance(value, self._keras.Variable):  # its values are among the weights
            return ["variable", list(value.shape), str(value.dtype)]
        if isinstance(value, self._keras.KerasTensor):  # the graph is in the configuration
            return ["symbol", list(value.shape), str(value.dtype)]
        if isinstance(value, self._tensorflow.Tensor | self._tensorflow.Variable):
            return super()._of(np.asarray(value))
        if isinstance(value, self._tensorflow.DType | self._tensorflow.TensorShape):
            return ["tensorflow", str(value)]
        if hasattr(type(value), "get_config") and _library(type(value).__module__):
            return [self.of(type(value)), self._config(value)]  # initializers and their like
        return super()._of(value)
