"""The whole study against plain numpy, and what it refuses."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
import pytest
from scipy.stats import spearmanr
from scipy.stats import t as student
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge

from skdnn.encoding import (
    BrainHierarchyScore,
    SelectKBestRidge,
    brain_hierarchy_score,
    hierarchy_permutation_test,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*the published test drops them:UserWarning")
ROIS = ["V1", "V4", "HVC"]
SUBJECTS = ["S1", "S2"]
SHAPES = {"conv1": (4, 3, 3), "conv2": (30,), "fc": (25,)}
N_TRAIN, N_TEST = 40, 30


def simulate(seed: int = 0, dtype: Any = np.float64, noise: float = 1.0) -> dict[str, Any]:
    """Layers, and subjects whose areas respond to one layer each; trials in random order.

    Subjects differ in their repeats, areas in their voxels, and S2 did not see two of the training
    images.
    """
    rng = np.random.default_rng(seed)
    X, X_test = (
        {name: (1 + rng.normal(size=(n, *shape))).astype(dtype) for name, shape in SHAPES.items()}
        for n in (N_TRAIN, N_TEST)
    )
    y: dict[str, dict[str, Any]] = {subject: {} for subject in SUBJECTS}
    y_test: dict[str, dict[str, Any]] = {subject: {} for subject in SUBJECTS}
    stimuli, test_stimuli = {}, {}
    for number, subject in enumerate(SUBJECTS):
        images = np.arange(N_TRAIN - 2 * number)
        stimuli[subject] = rng.permutation(np.concatenate([images, images, images[: 7 + number]]))
        test_stimuli[subject] = rng.permutation(np.repeat(np.arange(N_TEST), 3 + number))
        for roi, layer, n_voxels in zip(ROIS, SHAPES, (33, 21, 27), strict=True):
            weights = rng.normal(size=(np.prod(SHAPES[layer]), n_voxels + number))
            for out, features, rows in ((y, X, stimuli), (y_test, X_test, test_stimuli)):
                signal = features[layer].reshape(len(features[layer]), -1) @ weights
                shown = signal[rows[subject]]
                trials = 5 + shown + 4 * noise * rng.normal(size=shown.shape)
                out[subject][roi] = trials.astype(dtype)
    return {
        "X": X,
        "y": y,
        "X_test": X_test,
        "y_test": y_test,
        "stimuli": stimuli,
        "test_stimuli": test_stimuli,
    }


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return simulate()


def study(data: dict[str, Any], **parameters: Any) -> BrainHierarchyScore:
    settings = {"decoder": SelectKBestRidge(10, 15), "n_boot": 20} | parameters
    return BrainHierarchyScore(**settings).fit(**data)


# --- a direct script ---------------------------------------------------------------------------


def plain_decoder(x: Any, y: Any, new: Any, alpha: float, k: int) -> np.ndarray:
    """The formula of the decoder, target by target."""
    out = []
    for target in y.T:
        with np.errstate(invalid="ignore", divide="ignore"):
            r = [np.corrcoef(column, target)[0, 1] for column in x.T]
        chosen = np.argsort(np.abs(np.nan_to_num(r)))[::-1][:k]
        z = np.column_stack([x[:, chosen], np.ones(len(x))])
        w = np.linalg.solve(z.T @ z + alpha * np.eye(z.shape[1]), z.T @ target)
        out.append(np.column_stack([new[:, chosen], np.ones(len(new))]) @ w)
    return np.array(out).T


def plain_accuracies(
    data: dict[str, Any], direction: str, units: Any, voxels: Any, alpha: float, k: int
) -> dict[Any, np.ndarray]:
    """Every step on all trials, as in the paper."""
    found = {}
    for layer, subject, roi in product(SHAPES, SUBJECTS, ROIS):
        rows, test_rows = data["stimuli"][subject], data["test_stimuli"][subject]
        f, f_test = (data[name][layer].reshape(len(data[name][layer]), -1)
                     for name in ("X", "X_test"))  # fmt: skip
        brain, test = data["y"][subject][roi], data["y_test"][subject][roi]
        if direction == "decoding":
            f, f_test = f[:, units[layer]], f_test[:, units[layer]]
        else:
            brain, test = brain[:, voxels[subject, roi]], test[:, voxels[subject, roi]]
        seen = f[np.unique(rows)]
        f_mean, f_std = seen.mean(axis=0), seen.std(axis=0, ddof=1)
        f_std[f_std == 0] = 1
        f_trials = ((f - f_mean) / f_std)[rows]
        b_mean, b_std = brain.mean(axis=0), brain.std(axis=0, ddof=1)
        b_std[b_std == 0] = 1
        b_trials = (brain - b_mean) / b_std
        average = np.array([test[test_rows == image].mean(axis=0) for image in range(N_TEST)])
        if direction == "decoding":
            new = (average - b_mean) / b_std
            predicted = plain_decoder(b_trials, f_trials, new, alpha, k) * f_std + f_mean
            true = f_test
        else:
            new = (f_test - f_mean) / f_std
            predicted = plain_decoder(f_trials, b_trials, new, alpha, k) * b_std + b_mean
            true = average
        found[layer, subject, roi] = np.array(
            [
                np.corrcoef(t, p)[0, 1] if np.ptp(t) and np.ptp(p) else np.nan
                for t, p in zip(true.T, predicted.T, strict=True)
            ]
        )
    return found


def plain_score(found: dict[Any, np.ndarray], direction: str, test: str) -> float:
    """Spearman's correlation over kept units."""
    pairs = []
    levels, others = (list(SHAPES), ROIS) if direction == "decoding" else (ROIS, list(SHAPES))
    for subject, (number, level) in product(SUBJECTS, enumerate(levels)):
        keys = [(level, subject, o) if direction == "decoding" else (o, subject, level)
                for o in others]  # fmt: skip
        for unit in np.nan_to_num(np.array([found[key] for key in keys])).T:
            best = int(np.argmax(unit))
            r = unit[best]
            share = 1 - r**2
            t = r * np.sqrt((N_TEST - 2) * (share if test == "published" else 1 / share))
            if r > 0 and 2 * student.sf(t, N_TEST - 2) < 0.05:
                pairs.append((number, best))
    return float(spearmanr(*np.transpose(pairs)).statistic)


