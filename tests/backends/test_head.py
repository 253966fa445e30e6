"""What "penultimate" stands for in one's own torch networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional as F

from skdnn import DNNFeatureExtractor, list_layers
from skdnn.models import Model

SIZE = {"resize": (18, 22), "crop": None}
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 30, 26, 3), dtype=np.uint8)


class Net(nn.Module):
    """Two trunks, and parts that a test puts together in its own way."""

    def __init__(self, end: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.trunk, self.other = trunk(), trunk()
        self.head, self.second, self.wide = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 9)
        self.back, self.drop, self.norm = nn.Linear(9, 6), nn.Dropout(), nn.LayerNorm(6)
        self.batch_norm, self.cosine = nn.BatchNorm1d(4), Cosine()
        self.matrix = nn.Parameter(torch.randn(6, 5))
        self.end = end

    def forward(self, x):
        return self.end(self, x)


class Cosine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * F.linear(F.normalize(x), F.normalize(self.weight))


def trunk() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def meaning(network: nn.Module, **options: Any) -> str:
    table = list_layers(Model(network.eval(), SIZE, **options)).set_index("layer")
    return table.loc["penultimate", "source"]


def both(n: Net, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    features = n.trunk(x)
    return n.head(n.drop(features)), n.second(F.dropout(features, 0.3, n.training))


def residual(n: Net, x: torch.Tensor) -> torch.Tensor:
    features = n.trunk(x)
    return features + n.back(F.gelu(n.wide(features)))


def by_hand(n: Net, x: torch.Tensor) -> torch.Tensor:
    y = n.wide(n.trunk(x))
    return y * torch.sigmoid(y)


def normalised(n: Net, x: torch.Tensor) -> torch.Tensor:
    y = n.head(n.trunk(x))
    return y / y.norm(dim=1, keepdim=True)


HEADS = {
    "input of head": [
        lambda n, x: n.head(n.trunk(x)),
        lambda n, x: F.log_softmax(n.head(n.trunk(x)), 1),
        lambda n, x: (n.trunk(x), n.head(n.trunk(x))),
        lambda n, x: {"logits": n.head(n.trunk(x)), "aux": n.second(n.other(x))},
        lambda n, x: n.head(n.trunk(x * float(x.sum() + 2))),  # takes real arithmetic
        lambda n, x: n.head(n.trunk(x)).argmax(1),
        both,
        normalised,
    ],
    "input of cosine": [lambda n, x: n.cosine(n.trunk(x))],
    "input of head@2": [lambda n, x: [n.head(n.trunk(x * k)) for k in (1, 2, 3)][-1]],
    "output of norm": [lambda n, x: n.norm(n.trunk(x)) @ n.matrix],
    "output of the network": [
        lambda n, x: n.trunk(x),
        lambda n, x: F.relu(n.wide(n.trunk(x))),
        lambda n, x: n.head(n.trunk(x)).relu_(),
        lambda n, x: n.batch_norm(n.head(n.trunk(x))),
        lambda n, x: n.trunk[0](x),
        lambda n, x: {"tokens": n.trunk(x), "pooled": n.other(x)},
        residual,
        by_hand,
    ],
}


@pytest.mark.parametrize(("expected", "end"), [(k, end) for k in HEADS for end in HEADS[k]])
def test_what_is_meant(expected: str, end: Callable[[Any, torch.Tensor], Any]) -> None:
    assert meaning(Net(end)) == expected


UNCLEAR = {
    "2 heads.*'head', 'second'.*'trunk.3', 'other.3'": [
        lambda n, x: (n.head(n.trunk(x)), n.second(n.other(x))),
        lambda n, x: {"a": n.head(n.trunk(x)), "b": n.second(n.other(x))},
        lambda n, x: (n.head(n.trunk(x)) + n.second(n.other(x))) / 2,
    ],
    "2 heads.*'trunk.3', 'other.3'": [lambda n, x: n.head(n.trunk(x)) + n.head(n.other(x))],
    r"'trunk.3@0', 'trunk.3@1'": [lambda n, x: n.head(n.trunk(x)) + n.second(n.trunk(x / 2))],
    r"returns 2 tensors.*'output\[0\]', 'output\[1\]'": [lambda n, x: (n.trunk(x), n.other(x))],
    "returns None": [lambda n, x: None],
}


@pytest.mark.parametrize(("message", "end"), [(k, end) for k in UNCLEAR for end in UNCLEAR[k]])
def test_what_cannot_be_told(message: str, end: Callable[[Any, torch.Tensor], Any]) -> None:
    model = Model(Net(end).eval(), SIZE)
    table = list_layers(model).set_index("layer")
    assert table.loc["penultimate", "n_calls"] in (0, 1)
    assert table.loc["penultimate", "source"] == "can't be captured"
    with pytest.raises(ValueError, match=f"(?s)'penultimate' of Net: .*{message}"):
        DNNFeatureExtractor(model).fit(PICTURES)


def test_values_are_those_that_are_meant() -> None:
    torch.manual_seed(1)
    net = Net(lambda n, x: n.norm(n.trunk(x)) @ n.matrix).eval()
    model = Model(net, SIZE)
    found = DNNFeatureExtractor(model).extract(PICTURES, ["penultimate", "norm", "output"])
    assert_array_equal(found["penultimate"], found["norm"])
    by_matrix = found["penultimate"] @ net.matrix.detach().numpy()
    assert_allclose(by_matrix, found["output"], rtol=1e-5, atol=1e-6)
    net.end = lambda n, x: n.trunk(x)
    found = DNNFeatureExtractor(model).extract(PICTURES, ["penultimate", "trunk", "output"])
    assert_array_equal(found["penultimate"], found["trunk"])
    assert_array_equal(found["output"], found["trunk"])


def test_a_head_that_is_taken_off() -> None:
    from torchvision import models

    network = models.resnet18()
    assert meaning(network) == "input of fc"
    network.fc = nn.Identity()
    assert meaning(network) == "output of the network"
    network.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 3))
    assert meaning(network) == "input of fc.2"
    cut = nn.Sequential(*list(models.resnet18().children())[:-1])
    assert meaning(cut) == "output of the network"
    squeezed = models.squeezenet1_1()  # its classes go through a ReLU
    assert meaning(squeezed) == "input of classifier.1"
    squeezed.classifier = nn.Identity()
    assert meaning(squeezed) == "input of classifier"


# --------------------------------------------------------------------------------------------
# The whole call


class Encoder(nn.Module):
    """Used by its methods, not by calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 5, 3), nn.Linear(5, 2)

    def encode(self, x):
        return self.conv(x).mean((2, 3))

    def classify(self, x):
        return {"scores": self.head(self.encode(x))}


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_methods_other_than_forward(compile: bool) -> None:
    torch.manual_seed(2)
    network = Encoder().eval()
    layers = ["conv", "penultimate", "output"]

    def run(call: Callable[[Any, torch.Tensor], Any]) -> dict[str, np.ndarray]:
        model = Model(network, SIZE, forward=call)
        return DNNFeatureExtractor(model, device="cpu", compile=compile).extract(PICTURES, layers)

    found = run(lambda n, x: n.encode(x))
    means = found["conv"].mean((2, 3))
    assert_allclose(found["output"], means, rtol=1e-5, atol=1e-6)
    assert_array_equal(found["penultimate"], found["output"])
    found = run(lambda n, x: n.classify(x)["scores"])
    assert_allclose(found["penultimate"], means, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        expected = network.head(torch.from_numpy(means)).numpy()
    assert_allclose(found["output"], expected, rtol=1e-5, atol=1e-6)
    assert run(lambda n, x: n.classify(x))["output"].shape == (3, 2)


# --------------------------------------------------------------------------------------------
# Outputs and inputs of odd kinds


@dataclass
class Held:
    note: str
    maps: torch.Tensor
    more: tuple[torch.Tensor, ...]


class Opaque:
    def __init__(self, maps: torch.Tensor) -> None:
        self.maps = maps


def test_dataclasses_are_taken_apart() -> None:
    model = Model(Net(lambda n, x: Held("a", n.trunk[0](x), (x, x + 1))).eval(), SIZE)
    wanted = ["output", "output[maps]", "output[more]", "trunk.0", "penultimate"]
    found = DNNFeatureExtractor(model).extract(PICTURES, wanted)
    for layer in ("output", "output[maps]", "penultimate"):
        assert_array_equal(found[layer], found["trunk.0"])
    assert found["output[more]"].shape == (3, 3, 18, 22)


def test_an_output_without_a_tensor_is_named() -> None:
    model = Model(Net(lambda n, x: Opaque(n.trunk(x))).eval(), SIZE)
    with pytest.raises(ValueError, match=r"returns a Opaque, in which no tensor is found"):
        DNNFeatureExtractor(model, "output").fit(PICTURES)
    assert "output" not in set(list_layers(model)["layer"])


def test_networks_of_one_channel_are_named() -> None:
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    with pytest.raises(ValueError, match=r"in layer '0', a Conv2d.*takes 1 channel\(s\).*have 3"):
        DNNFeatureExtractor(grey, "0").fit(PICTURES)
    wrapped = Model(grey, lambda image: torch.ones(1, *image.size))
    assert DNNFeatureExtractor(wrapped, "0").fit_transform(PICTURES).shape == (3, 4 * 24 * 28)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 14, 3), r"\(16, 14, 3\).*preprocess.*channels come last"),
        ((1, 3, 16, 14), r"got one of shape \(1, 3, 16, 14\): take \[0\]"),
        pytest.param(
            (3, 2, 14),
            "preprocess gives.*Kernel size can't be greater",
            marks=pytest.mark.skipif(
                not hasattr(torch.serialization, "safe_globals"),
                reason="torch before 2.5 does not see it from shapes",
            ),
        ),
    ],
)
def test_what_preprocess_gives_is_named(shape: tuple[int, ...], message: str) -> None:
    model = Model(nn.Sequential(nn.Conv2d(3, 4, 3)), lambda image: torch.ones(shape))
    with pytest.raises(ValueError, match=message):
        DNNFeatureExtractor(model, "0").fit(PICTURES)


