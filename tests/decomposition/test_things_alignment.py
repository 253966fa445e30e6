"""Published transforms against the formula, and files that are none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skdnn.decomposition import ThingsAlignment

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 7))
WEIGHTS = RNG.normal(size=(7, 3))


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "transform.npz", **{"weights": WEIGHTS, **arrays})
        return tmp_path / "transform.npz"

    return save


@pytest.mark.parametrize("bias", [None, RNG.normal(size=3), RNG.normal(size=(1, 3))])
@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.3, 1.7), (RNG.normal(size=7), RNG.uniform(1, 2, 7)), (np.float32([0.5]), np.ones((1, 7)))],
    ids=["numbers", "arrays", "shapes"],
)
def test_formula(saved, mean, std, bias):
    path = saved(mean=mean, std=std, **({} if bias is None else {"bias": bias}))
    expected = (X - mean) / std @ WEIGHTS + (0 if bias is None else bias)
    pipe = make_pipeline(FunctionTransformer(), clone(ThingsAlignment(path)))
    assert_allclose(pipe.fit_transform(X), expected, rtol=1e-12)
    single = ThingsAlignment(path).fit(X).transform(X.astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single, expected, rtol=1e-4, atol=1e-5)
    names = pipe[-1].get_feature_names_out()
    assert list(names) == [f"thingsalignment{n}" for n in range(3)]


def test_another_layer_is_refused(saved):
    with pytest.raises(ValueError, match="transform of 7 features, and X has 6"):
        ThingsAlignment(saved(mean=0.0, std=1.0)).fit(X[:, :6])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"mean": 0.0}, r"has no 'std', but \['mean', 'weights'\]"),
        ({"mean": np.ones(3), "std": 1.0}, r"mean has shape \(3,\), and weights \(7, 3\)"),
        ({"mean": 0.0, "std": 1.0, "bias": np.ones(7)}, "bias has shape"),
        ({"mean": 0.0, "std": 0.0}, "a std that is not above 0"),
        ({"mean": np.nan, "std": 1.0}, "NaN"),
        ({"mean": 0.0, "std": 1.0, "weights": np.ones(3)}, "not two axes"),
        ({"mean": np.array([None]), "std": 1.0}, "can't be read as a transform"),
    ],
)
def test_files_that_are_no_transforms(saved, arrays, reason):
    with pytest.raises(ValueError, match=rf"transform\.npz.*{reason}"):
        ThingsAlignment(saved(**arrays)).fit(X)


def test_other_files(tmp_path):
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 cut short")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(ValueError, match="can't be read as a transform"):
            ThingsAlignment(tmp_path / name).fit(X)
    with pytest.raises(FileNotFoundError):
        ThingsAlignment(tmp_path / "none.npz").fit(X)
