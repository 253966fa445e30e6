"""What stored rows depend on: network, weights, code, preprocessing - and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from numpy.testing import assert_array_equal
from tiny_network import SMALL, extractor, network
from torch import nn
from torchvision import models, transforms

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn.models import Model

SEVERAL = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


def forwarded(store: ActivationStore) -> int:
    return store.stats["images_forwarded"]


OTHERS = {
    "weights": {"seed": 1},
    "preprocess": {"preprocess": {**SMALL, "interpolation": "nearest"}},
    "precision": {"precision": "bfloat16"},
    "pooling": {"layer": "conv", "pooling": "mean"},
    "layer": {"layer": "conv2"},
    "version": {"version": "2"},
}


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_changes_is_missed(store, paths, what):
    base = {key: value for key, value in OTHERS[what].items() if key == "layer"}
    extractor(store, **(base if what == "pooling" else {})).precompute(paths, verbose=0)
    extractor(store, **OTHERS[what]).precompute(paths, verbose=0)
    assert forwarded(store) == 46
    extractor(store, **OTHERS[what]).precompute(paths, verbose=0)
    extractor(store, **(base if what == "pooling" else {})).precompute(paths, verbose=0)
    assert forwarded(store) == 46
    assert len(store.contents()) == 2


def test_batch_size_and_jobs_make_no_difference(store, paths):
    for batch_size in (32, 7):
        extractor(store, batch_size=batch_size).precompute(paths, verbose=0)
    assert forwarded(store) == 23


def test_dtype_on_disk_is_part_of_the_key(tmp_path, paths):
    single, half = (ActivationStore(tmp_path / "store", dtype=d) for d in ("float32", "float16"))
    extractor(single).precompute(paths, verbose=0)
    extractor(half).precompute(paths, verbose=0)
    assert sorted(single.contents().dtype) == ["float16", "float32"]
    assert forwarded(single) == forwarded(half) == 46


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.conv.weight.data.mul_(2),
        lambda net: setattr(net.conv.weight, "data", net.conv.weight.data[[1, 0, 2, 3]]),
        lambda net: net.conv.weight.data.copy_(net.conv.weight.data[[1, 0, 2, 3]].clone()),
        lambda net: setattr(net.relu, "inplace", True),
        lambda net: setattr(net, "relu", nn.GELU()),
        lambda net: net.conv.register_forward_hook(double),
    ],
    ids=["values", "shuffled filters", "shuffled in place", "attribute", "part", "hook"],
)
def test_a_network_that_is_changed_is_another(store, paths, change):
    net = network()
    dnn = DNNFeatureExtractor(Model(net, SMALL), "fc", cache=store).fit(paths)
    dnn.transform(paths)
    change(net)
    fresh = DNNFeatureExtractor(Model(net, SMALL), "fc").fit_transform(paths)
    assert_array_equal(dnn.transform(paths), fresh)
    assert forwarded(store) == 46


def double(module, args, output):
    return 2 * output


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.manual_seed(5)
    torch.save(models.get_model("shufflenet_v2_x0_5").state_dict(), path)
    return path


def named(cache: object, **more: object) -> DNNFeatureExtractor:
    options = {"preprocess": {"resize": 40, "crop": 32}, "device": "cpu", "weights": None, **more}
    return DNNFeatureExtractor("shufflenet_v2_x0_5", "conv1", cache=cache, **options)


def change_weights(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    next(iter(state.values())).view(torch.int32)[0, 0, 0, 0] ^= 1 << 23
    torch.save(state, path)


def test_the_weights_file_counts_by_its_content(store, paths, checkpoint, tmp_path):
    first = Path(shutil.copy(checkpoint, tmp_path / "a.pth"))
    before = named(store, weights=first).fit_transform(paths)
    second = Path(shutil.copy(checkpoint, tmp_path / "b.pth"))
    assert_array_equal(named(store, weights=second).fit_transform(paths), before)
    assert forwarded(store) == 23
    change_weights(first)
    after = named(store, weights=first).fit_transform(paths)
    assert np.any(after != before)
    assert forwarded(store) == 46
    assert_array_equal(named(None, weights=first).fit_transform(paths), after)


def test_weights_overwritten_after_fit_are_refused(store, paths, checkpoint, tmp_path):
    """Else the old network's values would be found under the new file's name."""
    path = Path(shutil.copy(checkpoint, tmp_path / "a.pth"))
    dnn = named(store, weights=path).fit(paths)
    change_weights(path)
    with pytest.raises(ValueError, match=r"a\.pth.*have changed.*call fit again"):
        dnn.transform(paths)
    after = dnn.fit_transform(paths)
    assert_array_equal(after, named(None, weights=path).fit_transform(paths))


def test_named_networks_and_seeds(store, paths):
    named(store).precompute(paths, verbose=0)
    named(store, random_state=1).precompute(paths, verbose=0)
    named(store, random_state=0).precompute(paths, verbose=0)
    assert forwarded(store) == 46
    assert set(store.contents().weights) == {"random (seed 0)", "random (seed 1)"}


# --- code as preprocessing ---------------------------------------------------------------


def steps(mean: float = 0.5) -> transforms.Compose:
    return transforms.Compose(
        [
            transforms.Resize((16, 20)),
            transforms.ToTensor(),
            transforms.Normalize([mean] * 3, [0.5] * 3),
        ]
    )


def scaled(image):
    return GAIN * transforms.functional.to_tensor(image.resize((20, 16)))


GAIN = 1.0


def test_callable_of_torchvision(store, paths):
    first = extractor(store, preprocess=steps()).fit_transform(paths)
    again = extractor(store, preprocess=steps()).fit_transform(paths)
    assert_array_equal(first, again)
    assert forwarded(store) == 23
    other = extractor(store, preprocess=steps(0.4)).fit_transform(paths)
    assert np.any(first != other)
    assert forwarded(store) == 46


def test_function_counts_with_what_it_uses(store, paths, monkeypatch):
    first = extractor(store, preprocess=scaled).fit_transform(paths)
    extractor(store, preprocess=scaled).fit_transform(paths)
    assert forwarded(store) == 23
    monkeypatch.setitem(globals(), "GAIN", 2.0)
    assert np.any(extractor(store, preprocess=scaled).fit_transform(paths) != first)
    assert forwarded(store) == 46


def local_import(image):
    import tiny_network as own_code

    return own_code.np.zeros((3, 16, 20), np.float32)


@pytest.mark.parametrize(
    "code",
    [lambda image: scaled(image), local_import, transforms.Lambda(lambda image: scaled(image))],
    ids=["lambda", "imports its own code", "lambda inside"],
)
def test_code_that_cannot_be_told_asks_for_a_version(store, paths, code):
    with pytest.raises(ValueError, match=r"can't be fingerprinted.*version='1'"):
        extractor(store, preprocess=code).fit(paths)
    for version in ("1", "1", "2"):
        extractor(store, preprocess=code, version=version).precompute(paths, verbose=0)
    assert forwarded(store) == 46


def test_a_version_stands_only_for_what_cannot_be_told(store, paths):
    for mean in (0.5, 0.4):
        extractor(store, preprocess=steps(mean), version="1").precompute(paths, verbose=0)
    assert forwarded(store) == 46
    gelu = network()
    gelu.relu = nn.GELU()
    for net in (network(), gelu):
        DNNFeatureExtractor(Model(net, SMALL), "fc", cache=store, version="1").fit_transform(paths)
    assert forwarded(store) == 92


FINGERPRINTS = """
from skdnn.models._preprocessing import preprocess_identity
from skdnn._file_digests import digest_of
from skdnn.models._registry import resolve_model
from skdnn.models import Model
from skdnn import DNNFeatureExtractor
from torchvision import transforms

