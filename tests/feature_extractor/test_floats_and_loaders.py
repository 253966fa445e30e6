"""Inputs that a network takes as they are, and what gives them batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn.models import Model

FLOATS = np.random.default_rng(0).normal(size=(5, 3, 12, 10)).astype(np.float32)
IMAGES = np.zeros((2, 12, 10, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())


@pytest.fixture(scope="module")
def expected(network):
    with torch.no_grad():
        return network[0](torch.from_numpy(FLOATS)).flatten(1).numpy()


@pytest.fixture
def extractor(network):
    return DNNFeatureExtractor(Model(network), "0", preprocess=None)


@pytest.mark.parametrize(
    "X",
    [FLOATS, torch.from_numpy(FLOATS), list(FLOATS), list(torch.from_numpy(FLOATS)),
     FLOATS.astype(np.float64)],
    ids=["array", "tensor", "list", "tensors", "float64"],
)  # fmt: skip
def test_floats_are_taken_as_they_are(X, extractor, expected):
    assert_allclose(extractor.fit(X).transform(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrap", [Model, None])
def test_named_and_wrapped(wrap, network, expected):
    if wrap is None:
        extractor = DNNFeatureExtractor(
            "squeezenet1_1", "features.0", weights=None, preprocess=None
        )
        X = np.ones((2, 3, 40, 32), np.float32)
        assert extractor.extract(X)["features.0"].shape == (2, 64, 19, 15)
    else:
        extractor = DNNFeatureExtractor(Model(network, preprocess=None), "0")
        assert_allclose(extractor.fit_transform(FLOATS), expected, rtol=1e-5, atol=1e-6)


def test_rows_of_a_store_are_found_by_the_numbers(network, expected, tmp_path):
    def run(X):
        store = ActivationStore(tmp_path)
        extractor = DNNFeatureExtractor(Model(network), "0", preprocess=None, cache=store)
        return extractor.fit_transform(X), store.stats["images_forwarded"]

    assert_allclose(run(FLOATS)[0], expected, rtol=1e-5, atol=1e-6)
    again, forwarded = run(FLOATS[::-1])
    assert forwarded == 0
    assert_allclose(again, expected[::-1], rtol=1e-5, atol=1e-6)
    assert run(FLOATS + 1)[1] == 5


def test_floats_need_to_be_asked_for(network, extractor):
    for preprocess in ("default", {"resize": 8}, lambda image: image):
        with pytest.raises(ValueError, match="give preprocess=None"):
            DNNFeatureExtractor(Model(network), "0", preprocess=preprocess).fit(FLOATS)
    with pytest.raises(ValueError, match="takes X as it is: floats"):
        extractor.fit(IMAGES)
    with pytest.raises(ValueError, match="takes X as it is: floats"):
        extractor.fit([*FLOATS[:2], IMAGES[0]])


def test_loaders(extractor, expected):
    targets = torch.arange(5)
    pairs = DataLoader(TensorDataset(torch.from_numpy(FLOATS), targets), batch_size=2)
    plain = DataLoader(list(torch.from_numpy(FLOATS)), batch_size=3)
    chunks = (FLOATS[start : start + 2] for start in (0, 2, 4))
    for batches in (pairs, plain, chunks):
        found = extractor.extract(batches, ["0", "1"])
        assert list(found) == ["0", "1"]
        assert_allclose(found["0"].reshape(5, -1), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="it gave no batch"):
        extractor.extract(iter([]))


def test_batches_of_files(network, image_paths):
    extractor = DNNFeatureExtractor(Model(network, {"resize": (9, 8), "crop": None}), "0")
    whole = extractor.extract(image_paths)["0"]
    parts = extractor.extract(image_paths[n : n + 2] for n in range(0, len(image_paths), 2))
    assert_array_equal(parts["0"], whole)
