import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skdnn.rsa import RDM, compute_rdm

# The output of a row is its dissimilarities to the other rows of the same call.
EXPECTED_FAILED_CHECKS = {
    "check_methods_subset_invariance": "an RDM of a subset has other columns",
    "check_methods_sample_order_invariance": "reordering conditions also reorders columns",
}


@pytest.fixture
def frame():
    values = np.random.default_rng(0).normal(size=(8, 5))
    return pd.DataFrame(
        values, index=[f"im{i}.png" for i in range(8)], columns=[f"u{i}" for i in range(5)]
    )


def test_estimator_checks():
    results = check_estimator(
        RDM("euclidean"), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None, on_fail=None
    )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    # Strictly: what is expected to fail does.
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(
        EXPECTED_FAILED_CHECKS
    )
    assert sum(r["status"] == "passed" for r in results) > 25


@pytest.mark.parametrize("metric", ["correlation", "euclidean", "cityblock"])
def test_transform_is_the_rdm_of_its_rows(frame, metric):
    X = frame.to_numpy()
    rdm = RDM(metric).fit(X[:4])
    np.testing.assert_allclose(
        rdm.transform(X[3:]), squareform(pdist(X[3:], metric)), rtol=0, atol=1e-12
    )


def test_parameters_reach_the_metric(frame):
    X = frame.to_numpy()
    np.testing.assert_array_equal(
        RDM("gaussian", gamma=0.2).fit_transform(X), compute_rdm(X, "gaussian", gamma=0.2)
    )
    np.testing.assert_array_equal(
        RDM("minkowski", metric_params={"p": 4}).fit_transform(X),
        squareform(pdist(X, "minkowski", p=4)),
    )


def test_array_by_default_and_dataframe_on_request(frame):
    rdm = RDM().fit(frame)
    assert isinstance(rdm.transform(frame), np.ndarray)
    assert rdm.set_output(transform="pandas") is rdm
    out = rdm.transform(frame.iloc[2:6])
    assert list(out.index) == list(out.columns) == list(frame.index[2:6])
    rdm.set_output(transform=None)
    assert isinstance(rdm.transform(frame), pd.DataFrame)
    rdm.set_output(transform="default")
    assert isinstance(rdm.transform(frame), np.ndarray)


def test_pandas_without_labels(frame):
    out = RDM().set_output(transform="pandas").fit_transform(frame.to_numpy())
    assert list(out.index) == list(out.columns) == list(range(8))


def test_set_output_of_a_pipeline_survives_clone(frame):
    pipeline = make_pipeline(StandardScaler(), PCA(3), RDM()).set_output(transform="pandas")
    out = clone(pipeline).fit(frame).transform(frame)
    assert isinstance(out, pd.DataFrame)
    assert list(out.columns) == list(frame.index)


def test_global_output_config(frame):
    with sklearn.config_context(transform_output="pandas"):
        out = RDM().fit_transform(frame)
    assert list(out.columns) == list(frame.index)


def test_other_containers_are_refused():
    with pytest.raises(ValueError, match="'polars' is not supported"):
        RDM().set_output(transform="polars")


@pytest.mark.parametrize(
    "params",
    [{"metric": "corelation"}, {"metric": 3}, {"gamma": 0}, {"gamma": "a"}, {"metric_params": 3}],
)
def test_bad_parameters_are_found_at_fit(frame, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        RDM(**params).fit(frame)


def test_other_features_and_unfitted(frame):
    with pytest.raises(NotFittedError):
        RDM().transform(frame)
    with pytest.raises(ValueError, match="features"):
        RDM().fit(frame.to_numpy()).transform(frame.to_numpy()[:, :3])


def test_missing_values_are_named_at_fit(frame):
    frame.iloc[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"condition 'im2\.png'"):
        RDM().fit(frame)


def test_constant_condition_is_named(frame):
    frame.iloc[2] = 0.1
    with pytest.warns(RuntimeWarning, match=r"condition 'im2\.png' are NaN"):
        RDM().fit_transform(frame)


def test_pickle_clone_and_repr(frame):
    rdm = RDM("cosine", gamma=2).fit(frame)
    again = pickle.loads(pickle.dumps(rdm))
    np.testing.assert_array_equal(again.transform(frame), rdm.transform(frame))
    assert clone(rdm).get_params() == rdm.get_params()
    assert {"metric": "cosine", "gamma": 2, "metric_params": None}.items() <= (
        rdm.get_params().items()
    )
    assert "RDM" in rdm._repr_html_()
    assert repr(rdm) == "RDM(gamma=2, metric='cosine')"


def test_noise_and_priors_reach_the_metric():
    X = np.random.default_rng(0).poisson(4.0, (6, 5))
    noise = np.linspace(1, 2, 5)
    np.testing.assert_array_equal(
        clone(RDM("mahalanobis", noise_precision=noise)).fit_transform(X),
        compute_rdm(X, "mahalanobis", noise_precision=noise),
    )
    np.testing.assert_array_equal(
        RDM("poisson", prior_lambda=2.0, prior_weight=0.3).fit_transform(X),
        compute_rdm(X, "poisson", prior_lambda=2.0, prior_weight=0.3),
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"metric": "crossnobis"}, "call compute_rdm with conditions and folds"),
        ({"metric": "mahalanobis"}, "needs noise_precision"),
        ({"metric": "mahalanobis", "noise_precision": np.ones(4)}, r"shape \(4,\): for 5 feat"),
        ({"noise_precision": np.ones(5)}, "noise_precision is for"),
        ({"metric": "poisson", "prior_weight": 0}, "prior_weight"),
    ],
)
def test_what_rows_alone_cannot_give_is_found_at_fit(frame, params, message):
    with pytest.raises(ValueError, match=message):
        RDM(**params).fit(frame)
