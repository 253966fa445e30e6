"""What "penultimate" stands for in Keras's networks and in one's own."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from helpers.every_network import one_of_each_kind
from helpers.late import keras, needs
from skdnn import DNNFeatureExtractor, list_layers
from skdnn._layers import LayerInfo
from skdnn.models import Model
from skdnn.models._keras_build import names, own_size

pytestmark = needs("tensorflow")
SIZE = {"resize": (20, 24), "crop": None}
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 30, 26, 3), dtype=np.uint8)
HEADLESS = "output of the network"
SMALLEST_OF_EACH = [
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2",
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50",
    "ResNet50V2", "VGG16", "VGG19", "Xception",
]  # fmt: skip
# Heads that are no dense layer.
CONVOLUTIONS = {
    "MobileNet": "conv_preds",
    **{f"MobileNetV3{k}": "logits" for k in ("Small", "Large")},
}


def penultimate(network: Any, size: tuple[int, int]) -> LayerInfo:
    from skdnn._backends._tensorflow_engine import trace_layers

    return next(i for i in trace_layers(network, (*size, 3)) if i.name == "penultimate")


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of_each_kind(names(), SMALLEST_OF_EACH))
def test_every_family_with_and_without_its_top(name: str) -> None:
    build = getattr(keras.applications, name)  # which loads keras, torch's parts first
    size = own_size(name)
    options = {"weights": None, "input_shape": (*size, 3)}
    with keras.StatelessScope(initialize_variables=False):
        whole, pooled = build(**options), build(**options, include_top=False, pooling="avg")
        cut = keras.Model(pooled.inputs, pooled.layers[-1].input)
    try:
        found = penultimate(whole, size)
        last = [layer.name for layer in whole.layers if isinstance(layer, keras.layers.Dense)]
        assert found.source == CONVOLUTIONS.get(name, last[-1] if last else "")
        assert found.output_shape == tuple(whole.get_layer(found.source).input.shape[1:])
        assert found.side == "input"
        for headless in (cut, pooled):
            found = penultimate(headless, size)
            assert found.output_shape == tuple(headless.output_shape[1:])
            assert found.meaning == HEADLESS
    finally:
        keras.utils.clear_session()


def parts() -> dict[str, Any]:
    images = keras.Input((20, 24, 3))
    maps = keras.layers.Conv2D(6, 3, activation="relu")(images)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    other = keras.layers.GlobalMaxPooling2D(name="other")(maps)
    return {"images": images, "maps": maps, "features": features, "other": other}


def dense(units: int, name: str, activation: str | None = None) -> Any:
    return keras.layers.Dense(units, name=name, activation=activation)


def build(kind: str) -> Any:
    """Own networks of Keras's layers."""
    p = parts()
    x, other = p["features"], p["other"]
    returned = {
        "softmax": lambda: dense(4, "head", "softmax")(x),
        "softmax apart": lambda: keras.layers.Softmax()(dense(4, "head")(x)),
        "an operation": lambda: keras.ops.softmax(dense(4, "head")(x)),
        "two that read the same": lambda: [dense(4, "head")(x), dense(5, "second")(x)],
        "features too": lambda: [x, dense(4, "head")(x)],
        "relu": lambda: dense(4, "last", "relu")(x),
        "features": lambda: x,
        "residual": lambda: keras.layers.Add()([x, dense(6, "back")(x)]),
        "residual operation": lambda: x + dense(6, "back")(x),
        "by a gate": lambda: x * dense(6, "gate", "sigmoid")(x),
        "two that read others": lambda: [dense(4, "head")(x), dense(5, "second")(other)],
        "mean of two": lambda: keras.layers.Average()([dense(4, "a")(x), dense(4, "b")(other)]),
        "two features": lambda: [x, other],
    }[kind]()
    return keras.Model(p["images"], returned)


MEANT = {
    "input of head": ["softmax", "softmax apart", "an operation", "two that read the same",
                      "features too"],
    HEADLESS: ["relu", "features", "residual", "residual operation", "by a gate"],
}  # fmt: skip
UNCLEAR = {
    "two that read others": r"2 heads.*'head', 'second'.*'pool', 'other'",
    "mean of two": r"2 heads.*'a', 'b'.*'pool', 'other'",
    "two features": r"'output\[0\]', 'output\[1\]'",
}


@pytest.mark.parametrize(("meaning", "kind"), [(m, kind) for m in MEANT for kind in MEANT[m]])
def test_what_is_meant(meaning: str, kind: str) -> None:
    network = build(kind)
    model = Model(network, SIZE)
    table = list_layers(model).set_index("layer")
    assert table.loc["penultimate", "source"] == meaning
    found = DNNFeatureExtractor(model).extract(PICTURES, ["penultimate", "output", "pool"])
    expected = found["output" if meaning == HEADLESS else "pool"]
    assert_array_equal(found["penultimate"], expected)


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_cannot_be_told(kind: str) -> None:
    with pytest.raises(ValueError, match=f"it is not clear: .*{UNCLEAR[kind]}"):
        DNNFeatureExtractor(Model(build(kind), SIZE)).fit(PICTURES)


def test_a_network_that_no_graph_follows_goes_by_its_last_weights() -> None:
    class Looking(keras.Model):
        def __init__(self, last: Any) -> None:
            super().__init__()
            self.conv, self.last = keras.layers.Conv2D(5, 3), last

        def call(self, x):
            x = self.conv(x)
            with contextlib.suppress(ZeroDivisionError):
                x = x / float(keras.ops.convert_to_numpy(x).max() > -1e9)
            return self.last(keras.ops.mean(x, axis=(1, 2)))

    for last, meaning in ((dense(4, "head"), "input of head"), (dense(4, "a", "relu"), HEADLESS)):
        network = Looking(last)
        network(np.zeros((1, 20, 24, 3), np.float32))
        table = list_layers(Model(network, SIZE)).set_index("layer")
        assert table.loc["penultimate", "source"] == meaning
