"""Image processors of Hugging Face, as the preparation of images."""

from __future__ import annotations

import importlib.metadata
import warnings
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._model_spec import KnownCallable

_PROCESSORS = ("BaseImageProcessor", "ImageProcessingMixin", "ProcessorMixin")
# What says nothing of the pixels.
_NO_SETTINGS = ("_processor_class", "processor_class", "_name_or_path", "device", "return_tensors")


class Processor(KnownCallable):
    """Prepares one image as a processor of Hugging Face does.

    Parameters
    ----------
    processor : transformers.BaseImageProcessor or transformers.ProcessorMixin
        Of the latter its part for images.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = getattr(processor, "image_processor", processor)

    def __call__(self, image: Any) -> Any:
        """Float tensor (3, height, width) of a PIL image in RGB."""
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def __repr__(self) -> str:
        return f"{type(self.processor).__name__} of transformers"

    def identity(self) -> Any:
        """What the pixels depend on."""
        version = importlib.metadata.version("transformers")
        settings = {k: v for k, v in self.processor.to_dict().items() if k not in _NO_SETTINGS}
        return ["transformers", version, type(self.processor).__name__, settings]


def is_processor(candidate: Any) -> bool:
    """Whether this is a processor of Hugging Face, without importing transformers for it."""
    return _is_of_transformers(candidate, _PROCESSORS)


def is_pretrained(network: Any) -> bool:
    """Whether this is a network of Hugging Face."""
    return _is_of_transformers(network, ("PreTrainedModel",))


def _is_of_transformers(candidate: Any, names: tuple[str, ...]) -> bool:
    return any(
        base.__name__ in names and base.__module__.startswith("transformers.")
        for base in type(candidate).__mro__
    )


def own_processor(network: Any) -> Processor | None:
    """The processor that lies where a network of Hugging Face was loaded from, on this machine.

    None, with a warning, where there is none.
    """
    place = getattr(network, "name_or_path", "")
    folder = local_folder(place) if place else None
    if folder is not None and (found := processor_in(folder)) is not None:
        return found
    warnings.warn(
        f"preprocess='default' of your own {type(network).__name__} is ImageNet's (resize 256, "
        "centre crop 224), as no processor lies where it was loaded from"
        f"{f' ({place!r})' if place else ''}. Give Model(network, preprocess=processor) with the "
        "AutoImageProcessor of its weights.",
        UserWarning,
        stacklevel=2,
    )
    return None


def processor_in(folder: Path) -> Processor | None:
    """The processor of a folder of Hugging Face, None where it has none."""
    names = ("preprocessor_config.json", "processor_config.json")
    if not any((folder / name).is_file() for name in names):
        return None
    auto = import_optional(
        "transformers", f"to prepare images as {folder} says"
    ).AutoImageProcessor
    return Processor(auto.from_pretrained(str(folder), local_files_only=True))


def local_folder(place: str) -> Path | None:
    """The folder on this machine for a folder's name or a repository's; nothing is asked for."""
    path = Path(place).expanduser()
    if (path / "config.json").is_file():
        return path
    if path.is_absolute() or place.count("/") > 1:
        return None
    hub = import_optional("huggingface_hub", "to find files of the Hugging Face hub")
    try:
        cached = hub.try_to_load_from_cache(place, "config.json")
    except ValueError:  # no name of a repository
        return None
    return Path(cached).parent if isinstance(cached, str) else None
