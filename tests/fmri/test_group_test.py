"""Clusters of searchlight maps over subjects, against labelled volumes and plain loops."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import AFFINE, image_of
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.ndimage import gaussian_filter, label

from skdnn.fmri import SearchlightResult
from skdnn.fmri._searchlight._neighbours import adjacent
from skdnn.fmri._searchlight._places import Places
from skdnn.rsa._inference import _map_test

N_SUBJECTS, GRID = 7, (7, 8, 9)


def result_of(scores: np.ndarray, places: Places) -> SearchlightResult:
    return SearchlightResult(
        scores=scores,
        subjects=[f"sub-{k}" for k in range(len(scores))],
        layers=["conv1", "fc8"],
        sizes=np.full((len(scores), places.n_points), 10, dtype=np.int32),
        ceiling=None,
        settings={"metric": "correlation", "comparison": "spearman"},
        places=places,
    )


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(5).random(GRID) > 0.1


@pytest.fixture
def result(mask: np.ndarray) -> SearchlightResult:
    """A region of the second layer, in smooth noise."""
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(N_SUBJECTS, 2, *GRID)), (0, 0, 1, 1, 1))
    noise[:, 1, 2:5, 2:5, 2:5] += 0.3
    return result_of(noise[:, :, mask], Places(mask, AFFINE))


def every_t(scores: np.ndarray) -> np.ndarray:
    """t maps under all sets of signs, the observed one first."""
    sets = np.array(list(product([1, -1], repeat=len(scores))))
    return np.stack([stats.ttest_1samp(scores * s[:, None, None], 0).statistic for s in sets])


def in_grid(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    grid = np.zeros(mask.shape)
    grid[mask] = values
    return grid


def masses(t: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Sum of t over the labelled cluster of each point, 0 outside."""
    grid = in_grid(t, mask)
    numbers, n = label(grid > threshold)
    sums = np.array([0.0, *[grid[numbers == k].sum() for k in range(1, n + 1)]])
    return sums[numbers][mask]


def enhanced(t: np.ndarray, mask: np.ndarray, step: float) -> np.ndarray:
    """By labelling the volume at each height."""
    grid, out = in_grid(t, mask), np.zeros(mask.shape)
    for height in np.arange(step, grid.max(), step):
        numbers, _ = label(grid > height)
        sizes = np.bincount(numbers.ravel())
        sizes[0] = 0
        out += np.sqrt(sizes)[numbers] * height**2 * step
    return out[mask]


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("kind", ["cluster", "tfce"])
def test_p_are_those_of_labelled_volumes(
    result: SearchlightResult, mask: np.ndarray, kind: str, alternative: str
) -> None:
    found = result.test(kind=kind, alternative=alternative, cluster_alpha=0.05, tfce_step=0.3)
    sides = {"greater": [1], "less": [-1], "two-sided": [1, -1]}[alternative]
    threshold = stats.t.isf(0.05 / len(sides), N_SUBJECTS - 1)

    def extent(t: np.ndarray) -> np.ndarray:
        one = masses if kind == "cluster" else enhanced
        size = threshold if kind == "cluster" else 0.3
        return np.max([[one(side * row, mask, size) for row in t] for side in sides], axis=0)

    every = every_t(result.scores)
    largest = np.array([extent(t).max() for t in every])
    own = extent(every[0])
    assert found.exact
    assert_allclose(found.t, every[0], rtol=1e-9)
    expected = (largest[:, None, None] >= own * (1 - 1e-9)).mean(axis=0)
    expected[own == 0] = 1.0
    assert_allclose(found.p, expected, atol=1e-12)


def test_the_table_of_clusters(result: SearchlightResult, mask: np.ndarray, tmp_path: Any) -> None:
    found = result.test(kind="cluster", cluster_alpha=0.05)
    table = found.clusters
    assert table is not None
    assert table["p"].is_monotonic_increasing
    first = table.iloc[0]
    assert first["layer"] == "fc8"
    assert first["p"] <= 0.05
    voxel = np.round(np.linalg.solve(AFFINE[:3, :3], first[["x", "y", "z"]].astype(float)
                                     - AFFINE[:3, 3])).astype(int)  # fmt: skip
    assert ((voxel >= 1) & (voxel < 6)).all()
    assert in_grid(found.t[1], mask)[tuple(voxel)] == pytest.approx(first["peak_t"])
    threshold = stats.t.isf(0.05, N_SUBJECTS - 1)
    for row, layer in enumerate(result.layers):
        numbers, n = label(in_grid(found.t[row], mask) > threshold)
        sizes = sorted(np.bincount(numbers.ravel())[1:].tolist())
        assert sorted(table.loc[table["layer"] == layer, "size"]) == sizes
        assert n == len(sizes)
    found.save(tmp_path)
    read = pd.read_csv(tmp_path / "clusters.tsv", sep="\t")
    assert_allclose(read["mass"], table["mass"])
    result.test().save(tmp_path)
    assert not (tmp_path / "clusters.tsv").exists()


