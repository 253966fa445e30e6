"""Tables of nested evaluation against scripts written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from layer_study import ALPHAS, study
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import false_discovery_control, pearsonr
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdnn.encoding import (
    LayerFeatures,
    LayerwiseEncoder,
    VoxelwiseRidgeCV,
    correlation_p_values,
    nested_encoding,
)
from skdnn.encoding._layers._nested import permutation_p


@pytest.fixture(scope="module")
def data() -> tuple[LayerFeatures, np.ndarray]:
    layers, Y = study()
    return LayerFeatures(layers), Y


def test_the_table_equals_a_script() -> None:
    layers, Y = study()
    features = LayerFeatures(layers)
    encoder = LayerwiseEncoder(ALPHAS, cv=4)
    cv = KFold(3, shuffle=True, random_state=1)
    ceiling = np.linspace(0, 0.99, 8)
    roi = ["V1"] * 4 + ["IT"] * 4
    with pytest.warns(RuntimeWarning, match=r"\d+ of 24 normalised scores are above 1"):
        table = nested_encoding(
            encoder, layers, Y, cv, model="net", subject="s1", roi=roi, ceiling=ceiling,
            n_permutations=30, random_state=0,
        )  # fmt: skip
    assert list(table.columns) == [
        "model", "layer", "subject", "roi", "voxel", "fold", "alpha", "r", "r2", "normalised",
        "p", "p_fdr", "n_test", "n_images",
    ]  # fmt: skip
    assert len(table) == 3 * 8
    assert set(table["model"]) == {"net"}
    assert set(table["subject"]) == {"s1"}
    for fold, (train, test) in enumerate(cv.split(Y)):
        rows = table[table["fold"] == fold]
        fitted = clone(encoder).fit(features[train], Y[train])
        predicted = fitted.predict(features[test])
        r = [pearsonr(a, b)[0] for a, b in zip(Y[test].T, predicted.T, strict=True)]
        assert rows["voxel"].tolist() == list(range(8))
        assert rows["roi"].tolist() == roi
        assert rows["layer"].tolist() == fitted.layer_.tolist()
        assert_array_equal(rows["alpha"], fitted.alpha_)
        assert_allclose(rows["r"], r)
        assert_allclose(rows["r2"], r2_score(Y[test], predicted, multioutput="raw_values"))
        assert np.isnan(rows["normalised"].iloc[0])
        assert_allclose(rows["normalised"].iloc[1:], r[1:] / ceiling[1:])
        assert_allclose(rows["p_fdr"], false_discovery_control(rows["p"]))
    assert (table["p"].round(6).isin(np.round(np.arange(1, 32) / 31, 6))).all()
    assert table.loc[table["r"] > 0.9, "p"].max() < 0.1


def test_permutations_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=(2, 15, 6))
    measured[:, 1] += predicted[:, 1]
    r = np.array([pearsonr(a, b)[0] for a, b in zip(predicted.T, measured.T, strict=True)])
    r[5] = np.nan
    p = permutation_p(predicted, measured, r, 40, np.random.RandomState(3))
    draws = np.random.RandomState(3)
    count = np.zeros(5)
    for _ in range(40):
        order = draws.permutation(15)
        count += [pearsonr(predicted[order, v], measured[:, v])[0] >= r[v] for v in range(5)]
    assert_allclose(p[:5], (1 + count) / 41)
    assert np.isnan(p[5])
    assert p[1] < 0.1


def test_p_values_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=(2, 20, 2000))
    r = np.array([pearsonr(a, b)[0] for a, b in zip(predicted.T, measured.T, strict=True)])
    p = permutation_p(predicted, measured, r, 99, np.random.RandomState(0))
    # Voxels share permutations, hence the wide bounds (about 4 standard errors of a proportion).
    for level in (0.05, 0.25, 0.5, 0.75):
        assert abs(np.mean(p <= level) - level) < 4 * np.sqrt(level * (1 - level) / 2000)


def test_other_encoders_and_inputs(data: Any, tmp_path: Path) -> None:
    features, Y = data
    X = np.asarray(features)
    frame = pd.DataFrame(Y, columns=[f"v{i}" for i in range(8)])
    table = nested_encoding(VoxelwiseRidgeCV(ALPHAS), X, frame, 3)
    assert table["voxel"].tolist() == [f"v{i}" for i in range(8)] * 3
    assert table["layer"].isna().all()
    assert table["alpha"].isin(ALPHAS).all()
    assert table["normalised"].isna().all()
    for _, rows in table.groupby("fold"):  # without permutations, by t
        assert_allclose(rows["p"], correlation_p_values(rows["r"], 20, adjust=None))
        assert_allclose(rows["p_fdr"], correlation_p_values(rows["r"], 20))
    with h5py.File(tmp_path / "both.h5", "w") as file:
        sets = [file.create_dataset(name, data=a) for name, a in (("x", X), ("y", Y))]
        lazy = nested_encoding(VoxelwiseRidgeCV(ALPHAS), *sets, 3)
    assert_allclose(lazy["r"], table["r"])
    pls = nested_encoding(PLSRegression(3), X, Y, 3)
    assert pls["r"].notna().all()
    assert pls["alpha"].isna().all()
    groups = np.repeat(np.arange(12), 5)
    pipeline = make_pipeline(FunctionTransformer(), VoxelwiseRidgeCV(ALPHAS, cv=GroupKFold(2)))
    grouped = nested_encoding(pipeline, X, Y, 3, groups=groups)
    parts = GroupKFold(3, shuffle=True, random_state=0).split(X, Y, groups)
    train, test = next(iter(parts))
    fitted = VoxelwiseRidgeCV(ALPHAS, cv=GroupKFold(2)).fit(X[train], Y[train], groups[train])
    each = fitted.score_per_target(X[test], Y[test], scoring="correlation")
    assert_allclose(grouped.loc[grouped["fold"] == 0, "r"], each)
    search = GridSearchCV(VoxelwiseRidgeCV(ALPHAS), {"scoring": ["r2", "correlation"]}, cv=2)
    assert nested_encoding(search, X, Y, 2)["alpha"].notna().all()


def test_nested_errors(data: Any) -> None:
    features, Y = data
    encoder = LayerwiseEncoder(ALPHAS)
    with pytest.raises(ValueError, match="cv=None"):
        nested_encoding(encoder, features, Y, None)
    with pytest.raises(ValueError, match="ceiling has shape"):
        nested_encoding(encoder, features, Y, 2, ceiling=[0.5, 0.5])
    with pytest.raises(ValueError, match="above 1"):
        nested_encoding(encoder, features, Y, 2, ceiling=30)
    with pytest.raises(ValueError, match="voxels has shape"):
        nested_encoding(encoder, features, Y, 2, voxels=["a"])
    with pytest.raises(ValueError, match="n_permutations=-1"):
        nested_encoding(encoder, features, Y, 2, n_permutations=-1)
