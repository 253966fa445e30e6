"""One's own Keras networks: what they hold and reach, as of torch's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.late import keras, late_keras, needs
from skdnn.models import Model
from skdnn.models._registry import resolve_model

pytestmark = needs("tensorflow")
networks = late_keras("helpers.keras_networks")


def network() -> Any:
    built = keras.Sequential(
        [
            keras.Input((8, 9, 3)),
            networks.Holder(name="l"),
            keras.layers.Conv2D(2, 3, name="c", kernel_initializer="he_normal"),
        ],
        name="n",
    )
    rng = np.random.default_rng(0)
    built.set_weights([rng.normal(size=w.shape) for w in built.get_weights()])
    return built


def identity(built: Any, version: str | None = None) -> str:
    return resolve_model(Model(built)).fingerprint(version)


def put(**values: Any) -> Callable[[Any], None]:
    return lambda layer: [setattr(layer, name, value) for name, value in values.items()] and None


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a number": put(number=2.0),
    "text": put(text="cos"),
    "nothing": put(nothing=0),
    "an item of a list": lambda layer: layer.list.__setitem__(0, 3.0),
    "an item more": lambda layer: layer.list.append(3.0),
    "an item of a dict": lambda layer: layer.dict.__setitem__("a", 3.0),
    "an item deep inside": lambda layer: layer.dict["b"]["c"].__setitem__(0, 3),
    "an item of a set": lambda layer: layer.set.add(3),
    "a tuple": put(tuple=(1, (3,))),
    "an ordered dict": lambda layer: layer.ordered.__setitem__("a", 3),
    "an array": lambda layer: layer.array.__setitem__(0, 3),
    "an attribute of an object": lambda layer: setattr(layer.held, "k", 2.0),
}


def test_built_twice_it_is_the_same():
    assert identity(network()) == identity(network())


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_layer_holds(what):
    built = network()
    first = identity(built)
    CHANGES[what](built.get_layer("l"))
    assert identity(built) != first


def test_what_its_code_reaches(monkeypatch):
    built = network()
    module = importlib.import_module("helpers.keras_networks")
    found = [identity(built)]
    monkeypatch.setattr(module, "SCALE", 2.0)
    found.append(identity(built))
    monkeypatch.setitem(module.TABLE, "k", [2.0])
    found.append(identity(built))
    monkeypatch.setattr(module.Holder, "call", unchanged)
    found.append(identity(built))
    assert len(set(found)) == 4


def unchanged(self, x):
    return x


def test_weights_in_full():
    built = network()
    first = identity(built)
    kernel, bias = built.get_weights()
    kernel = kernel.copy()
    kernel[0, 0, :2, 0] *= -1  # two bits that cancel in a sum
    built.set_weights([kernel, bias])
    assert identity(built) != first


def test_what_cannot_be_told_asks_for_a_version():
    built = network()
    built.get_layer("l").held.file = open(__file__)  # noqa: SIM115 (closed below)
    try:
        with pytest.raises(ValueError, match=r"held\.file: .*can't be seen.*version='1'"):
            identity(built)
        assert identity(built, "1") != identity(built, "2")
    finally:
        built.get_layer("l").held.file.close()
