"""Files of weights that hold no weights: refused before any image is used, by the true reason."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1

from skdnn import DNNFeatureExtractor
from skdnn._backends import _torch_engine
from skdnn.models._registry import resolve_model
from skdnn.models._torch_weights import load_state_dict, strict_load

IMAGES = np.zeros((1, 64, 64, 3), np.uint8)
FIRST = "features.0.weight"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return squeezenet1_1(weights=None).state_dict()


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Checks that a file is refused when an extractor is fitted, before any forward pass."""

    def check(path: Path, reason: str) -> None:
        monkeypatch.setattr(
            _torch_engine.Run, "__call__", lambda *a: pytest.fail("a forward pass")
        )
        extractor = DNNFeatureExtractor("squeezenet1_1", "classifier.1", weights=path)
        with pytest.raises(ValueError, match=rf"(?s){path.name}.*{reason}"):
            extractor.fit_transform(IMAGES)

    return check


def changed(state: dict[str, Any], make: Callable[[torch.Tensor], Any]) -> dict[str, Any]:
    """The same with another first weight."""
    return {**state, FIRST: make(state[FIRST])}


def with_one(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def make(weight: torch.Tensor) -> torch.Tensor:
        weight = weight.clone()
        weight[1, 2, 0, 0] = value
        return weight

    return make


def name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


KINDS = {
    **{
        str(dtype): (lambda w, dtype=dtype: w.to(dtype), rf"{FIRST} \({name(dtype)}\)")
        for dtype in (torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64)
    },
    **{
        str(dtype): (
            lambda w, dtype=dtype: w.to(dtype),
            rf"{FIRST} \({name(dtype)}, without the scale",
        )
        for dtype in (torch.float8_e4m3fn, torch.float8_e5m2)
    },
    "NaN": (with_one(float("nan")), rf"{FIRST} \(NaN among them"),
    "infinite": (with_one(float("-inf")), rf"{FIRST} \(infinity among them"),
    "too large": (
        lambda w: w.double() * 1e300,
        rf"{FIRST} \(float64, too large for torch.float32",
    ),
    "sparse": (lambda w: w.to_sparse(), rf"{FIRST} \(sparse"),
    "without values": (lambda w: w.to("meta"), rf"{FIRST} \(no values"),
    "a number": (lambda w: 3, f"no state dict.*'{FIRST}' is a int"),
    "another shape": (lambda w: w[:3], r"1 misshapen .*another architecture"),
    "huge": (lambda w: torch.zeros(1).expand(10**12), r"1 misshapen .*1000000000000"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_number(kind, state, refused, tmp_path):
    make, reason = KINDS[kind]
    torch.save(changed(state, make), tmp_path / "w.pth")
    refused(tmp_path / "w.pth", reason)


@pytest.mark.parametrize("kind", ["torch.int8", "torch.bool", "torch.float8_e5m2", "NaN"])
def test_the_same_in_safetensors(kind, state, refused, tmp_path):
    from safetensors.torch import save_file

    make, reason = KINDS[kind]
    save_file(changed(state, make), tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", reason)


def in_itself() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["state_dict"] = {"model": content}
    return content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "it is empty"),
        ({"state_dict": {}}, "it is empty"),
        (in_itself(), "holds itself"),
        ({0: torch.ones(1)}, "calls its tensors 0:"),
        ({"a": torch.ones(1), 1.5: torch.ones(1)}, "calls its tensors 1.5:"),
        ([torch.ones(1)], "it is a list"),
        (torch.ones(3), "it is a Tensor"),
        ({"epoch": 3, "w": torch.ones(1)}, "its entry 'epoch' is a int"),
        ({"a": {"b": {"c": torch.ones(1)}}}, "its entry 'a' is a dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("layout", [None, "swav-rn50", "vicreg-rn50", "mae-vit-base-p16"])
def test_what_is_no_state_dict(content, reason, layout, tmp_path):
    """Also for networks whose checkpoints have layouts of their own."""
    path = tmp_path / "w.pth"
    torch.save(content, path)
    load = resolve_model(layout, weights=path).load if layout else lambda: load_state_dict(path)
    with pytest.raises(ValueError, match=rf"w\.pth' .*{reason}"):
        load()


def test_however_deep(tmp_path):
    content: dict[str, Any] = {"w": torch.ones(2)}
    for _ in range(40):
        content = {"state_dict": content}
    torch.save(content, tmp_path / "w.pth")
    assert load_state_dict(tmp_path / "w.pth").keys() == {"w"}


class Odd(nn.Module):
    """Buffers that are no floats, or not finite, by right."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.register_buffer("places", torch.arange(3))
        self.register_buffer("kept", torch.tensor([True, False]))
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def test_numbers_that_do_fit(tmp_path):
    network, path = Odd(), tmp_path / "w.pth"
    state = {key: values.clone() for key, values in network.state_dict().items()}
    state["fc.weight"] = state["fc.weight"].half()
    state["fc.bias"] = state["fc.bias"].double()
    state["places"] = state["places"].to(torch.int32)
    state["kept"] = state["kept"].to(torch.uint8)
    strict_load(network, state, path, "odd")
    assert network.places.tolist() == [0, 1, 2]
    for key, values in {"places": torch.tensor([0.5, 1, 2]), "kept": torch.tensor([3, 0]),
                        "mask": torch.tensor([torch.nan, -torch.inf])}.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"w\.pth.*{key} \("):
            strict_load(network, {**state, key: values}, path, "odd")
    with pytest.raises(ValueError, match=r"places \(complex64"):
        strict_load(network, {**state, "places": torch.ones(3) * 1j}, path, "odd")


# --- files that declare more than they hold ------------------------------------------------


def safetensors(header: dict[str, Any] | int, body: bytes = b"\0" * 48) -> bytes:
    text = b"{}" if isinstance(header, int) else json.dumps(header).encode()
    return struct.pack("<Q", header if isinstance(header, int) else len(text)) + text + body


def entry(shape: list[int], end: int) -> dict[str, Any]:
    return {FIRST: {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "header", [entry([10**12], 4 * 10**12), entry([10**12], 48), entry([12], 4 * 10**12), 2**60]
)
def test_declared_larger_in_safetensors(header, refused, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(safetensors(header))
    refused(tmp_path / "w.safetensors", "can't be read as a checkpoint of tensors")


def test_declared_larger_in_a_pickle(refused, tmp_path):
    torch.save({FIRST: torch.arange(77.0)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as good,
        zipfile.ZipFile(tmp_path / "w.pth", "w") as out,
    ):
        for item in good.infolist():
            content = good.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"KM" in content
                content = content.replace(b"KM", b"\x8a\x06" + (10**12).to_bytes(6, "little"))
            out.writestr(item.filename, content)
    refused(tmp_path / "w.pth", "can't be read as a checkpoint of tensors")


def test_declared_larger_in_the_old_format(refused, tmp_path):
    path = tmp_path / "w.pth"
    torch.save({FIRST: torch.arange(77.0)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    place = content.rindex(struct.pack("<q", 77))
    path.write_bytes(content[:place] + struct.pack("<q", 10**13) + content[place + 8 :])
    refused(path, "can't be read as a checkpoint of tensors")


def test_packed_beyond_belief(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("w/data.pkl", b"")
        file.writestr("w/data/0", bytes(2**26))
    refused(tmp_path / "w.pth", "it declares 67108864 bytes and has [0-9]{5}")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin", "w.ckpt"])
def test_an_empty_file(name, refused, tmp_path):
    (tmp_path / name).touch()
    refused(tmp_path / name, r"can't be read as a checkpoint of tensors \(it is empty\)")


# --- what is no file -----------------------------------------------------------------------


@pytest.mark.parametrize("model", ["squeezenet1_1", "cornet-z", "MobileNetV2"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_does_not_hang(model, kind, tmp_path):
    path = tmp_path / ("w.h5" if model == "MobileNetV2" else "w.pth")
    if model == "MobileNetV2":
        pytest.importorskip("torchvision")  # tensorflow must not come before torch
        pytest.importorskip("tensorflow")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=rf"{path.name}'?: it is no regular file"):
        resolve_model(model, weights=path)
    with pytest.raises(ValueError, match="it is no regular file"):
        load_state_dict(path)


def test_a_file_that_became_a_pipe(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(squeezenet1_1().state_dict(), path)
    spec = resolve_model("squeezenet1_1", weights=path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is no regular file"):
        spec.load()
