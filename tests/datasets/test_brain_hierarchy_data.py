"""The published data of the brain hierarchy score: how they get here, and the ranking of them."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.web_server import WebFolder, serve
from skdnn.datasets import _brain_hierarchy as published
from skdnn.datasets import fetch_brain_hierarchy
from skdnn.formats import (
    BData,
    read_accuracies,
    read_bdata,
    read_feature_folder,
    write_bdata,
    write_feature_folder,
    write_mat,
)

SETTINGS = {
    "subjects": ["sub-01", "sub-02"],
    "rois": ["V1", "V2", "V3", "V4", "HVC"],
    "dnns": {
        "Worst": {"dir": "caffe/worst", "layers": ["a", "b", "c", "d", "e", "f"]},
        "Best": {"dir": "pytorch/best", "layers": ["a", "b", "c", "d", "e", "f", "g"]},
        "Middle": {"dir": "tensorflow/middle", "layers": ["a/x", "b", "c", "d"]},
    },
}
HIERARCHICAL = {"Worst": 0.0, "Middle": 0.5, "Best": 1.0}  # how much of the units is in order
N_UNITS = 60


def make_accuracies(root: Path) -> Path:
    """Accuracies whose best area goes with the layer, for a planted part of the units."""
    rng = np.random.default_rng(0)
    n_rois = len(SETTINGS["rois"])
    for name, plan in SETTINGS["dnns"].items():
        n_layers = len(plan["layers"])
        for i, layer in enumerate(plan["layers"]):
            for subject in SETTINGS["subjects"]:
                in_order = rng.uniform(size=N_UNITS) < HIERARCHICAL[name]
                planted = round(i / (n_layers - 1) * (n_rois - 1))
                best = np.where(in_order, planted, rng.integers(n_rois, size=N_UNITS))
                for j, roi in enumerate(SETTINGS["rois"]):
                    values = rng.uniform(0.1, 0.4, N_UNITS) + 0.4 * (best == j)
                    folder = root / plan["dir"] / layer.replace("/", ":") / subject / roi
                    write_mat(folder / "accuracy.mat", {"accuracy": values[None]})
    return root


def zipped(folder: Path, archive: Path, inner: str) -> None:
    """The folder's content in an archive, within `inner`."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{inner}/{path.relative_to(folder).as_posix()}")


