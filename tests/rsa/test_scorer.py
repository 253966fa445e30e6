import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skdnn.rsa import RDM, RSAScorer, category_rdm, compare_rdms, compute_rdm

N, P, V = 24, 10, 17
FOLDS = KFold(4, shuffle=True, random_state=0)
NAMES = [f"im{i:02d}" for i in range(N)]


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(N, P))


@pytest.fixture
def voxels(features):
    rng = np.random.default_rng(1)
    return features @ rng.normal(size=(P, V)) + rng.normal(size=(N, V))


@pytest.fixture
def brain(voxels):
    """Labelled RDM of the voxels."""
    return compute_rdm(pd.DataFrame(voxels, index=NAMES), "euclidean")


def final():
    return make_pipeline(StandardScaler(), RDM(), RSAScorer())


def by_hand(features, target_of):
    """Scale on the training rows, pdist of the test rows, spearmanr with their target pairs."""
    scores = []
    for train, test in FOLDS.split(features):
        scaled = (features[test] - features[train].mean(0)) / features[train].std(0)
        pairs = pdist(scaled, "correlation")
        scores.append(spearmanr(pairs, target_of(test)).statistic)
    return np.array(scores)


def square_pairs(square, rows):
    return square[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]


@pytest.mark.parametrize("way", ["final", "scoring RDM", "scoring features", "double"])
def test_patterns_equal_rsa_by_hand(features, voxels, way):
    estimator, scoring = {
        "final": (final(), None),
        "scoring RDM": (make_pipeline(StandardScaler(), RDM()), RSAScorer()),
        "scoring features": (StandardScaler(), RSAScorer()),
        "double": (final(), RSAScorer()),
    }[way]
    scores = cross_val_score(
        estimator, features, voxels, cv=FOLDS, scoring=scoring, error_score="raise"
    )
    expected = by_hand(features, lambda rows: pdist(voxels[rows], "correlation"))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scoring", [None, RSAScorer()])
def test_labelled_rdm_equals_rsa_by_hand(features, brain, scoring):
    pipeline = make_pipeline(FunctionTransformer(), StandardScaler(), RDM(), RSAScorer())
    scores = cross_val_score(
        pipeline, features, brain, cv=FOLDS, scoring=scoring, error_score="raise"
    )
    square = brain.to_numpy()
    expected = by_hand(features, lambda rows: square_pairs(square, rows))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


def test_columns_under_their_labels_may_be_shuffled(features, brain):
    shuffled = brain.sample(frac=1, axis=1, random_state=3)
    expected = cross_val_score(final(), features, brain, cv=FOLDS)
    np.testing.assert_allclose(
        cross_val_score(final(), features, shuffled, cv=FOLDS), expected, rtol=0, atol=1e-12
    )
    order = np.random.default_rng(4).permutation(N)
    moved = final().fit(features[order], brain.iloc[order])
    assert moved.score(features[order], shuffled.iloc[order]) == pytest.approx(
        final().fit(features, brain).score(features, brain), abs=1e-12
    )


def test_predictor_is_scored_by_its_predicted_patterns(features, voxels):
    scores = cross_val_score(Ridge(), features, voxels, cv=FOLDS, scoring=RSAScorer("pearson"))
    expected = []
    for train, test in FOLDS.split(features):
        predicted = Ridge().fit(features[train], voxels[train]).predict(features[test])
        pairs = pdist(predicted, "correlation"), pdist(voxels[test], "correlation")
        expected.append(np.corrcoef(*pairs)[0, 1])
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


