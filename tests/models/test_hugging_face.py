"""Networks of Hugging Face, from folders on this machine."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn

from helpers.late import Late, needs
from skdnn import (
    ActivationStore,
    DNNClassifier,
    DNNFeatureExtractor,
    LayerSearchCV,
    list_layers,
    list_models,
)
from skdnn.models import Model
from skdnn.models._registry import resolve_model

pytestmark = needs("transformers")
made = Late("helpers.hugging_face")
hf = Late("transformers")

KINDS = ["vit", "dinov2", "dinov3", "siglip", "convnextv2", "ijepa", "clip", "vit_mae", "beit"]


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    shapes = [(50, 70), (64, 48), (90, 91)]
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hf")
    return {
        kind: made.save(network(), processor(), root / kind)
        for kind, (network, processor, *_) in made.KINDS.items()
    }


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for over the network fails."""
    import socket

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)


def own_pass(folder: Path, images: list[Image.Image]) -> dict[str, torch.Tensor]:
    """What transformers gives, the shuffled patches of an autoencoder put back."""
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    pixels = torch.cat([processor(images=i, return_tensors="pt")["pixel_values"] for i in images])
    model_type = json.loads((folder / "config.json").read_text())["model_type"]
    kinds = {"siglip": hf.SiglipVisionModel, "clip": hf.CLIPVisionModelWithProjection}
    options = {"mask_ratio": 0.0} if model_type == "vit_mae" else {}
    auto = kinds.get(model_type, hf.AutoModel)
    network = auto.from_pretrained(folder, **options).eval()
    with torch.no_grad():
        found = network(pixel_values=pixels, output_hidden_states=True)
    held = {str(n): state for n, state in enumerate(found.hidden_states)}
    last = found.last_hidden_state
    if model_type == "vit_mae":
        place = found.ids_restore[..., None]
        for name, state in [*held.items(), ("last", last)]:
            order = place.expand(-1, -1, state.shape[-1])
            held[name] = torch.cat([state[:, :1], state[:, 1:].gather(1, order)], 1)
        last = held.pop("last")
    return {**held, "last": found.image_embeds if model_type == "clip" else last}


def blocks(folder: Path) -> list[str]:
    """Names of the blocks, wherever this version of transformers puts them."""
    names = list(list_layers(f"hf/{folder}")["layer"])
    numbered = [name for name in names if name.rpartition(".")[2].isdigit()]
    depth = min(name.count(".") for name in numbered)
    found = [name for name in numbered if name.count(".") == depth]
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_transformers(kind, folders, images):
    folder = folders[kind]
    expected = own_pass(folder, images)
    layers = blocks(folder)
    extractor = DNNFeatureExtractor(f"hf/{folder}", layer=[*layers, "output"])
    found = extractor.extract(images)
    assert_allclose(found["output"], expected["last"], rtol=1e-4, atol=2e-6)
    for place, layer in enumerate(layers):
        assert_allclose(found[layer], expected[str(place + 1)], rtol=1e-4, atol=1e-5)


def test_the_pixels_are_the_processors_own(folders, images):
    for kind in KINDS:
        processor = hf.AutoImageProcessor.from_pretrained(folders[kind])
        prepare = resolve_model(f"hf/{folders[kind]}").preprocess
        for image in images:
            expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
            assert torch.equal(prepare(image), expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "convnextv2"])
def test_tokens_are_known(kind, folders, images):
    *_, n_prefix, has_class = made.KINDS[kind]
    layer = blocks(folders[kind])[1]
    name = f"hf/{folders[kind]}"
    whole = DNNFeatureExtractor(name, layer).extract(images)[layer]
    mean = DNNFeatureExtractor(name, layer, pooling="mean").fit_transform(images)
    assert_allclose(mean, whole[:, n_prefix:].mean(1), rtol=1e-4, atol=1e-6)
    if has_class:
        first = DNNFeatureExtractor(name, layer, pooling="cls").fit_transform(images)
        assert_array_equal(first, whole[:, 0])
    else:
        with pytest.raises(ValueError, match="needs a class token"):
            DNNFeatureExtractor(name, layer, pooling="cls").fit(images)


