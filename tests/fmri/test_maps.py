"""Tables of results by voxel as maps in the original grid; positions against numpy by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.conftest import AFFINE, GRID, IMAGES, Subject, nibabel

from skdnn.encoding import VoxelwiseRidgeCV, nested_encoding, pool_folds
from skdnn.encoding import voxel_variance_partitioning as partition
from skdnn.fmri import Betas, load_betas

KEPT = [11, 3, 7, 20]


@pytest.fixture
def some(subject: Subject) -> Betas:
    """Four voxels, not in the order of the mask."""
    every = load_betas(
        subject.betas, events=subject.events, mask=subject.mask, images=IMAGES, drop="catch.png"
    )
    return every.keep(KEPT)


def at_kept(image: Any, subject: Subject) -> Any:
    """Values of the kept voxels, and a check that all others are NaN."""
    values = image.get_fdata()
    np.testing.assert_allclose(image.affine, AFFINE)
    assert np.isfinite(values).sum() == np.isfinite(values[subject.inside][KEPT]).sum()
    return values[subject.inside][KEPT]


def encoded(some: Betas, **options: Any) -> pd.DataFrame:
    """Thirty rows that have voxels' labels, as averages() has them."""
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.normal(size=(30, 4)), columns=some.averages().columns)
    features = y.to_numpy()[:, :3] + rng.normal(size=(30, 3))
    return nested_encoding(VoxelwiseRidgeCV(), features, y, cv=3, **options)


def test_averages_say_which_voxels_they_are(some: Betas) -> None:
    averages = some.averages()
    assert averages.columns.name == "voxel"
    assert averages.columns.tolist() == KEPT


@pytest.mark.parametrize("shuffled", [False, True])
def test_pooled_scores(some: Betas, subject: Subject, tmp_path: Path, shuffled: bool) -> None:
    table = pool_folds(encoded(some))
    assert table["voxel"].tolist() == KEPT
    given = table.sample(frac=1, random_state=1) if shuffled else table
    some.save_map(given, tmp_path / "r.nii.gz", columns="r")
    one = nibabel.load(tmp_path / "r.nii.gz")
    assert one.shape == GRID
    np.testing.assert_array_equal(at_kept(one, subject), table["r"].astype(np.float32))
    some.save_map(given, tmp_path / "maps.nii")
    names = json.loads((tmp_path / "maps.json").read_text())["maps"]
    assert names == ["n_folds", "r", "r2", "p", "p_fdr"]  # without a ceiling nothing is normalised
    whole = nibabel.load(tmp_path / "maps.nii")
    assert whole.shape == (*GRID, 5)
    for number, name in enumerate(names):
        here = at_kept(whole.slicer[..., number], subject)
        np.testing.assert_array_equal(here, table[name].astype(np.float32))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["maps.json"]
    in_memory = some.unmask(given, columns=["p", "r"])
    np.testing.assert_array_equal(
        at_kept(in_memory, subject), table[["p", "r"]].astype(np.float32)
    )


def test_variance_partitioning_and_reliability(some: Betas, subject: Subject) -> None:
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.normal(size=(30, 4)), columns=some.averages().columns)
    spaces = {"a": y.to_numpy()[:, :2], "b": rng.normal(size=(30, 3))}
    parts = partition(spaces, y, encoder=VoxelwiseRidgeCV())
    found = at_kept(some.unmask(parts, columns="a & b"), subject)
    np.testing.assert_array_equal(found, parts.loc["a & b"].astype(np.float32))
    told = some.reliability()
    found = at_kept(some.unmask(told, columns="ncsnr"), subject)
    np.testing.assert_array_equal(found, told["ncsnr"].astype(np.float32))


def test_rows_of_maps_are_named_by_the_index(
    some: Betas, subject: Subject, tmp_path: Path
) -> None:
    """Shares of banded ridge are an array, which a table gives names."""
    shares = np.arange(8.0).reshape(2, 4)
    table = pd.DataFrame(shares, index=["semantic", "visual"])
    some.save_map(table, tmp_path / "shares.nii.gz")
    assert json.loads((tmp_path / "shares.json").read_text()) == {"maps": ["semantic", "visual"]}
    found = nibabel.load(tmp_path / "shares.nii.gz")
    np.testing.assert_array_equal(at_kept(found, subject), shares.T)
    np.testing.assert_array_equal(at_kept(some.unmask(shares), subject), shares.T)