@pytest.mark.parametrize(("alpha", "k"), [(100, 500), (10, 15)])
def test_equals_plain_numpy(data: dict[str, Any], alpha: float, k: int) -> None:
    """Repeats, images that a subject did not see, drawn units and voxels."""
    found = study(data, decoder=SelectKBestRidge(alpha, k), n_units=28, n_voxels=22, test="t")
    scores = []
    assert {layer: len(units) for layer, units in found.units_.items()} == {
        "conv1": 28,
        "conv2": 28,
        "fc": 25,
    }
    assert len(found.voxels_["S1", "V1"]) == 22
    assert len(found.voxels_["S1", "V4"]) == 21
    for direction in ("decoding", "encoding"):
        expected = plain_accuracies(data, direction, found.units_, found.voxels_, alpha, k)
        ours = getattr(found, f"{direction}_accuracy_")
        assert set(ours) == set(expected)
        for place, accuracy in expected.items():
            np.testing.assert_allclose(ours[place], accuracy, rtol=0, atol=1e-10)
        scores.append(plain_score(expected, direction, "t"))
        assert getattr(found, f"{direction}_score_") == pytest.approx(scores[-1], abs=1e-10)
    assert found.score_ == pytest.approx(np.mean(scores), abs=1e-10)
    # The planted order is found, and the interval is around it.
    assert found.score_ > 0.3
    assert found.interval_[0] <= found.score_ <= found.interval_[1]


def test_published_test_and_one_direction(data: dict[str, Any]) -> None:
    found = study(data, direction="decoding", n_boot=None)
    expected = plain_accuracies(data, "decoding", found.units_, found.voxels_, 10, 15)
    assert found.score_ == pytest.approx(plain_score(expected, "decoding", "published"), abs=1e-10)
    assert not hasattr(found, "encoding_score_")
    assert not hasattr(found, "interval_")


def test_another_decoder(data: dict[str, Any]) -> None:
    """One that takes sample weights, one that does not: the same in full trials."""

    class Unweighted(BaseEstimator):
        def fit(self, X: Any, y: Any) -> Unweighted:
            self.ridge_ = Ridge(alpha=10).fit(X, y)
            return self

        def predict(self, X: Any) -> Any:
            return self.ridge_.predict(X)

    weighted, plain = (study(data, decoder=decoder) for decoder in (Ridge(alpha=10), Unweighted()))
    for place, accuracy in plain.encoding_accuracy_.items():
        np.testing.assert_allclose(weighted.encoding_accuracy_[place], accuracy, atol=1e-10)
    ours = study(data, decoder=SelectKBestRidge(10, 500, penalize_intercept=False))
    for place, accuracy in plain.decoding_accuracy_.items():
        np.testing.assert_allclose(ours.decoding_accuracy_[place], accuracy, atol=1e-10)


# --- dead units and voxels ---------------------------------------------------------------------


def test_dead_units() -> None:
    data = simulate(1)
    for side in ("X", "X_test"):
        data[side]["conv2"][:, [3, 8]] = 0.1  # a constant that is not exact in binary
    data["X_test"]["conv2"][:, 5] = 2  # dead over test images only
    data["X"]["conv2"][:, 6] = 2  # dead over training images only
    found = study(data)
    dead = np.zeros(30, bool)
    dead[[3, 5, 6, 8]] = True
    for subject, roi in product(SUBJECTS, ROIS):
        accuracy = found.decoding_accuracy_["conv2", subject, roi]
        np.testing.assert_array_equal(np.isnan(accuracy), dead)
        # They cost no voxel the layer.
        assert np.isfinite(found.encoding_accuracy_["conv2", subject, roi]).all()
    best = found.top_table_.query("direction == 'encoding' and best == 'conv2'")
    assert best["n_best"].sum() > 0
    expected = plain_accuracies(data, "encoding", found.units_, found.voxels_, 10, 15)
    for place, accuracy in expected.items():
        np.testing.assert_allclose(found.encoding_accuracy_[place], accuracy, atol=1e-10)


def test_constant_voxels_are_counted() -> None:
    data = simulate(2)
    data["y"]["S1"]["V4"][:, [2, 4]] = 7.3
    with pytest.warns(UserWarning, match=r"2 voxels are constant .*V4 of S1: 2"):
        found = study(data)
    for layer in SHAPES:
        nan = np.isnan(found.encoding_accuracy_[layer, "S1", "V4"])
        assert np.flatnonzero(nan).tolist() == [2, 4]
        assert np.isfinite(found.decoding_accuracy_[layer, "S1", "V4"]).all()


# --- sources -----------------------------------------------------------------------------------


def test_names_of_images(data: dict[str, Any]) -> None:
    """Trials may name images by path, file name or stem."""
    ids = [f"train/n{number:02d}.jpg" for number in range(N_TRAIN)]
    test_ids = [f"test/m{number:02d}.jpg" for number in range(N_TEST)]
    named = data | {
        "ids": ids,
        "test_ids": test_ids,
        "stimuli": {s: [Path(ids[row]).stem for row in rows]
                    for s, rows in data["stimuli"].items()},
        "test_stimuli": {s: [Path(test_ids[row]).name for row in rows]
                         for s, rows in data["test_stimuli"].items()},
    }  # fmt: skip
    plain, by_name = study(data), study(named)
    for place, accuracy in plain.decoding_accuracy_.items():
        np.testing.assert_array_equal(by_name.decoding_accuracy_[place], accuracy)


