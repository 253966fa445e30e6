"""One network in torch and in Keras gives the same features; both in one process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from helpers.late import keras, needs, torchvision
from skdnn._backends import Capture, describe_layers, open_engine
from skdnn._layers import resolve_layers
from skdnn.models import Model
from skdnn.models import _keras as source
from skdnn.models._model_spec import ModelSpec
from skdnn.models._registry import resolve_model

pytestmark = needs("tensorflow")


def as_given(image: Any) -> Any:
    """A preprocessing that gives what it is given."""
    return image


def torch_spec(network: nn.Module) -> ModelSpec:
    return resolve_model(Model(network, preprocess=as_given))


def keras_spec(network: Any) -> ModelSpec:
    wrapped = types.SimpleNamespace(network=network, preprocess=as_given, name="own")
    return source.keras_custom_spec(wrapped, "default")


def features(spec: ModelSpec, names: Sequence[str], batch: np.ndarray) -> list[np.ndarray]:
    layers = describe_layers(spec, batch.shape[1:])
    known = {info.name: info for info in layers}
    captures = [
        Capture(r, known[r.path].of(r), "flatten") for r in resolve_layers(names, layers, "it")
    ]
    rows = {c.name: np.full((len(batch), *c.info.output_shape), np.nan, np.float32)
            for c in captures}  # fmt: skip
    prepared: Any = list(map(torch.from_numpy, batch)) if spec.backend == "torch" else list(batch)
    with open_engine(spec, "cpu").session(captures, spec.preprocess) as forward:
        forward(prepared, rows)
    return [rows[name] for name in names]


def conv_weights(conv: nn.Conv2d) -> list[np.ndarray]:
    """(out, in, height, width) becomes (height, width, in, out)."""
    return [conv.weight.detach().numpy().transpose(2, 3, 1, 0), conv.bias.detach().numpy()]


def linear_weights(linear: nn.Linear, *chw: int) -> list[np.ndarray]:
    """Transposed; behind a flattened image, its inputs run over channels last."""
    weight = linear.weight.detach().numpy()
    if chw:
        weight = weight.reshape(-1, *chw).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return [weight.T, linear.bias.detach().numpy()]


def small_torch() -> nn.Sequential:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 7, 3),
        nn.Flatten(),
        nn.Linear(7 * 8 * 11, 6),
    )
    norm = network[1]
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 1.5)
    return network.eval()


def small_keras(twin: nn.Sequential) -> Any:
    L = keras.layers
    network = keras.Sequential([
        keras.Input((20, 26, 3)),
        L.Conv2D(5, 3, padding="same", name="0"),
        L.BatchNormalization(epsilon=1e-5, name="1"),
        L.ReLU(name="2"),
        L.MaxPooling2D(2, name="3"),
        L.Conv2D(7, 3, name="4"),
        L.Flatten(name="5"),
        L.Dense(6, name="6"),
    ])  # fmt: skip
    norm = twin[1]
    state = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    network.get_layer("0").set_weights(conv_weights(twin[0]))
    network.get_layer("1").set_weights([values.detach().numpy() for values in state])
    network.get_layer("4").set_weights(conv_weights(twin[4]))
    network.get_layer("6").set_weights(linear_weights(twin[6], 7, 8, 11))
    return network


def check_equal(torch_values: np.ndarray, keras_values: np.ndarray, name: str) -> None:
    if torch_values.ndim == 4:
        torch_values = torch_values.transpose(0, 2, 3, 1)
    assert torch_values.std() > 1e-4
    scale = np.abs(torch_values).max()
    assert_allclose(keras_values / scale, torch_values / scale, atol=1e-4, err_msg=name)


def test_a_small_network() -> None:
    one = small_torch()
    batch = np.random.default_rng(0).normal(size=(3, 20, 26, 3)).astype(np.float32)
    names = ["0", "1", "2", "3", "4", "6", "output"]
    first = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
    pairs = zip(names, features(torch_spec(one), names, first),
                features(keras_spec(small_keras(one)), names, batch), strict=True)  # fmt: skip
    for name, torch_values, keras_values in pairs:
        check_equal(torch_values, keras_values, name)
    flat = [features(torch_spec(one), ["5"], first), features(keras_spec(small_keras(one)), ["5"],
                                                             batch)]  # fmt: skip
    by_channel = flat[0][0].reshape(3, 7, 8, 11).transpose(0, 2, 3, 1).reshape(3, -1)
    check_equal(by_channel, flat[1][0], "flattened: channels first in torch, last in Keras")


@pytest.mark.slow
def test_vgg16() -> None:
    torch.manual_seed(0)
    one = torchvision.models.vgg16(weights=None).eval()
    spec = source.spec("VGG16", weights=None, seed=0, preprocess=as_given)
    other = spec.load()
    convs = [module for module in one.features if isinstance(module, nn.Conv2d)]
    twins = [layer for layer in other.layers if isinstance(layer, keras.layers.Conv2D)]
    for conv, twin in zip(convs, twins, strict=True):
        twin.set_weights(conv_weights(conv))
    for place, name, shape in ((0, "fc1", (512, 7, 7)), (3, "fc2", ()), (6, "predictions", ())):
        other.get_layer(name).set_weights(linear_weights(one.classifier[place], *shape))
    batch = np.random.default_rng(1).normal(size=(2, 224, 224, 3)).astype(np.float32)
    pairs = {
        "features.1": "block1_conv1",
        "features.9": "block2_pool",
        "features.30": "block5_pool",
        "classifier.1": "fc1",
        "penultimate": "penultimate",
    }
    found = features(torch_spec(one), list(pairs), batch.transpose(0, 3, 1, 2).copy())
    twin_found = features(keras_spec(other), list(pairs.values()), batch)
    for name, torch_values, keras_values in zip(pairs, found, twin_found, strict=True):
        check_equal(torch_values, keras_values, name)
    logits = features(torch_spec(one), ["output"], batch.transpose(0, 3, 1, 2).copy())[0]
    softmax = torch.softmax(torch.from_numpy(logits), 1).numpy()
    assert_allclose(features(keras_spec(other), ["output"], batch)[0], softmax, atol=1e-6)


_BOTH = """
import warnings
{first}
import numpy as np
from PIL import Image
from skdnn._backends import Capture, describe_layers, open_engine
from skdnn.models._registry import resolve_model
from skdnn.models import _keras

