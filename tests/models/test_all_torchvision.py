"""Networks of the installed torchvision, captured as a plain hook sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.every_network import one_of_each_kind
from helpers.late import models
from skdnn import DNNFeatureExtractor
from skdnn._extraction._chosen_network import layers_of
from skdnn._layers import NOT_PER_IMAGE
from skdnn.models import Model
from skdnn.models._registry import resolve_model
from skdnn.models._torchvision import names

# What takes no other size than the published one: position embeddings, windows of attention.
FIXED_SIZE = ("vit_", "maxvit")
SMALL = 96
SMALLEST_OF_EACH = [
    "alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50",
    "densenet121", "efficientnet_b0", "efficientnet_v2_s", "fcn_resnet50", "googlenet",
    "inception_v3",
    "lraspp_mobilenet_v3_large", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16",
    "wide_resnet50_2",
]  # fmt: skip


def make_network(name: str) -> Any:
    """The architecture with cheap weights: the usual initialisation of a giant takes a minute."""
    spec = resolve_model(name, weights=None)
    network = spec.skeleton()
    if any(p.is_meta for p in network.parameters()):
        network.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in [*network.parameters(), *network.buffers()]:
                if tensor.is_floating_point():
                    tensor.uniform_(-0.05, 0.05, generator=generator)
                else:
                    tensor.zero_()
        for module in network.modules():  # statistics and index tables that must make sense
            if hasattr(module, "running_var") and module.running_var is not None:
                module.running_var.fill_(1)
                module.running_mean.zero_()
            if hasattr(module, "define_relative_position_index"):
                module.define_relative_position_index()
            elif hasattr(module, "_define_relative_positions"):
                module._define_relative_positions()
    size = spec.preprocess.crop if name.startswith(FIXED_SIZE) else SMALL
    return Model(network.eval(), {"resize": (size, size), "crop": None}, name=name)


def three_layers(model: Model) -> list[str]:
    """Spread over the depth."""
    spec = resolve_model(model)
    called = [
        info
        for info in layers_of(spec)
        if info.n_calls == 1 and info.n_units and info.layout != NOT_PER_IMAGE and not info.source
    ]
    names = [info.name for info in sorted(called, key=lambda info: info.depth)]
    assert len(names) > 5
    return [names[int(share * (len(names) - 1))] for share in (0.1, 0.5, 0.9)]


def by_hand(model: Model, layers: list[str], images: list[Any]) -> dict[str, np.ndarray]:
    """Plain hooks with clones."""
    network, seen = model.network, {}
    handles = [
        network.get_submodule(layer).register_forward_hook(
            lambda m, a, out, layer=layer: seen.update({layer: _first(out).clone()})
        )
        for layer in layers
    ]
    preprocess = resolve_model(model).preprocess
    mean = torch.tensor(preprocess.mean).view(-1, 1, 1)
    std = torch.tensor(preprocess.std).view(-1, 1, 1)
    pixels = [torch.from_numpy(preprocess.pixels(image).copy()) for image in images]
    batch = torch.stack(pixels).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
    with torch.no_grad():
        seen["output"] = _first(network(batch))
    for handle in handles:
        handle.remove()
    return {name: tensor.numpy() for name, tensor in seen.items()}


def _first(output: Any) -> torch.Tensor:
    if torch.is_tensor(output):
        return output
    parts = list(output.values()) if isinstance(output, dict) else list(output)
    return _first(parts[0])


def test_one_of_each_module_is_chosen() -> None:
    def home(name: str) -> str:
        return models.get_model_builder(name).__module__

    assert {home(name) for name in SMALLEST_OF_EACH} == {home(name) for name in names()}


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of_each_kind(names(), SMALLEST_OF_EACH))
def test_network(name: str) -> None:
    model = make_network(name)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (70, 60, 3), dtype=np.uint8)) for _ in range(2)]
    extractor = DNNFeatureExtractor(model, batch_size=2, device="cpu")
    layers = three_layers(model)
    expected = by_hand(model, layers, images)
    told = [] if name.startswith("lraspp") else ["penultimate"]  # it has two heads
    found = extractor.extract(images, [*layers, *told, "output"])
    assert all(found[layer].shape[0] == 2 for layer in told)
    for layer, values in expected.items():
        tolerance = 1e-4 * max(1e-12, float(np.abs(values).max()))
        assert found[layer].shape == values.shape
        np.testing.assert_allclose(found[layer], values, rtol=1e-4, atol=tolerance)
