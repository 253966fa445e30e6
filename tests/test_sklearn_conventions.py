"""Every estimator of ours, in one place, against scikit-learn's conventions.

scikit-learn's `check_estimator` runs no more than one check on estimators whose X is no 2-D
array, and reports success. So its checks that make no X of their own run here one by one, on
every estimator, and what the others look for is asked again below, on images and on RDMs.
(`RDM` takes 2-D arrays, and goes through all of `check_estimator` in its own tests.)
"""

from __future__ import annotations

import atexit
import inspect
import os
import pickle
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, estimator_html_repr
from sklearn.utils.validation import check_is_fitted
from torch import nn

import skdnn
import skdnn.encoding
import skdnn.rsa
from skdnn import (
    RDM,
    CLIPTextEncoder,
    DNNClassifier,
    DNNFeatureExtractor,
    GramPCA,
    LayerSearchCV,
    RSAScorer,
    ThingsAlignment,
)
from skdnn.encoding import (
    BandedRidgeCV,
    BrainHierarchyScore,
    LayerwiseEncoder,
    SelectKBestRidge,
    VoxelwiseRidgeCV,
)
from skdnn.models import Model
from skdnn.rsa import CKAScorer, FeatureReweightedRSA, LayerMixtureRSA


def tiny_model() -> Model:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 12, 6)
    )
    return Model(network, {"resize": (32, 40), "crop": None})


PUBLIC = (skdnn, skdnn.rsa, skdnn.encoding)
MODEL = tiny_model()
PATTERNS = np.random.default_rng(0).normal(size=(9, 5))
TARGET = np.random.default_rng(1).normal(size=(9, 7))


def transform_file(seed: int) -> Path:
    """Of a kind that is published."""
    path = Path(tempfile.gettempdir()) / f"skdnn-transform-{os.getpid()}-{seed}.npz"
    weights = np.random.default_rng(seed).normal(size=(5, 3))
    np.savez(path, mean=0.5, std=2.0, weights=weights)
    atexit.register(path.unlink, missing_ok=True)
    return path


@dataclass(frozen=True)
class Case:
    """An estimator with parameters, and what it takes."""

    estimator: BaseEstimator
    method: str
    other_params: dict[str, Any]
    make_X: Callable[[list[str]], Any]
    y: np.ndarray | None = None

    def call(self, fitted: Any, X: Any) -> Any:
        method = getattr(fitted, self.method)
        return method(X, self.y) if self.method == "score" else method(X)


