"""Networks of timm: architecture, published weights, preprocessing from the model's own card."""

from __future__ import annotations

import importlib.util
import math
import sys
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skdnn._optional import import_optional
from skdnn._wording import listed
from skdnn.models._model_spec import ModelSpec, unknown_model
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._torch_weights import load_state_dict
from skdnn.models._weights_choice import other_weights, published_at
from skdnn.models._weights_folder import HubFile, WebFile, file_at

PREFIX = "timm/"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def _timm() -> Any:
    import_optional("torchvision", "to build timm's networks")  # before timm: see _optional
    return import_optional("timm", "to build timm's networks")


def names() -> list[str]:
    """Names of timm's architectures, without tags; none where timm is not installed."""
    return list(_timm().list_models()) if importlib.util.find_spec("timm") else []


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a timm network, ``"ARCHITECTURE"`` or ``"ARCHITECTURE.TAG"``; nothing is loaded.

    Preprocessing is what the weights ask for, of a random twin too.
    """
    arch, _, own_tag = name.partition(".")
    cards = _cards(arch, name)
    published = [tag for tag in cards if tag and cards[tag].has_weights]
    if own_tag and own_tag not in cards:
        raise ValueError(
            f"model={PREFIX + name!r}: no weights of this architecture are tagged {own_tag!r} "
            f"(tags: {listed(published, 20) or 'none'})."
        )
    tag, chosen = own_tag or next(iter(cards)), None
    more: dict[str, Any] = {}
    if not isinstance(weights, str) or weights not in ("default", *cards):
        chosen = other_weights(weights, PREFIX + name, seed, "timm", published)
    elif weights != "default":
        tag = weights
        if own_tag and tag != own_tag:
            raise ValueError(
                f"weights={weights!r} contradicts the tag in model={PREFIX + name!r}: give one of "
                "the two."
            )
    card, full_name = cards[tag], f"{arch}.{tag}" if tag else arch
    if chosen is None:
        if not card.has_weights:
            raise ValueError(
                f"weights={weights!r}: there are no published weights for {PREFIX + name}; use "
                "weights=None (random) or the path of a file."
            )
        file = _file(card)
        chosen = published_at(card.tag or "default", file)
        more["load"] = lambda: _load_published(full_name, file.path())
    return chosen.spec(
        PREFIX + full_name,
        lambda: _timm().create_model(full_name),
        seed,
        shown=PREFIX + full_name,
        convert=_as_timm,
        preprocess=as_preprocessing(preprocess, _preprocessing(card)),
        packages=("timm",),
        **more,
    )


def _cards(arch: str, name: str) -> dict[str, Any]:
    """Tag to timm's description of weights; timm's default comes first."""
    timm = _timm()
    if not timm.is_model(arch) or arch not in timm.list_models():
        known = timm.list_models()
        raise ValueError(unknown_model(PREFIX + name, arch, known, "timm", "unknown to timm"))
    first = timm.get_pretrained_cfg(arch)
    found = timm.models.get_arch_pretrained_cfgs(arch).values()
    cards = [card for card in (first, *found) if card is not None]
    if not cards:
        raise ValueError(
            f"model={PREFIX + name!r}: timm says nothing of its input. Build it yourself and wrap "
            "it: skdnn.models.Model(timm.create_model(...), preprocess={...})."
        )
    return {card.tag or "": card for card in cards}


def _file(card: Any) -> HubFile | WebFile:
    """On the hub where timm says so, else at an address."""
    files = (card.hf_hub_filename,) if card.hf_hub_filename else _HUB_FILES
    return file_at(card.hf_hub_id or "", files, card.url or "")


def is_here(name: str) -> bool:
    """Whether the default weights of a network are on this machine."""
    card = _timm().get_pretrained_cfg(name)
    return card is not None and card.has_weights and _file(card).is_here()


# --- preprocessing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimmPreprocessing(Preprocessing):
    """The two of timm's ways to resize that are not torchvision's.

    ``"border"``: the longer side is resized to fit, and the rest filled with the mean;
    ``"cover"``: the image is resized to cover a size that is no square.
    """

    mode: str = "cover"

    def pixels(self, image: Any) -> np.ndarray:
        """Resize and crop a PIL image in RGB: uint8 array (height, width, 3)."""
        timms = import_optional("timm.data.transforms", "to prepare images")
        border = self.mode == "border"
        fill = tuple(round(255 * value) for value in self.mean) if border else 0
        resized = timms.ResizeKeepRatio(self.resize, float(border), self.interpolation)(image)
        return np.asarray(timms.CenterCropOrPad(self.input_size, fill)(resized))


def _preprocessing(card: Any) -> Preprocessing:
    timm_data = import_optional("timm.data", "to read how timm prepares images")
    config = timm_data.resolve_data_config(pretrained_cfg=card.to_dict())
    height, width = config["input_size"][1:]
    scaled = tuple(math.floor(side / config["crop_pct"]) for side in (height, width))
    common: dict[str, Any] = {
        "crop": height if height == width else (height, width),
        "interpolation": config["interpolation"],
        "mean": tuple(map(float, config["mean"])),
        "std": tuple(map(float, config["std"])),
    }
    mode = config["crop_mode"]
    if mode == "squash":
        return Preprocessing(resize=scaled, **common)
    if mode == "border" or scaled[0] != scaled[1]:
        mode = mode if mode == "border" else "cover"
        return TimmPreprocessing(resize=scaled, mode=mode, **common)
    return Preprocessing(resize=scaled[0], **common)


# --- building and loading ------------------------------------------------------------------------


def _load_published(full_name: str, path: Path) -> Any:
    """timm turns its checkpoints into what the network takes; nothing is unpickled."""
    if path.suffix == ".npz":  # arrays in another framework's layout, which timm reads
        source: dict[str, Any] = {"file": str(path), "custom_load": True}
    else:
        source = {"state_dict": load_state_dict(path)}
    try:
        network = _timm().create_model(full_name, pretrained=True, pretrained_cfg_overlay=source)
    except (RuntimeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # torch's, of a state dict that does not fit; numpy's, of an archive
        raise ValueError(
            f"{str(path)!r} does not fit {PREFIX + full_name}: {error}. Remove the file to have "
            "it downloaded again."
        ) from error
    network.pretrained_cfg.pop("state_dict", None)  # a second copy of the weights
    return network.eval()


def _as_timm(network: Any, state: dict[str, Any]) -> dict[str, Any]:
    """A state dict as the network gives it, or one that timm knows how to turn into that."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is not None and state.keys() != network.state_dict().keys():
        # What it can't convert, or what does not fit then, is named when it is loaded.
        with suppress(KeyError, AttributeError, RuntimeError, ValueError):
            return dict(convert(dict(state), network))
    return state