def run(spec, layer, shape):
    info = next(i for i in describe_layers(spec, shape) if i.name == layer)
    from skdnn._layers import LayerRequest
    capture = Capture(LayerRequest(layer, layer), info, "flatten")
    rows = {{layer: np.full((1, *info.output_shape), np.nan, np.float32)}}
    image = spec.preprocess.pixels(Image.new("RGB", (80, 60), (200, 10, 90)))
    with open_engine(spec, "cpu").session([capture], spec.preprocess) as forward:
        forward([image], rows)
    assert np.isfinite(rows[layer]).all() and rows[layer].std() > 0

def torch_way():
    run(resolve_model("squeezenet1_1", weights=None), "features.3", (3, 224, 224))

def keras_way():
    size = dict(resize=(32, 40))
    spec = _keras.spec("MobileNet", weights=None, seed=0, preprocess=size)
    run(spec, "conv_pw_1", (3, 32, 40))

{order}
print("both ran")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "order"),
    [
        ("", "keras_way(); torch_way()"),
        ("import torch", "torch_way(); keras_way()"),
        ("import tensorflow", "torch_way(); keras_way()"),
        ("", "torch_way(); keras_way()"),
        ("import torchvision", "keras_way(); torch_way()"),
        ("import tensorflow", "keras_way(); torch_way()"),
        ("import keras", "keras_way(); torch_way()"),
    ],
)
def test_both_in_one_process(first: str, order: str) -> None:
    code = _BOTH.format(first=first, order=order)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "both ran" in done.stdout
    after_tensorflow = first in ("import tensorflow", "import keras")
    assert ("triton is switched off" in done.stderr) == (
        after_tensorflow and importlib.util.find_spec("triton") is not None
    )
