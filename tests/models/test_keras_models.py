"""Networks of keras.applications: names, sizes, preprocessing, weights, fingerprints."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import io
import json
import pickle
import random
import subprocess
import sys
import types
import urllib.error
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from helpers.every_network import one_of_each_kind
from helpers.late import keras, late_keras, needs
from helpers.web_server import serve
from skdnn import _backends
from skdnn._backends import Capture, describe_layers, open_engine
from skdnn._layers import resolve_layers
from skdnn.models import Preprocessing
from skdnn.models import _keras as source
from skdnn.models import _keras_build as building
from skdnn.models import _keras_weights as weights_of
from skdnn.models._own_network import is_keras_model
from skdnn.models._preprocessing import preprocess_identity
from skdnn.models._registry import resolve_model

pytestmark = needs("tensorflow")
file_utils = late_keras("keras.src.utils.file_utils")
networks = late_keras("helpers.keras_networks")

SMALL = "MobileNet"
SIZE = {"resize": (32, 40)}
SIZES = {  # what Keras documents; all others take 224
    "EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380,
    "EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600,
    "EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480,
    "InceptionResNetV2": 299, "InceptionV3": 299, "NASNetLarge": 331, "Xception": 299,
}  # fmt: skip
SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}  # all others: 32
SMALLEST_OF_EACH = [
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2",
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50",
    "ResNet50V2", "VGG16", "VGG19", "Xception",
]  # fmt: skip
NO_CHANGE = ("convnext", "efficientnet", "efficientnet_v2", "mobilenet_v3")
CAFFE = ("resnet", "resnet50", "vgg16", "vgg19")  # BGR without the mean


@functools.cache
def at_run_time() -> dict[str, Any]:
    """Each network's module, found by looking through the imported package."""
    found = {}
    for module in vars(keras.applications).values():
        if isinstance(module, types.ModuleType) and hasattr(module, "preprocess_input"):
            for name, value in vars(sys.modules[module.preprocess_input.__module__]).items():
                if value is getattr(keras.applications, name, None) and callable(value):
                    found.setdefault(name, module)
    return found


def spec(name: str = SMALL, **options: Any) -> Any:
    given = {"weights": None, "seed": 0, "preprocess": SIZE, **options}
    return source.spec(name, **given)


