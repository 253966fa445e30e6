"""Folds on reduced features: the scores of the features themselves, to rounding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import FitFailedWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, Ridge, RidgeCV
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from helpers.searches import scores
from skdnn import RDM, ActivationStore, DNNFeatureExtractor, GramPCA, LayerSearchCV, RSAScorer
from skdnn.encoding import VoxelwiseRidgeCV
from skdnn.models import Model
from skdnn.rsa import CKAScorer

FOLDS = KFold(4, shuffle=True, random_state=1)
LAYERS = {"dnn__layer": ["0", "3", "1"]}  # 480, 6 and 480 units of 19 images
TINY = {"resize": (32, 40), "crop": None}
CENTRE = ("centre", StandardScaler(with_std=False))
RSA = ("rsa", RSAScorer())


def pipeline(model: Any, *steps: tuple[str, Any], double: bool = False, **params: Any) -> Pipeline:
    """`double` is for scikit-learn's searches: there, float32 rounds what is fitted to it."""
    exact = [("double", FunctionTransformer(np.float64))] if double else []
    own = [(name, clone(step, safe=False)) for name, step in steps]
    return Pipeline([("dnn", DNNFeatureExtractor(model, "3", **params)), *exact, *own])


def assert_equal(found: LayerSearchCV, reference: GridSearchCV, atol: float = 1e-10) -> None:
    for key, values in scores(reference).items():
        assert_allclose(found.cv_results_[key], values, rtol=0, atol=atol, err_msg=key)
    assert found.best_params_ == reference.best_params_


