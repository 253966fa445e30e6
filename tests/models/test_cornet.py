"""CORnet against the published description: keys, shapes, counts, and the way of the image."""

from __future__ import annotations

import copy
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn
from torch.nn import functional

from helpers.late import models
from skdnn import DNNFeatureExtractor
from skdnn._backends import describe_layers
from skdnn.models import Model, _cornet, cornet
from skdnn.models._registry import resolve_model

NAMES = ["cornet-z", "cornet-rt", "cornet-r", "cornet-s"]
WIDTHS = {"V1": (3, 64), "V2": (64, 128), "V4": (128, 256), "IT": (256, 512)}
SIZES = {"V1": 56, "V2": 28, "V4": 14, "IT": 7}
LINEAR = {"decoder.linear.weight": (1000, 512), "decoder.linear.bias": (1000,)}
N_PARAMS = {
    "cornet-z": 2_071_656,
    "cornet-rt": 5_208_936,
    "cornet-r": 5_208_936,
    "cornet-s": 53_416_616,
}
Shapes = dict[str, tuple[int, ...]]


def spec(name, weights=None, seed=0, preprocess="default"):
    return _cornet.spec(name, weights=weights, seed=seed, preprocess=preprocess)


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """Random networks; not to be changed."""
    return {name: spec(name).load() for name in NAMES}


@pytest.fixture(scope="module")
def tables(networks):
    """Layers by name, from networks without weights."""
    return {
        name: {info.name: info for info in describe_layers(spec(name), (3, 224, 224))}
        for name in networks
    }


# Names, shapes, counts


def shapes_of_z() -> Shapes:
    shapes: Shapes = {}
    for area, (before, width) in WIDTHS.items():
        size = 7 if area == "V1" else 3
        shapes[f"{area}.conv.weight"] = (width, before, size, size)
        shapes[f"{area}.conv.bias"] = (width,)
    return shapes | LINEAR


def shapes_of_r() -> Shapes:
    shapes: Shapes = {}
    for area, (before, width) in WIDTHS.items():
        size = 7 if area == "V1" else 3
        shapes[f"{area}.conv_input.weight"] = (width, before, size, size)
        shapes[f"{area}.conv_input.bias"] = (width,)
        shapes[f"{area}.norm_input.weight"] = (width,)
        shapes[f"{area}.norm_input.bias"] = (width,)
        shapes[f"{area}.conv1.weight"] = (width, width, 3, 3)
        shapes[f"{area}.norm1.weight"] = (width,)
        shapes[f"{area}.norm1.bias"] = (width,)
    return shapes | LINEAR


def norm(name: str, width: int) -> Shapes:
    own = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (width,))
    return {f"{name}.{key}": shape for key, shape in (own | {"num_batches_tracked": ()}).items()}


def shapes_of_s() -> Shapes:
    shapes: Shapes = {"V1.conv1.weight": (64, 3, 7, 7), **norm("V1.norm1", 64)}
    shapes |= {"V1.conv2.weight": (64, 64, 3, 3), **norm("V1.norm2", 64)}
    for area, times in (("V2", 2), ("V4", 4), ("IT", 2)):
        before, width = WIDTHS[area]
        wide = 4 * width
        shapes[f"{area}.conv_input.weight"] = (width, before, 1, 1)
        shapes[f"{area}.skip.weight"] = (width, width, 1, 1)
        shapes |= norm(f"{area}.norm_skip", width)
        shapes[f"{area}.conv1.weight"] = (wide, width, 1, 1)
        shapes[f"{area}.conv2.weight"] = (wide, wide, 3, 3)
        shapes[f"{area}.conv3.weight"] = (width, wide, 1, 1)
        for t in range(times):
            shapes |= norm(f"{area}.norm1_{t}", wide)
            shapes |= norm(f"{area}.norm2_{t}", wide)
            shapes |= norm(f"{area}.norm3_{t}", width)
    return shapes | LINEAR


