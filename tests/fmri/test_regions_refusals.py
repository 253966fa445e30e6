"""What tables over regions refuse before anything runs, and rows that have no name to match."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer
from skdnn.encoding import LayerwiseEncoder, VoxelwiseRidgeCV
from skdnn.fmri import compare_regions, encode_regions, load_betas, search_regions
from skdnn.rsa import compute_rdm

N = 12
NAMES = [f"{number:02}.png" for number in range(N)]
EVENTS = pd.DataFrame({"stim_file": NAMES})


def betas_of(values: Any, **options: Any) -> Any:
    return load_betas(values, events=EVENTS, images=NAMES, **options)


@pytest.fixture
def values() -> Any:
    return np.random.default_rng(0).normal(size=(N, 6))


class Counting(VoxelwiseRidgeCV):
    """Fails if it is ever fitted."""

    def fit(self, X: Any, y: Any, **options: Any) -> Any:
        raise AssertionError("It was fitted.")


def test_labels_of_each_layer_are_checked(values: Any) -> None:
    frame = pd.DataFrame(values, index=NAMES)
    with pytest.raises(ValueError, match="not those of X"):
        encode_regions(
            LayerwiseEncoder(), {"a": frame, "b": frame.iloc[::-1]}, betas_of(values), cv=3
        )


def test_nan_of_the_second_subject_is_found_first(values: Any) -> None:
    broken = values.copy()
    broken[3, 1] = np.nan
    brains = {"sub-1": betas_of(values), "sub-2": betas_of(broken)}
    with pytest.raises(ValueError, match="sub-2: 1 of 6 voxels have NaN"):
        encode_regions(Counting(), values, brains, cv=3)


def test_columns_of_an_rdm_are_labelled_as_its_rows(values: Any) -> None:
    rdm = pd.DataFrame(compute_rdm(values), NAMES, NAMES[::-1])
    order = np.random.default_rng(0).permutation(N)
    betas = betas_of(values)
    with pytest.raises(ValueError, match=r"models\['m'\]"):
        compare_regions({"m": rdm}, betas, n_boot=10, n_permutations=10)
    shuffled = pd.DataFrame(compute_rdm(values), NAMES, NAMES).iloc[order, order]
    table = compare_regions({"m": shuffled}, betas, n_boot=10, n_permutations=10)
    np.testing.assert_allclose(table["score"], 1)
    with pytest.raises(ValueError, match=r"models\['m'\] holds 2 RDMs"):
        compare_regions({"m": np.stack([compute_rdm(values)] * 2)}, betas)


def test_responses_of_a_wrong_type(values: Any) -> None:
    models = {"m": compute_rdm(values)}
    with pytest.raises(ValueError, match="responses is empty"):
        compare_regions(models, {})
    with pytest.raises(TypeError, match="must be Betas, got dict"):
        compare_regions(models, {"V1": values})
    with pytest.raises(TypeError, match="a mapping by subject, got ndarray"):
        encode_regions(VoxelwiseRidgeCV(), values, values)


def search_of(*steps: Any, **axes: Any) -> LayerSearchCV:
    network = DNNFeatureExtractor("squeezenet1_1", weights=None, random_state=0)
    grid = {"dnnfeatureextractor__layer": ["features.3", "features.5"], **axes}
    return LayerSearchCV(make_pipeline(network, *steps), grid, cv=2)


@pytest.fixture
def images(tmp_path: Any) -> list[str]:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / name)
    return [str(tmp_path / name) for name in NAMES]


@pytest.mark.parametrize(
    "axes", [{"rdm__metric": ["correlation", "euclidean"]}, {"rsascorer__metric": ["euclidean"]}]
)
def test_intervals_need_a_grid_of_layers(images: Any, values: Any, axes: Any) -> None:
    search = search_of(RDM(), RSAScorer(), **axes)
    with pytest.raises(ValueError, match=r"beside layers.*n_boot=0"):
        search_regions(search, images, {"V1": values})
    assert len(search_regions(search, images, {"V1": values}, n_boot=0)) == 2


def test_labels_of_all_regions_are_checked_first(images: Any, values: Any, capsys: Any) -> None:
    good = pd.DataFrame(values, index=NAMES)
    with pytest.raises(ValueError, match="responses of 'IT': "):
        search_regions(
            search_of(RDM(), RSAScorer()), images, {"V1": good, "IT": good.iloc[::-1]},
            n_boot=0, verbose=1,
        )  # fmt: skip
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore")
def test_without_a_score_no_layer_is_chosen(images: Any, values: Any, capsys: Any) -> None:
    search = search_of(Ridge())
    search.set_params(scoring=lambda *_: np.nan)
    table = search_regions(search, images, {"V1": values}, verbose=1)
    assert not table["chosen"].any()
    assert "no layer has a score" in capsys.readouterr().out


def test_a_region_alone_has_no_empty_ones_beside_it(values: Any) -> None:
    rois = {"V1": np.arange(6) < 3, "IT": np.arange(6) > 2, "in V1": np.arange(6) < 1}
    betas = betas_of(values, mask=np.ones(6), rois=rois)
    assert list(betas.roi("V1").rois) == ["V1", "in V1"]
    models = {"m": compute_rdm(np.random.default_rng(1).normal(size=(N, 4)))}
    table = compare_regions(models, betas.roi("IT"), n_boot=10, n_permutations=10)
    assert table["roi"].tolist() == ["IT"]