KNOWN: dict[str, tuple[list[tuple[str, Any]], dict[str, Any]]] = {
    "card": ([CENTRE, ("pca", GramPCA(5)), ("rdm", RDM("cosine")), RSA], {}),
    "exact correlation": (
        [CENTRE, ("pca", GramPCA(5, keep_correlation=True)), ("rdm", RDM()), RSA],
        {},
    ),
    "no components": ([CENTRE, ("rdm", RDM("correlation")), RSA], {}),
    "euclidean": ([("rdm", RDM("euclidean")), RSA], {}),
    "squares": ([("rdm", RDM("sqeuclidean")), RSA], {}),
    "gaussian": ([("rdm", RDM("gaussian", gamma=0.01)), RSA], {}),
    "features scored": (
        [("l2", Normalizer())],
        {"scoring": RSAScorer("pearson", detail=True), "refit": "score"},
    ),
    "cka": ([CENTRE], {"scoring": CKAScorer()}),
    "cka of components": ([("pca", GramPCA(4)), ("cka", CKAScorer("rbf"))], {}),
    "ridge": ([("ridge", Ridge(3.0))], {"return_train_score": True}),
    "ridge behind components": ([("pca", GramPCA(5)), ("ridge", Ridge())], {}),
    "exact pca": ([("pca", PCA(5, svd_solver="full")), ("ridge", Ridge())], {}),
    "whitened": ([("pca", PCA(3, svd_solver="full", whiten=True)), ("ridge", Ridge())], {}),
    "share of variance": ([("pca", GramPCA(0.7)), ("ridge", Ridge())], {}),
    "z-scored components": (
        [("pca", GramPCA(5)), ("z", StandardScaler()), ("ridge", Ridge())],
        {},
    ),
    "components of length 1": (
        [("pca", GramPCA(5)), ("l1", Normalizer("l1")), ("rdm", RDM("euclidean")), RSA],
        {},
    ),
    "svd": ([("svd", TruncatedSVD(4, algorithm="arpack")), ("ridge", Ridge())], {}),
    "penalties": (
        [("ridge", RidgeCV([0.1, 10.0, 1000.0]))],
        {"scoring": ["r2", "neg_mean_squared_error"], "refit": "r2"},
    ),
    "kernel": ([("kernel", KernelRidge())], {"scoring": make_scorer(r2_score)}),
    "radial kernel": ([("kernel", KernelRidge(kernel="rbf", gamma=0.001))], {}),
    "pls": ([("pls", PLSRegression(3, scale=False))], {}),
    "voxelwise": ([("ridge", VoxelwiseRidgeCV((0.1, 10.0), cv=3, dtype="float64"))], {}),
    "left out": ([("pca", "passthrough"), CENTRE, ("ridge", Ridge())], {}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_scores_are_those_of_the_features(name, paths, model, patterns):
    steps, options = KNOWN[name]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS, **options)
    search.fit(paths, patterns)
    assert search.reduction_ == ""
    plain = GridSearchCV(pipeline(model, *steps, double=True), LAYERS, cv=FOLDS, **options)
    assert_equal(search, plain.fit(paths, patterns))
    fitted = search.best_estimator_
    assert isinstance(fitted["dnn"], DNNFeatureExtractor)
    assert fitted["dnn"].transform(paths).shape[1] in (480, 6)


OTHERS: dict[str, tuple[list[tuple[str, Any]], dict[str, Any], str]] = {
    "z-scored units": ([("z", StandardScaler()), ("r", Ridge())], {}, r"'z' \(StandardScaler"),
    "sum of 1": ([("l1", Normalizer("l1")), ("r", Ridge())], {}, "'l1'"),
    "positive": ([("r", Ridge(positive=True))], {}, r"'r' \(Ridge\(positive=True"),
    "sag": ([("r", Ridge(solver="sag", random_state=0))], {}, "'r'"),
    "lasso": ([("r", Lasso(0.01))], {}, r"'r' \(Lasso"),
    "width by features": ([("k", KernelRidge(kernel="rbf"))], {}, "'k'"),
    "gaussian by features": ([("rdm", RDM("gaussian")), RSA], {}, "'rdm'"),
    "ranks": ([("rdm", RDM("spearman")), RSA], {}, "'rdm'"),
    "cityblock": ([("rdm", RDM("cityblock")), RSA], {}, "'rdm'"),
    "scaled pls": ([("pls", PLSRegression(2))], {}, "'pls'"),
    "features ranked": ([CENTRE], {"scoring": RSAScorer(metric="spearman")}, "'spearman'"),
    "own scorer": (
        [("r", Ridge())],
        {"scoring": lambda fitted, X, y: fitted.score(X, y)},
        "which may look at them",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_known_sees_the_features(name, paths, model, patterns, capsys):
    steps, options, message = OTHERS[name]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS, verbose=1, **options)
    search.fit(paths, patterns)
    assert pd.Series([search.reduction_]).str.contains(message).all(), search.reduction_
    assert f"all units: {search.reduction_}" in capsys.readouterr().err
    plain = GridSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS, **options)
    assert_equal(search, plain.fit(paths, patterns), atol=1e-12)


def test_signs_of_components_are_not_known(paths, model, patterns):
    steps = [("pca", PCA(4, svd_solver="full")), ("rdm", RDM("correlation")), RSA]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS)
    with pytest.warns(UserWarning, match="Signs of components") as said:
        search.fit(paths, patterns)
    assert "'rdm'" in search.reduction_
    assert [each.filename for each in said] == [__file__]  # once, where the user called


def test_random_solvers_are_exact(paths, model, patterns):
    """What scikit-learn approximates is given exactly, and does not hang on a seed."""
    found = []
    for solver, seed in (("randomized", 0), ("randomized", 1), ("full", 0)):
        steps = [("pca", PCA(4, svd_solver=solver, random_state=seed)), ("r", Ridge())]
        search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS).fit(paths, patterns)
        assert search.reduction_ == ""
        found.append(search.cv_results_["mean_test_score"])
        assert search.best_estimator_["pca"].svd_solver == solver
    for each in found[1:]:
        assert_array_equal(each, found[0])


class Claimed(TransformerMixin, BaseEstimator):
    """Says that coordinates do not count, which is true with ``power=1`` only."""

    invariant_to_isometry = True

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def fit(self, X: Any, y: Any = None) -> Claimed:
        return self

    def transform(self, X: Any) -> Any:
        return np.sign(X) * np.abs(X) ** self.power

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Mean(RegressorMixin, BaseEstimator):
    """Predicts by the mean unit of each image, which the ones keep; or by the largest."""

    invariant_to_isometry = True

    def __init__(self, largest: bool = False) -> None:
        self.largest = largest

    def fit(self, X: Any, y: Any) -> Mean:
        self.ridge_ = Ridge().fit(self._read(X), y)
        return self

    def predict(self, X: Any) -> Any:
        return self.ridge_.predict(self._read(X))

    def _read(self, X: Any) -> Any:
        by = np.max if self.largest else np.linalg.norm
        return by(X, axis=1, keepdims=True)