SHAPES = {
    "cornet-z": shapes_of_z(),
    "cornet-rt": shapes_of_r(),
    "cornet-r": shapes_of_r(),
    "cornet-s": shapes_of_s(),
}
Z_AREA = ["conv", "nonlin", "pool", "output"]
R_AREA = ["conv_input", "norm_input", "nonlin_input", "conv1", "norm1", "nonlin1", "output"]
S_FIRST = ["conv1", "norm1", "nonlin1", "pool", "conv2", "norm2", "nonlin2", "output"]
S_AREA = ["conv_input", "skip", "norm_skip", "conv1", "nonlin1", "conv2", "nonlin2", "conv3"]
S_AREA += ["nonlin3", "output", "norm1_0", "norm2_0", "norm3_0", "norm1_1", "norm2_1", "norm3_1"]


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_shapes(name, networks):
    assert sorted(_cornet.names()) == sorted(NAMES)
    found = {key: tuple(value.shape) for key, value in networks[name].state_dict().items()}
    assert list(found.items()) == list(SHAPES[name].items())
    n_keys = {"cornet-z": 10, "cornet-s": 164}.get(name, 30)
    assert len(found) == n_keys
    assert sum(p.numel() for p in networks[name].parameters()) == N_PARAMS[name]
    assert len(list(networks[name].parameters())) == {164: 77}.get(n_keys, n_keys)


def test_children_in_order(networks):
    def children(name: str, path: str = "") -> list[str]:
        return [key for key, _ in networks[name].get_submodule(path).named_children()]

    head = ["avgpool", "flatten", "linear"]
    for name in NAMES:
        assert children(name) == ["V1", "V2", "V4", "IT", "decoder"]
        assert children(name, "decoder") == head + ["output"] * (name in ("cornet-z", "cornet-s"))
    for area in WIDTHS:
        assert children("cornet-z", area) == Z_AREA
        assert children("cornet-r", area) == children("cornet-rt", area) == R_AREA
    assert children("cornet-s", "V1") == S_FIRST
    assert children("cornet-s", "V2") == children("cornet-s", "IT") == S_AREA
    assert children("cornet-s", "V4") == [*S_AREA] + [
        f"norm{i}_{t}" for t in (2, 3) for i in (1, 2, 3)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_output_of_areas(name, tables):
    for area, (_, width) in WIDTHS.items():
        info = tables[name][f"{area}.output"]
        assert info.output_shape == (width, SIZES[area], SIZES[area])
        assert info.layout == "channels_first"
    assert tables[name]["output"].output_shape == (1000,)
    assert tables[name]["penultimate"].output_shape == (512,)


def test_calls(tables):
    calls = {name: {k: info.n_calls for k, info in t.items()} for name, t in tables.items()}
    for name in ("cornet-r", "cornet-rt"):
        for area in WIDTHS:
            for child in R_AREA:
                n_calls = 4 if child.endswith("_input") and area != "V1" else 5
                assert calls[name][f"{area}.{child}"] == n_calls
            assert calls[name][area] == 5
        assert calls[name]["decoder"] == calls[name]["decoder.linear"] == 1
    for area, times in (("V2", 2), ("V4", 4), ("IT", 2)):
        for child in ("conv1", "nonlin1", "conv2", "nonlin2", "conv3", "nonlin3", "output"):
            assert calls["cornet-s"][f"{area}.{child}"] == times
        for child in ("conv_input", "skip", "norm_skip", "norm1_0", "norm2_1", "norm3_1"):
            assert calls["cornet-s"][f"{area}.{child}"] == 1
        assert calls["cornet-s"][area] == 1
    assert set(calls["cornet-z"].values()) == {1}


# What is computed


def images(n: int = 2, size: int = 224) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def outputs_of(network: nn.Module, batch: torch.Tensor) -> dict[str, list[torch.Tensor]]:
    """Every call's output of every area's `output`."""
    seen: dict[str, list[torch.Tensor]] = {area: [] for area in WIDTHS}
    handles = [
        network.get_submodule(f"{area}.output").register_forward_hook(
            lambda module, args, output, area=area: seen[area].append(output.clone())
        )
        for area in WIDTHS
    ]
    with torch.no_grad():
        network(batch)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("name", "arrival"),
    [
        ("cornet-rt", {"V1": 0, "V2": 1, "V4": 2, "IT": 3}),
        ("cornet-r", {"V1": 0, "V2": 1, "V4": 1, "IT": 1}),
    ],
)
def test_when_the_image_arrives(name, arrival, networks):
    seen = outputs_of(networks[name], images())
    for area, steps in seen.items():
        assert len(steps) == 5
        differ = [not torch.equal(first, second) for first, second in steps]
        assert differ == [step >= arrival[area] for step in range(5)]


