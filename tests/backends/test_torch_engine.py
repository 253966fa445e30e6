"""The torch engine by itself: memory that runs out, staging, precision, compiled passes."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skdnn._backends import _torch_device_copies, open_engine
from skdnn._backends._engine import Capture
from skdnn._backends._torch_device_copies import Direct, Staged, make_batch
from skdnn._backends._torch_engine import TorchEngine
from skdnn._backends._torch_layers import trace_layers
from skdnn._layers import resolve_layers
from skdnn.models import Model, Preprocessing
from skdnn.models._registry import resolve_model

SHAPE = (3, 20, 26)
CPU = torch.device("cpu")
LAYERS = ["norm", "relu@0", "relu", "both[1]", "named[second]", "penultimate", "output"]
OUT_OF_MEMORY: dict[str, tuple[type[BaseException], str]] = {
    "torch": (torch.cuda.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    "allocator": (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to"),
    "windows": (RuntimeError, "DefaultCPUAllocator: not enough memory: you tried to allocate"),
    "cudnn": (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "python": (MemoryError, ""),
}


class Small(nn.Module):
    """In-place ReLU called twice, batch norm, a tuple, a dict, an integer buffer, linear."""

    class Both(nn.Module):
        def forward(self, x):
            return x * 2, x + 1

    class Named(nn.Module):
        def forward(self, x):
            return {"first": x - 3, "second": x / 7}

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(5, 7, 3, stride=2)
        self.both, self.named = self.Both(), self.Named()
        self.fc = nn.Linear(7, 4)
        self.register_buffer("order", torch.tensor([2, 0, 1]))

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x[:, self.order])))
        x, y = self.both(self.relu(self.conv2(x)))
        named = self.named(x + y)
        return self.fc((named["first"] + named["second"]).mean((2, 3)))


class Limited(nn.Module):
    """Holds so many images at once and no more; remembers the sizes that it was asked for."""

    def __init__(
        self, limit: int, error: tuple[type[BaseException], str] = OUT_OF_MEMORY["torch"]
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 5)
        self.last = nn.Linear(2, 6)
        self.limit, self.error = limit, error
        self.sizes: list[int] = []

    def forward(self, x):
        y = self.first(x)
        if x.device.type != "meta":
            self.sizes.append(len(x))
            if len(x) > self.limit:
                kind, text = self.error
                raise kind(text)
        return self.last(y.mean((2, 3)))


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(4)
    network = Small()
    network.norm.running_mean += 0.1
    network.norm.running_var *= 1.7
    return network


def captures_of(
    network: nn.Module, names: Sequence[str], pooling: str = "flatten"
) -> list[Capture]:
    layers = trace_layers(network, SHAPE)
    known = {info.name: info for info in layers}
    requests = resolve_layers(names, layers, "network")
    return [Capture(r, known[r.path].of(r), pooling) for r in requests]


def images(n: int, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed)))


def engine_for(
    network: nn.Module, precision: str = "float32", device=CPU, **kwargs
) -> TorchEngine:
    return TorchEngine(network, owned=False, device=device, precision=precision, **kwargs)


def empty_rows(captures: Sequence[Capture], n: int) -> dict[str, np.ndarray]:
    return {c.name: np.full((n, *c.info.output_shape), np.nan, np.float32) for c in captures}


def extract(
    engine: TorchEngine, captures: Sequence[Capture], batches: Sequence[Sequence[torch.Tensor]]
) -> dict[str, np.ndarray]:
    """The engine's features of some batches, one behind the other."""
    found = []
    with engine.session(captures, None) as forward:
        for batch in batches:
            rows = empty_rows(captures, len(batch))
            forward(batch, rows)
            found.append(rows)
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}


def by_hand(network: nn.Module, batch: torch.Tensor) -> dict[str, np.ndarray]:
    """The layers of `Small`, computed step by step without its modules' side effects."""
    network = copy.deepcopy(network).eval()
    with torch.no_grad():
        norm = network.norm(network.conv(batch[:, network.order]))
        relu0 = norm.clamp_min(0)
        relu = network.conv2(relu0).clamp_min(0)
        summed = 3 * relu + 1
        pooled = (summed - 3 + summed / 7).mean((2, 3))
        seen = {
            "norm": norm,
            "relu@0": relu0,
            "relu": relu,
            "both[1]": relu + 1,
            "named[second]": summed / 7,
            "penultimate": pooled,
            "output": network.fc(pooled),
        }
    return {name: tensor.numpy() for name, tensor in seen.items()}


