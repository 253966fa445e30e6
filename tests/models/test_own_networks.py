"""Networks that a function in a file returns."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skdnn.models import Model, load_own_network

FILE = """
from torch import nn

def make():
    return nn.Conv2d(3, 4, 3)

def wrong():
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lab_small.py"
    path.write_text(FILE)
    before = list(sys.path)
    yield path
    sys.path[:] = before
    sys.modules.pop("lab_small", None)


def test_the_network_is_that_of_the_seed(file: Path) -> None:
    states = torch.get_rng_state(), random.getstate()
    found = load_own_network(f"{file}:make", seed=7)
    assert isinstance(found, Model)
    assert found.name == "lab_small.py:make"
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    torch.manual_seed(7)
    expected = nn.Conv2d(3, 4, 3)
    np.testing.assert_array_equal(
        found.network.weight.detach().numpy(), expected.weight.detach().numpy()
    )
    assert load_own_network(f"{file}:make", seed=7) is found
    other = load_own_network(f"{file}:make", seed=8)
    assert not torch.equal(other.network.weight, found.network.weight)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (":maek", r"no function 'maek' \(nearest: 'make'\)"),
        (":zzz", r"no function 'zzz' \(it has make, wrong\)"),
        ("", r"name a function of it, as FILE\.py:FUNCTION \(it has make, wrong\)"),
        (":wrong", r"wrong\(\) returned a int, and a torch\.nn\.Module"),
    ],
)
def test_wrong_functions_are_named(file: Path, function: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_own_network(f"{file}{function}")


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_own_network(f"{tmp_path}/none.py:make")
    with pytest.raises(ValueError, match=r"form FILE\.py:FUNCTION"):
        load_own_network("alexnet")
