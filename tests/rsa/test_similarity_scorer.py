import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import linear_kernel
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skdnn.rsa import RDM, CKAScorer, RSAScorer, cka, compute_rdm

N, P, V = 24, 10, 17
FOLDS = KFold(4, shuffle=True, random_state=0)
NAMES = [f"im{i:02d}" for i in range(N)]


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(N, P))


@pytest.fixture
def voxels(features):
    rng = np.random.default_rng(1)
    return features[:, :4] @ rng.normal(size=(4, V)) + rng.normal(size=(N, V))


def centred_within(values):
    """U-centred matrix of the linear kernel (Szekely & Rizzo, 2014)."""
    K = linear_kernel(values)
    np.fill_diagonal(K, 0)
    n, rows = len(K), K.sum(axis=0)
    U = K - rows / (n - 2) - rows[:, None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(U, 0)
    return U


def debiased_by_hand(X, Y):
    A, B = centred_within(X), centred_within(Y)
    return (A * B).sum() / np.linalg.norm(A) / np.linalg.norm(B)


def scaled(features, train, test):
    return (features[test] - features[train].mean(0)) / features[train].std(0)


@pytest.mark.parametrize("way", ["final", "scoring", "both"])
def test_equals_cka_by_hand(features, voxels, way):
    estimator, scoring = {
        "final": (make_pipeline(StandardScaler(), CKAScorer()), None),
        "scoring": (StandardScaler(), CKAScorer()),
        "both": (make_pipeline(StandardScaler(), CKAScorer()), CKAScorer()),
    }[way]
    scores = cross_val_score(
        estimator, features, voxels, cv=FOLDS, scoring=scoring, error_score="raise"
    )
    expected = [
        debiased_by_hand(scaled(features, train, test), voxels[test])
        for train, test in FOLDS.split(features)
    ]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


def test_options_reach_the_function(features, voxels):
    scaler = StandardScaler().fit(features)
    Z = scaler.transform(features)
    for options in (
        {"debiased": False},
        {"kernel": "rbf"},
        {"kernel": "rbf", "gamma": 0.1},
        {"kernel": "rbf", "bandwidth": 0.4, "debiased": False},
    ):
        expected = cka(Z, voxels, **{"debiased": True, **options})
        assert CKAScorer(**options)(scaler, features, voxels) == expected


def test_predictor_is_scored_by_its_predicted_patterns(features, voxels):
    ridge = Ridge().fit(features, voxels)
    expected = cka(ridge.predict(features), voxels, debiased=True)
    assert CKAScorer()(ridge, features, voxels) == expected
    with pytest.raises(ValueError, match="needs a pattern for each condition"):
        CKAScorer()(Ridge().fit(features, voxels[:, 0]), features, voxels)


def test_trailing_scorers_searches_and_nested_pipelines(features, voxels):
    expected = CKAScorer()(PCA(3).fit(features), features, voxels)
    inner = make_pipeline(PCA(3), CKAScorer())
    for estimator in (
        make_pipeline(PCA(3), "passthrough"),
        make_pipeline(StandardScaler(with_mean=False, with_std=False), inner),
        GridSearchCV(inner, {"ckascorer__debiased": [True]}, cv=3),
        GridSearchCV(PCA(), {"n_components": [3]}, scoring=CKAScorer(), cv=3),
    ):
        fitted = estimator.fit(features, voxels)
        assert CKAScorer()(fitted, features, voxels) == pytest.approx(expected, abs=1e-12)


def test_grid_search_finds_the_number_of_components():
    """Four strong dimensions are shared; the others are the features' own."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(80, 4))
    voxels = shared @ rng.normal(size=(4, V)) + 0.3 * rng.normal(size=(80, V))
    basis = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    features = np.c_[2 * shared, rng.normal(size=(80, 26))] @ basis
    grid = {"n_components": [1, 4, 20]}
    search = GridSearchCV(PCA(), grid, scoring=CKAScorer(), cv=FOLDS, error_score="raise")
    assert search.fit(features, voxels).best_params_ == {"n_components": 4}
    final = make_pipeline(PCA(), CKAScorer())
    grid = {f"pca__{name}": values for name, values in grid.items()}
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            ended = GridSearchCV(final, grid, cv=FOLDS, error_score="raise", n_jobs=2)
            ended.fit(features, voxels)
        np.testing.assert_allclose(
            ended.cv_results_["mean_test_score"],
            search.cv_results_["mean_test_score"],
            rtol=0,
            atol=1e-12,
        )


def test_unrelated_features_score_zero_in_cross_validation():
    """Wide features and small folds: the biased estimate is far from 0."""
    rng = np.random.default_rng(0)
    folds = KFold(3)
    means = {True: [], False: []}
    for _ in range(100):
        X, y = rng.normal(size=(18, 60)), rng.normal(size=(18, 12))
        for debiased, values in means.items():
            scoring = CKAScorer(debiased=debiased)
            scores = cross_val_score(PCA(5), X, y, cv=folds, scoring=scoring)
            values.append(scores.mean())
    z = {key: np.mean(v) / (np.std(v) / np.sqrt(len(v))) for key, v in means.items()}
    assert abs(z[True]) < 3
    assert z[False] > 20


def test_several_subjects(features, voxels):
    rng = np.random.default_rng(2)
    subjects = {("s1", "IT"): voxels, ("s2", "V1"): rng.normal(size=(N, 5))}
    y = pd.concat({key: pd.DataFrame(v, index=NAMES) for key, v in subjects.items()}, axis=1)
    final = make_pipeline(StandardScaler(), CKAScorer()).fit(features, y)
    assert final[-1].target_names_ == ["s1/IT", "s2/V1"]
    assert final[-1].n_conditions_ == N
    each = [CKAScorer()(final, features, v) for v in subjects.values()]
    assert final.score(features, y) == pytest.approx(np.mean(each), abs=1e-12)
    detail = CKAScorer(detail=True)(final, features, y)
    assert list(detail) == ["score", "s1/IT", "s2/V1"]
    np.testing.assert_allclose(list(detail.values()), [np.mean(each), *each], atol=1e-12)
    found = cross_validate(final, features, y, cv=FOLDS, scoring=CKAScorer(detail=True))
    np.testing.assert_allclose(
        found["test_score"], (found["test_s1/IT"] + found["test_s2/V1"]) / 2
    )
    y.loc[NAMES[:5], ("s2", "V1")] = 1.0
    with pytest.warns(RuntimeWarning, match="CKA is NaN: y of 's2/V1' does not vary") as caught:
        detail = CKAScorer(detail=True)(final, features[:5], y.iloc[:5])
    assert len(caught) == 1
    assert np.isnan(detail["score"])
    assert np.isfinite(detail["s1/IT"])


@pytest.mark.parametrize("container", [list, np.array, pd.Series, pd.DataFrame])
def test_labels_that_are_not_the_images_are_refused(features, voxels, container):
    rows = dict(zip(NAMES, features, strict=True))
    lookup = FunctionTransformer(
        lambda X: np.stack([rows[str(path)[5:9]] for path in np.asarray(X).ravel()])
    )
    paths = container([f"/img/{name}.png" for name in NAMES])
    y = pd.DataFrame(voxels, index=NAMES)
    fitted = lookup.fit(paths)
    assert np.isfinite(CKAScorer()(fitted, paths, y))
    with pytest.raises(ValueError, match="row 0: y says 'im01'"):
        CKAScorer()(fitted, paths, y.iloc[[1, 0, *range(2, N)]])


def test_labels_travel_through_a_pipeline(features, voxels):
    X = pd.DataFrame(features, [f"{n}.png" for n in NAMES]).add_prefix("unit")
    y = pd.DataFrame(voxels, index=NAMES)
    pipeline = make_pipeline(StandardScaler(), CKAScorer()).set_output(transform="pandas")
    scores = cross_val_score(pipeline, X, y, cv=FOLDS, error_score="raise")
    plain = make_pipeline(StandardScaler(), CKAScorer())
    np.testing.assert_allclose(scores, cross_val_score(plain, features, voxels, cv=FOLDS))
    with pytest.raises(ValueError, match="don't match the images"):
        pipeline.fit(X.iloc[::-1], y)
    with pytest.raises(ValueError, match="row labels of y repeat"):
        plain.fit(features, y.iloc[[0, *range(N - 1)]])


@pytest.mark.parametrize("kind", ["labelled", "bare", "rows"])
def test_rdms_are_refused(features, voxels, kind):
    scorer = CKAScorer()
    with pytest.raises(ValueError, match=r"ends in RDM, .*leave RDM\(\) out.*use RSAScorer"):
        scorer(make_pipeline(StandardScaler(), RDM()).fit(features), features, voxels)
    with pytest.raises(ValueError, match=r"X is an RDM, .*leave RDM\(\) out"):
        make_pipeline(RDM(), scorer).fit(features, voxels)
    rdm = compute_rdm(pd.DataFrame(voxels, index=NAMES))
    y = {"labelled": rdm, "bare": rdm.to_numpy(), "rows": rdm.to_numpy()[::2]}[kind]
    with pytest.raises(ValueError, match=r"y is an RDM, .*pass patterns as y"):
        scorer.fit(features[: len(y)] if kind != "rows" else features[::2], y)


@pytest.mark.parametrize(
    ("make_y", "message"),
    [
        (lambda v: None, "requires y"),
        (lambda v: v[:, 0], r"shape \(24,\)"),
        (lambda v: v[:, :, None], "MultiIndex"),
        (lambda v: v[:5], "Found 5 rows"),
        (lambda v: np.where(np.arange(N)[:, None] == 3, np.nan, v), "y contains NaN .* row 3"),
        (lambda v: v.astype(str), None),
        (lambda v: np.full((N, 2), "cat"), "y is not numeric"),
        (lambda v: pd.concat({"score": pd.DataFrame(v)}, axis=1), "cannot be used"),
    ],
)
def test_wrong_targets_are_found_at_fit(features, voxels, make_y, message):
    if message is None:  # numbers as text are numbers
        assert CKAScorer().fit(features, make_y(voxels)).n_conditions_ == N
        return
    with pytest.raises(ValueError, match=message):
        CKAScorer().fit(features, make_y(voxels))


def test_wrong_features_are_found_at_fit(features, voxels):
    features[5, 1] = np.inf
    with pytest.raises(ValueError, match="X contains NaN or infinity in row 5"):
        CKAScorer().fit(features, voxels)
    with pytest.raises(ValueError, match="X contains NaN or infinity in row 5"):
        CKAScorer()(FunctionTransformer().fit(features), features, voxels)
    with pytest.raises(ValueError, match="4 features, but CKAScorer is expecting 10"):
        CKAScorer().fit(np.ones((N, P)), voxels).score(np.ones((N, 4)), voxels)


@pytest.mark.parametrize("debiased", [True, False])
def test_too_few_conditions(features, voxels, debiased):
    few = 3 if debiased else 2
    scorer = CKAScorer(debiased=debiased)
    with pytest.raises(ValueError, match="Use fewer folds"):
        scorer.fit(features[:few], voxels[:few])
    with pytest.raises(ValueError, match="Use fewer folds"):
        scorer(PCA(2).fit(features), features[:few], voxels[:few])
    assert np.isfinite(scorer(PCA(2).fit(features), features[: few + 1], voxels[: few + 1]))


@pytest.mark.parametrize(
    "params",
    [
        {"kernel": "gauss"},
        {"gamma": -1},
        {"bandwidth": 0},
        {"debiased": "yes"},
        {"detail": 3},
    ],
)
def test_bad_parameters(features, voxels, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        CKAScorer(**params).fit(features, voxels)
    with pytest.raises(ValueError, match=next(iter(params))):
        CKAScorer(**params)(PCA().fit(features), features, voxels)


def test_sample_weights_are_refused(features, voxels):
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            pipeline = make_pipeline(StandardScaler(), CKAScorer()).fit(features, voxels)
            with pytest.raises((TypeError, ValueError), match="sample_weight"):
                pipeline.score(features, voxels, sample_weight=np.ones(N))


def test_clone_pickle_params_and_tags(features, voxels):
    pipeline = make_pipeline(StandardScaler(), CKAScorer()).fit(features, voxels)
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.score(features, voxels) == pipeline.score(features, voxels)
    scorer = CKAScorer("rbf", debiased=False, gamma=0.3, bandwidth=0.5, detail=True)
    assert (
        clone(scorer).get_params()
        == scorer.get_params()
        == {
            "kernel": "rbf",
            "debiased": False,
            "gamma": 0.3,
            "bandwidth": 0.5,
            "detail": True,
        }
    )
    assert repr(CKAScorer("rbf")) == "CKAScorer(kernel='rbf')"
    assert sklearn.utils.get_tags(scorer).target_tags.required
    with pytest.raises(sklearn.exceptions.NotFittedError):
        scorer.score(features, voxels)
    assert RSAScorer()(make_pipeline(PCA(3), CKAScorer()).fit(features, voxels), features, voxels)


def test_checks_of_scikit_learn():
    results = check_estimator(CKAScorer(), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 40


def test_nothing_is_warned_of_in_an_ordinary_search(features, voxels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score(PCA(3), features, voxels, cv=FOLDS, scoring=CKAScorer())
