"""One subject of two runs in files, as a GLM and a scanner's logs leave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import load_betas
from skdnn.datasets import make_study

nibabel = pytest.importorskip("nibabel")

GRID = (3, 4, 5)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -40], [0, 0, 3, 7], [0, 0, 0, 1]])
IMAGES = ["data/stimuli/cat/1.jpg", "data/stimuli/dog/1.jpg", "data/stimuli/cat/2.jpg"]
# Run by run what was shown; blank trials and a catch trial have betas, too.
SHOWN = [
    ["cat/1.jpg", "dog/1.jpg", None, "catch.png", "cat/2.jpg"],
    ["dog/1.jpg", "cat/1.jpg", "cat/1.jpg", None, "dog/1.jpg"],
]


@dataclass
class Subject:
    """Files, and the numbers that were written into them."""

    folder: Path
    maps: list[Any]  # of each run (*GRID, n_trials)
    inside: Any

    @property
    def betas(self) -> list[Path]:
        return sorted(self.folder.glob("*_betas.nii.gz"))

    @property
    def events(self) -> list[Path]:
        return sorted(self.folder.glob("*_events.tsv"))

    @property
    def mask(self) -> Path:
        return self.folder / "mask.nii.gz"

    def rows(self, keep: Any = lambda name: name is not None and name != "catch.png") -> Any:
        """Voxels of the mask in C order, trial by trial, of the trials that are kept."""
        every = np.concatenate([run[self.inside].T for run in self.maps])
        names = [name for run in SHOWN for name in run]
        return every[[row for row, name in enumerate(names) if keep(name)]]


def save(values: Any, path: Path, affine: Any = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    rng = np.random.default_rng(0)
    inside = rng.random(GRID) < 0.6
    save(inside.astype(np.uint8), tmp_path / "mask.nii.gz")
    save((np.arange(60).reshape(GRID) % 4).astype(np.int16), tmp_path / "atlas.nii.gz")
    values = []
    for number, shown in enumerate(SHOWN, 1):
        stem = f"sub-07_ses-{number}_task-things_run-0{number}"
        values.append(rng.normal(number, 1 + number, (*GRID, len(shown))).astype(np.float32))
        save(values[-1], tmp_path / f"{stem}_betas.nii.gz")
        pd.DataFrame(
            {
                "onset": np.arange(len(shown)) * 4.0,
                "duration": 2.0,
                "trial_type": ["catch" if name == "catch.png" else "image" for name in shown],
                "stim_file": [
                    f"stimuli/{name}" if name and "/" in name else name for name in shown
                ],
            }
        ).to_csv(tmp_path / f"{stem}_events.tsv", sep="\t", index=False, na_rep="n/a")
    return Subject(tmp_path, values, inside)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A simulated study of two subjects, whose answer is known."""
    return make_study(tmp_path_factory.mktemp("study"))


def betas_of(study: Any, number: int) -> Any:
    one = study.subjects[number]
    return load_betas(
        one.betas, events=one.events, mask=one.mask, rois=one.rois, images=study.images,
        standardize="session",
    )  # fmt: skip
