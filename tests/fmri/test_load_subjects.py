"""Several subjects, told apart by the names of their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.conftest import IMAGES, Subject, save

from skdnn.fmri import Betas, load_betas, load_subjects


@pytest.fixture
def two(subject: Subject) -> Path:
    """The same files for a second subject, whose betas are twice as large."""
    for path in sorted(subject.folder.glob("sub-07*")):
        shutil.copy(path, path.with_name(path.name.replace("sub-07", "sub-10")))
    for run, values in enumerate(subject.maps, 1):
        name = f"sub-10_ses-{run}_task-things_run-0{run}_betas.nii.gz"
        save(2 * values, subject.folder / name)
    for name in ("mask", "atlas"):
        shutil.copy(subject.folder / f"{name}.nii.gz", subject.folder / f"sub-10_{name}.nii.gz")
    return subject.folder


def load(folder: Path, **options: Any) -> dict[str, Betas]:
    given: dict[str, Any] = {
        "betas": f"{folder}/sub-*_betas.nii.gz",
        "events": f"{folder}/sub-*_events.tsv",
        "mask": folder / "mask.nii.gz",
        "images": IMAGES,
        "drop": "catch.png",
    }
    return load_subjects(**(given | options))


def test_each_subject_is_as_it_is_alone(subject: Subject, two: Path) -> None:
    atlas = str(two / "atlas.nii.gz")
    found = load(two, rois={"V1": (atlas, 1), "mask": two / "mask.nii.gz"}, standardize="run")
    assert list(found) == ["sub-07", "sub-10"]
    alone = load_betas(
        subject.betas[:2], events=subject.events[:2], mask=subject.mask, images=IMAGES,
        drop="catch.png", rois={"V1": (atlas, 1)}, standardize="run",
    )  # fmt: skip
    np.testing.assert_array_equal(found["sub-07"].responses[:], alone.responses[:])
    np.testing.assert_array_equal(found["sub-10"].rois["V1"], alone.rois["V1"])
    twice = load(two)["sub-10"].responses[:]
    np.testing.assert_array_equal(twice, 2 * subject.rows())


def test_a_mask_or_region_of_each_subject(two: Path) -> None:
    masks = [two / "mask.nii.gz", two / "sub-10_mask.nii.gz"]
    assert load(two, mask=masks)["sub-07"].n_voxels  # its own, or the one for all
    own = [two / "sub-07_mask.nii.gz", two / "sub-10_mask.nii.gz"]
    shutil.copy(masks[0], own[0])
    found = load(two, mask=f"{two}/sub-*_mask.nii.gz", rois={"V2": (f"{two}/*atlas.nii.gz", [2])})
    assert all(betas.rois["V2"].any() for betas in found.values())
    with pytest.raises(ValueError, match=r"mask: sub-10 has no file; one without 'sub-'"):
        load(two, mask=own[:1])
    with pytest.raises(ValueError, match=r"rois\['V1'\]: sub-07 has 2 files: .*mask.nii.gz"):
        load(two, rois={"V1": [own[0], own[0]]})


def test_runs_sorted_by_a_shell_are_put_into_natural_order(
    subject: Subject, tmp_path: Path
) -> None:
    names = [f"beta_{number}.nii" for number in range(1, 11)]
    whole = np.concatenate(subject.maps, axis=3)
    files = [save(whole[..., i], tmp_path / name) for i, name in enumerate(names)]
    events = [str(path) for path in subject.events]
    found = load(tmp_path, betas=sorted(map(str, files)), events=events)
    assert list(found) == [""] or list(found) == ["sub-07"]
    (betas,) = found.values()
    np.testing.assert_array_equal(betas.responses[:], subject.rows())
    (meant,) = load(tmp_path, betas=files[1::-1] + files[2:], events=events).values()
    np.testing.assert_array_equal(meant.responses[0], subject.rows()[1])


def test_what_does_not_belong_together(subject: Subject, two: Path) -> None:
    events = f"{two}/sub-07*_events.tsv"
    with pytest.raises(ValueError, match="there are betas but no events of sub-10"):
        load(two, events=events)
    with pytest.raises(ValueError, match="there are events but no betas of sub-07"):
        load(two, betas=f"{two}/sub-10*_betas.nii.gz")
    other = two / "beta.nii.gz"
    shutil.copy(subject.betas[0], other)
    with pytest.raises(ValueError, match=r"others do not: .*/beta.nii.gz"):
        load(two, betas=[*subject.betas, other])
    with pytest.raises(FileNotFoundError, match=r"events: no file fits '.*gone"):
        load(two, events=f"{two}/gone*.tsv")
    save(subject.maps[1][..., :-1], two / "sub-10_ses-2_task-things_run-02_betas.nii.gz")
    with pytest.raises(ValueError, match=r"^sub-10: betas and events do not match.*") as error:
        load(two)
    assert "run-02_events.tsv: 4 maps, but 5 events" in str(error.value)


def test_images_that_were_not_shown_may_be_left_out(subject: Subject, two: Path) -> None:
    more = ["data/stimuli/ape[1].jpg", *IMAGES, "data/stimuli/owl/1.jpg"]
    with pytest.raises(ValueError, match=r"images: 2 of 5 were never shown.*unseen='drop'"):
        load(two, images=more)
    found = load(two, images=more, unseen="drop")["sub-07"]
    assert found.images == IMAGES
    np.testing.assert_array_equal(found.averages(), load(two)["sub-07"].averages())
    with pytest.raises(ValueError, match="events show none of the images"):
        load(two, images=more[:1], unseen="drop", surplus="drop")
    with pytest.raises(ValueError, match="unseen must be 'error' or 'drop'"):
        load(two, unseen="keep")


def test_hemispheres_are_paired_by_name(tmp_path: Path) -> None:
    """Run by run, in natural order, masks too; of each subject."""
    nibabel = pytest.importorskip("nibabel")
    rng, kept, files = np.random.default_rng(0), {}, []
    for subject in ("sub-1", "sub-2"):
        for side, n in (("lh", 5), ("rh", 7)):
            kept[subject, side] = rng.random(n) < 0.8
            mask = nibabel.MGHImage(kept[subject, side].astype("f4").reshape(n, 1, 1), None)
            nibabel.save(mask, tmp_path / f"{subject}_mask.{side}.mgh")
            for run in (1, 2, 10):
                values = rng.normal(size=(n, 1, 1, 2)).astype("f4")
                files.append(tmp_path / f"{subject}_run-{run}_betas.{side}.mgh")
                nibabel.save(nibabel.MGHImage(values, None), files[-1])
        for run in (1, 2, 10):
            events = pd.DataFrame({"stim_file": ["a.png", "b.png"]})
            events.to_csv(tmp_path / f"{subject}_run-{run}_events.tsv", sep="\t", index=False)
    given = {"events": str(tmp_path / "*_events.tsv"), "images": ["a.png", "b.png"]}
    found = load_subjects(sorted(map(str, files)), mask=str(tmp_path / "*_mask.*.mgh"), **given)
    for subject, betas in found.items():
        expected = np.concatenate([
            np.concatenate([
                nibabel.load(tmp_path / f"{subject}_run-{run}_betas.{side}.mgh").get_fdata()[
                    kept[subject, side], 0, 0
                ].T
                for side in ("lh", "rh")
            ], axis=1)
            for run in (1, 2, 10)
        ])  # fmt: skip
        np.testing.assert_allclose(betas.responses[:], expected, rtol=1e-6)
    files[0].unlink()
    with pytest.raises(ValueError, match=r"betas: .*sub-1_run-1_betas.rh.mgh' has no file of the"):
        load_subjects([str(file) for file in files[1:]], **given)
