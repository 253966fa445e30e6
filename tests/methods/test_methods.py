"""MethodsText: facts in, paragraph and references out; describe() gathers the facts."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import skdnn
from skdnn import DNNFeatureExtractor, MethodsText, list_models
from skdnn._methods._facts import find_family, find_training, references, table
from skdnn.io import load_features, save_features
from skdnn.models import Model
from skdnn.models._registry import resolve_model

FACTS: dict[str, Any] = {
    "model": "torchvision/resnet50",
    "weights": "IMAGENET1K_V2",
    "weights_from": "published",
    "weights_sha256_begins": "11ad3fa6",
    "layers": [
        {
            "name": "layer4",
            "type": "Sequential",
            "shape": [2048, 7, 7],
            "units": 100352,
            "pooling": "flatten",
        }
    ],
    "preprocess": {
        "resize": 232,
        "crop": 224,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
    "precision": "float32",
    "n_images": 92,
    "versions": {"skdnn": "0.1.0", "torch": "2.6.0", "numpy": "2.0.0"},
}
# Trained on what nobody has published a reference for that is known to us.
UNKNOWN_TRAINING = {"alexnet-salobjsub", "AlexNet_SalObjSub"}
SMALL = {"resize": 32, "crop": 32}


def parse_bibtex(text: str) -> dict[str, dict[str, str]]:
    """A strict reader: entries of ``name = {value}`` fields, braces balanced, keys unique."""
    entries: dict[str, dict[str, str]] = {}
    rest = text.strip()
    while rest:
        start = re.match(r"@(article|inproceedings|misc)\{([a-z]+\d{4}[a-z0-9]*),\s*", rest)
        assert start, rest[:80]
        key, rest = start[2], rest[start.end() :]
        assert key not in entries
        fields: dict[str, str] = {}
        while not rest.startswith("}"):
            name = re.match(r"([a-z]+) = (?=\{)", rest)
            assert name, rest[:80]
            assert name[1] not in fields
            end = closing(rest, name.end())
            fields[name[1]] = " ".join(rest[name.end() + 1 : end].split())
            rest = rest[end + 1 :].lstrip(",").lstrip()
        entries[key] = {**fields, "": start[1]}
        rest = rest[1:].lstrip()
    return entries


def closing(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise AssertionError(f"braces are not balanced in {text[start : start + 60]!r}")


def with_facts(**changes: Any) -> MethodsText:
    return MethodsText({**FACTS, **changes})


def check_references(text: MethodsText) -> None:
    """Text, keys and BibTeX cite the same works, and no two look alike in the text."""
    assert list(parse_bibtex(text.bibtex)) == text.citations
    labels = [references()[key][0] for key in text.citations]
    assert len(set(labels)) == len(labels)
    for cited in labels:
        assert cited in text.text
    assert "[@" not in text.text


# --- references ----------------------------------------------------------------------------------


def test_every_reference_has_what_it_needs():
    entries = parse_bibtex("\n\n".join(entry for _, entry in references().values()))
    assert list(entries) == list(references())
    venue = {"article": "journal", "inproceedings": "booktitle"}
    for key, fields in entries.items():
        assert fields.keys() >= {"author", "title", "year"}
        assert all(fields.values())
        assert re.search(r"\d{4}", key)[0] == fields["year"]
        kind = fields[""]
        assert venue[kind] in fields if kind in venue else {"howpublished", "doi"} & fields.keys()


def plain_letters(name: str) -> str:
    """TeX's accents and braces, and Unicode's accents, taken off."""
    name = re.sub(r"\\(\W|c(?={))", "", name).replace("{", "").replace("}", "").replace("\\", "")
    return unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode().lower()


def test_authors_and_years_are_those_of_the_entries():
    """The line above an entry is written by hand."""
    entries = parse_bibtex("\n\n".join(entry for _, entry in references().values()))
    for key, (label, _) in references().items():
        author, year = entries[key]["author"], entries[key]["year"]
        assert label.endswith(f", {year}"), key
        people = [name.partition(",")[0] for name in author.split(" and ")]
        first = plain_letters(label.split(",")[0].split(" et al.")[0].split(" and ")[0])
        assert plain_letters(people[0]) == first, key
        assert key.startswith(re.sub(r"\W", "", first.split()[0])), key
        if label.count(",") == 1:
            assert ("et al." in label) == (len(people) > 2 or people[-1] == "others"), key
            assert (" and " in label) == ((len(people) == 2 and people[-1] != "others") or
                                          author.startswith("{")), key  # fmt: skip


def test_the_parser_is_strict():
    entry = references()["he2016resnet"][1]
    for wrong in (entry[:-1], entry + entry, entry.replace("Deep", "{Deep"), "x" + entry):
        with pytest.raises(AssertionError):
            parse_bibtex(wrong)


def keys_in(value: Any) -> set[str]:
    """References in the table of facts, wherever they stand."""
    if isinstance(value, dict | list):
        return set().union(*map(keys_in, value.values() if isinstance(value, dict) else value))
    return set(re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z0-9]*\b", str(value)))


def test_every_reference_is_cited_by_something_and_there():
    assert keys_in(table()) == references().keys()


def test_files_are_shipped_with_the_package():
    import tomllib

    root = Path(skdnn.__file__).parent
    project = root.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("installed without its sources")
    patterns = tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]
    shipped = {path for pattern in patterns["skdnn"] for path in root.glob(pattern)}
    shipped |= {path for pattern in patterns["*"] for path in root.rglob(pattern)}
    held = {path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in held if path.suffix != ".py"} == shipped


def test_names_of_authors():
    labels = {key: label for key, (label, _) in references().items()}
    assert labels["krizhevsky2014weird"] == "Krizhevsky, 2014"
    assert labels["simonyan2015vgg"] == "Simonyan and Zisserman, 2015"
    assert labels["he2016resnet"] == "He et al., 2016"
    assert labels["torchvision2016"] == "TorchVision maintainers and contributors, 2016"


# --- networks ------------------------------------------------------------------------------------


def resolve_name(source: str, name: str) -> str:
    """The name as extraction knows it."""
    if source == "published":
        return resolve_model(name, weights=None).name
    return name if source == "clip" else f"{source}/{name}"


@pytest.mark.parametrize("source", ["torchvision", "keras", "cornet", "clip", "published"])
def test_every_listed_network_has_references(source):
    names = list_models(source)
    if not names:
        pytest.skip(f"the package of {source} is not installed")
    for name in names:
        full = resolve_name(source, name)
        assert find_family(full) is not None, full
        text = with_facts(model=full, weights="random (seed 0)", weights_from="random", seed=0)
        check_references(text)
        assert "must be added" not in text.text


def test_every_published_training_has_references():
    for name in list_models("published"):
        full = resolve_name("published", name)
        text = with_facts(model=full, weights=full.partition("/")[2])
        check_references(text)
        assert ("reference for the weights" in text.text) == (name in UNKNOWN_TRAINING)


def test_weights_of_torchvision_have_references():
    import torchvision

    for name in list_models("torchvision"):
        for weights in torchvision.models.get_model_weights(name):
            text = with_facts(model=f"torchvision/{name}", weights=weights.name)
            check_references(text)
            assert "must be added" not in text.text, (name, weights)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("torchvision/resnet18", "ResNet"),
        ("torchvision/resnext50_32x4d", "ResNeXt"),
        ("torchvision/wide_resnet50_2", "Wide ResNet"),
        ("torchvision/vgg16", "VGG"),
        ("torchvision/vgg16_bn", "VGG with batch normalisation"),
        ("torchvision/mobilenet_v2", "MobileNetV2"),
        ("torchvision/swin_v2_t", "Swin Transformer V2"),
        ("keras/MobileNet", "MobileNet"),
        ("keras/ResNet50V2", "ResNet v2"),
        ("keras/EfficientNetV2B0", "EfficientNetV2"),
        ("timm/resnet50.a1_in1k", "ResNet"),
        ("timm/vit_base_patch16_224.augreg_in21k", "Vision Transformer"),
        ("open_clip/ViT-B-32-quickgelu", "CLIP"),
        ("open_clip/ViT-B-16-SigLIP", "SigLIP"),
    ],
)
def test_families(model, family):
    assert find_family(model)[0] == family


@pytest.mark.parametrize(
    "model",
    ["timm/resnet50d", "timm/eva02_base_patch14_224", "open_clip/EVA02-B-16", "resnet50",
     "open_clip/ViT-B-16-SigLIP2", "torchvision/resnet50_of_tomorrow", "cornet-s", ""],
)  # fmt: skip
def test_no_reference_is_made_up(model):
    assert find_family(model) is None
    text = with_facts(model=model)
    assert f"A reference for the network {model} must be added" in text.text
    check_references(text)


@pytest.mark.parametrize(
    ("model", "weights", "key"),
    [
        ("torchvision/vit_b_16", "IMAGENET1K_SWAG_E2E_V1", "singh2022swag"),
        ("torchvision/fcn_resnet50", "COCO_WITH_VOC_LABELS_V1", "lin2014coco"),
        ("keras/VGG16", "imagenet", "russakovsky2015imagenet"),
        ("cornet/cornet-s", "cornet_s-1d3f7974", "deng2009imagenet"),
        ("published/alexnet-ecoset", "alexnet-ecoset", "mehrer2021ecoset"),
        ("published/dino-vit-small-p8", "dino-vit-small-p8", "caron2021dino"),
        ("clip-RN", "openai", "radford2021clip"),
        ("open_clip/ViT-B-32", "laion2b_s34b_b79k", "schuhmann2022laion5b"),
        ("timm/resnet18.a1_in1k", "a1_in1k", "russakovsky2015imagenet"),
    ],
)
def test_training(model, weights, key):
    assert key in [k for _, keys in find_training(model, weights).steps for k in keys]
    assert "deng2009imagenet" not in with_facts(model=model, weights_from="random").citations


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("timm/resnet18.fb_swsl", "fb_swsl"),
        ("open_clip/PE-Core-B-16", "meta"),
        ("timm/resnet18", "default"),
        ("torchvision/resnet18", "IMAGENET21K_V1"),
        ("keras/VGG16", "imagenet21k"),
        ("hf/somebody/else", "main"),
        ("timm/x.in1kx", "in1kx"),
    ],
)
def test_unknown_training_is_told(model, weights):
    assert find_training(model, weights) == ([], [])
    text = with_facts(model=model, weights=weights)
    assert f"A reference for the weights {weights} must be added" in text.text


# --- the paragraph -------------------------------------------------------------------------------


def test_the_paragraph():
    text = with_facts()
    assert text.text == (
        "Features of 92 images were taken from the ResNet network torchvision/resnet50 "
        "(He et al., 2016). It had the published weights IMAGENET1K_V2, trained on ImageNet-1k "
        "(Deng et al., 2009; Russakovsky et al., 2015). The SHA-256 of the checkpoint begins with "
        "11ad3fa6, as published. Activations were read out at the layer layer4 (Sequential; "
        "2048 \N{MULTIPLICATION SIGN} 7 \N{MULTIPLICATION SIGN} 7 = 100,352 units). Images were "
        "decoded as RGB, resized to 232 pixels along the shorter side (bilinear interpolation), "
        "cropped at the centre to 224 \N{MULTIPLICATION SIGN} 224 pixels, scaled to values from 0 "
        "to 1 and normalised per colour channel (means 0.485, 0.456, 0.406; standard deviations "
        "0.229, 0.224, 0.225). The network computed in float32 precision. Extraction used skdnn "
        "0.1.0 with PyTorch 2.6.0 (Paszke et al., 2019) and NumPy 2.0.0 (Harris et al., 2020)."
    )
    check_references(text)
    assert str(text) == f"{text.text}\n\n{text.bibtex}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights_sha256": "a" * 64}, f"SHA-256 of the checkpoint is {'a' * 64}."),
        ({"weights_sha256_begins": None}, "SHA-256 of the checkpoint is not known"),
        ({"weights": "random (seed 7)", "weights_from": "random", "seed": 7}, "(seed 7)"),
        ({"weights": "random (seed not fixed)", "weights_from": "random"}, "no fixed seed"),
        ({"weights": "/home/me/a b.pth", "weights_from": "file"}, "from the file a b.pth."),
        ({"weights": r"C:\me\w.pth", "weights_from": "file"}, "from the file w.pth."),
        ({"weights": "https://x.org/y/w.pth#sha256=12", "weights_from": "address"},
         "from the file w.pth."),
        ({"weights": "as given", "weights_from": "own"}, "custom network (torchvision/resnet50)"),
        ({"preprocess": "a callable"}, "prepared by a custom function"),
        ({"preprocess": {"resize": [20, 30], "crop": None, "module": "vgg16"}},
         "resized to 20 \N{MULTIPLICATION SIGN} 30 pixels and prepared by preprocess_input"),
        ({"preprocess": {"resize": [8, 9], "crop": [8, 9], "mode": "border"}}, "padded with"),
        ({"n_conditions": 12}, "averaged over the images of each of 12 conditions"),
        ({"n_images": 26107}, "Features of 26,107 images"),
        ({"n_images": 1}, "Features of 1 image were"),
        ({"n_images": None}, "Features of images were"),
        ({"network": "b" * 64}, f"begins with {'b' * 16}."),
        ({"versions": {}}, "skdnn (version unknown)."),
    ],
)  # fmt: skip
def test_what_is_told(changes, told):
    text = with_facts(**changes)
    assert told in text.text
    check_references(text)


def test_own_networks_get_no_reference_by_their_name():
    text = with_facts(weights="as given", weights_from="own")
    assert "he2016resnet" not in text.citations
    assert "must be added" in text.text


def test_several_layers():
    layers = [{"name": n, "units": 10, "pooling": p} for n, p in (("a", "mean"), ("b", "flatten"))]
    text = with_facts(layers=layers).text
    assert "at the layers a (10 units) and b (10 units). Those of a were averaged over" in text
    many = [{"name": f"block{i}", "pooling": "max"} for i in range(20)]
    text = with_facts(layers=many).text
    assert "Activations of 20 layers" in text
    assert all(f"block{i}" in text for i in range(20))
    assert "They were reduced to their maximum" in text
    recurrent = {"name": "V4.output@1", "module": "V4.output", "call": 2, "n_calls": 4}
    assert "V4.output@1 (call 2 of 4)" in with_facts(layers=[recurrent]).text


def test_it_cannot_be_changed_and_travels():
    text = with_facts()
    for name in ("text", "facts", "_text", "new"):
        with pytest.raises(AttributeError):
            setattr(text, name, "x")
    text.facts["model"] = "other"
    text.citations.clear()
    assert text.facts["model"] == FACTS["model"]
    for twin in (copy.deepcopy(text), pickle.loads(pickle.dumps(text)), MethodsText(text.facts)):
        assert twin == text
        assert hash(twin) == hash(text)
        assert str(twin) == str(text)
    assert with_facts(n_images=3) != text
    assert repr(text) == (
        "MethodsText(torchvision/resnet50, IMAGENET1K_V2, layers: layer4; 5 references)"
    )


def test_json():
    held = json.loads(with_facts().to_json())
    assert held.keys() == {"text", "citations", "bibtex", "facts"}
    assert MethodsText(held["facts"]).text == held["text"]


def test_html_is_escaped():
    layer = {"name": "<script>alert(1)</script>&"}
    shown = with_facts(layers=[layer])._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in shown
    assert "@inproceedings{deng2009imagenet," in shown


@given(st.dictionaries(st.text(max_size=5), st.text(), max_size=3), st.text(), st.integers(0))
def test_any_text_in_the_facts(more, name, n_images):
    facts = {**more, **FACTS, "model": name, "n_images": n_images}
    text = MethodsText(facts)
    assert text.facts == facts
    assert name in text.text
    assert list(parse_bibtex(text.bibtex)) == text.citations


def test_too_little_or_wrong():
    with pytest.raises(ValueError, match=r"lack \['weights', 'versions'\]"):
        MethodsText({key: FACTS[key] for key in ("model", "layers", "preprocess")})
    with pytest.raises(ValueError, match="is empty"):
        with_facts(layers=[])
    with pytest.raises(TypeError, match="must be a mapping"):
        MethodsText("alexnet")
    with pytest.raises(TypeError, match="JSON"):
        with_facts(extra=object())
    with pytest.raises(ValueError, match=r"provenance lacks \['weights'.*describe\(X\)\.facts"):
        MethodsText.from_provenance({"model": "alexnet", "layer": "features.10"})
    with pytest.raises(ValueError, match="provenance lacks"):
        MethodsText.from_provenance(None)
    with pytest.raises(TypeError, match="must be the dict"):
        MethodsText.from_provenance(3)


# --- describe ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch, tmp_path):
    """An empty folder of weights, and no way to the network."""

    def refuse(*args, **kwargs):
        raise AssertionError("describe() must not download")

    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("skdnn.models._weights_folder.complete", refuse)


def no_date(text: MethodsText) -> dict[str, Any]:
    return {key: value for key, value in text.facts.items() if key != "date"}


def test_describe_random_weights(example_paths):
    extractor = DNNFeatureExtractor(
        "alexnet", ["features.3", "penultimate"], weights=None, random_state=3, pooling="mean"
    )
    text = extractor.describe(example_paths)
    facts = text.facts
    assert (facts["model"], facts["weights"]) == ("torchvision/alexnet", "random (seed 3)")
    assert (facts["seed"], facts["weights_sha256"]) == (3, None)
    first, last = facts["layers"]
    assert (first["name"], first["type"], first["output_shape"]) == (
        "features.3", "Conv2d", [192, 27, 27],
    )  # fmt: skip
    assert (first["shape"], first["units"], first["pooling"]) == ([192], 192, "mean")
    assert (last["module"], last["units"]) == ("classifier.6", 4096)
    assert facts["preprocess"]["crop"] == 224
    sums = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in example_paths]
    assert facts["images_digest"] == hashlib.sha256("".join(sums).encode()).hexdigest()
    assert facts["n_images"] == 3
    assert facts["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "averaged over space" in text.text
    check_references(text)
    assert no_date(extractor.describe(example_paths)) == no_date(text)
    assert extractor.describe(example_paths).text == text.text


def test_describe_says_what_transform_gives(example_paths):
    """Fitted: the layers and the seed that were fixed then."""
    extractor = DNNFeatureExtractor(
        "alexnet", "features.*", weights=None, random_state=np.random.RandomState(0)
    )
    loose = extractor.describe().facts
    assert (loose["weights"], loose["seed"]) == ("random (seed not fixed)", None)
    assert loose["network"] is None
    state = extractor.random_state.get_state()[2]
    assert state == np.random.RandomState(0).get_state()[2]  # nothing was drawn
    extractor.fit(example_paths)
    facts = extractor.describe().facts
    assert facts["seed"] == extractor._network.seed
    assert facts["network"] == extractor._network.spec.fingerprint()
    assert [layer["name"] for layer in facts["layers"]] == extractor.layers_
    one = DNNFeatureExtractor("alexnet", weights=None).describe(layers="features.0").facts
    assert [layer["name"] for layer in one["layers"]] == ["features.0"]


@pytest.mark.parametrize(
    ("model", "begins"),
    [("alexnet", "7be5be79"), ("cornet-z", "5c427c9c"), ("simclr-rn50", None)],
)
def test_describe_weights_that_are_not_there(model, begins):
    text = DNNFeatureExtractor(model, "output").describe()
    assert text.facts["weights_sha256"] is None
    assert text.facts["weights_sha256_begins"] == begins
    told = f"begins with {begins}" if begins else "is not known"
    assert f"SHA-256 of the checkpoint {told}" in text.text
    assert (text.facts["network"] is None) == (begins is None)


def test_describe_a_checkpoint_that_is_there(tmp_path, monkeypatch):
    """Only the right content counts under a published name."""
    folder = tmp_path / "weights"
    folder.mkdir()
    content = b"weights of simclr"
    (folder / "simclr-rn50.torch").write_bytes(content)
    facts = DNNFeatureExtractor("simclr-rn50", "output").describe().facts
    assert facts["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert len(facts["network"]) == 64
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(b"not these")
    facts = DNNFeatureExtractor("alexnet").describe().facts
    assert (facts["weights_sha256"], facts["weights_sha256_begins"]) == (None, "7be5be79")
    digest = "7be5be79" + "0" * 56
    monkeypatch.setattr("skdnn.models._weights_folder.file_digest", lambda path: digest)
    facts = DNNFeatureExtractor("alexnet").describe().facts
    assert (facts["weights_sha256"], facts["weights_sha256_begins"]) == (digest, None)
    assert facts["weights_address"].endswith("/alexnet-owt-7be5be79.pth")


def test_describe_ones_own_file(tmp_path):
    import torchvision

    path = tmp_path / "mine.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    text = DNNFeatureExtractor("squeezenet1_1", "features.0", weights=path).describe()
    assert text.facts["weights_from"] == "file"
    assert text.facts["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "file mine.pth. The SHA-256 of this file is" in text.text
    assert str(tmp_path) not in text.text
    assert "iandola2016squeezenet" in text.citations
    assert "deng2009imagenet" not in text.citations


def test_describe_ones_own_network(example_paths):
    def net(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    def facts(seed: int = 0, **more: Any) -> dict[str, Any]:
        model = Model(net(seed), SMALL, name="tiny")
        return DNNFeatureExtractor(model, "0", **more).describe(example_paths).facts

    text = DNNFeatureExtractor(Model(net(0), SMALL, name="tiny"), "0").describe(example_paths)
    assert "custom network (tiny)" in text.text
    assert text.facts["weights_sha256"] == facts()["weights_sha256"] != facts(1)["weights_sha256"]
    loose = facts(preprocess=lambda image: torch.zeros(3, 8, 9))
    assert loose["preprocess"] == "a callable"
    assert loose["layers"][0]["shape"] == [4, 6, 7]
    assert loose["weights_sha256"] == text.facts["weights_sha256"]


def test_describe_without_images_claims_no_size():
    whole = {"resize": 40, "crop": None}
    model = Model(nn.Sequential(nn.Conv2d(3, 4, 3)), whole)
    layer = DNNFeatureExtractor(model, "0").describe().facts["layers"][0]
    assert (layer["shape"], layer["units"]) == (None, None)
    image = np.zeros((50, 80, 3), dtype=np.uint8)
    layer = DNNFeatureExtractor(model, "0").describe([image]).facts["layers"][0]
    assert layer["shape"] == [4, 38, 62]


def test_describe_conditions(example_paths):
    X = [example_paths[:2], example_paths[2]]
    facts = DNNFeatureExtractor("alexnet", weights=None).describe(X).facts
    assert (facts["n_images"], facts["n_conditions"]) == (3, 2)


def test_describe_refuses_early(example_paths, tmp_path):
    extractor = DNNFeatureExtractor("alexnet", "features.99", weights=None)
    with pytest.raises(ValueError, match=r"features\.99"):
        extractor.describe()
    with pytest.raises(ValueError, match="missing"):
        extractor.set_params(layer="features.0").describe([str(tmp_path / "missing.png")])


def test_describe_makes_no_folder(tmp_path, example_paths):
    folder = tmp_path / "cache"
    DNNFeatureExtractor("alexnet", weights=None, cache=folder).describe(example_paths)
    assert not folder.exists()


NEEDS_TENSORFLOW = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,  # not imported: skdnn has an order of its own
    reason="tensorflow is not installed",
)


@NEEDS_TENSORFLOW
def test_describe_keras():
    text = DNNFeatureExtractor("VGG16", "block1_pool", weights=None, random_state=5).describe()
    facts = text.facts
    assert facts["backend"] == "tensorflow"
    assert facts["layers"][0]["shape"] == [112, 112, 64]
    assert facts["preprocess"] == {
        "kind": "KerasPreprocessing", "resize": [224, 224], "crop": None,
        "interpolation": "bilinear", "module": "vgg16",
    }  # fmt: skip
    assert {"tensorflow", "keras"} <= facts["versions"].keys()
    assert {"simonyan2015vgg", "abadi2016tensorflow", "chollet2015keras"} <= set(text.citations)
    check_references(text)


@NEEDS_TENSORFLOW
def test_describe_published_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    facts = DNNFeatureExtractor("VGG16", "block1_pool").describe().facts
    file = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    assert facts["weights_address"].endswith(file)
    assert facts["weights_sha256"] is None
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / file).write_bytes(b"x")
    facts = DNNFeatureExtractor("VGG16", "block1_pool").describe().facts
    assert facts["weights_sha256"] == hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "format", ["npy", "npz", "hdf5", "mat-v5", "mat-v7.3", "txt", "csv", "parquet"]
)
def test_facts_travel_with_features(format, example_paths, tmp_path):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    extractor = DNNFeatureExtractor("alexnet", "features.0", weights=None, pooling="mean")
    text = extractor.describe(example_paths)
    features = extractor.fit_transform(example_paths)
    paths = save_features(
        features, tmp_path / "features", format, labels=example_paths, provenance=text.facts
    )
    provenance = load_features(paths[0]).provenance
    assert provenance == text.facts
    again = MethodsText.from_provenance(provenance)
    assert again == text
    assert str(again) == str(text)