# --------------------------------------------------------------------------------------------
# Memory that runs out


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_batch_that_does_not_fit_is_halved(kind):
    network = Limited(3, OUT_OF_MEMORY[kind])
    captures = captures_of(network, ["first", "output"])
    batches = [images(9, seed) for seed in range(3)]
    with pytest.warns(UserWarning, match=r"'cpu' does not hold 9 images.* 2 fit") as caught:
        found = extract(engine_for(network), captures, batches)
    assert len(caught) == 1
    # 9 and 4 are too many; what fitted is where later batches start, the last part is filled up
    assert network.sizes == [9, 4] + [2] * 15
    network.limit = 99
    expected = extract(engine_for(network), captures, batches)
    assert network.sizes[-3:] == [9, 9, 9]
    for name, features in expected.items():
        assert_allclose(found[name], features, rtol=1e-5, atol=1e-6, err_msg=name)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 12),
    missing=st.integers(0, 11),
    limits=st.lists(st.integers(1, 14), min_size=1, max_size=4),
)
def test_rows_are_right_whatever_fits(n, missing, limits):
    torch.manual_seed(0)
    network = Limited(99)
    captures = captures_of(network, ["output"])
    n_rows = max(1, n - missing)  # the images beyond are padding
    found = []
    with (
        warnings.catch_warnings(),
        engine_for(network).session(captures, None) as forward,
    ):
        warnings.simplefilter("ignore")
        for seed, network.limit in enumerate(limits):  # memory that others take meanwhile
            network.sizes.clear()
            rows = empty_rows(captures, n_rows)
            forward(images(n, seed), rows)
            found.append(rows["output"])
            ran = [size for size in network.sizes if size <= network.limit]
            assert n_rows <= sum(ran) < n_rows + max(n, 1)
    with torch.no_grad():
        for seed, rows in enumerate(found):
            batch = torch.stack(images(n, seed)[:n_rows])
            expected = network.last(network.first(batch).mean((2, 3))).numpy()
            assert_allclose(rows, expected, rtol=1e-4, atol=1e-6)


def test_a_session_that_fits_says_nothing(recwarn):
    network = Limited(8)
    extract(engine_for(network), captures_of(network, ["output"]), [images(8), images(8, 1)])
    assert network.sizes == [8, 8]
    assert not recwarn.list


def test_not_even_one_image_fits():
    network = Limited(0).train()
    captures = captures_of(network, ["output"])
    with pytest.raises(MemoryError, match=r"'cpu'.*single image, however small batch_size"):
        extract(engine_for(network), captures, [images(5)])
    assert network.sizes == [5, 2, 1]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_other_errors_are_not_tried_again():
    network = Limited(3, (RuntimeError, "broken on purpose"))
    with pytest.raises(RuntimeError, match="broken on purpose"):
        extract(engine_for(network), captures_of(network, ["output"]), [images(6)])
    assert network.sizes == [6]


# --------------------------------------------------------------------------------------------
# Staging


@pytest.mark.parametrize("staged_bytes", [1, 2000, 2**28])
def test_staged_copies_equal_direct_ones(staged_bytes, small, monkeypatch):
    captures = captures_of(small, LAYERS)
    batches = [images(5, 1), images(5, 2)]
    expected = extract(engine_for(small), captures, batches)
    monkeypatch.setattr(_torch_device_copies, "_STAGED_BYTES", staged_bytes)
    monkeypatch.setattr("skdnn._backends._torch_engine.landing_for", Staged)
    found = extract(engine_for(small), captures, batches)
    for name, features in expected.items():
        assert_array_equal(found[name], features, err_msg=name)
    for name, features in by_hand(small, torch.stack(batches[0] + batches[1])).items():
        assert_allclose(expected[name], features, rtol=1e-5, atol=1e-6, err_msg=name)


def test_staged_copies_of_a_failed_pass_are_dropped(monkeypatch):
    network = Limited(2)
    captures = captures_of(network, ["first", "output"])
    monkeypatch.setattr("skdnn._backends._torch_engine.landing_for", Staged)
    with pytest.warns(UserWarning, match="2 fit"):
        found = extract(engine_for(network), captures, [images(5)])
    assert not any(np.isnan(rows).any() for rows in found.values())
    staged = Staged(CPU)
    target = torch.zeros(2, 3)
    staged.put(torch.ones(2, 3), target)
    assert not target.any()  # lands when the pass is over
    staged.discard()
    staged.finish()
    assert not target.any()


def test_columns_among_those_of_other_layers(small):
    captures = captures_of(small, ["relu", "output"])
    sizes = [c.info.n_units for c in captures]
    expected = extract(engine_for(small), captures, [images(6)])
    for landing in (Direct(), Staged(CPU)):
        features = np.full((6, sum(sizes)), np.nan, np.float32)
        rows = {"relu": features[:, : sizes[0]], "output": features[:, sizes[0] :]}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "skdnn._backends._torch_engine.landing_for", lambda device, way=landing: way
            )
            with engine_for(small).session(captures, None) as forward:
                forward(images(6), rows)
        flat = np.hstack([expected["relu"].reshape(6, -1), expected["output"]])
        assert_array_equal(features, flat)


