"""Folds of a voxel together: scores by hand, and a p-value that is right without a signal."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import false_discovery_control, norm
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import RepeatedKFold

from skdnn.encoding import LayerwiseEncoder, VoxelwiseRidgeCV, nested_encoding, pool_folds

ALPHAS = np.logspace(0, 4, 5)


def null_tables(encoder: Any, n_studies: int, n: int = 60, cv: Any = 5) -> pd.DataFrame:
    """Studies of voxels without any signal."""
    tables = []
    for number in range(n_studies):
        rng = np.random.default_rng(number)
        scores, axes = rng.normal(size=(n, 6)), rng.normal(size=(6, 40))
        features = scores @ axes + rng.normal(size=(n, 40))
        Y = rng.normal(size=(n, 60))
        X: Any = {"a": features, "b": features**2} if hasattr(encoder, "select") else features
        tables.append(nested_encoding(encoder, X, Y, cv, subject=str(number), random_state=number))
    return pd.concat(tables)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Three folds of unequal size, two regions, layers that voxels choose."""
    rng = np.random.default_rng(0)
    layers = {name: rng.normal(size=(40, 5)) for name in ("early", "late")}
    Y = layers["early"][:, [0, 0, 1, 2]] * [1, 0.5, 0.2, 0] + 0.5 * rng.normal(size=(40, 4))
    cut = np.split(rng.permutation(40), [10, 24])
    folds = [(np.setdiff1d(np.arange(40), test), test) for test in cut]
    return nested_encoding(
        LayerwiseEncoder(ALPHAS, random_state=0), layers, Y, folds, model="net",
        roi=["V1", "V1", "IT", "IT"], voxels=list("dcba"), ceiling=[0.9, 0.8, 0.7, 0.6],
    )  # fmt: skip


def test_a_voxel_by_hand(table):
    pooled = pool_folds(table)
    assert pooled["voxel"].tolist() == list("dcba")
    assert pooled["roi"].tolist() == ["V1", "V1", "IT", "IT"]
    sizes = np.array([10, 14, 16])
    for _, row in pooled.iterrows():
        folds = table[table["voxel"] == row["voxel"]]
        assert folds["n_test"].tolist() == sizes.tolist()
        for score in ("r", "r2", "normalised"):
            assert_allclose(row[score], np.average(folds[score], weights=sizes))
        chosen = folds["layer"].value_counts()
        assert row["layer_share"] == chosen.max() / 3
        assert row["layer"] in chosen[chosen == chosen.max()].index
        deviation = np.sqrt(2 * np.sum((sizes / 40) ** 2 / (sizes - 1)))
        assert_allclose(row["p"], norm.sf(row["r"] / deviation))
    assert_allclose(pooled["p_fdr"], false_discovery_control(pooled["p"]))
    assert pooled["p"].iloc[0] < 0.001


def test_from_a_file_and_in_any_order(table):
    text = table.sample(frac=1, random_state=0).to_csv(index=False)
    again = pool_folds(pd.read_csv(io.StringIO(text)))
    expected, found = (part.set_index("voxel").sort_index() for part in (pool_folds(table), again))
    assert_allclose(found[["r", "p", "p_fdr"]], expected[["r", "p", "p_fdr"]])


def test_subjects_are_adjusted_apart(table):
    both = pd.concat([table.assign(subject="S1"), table.assign(subject="S2", r=table["r"] / 9)])
    pooled = pool_folds(both)
    assert len(pooled) == 8
    alone = pool_folds(table)
    assert_allclose(pooled.loc[pooled["subject"] == "S1", "p_fdr"], alone["p_fdr"])


def test_folds_without_a_correlation(table):
    some = table.copy()
    some.loc[(some["voxel"] == "a") & (some["fold"] == 1), ["r", "r2", "normalised"]] = np.nan
    some.loc[some["voxel"] == "b", ["r", "r2", "normalised"]] = np.nan
    pooled = pool_folds(some).set_index("voxel")
    assert pooled["n_folds"].to_dict() == {"d": 3, "c": 3, "b": 0, "a": 2}
    assert pooled.loc["b", ["r", "r2", "p", "p_fdr"]].isna().all()
    left = table[(table["voxel"] == "a") & (table["fold"] != 1)]
    assert_allclose(pooled.loc["a", "r"], np.average(left["r"], weights=[10, 16]))
    assert np.isfinite(pooled.loc["a", "p"])


def test_a_single_fold_is_the_normal_limit():
    """One set of held-out images depends on no other."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(400, 4)), rng.normal(size=(400, 3))
    table = nested_encoding(PLSRegression(2), X, Y, [(np.arange(100), np.arange(100, 400))])
    pooled = pool_folds(table)
    assert_allclose(pooled["p"], norm.sf(table["r"] * np.sqrt(299)))
    assert_allclose(pooled["p"], table["p"], atol=0.003)  # Student's t
    assert pooled[["layer", "layer_share"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "encoder",
    [VoxelwiseRidgeCV(ALPHAS), VoxelwiseRidgeCV([1e-3]), PLSRegression(2),
     LayerwiseEncoder(ALPHAS, cv=3, random_state=0)],
    ids=["ridge", "hardly a penalty", "PLS", "layers"],
)  # fmt: skip
def test_voxels_without_a_signal(encoder):
    """Folds as if independent would reject about .12."""
    tables = null_tables(encoder, 20)
    pooled = pool_folds(tables)
    assert 0.02 < (pooled["p"] < 0.05).mean() < 0.07
    assert abs(pooled["p"].median() - 0.5) < 0.08
    folds = tables.groupby(["subject", "voxel"])["r"].mean()
    assert (norm.sf(folds * np.sqrt(5 * 11)) < 0.05).mean() > 0.085


def test_repeated_folds_are_no_more_evidence():
    cv = RepeatedKFold(n_splits=4, n_repeats=3, random_state=0)
    pooled = pool_folds(null_tables(VoxelwiseRidgeCV(ALPHAS), 12, cv=cv))
    assert (pooled["n_folds"] == 12).all()
    assert 0.01 < (pooled["p"] < 0.05).mean() < 0.07


def test_what_is_refused(table):
    with pytest.raises(ValueError, match="no column n_test: give one that nested_encoding"):
        pool_folds(table.drop(columns="n_test"))
    with pytest.raises(ValueError, match=r"same fold of a voxel twice: .*'voxel': 'd'"):
        pool_folds(pd.concat([table, table]))
