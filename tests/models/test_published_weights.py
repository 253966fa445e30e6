"""Networks published as checkpoints, from files in their layouts; checkpoints that are refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.nn import functional

from helpers.late import models
from skdnn import DNNFeatureExtractor
from skdnn._backends import describe_layers
from skdnn.models import Model, Preprocessing, _published_checkpoints
from skdnn.models._registry import resolve_model
from skdnn.models._torch_weights import load_state_dict
from skdnn.models._weights_folder import NetworkError

META = "https://dl.fbaipublicfiles.com"
VISSL = {  # folder, last phase
    "simclr-rn50": ("simclr_rn50_800ep_simclr_8node_resnet_16_07_20.7e8feed1", 799),
    "mocov2-rn50": ("moco_v2_1node_lr.03_step_b32_zero_init", 199),
    "jigsaw-rn50": ("jigsaw_rn50_in1k_ep105_perm2k_jigsaw_8gpu_resnet_17_07_20.db174a43", 104),
    "rotnet-rn50": ("rotnet_rn50_in1k_ep105_rotnet_8gpu_resnet_17_07_20.46bada9f", 125),
    "swav-rn50": ("swav_in1k_rn50_800ep_swav_8node_resnet_27_07_20.a0a6b676", 799),
    "pirl-rn50": ("pirl_jigsaw_4node_pirl_jigsaw_4node_resnet_22_07_20.34377f59", 799),
}
ADDRESSES = {
    "alexnet-ecoset": "https://osf.io/t6h3c/download",
    "resnet50-ecoset": "https://osf.io/gd9kn/download",
    "vgg16-ecoset": "https://osf.io/z5uf3/download",
    "vgg16-bn-ecoset": "https://osf.io/fe7s5/download",
    "inception-v3-ecoset": "https://osf.io/zn24d/download",
    "alexnet-salobjsub": "https://osf.io/download/sd3xj/",
    "barlowtwins-rn50": f"{META}/barlowtwins/ljng/resnet50.pth",
    "vicreg-rn50": f"{META}/vicreg/resnet50.pth",
    "dino-rn50": f"{META}/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth",
    "dino-vit-small-p16": f"{META}/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
    "dino-vit-small-p8": f"{META}/dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
    "dino-vit-base-p16": f"{META}/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    "dino-vit-base-p8": f"{META}/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
    "mae-vit-base-p16": f"{META}/mae/pretrain/mae_pretrain_vit_base.pth",
    "mae-vit-large-p16": f"{META}/mae/pretrain/mae_pretrain_vit_large.pth",
    "mae-vit-huge-p14": f"{META}/mae/pretrain/mae_pretrain_vit_huge.pth",
} | {
    name: f"{META}/vissl/model_zoo/{folder}/model_final_checkpoint_phase{phase}.torch"
    for name, (folder, phase) in VISSL.items()
}
ALIASES = {
    "Alexnet_ecoset": "alexnet-ecoset",
    "Resnet50_ecoset": "resnet50-ecoset",
    "VGG16_ecoset": "vgg16-ecoset",
    "VGG16bn_ecoset": "vgg16-bn-ecoset",
    "Inception_ecoset": "inception-v3-ecoset",
    "AlexNet_SalObjSub": "alexnet-salobjsub",
}
RESNETS = [name for name in ADDRESSES if name.endswith("-rn50")]
VITS = {  # width, depth, patches along a side, side of a patch
    "dino-vit-small-p16": (384, 12, 14, 16),
    "dino-vit-small-p8": (384, 12, 28, 8),
    "dino-vit-base-p16": (768, 12, 14, 16),
    "dino-vit-base-p8": (768, 12, 28, 8),
    "mae-vit-base-p16": (768, 12, 14, 16),
    "mae-vit-large-p16": (1024, 24, 14, 16),
    "mae-vit-huge-p14": (1280, 32, 16, 14),
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of weights that no other test sees, and no network to fill it from."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("skdnn.models._weights_folder.complete", no_network)
    monkeypatch.setattr("skdnn.models._weights_folder._PAUSES", (0.0,))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def no_network(*args: object, **kwargs: object) -> None:
    raise NetworkError("no network")


def spec(name: str, weights: Any = "default", seed: int = 0, preprocess: Any = "default"):
    return _published_checkpoints.spec(name, weights=weights, seed=seed, preprocess=preprocess)


def same_weights(network: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[k], state[k]) for k in found)


def headless_resnet50(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = models.resnet50(weights=None)
    network.fc = nn.Identity()
    return network.eval()


# The list


def test_names_and_addresses():
    assert set(_published_checkpoints.names()) == {*ADDRESSES, *ALIASES}
    assert {
        name: entry.url for name, entry in _published_checkpoints._ENTRIES.items()
    } == ADDRESSES
    assert _published_checkpoints._ALIASES == ALIASES


@pytest.mark.parametrize("name", ADDRESSES)
def test_error_without_a_network_says_what_to_put_where(name, home):
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        spec(name).load()
    message = str(caught.value)
    file = f"{name}.torch" if ADDRESSES[name].endswith(".torch") else f"{name}.pth"
    assert f"put it into this folder as {file};" in message
    assert ADDRESSES[name] in message
    assert str(home) in message
    assert "SHA-256  not published" in message


def test_aliases_are_the_same_network():
    for alias, name in ALIASES.items():
        assert spec(alias, None).key == spec(name, None).key
        assert spec(alias, None).name == f"published/{name}"


def test_words_that_are_nothing():
    with pytest.raises(ValueError, match=r"Did you mean .*'simclr-rn50'"):
        resolve_model("published/simclr-rn5")
    with pytest.raises(ValueError, match="Published: 'vicreg-rn50'"):
        spec("vicreg-rn50", "IMAGENET1K_V1")
    with pytest.raises(TypeError, match="weights must be"):
        spec("vicreg-rn50", 7)
    assert spec("vicreg-rn50", "vicreg-rn50").key == spec("vicreg-rn50").key


def test_preprocessing():
    assert {spec(name).preprocess for name in ADDRESSES} == {Preprocessing(256, 224)}
    own = spec("vicreg-rn50", preprocess={"resize": 64, "crop": None}).preprocess
    assert (own.resize, own.crop) == (64, None)


@pytest.mark.parametrize("name", [n for n in ADDRESSES if n not in VITS])
def test_layers_are_listed_without_weights(name):
    table = {info.name: info for info in describe_layers(spec(name), (3, 224, 224))}
    width = 2048 if name in RESNETS else 565
    assert table["output"].output_shape == (width,)


# torchvision's architectures


@pytest.mark.parametrize(
    "name", ["alexnet-ecoset", "resnet50-ecoset", "inception-v3-ecoset", "alexnet-salobjsub"]
)
def test_ecoset(name, home):
    architecture = name.rpartition("-")[0].replace("-", "_")
    options = {"init_weights": False} if "inception" in name else {}
    torch.manual_seed(1)
    made = models.get_model(architecture, weights=None, num_classes=565, **options).eval()
    torch.save(made.state_dict(), home / f"{name}.pth")
    loaded = spec(name).load()
    assert same_weights(loaded, made.state_dict())
    assert not loaded.training
    batch = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert_allclose(loaded(batch), made(batch), rtol=1e-4, atol=1e-5)


def as_vissl(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    trunk = {f"_feature_blocks.{key}": value for key, value in state.items()}
    heads = {"0.clf.weight": torch.zeros(3)}
    inner = {"model": {"trunk": trunk, "heads": heads}, "meters": {}}
    return {"phase_idx": 799, "loss": 0.5, "classy_state_dict": {"base_model": inner}}


def layouts(name: str, state: dict[str, torch.Tensor]) -> list[Any]:
    """Every layout in which such a file may come."""
    if name in ("barlowtwins-rn50", "vicreg-rn50", "dino-rn50"):
        return [state, {f"module.{k}": v for k, v in state.items()}]
    prefixed = {f"_feature_blocks.{k}": v for k, v in state.items()}
    return [as_vissl(state), {"model_state_dict": prefixed, "epoch": 1}, prefixed, state]


@pytest.mark.parametrize("name", ["simclr-rn50", "dino-rn50"])
def test_self_supervised_resnets(name, home):
    made = headless_resnet50(1)
    file = home / (f"{name}.torch" if name == "simclr-rn50" else f"{name}.pth")
    torch.save(layouts(name, made.state_dict())[0], file)
    loaded = spec(name).load()
    assert same_weights(loaded, made.state_dict())
    batch = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert_allclose(loaded(batch), made(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RESNETS)
def test_layouts(name, tmp_path):
    state = {"conv1.weight": torch.ones(2), "layer1.0.bn1.bias": torch.zeros(3)}
    for content in layouts(name, state):
        torch.save(content, tmp_path / "made.pth")
        found = load_state_dict(
            tmp_path / "made.pth", _published_checkpoints._ENTRIES[name].layout
        )
        assert list(found) == list(state)
        assert all(torch.equal(found[key], state[key]) for key in state)


def test_same_base_name_never_the_same_weights(home):
    """The addresses of three of them end alike, and those of two others."""
    names = ["simclr-rn50", "swav-rn50", "pirl-rn50", "vicreg-rn50", "barlowtwins-rn50"]
    assert len({ADDRESSES[name].rpartition("/")[2] for name in names}) == 2
    state = headless_resnet50(0).state_dict()
    digests = set()
    for place, name in enumerate(names):
        state["bn1.bias"] = torch.full((64,), float(place))
        vissl = name in names[:3]
        path = home / (f"{name}.torch" if vissl else f"{name}.pth")
        torch.save(as_vissl(state) if vissl else state, path)
        (home / ADDRESSES[name].rpartition("/")[2]).write_bytes(b"anyone's")
        digests.add(spec(name).fingerprint())
    assert len(digests) == 5
    for place in (0, 1, 4):
        assert spec(names[place]).load().bn1.bias.eq(place).all()


def test_another_file_is_another_fingerprint(home):
    """Where no hash is published, only the file says what is in it."""
    found, keys = set(), set()
    for n_classes in (2, 3):
        torch.save(nn.Linear(2, n_classes).state_dict(), home / "vicreg-rn50.pth")
        found.add(spec("vicreg-rn50").fingerprint())
        keys.add(spec("vicreg-rn50").key)
    assert len(found) == len(keys) == 2
    with pytest.raises(OSError, match="could not be downloaded"):
        spec("barlowtwins-rn50").fingerprint()


def test_classifier_on_top_is_left_out():
    state = {"conv1.weight": torch.ones(1), "fc.weight": torch.ones(2), "fc.bias": torch.ones(2)}
    wrapped = {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    assert list(_published_checkpoints._ENTRIES["vicreg-rn50"].layout(wrapped)) == ["conv1.weight"]


@pytest.mark.parametrize("name", ["alexnet-ecoset", "swav-rn50", "dino-vit-small-p16"])
def test_random_twin(name):
    first, same, other = (spec(name, None, seed).load() for seed in (1, 1, 2))
    assert same_weights(first, same.state_dict())
    assert not same_weights(first, other.state_dict())
    assert spec(name, None, 1).fingerprint() != spec(name, None, 2).fingerprint()
    assert spec(name, None, 1).weights == "random (seed 1)"


# Vision transformers


def vit_shapes(width: int, depth: int, side: int, patch: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes as DINO and MAE publish them."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, side * side + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(depth):
        for name, (rows, columns) in {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }.items():
            shapes[f"blocks.{block}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{block}.{name}.bias"] = (rows,)
        for norm in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{norm}.weight"] = (width,)
            shapes[f"blocks.{block}.{norm}.bias"] = (width,)
    return shapes


def vit_state(name: str, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(shape, generator=generator) * 0.05 + ("norm" in key and "weight" in key)
        for key, shape in vit_shapes(*VITS[name]).items()
    }


def vit_by_hand(w: dict[str, torch.Tensor], images: torch.Tensor, n_heads: int) -> torch.Tensor:
    """The class token behind the last normalisation."""
    width = w["cls_token"].shape[2]
    patch = w["patch_embed.proj.weight"].shape[2]

    def linear(x, key):
        return x @ w[f"{key}.weight"].T + w[f"{key}.bias"]

    def norm(x, key):
        return functional.layer_norm(x, (width,), w[f"{key}.weight"], w[f"{key}.bias"], 1e-6)

    x = functional.conv2d(
        images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + w["pos_embed"]
    for block in range(sum(key.endswith("norm1.bias") for key in w)):
        at = f"blocks.{block}"
        q, k, v = linear(norm(x, f"{at}.norm1"), f"{at}.attn.qkv").unflatten(
            2, (3, n_heads, width // n_heads)
        ).permute(2, 0, 3, 1, 4)  # fmt: skip
        weights = (q @ k.transpose(2, 3) / (width // n_heads) ** 0.5).softmax(3)
        x = x + linear((weights @ v).transpose(1, 2).flatten(2), f"{at}.attn.proj")
        hidden = functional.gelu(linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1"))
        x = x + linear(hidden, f"{at}.mlp.fc2")
    return norm(x, "norm")[:, 0]


@pytest.mark.parametrize("name", VITS)
def test_vit_keys_and_layers(name):
    pytest.importorskip("timm")
    skeleton = spec(name).skeleton()
    found = {key: tuple(value.shape) for key, value in skeleton.state_dict().items()}
    assert found == vit_shapes(*VITS[name])
    table = {info.name: info for info in describe_layers(spec(name), (3, 224, 224))}
    width, depth, side, _ = VITS[name]
    assert table["output"].output_shape == (width,)
    last = table[f"blocks.{depth - 1}"]
    assert last.output_shape == (side**2 + 1, width)
    assert last.has_class_token
    assert last.n_prefix_tokens == 1


@pytest.mark.parametrize(
    ("name", "n_heads"),
    [("dino-vit-small-p16", 6), ("dino-vit-small-p8", 6), ("mae-vit-base-p16", 12)],
)
def test_vits_compute_what_was_published(name, n_heads, home):
    pytest.importorskip("timm")
    state = vit_state(name, 5)
    content: Any = state
    if name.startswith("mae"):
        training = {"mask_token": torch.zeros(1, 1, 512), "decoder_embed.weight": torch.zeros(9)}
        content = {"model": state | training}
    torch.save(content, home / f"{name}.pth")
    network = spec(name).load()
    assert same_weights(network, state)
    batch = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = vit_by_hand(state, batch, n_heads)
        assert_allclose(network(batch), expected, rtol=1e-3, atol=1e-4)


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r'pip install "skdnn\[timm\]"'):
        spec("dino-vit-base-p8", None)
    assert spec("dino-rn50", None).load() is not None
    assert "dino-vit-base-p8" in _published_checkpoints.names()


# From the file to the features


def test_wrong_files_of_a_published_network(home):
    torch.save(models.resnet18(weights=None).state_dict(), home / "vicreg-rn50.pth")
    with pytest.raises(ValueError, match=r"does not fit vicreg-rn50: .*another architecture"):
        spec("vicreg-rn50").load()
    torch.save({"classy_state_dict": {"base_model": 3}}, home / "swav-rn50.torch")
    with pytest.raises(ValueError, match="holds no state dict"):
        spec("swav-rn50").load()


def test_own_weights_reach_the_features(tmp_path, example_paths):
    """The whole way, for a network that is not in the registry."""
    network = spec("alexnet-ecoset", None, 3).load()
    path = tmp_path / "own.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    loaded = spec("alexnet-ecoset", path)
    assert re.fullmatch(r"[0-9a-f]{64}", loaded.fingerprint())
    layers = ["features.3", "penultimate", "output"]
    both = [
        DNNFeatureExtractor(Model(net, loaded.preprocess)).extract(example_paths[:2], layers)
        for net in (network, loaded.load())
    ]
    for layer in layers:
        assert_allclose(both[0][layer], both[1][layer], rtol=1e-5)
    assert both[0]["output"].shape == (2, 565)