def make_brain(path: Path) -> None:
    metadata = pd.DataFrame([[1, 1, 0], [0, 0, 1]], index=["ROI_V1", "image_index"])
    write_bdata(path, BData(np.array([[0.1, 0.2, 2], [0.3, 0.4, 1]]), metadata))


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebFolder]:
    """A web server on this computer that takes the place of the real addresses."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(folder) as running:
        here = {name: f"{running.url}/{name}" for name in published._ADDRESSES}
        monkeypatch.setattr(published, "_ADDRESSES", here)
        yield running


@pytest.fixture
def requests(web: WebFolder) -> list[str]:
    """Names that were asked for."""
    return web.requests


@pytest.fixture
def server(web: WebFolder) -> Path:
    """The folder that is served."""
    return web.path


@pytest.fixture
def served(server: Path, tmp_path: Path) -> Path:
    """All kinds of files, tiny."""
    accuracies = make_accuracies(tmp_path / "accuracies")
    for kind in ("decoding", "encoding"):
        inner = f"{kind}_accuracy_shared/ImageNetTest"
        zipped(accuracies, server / f"{kind}_accuracy.zip", inner)
    (server / "settings.json").write_text(json.dumps(SETTINGS))
    for split, images in (("Training", ["a", "b"]), ("Test", ["c"])):
        features = tmp_path / f"features{split}"
        write_feature_folder(features / "AlexNet", "fc6", images, np.eye(len(images), 3))
        zipped(
            features,
            server / f"features_{split.lower()}_caffe.zip",
            f"features/ImageNet{split}/caffe",
        )
        make_brain(server / f"sub-02_perceptionNaturalImage{split}_VC_v2.h5")
    return server


def hashes(home: Path) -> dict[str, Any]:
    return json.loads((home / "brain_hierarchy" / "hashes.json").read_text())


# --- fetching --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["decoding", "encoding"])
def test_accuracies(served, tmp_path, requests, kind):
    home = tmp_path / "home"
    data = fetch_brain_hierarchy(kind, data_home=home)
    assert sorted(requests) == [f"{kind}_accuracy.zip", "settings.json"]
    accuracies = read_accuracies(data.folder, data.settings)
    assert list(accuracies) == ["Worst", "Best", "Middle"]
    assert "brain hierarchy score" in data.DESCR
    assert sorted(os.listdir(home / "brain_hierarchy")) == [kind, "hashes.json", "settings.json"]
    again = fetch_brain_hierarchy(kind, data_home=home, download_if_missing=False)
    assert (again.folder, again.settings) == (data.folder, data.settings)
    assert len(requests) == 2


def test_features(served, tmp_path, requests):
    data = fetch_brain_hierarchy("features", framework="caffe", data_home=tmp_path / "home")
    assert set(data.folders) == {("training", "caffe"), ("test", "caffe")}
    features = read_feature_folder(data.folders["test", "caffe"] / "AlexNet", "fc6")
    assert features.names == ["c"]
    fetch_brain_hierarchy(
        "features", framework="caffe", split="training", data_home=tmp_path / "home"
    )
    assert sorted(requests) == ["features_test_caffe.zip", "features_training_caffe.zip"]


def test_brain_data(served, tmp_path, requests, monkeypatch):
    monkeypatch.setenv("SKDNN_DATA", str(tmp_path / "home"))
    data = fetch_brain_hierarchy("fmri", subject="sub-02", split="test")
    assert list(data.files) == [("sub-02", "test")]
    assert requests == ["sub-02_perceptionNaturalImageTest_VC_v2.h5"]
    assert read_bdata(data.files["sub-02", "test"]).label("image_index").tolist() == [2, 1]
    assert set(fetch_brain_hierarchy("fmri", subject="sub-02").files) == {
        ("sub-02", "training"),
        ("sub-02", "test"),
    }
    assert len(requests) == 2


def test_hashes_are_written_down_and_changes_refused(served, tmp_path, requests):
    home = tmp_path / "home"
    choice = {"what": "fmri", "subject": "sub-02", "split": "test", "data_home": home}
    path = fetch_brain_hierarchy(**choice).files["sub-02", "test"]
    assert set(hashes(home)) == {path.name}
    assert len(hashes(home)[path.name]["sha256"]) == 64
    os.utime(path, (1, 1))  # copied to another computer, say
    fetch_brain_hierarchy(**choice)
    assert hashes(home)[path.name]["mtime_ns"] == 10**9
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Test_VC_v2.h5 has changed.*when it was first fetched"):
        fetch_brain_hierarchy(**choice)
    assert path.read_bytes() == content
    path.unlink()
    fetch_brain_hierarchy(**choice)
    assert len(requests) == 2


def test_another_archive_than_the_first_is_refused(served, tmp_path):
    home = tmp_path / "home"
    folder = fetch_brain_hierarchy("decoding", data_home=home).folder
    shutil.rmtree(home / "brain_hierarchy" / "decoding")
    with zipfile.ZipFile(served / "decoding_accuracy.zip", "a") as file:
        file.writestr("more.txt", "more")
    with pytest.raises(ValueError, match=r"decoding_accuracy.zip has changed"):
        fetch_brain_hierarchy("decoding", data_home=home)
    assert not folder.exists()


def test_folders_filled_by_hand(served, tmp_path, requests):
    home = tmp_path / "home" / "brain_hierarchy"
    home.mkdir(parents=True)
    shutil.copy(served / "decoding_accuracy.zip", home)
    shutil.copy(served / "settings.json", home)
    shutil.copytree(tmp_path / "accuracies", home / "encoding")
    shutil.copytree(tmp_path / "featuresTest", home / "features" / "test" / "caffe")
    make_brain(home / "sub-01_perceptionNaturalImageTest_VC_v2.h5")
    choices: list[dict[str, str]] = [
        {"what": "decoding"},
        {"what": "encoding"},
        {"what": "features", "framework": "caffe", "split": "test"},
        {"what": "fmri", "subject": "sub-01", "split": "test"},
    ]
    found = [
        fetch_brain_hierarchy(**choice, data_home=home.parent, download_if_missing=False)
        for choice in choices
    ]
    for data in found[:2]:
        assert list(read_accuracies(data.folder, data.settings)) == ["Worst", "Best", "Middle"]
    folder = found[2].folders["test", "caffe"]
    assert read_feature_folder(folder / "AlexNet", "fc6").names == ["c"]
    assert (home / "decoding_accuracy.zip").is_file()  # what was put there stays
    assert requests == []


@pytest.mark.parametrize("download", [True, False])
def test_what_cannot_be_had_is_named_with_its_place(server, tmp_path, download):
    home = tmp_path / "home"
    with pytest.raises(OSError, match="brain_hierarchy are missing") as caught:
        fetch_brain_hierarchy("encoding", data_home=home, download_if_missing=download)
    message = str(caught.value)
    assert published._ADDRESSES["encoding_accuracy.zip"] in message
    assert "as encoding_accuracy.zip, or unpacked into" in message
    assert str(home / "brain_hierarchy" / "encoding") in message
    assert ("404 Client Error" in message) is download
    assert ("download_if_missing is False" in message) is not download
    if not download:  # all that is missing, before anything is downloaded
        assert "settings.json" in message
        with pytest.raises(OSError, match=r"(?s)sub-01.*sub-02.*sub-03.*put them"):
            fetch_brain_hierarchy("fmri", data_home=home, download_if_missing=False)


@pytest.mark.parametrize("name", ["decoding_accuracy.zip", "settings.json"])
def test_web_pages_instead_of_files(served, tmp_path, name):
    (served / name).write_text("<html>please enable JavaScript</html>")
    with pytest.raises(OSError, match=r"what came is no \.(zip|json) file, perhaps a web page"):
        fetch_brain_hierarchy("decoding", data_home=tmp_path / "home")
    left = list((tmp_path / "home" / "brain_hierarchy").glob("*"))
    assert name not in [path.name for path in left]
    assert not list((tmp_path / "home" / "brain_hierarchy").glob(".*"))


def test_wrong_files_put_there_by_hand(tmp_path):
    home = tmp_path / "brain_hierarchy"
    home.mkdir()
    brain = home / "sub-01_perceptionNaturalImageTest_VC_v2.h5"
    brain.write_text("<html>")
    with pytest.raises(ValueError, match=r"v2\.h5 is no \.h5 file, or cut short"):
        fetch_brain_hierarchy("fmri", subject="sub-01", split="test", data_home=tmp_path)
    assert brain.read_text() == "<html>"


def test_damaged_archive_leaves_no_folder(served, tmp_path):
    content = bytearray((served / "decoding_accuracy.zip").read_bytes())
    content[200:300] = bytes(100)
    (served / "decoding_accuracy.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"decoding_accuracy.zip is damaged"):
        fetch_brain_hierarchy("decoding", data_home=tmp_path / "home")
    left = [path.name for path in (tmp_path / "home" / "brain_hierarchy").iterdir()]
    assert sorted(left) == ["decoding_accuracy.zip", "hashes.json"]


def _spoilt(archive: Path, how: str) -> None:
    """Make it an archive that cannot be unpacked whole."""
    if how == "empty":
        zipfile.ZipFile(archive, "w").close()
        return
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):  # in the list, and before the file
        entry = content.find(mark)
        if how == "encrypted":
            content[entry + at] |= 1
        elif how == "of an unknown method":
            content[entry + at + 2] = 99
        elif mark == b"PK\x01\x02":  # "larger than the disk"
            content[entry + 24 : entry + 28] = b"\xfe\xff\xff\xff"
    archive.write_bytes(content)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("empty", "is an empty archive"),
        ("encrypted", "is encrypted"),
        ("of an unknown method", "method 99"),
        ("larger than the disk", "when it is unpacked"),
    ],
)
def test_archives_that_cannot_be_unpacked_are_refused(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**31))
    _spoilt(served / "decoding_accuracy.zip", how)
    with pytest.raises((ValueError, OSError), match=rf"decoding_accuracy\.zip .*{reason}"):
        fetch_brain_hierarchy("decoding", data_home=tmp_path / "home")
    left = [path.name for path in (tmp_path / "home" / "brain_hierarchy").iterdir()]
    assert sorted(left) == ["decoding_accuracy.zip", "hashes.json"]


def test_leftovers_of_archivers_do_not_count(server, tmp_path):
    with zipfile.ZipFile(server / "decoding_accuracy.zip", "w") as file:
        file.writestr("data/ImageNetTest/a.txt", "good")
        file.writestr("__MACOSX/ImageNetTest/._a.txt", "leftover of a Mac's archiver")
    (server / "settings.json").write_text(json.dumps(SETTINGS))
    data = fetch_brain_hierarchy("decoding", data_home=tmp_path / "home")
    assert (data.folder / "a.txt").read_text() == "good"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"what": "both"}, r"what must be one of .*'fmri'\], got 'both'"),
        ({"what": "fmri", "subject": "S1"}, "subject must be one of .*got 'S1'"),
        ({"what": "fmri", "split": "train"}, "split must be one of .*got 'train'"),
        ({"what": "features", "framework": "jax"}, "framework must be one of"),
        (
            {"what": "features", "subject": "sub-01"},
            "subject='sub-01' does not go with 'features'",
        ),
        ({"what": "decoding", "split": "test"}, "split='test' does not go with 'decoding'"),
    ],
)
def test_wrong_choices(tmp_path, choice, message):
    with pytest.raises(ValueError, match=message):
        fetch_brain_hierarchy(**choice, data_home=tmp_path)


def test_every_file_has_an_address():
    addresses = published._ADDRESSES
    assert len(set(addresses.values())) == len(addresses) == 1 + 2 + 6 + 6
    assert all(address.startswith("https://") for address in addresses.values())


# --- the ranking -----------------------------------------------------------------------------


@pytest.fixture
def ranking() -> dict[str, Any]:
    """The script, imported."""
    import matplotlib

    matplotlib.use("agg")
    script = Path(__file__).parents[2] / "examples" / "brain_hierarchy_ranking.py"
    return runpy.run_path(str(script))


@pytest.fixture
def accuracies(tmp_path: Path) -> Path:
    for kind in ("decoding", "encoding"):
        make_accuracies(tmp_path / "mine" / kind)
    (tmp_path / "mine" / "settings.json").write_text(json.dumps(SETTINGS))
    return tmp_path / "mine"


def test_ranking_finds_the_planted_order(ranking, accuracies, tmp_path, capsys):
    figure, csv = tmp_path / "ranking.png", tmp_path / "ranking.csv"
    options = ["--accuracies", str(accuracies), "--figure", str(figure), "--table", str(csv)]
    table = ranking["main"](options)
    assert list(table.columns) == ["rank", "decoding", "encoding", "average"]
    assert list(table.index) == ["Best", "Middle", "Worst"]
    assert table["rank"].tolist() == [1, 2, 3]
    for kind in ("decoding", "encoding", "average"):
        assert table[kind].is_monotonic_decreasing
    assert table.loc["Best", "decoding"] > 0.9
    assert abs(table.loc["Worst", "average"]) < 0.15
    np.testing.assert_allclose(table["average"], table[["decoding", "encoding"]].mean(axis=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["Best", "Middle", "Worst"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(csv, index_col=0), table)


def test_ranking_of_one_kind_and_of_few_networks(ranking, accuracies, tmp_path):
    shutil.rmtree(accuracies / "encoding")
    figure = str(tmp_path / "ranking.png")
    options = ["--accuracies", str(accuracies), "--figure", figure, "--networks", "Middle", "Best"]
    table = ranking["main"]([*options, "--layers", "0", "--test", "t"])
    assert list(table.columns) == ["rank", "decoding"]
    assert list(table.index) == ["Best", "Middle"]
    with pytest.raises(SystemExit, match="neither 'decoding' nor 'encoding'"):
        ranking["main"](["--accuracies", str(tmp_path), "--figure", figure])


def test_ranking_of_what_is_fetched(ranking, served, tmp_path, monkeypatch):
    monkeypatch.setenv("SKDNN_DATA", str(tmp_path / "home"))
    table = ranking["main"](["--figure", str(tmp_path / "ranking.png")])
    assert list(table.index) == ["Best", "Middle", "Worst"]
