"""DNNClassifier on Keras's networks, which end in a softmax or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from skdnn import DNNClassifier, DNNFeatureExtractor
from skdnn.models import Model

SIZE = {"resize": (32, 40), "crop": None}
NAMES = ["ant", "bee", "cat", "dog", "eel", "fox"]


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("torchvision")  # before tensorflow: see skdnn._optional
    pytest.importorskip("tensorflow")
    return pytest.importorskip("keras")


def test_own_keras_network(keras: Any, image_paths: list[str]) -> None:
    keras.utils.set_random_seed(0)
    entry = keras.Input((32, 40, 3))
    flat = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(entry))
    dense = keras.layers.Dense(6)
    logits = keras.Model(entry, dense(flat))
    soft = keras.Model(entry, keras.layers.Softmax()(logits.output))
    batch = np.stack([_pixels(path) for path in image_paths])
    expected = soft.predict(batch, verbose=0)
    for network, kind in ((logits, "logits"), (soft, "probabilities")):
        model = Model(network, {**SIZE, "mean": (0, 0, 0), "std": (1, 1, 1)})
        classifier = DNNClassifier(model, classes=NAMES).fit()
        assert classifier.output_ == kind
        found = classifier.predict_proba(image_paths)
        assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def _pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((40, 32), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32) / 255


def test_several_outputs_of_keras_are_refused(keras: Any) -> None:
    entry = keras.Input((32, 40, 3))
    flat = keras.layers.Flatten()(entry)
    two = keras.Model(entry, [keras.layers.Dense(3)(flat), keras.layers.Dense(4)(flat)])
    with pytest.raises(ValueError, match="2 outputs"):
        DNNClassifier(Model(two, SIZE)).fit()


@pytest.mark.slow
def test_a_network_of_keras_applications(keras: Any, example_paths: list[str]) -> None:
    classifier = DNNClassifier("keras/MobileNetV2", weights=None).fit(example_paths)
    assert classifier.output_ == "probabilities"
    assert len(classifier.classes_) == 1000
    outputs = DNNFeatureExtractor("keras/MobileNetV2", "output", weights=None).fit_transform(
        example_paths
    )
    assert_allclose(outputs.sum(axis=1), 1, rtol=0, atol=1e-5)  # it ends in a softmax
    assert_allclose(classifier.predict_proba(example_paths), outputs, rtol=0, atol=1e-6)