def test_random_twin(folders, images):
    name, layer = f"hf/{folders['dinov2']}", blocks(folders["dinov2"])[-1]

    def features(**options: Any) -> np.ndarray:
        return DNNFeatureExtractor(name, layer, weights=None, **options).fit_transform(images)

    trained = DNNFeatureExtractor(name, layer).fit_transform(images)
    assert_array_equal(features(random_state=3), features(random_state=3))
    assert not np.allclose(features(random_state=3), features(random_state=4))
    assert features().shape == trained.shape
    assert not np.allclose(features(), trained)


def test_half_precision_is_run_in_single(folders, images, tmp_path):
    network = hf.AutoModel.from_pretrained(folders["vit"]).to(torch.float16)
    folder = tmp_path / "half"
    network.save_pretrained(folder)
    hf.AutoImageProcessor.from_pretrained(folders["vit"]).save_pretrained(folder)
    loaded = resolve_model(f"hf/{folder}").load()
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_no_random_pooler(tmp_path, images):
    """`AutoModel` makes up a pooler for a classifier's weights, another one each time."""
    processor = made.KINDS["vit"][1]()
    folder = made.save(made.classifier(), processor, tmp_path / "classes")
    names = list(list_layers(f"hf/{folder}")["layer"])
    assert not any("pooler" in name for name in names)
    assert any("pooler" in name for name in list_layers(f"hf/{folder}")["type"]) is False
    state = resolve_model(f"hf/{folder}").load().state_dict()
    again = resolve_model(f"hf/{folder}").load().state_dict()
    assert all(torch.equal(state[key], again[key]) for key in state)


