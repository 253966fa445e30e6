"""Several subjects and regions in one table, whose numbers are those of single searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fmri.conftest import betas_of
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import RDM, ActivationStore, DNNFeatureExtractor, LayerSearchCV, RSAScorer
from skdnn.fmri import search_regions
from skdnn.rsa import compute_rdm, noise_ceiling, permutation_test


def search_of(study: Any, *steps: Any, **options: Any) -> LayerSearchCV:
    network = DNNFeatureExtractor(study.model, weights=None, random_state=study.random_state)
    pipeline = make_pipeline(network, StandardScaler(with_std=False), *steps)
    grid = {"dnnfeatureextractor__layer": list(study.planted.values())}
    return LayerSearchCV(pipeline, grid, cv=4, **options)


def rsa(study: Any, **options: Any) -> LayerSearchCV:
    return search_of(study, RDM("cosine"), RSAScorer("spearman"), **options)


@pytest.fixture(scope="module")
def brains(study: Any) -> Any:
    return {one.name: betas_of(study, k) for k, one in enumerate(study.subjects)}


def test_planted_layers_in_every_subject_and_region(
    study: Any, brains: Any, tmp_path: Any
) -> None:
    store = ActivationStore(tmp_path)
    table = search_regions(rsa(study, cache=store), study.images, brains, n_boot=100)
    assert len(table) == 2 * 3 * 3
    chosen = table[table["chosen"]]
    assert chosen["layer"].tolist() == 2 * list(study.planted.values())
    assert chosen["roi"].tolist() == 2 * list(study.planted)
    assert chosen["subject"].tolist() == ["sub-01"] * 3 + ["sub-02"] * 3
    assert (chosen["p_adjusted"] < 0.02).all()
    assert (table["p_adjusted"] >= table["p"]).all()
    assert (table["low"] < table["high"]).all()
    assert store.stats["images_forwarded"] == len(study.images)  # once, for six searches


def test_numbers_are_those_of_one_search_at_a_time(study: Any, brains: Any) -> None:
    table = search_regions(rsa(study), study.images, brains, n_boot=20, n_permutations=200)
    y = brains["sub-02"].roi("middle").averages()
    alone = rsa(study).fit(study.images, y).layer_profile_
    here = table[(table["subject"] == "sub-02") & (table["roi"] == "middle")]
    np.testing.assert_allclose(here["score"], alone["mean"])
    np.testing.assert_allclose(here["std"], alone["std"])
    features = DNNFeatureExtractor(study.model, "features.7", weights=None, random_state=0)
    centred = StandardScaler(with_std=False).fit_transform(features.fit_transform(study.images))
    tested = permutation_test(
        compute_rdm(centred, "cosine"), compute_rdm(y.to_numpy()), n_permutations=200,
        random_state=0,
    )  # fmt: skip
    assert here["p"].iloc[1] == pytest.approx(float(np.ravel(tested.p_values)[0]), abs=0.01)
    rdms = [compute_rdm(b.roi("middle").averages().to_numpy()) for b in brains.values()]
    assert tuple(here[["ceiling_lower", "ceiling_upper"]].iloc[0]) == pytest.approx(
        tuple(noise_ceiling(rdms))
    )


def test_one_subject_and_encoding(study: Any, brains: Any) -> None:
    """What compares no RDMs has no p; one subject's regions need no name of the subject."""
    arrays = {name: brains["sub-01"].roi(name).averages().to_numpy() for name in ("early", "late")}
    table = search_regions(search_of(study, Ridge(1e3)), study.images, arrays)
    assert table["roi"].tolist() == ["early"] * 3 + ["late"] * 3
    assert (table["subject"] == "").all()
    assert table[["low", "high", "p", "ceiling_lower"]].isna().all(axis=None)
    assert np.isfinite(table["score"]).all()
    alone = search_regions(rsa(study), study.images, brains["sub-01"], n_boot=0)
    assert alone["roi"].unique().tolist() == ["early", "middle", "late"]
    assert alone["ceiling_lower"].isna().all()


def test_other_images_are_refused_before_anything_runs(study: Any, brains: Any) -> None:
    class Untouched(LayerSearchCV):
        def fit(self, *args: Any, **params: Any) -> Any:
            raise AssertionError

    search = rsa(study)
    search.__class__ = Untouched
    with pytest.raises(ValueError, match="sub-01 are to 48 images, which are not those of X"):
        search_regions(search, study.images[::-1], brains)
    with pytest.raises(ValueError, match="responses of 'S1', 'V1' have 5 rows for 48 images"):
        search_regions(search, study.images, {"S1": {"V1": np.zeros((5, 2))}})


def test_progress_is_told_when_asked(study: Any, brains: Any, capsys: Any) -> None:
    search_regions(rsa(study), study.images, brains["sub-02"], n_boot=0, verbose=1)
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in told] == [
        f"{region}: {layer}" for region, layer in study.planted.items()
    ]
