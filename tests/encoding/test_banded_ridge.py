"""Banded ridge against himalaya's own estimator and plain formulas; parts of variance by hand."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn.encoding import (
    BandedRidgeCV,
    LayerFeatures,
    VoxelwiseRidgeCV,
    voxel_variance_partitioning,
)

pytest.importorskip("himalaya")

N = 60
SHARES = np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.1, 0.8, 0.1]])


@pytest.fixture(scope="module")
def spaces() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "pixels": 5 + rng.normal(size=(N, 30)),
        "layer": 200 * rng.normal(size=(N, 120)),
        "labels": rng.integers(0, 2, (N, 4)).astype(float),
    }


@pytest.fixture(scope="module")
def voxels(spaces: dict[str, Any]) -> Any:
    rng = np.random.default_rng(1)
    parts = [
        array @ rng.normal(size=(array.shape[1], 7)) / array.std() for array in spaces.values()
    ]
    mixed = sum(w * p for w, p in zip([0.4, 0.2, 1.0], parts, strict=True))
    return 3 + mixed + rng.normal(size=(N, 7))


def folds() -> list[Any]:
    return list(KFold(4, shuffle=True, random_state=3).split(np.zeros(N)))


def centred_kernels(rows: dict[str, Any], fitted: dict[str, Any]) -> Any:
    out = []
    for name, array in fitted.items():
        mean = array.mean(axis=0)
        scale = ((array - mean) ** 2).sum() / len(array)
        out.append((rows[name] - mean) @ (array - mean).T / scale)
    return np.stack(out)


def test_predictions_are_those_of_himalaya(spaces: dict[str, Any], voxels: Any) -> None:
    from himalaya.kernel_ridge import MultipleKernelRidgeCV
    from himalaya.scoring import r2_score

    train, test = np.arange(45), np.arange(45, N)
    some = [{name: array[rows] for name, array in spaces.items()} for rows in (train, test)]
    cv = list(KFold(3).split(train))
    own = BandedRidgeCV((0.1, 1, 10), n_iter=SHARES, cv=cv).fit(some[0], voxels[train])
    theirs = MultipleKernelRidgeCV(
        kernels="precomputed",
        solver="random_search",
        solver_params={
            "n_iter": SHARES,
            "alphas": np.array([0.1, 1, 10]),
            "score_func": r2_score,
            "progress_bar": False,
        },
        cv=cv,
        fit_intercept=True,
    ).fit(centred_kernels(some[0], some[0]), voxels[train])
    expected = theirs.predict(centred_kernels(some[1], some[0]))
    np.testing.assert_allclose(own.predict(some[1]), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(own.alpha_, theirs.best_alphas_)
    assert set(map(tuple, own.shares_.T.round(6))) <= set(map(tuple, SHARES.round(6)))


def test_it_is_a_ridge_with_a_penalty_for_each_space(spaces: dict[str, Any], voxels: Any) -> None:
    ridge = BandedRidgeCV((0.3, 3), n_iter=SHARES, cv=folds()).fit(spaces, voxels)
    for target in range(voxels.shape[1]):
        penalties = ridge.band_alphas_[:, target]
        scaled = np.hstack([a / np.sqrt(p) for a, p in zip(spaces.values(), penalties)])  # noqa: B905
        plain = Ridge(1.0).fit(scaled, voxels[:, target])
        np.testing.assert_allclose(ridge.predict(spaces)[:, target], plain.predict(scaled))


def test_the_unit_of_a_space_makes_no_difference(spaces: dict[str, Any], voxels: Any) -> None:
    larger = spaces | {"layer": 1000 * spaces["layer"] + 7}
    first = BandedRidgeCV(n_iter=12).fit(spaces, voxels)
    second = BandedRidgeCV(n_iter=12).fit(larger, voxels)
    np.testing.assert_allclose(first.predict(spaces), second.predict(larger), rtol=1e-6)
    np.testing.assert_allclose(first.shares_, second.shares_)
    np.testing.assert_allclose(second.band_alphas_[1], 1e6 * first.band_alphas_[1])


def test_shares_find_the_space_of_each_voxel(spaces: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    own = np.column_stack([a[:, :2] @ [1, 1] / a.std() for a in spaces.values()])
    ridge = BandedRidgeCV(n_iter=30).fit(spaces, own + 0.1 * rng.normal(size=own.shape))
    assert (np.diag(ridge.shares_) > 0.5).all()
    assert (ridge.cv_scores_[[0, 2]] > 0.9).all()  # those of few features


def test_contributions_add_up_and_are_the_product_measure(
    spaces: dict[str, Any], voxels: Any
) -> None:
    from himalaya.scoring import r2_score_split

    ridge = BandedRidgeCV(n_iter=12).fit({name: a[:45] for name, a in spaces.items()}, voxels[:45])
    late = {name: a[45:] for name, a in spaces.items()}
    found = ridge.contributions(late, voxels[45:])
    parts = ridge.predict_bands(late)
    parts -= parts.mean(axis=1, keepdims=True)
    truth = voxels[45:] - voxels[45:].mean(axis=0)
    np.testing.assert_allclose(found, r2_score_split(truth, parts), rtol=1e-6)
    whole = 1 - ((truth - parts.sum(axis=0)) ** 2).sum(axis=0) / (truth**2).sum(axis=0)
    np.testing.assert_allclose(found.sum(axis=0), whole)
    np.testing.assert_allclose(
        ridge.predict_bands(spaces).sum(axis=0) + ridge._intercept, ridge.predict(spaces)
    )
    constant = voxels[45:].copy()
    constant[:, 2] = 1
    assert np.isnan(ridge.contributions(late, constant)[:, 2]).all()
    assert np.isnan(ridge.score_per_target(late, constant)[2])


def test_as_an_estimator(spaces: dict[str, Any], voxels: Any) -> None:
    """Clone, pickle, a pipeline over one table, folds of cross_val_score."""
    table = np.hstack(list(spaces.values()))
    labels = [name for name, a in spaces.items() for _ in range(a.shape[1])]
    ridge = BandedRidgeCV(layers=labels, n_iter=6)
    pipe = make_pipeline(StandardScaler(), clone(ridge)).fit(table, voxels)
    assert pipe.predict(table).shape == voxels.shape
    assert pipe.score(table, voxels) > 0
    again = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(again.predict(table), pipe.predict(table))
    one = ridge.fit(table, voxels[:, 0])
    assert one.predict(table).shape == (N,)
    scores = cross_val_score(BandedRidgeCV(n_iter=6), LayerFeatures(spaces), voxels, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    frame = pd.DataFrame(voxels).add_prefix("v")
    np.testing.assert_allclose(
        BandedRidgeCV(n_iter=6).fit(spaces, frame).predict(spaces),
        BandedRidgeCV(n_iter=6).fit(spaces, voxels).predict(spaces),
    )


def test_groups_stay_together(spaces: dict[str, Any], voxels: Any) -> None:
    groups = np.repeat(np.arange(N // 2), 2)
    given = BandedRidgeCV(n_iter=6, cv=GroupKFold(3)).fit(spaces, voxels, groups=groups)
    known = list(GroupKFold(3).split(np.zeros(N), groups=groups))
    np.testing.assert_array_equal(
        given.cv_scores_, BandedRidgeCV(n_iter=6, cv=known).fit(spaces, voxels).cv_scores_
    )


def test_himalaya_is_left_as_it_was(spaces: dict[str, Any], voxels: Any) -> None:
    backend = pytest.importorskip("himalaya.backend")
    before = backend.get_backend()
    try:
        backend.set_backend("torch")
        ridge = BandedRidgeCV(n_iter=4).fit(spaces, voxels)
        assert isinstance(ridge.predict(spaces), np.ndarray)
        assert backend.get_backend().name == "torch"
    finally:
        backend.set_backend(before)


def test_arrays_on_disk(spaces: dict[str, Any], voxels: Any, tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        lazy = {name: file.create_dataset(name, data=a) for name, a in spaces.items()}
        ridge = BandedRidgeCV(n_iter=6).fit(lazy, voxels)
        found = ridge.predict(lazy)
    np.testing.assert_allclose(
        found, BandedRidgeCV(n_iter=6).fit(spaces, voxels).predict(spaces), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        ({}, {"n_iter": [[1, 1]]}, r"n_iter has shape \(1, 2\)"),
        ({}, {"alphas": [-1]}, "alphas"),
        ({"labels": np.ones((N, 4))}, {}, "features of 'labels' are the same in all rows"),
        ({"pixels": np.full((N, 3), np.nan)}, {}, "features of 'pixels' hold NaN"),
    ],
)
def test_what_is_refused(
    spaces: dict[str, Any], voxels: Any, change: dict[str, Any], options: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        BandedRidgeCV(**({"n_iter": 3} | options)).fit(spaces | change, voxels)


def test_other_spaces_are_refused(spaces: dict[str, Any], voxels: Any) -> None:
    ridge = BandedRidgeCV(n_iter=3).fit(spaces, voxels)
    with pytest.raises(ValueError, match="were fitted"):
        ridge.predict({name: a[:, :3] for name, a in spaces.items()})
    with pytest.raises(ValueError, match="cv=None"):
        BandedRidgeCV(n_iter=3, cv=None).fit(spaces, voxels)
    with pytest.raises(ValueError, match="60 rows and y 59"):
        BandedRidgeCV(n_iter=3).fit(spaces, voxels[:-1])


# --- unique and shared parts ---------------------------------------------------------------------


def test_parts_of_variance_by_hand(spaces: dict[str, Any], voxels: Any) -> None:
    a, b, c = spaces.values()
    alphas = [50.0]
    cv = folds()

    def r2(*arrays: Any) -> Any:
        scores = []
        for train, test in cv:
            X = np.hstack(arrays)
            predicted = Ridge(50.0).fit(X[train], voxels[train]).predict(X[test])
            rest = ((voxels[test] - predicted) ** 2).sum(axis=0)
            scores.append(1 - rest / ((voxels[test] - voxels[test].mean(axis=0)) ** 2).sum(axis=0))
        return np.mean(scores, axis=0)

    parts = voxel_variance_partitioning(spaces, voxels, encoder=VoxelwiseRidgeCV(alphas), cv=cv)
    whole = r2(a, b, c)
    assert parts.index.tolist() == [
        "pixels", "layer", "labels", "pixels & layer", "pixels & labels", "layer & labels",
        "pixels & layer & labels",
    ]  # fmt: skip
    np.testing.assert_allclose(parts.loc["pixels"], whole - r2(b, c), atol=1e-9)
    np.testing.assert_allclose(
        parts.loc["pixels & labels"], -r2(b) + r2(a, b) + r2(b, c) - whole, atol=1e-9
    )
    np.testing.assert_allclose(parts.sum(axis=0), whole, atol=1e-9)
    alone = parts.loc[["pixels", "pixels & layer", "pixels & labels", "pixels & layer & labels"]]
    np.testing.assert_allclose(alone.sum(axis=0), r2(a), atol=1e-9)


def test_planted_parts_are_found() -> None:
    rng = np.random.default_rng(5)
    common, left, right = rng.normal(size=(3, 240, 4))
    spaces = {"left": np.hstack([common, left]), "right": np.hstack([common, right])}
    voxels = pd.DataFrame(
        {"shared": common[:, 0], "left": left[:, 0], "both": left[:, 1] + right[:, 1]}
    )
    parts = voxel_variance_partitioning(spaces, voxels, encoder=BandedRidgeCV(n_iter=6))
    expected = pd.DataFrame(
        {"shared": [0.0, 0, 1], "left": [1.0, 0, 0], "both": [0.5, 0.5, 0]}, index=parts.index
    )
    pd.testing.assert_frame_equal(parts, expected, atol=0.1)


def test_two_to_five_spaces(voxels: Any) -> None:
    six = {str(k): np.eye(N, 3) for k in range(6)}
    for n in (1, 6):
        with pytest.raises(ValueError, match=f"two to 5, got {n}"):
            voxel_variance_partitioning(dict(list(six.items())[:n]), voxels)
    with pytest.raises(ValueError, match="cv=None"):
        voxel_variance_partitioning({"a": six["0"], "b": six["1"]}, voxels, cv=None)
