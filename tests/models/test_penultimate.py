"""What "penultimate" stands for in networks known by name, from shapes alone."""

from __future__ import annotations

import os
from typing import Any

import pytest
from torch import nn

from helpers.every_network import VARIABLE, one_of_each_kind
from helpers.late import timm
from skdnn import DNNFeatureExtractor, list_layers, list_models
from skdnn.models._registry import resolve_model

TORCHVISION = [
    "alexnet", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "resnet18",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_v2_t", "vit_b_16", "deeplabv3_mobilenet_v3_large",
]  # fmt: skip
PUBLISHED = {
    **{f"{kind}-rn50": 2048 for kind in ("simclr", "mocov2", "jigsaw", "rotnet", "swav", "pirl")},
    **{f"{kind}-rn50": 2048 for kind in ("barlowtwins", "vicreg", "dino")},
    **{"resnet50-ecoset": 2048, "inception-v3-ecoset": 2048},
    **{f"{kind}-ecoset": 4096 for kind in ("alexnet", "vgg16", "vgg16-bn")},
    "alexnet-salobjsub": 4096,
    **{f"dino-vit-small-p{side}": 384 for side in (8, 16)},
    **{f"dino-vit-base-p{side}": 768 for side in (8, 16)},
    **{"mae-vit-base-p16": 768, "mae-vit-large-p16": 1024, "mae-vit-huge-p14": 1280},
}
HEADLESS = "output of the network"
# Width of what the classifier reads, and where, in networks of timm that are easily got wrong.
TIMM = {
    "resnet18": (512, "input of fc"),
    "volo_d1_224": (384, "input of head"),  # not of the head for each token
    "deit_tiny_distilled_patch16_224": (192, "input of head"),  # not of the teacher's
    "samvit_base_patch16": (256, "input of head.fc"),  # has no classes: 12.6 million in a block
    "vit_small_patch14_dinov2": (384, "input of head"),
    "test_byobnet": (256, "input of head.fc"),
    "dpn68": (832, "input of classifier"),  # a convolution
    "naflexvit_base_patch16_gap": (768, "input of head"),
}
# Of the smallest network of each module, those that read something else than timm says.
MLP_HEADS = ("caformer_s18",)  # timm counts what goes into the whole
SEVERAL_HEADS = ("crossvit_tiny_240", "efficientvim_m1")


def row(name: str) -> Any:
    return list_layers(name).set_index("layer").loc["penultimate"]


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of_each_kind(list_models("torchvision"), TORCHVISION))
def test_torchvision(name: str) -> None:
    """The last linear layer; without any, the last convolution. Auxiliary heads come last."""
    if name.startswith("lraspp"):
        with pytest.raises(ValueError, match=r"2 heads.*'classifier.cbr.2'.*'backbone"):
            DNNFeatureExtractor(name, weights=None).describe()
        return
    modules = resolve_model(name, weights=None).skeleton().named_modules()
    main = [(path, module) for path, module in modules if not path.lower().startswith("aux")]
    linear = [path for path, module in main if isinstance(module, nn.Linear)]
    convolutions = [path for path, module in main if isinstance(module, nn.Conv2d)]
    assert row(name).source == f"input of {(linear or convolutions)[-1]}"


def test_all_published_networks_are_known_here() -> None:
    assert {name for name in list_models("published") if name.islower()} == set(PUBLISHED)


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("simclr-rn50", "mae-vit-base-p16") else pytest.param(name, marks=slow)
        for slow in [pytest.mark.slow]
        for name in PUBLISHED
    ],
)
def test_published(name: str) -> None:
    if "vit" in name:
        pytest.importorskip("timm")
    found = row(name)
    assert found.output_shape == (PUBLISHED[name],)
    if name.endswith("-rn50"):
        assert found.source == HEADLESS
    assert "vit" not in name or found.source == "input of head"  # which is the identity


def need(name: str) -> None:
    if name not in timm.list_models():
        pytest.skip(f"this timm has no {name}")


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    need(name)
    width, source = TIMM[name]
    found = row(f"timm/{name}")
    assert (found.n_units, found.source) == (width, source)


@pytest.mark.parametrize("name", SEVERAL_HEADS)
def test_timm_with_several_heads(name: str) -> None:
    need(name)
    assert row(f"timm/{name}").source == "can't be captured"
    with pytest.raises(ValueError, match=r"heads that read different values.*'norm.0', 'norm.1'"):
        DNNFeatureExtractor(f"timm/{name}", weights=None).describe()
    described = DNNFeatureExtractor(f"timm/{name}", "norm.1", weights=None).describe()
    assert described.facts["layers"][0]["units"] > 0


def test_tokens_of_naflexvit_are_averaged_and_not_its_units() -> None:
    need("naflexvit_base_patch16_gap")
    for layer in ("embeds", "embeds.pos_drop", "norm_pre", "blocks.0"):
        extractor = DNNFeatureExtractor(
            "timm/naflexvit_base_patch16_gap", layer, weights=None, pooling="mean"
        )
        (facts,) = extractor.describe().facts["layers"]
        assert (facts["output_shape"], facts["shape"]) == ([580, 768], [768])


@pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"minutes: set {VARIABLE}=1")
def test_one_network_of_each_module_of_timm() -> None:
    """The card's classifier is asked, and its width is what timm itself says of it."""
    modules: dict[str, list[str]] = {}
    for name in timm.list_models():
        modules.setdefault(timm.models.model_entrypoint(name).__module__, []).append(name)
    assert len(modules) > 90
    wrong = {}
    for names in modules.values():
        name = _smallest(names)
        network = resolve_model(f"timm/{name}", weights=None).skeleton()
        card = network.pretrained_cfg["classifier"]
        first = card if isinstance(card, str) else card[0]
        found = row(f"timm/{name}")
        told = (f"input of {first}", network.head_hidden_size)
        if name in SEVERAL_HEADS:
            told = ("can't be captured", 0)
        if (found.source, found.n_units) != told and name not in MLP_HEADS:
            wrong[name] = (found.source, found.n_units, told)
    assert not wrong


def _smallest(names: list[str]) -> str:
    """By the words that timm's networks have for their size."""
    words = [
        "atto",
        "femto",
        "pico",
        "nano",
        "zepto",
        "xxs",
        "test",
        "xs",
        "tiny",
        "_s0",
        "_t0",
        "050",
        "small",
        "_s",
        "18",
        "18d",
        "20",
        "b0",
        "_0",
    ]

    def size(name: str) -> tuple[int, int, str]:
        rank = next((n for n, word in enumerate(words) if word in name), len(words))
        return rank, len(name), name

    return min(names, key=size)