def picture(height: int = 50, width: int = 70, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def weights_equal(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# --- names ---------------------------------------------------------------------------------


def test_names_are_those_that_keras_has() -> None:
    assert building.names() == sorted(at_run_time())
    assert {"ResNet50", "VGG16", "NASNetLarge", "ConvNeXtTiny"} <= set(building.names())


def test_names_are_listed_without_loading_tensorflow() -> None:
    code = (
        "import sys; from skdnn.models._keras_build import names; assert len(names()) > 30; "
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("hidden", ["tensorflow", "keras"])
def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == hidden else find(name, *a)
    )
    monkeypatch.setitem(sys.modules, hidden, None)
    building.homes.cache_clear()
    try:
        assert building.names() == []
        with pytest.raises(ImportError, match=rf'{hidden} is needed .*pip install "skdnn\[tens'):
            spec()
    finally:
        building.homes.cache_clear()


def test_keras_on_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match=r"keras runs on 'jax'.*KERAS_BACKEND=tensorflow"):
        spec()


def test_unknown_names_and_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'keras/ResNet5O' is unknown. Did you mean 'ResNet50'"):
        resolve_model("keras/ResNet5O")
    with pytest.raises(ValueError, match=r"weights='places' is neither published.*'imagenet'"):
        spec(weights="places")
    with pytest.raises(ValueError, match="there is no such file"):
        spec(weights=tmp_path / "none.keras")
    with pytest.raises(TypeError, match="weights must be"):
        spec(weights=3)
    (tmp_path / "a.pth").touch()
    with pytest.raises(ValueError, match="the name must end in one of"):
        spec(weights=tmp_path / "a.pth")
    problems = {"b.h5": "needs the file's SHA-256", "b.zip#sha256=1234abcd": "must end in one of"}
    for file, problem in problems.items():
        with pytest.raises(ValueError, match=problem):
            spec(weights=f"http://a/{file}")
    with pytest.raises(ValueError, match="preprocess must be"):
        spec(preprocess="none")


# --- preprocessing -------------------------------------------------------------------------


@pytest.mark.parametrize("name", building.names())
def test_preprocessing_is_the_modules_own(name: str) -> None:
    side = SIZES.get(name, 224)
    preprocess = spec(name, preprocess="default").preprocess
    assert preprocess.input_size == (side, side)
    image = picture()
    pixels = preprocess.pixels(image)
    assert_array_equal(pixels, np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)))
    batch = np.stack([pixels, pixels[::-1]])
    found = preprocess.batch(batch)
    module = at_run_time()[name]
    assert_array_equal(found, module.preprocess_input(batch.astype(np.float32)))
    assert found.dtype == np.float32
    kind = module.__name__.rpartition(".")[2]
    values = batch.astype(np.float64)
    if kind in CAFFE:
        expected = values[..., ::-1] - [103.939, 116.779, 123.68]
    elif kind == "densenet":
        expected = (values / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    else:
        expected = values if kind in NO_CHANGE else values / 127.5 - 1
    assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert batch.dtype == np.uint8
    assert_array_equal(batch[0], pixels)  # not changed in place


def test_a_dict_changes_only_what_it_names() -> None:
    own = spec("VGG16", preprocess="default").preprocess
    changed = spec("VGG16", preprocess={"interpolation": "bicubic"}).preprocess
    assert (changed.interpolation, changed.resize, changed.module) == (
        "bicubic", own.resize, "vgg16")  # fmt: skip
    cropped = spec("VGG16", preprocess={"resize": 256, "crop": 224}).preprocess
    assert (cropped.input_size, cropped.module) == ((224, 224), "vgg16")
    assert spec("VGG16", preprocess={"resize": 64}).preprocess.input_size == (64, 64)
    normal = spec("VGG16", preprocess={"mean": (0.1, 0.2, 0.3), "std": (1, 2, 4)}).preprocess
    pixels = normal.pixels(picture())[None]
    assert_allclose(
        normal.batch(pixels), (pixels / 255.0 - [0.1, 0.2, 0.3]) / [1, 2, 4], rtol=1e-5, atol=1e-6
    )
    assert_array_equal(pixels, own.pixels(picture())[None])


@pytest.mark.parametrize("crop", [None, 24, (20, 31), 64, (33, 80)])
@pytest.mark.parametrize("resize", [None, 30, (27, 41)])
@pytest.mark.parametrize("shape", [(50, 71), (71, 50), (33, 33)])
def test_geometry_is_that_of_torch(shape: Any, resize: Any, crop: Any) -> None:
    image = picture(*shape)
    found = source.KerasPreprocessing(resize=resize, crop=crop).pixels(image)
    assert_array_equal(found, Preprocessing(resize=resize, crop=crop).pixels(image))


def test_preprocessing_is_fingerprinted_by_its_values() -> None:
    known = [
        json.dumps(preprocess_identity(spec(name, preprocess=p).preprocess, None))
        for name in ("VGG16", "NASNetMobile", "EfficientNetB1")
        for p in ("default", {"interpolation": "bicubic"})
    ]
    assert len(set(known)) == len(known)
    assert "vgg16" in known[0]


def test_callables_and_instances_go_through() -> None:
    given = spec("VGG16", preprocess="default").preprocess
    assert spec("VGG16", preprocess=given).preprocess is given
    assert spec("VGG16", preprocess=np.asarray).preprocess is np.asarray
    plain = spec("VGG16", preprocess=Preprocessing()).preprocess
    assert (plain.input_size, plain.module) == ((224, 224), "")


# --- random weights ------------------------------------------------------------------------


def _digest(network: Any) -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in network.get_weights())).hexdigest()


