"""Names of classes: in the order of the weights' own metadata, never another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from helpers.late import torchvision
from skdnn.models import Model
from skdnn.models import _class_names as classes_module
from skdnn.models._class_names import (
    ClassNames,
    final_activation,
    find_classes,
    imagenet_classes,
    imagenet_synsets,
    own_classes,
)
from skdnn.models._registry import resolve_model

# Index, name and synset, as the ILSVRC-2012 development kit's order of synsets has them.
KNOWN = {
    0: ("tench", "n01440764"),
    1: ("goldfish", "n01443537"),
    134: ("crane bird", "n02012849"),
    207: ("golden retriever", "n02099601"),
    281: ("tabby", "n02123045"),
    388: ("giant panda", "n02510455"),
    517: ("crane", "n03126707"),
    546: ("electric guitar", "n03272010"),
    817: ("sports car", "n04285008"),
    954: ("banana", "n07753592"),
    999: ("toilet tissue", "n15075141"),
}


def classes_of(model: Any, weights: Any = "default", n_outputs: int = 1000) -> ClassNames:
    return find_classes(resolve_model(model, weights=weights), n_outputs)


def write_index(path: Path, change: dict[str, Any] | None = None) -> Path:
    """Keras's file, with the right synsets and underscores instead of spaces."""
    pytest.importorskip("timm")
    names, synsets = imagenet_classes().names, imagenet_synsets()
    assert synsets is not None
    pairs = zip(synsets, names, strict=True)
    content = {str(i): [synset, name.replace(" ", "_")] for i, (synset, name) in enumerate(pairs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | (change or {})))
    return path


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Empty folders of weights, ours and Keras's."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "ours"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return SimpleNamespace(ours=tmp_path / "ours", keras=tmp_path / "keras" / "models")


@pytest.mark.parametrize("model", ["alexnet", "vgg16", "resnet50", "vit_b_16"])
def test_torchvisions_order(model: str) -> None:
    found = classes_of(model)
    weights = torchvision.models.get_model_weights(model).DEFAULT
    assert list(found.names) == weights.meta["categories"]
    assert weights.name in found.note
    for index, (name, _) in KNOWN.items():
        assert found.names[index] == name


def test_a_version_of_weights_has_its_own_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    own = [f"thing {i}" for i in range(1000)]
    monkeypatch.setitem(weights.meta, "categories", own)
    assert list(classes_of("resnet50", "IMAGENET1K_V1").names) == own
    assert classes_of("resnet50", "IMAGENET1K_V1").synsets is None  # other classes
    assert classes_of("resnet50", "IMAGENET1K_V2").names[0] == "tench"


def test_synsets_of_imagenet() -> None:
    pytest.importorskip("timm")
    synsets = classes_of("alexnet").synsets
    assert synsets is not None
    assert list(synsets) == sorted(synsets)  # ImageNet counts its classes in this order
    assert len(set(synsets)) == 1000
    for index, (_, synset) in KNOWN.items():
        assert synsets[index] == synset


def test_two_sources_agree_on_the_order() -> None:
    """Names of torchvision and WordNet's lemmas of timm's synsets, index by index.

    Both spell some classes in their own way; with a wrong order nearly none would agree.
    """
    data = pytest.importorskip("timm.data")
    lemmas = data.ImageNetInfo("imagenet-1k").label_descriptions()
    same = [
        name.lower() in lemma.lower()
        for name, lemma in zip(imagenet_classes().names, lemmas, strict=True)
    ]
    assert sum(same) > 950
    shifted = [*lemmas[1:], lemmas[0]]
    by_chance = [
        name.lower() in lemma.lower()
        for name, lemma in zip(imagenet_classes().names, shifted, strict=True)
    ]
    assert sum(by_chance) < 50


def test_random_weights_say_so() -> None:
    found = classes_of("squeezenet1_1", None)
    assert found.names == classes_of("squeezenet1_1").names
    assert found.note.startswith("Random weights")
    assert not classes_of("squeezenet1_1").note.startswith("Random")


