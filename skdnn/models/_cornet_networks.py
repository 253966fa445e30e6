"""The CORnet networks as torch modules; imported when the first of them is built.

Names, shapes and order of the modules are those of the published checkpoints. Written from the
papers' description; see `skdnn.models.cornet` for the references.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

AREAS = ("V1", "V2", "V4", "IT")
_CHANNELS = {"V1": (3, 64), "V2": (64, 128), "V4": (128, 256), "IT": (256, 512)}
_MAP_SIZES = {"V1": 56, "V2": 28, "V4": 14, "IT": 7}  # for images of 224 x 224 pixels
_STEPS_OF_S = {"V2": 2, "V4": 4, "IT": 2}
_GROUPS = 32
_EXPANSION = 4


def cornet_z() -> nn.Module:
    """CORnet-Z: one convolution in each area, no recurrence."""
    areas = [(area, _FeedForwardArea(*_CHANNELS[area], area == "V1")) for area in AREAS]
    network = nn.Sequential(OrderedDict([*areas, ("decoder", _decoder(output=True))]))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def cornet_s() -> nn.Module:
    """CORnet-S: recurrent bottlenecks, each area with its own number of steps."""
    areas = [
        (area, _BottleneckArea(*_CHANNELS[area], steps)) for area, steps in _STEPS_OF_S.items()
    ]
    network = nn.Sequential(
        OrderedDict([("V1", _FirstAreaOfS()), *areas, ("decoder", _decoder(output=True))])
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
    return network


class CORnetR(nn.Module):
    """CORnet-R and CORnet-RT: the same modules, run in another order.

    In RT, which is delayed, an area reads at each step what the area below gave at the step
    before; in R, what it has just given.
    """

    def __init__(self, times: int, *, delayed: bool) -> None:
        super().__init__()
        self.times = times
        self.delayed = delayed
        for area in AREAS:
            self.add_module(area, _RecurrentArea(*_CHANNELS[area], _MAP_SIZES[area]))
        self.decoder = _decoder(output=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs: dict[str, torch.Tensor] = {}
        for step in range(self.times):
            below: torch.Tensor | None = images
            given: dict[str, torch.Tensor] = {}
            for area in AREAS:
                module = getattr(self, area)
                output, _ = module(below, outputs.get(area), n_images=len(images))
                below = outputs.get(area) if self.delayed or step == 0 else output
                given[area] = output
            outputs = given
        return self.decoder(outputs["IT"])

    def extra_repr(self) -> str:
        return f"times={self.times}, delayed={self.delayed}"


def _decoder(*, output: bool) -> nn.Sequential:
    children: list[tuple[str, nn.Module]] = [
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("linear", nn.Linear(512, 1000)),
    ]
    return nn.Sequential(OrderedDict(children + [("output", nn.Identity())] * output))


class _FeedForwardArea(nn.Module):
    """Area of CORnet-Z."""

    def __init__(self, channels_in: int, channels: int, is_first: bool) -> None:
        super().__init__()
        size, stride = (7, 2) if is_first else (3, 1)
        self.conv = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2)
        self.nonlin = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.output = nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.output(self.pool(self.nonlin(self.conv(inputs))))


class _RecurrentArea(nn.Module):
    """Area of CORnet-R and -RT: gives its output twice, as such and as its new state."""

    def __init__(self, channels_in: int, channels: int, map_size: int) -> None:
        super().__init__()
        size, stride = (7, 4) if channels_in == 3 else (3, 2)
        self.conv_input = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2)
        self.norm_input = nn.GroupNorm(_GROUPS, channels)
        self.nonlin_input = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(_GROUPS, channels)
        self.nonlin1 = nn.ReLU(inplace=True)
        self.output = nn.Identity()
        self.map_shape = (channels, map_size, map_size)

    def forward(
        self, inputs: torch.Tensor | None, state: torch.Tensor | None, n_images: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if inputs is None:
            driven = self.conv1.weight.new_zeros(n_images, *self.map_shape)
        else:
            driven = self.nonlin_input(self.norm_input(self.conv_input(inputs)))
        if state is not None:
            driven = driven + state
        output = self.output(self.nonlin1(self.norm1(self.conv1(driven))))
        return output, output


class _FirstAreaOfS(nn.Module):
    """V1 of CORnet-S: feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(64)
        self.nonlin1 = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(64)
        self.nonlin2 = nn.ReLU(inplace=True)
        self.output = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.pool(self.nonlin1(self.norm1(self.conv1(images))))
        return self.output(self.nonlin2(self.norm2(self.conv2(maps))))


class _SteppedConv2d(nn.Conv2d):
    """A convolution that is told its stride at each call."""

    def forward(self, inputs: torch.Tensor, stride: int = 1) -> torch.Tensor:
        return functional.conv2d(
            inputs, self.weight, self.bias, stride, self.padding, self.dilation, self.groups
        )


class _BottleneckArea(nn.Module):
    """Area of CORnet-S: weights are shared over time, normalisations are not."""

    def __init__(self, channels_in: int, channels: int, steps: int) -> None:
        super().__init__()
        wide = channels * _EXPANSION
        self.steps = steps
        self.conv_input = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.skip = nn.Conv2d(channels, channels, 1, stride=2, bias=False)
        self.norm_skip = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, wide, 1, bias=False)
        self.nonlin1 = nn.ReLU(inplace=True)
        self.conv2 = _SteppedConv2d(wide, wide, 3, padding=1, bias=False)
        self.nonlin2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        self.nonlin3 = nn.ReLU(inplace=True)
        self.output = nn.Identity()
        for step in range(steps):
            self.add_module(f"norm1_{step}", nn.BatchNorm2d(wide))
            self.add_module(f"norm2_{step}", nn.BatchNorm2d(wide))
            self.add_module(f"norm3_{step}", nn.BatchNorm2d(channels))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.conv_input(inputs)
        for step in range(self.steps):
            norm1, norm2, norm3 = (getattr(self, f"norm{i}_{step}") for i in (1, 2, 3))
            residual = maps if step else self.norm_skip(self.skip(maps))
            maps = self.nonlin1(norm1(self.conv1(maps)))
            maps = self.nonlin2(norm2(self.conv2(maps, 1 if step else 2)))
            maps = norm3(self.conv3(maps)) + residual  # a sum of its own: norm3's output stays
            maps = self.output(self.nonlin3(maps))
        return maps