def test_nested_pipelines_and_searches(features, voxels):
    expected = RSAScorer()(make_pipeline(PCA(3), RDM()).fit(features), features, voxels)
    inner = Pipeline([("pca", PCA(3)), ("rdm", RDM()), ("nothing", "passthrough")])
    nested = Pipeline([("inner", inner), ("rsa", RSAScorer())]).fit(features, voxels)
    assert RSAScorer()(nested, features, voxels) == expected
    deep = Pipeline([("pca", PCA(3)), ("end", make_pipeline(RDM(), RSAScorer()))])
    assert RSAScorer()(deep.fit(features, voxels), features, voxels) == expected
    search = GridSearchCV(
        make_pipeline(PCA(3), RDM()), {"rdm__metric": ["correlation"]}, scoring=RSAScorer(), cv=3
    )
    assert RSAScorer()(search.fit(features, voxels), features, voxels) == expected


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search_over_the_metric(features, brain, routing):
    grid = {"rdm__metric": ["correlation", "euclidean", "cityblock"]}
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(final(), grid, cv=FOLDS, n_jobs=2, error_score="raise")
        search.fit(features, brain)
        scoring = GridSearchCV(
            final()[:-1], grid, cv=FOLDS, scoring=RSAScorer(), error_score="raise"
        ).fit(features, brain)
        cross_validate(final(), features, brain, cv=FOLDS, error_score="raise")
        cross_validate(
            final()[:-1], features, brain, cv=FOLDS, scoring=RSAScorer(), error_score="raise"
        )
    means = search.cv_results_["mean_test_score"]
    np.testing.assert_array_equal(means, scoring.cv_results_["mean_test_score"])
    assert np.isfinite(means).all()
    assert len(set(means)) == 3
    assert search.best_params_["rdm__metric"] == grid["rdm__metric"][np.argmax(means)]
    assert scoring.score(features, brain) == pytest.approx(search.score(features, brain))


@pytest.mark.parametrize("routing", [False, True])
def test_sample_weights_are_refused(features, voxels, routing):
    with sklearn.config_context(enable_metadata_routing=routing):
        pipeline = final().fit(features, voxels)
        with pytest.raises((TypeError, ValueError), match="sample_weight"):
            pipeline.score(features, voxels, sample_weight=np.ones(N))


def test_pandas_output_checks_labels_between_steps(features, brain):
    X = pd.DataFrame(features, index=[f"{name}.png" for name in NAMES])
    pipeline = final().set_output(transform="pandas")
    scores = cross_val_score(pipeline, X, brain, cv=FOLDS, error_score="raise")
    np.testing.assert_array_equal(scores, cross_val_score(final(), features, brain, cv=FOLDS))
    with pytest.raises(ValueError, match="don't match the images"):
        pipeline.fit(X.iloc[::-1], brain)


def test_several_subjects(features, brain):
    rng = np.random.default_rng(5)
    other = compute_rdm(pd.DataFrame(rng.normal(size=(N, 6)), index=NAMES))
    both = pd.concat(
        {("sub-01", "IT"): brain, ("sub-02", "V1"): other.sample(frac=1, axis=1, random_state=0)},
        axis=1,
    )
    pipeline = final().fit(features, both)
    assert pipeline[-1].rdm_names_ == ["sub-01/IT", "sub-02/V1"]
    assert pipeline[-1].target_ == "rdm"
    each = [final().fit(features, y).score(features, y) for y in (brain, other)]
    assert pipeline.score(features, both) == pytest.approx(np.mean(each), abs=1e-12)
    detail = cross_validate(final()[:-1], features, both, cv=FOLDS, scoring=RSAScorer(detail=True))
    np.testing.assert_allclose(
        detail["test_score"], (detail["test_sub-01/IT"] + detail["test_sub-02/V1"]) / 2
    )
    np.testing.assert_allclose(
        detail["test_sub-01/IT"], cross_val_score(final(), features, brain, cv=FOLDS), atol=1e-12
    )
    search = GridSearchCV(
        final()[:-1],
        {"rdm__metric": ["cosine", "euclidean"]},
        scoring=RSAScorer(detail=True),
        refit="score",
        cv=FOLDS,
    ).fit(features, both)
    assert "mean_test_sub-02/V1" in search.cv_results_


