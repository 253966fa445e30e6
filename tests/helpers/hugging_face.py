"""Small networks of Hugging Face, saved as `save_pretrained` leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
_DINO = {k: v for k, v in _VIT.items() if k != "intermediate_size"} | {"mlp_ratio": 2}
_TEXT = {**_VIT, "vocab_size": 50, "num_hidden_layers": 1}
_MAE = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16,
}
_SQUARE = {"height": 32, "width": 32}


def _two_towers(config: Any) -> Any:
    text = {k: v for k, v in _TEXT.items() if k not in ("image_size", "patch_size")}
    return config(text_config=text, vision_config=_VIT)


#: Network and processor by name, and what the tokens before the image's own are.
KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any], int, bool]] = {
    "vit": (
        lambda: hf.ViTModel(hf.ViTConfig(**_VIT)),
        lambda: hf.ViTImageProcessor(size=_SQUARE),
        1,
        True,
    ),
    "dinov2": (
        lambda: hf.Dinov2Model(hf.Dinov2Config(**_DINO)),
        lambda: hf.BitImageProcessor(size={"shortest_edge": 40}, crop_size=_SQUARE),
        1,
        True,
    ),
    "dinov3": (
        lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**_VIT, num_register_tokens=2)),
        lambda: hf.DINOv3ViTImageProcessorFast(size=_SQUARE),
        3,
        True,
    ),
    "siglip": (
        lambda: hf.SiglipModel(_two_towers(hf.SiglipConfig)),
        lambda: hf.SiglipImageProcessor(size=_SQUARE),
        0,
        False,
    ),
    "convnextv2": (
        lambda: hf.ConvNextV2Model(
            hf.ConvNextV2Config(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1])
        ),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 64}),
        0,
        False,
    ),
    "ijepa": (
        lambda: hf.IJepaModel(hf.IJepaConfig(**_VIT)),
        lambda: hf.ViTImageProcessor(size=_SQUARE),
        0,
        False,
    ),
    "clip": (
        lambda: hf.CLIPModel(_two_towers(hf.CLIPConfig)),
        lambda: hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=_SQUARE),
        1,
        True,
    ),
    "vit_mae": (
        lambda: hf.ViTMAEForPreTraining(hf.ViTMAEConfig(**_VIT, **_MAE)),
        lambda: hf.ViTImageProcessor(size=_SQUARE),
        1,
        True,
    ),
    "beit": (
        lambda: hf.BeitModel(hf.BeitConfig(**_VIT, vocab_size=10)),
        lambda: hf.BeitImageProcessor(size=_SQUARE, do_center_crop=False),
        1,
        True,
    ),
}


def classifier() -> Any:
    """A network whose weights have no pooler."""
    return hf.ViTForImageClassification(hf.ViTConfig(**_VIT, num_labels=5))


def save(network: Any, processor: Any, folder: Path, seed: int = 0) -> Path:
    """With weights away from zero, so that no two layers agree by chance."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder
