"""CLIP and its open successors, through open_clip: both towers, weights, preprocessing, words."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._model_spec import ModelSpec, unknown_model
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._weights_choice import Weights, other_weights, published_at
from skdnn.models._weights_folder import HubFile, WebFile, file_at

PREFIX = "open_clip/"
# OpenAI trained with another GELU than torch's, which these architectures have.
ALIASES = {"clip-ViT": "ViT-B-32-quickgelu", "clip-RN": "RN50-quickgelu"}
# Of several published weights, the default: OpenAI's own, then by the data trained with, and the
# last one listed; else the first one of all.
_PREFERRED = (
    "openai", "webli", "datacomp_xl", "datacomp1b", "datacompdr", "dfn", "laion2b", "metaclip",
)  # fmt: skip
# What keeps open_clip from loading a text tower's own weights, by its version.
_PRETRAINED_TOWER = ("pretrained_text", "pretrained_hf")
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
_PURPOSE = "to build CLIP networks"
_unused: dict[tuple[Any, ...], dict[str, Any]] = {}  # of the network that was loaded last
_lock = Lock()


def _open_clip() -> Any:
    import_optional("torchvision", _PURPOSE)  # before open_clip: see _optional
    return import_optional("open_clip", _PURPOSE)


def names() -> list[str]:
    """Names of open_clip's architectures; none without open_clip."""
    return list(_open_clip().list_models()) if importlib.util.find_spec("open_clip") else []


@dataclass(frozen=True)
class Clip:
    """A CLIP network before it is built."""

    architecture: str  # as open_clip calls it
    name: str  # as skdnn does
    weights: Weights
    card: dict[str, Any]  # what open_clip says of them; of random ones, of those they stand for
    seed: int

    @property
    def key(self) -> tuple[Any, ...]:
        return ("open_clip", self.architecture, *self.weights.key)

    @property
    def n_features(self) -> int:
        """Axes of the space that images and words share."""
        return int(_open_clip().get_model_config(self.architecture)["embed_dim"])

    def take(self, side: str) -> Any:
        """The tower for ``"images"`` or ``"texts"``, the caller's to keep, move and convert."""
        with _lock:  # of one reading of the weights the other tower waits for its turn
            towers = _unused.pop(self.key, {})
            if side not in towers:
                _unused.clear()
                build = functools.partial(_build, self.architecture)
                towers = split(
                    self.weights.network(build, self.name, self.seed, convert=_as_open_clip)
                )
            tower = towers.pop(side)
            if towers:
                _unused[self.key] = towers
            return tower


def find_clip(model: str, weights: Any, seed: int) -> Clip:
    """Find out which CLIP network is meant, with which weights; build nothing."""
    if not isinstance(model, str):
        raise TypeError(
            f"model must be the name of a CLIP network, such as 'clip-ViT'; got {model!r}."
        )
    short = model.removeprefix(PREFIX)
    architecture = ALIASES.get(short, short)
    known = [*ALIASES, *_open_clip().list_models()]
    if architecture not in known:
        what = "no CLIP network of open_clip"
        raise ValueError(unknown_model(model, short, known, "open_clip", what))
    tags = _tags(architecture)
    default = _default_tag(architecture)
    tag = default if isinstance(weights, str) and weights == "default" else weights
    name = short if short in ALIASES else PREFIX + architecture
    if isinstance(tag, str) and tag in tags:
        card = dict(tags[tag])
        if not _fits(architecture, tag, card):
            raise ValueError(
                f"weights={tag!r} were trained with OpenAI's GELU, and {architecture} has "
                f"torch's: use model='{PREFIX}{architecture}-quickgelu'."
            )
        chosen = published_at(tag, _file(card), tag)
    else:
        card = dict(tags.get(default or "", {}))
        chosen = other_weights(weights, architecture, seed, "open_clip_torch", tags)
    return Clip(architecture, name, chosen, card, seed)


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of the image tower of a CLIP network, its layers called as in the whole network."""
    clip = find_clip(name, weights, seed)
    return clip.weights.spec(
        clip.name,
        lambda: split(_build(clip.architecture))["images"],
        seed,
        known_as=PREFIX + clip.architecture,
        preprocess=as_preprocessing(preprocess, _preprocessing(clip)),
        load=lambda: clip.take("images"),
        packages=("open_clip_torch",),
    )


# --- weights and preprocessing by name -----------------------------------------------------------


def _tags(architecture: str) -> dict[str, dict[str, Any]]:
    """Tag to open_clip's description of published weights."""
    pretrained = import_optional("open_clip.pretrained", _PURPOSE)
    found = pretrained.list_pretrained_tags_by_model(architecture)
    return {tag: pretrained.get_pretrained_cfg(architecture, tag) for tag in found}


def _default_tag(architecture: str) -> str | None:
    tags = _tags(architecture)
    fitting = [tag for tag in tags if _fits(architecture, tag, tags[tag])]
    for preferred in _PREFERRED:
        found = [tag for tag in fitting if tag.startswith(preferred)]
        if found:
            return found[-1]
    return fitting[0] if fitting else None


def _fits(architecture: str, tag: str, card: dict[str, Any]) -> bool:
    """Whether the weights were trained with this architecture's GELU."""
    has = bool(_open_clip().get_model_config(architecture).get("quick_gelu", False))
    return has or not card.get("quick_gelu", tag == "openai")