def test_several_subjects_with_unequal_voxels(features, voxels):
    frame = pd.concat(
        {"a": pd.DataFrame(voxels), "b": pd.DataFrame(voxels[:, :5])}, axis=1, names=["subject"]
    )
    score = final().fit(features, frame).score(features, frame)
    each = [final().fit(features, y).score(features, y) for y in (voxels, voxels[:, :5])]
    assert score == pytest.approx(np.mean(each), abs=1e-12)


def test_frames_of_numbers(features, voxels):
    wide = pd.DataFrame(np.c_[voxels, voxels**2])  # more columns than rows, default labels
    expected = cross_val_score(final(), features, wide.to_numpy(), cv=FOLDS)
    np.testing.assert_array_equal(cross_val_score(final(), features, wide, cv=FOLDS), expected)
    numbered = pd.DataFrame(compute_rdm(voxels))
    expected = cross_val_score(final(), features, voxels, cv=FOLDS)
    scores = cross_val_score(final(), features, numbered, cv=FOLDS)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


def test_labelled_model_rdm_as_X(brain):
    shuffled = brain.sample(frac=1, axis=1, random_state=1)
    scores = cross_val_score(RSAScorer(), shuffled, brain, cv=FOLDS, error_score="raise")
    np.testing.assert_allclose(scores, 1.0)


@pytest.mark.parametrize("container", [list, np.array, pd.Series, pd.Index, pd.DataFrame])
def test_labels_that_are_not_the_images_are_refused(features, brain, container):
    rows = dict(zip(NAMES, features, strict=True))
    lookup = FunctionTransformer(
        lambda X: np.stack([rows[str(path)[5:9]] for path in np.asarray(X).ravel()])
    )
    paths = container([f"/img/{name}.png" for name in NAMES])
    # A function that reads rows of files: paths in, features out.
    pipeline = make_pipeline(lookup, RDM())
    scorer = RSAScorer()
    fitted = pipeline.fit(paths)
    assert np.isfinite(scorer(fitted, paths, brain))
    moved = brain.iloc[[1, 0, *range(2, N)]]
    with pytest.raises(ValueError, match="row 0: y says 'im01'"):
        scorer(fitted, paths, moved)


BARE = "looks like an RDM"


@pytest.mark.parametrize(
    ("make_y", "message"),
    [
        (lambda b: None, "requires y"),
        (lambda b: np.arange(N), "category_rdm"),
        (lambda b: pd.Series(np.arange(N)), "category_rdm"),
        (lambda b: np.ones((N, 4, 2)), "MultiIndex"),
        (lambda b: b.to_numpy(), BARE),
        (lambda b: b.set_axis([f"x{i}" for i in range(N)], axis=1), BARE),
        (lambda b: b.rename(columns={"im03": "other"}), "not of 'im03'"),
        (lambda b: b.rename(columns={"im03": "im04"}), "not of 'im03'"),
        (lambda b: pd.concat([b, b["im03"]], axis=1), "column labels of y repeat: 'im03'"),
        (lambda b: b.iloc[[0, *range(N - 1)]], "row labels of y repeat: 'im00'"),
        (lambda b: b + np.arange(N), "not symmetric"),
        (lambda b: 1 - b * (b > 0), "similarit"),
        (lambda b: b.iloc[:5], "Found 5 rows"),
        (lambda b: b.astype(object).replace(0.0, "zero"), "could not convert"),
    ],
)
def test_wrong_targets_are_found_at_fit(features, brain, make_y, message):
    with pytest.raises(ValueError, match=message):
        final().fit(features, make_y(brain))


def test_rows_of_a_bare_rdm_are_refused_in_cross_validation(features, brain):
    with pytest.raises(ValueError, match=BARE):
        cross_val_score(final(), features, brain.to_numpy(), cv=FOLDS, error_score="raise")
    pipeline = make_pipeline(RDM(), RSAScorer(target="rdm"))
    with pytest.raises(ValueError, match="no square RDM"):
        cross_val_score(pipeline, features, brain.to_numpy(), cv=FOLDS, error_score="raise")