# --------------------------------------------------------------------------------------------
# Precision


def rdm(features: np.ndarray) -> np.ndarray:
    patterns = features.reshape(len(features), -1).astype(np.float64)
    return 1 - np.corrcoef(patterns)[np.triu_indices(len(patterns), 1)]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_rdms_of_alexnet_hardly_change(precision):
    spec = resolve_model("alexnet", weights=None)
    y, x = np.mgrid[:256, :256] / 40
    pictures = [
        np.stack([127 + 120 * np.sin(a * x + b * y + c + a * b) for c in range(3)], -1)
        for a, b in [(0.2, 1), (1, 2), (3, 0.5), (2, 2.5), (5, 1), (0.1, 4)]
    ]
    prepared = [p[16:240, 16:240].astype(np.uint8) for p in pictures]
    layers = trace_layers(spec.load(), (3, 224, 224))
    known = {info.name: info for info in layers}
    wanted = ["features.0", "features.5", "features.12", "classifier.1", "output"]
    captures = [
        Capture(r, known[r.path].of(r), "flatten") for r in resolve_layers(wanted, layers, "")
    ]
    features = {}
    for kind in ("float32", precision):
        rows = empty_rows(captures, len(prepared))
        engine = TorchEngine(spec.load(), owned=True, device=CPU, precision=kind)
        with engine.session(captures, spec.preprocess) as forward:
            forward(prepared, rows)
        features[kind] = rows
    for name in wanted:
        full, half = features["float32"][name], features[precision][name]
        assert half.dtype == np.float32
        assert 0 < np.abs(half - full).max() < 0.05 * np.abs(full).max()
        assert np.corrcoef(rdm(full), rdm(half))[0, 1] > 0.999, name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_own_network_is_cast_in_a_copy(precision, small):
    before = {name: values.clone() for name, values in small.state_dict().items()}
    engine = engine_for(small, precision)
    found = extract(engine, captures_of(small, LAYERS), [images(6)])
    for name, features in by_hand(small, torch.stack(images(6))).items():
        scale = np.abs(features).max()
        assert_allclose(found[name], features, rtol=0, atol=0.02 * scale, err_msg=name)
        assert found[name].dtype == np.float32
    assert engine.network.fc.weight.dtype == getattr(torch, precision)
    assert engine.network.norm.running_var.dtype == getattr(torch, precision)
    assert engine.network.norm.num_batches_tracked.dtype == torch.int64
    assert engine.network.order.dtype == torch.int64
    for name, values in small.state_dict().items():
        assert values.dtype == before[name].dtype
        assert torch.equal(values, before[name])
    assert small.training


def test_means_are_not_rounded_to_the_network_s_precision(small):
    captures = captures_of(small, ["relu"], "mean")
    rows = {"relu": np.empty((6, 7), np.float32)}
    whole = extract(engine_for(small, "bfloat16"), captures_of(small, ["relu"]), [images(6)])
    with engine_for(small, "bfloat16").session(captures, None) as forward:
        forward(images(6), rows)
    assert_allclose(rows["relu"], whole["relu"].mean((2, 3)), rtol=1e-5, atol=1e-7)


def test_weights_that_a_precision_cannot_hold(small):
    small.norm.running_var[2] = 1e6
    with pytest.raises(ValueError, match=r"'float16' can't hold.*norm\.running_var.*bfloat16"):
        engine_for(small, "float16")
    small.norm.running_var[2] = torch.inf  # was so before: not of our making
    assert engine_for(small, "float16").network.norm.running_var[2] == torch.inf


def test_engines_are_kept_apart_by_what_they_compute():
    spec = resolve_model("squeezenet1_1", weights=None)
    plain = open_engine(spec, "cpu")
    assert open_engine(spec, "cpu", "float32", compile=False) is plain
    compiled = open_engine(spec, "cpu", compile=True)
    assert compiled is not plain
    assert (plain.compile, compiled.compile) == (False, True)
    assert open_engine(spec, "cpu", compile=True) is compiled


# --------------------------------------------------------------------------------------------
# Compiled passes