def test_estimators_of_others_say_so(paths, model, patterns):
    steps = [("own", Claimed()), ("mean", Mean())]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    plain = GridSearchCV(pipeline(model, *steps, double=True), LAYERS, cv=FOLDS)
    assert_equal(search, plain.fit(paths, patterns))


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([("own", Claimed(0.5)), ("r", Ridge())], "own"),
        ([("own", Claimed()), CENTRE, ("largest", Mean(largest=True))], "largest"),
        ([CENTRE, ("own", Claimed(3.0)), ("rdm", RDM("cosine")), RSA], "own"),
    ],
)
def test_a_false_claim_is_found_and_named(steps, name, paths, model, patterns):
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == f"the step {name!r} gives something else for them"
    plain = GridSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS)
    assert_equal(search, plain.fit(paths, patterns), atol=1e-12)


def test_a_false_claim_of_one_candidate_is_found(paths, model, patterns):
    grid = LAYERS | {"own__power": [1.0, 0.5]}
    own = pipeline(model, ("own", Claimed()), ("r", Ridge()))
    search = LayerSearchCV(own, grid, cv=FOLDS).fit(paths, patterns)
    assert "'own'" in search.reduction_


class NeedsWeights(Mean):
    """Cannot be tried without a parameter of fit."""

    def fit(self, X: Any, y: Any, sample_weight: Any) -> Mean:
        self.ridge_ = Ridge().fit(self._read(X), y, sample_weight)
        return self


def test_a_claim_that_cannot_be_tried_is_not_believed(paths, model, patterns):
    own = pipeline(model, ("mean", NeedsWeights(largest=True)))
    search = LayerSearchCV(own, LAYERS, cv=FOLDS)
    search.fit(paths, patterns, mean__sample_weight=np.linspace(1, 2, len(paths)))
    assert "TypeError" in search.reduction_


class Average(Mean):
    """By the mean over units, which hangs on how many there are."""

    def _read(self, X: Any) -> Any:
        return X.mean(axis=1, keepdims=True)


def test_a_claim_that_hangs_on_the_number_of_units_is_found(paths, model, patterns):
    own = pipeline(model, ("mean", Average()))
    search = LayerSearchCV(own, {"dnn__layer": ["0"]}, cv=FOLDS).fit(paths, patterns)
    assert "'mean'" in search.reduction_


def test_the_guard_tries_each_layer_and_each_setting(paths, model, patterns):
    """Components beyond the rank are arbitrary: with six units there are none, with 480 one."""
    steps = [("pca", GramPCA(whiten=True)), ("rdm", RDM("cosine")), RSA]
    for layers in (["3", "1"], ["1", "3"]):
        search = LayerSearchCV(pipeline(model, *steps), {"dnn__layer": layers}, cv=FOLDS)
        assert "'pca'" in search.fit(paths, patterns).reduction_
    whole = {"dnn": [DNNFeatureExtractor(model, "0")], "own": [Claimed(), Claimed(0.5)]}
    own = pipeline(model, ("own", Claimed()), ("r", Ridge()))
    assert "'own'" in LayerSearchCV(own, whole, cv=FOLDS).fit(paths, patterns).reduction_


def test_the_score_of_a_last_step_itself_is_not_known(paths, model, patterns):
    search = LayerSearchCV(pipeline(model, ("pca", GramPCA(3))), LAYERS, cv=FOLDS)
    search.fit(paths, patterns)
    assert "scores itself" in search.reduction_
    plain = GridSearchCV(pipeline(model, ("pca", GramPCA(3))), LAYERS, cv=FOLDS)
    assert_equal(search, plain.fit(paths, patterns), atol=1e-6)


class Learning(DNNFeatureExtractor):
    """Keeps the units that vary most among the images that it is fitted on."""

    def fit(self, X: Any, y: Any = None) -> Learning:
        super().fit(X, y)
        self.kept_ = np.argsort(super().transform(X).var(axis=0))[-30:]
        return self

    def transform(self, X: Any) -> Any:
        return super().transform(X)[:, self.kept_]


