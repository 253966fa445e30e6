"""``skdnn hierarchy``: the study and the score of the library, from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import BrainHierarchyScore, save_features
from skdnn.encoding import brain_hierarchy_score
from skdnn.formats import BData, as_hierarchy, read_accuracies, write_bdata, write_mat

N_TRAIN, N_TEST = 60, 24
NAMES = [f"img{n}.png" for n in range(1, N_TRAIN + N_TEST + 1)]
STEMS = [Path(name).stem for name in NAMES]
AREAS = ["V1", "HVC"]
chance = np.random.default_rng(0)
LAYERS = {name: chance.normal(size=(len(NAMES), 12)) for name in ("low", "high")}
OF_AREA = {"V1": "low", "HVC": "high"}


def trials(subject: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows of images in random order, each twice, and what the areas' voxels do."""
    rng = np.random.default_rng(subject)
    shown = rng.permutation(np.repeat(np.arange(len(NAMES)), 2))
    areas = {
        area: LAYERS[layer][shown] + rng.normal(size=(len(shown), 12))
        for area, layer in OF_AREA.items()
    }
    return shown, areas


SUBJECTS = {f"S{k}": trials(k) for k in (1, 2)}
OPTIONS = (
    *("--features", "f.h5", "--areas", *AREAS, "--test-images", "test.txt"),
    *("--test", "t", "--bootstrap", 20, "--seed", 3),
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_features(LAYERS, tmp_path / "f.h5", labels=NAMES)
    for subject, (shown, areas) in SUBJECTS.items():
        labels = [STEMS[row] for row in shown]
        save_features(areas, tmp_path / f"{subject}.h5", labels=labels)
    (tmp_path / "test.txt").write_text("\n".join(STEMS[N_TRAIN:]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_hand() -> BrainHierarchyScore:
    y, y_test, stimuli, test_stimuli = ({} for _ in range(4))
    for subject, (shown, areas) in SUBJECTS.items():
        train = shown < N_TRAIN
        y[subject] = {area: values[train] for area, values in areas.items()}
        y_test[subject] = {area: values[~train] for area, values in areas.items()}
        stimuli[subject], test_stimuli[subject] = shown[train], shown[~train] - N_TRAIN
    return BrainHierarchyScore(test="t", n_boot=20, random_state=3).fit(
        {layer: values[:N_TRAIN] for layer, values in LAYERS.items()},
        y,
        X_test={layer: values[N_TRAIN:] for layer, values in LAYERS.items()},
        y_test=y_test,
        stimuli=stimuli,
        test_stimuli=test_stimuli,
    )


def test_a_study_from_files_goes_on(study: Path, run_skdnn: Any, say: Any) -> None:
    words = ["hierarchy", *OPTIONS, "--responses", "S1.h5", "S2.h5", "--results", "kept"]
    done = run_skdnn(*words, "--json", "--out", "t.csv", "shares.png", cwd=study)
    assert done.returncode == 0, done.stderr
    found, expected = json.loads(done.stdout), by_hand()
    assert found["score"] == pytest.approx(expected.score_, abs=1e-12)
    assert (found["low"], found["high"]) == pytest.approx(expected.interval_, abs=1e-12)
    assert found["decoding"] == pytest.approx(expected.decoding_score_, abs=1e-12)
    table = pd.read_csv(study / "t.csv")
    np.testing.assert_allclose(table["r"], expected.table_["r"], atol=1e-12)
    assert (study / "shares.png").read_bytes().startswith(b"\x89PNG")
    kept = {path: path.stat().st_mtime_ns for path in (study / "kept").rglob("*.*")}
    assert len(kept) >= 16  # two directions, layers, subjects and areas
    said = say(*words)
    assert said.code == 0, said.err
    assert f"brain hierarchy score {expected.score_:.3f}" in said.out
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_bdata(study: Path, say: Any) -> None:
    for subject, (shown, areas) in SUBJECTS.items():
        data = np.column_stack([areas["V1"], areas["HVC"], shown + 1])
        flags = np.zeros((3, 25))
        flags[0, :12] = flags[1, 12:24] = flags[2, 24] = 1
        metadata = pd.DataFrame(flags, index=["ROI_V1", "ROI_HVC", "stimulus_name"])
        names = {float(row + 1): stem for row, stem in enumerate(STEMS)}
        brain = BData(data, metadata, vmap={"stimulus_name": names})
        write_bdata(study / f"brain-{subject}.h5", brain)
    files = ["brain-S1.h5", "brain-S2.h5"]
    said = say("hierarchy", *OPTIONS, "--responses", *files, "--json", "--quiet")
    assert said.code == 0, said.err
    assert json.loads(said.out)["score"] == pytest.approx(by_hand().score_, abs=1e-12)
    said = say("hierarchy", *OPTIONS, "--responses", *files, "--areas", "V1", "V9")
    assert said.code == 1
    assert "V9" in said.err
    assert "ROI_HVC" in said.err


def test_a_plan(study: Path, say: Any) -> None:
    said = say("hierarchy", *OPTIONS, "--responses", "S1.h5", "S2.h5", "--dry-run", "--json",
               "--direction", "decoding", "--results", "kept", "--out", "t.csv")  # fmt: skip
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert (facts["training_images"], facts["test_images"], facts["jobs"]) == (60, 24, 8)
    assert facts["subjects"]["S1"] == {"trials": 168, "voxels": {"V1": 12, "HVC": 12}}
    assert not (study / "kept").exists()
    assert not (study / "t.csv").exists()


def test_a_plan_is_refused_where_the_study_will_be(study: Path, say: Any) -> None:
    """The same words with and without --dry-run, and nothing is written."""
    shown, areas = SUBJECTS["S1"]
    of_test = shown >= N_TRAIN
    save_features(
        {area: values[of_test] for area, values in areas.items()},
        study / "untrained.h5",
        labels=[STEMS[row] for row in shown[of_test]],
    )
    holes = {name: values.copy() for name, values in LAYERS.items()}
    holes["high"][4, 7] = np.nan
    save_features(holes, study / "holes.h5", labels=NAMES)
    twins = {name: np.vstack([values[:83], values[:1]]) for name, values in LAYERS.items()}
    save_features(twins, study / "twins.h5", labels=NAMES)
    (study / "few.txt").write_text("\n".join(STEMS[N_TRAIN : N_TRAIN + 2]))
    (study / "ten.txt").write_text("\n".join(STEMS[N_TRAIN : N_TRAIN + 10]))
    (study / "file").write_text("")
    words = ["hierarchy", *OPTIONS, "--direction", "decoding"]
    for options, culprit in (
        (["--responses", "untrained.h5"], "untrained has 0 training images"),
        (["--responses", "S1.h5", "untrained.h5"], "untrained has 0 training images"),
        (["--responses", "S1.h5", "--features", "holes.h5"], "'high', training set has NaN"),
        (["--responses", "S1.h5", "--features", "twins.h5"], "1 test images have the features"),
        (["--responses", "S1.h5", "--layer", "high"], "a hierarchy needs two or more"),
        (["--responses", "S1.h5", "--areas", "V1"], "a hierarchy needs two or more"),
        (["--responses", "S1.h5", "--test-images", "few.txt"], "few.txt names 2 images"),
        (["--responses", "S1.h5", "--random-layers", 3], "--random-layers 3, but there are 2"),
        (
            ["--responses", "S1.h5", "--test", "published", "--test-images", "ten.txt"],
            "With 10 test images the published test gives no p-value below",
        ),
        (["--responses", "S1.h5", "--test", "published", "--test-images", "ten.txt"], "--test t"),
        (["--responses", "S1.h5", "--units", 0], "n_units"),
        (["--responses", "S1.h5", "--alpha", 3], "alpha"),
        (["--responses", "S1.h5", "--results", "file"], "--results file is a file"),
    ):
        errors = [say(*words, *options, *more) for more in (["--dry-run"], [])]
        assert [said.code for said in errors] == [1, 1], options
        assert culprit in errors[0].err
        assert errors[0].err.splitlines()[-1] == errors[1].err.splitlines()[-1]
        assert errors[0].out == ""


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Accuracies of two networks as they are published."""
    settings = {
        "subjects": ["sub-01", "sub-02"],
        "rois": AREAS,
        "dnns": {
            name: {"dir": f"caffe/{name}", "layers": ["conv1", "conv2", "fc3"]}
            for name in ("Good", "Bad")
        },
    }
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "settings.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    for kind in ("decoding", "encoding"):
        for name, network in settings["dnns"].items():
            for depth, layer in enumerate(network["layers"]):
                for subject in settings["subjects"]:
                    for place, roi in enumerate(AREAS):
                        near = 0.5 - 0.1 * abs(depth / 2 - place) * (name == "Good")
                        values = np.clip(near + 0.1 * rng.normal(size=(1, 40)), 0, 0.9)
                        folder = tmp_path / "p" / kind / "ImageNetTest" / network["dir"] / layer
                        write_mat(folder / subject / roi / "accuracy.mat", {"accuracy": values})
    return tmp_path / "p"


def test_accuracies(published: Path, run_skdnn: Any, tmp_path: Path) -> None:
    done = run_skdnn(
        *("hierarchy", "--accuracies", published, "--bootstrap", 20, "--test", "t", "--json"),
        *("--out", "ranks.csv", "ranks.svg"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["network"] for row in rows] == ["Good", "Bad"]
    for row in rows:
        scores = []
        for kind in ("decoding", "encoding"):
            accuracies = read_accuracies(published / kind, published / "settings.json")
            levels = as_hierarchy(accuracies[row["network"]], kind)
            scores.append(brain_hierarchy_score(levels, n_samples=50, test="t"))
            assert row[kind] == pytest.approx(scores[-1], abs=1e-9)
            assert row[f"{kind}_low"] <= row[f"{kind}_high"]
        assert row["score"] == pytest.approx(np.mean(scores), abs=1e-9)
    assert pd.read_csv(tmp_path / "ranks.csv")["rank"].tolist() == [1, 2]
    assert "<svg" in (tmp_path / "ranks.svg").read_text()


def test_some_networks_and_layers(published: Path, say: Any) -> None:
    said = say("hierarchy", "--accuracies", published, "--networks", "Good", "--test", "t",
               "--direction", "decoding", "--random-layers", 2, "--bootstrap", 0)  # fmt: skip
    assert said.code == 0, said.err
    accuracies = read_accuracies(published / "decoding", published / "settings.json")
    levels = as_hierarchy(accuracies["Good"], "decoding")
    expected = brain_hierarchy_score(levels, n_samples=50, test="t", n_layers=2, random_state=0)
    assert f"{expected:.3f}" in said.out
    assert "Bad" not in said.out
    said = say("hierarchy", "--accuracies", published, "--dry-run")
    assert said.code == 0
    assert "decoding encoding" in said.out


def test_a_plan_of_accuracies_is_refused_where_the_ranking_will_be(
    published: Path, say: Any
) -> None:
    for options, culprit in ((["--alpha", 3], "alpha"), (["--n-test-images", 2], "n_samples=2")):
        words = ["hierarchy", "--accuracies", published, *options]
        errors = [say(*words, *more) for more in (["--dry-run"], [])]
        assert [said.code for said in errors] == [1, 1]
        assert culprit in errors[0].err
        assert errors[0].err == errors[1].err
    place = next(published.rglob("accuracy.mat"))
    place.write_bytes(place.read_bytes()[:-9])
    for more in (["--dry-run"], []):
        said = say("hierarchy", "--accuracies", published, *more)
        assert said.code == 1
        assert str(place.relative_to(published)) in said.err


@pytest.mark.parametrize(
    ("options", "code", "culprit"),
    [
        ([], 2, "--accuracies"),
        (["--features", "f.h5"], 2, "--responses and --areas and --test-images"),
        ([*OPTIONS, "--responses", "S1.h5", "--accuracies", "p"], 2, "or --accuracies"),
        (["--accuracies", "nowhere"], 1, "nowhere"),
        ([*OPTIONS, "--responses", "S3.h5"], 1, "S3.h5"),
        ([*OPTIONS, "--responses", "f.h5", "S1.h5"], 1, "V1"),
        ([*OPTIONS, "--responses", "S1.h5", "--layer", "middle"], 1, "middle"),
        ([*OPTIONS, "--responses", "S1.h5", "--areas", "V1", "V9"], 1, "V9"),
        ([*OPTIONS, "--responses", "S1.h5", "--test-images", "odd.txt"], 1, "odd"),
        ([*OPTIONS, "--responses", "other.h5"], 1, "no row for 84 of 84 images: 'other"),
        ([*OPTIONS, "--responses", "S1.h5", "--out", "t.h5"], 1, "t.h5"),
    ],
)
def test_errors(study: Path, say: Any, options: list[Any], code: int, culprit: str) -> None:
    (study / "odd.txt").write_text("img61\nodd\n")
    shown, areas = SUBJECTS["S1"]
    save_features(areas, study / "other.h5", labels=[f"other{row}" for row in shown])
    before = sorted(study.iterdir())
    said = say("hierarchy", *options)
    assert said.code == code
    assert culprit in said.err
    assert said.out == ""
    assert sorted(study.iterdir()) == before


def test_help(say: Any) -> None:
    said = say("hierarchy", "--help")
    assert said.code == 0
    assert "examples:\n  skdnn hierarchy " in said.out
