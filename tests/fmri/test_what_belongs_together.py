"""Betas, events, masks and regions whose names or sides contradict each other are refused."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.conftest import AFFINE, GRID, IMAGES, Subject, nibabel, save

from skdnn.fmri import Betas, load_betas, load_subjects, searchlight_rsa
from skdnn.rsa import compute_rdm

NAMES = [f"{number}.png" for number in range(6)]
EVENTS = pd.DataFrame({"stim_file": NAMES})
N_VERTICES = 8


def written_events(path: Path, names: list[str]) -> Path:
    pd.DataFrame({"onset": range(len(names)), "stim_file": names}).to_csv(
        path, sep="\t", index=False
    )
    return path


def test_one_file_of_another_run_is_refused(tmp_path: Path) -> None:
    maps = save(np.ones((*GRID, 6)), tmp_path / "sub-1_ses-1_run-1_betas.nii.gz")
    events = written_events(tmp_path / "sub-1_ses-1_run-2_events.tsv", NAMES)
    with pytest.raises(ValueError, match=r"different runs.*\n.*run-1_betas\S* with \S*run-2_ev"):
        load_betas(maps, events=events, images=NAMES, mask=np.ones(GRID))


def test_a_file_per_trial_has_the_run_of_its_trial(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = [
        save(rng.random(GRID), tmp_path / f"sub-1_run-{run}_trial-{number}.nii.gz")
        for run in (1, 2)
        for number in range(3)
    ]
    events = [
        written_events(tmp_path / f"sub-1_run-{run}_events.tsv", NAMES[3 * run - 3 : 3 * run])
        for run in (1, 2)
    ]
    assert len(load_betas(maps, events=events, images=NAMES, mask=np.ones(GRID))) == 6
    with pytest.raises(ValueError, match=r"run-1_trial-0\S* with sub-1_run-2_events"):
        load_betas(maps, events=events[::-1], images=NAMES, mask=np.ones(GRID))


@pytest.mark.parametrize("what", ["mask", "rois"])
def test_masks_of_another_subject_are_refused(subject: Subject, what: str) -> None:
    other = save(subject.inside.astype(np.uint8), subject.folder / "sub-09_mask.nii.gz")
    given: dict[str, Any] = {"mask": subject.mask, "rois": {"V1": subject.mask}}
    given[what] = other if what == "mask" else {"V1": (other, 1)}
    with pytest.raises(ValueError, match=r"sub-09_mask.* is of subject '09'.* '07'"):
        load_betas(subject.betas, events=subject.events, images=IMAGES, drop="catch.png", **given)


def test_tasks_count_their_own_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps, events = [], []
    for task, offset in (("a", 0.0), ("b", 100.0)):
        stem = f"sub-1_task-{task}_run-1"
        values = rng.normal(size=(*GRID, 6)) + offset
        maps.append(save(values, tmp_path / f"{stem}_betas.nii.gz"))
        events.append(written_events(tmp_path / f"{stem}_events.tsv", NAMES))
    betas = load_betas(maps, events=events, images=NAMES, mask=np.ones(GRID), standardize="run")
    assert betas.trials["run"].unique().tolist() == ["a_1", "b_1"]
    np.testing.assert_allclose(betas.responses[:6].mean(axis=0), 0, atol=1e-5)


def test_arrays_are_never_turned() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3, 4, 3))
    mask = nibabel.Nifti1Image(np.ones((3, 4, 3), np.uint8), AFFINE)
    with pytest.raises(ValueError, match=r"\(nx, ny, nz, n_trials\)"):
        load_betas(values, events=EVENTS, images=NAMES, mask=mask)
    right = load_betas(np.moveaxis(values, 0, -1), events=EVENTS, images=NAMES, mask=mask)
    np.testing.assert_allclose(right.responses[:], values.reshape(6, -1))
    square = values[:, :2, :3, 0].reshape(6, 6)
    flat = load_betas(square, events=EVENTS, images=NAMES, mask=np.ones(6))
    np.testing.assert_allclose(flat.averages(), square)


def test_what_stands_in_the_place_of_something_else(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((6, 4))
    given: dict[str, Any] = {"events": EVENTS, "images": NAMES}
    for name in NAMES:
        (tmp_path / name).write_text("")
    by_pattern = load_betas(values, **given | {"images": str(tmp_path / "*.png")})
    assert [Path(path).name for path in by_pattern.images] == NAMES
    for changes, kind, told in (
        ({"images": str(tmp_path)}, ValueError, r"is a folder: give load_image_folder\('"),
        ({"events": {1: EVENTS}}, TypeError, "events is a dict: give a list"),
        ({"rois": ["V1.nii.gz"]}, TypeError, "rois is list: give a dict of masks"),
        ({"rois": "V1.nii.gz"}, TypeError, "rois is str: give a dict of masks"),
    ):
        with pytest.raises(kind, match=told):
            load_betas(values, **given | changes)
    with pytest.raises(TypeError, match="rois is str: give a dict of masks"):
        load_subjects("a.nii", events=EVENTS, images=NAMES, rois="V1.nii.gz")
    layers = {"fc": compute_rdm(values)}
    with pytest.raises(TypeError, match=r"betas='sub-01\.nii' is the name of a file: load_betas"):
        searchlight_rsa("sub-01.nii", layers, radius=3)
    with pytest.raises(TypeError, match="a dict by their names, not a list"):
        searchlight_rsa([by_pattern, by_pattern], layers, radius=3)


def gifti(path: Path, maps: Any) -> Path:
    arrays = [
        nibabel.gifti.GiftiDataArray(np.asarray(one, dtype=np.float32))
        for one in np.atleast_2d(maps)
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    return path


def label(path: Path, vertices: list[int]) -> Path:
    lines = "".join(f"{vertex} 0 0 0 0\n" for vertex in vertices)
    path.write_text(f"#!ascii label\n{len(vertices)}\n{lines}")
    return path


@pytest.fixture
def hemispheres(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    return [
        gifti(tmp_path / f"hemi-{side}_betas.func.gii", rng.random((6, N_VERTICES)))
        for side in "LR"
    ]


def vertices_of(paths: list[Path], roi: Any) -> list[int]:
    given: Any = [tuple(paths)] if len(paths) == 2 else paths
    betas = load_betas(given, events=EVENTS, images=NAMES, rois={"V1": roi})
    return np.flatnonzero(betas.rois["V1"]).tolist()


def test_a_region_lies_in_its_own_hemisphere(hemispheres: list[Path], tmp_path: Path) -> None:
    right = label(tmp_path / "rh.V1.label", [3, 5])
    left = gifti(tmp_path / "hemi-L_V1.shape.gii", np.arange(N_VERTICES) < 2)
    assert vertices_of(hemispheres, right) == [11, 13]
    assert vertices_of(hemispheres, left) == [0, 1]
    assert vertices_of(hemispheres, (left, right)) == [0, 1, 11, 13]
    assert vertices_of(hemispheres, (None, right)) == [11, 13]
    assert vertices_of(hemispheres[1:], right) == [3, 5]
    unsided = label(tmp_path / "V1.label", [3])
    assert vertices_of(hemispheres[:1], unsided) == [3]
    with pytest.raises(ValueError, match=r"rois\['V1'\].* does not say which half"):
        vertices_of(hemispheres, unsided)


def test_a_region_of_the_other_hemisphere_is_refused(
    hemispheres: list[Path], tmp_path: Path
) -> None:
    right = label(tmp_path / "rh.V1.label", [3, 5])
    left = gifti(tmp_path / "hemi-L_V1.shape.gii", np.arange(N_VERTICES) < 2)
    for paths, roi in ((hemispheres[:1], right), (hemispheres[1:], left)):
        with pytest.raises(ValueError, match=r"rois\['V1'\].* hemisphere"):
            vertices_of(paths, roi)
    with pytest.raises(ValueError, match="of the right hemisphere, betas are of the left"):
        vertices_of(hemispheres, (right, left))
    with pytest.raises(ValueError, match="pairs of hemispheres"):
        vertices_of(hemispheres[:1], (left, right))


# --- arrays, whose sides their masks tell --------------------------------------------------------


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, Path]:
    return {side: gifti(tmp_path / f"hemi-{side}_mask.shape.gii", np.ones(N_VERTICES))
            for side in "LR"}  # fmt: skip


def arrays_with(mask: Any, **more: Any) -> Betas:
    n = N_VERTICES * (2 if isinstance(mask, tuple) else 1)
    values = np.random.default_rng(0).random((6, n))
    return load_betas(values, events=EVENTS, images=NAMES, mask=mask, **more)


def test_a_region_lies_in_the_hemisphere_of_the_mask(
    masks: dict[str, Path], tmp_path: Path
) -> None:
    regions = {side: gifti(tmp_path / f"hemi-{side}_V1.shape.gii", np.arange(N_VERTICES) < 2)
               for side in "LR"}  # fmt: skip
    for side, other in ("LR", "RL"):
        betas = arrays_with(masks[side], rois={"V1": regions[side]})
        assert betas.roi("V1").voxels.tolist() == [0, 1]
        with pytest.raises(ValueError, match=r"rois\['V1'\].* hemisphere"):
            arrays_with(masks[side], rois={"V1": regions[other]})
    both = (masks["L"], masks["R"])
    assert arrays_with(both, rois={"V1": regions["R"]}).roi("V1").voxels.tolist() == [8, 9]
    assert arrays_with(both[::-1], rois={"V1": regions["R"]}).roi("V1").voxels.tolist() == [0, 1]
    for given in ((masks["L"], masks["L"]), (masks["R"], masks["R"])):
        with pytest.raises(ValueError, match="mask: both of the pair are of the"):
            arrays_with(given)
    with pytest.raises(ValueError, match="a pair is of two hemispheres"):
        arrays_with((np.ones(GRID), np.ones(GRID)))


def test_files_without_a_side_have_that_of_the_mask(
    masks: dict[str, Path], tmp_path: Path
) -> None:
    maps = gifti(tmp_path / "betas.func.gii", np.random.default_rng(0).random((6, N_VERTICES)))
    right = label(tmp_path / "rh.V1.label", [3, 5])
    given = {"events": EVENTS, "images": NAMES, "rois": {"V1": right}}
    assert load_betas(maps, mask=masks["R"], **given).roi("V1").voxels.tolist() == [3, 5]
    with pytest.raises(ValueError, match=r"rois\['V1'\].* hemisphere"):
        load_betas(maps, mask=masks["L"], **given)


def test_a_mesh_lies_in_the_hemisphere_of_the_mask(masks: dict[str, Path], tmp_path: Path) -> None:
    line = np.c_[np.arange(N_VERTICES), np.zeros((N_VERTICES, 2))].astype(np.float32)
    faces = np.array([(k, k + 1, k + 2) for k in range(N_VERTICES - 2)], dtype=np.int32)
    kinds = (("pointset", line), ("triangle", faces))
    arrays = [nibabel.gifti.GiftiDataArray(one, f"NIFTI_INTENT_{kind.upper()}")
              for kind, one in kinds]  # fmt: skip
    for name in ("lh", "rh"):
        nibabel.save(nibabel.GiftiImage(darrays=arrays), tmp_path / f"{name}.surf.gii")
    layers = {"fc": compute_rdm(np.random.default_rng(1).random((6, 4)))}
    search = {"layers": layers, "radius": 2.5, "min_voxels": 2}
    values = np.random.default_rng(0).random((6, N_VERTICES))
    for betas, more in (
        (arrays_with(masks["L"]), {}),
        (arrays_with(masks["L"]).keep(range(5)), {}),
        (values, {"mask": masks["L"]}),
    ):
        with pytest.warns(UserWarning, match="Only one of") if more == {} else nullcontext():
            searchlight_rsa(betas, mesh=tmp_path / "lh.surf.gii", **search, **more)
        with pytest.raises(
            ValueError, match="of the right hemisphere, where betas are of the left"
        ):
            searchlight_rsa(betas, mesh=tmp_path / "rh.surf.gii", **search, **more)
    with pytest.raises(ValueError, match="mask: both of the pair are of the left"):
        searchlight_rsa(
            np.hstack([values, values]), mask=(masks["L"], masks["L"]),
            mesh=[tmp_path / "lh.surf.gii"] * 2, **search,
        )  # fmt: skip
