"""``skdnn rdm``: the RDMs of compute_rdm in files and pictures, and nothing where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

from skdnn import save_features
from skdnn.io import load_rdm
from skdnn.rsa import compute_rdm

NAMES = [f"img{n}.png" for n in range(1, 13)]
FEATURES = np.random.default_rng(0).normal(size=(12, 4, 3, 2)).astype(np.float32)
PNG = b"\x89PNG"


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A file of one layer."""
    return save_features(FEATURES, tmp_path / "f.h5", labels=NAMES)[0]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A file of two layers, and the classes of images."""
    layers = {"conv.1": FEATURES, "fc/a": FEATURES[:, :, 0, 0]}
    classes = ["cat"] * 6 + ["cup"] * 6
    return save_features(layers, tmp_path / "two.h5", labels=NAMES, targets=classes)[0]


def made(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_table_and_a_picture(one: Path, run_skdnn: Any, tmp_path: Path) -> None:
    done = run_skdnn("rdm", one, "--out", "new/rdm.png", "new/rdm.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 x 12" in done.stdout
    assert (tmp_path / "new" / "rdm.png").read_bytes().startswith(PNG)
    found = load_rdm(tmp_path / "new" / "rdm.csv")
    expected = squareform(pdist(FEATURES.reshape(12, -1).astype(np.float64), "correlation"))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.index.tolist() == NAMES


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".npy", ".npz", ".mat", ".h5"])
def test_every_format_of_data(one: Path, say: Any, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"rdm{kind}"
    said = say("rdm", one, "--metric", "euclidean", "--out", out, "--json", "--quiet")
    assert said.code == 0, said.err
    assert said.err == ""
    assert json.loads(said.out) == {
        "files": [str(out)],
        "layers": ["f"],
        "n_conditions": 12,
        "metric": "euclidean",
    }
    expected = compute_rdm(pd.DataFrame(FEATURES.reshape(12, -1), index=NAMES), "euclidean")
    pd.testing.assert_frame_equal(load_rdm(out), expected, atol=1e-12, check_names=False)


def test_several_layers(two: Path, say: Any, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("r.csv", "r.h5", "r.svg")]
    said = say("rdm", two, "--out", *outs, "--rank", "--groups")
    assert said.code == 0, said.err
    assert made(tmp_path) == {"two.h5", "r.conv.1.csv", "r.fc_a.csv", "r.h5", "r.svg"}
    expected = compute_rdm(FEATURES[:, :, 0, 0])
    np.testing.assert_allclose(load_rdm(tmp_path / "r.fc_a.csv"), expected, atol=1e-12)
    together = load_rdm(tmp_path / "r.h5")
    assert together.columns.get_level_values(0).unique().tolist() == ["conv.1", "fc/a"]
    np.testing.assert_allclose(together["fc/a"], expected, atol=1e-12)
    assert "cup" in (tmp_path / "r.svg").read_text() or (tmp_path / "r.svg").stat().st_size > 1000
    said = say("rdm", two, "--layer", "fc/a", "--out", tmp_path / "one.csv")
    assert said.code == 0, said.err
    np.testing.assert_allclose(load_rdm(tmp_path / "one.csv"), expected, atol=1e-12)


def test_centred_and_normalised(one: Path, say: Any, tmp_path: Path) -> None:
    said = say(
        *("rdm", one, "--metric", "sqeuclidean", "--center", "--normalize"),
        *("--out", tmp_path / "r.npy"),
    )
    assert said.code == 0, said.err
    flat = FEATURES.reshape(12, -1).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    expected = squareform(pdist(flat, "sqeuclidean"))
    np.testing.assert_allclose(load_rdm(tmp_path / "r.npy"), expected, rtol=1e-5)


def test_images_are_found_by_name(say: Any, tmp_path: Path, pictures: Path) -> None:
    shuffled = [NAMES[row] for row in np.random.default_rng(1).permutation(12)]
    file = save_features(FEATURES, tmp_path / "f.h5", labels=shuffled)[0]
    said = say(
        *("rdm", file, "--images", pictures, "--order", "cluster", "--out", tmp_path / "r.png")
    )
    assert said.code == 0, said.err
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)
    file = save_features(FEATURES, tmp_path / "g.h5", labels=[f"x{name}" for name in NAMES])[0]
    said = say("rdm", file, "--images", pictures, "--out", tmp_path / "s.png")
    assert said.code == 1
    assert "ximg1.png" in said.err
    assert not (tmp_path / "s.png").exists()


def test_features_without_names_and_images(say: Any, tmp_path: Path, pictures: Path) -> None:
    file = save_features(FEATURES, tmp_path / "f.h5")[0]
    assert say("rdm", file, "--out", tmp_path / "r.csv").code == 0  # nothing is paired
    words = ("rdm", file, "--images", pictures, "--out", tmp_path / "r.png")
    said = say(*words)
    assert (said.code, (tmp_path / "r.png").exists()) == (1, False)
    assert "f.h5 has no names" in said.err
    assert "--assume-order" in said.err
    assert say(*words, "--assume-order").code == 0
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)


def test_a_table_of_anyone(say: Any, tmp_path: Path) -> None:
    table = pd.DataFrame(FEATURES.reshape(12, -1), index=NAMES)
    table.to_csv(tmp_path / "f.csv")
    assert say("rdm", tmp_path / "f.csv", "--out", tmp_path / "r.csv").code == 0
    found = load_rdm(tmp_path / "r.csv")
    np.testing.assert_allclose(found, compute_rdm(table), atol=1e-9)
    assert found.index.tolist() == NAMES


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        (["--out", "r.doc"], "r.doc"),
        (["--out", "r.csv", "--metric", "corelation"], "corelation"),
        (["--out", "r.csv", "--layer", "fc/b"], "fc/b"),
        (["--out", "r.csv", "r.csv"], "given twice"),
        (["--out", "two.h5"], "--overwrite"),
        (["--out", "two.h5/r.csv"], "is no folder"),
        (["--out", "r.png", "--images", "nowhere"], "nowhere"),
    ],
)
def test_errors_come_first_and_write_nothing(
    two: Path, say: Any, tmp_path: Path, monkeypatch: Any, options: list[str], culprit: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = two.read_bytes()
    said = say("rdm", two, *options)
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith("skdnn rdm: error: ")
    assert culprit in said.err
    assert made(tmp_path) == {"two.h5"}
    assert two.read_bytes() == before


def test_errors_of_a_process(run_skdnn: Any, tmp_path: Path) -> None:
    done = run_skdnn("rdm", "nothing.h5", "--out", "r.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing.h5" in done.stderr
    assert "Traceback" not in done.stderr


def test_usage_and_help(say: Any) -> None:
    assert say("rdm", "f.h5").code == 2
    said = say("rdm", "--help")
    assert said.code == 0
    assert "examples:\n  skdnn rdm features.h5 --out rdm.png" in said.out


def test_a_layers_file_is_not_replaced(two: Path, say: Any, tmp_path: Path) -> None:
    (tmp_path / "r.fc_a.csv").write_text("mine")
    said = say("rdm", two, "--out", tmp_path / "r.csv")
    assert said.code == 1
    assert "r.fc_a.csv exists" in said.err
    assert made(tmp_path) == {"two.h5", "r.fc_a.csv"}
    assert say("rdm", two, "--out", tmp_path / "r.csv", "--overwrite").code == 0
    assert (tmp_path / "r.fc_a.csv").read_text() != "mine"


def test_an_rdm_is_not_taken_for_features(tmp_path: Path, say: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(6, 6))
    rdm = np.abs(values + values.T) * (1 - np.eye(6))
    for name, one in (("features", values), ("brain", rdm)):
        pd.DataFrame(one, list("abcdef"), list("abcdef")).to_csv(f"{name}.csv")
    assert say("rdm", "features.csv", "--out", "one.csv").code == 0
    said = say("rdm", "brain.csv", "--out", "two.csv")
    assert said.code == 1
    assert "brain.csv holds an RDM already" in said.err
    assert not Path("two.csv").exists()
