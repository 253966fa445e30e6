"""RDMs of epochs, against those of single times, mne-rsa and rsatoolbox."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import squareform

from helpers.mne_rsa import by_mne_rsa
from skdnn.rsa import compute_rdm, compute_rdm_movie, time_resolved_rsa
from skdnn.rsa._time import _compute_rdm_movie

N_TRIALS, N_CHANNELS, N_TIMES = 24, 7, 9
TIMES = np.arange(N_TIMES) / 100 - 0.02
LABELS = np.array(["cat", "dog", "saw", "axe"] * 6)
FOLDS = np.repeat([1, 2, 3], 8)


@pytest.fixture
def epochs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_TRIALS, N_CHANNELS, N_TIMES)) + 3.0


def precision(seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(N_CHANNELS, N_CHANNELS))
    return root @ root.T + np.eye(N_CHANNELS)


def by_time(epochs: np.ndarray, metric: str, **options) -> np.ndarray:
    rdms = [compute_rdm(epochs[:, :, t], metric, **options) for t in range(epochs.shape[2])]
    return np.stack([squareform(np.asarray(rdm), checks=False) for rdm in rdms])


METRICS = (
    *("correlation", "cosine", "euclidean", "sqeuclidean", "sqeuclidean_per_feature"),
    *("spearman", "gaussian", "cityblock"),
)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("conditions", [None, LABELS])
def test_every_time_is_an_rdm(epochs, metric: str, conditions, monkeypatch) -> None:
    monkeypatch.setattr(_compute_rdm_movie, "_BLOCK", 600)
    movie = compute_rdm_movie(epochs, metric, conditions=conditions, times=TIMES)
    assert_allclose(movie.pairs[0], by_time(epochs, metric, conditions=conditions), atol=1e-12)
    if conditions is not None:
        assert movie.conditions.tolist() == ["cat", "dog", "saw", "axe"]


def test_noise_precisions(epochs) -> None:
    for one in (precision(1), np.arange(1.0, N_CHANNELS + 1)):
        movie = compute_rdm_movie(epochs, "mahalanobis", conditions=LABELS, noise_precision=one)
        expected = by_time(epochs, "mahalanobis", conditions=LABELS, noise_precision=one)
        assert_allclose(movie.pairs[0], expected, rtol=1e-10)
    each = np.stack([precision(k) for k in range(N_TIMES)])
    movie = compute_rdm_movie(epochs, "mahalanobis", conditions=LABELS, noise_precision=each)
    for t in range(N_TIMES):
        expected = compute_rdm(
            epochs[:, :, t], "mahalanobis", conditions=LABELS, noise_precision=each[t]
        )
        assert_allclose(squareform(movie.pairs[0, t]), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", ["none", "all", "diagonal", "fold"])
@pytest.mark.parametrize("trials", ["balanced", "unbalanced", "missing"])
def test_crossnobis(epochs, kind: str, trials: str) -> None:
    labels = LABELS.copy()
    if trials == "unbalanced":
        labels[0] = "dog"
    elif trials == "missing":
        labels[FOLDS == 2] = np.where(labels[FOLDS == 2] == "axe", "saw", labels[FOLDS == 2])
    given = {
        "none": None,
        "all": precision(0),
        "diagonal": np.arange(1.0, N_CHANNELS + 1),
        "fold": {fold: precision(fold) for fold in (1, 2, 3)},
    }[kind]
    options = {"conditions": labels, "folds": FOLDS, "noise_precision": given}
    movie = compute_rdm_movie(epochs, "crossnobis", **options)
    assert_allclose(movie.pairs[0], by_time(epochs, "crossnobis", **options), atol=1e-11)


def test_crossnobis_with_a_precision_for_each_time(epochs) -> None:
    each = [precision(k) for k in range(N_TIMES)]
    options = {"conditions": LABELS, "folds": FOLDS}
    movie = compute_rdm_movie(epochs, "crossnobis", noise_precision=each, **options)
    expected = compute_rdm(epochs[:, :, 5], "crossnobis", noise_precision=each[5], **options)
    assert_allclose(squareform(movie.pairs[0, 5]), expected, atol=1e-11)


def test_windows(epochs) -> None:
    options = {"times": TIMES, "window": 0.03, "step": 0.02}
    movie = compute_rdm_movie(epochs, **options)
    assert_allclose(movie.times, TIMES[1:-1:2])
    mean = epochs[:, :, 2:5].mean(axis=2)
    assert_allclose(squareform(movie.pairs[0, 1]), compute_rdm(mean), atol=1e-12)
    long = compute_rdm_movie(epochs, pool="concatenate", **options)
    patterns = epochs[:, :, 2:5].reshape(N_TRIALS, -1)
    assert_allclose(squareform(long.pairs[0, 1]), compute_rdm(patterns), atol=1e-12)
    smooth = compute_rdm_movie(epochs, pool="gaussian", **options)
    weights = np.exp(-0.5 * (np.array([-1, 0, 1]) * 4 / 3) ** 2)
    mean = epochs[:, :, 2:5] @ (weights / weights.sum())
    assert_allclose(squareform(smooth.pairs[0, 1]), compute_rdm(mean), atol=1e-12)
    part = compute_rdm_movie(epochs, times=TIMES, start=0, stop=0.03)
    assert_allclose(part.times, [0, 0.01, 0.02, 0.03], atol=1e-12)
    assert_allclose(squareform(part.pairs[0, 0]), compute_rdm(epochs[:, :, 2]), atol=1e-12)


def test_close_and_constant_patterns(epochs) -> None:
    """Where a product would lose digits, differences are taken."""
    epochs[5, :, 3] = epochs[4, :, 3] + 1e-9 * epochs[3, :, 3]
    epochs[8, :, 6] = epochs[7, :, 6]
    epochs[:, :, 2] += 1e9
    for metric in ("correlation", "euclidean", "cosine"):
        movie = compute_rdm_movie(epochs, metric)
        assert_allclose(movie.pairs[0], by_time(epochs, metric), rtol=1e-7, atol=1e-15)
    epochs[2, :, 4] = 1.0
    with pytest.warns(RuntimeWarning, match=r"NaN at 1 of 9 times, first at 4 s"):
        movie = compute_rdm_movie(epochs)
    assert np.isnan(movie.pairs[0, 4]).sum() == N_TRIALS - 1


def test_agreement_with_mne_rsa(epochs) -> None:
    labels = np.sort(LABELS)  # theirs sorts conditions

    def compute(mne_rsa):
        patches = mne_rsa.searchlight(epochs.shape, temporal_radius=1)
        return list(
            mne_rsa.rdm_array(epochs, patches, dist_metric="correlation", labels=list(labels))
        )

    theirs = by_mne_rsa("rdm_array", compute)
    ours = compute_rdm_movie(
        epochs, conditions=labels, times=TIMES, window=0.03, pool="concatenate"
    )
    assert_allclose(ours.pairs[0], theirs, atol=1e-10)


@pytest.mark.parametrize("metric", ["correlation", "crossnobis", "mahalanobis"])
def test_agreement_with_rsatoolbox(epochs, metric: str) -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="an independent reference")
    labels = np.sort(LABELS[:8]).tolist() * 3  # sorted alike in every fold
    data = rsatoolbox.data.TemporalDataset(
        epochs, obs_descriptors={"image": labels, "run": FOLDS}, time_descriptors={"time": TIMES}
    )
    options: dict = {} if metric == "correlation" else {"noise": precision(3)}
    if metric == "crossnobis":
        options["cv_descriptor"] = "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = rsatoolbox.rdm.calc_rdm_movie(data, metric, descriptor="image", **options)
    ours = compute_rdm_movie(
        epochs, metric, conditions=labels, times=TIMES, noise_precision=options.get("noise"),
        folds=FOLDS if metric == "crossnobis" else None,
    )  # fmt: skip
    assert_allclose(ours.pairs[0], theirs.get_vectors(), atol=1e-10)


def test_epochs_of_mne(epochs) -> None:
    mne = pytest.importorskip("mne", reason="makes epochs")
    info = mne.create_info([f"MEG{k}" for k in range(N_CHANNELS)], 100.0, "mag")
    info["bads"] = ["MEG2"]
    codes = {"cat": 1, "dog": 5, "saw": 2, "axe": 9}
    events = np.array([(100 * k, 0, codes[label]) for k, label in enumerate(LABELS)])
    made = mne.EpochsArray(
        epochs, info, events, tmin=-0.02, event_id=codes, verbose="error",
        metadata=pd.DataFrame({"kind": ["animal", "tool", "other"] * 8}),
    )  # fmt: skip
    good = np.delete(epochs, 2, axis=1)
    movie = compute_rdm_movie(made)
    assert_allclose(movie.pairs, compute_rdm_movie(good, conditions=LABELS).pairs, atol=1e-12)
    assert_allclose(movie.times, TIMES, atol=1e-12)
    assert compute_rdm_movie(made, conditions="kind").conditions.tolist() == [
        "animal", "tool", "other",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no column of the epochs' metadata"):
        compute_rdm_movie(made, conditions="colour")
    with pytest.raises(ValueError, match="leave times= out"):
        compute_rdm_movie(made, times=TIMES)


def made_of(types, scales, epochs):
    """Epochs of MNE whose channels have these types, and numbers of these sizes."""
    mne = pytest.importorskip("mne", reason="makes epochs")
    names = [f"{kind}{k}" for k, kind in enumerate(types)]
    events = np.array([(100 * k, 0, code) for k, code in enumerate(pd.factorize(LABELS)[0])])
    info = mne.create_info(names, 100.0, types)
    values = epochs * np.array([scales[kind] for kind in types])[:, None]
    ids = {label: code for code, label in enumerate(pd.factorize(LABELS)[1])}
    return mne.EpochsArray(values, info, events, event_id=ids, verbose="error")


def test_types_of_channels_whose_scales_differ_are_told(epochs) -> None:
    several = ["mag", "grad", "eeg"] * N_CHANNELS
    several = several[:N_CHANNELS]
    real = {"mag": 1e-13, "grad": 1e-11, "eeg": 1e-6, "misc": 1e9}
    mixed = made_of(several, real, epochs)
    for metric in ("correlation", "euclidean"):
        with pytest.warns(UserWarning, match=r"mag \S+e-14, grad .*'eeg' decides") as told:
            compute_rdm_movie(mixed, metric)
        assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compute_rdm_movie(mixed.copy().pick("mag"))
        compute_rdm_movie(made_of(several, dict.fromkeys(real, 1.0), epochs))
        compute_rdm_movie(made_of(["grad"] * (N_CHANNELS - 1) + ["misc"], real, epochs))
        precision = np.array([real[kind] ** -2.0 for kind in several])
        compute_rdm_movie(mixed, "mahalanobis", noise_precision=precision)


def test_what_is_no_epochs_of_mne(epochs) -> None:
    mne = pytest.importorskip("mne", reason="makes them")
    made = made_of(["mag"] * N_CHANNELS, {"mag": 1.0}, epochs)
    evoked = made.average()
    raw = mne.io.RawArray(epochs[0], made.info, verbose="error")
    for other, advice in (
        (evoked, "epochs is EvokedArray of MNE: it is a mean over trials"),
        ([evoked, evoked], r"EvokedArray of MNE in a list: .* np\.stack"),
        (raw, "epochs is RawArray of MNE: cut it into mne.Epochs"),
        (made.compute_psd(verbose="error"), "of MNE: give mne.Epochs, or an array"),
    ):
        with pytest.raises(TypeError, match=advice):
            compute_rdm_movie(other)


def test_subjects_side_by_side(epochs) -> None:
    subjects = {
        name: compute_rdm_movie(epochs + k, conditions=LABELS, times=TIMES, subject=name)
        for k, name in enumerate(("sub-01", "sub-02"))
    }
    layer = compute_rdm(np.random.default_rng(1).normal(size=(4, 5)))
    result = time_resolved_rsa(
        {"fc": pd.DataFrame(layer, ["axe", "cat", "dog", "saw"], ["axe", "cat", "dog", "saw"])},
        subjects,
    )
    assert result.subjects.tolist() == ["sub-01", "sub-02"]
    assert result.scores.shape == (2, 1, N_TIMES)


def test_what_is_refused(epochs) -> None:
    with pytest.raises(ValueError, match="needs folds"):
        compute_rdm_movie(epochs, "crossnobis", conditions=LABELS)
    with pytest.raises(ValueError, match="needs conditions"):
        compute_rdm_movie(epochs, "crossnobis", folds=FOLDS)
    with pytest.raises(ValueError, match="folds are for"):
        compute_rdm_movie(epochs, folds=FOLDS)
    with pytest.raises(ValueError, match="one label"):
        compute_rdm_movie(epochs, "crossnobis", conditions=LABELS, folds=np.ones(N_TRIALS))
    with pytest.raises(ValueError, match="is not known"):
        compute_rdm_movie(epochs, "corelation")
    with pytest.raises(ValueError, match="n_trials, n_channels, n_times"):
        compute_rdm_movie(epochs[0])
    with pytest.raises(ValueError, match="conditions has 23 labels for 24 trials"):
        compute_rdm_movie(epochs, conditions=LABELS[:-1])
    with pytest.raises(ValueError, match="longer than the epochs"):
        compute_rdm_movie(epochs, times=TIMES, window=1)
    with pytest.raises(ValueError, match="pool='median'"):
        compute_rdm_movie(epochs, pool="median")
    with pytest.raises(ValueError, match="No window has its middle"):
        compute_rdm_movie(epochs, times=TIMES, start=2)
    with pytest.raises(ValueError, match="evenly spaced"):
        compute_rdm_movie(epochs, times=np.arange(N_TIMES) ** 2.0, window=20)
    with pytest.raises(ValueError, match="2 entries for 9 times"):
        compute_rdm_movie(
            epochs, "mahalanobis", conditions=LABELS, noise_precision=[precision(0), precision(1)]
        )
    epochs[7, 3, 4] = np.nan
    with pytest.raises(ValueError, match=r"trial 7 at 0\.02 s"):
        compute_rdm_movie(epochs, times=TIMES)


def test_what_stands_in_the_place_of_epochs_is_named(epochs) -> None:
    given = {"conditions": LABELS, "times": TIMES}
    for other, kind, told in (
        ("sub-01_epo.fif", TypeError, "'sub-01_epo.fif' is the name of a file: read it first"),
        ({"sub-01": epochs}, TypeError, "epochs is a dict, and those of one subject"),
        ([epochs, epochs], ValueError, r"shape \(2, 24, 7, 9\), and those of one subject"),
        ([epochs, epochs[:5]], ValueError, "arrays of several shapes, and those of one subject"),
        (epochs.transpose(1, 0, 2), ValueError, r"24 labels for 7 trials.*\(7, 24, 9\)"),
    ):
        with pytest.raises(kind, match=told):
            compute_rdm_movie(other, **given)
    with pytest.raises(ValueError, match="folds has 2 labels for 24 trials"):
        compute_rdm_movie(epochs, "crossnobis", folds=[1, 2], **given)


def test_milliseconds_are_told(epochs) -> None:
    given = {"conditions": LABELS, "times": 1000 * TIMES}
    with pytest.warns(UserWarning, match="steps of 10, .* divide milliseconds by 1000") as told:
        compute_rdm_movie(epochs, **given)
    assert told[0].filename == __file__
    for name in ("window", "step"):
        with (
            pytest.raises(ValueError, match=f"{name}=0.02 s is less than half of the 10 s"),
            pytest.warns(UserWarning, match="milliseconds"),
        ):
            compute_rdm_movie(epochs, **given, **{name: 0.02})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compute_rdm_movie(epochs, conditions=LABELS, times=2.0 * np.arange(N_TIMES))
