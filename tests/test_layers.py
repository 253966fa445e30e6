"""Patterns of layers: what they take in."""

from __future__ import annotations

import pytest

from skdnn import DNNFeatureExtractor
from skdnn._layers import matches


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("blocks.?", ["blocks.0", "blocks.11", "blocks.norm"], ["blocks", "blocks.0.norm", "x.0"]),
        ("blocks.?.norm", ["blocks.3.norm", "blocks.12.norm"], ["blocks.norm", "blocks.1.2.norm"]),
        ("?", ["stem", "a"], ["stem.0"]),
        ("?.?", ["stem.0", "blocks.11"], ["stem", "stem.0.1"]),
        ("layer?", ["layer1", "layer4"], ["layer", "layer12"]),
        ("layer?.*", ["layer1.0", "layer1.0.conv1"], ["layer12.0"]),
        ("layer1?0", ["layer1.0", "layer1_0"], ["layer1.10"]),
        ("blocks.*", ["blocks.0", "blocks.0.norm.weight"], ["blocks"]),
        ("blocks.[12]", ["blocks.1", "blocks.2"], ["blocks.12", "blocks.3"]),
        ("blocks.[!0].?", ["blocks.1.attn"], ["blocks.0.attn", "blocks.1.attn.qkv"]),
    ],
)
def test_what_a_pattern_takes_in(pattern: str, names: list[str], others: list[str]) -> None:
    assert [name for name in names + others if matches(name, pattern)] == names


def test_direct_children_of_a_network_in_its_order() -> None:
    from torch import nn

    inner = [nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout()) for _ in range(12)]
    network = nn.Sequential()
    network.add_module("stem", nn.Conv2d(3, 4, 9, stride=9))
    network.add_module("blocks", nn.Sequential(*inner))
    facts = DNNFeatureExtractor(network).describe(layers="blocks.?").facts
    assert [layer["name"] for layer in facts["layers"]] == [f"blocks.{n}" for n in range(12)]
    assert len(DNNFeatureExtractor(network).describe(layers="blocks.*").facts["layers"]) == 36