def n_compiled() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
def test_compiled_passes(small):
    """Everything in one test: compiling takes its time."""
    spec = resolve_model(Model(small), weights="default")
    engine = open_engine(spec, "cpu", compile=True)
    captures = captures_of(small, LAYERS)
    batch = images(5)
    found = extract(engine, captures, [batch, images(5, 1)])
    expected = extract(engine_for(small), captures, [batch, images(5, 1)])
    for name, features in by_hand(small, torch.stack(batch)).items():
        scale = np.abs(features).max()
        assert_allclose(found[name][:5], features, rtol=0, atol=1e-4 * scale, err_msg=name)
        assert_allclose(found[name], expected[name], rtol=0, atol=1e-4 * scale, err_msg=name)
    # The same layers again, in a new session of a new engine: nothing is compiled.
    before = n_compiled()
    assert before >= 1
    small.fc.bias.data += 1  # weights are no part of the graph
    again = extract(open_engine(spec, "cpu", compile=True), captures, [batch])
    assert n_compiled() == before
    assert_array_equal(again["relu"], found["relu"][:5])
    assert_allclose(again["output"], found["output"][:5] + 1, rtol=1e-5)
    # Other layers: another graph, not the hooks of the first.
    other = captures_of(small, ["conv", "relu"])
    few = extract(engine, other, [batch])
    assert_array_equal(few["relu"], found["relu"][:5])
    assert_allclose(few["conv"], extract(engine_for(small), other, [batch])["conv"], atol=1e-5)
    # A user's hook that changes what the network computes is followed, and so is its removal.
    handle = small.relu.register_forward_hook(lambda module, args, output: output * 0)
    assert not extract(engine, other, [batch])["relu"].any()
    handle.remove()
    assert_array_equal(extract(engine, other, [batch])["relu"], few["relu"])
    # The network is left as it was found.
    assert small.training
    assert small._compiled_call_impl is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.modules())


@pytest.mark.slow
def test_compiled_networks_are_not_kept_alive():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten())
    captures = captures_of(network, ["1"])
    extract(engine_for(network, compile=True), captures, [images(2)])
    last = weakref.ref(network)
    del network
    gc.collect()
    assert last() is None


@pytest.mark.slow
def test_network_that_is_no_single_graph():
    class ByValue(nn.Module):
        def forward(self, x):
            return x * 2 if float(x.sum()) > 1e9 else x + 1

    network = nn.Sequential(nn.Conv2d(3, 2, 3), ByValue(), nn.Flatten())
    captures = captures_of(network, ["0", "output"])
    with pytest.raises(RuntimeError, match=r"can't take this network.*Use compile=False"):
        extract(engine_for(network, compile=True), captures, [images(2)])
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.slow
def test_without_a_compiler(monkeypatch, tmp_path):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing compiled before
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Softplus(beta=1.37), nn.Flatten())
    captures = captures_of(network, ["1"])
    with pytest.raises(RuntimeError, match=r"C\+\+ compiler.*use compile=False"):
        extract(engine_for(network, compile=True), captures, [images(2)])


# --------------------------------------------------------------------------------------------
# On a GPU

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def cuda() -> torch.device:
    return torch.device("cuda")


class TestOnGPU:
    pytestmark = needs_gpu

    @pytest.mark.parametrize("staged_bytes", [1, 2**28])
    def test_features_equal_those_of_the_cpu(self, staged_bytes, small, cuda, monkeypatch):
        monkeypatch.setattr(_torch_device_copies, "_STAGED_BYTES", staged_bytes)
        captures = captures_of(small, LAYERS)
        batches = [images(16, seed) for seed in range(6)]
        expected = extract(engine_for(small), captures, batches)
        found = extract(engine_for(small, device=cuda), captures, batches)
        for name, features in expected.items():
            scale = np.abs(features).max()
            assert_allclose(found[name], features, rtol=0, atol=2e-3 * scale, err_msg=name)
        assert next(small.parameters()).device.type == "cpu"

    def test_preprocessing_equals_that_of_the_cpu_to_the_bit(self, cuda):
        pixels = [np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)] * 2
        preprocess = Preprocessing()
        batch = make_batch(pixels, preprocess, cuda, torch.float32)
        assert torch.equal(batch.cpu(), make_batch(pixels, preprocess, CPU, torch.float32))

    def test_large_activations_come_back_whole(self, cuda):
        """Page-locked blocks are used again while copies are under way."""
        network = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(inplace=True), nn.Conv2d(64, 64, 1))
        captures = captures_of(network, ["0", "1", "2"])
        batches = [images(256, seed) for seed in range(8)]
        expected = extract(engine_for(network), captures, batches)
        found = extract(engine_for(network, device=cuda), captures, batches)
        for name, features in expected.items():
            assert_allclose(found[name], features, atol=5e-3, err_msg=name)

    def test_a_real_lack_of_memory(self, cuda):
        network = nn.Sequential(nn.Conv2d(3, 256, 1), nn.Flatten())
        captures = captures_of(network, ["output"])
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, 2e8 / total))
        try:
            with pytest.warns(UserWarning, match="does not hold 512 images"):
                found = extract(engine_for(network, device=cuda), captures, [images(512)])
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        expected = extract(engine_for(network), captures, [images(512)])
        assert_allclose(found["output"], expected["output"], atol=5e-3)
