"""Names of the classes that a network tells apart, from the metadata of its own weights."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skdnn._layers import LayerInfo
from skdnn._optional import import_optional
from skdnn.models._keras_build import constructor_of
from skdnn.models._keras_weights import folders
from skdnn.models._model_spec import ModelSpec
from skdnn.models._open_clip import ALIASES
from skdnn.models._published_checkpoints import ends_in_features

IMAGENET = "imagenet"  # what a user writes for the names of ImageNet's 1,000 classes
_N_IMAGENET = 1000
_INDEX_URL = (
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
)
_FIRST, _LAST = "n01440764", "n15075141"  # tench, toilet tissue
_OWN = "Give classes=[...], in the order of the network's output, to have names."


@dataclass(frozen=True)
class ClassNames:
    """Names of a network's outputs, in its own order, with WordNet's identifiers where known.

    The note says where the names come from, and what is to be known of them.
    """

    names: tuple[str, ...]
    synsets: tuple[str, ...] | None
    note: str


def find_classes(spec: ModelSpec, n_outputs: int) -> ClassNames:
    """Names of the classes of a network, from what its weights say of themselves, or numbers.

    A ValueError says that a network has no classes: what it gives is an embedding.
    """
    found = _named(spec)
    if found is not None and len(found.names) == n_outputs:
        return found
    if found is None:
        origin = "one's own network" if not spec.owned else f"{spec.name} ({spec.weights})"
        note = f"No names of classes come with {origin}. {_OWN}"
    else:
        note = (
            f"{spec.name} has {n_outputs} outputs, and its metadata names {len(found.names)} "
            f"classes, which therefore are not used. {_OWN}"
        )
    return ClassNames(tuple(f"class {index}" for index in range(n_outputs)), None, note)


def own_classes(classes: Any, n_outputs: int, model_name: str) -> ClassNames:
    """Names that a user gives, or ``"imagenet"``: as many as outputs."""
    if isinstance(classes, str) and classes == IMAGENET:
        note = "ImageNet's 1,000 classes, as torchvision names them."
        given = replace(imagenet_classes(), note=note)
    elif isinstance(classes, str):
        raise ValueError(
            f"classes={classes!r} must be a list of str, None, or {IMAGENET!r} for the names of "
            "ImageNet's 1,000 classes."
        )
    else:
        for place, name in enumerate(names := list(classes)):
            if not isinstance(name, str):
                raise TypeError(f"classes must be a list of str, got {name!r} at place {place}.")
        given = ClassNames(tuple(map(str, names)), None, "As given in classes=.")
    if len(given.names) != n_outputs:
        raise ValueError(
            f"classes has {len(given.names)} names, and {model_name} has {n_outputs} outputs: "
            "give one name for each output, in the network's order."
        )
    return given


def imagenet_classes() -> ClassNames:
    """ImageNet's 1,000 classes in the order that all published networks share."""
    models = import_optional("torchvision.models", "for the names of ImageNet's classes")
    names = tuple(models.AlexNet_Weights.DEFAULT.meta["categories"])
    return ClassNames(names, imagenet_synsets(), "")


# --- by the network's source ---------------------------------------------------------------------


def _named(spec: ModelSpec) -> ClassNames | None:
    """Names by the source of a network; None where there are none."""
    if not spec.owned:
        return None
    source, _, name = spec.name.partition("/")
    if source == "torchvision":
        return _of_torchvision(spec, name)
    if source == "keras":
        return _of_keras(spec)
    if source == "timm":
        return _of_timm(spec, name)
    if source in ("cornet", "pretrained"):
        return replace(imagenet_classes(), note=_about(spec, "ImageNet's 1,000 classes"))
    if source in ("open_clip", *ALIASES):
        raise ValueError(
            f"model={spec.name!r} has no classes: it puts images into a space that they share "
            "with words. Compare its features (DNNFeatureExtractor) with those of the names of "
            "your classes (CLIPTextEncoder)."
        )
    if source == "published" and ends_in_features(name):
        raise ValueError(
            f"model={spec.name!r} has no classes: it was trained without labels and ends in "
            "features. Use DNNFeatureExtractor and a classifier of scikit-learn."
        )
    return None


def _about(spec: ModelSpec, whose: str) -> str:
    """Whose names they are, and what the weights have to do with them."""
    if spec.origin == "random":
        return f"Random weights: the names are those of {whose}."
    if spec.origin in ("file", "address"):
        return (
            f"Weights {spec.weights!r}: the names are those of {whose}. Where they were trained "
            "on other classes, give classes=[...]."
        )
    return f"The names are those of {whose}."