def test_missing_weights_are_refused(folders, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path / "less"
    hf.AutoModel.from_pretrained(folders["vit"]).save_pretrained(folder)
    hf.AutoImageProcessor.from_pretrained(folders["vit"]).save_pretrained(folder)
    state = safetensors.load_file(folder / "model.safetensors")
    lost = next(key for key in state if key.endswith("query.weight"))
    del state[lost]
    safetensors.save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 of the network's .* would be random"):
        resolve_model(f"hf/{folder}").load()


def test_weights_in_parts(folders, images, tmp_path):
    network = hf.AutoModel.from_pretrained(folders["vit"])
    folder = tmp_path / "parts"
    network.save_pretrained(folder, max_shard_size="20KB")
    hf.AutoImageProcessor.from_pretrained(folders["vit"]).save_pretrained(folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    one, many = (resolve_model(f"hf/{f}") for f in (folders["vit"], folder))
    assert all(map(torch.equal, one.load().parameters(), many.load().parameters()))
    before = many.fingerprint()
    (part := next(folder.glob("model-*.safetensors"))).write_bytes(part.read_bytes() + b" ")
    assert resolve_model(f"hf/{folder}").fingerprint() != before


# --- what stored activations are found by --------------------------------------------------------


def test_a_cache_asks_for_the_files_not_for_their_names(folders, images, tmp_path):
    """New weights under one name are a miss, the same ones elsewhere a hit."""
    network, processor, *_ = made.KINDS["vit"]
    folder = made.save(network(), processor(), tmp_path / "one", seed=1)
    layer = blocks(folder)[0]

    def extract(folder: Path) -> tuple[np.ndarray, int]:
        store = ActivationStore(tmp_path / "cache")
        found = DNNFeatureExtractor(f"hf/{folder}", layer, cache=store).fit_transform(images)
        return found, store.stats["images_forwarded"]

    first, forwarded = extract(folder)
    assert forwarded == 3
    again, forwarded = extract(folder)
    assert forwarded == 0
    assert_array_equal(again, first)
    made.save(network(), processor(), folder, seed=2)
    second, _ = extract(folder)
    assert not np.allclose(first, second)
    assert_array_equal(second, DNNFeatureExtractor(f"hf/{folder}", layer).fit_transform(images))


def test_keys(folders, tmp_path):
    network, processor, *_ = made.KINDS["vit"]
    a, b, c = (made.save(network(), processor(), tmp_path / n, seed=s) for n, s in
               (("a", 1), ("b", 1), ("c", 2)))  # fmt: skip
    for folder in (a, b):  # whatever initialisation drew
        (folder / "model.safetensors").write_bytes((a / "model.safetensors").read_bytes())
    key = {folder: resolve_model(f"hf/{folder}").fingerprint() for folder in (a, b, c)}
    assert key[a] == key[b] != key[c]
    settings = json.loads((b / "config.json").read_text())
    (b / "config.json").write_text(json.dumps({**settings, "layer_norm_eps": 0.1}))
    assert resolve_model(f"hf/{b}").fingerprint() != key[a]
    assert resolve_model(f"hf/{a}", weights=None).fingerprint() != key[a]


def test_pixels_count_in_the_key(folders, tmp_path):
    from skdnn.models._preprocessing import preprocess_identity

    prepare = resolve_model(f"hf/{folders['vit']}").preprocess
    other = hf.AutoImageProcessor.from_pretrained(folders["vit"], image_mean=[0.1, 0.2, 0.3])
    own = resolve_model(f"hf/{folders['vit']}", preprocess=other).preprocess
    assert preprocess_identity(prepare, None) != preprocess_identity(own, None)
    again = pickle.loads(pickle.dumps(prepare))
    assert preprocess_identity(prepare, None) == preprocess_identity(again, None)


# --- names and errors ----------------------------------------------------------------------------


def test_a_folder_without_the_prefix(folders):
    assert resolve_model(str(folders["vit"])).name == f"hf/{folders['vit']}"
    assert list_models("hf") == []


def test_what_is_not_here_is_said(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"huggingface\.co/nobody/nothing .*hf download nobody/noth"):
        resolve_model("hf/nobody/nothing")
    with pytest.raises(OSError, match=r"no config\.json in the folder .*save_pretrained"):
        resolve_model(f"hf/{tmp_path}")


def test_the_hubs_cache_is_used_without_asking(folders, images, tmp_path, monkeypatch):
    import shutil

    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    revision = "0123456789" * 4
    home = tmp_path / "models--someone--small"
    shutil.copytree(folders["vit"], home / "snapshots" / revision)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(revision)
    spec, folder = (resolve_model(n) for n in ("hf/someone/small", f"hf/{folders['vit']}"))
    assert spec.fingerprint() == folder.fingerprint()
    assert (spec.weights, spec.origin) == (revision[:12], "published")
    assert spec.checkpoint().address == "https://huggingface.co/someone/small"
    assert all(map(torch.equal, spec.load().parameters(), folder.load().parameters()))


def test_no_processor(folders, tmp_path, images):
    folder = tmp_path / "bare"
    hf.AutoModel.from_pretrained(folders["vit"]).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"has no preprocessor_config\.json"):
        resolve_model(f"hf/{folder}")
    own = {"resize": (32, 32), "crop": None}
    layer = blocks(folders["vit"])[0]
    found = DNNFeatureExtractor(f"hf/{folder}", layer, preprocess=own).fit_transform(images)
    assert found.shape == (3, 17 * 32)


def test_other_weights(folders, tmp_path):
    path = tmp_path / "own.pth"
    state = {
        k: v + 1 for k, v in resolve_model(f"hf/{folders['vit']}").load().state_dict().items()
    }
    torch.save({"model": state}, path)
    loaded = resolve_model(f"hf/{folders['vit']}", weights=path).load().state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    with pytest.raises(ValueError, match=r"weights='best' .*nor a file"):
        resolve_model(f"hf/{folders['vit']}", weights="best")


def test_facts_and_classes(folders):
    name = f"hf/{folders['dinov2']}"
    text = str(DNNFeatureExtractor(name, blocks(folders["dinov2"])[0]).describe())
    assert "dinov2" in text
    assert "ImageNet" not in text
    with pytest.raises(ValueError, match="Its layers are for DNNFeatureExtractor"):
        DNNClassifier(f"hf/{folders['ijepa']}").fit()


def test_networks_for_words(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = hf.BertConfig(**sizes, intermediate_size=8, vocab_size=9)
    hf.BertModel(config).save_pretrained(tmp_path)
    made.KINDS["vit"][1]().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="takes 'input_ids', not images"):
        resolve_model(f"hf/{tmp_path}").load()


# --- one's own networks --------------------------------------------------------------------------


def test_own_network_with_a_cache_and_in_a_search(folders, images, tmp_path):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    network = hf.AutoModel.from_pretrained(folders["dinov2"])
    layers = [n for n, _ in network.named_modules() if n.rpartition(".")[2].isdigit()][:2]
    extractor = DNNFeatureExtractor(Model(network), layers[0], cache=tmp_path)
    first = extractor.fit_transform(images)
    assert_array_equal(DNNFeatureExtractor(f"hf/{folders['dinov2']}", layers[0]).fit_transform(
        images), first)  # fmt: skip
    network(pixel_values=torch.zeros(1, 3, 32, 32), output_hidden_states=True)  # leaves hooks
    store = ActivationStore(tmp_path)
    again = DNNFeatureExtractor(Model(network), layers[0], cache=store).fit_transform(images)
    assert_array_equal(again, first)
    assert store.stats["images_forwarded"] == 0
    pipe = make_pipeline(DNNFeatureExtractor(Model(network)), Ridge())
    grid = {"dnnfeatureextractor__layer": layers}
    search = LayerSearchCV(pipe, grid, cv=3, scoring="neg_mean_squared_error")
    assert search.fit(images, np.arange(3.0)).best_params_


def test_own_network_without_a_processor_is_warned_of(images):
    network = made.KINDS["vit"][0]()
    with pytest.warns(UserWarning, match="your own ViTModel is ImageNet's.*AutoImageProcessor"):
        resolve_model(Model(network))


@pytest.mark.parametrize("kind", ["vit", "clip"])
def test_a_processor_as_preprocess(kind, folders, images):
    network = hf.AutoModel.from_pretrained(folders["vit"])
    processor = made.KINDS[kind][1]()
    expected = [processor(images=image, return_tensors="pt")["pixel_values"] for image in images]
    prepare = resolve_model(Model(network, preprocess=processor)).preprocess
    assert torch.equal(torch.stack(list(map(prepare, images))), torch.cat(expected))


def test_a_leading_axis_is_named(folders, images):
    network = hf.AutoModel.from_pretrained(folders["vit"])
    processor = made.KINDS["vit"][1]()
    for prepare, error, reason in (
        (lambda i: processor(i, return_tensors="pt"), TypeError, r"\['pixel_values'\]\[0\]"),
        (lambda i: processor(i, return_tensors="pt")["pixel_values"], ValueError, r"take \[0\]"),
    ):
        with pytest.raises(error, match=reason):
            DNNFeatureExtractor(Model(network, preprocess=prepare), "output").fit(images)


def test_building_one_leaves_the_keys_of_others(monkeypatch):
    """It gives torch's class of all modules another method."""
    monkeypatch.delattr(nn.Module, "smart_apply", raising=False)
    own = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())

    def key() -> str:
        return resolve_model(Model(own, {"resize": 8, "crop": None})).fingerprint()

    before = key()
    made.KINDS["vit"][0]()
    assert hasattr(nn.Module, "smart_apply")
    assert key() == before