def test_explicit_targets(features, brain):
    bare = brain.to_numpy()
    expected = final().fit(features, brain).score(features, brain)
    as_rdm = make_pipeline(StandardScaler(), RDM(), RSAScorer(target="rdm")).fit(features, bare)
    assert as_rdm.score(features, bare) == pytest.approx(expected, abs=1e-12)
    scorer = RSAScorer(target="patterns")
    assert scorer.fit(compute_rdm(features), bare).target_ == "patterns"
    with pytest.raises(ValueError, match="no column for 'im00'"):
        RSAScorer(target="rdm").fit(
            compute_rdm(features), pd.DataFrame(np.ones((N, 3)), index=NAMES)
        )


def test_mixed_subjects_are_refused(features, voxels, brain):
    mixed = pd.concat({"a": brain, "b": pd.DataFrame(voxels, index=NAMES)}, axis=1)
    with pytest.raises(ValueError, match="Some parts of y"):
        final().fit(features, mixed)


@pytest.mark.parametrize("name", ["score", ""])
def test_reserved_subject_names(features, brain, name):
    with pytest.raises(ValueError, match="cannot be used"):
        final().fit(features, pd.concat({name: brain}, axis=1))


@pytest.mark.parametrize("kind", ["rdm", "patterns"])
def test_fewer_than_three_conditions(features, voxels, brain, kind):
    y = brain.iloc[:2, :2] if kind == "rdm" else voxels[:2]
    with pytest.raises(ValueError, match="fewer than three conditions"):
        final().fit(features[:2], y)
    with pytest.raises(ValueError, match="fewer than three conditions"):
        RSAScorer()(RDM().fit(features), features[:2], y)


def test_too_many_folds_are_found_at_fit(features, brain):
    with pytest.raises(ValueError, match="held-out fold has fewer than three conditions"):
        cross_val_score(final(), features, brain, cv=KFold(12), error_score="raise")
    rows = NAMES[:22]
    subset = final().fit(features[:22], brain.loc[rows, rows])
    assert np.isfinite(subset.score(features[:22], brain.loc[rows, rows]))


@pytest.mark.parametrize("X", [np.ones((N, 3)), np.arange(N * N).reshape(N, N), np.ones(N)])
def test_features_instead_of_an_rdm(X, voxels):
    with pytest.raises(ValueError, match=r"needs RDM\(\) before it"):
        RSAScorer().fit(X, voxels)


def test_constant_target_in_a_fold_is_named(features):
    model = category_rdm(["a"] * 6 + ["b"] * 18, names=NAMES)
    both = pd.concat({"model": model, "other": compute_rdm(pd.DataFrame(features, NAMES))}, axis=1)
    pipeline = final().fit(features, both)
    with pytest.warns(RuntimeWarning, match="target RDM of 'model' is constant"):
        assert np.isnan(pipeline.score(features[:6], both.iloc[:6]))
    assert np.isfinite(pipeline.score(features[3:9], both.iloc[3:9]))