def _of_torchvision(spec: ModelSpec, name: str) -> ClassNames | None:
    models = import_optional("torchvision.models", "for the names of its classes")
    published = models.get_model_weights(name)
    weights = published.__members__.get(spec.weights, getattr(published, "DEFAULT", None))
    categories = None if weights is None else weights.meta.get("categories")
    if categories is None:
        return None
    note = _about(spec, f"torchvision's {weights.name}")
    is_imagenet = tuple(categories) == imagenet_classes().names
    return ClassNames(tuple(categories), imagenet_synsets() if is_imagenet else None, note)


def _of_timm(spec: ModelSpec, full_name: str) -> ClassNames | None:
    """timm's description of weights says how many classes they have, and seldom which."""
    timm = import_optional("timm", "for the names of its classes")
    card = timm.get_pretrained_cfg(full_name)
    data = import_optional("timm.data", "for the names of its classes")
    subset = data.infer_imagenet_subset({"num_classes": card.num_classes})
    if not card.num_classes or (subset is None and "clip" in full_name.partition(".")[0]):
        raise ValueError(
            f"model={spec.name!r} has no classes: it ends in features, for one's own use. Take "
            "weights with a classifier (a tag such as '..._in1k'), or DNNFeatureExtractor."
        )
    if card.label_names:
        described = card.label_descriptions or {}
        names = tuple(str(described.get(label, label)) for label in card.label_names)
        return ClassNames(names, None, _about(spec, f"timm's {full_name}"))
    if subset is None:
        return None
    info = data.ImageNetInfo(subset)
    note = _about(spec, f"timm's {subset}, inferred from {card.num_classes} outputs")
    return ClassNames(tuple(info.label_descriptions()), tuple(info.label_names()), note)


# --- Keras and the synsets -----------------------------------------------------------------------


def _of_keras(spec: ModelSpec) -> ClassNames:
    """As ``decode_predictions`` names them where its file is at hand, else as torchvision does."""
    path = next(filter(Path.is_file, _index_places()), None)
    if path is not None:
        return replace(_read(path), note=_about(spec, f"Keras's decode_predictions ({path})"))
    source = (
        "torchvision, in the same order. For those of Keras's decode_predictions, download "
        f"{_INDEX_URL} and put it at {' or '.join(map(str, _index_places()))}"
    )
    return replace(imagenet_classes(), note=_about(spec, source))


def _index_places() -> list[Path]:
    return [folder / _INDEX_URL.rpartition("/")[2] for folder in folders()]


def _read(path: Path) -> ClassNames:
    """Names and synsets of Keras's class index: {"0": ["n01440764", "tench"], ...}."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [map(str, content[str(index)]) for index in range(_N_IMAGENET)]
        synsets, names = zip(*rows, strict=True)
        whole = (synsets[0], synsets[-1], len(content)) == (_FIRST, _LAST, _N_IMAGENET)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"{path} is not Keras's index of ImageNet's 1,000 classes, from {_FIRST} to {_LAST}. "
            f"Download {_INDEX_URL} again, or remove the file."
        )
    return ClassNames(names, synsets, "")


def imagenet_synsets() -> tuple[str, ...] | None:
    """WordNet identifiers of ImageNet's 1,000 classes, of timm or Keras; None without both."""
    if importlib.util.find_spec("timm") is not None:
        purpose = "for the synsets of ImageNet's classes"
        import_optional("torchvision", purpose)  # before timm: see _optional
        data = import_optional("timm.data", purpose)
        return tuple(data.ImageNetInfo("imagenet-1k").label_names())
    path = next(filter(Path.is_file, _index_places()), None)
    return None if path is None else _read(path).synsets


# --- what the last layer does --------------------------------------------------------------------


def final_activation(spec: ModelSpec, layers: Sequence[LayerInfo]) -> str:
    """What the network's last layer does to its values, as far as its configuration tells.

    E.g. ``"softmax"``, ``"sigmoid"`` or ``"linear"``; "" where nothing is known.
    """
    if spec.backend != "tensorflow":
        return _last_module(layers)
    if not spec.owned:
        return _last_of_keras(spec.load())
    constructor = constructor_of(spec.name.partition("/")[2])
    options = inspect.signature(constructor).parameters
    return str(options["classifier_activation"].default)


def _last_module(layers: Sequence[LayerInfo]) -> str:
    """Class of the torch module without children that finishes last, in small letters."""
    called = [info for info in layers if info.n_calls and not info.source]
    leaves = [a for a in called if not any(b.name.startswith(f"{a.name}.") for b in called)]
    return max(leaves, key=lambda info: info.depth).type.lower() if leaves else ""


def _last_of_keras(network: Any) -> str:
    """Activation of the layer that gives a Keras network's output."""
    layer = network
    while getattr(layer, "layers", None):
        outputs: Any = getattr(layer, "outputs", None) or ()
        one = len(outputs) == 1
        layer = outputs[0]._keras_history.operation if one else layer.layers[-1]
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return type(layer).__name__.lower()
    return str(getattr(getattr(layer, "activation", None), "__name__", ""))
