"""VoxelwiseRidgeCV: what it keeps, its scores, groups, and targets that cannot be fitted."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from ridge_study import ALPHAS, SHAPES, assert_same_fit, study
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.only_slices import OnlySlices
from skdnn.encoding import VoxelwiseRidgeCV

# What is kept


def test_either_store_gives_the_same() -> None:
    X, Y = study(30, 80)
    both = [VoxelwiseRidgeCV(ALPHAS, store=store).fit(X, Y) for store in ("coef", "dual")]
    assert_same_fit(*both, X, 1e-10)
    assert both[0].dual_coef_ is None
    assert both[0].X_fit_ is None
    assert both[1].dual_coef_.shape == (30, 7)
    assert both[1].X_fit_ is X
    assert_allclose(both[1].coef_, (X - X.mean(axis=0)).T.dot(both[1].dual_coef_).T, atol=1e-10)
    again = pickle.loads(pickle.dumps(both[1]))
    assert_array_equal(again.predict(X), both[1].predict(X))


def test_auto_keeps_what_is_smaller() -> None:
    X, Y = study(20, 200, 60)
    assert VoxelwiseRidgeCV().fit(X, Y).dual_coef_ is not None
    assert VoxelwiseRidgeCV().fit(X, Y[:, :3]).dual_coef_ is None
    assert VoxelwiseRidgeCV(store="dual").fit(X[:, :5], Y).dual_coef_ is None  # primal


def test_one_dimensional_y() -> None:
    X, Y = study(40, 10)
    flat, column = VoxelwiseRidgeCV().fit(X, Y[:, 0]), VoxelwiseRidgeCV().fit(X, Y[:, :1])
    assert flat.coef_.shape == (10,)
    assert flat.predict(X).shape == (40,)
    assert isinstance(flat.alpha_, float)
    assert flat.cv_scores_.shape == (7,)
    assert column.coef_.shape == (1, 10)
    assert column.predict(X).shape == (40, 1)
    assert column.alpha_.shape == (1,)
    assert flat.score(X, Y[:, 0]) == column.score(X, Y[:, :1])
    assert flat.score_per_target(X, Y[:, 0]).shape == (1,)


def test_feature_names() -> None:
    X, Y = study(40, 3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = VoxelwiseRidgeCV().fit(frame, pd.DataFrame(Y))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert_allclose(model.predict(frame), VoxelwiseRidgeCV().fit(X, Y).predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["c", "b", "a"]])


# Scores


def test_scores_equal_scikit_learns() -> None:
    X, Y = study(60, 100)
    model = VoxelwiseRidgeCV().fit(X[:40], Y[:40])
    predicted = model.predict(X[40:])
    each = r2_score(Y[40:], predicted, multioutput="raw_values")
    assert isinstance(model.score(X[40:], Y[40:]), float)
    assert_allclose(model.score(X[40:], Y[40:]), r2_score(Y[40:], predicted))
    assert_allclose(model.score_per_target(X[40:], Y[40:]), each)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(Y[40:].T, predicted.T, strict=True)]
    assert_allclose(model.score_per_target(X[40:], Y[40:], scoring="correlation"), r)
    assert_allclose(cross_val_score(VoxelwiseRidgeCV(), X, Y, cv=3).shape, (3,))
    with pytest.raises(ValueError, match="scoring='mse'"):
        model.score_per_target(X, Y, scoring="mse")
    with pytest.raises(ValueError, match="y has 2 targets, but 7"):
        model.score(X, Y[:, :2])


def test_in_pipelines_and_searches() -> None:
    X, Y = study(60, 30)
    pipeline = make_pipeline(StandardScaler(), VoxelwiseRidgeCV())
    search = GridSearchCV(pipeline, {"voxelwiseridgecv__scoring": ["r2", "correlation"]}, cv=3)
    assert search.fit(X, Y).best_score_ == max(search.cv_results_["mean_test_score"])


# Groups and folds


class Recorder:
    """A splitter that keeps what it was given."""

    def __init__(self) -> None:
        self.groups: list[Any] = []

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return 3

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        self.groups.append(groups)
        return GroupKFold(3).split(X, y, groups)


def test_groups_go_to_the_splitter() -> None:
    X, Y = study(45, 20)
    groups = np.repeat(np.arange(9), 5)
    recorder = Recorder()
    ours = VoxelwiseRidgeCV(ALPHAS, cv=recorder).fit(X, Y, groups=groups)
    assert_array_equal(recorder.groups, [groups])
    search = GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=GroupKFold(3))
    search.fit(X, Y[:, 2], groups=groups)
    assert_allclose(ours.cv_scores_[:, 2], search.cv_results_["mean_test_score"], rtol=1e-9)
    with_number = VoxelwiseRidgeCV(ALPHAS, cv=3).fit(X, Y, groups=groups)
    assert_array_equal(with_number.cv_scores_, ours.cv_scores_)
    shuffled = VoxelwiseRidgeCV(ALPHAS, cv=3, random_state=0).fit(X, Y, groups=groups)
    assert not np.array_equal(shuffled.cv_scores_, ours.cv_scores_)
    VoxelwiseRidgeCV(cv=LeaveOneGroupOut()).fit(X, Y, groups=groups)
    with pytest.raises(ValueError, match="cv=None leaves out single rows"):
        VoxelwiseRidgeCV(cv=None).fit(X, Y, groups=groups)
    with pytest.raises(ValueError, match="groups"):
        VoxelwiseRidgeCV(cv=GroupKFold(3)).fit(X, Y)


def test_groups_are_routed() -> None:
    X, Y = study(45, 20)
    groups = np.repeat(np.arange(9), 5)
    recorder = Recorder()
    with sklearn.config_context(enable_metadata_routing=True):
        model = VoxelwiseRidgeCV(cv=recorder).set_fit_request(groups=True)
        found = cross_validate(
            make_pipeline(StandardScaler(), model), X, Y, cv=GroupKFold(2),
            params={"groups": groups}, return_estimator=True,
        )  # fmt: skip
    seen = [fitted[-1].cv.groups[0] for fitted in found["estimator"]]
    assert sorted(np.unique(np.concatenate(seen))) == list(range(9))
    assert all(len(s) in (20, 25) for s in seen)


def test_an_integer_shuffles_only_with_a_random_state() -> None:
    X, Y = study(60, 20)
    plain = VoxelwiseRidgeCV(cv=5).fit(X, Y)
    assert_array_equal(plain.cv_scores_, VoxelwiseRidgeCV(cv=KFold(5)).fit(X, Y).cv_scores_)
    shuffled = VoxelwiseRidgeCV(cv=5, random_state=3).fit(X, Y)
    expected = VoxelwiseRidgeCV(cv=KFold(5, shuffle=True, random_state=3)).fit(X, Y)
    assert_array_equal(shuffled.cv_scores_, expected.cv_scores_)
    assert not np.array_equal(shuffled.cv_scores_, plain.cv_scores_)


def test_masks_as_folds() -> None:
    X, Y = study(20, 5)
    held_out = np.arange(20) < 8
    masks = VoxelwiseRidgeCV(cv=[(~held_out, held_out)]).fit(X, Y)
    rows = VoxelwiseRidgeCV(cv=[(np.arange(8, 20), np.arange(8))]).fit(X, Y)
    assert_array_equal(masks.cv_scores_, rows.cv_scores_)
    with pytest.raises(ValueError, match="two rows or more"):
        VoxelwiseRidgeCV(cv=20).fit(X, Y)


# Targets that cannot be fitted


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("store", ["coef", "dual"])
def test_targets_without_a_model(cv: Any, store: str) -> None:
    X, Y = study(30, 50)
    broken = Y.copy()
    broken[3, 1], broken[4, 2], broken[:, 5] = np.nan, np.inf, 8.0
    model = VoxelwiseRidgeCV(ALPHAS, cv=cv, nan_targets="nan", store=store)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, broken)
    messages = [str(w.message) for w in caught]
    assert len(messages) == 2
    assert "NaN or infinity in 2 of 7 targets (columns 1, 2)" in messages[0]
    assert "1 of 7 targets are constant (columns 5)" in messages[1]
    assert all(w.filename == __file__ for w in caught)
    sound, lost = [0, 3, 4, 6], [1, 2, 5]
    fresh = VoxelwiseRidgeCV(ALPHAS, cv=cv).fit(X, Y[:, sound])
    assert_array_equal(model.alpha_[sound], fresh.alpha_)
    assert_allclose(model.coef_[sound], fresh.coef_, rtol=1e-9, atol=1e-11)
    assert np.isnan(model.alpha_[lost]).all()
    assert np.isnan(model.coef_[[1, 2]]).all()
    assert_array_equal(model.coef_[5], 0)
    predicted = model.predict(X)
    assert np.isnan(predicted[:, [1, 2]]).all()
    assert_allclose(predicted[:, 5], 8)
    assert np.isnan(model.cv_scores_[:, lost]).all()
    each = model.score_per_target(X, Y)
    assert np.isnan(each[lost]).all()
    assert_allclose(model.score(X, Y), each[sound].mean())
    with pytest.raises(ValueError, match=r"in 2 of 7 targets \(columns 1, 2\).*nan_targets"):
        clone(model).set_params(nan_targets="error").fit(X, broken)


def test_a_target_that_is_constant_in_a_fold_is_judged_by_the_others() -> None:
    X, Y = study(30, 10)
    Y[:10, 0] = 1.0
    ours = VoxelwiseRidgeCV(ALPHAS, cv=3).fit(X, Y)
    others = VoxelwiseRidgeCV(ALPHAS, cv=list(KFold(3).split(X))[1:]).fit(X, Y)
    assert_allclose(ours.cv_scores_[:, 0], others.cv_scores_[:, 0])
    only = np.zeros((30, 1))
    only[5] = 1  # constant wherever it is held out, but for one fold
    model = VoxelwiseRidgeCV(ALPHAS, cv=list(KFold(3).split(X))[1:]).fit(X, only)
    assert np.isnan(model.cv_scores_).all()
    assert model.alpha_ == [ALPHAS.max()]


def test_nothing_but_constants() -> None:
    X, _ = study(30, 10)
    for per_target in (True, False):
        with pytest.warns(RuntimeWarning, match="2 of 2 targets are constant"):
            model = VoxelwiseRidgeCV(alpha_per_target=per_target).fit(X, np.ones((30, 2)))
        assert np.isnan(model.alpha_).all()
        assert_allclose(model.predict(X), 1)
        assert np.isnan(model.score(X, np.ones((30, 2))))


# Errors


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_features_are_named_by_row(shape: Any, bad: float) -> None:
    X, Y = study(*shape)
    model = VoxelwiseRidgeCV().fit(X, Y)
    X[[4, 17], [2, 11]] = bad
    for given_X in (X, OnlySlices(X, rows=True)):
        with pytest.raises(ValueError, match=r"X has NaN or infinity in rows 4, 17: impute"):
            VoxelwiseRidgeCV().fit(given_X, Y)
        for store in ("coef", "dual"):
            fitted = clone(model).set_params(store=store).fit(*study(*shape))
            with pytest.raises(ValueError, match="NaN or infinity in rows 4, 17"):
                fitted.predict(given_X)


def test_errors() -> None:
    X, Y = study(20, 5)
    for alphas in ([0, 1], [-1.0], [np.nan], []):
        with pytest.raises(ValueError, match="alphas"):
            VoxelwiseRidgeCV(alphas).fit(X, Y)
    with pytest.raises(ValueError, match="y has 19 rows and X has 20"):
        VoxelwiseRidgeCV().fit(X, Y[1:])
    with pytest.raises(ValueError, match="dim 3"):
        VoxelwiseRidgeCV().fit(X, Y[:, :, None])
    with pytest.raises(TypeError, match="real numbers"):
        VoxelwiseRidgeCV().fit(X, OnlySlices(Y.astype("U9"), rows=True))
    with pytest.raises(ValueError, match="scoring"):
        VoxelwiseRidgeCV(scoring="mse").fit(X, Y)
    with pytest.raises(AttributeError, match="after fit"):
        _ = VoxelwiseRidgeCV().coef_
