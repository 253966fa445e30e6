"""Layers over time: against the functions of single RDMs, mne-rsa and rsatoolbox."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import squareform

from helpers.mne_rsa import by_mne_rsa
from skdnn.rsa import (
    ceiling_test_over_time,
    compare_rdms,
    condition_test_over_time,
    noise_ceiling,
    partial_rdm_correlation,
    read_rdm_movie,
    regression_rsa,
    temporal_generalization,
    time_resolved_rsa,
)
from skdnn.rsa._time import _condition_tests

N_SUBJECTS, N_TIMES, N = 4, 7, 9
N_PAIRS = N * (N - 1) // 2
LAYERS = ("conv1", "conv3", "fc8")
NAMES = [f"image {k}" for k in range(N)]
TIMES = np.arange(N_TIMES) / 100
COMPARISONS = (
    *("spearman", "pearson", "kendall", "tau-a", "rho-a", "cosine"),
    *("corr_cov", "cosine_cov", "bures"),
)


@pytest.fixture
def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random(N_PAIRS) for name in LAYERS}


@pytest.fixture
def movie(layers: dict[str, np.ndarray]) -> np.ndarray:
    noise = np.random.default_rng(1).random((N_SUBJECTS, N_TIMES, N_PAIRS))
    return noise + np.linspace(0, 1, N_TIMES)[:, None] * layers["conv3"]


@pytest.fixture
def odd_movie(movie: np.ndarray) -> np.ndarray:
    """With ties, unknown pairs and a constant frame."""
    movie[1, 2] = np.round(5 * movie[1, 2])
    movie[2, 3, 4] = np.nan
    movie[3, 5] = 0.2
    return movie


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_scores_and_ceilings_of_every_frame(layers, odd_movie, comparison: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = time_resolved_rsa(layers, odd_movie, comparison)
        expected = np.stack([compare_rdms(layers, one, comparison) for one in odd_movie])
        bounds = [noise_ceiling(odd_movie[:, t], comparison) for t in range(N_TIMES)]
    assert_allclose(found.scores, expected, atol=1e-13)
    assert_allclose(found.ceilings, bounds, atol=1e-13)
    assert np.isnan(found.scores[3, :, 5]).all() == (comparison in (*COMPARISONS[:5], "corr_cov"))


def test_layers_with_nan(layers, movie) -> None:
    layers["conv1"][3] = np.nan
    found = time_resolved_rsa(layers, movie)
    assert_allclose(found.scores, [compare_rdms(layers, one) for one in movie], atol=1e-13)


@pytest.mark.parametrize("comparison", ["spearman", "pearson"])
def test_partial_and_regression_of_every_frame(layers, movie, comparison: str) -> None:
    control = {"pixels": np.random.default_rng(5).random(N_PAIRS)}
    found = time_resolved_rsa(layers, movie, comparison, partial=control)
    expected = [partial_rdm_correlation(layers, one, control, comparison) for one in movie]
    assert_allclose(found.scores, expected, atol=1e-12)
    assert found.held_constant == ["pixels"]
    others = time_resolved_rsa(layers, movie, comparison, partial=True).scores
    for number, name in enumerate(layers):
        rest = {key: rdm for key, rdm in layers.items() if key != name}
        single = [partial_rdm_correlation(layers[name], one, rest, comparison) for one in movie]
        assert_allclose(others[:, number], np.squeeze(single), atol=1e-12)
    both = time_resolved_rsa(layers, movie, comparison, regression=True)
    assert both.unique is not None
    assert both.r2 is not None
    for subject, one in enumerate(movie):
        fit = regression_rsa(layers, one, rank=comparison == "spearman")
        assert_allclose(both.scores[subject], fit.coefficients.to_numpy().T, atol=1e-12)
        assert_allclose(both.unique[subject], fit.unique.to_numpy().T, atol=1e-12)
        assert_allclose(both.r2[subject], fit.r2, atol=1e-12)
    assert {"unique", "r2"} <= set(both.to_frame())
    assert_allclose(both.ceilings, time_resolved_rsa(layers, movie, comparison).ceilings)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("spearman", "spearman", {}),
        ("pearson", "pearson", {}),
        ("tau-a", "kendall-tau-a", {}),
        ("pearson", "partial", {"partial": True}),
        ("spearman", "partial-spearman", {"partial": True}),
        ("pearson", "regression", {"regression": True}),
    ],
)
def test_agreement_with_mne_rsa(layers, movie, ours: str, theirs: str, options: dict) -> None:
    models = list(layers.values())
    if theirs == "regression":  # theirs has the units of the RDMs
        models = [(m - m.mean()) / m.std() for m in models]
        movie = (movie - movie.mean(-1, keepdims=True)) / movie.std(-1, keepdims=True)
    found = time_resolved_rsa(layers, movie, ours, **options)
    expected = by_mne_rsa(
        f"rsa {theirs}",
        lambda mne_rsa: [mne_rsa.rsa(list(one), models, metric=theirs) for one in movie],
    )
    assert_allclose(found.scores.swapaxes(1, 2), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("spearman", "spearman"), ("pearson", "corr"), ("cosine", "cosine"), ("tau-a", "tau-a"),
     ("rho-a", "rho-a"), ("corr_cov", "corr_cov")],
)  # fmt: skip
def test_agreement_with_rsatoolbox(layers, movie, ours: str, theirs: str) -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="an independent reference")
    found = time_resolved_rsa(layers, movie, ours)
    models = rsatoolbox.rdm.RDMs(np.stack(list(layers.values())))
    for time in range(N_TIMES):
        data = rsatoolbox.rdm.RDMs(movie[:, time])
        expected = rsatoolbox.rdm.compare(models, data, theirs)
        assert_allclose(found.scores[:, :, time].T, expected, atol=1e-10)
        if ours not in ("corr_cov", "tau-a"):
            bounds = rsatoolbox.inference.boot_noise_ceiling(data, method=theirs)
            assert_allclose(found.ceilings[time], bounds, atol=1e-10)


def test_labels_decide_the_order(layers, movie) -> None:
    order = np.random.default_rng(3).permutation(N)
    turned = {
        name: pd.DataFrame(squareform(rdm), NAMES, NAMES).iloc[order, order]
        for name, rdm in layers.items()
    }
    labelled = read_rdm_movie(movie, times=TIMES, conditions=NAMES)
    expected = time_resolved_rsa(layers, movie)
    found = time_resolved_rsa(turned, labelled)
    assert_allclose(found.scores, expected.scores, atol=1e-14)
    again = time_resolved_rsa(turned, movie, times=TIMES, conditions=NAMES)
    assert_array_equal(again.scores, found.scores)
    with pytest.warns(UserWarning, match="is labelled and movie is not"):
        time_resolved_rsa(turned, movie)
    with pytest.raises(ValueError, match="labelled differently"):
        time_resolved_rsa(turned, movie, conditions=[*NAMES[:-1], "other"])


def test_layers_and_partial_are_matched_with_each_other(layers, movie) -> None:
    """Of a movie without names too."""
    order = np.random.default_rng(3).permutation(N)
    first, held = ({name: pd.DataFrame(squareform(layers[name]), NAMES, NAMES)}
                   for name in ("conv1", "conv3"))  # fmt: skip
    expected = time_resolved_rsa(first, movie, partial=held, conditions=NAMES)
    turned = {name: one.iloc[order, order] for name, one in held.items()}
    with pytest.warns(UserWarning, match="layers is labelled and movie is not"):
        found = time_resolved_rsa(first, movie, partial=turned)
    assert_allclose(found.scores, expected.scores, atol=1e-14)
    with pytest.warns(UserWarning, match="partial is labelled and layers is not"):
        time_resolved_rsa(layers["conv1"], movie, partial=held)


def test_threads_and_blocks_change_nothing(layers, movie, monkeypatch) -> None:
    from skdnn.rsa._time import _scores_over_time

    whole = time_resolved_rsa(layers, movie)
    monkeypatch.setattr(_scores_over_time, "_BLOCK", 2 * N_SUBJECTS * N_PAIRS)
    for n_jobs in (1, 2):
        found = time_resolved_rsa(layers, movie, n_jobs=n_jobs)
        assert_allclose(found.scores, whole.scores, atol=1e-15)
        assert_allclose(found.ceilings, whole.ceilings, atol=1e-15)
    single = time_resolved_rsa(layers, movie[0].astype(np.float32))
    assert single.ceilings is None
    assert_allclose(single.scores[0], whole.scores[0], atol=1e-6)


def simulated(rng, n_times: int = 60, n_subjects: int = 10, noise: float = 1.0):
    """Layers that peak at 100, 150 and 200 ms; RDMs of 12 conditions."""
    layers = {name: rng.random(66) for name in LAYERS}
    times = np.arange(n_times) / 100 - 0.1
    peaks = dict(zip(LAYERS, (0.1, 0.15, 0.2), strict=True))
    course = {k: np.exp(-(((times - peak) / 0.04) ** 2))[:, None] for k, peak in peaks.items()}
    signal = sum(course[k] * layers[k] for k in LAYERS)
    return layers, times, signal + noise * rng.random((n_subjects, n_times, 66))


def test_planted_latencies_are_found() -> None:
    layers, times, movie = simulated(np.random.default_rng(0))
    result = time_resolved_rsa(layers, movie, times=times, regression=True)
    peaks = result.peaks(random_state=0)
    assert_allclose(peaks["latency"], [0.1, 0.15, 0.2], atol=0.0201)
    assert (peaks["low"] <= peaks["latency"]).all()
    assert (peaks["latency"] <= peaks["high"]).all()
    order = result.latency_order(random_state=0)
    assert order.correlation == 1
    assert order.p < 0.01
    assert result.latency_order(layers=LAYERS[::-1], random_state=0).p > 0.5
    result.scores[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 10 subjects are NaN"):
        result.latency_order()
    assert result.latency_order(start=times[1], random_state=0).correlation == 1
    result.scores[2, 1, 0] = 0
    test = result.test("cluster", random_state=0)
    onsets = test.onsets()
    assert onsets["conv1"] < onsets["fc8"]
    assert (test.spans().query("layer == 'fc8'")["start"] > 0.05).all()
    difference = result.test(pairs=[("fc8", "conv1")], random_state=0).spans()
    assert difference["layer"].unique().tolist() == ["fc8 - conv1"]
    assert difference["start"].between(0.15, 0.3).all()


def test_nothing_is_found_in_noise() -> None:
    rng = np.random.default_rng(4)
    layers, times, _ = simulated(rng)
    noise = rng.random((10, 60, 66))
    result = time_resolved_rsa(layers, noise, times=times)
    for kind in ("max", "cluster", "tfce"):
        assert result.test(kind, random_state=0).spans().empty
        assert condition_test_over_time(
            layers, noise[0], times=times, kind=kind, n_permutations=199, random_state=0
        ).spans().empty  # fmt: skip
        assert ceiling_test_over_time(
            noise, times=times, kind=kind, n_permutations=199, random_state=0
        ).spans().empty  # fmt: skip
    assert result.latency_order(random_state=0).p > 0.05


def test_one_subject_by_its_conditions() -> None:
    layers, times, movie = simulated(np.random.default_rng(0), noise=0.5)
    found = condition_test_over_time(
        layers, movie[0], times=times, n_permutations=299, random_state=0
    )
    strongest = found.clusters.sort_values("mass").groupby("layer")["p"].last()
    assert (strongest < 0.05).all()
    both = [
        condition_test_over_time(
            layers, movie[:2], times=times, kind="tfce", n_permutations=99, random_state=0,
            n_jobs=jobs, alternative="two-sided",
        )
        for jobs in (1, 2)
    ]  # fmt: skip
    assert_array_equal(both[0].null, both[1].null)
    assert found.permuted == "conditions"


def test_permuted_conditions_against_a_plain_loop() -> None:
    """Four conditions have few orders: the null holds scores of some of them."""
    rng = np.random.default_rng(2)
    model, data = rng.random(10), rng.random((3, 10))
    found = condition_test_over_time(model, data, kind="max", n_permutations=50, random_state=1)
    square = squareform(model)
    every = []
    for generator_order in range(200):
        order = np.random.default_rng(generator_order).permutation(5)
        every.append(compare_rdms(squareform(square[np.ix_(order, order)]), data).ravel())
    spread = np.std(every, axis=0)
    own = compare_rdms(model, data).ravel()
    assert_allclose(found.statistic[0], own / spread, atol=0.6)


def test_the_ceiling_is_tested(movie) -> None:
    rng = np.random.default_rng(1)
    shared = np.where(np.arange(20)[:, None] >= 10, rng.random(66), 0.0)
    subjects = shared + rng.random((6, 20, 66))
    found = ceiling_test_over_time(subjects, n_permutations=199, random_state=0)
    assert found.onsets()["noise ceiling"] == 10
    assert (found.p_values[0, :10] > 0.05).all()
    for comparison in ("pearson", "corr_cov", "cosine"):
        other = ceiling_test_over_time(subjects, comparison, n_permutations=99, random_state=0)
        assert other.p_values[0, 15] == 0.01
    with pytest.raises(ValueError, match="two subjects"):
        ceiling_test_over_time(movie[0])


@pytest.mark.parametrize("comparison", ["pearson", "cosine", "corr_cov", "cosine_cov", "rho-a"])
@pytest.mark.parametrize("ties", [False, True])
def test_the_ceiling_that_is_tested(movie, comparison: str, ties: bool) -> None:
    """The lower one; for ranks, whose pool is not ranked anew, by a plain loop."""
    if ties:
        movie = np.round(4 * movie) / 4
    both = [_condition_tests._prepared(read_rdm_movie(movie), s, comparison)
            for s in range(N_SUBJECTS)]  # fmt: skip
    first, second = (np.stack(form) for form in zip(*both, strict=True))
    found = _condition_tests._lower_ceilings(first, second, [np.arange(N_PAIRS)] * N_SUBJECTS)
    expected = [noise_ceiling(movie[:, t], comparison).lower for t in range(N_TIMES)]
    if comparison == "rho-a":
        rest = first.sum(axis=0) - first
        rest /= np.linalg.norm(rest, axis=2, keepdims=True)
        expected = (first * rest).sum(axis=2).mean(axis=0)
    assert_allclose(found, expected, atol=1e-12)


def test_one_time_against_others(movie) -> None:
    own = temporal_generalization(movie[1], comparison="pearson")
    assert_allclose(own.scores[0], compare_rdms(movie[1], movie[1], "pearson"), atol=1e-12)
    others = temporal_generalization(movie, comparison="pearson")
    rest = movie[[0, 2, 3]].mean(axis=0)
    assert_allclose(others.scores[1], compare_rdms(movie[1], rest, "pearson"), atol=1e-12)
    order = np.random.default_rng(3).permutation(N)
    frames = [pd.DataFrame(squareform(row), NAMES, NAMES).iloc[order, order]
              for row in movie[0, :3]]  # fmt: skip
    cross = temporal_generalization(movie, frames, conditions=NAMES)
    assert cross.scores.shape == (N_SUBJECTS, N_TIMES, 3)
    assert_allclose(cross.scores[2], compare_rdms(movie[2], movie[0, :3]), atol=1e-12)
    timed = temporal_generalization(movie, movie[::-1], times=TIMES)
    assert_array_equal(timed.other_times, TIMES)
    shifted = read_rdm_movie(movie, times=TIMES + 1)
    assert_array_equal(temporal_generalization(movie, shifted, times=TIMES).other_times, TIMES + 1)
    fewer = temporal_generalization(movie, movie[:, 1:], times=TIMES)
    assert_array_equal(fewer.other_times, np.arange(N_TIMES - 1))
    assert "4 subjects against others, 7 x 7 times" in repr(others)
    assert "7 x 7" in others._repr_html_()
    with pytest.raises(ValueError, match="two subjects or more"):
        temporal_generalization(movie[0], against="others")
    with pytest.raises(ValueError, match="leave against= out"):
        temporal_generalization(movie, movie, against="self")
    with pytest.raises(ValueError, match="holds 2 subjects"):
        temporal_generalization(movie, movie[:2])


def test_one_unknown_frame_is_that_subjects_alone(movie) -> None:
    movie[1, 2] = np.nan
    with pytest.warns(RuntimeWarning, match=r"1 of 4 subjects are NaN .* of 1 at 0\.02 and 0 s"):
        found = temporal_generalization(movie, comparison="pearson", times=TIMES)
    unknown = np.isnan(found.scores)
    assert unknown[1, 2].all()
    assert unknown.sum() == N_TIMES
    known = movie[[2, 3], 2].mean(axis=0)
    assert_allclose(
        found.scores[0, :, 2], compare_rdms(movie[0], known, "pearson").ravel(), atol=1e-12
    )


def test_tables_and_cards(layers, movie) -> None:
    result = time_resolved_rsa(
        layers, dict(zip("abcd", movie, strict=True)), times=TIMES, comparison="pearson"
    )
    table = result.to_frame()
    assert len(table) == N_SUBJECTS * len(LAYERS) * N_TIMES
    row = table.query("subject == 'c' and layer == 'fc8' and time == 0.03")
    assert row["score"].item() == result.scores[2, 2, 3]
    assert_allclose(result.mean.loc["conv3", 0.02], result.scores[:, 1, 2].mean())
    assert result.ceiling().loc[0.06, "upper"] == result.ceilings[6, 1]
    assert "peak latency" in repr(result)
    assert "highest noise ceiling" in result._repr_html_()
    with pytest.raises(ValueError, match="no noise ceiling"):
        time_resolved_rsa(layers, movie[0]).ceiling()
    assert np.isnan(time_resolved_rsa(layers, movie[0]).peaks()["low"]).all()


def test_what_is_refused(layers, movie) -> None:
    with pytest.raises(ValueError, match="two analyses"):
        time_resolved_rsa(layers, movie, partial=True, regression=True)
    with pytest.raises(ValueError, match="partial RSA over time is 'spearman' or 'pearson'"):
        time_resolved_rsa(layers, movie, "cosine", partial=True)
    with pytest.raises(ValueError, match="linearly dependent"):
        time_resolved_rsa({**layers, "twin": layers["fc8"]}, movie, regression=True)
    with pytest.raises(ValueError, match="'flat' is constant"):
        time_resolved_rsa({**layers, "flat": np.ones(N_PAIRS)}, movie, partial=True)
    with pytest.raises(ValueError, match="two or more"):
        time_resolved_rsa(layers["fc8"], movie, partial=True)
    with pytest.raises(ValueError, match="8 conditions"):
        time_resolved_rsa(layers, movie[..., :28])
    with pytest.warns(RuntimeWarning, match="of 'flat' at all times"):
        result = time_resolved_rsa({**layers, "flat": np.ones(N_PAIRS)}, movie)
    with pytest.raises(ValueError, match=r"'flat', 0 s.* are NaN"):
        result.test()
    with pytest.raises(ValueError, match="over subjects"):
        time_resolved_rsa(layers, movie[0]).test()
    with pytest.raises(ValueError, match="far above zero by chance"):
        time_resolved_rsa(layers, movie, "cosine").test()
    with pytest.raises(ValueError, match="'fc9' is no layer"):
        time_resolved_rsa(layers, movie).test(pairs=[("fc8", "fc9")])
    for pairs in (("conv1", "fc8"), [("conv1",)]):
        with pytest.raises(ValueError, match="give a list of pairs of layers"):
            time_resolved_rsa(layers, movie).test(pairs=pairs)
    with pytest.raises(ValueError, match="partial='conv1' is no RDM"):
        time_resolved_rsa(layers, movie, partial="conv1")
    with pytest.warns(RuntimeWarning, match="nothing is left of it beside what is held constant"):
        time_resolved_rsa(layers["fc8"], movie, partial=layers["fc8"])
    movie[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"first of subject 1 at 0\.02 s"):
        time_resolved_rsa(layers, movie, times=TIMES, regression=True)
    with pytest.raises(ValueError, match=r"subject 1 at 0\.02 s are constant or hold NaN"):
        condition_test_over_time(layers, movie, times=TIMES)
    with pytest.raises(ValueError, match="no form"):
        condition_test_over_time(layers, movie, "kendall")
    flat = {**layers, "flat": np.ones(N_PAIRS)}
    with pytest.raises(ValueError, match="'flat': an RDM that is constant"):
        condition_test_over_time(flat, movie[:1])
