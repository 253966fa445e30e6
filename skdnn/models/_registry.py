"""Names of networks, and the way from a name to a spec."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skdnn._layers import nearest
from skdnn.models import (
    _cornet,
    _hugging_face,
    _keras,
    _keras_build,
    _open_clip,
    _pip_weights,
    _published_checkpoints,
    _timm,
    _torchvision,
)
from skdnn.models._model_spec import ModelSpec
from skdnn.models._own_network import Model, custom_spec, is_keras_model, is_network
from skdnn.models._weights_here import weights_here

_BACKENDS = {
    "auto": "auto",
    "torch": "torch",
    "pt": "torch",
    "tensorflow": "tensorflow",
    "tf": "tensorflow",
}


@dataclass(frozen=True)
class Source:
    """Where networks come from; some names are understood with their prefix only."""

    backend: str
    names: Callable[[], list[str]]
    spec: Callable[..., ModelSpec]
    prefixed: bool = False


def _clips() -> list[str]:
    """OpenAI's two, known by short names; they ask for open_clip when they are used."""
    return list(_open_clip.ALIASES)


INSTALLED = "installed"  # of any source, with weights on this machine
# Looked through in this order for a name without prefix.
SOURCES: dict[str, Source] = {
    "torchvision": Source("torch", _torchvision.names, _torchvision.spec),
    "cornet": Source("torch", _cornet.names, _cornet.spec),
    "clip": Source("torch", _clips, _open_clip.spec),
    "published": Source("torch", _published_checkpoints.names, _published_checkpoints.spec),
    "pretrained": Source("torch", _pip_weights.names, _pip_weights.spec),
    "keras": Source("tensorflow", _keras_build.names, _keras.spec),
    "timm": Source("torch", _timm.names, _timm.spec, prefixed=True),
    "open_clip": Source("torch", _open_clip.names, _open_clip.spec, prefixed=True),
    "hf": Source("torch", _hugging_face.names, _hugging_face.spec, prefixed=True),
}


def list_models(source: str | None = None) -> list[str]:
    """List the names that ``DNNFeatureExtractor(model=...)`` takes.

    Parameters
    ----------
    source : str or None, default=None
        Where the networks come from: ``"torchvision"``, ``"cornet"``, ``"clip"``,
        ``"published"`` (ecoset, self-supervised and others), ``"pretrained"`` (weights that pip
        installs), ``"keras"``, ``"timm"`` or ``"open_clip"``; None lists all. Sources whose
        package is not installed have no names; those of Hugging Face
        (``"hf/facebook/dinov2-base"``) are too many to list. ``"installed"`` lists those of any
        source whose default weights are on this machine now, so that nothing need be downloaded.

    Returns
    -------
    names : list of str
        Sorted; those of timm and open_clip with their prefix.

    Raises
    ------
    ValueError
        If `source` is unknown.

    See Also
    --------
    list_layers : The layers of one network.

    Notes
    -----
    Default weights are looked for where they would be read: packages installed by pip, the folder
    ``SKDNN_WEIGHTS``, and the caches of torch.hub, Keras and the Hugging Face hub. That the files
    are whole is checked when they are read.

    Examples
    --------
    >>> from skdnn import list_models
    >>> "alexnet" in list_models()
    True
    >>> list_models("cornet")
    ['cornet-r', 'cornet-rt', 'cornet-s', 'cornet-z']
    """
    known = (*SOURCES, INSTALLED)
    if source is not None and source not in known:
        raise ValueError(
            f"source={source!r} is unknown: use None or one of {', '.join(map(repr, known))}."
        )
    chosen = SOURCES if source in (None, INSTALLED) else {source: SOURCES[source]}
    return sorted(
        f"{prefix}/{name}" if room.prefixed else name
        for prefix, room in chosen.items()
        for name in (weights_here(prefix, room.names()) if source == INSTALLED else room.names())
        if not (room.prefixed and name in _clips())
    )


