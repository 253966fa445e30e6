"""Tests over time against mne.stats and plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from scipy.ndimage import gaussian_filter1d

from skdnn.rsa import time_course_test
from skdnn.rsa._inference import _time_course_test

N_SUBJECTS, N_LAYERS, N_TIMES = 8, 3, 40


@pytest.fixture
def scores() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(N_SUBJECTS, N_LAYERS, N_TIMES))
    found = gaussian_filter1d(noise, 2, axis=2)
    found[:, 1, 10:20] += 0.3
    return found


def all_t(scores: np.ndarray) -> np.ndarray:
    """t under all signs, (n_sets, n_layers, n_times)."""
    signs = np.array(list(product([1, -1], repeat=len(scores))))
    return np.stack([stats.ttest_1samp(scores * s[:, None, None], 0).statistic for s in signs])


def masses(one: np.ndarray, threshold: float) -> list[float]:
    """Sums over runs, by a loop over rows and times."""
    found = []
    for row in one:
        total = 0.0
        for value in [*row, -np.inf]:
            if value > threshold:
                total += value
            elif total:
                found.append(total)
                total = 0.0
    return found


def enhanced(one: np.ndarray, step: float) -> np.ndarray:
    """TFCE by a loop over heights and places."""
    out = np.zeros_like(one)
    for height in np.arange(step, one.max(), step):
        for row, into in zip(one, out, strict=True):
            for place in np.flatnonzero(row > height):
                start = stop = place
                while start > 0 and row[start - 1] > height:
                    start -= 1
                while stop + 1 < len(row) and row[stop + 1] > height:
                    stop += 1
                into[place] += np.sqrt(stop - start + 1) * height**2 * step
    return out


def test_cluster_masses_against_a_plain_loop(scores: np.ndarray) -> None:
    found = time_course_test(scores, kind="cluster")
    threshold = stats.t.isf(0.05, N_SUBJECTS - 1)
    every = [max([0.0, *masses(one, threshold)]) for one in all_t(scores)]
    assert found.exact
    assert_allclose(found.null, np.sort(every), atol=1e-9)
    assert found.clusters is not None
    own = masses(found.statistic, threshold)
    assert_allclose(found.clusters["mass"], own, rtol=1e-10)
    p = [(np.array(every) >= mass - 1e-9).mean() for mass in own]
    assert_allclose(found.clusters["p"], p, atol=1e-12)
    assert found.clusters["layer"].tolist() == sorted(found.clusters["layer"])


def test_enhancement_against_a_plain_loop(scores: np.ndarray) -> None:
    few = scores[:5]
    found = time_course_test(few, kind="tfce", tfce_step=0.3)
    every = [enhanced(one, 0.3).max() for one in all_t(few)]
    assert_allclose(found.null, np.sort(every), rtol=1e-8)


def reference(scores: np.ndarray, threshold: object, tail: int) -> tuple:
    mne = pytest.importorskip("mne", reason="the reference for clusters")
    adjacency = mne.stats.combine_adjacency(N_TIMES, sparse.coo_matrix((N_LAYERS, N_LAYERS)))
    return mne.stats.permutation_cluster_1samp_test(
        scores.transpose(0, 2, 1), threshold=threshold, n_permutations="all", tail=tail,
        adjacency=adjacency, out_type="mask", verbose="error",
    )  # fmt: skip


@pytest.mark.parametrize(("alternative", "tail"), [("greater", 1), ("less", -1), ("two-sided", 0)])
def test_clusters_are_those_of_mne(scores: np.ndarray, alternative: str, tail: int) -> None:
    threshold = stats.t.isf(0.05 / (1 + (tail == 0)), N_SUBJECTS - 1)
    t, clusters, _, null = reference(scores, threshold if tail >= 0 else -threshold, tail)
    found = time_course_test(scores, kind="cluster", alternative=alternative)
    assert_allclose(found.statistic, t.T, rtol=1e-9)
    theirs = sorted(t[cluster].sum() for cluster in clusters)
    assert found.clusters is not None
    assert_allclose(np.sort(found.clusters["mass"]), theirs, rtol=1e-9)
    assert len(found.null) == len(null) + 1  # theirs lacks one set of signs
    assert np.abs(np.abs(null)[:, None] - found.null).min(axis=1).max() < 1e-9


@pytest.mark.parametrize(("alternative", "tail"), [("greater", 1), ("two-sided", 0)])
def test_enhancement_is_that_of_mne(scores: np.ndarray, alternative: str, tail: int) -> None:
    enhanced_t, _, p, null = reference(scores, {"start": 0, "step": 0.2}, tail)
    found = time_course_test(scores, kind="tfce", alternative=alternative)
    nearest = np.abs(np.asarray(null)[:, None] - found.null).min(axis=1)
    assert (nearest < 1e-8 * np.maximum(null, 1)).all()
    reached = (found.null >= np.abs(enhanced_t.T)[..., None] * (1 - 1e-9)).mean(axis=-1)
    assert_allclose(found.p_values, reached, atol=1e-12)
    # Theirs lacks a random set of signs, and may count the observed one twice.
    assert_allclose(found.p_values.T.ravel(), p, atol=2.01 / len(null))


def test_infinite_t_under_some_signs_is_enhanced_too() -> None:
    """Where subjects differ by sign only, some set of signs makes them all alike."""
    scores = np.random.default_rng(0).normal(size=(6, 1, 12))
    scores[:, 0, 4] = [1, 1, -1, 1, 1, 1]
    found = time_course_test(scores, kind="tfce")
    assert np.isfinite(found.null).all()
    assert found.null[-1] > 1e6
    assert found.p_values[0, 4] >= 1 / 32
    plain = enhanced(np.minimum(found.statistic, 10_000 * 0.2), 0.2)
    alone = time_course_test(scores, kind="tfce", n_permutations=64)
    assert_allclose(alone.p_values, found.p_values)
    assert plain.argmax() == found.p_values.argmin()


def test_layers_never_join(scores: np.ndarray) -> None:
    """The last time of a layer is no neighbour of the next layer's first."""
    scores[:] = np.random.default_rng(1).normal(size=scores.shape) * 0.1
    scores[:, 0, -5:] += 1
    scores[:, 1, :5] += 1
    clusters = time_course_test(scores, kind="cluster", layers=["a", "b", "c"]).clusters
    assert clusters is not None
    large = clusters[clusters["mass"] > 20]
    assert large[["layer", "start", "stop"]].to_numpy().tolist() == [["a", 35, 39], ["b", 0, 4]]