def test_an_extractor_of_ones_own_may_learn(paths, model, patterns):
    own = Pipeline([("dnn", Learning(model, "0")), ("r", Ridge())])
    found, plain = (
        kind(own, {"dnn__layer": ["0", "1"]}, cv=FOLDS).fit(paths, patterns)
        for kind in (LayerSearchCV, GridSearchCV)
    )
    assert "'dnn'" in found.reduction_
    assert_equal(found, plain, atol=1e-12)


def test_ties_of_dissimilarities_are_ties(paths, model, patterns):
    """Binary units give many equal distances, which rounding would tell apart."""
    layer = model.network[0]
    layer.weight.data[:], layer.bias.data[:] = 0, 0
    layer.weight.data[:, :, 2, 2] = 1e3  # whether a pixel is lighter than the mean, mostly
    model.network.insert(2, Sign())
    steps = [("rdm", RDM("euclidean")), RSA]
    grid = {"dnn__layer": ["2"]}
    search = LayerSearchCV(pipeline(model, *steps), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    plain = GridSearchCV(pipeline(model, *steps, double=True), grid, cv=FOLDS)
    features = DNNFeatureExtractor(model, "2").fit_transform(paths)
    assert set(np.unique(features)) == {0.0, 1.0}
    assert_equal(search, plain.fit(paths, patterns))


class Sign(torch.nn.Module):
    """One where there is something."""

    def forward(self, x):
        return torch.sign(x)


# What the features may be


def test_several_extractors_side_by_side(paths, model, witness, patterns):
    def both(double: bool) -> Pipeline:
        union = FeatureUnion(
            [
                ("a", DNNFeatureExtractor(model, "3")),
                ("b", make_pipeline(DNNFeatureExtractor(witness, "0"))),
            ],
            transformer_weights={"b": 0.5},
        )
        exact = [("double", FunctionTransformer(np.float64))] if double else []
        return Pipeline([("u", union), *exact, ("rdm", RDM("correlation")), RSA])

    grid = {"u__a__layer": ["0", "3"], "u__b__dnnfeatureextractor__layer": ["3", "1"]}
    search = LayerSearchCV(both(False), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    assert_equal(search, GridSearchCV(both(True), grid, cv=FOLDS).fit(paths, patterns))


def test_layers_side_by_side_and_models_of_a_grid(paths, model, witness, patterns):
    grid = {"dnn__model": [model, witness], "dnn__layer": [["0", "3"], "1"]}
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(model, ("r", Ridge()), double=True), grid, cv=FOLDS)
    assert_equal(search, reference.fit(paths, patterns))
    assert search.cv_results_["params"] == reference.cv_results_["params"]
    assert list(search.cv_results_["param_dnn__model"]) == [model, witness, model, witness]


def test_extractors_among_the_values(paths, model, witness, patterns):
    options = [DNNFeatureExtractor(model, "0"), DNNFeatureExtractor(witness, "1")]
    grid = {"dnn": options, "r__alpha": [1.0, 100.0]}
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(model, ("r", Ridge()), double=True), grid, cv=FOLDS)
    reference.fit(paths, patterns)
    assert_allclose(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=1e-10
    )
    assert all(each["dnn"] in options for each in search.cv_results_["params"])
    assert search.best_params_["dnn"] in options


def twins() -> list[Any]:
    """Two networks of one name and class."""
    networks = []
    for seed in (0, 5):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, stride=3), torch.nn.ReLU())
        networks.append(Model(network, TINY, name="tiny"))
    return networks


@pytest.mark.parametrize("how", ["one grid", "two grids", "two grids of extractors"])
def test_networks_of_one_name_are_two(how, paths, patterns):
    one, other = twins()
    grids: dict[str, Any] = {
        "one grid": {"dnn__model": [one, other], "dnn__layer": ["0"]},
        "two grids": [{"dnn__model": [each], "dnn__layer": ["0"]} for each in (one, other)],
        "two grids of extractors": [
            {"dnn": [DNNFeatureExtractor(each, "0")]} for each in (one, other)
        ],
    }
    grid = grids[how]
    search = LayerSearchCV(pipeline(one, ("r", Ridge())), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(one, ("r", Ridge()), double=True), grid, cv=FOLDS)
    reference.fit(paths, patterns)
    key = "mean_test_score"
    assert abs(np.diff(reference.cv_results_[key])[0]) > 1e-3
    assert_allclose(search.cv_results_[key], reference.cv_results_[key], atol=1e-10)
    assert search.best_index_ == reference.best_index_


