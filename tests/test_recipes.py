"""Each block of Python in the guides runs as printed, on data of the kind that it is for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.pipeline import Pipeline
from torch import nn

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer
from skdnn.rsa import bootstrap_rsa, compute_rdm, read_rdm_movie

DOCS = Path(__file__).parent.parent / "docs"
N, KINDS = 80, ("animal", "face", "place", "tool")
#: Blocks that are not run, by page and a line that only they have.
NOT_RUN = {
    ("start.md", "data = fetch_kriegeskorte92("): "a download",
    ("models.md", "hf/facebook/dinov2-base"): "a download",
    ("comparing.md", '["alexnet", "vgg16_bn", "resnet50"],'): "a download of a gigabyte",
    ("comparing.md", "twin=3"): "trained weights, a download; tests/model_comparison has such",
    ("searching.md", "compare_with_twin("): "trained weights, a download; tests/search has such",
    (
        "describing.md",
        "describe_study(comparison",
    ): "results of other pages, in tests/search",
    ("images.md", "load_hdf5_images("): "a file of the Natural Scenes Dataset",
    ("images.md", "load_things("): "the images of THINGS",
    ("encoding.md", "fetch_brain_hierarchy("): "a download",
    ("encoding.md", "read_betas("): "files of a study; tests/io has such",
    ("large_studies.md", "SLURMCluster("): "a cluster",
}
PAGES = sorted(p for p in [DOCS / "start.md", *(DOCS / "guide").glob("*.md")])


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def reason_not_to_run(page: Path, block: str) -> str | None:
    found = [why for (name, line), why in NOT_RUN.items() if name == page.name and line in block]
    return found[0] if found else None


def test_what_is_not_run_exists():
    for name, line in NOT_RUN:
        (page,) = (page for page in PAGES if page.name == name)
        assert sum(line in block for block in blocks(page)) == 1


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in folders of their category."""
    folder, rng = tmp_path_factory.mktemp("recipes"), np.random.default_rng(0)
    for kind in KINDS:
        (folder / "stimuli" / kind).mkdir(parents=True)
        mean = rng.integers(0, 256, 3)
        for number in range(N // len(KINDS)):
            pixels = (mean + rng.normal(0, 60, (48, 64, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "stimuli" / kind / f"{kind}{number}.png")
    return folder


@pytest.fixture
def world(stimuli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pages take as given, in a folder of their own; networks have random weights."""
    shutil.copytree(stimuli / "stimuli", tmp_path / "stimuli")
    monkeypatch.chdir(tmp_path)
    defaults = DNNFeatureExtractor.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "weights", None)
    rng = np.random.default_rng(1)
    paths = sorted(map(str, (tmp_path / "stimuli").rglob("*.png")))
    names = [Path(path).stem for path in paths]
    kinds = np.repeat(np.arange(len(KINDS)), N // len(KINDS))
    latent = rng.normal(size=(len(KINDS), 8))[kinds] + rng.normal(size=(N, 8))
    voxels = latent @ rng.normal(size=(8, 30)) + rng.normal(size=(N, 30))
    features = latent @ rng.normal(size=(8, 50)) + rng.normal(size=(N, 50))
    brain = compute_rdm(pd.DataFrame(voxels, index=names))
    brain.to_csv(tmp_path / "brain.csv")
    subjects = [compute_rdm(pd.DataFrame(voxels + rng.normal(size=voxels.shape), index=names))
                for _ in range(4)]  # fmt: skip
    shown = np.repeat(paths, 2)
    order = rng.permutation(N)
    return {
        "paths": paths, "names": names, "names_of_the_images": names, "categories": kinds,
        "features": features, "voxels": voxels, "rdm": compute_rdm(features), "brain": brain,
        "train": order[:60], "test": order[60:], "roi_of_each_voxel": ["V1"] * 15 + ["IT"] * 15,
        "max_r": np.full(30, 0.9), "r": rng.uniform(0.2, 0.6, 30),
        "trials": np.repeat(voxels, 2, axis=0) + rng.normal(size=(2 * N, 30)), "shown": shown,
        "repeats": voxels + rng.normal(size=(4, N, 30)),
        "trial_patterns": rng.normal(size=(2 * N, 40)), "conv5": rng.normal(size=(N, 256, 6, 6)),
        "image_of_each_trial": np.repeat(np.arange(N), 2),
        "test_patterns": rng.normal(size=(5, 40)),
        "residuals": rng.normal(size=(200, 30)), "betas": np.repeat(voxels, 2, axis=0),
        "image_of_each_row": np.repeat(names, 2), "run_of_each_row": np.tile([1, 2], N),
        "human_it": brain, "model": compute_rdm(features), "data": compute_rdm(voxels),
        "first": compute_rdm(features[:, :25]), "fifth": compute_rdm(features[:, 25:]),
        "layers": {"conv1": compute_rdm(features[:, :25]), "conv5": compute_rdm(features)},
        "subjects": [np.asarray(each) for each in subjects],
        "human_it_subjects": pd.concat({f"S{n}": each for n, each in enumerate(subjects)}, axis=1,
                                       names=["subject", "condition"]),
        "extractor": DNNFeatureExtractor("alexnet", "features.10", cache="activations/"),
        "grid": {"dnn__layer": ["features.2", "features.5"]},
        "network": nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                                 nn.Flatten(), nn.Linear(4, 3)).eval(),
    }  # fmt: skip


def small_search(world: dict[str, Any]) -> None:
    """A fitted search, with the scores of each subject."""
    pipeline = Pipeline([("dnn", DNNFeatureExtractor("alexnet")), ("rdm", RDM())])
    search = LayerSearchCV(
        pipeline,
        {"dnn__layer": ["features.2", "features.10"]},
        cv=4,
        scoring=RSAScorer(detail=True),
        refit="score",
    )
    world["search"] = search.fit(world["paths"], world["human_it_subjects"])


def brain_study(world: dict[str, Any]) -> None:
    """Trials of two subjects and three areas, each image twice."""
    rng, paths = np.random.default_rng(2), world["paths"]
    world["layers"] = ["features.2", "features.5", "features.10"]
    for side, part in (("train", paths[:50]), ("test", paths[50:])):
        trials = {
            subject: {area: rng.normal(size=(2 * len(part), 12)) for area in ("V1", "V4", "HVC")}
            for subject in ("S1", "S2")
        }
        world[f"{side}_paths"] = part
        world["responses" if side == "train" else "test_responses"] = trials
        world["shown_in_training" if side == "train" else "shown_in_test"] = [*part, *part]


def study_to_describe(world: dict[str, Any]) -> None:
    small_search(world)
    world["images"] = world["paths"]
    world["nested_scores"] = [0.2, 0.3]
    world["bootstrap_result"] = bootstrap_rsa(world["model"], world["subjects"], n_boot=20)


def epochs_of_meg(world: dict[str, Any]) -> None:
    """Three runs in which each of twelve images is seen twice."""
    mne = pytest.importorskip("mne", reason="makes epochs")
    rng = np.random.default_rng(3)
    seconds, images = np.arange(-0.1, 0.81, 0.01), np.tile(np.arange(12), 6)
    epochs = rng.normal(size=(72, 8, len(seconds)))
    info = mne.create_info([f"MEG {k}" for k in range(8)], 100.0, "mag")
    events = np.column_stack([np.arange(72), np.zeros(72, int), images])
    world |= {
        "epochs": epochs, "images": images, "seconds": seconds, "runs": np.repeat([1, 2, 3], 24),
        "residuals": rng.normal(size=(100, 8)),
        "mne_epochs": mne.EpochsArray(epochs, info, events, tmin=-0.1, verbose=False),
    }  # fmt: skip


def movies_of_two(world: dict[str, Any]) -> None:
    shape, times = (92, 12 * 11 // 2), np.arange(-0.1, 0.82, 0.01)
    rng = np.random.default_rng(4)
    for name in ("first", "second"):
        world[name] = read_rdm_movie(rng.random(shape), times=times[: shape[0]])
    world["layers"] = {name: rng.random(shape[1]) for name in ("conv1", "conv3", "conv5")}


def folders_of_conditions(world: dict[str, Any]) -> None:
    for name, first in (("stimuli/cat", 0), ("stimuli/dog", 2)):
        Path(name).mkdir(exist_ok=True)
        for path in world["paths"][first : first + 2]:
            shutil.copy(path, name)
    for name in ("a.jpg", "b.jpg"):
        Image.open(world["paths"][5]).save(name)


#: What is made before a block: page, its number.
PREPARE: dict[tuple[str, int], Callable[[dict[str, Any]], None]] = {
    ("encoding.md", 6): brain_study,
    ("describing.md", 2): study_to_describe,
    ("images.md", 3): folders_of_conditions,
    ("time.md", 0): epochs_of_meg,
    ("time.md", 1): movies_of_two,
    ("report.md", 0): lambda world: shutil.copy("brain.csv", "it.csv"),
    ("rsa.md", 2): small_search,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # small studies of random numbers are warned of
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run_and_tables_are_whole(page: Path, world: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with mpl.rc_context({"backend": "agg", "figure.max_open_warning": 0}):
        for number, block in enumerate(blocks(page)):
            if reason_not_to_run(page, block):
                continue
            PREPARE.get((page.name, number), lambda world: None)(world)
            try:
                exec(compile(block, f"{page.name}, block {number}", "exec"), world)
            except Exception as error:
                raise AssertionError(f"{page.name}, block {number}: {error!r}\n{block}") from error
            for name, value in world.items():
                if isinstance(value, pd.DataFrame) and not name.startswith("_"):
                    assert not value.isna().all(axis=0).any(), f"{page.name}: {name} has NaN"
