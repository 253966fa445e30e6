"""Settings of torch that change every network: named ones, too, have other rows under them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from laboratory import identity
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn._extraction import network_of

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)


def linear(x, inplace=False):
    return x


def double(module, args, output):
    return 2 * output if isinstance(module, nn.Conv2d) else None


@contextlib.contextmanager
def default_type() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def put(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def matmul(precision: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


SETTINGS = {
    "a hook": lambda: register_module_forward_hook(double),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to another type": lambda: torch.autocast("cpu", torch.float16),
    "the default type": default_type,
    "medium precision": lambda: matmul("medium"),
    "high precision": lambda: matmul("high"),
    "no TF32 in convolutions": lambda: put(torch.backends.cudnn, "allow_tf32", False),
    "sums in half precision": lambda: put(
        torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False
    ),
    "the default device": lambda: torch.device("cpu"),
    "a function of torch's": lambda: put(nn.functional, "relu", linear),
}


def named(cache: Any = None, **options: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(
        "shufflenet_v2_x0_5", "conv1", weights=None, cache=cache, device="cpu",
        preprocess={"resize": 40, "crop": 32}, pooling="mean", **options,
    )  # fmt: skip


@pytest.mark.parametrize("what", SETTINGS)
def test_each_setting_has_rows_of_its_own(what):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    own, by_name = identity(network), network_of(named()).identity
    with SETTINGS[what]():
        assert network_of(named()).identity != by_name
        assert identity(network) != own
    assert network_of(named()).identity == by_name
    assert identity(network) == own


def test_through_the_cache(tmp_path):
    store = ActivationStore(tmp_path)
    plain = named(store).fit_transform(IMAGES)
    for what in ("a hook", "autocast"):
        with SETTINGS[what]():
            found = named(store).fit_transform(IMAGES)
            np.testing.assert_array_equal(found, named().fit_transform(IMAGES))
            assert not np.array_equal(found, plain)
    np.testing.assert_array_equal(named(store).fit_transform(IMAGES), plain)
    assert store.stats["images_forwarded"] == 6


def test_hooks_that_cannot_be_told_ask_for_a_version(tmp_path):
    store = ActivationStore(tmp_path)
    with register_module_forward_hook(lambda module, args, output: None):
        with pytest.raises(ValueError, match=r"put into torch.*global hook: .*is a lambda"):
            named(store).fit(IMAGES)
        for _ in range(2):
            named(store, version="1").fit_transform(IMAGES)
    assert store.stats["images_forwarded"] == 2
    named(store).fit_transform(IMAGES)
    assert store.stats["images_forwarded"] == 4


def test_no_setting_no_entry():
    """Rows of named networks are found by what they were before there were settings."""
    assert network_of(named()).identity[2] == []


def test_compiling_another_network_changes_no_key():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    own = identity(network)
    install = pytest.importorskip("torch._dynamo.mutation_guard").install_generation_tagging_init
    made, restored = nn.Module.__init__, nn.Module.__setstate__
    try:
        install()  # what torch.compile does to all modules
        assert identity(network) == own
    finally:
        nn.Module.__init__, nn.Module.__setstate__ = made, restored
