"""Folders of images, and the 92 images of Kriegeskorte et al. (2008)."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import loadmat
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, spearmanr

from helpers.web_server import serve
from skdnn._images import EXTENSIONS
from skdnn.datasets import _kriegeskorte92 as published
from skdnn.datasets import fetch_kriegeskorte92, load_image_folder


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (5, 4))
        image.save(root / name, format="GIF")  # listing must not care about the content
    return root


def listed(images: dict, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in images["paths"]]


# --- load_image_folder -----------------------------------------------------------------------


def test_flat_folder_in_natural_order(image_folder, image_paths):
    images = load_image_folder(image_folder)
    assert images.paths == image_paths
    assert images.target is None
    assert images.target_names is None


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_extension_in_any_case(tmp_path, extension):
    make(tmp_path, f"a{extension}", f"b{extension.upper()}")
    (tmp_path / "notes.txt").write_text("no image")
    assert listed(load_image_folder(str(tmp_path)), tmp_path) == [
        f"a{extension}",
        f"b{extension.upper()}",
    ]


def test_class_folders_are_found(tmp_path):
    make(tmp_path, "s10/b.png", "s2/x/1.png", "s2/10.png", "s2/9.png", "Empty/readme.md")
    images = load_image_folder(tmp_path)
    assert listed(images, tmp_path) == ["s2/9.png", "s2/10.png", "s2/x/1.png", "s10/b.png"]
    assert images.target_names == ["s2", "s10"]
    np.testing.assert_array_equal(images.target, [0, 0, 0, 1])
    assert images.target.dtype == np.int64


def test_class_folders_true_and_false(tmp_path):
    make(tmp_path, "cat/1.png", "dog/2.png")
    assert load_image_folder(tmp_path, class_folders=True).target_names == ["cat", "dog"]
    flat = load_image_folder(tmp_path, class_folders=False)
    assert listed(flat, tmp_path) == ["cat/1.png", "dog/2.png"]
    assert flat.target is None
    with pytest.raises(ValueError, match=r"class_folders must be 'auto', True or False.*'yes'"):
        load_image_folder(tmp_path, class_folders="yes")


def test_mixture_is_refused_unless_asked_for(tmp_path):
    make(tmp_path, "cat/1.png", "stray.png")
    for choice in ("auto", True):
        with pytest.raises(ValueError, match=r"1 of the 2 images.*'stray.png'.*class_folders=Fal"):
            load_image_folder(tmp_path, class_folders=choice)
    assert len(load_image_folder(tmp_path, class_folders=False).paths) == 2


def test_class_folders_true_needs_folders(image_folder):
    with pytest.raises(ValueError, match=r"9 of the 9 images.*outside of class folders"):
        load_image_folder(image_folder, class_folders=True)


def test_target_follows_given_order(tmp_path):
    make(tmp_path, "cat/1.png", "dog/2.png", "cat/3.png")
    order = ["cat/3.png", "dog/2.png", "cat/1.png"]
    images = load_image_folder(tmp_path, file_names=order)
    assert listed(images, tmp_path) == order
    np.testing.assert_array_equal(images.target, [0, 1, 0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_order_from_text_file(tmp_path, encoding, newline):
    root = make(tmp_path / "stimuli", "1.png", "2.png", "käse 3.png")
    order = ["käse 3.png", "1.png", "2.png"]
    text = newline.join(["", order[0], order[1], "   ", order[2] + " ", ""])
    (tmp_path / "order.txt").write_bytes(text.encode(encoding))
    (root / "inside.txt").write_bytes(text.encode(encoding))
    for source in (tmp_path / "order.txt", str(tmp_path / "order.txt"), "inside.txt"):
        assert listed(load_image_folder(root, file_names=source), root) == order


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, pd.Index])
def test_order_from_sequences_and_spellings(tmp_path, kind):
    make(tmp_path, "a/1.png", "a/2.png", "b/caf\u00e9.png")
    order = kind(["b\\cafe\u0301.png", "./a/2.png", "a/1.png"])
    images = load_image_folder(tmp_path, file_names=order)
    assert listed(images, tmp_path) == ["b/caf\u00e9.png", "a/2.png", "a/1.png"]


def test_missing_surplus_and_double_names_are_one_error(tmp_path):
    make(tmp_path, "1.png", "2.png", "3.png", "4.png")
    with pytest.raises(ValueError, match="file_names must name every image") as caught:
        load_image_folder(tmp_path, file_names=["1.png", "5.png", "1.png", "6.png", "2.png"])
    message = str(caught.value)
    assert "named more than once: '1.png';" in message
    assert "named, but not in the folder: '5.png', '6.png';" in message
    assert "in the folder, but not named: '3.png', '4.png'." in message


def test_long_lists_of_names_are_cut(tmp_path):
    make(tmp_path, *(f"{i}.png" for i in range(25)))
    with pytest.raises(ValueError, match=r"'19.png' and 5 more"):
        load_image_folder(tmp_path, file_names=[])


def test_wrong_file_names(tmp_path):
    make(tmp_path, "1.png")
    with pytest.raises(FileNotFoundError, match=r"file_names: there is no text file '1.txt'"):
        load_image_folder(tmp_path, file_names="1.txt")
    with pytest.raises(TypeError, match=r"file_names\[0\] is 1"):
        load_image_folder(tmp_path, file_names=[1])
    (tmp_path / "latin.txt").write_bytes("käse.png".encode("latin-1"))
    with pytest.raises(ValueError, match=r"file_names: .*latin.txt' is no text in UTF-8"):
        load_image_folder(tmp_path, file_names="latin.txt")


def test_wrong_roots(tmp_path):
    with pytest.raises(FileNotFoundError, match="root: there is no folder"):
        load_image_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(NotADirectoryError, match=r"notes.txt' is a file"):
        load_image_folder(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"holds no images.*\.eps .*\.gif"):
        load_image_folder(tmp_path)


# --- fetch_kriegeskorte92: what the data are -------------------------------------------------


def upper(rdm: pd.DataFrame) -> np.ndarray:
    return squareform(rdm.to_numpy())


def test_published_values_of_monkey_against_human(kriegeskorte92):
    monkey, human = upper(kriegeskorte92.monkey_it), upper(kriegeskorte92.human_it)
    assert len(monkey) == 4186
    cosine = monkey @ human / np.linalg.norm(monkey) / np.linalg.norm(human)
    assert pearsonr(monkey, human).statistic == pytest.approx(0.4912097961, abs=1e-9)
    assert spearmanr(monkey, human).statistic == pytest.approx(0.4389238094, abs=1e-9)
    assert kendalltau(monkey, human).statistic == pytest.approx(0.3040482555, abs=1e-9)
    assert cosine == pytest.approx(0.9950224035, abs=1e-9)


def test_labels_are_those_of_the_images(kriegeskorte92):
    labels = [Path(path).stem for path in kriegeskorte92.paths]
    assert len(set(labels)) == 92
    assert labels[0] == "01_human_bodypart"
    assert labels == sorted(labels)
    data = kriegeskorte92
    for table in (data.human_it, data.monkey_it, *data.models.values()):
        assert list(table.index) == list(table.columns) == labels
        assert table.index.name == table.columns.name == "condition"
    for table in (data.category, data.human_it_subjects, data.behaviour):
        assert list(table.index) == labels
        assert table.index.name == "condition"


def test_rdms_are_symmetric_float64_with_zero_diagonal(kriegeskorte92):
    data = kriegeskorte92
    rdms = {"human": data.human_it, "monkey": data.monkey_it, **data.models}
    for table in (data.human_it_subjects, data.behaviour):
        assert table.columns.names == ["subject", "condition"]
        rdms |= {s: table[s] for s in table.columns.unique("subject")}
    assert len(rdms) == 2 + 8 + 4 + 16
    for name, rdm in rdms.items():
        values = rdm.to_numpy()
        assert values.dtype == np.float64, name
        assert values.shape == (92, 92), name
        assert np.array_equal(values, values.T), name
        assert not values.diagonal().any(), name
        assert (values[~np.eye(92, dtype=bool)] >= 0).all(), name
        assert len(np.unique(values)) > 1, name


def test_subjects_and_models_by_name(kriegeskorte92):
    data = kriegeskorte92
    assert list(data.human_it_subjects.columns.unique(0)) == ["BE", "KO", "SN", "TI"]
    assert list(data.behaviour.columns.unique(0)) == [f"subject{i}" for i in range(1, 17)]
    assert list(data.models) == [
        "animacy",
        "FaceBodyManmadeNatobj",
        "monkeyIT",
        "EVA",
        "HMAX",
        "V1",
        "Silhouette",
        "RADON",
    ]


def test_the_four_files_agree_on_the_order_of_conditions(kriegeskorte92):
    data = kriegeskorte92
    # brain RDMs: the published group RDM is the mean over subjects (sessions weigh the same)
    mean = np.mean([data.human_it_subjects[s] for s in ["BE", "KO", "SN", "TI"]], axis=0)
    np.testing.assert_allclose(mean, data.human_it, rtol=0, atol=1e-14)
    # models: the monkey's RDM is among them, and animacy is the category of that name
    np.testing.assert_array_equal(data.models["monkeyIT"], data.monkey_it)
    animate = data.category["animate"].to_numpy()
    np.testing.assert_array_equal(
        data.models["animacy"], (animate[:, None] != animate[None, :]).astype(float)
    )
    # images: the silhouettes cut out of them have the distances of the silhouette model
    pixels = np.array([np.asarray(Image.open(path), dtype=float) for path in data.paths])
    silhouettes = (np.abs(pixels - 128).max(axis=3) > 3).reshape(92, -1)
    distances = pdist(silhouettes.astype(float), "correlation")
    assert spearmanr(distances, upper(data.models["Silhouette"])).statistic > 0.99
    # behaviour: people's mean judgement goes with human IT, and not when shuffled
    judged = np.mean([data.behaviour[s] for s in data.behaviour.columns.unique(0)], axis=0)
    shuffled = np.random.default_rng(0).permutation(92)
    human = upper(data.human_it)
    assert spearmanr(squareform(judged), human).statistic > 0.35
    assert spearmanr(squareform(judged[np.ix_(shuffled, shuffled)]), human).statistic < 0.1


def test_categories(kriegeskorte92, published_files):
    category = kriegeskorte92.category
    assert category["category"].value_counts().to_dict() == {
        "human bodypart": 12,
        "human face": 12,
        "nonhuman bodypart": 12,
        "nonhuman face": 12,
        "natural inanimate": 23,
        "artificial inanimate": 21,
    }
    assert set(category.drop(columns="category").dtypes) == {np.dtype(bool)}
    file = loadmat(published_files / "Kriegeskorte_Neuron2008_supplementalData.mat")
    names = [str(label.item()) for label in file["categoryLabels"].ravel()]
    np.testing.assert_array_equal(category[names], file["categoryVectors"].astype(bool))
    for name in ("human", "face", "animal", "natural"):  # two of them are in both tables
        expected = [bool(s[name].item()) for s in file["stimuli_92objs"].ravel()]
        assert category[name].tolist() == expected
    assert category["animal"].equals(category["animate"].rename("animal"))


def test_images_are_the_published_pixels(kriegeskorte92, published_files):
    file = loadmat(published_files / "Kriegeskorte_Neuron2008_supplementalData.mat")
    for path, stimulus in zip(kriegeskorte92.paths, file["stimuli_92objs"].ravel(), strict=True):
        image = Image.open(path)
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (175, 175))
        np.testing.assert_array_equal(np.asarray(image), stimulus["image"])
    written = os.listdir(Path(kriegeskorte92.paths[0]).parent)
    assert sorted(written) == [Path(path).name for path in kriegeskorte92.paths]


# --- fetch_kriegeskorte92: how the files get there -------------------------------------------


@pytest.fixture
def home(published_files: Path, tmp_path: Path) -> Path:
    """A data home with copies of the files, to be spoilt."""
    without = shutil.ignore_patterns("images")  # which a first use may have written beside them
    shutil.copytree(published_files, tmp_path / "home" / "kriegeskorte92", ignore=without)
    for path in (tmp_path / "home" / "kriegeskorte92").iterdir():
        path.chmod(0o644)
    (tmp_path / "home" / "kriegeskorte92").chmod(0o755)
    return tmp_path / "home"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_images_are_written_once(home, offline):
    first = fetch_kriegeskorte92(home)
    before = [os.stat(path).st_mtime_ns for path in first.paths]
    second = fetch_kriegeskorte92(home)
    assert second.paths == first.paths
    assert [os.stat(path).st_mtime_ns for path in second.paths] == before
    os.remove(first.paths[5])
    fetch_kriegeskorte92(home)
    assert os.path.exists(first.paths[5])


def test_data_home_from_the_environment(home, monkeypatch, tmp_path):
    monkeypatch.setenv("SKDNN_DATA", str(home))
    data = fetch_kriegeskorte92(images_dir=tmp_path / "elsewhere" / "png")
    assert Path(data.paths[0]).parent == tmp_path / "elsewhere" / "png"
    assert not (home / "kriegeskorte92" / "images").exists()


def test_images_that_cannot_be_written(home, monkeypatch):
    def read_only(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(published, "write_whole", read_only)
    with pytest.raises(OSError, match=r"Read-only file system.*pass images_dir"):
        fetch_kriegeskorte92(home)


def test_interrupted_writing_leaves_no_half_file(home, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(published.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        fetch_kriegeskorte92(home)
    assert os.listdir(home / "kriegeskorte92" / "images") == []


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_foreign_image_is_refused_not_overwritten(home, content):
    path = Path(fetch_kriegeskorte92(home).paths[3])
    if content is None:
        Image.new("RGB", (175, 175)).save(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path.name} is not the stimulus that belongs there"):
        fetch_kriegeskorte92(home)
    assert path.read_bytes() == before


def test_wrong_hash_is_refused_and_kept(home, offline):
    path = home / "kriegeskorte92" / "92_behavRDMs.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"92_behavRDMs.mat is not the file.*7a8e118c"):
        fetch_kriegeskorte92(home)
    assert path.read_bytes() == before


@pytest.mark.parametrize("download", [True, False])
def test_offline_error_says_what_to_place_where(tmp_path, offline, download):
    with pytest.raises(OSError, match="kriegeskorte92") as caught:
        fetch_kriegeskorte92(tmp_path, download_if_missing=download)
    message = str(caught.value)
    for name, digest in published._SHA256.items():
        assert f"{published._ADDRESS}{name}\n" in message
        assert digest in message
    assert str(tmp_path / "kriegeskorte92") in message
    assert ("download_if_missing is False" in message) is not download


def test_offline_error_names_only_what_is_missing(home, offline):
    (home / "kriegeskorte92" / "92_modelRDMs.mat").unlink()
    with pytest.raises(OSError, match=r"92_modelRDMs\.mat") as caught:
        fetch_kriegeskorte92(home)
    assert "92_brainRDMs.mat" not in str(caught.value)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A web server on this computer that takes the place of the real address."""
    served = tmp_path / "served"
    served.mkdir()

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(served) as web:
        monkeypatch.setattr(published, "_ADDRESS", f"{web.url}/")
        yield served


def test_download(server, published_files, tmp_path):
    for path in published_files.glob("*.mat"):
        shutil.copy(path, server)
    data = fetch_kriegeskorte92(tmp_path / "new")
    folder = tmp_path / "new" / "kriegeskorte92"
    assert sorted(os.listdir(folder)) == sorted([*published._SHA256, "images"])
    assert data.human_it.shape == (92, 92)


def test_download_of_something_else_is_refused(server, tmp_path):
    for name in published._SHA256:
        (server / name).write_bytes(b"a login page")
    with pytest.raises(ValueError, match="hash"):
        fetch_kriegeskorte92(tmp_path / "new")
    assert os.listdir(tmp_path / "new" / "kriegeskorte92") == []


def test_file_not_found_on_the_server(server, tmp_path):
    with pytest.raises(OSError, match=r"404.*\n(.*\n)*.*by hand"):
        fetch_kriegeskorte92(tmp_path / "new")
