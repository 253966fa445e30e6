import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_validate
from sklearn.pipeline import make_pipeline

from skdnn.rsa import RDM, RSAScorer, best_by_pairs, weighted_scores

FOLDS = PredefinedSplit(np.repeat([0, 1, 2], [4, 6, 12]))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(22, 6))
    return features, features @ rng.normal(size=(6, 15))


def test_each_fold_counts_by_its_pairs(data):
    found = cross_validate(make_pipeline(RDM()), *data, cv=FOLDS, scoring=RSAScorer(detail=True))
    expected = np.average(found["test_score"], weights=[6, 15, 66])
    np.testing.assert_allclose(weighted_scores(found), [expected])
    assert abs(expected - found["test_score"].mean()) > 0.01


def test_a_search_chooses_by_it(data):
    search = GridSearchCV(
        make_pipeline(RDM()),
        {"rdm__metric": ["euclidean", "correlation", "cosine"]},
        cv=FOLDS,
        scoring=RSAScorer(detail=True),
        refit=best_by_pairs,
    ).fit(*data)
    scores = weighted_scores(search.cv_results_)
    assert search.best_index_ == scores.argmax()
    splits = [search.cv_results_[f"split{k}_test_score"] for k in range(3)]
    np.testing.assert_allclose(scores, np.average(splits, axis=0, weights=[6, 15, 66]))


def test_undefined_scores_come_last():
    results = {
        "split0_test_score": [np.nan, 0.1, 0.3],
        "split1_test_score": [0.9, 0.2, 0.1],
        "split0_test_n_pairs": [10, 10, 10],
        "split1_test_n_pairs": [10, 10, 10],
    }
    assert best_by_pairs(results) == 2
    assert np.isnan(weighted_scores(results)[0])


def test_results_without_numbers_of_pairs():
    with pytest.raises(ValueError, match=r"'n_pairs': use scoring=RSAScorer\(detail=True\)"):
        best_by_pairs({"split0_test_score": [0.1]})