def test_layers_are_numbered_by_their_categories(
    some: Betas, subject: Subject, tmp_path: Path
) -> None:
    layers = ["conv1", "fc", "conv1", None]
    table = pd.DataFrame({"voxel": KEPT, "layer": layers})
    with pytest.raises(TypeError, match=r"'layer' holds text.*pd.Categorical\(table\['layer'\]"):
        some.save_map(table, tmp_path / "layer.nii.gz", columns="layer")
    assert not list(tmp_path.glob("layer*"))
    table["layer"] = pd.Categorical(table["layer"], ["conv1", "conv2", "fc"])
    some.save_map(table, tmp_path / "layer.nii.gz")
    told = json.loads((tmp_path / "layer.json").read_text())
    assert told["values"]["layer"] == {"1": "conv1", "2": "conv2", "3": "fc"}
    found = at_kept(nibabel.load(tmp_path / "layer.nii.gz"), subject)
    np.testing.assert_array_equal(found, [1, 3, 1, np.nan])


def test_a_map_is_where_nilearn_puts_it(some: Betas, subject: Subject, tmp_path: Path) -> None:
    maskers = pytest.importorskip("nilearn.maskers")
    some.save_map(pool_folds(encoded(some)), tmp_path / "r.nii.gz", columns="r", fill=0)
    masker = maskers.NiftiMasker(nibabel.load(subject.mask), standardize=None).fit()
    found = masker.transform(str(tmp_path / "r.nii.gz")).ravel()
    expected = np.zeros(len(found), np.float32)
    expected[KEPT] = pool_folds(encoded(some))["r"]
    np.testing.assert_array_equal(found, expected)


def test_what_would_lie_elsewhere_is_refused(some: Betas, tmp_path: Path) -> None:
    """A table of an array without labels counts its voxels from 0, whatever they are."""
    bare = pool_folds(encoded(some)).assign(voxel=range(4))
    with pytest.raises(ValueError, match=r"3 voxels of it are not here; 3 voxels of these betas"):
        some.save_map(bare, tmp_path / "r.nii.gz")
    with pytest.raises(ValueError, match=r"fill rows with NaN, don't leave them out"):
        some.save_map(pool_folds(encoded(some))[:2], tmp_path / "r.nii.gz")
    with pytest.raises(ValueError, match=r"several rows for voxel 11: .*pool_folds"):
        some.save_map(encoded(some), tmp_path / "r.nii.gz")
    with pytest.raises(ValueError, match=r"no 'R'; there are 'r'"):
        some.save_map(pool_folds(encoded(some)), tmp_path / "r.nii.gz", columns=["R"])
    with pytest.raises(ValueError, match=r"values has shape \(2, 5\)"):
        some.unmask(pd.DataFrame(np.zeros((2, 5))))
    with pytest.raises(ValueError, match="columns chooses from a table"):
        some.unmask(np.zeros(4), columns="r")
    with pytest.raises(ValueError, match="no column of numbers: 'layer'"):
        some.unmask(pd.DataFrame({"voxel": KEPT, "layer": "conv"}))
    assert not (tmp_path / "r.nii.gz").exists()


def test_tables_of_two_hemispheres(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 9)).astype(np.float32)
    pair = [tmp_path / "lh.betas.func.gii", tmp_path / "rh.betas.func.gii"]
    for path, part in zip(pair, (values[:, :5], values[:, 5:]), strict=True):
        arrays = [nibabel.gifti.GiftiDataArray(row) for row in part]
        nibabel.save(nibabel.GiftiImage(darrays=arrays), path)
    names = ["a.png", "b.png", "c.png"]
    events = pd.DataFrame({"stim_file": names})
    betas = load_betas([tuple(pair)], events=events, images=names).keep([1, 4, 6])
    table = pd.DataFrame({"voxel": [6, 1, 4], "r": [0.6, 0.1, 0.4], "p": [0.5, 0.2, 0.3]})
    outs = [tmp_path / "lh.maps.func.gii", tmp_path / "rh.maps.func.gii"]
    betas.save_map(table, outs, fill=0)
    left, right = ([array.data.tolist() for array in nibabel.load(out).darrays] for out in outs)
    np.testing.assert_allclose(left, [[0, 0.1, 0, 0, 0.4], [0, 0.2, 0, 0, 0.3]])
    np.testing.assert_allclose(right, [[0, 0.6, 0, 0], [0, 0.5, 0, 0]])
    for name in ("lh.maps.json", "rh.maps.json"):
        assert json.loads((tmp_path / name).read_text()) == {"maps": ["r", "p"]}
