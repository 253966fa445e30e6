"""What a store remembers of a network: what "penultimate" stood for, and that it is repeatable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from tiny_network import SMALL, network, network_of_torch
from torch import nn
from torch.nn import functional
from torchvision import transforms

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn._backends._penultimate import Place
from skdnn._extraction import (
    ExtractionTask,
    _cache_key,
    _chosen_network,
    choose_layers,
    network_of,
)
from skdnn._file_digests import DECODING, digest_of
from skdnn.models import Model

RESIZED = {"resize": 40, "crop": 32}


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


def named(store: Any, layer: Any, **more: Any) -> DNNFeatureExtractor:
    options = {"preprocess": RESIZED, "weights": None, "device": "cpu", "cache": store, **more}
    return DNNFeatureExtractor("shufflenet_v2_x0_5", layer, **options)


def headless() -> nn.Module:
    """The last linear layer is inside; what is returned are features."""
    torch.manual_seed(3)
    parts = [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7), nn.ReLU()]
    return nn.Sequential(*parts).eval()


def own(store: Any, net: nn.Module, layer: Any = "penultimate", **more: Any) -> Any:
    return DNNFeatureExtractor(Model(net, SMALL), layer, cache=store, device="cpu", **more)


# --- stores of the build before -----------------------------------------------------------


def as_before(patch: pytest.MonkeyPatch, last_linear: str) -> None:
    """As layers were listed and rows were found until "penultimate" became what it is."""
    patch.setattr("skdnn._backends._torch_layers.choose", lambda *a, **k: Place(last_linear))
    patch.setattr(_cache_key, "_meaning", lambda *args: [])

    def key_before(value: list[Any]) -> str:
        return digest_of(value[:2])

    patch.setattr(_chosen_network, "digest_of", key_before)


def test_a_store_made_before_is_missed(store, paths):
    net = headless()
    with pytest.MonkeyPatch.context() as patch:
        as_before(patch, "3")
        before = own(store, net).fit_transform(paths)
        assert before.shape == (23, 4)
        tables = set((store.root / "networks").iterdir())
    after = own(store, net).fit_transform(paths)
    assert after.shape == (23, 7)
    assert_array_equal(after, own(None, net, "output").fit_transform(paths))
    assert store.stats["images_forwarded"] == 46
    (table,) = set((store.root / "networks").iterdir()) - tables
    known = json.loads(table.read_text())
    assert known["meanings"] == dict.fromkeys(["penultimate", "output"], "output of the network")
    assert known["preprocess"]["resize"] == [16, 20]
    assert_array_equal(own(store, net).fit_transform(paths), after)
    assert store.stats["images_forwarded"] == 46


def key_before(extractor: DNNFeatureExtractor, layer: str, pooling: str) -> str:
    """Of rows, until now."""
    network, preparation, settings = network_of(extractor).identity
    key = [network, preparation, "float32", layer, pooling, DECODING, 1]
    return digest_of(key + settings)


def key_now(extractor: DNNFeatureExtractor, layer: str, pooling: str) -> str:
    extractor.set_params(layer=layer, pooling=pooling)
    own = network_of(extractor)
    chosen = choose_layers(layer, own.all_layers(), pooling, own.spec)
    return ExtractionTask(own, chosen, chosen, None, 1).stored_as[layer]["key"]


@pytest.mark.parametrize(
    ("layer", "pooling", "is_kept"),
    [
        ("conv1", "flatten", True),  # nothing was corrected
        ("conv1", "mean", False),  # where units lie was
        ("penultimate", "flatten", False),
        ("output", "flatten", False),
    ],
)
def test_only_what_was_corrected_has_another_key(layer, pooling, is_kept):
    extractor = named(None, layer)
    same = key_before(extractor, layer, pooling) == key_now(extractor, layer, pooling)
    assert same is is_kept
    mine = own(None, network(), layer)
    if layer != "conv1":
        assert key_before(mine, layer, pooling) != key_now(mine, layer, pooling)


def test_rows_of_keras_networks_tell_how_images_were_fed():
    shuffled = network_of(named(None, "conv1"))
    spec = shuffled.spec
    (capture,) = choose_layers("conv1", shuffled.all_layers(), "flatten", spec).captures
    assert _cache_key._meaning(spec, capture) == []
    keras = replace(spec, backend="tensorflow")
    assert _cache_key._meaning(keras, capture) == [{"fed": 2}]


def test_inner_layers_stored_before_are_found(store, paths):
    with pytest.MonkeyPatch.context() as patch:
        as_before(patch, "fc")
        before = named(store, "conv1").fit_transform(paths)
    assert_array_equal(named(store, "conv1").fit_transform(paths), before)
    assert store.stats["images_forwarded"] == 23


def test_another_meaning_is_another_key(store, paths, monkeypatch):
    net = network_of_torch()
    first = own(store, net).fit_transform(paths)
    assert first.shape == (23, 72)
    monkeypatch.setattr("skdnn._backends._torch_layers.choose", lambda *a, **k: None)
    monkeypatch.setattr(_chosen_network, "_LISTING", 99)
    assert own(store, net).fit_transform(paths).shape == (23, 5)
    assert store.contents()["images"].tolist() == [23, 23]


# --- networks that draw random numbers ----------------------------------------------------


class Restless(nn.Module):
    """Drops values in eval mode too, behind its convolution."""

    def __init__(self, share: float = 0.2) -> None:
        super().__init__()
        self.conv, self.fc, self.share = nn.Conv2d(3, 4, 3), nn.Linear(4, 5), share

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        return self.fc(functional.dropout(x, self.share, training=True))


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_network_that_draws_random_numbers_is_refused(store, paths, n_jobs):
    with pytest.raises(ValueError, match=r"(?s)layer 'output' of Restless is another each time"):
        own(store, Restless().eval(), ["conv", "output"], n_jobs=n_jobs).fit_transform(paths)
    assert store.contents().empty
    assert np.any(own(None, Restless().eval(), "output").fit_transform(paths))


def test_layers_before_the_random_numbers_are_stored(store, paths):
    net = Restless().eval()
    found = own(store, net, "conv").fit_transform(paths)
    assert_allclose(found, own(None, net, "conv").fit_transform(paths), rtol=1e-6)
    with pytest.raises(ValueError, match="'fc' of Restless is another each time"):
        own(store, net, "fc").fit_transform(paths)  # asked of each layer, when it is new


def test_a_network_that_draws_the_same_each_time_is_stored(store, paths):
    class Seeded(Restless):
        def forward(self, x):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return super().forward(x)

    net = Seeded().eval()
    own(store, net, "output", version="1").fit_transform(paths)
    assert store.stats["images_forwarded"] == 23


def test_one_batch_is_run_twice_once(store, paths, monkeypatch):
    sizes: list[int] = []
    net = network()
    net.conv.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    for rows in (paths[:9], paths, paths):
        own(store, net, "conv2", batch_size=8, version="1").fit_transform(rows)
    assert sizes == [8] * (2 + 1 + 2)


RANDOM: dict[str, Callable[[Any], Any]] = {
    "crop": transforms.RandomCrop((12, 15)),
    "flip": transforms.RandomHorizontalFlip(),
    "rare": transforms.RandomInvert(0.3),
}


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("is_named", [True, False])
def test_random_preprocessing_is_refused(store, paths, kind, is_named):
    steps = transforms.Compose(
        [transforms.Resize((16, 20)), RANDOM[kind], transforms.Resize((40, 40)), to_tensor]
    )
    if is_named:
        extractor = named(store, "conv1", preprocess=steps)
    else:
        extractor = own(store, headless(), "0", preprocess=steps)
    with pytest.raises(ValueError, match=r"(?s)preprocess=Compose.*another result each time"):
        extractor.fit_transform(paths[:2])  # two images are prepared often enough
    assert store.contents().empty


def to_tensor(image):
    return transforms.functional.to_tensor(image)


def test_steps_that_repeat_are_stored(store, paths):
    steps = transforms.Compose([transforms.Resize((40, 40)), to_tensor])
    found = named(store, "conv1", preprocess=steps).fit_transform(paths)
    assert_array_equal(found, named(None, "conv1", preprocess=steps).fit_transform(paths))