def is_here(name: str) -> bool:
    """Whether the default weights of a network are on this machine."""
    architecture = ALIASES.get(name, name)
    if importlib.util.find_spec("open_clip") is None:
        return False
    tag = _default_tag(architecture)
    return tag is not None and _file(_tags(architecture)[tag]).is_here()


def _file(card: dict[str, Any]) -> HubFile | WebFile:
    """On the hub where open_clip says so, else at an address."""
    repo, _, file = card.get("hf_hub", "").rpartition("/")
    return file_at(repo, (file,) if file else _HUB_FILES, card.get("url", ""))


def _preprocessing(clip: Clip) -> Preprocessing:
    """What open_clip's own transform for evaluation does."""
    transform = import_optional("open_clip.transform", "to prepare images for CLIP")
    card = transform.merge_preprocess_dict(transform.PreprocessCfg(), clip.card)
    side = _open_clip().get_model_config(clip.architecture)["vision_cfg"].get("image_size", 224)
    size = tuple(side) if isinstance(side, list | tuple) else (side, side)
    mode = card["resize_mode"]
    if mode == "longest" or (mode != "squash" and len(set(size)) > 1):
        raise ValueError(
            f"{clip.name} asks for images resized by their {mode} side to {size}, which skdnn "
            "does not know: give preprocess={...} or a callable."
        )
    return Preprocessing.from_dict(
        {
            "resize": size if mode == "squash" else size[0],
            "crop": None if mode == "squash" else size[0],
            "interpolation": "bilinear" if card["interpolation"] == "bilinear" else "bicubic",
            "mean": card["mean"],
            "std": card["std"],
        }
    )


# --- building and loading ------------------------------------------------------------------------


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip warns, through the root logger, of random weights and of files of its own."""
    root, others = logging.getLogger(), lambda record: "open_clip" not in record.pathname
    root.addFilter(others)
    try:
        yield
    finally:
        root.removeFilter(others)


def _build(architecture: str) -> Any:
    """Both towers with random weights; nothing is downloaded for a tower."""
    import torch

    create = _open_clip().create_model
    known = inspect.signature(create).parameters
    options = {name: False for name in _PRETRAINED_TOWER if name in known}
    if not options:
        raise RuntimeError(
            f"open_clip {_open_clip().__version__} takes none of {', '.join(_PRETRAINED_TOWER)}: "
            "it would download weights for the tower of texts. Install another version."
        )
    with _quiet():  # on the device that torch is set to: a skeleton has none
        return create(architecture, device=torch.empty(0).device, **options)


@functools.lru_cache(maxsize=4)
def open_tokenizer(architecture: str) -> Any:
    """What cuts texts into the tokens that this network knows; may need transformers."""
    config = _open_clip().get_model_config(architecture)
    source = config["text_cfg"].get("hf_tokenizer_name", "")
    if source:
        import_optional("transformers", f"for the words of {architecture} (vocabulary {source})")
    try:
        return _open_clip().get_tokenizer(architecture)
    except OSError as error:
        raise OSError(
            f"The vocabulary of {architecture} could not be downloaded ({error}). Put the files "
            f"of https://huggingface.co/{source} into the cache of the Hugging Face hub (by "
            f"`hf download {source}` on a machine with a network, and a copy of ~/.cache/"
            "huggingface)."
        ) from error


def _as_open_clip(network: Any, state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint in one of the layouts that are about, in open_clip's own."""
    convert = import_optional("open_clip.convert", "to read CLIP checkpoints")
    model = import_optional("open_clip.model", "to read CLIP checkpoints")
    own = network.state_dict()
    state = {key: value for key, value in state.items() if key not in _NOT_WEIGHTS}
    if state.keys() != own.keys():
        state = dict(convert.convert_state_dict(network, state))
    if "positional_embedding" in state and "positional_embedding" not in own:
        state = model.convert_to_custom_text_state_dict(state)
    for key in ("logit_scale", "logit_bias"):
        if key in state and key in own and state[key].numel() == own[key].numel():
            state[key] = state[key].reshape(own[key].shape)
    return state


def split(network: Any) -> dict[str, Any]:
    """The two towers of a network: what takes images, and the network without it."""
    from torch import nn

    visual = network.visual
    network.visual = nn.Identity()
    return {"images": _image_tower_class()(visual).eval(), "texts": network}


@functools.cache
def _image_tower_class() -> Any:
    """A module of our own: torch is loaded when it is first used."""
    import torch
    from torch import nn

    class Projection(nn.Module):
        """The matrix that leads into the joint space, as a layer that can be captured."""

        is_head = True

        def __init__(self, weight: nn.Parameter) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features @ self.weight

        def __rmatmul__(self, features: torch.Tensor) -> torch.Tensor:
            return self(features)

    class ImageTower(nn.Module):
        """The image side of a CLIP network: gives its image features."""

        def __init__(self, visual: Any) -> None:
            super().__init__()
            if isinstance(getattr(visual, "proj", None), nn.Parameter):
                weight = visual.proj
                del visual.proj
                visual.proj = Projection(weight)
            if hasattr(visual, "attnpool"):  # it ends in the projection
                visual.attnpool.is_head = True
            self.visual = visual

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            features = self.visual(image)
            return features[0] if isinstance(features, tuple) else features

    return ImageTower
