"""describe() of a fitted search: the whole study in a paragraph."""

import json
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNFeatureExtractor, LayerSearchCV, MethodsText
from skdnn.rsa import RDM, CKAScorer, RSAScorer, bootstrap_rsa, compute_rdm, permutation_test

N = 19
GRID = {"dnn__layer": ["1", "3", ["0", "3"]]}


def pipeline(model, *steps):
    return Pipeline([("dnn", DNNFeatureExtractor(model, "3", device="cpu")), *steps])


def rsa(model, metric="cosine", comparison="spearman"):
    return pipeline(
        model,
        ("center", StandardScaler(with_std=False)),
        ("pca", PCA(3, svd_solver="full")),
        ("rdm", RDM(metric)),
        ("rsa", RSAScorer(comparison)),
    )


@pytest.fixture(scope="module")
def subjects():
    """RDMs of three subjects, labelled."""
    rng = np.random.default_rng(0)
    names = [f"object{i:02d}" for i in range(N)]
    rdms = {
        name: pd.DataFrame(squareform(pdist(rng.normal(size=(N, 4)))), index=names, columns=names)
        for name in ("S1", "S2", "S3")
    }
    return pd.concat(rdms, axis=1, names=["subject", "condition"])


@pytest.fixture
def search(model, paths, subjects):
    folds = RepeatedKFold(n_splits=3, n_repeats=2, random_state=4)
    return LayerSearchCV(
        rsa(model), GRID, cv=folds, scoring=RSAScorer(detail=True), refit="score"
    ).fit(paths, subjects)


def test_the_whole_study(search, paths):
    text = search.describe(paths)
    row, results = search.best_index_, search.cv_results_
    lower, upper = (results[f"mean_test_ceiling_{end}"][row] for end in ("lower", "upper"))
    mean, std = results["mean_test_score"][row], results["std_test_score"][row]
    best = str(results["param_dnn__layer"][row])
    for told in (
        "Features of 19 images were taken from a custom network (tiny).",
        "at the layers 1 (ReLU;",
        "0 (Conv2d;",
        "(Kriegeskorte, Mur and Bandettini, 2008) compared dissimilarities of activations (cosine)"
        " with those of the measured data (RDMs of S1, S2, S3) by Spearman's rank correlation.",
        "Activations were first centred (the mean of each unit subtracted) and reduced to 3 "
        "principal components; whatever of this is fitted was fitted on the training images",
        "Scores are from 2 repetitions of 3-fold cross-validation (6 folds), seed 4.",
        f"Of 3 layers, the best was {best}, scored {mean:.3f} (standard deviation {std:.3f} over "
        "6 folds). It was chosen on the folds that it is scored on",
        f"The noise ceiling among the test images of a fold was {lower:.3f} to {upper:.3f} (means "
        "of lower and upper bound; Nili et al., 2014).",
        "[The data, and a reference for them, must be added here.]",
    ):
        assert told in text.text
    assert {"kriegeskorte2008rsa", "nili2014toolbox", "pedregosa2011sklearn"} <= set(
        text.citations
    )
    order = [text.text.index(year) for year in ("Bandettini, 2008", "Nili et al., 2014")]
    assert order == sorted(order)
    places = [text.citations.index(key) for key in ("kriegeskorte2008rsa", "nili2014toolbox")]
    assert places == sorted(places)


