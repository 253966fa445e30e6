"""LayerSearchCV instead of GridSearchCV, where no images are: what scikit-learn's tests ask.

All of scikit-learn's own tests of GridSearchCV run on LayerSearchCV, in a process of their own
because they need other settings of pytest. The tests below compare the two directly.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.validation import check_is_fitted

from skdnn import LayerSearchCV

X, y = make_classification(n_samples=61, n_features=5, flip_y=0.3, random_state=0)
FOLDS = StratifiedKFold(4, shuffle=True, random_state=0)

# scikit-learn's tests that ask for what LayerSearchCV does otherwise, on purpose.
OTHERWISE = {
    "test_unsupported_sample_weight_scorer": "error_score is 'raise'",
    "test_search_callbacks_receive_sample_weight": "error_score is 'raise'",
    "test_grid_search_correct_score_results": "the folds of an integer are shuffled",
    "test_custom_run_search": "the folds of an integer are shuffled",
}
# Others that take long and ask for more than one kind of search.
ELSEWHERE = "random or Random or Halving or sampler or array_api or weight_equivalence"
COLLECT = """
import importlib.util
from pathlib import Path
import sklearn.model_selection
from sklearn.experimental import enable_halving_search_cv
from skdnn import LayerSearchCV

file = importlib.util.find_spec("sklearn.model_selection.tests.test_search").origin
sklearn.model_selection.GridSearchCV, saved = LayerSearchCV, sklearn.model_selection.GridSearchCV
try:
    exec(compile(Path(file).read_text(encoding="utf-8"), file, "exec"), globals())
finally:
    sklearn.model_selection.GridSearchCV = saved
