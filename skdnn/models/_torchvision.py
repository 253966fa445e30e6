"""Classification networks of torchvision: architecture, published weights, preprocessing."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._hub_weights import IN_NAME
from skdnn.models._model_spec import ModelSpec, build_skeleton
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._weights_choice import SUFFIXES, Weights, other_weights
from skdnn.models._weights_folder import WebFile, base_name, own_name

PREFIX = "torchvision/"
# Parts of torchvision.models whose networks cannot be used here, and why.
_REFUSED = {
    "detection": "takes lists of images and gives boxes: pass the part that sees images, e.g. "
    "skdnn.models.Model(torchvision.models.get_model(...).backbone)",
    "video": "takes clips, not images",
    "optical_flow": "takes pairs of images",
    "quantization": "computes with integers: use the network that it was made from",
}


def _models() -> Any:
    return import_optional("torchvision.models", "to build torchvision's networks")


@functools.cache
def names() -> list[str]:
    """Classification and segmentation networks of the installed torchvision."""
    models = _models()
    return models.list_models(module=models) + _segmentation()


@functools.cache
def _segmentation() -> list[str]:
    models = _models()
    return models.list_models(module=models.segmentation)


def refusal(name: str) -> str:
    """Why a network of torchvision cannot be used here; "" for any other name."""
    models = _models()
    for kind, why in _REFUSED.items():
        if name in models.list_models(module=getattr(models, kind)):
            return why
    return ""


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a torchvision network; the weights' name is checked, nothing is loaded."""
    published = _models().get_model_weights(name)
    enum = _published(name, published, weights)
    default = enum if enum is not None else getattr(published, "DEFAULT", None)
    if enum is None:
        chosen = other_weights(weights, name, seed, "torchvision", published.__members__)
    else:  # whose hash is in its address
        told = [enum.name, enum.url]
        chosen = Weights(enum.name, (enum.name,), lambda: told, _file(enum.url))
    return chosen.spec(
        PREFIX + name,
        preprocess=as_preprocessing(preprocess, _published_preprocessing(default)),
        load=lambda: _load(name, enum, chosen, default, seed),
        skeleton=lambda: _skeleton(name, default),
    )


def is_here(name: str) -> bool:
    """Whether the default weights of a network are on this machine."""
    default = getattr(_models().get_model_weights(name), "DEFAULT", None)
    return default is not None and _file(default.url).is_here()


def _published(name: str, published: Any, weights: Any) -> Any:
    """The published weights asked for, or None for any others."""
    if isinstance(weights, published):
        return weights
    if not isinstance(weights, str):
        return None
    if weights == "default":
        if len(published) == 0:
            raise ValueError(
                f"weights='default': torchvision publishes no weights for {name!r}; "
                "use weights=None (random) or the path of a file."
            )
        return published.DEFAULT
    tag = weights.rpartition(".")[2] if "_Weights." in weights else weights
    return published.__members__.get(tag)


def _published_preprocessing(enum: Any) -> Preprocessing:
    if enum is None:
        return Preprocessing()
    preset = enum.transforms()

    def size(values: list[int]) -> int | tuple[int, int]:
        return values[0] if len(values) == 1 else (values[0], values[1])

    return Preprocessing(
        resize=size(preset.resize_size),
        crop=size(preset.crop_size) if hasattr(preset, "crop_size") else None,
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _twin_options(name: str, default: Any) -> dict[str, Any]:
    """Options that make a network without published weights the twin of the one with them."""
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options |= {"transform_input": True, "init_weights": True}
    if name == "googlenet":
        options["aux_logits"] = False
    if name in _segmentation():
        options["weights_backbone"] = None
        if not name.startswith("lraspp"):  # the only one without an auxiliary head
            options["aux_loss"] = default is not None or None
    if name.startswith("vit_") and default is not None:
        options["image_size"] = default.meta["min_size"][0]
    return options


def _skeleton(name: str, default: Any) -> Any:
    models = _models()
    options = _twin_options(name, default)
    if "init_weights" in options:
        options["init_weights"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return build_skeleton(lambda: models.get_model(name, weights=None, **options).eval())


def _load(name: str, enum: Any, chosen: Weights, default: Any, seed: int) -> Any:
    models = _models()
    if enum is not None:
        return models.get_model(name, weights=_from_file(enum, _file_of(enum))).eval()
    options = _twin_options(name, default)
    return chosen.network(lambda: models.get_model(name, weights=None, **options), name, seed)


def _file_of(enum: Any) -> Path:
    """Published weights, downloaded where need be."""
    return _file(enum.url).path()


def _file(url: str) -> WebFile:
    """A published file; what torch.hub has kept is used too."""
    import torch

    file = base_name(url)
    sha256 = IN_NAME.search(file)
    if sha256 is None:
        return WebFile(url, own_name(url, SUFFIXES, ".pth"))
    kept = Path(torch.hub.get_dir()) / "checkpoints" / file
    return WebFile(url, file, sha256[1], (kept,))


def _from_file(enum: Any, path: Path) -> Any:
    """The same weights, read from a file: torchvision knows how to load its own layouts."""
    import torch

    twin = object.__new__(type(enum))
    vars(twin).update(vars(enum))
    twin.get_state_dict = lambda *args, **kwargs: torch.load(
        path, map_location="cpu", weights_only=True
    )
    return twin
