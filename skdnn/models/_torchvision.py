"""Classification networks of torchvision: architecture, published weights, preprocessing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._model_spec import ModelSpec
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._published_checkpoints import TABLE
from skdnn.models._weights_choice import SUFFIXES, Weights, other_weights
from skdnn.models._weights_folder import IN_NAME, WebFile, base_name, own_name

PREFIX = "torchvision/"


def _models() -> Any:
    return import_optional("torchvision.models", "to build torchvision's networks")


@functools.cache
def _names_in(part: str) -> list[str]:
    return _models().list_models(module=getattr(_models(), part) if part else _models())


def names() -> list[str]:
    """Classification and segmentation networks of the installed torchvision."""
    return _names_in("") + _names_in("segmentation")


def refusal(name: str) -> str:
    """Why a network of torchvision cannot be used here; "" for any other name."""
    return next((why for part, why in TABLE["refused"].items() if name in _names_in(part)), "")


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a torchvision network; the weights' name is checked, nothing is loaded."""
    published = _models().get_model_weights(name)
    enum = _published(name, published, weights)
    default = enum if enum is not None else getattr(published, "DEFAULT", None)
    options = _twin_options(name, default)
    more: dict[str, Any] = {}
    if enum is None:
        chosen = other_weights(weights, name, seed, "torchvision", published.__members__)
    else:  # whose hash is in its address
        file, told = _file(enum.url), [enum.name, enum.url]
        chosen = Weights(enum.name, (enum.name,), lambda: told, file)
        more["load"] = lambda: _models().get_model(name, weights=_read(enum, file.path())).eval()
    return chosen.spec(
        PREFIX + name,
        lambda: _models().get_model(name, weights=None, **options),
        seed,
        preprocess=as_preprocessing(preprocess, _published_preprocessing(default)),
        **more,
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
    return Preprocessing.from_dict(
        {
            "resize": preset.resize_size,
            "crop": getattr(preset, "crop_size", None),
            "interpolation": preset.interpolation.value,
            "mean": preset.mean,
            "std": preset.std,
        }
    )


def _twin_options(name: str, default: Any) -> dict[str, Any]:
    """Options that make a network without published weights the twin of the one with them."""
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options |= {"transform_input": True, "init_weights": True}
    if name == "googlenet":
        options["aux_logits"] = False
    if name in _names_in("segmentation"):
        options["weights_backbone"] = None
        if not name.startswith("lraspp"):  # the only one without an auxiliary head
            options["aux_loss"] = default is not None or None
    if name.startswith("vit_") and default is not None:
        options["image_size"] = default.meta["min_size"][0]
    return options


def _file(url: str) -> WebFile:
    """A published file; what torch.hub has kept is used too."""
    import torch

    file = base_name(url)
    sha256 = IN_NAME.search(file)
    if sha256 is None:
        return WebFile(url, own_name(url, SUFFIXES, ".pth"))
    kept = Path(torch.hub.get_dir()) / "checkpoints" / file
    return WebFile(url, file, sha256[1], (kept,))


def _read(enum: Any, path: Path) -> Any:
    """The same weights, read from a file: torchvision knows how to load its own layouts."""
    import torch

    twin = object.__new__(type(enum))
    vars(twin).update(vars(enum))
    twin.get_state_dict = lambda *_, **__: torch.load(path, map_location="cpu", weights_only=True)
    return twin