"""


@pytest.mark.slow
def test_scikit_learns_own_tests(tmp_path: Path) -> None:
    (tmp_path / "test_search.py").write_text(COLLECT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    not_asked = " or ".join([ELSEWHERE, *OTHERWISE])
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            f"not ({not_asked})",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:]
    assert int(re.findall(r"(\d+) passed", run.stdout)[0]) > 50


def both(estimator: Any, grid: Any, **options: Any) -> list[Any]:
    """The two searches, with the same folds."""
    options = {"cv": FOLDS, "error_score": "raise"} | options
    return [kind(clone(estimator), grid, **options) for kind in (LayerSearchCV, GridSearchCV)]


def assert_same(search: Any, reference: Any) -> None:
    """Everything but times."""
    assert search.cv_results_.keys() == reference.cv_results_.keys()
    for key, values in reference.cv_results_.items():
        if "time" not in key:
            assert_array_equal(search.cv_results_[key], values, err_msg=key)
    for name in ("best_index_", "best_score_", "best_params_", "n_splits_", "multimetric_"):
        assert hasattr(search, name) == hasattr(reference, name)
        assert getattr(search, name, None) == getattr(reference, name, None)


def _public(search: Any) -> set[str]:
    return {name for name in vars(search) if not name.startswith("_")}


SEARCHES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": (LinearSVC(), {"C": [0.01, 1.0]}, {}),
    "several grids": (SVC(), [{"C": [1, 2]}, {"kernel": ["linear"], "gamma": [1]}], {}),
    "pipeline": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        {
            "logisticregression__C": [0.1, 1.0],
            "standardscaler": [StandardScaler(with_std=False), StandardScaler()],
        },
        {"return_train_score": True},
    ),
    "two scores": (
        LogisticRegression(),
        {"C": [0.1, 1.0]},
        {"scoring": ["accuracy", "roc_auc"], "refit": "roc_auc"},
    ),
    "scores in a dict, no refit": (
        LogisticRegression(),
        {"C": [0.1, 1.0]},
        {"scoring": {"a": "accuracy", "b": "f1"}, "refit": False},
    ),
    "refit by a function": (LinearSVC(), {"C": [1.0, 2.0]}, {"refit": lambda results: 1}),
    "no refit": (LinearSVC(), {"C": [1.0, 2.0]}, {"refit": False}),
    "folds as a list": (LinearSVC(), {"C": [1.0]}, {"cv": list(FOLDS.split(X, y))}),
    "scoring by a function": (
        LinearSVC(),
        {"C": [1.0, 0.1]},
        {"scoring": lambda fitted, X, y: float(fitted.score(X, y) ** 2)},
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_the_same_as_grid_search(name):
    estimator, grid, options = SEARCHES[name]
    search, reference = (each.fit(X, y) for each in both(estimator, grid, **options))
    assert_same(search, reference)
    new = {"cache", "random_state"}
    assert _public(search) - new == _public(reference)
    methods = ("predict", "decision_function", "predict_proba", "predict_log_proba", "transform")
    for method in (*methods, "score_samples", "inverse_transform"):
        assert hasattr(search, method) == hasattr(reference, method), method
        if hasattr(reference, method):
            assert_array_equal(getattr(search, method)(X), getattr(reference, method)(X))
    assert is_classifier(search)
    if options.get("refit", True):
        assert search.score(X, y) == reference.score(X, y)
        assert_array_equal(search.classes_, reference.classes_)
        assert search.n_features_in_ == 5
    assert repr(search).startswith("LayerSearchCV(")


def test_pickle():
    search, reference = (each.fit(X, y) for each in both(LinearSVC(), {"C": [0.1, 1.0]}))
    again = pickle.loads(pickle.dumps(search))
    assert_same(again, reference)
    assert_array_equal(again.predict(X), reference.predict(X))


def test_two_processes():
    for each in zip(*(both(LinearSVC(), {"C": [0.01, 1]}, n_jobs=n) for n in (1, 2)), strict=True):
        assert_same(*(search.fit(X, y) for search in each))


def test_unfitted():
    search, reference = both(SVC(), {"C": [1, 2]})
    with pytest.raises(NotFittedError):
        check_is_fitted(search)
    for method in ("predict", "score"):
        arguments = (X, y) if method == "score" else (X,)
        with pytest.raises(NotFittedError):
            getattr(search, method)(*arguments)
    assert not hasattr(search, "n_features_in_")
    assert not hasattr(search, "classes_")
    assert hasattr(search, "predict")
    assert not hasattr(search, "transform")
    assert hasattr(search, "predict_proba") == hasattr(reference, "predict_proba")


@pytest.mark.parametrize("method", ["predict_proba", "score_samples", "transform"])
def test_a_method_that_is_not_there_is_told_alike(method):
    messages = []
    for search in both(LinearSVC(), {"C": [1.0]}):
        with pytest.raises(AttributeError) as caught:
            getattr(search.fit(X, y), method)
        cause = caught.value.__cause__
        messages.append((str(caught.value).split("has no")[1], str(cause)))
    assert messages[0] == messages[1]


def test_no_prediction_without_refit():
    for search in both(LinearSVC(), {"C": [1.0]}, refit=False):
        with pytest.raises(AttributeError):
            search.fit(X, y).predict(X)
        with pytest.raises(AttributeError, match="refit=False"):
            search.score(X, y)


def test_failing_candidates():
    grid = {"C": [1.0, -1.0]}
    found = both(LinearSVC(), grid, error_score=0.25)
    for search in found:
        with pytest.warns(FitFailedWarning):
            search.fit(X, y)
    assert_same(*found)
    with pytest.raises(ValueError, match="'C' parameter"):
        LayerSearchCV(LinearSVC(), grid).fit(X, y)


@pytest.mark.parametrize(
    ("grid", "error"),
    [({}, None), ({"C": "1"}, TypeError), ({"C": []}, ValueError), (1, ValueError)],
)
def test_grids_that_are_none(grid, error):
    for search in both(LinearSVC(), grid):
        if error is None:
            assert search.fit(X, y).best_params_ == {}
        else:
            with pytest.raises(error):
                search.fit(X, y)


@pytest.mark.parametrize(
    "params", [{"cache": 3}, {"random_state": "x"}, {"cv": "5"}, {"refit": 2.5}, {"n_jobs": 1.5}]
)
def test_parameters_are_validated(params):
    name = next(iter(params))
    with pytest.raises((ValueError, TypeError), match=name):
        LayerSearchCV(LinearSVC(), {"C": [1.0]}, **params).fit(X, y)


def test_groups_pandas_and_no_target():
    groups = np.arange(len(X)) % 6
    searches = both(LinearSVC(), {"C": [0.1, 1.0]}, cv=GroupKFold(3))
    assert_same(*(search.fit(X, y, groups=groups) for search in searches))
    frame, target = pd.DataFrame(X).rename(columns="x{}".format), pd.Series(y)
    found = [search.fit(frame, target) for search in both(LinearSVC(), {"C": [0.1, 1.0]})]
    assert_same(*found)
    assert_array_equal(found[0].feature_names_in_, found[1].feature_names_in_)
    folds = [(np.arange(40), np.arange(40, 61))]
    means = both(KMeans(random_state=0), {"n_clusters": [2, 3]}, cv=folds)
    assert_same(*(search.fit(X) for search in means))


def test_parameters_and_clones():
    search = LayerSearchCV(Ridge(), {"alpha": [1, 2]}, cache="folder", random_state=3, cv=4)
    assert set(search.get_params(deep=False)) - set(
        GridSearchCV(Ridge(), {}).get_params(deep=False)
    ) == {"cache", "random_state"}
    copy = clone(search.set_params(estimator__alpha=7.0))
    assert copy.get_params()["estimator__alpha"] == 7.0
    assert copy.get_params(deep=False).keys() == search.get_params(deep=False).keys()
    assert (copy.cache, copy.random_state, copy.cv) == ("folder", 3, 4)
    assert vars(copy).keys() == vars(search).keys()
    assert LayerSearchCV(Ridge(), {}).error_score == "raise"
