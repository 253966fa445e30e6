"""Reliability against its formulas, plain loops, and simulations whose truth is known."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import zscore

from skdnn.encoding import (
    _blocks_of_columns,
    correlation_score,
    explainable_variance,
    explained_variance_score,
    ncsnr,
    ncsnr_ceiling,
    normalize_scores,
    r2_score,
    split_half_reliability,
)
from skdnn.encoding._repeats import _single_trials as _repeated_responses

MEASURES = (split_half_reliability, explainable_variance, ncsnr)


def simulate(
    n_repeats: int = 4, n_images: int = 40, n_voxels: int = 6, noise: Any = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Trials and the signal in them, which has variance 1."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_images, n_voxels))
    return signal + noise * rng.normal(size=(n_repeats, n_images, n_voxels)), signal


def with_gaps(trials: np.ndarray, seed: int = 0) -> np.ndarray:
    """The last repeats of some images are missing; one image was shown once, one never."""
    out = trials.copy()
    n_repeats, n_images, _ = trials.shape
    kept = np.random.default_rng(seed).integers(2, n_repeats + 1, n_images)
    kept[0], kept[1] = 1, 0
    for image, count in enumerate(kept):
        out[count:, image] = np.nan
    return out


def test_split_half_equals_a_plain_loop_over_all_splits() -> None:
    trials, _ = simulate(n_repeats=4)
    expected = []
    for first in combinations(range(4), 2):
        if 0 not in first:
            continue  # the same split from the other side
        second = [k for k in range(4) if k not in first]
        a, b = trials[list(first)].mean(axis=0), trials[second].mean(axis=0)
        expected.append([np.corrcoef(a[:, v], b[:, v])[0, 1] for v in range(6)])
    r = np.mean(expected, axis=0)
    assert_allclose(split_half_reliability(trials, correct=False), r, rtol=1e-12)
    assert_allclose(split_half_reliability(trials), 2 * r / (1 + r), rtol=1e-12)


def test_split_half_of_two_repeats_is_one_correlation() -> None:
    trials, _ = simulate(n_repeats=2)
    r = [np.corrcoef(trials[0, :, v], trials[1, :, v])[0, 1] for v in range(6)]
    assert_allclose(split_half_reliability(trials, correct=False), r, rtol=1e-12)


def test_odd_numbers_are_corrected_for_the_true_length() -> None:
    trials, _ = simulate(n_repeats=3)
    r = np.mean(
        [
            [np.corrcoef(trials[i, :, v], trials[j, :, v])[0, 1] for v in range(6)]
            for i, j in combinations(range(3), 2)
        ],
        axis=0,
    )
    assert_allclose(split_half_reliability(trials), 3 * r / (1 + 2 * r), rtol=1e-12)


@pytest.mark.parametrize("n_repeats", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("split_by", ["repeat", "image"])
def test_split_half_finds_the_reliability_of_the_average(n_repeats: int, split_by: str) -> None:
    sd = 1.5
    trials, signal = simulate(n_repeats, 300, 300, sd)
    truth = 1 / (1 + sd**2 / n_repeats)
    found = split_half_reliability(trials, n_splits=10, split_by=split_by, random_state=0)
    assert abs(found.mean() - truth) < 0.012
    achieved = correlation_score(trials.mean(axis=0), signal)
    assert abs(np.sqrt(found.mean()) - achieved) < 0.01


@pytest.mark.parametrize("split_by", ["repeat", "image"])
def test_split_half_with_gaps(split_by: str) -> None:
    sd = 1.5
    trials, signal = simulate(6, 400, 300, sd)
    trials = with_gaps(trials)
    found = split_half_reliability(trials, n_splits=10, split_by=split_by, random_state=0)
    average = np.nanmean(trials[:, 2:], axis=0)
    achieved = correlation_score(average, signal[2:], multioutput="raw_values") ** 2
    assert abs(found.mean() - achieved.mean()) < 0.03


def test_images_that_are_left_out_of_a_split_do_not_count() -> None:
    trials = with_gaps(simulate(6, 20, 5)[0])
    for split_by in ("repeat", "image"):
        params: Any = {"split_by": split_by, "random_state": 0}
        found = split_half_reliability(trials + 500, **params)
        assert_allclose(found, split_half_reliability(trials, **params), rtol=1e-8)


def test_what_trials_of_a_repeat_share_is_no_noise_between_images() -> None:
    trials, _ = simulate(4, 200, 50)
    shifted = trials + 5 * np.arange(4)[:, None, None]
    assert_allclose(split_half_reliability(shifted), split_half_reliability(trials), rtol=1e-9)
    by_image = split_half_reliability(shifted, split_by="image", random_state=0)
    assert by_image.mean() < split_half_reliability(trials).mean() - 0.2
    assert_allclose(explainable_variance(shifted), explainable_variance(trials), rtol=1e-9)
    assert_allclose(ncsnr(shifted), ncsnr(trials), rtol=1e-9)
    assert (ncsnr(shifted, center_repeats=False) < ncsnr(trials, center_repeats=False)).all()


def test_explainable_variance_equals_the_published_formula() -> None:
    trials, _ = simulate(5, 30, 7)
    for data in (trials, zscore(trials, axis=1, ddof=1)):
        residual = data - data.mean(axis=0)
        total = data.var(axis=1, ddof=1).mean(axis=0)
        plain = (
            1
            - (residual - residual.mean(axis=1, keepdims=True)).var(axis=1, ddof=1).mean(axis=0)
            / total
        )
        ratio = data.mean(axis=0).var(axis=0, ddof=1) / total
        assert_allclose(plain, ratio, rtol=1e-12)
        assert_allclose(explainable_variance(data, bias_corrected=False), ratio, rtol=1e-12)
        corrected = ratio - (1 - ratio) / (5 - 1)
        assert_allclose(explainable_variance(data), corrected, rtol=1e-10)


def test_ncsnr_equals_the_published_formula() -> None:
    trials, _ = simulate(3, 500, 7, 1.2)
    flat = trials.reshape(-1, 7)
    scaled = (trials - flat.mean(axis=0)) / flat.std(axis=0, ddof=1)
    noise = scaled.var(axis=0, ddof=1).mean(axis=0)
    signal = 1 - noise
    # The total variance of n images and r repeats holds a little less of the signal.
    signal *= (3 * 500 - 1) / (3 * (500 - 1))
    found = ncsnr(trials, center_repeats=False)
    assert_allclose(found, np.sqrt(signal / noise), rtol=1e-10)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_variances_are_unbiased(gaps: bool, center: bool) -> None:
    trials, _ = simulate(4, 40, 4000, 2.0)
    if gaps:
        trials = with_gaps(trials)
    parts = _repeated_responses.variance_components(
        _repeated_responses.read_repeats(trials, stacklevel=1), centre=center
    )
    assert abs(parts.signal.mean() - 1) < 0.03
    assert abs(parts.noise.mean() / 4 - 1) < (0.02 if gaps and center else 0.01)


def test_pure_noise() -> None:
    rng = np.random.default_rng(0)
    trials = rng.normal(size=(4, 60, 3000))
    assert abs(split_half_reliability(trials, correct=False).mean()) < 0.01
    assert abs(explainable_variance(trials).mean()) < 0.005
    assert abs(explainable_variance(trials, bias_corrected=False).mean() - 1 / 4) < 0.005
    assert (ncsnr(trials) == 0).mean() > 0.4
    assert ncsnr(trials).min() == 0


def test_ncsnr_ceiling() -> None:
    assert_allclose(ncsnr_ceiling([0.0, 1.0, np.nan, np.inf]), [0, 0.5, np.nan, 1])
    assert_allclose(ncsnr_ceiling(0.5, 3, percent=True), 100 * 0.25 / (0.25 + 1 / 3))
    # the published formula for 1, 2 and 3 repeats of 5, 3 and 4 images
    counts = np.repeat([1, 2, 3], [5, 3, 4])
    published = 0.25 / (0.25 + (4 / 3 + 3 / 2 + 5 / 1) / 12)
    assert_allclose(ncsnr_ceiling(0.5, counts), published)
    with pytest.raises(ValueError, match="negative"):
        ncsnr_ceiling(-1)
    with pytest.raises(ValueError, match="n_repeats must hold"):
        ncsnr_ceiling(1, 0)


@pytest.mark.parametrize("measure", MEASURES)
def test_blocks_files_and_shapes(
    measure: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trials, _ = simulate(4, 20, 60)
    trials = with_gaps(trials)
    params = {"random_state": 0} if measure is split_half_reliability else {}
    whole = measure(trials, **params)
    assert whole.shape == (60,)
    deep = measure(trials.reshape(4, 20, 5, 12), **params)
    assert_array_equal(deep, whole.reshape(5, 12))
    monkeypatch.setattr(_blocks_of_columns, "WORK_ELEMENTS", 1)
    monkeypatch.setattr(_blocks_of_columns, "_MIN_COLUMNS", 7)
    monkeypatch.setattr(_blocks_of_columns, "_READ_BYTES", 80 * 8 * 20)
    assert_allclose(measure(trials, **params), whole, rtol=1e-12)
    with h5py.File(tmp_path / "trials.h5", "w") as file:
        stored = file.create_dataset("trials", data=trials)
        assert_allclose(measure(stored, **params), whole, rtol=1e-12)
    before = trials.copy()
    measure(trials, **params)
    assert_array_equal(trials, before)


@pytest.mark.parametrize("measure", MEASURES)
def test_unknown_and_constant_voxels(measure: Any) -> None:
    trials, _ = simulate(4, 20, 6)
    known = measure(trials[..., 2:])
    trials[1, 3, 0] = np.nan  # the others have a response there
    trials[..., 1] = 0.1
    with pytest.warns(RuntimeWarning, match=r"1 of 6 voxels .* \(columns 0\)") as caught:
        found = measure(trials)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isnan(found[:2]).all()
    assert_allclose(found[2:], known, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(1e-4, 1e4), shift=st.floats(-100, 100))
def test_scale_order_and_shift_do_not_matter(seed: int, scale: float, shift: float) -> None:
    trials, _ = simulate(4, 15, 3, seed=seed)
    rng = np.random.default_rng(seed)
    moved = scale * trials[:, rng.permutation(15)][rng.permutation(4)] + shift
    for measure in MEASURES:
        assert_allclose(measure(moved), measure(trials), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_responses_are_refused(measure: Any) -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 20\)"):
        measure(np.ones((4, 20)))
    with pytest.raises(ValueError, match="two repeats or more"):
        measure(np.ones((1, 20, 3)))
    with pytest.raises(TypeError, match="real numbers"):
        measure(np.full((2, 3, 4), "a"))


def test_bad_parameters_are_refused() -> None:
    trials, _ = simulate()
    with pytest.raises(ValueError, match="n_splits"):
        split_half_reliability(trials, n_splits=0)
    with pytest.raises(ValueError, match="split_by"):
        split_half_reliability(trials, split_by="run")


def test_splits_that_separate_no_trials_are_left_out() -> None:
    rng = np.random.default_rng(0)
    apart = np.full((4, 6, 2), np.nan)
    apart[:2, ::2], apart[2:, 1::2] = rng.normal(size=(2, 2, 3, 2))
    # Of three splits, 0 1 | 2 3 leaves no image with trials on both sides.
    both = [
        [np.corrcoef(a[:, v], b[:, v])[0, 1] for v in range(2)]
        for first, second in (((0, 2), (1, 3)), ((0, 3), (1, 2)))
        for a, b in [[np.nansum(apart[list(half)], axis=0) for half in (first, second)]]
    ]
    found = split_half_reliability(apart, correct=False)
    assert_allclose(found, np.mean(both, axis=0), rtol=1e-12)
    messages = []
    for seed in range(30):
        try:
            split_half_reliability(apart, n_splits=1, random_state=seed)
        except ValueError as error:
            messages.append(str(error))
    assert 0 < len(messages) < 30
    assert "split_by='image'" in messages[0]
    assert np.isfinite(split_half_reliability(apart, n_splits=1, split_by="image")).all()


@pytest.mark.parametrize("n_repeats", [1, 3])
@pytest.mark.parametrize("kind", ["r", "r2", "explained_variance"])
@pytest.mark.parametrize("ceiling_kind", ["reliability", "explainable_variance", "ncsnr", "max_r"])
def test_the_true_model_scores_one(n_repeats: int, kind: str, ceiling_kind: str) -> None:
    """Ceilings come from a repeated set of images, scores from averages of new ones."""
    noise = np.random.default_rng(5).uniform(0.8, 1.8, 500)
    trials, _ = simulate(3, 300, 500, noise, seed=1)
    scored, truth = simulate(n_repeats, 300, 500, noise, seed=2)
    measured = scored.mean(axis=0)
    score = {
        "r": correlation_score,
        "r2": r2_score,
        "explained_variance": explained_variance_score,
    }
    scores = score[kind](measured, truth, multioutput="raw_values")
    single = explainable_variance(trials)
    averaged = single / (single + (1 - single) / n_repeats)
    ceiling = {
        "reliability": averaged,
        "explainable_variance": single,
        "ncsnr": ncsnr(trials),
        "max_r": np.sqrt(averaged),
    }[ceiling_kind]
    about_one_trial = ceiling_kind in ("explainable_variance", "ncsnr")
    with pytest.warns(RuntimeWarning, match="above 1"):
        found = normalize_scores(
            scores,
            ceiling,
            kind="r" if kind == "r" else "r2",
            ceiling_kind=ceiling_kind,
            n_repeats=n_repeats if about_one_trial else None,
        )
    assert abs(found.values.mean() - 1) < 0.025
    assert 0.2 < found.above_one.mean() < 0.8
    assert_allclose(found.reliability, averaged, rtol=1e-9)
    # Where the wrong one is divided by, the true model is far from one.
    wrong = scores / (averaged if kind == "r" else np.sqrt(averaged))
    assert abs(wrong.mean() - 1) > 0.1


def test_the_true_model_scores_one_by_split_halves() -> None:
    trials, truth = simulate(4, 300, 500, 1.5)
    reliability = split_half_reliability(trials)
    measured = trials.mean(axis=0)
    for kind, score in (("r", correlation_score), ("r2", r2_score)):
        with pytest.warns(RuntimeWarning, match="above 1"):
            found = normalize_scores(
                score(measured, truth, multioutput="raw_values"), reliability, kind=kind
            )
        assert abs(found.values.mean() - 1) < 0.02


def test_ceilings_of_unequal_numbers_of_repeats() -> None:
    sd = 1.5
    trials, truth = simulate(6, 400, 300, sd)
    trials = with_gaps(trials)[:, 2:]
    counts = np.isfinite(trials[:, :, 0]).sum(axis=0)
    scores = r2_score(np.nanmean(trials, axis=0), truth[2:], multioutput="raw_values")
    with pytest.warns(RuntimeWarning, match="above 1"):
        found = normalize_scores(
            scores, ncsnr(trials), kind="r2", ceiling_kind="ncsnr", n_repeats=counts
        )
    assert abs(found.values.mean() - 1) < 0.02


def test_what_was_divided_is_said_and_flagged() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        found = normalize_scores(
            [0.3, 0.9, 0.2, 0.2, -0.1], [0.25, 0.64, 0.0, np.nan, 0.04], min_ceiling=0.0
        )
    assert ["2 of 5 targets" in str(w.message) for w in caught] == [True, False]
    assert "1 of 5 normalised scores are above 1" in str(caught[1].message)
    assert_allclose(found.values, [0.6, 1.125, np.nan, np.nan, -0.5])  # nothing is clipped
    assert_array_equal(found.above_one, [False, True, False, False, False])
    assert_array_equal(found.unreliable, [False, False, True, True, False])
    assert found.divided_by == "r / sqrt(reliability)"
    with pytest.warns(RuntimeWarning, match="not above 0.1"):
        found = normalize_scores([0.3, 0.1], [0.5, 0.1], kind="r2", min_ceiling=0.1)
    assert_allclose(found.values, [0.6, np.nan])
    assert found.divided_by == "r2 / reliability"
    found = normalize_scores([0.3], [0.5], ceiling_kind="max_r")
    assert_allclose(found.values, [0.6])
    assert found.divided_by == "r / sqrt(reliability), with reliability = max_r^2"
    found = normalize_scores([[0.3], [0.2]], [0.25, 0.16])
    assert_allclose(found.values, [[0.6, 0.75], [0.4, 0.5]])


@pytest.mark.parametrize("ceiling_kind", ["reliability", "explainable_variance", "ncsnr", "max_r"])
def test_negative_ceilings_are_unreliable(ceiling_kind: str) -> None:
    one = ceiling_kind in ("explainable_variance", "ncsnr")
    ceiling = [0.0 if ceiling_kind == "ncsnr" else -0.3, np.nan]
    with pytest.warns(RuntimeWarning, match="2 of 2 targets"):
        found = normalize_scores(
            [0.5, 0.5], ceiling, ceiling_kind=ceiling_kind, n_repeats=2 if one else None
        )
    assert np.isnan(found.values).all()


def test_ceilings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="per cent"):
        normalize_scores([0.5], [36.0])
    with pytest.raises(ValueError, match="n_repeats must say"):
        normalize_scores([0.5], [0.5], ceiling_kind="ncsnr")
    with pytest.raises(ValueError, match="n_repeats has no meaning"):
        normalize_scores([0.5], [0.5], n_repeats=3)
    with pytest.raises(ValueError, match="kind must be"):
        normalize_scores([0.5], [0.5], kind="rho")
    with pytest.raises(ValueError, match="ceiling_kind must be"):
        normalize_scores([0.5], [0.5], ceiling_kind="upper")


def test_images_of_one_trial_count_in_the_average() -> None:
    """The reliability is that of the average of all images, repeated or not."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(500, 200))
    trials = signal + 1.5 * rng.normal(size=(4, 500, 200))
    trials[1:, 200:] = np.nan
    average = np.nanmean(trials, axis=0)
    r = np.array([np.corrcoef(average[:, v], signal[:, v])[0, 1] for v in range(200)])
    for split_by in ("repeat", "image"):
        found = split_half_reliability(trials, split_by=split_by, random_state=0)
        assert np.mean(found) == pytest.approx(np.mean(r**2), abs=0.03)
    with pytest.warns(RuntimeWarning, match="above 1"):
        assert normalize_scores(r, found).values.mean() == pytest.approx(1, abs=0.05)
    only = split_half_reliability(trials[:, :200], random_state=0)
    assert np.mean(only) == pytest.approx(1 / (1 + 2.25 / 4), abs=0.03)
    unseen = np.concatenate([trials, np.full((4, 3, 200), np.nan)], axis=1)  # never shown
    assert_allclose(split_half_reliability(unseen, random_state=0),
                    split_half_reliability(trials, random_state=0), atol=1e-12)  # fmt: skip


def test_hardly_reliable_targets_are_left_out_and_counted() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        found = normalize_scores([0.3, 0.2, 0.1, 0.9], [0.25, 0.1, 0.05, 0.3])
    assert "2 of 4 targets have a reliability that is NaN or not above 0.1" in str(
        caught[0].message
    )
    assert_array_equal(found.unreliable, [False, True, True, False])
    assert (found.n_targets, found.n_unreliable, found.n_above_one) == (4, 2, 1)
