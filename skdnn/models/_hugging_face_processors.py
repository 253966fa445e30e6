"""Image processors that lie beside the weights of a network of Hugging Face."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._preprocessing import Processor, is_of_transformers


def own_processor(network: Any) -> Processor | None:
    """The processor that lies where a network of Hugging Face was loaded from, on this machine.

    None, with a warning, where there is none; of other networks without one.
    """
    if not is_of_transformers(network, "PreTrainedModel"):
        return None
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
