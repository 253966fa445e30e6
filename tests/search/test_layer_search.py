"""LayerSearchCV on images: the same results as GridSearchCV, and no image twice."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy.spatial.distance import pdist, squareform
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (the import does it)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from helpers.searches import assert_same_results
from skdnn import DNNFeatureExtractor, LayerSearchCV
from skdnn.models import Model
from skdnn.rsa import RDM, RSAScorer

N = 19
FOLDS = KFold(4, shuffle=True, random_state=1)
LAYERS = {"dnn__layer": ["3", "0", "1"]}


def dnn(model: Model, layer: str = "3", **params: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(model, layer, **params)


def encoding(model: Model, **params: Any) -> Pipeline:
    return Pipeline([("dnn", dnn(model, "3", **params)), ("ridge", Ridge())])


def forwarded(search: LayerSearchCV) -> int:
    """Images forwarded for its temporary store."""
    return search._temporary.open().stats["images_forwarded"]


# The same results, and one pass


def test_each_image_goes_through_the_network_once(paths, witness, met, patterns):
    grid = LAYERS | {"dnn__pooling": ["flatten"], "ridge__alpha": [0.1, 10.0]}
    search = LayerSearchCV(encoding(witness), grid, cv=FOLDS, return_train_score=True)
    search.fit(paths, patterns)
    assert len(met) == N
    assert set(met.values()) == {1}
    assert forwarded(search) == N
    reference = GridSearchCV(encoding(witness), grid, cv=FOLDS, return_train_score=True)
    assert_same_results(search, reference.fit(paths, patterns))
    assert min(met.values()) > 10  # what it is without the store
    assert search.best_params_ == reference.best_params_
    assert_allclose(search.predict(paths), reference.predict(paths), rtol=1e-6, atol=1e-9)
    assert search.score(paths, patterns) == pytest.approx(reference.score(paths, patterns))


def test_poolings_and_models_of_a_grid(paths, model, witness, met, patterns):
    grid = [
        {"dnn__layer": ["0", "1"], "dnn__pooling": ["mean", "max"]},
        {"dnn__model": [model, witness], "dnn__layer": ["3", "2"]},
    ]
    search = LayerSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns)
    assert set(met.values()) == {1}
    assert forwarded(search) == 2 * N
    assert_same_results(search, GridSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns))


@pytest.mark.slow
def test_two_processes(paths, model, patterns):
    grid = LAYERS | {"ridge__alpha": [0.1, 1.0]}
    search = LayerSearchCV(encoding(model), grid, cv=FOLDS, n_jobs=2).fit(paths, patterns)
    assert forwarded(search) == N
    assert_same_results(search, GridSearchCV(encoding(model), grid, cv=FOLDS).fit(paths, patterns))


def test_rsa_over_layers(paths, model, patterns):
    square = squareform(pdist(patterns.to_numpy(), "correlation"))
    rdm = pd.DataFrame(square, index=patterns.index, columns=patterns.index)
    pipeline = Pipeline(
        [
            ("dnn", dnn(model)),
            ("pca", PCA(3, svd_solver="full")),
            ("rdm", RDM()),
            ("rsa", RSAScorer()),
        ]
    )
    grid = LAYERS | {"rdm__metric": ["correlation", "euclidean"]}
    search = LayerSearchCV(pipeline, grid, cv=FOLDS).fit(paths, rdm)
    assert_same_results(search, GridSearchCV(pipeline, grid, cv=FOLDS).fit(paths, rdm))


@pytest.mark.parametrize("refit", ["r2", False, lambda results: 2])
def test_several_scores_and_forms_of_refit(refit, paths, model, patterns):
    options = {"scoring": ["r2", "neg_mean_squared_error"], "refit": refit, "cv": FOLDS}
    search = LayerSearchCV(encoding(model), LAYERS, **options).fit(paths, patterns)
    reference = GridSearchCV(encoding(model), LAYERS, **options).fit(paths, patterns)
    assert_same_results(search, reference)
    assert hasattr(search, "best_estimator_") == hasattr(reference, "best_estimator_")
    if refit:
        assert search.best_params_ is search.cv_results_["params"][reference.best_index_]


def test_images_in_memory(model):
    images = np.random.default_rng(0).integers(0, 256, (12, 40, 50, 3), dtype=np.uint8)
    y = np.random.default_rng(1).normal(size=12)
    search = LayerSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(images, y)
    assert_same_results(search, GridSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(images, y))


def test_conditions_of_several_images(paths, witness, met):
    X = [paths[i : i + 2] for i in range(0, N - 1, 2)]
    y = np.random.default_rng(0).normal(size=(len(X), 2))
    search = LayerSearchCV(encoding(witness, aggregate="mean"), LAYERS, cv=3).fit(X, y)
    assert set(met.values()) == {1}
    assert forwarded(search) == N - 1
    cv = KFold(3, shuffle=True, random_state=0)
    assert_same_results(
        search, GridSearchCV(encoding(witness, aggregate="mean"), LAYERS, cv=cv).fit(X, y)
    )


class Recorder:
    """Counts what is called, for inner estimators too."""

    max_propagation_depth = None

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def setup(self, estimator: Any, context: Any) -> None:
        self.calls["setup"] += 1

    def teardown(self, estimator: Any, context: Any) -> None:
        self.calls["teardown"] += 1

    def on_fit_task_begin(self, estimator: Any, context: Any, **about: Any) -> None:
        self.calls["begin"] += 1

    def on_fit_task_end(self, estimator: Any, context: Any, **about: Any) -> None:
        self.calls["end"] += 1


def test_callbacks_are_called_as_by_grid_search(paths, model, patterns):
    pytest.importorskip("sklearn.callback")
    pipeline = Pipeline([*encoding(model).steps[:1], ("s", StandardScaler()), ("r", Ridge())])
    found = []
    for kind in (LayerSearchCV, GridSearchCV):
        recorder = Recorder()
        search = kind(pipeline, LAYERS | {"r__alpha": [0.1, 1.0]}, cv=FOLDS)
        with warnings.catch_warnings():  # Ridge has no callbacks
            warnings.simplefilter("ignore", UserWarning)
            search.set_callbacks(recorder).fit(paths, patterns)
        found.append(recorder.calls)
    assert found[0] == found[1]
    assert found[0]["begin"] == found[0]["end"] > 3 * 3 * 2 * 4  # three steps each


# Where extractors are found


def extractor_in(place: str, model: Model) -> tuple[Any, str]:
    """An estimator with an extractor somewhere in it, and the prefix of its parameters."""
    nested = Pipeline([("pass", "passthrough"), ("dnn", dnn(model)), ("s", StandardScaler())])
    both = FeatureUnion([("a", nested), ("b", dnn(model)), ("off", "drop")])
    direct = Pipeline([("dnn", dnn(model)), ("r", Ridge())])
    inner = GridSearchCV(direct, {"r__alpha": [1, 2]}, cv=2)
    return {
        "pipeline in a pipeline": (Pipeline([("in", nested), ("r", Ridge())]), "in__dnn"),
        "union": (Pipeline([("u", both), ("r", Ridge())]), "u__a__dnn"),
        "target transformed": (
            TransformedTargetRegressor(direct),
            "regressor__dnn",
        ),
        "vote": (VotingRegressor([("one", direct)]), "one__dnn"),
        "search in a search": (inner, "estimator__dnn"),
    }[place]


@pytest.mark.parametrize(
    "place",
    ["pipeline in a pipeline", "union", "target transformed", "vote", "search in a search"],
)
def test_extractors_are_found(place, paths, witness, met, patterns):
    estimator, prefix = extractor_in(place, witness)
    grid = {f"{prefix}__layer": ["0", "3"]}
    y = patterns[0] if place == "vote" else patterns
    search = LayerSearchCV(estimator, grid, cv=FOLDS).fit(paths, y)
    assert set(met.values()) == {1}
    assert forwarded(search) == N
    assert_same_results(search, GridSearchCV(estimator, grid, cv=FOLDS).fit(paths, y))


def test_layers_of_a_search_in_the_search(paths, witness, met, patterns):
    inner = GridSearchCV(encoding(witness), LAYERS, cv=FOLDS)
    search = LayerSearchCV(inner, {"estimator__ridge__alpha": [1.0, 5.0]}, cv=3)
    search.fit(paths, patterns)
    assert set(met.values()) == {1}


def test_extractors_among_the_values_of_a_grid(paths, witness, met, patterns):
    options = [dnn(witness, "0"), make_pipeline(dnn(witness, "3"))]
    search = LayerSearchCV(encoding(witness), {"dnn": options}, cv=FOLDS).fit(paths, patterns)
    assert set(met.values()) == {1}
    assert [each["dnn"] for each in search.cv_results_["params"]] == options
    assert all(a is b for a, b in zip(search.cv_results_["param_dnn"], options, strict=True))
    assert options[0].cache is options[1][0].cache is None
    assert search.best_params_["dnn"] in options


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["left", "right"], ["left", "right"]),
        ([["left"], lambda table: "right"], ["left", "right"]),
        ([1, slice(2, 3)], ["left", "right"]),
    ],
    ids=["names", "lists and functions", "positions"],
)
def test_columns_of_a_table(columns, names, paths, model):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"size": rng.normal(size=10), "left": paths[:10], "right": paths[9:]},
    )
    parts = [
        (name, make_pipeline(dnn(model, "3")), column)
        for name, column in zip(names, columns, strict=True)
    ]
    estimator = make_pipeline(
        ColumnTransformer([*parts, ("gone", "drop", ["size"]), ("none", StandardScaler(), [])]),
        Ridge(),
    )
    grid = {f"columntransformer__{name}__dnnfeatureextractor__layer": ["0", "3"] for name in names}
    y = rng.normal(size=(10, 2))
    search = LayerSearchCV(estimator, grid, cv=FOLDS).fit(table, y)
    assert forwarded(search) == N  # the image that is in both columns counts once
    assert_same_results(search, GridSearchCV(estimator, grid, cv=FOLDS).fit(table, y))


def test_an_extractor_behind_another_step_is_named(paths, model, patterns):
    late = make_pipeline(FunctionTransformer(list), dnn(model, "3"), Ridge())
    grid = {"dnnfeatureextractor__layer": ["0", "3"]}
    with pytest.warns(UserWarning, match="^dnnfeatureextractor will see something else than X"):
        search = LayerSearchCV(late, grid, cv=FOLDS).fit(paths, patterns)
    assert forwarded(search) == 2 * N  # once for each layer
    assert_same_results(search, GridSearchCV(late, grid, cv=FOLDS).fit(paths, patterns))


# What is checked before the first pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"param_grid": {"dnn__layer": ["0", "nonsense"]}}, "nonsense"),
        ({"param_grid": {"dnn__leyer": ["0"]}}, "leyer"),
        ({"param_grid": {"dnn__layer": ["0"], "rigde__alpha": [1]}}, "rigde"),
        ({"cv": [(np.arange(5), np.arange(0))]}, "0 test conditions in split 0"),
        ({"cv": iter([])}, "No fits were performed"),
        ({"cv": 30}, "n_splits=30"),
        ({"cv": KFold(7), "scoring": RSAScorer()}, "2 test conditions in split 5.*RSA"),
    ],
)
def test_mistakes_are_found_before_the_pass(options, message, paths, witness, met, patterns):
    options = {"param_grid": LAYERS, "cv": FOLDS} | options
    with pytest.raises(ValueError, match=message):
        LayerSearchCV(encoding(witness), **options).fit(paths, patterns)
    assert not met


def test_wrong_labels_and_files_are_found_before_the_pass(paths, witness, met, patterns, tmp_path):
    search = LayerSearchCV(encoding(witness), LAYERS, cv=FOLDS)
    with pytest.raises(ValueError, match="row labels of y"):
        search.fit(paths, patterns[::-1])
    with pytest.raises(ValueError, match=r"gone\.png"):
        search.fit([*paths[1:], str(tmp_path / "gone.png")], patterns.to_numpy())
    assert not met


def test_training_folds_for_rsa(paths, model, patterns):
    pipeline = make_pipeline(dnn(model, "3"), RDM(), RSAScorer())
    cv = [(np.arange(2), np.arange(2, 9))]
    with pytest.raises(ValueError, match="2 train conditions in split 0"):
        LayerSearchCV(pipeline, {"rdm__metric": ["cosine"]}, cv=cv).fit(paths, patterns)


def test_error_score_for_a_layer_that_is_not_there(paths, witness, met, patterns):
    grid = {"dnn__layer": ["0", "nonsense", "3"]}
    search = LayerSearchCV(encoding(witness), grid, cv=FOLDS, error_score=-7.0)
    with pytest.warns(sklearn.exceptions.FitFailedWarning):
        search.fit(paths, patterns)
    assert set(met.values()) == {1}
    assert search.cv_results_["mean_test_score"][1] == -7
    assert search.layer_profile_.set_index("layer")["depth"].to_dict()["nonsense"] == -1


def test_a_failing_search_leaves_the_estimator_as_it_was(paths, model, patterns):
    pipeline, grid = encoding(model), {"ridge__alpha": [1.0, -1.0]}
    search = LayerSearchCV(pipeline, grid, cv=FOLDS)
    with pytest.raises(ValueError, match="alpha"):
        search.fit(paths, patterns)
    assert search.estimator is pipeline
    assert search.param_grid is grid
    assert "_loan" not in vars(search)
    assert pipeline["dnn"].cache is pipeline.memory is None


# Folds


@pytest.mark.parametrize(("cv", "n_splits"), [(None, 5), (3, 3)])
def test_folds_of_an_integer_are_shuffled(cv, n_splits, paths, model, patterns):
    def fit(kind: Any, cv: Any, y: Any, end: Any, **options: Any) -> Any:
        estimator = Pipeline([("dnn", dnn(model, "3")), ("end", end)])
        return kind(estimator, {"dnn__layer": ["3"]}, cv=cv, **options).fit(paths, y)

    classes = np.repeat(["a", "b"], [9, 10])
    for seed in (0, 5):
        same = KFold(n_splits, shuffle=True, random_state=seed)
        found = fit(LayerSearchCV, cv, patterns, Ridge(), random_state=seed)
        assert_same_results(found, fit(GridSearchCV, same, patterns, Ridge()))
    same = StratifiedKFold(n_splits, shuffle=True, random_state=0)
    found = fit(LayerSearchCV, cv, classes, LogisticRegression(), scoring="neg_log_loss")
    reference = fit(GridSearchCV, same, classes, LogisticRegression(), scoring="neg_log_loss")
    assert_same_results(found, reference)


def test_a_random_splitter_is_asked_once(paths, model, patterns):
    def search(kind: Any) -> Any:
        cv = KFold(3, shuffle=True, random_state=np.random.RandomState(3))
        return kind(encoding(model), LAYERS, cv=cv).fit(paths, patterns)

    assert_same_results(search(LayerSearchCV), search(GridSearchCV))


def test_a_generator_of_folds_is_read_once(paths, model, patterns):
    folds = list(FOLDS.split(paths))
    search = LayerSearchCV(encoding(model), LAYERS, cv=iter(folds)).fit(paths, patterns)
    reference = GridSearchCV(encoding(model), LAYERS, cv=FOLDS).fit(paths, patterns)
    assert_same_results(search, reference)
    assert search.n_splits_ == 4


def test_groups_and_weights(paths, model, patterns):
    groups = np.arange(N) % 5
    weights = np.linspace(0.1, 2, N)
    options = {"groups": groups, "ridge__sample_weight": weights}
    search = LayerSearchCV(encoding(model), LAYERS, cv=GroupKFold(4))
    reference = GridSearchCV(encoding(model), LAYERS, cv=GroupKFold(4))
    with pytest.raises(ValueError, match="groups"):
        search.fit(paths, patterns)
    assert_same_results(
        search.fit(paths, patterns, **options), reference.fit(paths, patterns, **options)
    )
    plain = GridSearchCV(encoding(model), LAYERS, cv=GroupKFold(4))
    plain.fit(paths, patterns, groups=groups)
    gap = plain.cv_results_["mean_test_score"] - search.cv_results_["mean_test_score"]
    assert np.abs(gap).max() > 1e-3  # the weights do matter


def test_metadata_routing(paths, model, patterns):
    groups, weights = np.arange(N) % 5, np.linspace(0.1, 2, N)
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [
                ("dnn", dnn(model, "3")),
                ("ridge", Ridge().set_fit_request(sample_weight=True)),
            ]
        )
        scoring = make_scorer(r2_score).set_score_request(sample_weight=False)
        found, reference = (
            kind(pipeline, LAYERS, cv=GroupKFold(4), scoring=scoring).fit(
                paths, patterns, groups=groups, sample_weight=weights
            )
            for kind in (LayerSearchCV, GridSearchCV)
        )
    assert_same_results(found, reference)