# Every estimator, with parameters that are not its defaults. Add new ones here.
CASES = {
    "CLIPTextEncoder": Case(
        CLIPTextEncoder("open_clip/ViT-S-32-alt", weights=None),
        "transform",
        {"normalize": True},
        lambda paths: [f"a picture of a {Path(path).stem}" for path in paths],
    ),
    "DNNFeatureExtractor": Case(
        DNNFeatureExtractor(MODEL, ["0", "3"], batch_size=4),
        "transform",
        {"layer": "1", "pooling": "mean"},
        lambda paths: paths,
    ),
    "DNNFeatureExtractor by name": Case(
        DNNFeatureExtractor("squeezenet1_1", "features.0", weights=None, pooling="mean"),
        "transform",
        {"layer": "features.2"},
        lambda paths: paths,
    ),
    "DNNClassifier": Case(
        DNNClassifier(MODEL, classes=list("abcdef"), batch_size=4),
        "predict_proba",
        {"preprocess": {"resize": (32, 40), "crop": None, "mean": (0.0, 0.0, 0.0)}},
        lambda paths: paths,
    ),
    "DNNClassifier by name": Case(
        DNNClassifier("squeezenet1_1", weights=None, random_state=1),
        "predict_proba",
        {"random_state": 2},
        lambda paths: paths,
    ),
    "RDM": Case(RDM("euclidean"), "transform", {"metric": "cosine"}, lambda _: PATTERNS),
    "GramPCA": Case(GramPCA(3, whiten=True), "transform", {"n_components": 2}, lambda _: PATTERNS),
    "ThingsAlignment": Case(
        ThingsAlignment(transform_file(0)),
        "transform",
        {"path": transform_file(1)},
        lambda _: PATTERNS,
    ),
    "LayerSearchCV": Case(
        LayerSearchCV(
            make_pipeline(DNNFeatureExtractor(MODEL, "3"), Ridge()),
            {"dnnfeatureextractor__layer": ["1", "3"]},
            cv=3,
        ),
        "score",
        {"param_grid": {"dnnfeatureextractor__layer": ["0"]}},
        lambda paths: paths,
        TARGET,
    ),
    "CKAScorer": Case(
        CKAScorer("rbf", gamma=0.1), "score", {"kernel": "linear"}, lambda _: PATTERNS, TARGET
    ),
    "FeatureReweightedRSA": Case(
        FeatureReweightedRSA(alphas=[0.1, 10.0], cv=3, random_state=0),
        "score",
        {"nonnegative": True},
        lambda _: PATTERNS,
        TARGET,
    ),
    "LayerwiseEncoder": Case(
        LayerwiseEncoder([1.0, 10.0], layers=["a", "a", "b", "b", "b"], cv=3),
        "predict",
        {"select": "stack"},
        lambda _: PATTERNS,
        TARGET,
    ),
    "VoxelwiseRidgeCV": Case(
        VoxelwiseRidgeCV([1.0, 10.0], cv=3),
        "predict",
        {"alphas": [5.0]},
        lambda _: PATTERNS,
        TARGET,
    ),
    "BandedRidgeCV": Case(
        BandedRidgeCV([1.0, 10.0], layers=["a", "a", "b", "b", "b"], n_iter=4, cv=3),
        "predict",
        {"n_iter": 2},
        lambda _: PATTERNS,
        TARGET,
    ),
    "SelectKBestRidge": Case(
        SelectKBestRidge(1, 2), "predict", {"k": 3}, lambda _: PATTERNS, TARGET
    ),
    "LayerMixtureRSA": Case(
        LayerMixtureRSA("pearson", groups=[0, 0, 0, 1, 1]),
        "score",
        {"metric": "euclidean"},
        lambda _: PATTERNS,
        PATTERNS + TARGET[:, :5],  # unrelated layers would have no weights
    ),
    "RSAScorer": Case(
        RSAScorer("kendall", metric="euclidean"),
        "score",
        {"comparison": "pearson"},
        lambda _: RDM().fit_transform(PATTERNS),
        TARGET,
    ),
}
# Estimators whose `fit` takes training and test data together, which none of the checks below
# could call; their own tests ask the same. scikit-learn's checks without X run on them here.
STUDIES = {"BrainHierarchyScore": BrainHierarchyScore(direction="decoding")}
NO_X_CHECKS = [
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.mark.parametrize(
    "estimator",
    [*(case.estimator for case in CASES.values()), *STUDIES.values()],
    ids=[*CASES, *STUDIES],
)
@pytest.mark.parametrize("name", [n for n in NO_X_CHECKS if hasattr(estimator_checks, n)])
def test_scikit_learns_own_checks_that_need_no_X(estimator: BaseEstimator, name: str) -> None:
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


def test_most_of_these_checks_exist() -> None:
    """They have changed names before: silently checking nothing must not happen."""
    assert sum(hasattr(estimator_checks, name) for name in NO_X_CHECKS) >= len(NO_X_CHECKS) - 1


def test_every_estimator_is_listed() -> None:
    public = [getattr(module, name) for module in PUBLIC for name in module.__all__]
    estimators = {o for o in public if inspect.isclass(o) and issubclass(o, BaseEstimator)}
    listed = [case.estimator for case in CASES.values()] + list(STUDIES.values())
    assert estimators == {type(estimator) for estimator in listed}


@each_case
def test_fit_returns_self_and_can_be_repeated(case: Case, image_paths: list[str]) -> None:
    estimator = clone(case.estimator)
    X = case.make_X(image_paths)
    assert estimator.fit(X, case.y) is estimator
    first = case.call(estimator, X)
    assert_array_equal(case.call(estimator.fit(X, case.y), X), first)
    assert_array_equal(case.call(clone(estimator).fit(X, case.y), X), first)
    if case.method == "transform":
        assert_array_equal(clone(estimator).fit_transform(X, case.y), first)


@each_case
def test_unfitted(case: Case, image_paths: list[str]) -> None:
    estimator = clone(case.estimator)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    with pytest.raises(NotFittedError):
        case.call(estimator, case.make_X(image_paths))
    check_is_fitted(estimator.fit(case.make_X(image_paths), case.y))


@each_case
@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_pickle_after_fit(case: Case, how: str, image_paths: list[str], tmp_path: Any) -> None:
    X = case.make_X(image_paths)
    fitted = clone(case.estimator).fit(X, case.y)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "fitted.joblib")
        again = joblib.load(tmp_path / "fitted.joblib")
    assert_array_equal(case.call(again, X), case.call(fitted, X))
    assert vars(again).keys() == vars(fitted).keys()