class Tables(nn.Module):
    """Positions computed by a layer, and windows: neither has a row for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.windows = nn.Linear(2, 6), nn.Identity()
        self.conv, self.unused = nn.Conv2d(3, 6, 2, 2), nn.Linear(1, 1)
        self.register_buffer("table", torch.ones(9, 2))

    def forward(self, x):
        x = self.conv(x)
        x = self.windows(x.reshape(-1, 6, 3, 11)).reshape(x.shape)
        return x + self.positions(self.table).mean(0)[None, :, None, None]


def test_layers_that_cannot_be_captured_are_not_listed() -> None:
    model = Model(Tables().eval(), SIZE)
    table = list_layers(model)
    assert table["layer"].tolist() == ["conv", "unused", "penultimate", "output"]
    called = table.loc[table["n_calls"] > 0, "layer"].tolist()
    found = DNNFeatureExtractor(model).extract(PICTURES, called)
    assert {k: v.shape[1:] for k, v in found.items()} == dict(
        table.set_index("layer").output_shape[called]
    )
    with pytest.raises(ValueError, match="does not return one row per image"):
        DNNFeatureExtractor(model, "positions").fit(PICTURES)


class Positions(nn.Module):
    """Tokens that a table of positions is added to, whose axes are moved on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = nn.Linear(27, 8), nn.Dropout()
        self.table = nn.Parameter(torch.randn(1, 6, 7, 8))

    def forward(self, x):
        x = self.embed(F.unfold(x, 3, stride=3).transpose(1, 2))
        table = self.table.permute(0, 3, 1, 2).flatten(2).transpose(1, 2)
        return self.drop(x + table)


def test_axes_of_a_table_say_nothing_of_the_images() -> None:
    model = Model(Positions().eval(), {"resize": (18, 21), "crop": None})
    pooled = DNNFeatureExtractor(model, "drop", pooling="mean").fit_transform(PICTURES)
    whole = DNNFeatureExtractor(model).extract(PICTURES, ["drop"])["drop"]
    assert whole.shape == (3, 42, 8)
    assert_allclose(pooled, whole.mean(1), rtol=1e-5, atol=1e-6)
