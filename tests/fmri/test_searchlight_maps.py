"""Searchlights in folders, their maps, and what is found in simulated brains."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import (
    AFFINE,
    IMAGES,
    image_of,
    layer_rdms,
    random_mask,
    responses,
)

from skdnn import load_betas
from skdnn.fmri import searchlight_rsa
from skdnn.fmri._searchlight import _centres
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")

# --- in a folder -----------------------------------------------------------------------------


def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(_centres, "_PAIRS_OF_A_FILE", 36 * 64)  # a file for 64 centres
    mask = random_mask(grid=(6, 7, 8))
    voxels, layers = responses(int(mask.sum())), layer_rdms()
    given = {"radius": 4.0, "mask": image_of(mask), "min_voxels": 4}
    whole = searchlight_rsa(voxels, layers, **given)
    computed = []
    real = _centres.scores_of_centres

    def counting(work: Any, start: int, stop: int) -> Any:
        if len(computed) == 2 and stops:
            raise KeyboardInterrupt
        computed.append(start)
        return real(work, start, stop)

    monkeypatch.setattr(_centres, "scores_of_centres", counting)
    stops = True
    with pytest.raises(KeyboardInterrupt):
        searchlight_rsa(voxels, layers, folder=tmp_path / "run", **given)
    assert computed == [0, 64]
    stops = False
    again = searchlight_rsa(voxels, layers, folder=tmp_path / "run", **given)
    assert computed == [0, 64, *range(128, int(mask.sum()), 64)]
    np.testing.assert_array_equal(again.scores, whole.scores)
    n_done = len(computed)
    searchlight_rsa(voxels, layers, folder=tmp_path / "run", **given)
    assert len(computed) == n_done  # nothing was left to do
    changed = voxels.copy()
    changed[0, 0] += 1
    found = searchlight_rsa(changed, layers, folder=tmp_path / "run", **given)
    assert len(computed) == n_done + len(range(0, int(mask.sum()), 64))
    np.testing.assert_array_equal(found.scores, searchlight_rsa(changed, layers, **given).scores)
    for setting in ({"radius": 5.0}, {"min_voxels": 5}, {"comparison": "pearson"}):
        before = len(computed)
        searchlight_rsa(voxels, layers, folder=tmp_path / "run", **{**given, **setting})
        assert len(computed) > before


def test_maps_in_files(tmp_path):
    mask = random_mask()
    n_voxels = int(mask.sum())
    subjects = {"a": responses(n_voxels), "b": responses(n_voxels, 3)}
    layers = {"conv 1/x": layer_rdms()["layer0"], "conv:1.x": layer_rdms()["layer1"]}
    result = searchlight_rsa(subjects, layers, radius=4.0, mask=image_of(mask), min_voxels=6)
    result.save(tmp_path / "maps")
    table = pd.read_csv(tmp_path / "maps" / "layers.tsv", sep="\t")
    assert table["layer"].tolist() == list(layers)
    assert table["file"].is_unique
    both = nibabel.load(tmp_path / "maps" / f"{table['file'][1]}.nii.gz")
    np.testing.assert_array_equal(both.affine, AFFINE.astype(np.float32))
    np.testing.assert_allclose(both.get_fdata()[mask].T, result.scores[:, 1], atol=1e-6)
    assert np.isnan(both.get_fdata()[~mask]).all()
    mean = nibabel.load(tmp_path / "maps" / f"{table['file'][0]}_mean.nii.gz").get_fdata()
    np.testing.assert_allclose(mean, result.map("conv 1/x").get_fdata(), atol=1e-6)
    best = nibabel.load(tmp_path / "maps" / "best_layer.nii.gz").get_fdata()
    np.testing.assert_array_equal(best[mask] - 1, result.best_layer())
    upper = nibabel.load(tmp_path / "maps" / "ceiling_upper.nii.gz").get_fdata()
    np.testing.assert_allclose(upper[mask], result.ceiling[1], atol=1e-6)
    facts = json.loads((tmp_path / "maps" / "searchlight.json").read_text())
    assert facts["radius"] == 4.0
    with pytest.raises(ValueError, match="There is no layer 'conv'"):
        result.map("conv")
    assert "best in" in result._repr_html_()


# --- what is found ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "space"),
    [
        ("mask.nii", 4, "MNI152"),
        ("mask.nii", 3, None),
        ("mask.nii", 1, None),
        ("sub-01_space-MNI152NLin2009cAsym_mask.nii", 2, "MNI152"),
        ("sub-01_space-T1w_mask.nii", 4, None),
        ("sub-01_space-MNIInfant_mask.nii", 2, None),
    ],
)
def test_a_space_is_what_names_or_headers_say(tmp_path, name, code, space):
    mask = random_mask()
    image = image_of(mask)
    image.set_sform(AFFINE, code=code)
    nibabel.save(image, tmp_path / name)
    result = searchlight_rsa(
        responses(int(mask.sum())), layer_rdms(), radius=4.0, mask=tmp_path / name, min_voxels=4
    )
    assert result.settings["space"] == space


def test_betas_know_their_space(tmp_path):
    mask = random_mask()
    for number, codes in enumerate([(2, 4), (2, 2)]):
        volumes = np.zeros((*mask.shape, 9), dtype=np.float32)
        volumes[mask] = responses(int(mask.sum())).T
        files = []
        for what, values, code in zip(
            ("mask", "betas"), (mask * 1.0, volumes), codes, strict=True
        ):
            image = nibabel.Nifti1Image(values.astype(np.float32), AFFINE)
            image.set_sform(AFFINE, code=code)
            files.append(tmp_path / f"{what}{number}.nii")
            nibabel.save(image, files[-1])
        events = pd.DataFrame({"stim_file": IMAGES})
        betas = load_betas(files[1], events=events, mask=files[0], images=IMAGES)
        kept = betas.keep(np.arange(60))
        result = searchlight_rsa(kept, layer_rdms(labels=IMAGES), radius=4.0, min_voxels=4)
        assert result.settings["space"] == (None if number else "MNI152")


@pytest.fixture(scope="module")
def planted() -> Any:
    """Twelve subjects, of whom two regions follow one layer each."""
    rng = np.random.default_rng(0)
    grid, n = (10, 11, 12), 20
    features = [rng.normal(size=(n, 30)) for _ in range(3)]
    regions = np.zeros(grid, int)
    regions[1:5, 1:5, 1:5], regions[6:9, 6:10, 6:11] = 1, 2
    subjects = {}
    for subject in range(12):
        voxels = rng.normal(size=(n, *grid))
        for number in (1, 2):
            here = regions == number
            voxels[:, here] += features[number] @ rng.normal(size=(30, int(here.sum())))
        subjects[f"sub-{subject}"] = voxels.reshape(n, -1)
    layers = {f"layer{k}": compute_rdm(one) for k, one in enumerate(features)}
    mask = image_of(np.ones(grid), np.diag([3.0, 3, 3, 1]))
    return searchlight_rsa(subjects, layers, radius=6.0, mask=mask), regions.ravel()


def test_planted_regions_are_found_where_they_are(planted):
    result, regions = planted
    test = result.test(n_flips=1000)
    found = test.significant()
    assert found[1][regions == 1].mean() > 0.9
    assert found[2][regions == 2].mean() > 0.9
    assert not found[0].any()
    near = {1: np.zeros(0), 2: np.zeros(0)}
    for number, layer in ((1, 1), (2, 2)):
        xyz = np.argwhere(np.ones((10, 11, 12)))
        inside = xyz[regions == number]
        distance = np.linalg.norm(xyz[:, None] - inside[None], axis=-1).min(axis=1) * 3
        near[number] = distance
        assert not found[layer][distance > 6.0].any()  # a sphere cannot see further
        assert (result.best_layer()[regions == number] == layer).mean() > 0.95
    upper, lower = result.ceiling[1], result.ceiling[0]
    assert (lower <= upper + 1e-12).all()
    assert (
        lower[regions == 1].mean() > 0.5 > 0.1 > abs(lower[(near[1] > 6) & (near[2] > 6)].mean())
    )


def test_the_group_test_is_one_of_each_voxel(planted, tmp_path):
    from scipy.stats import ttest_1samp

    result, _ = planted
    test = result.test(n_flips=2**11)
    assert test.exact
    expected = ttest_1samp(result.scores, 0, axis=0).statistic
    np.testing.assert_allclose(test.t, expected, rtol=1e-9)
    signs = 1 - 2 * (np.arange(2**12)[:, None] >> np.arange(12) & 1)
    flat = result.scores.reshape(12, -1)
    means, squares = signs @ flat / 12, (flat**2).mean(axis=0)
    largest = (means / np.sqrt((squares - means**2) / 11)).max(axis=1)
    p = (largest[:, None] >= expected.ravel() - 1e-9).mean(axis=0)
    np.testing.assert_allclose(test.p.ravel(), p, atol=1e-12)
    test.save(tmp_path)
    written = nibabel.load(tmp_path / "p-layer2.nii.gz").get_fdata().ravel()
    np.testing.assert_allclose(written, test.p[2], atol=1e-6)


def test_without_a_relation_nothing_is_found():
    rng = np.random.default_rng(0)
    mask = image_of(np.ones((5, 6, 7)), np.diag([3.0, 3, 3, 1]))
    wrong = 0
    for _ in range(40):
        subjects = {str(k): rng.normal(size=(8, 210)) for k in range(7)}
        layers = {str(k): compute_rdm(rng.normal(size=(8, 30))) for k in range(2)}
        result = searchlight_rsa(subjects, layers, radius=4.5, mask=mask, ceilings=False)
        wrong += bool(result.test(n_flips=200).significant().any())
    assert wrong <= 6  # of 40 at .05; more come in two of a hundred such tests
