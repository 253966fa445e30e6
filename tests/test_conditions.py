"""Whether an image has a name is known of it, and not read from what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skdnn import DNNClassifier, DNNFeatureExtractor
from skdnn._conditions import as_conditions
from skdnn.model_comparison import compare_models

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
NAMES = ["X[a].png", "X[1].png", "X[0]"]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that are called like images in memory, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip(NAMES, PIXELS, strict=True):
        Image.fromarray(image).save(name, format="PNG")
    return NAMES


def network() -> DNNFeatureExtractor:
    return DNNFeatureExtractor("alexnet", "features.0", weights=None, device="cpu")


def test_labels_of_oddly_named_files_are_checked(odd: list[str]) -> None:
    y = pd.DataFrame(np.ones((3, 2)), index=["X[a]", "X[1]", "X[0]"])
    network().fit(odd, y)
    with pytest.raises(ValueError, match=r"row 0: y says 'X\[1\]', X is 'X\[a\].png'"):
        network().fit(odd, y.iloc[[1, 0, 2]])
    classes = pd.Series([1, 2, 3], index=y.index)
    with pytest.raises(ValueError, match="don't match the images"):
        DNNClassifier("alexnet", weights=None, device="cpu").fit(odd, classes[::-1])


def test_references_of_oddly_named_files_are_matched(odd: list[str]) -> None:
    square = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
    labels = ["X[0]", "X[a]", "X[1]"]
    found = compare_models(
        [network()],
        "features.0",
        odd,
        references=pd.DataFrame(square, index=labels, columns=labels),
        comparison="pearson",
    )
    values = found.rdms.to_numpy()[np.triu_indices(3, 1)]
    expected = np.corrcoef(values, [3.0, 1.0, 2.0])[0, 1]  # a-1, a-0, 1-0
    assert found.reference_scores.iloc[0, 0] == pytest.approx(expected)
    other = ["X[0]", "X[a]", "X[b]"]
    with pytest.raises(ValueError, match="no row for 1 of 3"):
        found.against(pd.DataFrame(square, index=other, columns=other))


@pytest.mark.parametrize("kind", ["pixels", "lists"])
def test_without_names_labels_are_not_looked_at(odd: list[str], kind: str) -> None:
    X: Any = PIXELS if kind == "pixels" else [[name] for name in odd]
    conditions = as_conditions(X)
    assert conditions.known_names == [None] * 3
    assert conditions.names == ["X[0]", "X[1]", "X[2]"]
    network().fit(X, pd.DataFrame(np.ones((3, 2)), index=["X[2]", "cat", "dog"]))


def test_each_row_of_a_mixture_has_its_own(odd: list[str], tmp_path: Path) -> None:
    (tmp_path / "X[9]").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "X[9]" / "a.png")
    X = [odd[0], PIXELS[0], "X[9]", [odd[1], odd[2]]]
    assert as_conditions(X).known_names == ["X[a].png", None, "X[9]", None]
    y = pd.DataFrame(np.ones((4, 2)), index=["X[a]", "anything", "X[9]", "both"])
    network().fit(X, y)
    with pytest.raises(ValueError, match=r"row 2: y says 'X\[8\]', X is 'X\[9\]'"):
        network().fit(X, y.rename({"X[9]": "X[8]"}))