def test_weights_of_a_union_count(paths, model, patterns):
    union = FeatureUnion(
        [("a", DNNFeatureExtractor(model, "0")), ("b", DNNFeatureExtractor(model, "3"))]
    )
    grid = {"u__transformer_weights": [{"b": 0.01}, {"b": 10.0}]}
    search = LayerSearchCV(Pipeline([("u", union), ("r", Ridge())]), grid, cv=FOLDS)
    search.fit(paths, patterns)
    assert search.reduction_ == ""
    exact = ("double", FunctionTransformer(np.float64))
    reference = GridSearchCV(Pipeline([("u", union), exact, ("r", Ridge())]), grid, cv=FOLDS)
    assert_equal(search, reference.fit(paths, patterns))
    assert abs(np.diff(search.cv_results_["mean_test_score"])[0]) > 1e-3


def test_steps_of_a_grid(paths, model, patterns):
    steps = [("pca", GramPCA(4)), ("r", Ridge())]
    grid = LAYERS | {"pca": [PCA(3, svd_solver="full"), "passthrough"], "r": [Ridge(), RidgeCV()]}
    search = LayerSearchCV(pipeline(model, *steps), grid, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(model, *steps, double=True), grid, cv=FOLDS)
    reference.fit(paths, patterns)
    assert_allclose(
        search.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=1e-10
    )
    mixed = LAYERS | {"r": [Ridge(), Lasso()]}
    seen = LayerSearchCV(pipeline(model, *steps), mixed, cv=FOLDS).fit(paths, patterns)
    assert "Lasso" in seen.reduction_


def test_equal_images_and_conditions_of_several(paths, model, patterns):
    images = [*paths[:12], paths[3], paths[3], *paths[12:17]]
    y = patterns.to_numpy()
    steps = [("rdm", RDM("euclidean")), RSA]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS).fit(images, y)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(model, *steps, double=True), LAYERS, cv=FOLDS)
    assert_equal(search, reference.fit(images, y))
    several = [[paths[k], paths[k + 1]] for k in range(18)]
    search.fit(several, y[:18])
    assert_equal(search, reference.fit(several, y[:18]))


def test_constant_features_stay_undefined(paths, model, patterns):
    """A correlation with an image whose units are all alike is not a number, then as before."""

    def flat(kind: Any, double: bool) -> Any:
        network = model.network
        network[0].weight.data[:], network[0].bias.data[:] = 0, 1
        own = pipeline(model, ("rdm", RDM("correlation")), RSA, double=double)
        with pytest.warns(RuntimeWarning, match="constant"):
            return kind(own, {"dnn__layer": ["0"]}, cv=FOLDS, error_score=np.nan).fit(
                paths, patterns
            )

    found, reference = flat(LayerSearchCV, False), flat(GridSearchCV, True)
    assert found.reduction_ == ""
    assert_array_equal(
        found.cv_results_["split0_test_score"], reference.cv_results_["split0_test_score"]
    )
    assert np.isnan(found.cv_results_["split0_test_score"]).all()


def test_a_store_of_half_precision(paths, model, patterns, tmp_path):
    store = ActivationStore(tmp_path, dtype="float16")
    steps = [("rdm", RDM("correlation")), RSA]
    own = pipeline(model, *steps, cache=store)
    search = LayerSearchCV(own, LAYERS, cv=FOLDS).fit(paths, patterns)
    assert search.reduction_ == ""
    reference = GridSearchCV(pipeline(model, *steps, double=True, cache=store), LAYERS, cv=FOLDS)
    assert_equal(search, reference.fit(paths, patterns))


def test_features_that_are_not_finite_are_seen(paths, model, patterns):
    model.network[0].bias.data[:] = np.inf
    own = pipeline(model, ("r", Ridge()))
    search = LayerSearchCV(own, {"dnn__layer": ["0"]}, cv=FOLDS)
    with pytest.raises(ValueError, match=r"infinity|NaN"):
        search.fit(paths, patterns)


# How the search goes


