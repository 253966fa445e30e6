"""One's own torch networks, in whatever state they come."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from skdnn import DNNFeatureExtractor, list_layers
from skdnn.models import Model

SIZE = {"resize": (30, 26), "crop": None}


class Net(nn.Module):
    """A convolution, statistics, a ReLU in place and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.relu(self.norm(self.conv(x))).mean((2, 3)))


class TwoTowers(nn.Module):
    """Called with images and words; its images alone are what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.image = Net()
        self.words = nn.Embedding(10, 4)

    def forward(self, images, words):
        return self.image(images) @ self.words(words).T


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean += 0.2
    net.norm.running_var *= 1.5
    return net.eval()


def features(network, layers, paths, **options):
    model = Model(network, SIZE, **options)
    return DNNFeatureExtractor(model, layers, device="cpu").fit_transform(paths)


def test_in_train_mode(net, image_paths):
    expected = features(copy.deepcopy(net), ["conv", "relu", "fc"], image_paths)
    net.train()
    found = features(net, ["conv", "relu", "fc"], image_paths)
    assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert net.training
    assert net.norm.training


def test_with_hooks_of_ones_own(net, image_paths):
    net.conv.register_forward_hook(lambda module, args, output: output * 2)
    calls: list[int] = []
    net.fc.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    hooks = dict(net.conv._forward_hooks), dict(net.fc._forward_pre_hooks)
    doubled = features(net, ["conv"], image_paths)
    assert (dict(net.conv._forward_hooks), dict(net.fc._forward_pre_hooks)) == hooks
    twin = Net().eval()
    twin.load_state_dict(net.state_dict())
    assert_allclose(doubled, 2 * features(twin, ["conv"], image_paths), rtol=1e-6)
    features(net, ["output"], image_paths)
    assert calls  # they run as in any pass


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_in_another_precision(net, dtype, image_paths):
    expected = features(copy.deepcopy(net), ["relu", "fc"], image_paths)
    net.to(dtype)
    found = features(net, ["relu", "fc"], image_paths)
    assert found.dtype == np.float32
    assert {p.dtype for p in net.parameters()} == {dtype}
    tolerance = 1e-5 if dtype == torch.float64 else 0.05
    assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_in_data_parallel(net, image_paths):
    expected = features(net, ["relu", "fc"], image_paths)
    wrapped = nn.DataParallel(net)
    assert_allclose(features(wrapped, ["relu", "fc"], image_paths), expected, rtol=1e-6)


def test_compiled_by_its_owner(net, image_paths):
    """Nothing is compiled: the network inside runs."""
    expected = features(net, ["relu", "fc"], image_paths)
    found = features(torch.compile(net), ["relu", "fc"], image_paths)
    assert_allclose(found, expected, rtol=1e-6)


def test_torchscript_is_refused(net):
    script = torch.jit.trace(net, torch.zeros(1, 3, 30, 26))
    with pytest.raises(ValueError, match="TorchScript"):
        list_layers(Model(script, SIZE))


def test_networks_that_are_not_called_with_an_image(net, image_paths, tmp_path):
    towers = TwoTowers().eval()
    towers.image.load_state_dict(net.state_dict())
    model = Model(towers, SIZE, name="towers", forward=call_with_words)
    table = list_layers(model).set_index("layer")
    assert table.loc["image.conv", "output_shape"] == (5, 14, 12)
    assert "words" not in table.index  # its rows are no images
    extractor = DNNFeatureExtractor(model, ["image.relu", "image"], device="cpu")
    expected = features(net, ["relu", "output"], image_paths)
    assert_allclose(extractor.fit_transform(image_paths), expected, rtol=1e-6)
    # What calls the network is a part of what is stored.
    kept = extractor.set_params(cache=tmp_path / "store")
    kept.fit_transform(image_paths)
    store = kept.set_params(model=Model(towers, SIZE, forward=call_otherwise)).precompute(
        image_paths, verbose=0
    )
    assert store.contents()["images"].tolist() == [len(image_paths)] * 4
    with pytest.raises(TypeError, match="forward must be a function"):
        Model(towers, SIZE, forward="image")


def call_with_words(network, batch):
    return network(batch, torch.arange(3))


def call_otherwise(network, batch):
    return network(batch + 1, torch.arange(3))
