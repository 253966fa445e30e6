"""DNNClassifier: the plain network's softmax, by the right names, in one pass."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, cross_val_score
from sklearn.utils import get_tags
from torch import nn

from helpers.late import models
from skdnn import ActivationStore, DNNClassifier, DNNFeatureExtractor
from skdnn.models import Model

SIZE = {"resize": (32, 40), "crop": None}
NAMES = ["ant", "bee", "cat", "dog", "eel", "fox"]


def tiny(*more: nn.Module, n_outputs: int = 6) -> Model:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 5, stride=3), nn.Flatten(), nn.Linear(480, n_outputs)]
    return Model(nn.Sequential(*layers, *more), SIZE, name="tiny")


def plain_outputs(network: nn.Module, paths: list[str], size: Any = (32, 40)) -> torch.Tensor:
    """What the network gives, by hand, one image after the other."""
    rows = []
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))
        batch = torch.tensor(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        with torch.no_grad():
            rows.append(network.eval()((batch - mean) / std)[0])
    return torch.stack(rows).double()


@pytest.fixture(scope="module")
def own() -> Model:
    return tiny()


@pytest.fixture
def fitted(own: Model) -> DNNClassifier:
    return DNNClassifier(own, classes=NAMES).fit()


# Probabilities


def test_probabilities_are_the_networks_softmax(
    own: Model, fitted: DNNClassifier, image_paths: list[str]
) -> None:
    logits = plain_outputs(own.network, image_paths)
    assert fitted.output_ == "logits"
    found = fitted.predict_proba(image_paths)
    assert found.dtype == np.float64
    assert_allclose(found, torch.softmax(logits, 1).numpy(), rtol=0, atol=1e-6)
    assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(fitted.decision_function(image_paths), logits.numpy(), rtol=0, atol=1e-5)
    expected = torch.log_softmax(logits, 1).numpy()
    assert_allclose(fitted.predict_log_proba(image_paths), expected, rtol=0, atol=1e-5)
    names = [NAMES[i] for i in logits.argmax(1)]
    assert fitted.predict(image_paths).tolist() == names
    assert len(set(names)) > 1


def test_a_torchvision_network(example_paths: list[str]) -> None:
    size = {"resize": (96, 128), "crop": None}
    torch.manual_seed(0)
    network = models.squeezenet1_1()
    classifier = DNNClassifier("squeezenet1_1", weights=None, preprocess=size).fit(example_paths)
    expected = torch.softmax(plain_outputs(network, example_paths, (96, 128)), 1).numpy()
    assert_allclose(classifier.predict_proba(example_paths), expected, rtol=0, atol=1e-6)
    weights = models.SqueezeNet1_1_Weights.DEFAULT
    assert classifier.classes_.tolist() == weights.meta["categories"]
    assert classifier.classes_[[0, 999]].tolist() == ["tench", "toilet tissue"]
    assert classifier.classes_note_.startswith("Random weights")
    assert classifier.weights_ == "random (seed 0)"


def test_never_softmax_twice(own: Model, fitted: DNNClassifier, image_paths: list[str]) -> None:
    same = Model(nn.Sequential(own.network, nn.Softmax(dim=1)), SIZE)
    classifier = DNNClassifier(same, classes=NAMES).fit()
    assert classifier.output_ == "probabilities"
    expected = fitted.predict_proba(image_paths)
    assert_allclose(classifier.predict_proba(image_paths), expected, rtol=0, atol=1e-6)
    logits = classifier.decision_function(image_paths)
    assert_allclose(logits, np.log(expected), rtol=0, atol=1e-5)


class SoftmaxInForward(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.network(batch), 1)


class Attention(nn.Module):
    """A softmax module that is called last, and whose values are not the output."""

    def __init__(self) -> None:
        super().__init__()
        self.soft = nn.Softmax(dim=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.soft(values)


def test_a_hidden_softmax_is_noticed(
    own: Model, fitted: DNNClassifier, image_paths: list[str]
) -> None:
    hidden = DNNClassifier(Model(SoftmaxInForward(own.network), SIZE), classes=NAMES).fit()
    assert hidden.output_ == "logits"
    with pytest.raises(ValueError, match="output='probabilities'"):
        hidden.predict_proba(image_paths)
    hidden.set_params(output="probabilities").fit()
    expected = fitted.predict_proba(image_paths)
    assert_allclose(hidden.predict_proba(image_paths), expected, rtol=0, atol=1e-6)
    hidden.set_params(output="logits").fit()  # the user knows better
    assert_allclose(hidden.decision_function(image_paths), expected, rtol=0, atol=1e-6)


def test_a_softmax_within_is_noticed(image_paths: list[str]) -> None:
    inside = DNNClassifier(tiny(Attention()), classes=NAMES).fit()
    with pytest.raises(ValueError, match="output='logits'"):
        inside.predict_proba(image_paths)
    inside.set_params(output="logits").fit()
    expected = torch.softmax(plain_outputs(inside.model.network, image_paths), 1).numpy()
    assert_allclose(inside.predict_proba(image_paths), expected, rtol=0, atol=1e-6)


def test_log_softmax_is_a_logit(fitted: DNNClassifier, image_paths: list[str]) -> None:
    found = DNNClassifier(tiny(nn.LogSoftmax(dim=1)), classes=NAMES).fit()
    expected = fitted.predict_proba(image_paths)
    assert_allclose(found.predict_proba(image_paths), expected, rtol=0, atol=1e-6)


def test_small_probabilities_have_exact_logarithms(image_paths: list[str]) -> None:
    class Steep(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return 5000 * values

    steep = DNNClassifier(tiny(Steep()), classes=NAMES).fit()
    assert (steep.predict_proba(image_paths) == 0).any()
    logarithms = steep.predict_log_proba(image_paths)
    assert np.isfinite(logarithms).all()
    differences = logarithms - steep.decision_function(image_paths)
    assert_allclose(np.ptp(differences, axis=1), 0, atol=1e-9)


def test_several_images_in_one_row(fitted: DNNClassifier, image_paths: list[str]) -> None:
    single = fitted.predict_proba(image_paths)
    rows = [image_paths[:2], image_paths[3], image_paths[4:]]
    expected = np.stack([single[:2].mean(0), single[3], single[4:].mean(0)])
    assert_allclose(fitted.predict_proba(rows), expected, rtol=0, atol=1e-6)
    assert_array_equal(fitted.predict(rows), fitted.classes_[expected.argmax(1)])
    assert_allclose(fitted.decision_function(rows), np.log(expected), rtol=0, atol=1e-5)
    assert len(fitted.top_k(rows, 2)) == 6


def test_values_that_are_not_finite(image_paths: list[str]) -> None:
    class Overflow(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values * float("inf")

    broken = DNNClassifier(tiny(Overflow()), classes=NAMES).fit()
    with pytest.raises(ValueError, match="not finite") as caught:
        broken.predict_proba(image_paths)
    assert image_paths[0] in str(caught.value)


# What is no classifier


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Flatten()
        self.heads = nn.ModuleList([nn.Linear(3840, 4), nn.Linear(3840, 6)])

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = self.trunk(batch)
        return {"colour": self.heads[0](flat), "kind": self.heads[1](flat)}


class KindOnly(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(batch)["kind"]
        return found


def test_several_outputs_are_refused(image_paths: list[str]) -> None:
    network = TwoHeads()
    with pytest.raises(ValueError, match=r"2 outputs \(colour, kind\)"):
        DNNClassifier(Model(network, SIZE)).fit()
    kind = KindOnly(network)  # as the message says
    found = DNNClassifier(Model(kind, SIZE), classes=NAMES).fit().predict_proba(image_paths)
    expected = torch.softmax(plain_outputs(kind, image_paths), 1).numpy()
    assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_outputs_that_are_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"values of shape \(4, 28, 36\)"):
        DNNClassifier(Model(nn.Conv2d(3, 4, 5), SIZE)).fit()
    with pytest.raises(ValueError, match=r"values of shape \(1,\)"):
        DNNClassifier(tiny(n_outputs=1)).fit()
    with pytest.raises(ValueError, match="sigmoid"):
        DNNClassifier(tiny(nn.Sigmoid())).fit()
    with pytest.raises(ValueError, match="no classes"):
        DNNClassifier("simclr-rn50", weights=None).fit()
    with pytest.raises(ValueError, match="values of shape"):
        DNNClassifier("lraspp_mobilenet_v3_large", weights=None, preprocess=SIZE).fit()


def test_own_names_have_the_right_number(own: Model) -> None:
    with pytest.raises(ValueError, match="5 names, and tiny has 6 outputs"):
        DNNClassifier(own, classes=NAMES[:5]).fit()
    numbered = DNNClassifier(own).fit()
    assert numbered.classes_.tolist() == [f"class {i}" for i in range(6)]
    assert "classes=" in numbered.classes_note_
    assert DNNClassifier(own, classes=np.array(NAMES)).fit().classes_.tolist() == NAMES


# Tables


def test_top_k(fitted: DNNClassifier, image_paths: list[str]) -> None:
    table = fitted.top_k(image_paths, k=3)
    assert isinstance(table, pd.DataFrame)
    columns = ["image", "rank", "class", "index", "synset", "probability"]
    assert table.columns.tolist() == columns
    assert table["image"].tolist() == list(np.repeat(image_paths, 3))
    assert table["rank"].tolist() == [1, 2, 3] * len(image_paths)
    assert table["synset"].isna().all()
    assert table["class"].tolist() == [NAMES[i] for i in table["index"]]
    probabilities = fitted.predict_proba(image_paths)
    for row, (_, part) in enumerate(table.groupby("image", sort=False)):
        best = sorted(probabilities[row], reverse=True)[:3]
        assert_array_equal(part["probability"], best)
        assert_array_equal(probabilities[row, part["index"]], best)
    assert_array_equal(table["class"][table["rank"] == 1], fitted.predict(image_paths))


def test_top_k_as_json(fitted: DNNClassifier, image_paths: list[str]) -> None:
    text = fitted.top_k(image_paths, k=2, as_json=True)
    assert isinstance(text, str)
    rows = json.loads(text)
    table = fitted.top_k(image_paths, k=2)
    assert isinstance(table, pd.DataFrame)
    assert [row["probability"] for row in rows] == table["probability"].tolist()  # to the bit
    assert [row["class"] for row in rows] == table["class"].tolist()
    assert [row["index"] for row in rows] == table["index"].tolist()
    assert rows[0]["synset"] is None


def test_synsets_in_the_table(example_paths: list[str]) -> None:
    pytest.importorskip("timm")
    classifier = DNNClassifier("squeezenet1_1", weights=None).fit()
    assert classifier.synsets_ is not None
    assert classifier.synsets_[[0, 999]].tolist() == ["n01440764", "n15075141"]
    table = classifier.top_k(example_paths)
    assert isinstance(table, pd.DataFrame)
    assert table["synset"].tolist() == classifier.synsets_[table["index"]].tolist()


def test_ties_are_in_the_networks_order(image_paths: list[str]) -> None:
    class Even(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1, 0, 1, 1, 0]).repeat(len(batch), 1)

    table = DNNClassifier(Model(Even(), SIZE), classes=NAMES).fit().top_k(image_paths, k=5)
    assert isinstance(table, pd.DataFrame)
    assert table["index"].tolist() == [1, 3, 4, 0, 2] * len(image_paths)


@pytest.mark.parametrize("k", [0, 7, -1, 2.0, True, "3"])
def test_wrong_k(fitted: DNNClassifier, image_paths: list[str], k: Any) -> None:
    with pytest.raises(ValueError, match=r"k=.*from 1 to 6"):
        fitted.top_k(image_paths, k)


# Scores


def test_score(fitted: DNNClassifier, image_paths: list[str]) -> None:
    right = fitted.predict_proba(image_paths).argmax(1)
    assert fitted.score(image_paths, right) == 1
    assert fitted.score(image_paths, fitted.predict(image_paths)) == 1
    wanted = right.copy()
    wanted[:2] = (wanted[:2] + 1) % 6
    n = len(image_paths)
    assert fitted.score(image_paths, wanted) == pytest.approx(1 - 2 / n)
    assert fitted.score(image_paths, [NAMES[i] for i in wanted]) == pytest.approx(1 - 2 / n)
    weight = np.arange(n)
    expected = weight[2:].sum() / weight.sum()
    assert fitted.score(image_paths, wanted, sample_weight=weight) == pytest.approx(expected)


def test_score_by_synset(example_paths: list[str]) -> None:
    pytest.importorskip("timm")
    classifier = DNNClassifier("squeezenet1_1", weights=None).fit()
    found = classifier.predict_proba(example_paths).argmax(1)
    assert classifier.synsets_ is not None
    assert classifier.score(example_paths, classifier.synsets_[found]) == 1
    mixed = [classifier.synsets_[found[0]], classifier.classes_[found[1]], "tench"]
    assert classifier.score(example_paths, mixed) == pytest.approx((2 + (found[2] == 0)) / 3)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["ant", "bee", "caat"], ValueError, r"\['caat'\]. Did you mean 'cat'"),
        ([0, 1, 6], ValueError, "index 6"),
        ([0, -1, 2], ValueError, "index -1"),
        ([0.0, 1.0, 2.0], TypeError, "got 0.0"),
        (["ant", None, "bee"], TypeError, "got None"),
        (["ant", 1, "bee"], TypeError, "got 1"),
        ([True, False, True], TypeError, "got True"),
        (["ant", "bee"], ValueError, r"\(2,\), and X has 3 images"),
        ([["ant", "bee"]] * 3, ValueError, "one class for each image"),
    ],
)
def test_wrong_targets(
    fitted: DNNClassifier, example_paths: list[str], y: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fitted.score(example_paths, y)
    with pytest.raises(error, match=message):  # scikit-learn makes NaN of what score raises
        clone(fitted).fit(example_paths, y)


def test_labelled_targets_must_match(fitted: DNNClassifier, example_paths: list[str]) -> None:
    y = pd.Series(NAMES[:3], index=[Path(path).stem for path in example_paths])
    assert 0 <= fitted.score(example_paths, y) <= 1
    with pytest.raises(ValueError, match="don't match"):
        fitted.score(example_paths, y[::-1])
    with pytest.raises(ValueError, match="don't match"):
        fitted.fit(example_paths, y[::-1])
    with pytest.raises(ValueError, match="y is given and X is not"):
        fitted.fit(None, y)


# The store


def test_one_pass_and_the_extractors_rows(
    own: Model, image_paths: list[str], tmp_path: Path
) -> None:
    store = ActivationStore(tmp_path)
    classifier = DNNClassifier(own, classes=NAMES, cache=store).fit(image_paths)
    assert store.stats["images_forwarded"] == 0
    found = classifier.predict_proba(image_paths)
    assert store.stats["images_forwarded"] == len(image_paths)
    classifier.predict(image_paths)
    classifier.top_k(image_paths)
    classifier.score(image_paths, classifier.predict(image_paths))
    extractor = DNNFeatureExtractor(own, "output", cache=store)
    logits = extractor.fit_transform(image_paths)
    assert_array_equal(logits, classifier.decision_function(image_paths))
    assert store.stats["images_forwarded"] == len(image_paths)
    assert_array_equal(DNNClassifier(own).fit().predict_proba(image_paths), found)


def test_what_the_extractor_stored_is_used(
    own: Model, image_paths: list[str], tmp_path: Path
) -> None:
    store = DNNFeatureExtractor(own, cache=tmp_path).precompute(
        image_paths, ["output", "penultimate"], verbose=0
    )
    before = store.stats["images_forwarded"]
    classifier = DNNClassifier(own, cache=store).fit(image_paths)
    classifier.predict_proba(image_paths)
    assert store.stats["images_forwarded"] == before


def test_a_warm_cache_builds_no_network(
    example_paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DNNClassifier("squeezenet1_1", weights=None, cache=tmp_path).fit(example_paths)
    expected = first.predict_proba(example_paths)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was built")

    monkeypatch.setattr("skdnn._extraction._chosen_network.open_engine", refuse)
    monkeypatch.setattr("skdnn._extraction._chosen_network.describe_layers", refuse)
    again = clone(first).fit(example_paths)
    assert_array_equal(again.predict_proba(example_paths), expected)


def test_half_precision_on_disk(own: Model, image_paths: list[str], tmp_path: Path) -> None:
    soft = Model(nn.Sequential(own.network, nn.Softmax(dim=1)), SIZE)
    store = ActivationStore(tmp_path, dtype="float16")
    rough = DNNClassifier(soft, classes=NAMES, cache=store).fit().predict_proba(image_paths)
    exact = DNNClassifier(soft, classes=NAMES).fit().predict_proba(image_paths)
    assert_allclose(rough, exact, rtol=0, atol=1e-3)
    assert_allclose(rough.sum(axis=1), 1, rtol=1e-12)


# scikit-learn


def test_it_is_a_classifier_of_scikit_learn(own: Model, image_paths: list[str]) -> None:
    classifier = DNNClassifier(own, classes=NAMES)
    assert is_classifier(classifier)
    tags = get_tags(classifier)
    assert not tags.target_tags.required
    assert not tags.input_tags.two_d_array
    with pytest.raises(NotFittedError):
        classifier.predict(image_paths)
    with pytest.raises(NotFittedError):
        classifier.top_k(image_paths)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert copy.model is own
    again = pickle.loads(pickle.dumps(classifier.fit()))
    assert_array_equal(again.predict_proba(image_paths), classifier.predict_proba(image_paths))


def test_cross_validation(fitted: DNNClassifier, image_paths: list[str]) -> None:
    y = fitted.predict(image_paths)
    y[0] = NAMES[(NAMES.index(y[0]) + 1) % 6]
    folds = KFold(3)
    assert_allclose(cross_val_score(fitted, image_paths, y, cv=folds), [2 / 3, 1, 1])
    scores = cross_val_score(fitted, image_paths, y, cv=folds, scoring="accuracy")
    assert_allclose(scores, [2 / 3, 1, 1])