def resolve_model(
    model: Any,
    *,
    backend: str = "auto",
    weights: Any = "default",
    preprocess: Any = "default",
    seed: int = 0,
) -> ModelSpec:
    """Find out which network is meant, with which weights and preprocessing; build nothing."""
    if backend not in _BACKENDS:
        raise ValueError(
            f"backend={backend!r} is unknown: use 'auto', 'torch' ('pt') or 'tensorflow' ('tf')."
        )
    wanted = _BACKENDS[backend]
    if isinstance(model, Model) or is_network(model):
        if not (isinstance(weights, str) and weights == "default"):
            raise ValueError(
                f"weights={weights!r} goes with a network named by its name. Your own network "
                "keeps the weights that it has: load them into it first, and leave "
                "weights='default'."
            )
        own = model if isinstance(model, Model) else Model(model)
        make = _keras.keras_custom_spec if is_keras_model(own.network) else custom_spec
        spec = make(own, preprocess)
        _check_backend(spec, wanted, backend)
        return spec
    if not isinstance(model, str):
        raise TypeError(
            "model must be a name (see list_models()), a torch.nn.Module, a keras.Model or a "
            f"skdnn.models.Model; got {type(model).__name__}: {model!r}."
        )
    source, name = _find(model, wanted, backend)
    return SOURCES[source].spec(name, weights=weights, seed=seed, preprocess=preprocess)


def _check_backend(spec: ModelSpec, wanted: str, backend: str) -> None:
    if wanted not in ("auto", spec.backend):
        raise ValueError(
            f"backend={backend!r} does not fit the network {spec.name}, which is one of "
            f"{spec.backend}: use 'auto'."
        )


def _find(model: str, wanted: str, backend: str) -> tuple[str, str]:
    """Source and name without prefix."""
    model = _published_checkpoints.TABLE["thingsvision"].get(model, model)
    for start, reason in _published_checkpoints.TABLE["elsewhere"].items():
        if model.startswith(start):
            raise ValueError(
                f"model={model!r} is a name of THINGSvision's: {reason}, and wrap it: "
                "skdnn.models.Model(network, preprocess=...)."
            )
    prefix, slash, rest = model.partition("/")
    why = _torchvision.refusal(rest if prefix == "torchvision" else model)
    if why:
        raise ValueError(f"model={model!r} {why}.")
    if slash and prefix in SOURCES:
        source = SOURCES[prefix]
        if wanted not in ("auto", source.backend):
            raise ValueError(
                f"backend={backend!r} clashes with model={model!r}, which is a network of "
                f"{source.backend}: leave backend='auto', or drop the prefix."
            )
        if not source.prefixed and rest not in source.names():
            raise ValueError(_unknown(model, rest, source.names(), [prefix]))
        return prefix, rest
    if (Path(model).expanduser() / "config.json").is_file():
        return _find(_hugging_face.PREFIX + model, wanted, backend)
    rooms = {
        name: room
        for name, room in SOURCES.items()
        if wanted in ("auto", room.backend) and not room.prefixed
    }
    for name, room in rooms.items():
        if model in room.names():
            return name, model
    if wanted != "auto":  # the backend decides, whatever the case of the name
        for name, room in rooms.items():
            same = {known.lower(): known for known in room.names()}
            if model.lower() in same:
                return name, same[model.lower()]
    known = [known for room in rooms.values() for known in room.names()]
    raise ValueError(_unknown(model, model, known, rooms))


def _unknown(model: str, name: str, known: list[str], sources: Collection[str]) -> str:
    near = nearest(name, known)
    hint = f"Did you mean {near}? " if near else ""
    message = f"model={model!r} is unknown. {hint}list_models() gives all names."
    if "keras" in sources and not _keras_build.names():
        message += ' Names of Keras\'s networks need tensorflow: pip install "skdnn[tensorflow]".'
    return message


def fixed_seed(random_state: Any) -> int:
    """An int stays what it is, so that a seed means the same network everywhere."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