def test_features_on_disk(data: dict[str, Any], tmp_path: Path) -> None:
    """Datasets of h5py and memory maps, in this process and in others."""
    X: dict[str, Any] = {}
    X_test: dict[str, Any] = {}
    with h5py.File(tmp_path / "features.h5", "w") as file:
        for number, name in enumerate(SHAPES):
            for side, given in (("X", X), ("X_test", X_test)):
                flat = data[side][name].reshape(len(data[side][name]), -1)
                if number:
                    file[f"{side}/{name}"] = flat
                else:
                    np.save(tmp_path / f"{side}.npy", flat)
                    given[name] = np.load(tmp_path / f"{side}.npy", mmap_mode="r")
    plain = study(data, n_units=20)
    with h5py.File(tmp_path / "features.h5", "r") as file:
        X |= {name: file[f"X/{name}"] for name in list(SHAPES)[1:]}
        X_test |= {name: file[f"X_test/{name}"] for name in list(SHAPES)[1:]}
        for n_jobs in (None, 2):
            lazy = study(data | {"X": X, "X_test": X_test}, n_units=20, n_jobs=n_jobs)
            for direction in ("decoding_accuracy_", "encoding_accuracy_"):
                for place, accuracy in getattr(plain, direction).items():
                    found = getattr(lazy, direction)[place]
                    np.testing.assert_allclose(found, accuracy, rtol=0, atol=1e-12)


class Halves(BaseEstimator):
    """Stands for an extractor: a layer is a share of the image's numbers."""

    def extract(self, images: Any, layers: Any, *, flatten: bool = False) -> dict[str, Any]:
        assert flatten
        starts = {"conv1": slice(0, 36), "conv2": slice(36, 66), "fc": slice(66, 91)}
        return {name: np.stack([image[starts[name]] for image in images]) for name in layers}


def test_extractor(data: dict[str, Any]) -> None:
    images, test_images = (
        [np.concatenate([data[side][name][row].ravel() for name in SHAPES]) for row in range(n)]
        for side, n in (("X", N_TRAIN), ("X_test", N_TEST))
    )
    given = data | {"X": images, "X_test": test_images}
    found = study(given, extractor=Halves(), layers=list(SHAPES))
    assert found.score_ == study(data).score_
    with pytest.raises(ValueError, match="layers=None"):
        study(given, extractor=Halves())


def test_responses_are_checked_before_the_network_runs() -> None:
    class Never(Halves):
        def extract(self, images: Any, layers: Any, *, flatten: bool = False) -> dict[str, Any]:
            raise AssertionError("the network has run")

    images = {"X": ["a.png", "b.png", "c.png"], "X_test": [f"t{n}.png" for n in range(30)]}
    given = broken("nan voxel") | images
    given["stimuli"] = {s: np.resize(["a", "b", "c"], len(r)) for s, r in given["stimuli"].items()}
    given["test_stimuli"] = {
        s: [f"t{row}" for row in rows] for s, rows in given["test_stimuli"].items()
    }
    with pytest.raises(ValueError, match="HVC of S2 has NaN"):
        study(given, extractor=Never(), layers=list(SHAPES))


def test_extractor_with_a_cache(tmp_path: Path) -> None:
    """Features of a network, kept on disk, equal those in memory."""
    from torch import nn

    from skdnn import DNNFeatureExtractor
    from skdnn.models import Model

    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (14, 24, 20, 3), dtype=np.uint8))
    y, y_test = ({"S1": {roi: rng.normal(size=(n, 6)) for roi in ("V1", "HVC")}} for n in (10, 4))
    layers = ["0", "2"]
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Conv2d(4, 3, 5))
    model = Model(network, preprocess={"resize": None, "crop": None}, name="small")
    found = []
    for cache, n_jobs in ((None, None), (tmp_path, None), (tmp_path, 2)):
        extractor = DNNFeatureExtractor(model, cache=cache)
        estimator = BrainHierarchyScore(
            extractor, layers, n_units=40, n_boot=None, alpha=1, test="t", n_jobs=n_jobs
        )
        found.append(estimator.fit(X=images[:10], X_test=images[10:], y=y, y_test=y_test))
    for other in found[1:]:
        for place, accuracy in found[0].encoding_accuracy_.items():
            np.testing.assert_allclose(other.encoding_accuracy_[place], accuracy, atol=1e-10)
    assert found[0].layers_ == layers


