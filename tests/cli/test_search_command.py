"""``skdnn search``: the six lines of a layer search, resumed, refused, matched by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist, squareform
from sklearn.model_selection import KFold, RepeatedKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import (
    RDM,
    ActivationStore,
    DNNFeatureExtractor,
    GramPCA,
    LayerSearchCV,
    RSAScorer,
    VoxelwiseRidgeCV,
    load_image_folder,
    save_features,
)
from skdnn.io import save_rdm

LAYERS = ["features.2", "features.5"]
NETWORK = ("--model", "alexnet", "--weights", "none", "--seed", 5, "--device", "cpu")
FOLDS = ("--cv", 3, "--repeats", 2, "--components", 5)
STEMS = [f"img{n}" for n in (7, 3, 12, 1, 2, 4, 5, 6, 8, 9, 10, 11)]  # in no order
chance = np.random.default_rng(0)
JUDGED = pd.DataFrame(squareform(pdist(chance.normal(size=(12, 4)))), index=STEMS, columns=STEMS)
VOXELS = pd.DataFrame(chance.normal(size=(12, 5)), index=STEMS)
ORDER = [f"img{n}" for n in range(1, 13)]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    JUDGED.to_csv(tmp_path / "it.csv")
    VOXELS.to_csv(tmp_path / "voxels.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_hand(steps: list[Any]) -> LayerSearchCV:
    extractor = DNNFeatureExtractor("alexnet", weights=None, random_state=5, device="cpu")
    pca = GramPCA(5, keep_correlation=steps[0][0] == "rdm")
    head = [("dnn", extractor), ("center", StandardScaler(with_std=False)), ("pca", pca)]
    return LayerSearchCV(
        Pipeline([*head, *steps]),
        {"dnn__layer": LAYERS},
        cv=RepeatedKFold(n_splits=3, n_repeats=2, random_state=5),
    )


RSA = [("rdm", RDM("correlation")), ("rsa", RSAScorer("spearman", target="rdm"))]


@pytest.mark.slow
def test_a_search_from_a_shell(study: Path, run_skdnn: Any, pictures: Path) -> None:
    done = run_skdnn(
        *("search", *NETWORK, "--layer", *LAYERS, "--images", pictures, "--rdm", "it.csv"),
        *(*FOLDS, "--out", "profile.csv", "profile.png"),
        cwd=study,
    )
    assert done.returncode == 0, done.stderr
    paths = load_image_folder(pictures).paths
    y = JUDGED.loc[ORDER, ORDER]
    expected = by_hand(RSA).fit(paths, y)
    found = pd.read_csv(study / "profile.csv")
    profile = expected.layer_profile_
    for column in [name for name in profile if name.startswith("split")]:
        np.testing.assert_allclose(found[column], profile[column], atol=1e-12)
    assert f"best layer: {expected.best_params_['dnn__layer']}" in done.stdout
    assert "chosen on the folds" in done.stdout
    assert (study / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in study.iterdir()} == {
        *("it.csv", "voxels.csv", "profile.csv", "profile.png")
    }


@pytest.mark.slow
def test_encoding_and_nested(study: Path, say: Any, pictures: Path) -> None:
    said = say(
        *("search", *NETWORK, "--layer", *LAYERS, "--images", pictures, *FOLDS, "--nested"),
        *("--responses", "voxels.csv", "--method", "encoding", "--json", "--cache", "kept"),
    )
    assert said.code == 0, said.err
    found = json.loads(said.out)
    paths = load_image_folder(pictures).paths
    y = VOXELS.loc[ORDER].to_numpy()
    search = by_hand([("ridge", VoxelwiseRidgeCV(cv=None))])
    fitted = search.fit(paths, y)
    expected = fitted.layer_profile_
    for row, (_, wanted) in zip(found["profile"], expected.iterrows(), strict=True):
        assert row["layer"] == wanted["layer"]
        assert row["mean"] == pytest.approx(wanted["mean"], abs=1e-12)
    assert found["best_layer"] == fitted.best_params_["dnn__layer"]
    outer = KFold(3, shuffle=True, random_state=5)
    nested = cross_validate(search, paths, y, cv=outer)
    np.testing.assert_allclose(found["nested"]["scores"], nested["test_score"], atol=1e-12)
    assert ActivationStore("kept").contents()["images"].tolist() == [12, 12]


def test_responses_by_rsa_of_every_form(study: Path, say: Any, pictures: Path) -> None:
    save_features({"V1": VOXELS.to_numpy(), "IT": VOXELS.to_numpy()[:, :3]}, "areas.h5",
                  labels=STEMS)  # fmt: skip
    VOXELS.loc[ORDER].to_csv("bare.csv", index=False, header=False)
    scores = {}
    for name in ("voxels.csv", "bare.csv", "areas.h5"):
        said = say(
            *("search", *NETWORK, "--layer", *LAYERS, "--images", pictures, *FOLDS, "--quiet"),
            *("--responses", name, "--json", "--cache", "kept"),
            *(["--assume-order"] if name == "bare.csv" else []),
        )
        assert said.code == 0, said.err
        scores[name] = json.loads(said.out)["score"]
        noted = "has no names" in said.err
        assert noted == (name == "bare.csv")  # also where all else is quiet
    assert scores["voxels.csv"] == scores["bare.csv"]
    assert scores["areas.h5"] != scores["voxels.csv"]


def test_several_subjects(study: Path, say: Any, pictures: Path) -> None:
    subjects = pd.concat({"s1": JUDGED, "s2": JUDGED**2}, axis=1, names=["subject", "condition"])
    save_rdm(subjects, "subjects.h5")
    said = say(
        *("search", *NETWORK, "--layer", *LAYERS, "--images", pictures, *FOLDS, "--quiet"),
        *("--rdm", "subjects.h5", "--json"),
    )
    assert said.code == 0, said.err
    y = pd.concat({name: subjects[name].loc[ORDER, ORDER] for name in ("s1", "s2")}, axis=1)
    expected = by_hand(RSA).fit(load_image_folder(pictures).paths, y)
    found = json.loads(said.out)
    assert found["score"] == pytest.approx(expected.best_score_, abs=1e-12)
    assert "not kept" not in said.err  # quiet


def test_a_picture_has_a_line_for_each_region(study: Path, say: Any, pictures: Path) -> None:
    other = squareform(pdist(np.random.default_rng(1).normal(size=(12, 4))))
    regions = {"V1": JUDGED, "IT": pd.DataFrame(other, index=STEMS, columns=STEMS)}
    save_rdm(pd.concat(regions, axis=1, names=["roi", "condition"]), "regions.h5")
    shared = ("search", *NETWORK, "--layer", *LAYERS, "--images", pictures, *FOLDS, "--quiet")
    said = say(*shared, "--rdm", "regions.h5", "--json", "--out", "p.svg", "p.csv")
    assert said.code == 0, said.err
    drawn = Path("p.svg").read_text(encoding="utf-8")
    assert all(f">{name}</text>" in drawn for name in regions)
    assert "SD over" not in drawn
    y = pd.concat({name: rdm.loc[ORDER, ORDER] for name, rdm in regions.items()}, axis=1)
    expected = by_hand(RSA).fit(load_image_folder(pictures).paths, y)
    found = json.loads(said.out)
    assert found["score"] == pytest.approx(expected.best_score_, abs=1e-12)
    np.testing.assert_allclose(
        pd.read_csv("p.csv")["mean"], expected.layer_profile_["mean"], atol=1e-12
    )
    said = say(*shared, "--rdm", "regions.h5", "--json", "--nested", "--cv", 2, "--components", 2)
    assert said.code == 0, said.err
    assert np.isfinite(json.loads(said.out)["nested"]["scores"]).all()
    assert say(*shared, "--rdm", "it.csv", "--out", "one.svg").code == 0
    assert "1 SD over 6 folds" in Path("one.svg").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--repeats", 3), ("--repeats", 1, "--nested")])
def test_the_time_of_the_whole_search_is_foretold(
    study: Path, say: Any, more: tuple[Any, ...]
) -> None:
    """Fits and seconds, with nothing done; how near they are is not a matter of a test."""
    images = study / "images"
    images.mkdir()
    for number in range(60):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.bmp")
    np.save("many.npy", np.random.default_rng(0).normal(size=(60, 40_000)))
    words = [
        *("search", *NETWORK, "--layer", *LAYERS, "--pooling", "mean", "--images", images),
        *(
            "--responses",
            "many.npy",
            "--assume-order",
            "--method",
            "encoding",
            "--json",
            "--quiet",
        ),
        *("--cache", "kept", "--cv", 3, *more),
    ]
    told = json.loads(say(*words, "--dry-run").out)
    assert told["n_fits"] == 2 * 3 * (3 if "--nested" not in more else 1 + 3)
    assert told["total_seconds"] == told["search_seconds"] + told["seconds"]
    assert not Path("kept").exists()


def test_what_it_takes(study: Path, say: Any, pictures: Path) -> None:
    said = say(
        *("search", *NETWORK, "--layer", "features.?", "--images", pictures, *FOLDS),
        *("--rdm", "it.csv", "--dry-run", "--json", "--out", "p.csv"),
    )
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert facts["n_fits"] == facts["n_layers"] * 6
    assert sorted(path.name for path in study.iterdir()) == ["it.csv", "voxels.csv"]


@pytest.mark.parametrize(
    ("options", "code", "culprit"),
    [
        ([], 2, "--rdm"),
        (["--rdm", "it.csv", "--responses", "voxels.csv"], 2, "not allowed"),
        (["--rdm", "it.csv", "--method", "encoding"], 2, "--responses"),
        (["--rdm", "nothing.csv"], 1, "nothing.csv"),
        (["--rdm", "fewer.csv"], 1, "fewer.csv: no row for 2 of 12 images"),
        (["--rdm", "bare.npy"], 1, "11 rows without names"),
        (["--rdm", "whole.npy"], 1, "whole.npy has no names"),
        (["--responses", "whole.npy"], 1, "--assume-order"),
        (["--rdm", "bare.npy", "--assume-order"], 1, "11 rows without names"),
        (["--rdm", "strangers.csv", "--assume-order"], 1, "no row for 12 of 12"),
        (["--rdm", "alike.csv"], 1, "1 - similarity"),
        (["--rdm", "flat.csv"], 1, "flat.csv: all its dissimilarities are the same"),
        (["--rdm", "flat.csv", "--dry-run"], 1, "all its dissimilarities are the same"),
        (["--responses", "hole.csv", "--method", "encoding"], 1, "img3.png"),
        (["--responses", "word.csv"], 1, "'low', which is no number"),
        (["--responses", "twice.csv"], 1, "named 'img7', 'img7'"),
        (["--rdm", "it.csv", "--metric", "corelation"], 1, "corelation"),
        (["--rdm", "it.csv", "--comparison", "spear"], 1, "spear"),
        (["--rdm", "it.csv", "--cv", "5"], 1, "--cv 5"),
        (["--rdm", "it.csv", "--components", "99"], 1, "--components 99"),
        (["--rdm", "it.csv", "--out", "it.csv"], 1, "--overwrite"),
        (["--rdm", "it.csv", "--out", "p.h5"], 1, "p.h5"),
        (["--rdm", "it.csv", "--layer", "feature.2"], 1, "features.2"),
    ],
)
def test_errors_before_the_first_image(
    study: Path, say: Any, pictures: Path, options: list[str], code: int, culprit: str
) -> None:
    JUDGED.loc[ORDER[:10], ORDER[:10]].to_csv("fewer.csv")
    np.save("bare.npy", JUDGED.to_numpy()[:11, :11])
    np.save("whole.npy", JUDGED.to_numpy())
    strangers = [f"x{stem}" for stem in STEMS]
    JUDGED.set_axis(strangers).set_axis(strangers, axis=1).to_csv("strangers.csv")
    (1 - JUDGED).to_csv("alike.csv")
    (JUDGED > 0).astype(float).to_csv("flat.csv")
    VOXELS.mask(np.arange(60).reshape(12, 5) == 7).to_csv("hole.csv")  # a voxel of img3
    VOXELS.astype(object).replace(VOXELS.iloc[4, 2], "low").to_csv("word.csv")
    pd.concat([VOXELS, VOXELS.iloc[:1]]).to_csv("twice.csv")
    before = sorted(study.iterdir())
    layer = [] if "--layer" in options else ["--layer", *LAYERS]
    said = say("search", *NETWORK, *layer, "--images", pictures, "--cv", 3, *options)
    assert said.code == code
    assert culprit in said.err
    assert said.out == ""
    assert sorted(study.iterdir()) == before


def test_a_pattern_leaves_out_what_changes_nothing(study: Path, say: Any, pictures: Path) -> None:
    def profile(*layers: str) -> list[str]:
        said = say(
            *("search", *NETWORK, "--images", pictures, "--rdm", "it.csv", "--json"),
            *("--cv", 3, "--repeats", 1, "--components", 2, "--layer", *layers),
        )
        assert said.code == 0, said.err
        notes.append(said.err)
        return [row["layer"] for row in json.loads(said.out)["profile"]]

    notes: list[str] = []
    assert profile("classifier.?") == [f"classifier.{n}" for n in (1, 2, 4, 5, 6)]
    assert "left out of the pattern: 2 layers that change nothing (Dropout)" in notes[-1]
    assert profile("classifier.0", "classifier.[4-6]*") == [
        f"classifier.{n}" for n in (0, 4, 5, 6)
    ]
    assert "left out of the pattern" not in notes[-1]


def test_the_untrained_twin(study: Path, say: Any, pictures: Path) -> None:
    """Weights of a file stand for trained ones."""
    import torch
    from torchvision.models import squeezenet1_1

    torch.manual_seed(8)
    torch.save(squeezenet1_1().state_dict(), "w.pth")
    network = ("--model", "squeezenet1_1", "--weights", "w.pth", "--device", "cpu")
    shared = ("--images", pictures, "--layer", "features.3", "features.5", *FOLDS, "--json")
    said = say(
        *("search", *network, *shared, "--rdm", "it.csv", "--twin", 2, "--seed", 4),
        *("--out", "p.csv", "p.png", "p.svg", "--quiet"),
    )
    assert said.code == 0, said.err
    rows = json.loads(said.out)["twin"]
    assert [row["layer"] for row in rows] == ["features.3", "features.5"]
    for row in rows:
        assert row["low"] < row["difference"] < row["high"]
        assert 0 <= row["p"] <= row["p_adjusted"] <= 1
    table = pd.read_csv("p.csv")
    assert {"mean", "split0", "twin", "twin_std", "difference", "p_adjusted"} <= set(table)
    np.testing.assert_allclose(table["twin"], [row["twin"] for row in rows])
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    drawn = Path("p.svg").read_text(encoding="utf-8")  # what bars are, once for each profile
    assert "untrained (± SD over 2 seeds)" in drawn
    assert "trained (± SD over folds)" in drawn
    assert "1 SD over" not in drawn
    said = say(
        *("search", *network, *shared, "--responses", "voxels.csv", "--method", "encoding"),
        *("--twin", "--out", "q.csv"),
    )
    assert said.code == 0, said.err
    assert "difference" not in json.loads(said.out)["twin"][0]
    assert json.loads(said.out)["twin"][0]["twin_std"] is None
    for wrong in (("--weights", "none"), ("--twin", -1)):
        said = say("search", *network, *shared, "--rdm", "it.csv", "--twin", *wrong)
        assert said.code == 2
        assert "--twin" in said.err


def test_errors_of_a_process(study: Path, run_skdnn: Any, pictures: Path) -> None:
    done = run_skdnn(
        *("search", *NETWORK, "--layer", "features.2", "--images", "nowhere", "--rdm", "it.csv"),
        cwd=study,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere" in done.stderr


def test_help(say: Any) -> None:
    said = say("search", "--help")
    assert said.code == 0
    assert "examples:\n  skdnn search " in said.out


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_a_killed_search_goes_on(
    tmp_path: Path, run_skdnn: Any, skdnn_environment: dict[str, str]
) -> None:
    n = 700  # more than a block of 512
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(n):
        pixels = rng.integers(0, 256, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.bmp")
    names = [f"{number}.bmp" for number in range(n)]
    voxels = pd.DataFrame(rng.normal(size=(n, 4)), index=names)
    voxels.iloc[rng.permutation(n)].to_csv(tmp_path / "voxels.csv")
    words = [
        *("search", *NETWORK, "--layer", *LAYERS, "--pooling", "mean", "--images", images),
        *("--responses", tmp_path / "voxels.csv", *FOLDS, "--out", tmp_path / "profile.csv"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "skdnn", *map(str, words)],
        env=skdnn_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = tmp_path / "profile.csv.unfinished" / "activations"
    deadline = time.monotonic() + 200
    while len(list(folder.glob("layers/*/2*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)  # until the first block of both layers is whole
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = int(ActivationStore(folder).contents()["images"].min())
    assert 0 < kept < n
    assert not (tmp_path / "profile.csv").exists()
    done = run_skdnn(*words)
    assert done.returncode == 0, done.stderr
    assert f" {n - kept} of {n} images to forward" in done.stderr
    assert not (tmp_path / "profile.csv.unfinished").exists()
    paths = [str(images / f"{number}.bmp") for number in range(n)]
    search = by_hand([("rdm", RDM("correlation")), ("rsa", RSAScorer("spearman"))])
    search.set_params(estimator__dnn__pooling="mean")
    expected = search.fit(paths, voxels.to_numpy()).layer_profile_
    found = pd.read_csv(tmp_path / "profile.csv")
    np.testing.assert_allclose(found["mean"], expected["mean"], atol=1e-12)
