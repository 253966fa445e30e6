"""The simulated study: files as they come from a scanner, and an answer that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.conftest import betas_of
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import RDM, DNNFeatureExtractor, LayerSearchCV, RSAScorer
from skdnn.datasets import make_study

nibabel = pytest.importorskip("nibabel")


def test_files_are_those_of_a_study(study: Any) -> None:
    assert len(study.images) == 48
    assert [Path(p).parent.name for p in study.images[::12]] == study.target_names
    one = study.subjects[1]
    assert [Path(p).name for p in one.events][-1] == "sub-02_ses-2_task-images_run-4_events.tsv"
    events = pd.read_csv(one.events[0], sep="\t")
    assert events.columns.tolist() == ["onset", "duration", "trial_type", "stim_file"]
    assert events["stim_file"].isna().sum() == 2
    assert nibabel.load(one.betas[0]).shape[3] == 48
    atlas = nibabel.load(one.atlas).get_fdata()
    assert [int((atlas == label).sum()) for label in (1, 2, 3)] == [100, 100, 100]


def test_one_seed_is_one_study(study: Any, tmp_path: Path) -> None:
    again = make_study(tmp_path / "a", n_subjects=1)
    other = make_study(tmp_path / "b", n_subjects=1, random_state=1)
    first, second, third = (
        np.asarray(nibabel.load(s.subjects[0].betas[2]).dataobj) for s in (study, again, other)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    assert Path(study.images[7]).read_bytes() == Path(again.images[7]).read_bytes()


@pytest.mark.parametrize("number", [0, 1])
def test_the_planted_layers_are_found(study: Any, number: int) -> None:
    betas = betas_of(study, number)
    assert betas.reliability()["ncsnr"].median() == pytest.approx(1, abs=0.1)  # noise is 1
    search = LayerSearchCV(
        make_pipeline(
            DNNFeatureExtractor(study.model, weights=None, random_state=study.random_state),
            StandardScaler(with_std=False),
            RDM("cosine"),
            RSAScorer("spearman"),
        ),
        {"dnnfeatureextractor__layer": list(study.planted.values())},
    )
    for region, layer in study.planted.items():
        found = search.fit(study.images, betas.roi(region).averages())
        assert found.best_params_ == {"dnnfeatureextractor__layer": layer}, region


def test_noise_alone_has_no_reliability(tmp_path: Path) -> None:
    loud = make_study(tmp_path, n_subjects=1, noise=1000.0)
    assert betas_of(loud, 0).reliability()["split_half"].mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n_images": 3}, "n_images must be at least 4"),
        ({"regions": {}}, "regions must be at least 1"),
        ({"regions": {"V1": "features.99"}}, "no layer 'features.99'"),
    ],
)
def test_what_cannot_be_made(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_study(tmp_path, **options)
