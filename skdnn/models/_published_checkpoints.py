"""Networks published as a checkpoint alone: ecoset, self-supervised ResNet-50s, DINO and MAE."""

from __future__ import annotations

import functools
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._model_spec import ModelSpec
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._torch_weights import unwrapped, without_prefixes
from skdnn.models._weights_choice import choose_weights
from skdnn.models._weights_folder import WebFile

PREFIX = "published/"
TABLE = tomllib.loads(files("skdnn.models").joinpath("networks.toml").read_text("utf-8"))
_ALIASES = TABLE["spelled"]


@dataclass(frozen=True)
class _Entry:
    """One network: its architecture, and where its weights are."""

    architecture: str
    package: str  # torchvision or timm
    url: str
    dropped: Sequence[str] = ()  # beginnings of names, in its file, of what is no part of it
    options: dict[str, Any] = field(default_factory=dict)
    headless: bool = False  # its last linear layer is the identity

    def layout(self, content: Any) -> Any:
        """The state dict of our network, of what a file holds; VISSL's trunk lies deeper."""
        state = content
        for key in ("classy_state_dict", "base_model", "model", "trunk"):
            state = state.get(key) if isinstance(state, dict) else None
        state = unwrapped(content) if state is None else state
        if not isinstance(state, dict):
            return state
        start = "_feature_blocks."  # of VISSL, too
        named = {
            key.removeprefix(start) if isinstance(key, str) else key: tensor
            for key, tensor in without_prefixes(state).items()
        }
        return {
            k: tensor for k, tensor in named.items() if not str(k).startswith(tuple(self.dropped))
        }


def _entry(kind: str, architecture: str, place: str) -> _Entry:
    known = TABLE["kind"][kind]
    return _Entry(architecture, **{**known, "url": known["url"].format(place)})


_ENTRIES = {name: _entry(*entry) for name, entry in TABLE["published"].items()}


def names() -> list[str]:
    """All names, THINGSvision's spellings too; those that need timm say so when asked for."""
    return [*_ENTRIES, *_ALIASES]


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network with its one set of published weights; nothing is loaded."""
    name = _ALIASES.get(name, name)
    entry = _ENTRIES[name]
    _package(entry)
    chosen = choose_weights(weights, name, seed, entry.package, name, _file(name))
    return chosen.spec(
        PREFIX + name,
        functools.partial(_build, entry, chosen.file is None),
        seed,
        unwrap=entry.layout,
        preprocess=as_preprocessing(preprocess, Preprocessing()),
        packages=("timm",) if entry.package == "timm" else (),
    )


def _file(name: str) -> WebFile:
    url = _ENTRIES[name].url
    return WebFile(url, name + (".torch" if url.endswith(".torch") else ".pth"))


def is_here(name: str) -> bool:
    """Whether the weights of a network are on this machine."""
    return _file(_ALIASES.get(name, name)).is_here()


def ends_in_features(name: str) -> bool:
    """Whether a network has no classifier."""
    entry = _ENTRIES[name]
    return entry.headless or entry.options.get("num_classes") == 0


def _package(entry: _Entry) -> Any:
    import_optional("torchvision", "to build networks")  # torch's parts before any tensorflow
    return import_optional(entry.package, f"to build {entry.architecture}")


def _build(entry: _Entry, initialise: bool) -> Any:
    package = _package(entry)
    if entry.package == "timm":
        return package.create_model(entry.architecture, pretrained=False, **entry.options)
    options = dict(entry.options)
    if entry.architecture == "inception_v3":
        options["init_weights"] = initialise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Inception's initialisation
        network = package.models.get_model(entry.architecture, weights=None, **options)
    if entry.headless:
        network.fc = import_optional("torch.nn", "to build networks").Identity()
    return network
