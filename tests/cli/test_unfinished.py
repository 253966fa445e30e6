"""OUT.unfinished: kept to go on from, removed when all is done, and nobody else's file with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn.cli._unfinished_work import unfinished

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)


def fill(folder: str | None) -> None:
    """As a command does; in two layers."""
    extractor = DNNFeatureExtractor("alexnet", weights=None, device="cpu", cache=folder)
    extractor.precompute(PIXELS, ["features.0", "features.2"], verbose=0)


def interrupted(out: Path) -> None:
    with unfinished(out, None) as folder:
        fill(folder)
        raise KeyboardInterrupt


def test_it_is_kept_for_the_next_run(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with pytest.raises(KeyboardInterrupt):
        interrupted(out)
    folder = tmp_path / "p.csv.unfinished" / "activations"
    assert ActivationStore(folder).contents()["images"].tolist() == [3, 3]
    with unfinished(out, None) as again:
        assert again == str(folder)
        store = ActivationStore(folder)
        fill(again)
        assert store.stats["images_forwarded"] == 0
    assert list(tmp_path.iterdir()) == []


def test_without_anything_it_goes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="early"), unfinished(tmp_path / "p.csv", None):
        raise ValueError("early")
    assert list(tmp_path.iterdir()) == []
    with unfinished(None, None) as folder:
        assert folder is None
    with unfinished(tmp_path / "p.csv", tmp_path / "cache") as folder:
        assert folder == str(tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "diary.txt",
        "lock",
        "activations/mine.npy",
        "activations/mine.json",
        "activations/networks/mine.json",
        "activations/layers/mine.npy",
        "activations/layers/LAYER/mine.npy",
        "activations/layers/LAYER/deep/20261122T101010-0123456789.npy",
    ],
)
@pytest.mark.parametrize("ends", ["well", "early", "interrupted"])
def test_others_files_are_left_alone(tmp_path: Path, name: str, ends: str) -> None:
    out = tmp_path / "p.csv"
    with pytest.raises(KeyboardInterrupt):
        interrupted(out)
    store = tmp_path / "p.csv.unfinished" / "activations"
    layer = next((store / "layers").iterdir()).name
    mine = tmp_path / "p.csv.unfinished" / name.replace("LAYER", layer)
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    theirs = {path for path in store.rglob("*") if path.is_file()} - {mine}
    try:
        with unfinished(out, None):
            if ends != "well":
                raise {"early": ValueError, "interrupted": KeyboardInterrupt}[ends]
    except (ValueError, KeyboardInterrupt):
        pass
    assert mine.read_text() == "mine"
    left = {path for path in theirs if path.exists()}
    assert left == (set() if ends == "well" else theirs)


def test_a_folder_of_others_is_refused_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "p.csv.unfinished" / "activations" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with (
        pytest.raises(ValueError, match="no activation store"),
        unfinished(tmp_path / "p.csv", None) as folder,
    ):
        fill(folder)
    assert mine.read_text() == "mine"
    assert [path.name for path in (tmp_path / "p.csv.unfinished").iterdir()] == ["activations"]


def test_a_linked_cache_is_not_emptied(tmp_path: Path) -> None:
    fill(str(tmp_path / "cache"))
    kept = sorted((tmp_path / "cache").rglob("*"))
    (tmp_path / "p.csv.unfinished").mkdir()
    (tmp_path / "p.csv.unfinished" / "activations").symlink_to(tmp_path / "cache")
    with pytest.raises(FileExistsError, match="is a link"), unfinished(tmp_path / "p.csv", None):
        pass
    assert sorted((tmp_path / "cache").rglob("*")) == kept


def test_by_the_command(tmp_path: Path, say: Any, pictures: Path) -> None:
    mine = tmp_path / "f.h5.unfinished" / "activations" / "layers" / "mine.npy"
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "f.h5")
    mine.write_bytes(b"mine")
    said = say(
        *("extract", "--model", "alexnet", "--weights", "none", "--layer", "features.0"),
        *("--images", pictures, "--device", "cpu", "--out", tmp_path / "f.h5", "--quiet"),
    )
    assert said.code == 0, said.err
    left = [path for path in (tmp_path / "f.h5.unfinished").rglob("*") if path.is_file()]
    assert left == [mine]
