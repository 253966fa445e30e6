"""Rows of features and of responses that are labelled must be the same images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skdnn.encoding import (
    BandedRidgeCV,
    LayerFeatures,
    LayerwiseEncoder,
    SelectKBestRidge,
    VoxelwiseRidgeCV,
    nested_encoding,
)

IMAGES = [f"stimuli/{k:02}.png" for k in range(12)]
SHUFFLED = [*IMAGES[6:], *IMAGES[:6]]


@pytest.fixture
def layers() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    return {
        name: pd.DataFrame(rng.normal(size=(12, n)), IMAGES)
        for name, n in (("conv", 5), ("fc", 3))
    }


@pytest.fixture
def y() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(size=(12, 4)), IMAGES)


def test_layers_in_different_orders_are_refused(layers) -> None:
    layers["fc"] = layers["fc"].loc[SHUFFLED]
    with pytest.raises(
        ValueError, match=r"layer 'fc' are not those of 'conv': row 0 is .*06\.png"
    ):
        LayerFeatures(layers)


def test_labels_follow_the_rows(layers) -> None:
    features = LayerFeatures({**layers, "unlabelled": np.ones((12, 2))})
    assert features.row_names == IMAGES
    assert features[[3, 1]].row_names == [IMAGES[3], IMAGES[1]]
    assert features[np.arange(12) > 9][:1].row_names == [IMAGES[10]]
    assert LayerFeatures({"one": np.ones((12, 2))})[:3].row_names is None


@pytest.mark.parametrize("form", ["dict", "LayerFeatures", "columns of layers"])
@pytest.mark.parametrize("encoder", [LayerwiseEncoder(cv=3), BandedRidgeCV(cv=3, n_iter=1)])
def test_encoders_of_layers(layers, y, form: str, encoder) -> None:
    if isinstance(encoder, BandedRidgeCV):
        pytest.importorskip("himalaya")
    X = {
        "dict": layers,
        "LayerFeatures": LayerFeatures(layers),
        "columns of layers": pd.concat(layers, axis=1),
    }[form]
    encoder.fit(X, y)
    with pytest.raises(ValueError, match=r"row labels of y don't match.*row 0"):
        encoder.fit(X, y.loc[SHUFFLED])
    with pytest.raises(ValueError, match=r"row labels of y don't match"):
        nested_encoding(encoder, X, y.loc[SHUFFLED], 3)
    encoder.fit(X, y.loc[SHUFFLED].to_numpy())  # without labels the order is taken as given


@pytest.mark.parametrize("encoder", [VoxelwiseRidgeCV(cv=3), SelectKBestRidge(k=2)])
def test_encoders_of_one_table(layers, y, encoder) -> None:
    X = layers["conv"].rename(columns=str)
    encoder.fit(X, y)
    with pytest.raises(ValueError, match=r"row labels of y don't match"):
        encoder.fit(X, y.loc[SHUFFLED])
    stems = y.set_axis([name[8:-4] for name in IMAGES])
    table = nested_encoding(encoder, X, stems, 3)
    pd.testing.assert_frame_equal(table, nested_encoding(encoder, X, y.to_numpy(), 3))
    with pytest.raises(ValueError, match=r"row labels of y don't match"):
        nested_encoding(encoder, X, stems.iloc[::-1], 3)