def test_each_layer_is_read_once(paths, model, patterns, monkeypatch):
    reads: Counter[str] = Counter()
    transform = DNNFeatureExtractor.transform

    def count(self: Any, X: Any) -> Any:
        reads[self.layer] += 1
        return transform(self, X)

    monkeypatch.setattr(DNNFeatureExtractor, "transform", count)
    grid = LAYERS | {"r__alpha": [0.1, 1.0, 10.0]}
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), grid, cv=KFold(9))
    search.fit(paths, patterns)
    best = search.best_params_["dnn__layer"]
    assert reads == Counter({"0": 1, "3": 1, "1": 1}) + Counter({best: 1})  # it is refitted


def test_nested(paths, model, patterns):
    steps = [CENTRE, ("pca", GramPCA(4)), ("r", Ridge())]
    outer = KFold(3, shuffle=True, random_state=0)
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS)
    nested = cross_validate(search, paths, patterns, cv=outer)
    plain = GridSearchCV(pipeline(model, *steps, double=True), LAYERS, cv=FOLDS)
    reference = cross_validate(plain, paths, patterns, cv=outer)
    assert_allclose(nested["test_score"], reference["test_score"], atol=1e-5)


@pytest.mark.slow
def test_two_processes(paths, model, patterns):
    steps = [CENTRE, ("pca", GramPCA(4)), ("r", Ridge())]
    search = LayerSearchCV(pipeline(model, *steps), LAYERS, cv=FOLDS, n_jobs=2)
    plain = GridSearchCV(pipeline(model, *steps, double=True), LAYERS, cv=FOLDS)
    assert_equal(search.fit(paths, patterns), plain.fit(paths, patterns))
    assert search.reduction_ == ""


def test_names_of_a_table_are_known(paths, model):
    """The one column that the first step saw, as by any search."""
    table = pd.DataFrame({"image": paths})
    head = ColumnTransformer([("a", DNNFeatureExtractor(model, "0"), "image")])
    own = Pipeline([("columns", head), ("r", Ridge())])
    y = np.random.default_rng(0).normal(size=(len(paths), 2))
    found, reference = (
        kind(own, {"columns__a__layer": ["0", "1"]}, cv=FOLDS).fit(table, y)
        for kind in (LayerSearchCV, GridSearchCV)
    )
    assert found.reduction_ == ""
    assert list(found.feature_names_in_) == list(reference.feature_names_in_) == ["image"]
    assert found.n_features_in_ == reference.n_features_in_ == 1


def test_very_many_images_see_the_features(paths, model, patterns, monkeypatch):
    monkeypatch.setattr("skdnn._search._reduced_features.MOST", 18)
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), LAYERS, cv=FOLDS)
    assert search.fit(paths, patterns).reduction_ == "there are 19 images, more than 18"
    assert search.fit(paths[:18], patterns[:18]).reduction_ == ""


def test_nothing_is_left_behind(paths, model, patterns, own_temporary_folder, tmp_path):
    own = pipeline(model, ("r", Ridge()))
    before = dict(vars(own["dnn"]))
    search = LayerSearchCV(own, LAYERS, cv=FOLDS, cache=tmp_path).fit(paths, patterns)
    assert list(own_temporary_folder.iterdir()) == []
    assert search.estimator is own
    assert vars(own["dnn"]) == before
    with pytest.raises(ValueError, match="alpha"):
        LayerSearchCV(own, {"r__alpha": [-1.0]}, cv=FOLDS, cache=tmp_path).fit(paths, patterns)
    assert list(own_temporary_folder.iterdir()) == []


def test_a_table_with_names_sees_the_features(paths, model, patterns):
    own = pipeline(model, CENTRE, ("r", Ridge())).set_output(transform="pandas")
    search = LayerSearchCV(own, LAYERS, cv=FOLDS).fit(paths, patterns)
    assert "'dnn'" in search.reduction_
    assert search.best_estimator_["centre"].feature_names_in_[0].endswith("_0")


