"""Names of networks, and the way from a name to a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.utils import check_random_state

from skdnn._wording import listed
from skdnn.models import (
    _cornet,
    _hugging_face,
    _keras,
    _open_clip,
    _pip_weights,
    _published_checkpoints,
    _timm,
    _torchvision,
)
from skdnn.models._model_spec import ModelSpec, unknown_model
from skdnn.models._own_network import Model, custom_spec, is_keras_model, is_network
from skdnn.models._preprocessing import is_default

_BACKENDS = {"pt": "torch", "tf": "tensorflow"}  # spellings of THINGSvision's


class Source(Protocol):
    """Names without prefix, whether default weights are here, and what is not built yet."""

    def names(self) -> list[str]: ...
    def is_here(self, name: str) -> bool: ...
    def spec(self, name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec: ...


INSTALLED = "installed"  # of any source, with weights on this machine
# Looked through in this order for a name without prefix.
SOURCES: dict[str, Source] = {
    "torchvision": _torchvision,
    "cornet": _cornet,
    "clip": _open_clip,
    "published": _published_checkpoints,
    "pretrained": _pip_weights,
    "keras": _keras,
    "timm": _timm,
    "open_clip": _open_clip,
    "hf": _hugging_face,
}
_PREFIXED = ("timm", "open_clip", "hf")  # names are understood with their prefix only


def _names(source: str) -> list[str]:
    """OpenAI's two are known by short names; they ask for open_clip when they are used."""
    return list(_open_clip.ALIASES) if source == "clip" else SOURCES[source].names()


def _backend_of(source: str) -> str:
    return "tensorflow" if source == "keras" else "torch"


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
        raise ValueError(f"source={source!r} is unknown: use None or one of {listed(known, 20)}.")
    chosen = SOURCES if source in (None, INSTALLED) else {source: SOURCES[source]}
    return sorted(
        f"{prefix}/{name}" if prefix in _PREFIXED else name
        for prefix, room in chosen.items()
        for name in _names(prefix)
        if source != INSTALLED or room.is_here(name)
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
    wanted = _BACKENDS.get(backend, backend)
    if wanted not in ("auto", "torch", "tensorflow"):
        raise ValueError(
            f"backend={backend!r} is unknown: use 'auto', 'torch' ('pt') or 'tensorflow' ('tf')."
        )
    if isinstance(model, Model) or is_network(model):
        if not is_default(weights):
            raise ValueError(
                f"weights={weights!r} goes with a network named by its name. Your own network "
                "keeps the weights that it has: load them into it first, and leave "
                "weights='default'."
            )
        own = model if isinstance(model, Model) else Model(model)
        make = _keras.keras_custom_spec if is_keras_model(own.network) else custom_spec
        spec = make(own, preprocess)
        if wanted not in ("auto", spec.backend):
            raise ValueError(
                f"backend={backend!r} does not fit the network {spec.name}, which is one of "
                f"{spec.backend}: use 'auto'."
            )
        return spec
    if not isinstance(model, str):
        raise TypeError(
            "model must be a name (see list_models()), a torch.nn.Module, a keras.Model or a "
            f"skdnn.models.Model; got {type(model).__name__}: {model!r}."
        )
    source, name = _find(model, wanted, backend)
    return SOURCES[source].spec(name, weights=weights, seed=seed, preprocess=preprocess)


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
        if wanted not in ("auto", _backend_of(prefix)):
            raise ValueError(
                f"backend={backend!r} clashes with model={model!r}, which is a network of "
                f"{_backend_of(prefix)}: leave backend='auto', or drop the prefix."
            )
        if prefix not in _PREFIXED and rest not in _names(prefix):
            raise ValueError(_unknown(model, rest, [prefix]))
        return prefix, rest
    if (Path(model).expanduser() / "config.json").is_file():
        return _find(_hugging_face.PREFIX + model, wanted, backend)
    searched = [
        name for name in SOURCES if wanted in ("auto", _backend_of(name)) and name not in _PREFIXED
    ]
    for source in searched:
        if model in _names(source):
            return source, model
    if wanted != "auto":  # the backend decides, whatever the case of the name
        for source in searched:
            same = {known.lower(): known for known in _names(source)}
            if model.lower() in same:
                return source, same[model.lower()]
    raise ValueError(_unknown(model, model, searched))


def _unknown(model: str, name: str, sources: list[str]) -> str:
    message = unknown_model(model, name, [known for each in sources for known in _names(each)])
    if "keras" in sources and not _keras.names():
        message += ' Names of Keras\'s networks need tensorflow: pip install "skdnn[tensorflow]".'
    return message


def fixed_seed(random_state: Any) -> int:
    """An int stays what it is, so that a seed means the same network everywhere."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
