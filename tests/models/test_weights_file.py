"""Checkpoints of one's own: layouts that are understood, and files that are refused."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from helpers.late import models
from skdnn.models import _cornet, _published_checkpoints
from skdnn.models._registry import resolve_model
from skdnn.models._torch_weights import load_state_dict, strict_load, unwrapped, without_prefixes


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of weights that no other test sees."""
    monkeypatch.setenv("SKDNN_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def swav(weights: Any):
    return _published_checkpoints.spec("swav-rn50", weights=weights, seed=0, preprocess="default")


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


# Numbers that are no weights


def test_a_dict_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = {"state_dict": content}
    torch.save(content, tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth' holds itself"):
        load_state_dict(tmp_path / "own.pth")


@pytest.mark.parametrize("keys", [[0, 1], [("fc", "weight"), 2], [None, b"fc"]])
def test_keys_that_are_no_names(tmp_path: Path, keys: list[Any]) -> None:
    torch.save(dict.fromkeys(keys, torch.ones(2)), tmp_path / "own.pth")
    said = rf"own\.pth' calls its tensors .*{keys[1]!r}"
    if not hasattr(torch.serialization, "safe_globals"):  # torch before 2.5 names the object
        said += "|_codecs.encode"
    with pytest.raises(ValueError, match=said):
        load_state_dict(tmp_path / "own.pth")


def test_an_archive_that_declares_more_than_it_holds(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2**20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "own.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    with pytest.raises(ValueError, match=r"own\.pth' can't be read .* declares 419\d+ bytes"):
        load_state_dict(tmp_path / "own.pth")


@pytest.mark.parametrize("layout", ["vicreg-rn50", "swav-rn50", "mae-vit-base-p16"])
def test_published_layouts_with_numbers_as_keys(tmp_path: Path, layout: str) -> None:
    torch.save({0: torch.ones(2), 1: torch.ones(2)}, tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth' calls its tensors 0, 1"):
        load_state_dict(tmp_path / "own.pth", _published_checkpoints._ENTRIES[layout].layout)


class Counting(nn.Module):
    """A weight, a mask with infinities, and a count, as networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("mask", torch.full((2,), -torch.inf))
        self.register_buffer("count", torch.tensor(3))


def _with(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    state = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
    state |= {"mask": torch.full((2,), -torch.inf), "count": torch.tensor(5)}
    return state | {key.replace("_", "."): value for key, value in changed.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_weights(dtype: torch.dtype) -> None:
    network = Counting()
    strict_load(network, _with(fc_weight=torch.full((2, 3), 0.5, dtype=dtype)), Path("w"), "own")
    assert network.fc.weight.dtype == torch.float32
    assert (network.fc.weight == 0.5).all()
    assert network.count == 5


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.ones(2, 3, dtype=torch.int8), "int8"),
        (torch.ones(2, 3, dtype=torch.int64), "int64"),
        (torch.ones(2, 3, dtype=torch.bool), "bool"),
        (torch.ones(2, 3, dtype=torch.complex64), "complex64"),
        (torch.ones(2, 3).to(torch.float8_e4m3fn), "float8_e4m3fn, without the scale"),
        (torch.ones(2, 3).to_sparse(), "sparse"),
        (torch.ones(2, 3, device="meta"), "no values"),
        (torch.tensor([[1.0, 2, 3], [4, torch.nan, 6]]), "NaN"),
        (torch.tensor([[1.0, 2, 3], [4, torch.inf, 6]]), "infinity"),
    ],
)
def test_numbers_that_are_no_weights(tensor: torch.Tensor, reason: str) -> None:
    network = Counting()
    before = network.fc.weight.detach().clone()
    with pytest.raises(ValueError, match=rf"w\.pth' holds .* fc\.weight \({reason}"):
        strict_load(network, _with(fc_weight=tensor), Path("w.pth"), "own")
    assert torch.equal(network.fc.weight, before)


@pytest.mark.skipif(not hasattr(torch, "quantize_per_tensor"), reason="torch has none any more")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_tensors_are_no_weights() -> None:
    tensor = torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)
    with pytest.raises(ValueError, match=r"fc\.weight \(qint8, without the scale"):
        strict_load(Counting(), _with(fc_weight=tensor), Path("w.pth"), "own")


def test_a_mask_of_nan_is_refused_and_one_of_infinities_is_not() -> None:
    strict_load(Counting(), _with(), Path("w.pth"), "own")
    with pytest.raises(ValueError, match=r"mask \(NaN"):
        strict_load(Counting(), _with(mask=torch.tensor([0.0, torch.nan])), Path("w"), "own")


def test_nan_is_refused_before_an_image_is_seen(tmp_path: Path) -> None:
    state = models.squeezenet1_1(weights=None).state_dict()
    state["features.0.bias"][3] = torch.nan
    torch.save(state, tmp_path / "own.PTH")
    with pytest.raises(ValueError, match=r"own\.PTH' holds .* features\.0\.bias \(NaN"):
        resolve_model("squeezenet1_1", weights=tmp_path / "own.PTH").load()
