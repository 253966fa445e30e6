"""Networks published as a checkpoint alone: ecoset, self-supervised ResNet-50s, DINO and MAE."""

from __future__ import annotations

import functools
import tomllib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from skdnn._optional import import_optional
from skdnn.models._model_spec import ModelSpec, build_skeleton
from skdnn.models._preprocessing import Preprocessing, as_preprocessing
from skdnn.models._torch_weights import unwrapped, without_prefixes
from skdnn.models._weights_choice import Weights, choose_weights, published_as
from skdnn.models._weights_folder import WebFile

PREFIX = "published/"


@dataclass(frozen=True)
class _Entry:
    """One network: its architecture, where its weights are, and how their file is laid out."""

    architecture: str
    package: str  # torchvision or timm
    url: str
    layout: Callable[[Any], Any]
    options: dict[str, Any] = field(default_factory=dict)
    headless: bool = False  # its last linear layer is the identity


# --- layouts: from what a file holds to the state dict of our network ---------------------------


def _without(*starts: str) -> Callable[[Any], Any]:
    """Layout of a state dict that holds more than the network, under names that begin so."""

    def layout(content: Any) -> Any:
        state = unwrapped(content)
        if not isinstance(state, dict):
            return state
        plain = without_prefixes(state)
        return {key: value for key, value in plain.items() if not str(key).startswith(starts)}

    return layout


without_head = _without("fc.")  # our network has no classifier on top
encoder_of_mae = _without("decoder_", "mask_token")  # these are for training only


def vissl_trunk(content: Any) -> Any:
    """The trunk of a network trained with VISSL, its keys as torchvision has them."""
    state = content
    for key in ("classy_state_dict", "base_model", "model", "trunk"):
        state = state.get(key) if isinstance(state, dict) else None
    if state is None:
        state = without_head(content)
    if not isinstance(state, dict):
        return state
    prefix = "_feature_blocks."
    names = {key: key.removeprefix(prefix) if isinstance(key, str) else key for key in state}
    return {names[key]: value for key, value in state.items()}


_LAYOUTS = {
    "plain": unwrapped,
    "without head": without_head,
    "vissl": vissl_trunk,
    "mae": encoder_of_mae,
}


# --- the networks --------------------------------------------------------------------------------


def _entry(kind: str, architecture: str, place: str) -> _Entry:
    known = TABLE["kind"][kind]
    found = {"url": known["url"].format(place), "layout": _LAYOUTS[known["layout"]]}
    return _Entry(architecture, **{**known, **found})


TABLE = tomllib.loads(files("skdnn.models").joinpath("networks.toml").read_text("utf-8"))
_ENTRIES = {name: _entry(*entry) for name, entry in TABLE["published"].items()}
_ALIASES = TABLE["spelled"]


def names() -> list[str]:
    """All names, THINGSvision's spellings too; those that need timm say so when asked for."""
    return [*_ENTRIES, *_ALIASES]


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network with its one set of published weights; nothing is loaded."""
    name = _ALIASES.get(name, name)
    entry = _ENTRIES[name]
    _package(entry)
    published = published_as(name, _file(name))
    chosen = choose_weights(weights, name, seed=seed, published=published, package=entry.package)
    return chosen.spec(
        PREFIX + name,
        preprocess=as_preprocessing(preprocess, Preprocessing()),
        load=lambda: _load(entry, name, chosen, seed),
        skeleton=lambda: build_skeleton(lambda: _build(entry, False).eval()),
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
        torch = import_optional("torch", "to build networks")
        network.fc = torch.nn.Identity()
    return network


def _load(entry: _Entry, name: str, chosen: Weights, seed: int) -> Any:
    import_optional("torch", "to build networks")
    build = functools.partial(_build, entry, chosen.file is None)
    return chosen.network(build, name, seed, unwrap=entry.layout)