def test_own_file_of_weights_says_so(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    found = classes_of("squeezenet1_1", str(path))
    assert found.names[0] == "tench"
    assert "trained on other classes" in found.note


def test_cornet_has_imagenets_classes() -> None:
    found = classes_of("cornet-s", None)
    assert found.names == imagenet_classes().names


@pytest.mark.parametrize(
    ("model", "n_outputs", "first", "synset"),
    [
        ("timm/resnet18", 1000, "tench, Tinca tinca", "n01440764"),
        ("timm/vit_base_patch16_224.augreg_in21k", 21843, "organism, being", "n00004475"),
    ],
)
def test_timm(model: str, n_outputs: int, first: str, synset: str) -> None:
    data = pytest.importorskip("timm.data")
    found = classes_of(model, n_outputs=n_outputs)
    assert len(found.names) == n_outputs
    assert found.names[0] == first
    assert found.synsets is not None
    assert found.synsets[0] == synset
    if n_outputs == 1000:
        assert list(found.names) == data.ImageNetInfo().label_descriptions()


@pytest.mark.parametrize(
    ("model", "needs", "message"),
    [
        ("simclr-rn50", "torchvision", "trained without labels"),
        ("dino-vit-small-p16", "timm", "trained without labels"),
        ("clip-ViT", "open_clip", "CLIPTextEncoder"),
        ("open_clip/ViT-S-32-alt", "open_clip", "CLIPTextEncoder"),
        ("timm/vit_small_patch14_dinov2", "timm", "ends in features"),
        ("timm/vit_base_patch16_clip_224.laion2b", "timm", "ends in features"),
    ],
)
def test_networks_without_classes_are_refused(model: str, needs: str, message: str) -> None:
    pytest.importorskip(needs)
    with pytest.raises(ValueError, match=message):
        classes_of(model, None, 512)


def test_without_metadata_classes_are_numbered() -> None:
    ecoset = classes_of("alexnet-ecoset", None, 565)
    assert ecoset.names[:2] == ("class 0", "class 1")
    assert len(ecoset.names) == 565
    own = classes_of(Model(nn.Linear(3, 1000), name="torchvision/alexnet"))
    assert own.names[0] == "class 0"  # a name is only a name
    assert own.synsets is None
    assert "one's own network" in own.note
    assert "classes=" in own.note


def test_metadata_that_do_not_fit_are_not_used() -> None:
    found = classes_of("alexnet", n_outputs=7)
    assert found.names == tuple(f"class {i}" for i in range(7))
    assert "names 1000 classes" in found.note


def test_own_names() -> None:
    assert own_classes(["a", "b"], 2, "net").names == ("a", "b")
    assert own_classes("imagenet", 1000, "net").names == imagenet_classes().names
    with pytest.raises(ValueError, match=r"3 names, and net has 2 outputs"):
        own_classes(["a", "b", "c"], 2, "net")
    with pytest.raises(ValueError, match=r"1000 names, and net has 2 outputs"):
        own_classes("imagenet", 2, "net")
    with pytest.raises(ValueError, match="'imagenet'"):
        own_classes("cat", 3, "net")
    with pytest.raises(TypeError, match="got 1 at place 1"):
        own_classes(["a", 1], 2, "net")


# Keras


@pytest.fixture
def keras_spec() -> Any:
    """Of a Keras network, without tensorflow: names only look at what it is called."""
    spec = resolve_model("alexnet", weights=None)
    return replace(spec, name="keras/ResNet50", backend="tensorflow", weights="imagenet")


@pytest.mark.parametrize("home", ["ours", "keras"])
def test_keras_names_from_its_file(homes: Any, keras_spec: Any, home: str) -> None:
    path = write_index(getattr(homes, home) / "imagenet_class_index.json")
    found = find_classes(keras_spec, 1000)
    assert found.names[546] == "electric_guitar"
    assert found.synsets == imagenet_synsets()
    assert str(path) in found.note


def test_keras_names_without_its_file(homes: Any, keras_spec: Any) -> None:
    found = find_classes(keras_spec, 1000)
    assert found.names == imagenet_classes().names
    assert str(homes.ours / "imagenet_class_index.json") in found.note
    assert "https://" in found.note


def test_synsets_without_timm(
    homes: Any, keras_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_index(homes.keras / "imagenet_class_index.json")
    monkeypatch.setattr(classes_module.importlib.util, "find_spec", lambda name: None)
    synsets = imagenet_synsets()
    assert synsets is not None
    assert synsets[207] == KNOWN[207][1]
    path.unlink()
    assert imagenet_synsets() is None
    assert find_classes(keras_spec, 1000).synsets is None


@pytest.mark.parametrize(
    "change",
    [{"0": ["n01443537", "goldfish"]}, {"1000": ["n0", "more"]}, {"5": ["n0"]}, {"7": None}],
)
def test_a_wrong_index_file_is_refused(homes: Any, keras_spec: Any, change: Any) -> None:
    path = write_index(homes.ours / "imagenet_class_index.json", change)
    with pytest.raises(ValueError, match="is not Keras's index") as caught:
        find_classes(keras_spec, 1000)
    assert str(path) in str(caught.value)
    path.write_text("{")
    with pytest.raises(ValueError, match="is not Keras's index"):
        find_classes(keras_spec, 1000)


def test_every_keras_network_ends_in_a_softmax() -> None:
    pytest.importorskip("tensorflow")
    for name in ("ResNet50", "MobileNetV2", "ConvNeXtTiny", "NASNetMobile"):
        spec = resolve_model(f"keras/{name}", weights=None)
        assert final_activation(spec, []) == "softmax"


def test_last_activation_of_own_keras_networks() -> None:
    pytest.importorskip("torchvision")  # before tensorflow
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    layers = keras.layers

    def last(network: Any) -> str:
        return final_activation(resolve_model(Model(network)), [])

    entry = keras.Input((8, 8, 3))
    flat = layers.Flatten()(entry)
    soft = layers.Dense(3, activation="softmax")
    assert last(keras.Model(entry, soft(flat))) == "softmax"
    assert last(keras.Model(entry, layers.Softmax()(layers.Dense(3)(flat)))) == "softmax"
    assert last(keras.Model(entry, layers.Activation("softmax")(flat))) == "softmax"
    assert last(keras.Model(entry, keras.ops.softmax(layers.Dense(3)(flat)))) == "softmax"
    assert last(keras.Model(entry, layers.Dense(3)(flat))) == "linear"
    assert last(keras.Model(entry, layers.Dense(3, activation="sigmoid")(flat))) == "sigmoid"
    assert last(keras.Sequential([entry, layers.Flatten(), layers.Dense(3, "softmax")])) == (
        "softmax"
    )
    inner = keras.Sequential([keras.Input((192,)), layers.Dense(3, "softmax")])
    assert last(keras.Model(entry, inner(flat))) == "softmax"
    # A softmax in the middle, or listed last but not the output's, does not count.
    weighted = layers.Multiply()([layers.Dense(192, activation="softmax")(flat), flat])
    assert last(keras.Model(entry, layers.Dense(3)(weighted))) == "linear"
