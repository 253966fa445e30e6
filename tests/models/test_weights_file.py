"""Checkpoints of one's own: layouts that are understood, and files that are refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from helpers.late import models
from skdnn.models import _cornet, _published, resolve_model
from skdnn.models._weights_file import load_state_dict, strict_load, unwrapped, without_prefixes


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of weights that no other test sees."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def swav(weights: Any):
    return _published.spec("swav-rn50", weights=weights, seed=0, preprocess="default")


def same_weights(network: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[k], state[k]) for k in found)


# Checkpoints that are refused


class Writer:
    """A pickle whose reading would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "it ran"))


def cases() -> dict[str, Any]:
    """One network of each source, and how its spec is made from a file of weights."""
    return {
        "torchvision": lambda weights: resolve_model("squeezenet1_1", weights=weights),
        "cornet": lambda weights: _cornet.spec(
            "cornet-z", weights=weights, seed=0, preprocess="default"
        ),
        "published": lambda weights: swav(weights),
    }


@pytest.mark.parametrize("source", cases())
def test_bad_checkpoints_are_refused_with_the_reason(source, tmp_path):
    build = cases()[source]
    path = tmp_path / "weights.pth"

    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match):
            build(path).load()

    torch.save(models.squeezenet1_0(weights=None).state_dict(), path)
    refused(r"does not fit .* missing|misshapen.*another architecture")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("can't be read as a checkpoint")
    path.write_bytes(b"")
    refused("can't be read as a checkpoint")
    torch.save({"epoch": 3}, path)
    refused("holds no state dict")
    torch.save([torch.ones(2)], path)
    refused("holds no state dict")


@pytest.mark.parametrize("source", cases())
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare pickle", "inside a dict"])
def test_code_in_a_pickle_never_runs(source, kind, tmp_path):
    sentinel, path = tmp_path / "sentinel", tmp_path / "weights.pth"
    bomb: Any = Writer(sentinel)
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    elif kind == "inside a dict":
        torch.save({"state_dict": {"w": torch.ones(1)}, "args": bomb}, path)
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        cases()[source](path).load()
    assert not sentinel.exists()
    pickle.loads(pickle.dumps(bomb))
    assert sentinel.exists()  # it would have run


def test_checkpoint_with_a_wrong_hash(home):
    (home / "cornet_z-5c427c9c.pth").write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(OSError, match=rf"SHA-256 is {found}, expected 5c427c9c\.\.\."):
        cases()["cornet"]("default").load()


# Wrappers and formats


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    network = models.resnet50(weights=None)
    network.fc = nn.Identity()
    state = network.state_dict()
    path = tmp_path / "own.safetensors"
    save_file({f"module.{key}": value for key, value in state.items()}, path)
    assert same_weights(swav(path).load(), state)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        swav(path).load()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".torch", ".ckpt", ".pth.tar"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s, "optimizer": {}},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {"model_state_dict": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"module.module.{k}": v for k, v in s.items()}},
    ],
)
def test_wrappers(wrap, suffix, tmp_path):
    state = nn.Linear(2, 3).state_dict()
    path = tmp_path / f"own{suffix}"
    torch.save(wrap(dict(state)), path)
    found = load_state_dict(path)
    assert list(found) == ["weight", "bias"]
    network = nn.Linear(2, 3)
    strict_load(network, found, path, "linear")
    assert same_weights(network, state)


def test_a_module_that_is_called_module_keeps_its_name():
    assert list(without_prefixes({"module.w": 1, "other.w": 2})) == ["module.w", "other.w"]
    assert unwrapped({"model": torch.ones(1), "w": 2})["w"] == 2
    assert without_prefixes({}) == {}