def recurrent_by_hand(network: nn.Module, batch: torch.Tensor, delayed: bool) -> torch.Tensor:
    """From the equations, with the weights alone."""
    w = network.state_dict()

    def normed(x, key):
        return functional.relu(functional.group_norm(x, 32, w[f"{key}.weight"], w[f"{key}.bias"]))

    def step(area, u, s):
        if u is None:
            z = torch.zeros(len(batch), WIDTHS[area][1], SIZES[area], SIZES[area])
        else:
            stride, padding = (4, 3) if area == "V1" else (2, 1)
            weight, bias = w[f"{area}.conv_input.weight"], w[f"{area}.conv_input.bias"]
            z = functional.conv2d(u, weight, bias, stride, padding)
            z = normed(z, f"{area}.norm_input")
        z = z if s is None else z + s
        y = functional.conv2d(z, w[f"{area}.conv1.weight"], None, 1, 1)
        return normed(y, f"{area}.norm1")

    now = {area: step(area, batch if area == "V1" else None, None) for area in WIDTHS}
    for _ in range(4):
        before = dict(now)
        source = before if delayed else now
        for below, area in zip([None, "V1", "V2", "V4"], WIDTHS, strict=True):
            now[area] = step(area, batch if below is None else source[below], before[area])
    x = now["IT"].mean((2, 3))
    return x @ w["decoder.linear.weight"].T + w["decoder.linear.bias"]