@each_case
def test_a_call_changes_nothing_in_the_estimator(case: Case, image_paths: list[str]) -> None:
    X = case.make_X(image_paths)
    fitted = clone(case.estimator).fit(X, case.y)
    params = fitted.get_params()
    before = dict(vars(fitted))
    values = {k: pickle.dumps(v) for k, v in before.items() if k != "model"}
    case.call(fitted, X)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[k] is v for k, v in before.items())
    assert {k: pickle.dumps(vars(fitted)[k]) for k in values} == values
    assert fitted.get_params() == params


@each_case
def test_fit_keeps_parameters_and_sets_only_fitted_attributes(
    case: Case, image_paths: list[str]
) -> None:
    estimator = clone(case.estimator)
    before = dict(vars(estimator))
    estimator.fit(case.make_X(image_paths), case.y)
    assert all(vars(estimator)[k] is v for k, v in before.items())
    new = vars(estimator).keys() - before.keys()
    assert all(name.startswith("_") != name.endswith("_") for name in new), new


@each_case
def test_inputs_are_left_as_they_were(case: Case, image_paths: list[str]) -> None:
    X = case.make_X(image_paths)
    copy = pickle.loads(pickle.dumps((X, case.y)))
    case.call(clone(case.estimator).fit(X, case.y), X)
    assert_array_equal(X, copy[0])
    if case.y is not None:
        assert_array_equal(case.y, copy[1])


@each_case
def test_refit_with_other_parameters_forgets_the_first(case: Case, image_paths: list[str]) -> None:
    X = case.make_X(image_paths)
    fitted = clone(case.estimator).fit(X, case.y)
    first = case.call(fitted, X)
    fitted.set_params(**case.other_params).fit(X, case.y)
    fresh = clone(fitted).fit(X, case.y)
    second = case.call(fitted, X)
    assert_array_equal(second, case.call(fresh, X))
    assert vars(fitted).keys() == vars(fresh).keys()
    assert np.shape(first) != np.shape(second) or np.abs(first - second).max() > 1e-6


@each_case
def test_every_parameter_and_fitted_attribute_is_documented(
    case: Case, image_paths: list[str]
) -> None:
    kind = type(case.estimator)
    doc = pytest.importorskip("numpydoc.docscrape").ClassDoc(kind)
    documented = [p.name for p in doc["Parameters"]]
    assert documented == list(inspect.signature(kind).parameters)
    defaults = {n: p.default for n, p in inspect.signature(kind).parameters.items()}
    for parameter in doc["Parameters"]:
        if defaults[parameter.name] is inspect.Parameter.empty:
            continue
        stated = re.search(r"default=(.+)$", parameter.type)
        assert stated is not None, parameter.name
        assert stated[1] == repr(defaults[parameter.name]).replace("'", '"'), parameter.name
    named = kind in (RDM, GramPCA)
    X = pd.DataFrame(PATTERNS).rename(columns=str) if named else case.make_X(image_paths)
    fitted = clone(case.estimator).fit(X, case.y)
    set_by_fit = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    known = {p.name for p in doc["Attributes"]}
    # Properties lie in the class; names of features are there where X has a table's columns.
    known -= {name for name in known if isinstance(getattr(kind, name, None), property)}
    assert known - {"feature_names_in_"} == set_by_fit - {"feature_names_in_"}


