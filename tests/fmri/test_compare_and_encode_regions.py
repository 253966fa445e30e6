"""Tables over subjects and regions, whose numbers are those of one comparison at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.conftest import betas_of

from skdnn.encoding import VoxelwiseRidgeCV, nested_encoding, pool_folds
from skdnn.fmri import Betas, _encode_regions, compare_regions, encode_regions
from skdnn.plotting import RegionScoresDisplay
from skdnn.rsa import bootstrap_rsa, compute_rdm, noise_ceiling


@pytest.fixture(scope="module")
def brains(study: Any) -> Any:
    """Few voxels, of which some are in no region."""
    whole = {one.name: betas_of(study, k) for k, one in enumerate(study.subjects)}
    some = {name: betas.keep(np.arange(0, 300, 6)) for name, betas in whole.items()}
    for betas in some.values():
        del betas.rois["late"]
    return some


@pytest.fixture(scope="module")
def features(study: Any) -> Any:
    return np.random.default_rng(0).normal(size=(len(study.images), 5))


def test_comparisons_are_those_of_bootstrap_rsa(study: Any, brains: Any, features: Any) -> None:
    names = [Path(path).name for path in study.images]
    kind = compute_rdm(np.eye(4)[study.target], "euclidean")
    order = np.random.default_rng(1).permutation(len(names))
    labelled = pd.DataFrame(kind, names, names).iloc[order, order]
    models = {"random": compute_rdm(features), "kind": labelled}
    table = compare_regions(models, brains, "spearman", n_boot=30, n_permutations=99)
    assert table["layer"].tolist() == ["random", "kind"] * 4
    assert table["roi"].tolist() == (["early"] * 2 + ["middle"] * 2) * 2
    rdms = {name: compute_rdm(b.roi("middle").averages().to_numpy()) for name, b in brains.items()}
    alone = bootstrap_rsa(
        {"random": models["random"], "kind": kind}, rdms["sub-02"], n_boot=30,
        n_permutations=99, random_state=0,
    ).to_frame()  # fmt: skip
    here = table[(table["subject"] == "sub-02") & (table["roi"] == "middle")]
    for column in ("score", "low", "high", "p", "p_adjusted"):
        np.testing.assert_allclose(here[column], alone[column])
    expected = tuple(noise_ceiling(list(rdms.values())))
    assert tuple(here[["ceiling_lower", "ceiling_upper"]].iloc[1]) == pytest.approx(expected)
    display = RegionScoresDisplay(table).plot()
    assert [ax.get_title() for ax in display.axes_] == ["early", "middle"]


def test_models_of_other_images_are_refused(study: Any, brains: Any, features: Any) -> None:
    with pytest.raises(ValueError, match=r"models\['few'\] is of 5 images without names.*of 48"):
        compare_regions({"few": compute_rdm(features[:5])}, brains)
    names = [f"x{number}" for number in range(48)]
    other = pd.DataFrame(compute_rdm(features), names, names)
    with pytest.raises(ValueError, match=r"models\['other'\]: no row for 48 of 48 images"):
        compare_regions({"other": other}, brains)
    with pytest.raises(
        ValueError, match=r"models\['wide'\] must be a square RDM, got shape \(48, 5\)"
    ):
        compare_regions({"wide": features}, brains)
    with pytest.raises(ValueError, match="models is empty"):
        compare_regions({}, brains)


def test_encoding_is_that_of_each_subject(study: Any, brains: Any, features: Any) -> None:
    ridge = VoxelwiseRidgeCV()
    table = encode_regions(ridge, features, brains, cv=3, model="noise")
    assert len(table) == 2 * 3 * 50
    one = brains["sub-02"]
    ceiling = one.reliability()["ceiling"]
    alone = nested_encoding(ridge, features, one.averages(), 3, ceiling=ceiling)
    here = table[table["subject"] == "sub-02"].reset_index(drop=True)
    for column in ("voxel", "r", "normalised", "p"):
        np.testing.assert_allclose(here[column], alone[column])
    assert here["roi"][:50].tolist() == ["early"] * 17 + ["middle"] * 17 + [""] * 16
    one.unmask(pool_folds(here), columns="r")  # the voxels are those of the betas


def test_features_of_other_images_are_refused(study: Any, brains: Any, features: Any) -> None:
    with pytest.raises(ValueError, match="sub-01 have 48 images, X has 47 rows"):
        encode_regions(VoxelwiseRidgeCV(), features[:-1], brains)
    turned = pd.DataFrame(features, index=study.images[::-1])
    with pytest.raises(ValueError, match="sub-01 are to 48 images, which are not those of X"):
        encode_regions(VoxelwiseRidgeCV(), turned, brains)
    with pytest.raises(TypeError, match="sub-01 must be Betas, got dict"):
        encode_regions(VoxelwiseRidgeCV(), features, {"sub-01": {"V1": features}})


def test_regions_together(study: Any, brains: Any) -> None:
    one = brains["sub-01"]
    both = one.roi(["early", "middle"])
    assert both.n_voxels == 34
    assert both.rois["middle"].sum() == 17
    one.rois["all"] = np.ones(50, dtype=bool)
    assert set(one.regions_of_voxels) == {"early & all", "middle & all", "all"}
    del one.rois["all"]
    with pytest.raises(ValueError, match="no region 'IT'"):
        one.roi(["early", "IT"])
    with pytest.raises(ValueError, match="name is empty"):
        one.roi([])


def test_averages_of_each_subject_are_read_once(
    brains: Any, features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first is fitted; of more than fit into memory, once more."""
    few = {name: betas.keep(range(3)) for name, betas in brains.items()}
    of_class, read = Betas.averages, []

    def averages(self: Betas) -> pd.DataFrame:
        read.append(self)
        return of_class(self)

    monkeypatch.setattr(Betas, "averages", averages)
    table = encode_regions(VoxelwiseRidgeCV(), features, few, cv=3)
    assert read == list(few.values())
    monkeypatch.setattr(_encode_regions, "_HELD", 0)
    read.clear()
    pd.testing.assert_frame_equal(encode_regions(VoxelwiseRidgeCV(), features, few, cv=3), table)
    assert read == list(few.values()) * 2
