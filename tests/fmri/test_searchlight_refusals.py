"""What searchlights refuse or warn of, so that no map says what is not so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import (
    DESIGNS,
    IMAGES,
    N,
    betas_of,
    image_of,
    layer_rdms,
    nibabel,
    random_mask,
    responses,
    spheres,
)

from skdnn.fmri import estimate_searchlight, searchlight_rsa
from skdnn.rsa import compare_rdms, compute_rdm

MASK = random_mask()
N_VOXELS = int(MASK.sum())
N_VERTICES = 30
LINE = np.c_[np.arange(N_VERTICES), np.zeros((N_VERTICES, 2))].astype(np.float32)
FACES = np.array([(k, k + 1, k + 2) for k in range(N_VERTICES - 2)], dtype=np.int32)


def mesh_file(path: Any) -> Any:
    arrays = [
        nibabel.gifti.GiftiDataArray(LINE, intent="NIFTI_INTENT_POINTSET"),
        nibabel.gifti.GiftiDataArray(FACES, intent="NIFTI_INTENT_TRIANGLE"),
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    return path


def mask_file(path: Any) -> Any:
    array = nibabel.gifti.GiftiDataArray(np.ones(N_VERTICES, dtype=np.float32))
    nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), path)
    return path


def test_meshes_of_the_other_hemisphere(tmp_path):
    masks = [mask_file(tmp_path / f"hemi-{side}_mask.shape.gii") for side in "LR"]
    meshes = [mesh_file(tmp_path / f"hemi-{side}_white.surf.gii") for side in "LR"]
    given = {"radius": 3.0, "mask": masks, "min_voxels": 3}
    searchlight_rsa(responses(2 * N_VERTICES), layer_rdms(1), mesh=meshes, **given)
    with pytest.raises(ValueError, match=r"hemi-R_white.* right hemisphere.* of the left"):
        searchlight_rsa(responses(2 * N_VERTICES), layer_rdms(1), mesh=meshes[::-1], **given)


def test_hemispheres_without_names_are_left_and_right(tmp_path):
    masks, mesh = [np.ones(N_VERTICES)] * 2, [(LINE, FACES)] * 2
    voxels = responses(2 * N_VERTICES)
    result = searchlight_rsa(
        voxels, layer_rdms(1), radius=3.0, mask=masks, mesh=mesh, min_voxels=3
    )
    result.save(tmp_path)
    assert (tmp_path / "hemi-L_layer-layer0.func.gii").is_file()
    assert (tmp_path / "hemi-R_layer-layer0.func.gii").is_file()


def test_labels_of_all_subjects_are_compared():
    labelled = pd.DataFrame(responses(N_VOXELS), index=IMAGES)
    given = {"radius": 4.0, "mask": image_of(MASK), "min_voxels": 4}
    layers = layer_rdms(1, labels=IMAGES)
    subjects = {"a": labelled.to_numpy(), "b": labelled, "c": labelled}
    with pytest.warns(UserWarning, match="betas of 'a' have no names of images"):
        searchlight_rsa(subjects, layers, **given)
    subjects["c"] = labelled.iloc[::-1]
    with (
        pytest.raises(ValueError, match="'c' are of other images than those of 'b'"),
        pytest.warns(UserWarning, match="no names of images"),
    ):
        searchlight_rsa(subjects, layers, **given)


@pytest.mark.parametrize("comparison", ["cosine", "cosine_cov", "bures"])
def test_zero_is_not_chance_of_uncentred_comparisons(comparison):
    subjects = {f"s{k}": responses(N_VOXELS, seed=k) for k in range(6)}
    result = searchlight_rsa(
        subjects, layer_rdms(1), radius=4.0, mask=image_of(MASK), comparison=comparison
    )
    with pytest.raises(ValueError, match=rf"a {comparison} similarity far above zero"):
        result.test()
    chance = float(np.nanmean(result.scores))
    assert result.test(chance=chance).significant().mean() < 0.2
    result.settings.update(metric="crossnobis")
    if comparison != "bures":
        result.test()


def test_a_layer_without_scores_leaves_the_best_of_the_others():
    result = searchlight_rsa(
        responses(N_VOXELS), layer_rdms(2), radius=4.0, mask=image_of(MASK), min_voxels=2
    )
    result.scores[:, 0] = np.nan
    np.testing.assert_array_equal(result.best_layer(), 1)


def test_pairs_that_crossnobis_lacks_are_told():
    _, betas = betas_of(MASK, DESIGNS["pairs never together"])
    layers = layer_rdms(1, labels=IMAGES)
    given = {"radius": 4.0, "metric": "crossnobis", "min_voxels": 4}
    with pytest.warns(UserWarning, match="9 of 36 pairs of images were not shown both"):
        result = searchlight_rsa(betas, layers, **given)
    assert result.settings["n_pairs"] == 27
    flat = np.ones((N, N)) - np.eye(N)
    flat[:3, 6:] = np.random.default_rng(0).random((3, 3))
    flat[6:, :3] = flat[:3, 6:].T
    layers["flat"] = pd.DataFrame(flat, IMAGES, IMAGES)
    with (
        pytest.raises(ValueError, match=r"constant.*\n.*'flat'"),
        pytest.warns(UserWarning, match="pairs of images"),
    ):
        searchlight_rsa(betas, layers, comparison="pearson", **given)


@pytest.mark.parametrize("comparison", ["corr_cov", "cosine_cov"])
def test_whitened_comparisons_leave_out_what_crossnobis_lacks(comparison):
    runs = DESIGNS["pairs never together"]
    trials, betas = betas_of(MASK, runs)
    layers = layer_rdms(2, labels=IMAGES)
    given = {"radius": 4.0, "metric": "crossnobis", "min_voxels": 4, "comparison": comparison}
    with pytest.warns(UserWarning, match="9 of 36 pairs of images were not shown both"):
        result = searchlight_rsa(betas, layers, **given)
    assert result.settings["n_pairs"] == 27
    shown = [IMAGES[k] for run in runs for k in run]
    folds = [number for number, run in enumerate(runs) for _ in run]
    centre = 5
    with pytest.warns(RuntimeWarning, match="crossnobis dissimilarities"):
        rdm = compute_rdm(
            trials[:, spheres(MASK, 4.0)[centre]], "crossnobis", conditions=shown, folds=folds
        )
    names = list(dict.fromkeys(shown))
    frame = pd.DataFrame(np.asarray(rdm), names, names)
    expected = [compare_rdms(layer, frame, comparison) for layer in layers.values()]
    np.testing.assert_allclose(result.scores[0, :, centre], expected, atol=1e-10)


def test_bures_is_refused_with_crossnobis():
    _, betas = betas_of(MASK, DESIGNS["balanced"])
    layers = layer_rdms(1, labels=IMAGES)
    given = {"radius": 4.0, "metric": "crossnobis", "min_voxels": 4, "comparison": "bures"}
    for call in (searchlight_rsa, estimate_searchlight):
        with pytest.raises(ValueError, match=r"'bures' .* negative .* 'cosine_cov' or 'corr_cov'"):
            call(betas, layers, **given)


def test_what_the_run_would_refuse_the_estimate_refuses(tmp_path):
    voxels, layers = responses(N_VOXELS), layer_rdms(1)
    with pytest.raises(ValueError, match=r"radius=0\.5 gives spheres of at most"):
        estimate_searchlight(voxels, layers, radius=0.5, mask=image_of(MASK))
    _, betas = betas_of(MASK, DESIGNS["balanced"])
    given = {"radius": 4.0, "metric": "crossnobis", "min_voxels": 4}
    layers = layer_rdms(1, labels=IMAGES)
    absent = tmp_path / "residuals.nii.gz"
    with pytest.raises(FileNotFoundError, match=r"residuals: there is no file .*residuals\.nii"):
        estimate_searchlight(betas, layers, residuals=absent, **given)
    noise = np.random.default_rng(0).normal(size=(60, N_VOXELS))
    for dof in (-5.0, 0, np.nan, "x", True):
        with pytest.raises(ValueError, match="dof must be a number above 0"):
            estimate_searchlight(betas, layers, residuals=noise, dof=dof, **given)
    result = searchlight_rsa(betas, layers, residuals=noise, dof=np.int64(50), **given)
    assert type(result.settings["dof"]) is float


def test_a_radius_larger_than_the_brain_takes_all_of_it():
    voxels, layers = responses(N_VOXELS), layer_rdms(1)
    given = {"mask": image_of(MASK), "min_voxels": 2}
    larger = [searchlight_rsa(voxels, layers, radius=radius, **given) for radius in (40.0, 4e6)]
    assert (larger[1].sizes == N_VOXELS).all()
    np.testing.assert_array_equal(larger[0].scores, larger[1].scores)
