"""The same maps from nilearn, rsatoolbox and mne-rsa, where these define the same."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import image_of
from sklearn.base import BaseEstimator

from helpers.mne_rsa import by_mne_rsa
from skdnn import RDM, RSAScorer
from skdnn.fmri import searchlight_rsa
from skdnn.rsa import compare_rdms, compute_rdm

nibabel = pytest.importorskip("nibabel")

N, GRID = 12, (7, 8, 9)
AFFINE = np.diag([3.0, 3, 3, 1])
# Voxels within 3 steps, the third itself left out: what rsatoolbox calls a radius of 3.
RADIUS = 8.9


@pytest.fixture(scope="module")
def study() -> Any:
    rng = np.random.default_rng(0)
    names = [f"{k:02}.png" for k in range(N)]
    layers = {
        f"layer{k}": pd.DataFrame(compute_rdm(rng.normal(size=(N, 30))), names, names)
        for k in range(3)
    }
    voxels = pd.DataFrame(rng.normal(size=(N, int(np.prod(GRID)))), index=names)
    mask = image_of(np.ones(GRID), AFFINE)
    result = searchlight_rsa(voxels, layers, radius=RADIUS, mask=mask, min_voxels=2)
    return voxels, layers, mask, result


class SphereRSA(BaseEstimator):
    """The recipe of the guide: nilearn then fits nothing and validates nothing."""

    nilearn_searchlight_uses_cv = False

    def __init__(self, metric: str = "correlation", comparison: str = "spearman") -> None:
        self.metric, self.comparison = metric, comparison

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> SphereRSA:
        return self

    def score(self, X: Any, y: Any, groups: Any = None) -> float:
        return compare_rdms(y, compute_rdm(X, self.metric), self.comparison)


@pytest.mark.parametrize("way", ["cross-validation", "target", "without cross-validation"])
def test_nilearn(study, way):
    decoding = pytest.importorskip("nilearn.decoding")
    source = inspect.getsource(inspect.getmodule(decoding.SearchLight))
    if way == "without cross-validation" and "nilearn_searchlight_uses_cv" not in source:
        pytest.skip("nilearn before 0.14 always validates")
    voxels, layers, mask, result = study
    values = voxels.to_numpy().T.reshape(*GRID, N)
    images = nibabel.Nifti1Image(values, AFFINE)
    every = np.arange(N)
    options = {"estimator": RDM(), "scoring": RSAScorer(), "cv": [(every, every)]}
    y = layers["layer1"]
    if way == "target":
        y, options["scoring"] = y.to_numpy(), RSAScorer(target="rdm")
    elif way == "without cross-validation":
        y, options = y.to_numpy(), {"estimator": SphereRSA()}
    light = decoding.SearchLight(mask, radius=RADIUS, n_jobs=1, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        light.fit(images, y)
    expected = np.asarray(light.scores_).ravel()
    np.testing.assert_allclose(result.scores[0, 1], expected, rtol=0, atol=1e-10)


def test_a_bare_array_gives_nilearn_a_map_of_nan():
    """What the guide warns of: scikit-learn makes NaN of the error."""
    from sklearn.model_selection import cross_val_score

    y = compute_rdm(np.random.default_rng(0).normal(size=(N, 9)))
    every = np.arange(N)
    with pytest.warns(UserWarning, match="say what it is"):
        scores = cross_val_score(RDM(), np.random.default_rng(1).normal(size=(N, 30)), y,
                                 scoring=RSAScorer(), cv=[(every, every)])  # fmt: skip
    assert np.isnan(scores).all()


def test_rsatoolbox(study):
    pytest.importorskip("rsatoolbox")
    from rsatoolbox.inference import eval_fixed
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.util.searchlight import (
        evaluate_models_searchlight,
        get_searchlight_RDMs,
        get_volume_searchlight,
    )

    voxels, layers, _, result = study
    mask = np.pad(np.ones(GRID), 3)  # it cuts spheres at the edge of the array
    data = np.zeros((N, *mask.shape))
    data[:, 3:-3, 3:-3, 3:-3] = voxels.to_numpy().reshape(N, *GRID)
    centres, neighbours = get_volume_searchlight(mask, radius=3, threshold=0.0)
    inside = [points[mask.ravel()[points] > 0] for points in neighbours]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rdms = get_searchlight_RDMs(
            data.reshape(N, -1), centres, inside, np.arange(N), verbose=False
        )
        models = [ModelFixed(name, rdm.to_numpy()) for name, rdm in layers.items()]
        found = evaluate_models_searchlight(rdms, models, eval_fixed, method="spearman", n_jobs=1)
    order = np.argsort(centres)
    np.testing.assert_array_equal(np.asarray(centres)[order], np.flatnonzero(mask))
    sizes = np.array([len(points) for points in inside])[order]
    np.testing.assert_array_equal(result.sizes[0], sizes)
    expected = np.array([one.evaluations.ravel() for one in found])[order].T
    np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-10)


def test_mne_rsa(study):
    voxels, layers, _, result = study
    xyz = np.argwhere(np.ones(GRID)) * 3.0
    patches = [
        (slice(None), np.flatnonzero(np.linalg.norm(xyz - centre, axis=1) <= RADIUS))
        for centre in xyz
    ]
    models = [rdm.to_numpy()[np.triu_indices(N, 1)] for rdm in layers.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = by_mne_rsa(
            "rsa_array",
            lambda mne_rsa: mne_rsa.rsa_array(
                voxels.to_numpy(), models, patches=patches, verbose=False
            ),
        )
    np.testing.assert_allclose(result.scores[0], np.asarray(found), rtol=0, atol=1e-10)
