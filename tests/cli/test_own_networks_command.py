"""Networks of one's own on the command line: ``--model FILE.py:FUNCTION``; weights by model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import ActivationStore, DNNFeatureExtractor, load_features
from skdnn.rsa import compare_rdms, compute_rdm

FILE = """
from torch import nn
from skdnn.models import Model

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 7, stride=9)
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)) * 2)

def build():
    return Tiny()

def wrapped():
    return Model(Tiny(), preprocess={"resize": 40, "crop": 32}, name="small")

def broken():
    return Tiny().missing

def no_network():
    return {"conv": 1}

def needs_more(size):
    return Tiny()

VALUE = 3
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the file, in which commands run."""
    (tmp_path / "lab_networks.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("lab_", "skdnn_file_")):
            del sys.modules[name]


def edit(file: Path, old: str, new: str) -> None:
    """Change a file as an editor does, also where the clock is coarse."""
    text, before = file.read_text(), file.stat().st_mtime_ns
    assert old in text
    file.write_text(text.replace(old, new))
    os.utime(file, ns=(before + 10**9, before + 10**9))


def extract(say: Any, pictures: Path, *more: object, model: str = "build") -> np.ndarray:
    said = say(
        *("extract", "--model", f"lab_networks.py:{model}", "--layer", "conv", "--images"),
        *(pictures, "--out", "f.h5", "--overwrite", "--quiet", "--device", "cpu", *more),
    )
    assert said.code == 0, said.err
    return np.asarray(load_features("f.h5").features)


def test_features_are_those_of_the_function(place: Path, say: Any, pictures: Path) -> None:
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = extract(say, pictures, "--seed", 3)
    assert torch.equal(torch.get_rng_state(), before)
    import lab_networks  # type: ignore[import-not-found]

    torch.manual_seed(3)
    network = lab_networks.build()
    paths = sorted(pictures.iterdir(), key=lambda path: int(path.stem[3:]))
    expected = DNNFeatureExtractor(network, "conv", device="cpu").fit_transform(paths)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not np.allclose(found, extract(say, pictures, "--seed", 4))


def test_each_command_that_takes_a_model(place: Path, say: Any, pictures: Path) -> None:
    own = ("--model", "lab_networks.py:wrapped")
    said = say("layers", "lab_networks.py:wrapped", "--json")
    assert [row["layer"] for row in json.loads(said.out)][:-2] == ["conv", "head"]
    assert json.loads(said.out)[0]["output_shape"] == [5, 3, 3]
    said = say("describe", *own, "--layer", "conv", "--json")
    assert json.loads(said.out)["facts"]["model"] == "small"
    said = say("classify", *own, "--images", pictures, "--top", 1, "--json", "--quiet")
    assert said.code == 0, said.err
    assert json.loads(said.out)[0]["class"].startswith("class ")
    rdm = compute_rdm(np.random.default_rng(0).normal(size=(12, 5)))
    names = [f"img{n}" for n in range(1, 13)]
    pd.DataFrame(rdm, names, names).to_csv("it.csv")
    said = say(
        *("search", *own, "--layer", "conv", "head", "--images", pictures, "--rdm", "it.csv"),
        *("--cv", 3, "--repeats", 1, "--components", 2, "--quiet", "--json"),
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["best_layer"] in ("conv", "head")
    said = say(
        *("extract", *own, "--layer", "conv", "--images", pictures, "--out", "x.h5"),
        *("--dry-run", "--json"),
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["n_images"] == 12


def test_what_the_file_computes_is_in_the_key(place: Path, say: Any, pictures: Path) -> None:
    """A change of the network is a miss; a comment is none."""
    file = place / "lab_networks.py"

    def stored() -> int:
        return len(ActivationStore("cache", mode="r").contents())

    first = extract(say, pictures, "--cache", "cache")
    assert stored() == 1
    np.testing.assert_array_equal(extract(say, pictures, "--cache", "cache"), first)
    edit(file, "VALUE = 3", "VALUE = 3  # a comment")
    np.testing.assert_array_equal(extract(say, pictures, "--cache", "cache"), first)
    assert stored() == 1
    edit(file, "stride=9", "stride=10")
    assert extract(say, pictures, "--cache", "cache").shape != first.shape
    edit(file, "stride=10", "stride=9")
    np.testing.assert_array_equal(extract(say, pictures, "--cache", "cache"), first)
    n_before = stored()
    edit(file, "* 2)", "* 3)")
    extract(say, pictures, "--cache", "cache")
    assert stored() == n_before + 1
    edit(file, '"resize": 40', '"resize": 32')
    extract(say, pictures, "--cache", "cache", model="wrapped")
    smaller = extract(say, pictures, "--cache", "cache", model="wrapped")
    edit(file, '"resize": 32', '"resize": 48')
    assert not np.allclose(extract(say, pictures, "--cache", "cache", model="wrapped"), smaller)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("missing.py:build", "there is no file missing.py"),
        ("lab_networks.py:biuld", "there is no function 'biuld' (nearest: 'build'"),
        ("lab_networks.py:VALUE", "there is no function 'VALUE'"),
        ("lab_networks.py", "name a function of it, as FILE.py:FUNCTION (it has build, wrapped"),
        ("lab_networks.py:broken", "broken() raised AttributeError: 'Tiny' object has no"),
        ("lab_networks.py:needs_more", "needs_more() raised TypeError"),
        ("lab_networks.py:no_network", "no_network() returned a dict, and a torch.nn.Module"),
        ("lab_syntax.py:build", "lab_syntax.py can't be run: SyntaxError"),
        ("lab_exit.py:build", "lab_exit.py can't be run: SystemExit: 3"),
        ("lab_empty.py:build", "there is no function 'build' (it defines none)"),
    ],
)
def test_errors_name_the_reason(
    place: Path, say: Any, pictures: Path, model: str, words: str
) -> None:
    (place / "lab_syntax.py").write_text("def build(:\n")
    (place / "lab_exit.py").write_text("import sys\nsys.exit(3)\n")
    (place / "lab_empty.py").write_text("")
    for command in (["layers", model], ["describe", "--model", model, "--layer", "conv"]):
        said = say(*command)
        assert said.code == 1
        assert words in said.err
        assert len(said.err.splitlines()) == 1


def test_a_file_that_is_called_like_a_library(place: Path, say: Any) -> None:
    """The library stays what it is."""
    import torch

    (place / "torch.py").write_text(FILE)
    said = say("layers", "torch.py:build", "--json")
    assert [row["layer"] for row in json.loads(said.out)][:-2] == ["conv", "head"]
    assert sys.modules["torch"] is torch


def test_weights_do_not_go_with_a_network_of_ones_own(place: Path, say: Any) -> None:
    said = say("describe", "--model", "lab_networks.py:build", "--weights", "none", "--layer", "x")
    assert said.code == 2
    assert "brings its own" in said.err


# --- compare -------------------------------------------------------------------------------------


def test_weights_of_each_model(place: Path, say: Any, pictures: Path) -> None:
    paths = sorted(pictures.iterdir(), key=lambda path: int(path.stem[3:]))
    import torch
    from torchvision.models import squeezenet1_1

    torch.manual_seed(8)
    torch.save(squeezenet1_1().state_dict(), "w.pth")
    said = say(
        *("compare", "--model", "squeezenet1_1@none", "squeezenet1_1@w.pth", "squeezenet1_1"),
        *("lab_networks.py:build", "--weights", "none", "--seed", 2, "--images", pictures),
        *("--layer", "features.3", "features.3", "features.4", "conv", "--quiet", "--json"),
        *("--device", "cpu", "--pooling", "mean", "--comparison", "pearson"),
    )
    assert said.code == 0, said.err
    found = pd.DataFrame(json.loads(said.out)).set_index("rdm")
    assert found.index.tolist() == [
        "squeezenet1_1@none/features.3",
        "squeezenet1_1@w.pth/features.3",
        "squeezenet1_1/features.4",
        "lab_networks.py:build/conv",
    ]
    rdms = [
        compute_rdm(
            DNNFeatureExtractor(
                "squeezenet1_1", layer, weights=weights, random_state=2, pooling="mean",
                device="cpu",
            ).fit_transform(paths)
        )
        for weights, layer in ((None, "features.3"), ("w.pth", "features.3"), (None, "features.4"))
    ]  # fmt: skip
    expected = compare_rdms(rdms, rdms, "pearson")
    np.testing.assert_allclose(found.iloc[:3, :3].to_numpy(float), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["alexnet", "alexnet"], "given twice: NAME@WEIGHTS"),
        (["alexnet@", "resnet18"], "before @ stands a network's name"),
        (["@none", "resnet18"], "before @ stands a network's name"),
    ],
)
def test_models_that_cannot_be_meant(
    place: Path, say: Any, pictures: Path, models: list[str], words: str
) -> None:
    said = say("compare", "--model", *models, "--images", pictures)
    assert said.code == 2
    assert words in said.err
