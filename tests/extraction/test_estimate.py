"""DNNFeatureExtractor.estimate: what an extraction will take, before it is started."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skdnn import ActivationStore, DNNFeatureExtractor, ExtractionEstimate
from skdnn._extraction._chosen_layers import count_params
from skdnn._extraction._chosen_network import layers_of
from skdnn._wording import in_bytes, in_time
from skdnn.models import Model
from skdnn.models._registry import resolve_model

LAYERS = ["conv", "conv2", "fc"]
UNITS = {"conv": 8 * 15 * 19, "conv2": 6 * 7 * 9, "fc": 5}


class Tiny(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.conv2 = nn.Conv2d(8, 6, 3, stride=2)
        self.fc = nn.Linear(6 * 7 * 9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv2(self.conv(x)).flatten(1))


def extractor(cache: Any = None, layer: Any = "fc", **more: Any) -> DNNFeatureExtractor:
    model = Model(Tiny().eval(), {"resize": (32, 40), "crop": None}, name="tiny")
    return DNNFeatureExtractor(model, layer, cache=cache, device="cpu", **more)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Twelve distinct images."""
    return np.random.default_rng(0).integers(0, 256, (12, 13, 17, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make it an error to build (``open_engine``) or to trace (``describe_layers``) a network."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a network was built")

    for name in names:
        monkeypatch.setattr(f"skdnn._extraction._chosen_network.{name}", refuse)


def test_cold_without_cache(images):
    found = extractor(layer=["conv", "fc"]).estimate(images)
    assert isinstance(found, ExtractionEstimate)
    assert (found.model, found.layers) == ("tiny", ["conv", "fc"])
    assert (found.n_images, found.n_to_forward) == (12, 12)
    assert found.n_units == {"conv": UNITS["conv"], "fc": 5}
    assert (found.store_bytes, found.free_bytes) == (None, None)
    assert found.seconds > 0
    assert found.peak_bytes > found.result_bytes


@pytest.mark.parametrize("layer", ["fc", LAYERS])
@pytest.mark.parametrize("pooling", ["flatten", "mean"])
def test_result_is_as_large_as_told(images, layer, pooling):
    if pooling == "mean" and layer == "fc":
        layer = "conv"
    tiny = extractor(layer=layer if pooling == "flatten" else "conv", pooling=pooling)
    found = tiny.estimate(images, measure=False)
    features = tiny.fit_transform(images)
    assert found.result_bytes == features.nbytes
    assert sum(found.n_units.values()) == features.shape[1]
    assert found.seconds is None


def test_result_of_conditions(images):
    tiny = extractor(layer="conv")
    X = [list(images[:5]), list(images[5:])]
    found = tiny.estimate(X, measure=False)
    assert found.result_bytes == tiny.fit_transform(X).nbytes
    assert found.n_images == found.n_to_forward == 12


def test_repeated_files_go_through_once(example_paths):
    paths = [*example_paths, example_paths[0]]
    found = extractor().estimate(paths, measure=False)
    assert (found.n_images, found.n_to_forward) == (4, 3)
    assert extractor(n_jobs=2).estimate(paths, measure=False).n_to_forward == 4


def test_only_what_the_store_lacks(store, images):
    tiny = extractor(store, LAYERS)
    cold = tiny.estimate(images, measure=False)
    assert cold.n_to_forward == 12
    assert not store.root.exists()  # an estimate leaves nothing behind
    tiny.precompute(images[:5], verbose=0)
    part = tiny.estimate(images)
    assert part.n_to_forward == 7
    assert 0 < part.store_bytes < cold.store_bytes
    assert part.seconds > 0
    assert store.stats["images_forwarded"] == 5  # the measurement is not stored
    tiny.precompute(images, "fc", verbose=0)
    assert tiny.estimate(images, measure=False).n_to_forward == 7
    tiny.precompute(images, verbose=0)
    warm = tiny.estimate(images)
    assert (warm.n_to_forward, warm.store_bytes, warm.seconds) == (0, 0, None)
    assert warm.peak_bytes == warm.result_bytes == cold.result_bytes


def test_layers_of_one_call(store, images):
    tiny = extractor(store)
    tiny.precompute(images, "fc", verbose=0)
    assert tiny.estimate(images).n_to_forward == 0
    more = tiny.estimate(images, ["fc", "conv"], measure=False)
    assert more.n_to_forward == 12
    assert 12 * 4 * UNITS["conv"] < more.store_bytes < 12 * 4 * (UNITS["conv"] + 5) * 1.2


def test_a_warm_store_needs_no_network(store, images, monkeypatch):
    extractor(store, LAYERS).precompute(images, verbose=0)
    forbid(monkeypatch, "open_engine", "describe_layers")
    for measure in (True, False):
        found = extractor(store, LAYERS).estimate(images, measure=measure)
        assert (found.n_to_forward, found.seconds) == (0, None)


def test_named_networks_are_not_built_without_measuring(images, monkeypatch):
    forbid(monkeypatch, "open_engine")
    alexnet = DNNFeatureExtractor("alexnet", "features.0", weights=None)
    assert alexnet.estimate(images, measure=False).n_to_forward == 12
    with pytest.raises(AssertionError, match="was built"):
        alexnet.estimate(images)


def test_weights_that_are_not_there(store, images, monkeypatch, tmp_path):
    """Without its file nothing of this network can be stored, and none is fetched."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was downloaded")

    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("skdnn.models._weights_folder.complete", refuse)
    simclr = DNNFeatureExtractor("simclr-rn50", "output", cache=store)
    assert simclr.estimate(images, measure=False).n_to_forward == 12


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layer", ["conv", ["conv", "conv2"]])
def test_the_store_grows_as_told(tmp_path, images, layer, dtype):
    store = ActivationStore(tmp_path, dtype=dtype)
    tiny = extractor(store, layer)
    tiny.fit(images[:1])  # the store's own files
    before = store.size
    found = tiny.estimate(images, measure=False)
    tiny.precompute(images, verbose=0)
    assert found.store_bytes == pytest.approx(store.size - before, rel=0.1)


def test_small_layers_count_with_their_manifests(store, image_paths):
    tiny = extractor(store, "fc")
    tiny.fit(image_paths[:1])
    before = store.size
    found = tiny.estimate(image_paths, measure=False)
    tiny.precompute(image_paths, verbose=0)
    assert found.store_bytes == pytest.approx(store.size - before, rel=0.1)


def test_prefetch_is_written_too(store, images):
    alone = extractor(store, "fc").estimate(images, measure=False)
    more = extractor(store, "fc", prefetch="conv").estimate(images, measure=False)
    assert more.store_bytes - alone.store_bytes > 12 * 4 * UNITS["conv"]
    assert more.result_bytes == alone.result_bytes
    with pytest.raises(ValueError, match="needs a cache"):
        extractor(None, prefetch="conv").estimate(images)


def test_free_space(store, images, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=12345)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert extractor(store).estimate(images, measure=False).free_bytes == 12345


@given(n=st.integers(1, 12), more=st.integers(0, 11), batch=st.integers(1, 64))
@settings(max_examples=20, deadline=None)
def test_more_takes_more(n, more, batch):
    """Of images, layers and batches."""
    images = np.random.default_rng(0).integers(0, 256, (24, 13, 17, 3), dtype=np.uint8)
    tiny = extractor(batch_size=batch)
    few, many = (tiny.estimate(images[:k], LAYERS, measure=False) for k in (n, n + more))
    for name in ("n_images", "n_to_forward", "result_bytes", "peak_bytes"):
        assert getattr(few, name) <= getattr(many, name)
    assert tiny.estimate(images[:n], "fc", measure=False).peak_bytes < few.peak_bytes
    larger = extractor(batch_size=batch + 1).estimate(images[:n], LAYERS, measure=False)
    assert few.peak_bytes < larger.peak_bytes


def test_memory_of_weights(images):
    random = DNNFeatureExtractor("alexnet", "features.0", weights=None, batch_size=1)
    loaded = DNNFeatureExtractor("alexnet", "features.0", batch_size=1)
    peaks = [e.estimate(images[:1], measure=False).peak_bytes for e in (random, loaded)]
    assert peaks[1] - peaks[0] == 4 * 61_100_840
    assert peaks[0] > 4 * 61_100_840


@pytest.mark.parametrize(
    ("name", "n_params"), [("alexnet", 61_100_840), ("cornet-z", 2_071_656), ("vit_b_32", None)]
)
def test_parameters_are_counted_once(name, n_params):
    spec = resolve_model(name, weights=None)
    if n_params is None:  # a class token and positions belong to no module but the network's own
        n_params = sum(p.numel() for p in spec.skeleton().parameters())
        assert count_params(layers_of(spec)) == pytest.approx(n_params, rel=0.001)
    else:
        assert count_params(layers_of(spec)) == n_params


@pytest.mark.parametrize("measure", [True, False])
def test_errors_come_early(images, measure, monkeypatch):
    forbid(monkeypatch, "open_engine")
    with pytest.raises(ValueError, match="'conv9'"):
        extractor(layer="conv9").estimate(images, measure=measure)
    with pytest.raises(ValueError, match="'conv9'"):
        extractor().estimate(images, ["fc", "conv9"], measure=measure)
    with pytest.raises(ValueError, match="alexnet99"):
        DNNFeatureExtractor("alexnet99").estimate(images, measure=measure)


def test_missing_files(example_paths, tmp_path, store):
    paths = [*example_paths, str(tmp_path / "gone.png")]
    for cache in (None, store):
        with pytest.raises(ValueError, match=r"gone\.png"):
            extractor(cache).estimate(paths, measure=False)


def test_told_in_a_few_lines(store, images):
    found = extractor(store, LAYERS).estimate(images)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == [
        "network", "images", "layers", "result", "disk", "memory", "time",
    ]  # fmt: skip
    assert "12, of which 12 go through the network" in lines[1]
    assert "conv (2,280 units)" in lines[2]
    assert in_bytes(found.store_bytes) in lines[4]
    assert in_time(found.seconds) in lines[6]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    plain = extractor(None, LAYERS).estimate(images, measure=False)
    assert "disk" not in str(plain)
    assert "not measured" in str(plain)
    extractor(store, LAYERS).precompute(images, verbose=0)
    assert "nothing to compute" in str(extractor(store, LAYERS).estimate(images))
    with pytest.raises(AttributeError):
        found.seconds = 0.0


def test_many_layers_are_cut_short():
    n_units = {f"layer{i}": i for i in range(1, 9)}
    found = ExtractionEstimate("m", list(n_units), 1, 1, n_units, 4, None, None, 5, None)
    assert "layer5 (5 units), and 3 more" in str(found)


def test_keras(images):
    pytest.importorskip("tensorflow")
    vgg = DNNFeatureExtractor("VGG16", "block1_pool", weights=None, batch_size=2)
    found = vgg.estimate(images[:2], measure=False)
    assert found.n_units == {"block1_pool": 112 * 112 * 64}
    assert found.peak_bytes > 4 * 138_357_544


def test_words_for_sizes():
    assert [in_bytes(n) for n in (5, 1500, 2.5e9, 3e12)] == ["5 bytes", "1.5 kB", "2.5 GB", "3 TB"]
    assert [in_time(s) for s in (5, 600, 7200)] == ["5 s", "10 min", "2.0 h"]
