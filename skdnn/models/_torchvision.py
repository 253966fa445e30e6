"""Classification networks of torchvision: architecture, published weights, preprocessing."""

from __future__ import annotations

import os
import urllib.error
import warnings
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._fingerprint import file_digest, platform_identity
from skdnn.models._spec import ModelSpec, Preprocessing
from skdnn.models._weights_file import load_state_dict, strict_load

PREFIX = "torchvision/"
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")


def _models() -> Any:
    return import_optional("torchvision.models", "to build torchvision's networks")


def model_names() -> list[str]:
    """Names of all classification networks that the installed torchvision has."""
    models = _models()
    return models.list_models(module=models)


def torchvision_spec(
    name: str, weights: Any, seed: int, as_preprocessing: Any, preprocess: Any
) -> ModelSpec:
    """Spec of a torchvision network; the weights' name is checked, nothing is loaded."""
    published = _models().get_model_weights(name)
    enum = _published(name, published, weights)
    path = _weights_path(weights) if enum is None and weights is not None else None
    default = enum if enum is not None else getattr(published, "DEFAULT", None)
    if enum is not None:
        described: str = enum.name
        key: tuple[Any, ...] = (name, enum.name)
    elif path is not None:
        stat = path.stat()
        described = str(path)
        key = (name, str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    else:
        described = f"random (seed {seed})"
        key = (name, None, seed)
    return ModelSpec(
        name=PREFIX + name,
        backend="torch",
        weights=described,
        preprocess=as_preprocessing(preprocess, _published_preprocessing(default)),
        load=lambda: _load(name, enum, path, default, seed),
        skeleton=lambda: _skeleton(name, default),
        key=("torchvision", *key),
        identify=lambda version: _identity(name, enum, path, seed),
    )


def _identity(name: str, enum: Any, path: Path | None, seed: int) -> Any:
    """The hash of published weights is in their address; random ones depend on the machine."""
    if enum is not None:
        return [PREFIX + name, enum.name, enum.url]
    if path is not None:
        return [PREFIX + name, "sha256", file_digest(path)]
    return [PREFIX + name, "random", seed, platform_identity("torch", "torchvision")]


def _published(name: str, published: Any, weights: Any) -> Any:
    """The published weights asked for, or None for random ones or a file."""
    if weights is None or isinstance(weights, os.PathLike):
        return None
    if isinstance(weights, published):
        return weights
    if not isinstance(weights, str):
        raise TypeError(
            "weights must be 'default', the name of published weights, the path of a file, or "
            f"None for random ones; got {weights!r}."
        )
    if weights == "default":
        if len(published) == 0:
            raise ValueError(
                f"weights='default': torchvision publishes no weights for {name!r}; "
                "use weights=None (random) or the path of a file."
            )
        return published.DEFAULT
    tag = weights.rpartition(".")[2] if "_Weights." in weights else weights
    if tag in published.__members__:
        return published[tag]
    if weights.endswith(_SUFFIXES) or os.sep in weights or Path(weights).exists():
        return None
    raise ValueError(
        f"weights={weights!r} is neither published for {name!r} nor a file ({', '.join(_SUFFIXES)}"
        f"). Published: {', '.join(map(repr, published.__members__)) or 'none'}; "
        "None gives random weights."
    )


def _weights_path(weights: Any) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(f"weights={str(weights)!r}: there is no such file.")
    if path.suffix not in _SUFFIXES:
        raise ValueError(
            f"weights={str(weights)!r}: the name must end in one of {', '.join(_SUFFIXES)}."
        )
    return path


def _published_preprocessing(enum: Any) -> Preprocessing:
    if enum is None:
        return Preprocessing()
    preset = enum.transforms()

    def size(values: list[int]) -> int | tuple[int, int]:
        return values[0] if len(values) == 1 else (values[0], values[1])

    return Preprocessing(
        resize=size(preset.resize_size),
        crop=size(preset.crop_size),
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
    if name.startswith("vit_") and default is not None:
        options["image_size"] = default.meta["min_size"][0]
    return options


def _skeleton(name: str, default: Any) -> Any:
    """The architecture without memory for its weights, where it can be built so."""
    import torch

    models = _models()
    options = _twin_options(name, default)
    if "init_weights" in options:
        options["init_weights"] = False
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return models.get_model(name, weights=None, **options).eval()
    except NotImplementedError:  # some builders compute widths with tensors (regnet)
        return models.get_model(name, weights=None, **options).eval()


def _load(name: str, enum: Any, path: Path | None, default: Any, seed: int) -> Any:
    import torch

    models = _models()
    if enum is not None:
        return _load_published(name, enum)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = models.get_model(name, weights=None, **_twin_options(name, default))
    if path is not None:
        strict_load(network, load_state_dict(path), path, name)
    return network.eval()


def _load_published(name: str, enum: Any) -> Any:
    """Download (or find) published weights; the hash in the file's name is checked."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file_name = enum.url.rpartition("/")[2]
    try:
        return _models().get_model(name, weights=enum).eval()
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"The weights {enum.name} of {name} could not be downloaded ({error}). Download "
            f"{enum.url} on a machine with a network and put it at {folder / file_name}, or use "
            "weights=None for random weights or weights='path/of/a/file'."
        ) from error
