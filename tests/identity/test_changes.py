"""A hundred changes between two calls: each is a miss or is refused, never a stale hit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changes import OF_THE_NETWORK
from changes_of_code import OF_CODE
from laboratory import extractor, identity, values
from torch import nn

CHANGES = {**OF_THE_NETWORK, **OF_CODE}


class Mode(torch.overrides.TorchFunctionMode):
    """Adds one to what ReLU gives."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        return found + 1 if func is torch.nn.functional.relu else found


def double(module, args, output):
    return 2 * output if isinstance(module, nn.Conv2d) else None


def double_input(module, args):
    return (2 * args[0],) if isinstance(module, nn.Linear) else None


def sine_of(self, x):
    return torch.sin(x)


def bound(self, x):
    return torch.sin(x)


def own_relu(x, *args, **kwargs):
    return x * x


class Change:
    """Makes a change, and undoes what is not the network's at the end of the test."""

    def __init__(self, lab, net, monkeypatch, stack):
        self._names = {
            **{"lab": lab, "net": net, "patch": monkeypatch.setattr, "env": monkeypatch.setenv},
            **{"undo": stack.callback, "enter": stack.enter_context, "np": np},
        }

    def __call__(self, code: str) -> None:
        exec("import collections, functools, operator, random, types", self._names)
        exec(code, {**globals(), **self._names})


@pytest.fixture
def make(laboratory, monkeypatch):
    with contextlib.ExitStack() as stack:

        def build(definition: str) -> tuple[Any, Change]:
            lab = laboratory(definition + "\n")
            net = lab.build()
            return net, Change(lab, net, monkeypatch, stack)

        yield build


def refused_or(compute: Any, *args: Any) -> Any:
    """None where a network is refused, which must tell the way out."""
    try:
        return compute(*args)
    except ValueError as error:
        told = str(error)
    assert "version='1'" in told or "Leave it before" in told
    return None


def test_there_are_a_hundred():
    assert len(CHANGES) >= 100


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_a_miss_or_refused(what, make):
    definition, code = CHANGES[what]
    net, change = make(definition)
    before, first = values(net), refused_or(identity, net)
    assert torch.equal(values(net), before)
    change(code)
    assert not torch.equal(values(net), before), "the change must matter"
    if first is not None:
        assert refused_or(identity, net) != first


@pytest.mark.parametrize("what", list(CHANGES)[::9])
def test_the_same_through_the_cache(what, make, tmp_path):
    definition, code = CHANGES[what]
    net, change = make(definition)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)

    def features(cache: Any) -> Any:
        return extractor(net, cache).fit_transform(images)

    before = refused_or(features, tmp_path / "store")
    change(code)
    found = refused_or(features, tmp_path / "store")
    if before is not None and found is not None:
        np.testing.assert_array_equal(found, features(None))


REFUSED = ["the environment", "all globals", "text that is run", "all modules",
           "a module imported inside", "a mode of one's own"]  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_followed_is_named(what, make):
    definition, code = CHANGES[what]
    net, change = make(definition)
    if what == "a mode of one's own":
        change(code)
    with pytest.raises(ValueError, match=r"before.*: it (uses|imports)|torch mode Mode is active"):
        identity(net)
    if what != "a mode of one's own":
        assert identity(net, version="1") != identity(net, version="2")


def test_a_version_stands_for_the_rest_of_nothing_else(make):
    """Weights and code that can be seen still count."""
    net, change = make(OF_CODE["the environment"][0])
    first = identity(net, version="1")
    assert identity(net, version="1") == first
    change("net.fc.weight.data[0, 0] += 1")
    second = identity(net, version="1")
    change("net.relu = nn.Tanh()")
    assert len({first, second, identity(net, version="1")}) == 3


def test_sources_that_cannot_be_read_any_more(laboratory):
    """Left out of the key, a change of them would go unnoticed."""
    lab = laboratory()
    net = lab.build()
    Path(lab["deep"].__file__).unlink()
    with pytest.raises(ValueError, match=rf"{lab.names['deep']}\.py.*version='1'"):
        identity(net)
    assert identity(net, version="1") != identity(net, version="2")
