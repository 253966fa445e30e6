"""Betas, events, masks and images joined; numbers against plain loops and nilearn's masker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from fmri.conftest import AFFINE, GRID, IMAGES, SHOWN, Subject, nibabel, save

from skdnn.fmri import Betas, load_betas


def load(subject: Subject, **options: Any) -> Betas:
    given: dict[str, Any] = {
        "betas": subject.betas,
        "events": subject.events,
        "mask": subject.mask,
        "images": IMAGES,
        "drop": "catch.png",
    }
    return load_betas(**(given | options))


def names_shown() -> list[str]:
    return [f"stimuli/{n}" for run in SHOWN for n in run if n and n != "catch.png"]


def test_rows_are_trials_with_their_images(subject: Subject) -> None:
    betas = load(subject)
    np.testing.assert_array_equal(betas.responses[:], subject.rows())
    assert betas.trials["stimulus"].tolist() == names_shown()
    assert betas.trials["image"].tolist() == [0, 1, 2, 1, 0, 0, 1]
    assert betas.trials["session"].tolist() == ["1"] * 3 + ["2"] * 4
    assert betas.trials["run"].tolist() == ["01"] * 3 + ["02"] * 4
    assert betas.trials["onset"].tolist() == [0, 4, 16, 0, 4, 8, 16]
    np.testing.assert_array_equal(betas.affine, AFFINE)
    assert "trials=7" in repr(betas)
    assert "shown=1 to 3 times" in repr(betas)
    assert "2 to 3" not in betas._repr_html_()


def test_wildcards_are_files_in_natural_order(subject: Subject) -> None:
    betas = load(
        subject,
        betas=f"{subject.folder}/sub-07_*_betas.nii.gz",
        events=f"{subject.folder}/sub-07_*_events.tsv",
    )
    np.testing.assert_array_equal(betas.responses[:], subject.rows())


def test_averages_and_repeats_by_hand(subject: Subject) -> None:
    betas, rows = load(subject), subject.rows()
    shown = np.array([0, 1, 2, 1, 0, 0, 1])
    averages = betas.averages()
    assert averages.index.tolist() == IMAGES
    repeats = betas.repeats()
    assert repeats.shape == (3, 3, rows.shape[1])
    for image in range(3):
        own = rows[shown == image]
        np.testing.assert_allclose(averages.to_numpy()[image], own.mean(axis=0), rtol=1e-5)
        np.testing.assert_array_equal(repeats[: len(own), image], own)
        assert np.isnan(repeats[len(own) :, image]).all()


def test_values_and_order_are_those_of_nilearn(subject: Subject) -> None:
    maskers = pytest.importorskip("nilearn.maskers")
    masker = maskers.NiftiMasker(nibabel.load(subject.mask), standardize=None).fit()
    expected = np.concatenate([masker.transform(str(path)) for path in subject.betas])
    keep = [i for i, n in enumerate(n for run in SHOWN for n in run) if n and n != "catch.png"]
    betas = load(subject)
    np.testing.assert_array_equal(betas.responses[:], expected[keep])
    values = np.arange(1, betas.n_voxels + 1, dtype=np.float32)
    back = betas.unmask(values, fill=0).get_fdata()
    np.testing.assert_array_equal(back, masker.inverse_transform(values).get_fdata())


def test_nan_stays_nan(subject: Subject) -> None:
    first = subject.maps[0]
    voxel = tuple(np.argwhere(subject.inside)[4])
    first[(*voxel, 0)] = np.nan
    save(first, subject.betas[0])
    betas = load(subject)
    assert np.argwhere(np.isnan(betas.responses[:])).tolist() == [[0, 4]]
    assert np.argwhere(np.isnan(betas.averages().to_numpy())).tolist() == [[0, 4]]
    assert np.isnan(betas.unmask(betas.averages().to_numpy()[0]).get_fdata()[voxel])


@pytest.mark.parametrize("by", ["session", "run"])
def test_z_scores_within_sessions(subject: Subject, by: str) -> None:
    rows = subject.rows().astype(np.float64)
    expected = np.concatenate(
        [(part - part.mean(axis=0)) / part.std(axis=0) for part in (rows[:3], rows[3:])]
    )
    betas = load(subject, standardize=by)
    np.testing.assert_allclose(betas.responses[:], expected, atol=2e-5)
    picked = betas.keep([5, 2])  # after the pass, and before it
    np.testing.assert_allclose(picked.responses[:], expected[:, [5, 2]], atol=2e-5)
    early = load(subject, standardize=by).keep([5, 2])
    np.testing.assert_allclose(early.responses[1:4], expected[1:4, [5, 2]], atol=2e-5)


def test_one_trial_has_no_deviation(subject: Subject) -> None:
    with pytest.raises(ValueError, match=r"standardize='run': run .* has a single trial"):
        load(subject, standardize="run", drop={"onset": ["4.0", "16.0"], "trial_type": "catch"},
             images=IMAGES[:1], surplus="drop", betas=subject.betas)  # fmt: skip


# --- which events have maps ---------------------------------------------


@pytest.mark.parametrize("without", ["blank", "blank and catch"])
def test_maps_of_events_with_a_stimulus_only(subject: Subject, without: str) -> None:
    for path, values, shown in zip(subject.betas, subject.maps, SHOWN, strict=True):
        keep = [n is not None and (without == "blank" or n != "catch.png") for n in shown]
        save(values[..., keep], path)
    np.testing.assert_array_equal(load(subject).responses[:], subject.rows())


def test_one_file_of_all_runs_and_a_file_for_each_trial(subject: Subject) -> None:
    whole = np.concatenate(subject.maps, axis=3)
    path = save(whole, subject.folder / "all.nii")
    np.testing.assert_array_equal(load(subject, betas=path).responses[:], subject.rows())
    single = [save(whole[..., i], subject.folder / f"beta_{i:04}.nii") for i in range(10)]
    np.testing.assert_array_equal(load(subject, betas=single).responses[:], subject.rows())
    wild = load(subject, betas=subject.folder / "beta_*.nii")
    np.testing.assert_array_equal(wild.responses[:], subject.rows())


def test_a_map_too_few_names_the_run(subject: Subject) -> None:
    save(subject.maps[1][..., :-1], subject.betas[1])
    with pytest.raises(
        ValueError, match=r"run-02_events.tsv: 4 maps, but 5 events, 4 events with"
    ):
        load(subject)
    save(subject.maps[1][..., :2], subject.betas[1])
    with pytest.raises(ValueError, match=r"run-02_events.tsv: 2 maps, but 5 events"):
        load(subject)


def test_runs_that_match_in_different_ways_are_refused(subject: Subject) -> None:
    """Blank trials of one run have maps, those of the other have none: one of them is wrong."""
    save(subject.maps[1][..., [0, 1, 2, 4]], subject.betas[1])
    with pytest.raises(ValueError, match="not all in the same way"):
        load(subject)


# --- arrays, GLMsingle, the Natural Scenes Dataset ---------------------------------------------


def test_arrays_of_voxels_and_of_volumes(subject: Subject) -> None:
    whole = np.concatenate(subject.maps, axis=3)
    np.testing.assert_array_equal(load(subject, betas=whole).responses[:], subject.rows())
    flat = load(subject, betas=whole[subject.inside].T)
    np.testing.assert_array_equal(flat.responses[:], subject.rows())
    bare = load(subject, betas=whole[subject.inside].T, mask=None)
    np.testing.assert_array_equal(bare.responses[:], subject.rows())
    with pytest.raises(ValueError, match="no place in space"):
        bare.unmask(np.zeros(bare.n_voxels))
    with pytest.raises(ValueError, match="give the mask"):
        load(subject, betas=whole, mask=None)
    with pytest.raises(ValueError, match=r"does not fit the mask of shape \(3, 4, 5\)"):
        load(subject, betas=whole[:, :-1])


@pytest.mark.parametrize("reverse", [False, True], ids=["numpy's axes", "MATLAB's axes"])
def test_glmsingle_in_hdf5(subject: Subject, reverse: bool) -> None:
    whole = np.concatenate(subject.maps, axis=3)
    path = subject.folder / "TYPED_FITHRF_GLMDENOISE_RR.hdf5"
    with h5py.File(path, "w") as file:
        file["betasmd"] = whole.T if reverse else whole
        file["R2"] = whole[..., 0]
    betas = load(subject, betas=path)
    np.testing.assert_array_equal(betas.responses[:], subject.rows())
    np.testing.assert_array_equal(betas.responses[3:5, 2:9], subject.rows()[3:5, 2:9])
    with pytest.raises(ValueError, match=r"no array 'beta'.*'R2', 'betasmd'.*key="):
        load(subject, betas=path, key="beta")


def test_glmsingle_in_mat(subject: Subject) -> None:
    io = pytest.importorskip("scipy.io")
    whole = np.concatenate(subject.maps, axis=3)
    io.savemat(subject.folder / "glm.mat", {"betasmd": whole})
    betas = load(subject, betas=subject.folder / "glm.mat")
    np.testing.assert_array_equal(betas.responses[:], subject.rows())
    voxels = whole.reshape(-1, 10)  # all voxels of the volume x trials
    io.savemat(subject.folder / "flat.mat", {"betasmd": voxels})
    betas = load(subject, betas=subject.folder / "flat.mat")
    np.testing.assert_array_equal(betas.responses[:], subject.rows())


def test_integers_of_nsd_must_be_scaled_by_word(subject: Subject) -> None:
    whole = np.concatenate(subject.maps, axis=3)
    stored = np.round(whole * 300).astype(np.int16)
    path = subject.folder / "betas_session01.hdf5"
    with h5py.File(path, "w") as file:
        file["betas"] = stored.T
    with pytest.raises(ValueError, match="scale=300 for the Natural Scenes Dataset"):
        load(subject, betas=path)
    betas = load(subject, betas=path, scale=300)
    np.testing.assert_allclose(betas.responses[:], subject.rows(), atol=0.5 / 300 + 1e-6)
    nifti = save(stored, subject.folder / "betas_session01.nii.gz")
    with pytest.raises(ValueError, match="scale=300"):
        load(subject, betas=nifti)
    np.testing.assert_array_equal(
        load(subject, betas=nifti, scale=300).responses[:], betas.responses[:]
    )


# --- regions and voxels ---------------------------------------------


def test_regions_from_masks_and_atlases(subject: Subject) -> None:
    atlas = np.arange(60).reshape(GRID) % 4
    region = save((atlas == 2).astype(np.uint8), subject.folder / "V2.nii.gz")
    rois = {
        "V1": (subject.folder / "atlas.nii.gz", 1),
        "V2": region,
        "both": (subject.folder / "atlas.nii.gz", [1, 2]),
    }
    betas = load(subject, rois=rois)
    label = atlas[subject.inside]
    for name, values in {"V1": [1], "V2": [2], "both": [1, 2]}.items():
        inside = np.isin(label, values)
        np.testing.assert_array_equal(betas.rois[name], inside)
        part = betas.roi(name)
        np.testing.assert_array_equal(part.responses[:], subject.rows()[:, inside])
        back = part.unmask(np.ones(part.n_voxels), fill=0).get_fdata()
        np.testing.assert_array_equal(back, subject.inside & np.isin(atlas, values))
    assert betas.roi("both").roi("V1").n_voxels == betas.rois["V1"].sum()
    with pytest.raises(ValueError, match="no region 'V3'; there are 'V2', 'V1', 'both'"):
        betas.roi("V3")
    with pytest.raises(ValueError, match="No voxel of 'V2' is among those that were kept"):
        betas.keep(betas.rois["V1"]).roi("V2")
    with pytest.raises(ValueError, match="no region 'V2'; there are 'V1', 'both'"):
        betas.roi("V1").roi("V2")


def test_kept_voxels_go_back_where_they_were(subject: Subject, tmp_path: Path) -> None:
    betas = load(subject)
    some = betas.keep([7, 3, 11]).keep([True, False, True])
    assert some.voxels.tolist() == [7, 11]
    volume = some.unmask([[1.0, 2.0], [3.0, 4.0]]).get_fdata()
    assert volume.shape == (*GRID, 2)
    assert volume[subject.inside][[7, 11]].tolist() == [[1, 3], [2, 4]]
    assert np.isfinite(volume).sum() == 4
    some.save_map([1.0, 2.0], tmp_path / "score.nii.gz")
    saved = nibabel.load(tmp_path / "score.nii.gz")
    np.testing.assert_array_equal(saved.get_fdata(), volume[..., 0])
    np.testing.assert_allclose(saved.affine, AFFINE)
    whole = np.concatenate(subject.maps, axis=3)
    load(subject, betas=whole).keep([7, 11]).save_map([1.0, 2.0], tmp_path / "array.nii.gz")
    np.testing.assert_array_equal(
        nibabel.load(tmp_path / "array.nii.gz").get_fdata(), volume[..., 0]
    )
    scores = betas.reliability()["ncsnr"]
    best = scores.sort_values() > scores.median()
    np.testing.assert_array_equal(betas.keep(best).voxels, betas.keep(best.sort_index()).voxels)
    with pytest.raises(ValueError, match="other voxels than these"):
        some.keep(best)
    for wrong, why in ([3, 3], "twice"), ([99], "must lie in 0"), ([], "keeps nothing"):
        with pytest.raises(ValueError, match=why):
            betas.keep(wrong)
    with pytest.raises(ValueError, match="there are"):
        betas.keep([True, False])
    with pytest.raises(ValueError, match=r"values has shape \(5,\)"):
        betas.unmask(np.zeros(5))


def test_regions_elsewhere(subject: Subject) -> None:
    atlas = np.arange(60).reshape(GRID) % 4
    finer = np.repeat(np.repeat(np.repeat(atlas, 2, 0), 2, 1), 2, 2)
    affine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] -= AFFINE[:3, :3] @ [0.25, 0.25, 0.25]
    fine = save(finer.astype(np.int16), subject.folder / "fine.nii.gz", affine)
    with pytest.raises(ValueError, match=r"rois\['V1'\] has shape .*resample=True"):
        load(subject, rois={"V1": (fine, 1)})
    betas = load(subject, rois={"V1": (fine, 1)}, resample=True)
    np.testing.assert_array_equal(betas.rois["V1"], (atlas == 1)[subject.inside])
    moved = AFFINE.copy()
    moved[0, 3] += 4
    away = save(atlas.astype(np.int16), subject.folder / "moved.nii.gz", moved)
    with pytest.raises(ValueError, match=r"rois\['V1'\] lies elsewhere"):
        load(subject, rois={"V1": (away, 1)})


def test_reliability_is_that_of_the_functions(subject: Subject) -> None:
    from skdnn.encoding import ncsnr, split_half_reliability

    betas = load(subject)
    table = betas.reliability(n_splits=5, random_state=3)
    np.testing.assert_array_equal(table["ncsnr"], ncsnr(betas.repeats()))
    np.testing.assert_array_equal(
        table["split_half"], split_half_reliability(betas.repeats(), n_splits=5, random_state=3)
    )
    assert table.index.tolist() == list(range(betas.n_voxels))
    once = load(subject, betas=subject.betas[0], events=subject.events[0])
    with pytest.raises(ValueError, match="No image was shown twice"):
        once.reliability()


# --- what does not belong together ---------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_events_of_another_run_subject_or_order(subject: Subject) -> None:
    with pytest.raises(
        ValueError, match=r"(?s)of different runs.*run-01_betas\S* with \S*run-02_events"
    ):
        load(subject, events=subject.events[::-1])
    other = subject.events[0].with_name("sub-08_run-01_events.tsv")
    other.write_bytes(subject.events[0].read_bytes())
    with pytest.raises(ValueError, match="of several subjects: '07', '08'"):
        load(subject, events=[other, subject.events[1]])
    with pytest.raises(ValueError, match="betas are of subject '07', events of subject '08'"):
        load(subject, betas=subject.betas[0], events=other)
    edit(subject.events[0], "4.0\t", "40.0\t")
    with pytest.raises(ValueError, match=r"onsets of .*run-01_events.tsv do not rise"):
        load(subject)


def test_events_and_images_must_fit(subject: Subject) -> None:
    with pytest.raises(
        ValueError, match=r"events show 1 of 4 stimuli that no image fits: 'catch.png'"
    ):
        load(subject, drop=())
    with pytest.raises(ValueError, match=r"images: 1 of 4 were never shown: 'data/stimuli/owl"):
        load(subject, images=[*IMAGES, "data/stimuli/owl/1.jpg"])
    with pytest.raises(ValueError, match=r"images holds more than once 'data/stimuli/cat/1.jpg'"):
        load(subject, images=[*IMAGES, IMAGES[0]])
    with pytest.raises(ValueError, match="fits several images"):
        load(subject, images=[*IMAGES, "other/stimuli/dog/1.jpg"])
    with pytest.raises(ValueError, match=r"drop: no event has 'cach.png'; there are 'catch.png'"):
        load(subject, drop=["cach.png"])
    with pytest.raises(ValueError, match=r"no column 'image', but 'onset'.*stimulus="):
        load(subject, stimulus="image")
    fewer = load(subject, images=IMAGES[1:], surplus="drop", drop=())
    assert fewer.trials["image"].tolist() == [0, 1, 0, 0]
    np.testing.assert_array_equal(fewer.responses[:], subject.rows()[[1, 2, 3, 6]])


def test_catch_trials_are_dropped_by_the_name_of_a_column(subject: Subject) -> None:
    betas = load(subject, drop={"trial_type": "catch"})
    np.testing.assert_array_equal(betas.responses[:], subject.rows())
    with pytest.raises(ValueError, match=r"run-01_events.tsv has no column 'kind'"):
        load(subject, drop={"kind": "catch"})


def test_masks_elsewhere_and_of_fractions(subject: Subject) -> None:
    moved = AFFINE.copy()
    moved[2, 3] += 1
    save(subject.inside.astype(np.uint8), subject.folder / "moved.nii.gz", moved)
    with pytest.raises(ValueError, match="affine matrices differ"):
        load(subject, mask=subject.folder / "moved.nii.gz")
    save(subject.inside * np.float32(0.7), subject.folder / "linear.nii.gz")
    with pytest.raises(ValueError, match=r"values other than 0 and 1: 0\.7.*Resample"):
        load(subject, mask=subject.folder / "linear.nii.gz")
    save((np.arange(60) % 4).reshape(GRID).astype(np.uint8), subject.folder / "atlas.nii.gz")
    given = (
        r"'.*atlas\.nii\.gz' has values other than 0 and 1: 2, 3\. If it is an atlas, say which"
    )
    with pytest.raises(ValueError, match=rf"rois\['V1'\]: {given} is meant, by a pair \(atlas, l"):
        load(subject, rois={"V1": subject.folder / "atlas.nii.gz"})
    save(np.ones((3, 4, 6), np.uint8), subject.folder / "larger.nii.gz")
    with pytest.raises(ValueError, match=r"has shape \(3, 4, 5\), the mask \(3, 4, 6\)"):
        load(subject, mask=subject.folder / "larger.nii.gz")
    with pytest.raises(ValueError, match="need a mask"):
        load(subject, mask=None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"betas": "gone_*.nii"}, "no file fits"),
        ({"events": "gone_events.tsv"}, "there is no file 'gone_events.tsv'"),
        ({"betas": "gone.h5"}, "there is no file"),
        ({"betas": []}, "betas is empty"),
        ({"events": []}, "events is empty"),
        ({"standardize": "week"}, "standardize must be one of"),
        ({"surplus": "keep"}, "surplus must be"),
        ({"scale": 0}, "scale must be a number above 0"),
    ],
)
def test_refused_before_anything_is_read(
    subject: Subject, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(reason)):
        load(subject, **options)


def test_numbers_as_names_and_tables_in_memory(subject: Subject) -> None:
    """The Natural Scenes Dataset names images by numbers."""
    tables = [pd.DataFrame({"image_id": [3, 1, 2], "session": 1, "run": run}) for run in (1, 2)]
    values = np.arange(12.0).reshape(6, 2)
    betas = load_betas(
        values, events=tables, images=["x/1.png", "x/2.png", "x/3.png"], stimulus="image_id"
    )
    assert betas.trials["image"].tolist() == [2, 0, 1, 2, 0, 1]
    assert betas.trials["run"].tolist() == ["1"] * 3 + ["2"] * 3
    np.testing.assert_array_equal(betas.averages().to_numpy()[0], [5.0, 6.0])
