"""Responses from NIfTI files, and maps into them, against nibabel's own arrays."""

from __future__ import annotations

import gzip
import pickle
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skdnn._array_blocks import is_lazy
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


class Counted:
    """How often compressed files are begun, and how many bytes of numbers are unpacked."""

    def __init__(self, nibabel, monkeypatch) -> None:
        self.passes = self.unpacked = 0
        counted = self

        class Opener(nibabel.openers.ImageOpener):
            def seek(self, *where):
                counted.passes += 1
                return super().seek(*where)

            def readinto(self, buffer):
                counted.unpacked += len(buffer)
                return super().readinto(buffer)

        monkeypatch.setattr(nibabel.openers, "ImageOpener", Opener)

    def since(self) -> tuple[int, int]:
        """Passes, and volumes of float32 unpacked, since the last call."""
        found = self.passes, self.unpacked / BETAS[0].nbytes
        self.passes = self.unpacked = 0
        return found


@pytest.fixture
def packed(nibabel, tmp_path: Path) -> Path:
    image = nibabel.Nifti1Image(np.moveaxis(BETAS, 0, -1), AFFINE)
    nibabel.save(image, tmp_path / "all.nii.gz")
    return tmp_path / "all.nii.gz"


def test_a_packed_file_is_unpacked_once_for_what_is_asked(nibabel, packed, monkeypatch):
    betas, expected = read_betas(packed, MASK), BETAS[:, MASK]
    counted = Counted(nibabel, monkeypatch)
    np.testing.assert_array_equal(betas[:], expected)
    assert counted.since() == (1, 5)
    np.testing.assert_array_equal(betas[[3, 0, 3, 1]], expected[[3, 0, 3, 1]])
    assert counted.since() == (1, 4)  # no further than the last
    np.testing.assert_array_equal(betas[3, :2], expected[3, :2])
    assert counted.since() == (0, 0)  # the same once more
    np.testing.assert_array_equal(betas[4], expected[4])
    assert counted.since() == (0, 1)  # goes on
    np.testing.assert_array_equal(betas[1:3], expected[1:3])
    assert counted.since() == (1, 3)  # from the start
    for i in range(5):
        np.testing.assert_array_equal(betas[i], expected[i])
    assert counted.since() == (1, 5)
    np.testing.assert_array_equal(np.array(list(betas)), expected)
    assert counted.since() == (1, 5)
    for rows, block in betas.iter_blocks(2):
        np.testing.assert_array_equal(block, expected[rows])
    assert counted.since() == (1, 5)
    again = pickle.loads(pickle.dumps(betas))
    np.testing.assert_array_equal(again[4], expected[4])
    assert counted.since() == (1, 5)
    betas[:0], betas[:, :0]
    assert counted.since() == (0, 0)


def test_several_packed_files_are_unpacked_once_each(nibabel, packed, monkeypatch):
    paths = [packed.with_name(f"{i}.nii.gz") for i in range(3)]
    for path in paths:
        path.write_bytes(packed.read_bytes())
    betas = read_betas(paths, MASK)
    counted = Counted(nibabel, monkeypatch)
    found = betas[[14, 0, 7, 5, 2]]
    np.testing.assert_array_equal(found, np.vstack([BETAS[:, MASK]] * 3)[[14, 0, 7, 5, 2]])
    assert counted.since() == (3, 3 + 3 + 5)


def test_a_volume_at_a_time_is_in_memory(nibabel, tmp_path):
    shape, n = (100, 90, 80), 12
    values = np.zeros((*shape, n), np.float32)
    values[1, 2, 3] = np.arange(n)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "a.nii.gz")
    mask = np.zeros(shape, bool)
    mask[1, 2, 3] = mask[5, 5] = True
    betas = read_betas(tmp_path / "a.nii.gz", mask)
    volume = values[..., 0].nbytes
    del values
    tracemalloc.start()
    found = betas[:]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found[:, 0], np.arange(n))
    assert peak < found.nbytes + 1.4 * volume


def test_threads_share_an_array(packed):
    betas, expected = read_betas(packed, MASK), BETAS[:, MASK]
    with ThreadPoolExecutor(4) as pool:
        for i, row in enumerate(pool.map(lambda i: betas[i % 5], range(200))):
            np.testing.assert_array_equal(row, expected[i % 5])


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_files_that_change_or_vanish(nibabel, tmp_path, ending):
    path = tmp_path / f"a{ending}"
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(BETAS, 0, -1), AFFINE), path)
    betas = read_betas(path, MASK)
    betas[0]
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(BETAS.astype(np.float64), 0, -1), AFFINE), path)
    with pytest.raises(ValueError, match=r"paths: .*cannot be read: it has changed since"):
        betas[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"paths: .*a\.nii.* is not there any more"):
        betas[0]


