"""From a name to a source of networks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skdnn import DNNFeatureExtractor, list_layers, list_models
from skdnn.models import resolve_model


@pytest.mark.parametrize(
    ("model", "backend", "name", "framework"),
    [
        ("resnet50", "auto", "torchvision/resnet50", "torch"),
        ("ResNet50", "auto", "keras/ResNet50", "tensorflow"),
        ("ResNet50", "pt", "torchvision/resnet50", "torch"),
        ("vgg16", "tf", "keras/VGG16", "tensorflow"),
        ("keras/VGG16", "auto", "keras/VGG16", "tensorflow"),
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
        ("keras/VGG17", "auto", "Did you mean .*'VGG16'"),
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