@pytest.mark.slow
def test_random_weights_are_the_same_in_every_process() -> None:
    code = (
        "import random, hashlib; random.seed(5)\n"
        "from skdnn.models import _keras as s\n"
        "n = s.spec('MobileNet', weights=None, seed=3, preprocess={'resize': (32, 40)}).load()\n"
        "d = hashlib.sha256(b''.join(w.tobytes() for w in n.get_weights())).hexdigest()\n"
        "print('digest', d, [l.name for l in n.layers][:3])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    keras.layers.Conv2D(1, 1)  # names that Keras has given to others
    before = random.getstate()
    here = spec(seed=3).load()
    assert random.getstate() == before
    names = [layer.name for layer in here.layers][:3]
    assert f"digest {_digest(here)} {names}" in done.stdout
    assert _digest(spec(seed=4).load()) != _digest(here)
    kernel = here.get_layer("conv1").kernel.numpy()
    limit = np.sqrt(6 / (27 + 9 * 32))  # glorot_uniform, Keras's own
    assert 0.9 * limit < np.abs(kernel).max() <= limit


def test_names_of_layers_do_not_depend_on_what_was_built_before() -> None:
    first = [info.name for info in describe_layers(spec("InceptionV3", preprocess={"resize": 75}),
                                                   (3, 75, 75))]  # fmt: skip
    assert first[:3] == ["conv2d", "batch_normalization", "activation"]
    keras.Sequential([keras.layers.Conv2D(1, 1), keras.layers.Conv2D(1, 1)])
    network = spec("InceptionV3", preprocess={"resize": 75}).load()
    assert [layer.name for layer in network.layers[1:]] == first[:-2]


def test_settings_of_the_user_are_neither_used_nor_changed() -> None:
    keras.config.set_dtype_policy("float16")
    try:
        network = spec().load()
        assert keras.config.dtype_policy().name == "float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {w.dtype for w in network.weights} == {"float32"}
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="set_image_data_format"):
            spec().load()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_layers_are_listed_without_weights() -> None:
    chosen = spec("MobileNetV3Small", preprocess={"resize": 64})
    network = chosen.load()
    chosen = dataclasses.replace(chosen, load=lambda: pytest.fail("built with weights"))
    layers = describe_layers(chosen, (3, 64, 64))
    by_name = {info.name: info for info in layers}
    for layer in network.layers[1:]:
        info = by_name[layer.name]
        assert info.output_shape == tuple(layer.output.shape[1:])
        assert info.n_params == layer.count_params()
        assert info.n_calls == 1
    assert by_name["penultimate"].source == "logits"  # a convolution: there is no dense layer
    assert describe_layers(chosen, (3, 64, 64)) is layers  # remembered


# --- weights from files --------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    network = spec(seed=7).load()
    network.save(folder / "whole.keras")
    network.save(folder / "legacy.h5")
    network.save_weights(folder / "a.weights.h5")
    keras.Model(network.inputs, network.layers[-4].output).save(folder / "short.keras")
    keras.Model(network.inputs, network.layers[-4].output).save(folder / "short.h5")
    keras.Model(network.inputs, keras.layers.Dense(3)(network.output)).save(folder / "more.keras")
    keras.Model(network.inputs, keras.layers.Dense(3)(network.output)).save(folder / "more.h5")
    spec("MobileNetV2", seed=7).load().save_weights(folder / "other.weights.h5")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("file", ["whole.keras", "legacy.h5", "a.weights.h5"])
def test_weights_from_files(saved: dict[str, Path], file: str) -> None:
    chosen = spec(weights=saved[file])
    assert chosen.weights == str(saved[file])
    assert weights_equal(chosen.load(), spec(seed=7).load())
    assert chosen.fingerprint() != spec(seed=7).fingerprint()