@pytest.mark.parametrize("name", ["cornet-rt", "cornet-r"])
def test_recurrence_by_hand(name, networks):
    batch = images()
    with torch.no_grad():
        expected = recurrent_by_hand(networks[name], batch, name == "cornet-rt")
        found = networks[name](batch)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def s_by_hand(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """From the equations, with the weights alone; normalisation by running statistics."""
    w = network.state_dict()
    relu = functional.relu

    def conv(x, key, stride=1, padding=0):
        return functional.conv2d(x, w[f"{key}.weight"], None, stride, padding)

    def normed(x, key):
        mean, var = w[f"{key}.running_mean"], w[f"{key}.running_var"]
        return functional.batch_norm(x, mean, var, w[f"{key}.weight"], w[f"{key}.bias"])

    x = relu(normed(conv(batch, "V1.conv1", 2, 3), "V1.norm1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    x = relu(normed(conv(x, "V1.conv2", 1, 1), "V1.norm2"))
    for area, times in (("V2", 2), ("V4", 4), ("IT", 2)):
        x = conv(x, f"{area}.conv_input")
        for t in range(times):
            r = x if t else normed(conv(x, f"{area}.skip", 2), f"{area}.norm_skip")
            x = relu(normed(conv(x, f"{area}.conv1"), f"{area}.norm1_{t}"))
            x = relu(normed(conv(x, f"{area}.conv2", 1 if t else 2, 1), f"{area}.norm2_{t}"))
            x = relu(normed(conv(x, f"{area}.conv3"), f"{area}.norm3_{t}") + r)
    return x.mean((2, 3)) @ w["decoder.linear.weight"].T + w["decoder.linear.bias"]


def test_s_by_hand(networks):
    network = copy.deepcopy(networks["cornet-s"])
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # no two of them alike
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    stride = network.V2.conv2.stride
    with torch.no_grad():
        expected = s_by_hand(network, images(2, 96))
        assert_allclose(
            network(images(2, 96)), expected, rtol=1e-3, atol=1e-4 * expected.abs().max()
        )
    assert network.V2.conv2.stride == stride


def test_z_by_hand(networks):
    w = networks["cornet-z"].state_dict()
    x = images()
    for area in WIDTHS:
        stride, padding = (2, 3) if area == "V1" else (1, 1)
        weight, bias = w[f"{area}.conv.weight"], w[f"{area}.conv.bias"]
        x = functional.relu(functional.conv2d(x, weight, bias, stride, padding))
        x = functional.max_pool2d(x, 3, 2, 1)
    expected = x.mean((2, 3)) @ w["decoder.linear.weight"].T + w["decoder.linear.bias"]
    with torch.no_grad():
        assert_allclose(networks["cornet-z"](images()), expected, rtol=1e-4, atol=1e-6)


# Captures


@pytest.mark.parametrize("name", ["cornet-z", "cornet-rt", "cornet-s"])
def test_every_call_can_be_captured(name, networks, tables, example_paths):
    net = networks[name]
    called = {k: info.n_calls for k, info in tables[name].items() if "." in k}
    layers = [f"{layer}@{call}" for layer, n in called.items() for call in range(n)]
    if name == "cornet-s":  # all of them are many
        layers = [layer for layer in layers if layer.startswith(("V1", "IT.n", "V2.", "V4.out"))]
    extractor = DNNFeatureExtractor(Model(net), pooling="mean")
    found = extractor.extract(example_paths[:2], layers)
    seen: dict[str, list[np.ndarray]] = {layer: [] for layer in called}
    handles = [
        net.get_submodule(layer).register_forward_hook(
            lambda module, args, output, layer=layer: seen[layer].append(output.clone().numpy())
        )
        for layer in called
    ]
    preset = models.AlexNet_Weights.IMAGENET1K_V1.transforms()  # ImageNet's, as CORnet's is
    with torch.no_grad():
        net(torch.stack([preset(Image.open(p).convert("RGB")) for p in example_paths[:2]]))
    for handle in handles:
        handle.remove()
    for layer in layers:
        path, _, call = layer.partition("@")
        expected = seen[path][int(call)]
        expected = expected.mean((2, 3)) if expected.ndim == 4 else expected
        scale = max(np.abs(expected).max(), 1e-6)
        assert_allclose(found[layer], expected, rtol=0, atol=2e-4 * scale, err_msg=layer)


def test_a_time_step(networks, example_paths):
    extractor = DNNFeatureExtractor(Model(networks["cornet-rt"]))
    found = extractor.extract(example_paths[:2], ["IT.output@2", "IT.output@3", "IT.output", "V4"])
    assert_array_equal(found["IT.output@2"][0], found["IT.output@2"][1])
    assert not np.array_equal(found["IT.output@3"][0], found["IT.output@3"][1])
    assert found["V4"].shape == (2, 256, 14, 14)
    with pytest.raises(ValueError, match="the last is @4"):
        extractor.extract(example_paths[:2], ["IT.output@5"])


def test_s_takes_several_threads(networks):
    """A stride that was changed on the module would be another thread's too."""
    from concurrent.futures import ThreadPoolExecutor

    network = networks["cornet-s"]
    batches = [images(1, 32) * n for n in (1, 2, 3, 4)]

    def run(batch):
        with torch.no_grad():
            return network(batch)

    expected = [run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(run, batches), expected, strict=True):
            assert_allclose(found, right, rtol=1e-4, atol=1e-5)


# Weights and options


def test_initialisation(networks):
    z, s = networks["cornet-z"], networks["cornet-s"]
    for name, weight in z.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        else:
            area = math.prod(weight.shape[2:])
            bound = math.sqrt(6 / (area * (weight.shape[0] + weight.shape[1])))
            assert 0.97 * bound < weight.abs().max() <= bound
    for module in s.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert_allclose(module.weight.std().item(), expected, rtol=0.05)
    assert_allclose(s.decoder.linear.weight.abs().max().item(), 1 / math.sqrt(512), rtol=0.01)


def test_random_weights_follow_the_seed():
    first, same, other = (spec("cornet-z", seed=seed).load() for seed in (1, 1, 2))
    assert torch.equal(first.V4.conv.weight, same.V4.conv.weight)
    assert not torch.equal(first.V4.conv.weight, other.V4.conv.weight)
    assert spec("cornet-z", seed=1).fingerprint() != spec("cornet-z", seed=2).fingerprint()
    assert spec("cornet-r").fingerprint() != spec("cornet-rt").fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_published_layout_loads(name, networks, tmp_path, monkeypatch):
    """Checkpoints as published: behind DataParallel, inside a training script's dict."""
    letter = name.removeprefix("cornet-")
    wrapped = {f"module.{k}": v + 1 for k, v in networks[name].state_dict().items()}
    content = tmp_path / "made.pth"
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"lr": 0.1}}, content)
    sha256 = hashlib.sha256(content.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(_cornet._HASHES, letter, sha256)
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path))
    content.rename(tmp_path / f"cornet_{letter}-{sha256}.pth")
    loaded = spec(name, "default")
    assert loaded.weights == f"cornet_{letter}-{sha256}"
    found = loaded.load().state_dict()
    assert all(torch.equal(found[k], v + 1) for k, v in networks[name].state_dict().items())
    assert torch.equal(cornet(letter).network.decoder.linear.bias, found["decoder.linear.bias"])


