"""A panel for each region, and marks where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn.plotting import RegionScoresDisplay
from skdnn.rsa import random_effects_test

LAYERS = ["conv1", "conv3", "fc6"]


def table(subjects: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            "subject": f"S{s}", "roi": roi, "layer": layer, "chosen": layer == peak,
            "score": 0.5 * (layer == peak) + 0.1 * rng.random() - 0.05,
            "p": 0.001 if layer == peak else 0.6, "ceiling_lower": 0.4, "ceiling_upper": low + 0.3,
        }
        for s in range(subjects)
        for roi, peak, low in (("V1", "conv1", 0.2), ("IT", "fc6", 0.3))
        for layer in LAYERS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def stars(ax: Any) -> list[int]:
    return [round(text.get_position()[0]) for text in ax.texts if text.get_text() == "*"]


def test_panels_lines_dots_and_rings() -> None:
    data = table()
    display = RegionScoresDisplay(data).plot(ylabel="r")
    assert [ax.get_title() for ax in display.axes_] == ["V1", "IT"]
    assert display.axes_[0].get_ylabel() == "r"
    for ax, roi in zip(display.axes_, ("V1", "IT"), strict=True):
        own = data[data["roi"] == roi]
        expected = own.groupby("layer", sort=False)["score"].mean()
        np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
        assert [tick.get_text() for tick in ax.get_xticklabels()] == LAYERS
        *dots, rings = ax.collections
        np.testing.assert_allclose(
            sorted(np.concatenate([d.get_offsets()[:, 1] for d in dots])), sorted(own["score"])
        )
        assert len(dots) == 4
        np.testing.assert_allclose(rings.get_offsets()[:, 1], own.loc[own["chosen"], "score"])
        assert {round(x) for x in rings.get_offsets()[:, 0]} == {0 if roi == "V1" else 2}


def test_stars_are_those_of_the_test_that_is_named() -> None:
    data = table()
    wide = data.pivot_table(index="subject", columns=["roi", "layer"], values="score", sort=False)
    p = random_effects_test(wide.to_numpy())["p_adjusted"].to_numpy().reshape(2, 3)
    several = RegionScoresDisplay(data).plot()
    assert [stars(ax) for ax in several.axes_] == [
        np.flatnonzero(row < 0.05).tolist() for row in p
    ]
    assert "* t over subjects, Holm, p < 0.05" in several.figure_.get_supxlabel()
    one = RegionScoresDisplay(table(1)).plot(alpha=0.01)
    assert [stars(ax) for ax in one.axes_] == [[0], [2]]  # 6 x .001 is below .01
    assert "* permutations of images, Holm, p < 0.01" in one.figure_.get_supxlabel()
    assert stars(RegionScoresDisplay(table(1)).plot(alpha=0.005).ax_) == []
    assert stars(RegionScoresDisplay(table(1).drop(columns="p")).plot().ax_) == []
    without = RegionScoresDisplay(data).plot(stars=False)
    assert stars(without.ax_) == []
    assert "*" not in without.figure_.get_supxlabel()


def test_the_ceiling_of_each_region() -> None:
    display = RegionScoresDisplay(table()).plot()
    spans = [ax.patches[0].get_extents().transformed(ax.transData.inverted()) for ax in
             display.axes_]  # fmt: skip
    np.testing.assert_allclose([(s.y0, s.y1) for s in spans], [(0.4, 0.5), (0.4, 0.6)])
    bare = RegionScoresDisplay(table()[["roi", "layer", "score", "subject"]]).plot()
    assert not bare.ax_.patches
    assert "ceiling" not in bare.figure_.get_supxlabel()


def test_it_is_saved(tmp_path: Path) -> None:
    RegionScoresDisplay(table()).plot(title="study").save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=["roi", "score"]), r"lacks the column\(s\) roi, score"),
        (lambda t: t[:0], "no rows"),
        (lambda t: pd.concat([t, t[:1]]), "several rows for the same"),
    ],
)
def test_what_cannot_be_drawn(change: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RegionScoresDisplay(change(table()))
