"""Responses from NIfTI files, and maps into them, against nibabel's own arrays."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdnn._blocks import is_lazy
from skdnn.formats import BData, read_betas, write_map

AFFINE = np.array([[2.0, 0, 0, -6], [0, 3, 0, 9], [0, 0, 2.5, 0], [0, 0, 0, 1]])
SHAPE = (3, 4, 2)
RNG = np.random.default_rng(0)
BETAS = RNG.normal(size=(5, *SHAPE)).astype(np.float32)
MASK = RNG.uniform(size=SHAPE) > 0.5


@pytest.fixture
def nibabel():
    return pytest.importorskip("nibabel")


@pytest.fixture
def folder(nibabel, tmp_path: Path) -> Path:
    for i, volume in enumerate(BETAS):
        nibabel.save(nibabel.Nifti1Image(volume, AFFINE), tmp_path / f"beta{i}.nii.gz")
    four = nibabel.Nifti1Image(np.moveaxis(BETAS, 0, -1), AFFINE)
    nibabel.save(four, tmp_path / "betas.nii")
    nibabel.save(nibabel.Nifti1Image(MASK.astype(np.uint8), AFFINE), tmp_path / "mask.nii")
    return tmp_path


@pytest.fixture(params=["one volume each", "all in one"])
def paths(request, folder: Path) -> list[Path]:
    single = [folder / f"beta{i}.nii.gz" for i in range(5)]
    return single if request.param == "one volume each" else [folder / "betas.nii"]


@pytest.mark.parametrize(
    "key",
    [slice(None), [4, 0, 0], 2, (slice(1, 3), slice(2, 5)), (slice(None), 1), (3, [0, 2])],
    ids=str,
)
def test_rows_and_columns(folder, paths, key):
    betas = read_betas(paths, folder / "mask.nii")
    expected = BETAS[:, MASK]
    assert is_lazy(betas)
    assert betas.shape == expected.shape
    assert betas.dtype == np.float32
    np.testing.assert_array_equal(betas[key], expected[key])
    assert np.shape(betas[key]) == np.shape(expected[key])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(betas))), expected)


def test_masks_of_every_kind(nibabel, folder):
    path = folder / "betas.nii"
    for mask in (MASK, str(folder / "mask.nii"), nibabel.load(folder / "mask.nii")):
        np.testing.assert_array_equal(read_betas(path, mask)[:], BETAS[:, MASK])


def test_scaled_integers(nibabel, folder):
    image = nibabel.Nifti1Image(BETAS[0], AFFINE)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, folder / "scaled.nii")
    betas = read_betas(folder / "scaled.nii", MASK)
    assert betas.dtype == np.float32
    np.testing.assert_allclose(betas[0], BETAS[0][MASK], atol=1e-3)


def test_files_that_do_not_fit_are_one_error(nibabel, folder):
    moved, small = AFFINE.copy(), BETAS[0, 1:]
    moved[0, 3] += 2
    nibabel.save(nibabel.Nifti1Image(BETAS[0], moved), folder / "moved.nii")
    nibabel.save(nibabel.Nifti1Image(small, AFFINE), folder / "small.nii")
    (folder / "text.nii").write_text("no image")
    names = ["betas.nii", "moved.nii", "small.nii", "text.nii", "absent.nii"]
    with pytest.raises(ValueError, match="paths: 4 of 5 files") as caught:
        read_betas([folder / name for name in names], folder / "mask.nii")
    message = str(caught.value)
    assert "moved.nii: lies elsewhere than the mask" in message
    assert "small.nii: has shape (2, 4, 2), the mask (3, 4, 2)" in message
    assert "text.nii: is no NIfTI file" in message
    assert "absent.nii: is not there" in message
    assert read_betas(folder / "moved.nii", MASK).shape[0] == 1  # an array lies nowhere
    with pytest.raises(ValueError, match="mask is zero everywhere"):
        read_betas(folder / "betas.nii", np.zeros(SHAPE))
    with pytest.raises(ValueError, match="mask must have three dimensions"):
        read_betas(folder / "betas.nii", MASK[0])
    with pytest.raises(ValueError, match=r"mask: .*absent.nii' is not there"):
        read_betas(folder / "betas.nii", folder / "absent.nii")
    with pytest.raises(ValueError, match="paths is empty"):
        read_betas([], MASK)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_maps_back(nibabel, folder, ending):
    scores = RNG.normal(size=(2, MASK.sum())).astype(np.float32)
    out = folder / "maps" / f"scores{ending}"
    write_map(scores[0], folder / "mask.nii", out)
    image = nibabel.load(out)
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(image.get_fdata()[MASK], scores[0])
    assert np.isnan(image.get_fdata()[~MASK]).all()
    write_map(scores, nibabel.load(folder / "mask.nii"), out, fill=0)
    found = nibabel.load(out).get_fdata()
    assert found.shape == (*SHAPE, 2)
    np.testing.assert_array_equal(found[MASK].T, scores)
    assert not found[~MASK].any()
    np.testing.assert_array_equal(read_betas(out, MASK)[:], scores)
    assert len(list(out.parent.iterdir())) == 1


def test_maps_of_voxels_with_coordinates(nibabel, folder):
    voxels = np.array([[2, 3, 1], [0, 0, 0], [1, 2, 1]])
    xyz = voxels @ AFFINE[:3, :3].T + AFFINE[:3, 3] + 0.4
    rows = [[1, 1, 1], *xyz.T]
    metadata = pd.DataFrame(rows, index=["ROI_V1", "voxel_x", "voxel_y", "voxel_z"])
    brain = BData(np.zeros((2, 3)), metadata)
    where = brain.coordinates("ROI_V1")
    write_map([1, 2, 3], folder / "mask.nii", folder / "out.nii", coordinates=where, fill=0)
    found = nibabel.load(folder / "out.nii").get_fdata()
    np.testing.assert_array_equal(found[tuple(voxels.T)], [1, 2, 3])
    assert np.count_nonzero(found) == 3
    reference = folder / "mask.nii"
    for wrong, message in (
        (where + np.array([0, 0, 99]), "3 of 3 lie outside"),
        (where[[0, 0, 1]], "1 of 3 lie in the same voxel"),
        (where[:, :2], r"shape \(n_voxels, 3\)"),
        (where * np.nan, "must be finite"),
    ):
        with pytest.raises(ValueError, match=f"coordinates.*{message}"):
            write_map([1, 2, 3], reference, folder / "no.nii", coordinates=wrong)
    with pytest.raises(ValueError, match="values has 2 voxels, the reference 3"):
        write_map([1, 2], reference, folder / "no.nii", coordinates=where)
    with pytest.raises(ValueError, match="values must have one or two dimensions"):
        write_map(np.zeros((1, 1, 3)), reference, folder / "no.nii", coordinates=where)
    with pytest.raises(ValueError, match=r"path must end in .nii or .nii.gz"):
        write_map([1], reference, folder / "no.img")
    with pytest.raises(TypeError, match=r"reference must be a NIfTI image.*got ndarray"):
        write_map([1], MASK, folder / "no.nii")
    assert not (folder / "no.nii").exists()


def test_without_nibabel(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(
        ImportError, match=r"nibabel is needed to read NIfTI.*pip install \"skdnn\[nifti\]\""
    ):
        read_betas(tmp_path / "a.nii", MASK)
    with pytest.raises(ImportError, match="nibabel is needed to write NIfTI files"):
        write_map([1], MASK, tmp_path / "a.nii")
