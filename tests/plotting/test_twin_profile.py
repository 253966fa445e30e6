"""A search beside its untrained twin: both profiles, named bars, dots where they differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skdnn.plotting import draw_with_twin

LAYERS = ["conv1", "conv2", "fc"]
TWIN = pd.DataFrame({"layer": LAYERS, "twin": [0.1, 0.2, 0.3], "twin_std": [0.01, 0.02, np.nan]})


class Layer(TransformerMixin, BaseEstimator):
    """Another power of the features by the name of the layer."""

    def __init__(self, layer: str = "fc") -> None:
        self.layer = layer

    def fit(self, X: np.ndarray, y: object = None) -> Layer:
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X ** (1 + LAYERS.index(self.layer))


@pytest.fixture(scope="module")
def search() -> GridSearchCV:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X[:, 0] + rng.normal(size=40)
    pipeline = Pipeline([("dnn", Layer()), ("ridge", Ridge())])
    return GridSearchCV(pipeline, {"dnn__layer": LAYERS}, cv=KFold(4)).fit(X, y)


def names(display: object) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]  # type: ignore[attr-defined]


def test_both_profiles_stand_in_one_picture(search: GridSearchCV) -> None:
    display = draw_with_twin(search, TWIN, n_seeds=2, ylabel="R2")
    assert names(display) == ["trained (± SD over folds)", "untrained (± SD over 2 seeds)"]
    lines = [np.asarray(line.get_ydata()) for line in display.ax_.lines]
    profiles = [line for line in lines if line.shape == (3,)]
    means = search.cv_results_["mean_test_score"]
    assert any(np.allclose(line, means) for line in profiles)
    assert any(np.allclose(line, TWIN["twin"]) for line in profiles)
    assert display.ax_.get_ylabel() == "R2"
    assert display.ax_.get_title() == ""
    assert names(draw_with_twin(search, TWIN))[1] == "untrained"


def test_dots_mark_layers_that_differ(search: GridSearchCV) -> None:
    tested = TWIN.assign(p_adjusted=[0.5, 0.04, 0.2])
    display = draw_with_twin(search, tested, n_seeds=2)
    assert "trained differs from untrained (Holm)" in display.ax_.get_title()
    assert any("0.05" in name for name in names(display))
    without = draw_with_twin(search, tested, n_seeds=2, alpha=0.01)
    assert without.ax_.get_title() == ""
    assert not any("0.01" in name for name in names(without))