class Interrupted(Ridge):
    """Somebody stops it when it sees all units of all images."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        if X.shape == (19, 480):
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)

    invariant_to_isometry = True


def test_an_interrupted_refit_leaves_no_results(paths, model, patterns):
    search = LayerSearchCV(pipeline(model, ("r", Interrupted())), {"dnn__layer": ["0"]}, cv=FOLDS)
    with pytest.raises(KeyboardInterrupt):
        search.fit(paths, patterns)
    assert not {"cv_results_", "best_estimator_", "reduction_"} & vars(search).keys()


def test_a_fit_without_extractors_forgets_the_one_before(paths, model, patterns):
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), LAYERS, cv=FOLDS)
    search.fit(paths, patterns)
    assert len(search.layer_profile_) == 3
    search.set_params(estimator=Ridge(), param_grid={"alpha": [1.0, 2.0]})
    search.fit(np.random.default_rng(0).normal(size=(19, 4)), patterns)
    assert not hasattr(search, "reduction_")
    with pytest.raises(AttributeError, match="no axis of layers"):
        _ = search.layer_profile_


def test_a_layer_that_fails_is_told_in_few_lines(paths, model, patterns):
    own = pipeline(model, ("r", Ridge()))
    search = LayerSearchCV(own, {"dnn__layer": ["0", "nonsense"]}, cv=KFold(9), error_score=np.nan)
    with pytest.warns(FitFailedWarning) as said:
        search.fit(paths, patterns)
    assert search.reduction_ == ""
    told = str(said[0].message)
    assert "9 fits failed with the following error" in told
    assert len(told) < 5000


class OnlyTheLast(LayerSearchCV):
    """A search that has a way of its own through the grid."""

    def _run_search(self, evaluate_candidates: Any, **options: Any) -> None:
        evaluate_candidates([{"dnn__layer": "1", "r__alpha": 5.0}])


def test_a_search_of_ones_own_keeps_what_it_evaluated(paths, model, patterns):
    own = pipeline(model, ("r", Ridge()))
    search = OnlyTheLast(own, LAYERS | {"r__alpha": [1.0]}, cv=FOLDS).fit(paths, patterns)
    assert search.cv_results_["params"] == [{"dnn__layer": "1", "r__alpha": 5.0}]
    assert search.best_estimator_["r"].alpha == 5.0
    assert "way of its own" in search.reduction_


def test_numbers_of_a_grid_stay_numbers(paths, model, patterns):
    grid = {"dnn__batch_size": np.array([4, 8]), "dnn__layer": ["0"]}
    found, plain = (
        kind(pipeline(model, ("r", Ridge())), grid, cv=FOLDS).fit(paths, patterns)
        for kind in (LayerSearchCV, GridSearchCV)
    )
    name = "param_dnn__batch_size"
    assert found.reduction_ == ""
    assert found.cv_results_[name].dtype == plain.cv_results_[name].dtype


class Watcher:
    """A callback that remembers whom it saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.sizes: set[Any] = set()

    def setup(self, estimator: Any, context: Any) -> None:
        self.seen.append(estimator)

    def teardown(self, estimator: Any, context: Any) -> None:
        self.seen.append(estimator)

    def on_fit_task_begin(self, estimator: Any, context: Any, *, X: Any = None) -> None:
        self.seen.append(estimator)
        self.sizes.add(None if X is None else len(X))

    def on_fit_task_end(self, estimator: Any, context: Any, *, y: Any = None) -> None:
        self.seen.append(estimator)
        self.sizes.add(None if y is None else len(y))


@pytest.mark.parametrize("step", [CENTRE, ("z", StandardScaler())], ids=["reduced", "seen"])
def test_callbacks_see_the_search_itself(step, paths, model, patterns):
    pytest.importorskip("sklearn.callback")
    watcher = Watcher()
    search = LayerSearchCV(pipeline(model, step, ("r", Ridge())), LAYERS, cv=FOLDS)
    search.set_callbacks(watcher).fit(paths, patterns)
    assert all(each is search for each in watcher.seen)
    assert len(watcher.seen) > 2 * 3 * 4
    assert len(paths) in watcher.sizes
    assert search._skl_callbacks == [watcher]


def test_labels_are_checked_all_the_same(paths, model, patterns):
    wrong = patterns.rename(index={Path(paths[0]).stem: "somebody else"})
    search = LayerSearchCV(pipeline(model, ("r", Ridge())), LAYERS, cv=FOLDS)
    with pytest.raises(ValueError, match="somebody else"):
        search.fit(paths, wrong)