@each_case
def test_parameter_constraints_name_parameters(case: Case) -> None:
    assert type(case.estimator)._parameter_constraints.keys() <= case.estimator.get_params().keys()


@each_case
def test_metadata_routing_can_be_switched_on(case: Case, image_paths: list[str]) -> None:
    X = case.make_X(image_paths)
    expected = case.call(clone(case.estimator).fit(X, case.y), X)
    with sklearn.config_context(enable_metadata_routing=True):
        fitted = clone(case.estimator).fit(X, case.y)
        fitted.get_metadata_routing()
        assert_array_equal(case.call(fitted, X), expected)


@each_case
def test_html(case: Case) -> None:
    html = estimator_html_repr(case.estimator)
    assert type(case.estimator).__name__ in html
    assert len(html) < 100_000


# The extractor: what scikit-learn asks of transformers


@pytest.fixture
def fitted(image_paths: list[str]) -> DNNFeatureExtractor:
    return clone(CASES["DNNFeatureExtractor"].estimator).fit(image_paths)


def test_subset_and_order_invariance(fitted: Any, image_paths: list[str]) -> None:
    whole = fitted.transform(image_paths)
    one_by_one = np.vstack([fitted.transform([path]) for path in image_paths])
    assert_allclose(one_by_one, whole, rtol=1e-5, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(image_paths))
    shuffled = fitted.transform([image_paths[i] for i in order])
    assert_allclose(shuffled, whole[order], rtol=1e-5, atol=1e-6)


def test_features_do_not_depend_on_the_images_of_fit(fitted: Any, image_paths: list[str]) -> None:
    other = clone(fitted).fit(image_paths[:1])
    assert_array_equal(other.transform(image_paths), fitted.transform(image_paths))


def test_feature_names_match_the_columns(fitted: Any, image_paths: list[str]) -> None:
    for layer in ("3", ["1", "3"], "0"):
        fitted.set_params(layer=layer).fit(image_paths)
        names = fitted.get_feature_names_out()
        assert names.dtype == object
        assert len(set(names)) == len(names) == fitted.transform(image_paths).shape[1]
    with pytest.raises(NotFittedError):
        clone(fitted).get_feature_names_out()


def test_set_output(fitted: Any, image_paths: list[str]) -> None:
    plain = fitted.transform(image_paths)
    assert isinstance(plain, np.ndarray)
    assert plain.dtype == np.float32
    assert fitted.set_output(transform="pandas") is fitted
    frame = fitted.transform(image_paths)
    assert_array_equal(frame.to_numpy(), plain)
    assert (frame.dtypes == np.float32).all()
    assert frame.columns.tolist() == fitted.get_feature_names_out().tolist()
    assert_array_equal(clone(fitted).fit_transform(image_paths).to_numpy(), plain)
    assert isinstance(fitted.set_output(transform="default").transform(image_paths), np.ndarray)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(clone(fitted.set_output()).fit_transform(image_paths), np.ndarray)
        fresh = clone(CASES["DNNFeatureExtractor"].estimator)
        assert isinstance(fresh.fit_transform(image_paths), pd.DataFrame)


def test_the_next_step_counts_and_names_its_features(fitted: Any, image_paths: list[str]) -> None:
    pipeline = make_pipeline(fitted, StandardScaler()).set_output(transform="pandas")
    pipeline.fit(image_paths)
    assert pipeline[-1].n_features_in_ == len(fitted.get_feature_names_out())
    pipeline.set_params(dnnfeatureextractor__layer="3").fit(image_paths)
    assert pipeline[-1].n_features_in_ == 6
    assert pipeline.get_feature_names_out().tolist() == [f"3_{unit}" for unit in range(6)]


def test_tags() -> None:
    extractor = sklearn.utils.get_tags(DNNFeatureExtractor())
    assert extractor.input_tags.string
    assert not extractor.input_tags.two_d_array
    assert not extractor.target_tags.required
    assert sklearn.utils.get_tags(RSAScorer()).target_tags.required
    assert not sklearn.utils.get_tags(RDM()).target_tags.required