# --- settings ----------------------------------------------------------------------------------


def test_reproducible(data: dict[str, Any]) -> None:
    first, again, other = (
        study(data, n_units=10, n_voxels=9, random_state=seed) for seed in (3, 3, 4)
    )
    assert first.score_ == again.score_
    assert first.interval_ == again.interval_
    assert any((first.units_[layer] != other.units_[layer]).any() for layer in SHAPES)
    numbered = {side: {7: data[side]["S1"]} for side in ("y", "y_test")}
    rows = {side: {7: data[side]["S1"]} for side in ("stimuli", "test_stimuli")}
    assert study(data | numbered | rows, n_voxels=9).subjects_ == [7]
    # Without a layer, the others draw the same units.
    X, X_test = ({n: data[side][n] for n in ("conv1", "fc")} for side in ("X", "X_test"))
    fewer = study(data | {"X": X, "X_test": X_test}, n_units=10, random_state=3)
    np.testing.assert_array_equal(fewer.units_["fc"], first.units_["fc"])


def test_layers_choose_and_order(data: dict[str, Any]) -> None:
    forth, back = (study(data, layers=names) for names in (["conv1", "fc"], ["fc", "conv1"]))
    assert forth.layers_ == ["conv1", "fc"]
    assert forth.decoding_score_ == pytest.approx(-back.decoding_score_)


def test_sampled_layers(data: dict[str, Any]) -> None:
    """Of three layers, each selection of two is the first and the last."""
    sampled = study(data, n_layers=2, n_draws=5, direction="decoding")
    ends = study(data, layers=["conv1", "fc"], direction="decoding")
    assert sampled.score_ == pytest.approx(ends.score_)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_change_nothing(data: dict[str, Any], backend: str) -> None:
    import joblib

    alone = study(data)
    with joblib.parallel_config(backend=backend):
        shared = study(data, n_jobs=2)
    for direction in ("decoding_accuracy_", "encoding_accuracy_"):
        for place, accuracy in getattr(alone, direction).items():
            found = getattr(shared, direction)[place]
            np.testing.assert_allclose(found, accuracy, rtol=0, atol=1e-12)


def test_conventions(data: dict[str, Any]) -> None:
    before = {side: {k: v.copy() for k, v in data[side].items()} for side in ("X", "X_test")}
    estimator = BrainHierarchyScore(decoder=SelectKBestRidge(10, 15), n_boot=5)
    parameters = estimator.get_params()
    found = clone(estimator).fit(**data)
    assert clone(found).get_params().keys() == parameters.keys()
    assert pickle.loads(pickle.dumps(found)).score_ == found.score_
    for side, layers in before.items():
        for name, values in layers.items():
            np.testing.assert_array_equal(data[side][name], values)
    with pytest.raises(ValueError, match="direction"):
        BrainHierarchyScore(direction="up").fit(**data)
    with pytest.raises(ValueError, match="'k' parameter of SelectKBestRidge"):
        study(data, decoder=SelectKBestRidge(10, 0))


def test_tables(data: dict[str, Any]) -> None:
    found = study(data, n_units=12, n_voxels=10)
    table = found.table_
    assert list(table) == ["direction", "layer", "subject", "roi", "target", "r", "p"]
    assert len(table) == 3 * 2 * 3 * (12 + 10)
    some = table.query("direction == 'encoding' and layer == 'fc' and subject == 'S2'")
    some = some[some["roi"] == "V4"]
    np.testing.assert_array_equal(some["target"], found.voxels_["S2", "V4"])
    np.testing.assert_array_equal(some["r"], found.encoding_accuracy_["fc", "S2", "V4"])
    top = found.top_table_
    assert top.query("direction == 'decoding'")["n_units"].eq(24).all()  # of two subjects
    assert top["proportion"].dropna().between(0, 1).all()