@pytest.mark.parametrize(
    "file", ["short.keras", "short.h5", "more.keras", "more.h5", "other.weights.h5"]
)
def test_files_of_another_architecture(saved: dict[str, Path], file: str) -> None:
    with pytest.raises(ValueError, match=f"{file}' (can't be loaded into|does not fit) {SMALL}"):
        spec(weights=saved[file]).load()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values: values * np.nan, "holds NaN"),
        (lambda values: values.astype(np.int8), "holds int8"),
    ],
)
def test_numbers_that_are_no_weights(
    saved: dict[str, Path], tmp_path: Path, change: Any, reason: str
) -> None:
    path = tmp_path / "a.weights.h5"
    path.write_bytes(saved["a.weights.h5"].read_bytes())
    with h5py.File(path, "r+") as file:
        held: list[str] = []
        file.visititems(lambda name, item: held.append(name) if hasattr(item, "shape") else None)
        values = change(file[held[0]][()])
        del file[held[0]]
        file[held[0]] = values
    with pytest.raises(ValueError, match=rf"a\.weights\.h5' can't be loaded .*{reason}"):
        spec(weights=path).load()


@pytest.mark.parametrize("file", ["whole.keras", "legacy.h5", "a.weights.h5"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files(saved: dict[str, Path], tmp_path: Path, file: str, share: float) -> None:
    content = saved[file].read_bytes()
    cut = tmp_path / file
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"{file}' can't be loaded into {SMALL}"):
        spec(weights=cut).load()


class Bomb:
    went_off = False

    def __reduce__(self) -> Any:
        return _go_off, ()


def _go_off() -> None:
    Bomb.went_off = True


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_pickles_are_never_run(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="can't be loaded"):
        spec(weights=path).load()
    assert not Bomb.went_off


def test_code_in_a_keras_file_is_never_built(saved: dict[str, Path], tmp_path: Path) -> None:
    """The weights are right; the configuration would run something."""
    path, marker = tmp_path / "evil.keras", tmp_path / "ran"
    evil = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(
        eval(f"lambda x: (open({str(marker)!r}, 'w'), x)[1]"))])  # fmt: skip
    marker.unlink(missing_ok=True)
    buffer = io.BytesIO()
    keras.saving.save_model(evil, tmp_path / "e.keras")
    marker.unlink(missing_ok=True)
    with zipfile.ZipFile(saved["whole.keras"]) as good, zipfile.ZipFile(buffer, "w") as out:
        out.writestr("config.json", zipfile.ZipFile(tmp_path / "e.keras").read("config.json"))
        out.writestr("metadata.json", good.read("metadata.json"))
        out.writestr("model.weights.h5", good.read("model.weights.h5"))
    path.write_bytes(buffer.getvalue())
    assert weights_equal(spec(weights=path).load(), spec(seed=7).load())
    assert not marker.exists()


def test_weights_from_an_address(saved: dict[str, Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path))
    digest = hashlib.sha256(saved["a.weights.h5"].read_bytes()).hexdigest()
    with serve(saved["a.weights.h5"].parent) as web:
        url = f"{web.url}/a.weights.h5"
        chosen = spec(weights=f"{url}#sha256={digest}")
        assert weights_equal(chosen.load(), spec(seed=7).load())
        assert chosen.fingerprint() == spec(weights=saved["a.weights.h5"]).fingerprint()
        with pytest.raises(OSError, match=r"a\.weights\.h5"):
            spec(weights=f"{url}#sha256={64 * '0'}").load()


# --- published weights ---------------------------------------------------------------------


def test_published_weights_without_a_network(tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path / "home"))
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path))
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        spec("EfficientNetB0", weights="default").load()
    for part in ("https://storage", "efficientnetb0.h5", str(tmp_path), "902e53a9f72be733fc0b"):
        assert part in str(caught.value)


