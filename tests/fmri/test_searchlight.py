"""Searchlights against the same numbers computed one by one, by us and by other libraries."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import (
    AFFINE,
    DESIGNS,
    GRID,
    IMAGES,
    N,
    betas_of,
    icosphere,
    image_of,
    layer_rdms,
    random_mask,
    responses,
    spheres,
)

from skdnn import load_betas
from skdnn.fmri import estimate_searchlight, searchlight_rsa
from skdnn.fmri._searchlight import _centres, _neighbours
from skdnn.rsa import compare_rdms, compute_rdm, estimate_noise_precision, noise_ceiling

nibabel = pytest.importorskip("nibabel")


def one_by_one(voxels: Any, layers: Any, near: list[Any], least: int, metric: str, comparison: str,
               **options: Any) -> Any:  # fmt: skip
    out = np.full((len(layers), len(near)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for centre, points in enumerate(near):
            if len(points) >= least:
                rdm = compute_rdm(voxels[:, points], metric, **options)
                out[:, centre] = compare_rdms(layers, np.asarray(rdm), comparison).to_numpy()[:, 0]
    return out


@pytest.mark.parametrize(
    ("metric", "comparison"),
    [
        *(("correlation", name) for name in (
            "spearman", "pearson", "kendall", "tau-a", "rho-a", "cosine", "corr_cov",
            "cosine_cov", "bures",
        )),
        *((name, "spearman") for name in (
            "cosine", "spearman", "euclidean", "sqeuclidean", "sqeuclidean_per_feature",
            "gaussian", "cityblock",
        )),
        ("euclidean", "pearson"),
    ],
)  # fmt: skip
def test_scores_are_those_of_each_sphere_by_itself(metric, comparison):
    mask = random_mask()
    voxels = responses(int(mask.sum()))
    layers = layer_rdms()
    result = searchlight_rsa(voxels, layers, radius=5.0, mask=image_of(mask), metric=metric,
                             comparison=comparison, min_voxels=16)  # fmt: skip
    near = spheres(mask, 5.0)
    np.testing.assert_array_equal(result.sizes[0], [len(row) for row in near])
    expected = one_by_one(voxels, layers, near, 16, metric, comparison)
    assert 0 < np.isnan(expected[0]).sum() < len(near) / 2
    np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-10)


def test_scores_of_float32_near_duplicates_and_constant_patterns():
    """What one product cannot tell is computed with care, as elsewhere."""
    mask = random_mask()
    voxels = responses(int(mask.sum())).astype(np.float32)
    voxels[1] = voxels[0] * (1 + 1e-6)
    constant = np.arange(len(voxels[0])) < 40
    voxels[2, constant] = 7
    layers = layer_rdms()
    for metric in ("correlation", "euclidean"):
        result = searchlight_rsa(voxels, layers, radius=4.0, mask=image_of(mask), metric=metric,
                                 min_voxels=5)  # fmt: skip
        expected = one_by_one(voxels, layers, spheres(mask, 4.0), 5, metric, "spearman")
        np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-10)


def test_a_point_at_the_radius_is_inside():
    mask = np.ones((7, 7, 7), bool)
    isotropic = np.diag([3.0, 3, 3, 1])
    for radius, size in ((8.9, 93), (9.0, 123), (3.0, 7)):
        result = searchlight_rsa(responses(343), layer_rdms(1), radius=radius,
                                 mask=image_of(mask, isotropic), min_voxels=2)  # fmt: skip
        assert result.sizes.max() == size


def test_blocks_and_jobs_change_nothing(monkeypatch):
    mask = image_of(random_mask())
    voxels, layers = responses(int(random_mask().sum())), layer_rdms()
    whole = searchlight_rsa(voxels, layers, radius=5.0, mask=mask).scores
    monkeypatch.setattr(_centres, "_SPHERES", 5)
    monkeypatch.setattr(_centres, "_PAIRS_OF_A_FILE", 36 * 11)
    parts = searchlight_rsa(voxels, layers, radius=5.0, mask=mask).scores
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-15)
    two = searchlight_rsa(voxels, layers, radius=5.0, mask=mask, n_jobs=2).scores
    np.testing.assert_allclose(two, parts, rtol=0, atol=1e-15)


def test_voxels_without_data_leave_their_spheres_smaller():
    mask = random_mask()
    n_voxels = int(mask.sum())
    voxels = responses(n_voxels)
    voxels[4, 10], voxels[:, 30], voxels[2, 50] = np.nan, 0.0, np.inf
    layers = layer_rdms()
    result = searchlight_rsa(voxels, layers, radius=5.0, mask=image_of(mask), min_voxels=8)
    gone = [10, 30, 50]
    near = [np.setdiff1d(row, gone) for row in spheres(mask, 5.0)]
    for centre in gone:
        near[centre] = near[centre][:0]
    np.testing.assert_array_equal(result.sizes[0], [len(row) for row in near])
    expected = one_by_one(voxels, layers, near, 8, "correlation", "spearman")
    np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("comparison", ["spearman", "rho-a", "pearson", "cosine", "corr_cov"])
def test_ceilings_are_those_of_the_subjects_at_each_centre(comparison):
    mask = random_mask(share=0.95)
    n_voxels = int(mask.sum())
    shared = responses(n_voxels)
    subjects = {f"sub-{k}": shared + responses(n_voxels, seed=10 + k) for k in range(4)}
    subjects["sub-2"][0, 7] = np.nan
    result = searchlight_rsa(subjects, layer_rdms(), radius=5.0, mask=image_of(mask),
                             comparison=comparison, min_voxels=4)  # fmt: skip
    near = spheres(mask, 5.0)
    assert np.isnan(result.ceiling[:, 7]).all()
    for centre in (0, 20, 60, 90):
        rdms = []
        for name, voxels in subjects.items():
            points = np.setdiff1d(near[centre], [7]) if name == "sub-2" else near[centre]
            rdms.append(compute_rdm(voxels[:, points]))
        expected = noise_ceiling(rdms, comparison)
        np.testing.assert_allclose(result.ceiling[:, centre], expected, rtol=0, atol=1e-10)
    alone = searchlight_rsa(subjects["sub-1"], layer_rdms(), radius=5.0, mask=image_of(mask),
                            comparison=comparison, min_voxels=4)  # fmt: skip
    assert alone.ceiling is None
    np.testing.assert_array_equal(result.scores[1], alone.scores[0])


# --- crossnobis ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.* pairs of images were not shown both:UserWarning")
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("covariance", [None, "shrinkage_diag", "diag", "ledoit_wolf", "full"])
def test_crossnobis_with_a_noise_precision_of_each_sphere(design, covariance):
    mask, runs = random_mask(), DESIGNS[design]
    trials, betas = betas_of(mask, runs)
    shown = np.concatenate(runs)
    folds = np.repeat(np.arange(len(runs)), list(map(len, runs)))
    rng = np.random.default_rng(8)
    mixing = np.eye(trials.shape[1]) + 0.2 * rng.normal(size=(trials.shape[1],) * 2)
    residuals = rng.normal(5, 1, size=(60, trials.shape[1])) @ mixing
    layers = layer_rdms(labels=IMAGES)
    given = {} if covariance is None else {"residuals": residuals, "covariance": covariance}
    dof = {} if covariance is None else {"dof": 50.0}
    result = searchlight_rsa(betas, layers, radius=4.0, metric="crossnobis", comparison="pearson",
                             min_voxels=6, **given, **dof)  # fmt: skip
    near = spheres(mask, 4.0)
    for centre in range(0, len(near), 7):
        points = near[centre]
        if len(points) < 6:
            assert np.isnan(result.scores[0, :, centre]).all()
            continue
        precision = None
        if covariance is not None:
            precision = estimate_noise_precision(residuals[:, points], covariance, **dof)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pairs that are never together
            rdm = compute_rdm(trials[:, points], "crossnobis", conditions=shown, folds=folds,
                              noise_precision=precision)  # fmt: skip
        rdm = rdm.loc[range(N), range(N)].to_numpy()
        plain = {name: one.to_numpy() for name, one in layers.items()}
        expected = compare_rdms(plain, rdm, "pearson").to_numpy()[:, 0]
        np.testing.assert_allclose(result.scores[0, :, centre], expected, rtol=0, atol=1e-10)


def test_mahalanobis_and_residuals_in_files(tmp_path):
    mask = random_mask()
    _, betas = betas_of(mask, DESIGNS["balanced"])
    residuals = np.random.default_rng(0).normal(size=(50, int(mask.sum()))).astype(np.float32)
    volumes = np.zeros((*GRID, 50), np.float32)
    volumes[mask] = residuals.T
    nibabel.save(nibabel.Nifti1Image(volumes, AFFINE), tmp_path / "residuals.nii.gz")
    options = {"radius": 4.0, "metric": "mahalanobis", "min_voxels": 6}
    layers = layer_rdms(labels=IMAGES)
    found = searchlight_rsa(betas, layers, residuals=residuals, **options)
    of_file = searchlight_rsa(betas, layers, residuals=tmp_path / "residuals.nii.gz", **options)
    np.testing.assert_array_equal(found.scores, of_file.scores)
    centre = int(found.sizes[0].argmax())
    points = spheres(mask, 4.0)[centre]
    rdm = compute_rdm(betas.averages().to_numpy()[:, points], "mahalanobis",
                      noise_precision=estimate_noise_precision(residuals[:, points]))  # fmt: skip
    expected = compare_rdms(layer_rdms(), rdm).to_numpy()[:, 0]
    np.testing.assert_allclose(found.scores[0, :, centre], expected, rtol=0, atol=1e-6)


# --- images, subjects, places ----------------------------------------------------------------


def test_layers_are_matched_to_images_by_name():
    mask = random_mask()
    voxels = pd.DataFrame(responses(int(mask.sum())), index=IMAGES)
    layers = layer_rdms(labels=[f"/data/{image}" for image in IMAGES])
    given = {"radius": 4.0, "mask": image_of(mask), "min_voxels": 6}
    expected = searchlight_rsa(voxels, layers, **given).scores
    shuffled = {name: one.iloc[::-1, ::-1] for name, one in layers.items()}
    np.testing.assert_array_equal(searchlight_rsa(voxels, shuffled, **given).scores, expected)
    np.testing.assert_array_equal(
        searchlight_rsa(voxels.to_numpy(), shuffled, conditions=IMAGES, **given).scores, expected
    )
    with pytest.raises(ValueError, match="no row for 1 of 9 images"):
        searchlight_rsa(voxels, {n: one.iloc[1:, 1:] for n, one in layers.items()}, **given)
    with pytest.warns(UserWarning, match="names of images"):
        searchlight_rsa(voxels, layer_rdms(), **given)


def test_subjects_of_other_masks_share_the_grid():
    one, two = random_mask(0), random_mask(1)
    layers = layer_rdms(labels=IMAGES)
    runs = DESIGNS["balanced"]
    subjects = {"a": betas_of(one, runs)[1], "b": betas_of(two, runs, seed=6)[1]}
    result = searchlight_rsa(subjects, layers, radius=4.0, min_voxels=6)
    np.testing.assert_array_equal(result.mask, one | two)
    for row, (name, mask) in enumerate((("a", one), ("b", two))):
        alone = searchlight_rsa(subjects[name], layers, radius=4.0, min_voxels=6)
        np.testing.assert_array_equal(alone.mask, mask)
        inside = mask[one | two]
        np.testing.assert_allclose(
            result.scores[row][:, inside], alone.scores[0], rtol=0, atol=1e-15
        )
        assert np.isnan(result.scores[row][:, ~inside]).all()
        assert (result.sizes[row, ~inside] == 0).all()
    # In another order of voxels, and without some of them, maps lie where they were.
    kept = np.random.default_rng(0).permutation(int(one.sum()))[:70]
    part = searchlight_rsa(subjects["a"].keep(kept), layers, radius=4.0, min_voxels=6)
    again = searchlight_rsa(subjects["a"].keep(np.sort(kept)), layers, radius=4.0, min_voxels=6)
    np.testing.assert_array_equal(part.scores, again.scores)


@pytest.mark.parametrize("distance", ["edges", "straight"])
def test_surfaces_of_two_hemispheres(tmp_path, distance, monkeypatch):
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    monkeypatch.setattr(_neighbours, "_PATCH", 10)
    xyz, faces = icosphere()
    files, masks = [], []
    rng = np.random.default_rng(3)
    for side, hemi in (("L", "Left"), ("R", "Right")):
        points = nibabel.gifti.GiftiDataArray(xyz.astype(np.float32), "NIFTI_INTENT_POINTSET")
        triangles = nibabel.gifti.GiftiDataArray(faces.astype(np.int32), "NIFTI_INTENT_TRIANGLE")
        files.append(tmp_path / f"hemi-{side}_white.surf.gii")
        nibabel.save(nibabel.GiftiImage(darrays=[points, triangles]), files[-1])
        values = rng.normal(size=(N, 162)).astype(np.float32)
        image = nibabel.GiftiImage(
            darrays=[nibabel.gifti.GiftiDataArray(row) for row in values],
            meta=nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{hemi}"}),
        )
        nibabel.save(image, tmp_path / f"hemi-{side}_betas.func.gii")
        masks.append(rng.random(162) < 0.9)
    betas = load_betas(
        [tuple(tmp_path / f"hemi-{side}_betas.func.gii" for side in "LR")],
        events=pd.DataFrame({"stim_file": IMAGES}), images=IMAGES, mask=tuple(masks),
    )  # fmt: skip
    layers = layer_rdms(labels=IMAGES)
    result = searchlight_rsa(betas, layers, radius=12.0, mesh=files, distance=distance,
                             min_voxels=6)  # fmt: skip
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    weights = np.linalg.norm(xyz[ends[:, 0]] - xyz[ends[:, 1]], axis=1)
    graph = np.zeros((162, 162))
    graph[ends[:, 0], ends[:, 1]] = graph[ends[:, 1], ends[:, 0]] = weights
    lengths = dijkstra(csr_array(graph), directed=False)
    if distance == "straight":
        lengths = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    number = np.cumsum(np.concatenate(masks)) - 1
    near = [
        number[first + np.flatnonzero((lengths[vertex] <= 12.0 * (1 + 1e-6)) & inside)]
        for first, inside in zip((0, 162), masks, strict=True)
        for vertex in np.flatnonzero(inside)
    ]
    np.testing.assert_array_equal(result.sizes[0], [len(row) for row in near])
    voxels = betas.averages().to_numpy()
    expected = one_by_one(voxels, layer_rdms(), near, 6, "correlation", "spearman")
    np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-10)
    result.save(tmp_path / "maps")
    written = nibabel.load(tmp_path / "maps" / "hemi-R_layer-layer1.func.gii").agg_data()
    np.testing.assert_allclose(written[masks[1]], expected[1, masks[0].sum() :], atol=1e-6)
    assert np.isnan(written[~masks[1]]).all()


def test_an_estimate_reads_no_betas():
    mask = random_mask()
    voxels = np.full((N, int(mask.sum())), np.nan)
    found = estimate_searchlight(voxels, layer_rdms(), radius=4.0, mask=image_of(mask),
                                 min_voxels=6, n_jobs=2)  # fmt: skip
    sizes = [len(row) for row in spheres(mask, 4.0)]
    assert (found.n_centres, found.smallest, found.largest) == (
        len(sizes), min(sizes), max(sizes)
    )  # fmt: skip
    assert found.n_too_small == sum(size < 6 for size in sizes)
    assert found.memory > voxels.nbytes
    assert 0 < found.seconds < 60
    betas = betas_of(mask, DESIGNS["balanced"])[1]
    noise = {"metric": "crossnobis", "residuals": np.ones((40, len(sizes)))}
    other = estimate_searchlight(betas, layer_rdms(labels=IMAGES), radius=4.0, **noise)
    assert other.to_dict()["n_images"] == N
    with pytest.raises(ValueError, match="Did you mean"):
        estimate_searchlight(voxels, layer_rdms(), radius=4.0, mask=image_of(mask), metric="cosin")


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": 0}, "radius must be a number of millimetres"),
        ({"radius": 1.0}, "at most 1 voxels, and min_voxels is 10"),
        ({"metric": "corelation"}, "Did you mean 'correlation'"),
        ({"comparison": "spearmann"}, "Did you mean 'spearman'"),
        ({"metric": "crossnobis"}, "needs repeated measurements: give Betas"),
        ({"metric": "mahalanobis"}, "needs residuals"),
        ({"residuals": np.ones((9, 5))}, "residuals are for crossnobis and mahalanobis"),
        ({"mask": None}, "give mask="),
        ({"mask": random_mask()}, "does not say how large its voxels are"),
        ({"mask": image_of(random_mask(5))}, "voxels, the mask has"),
        ({"mesh": "white.surf.gii"}, "mesh is for surfaces"),
        ({"distance": "geodesic"}, "'edges' or 'straight'"),
        ({"min_voxels": 1}, "at least 2"),
        ({"layers": {"flat": np.ones((N, N)) - np.eye(N)}}, "layers of 'flat'"),
        ({"layers": {"few": compute_rdm(np.eye(7))}}, "RDMs of 7 images, the betas are of 9"),
        ({"betas": {}}, "at least one subject"),
        ({"betas": pd.DataFrame(responses(int(random_mask().sum()))).iloc[:, ::-1]},
         "numbers of voxels that do not ascend"),
        ({"betas": np.full((N, int(random_mask().sum())), np.nan)}, "no voxel with data"),
    ],
)  # fmt: skip
def test_what_is_refused(changes, message):
    mask = random_mask()
    given: dict[str, Any] = {
        "betas": responses(int(mask.sum())), "layers": layer_rdms(), "radius": 4.0,
        "mask": image_of(mask), **changes,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        searchlight_rsa(**given)


def test_what_is_refused_of_subjects_and_runs():
    one, two = random_mask(0), random_mask(1, (4, 5, 7))
    runs, layers = DESIGNS["balanced"], layer_rdms(labels=IMAGES)
    betas = betas_of(one, runs)[1]
    with pytest.raises(ValueError, match=r"betas of 'b' have a grid of \(4, 5, 7\)"):
        searchlight_rsa({"a": betas, "b": betas_of(two, runs)[1]}, layers, radius=4.0)
    with pytest.raises(ValueError, match="residuals has nothing for 'b'"):
        searchlight_rsa({"a": betas, "b": betas}, layers, radius=4.0, metric="crossnobis",
                        residuals={"a": np.ones((5, 5))})  # fmt: skip
    with pytest.raises(ValueError, match="betas have one session only"):
        searchlight_rsa(betas, layers, radius=4.0, metric="crossnobis", folds="session")
    with pytest.raises(ValueError, match=r"residuals have shape \(5, 5\)"):
        searchlight_rsa(betas, layers, radius=4.0, metric="crossnobis", residuals=np.ones((5, 5)))
    with pytest.raises(ValueError, match="needs two or more; there is one"):
        searchlight_rsa(betas, layers, radius=4.0).test()
