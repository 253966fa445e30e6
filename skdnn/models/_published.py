"""Networks published as a checkpoint alone: ecoset, self-supervised ResNet-50s, DINO and MAE."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skdnn._optional import import_optional
from skdnn.layers import nearest
from skdnn.models._checkpoint import unwrapped, without_prefixes
from skdnn.models._custom import as_preprocessing
from skdnn.models._spec import ModelSpec, Preprocessing, build_skeleton
from skdnn.models._weights_file import Published, Weights, choose_weights

PREFIX = "published/"
_META = "https://dl.fbaipublicfiles.com/"
_ECOSET_CLASSES = 565


@dataclass(frozen=True)
class _Entry:
    """One network: its architecture, where its weights are, and how their file is laid out."""

    package: str  # torchvision or timm
    architecture: str
    url: str
    layout: Callable[[Any], Any]
    suffix: str = ".pth"
    options: dict[str, Any] = field(default_factory=dict)
    headless: bool = False  # its last linear layer is the identity


# --- layouts: from what a file holds to the state dict of our network ---------------------------


def without_head(content: Any) -> Any:
    """A state dict; a classifier on top does not count, as our network has none."""
    state = unwrapped(content)
    if not isinstance(state, dict):
        return state
    plain = without_prefixes(state)
    return {key: value for key, value in plain.items() if not str(key).startswith("fc.")}


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


def encoder_of_mae(content: Any) -> Any:
    """The encoder of a masked autoencoder; decoder and mask token are for training only."""
    state = unwrapped(content)
    if not isinstance(state, dict):
        return state
    of_training = ("decoder_", "mask_token")
    return {key: value for key, value in state.items() if not str(key).startswith(of_training)}


# --- the networks --------------------------------------------------------------------------------


def _ecoset(architecture: str, address: str) -> _Entry:
    options = {"num_classes": _ECOSET_CLASSES}
    url = f"https://osf.io/{address}"
    return _Entry("torchvision", architecture, url, unwrapped, options=options)


def _vissl(folder: str, phase: int) -> _Entry:
    url = f"{_META}vissl/model_zoo/{folder}/model_final_checkpoint_phase{phase}.torch"
    return _Entry("torchvision", "resnet50", url, vissl_trunk, suffix=".torch", headless=True)


def _resnet50(path: str) -> _Entry:
    return _Entry("torchvision", "resnet50", _META + path, without_head, headless=True)


def _dino(architecture: str, name: str) -> _Entry:
    url = f"{_META}dino/{name}/{name}.pth"
    return _Entry("timm", architecture, url, unwrapped, options={"num_classes": 0})


def _mae(architecture: str, size: str) -> _Entry:
    url = f"{_META}mae/pretrain/mae_pretrain_vit_{size}.pth"
    return _Entry("timm", architecture, url, encoder_of_mae, options={"num_classes": 0})


_ENTRIES = {
    "alexnet-ecoset": _ecoset("alexnet", "t6h3c/download"),
    "resnet50-ecoset": _ecoset("resnet50", "gd9kn/download"),
    "vgg16-ecoset": _ecoset("vgg16", "z5uf3/download"),
    "vgg16-bn-ecoset": _ecoset("vgg16_bn", "fe7s5/download"),
    "inception-v3-ecoset": _ecoset("inception_v3", "zn24d/download"),
    "alexnet-salobjsub": _ecoset("alexnet", "download/sd3xj/"),
    "simclr-rn50": _vissl("simclr_rn50_800ep_simclr_8node_resnet_16_07_20.7e8feed1", 799),
    "mocov2-rn50": _vissl("moco_v2_1node_lr.03_step_b32_zero_init", 199),
    "jigsaw-rn50": _vissl(
        "jigsaw_rn50_in1k_ep105_perm2k_jigsaw_8gpu_resnet_17_07_20.db174a43", 104
    ),
    "rotnet-rn50": _vissl("rotnet_rn50_in1k_ep105_rotnet_8gpu_resnet_17_07_20.46bada9f", 125),
    "swav-rn50": _vissl("swav_in1k_rn50_800ep_swav_8node_resnet_27_07_20.a0a6b676", 799),
    "pirl-rn50": _vissl("pirl_jigsaw_4node_pirl_jigsaw_4node_resnet_22_07_20.34377f59", 799),
    "barlowtwins-rn50": _resnet50("barlowtwins/ljng/resnet50.pth"),
    "vicreg-rn50": _resnet50("vicreg/resnet50.pth"),
    "dino-rn50": _resnet50("dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"),
    "dino-vit-small-p16": _dino("vit_small_patch16_224", "dino_deitsmall16_pretrain"),
    "dino-vit-small-p8": _dino("vit_small_patch8_224", "dino_deitsmall8_pretrain"),
    "dino-vit-base-p16": _dino("vit_base_patch16_224", "dino_vitbase16_pretrain"),
    "dino-vit-base-p8": _dino("vit_base_patch8_224", "dino_vitbase8_pretrain"),
    "mae-vit-base-p16": _mae("vit_base_patch16_224", "base"),
    "mae-vit-large-p16": _mae("vit_large_patch16_224", "large"),
    "mae-vit-huge-p14": _mae("vit_huge_patch14_224", "huge"),
}
# As THINGSvision spells them, where that is not our name.
_ALIASES = {
    "Alexnet_ecoset": "alexnet-ecoset",
    "Resnet50_ecoset": "resnet50-ecoset",
    "VGG16_ecoset": "vgg16-ecoset",
    "VGG16bn_ecoset": "vgg16-bn-ecoset",
    "Inception_ecoset": "inception-v3-ecoset",
    "AlexNet_SalObjSub": "alexnet-salobjsub",
}


def names() -> list[str]:
    """All names, THINGSvision's spellings too; those that need timm say so when asked for."""
    return [*_ENTRIES, *_ALIASES]


def spec(name: str, *, weights: Any, seed: int, preprocess: Any) -> ModelSpec:
    """Spec of a network with its one set of published weights; nothing is loaded."""
    name = _ALIASES.get(name, name)
    if name not in _ENTRIES:
        near = nearest(name, names())
        raise ValueError(f"model={name!r} is not among the published networks. Nearest: {near}.")
    entry = _ENTRIES[name]
    _package(entry)
    published = Published(tag=name, url=entry.url, file=name + entry.suffix)
    chosen = choose_weights(weights, name, seed=seed, published=published, package=entry.package)
    return chosen.spec(
        PREFIX + name,
        preprocess=as_preprocessing(preprocess, Preprocessing()),
        load=lambda: _load(entry, name, chosen, seed),
        skeleton=lambda: _skeleton(entry),
        packages=("timm",) if entry.package == "timm" else (),
    )


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


def _skeleton(entry: _Entry) -> Any:
    return build_skeleton(lambda: _build(entry, False).eval())


def _load(entry: _Entry, name: str, chosen: Weights, seed: int) -> Any:
    import_optional("torch", "to build networks")
    build = functools.partial(_build, entry, chosen.path is None)
    return chosen.network(build, name, seed, unwrap=entry.layout)
