"""From a name to a source of networks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from skdnn import DNNFeatureExtractor, list_layers, list_models
from skdnn.models import _keras_build
from skdnn.models._registry import resolve_model

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Keras's names are looked for anew, before and after."""
    _keras_build.homes.cache_clear()
    yield
    _keras_build.homes.cache_clear()


@pytest.mark.parametrize(
    ("model", "backend", "name", "framework"),
    [
        ("resnet50", "auto", "torchvision/resnet50", "torch"),
        pytest.param(
            *("ResNet50", "auto", "keras/ResNet50", "tensorflow"), marks=needs_tensorflow
        ),
        ("ResNet50", "pt", "torchvision/resnet50", "torch"),
        pytest.param("vgg16", "tf", "keras/VGG16", "tensorflow", marks=needs_tensorflow),
        pytest.param("keras/VGG16", "auto", "keras/VGG16", "tensorflow", marks=needs_tensorflow),
        ("torchvision/vgg16", "torch", "torchvision/vgg16", "torch"),
        ("cornet-s", "auto", "cornet/cornet-s", "torch"),
        ("timm/resnet18", "auto", "timm/resnet18", "torch"),
        ("simclr-rn50", "auto", "published/simclr-rn50", "torch"),
        ("fcn_resnet50", "auto", "torchvision/fcn_resnet50", "torch"),
    ],
)
def test_where_a_name_leads(model: str, backend: str, name: str, framework: str) -> None:
    spec = resolve_model(model, backend=backend, weights=None)
    assert spec.name.startswith(name)
    assert spec.backend == framework


@pytest.mark.parametrize(
    ("model", "backend", "words"),
    [
        ("resnet51", "auto", "(?i)Did you mean .*'resnet50'"),
        pytest.param("keras/VGG17", "auto", "Did you mean .*'VGG16'", marks=needs_tensorflow),
        ("keras/VGG16", "torch", "clashes with model='keras/VGG16'"),
        ("torchvision/vgg16", "tf", "clashes"),
        ("timm/resnet19", "auto", "resnet18|unknown"),
        ("fasterrcnn_resnet50_fpn", "auto", "gives boxes"),
        ("r3d_18", "auto", "takes clips, not images"),
        ("raft_large", "auto", "pairs of images"),
    ],
)
def test_names_that_lead_nowhere(model: str, backend: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DNNFeatureExtractor(model, weights=None, backend=backend).fit(["a.png"])


@pytest.mark.parametrize("model", ["keras/VGG16", "VGG61"])
def test_without_tensorflow_names_are_unknown_for_that_reason(
    model: str, forgotten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name)
    )
    with pytest.raises(ValueError, match=r'need tensorflow: pip install "skdnn\[tensorflow\]"'):
        resolve_model(model)


def test_a_keras_with_its_networks_elsewhere_is_told(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    origin = str(tmp_path / "__init__.py")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin=origin)
    )
    with pytest.warns(UserWarning, match=r"keras\.applications is not where"):
        assert list_models("keras") == []


def test_every_name_is_found_again() -> None:
    """All of them without a prefix, and some with."""
    for source in ("torchvision", "cornet", "published", "keras"):
        for name in list_models(source):
            spec = resolve_model(name, weights=None)
            assert spec.name.partition("/")[0] in (source, "published")
    names = list_models()
    assert len(names) == len(set(names)) > 1000
    assert {"timm/vit_base_patch16_224", "open_clip/RN50", "clip-ViT"} <= set(names)
    with pytest.raises(ValueError, match="source='peer' is unknown"):
        list_models("peer")


def test_segmentation_gives_its_dictionary() -> None:
    table = list_layers("lraspp_mobilenet_v3_large", preprocess={"resize": (64, 80), "crop": None})
    assert table["n_calls"].max() >= 1
    assert table.set_index("layer").loc["classifier", "output_shape"] == (21, 8, 10)


@pytest.mark.parametrize(
    ("hidden", "model", "extra"),
    [
        ("tensorflow", "ResNet50", "tensorflow"),
        ("timm", "timm/resnet18", "timm"),
        ("open_clip", "clip-ViT", "clip"),
        ("open_clip", "open_clip/RN50", "clip"),
    ],
)
@pytest.mark.slow
def test_without_a_package_the_error_says_what_to_install(
    hidden: str, model: str, extra: str
) -> None:
    script = (
        f"import sys; sys.modules[{hidden!r}] = None\n"
        "import skdnn\n"
        f"try: skdnn.DNNFeatureExtractor({model!r}, weights=None).fit(['a.png'])\n"
        "except (ImportError, ValueError) as error: print(error)\n"
        f"try: skdnn.list_layers({model!r})\n"
        "except (ImportError, ValueError) as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.count(f'pip install "skdnn[{extra}]"') == 2, done.stdout


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("inception-ecoset", "published/inception-v3-ecoset"),
        ("dinov2-vit-small-p14", "timm/vit_small_patch14_dinov2.lvd142m"),
        ("SegmentAnything", "timm/samvit_huge_patch16.sa1b"),
    ],
)
def test_names_of_thingsvision(name, ours):
    if ours.startswith("timm"):
        pytest.importorskip("timm")
    assert resolve_model(name, weights=None).name == ours
    assert resolve_model(name, weights=None).key == resolve_model(ours, weights=None).key


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dino-xcit-small-12-p16", "without DINO's weights.*torch.hub"),
        ("dino-vit-tiny-p8", "no weights were published"),
        ("DreamSim", "its own package.*wrap it"),
    ],
)
def test_names_of_thingsvision_that_are_not_here(name, reason):
    with pytest.raises(
        ValueError, match=rf"model='{name}' is a name of THINGSvision's: .*{reason}"
    ):
        resolve_model(name)
