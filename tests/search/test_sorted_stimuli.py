"""Sorted stimuli: the folds of an integer hold all kinds, on every version of scikit-learn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from skdnn import DNNFeatureExtractor, LayerSearchCV
from skdnn.models import Model

KINDS = np.repeat([0, 1, 2], 6)  # sorted, as stimuli are


@pytest.fixture(scope="module")
def sorted_paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Red, then green, then blue noise."""
    folder = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    for number, kind in enumerate(KINDS):
        pixels = rng.integers(0, 80, (5, 7, 3), dtype=np.uint8)
        pixels[..., kind] += 170
        Image.fromarray(pixels).resize((60, 44)).save(folder / f"{number:02d}.png")
    return sorted(map(str, folder.iterdir()))


def search(model: Model, **options: Any) -> LayerSearchCV:
    pipeline = Pipeline([("dnn", DNNFeatureExtractor(model)), ("ridge", Ridge())])
    return LayerSearchCV(pipeline, {"dnn__layer": ["0", "3"]}, cv=3, **options)


def test_sorted_stimuli_of_three_kinds_are_shuffled(
    sorted_paths: list[str], witness: Model, met: Counter[float]
) -> None:
    """In order, each fold would ask for a kind that was never seen in training."""
    seen: list[set[int]] = []

    def note_kinds(fitted: Any, X: Any, y: np.ndarray) -> float:
        seen.append(set(y.argmax(axis=1).tolist()))
        return float(fitted.score(X, y))

    found = search(witness, scoring=note_kinds).fit(sorted_paths, np.eye(3)[KINDS])
    assert len(seen) == 6  # two layers in three folds
    assert all(len(kinds) > 1 for kinds in seen)
    assert found.best_score_ > 0.8
    assert set(met.values()) == {1}  # and each image went through the network once