@pytest.mark.parametrize(
    "params",
    [{"comparison": "person"}, {"metric": "euclidian"}, {"target": "voxels"}, {"detail": "yes"}],
)
def test_bad_parameters(features, voxels, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        RSAScorer(**params).fit(compute_rdm(features), voxels)
    with pytest.raises(ValueError, match=next(iter(params))):
        RSAScorer(**params)(RDM().fit(features), features, voxels)


def test_estimators_that_give_no_patterns(features, voxels):
    with pytest.raises(ValueError, match="needs a pattern for each condition"):
        RSAScorer()(Ridge().fit(features, voxels[:, 0]), features, voxels)
    with pytest.raises(TypeError, match="neither transform nor predict"):
        RSAScorer()(object(), features, voxels)


def test_missing_values_in_target_patterns_are_named(features, voxels):
    voxels[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"y, as patterns: .*row 3"):
        final().fit(features, voxels)


def test_clone_pickle_repr_and_html(features, voxels):
    pipeline = final().fit(features, voxels)
    again = pickle.loads(pickle.dumps(pipeline))
    assert again.score(features, voxels) == pipeline.score(features, voxels)
    scorer = RSAScorer("kendall", target="rdm", metric="cosine", detail=True)
    assert clone(scorer).get_params() == scorer.get_params()
    assert repr(RSAScorer("kendall")) == "RSAScorer(comparison='kendall')"
    assert "RSAScorer" in pipeline._repr_html_()
    assert not hasattr(scorer, "transform")
    assert not hasattr(scorer, "predict")


def test_nothing_is_warned_of_in_an_ordinary_search(features, brain):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score(final(), features, brain, cv=FOLDS)


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "tau-a", "rho-a"])
def test_what_is_attainable_where_the_target_has_ties(features, comparison):
    kinds = np.repeat(["animal", "tool", "face"], [9, 8, 7])
    target = category_rdm(pd.Series(kinds, index=NAMES))
    scorer = RSAScorer(comparison, detail=True)
    found = scorer(RDM().fit(features), features, target)
    pairs = target.to_numpy()[np.triu_indices(N, 1)]
    best = -1.0
    for seed in range(3):  # whatever the order among equal ones
        strict = pairs + 1e-3 * np.random.default_rng(seed).random(len(pairs))
        rdm = squareform(strict.argsort().argsort() + 1.0)
        best = max(best, float(compare_rdms(rdm, target.to_numpy(), comparison)))
    assert found["attainable"] == pytest.approx(best)
    assert found["attainable"] < 0.9
    # Ties are a third of the pairs and two thirds of them: what is left is the share of others.
    if comparison == "tau-a":
        n, ties = len(pairs), np.unique(pairs, return_counts=True)[1]
        assert best == pytest.approx(1 - (ties * (ties - 1)).sum() / (n * (n - 1)))


def test_a_target_without_ties_is_attainable(features, brain, voxels):
    assert RSAScorer(detail=True)(RDM().fit(features), features, brain)["attainable"] == 1
    assert "attainable" not in RSAScorer("pearson", detail=True)(
        RDM().fit(features), features, brain
    )
    many = pd.concat({"a": brain, "b": brain.round(0)}, axis=1)
    found = RSAScorer(detail=True)(RDM().fit(features), features, many)
    apart = RSAScorer(detail=True)(RDM().fit(features), features, brain.round(0))
    assert found["attainable"] == pytest.approx((1 + apart["attainable"]) / 2)


def test_small_folds_are_told(features, brain):
    pipeline, scorer = RDM().fit(features), RSAScorer()
    with pytest.warns(UserWarning, match="9 conditions, 36 pairs, are few"):
        scorer(pipeline, features[:9], brain.iloc[:9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer(pipeline, features[:10], brain.iloc[:10])


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "rho-a", "tau-a"])
def test_differences_of_rounding_are_ties(comparison: str) -> None:
    """Three different distances among many equal ones, which rounding told apart."""
    rng = np.random.default_rng(0)
    exact = rng.integers(1, 4, size=45).astype(float)
    rounded = exact * (1 + 4e-15 * rng.normal(size=45))
    target = squareform(rng.random(45))
    labels = [f"c{k}" for k in range(10)]
    y = pd.DataFrame(target, index=labels, columns=labels)
    scorer = RSAScorer(comparison)
    found = [scorer.fit(squareform(p), y).score(squareform(p), y) for p in (exact, rounded)]
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    plain = [compare_rdms(squareform(p), target, comparison) for p in (exact, rounded)]
    assert found[0] == pytest.approx(float(np.squeeze(plain[0])), abs=1e-12)
    assert abs(np.squeeze(plain[0] - plain[1])) > 1e-4  # what it would be