def test_data_nested_scores_and_tests(search, paths, subjects):
    rng = np.random.default_rng(1)
    models = {name: compute_rdm(rng.normal(size=(N, 4))) for name in "ab"}
    tested = [
        bootstrap_rsa(models, subjects, n_boot=20, random_state=0),
        permutation_test(models, subjects, "pearson", n_permutations=19, random_state=0),
        "Layers were compared by t tests.",
    ]
    nested = cross_validate(search, paths, subjects, cv=KFold(2, shuffle=True, random_state=0))
    scores = nested["test_score"]
    text = search.describe(data="recordings of ours", nested=nested, tests=tested).text
    for told in (
        "The data were recordings of ours.",
        f"scored {scores.mean():.3f} (standard deviation {scores.std():.3f} over 2 outer folds) "
        "on images that had no part in it.",
        "tests of 2 models are from 20 bootstrap samples of conditions and subjects (RDMs "
        "compared by Spearman's rank correlation). Variances of both were put together by the "
        "reasoning of the dual bootstrap (Schütt et al., 2023).",
        "Mantel tests (Mantel, 1967; greater) of 2 models are from 19 random permutations of the "
        "conditions (RDMs compared by Pearson's correlation). Layers were compared by t",
    ):
        assert told in text
    assert "must be added here" not in re.sub(r"\[A reference for the network.*?\]", "", text)
    known = search.describe(data="kriegeskorte92", nested=list(scores))
    assert "kriegeskorte2008matching" in known.citations
    assert "(Kriegeskorte, Mur, Ruff et al., 2008)" in known.text
    with pytest.raises(TypeError, match="tests holds a dict"):
        search.describe(tests=[{}])


def test_it_travels(search, paths, tmp_path):
    text = search.describe(paths)
    assert MethodsText.from_provenance(json.loads(text.to_json())["facts"]) == text
    assert pickle.loads(pickle.dumps(search)).describe(paths).text == text.text


@pytest.mark.parametrize(
    ("cv", "told"),
    [
        (3, "3-fold cross-validation of shuffled images, seed 0."),
        (KFold(4), "4-fold cross-validation."),
        (KFold(3, shuffle=True, random_state=2),
         "3-fold cross-validation of shuffled images, seed 2."),
        (ShuffleSplit(2, test_size=6, random_state=1), "2 splits of ShuffleSplit, seed 1."),
        ([(range(9), range(9, N))], "1 split, given."),
    ],
)  # fmt: skip
def test_folds_in_words(cv, told, model, paths, patterns):
    found = LayerSearchCV(rsa(model), {"dnn__layer": ["1", "3"]}, cv=cv).fit(paths, patterns)
    text = found.describe().text
    assert f"Scores are from {told}" in text
    assert "measured data (response patterns) by" in text


def test_encoding_and_other_parameters(model, paths, patterns):
    grid = {"dnn__layer": ["1", "3"], "ridge__alpha": [0.1, 1.0]}
    found = LayerSearchCV(pipeline(model, ("ridge", Ridge())), grid, cv=3).fit(paths, patterns)
    text = found.describe().text
    assert (
        "Responses were predicted from activations (Ridge); predictions were scored by R2" in text
    )
    best = ", ".join(f"{k} = {v}" for k, v in found.best_params_.items())
    assert f"Of 4 candidates, the best was {best}, scored" in text
    assert "Representational similarity" not in text
    one = LayerSearchCV(pipeline(model, ("ridge", Ridge())), {"ridge__alpha": [1.0]}, cv=3)
    text = one.fit(paths, patterns).describe().text
    assert "at the layer 3 (" in text
    assert "too high" not in text


def test_cka(model, paths, patterns):
    search = LayerSearchCV(
        pipeline(model, ("center", StandardScaler(with_std=False))),
        {"dnn__layer": ["1", "3"]}, cv=3, scoring=CKAScorer(),
    )  # fmt: skip
    text = search.fit(paths, patterns).describe()
    assert "centred kernel alignment (Kornblith et al., 2019)" in text.text


def test_it_needs_a_fit_and_a_network(model, paths, patterns):
    with pytest.raises(NotFittedError):
        LayerSearchCV(rsa(model), GRID).describe()
    X = np.random.default_rng(0).normal(size=(N, 3))
    plain = LayerSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=3).fit(X, X)
    with pytest.raises(ValueError, match="no DNNFeatureExtractor"):
        plain.describe()


def test_it_draws_and_forwards_nothing(search, paths, met):
    before = dict(met)
    assert search.describe(paths).text == search.describe(paths).text
    assert dict(met) == before
