"""CLIPTextEncoder against open_clip, and as a scikit-learn transformer."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from helpers.late import needs, open_clip
from skdnn import RDM, CLIPTextEncoder, DNNFeatureExtractor
from skdnn.models import Model, _open_clip

pytestmark = needs("open_clip")
NAME = "open_clip/ViT-S-32-alt"
TEXTS = ["a photo of a dog", "Häuser im Nebel", "", "a dog", "three red apples, cut!", "a dog"]


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(4)
    return open_clip.create_model("ViT-S-32-alt").eval()


@pytest.fixture(scope="module")
def fitted() -> CLIPTextEncoder:
    return CLIPTextEncoder(NAME, weights=None, random_state=4, device="cpu").fit(TEXTS)


def test_features_are_open_clips(network: Any, fitted: CLIPTextEncoder) -> None:
    with torch.no_grad():
        tokens = open_clip.get_tokenizer("ViT-S-32-alt")(TEXTS)
        expected = network.encode_text(tokens).numpy()
    found = fitted.transform(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (6, 256)
    assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert_array_equal(found[3], found[5])


def test_the_space_is_that_of_the_images(
    network: Any, fitted: CLIPTextEncoder, example_paths: list[str]
) -> None:
    """Both towers come from one set of weights."""
    spec = _open_clip.spec(NAME, weights=None, seed=4, preprocess="default")
    images = DNNFeatureExtractor(Model(spec.load(), vars(spec.preprocess)), "visual")
    pictures = images.fit_transform(example_paths)
    words = fitted.transform(TEXTS)
    assert pictures.shape[1] == words.shape[1]
    batch = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert_array_equal(spec.load()(batch), network.encode_image(batch))


@pytest.mark.slow
def test_images_beside_words_and_against_words(
    fitted: CLIPTextEncoder, example_paths: list[str]
) -> None:
    spec = _open_clip.spec(NAME, weights=None, seed=4, preprocess="default")
    images = DNNFeatureExtractor(Model(spec.load(), vars(spec.preprocess)), "visual")
    words = clone(fitted)
    table = pd.DataFrame({"image": example_paths, "caption": TEXTS[:3]})
    both = ColumnTransformer([("image", images, "image"), ("word", words, "caption")])
    joined = both.fit_transform(table)
    assert_array_equal(joined[:, :256], images.fit_transform(example_paths))
    assert_array_equal(joined[:, 256:], fitted.transform(TEXTS[:3]))

    captions = dict(zip(example_paths, TEXTS, strict=False))
    named = FunctionTransformer(lambda paths: [captions[path] for path in paths])
    union = FeatureUnion([("image", images), ("word", make_pipeline(named, clone(fitted)))])
    assert_array_equal(union.fit_transform(example_paths), joined)

    assert make_pipeline(clone(fitted), RDM()).fit_transform(TEXTS[:3]).shape == (3, 3)


def test_normalized(fitted: CLIPTextEncoder) -> None:
    plain = fitted.transform(TEXTS)
    unit = clone(fitted).set_params(normalize=True).fit_transform(TEXTS)
    assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert_allclose(unit * lengths, plain, rtol=0, atol=1e-5 * np.abs(plain).max())


def test_rows_do_not_depend_on_batches_and_order(fitted: CLIPTextEncoder) -> None:
    whole = fitted.transform(TEXTS)
    scale = np.abs(whole).max()
    small = clone(fitted).set_params(batch_size=2).fit(TEXTS[:1]).transform(TEXTS)
    assert_allclose(small, whole, rtol=0, atol=1e-5 * scale)
    backwards = fitted.transform(TEXTS[::-1])[::-1]
    assert_allclose(backwards, whole, rtol=0, atol=1e-5 * scale)
    for row, text in enumerate(TEXTS):
        assert_allclose(fitted.transform([text])[0], whole[row], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "kind",
    [tuple, np.array, pd.Series, pd.DataFrame, pd.Index, lambda t: np.array(t, object)[:, None]],
)
def test_kinds_of_input(kind: Any, fitted: CLIPTextEncoder) -> None:
    assert_array_equal(fitted.transform(kind(TEXTS)), fitted.transform(TEXTS))


def test_no_texts(fitted: CLIPTextEncoder) -> None:
    assert fitted.transform([]).shape == (0, 256)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("a dog", TypeError, r"a list of texts.*Use \['a dog'\]"),
        (["a dog", None], TypeError, "NoneType in row 1"),
        ([b"a dog"], TypeError, "bytes in row 0"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "one column of texts, got 2"),
        (np.array([["x", "y"]]), ValueError, r"shape \(1, 2\)"),
    ],
)
def test_what_is_no_text(
    wrong: Any, error: type[Exception], message: str, fitted: CLIPTextEncoder
) -> None:
    with pytest.raises(error, match=message):
        clone(fitted).fit(wrong)
    with pytest.raises(error, match=message):
        fitted.transform(wrong)


def test_long_texts_are_an_error_or_cut(fitted: CLIPTextEncoder) -> None:
    """Of 77 tokens two mark the beginning and the end."""
    assert fitted.context_length_ == 77
    longest, longer = " ".join(["dog"] * 75), " ".join(["dog"] * 76)
    much_longer = " ".join(["dog"] * 300)
    fitted.transform([longest])
    for text in (longer, much_longer):
        with pytest.raises(ValueError, match=r"1 of 2 texts.*77 tokens.*'dog dog.*truncate=True"):
            fitted.transform(["cat", text])
        with pytest.raises(ValueError, match="truncate=True"):
            clone(fitted).fit([text])
    cut = clone(fitted).set_params(truncate=True).fit_transform([longest, longer, much_longer])
    assert_array_equal(cut[0], cut[1])
    assert_array_equal(cut[0], cut[2])


def test_as_an_estimator(fitted: CLIPTextEncoder) -> None:
    unfitted = clone(fitted)
    with pytest.raises(NotFittedError):
        unfitted.transform(TEXTS)
    with pytest.raises(NotFittedError):
        unfitted.get_feature_names_out()
    before = dict(vars(fitted))
    expected = fitted.transform(TEXTS)
    assert vars(fitted) == before
    content = pickle.dumps(fitted)
    assert len(content) < 10_000
    assert_array_equal(pickle.loads(content).transform(TEXTS), expected)
    assert_array_equal(clone(fitted).fit_transform(TEXTS), expected)
    names = fitted.get_feature_names_out()
    assert names[[0, -1]].tolist() == ["text_0", "text_255"]
    assert get_tags(fitted).input_tags.string
    assert not get_tags(fitted).input_tags.two_d_array
    assert fitted.model_name_ == NAME
    assert fitted.weights_ == "random (seed 4)"
    with pytest.raises(ValueError, match="batch_size"):
        clone(fitted).set_params(batch_size=0).fit(TEXTS)


def test_set_output(fitted: CLIPTextEncoder) -> None:
    plain = fitted.transform(TEXTS)
    framed = clone(fitted).set_output(transform="pandas").fit(TEXTS)
    frame = framed.transform(TEXTS)
    assert_array_equal(frame.to_numpy(), plain)
    assert frame.index.tolist() == TEXTS
    assert frame.columns.tolist() == fitted.get_feature_names_out().tolist()
    index = [f"img{i}" for i in range(6)]
    assert framed.transform(pd.Series(TEXTS, index=index)).index.tolist() == index


def test_seeds(fitted: CLIPTextEncoder) -> None:
    other = clone(fitted).set_params(random_state=5).fit_transform(TEXTS)
    assert np.abs(other - fitted.transform(TEXTS)).max() > 1e-3
    drawn = clone(fitted).set_params(random_state=np.random.RandomState(0)).fit(TEXTS)
    assert_array_equal(drawn.transform(TEXTS), drawn.transform(TEXTS))


def test_unknown_networks_and_devices(fitted: CLIPTextEncoder) -> None:
    with pytest.raises(ValueError, match="no CLIP network of open_clip"):
        CLIPTextEncoder("resnet18").fit(TEXTS)
    with pytest.raises(ValueError, match="device='moon'"):
        clone(fitted).set_params(device="moon").fit(TEXTS)
    with pytest.raises(ValueError, match="weights='nope'"):
        CLIPTextEncoder(weights="nope").fit(TEXTS)


def test_vocabularies_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    encoder = CLIPTextEncoder("open_clip/ViT-B-16-SigLIP", weights=None)
    with pytest.raises(ImportError, match=r'transformers is needed.*pip install "skdnn\[hf\]"'):
        encoder.fit(TEXTS)