TYPES = ["<i2", ">i2", "scaled <i2", "scaled >u1", "<f4", ">f8", ">i4"]
ENDINGS = [".nii", ".nii.gz", ".nii.bz2", ".img", ".img.gz"]


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [*product(ENDINGS, TYPES), *product([".mgh", ".mgz"], [">i2", ">i4", ">f4"])],
)
def test_types_endings_and_scaling_are_those_of_nibabel(nibabel, tmp_path, ending, dtype):
    """Against nibabel's own array."""
    values = np.rint(np.moveaxis(BETAS, 0, -1) * 20 + 100).clip(0, 200)
    kind = np.dtype(dtype.split()[-1])
    if ending.startswith(".mg"):
        image = nibabel.MGHImage(values.astype(kind), AFFINE)
    else:
        pair = nibabel.Nifti1Pair if ending.startswith(".img") else nibabel.Nifti1Image
        header = pair.header_class(endianness=">" if kind.str.startswith(">") else "<")
        header.set_data_dtype(kind)
        image = pair(values.astype(kind), AFFINE, header)
        if "scaled" in dtype:
            image.header.set_slope_inter(0.37, -3)
    path = tmp_path / f"a{ending}"
    image.to_filename(path)
    stored = nibabel.load(path).dataobj
    assert stored.dtype == kind
    assert stored.slope == pytest.approx(0.37 if "scaled" in dtype else 1)
    expected = np.asarray(stored)[MASK].T
    betas = read_betas(path, MASK)
    assert betas.dtype == np.result_type(np.float32, kind)
    np.testing.assert_array_equal(betas[:], expected.astype(betas.dtype))
    np.testing.assert_array_equal(betas[[4, 1], 3], expected[[4, 1], 3].astype(betas.dtype))


def test_nan_stays_nan(nibabel, tmp_path):
    values = BETAS.copy()
    first = tuple(np.argwhere(MASK)[0])
    values[2][first] = np.nan
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(values, 0, -1), AFFINE), tmp_path / "a.nii.gz")
    found = read_betas(tmp_path / "a.nii.gz", MASK)[:]
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 0]]


@pytest.mark.parametrize(
    "damage", ["a bit", "cut", "cut in its checksum", "a bit of the checksum"]
)
def test_damage_is_told_when_it_is_met(nibabel, tmp_path, damage):
    values = RNG.normal(size=(15, 20, 10, 3)).astype(np.float32)
    path = tmp_path / "all.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    whole = bytearray(path.read_bytes())
    if damage.startswith("cut"):
        del whole[-3 if "checksum" in damage else -60 :]
    else:
        whole[-6 if "checksum" in damage else len(whole) // 2] ^= 4
    path.write_bytes(whole)
    mask = np.ones(values.shape[:3], bool)
    betas = read_betas(path, mask)
    np.testing.assert_array_equal(betas[0], values[..., 0].ravel())
    for rows in (slice(None), 2):
        with pytest.raises(ValueError, match=r"paths: .*all.nii.gz' cannot be read: "):
            betas[rows]


def test_lengths_that_do_not_fit_are_told_before_reading(nibabel, folder):
    whole = (folder / "betas.nii").read_bytes()
    (folder / "cut.nii").write_bytes(whole[:-4])
    image = nibabel.load(folder / "betas.nii")
    image.header.set_data_shape((3000, 4000, 2000, 5))
    with gzip.open(folder / "huge.nii.gz", "wb") as file:
        file.write(image.header.binaryblock + bytes(100))
    (folder / "flat.nii").mkdir()
    with pytest.raises(ValueError, match="3 of 3 files") as caught:
        read_betas([folder / "cut.nii", folder / "huge.nii.gz", folder / "flat.nii"], MASK)
    assert f"cut.nii: is cut short or damaged: {len(whole) - 4} bytes cannot" in str(caught.value)
    assert "huge.nii.gz: is cut short or damaged" in str(caught.value)
    assert "flat.nii: is a folder" in str(caught.value)
    with pytest.raises(ValueError, match=r"mask: .*huge.nii.gz' is cut short or damaged"):
        read_betas(folder / "betas.nii", folder / "huge.nii.gz")


def test_what_holds_no_numbers_of_voxels(nibabel, folder):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, AFFINE), folder / "rgb.nii")
    nibabel.save(nibabel.Nifti1Image(BETAS[0].astype(complex), AFFINE), folder / "complex.nii")
    five = nibabel.Nifti1Image(np.zeros((*SHAPE, 1, 2), np.float32), AFFINE)
    nibabel.save(five, folder / "five.nii")
    with pytest.raises(ValueError, match="3 of 3 files") as caught:
        read_betas([folder / f"{name}.nii" for name in ("rgb", "complex", "five")], MASK)
    assert "complex.nii: holds complex128, no real numbers" in str(caught.value)
    assert "five.nii: has shape (3, 4, 2, 1, 2), not three or four" in str(caught.value)


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