def test_published_weights_put_by_hand(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: Any
) -> None:
    """Keras publishes no hash of this one, so that a file of ours can stand for it."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path))
    (tmp_path / "mobilenet_1_0_224_tf.h5").write_bytes(saved["legacy.h5"].read_bytes())
    chosen = spec(weights="default")
    assert chosen.weights == "imagenet"
    network = chosen.load()
    assert network.input_shape == (None, 32, 40, 3)
    assert weights_equal(network, spec(seed=7).load())
    whole = spec(weights="imagenet", preprocess="default").load()
    assert whole.input_shape == (None, 224, 224, 3)


def test_a_wrong_file_put_by_hand(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path))
    (tmp_path / "f.h5").write_bytes(b"something")
    get_file = weights_of.get_file_for("X")
    assert get_file("f.h5", "http://a/f.h5") == str(tmp_path / "f.h5")
    for kind in ("md5", "sha256"):
        right = hashlib.new(kind, b"something").hexdigest()
        assert get_file("f.h5", "http://a/f.h5", file_hash=right) == str(tmp_path / "f.h5")
        with pytest.raises(ValueError, match="is not the published file"):
            get_file("f.h5", "http://a/f.h5", file_hash=right[::-1])


def test_published_weights_do_not_fit_every_size() -> None:
    network = spec("VGG16", preprocess="default").load()
    with pytest.raises(ValueError, match=r"VGG16 are for images of \(224, 224\)"):
        source._at_size(network, "VGG16", (64, 64))


# --- keys and fingerprints -----------------------------------------------------------------


def test_keys_and_fingerprints_tell_networks_apart(saved: dict[str, Path]) -> None:
    specs = [
        spec(), spec(seed=1), spec(preprocess={"resize": 64}), spec("MobileNetV2"),
        spec(weights="default"), spec(weights=saved["whole.keras"]),
        spec(weights=saved["more.h5"]),
    ]  # fmt: skip
    assert len({s.key for s in specs}) == len(specs)
    assert len({s.fingerprint() for s in specs}) == len(specs)
    assert spec().key == spec().key
    assert spec().fingerprint() == spec().fingerprint()


def _scaled(x: Any) -> Any:
    return 2 * x


def chain(*layers: Any, seed: int = 0) -> Any:
    network = keras.Sequential([keras.Input((8, 9, 3)), *layers], name="chain")
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(size=w.shape) for w in network.get_weights()])
    return network


def identity(network: Any, version: str | None = None) -> str:
    wrapped = types.SimpleNamespace(network=network, preprocess="default", name="own")
    return source.keras_custom_spec(wrapped, "default").fingerprint(version)


def test_own_networks_are_told_apart() -> None:
    def conv(**options: Any) -> Any:
        return keras.layers.Conv2D(2, 3, name="c", **options)

    def builds() -> list[Any]:
        return [
            chain(conv()),
            chain(conv(), seed=1),
            chain(conv(activation="relu")),
            chain(conv(activation=_scaled)),
            chain(conv(strides=2)),
            chain(conv(), networks.Times(2.0, name="t")),
            chain(conv(), networks.Times(3.0, name="t")),
            chain(conv(), networks.TimesAndMore(2.0, name="t")),
            chain(conv(), keras.layers.Dropout(0.5, name="d")),
        ]

    first = [identity(network) for network in builds()]
    assert len(set(first)) == len(first)
    assert [identity(network) for network in builds()] == first


def test_a_change_of_code_is_another_network() -> None:
    def network(body: str) -> Any:
        space: dict[str, Any] = {"keras": keras, "__name__": "mine"}
        exec(f"class Mine(keras.layers.Layer):\n def call(self, x):\n  return {body}", space)
        return chain(space["Mine"](name="mine"))

    assert identity(network("x + 1")) == identity(network("x + 1"))
    assert identity(network("x + 1")) != identity(network("x + 2"))


def test_code_that_cannot_be_fingerprinted_needs_a_version() -> None:
    network = chain(keras.layers.Conv2D(2, 3, activation=lambda x: x + 1))
    with pytest.raises(ValueError, match="version='1'"):
        identity(network)
    assert identity(network, "1") != identity(network, "2")


@pytest.mark.slow
def test_fingerprints_in_another_process_and_after_a_pass() -> None:
    code = (
        "import numpy as np, types\nfrom skdnn.models import _keras as s\n"
        "k = s.import_keras(); k.layers.Conv2D(1, 1); k.utils.set_random_seed(4)\n"
        "n = k.Sequential([k.Input((8, 9, 3)), k.layers.Conv2D(2, 3, name='c'),\n"
        "  k.layers.BatchNormalization(name='b')], name='chain')\n"
        "n.set_weights([np.ones(w.shape) for w in n.get_weights()])\n"
        "print('digest', s.keras_custom_spec(types.SimpleNamespace(\n"
        "  network=n, preprocess='default', name='own'), 'default').fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    network = chain(keras.layers.Conv2D(2, 3, name="c"), keras.layers.BatchNormalization(name="b"))
    network.set_weights([np.ones(w.shape) for w in network.get_weights()])
    known = identity(network)
    assert f"digest {known}" in done.stdout
    wrapped = types.SimpleNamespace(network=network, preprocess=np.asarray, name="own")
    describe_layers(source.keras_custom_spec(wrapped, "default"), (8, 9, 3))
    network(np.zeros((1, 8, 9, 3), np.float32))
    assert identity(network) == known


def test_own_networks_are_recognised() -> None:
    assert is_keras_model(chain())
    assert not is_keras_model(keras.layers.Dense(3))
    assert not is_keras_model("VGG16")
    wrapped = types.SimpleNamespace(network=chain(), preprocess={"crop": 200}, name="own")
    chosen = source.keras_custom_spec(wrapped, "default")
    assert (chosen.owned, chosen.backend, chosen.key) == (False, "tensorflow", None)
    assert (chosen.preprocess.resize, chosen.preprocess.crop) == (256, 200)
    assert chosen.load() is wrapped.network
    other = source.keras_custom_spec(wrapped, {"resize": 30, "crop": None})
    assert other.preprocess.resize == 30


# --- every network -------------------------------------------------------------------------


def check_against_a_sub_model(name: str) -> None:
    """Three layers, "penultimate" and "output" of one pass against Keras's own sub-model."""
    side = SMALLEST.get(name, 32)
    chosen = spec(name, preprocess={"resize": (side, side)})
    layers = describe_layers(chosen, (3, side, side))
    by_name = {info.name: info for info in layers}
    plain = [info.name for info in layers if not info.source and info.n_calls]
    wanted = [plain[len(plain) * part // 4] for part in (1, 2, 3)] + ["penultimate", "output"]
    captures = [Capture(r, by_name[r.path], "flatten") for r in resolve_layers(wanted, layers, "")]
    pixels = [chosen.preprocess.pixels(picture(seed=seed)) for seed in range(2)]
    rows = {c.name: np.full((2, *c.info.output_shape), np.nan, np.float32) for c in captures}
    engine = open_engine(chosen, "cpu")
    with engine.session(captures, chosen.preprocess) as forward:
        forward(pixels, rows)
    network = engine.network
    head = network.get_layer(by_name["penultimate"].source)
    outputs = [network.get_layer(layer).output for layer in wanted[:3]]
    sub = keras.Model(network.inputs[0], [*outputs, head.input, network.output])
    batch = at_run_time()[name].preprocess_input(np.stack(pixels).astype(np.float32))
    for layer, values in zip(wanted, sub(batch, training=False), strict=True):
        expected = values.numpy()
        scale = np.abs(expected).max()
        assert scale > 0
        assert_allclose(rows[layer] / scale, expected / scale, atol=2e-5, err_msg=layer)
    assert sum(w.size for w in network.get_weights()) == by_name["output"].n_params


def test_the_smallest_of_each_module_are_chosen() -> None:
    networks = at_run_time()
    assert {networks[name] for name in SMALLEST_OF_EACH} == set(networks.values())


def test_captures_equal_those_of_a_sub_model() -> None:
    check_against_a_sub_model("MobileNetV2")


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of_each_kind(building.names(), SMALLEST_OF_EACH))
def test_captures_of_every_kind(name: str) -> None:
    try:
        check_against_a_sub_model(name)
    finally:
        _backends._engines.clear()  # the largest weigh more than a gigabyte
        keras.utils.clear_session()
