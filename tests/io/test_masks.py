"""Masks: only 0 and 1 are taken as they are; what else they hold is said, not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from skdnn.formats import read_betas, read_mat, write_map

nibabel = pytest.importorskip("nibabel")
AFFINE = np.array([[2.0, 0, 0, -6], [0, 3, 0, 9], [0, 0, 2.5, 0], [0, 0, 0, 1]])
SHAPE = (3, 4, 2)
RNG = np.random.default_rng(1)
BETAS = RNG.normal(size=(*SHAPE, 5)).astype(np.float32)
REGIONS = RNG.integers(0, 4, SHAPE).astype(np.int16)


@pytest.fixture
def betas(tmp_path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(BETAS, AFFINE), tmp_path / "betas.nii.gz")
    return tmp_path / "betas.nii.gz"


def saved(values: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("kind", ["image", "path", "array"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.linspace(0, 1, 24).reshape(SHAPE), r"0\.04348, 0\.08696, .* and 17 more\."),
        ((REGIONS % 3 - 1).astype(np.float32), r"other than 0 and 1: -1\. "),
        (np.where(REGIONS == 1, np.nan, 1.0), "other than 0 and 1: nan"),
        (np.where(REGIONS == 1, np.inf, 0.0), "other than 0 and 1: inf"),
        ((REGIONS > 1) * np.uint8(255), "other than 0 and 1: 255"),
        (REGIONS, "other than 0 and 1: 2, 3"),
    ],
    ids=["linear", "minus one", "nan", "infinity", "255", "regions"],
)
def test_values_beside_0_and_1_are_told(betas, tmp_path, kind, values, told):
    mask = {
        "image": lambda: nibabel.Nifti1Image(values, AFFINE),
        "path": lambda: saved(values, tmp_path / "mask.nii"),
        "array": lambda: values,
    }[kind]()
    with pytest.raises(ValueError, match=rf"mask(: .*mask.nii')? has values.* {told}") as error:
        read_betas(betas, mask)
    assert "by nearest neighbour" in str(error.value)
    assert "threshold=" in str(error.value)
    assert "label=" in str(error.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float64])
def test_0_and_1_of_any_type(betas, dtype):
    values = (REGIONS == 2).astype(dtype)
    found = read_betas(betas, values)
    np.testing.assert_array_equal(found[:], BETAS[REGIONS == 2].T)
    np.testing.assert_array_equal(found.mask, REGIONS == 2)
    np.testing.assert_array_equal(found.affine, AFFINE)
    assert found.hemispheres == []
    assert found.axis is found.names is None


def test_0_and_1_from_scaled_integers(betas, tmp_path):
    image = nibabel.Nifti1Image((REGIONS == 2).astype(np.float32), AFFINE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "mask.nii")
    stored = np.asarray(nibabel.load(tmp_path / "mask.nii").dataobj)
    assert not np.isin(stored, [0, 1]).all()
    np.testing.assert_array_equal(read_betas(betas, tmp_path / "mask.nii").mask, REGIONS == 2)


def test_thresholds_and_labels(betas):
    values = np.where(REGIONS == 3, np.nan, REGIONS / 3 - 1 / 3)  # -1/3, 0, 1/3, nan
    for threshold in (-1, 0, 0.2):
        kept = values > threshold
        np.testing.assert_array_equal(read_betas(betas, values, threshold=threshold).mask, kept)
    for label, kept in (
        (2, REGIONS == 2),
        (np.int16(2), REGIONS == 2),
        ([1, 3], REGIONS % 2 == 1),
        (0, REGIONS == 0),
    ):
        found = read_betas(betas, nibabel.Nifti1Image(REGIONS, AFFINE), label=label)
        np.testing.assert_array_equal(found[:], BETAS[kept].T)


def test_wrong_thresholds_and_labels(betas):
    for arguments, message in (
        ({"threshold": 3}, "mask has nothing above 3: it chooses no voxel"),
        ({"label": 7}, r"label: the mask has no 7\. Nearest: '0', '1', '2', '3'"),
        ({"label": [1, 7]}, "label: the mask has no 7"),
        ({"label": "V1"}, "label: the mask has no 'V1'"),
        ({"label": 1, "threshold": 1}, "threshold and label cannot both"),
    ):
        with pytest.raises(ValueError, match=message):
            read_betas(betas, REGIONS, **arguments)
    with pytest.raises(ValueError, match="threshold and label say what is taken of a mask"):
        read_betas(betas, threshold=1)
    with pytest.raises(ValueError, match=r"betas.nii.gz: holds volumes, which need a mask"):
        read_betas(betas)


def test_shapes_and_places(betas, tmp_path):
    mask = REGIONS == 2
    moved = AFFINE + np.eye(4)[:, [3, 0, 1, 2]] * 0.5
    one = saved(mask[..., None].astype(np.uint8), tmp_path / "one volume.nii")
    np.testing.assert_array_equal(read_betas(betas, one)[:], BETAS[mask].T)
    np.testing.assert_array_equal(read_betas(betas, mask[..., None])[:], BETAS[mask].T)
    for wrong, message in (
        (
            saved(np.zeros((*SHAPE, 2), np.uint8), tmp_path / "two.nii"),
            r"three dimensions.*4, 2, 2\)",
        ),
        (mask[0], r"must have three dimensions.*got shape \(4, 2\)"),
        (np.array("mask"), "must have three dimensions"),
        (mask.astype(str), "and hold numbers; got shape.* of <U5"),
        (np.zeros(SHAPE), "is zero everywhere: it chooses no voxel"),
        (np.zeros(SHAPE, bool), "is zero everywhere"),
        (mask[1:], r"betas.nii.gz: has shape \(3, 4, 2\), the mask \(2, 4, 2\)"),
        (mask.ravel(), r"betas.nii.gz: has shape \(3, 4, 2\), the mask \(24,\)"),
        (
            saved(mask.astype(np.uint8), tmp_path / "moved.nii", moved),
            "lies elsewhere than the mask",
        ),
        (tmp_path / "absent.nii", r"mask: .*absent.nii' is not there\."),
        (tmp_path / "absent.annot", r"mask: .*absent.annot' is not there\."),
    ):
        with pytest.raises(ValueError, match=message):
            read_betas(betas, wrong)
    saved(BETAS, tmp_path / "elsewhere.nii", moved)
    with pytest.raises(ValueError, match=r"elsewhere.nii: lies elsewhere than the first file"):
        read_betas([betas, tmp_path / "elsewhere.nii"], mask)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_masks_from_matlab(betas, tmp_path, dtype):
    savemat(tmp_path / "mask.mat", {"mask": (REGIONS == 2).astype(dtype)})
    assert loadmat(tmp_path / "mask.mat")["mask"].shape == SHAPE
    found = read_betas(betas, read_mat(tmp_path / "mask.mat", "mask"))
    np.testing.assert_array_equal(found[:], BETAS[REGIONS == 2].T)


def test_maps_go_back_by_the_same_mask(betas, tmp_path):
    scores = RNG.normal(size=(REGIONS == 2).sum()).astype(np.float32)
    mask = saved(REGIONS, tmp_path / "regions.nii")
    for reference, how in (
        (mask, {"label": 2}),
        (nibabel.load(mask), {"label": [2]}),
        (read_betas(betas, mask, label=2), {}),
        (read_betas(betas, REGIONS == 2), {}),
    ):
        write_map(scores, reference, tmp_path / "map.nii.gz", **how)
        image = nibabel.load(tmp_path / "map.nii.gz")
        np.testing.assert_array_equal(image.affine, AFFINE)
        np.testing.assert_array_equal(image.get_fdata()[REGIONS == 2], scores)
        assert np.isnan(image.get_fdata()[REGIONS != 2]).all()
    with pytest.raises(ValueError, match="other than 0 and 1: 2, 3"):
        write_map(scores, mask, tmp_path / "map.nii")
    with pytest.raises(ValueError, match=r"reference: .*absent.nii' is not there\."):
        write_map(scores, tmp_path / "absent.nii", tmp_path / "map.nii")
    assert not (tmp_path / "map.nii").exists()