class Own(nn.Module):
    KINDS = {("a", 1), ("b", 2), ("c", 3), frozenset({"x", "y"})}
    def __init__(self):
        super().__init__()
        self.inner, self.pair, self.same = network(), ("a", 1), {("a", 1), ("zz", 7), ("q", 8)}
    def forward(self, x):
        return self.inner(x) if "conv" in {"conv", "fc", "pool"} and self.KINDS else x

def code(image):
    return transforms.functional.to_tensor(image) * len({"a", "b"} | Own.KINDS)

torch.manual_seed(0)
for model in ("alexnet", Model(Own(), code), network()):
    weights = None if isinstance(model, str) else "default"
    print(resolve_model(model, weights=weights).fingerprint())
print(resolve_model("shufflenet_v2_x0_5", weights=sys.argv[1]).fingerprint())
print(resolve_model("alexnet", weights="IMAGENET1K_V1").fingerprint())
print(digest_of(preprocess_identity(code, None)))
print(digest_of(preprocess_identity(transforms.Compose([transforms.CenterCrop(9)]), None)))
"""


@pytest.mark.slow
def test_fingerprints_are_the_same_in_every_process(run_script, checkpoint):
    seen = {run_script(FINGERPRINTS, checkpoint, PYTHONHASHSEED=seed) for seed in ("1", "77")}
    (told,) = seen
    assert len(set(told.split())) == 7


WARM = """
from skdnn.models._model_spec import ModelSpec
import skdnn._extraction._chosen_network as chosen, skdnn._backends as backends
def never(*args, **options):
    raise AssertionError("the network is built")
chosen.open_engine = chosen.describe_layers = backends.open_engine = never
from skdnn import DNNFeatureExtractor
store, *paths = sys.argv[1:]
cache = ActivationStore(store, mode="r")
for layer in ("penultimate", "stage2.*", ["conv1", "output"]):
    dnn = DNNFeatureExtractor("shufflenet_v2_x0_5", layer, weights=None, cache=cache, device="cpu",
                              preprocess={"resize": 40, "crop": 32}, pooling="mean")
    features = dnn.fit_transform(paths)
    print(features.shape, float(np.abs(features).sum()), len(dnn.layers_))
print(cache.stats)
"""


@pytest.mark.slow
def test_a_warm_store_never_builds_the_network(run_script, store, paths):
    shown = []
    for layer in ("penultimate", "stage2.*", ["conv1", "output"]):
        dnn = named(store).set_params(layer=layer, pooling="mean")
        features = dnn.fit_transform(paths[:5])
        shown.append(f"{features.shape} {float(np.abs(features).sum())} {len(dnn.layers_)}")
    *lines, stats = run_script(WARM, store.root, *paths[:5]).splitlines()
    assert lines == shown
    assert "'misses': 0, 'images_forwarded': 0, 'batches_forwarded': 0" in stats