def test_masses_are_those_of_nilearn_but_for_the_threshold(
    result: SearchlightResult, mask: np.ndarray
) -> None:
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols

    masker = NiftiMasker(image_of(mask)).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = permuted_ols(
            np.ones((N_SUBJECTS, 1)), result.scores[:, 1], model_intercept=False, n_perm=3,
            two_sided_test=False, threshold=0.01, masker=masker, output_type="dict", verbose=0,
        )  # fmt: skip
    table = result.test(kind="cluster", cluster_alpha=0.01).clusters
    assert table is not None
    own = table[table["layer"] == "fc8"]
    above = own["mass"] - own["size"] * stats.t.isf(0.01, N_SUBJECTS - 1)  # theirs sum only that
    assert_allclose(np.unique(theirs["mass"][theirs["mass"] > 0]), np.unique(above), rtol=1e-6)


# --- surfaces --------------------------------------------------------------------------------

# A strip of triangles: vertex k touches k + 1 and k + 2.
N_VERTICES = 12
STRIP = np.stack([np.arange(N_VERTICES) * 2.0, np.arange(N_VERTICES) % 2, np.zeros(N_VERTICES)], 1)
FACES = np.arange(N_VERTICES - 2)[:, None] + np.arange(3)


def test_neighbours_of_vertices() -> None:
    mask = np.ones(2 * N_VERTICES, dtype=bool)
    mask[[3, 4, 15]] = False
    found = adjacent(mask, [(STRIP, FACES)] * 2)
    number = np.flatnonzero(mask)
    pairs = {
        (int(number[a]), int(number[b])) for a, row in enumerate(found) for b in row if b >= 0
    }
    expected = {
        (start + a, start + b)
        for start in (0, N_VERTICES)
        for a, b in product(range(N_VERTICES), repeat=2)
        if 0 < b - a <= 2 and mask[start + a] and mask[start + b]
    }
    assert pairs == expected
    assert (found >= 0).sum() == len(expected)


def test_hemispheres_and_layers_never_join() -> None:
    rng = np.random.default_rng(0)
    places = Places(np.ones(2 * N_VERTICES, dtype=bool), None,
                    (("left", N_VERTICES), ("right", N_VERTICES)),
                    meshes=((STRIP, FACES),) * 2)  # fmt: skip
    scores = rng.normal(size=(N_SUBJECTS, 2, 2 * N_VERTICES)) * 0.1
    scores[:, 0, -4:] += 1  # the end of the right hemisphere, and of the first layer
    scores[:, 1, :4] += 1
    scores[:, 1, N_VERTICES - 3 : N_VERTICES + 3] += 1  # over the border
    result = result_of(scores, places)
    table = result.test(kind="cluster", cluster_alpha=0.001).clusters
    assert table is not None
    large = table[table["size"] > 2].sort_values(["layer", "hemisphere", "size"])
    assert large[["layer", "hemisphere", "size"]].to_numpy().tolist() == [
        ["conv1", "right", 4], ["fc8", "left", 3], ["fc8", "left", 4], ["fc8", "right", 3],
    ]  # fmt: skip
    peak = large.iloc[0]
    assert result.test().t[0, N_VERTICES + peak["vertex"]] == pytest.approx(peak["peak_t"])


# --- gaps, and chance ------------------------------------------------------------------------


def test_voxels_that_some_lack(result: SearchlightResult, mask: np.ndarray) -> None:
    scores = result.scores.copy()
    scores[0, :, :40] = np.nan
    scores[:, :, 40:45] = 0.1  # the same in all: no t
    with_gaps = result_of(scores, Places(mask, AFFINE))
    for kind in ("cluster", "tfce"):
        all_needed = with_gaps.test(kind=kind, cluster_alpha=0.05)
        assert np.isnan(all_needed.p[:, :45]).all()
        assert not np.isnan(all_needed.p[:, 45:]).any()
        some = with_gaps.test(kind=kind, cluster_alpha=0.05, min_subjects=N_SUBJECTS - 1)
        assert np.isnan(some.p[:, 40:45]).all()
        assert not np.isnan(some.p[:, :40]).any()
        six = stats.ttest_1samp(scores[1:, :, :40], 0).statistic
        assert_allclose(some.t[:, :40], six, rtol=1e-9)


def test_blocks_change_nothing(result: SearchlightResult, monkeypatch: Any) -> None:
    for kind in ("cluster", "tfce"):
        whole = result.test(kind=kind, n_flips=20, random_state=1).p
        monkeypatch.setattr(_map_test, "_BLOCK", 600)
        assert_array_equal(result.test(kind=kind, n_flips=20, random_state=1).p, whole)
        monkeypatch.undo()


@pytest.mark.parametrize("kind", ["max", "cluster", "tfce"])
def test_noise_is_found_at_the_stated_rate(mask: np.ndarray, kind: str) -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(60):
        noise = gaussian_filter(rng.normal(size=(8, 2, *GRID)), (0, 0, 1, 1, 1))
        found = result_of(noise[:, :, mask], Places(mask, AFFINE)).test(
            kind=kind, n_flips=99, cluster_alpha=0.01
        )
        wrong += bool(found.significant().any())
    assert 0 < wrong <= 8  # of 60 at .05; more come in three of a thousand such tests


def test_what_is_refused(result: SearchlightResult) -> None:
    with pytest.raises(ValueError, match="kind='mass' is not known"):
        result.test(kind="mass")
    with pytest.raises(ValueError, match="cluster_alpha must be"):
        result.test(kind="cluster", cluster_alpha=0.0)
    with pytest.raises(ValueError, match="tfce_step must be"):
        result.test(kind="tfce", tfce_step=-1)
