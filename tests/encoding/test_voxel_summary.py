"""Counts of predicted voxels, against counting by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skdnn.encoding import summarize_voxels

chance = np.random.default_rng(0)
VOXELS = pd.DataFrame(
    {
        "roi": chance.choice(["V1", "IT"], 60),
        "layer": chance.choice(["conv1", "fc"], 60),
        "r": chance.normal(size=60),
        "p_fdr": chance.uniform(0, 0.2, 60),
    }
)


def test_counts_by_area_and_layer() -> None:
    found = summarize_voxels(VOXELS, layers=["conv1", "conv2", "fc"], alpha=0.1).set_index("area")
    assert set(found.index) == {"all", "V1", "IT"}
    for area, row in found.iterrows():
        part = VOXELS if area == "all" else VOXELS.query(f"roi == '{area}'")
        assert row["voxels"] == len(part)
        assert row["median_r"] == np.median(part["r"])
        assert row["significant"] == np.count_nonzero(part["p_fdr"] < 0.1)
        for layer in ("conv1", "conv2", "fc"):
            sure = (part["p_fdr"] < 0.1) & (part["layer"] == layer)
            assert row[layer] == np.count_nonzero(sure)


def test_one_area_has_one_row() -> None:
    found = summarize_voxels(VOXELS.assign(roi=""))
    assert found["area"].tolist() == ["all"]
    assert set(found) >= {"conv1", "fc"}