def test_plot(data: dict[str, Any]) -> None:
    mpl.use("agg")
    import matplotlib.pyplot as plt

    found = study(data)
    ax = found.plot()
    heights = np.array([[bar.get_height() for bar in bars] for bars in ax.containers])
    table = found.top_table_.query("direction == 'decoding'")
    for row, roi in enumerate(ROIS):
        shares = table[table["best"] == roi].set_index("level")["proportion"]
        np.testing.assert_allclose(heights[row], shares.loc[list(SHAPES)])
    assert [text.get_text().split("\n")[0] for text in ax.get_xticklabels()] == list(SHAPES)
    with pytest.raises(ValueError, match="was not computed"):
        study(data, direction="decoding").plot("encoding")
    copied = pickle.loads(pickle.dumps(ax.figure)).axes[0]  # with what notebooks ask for
    assert callable(ax._ipython_display_)
    assert callable(copied._ipython_display_)
    plt.close("all")


def test_estimate_is_printed(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    study(data, verbose=1)
    told = capsys.readouterr().err  # beside the progress bar
    assert "3 layers, 2 subjects, 3 areas" in told
    assert "34 of 36 jobs to do" in told  # one of each direction was measured
    study(data)
    assert capsys.readouterr() == ("", "")


# --- what is refused ---------------------------------------------------------------------------


def broken(fault: str) -> dict[str, Any]:
    data = simulate()
    y = data["y"]
    if fault == "trials":
        y["S1"]["V4"] = y["S1"]["V4"][:-1]
    elif fault == "stimuli":
        data["stimuli"]["S2"] = data["stimuli"]["S2"][:-3]
    elif fault == "unknown":
        data["stimuli"]["S2"] = data["stimuli"]["S2"].copy()
        data["stimuli"]["S2"][4] = 99
    elif fault == "both sets":
        for name in SHAPES:
            data["X_test"][name][5] = data["X"][name][11]
    elif fault == "both names":
        data["ids"] = [f"a/{n}.png" for n in range(N_TRAIN)]
        data["test_ids"] = [f"t{n}.png" for n in range(N_TEST - 1)] + ["a/7.png"]
    elif fault == "nan voxel":
        y["S2"]["HVC"][3, 9] = np.nan
    elif fault == "nan unit":
        data["X"]["conv2"][8, 1] = np.inf
    elif fault == "small layer":
        for side in ("X", "X_test"):
            data[side]["fc"] = data[side]["fc"][:, :2]
    elif fault == "no area":
        del y["S2"]["V4"]
    elif fault == "voxels":
        data["y_test"]["S1"]["V1"] = data["y_test"]["S1"]["V1"][:, 1:]
    elif fault == "unseen":
        keep = data["test_stimuli"]["S1"] != 6
        data["test_stimuli"]["S1"] = data["test_stimuli"]["S1"][keep]
        data["y_test"]["S1"] = {roi: v[keep] for roi, v in data["y_test"]["S1"].items()}
    elif fault == "images":
        data["X"]["fc"] = data["X"]["fc"][:-1]
    elif fault == "layers":
        del data["X_test"]["fc"]
    elif fault == "one layer":
        for side in ("X", "X_test"):
            data[side] = {"fc": data[side]["fc"]}
    elif fault == "no dict":
        data["X"] = data["X"]["fc"]
    elif fault == "subjects":
        del data["y_test"]["S2"]
    elif fault == "few images":
        data["X_test"] = {name: values[:14] for name, values in data["X_test"].items()}
    elif fault == "no stimuli":
        data["stimuli"] = None
    return data


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("trials", r"S1 have different numbers of training trials.*V4"),
        ("stimuli", r"stimuli of S2 has \d+ entries for \d+ training trials"),
        ("unknown", r"stimuli of S2 has 1 images that are unknown: 99.*0 to 39"),
        ("both sets", r"row 5 of X_test is row 11 of X"),
        ("both names", r"both the training and the test set: 'a/7.png'"),
        ("nan voxel", r"HVC of S2 has NaN or infinity in 1 of 28 voxels: 9"),
        ("nan unit", r"'conv2', training set has NaN or infinity in 1 images.*row 8"),
        ("small layer", r"'fc' has 2 units: at least 3"),
        ("no area", r"y\['S2'\] lacks \['V4'\]"),
        ("voxels", r"V1 of S1 has 33 voxels for training, but 32 for test"),
        ("unseen", r"S1 did not see 1 of the 30 test images \(rows 6\)"),
        ("images", r"'fc' has 39 training images, but there are 40"),
        ("layers", r"only one of them has \['fc'\]"),
        ("one layer", r"\['fc'\]: a hierarchy needs two"),
        ("no dict", r"X must be a dict of layer name"),
        ("subjects", r"only one of them has \['S2'\]"),
        ("few images", "published test gives no p-value below"),
        ("no stimuli", r"S1 has \d+ training trials for 40 images: say with stimuli="),
    ],
)
def test_bad_input_is_refused_before_the_work(
    fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("skdnn.encoding._hierarchy._study.run_jobs", no_work)
    with pytest.raises((ValueError, TypeError), match=message):
        study(broken(fault))


def test_chance() -> None:
    """Noise has no hierarchy: scores of several studies spread around zero."""
    scores = []
    for seed in range(8):
        data = simulate(seed)
        rng = np.random.default_rng(seed)
        for side in ("y", "y_test"):
            for subject, roi in product(SUBJECTS, ROIS):
                data[side][subject][roi] = rng.normal(size=data[side][subject][roi].shape)
        scores.append(study(data, n_boot=None, alpha=1).score_)
    assert abs(np.mean(scores)) < 0.15


def test_against_no_hierarchy(data: dict[str, Any]) -> None:
    done = study(data, test="t", adjust="sidak", n_permutations=60, random_state=0)
    rule = {"n_samples": N_TEST, "test": "t", "adjust": "sidak"}
    nulls = []
    for direction in ("decoding", "encoding"):
        found = getattr(done, f"{direction}_accuracy_")
        levels = [*SHAPES] if direction == "decoding" else ROIS
        others = ROIS if direction == "decoding" else [*SHAPES]
        pooled = []
        for level in levels:
            places = [
                [(level, s, o) if direction == "decoding" else (o, s, level) for o in others]
                for s in SUBJECTS
            ]
            pooled.append(np.hstack([[found[place] for place in each] for each in places]))
        score = brain_hierarchy_score(pooled, **rule)
        assert getattr(done, f"{direction}_score_") == pytest.approx(score)
        nulls.append(
            hierarchy_permutation_test(
                pooled, n_permutations=60, random_state=done._boot_seed, **rule
            ).null
        )
    null = np.mean(nulls, axis=0)
    null = null[~np.isnan(null)]
    assert done.expected_score_ == pytest.approx(null.mean())
    assert done.p_value_ == pytest.approx((1 + np.sum(null >= done.score_)) / (1 + len(null)))
    assert done.p_value_ < 0.1
    assert not hasattr(study(data, n_boot=None), "p_value_")
    few = {side: {s: {roi: data[side][s][roi] for roi in ROIS[:2]} for s in SUBJECTS}
           for side in ("y", "y_test")}  # fmt: skip
    with pytest.raises(ValueError, match="3 and 2 levels"):
        study(data | few, n_permutations=60)


@pytest.mark.filterwarnings("ignore:The brain hierarchy score is NaN:UserWarning")
def test_without_a_score_there_is_no_p(data: dict[str, Any]) -> None:
    """No unit is good enough for such a test: nothing was found, and nothing is significant."""
    strict = study(data, test="t", alpha=1e-15, n_boot=None)
    assert np.isnan(strict.score_)
    done = study(data, test="t", alpha=1e-15, n_boot=None, n_permutations=20)
    assert np.isnan([done.score_, done.p_value_, done.expected_score_]).all()