def test_published_addresses():
    for letter, sha256 in {
        "z": "5c427c9c", "r": "5930a990", "rt": "933c001c", "s": "1d3f7974"
    }.items():  # fmt: skip
        published = _cornet._published(letter)
        base = "https://s3.amazonaws.com/cornet-models"
        assert published.url == f"{base}/cornet_{letter}-{sha256}.pth"
        assert published.sha256 == sha256


def test_times(networks):
    seven = cornet("rt", times=7, weights=None)
    assert seven.name == "cornet-rt (times=7)"
    assert len(outputs_of(seven.network, images(1))["IT"]) == 7
    five = cornet("rt", weights=None).network.state_dict()
    assert all(torch.equal(five[k], v) for k, v in seven.network.state_dict().items())
    first_five = outputs_of(seven.network, images())["IT"][:5]
    for found, expected in zip(
        first_five, outputs_of(networks["cornet-rt"], images())["IT"], strict=True
    ):
        assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    others = [cornet("rt", times=times, weights=None) for times in (5, 6)]
    assert len({resolve_model(model).fingerprint() for model in others}) == 2


def test_times_that_make_no_sense():
    with pytest.raises(ValueError, match="times must be a whole number"):
        cornet("rt", times=0, weights=None)
    with pytest.raises(ValueError, match="times must be a whole number"):
        cornet("r", times=2.5, weights=None)
    for letter in "zs":
        with pytest.raises(ValueError, match="fixed steps"):
            cornet(letter, times=5, weights=None)
    with pytest.warns(UserWarning, match="reaches IT at step 4"):
        cornet("rt", times=3, weights=None)
    with pytest.raises(ValueError, match="letter='q' is unknown"):
        cornet("q")


def test_words_that_are_no_weights():
    with pytest.raises(ValueError, match="Published: 'cornet_s-1d3f7974'"):
        spec("cornet-s", "IMAGENET1K_V9")
    with pytest.raises(TypeError, match="weights must be"):
        spec("cornet-s", 3)
    with pytest.raises(ValueError, match="no such file"):
        spec("cornet-s", Path("missing.pth"))
    with pytest.raises(ValueError, match=r"cornet-x' is unknown. Did you mean .*'cornet-s'"):
        resolve_model("cornet/cornet-x")
