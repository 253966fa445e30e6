"""One network of each module of keras.applications, against Keras's own pass through it.

Files of random weights stand in for the published ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from helpers.every_network import one_of_each_kind
from helpers.late import keras, late_keras, needs
from skdnn import DNNFeatureExtractor, _backends
from skdnn.models import _keras as source
from skdnn.models import _keras_build as building
from skdnn.models import _keras_weights as weights_of
from skdnn.models._registry import resolve_model

pytestmark = needs("tensorflow")
file_utils = late_keras("keras.src.utils.file_utils")

SMALLEST_OF_EACH = [
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2",
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50",
    "ResNet50V2", "VGG16", "VGG19", "Xception",
]  # fmt: skip
FIXED = ("VGG16", "VGG19", "NASNetMobile", "NASNetLarge")  # published weights fit one size only
OF_THE_TOP = ("conv_preds", "logits", "conv_2")  # of MobileNet and MobileNetV3
OTHER = (96, 80)
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class Family:
    """A network with stand-in weights, as Keras builds it."""

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.folder = name, folder
        monkeypatch.setenv("SKDNN_WEIGHTS", str(folder))
        monkeypatch.setattr(weights_of, "_check_hash", lambda *args: None)
        monkeypatch.setattr(file_utils, "get_file", lambda fname, *a, **k: self._stand_in(fname))
        self._stand_in(building.published_file(name)[0])
        self.truth = building.apart(lambda: self._constructor(weights="imagenet"))
        self.size = building.own_size(name)

    @property
    def _constructor(self) -> Any:
        return getattr(keras.applications, self.name)

    def _stand_in(self, fname: str) -> str:
        """The first part of the same weights where there is no top."""
        path = self.folder / fname
        if not path.exists():
            without_top = "notop" in fname.replace("no_top", "notop").replace("no-top", "notop")
            options = {"include_top": False} if without_top else {}
            network = building.apart(lambda: self._constructor(weights=None, **options))
            rng = np.random.default_rng(0)
            for layer in network.layers:
                if isinstance(layer, keras.layers.Normalization) and layer.weights:
                    layer.set_weights([MEAN, STD, np.int32(0)])
                elif isinstance(layer, keras.layers.BatchNormalization):
                    held = layer.get_weights()
                    layer.set_weights([w + rng.uniform(0.1, 0.3, w.shape) for w in held])
                elif layer.weights:
                    held = [rng.normal(0, 1, w.shape) for w in layer.get_weights()]
                    layer.set_weights([w / np.sqrt(w[..., 0].size + 1) for w in held])
            network.save(path)
        return str(path)

    def layers(self) -> list[str]:
        """The first, a middle and the last one but the top."""
        kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
        names = [layer.name for layer in self.truth.layers if isinstance(layer, kinds)]
        names = [name for name in names if name not in OF_THE_TOP]
        return [names[0], names[len(names) // 2], names[-1]]

    def expected(self, network: Any, images: np.ndarray) -> dict[str, np.ndarray]:
        homes = {"MobileNetV3Small": "mobilenet_v3", "MobileNetV3Large": "mobilenet_v3"}
        home = homes.get(self.name, building.homes()[self.name])
        inputs = getattr(keras.applications, home).preprocess_input(images.astype(np.float32))
        outputs = [network.get_layer(name).output for name in self.layers()]
        found = keras.Model(network.inputs, outputs)([inputs], training=False)
        return dict(zip(self.layers(), map(np.asarray, found), strict=True))

    def check(self, network: Any, size: tuple[int, int], **options: Any) -> None:
        rng = np.random.default_rng(1)
        images = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
        extractor = DNNFeatureExtractor(f"keras/{self.name}", layer=self.layers(), **options)
        found = extractor.extract(images)
        for name, expected in self.expected(network, images).items():
            scale = np.abs(expected).max()
            assert 0 < scale < np.inf
            assert_allclose(found[name], expected, rtol=1e-3, atol=1e-4 * scale, err_msg=name)


@pytest.fixture
def family(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Family]:
    yield Family(request.param, tmp_path, monkeypatch)
    _backends._engines.clear()
    keras.utils.clear_session()


every = pytest.mark.parametrize(
    "family", one_of_each_kind(building.names(), SMALLEST_OF_EACH), indirect=True
)


@pytest.mark.slow
@every
def test_published_own_file_and_other_size(family: Family) -> None:
    family.check(family.truth, family.size)
    files = ["own.weights.h5", "own.keras", "own.h5"] if family.name == "EfficientNetB0" else []
    for file in files or ["own.weights.h5"]:
        path = family.folder / file
        save = family.truth.save_weights if ".weights" in file else family.truth.save
        save(path)
        family.check(family.truth, family.size, weights=path)
    if family.name not in FIXED:
        shape = {"input_shape": (*OTHER, 3), "include_top": False}
        other = building.apart(lambda: family._constructor(weights="imagenet", **shape))
        family.check(other, OTHER, preprocess={"resize": OTHER})


@pytest.mark.slow
@every
def test_untrained_twin_has_the_published_architecture(family: Family) -> None:
    name = f"keras/{family.name}"
    twin = resolve_model(name, weights=None).load()
    kinds = [[type(layer).__name__ for layer in net.layers] for net in (twin, family.truth)]
    assert kinds[0] == kinds[1]
    for ours, theirs in zip(twin.layers, family.truth.layers, strict=True):
        assert ours.name == theirs.name
        if type(ours).__name__ in ("Normalization", "Rescaling"):  # what the pixels go through
            x = np.random.default_rng(2).uniform(0, 255, (1, 4, 5, 3)).astype(np.float32)
            assert_array_equal(ours(x), theirs(x))


@pytest.mark.slow
def test_a_file_of_a_network_that_was_built_without_the_scaling(tmp_path: Path) -> None:
    """As `EfficientNetB0(weights=None)` is: what was saved is what is computed."""
    own = building.apart(
        lambda: keras.applications.EfficientNetB0(weights=None, input_shape=(*OTHER, 3))
    )
    for file in ("own.weights.h5", "own.keras", "own.h5"):
        path = tmp_path / file
        (own.save_weights if ".weights" in file else own.save)(path)
        options = {"weights": path, "preprocess": {"resize": OTHER}}
        network = resolve_model("keras/EfficientNetB0", **options).load()
        assert [layer.name for layer in network.layers] == [layer.name for layer in own.layers]


def test_pixels_of_an_untrained_efficientnet_are_scaled_as_published() -> None:
    spec = resolve_model("EfficientNetB0", weights=None, preprocess={"resize": (32, 40)})
    network = spec.load()
    stem = network.get_layer("stem_conv_pad")
    x = np.random.default_rng(2).uniform(0, 255, (2, 32, 40, 3)).astype(np.float32)
    found = np.asarray(keras.Model(network.inputs, stem.input)([x]))
    assert_allclose(found, (x / 255 - MEAN) / STD, rtol=1e-4, atol=1e-5)


def test_corrected_networks_have_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of EfficientNet all but the published network at its own size was fed wrongly scaled."""

    def keys() -> list[str]:
        other = {"resize": OTHER}
        return [
            resolve_model(f"keras/{name}", weights=weights, preprocess=preprocess).fingerprint()
            for name in ("EfficientNetB0", "MobileNetV2")
            for weights, preprocess in (("default", "default"), ("default", other), (None, other))
        ]

    now = keys()
    wide = {"weights": "default", "preprocess": {"resize": OTHER}}
    assert "padded" in resolve_model("keras/MobileNetV3Small", **wide).identify(None)
    monkeypatch.setattr(source, "scaled_if_published", lambda name: False)
    assert [a == b for a, b in zip(now, keys(), strict=True)] == [True, False, False] + [True] * 3