def test_a_found_effect_is_told(scores: np.ndarray) -> None:
    times = np.arange(N_TIMES) / 100
    strong = np.concatenate([scores, scores[::-1] + 0.001])
    strong[:, 2, 25:30] -= 5
    found = time_course_test(
        strong, times=times, layers=["low", "mid", "high"], alternative="two-sided",
        n_permutations=499, random_state=0,
    )  # fmt: skip
    spans = found.spans()
    high = spans[spans["layer"] == "high"].iloc[0]
    assert (high["start"], high["stop"]) == (0.25, 0.29)
    assert found.onsets()["high"] == 0.25
    table = found.to_frame()
    assert table.shape == (N_LAYERS * N_TIMES, 4)
    row = table[(table["layer"] == "high") & (table["time"] == 0.25)]
    assert row["statistic"].item() == found.statistic[2, 25]
    assert "largest statistic" in repr(found)
    assert "spans below .05" in found._repr_html_()


def test_blocks_change_nothing(scores: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("max", "cluster", "tfce"):
        whole = time_course_test(scores, kind=kind).null
        monkeypatch.setattr(_time_course_test, "_BLOCK", 300)
        assert_allclose(time_course_test(scores, kind=kind).null, whole, rtol=1e-9)
        monkeypatch.undo()


def test_what_is_refused(scores: np.ndarray) -> None:
    broken = scores.copy()
    broken[3, 2, 5] = np.nan
    times = np.arange(N_TIMES) / 100
    with pytest.raises(ValueError, match=r"'c', 0\.05 s are NaN"):
        time_course_test(broken, layers=["a", "b", "c"], times=times)
    broken[:, 2, 5] = 0.1
    with pytest.raises(ValueError, match="same in all subjects"):
        time_course_test(broken, kind="cluster")
    with pytest.raises(ValueError, match="kind='mass'"):
        time_course_test(scores, kind="mass")
    with pytest.raises(ValueError, match="cluster_alpha"):
        time_course_test(scores, cluster_alpha=0.6)
    with pytest.raises(ValueError, match="tfce_step"):
        time_course_test(scores, tfce_step=0)
    with pytest.raises(ValueError, match="two or more subjects"):
        time_course_test(scores[:1])
    turned = [*times[1:], times[0]]
    for wrong in (times[::-1], turned, [*times[:-1], np.nan], np.zeros(N_TIMES)):
        with pytest.raises(ValueError, match="times must ascend, without NaN"):
            time_course_test(scores, times=wrong)
    with pytest.raises(ValueError, match="2 names in layers"):
        time_course_test(scores, layers=["a", "b"])
    assert_array_equal(time_course_test(scores[:, 0]).statistic.shape, (1, N_TIMES))
