"""``skdnn encode``: nested_encoding's table, rows matched by name, voxels counted honestly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import LayerwiseEncoder, save_features
from skdnn.encoding import LayerFeatures, nested_encoding, pool_folds

N = 60
NAMES = [f"img{n}.png" for n in range(1, N + 1)]
STEMS = [f"img{n}" for n in range(1, N + 1)]
chance = np.random.default_rng(0)
LAYERS = {name: chance.normal(size=(N, 7, 2)) for name in ("early", "late")}
VOXELS = pd.DataFrame(
    np.column_stack(
        [
            LAYERS["early"][:, 0] + 0.1 * chance.normal(size=(N, 2)),
            LAYERS["late"][:, 0] + 0.1 * chance.normal(size=(N, 2)),
            chance.normal(size=(N, 1)),  # in neither
        ]
    ),
    index=STEMS,
    columns=["a", "b", "c", "d", "noise"],
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_features(LAYERS, tmp_path / "f.h5", labels=NAMES)
    VOXELS.iloc[chance.permutation(N)].to_csv(tmp_path / "voxels.csv")
    (tmp_path / "test.txt").write_text("\n".join(STEMS[40:]) + "\n\n")
    category = [f"c{n % 6}" for n in range(N)]
    pd.DataFrame({"name": NAMES, "category": category}).to_csv(tmp_path / "c.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_hand(cv: Any = 4, inner: int = 5, **options: Any) -> pd.DataFrame:
    encoder = LayerwiseEncoder(cv=inner, random_state=2)
    features = LayerFeatures({k: v.reshape(N, -1) for k, v in LAYERS.items()})
    return nested_encoding(
        encoder, features, VOXELS.to_numpy(), cv, n_permutations=99, random_state=2, **options
    )


OPTIONS = ("--responses", "voxels.csv", "--permutations", 99, "--seed", 2)
FOLDS = ("--per", "fold")


def test_the_table_and_the_summary(study: Path, run_skdnn: Any) -> None:
    words = ("encode", "f.h5", *OPTIONS, "--cv", 4, "--json")
    done = run_skdnn(*words, *FOLDS, "--out", "t.csv", cwd=study)
    assert done.returncode == 0, done.stderr
    found, expected = pd.read_csv(study / "t.csv"), by_hand()
    assert len(found) == 20
    for column in ("fold", "alpha", "r", "r2", "p", "p_fdr"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-12)
    assert found["layer"].tolist() == expected["layer"].tolist()
    assert found["voxel"].tolist() == [*VOXELS.columns] * 4
    (row,) = json.loads(done.stdout)["areas"]
    voxels = pool_folds(expected)
    assert row["significant"] == (voxels["p_fdr"] < 0.05).sum() == 4
    assert row["median_r"] == pytest.approx(voxels["r"].median())
    assert (row["voxels"], row["early"], row["late"]) == (5, 2, 2)


def test_a_row_for_each_voxel(study: Path, say: Any) -> None:
    said = say("encode", "f.h5", *OPTIONS, "--cv", 4, "--out", "t.csv")
    assert said.code == 0, said.err
    found, expected = pd.read_csv("t.csv"), pool_folds(by_hand())
    assert found["voxel"].tolist() == [*VOXELS.columns]
    assert found["layer"].tolist() == expected["layer"].tolist()
    for column in ("layer_share", "n_folds", "r", "r2", "p", "p_fdr"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-12)


def test_test_images(study: Path, say: Any) -> None:
    said = say("encode", "f.h5", *OPTIONS, "--test-images", "test.txt", *FOLDS, "--out", "t.json")
    assert said.code == 0, said.err
    expected = by_hand([(np.arange(40), np.arange(40, N))])
    found = pd.DataFrame(json.loads(Path("t.json").read_text()))
    np.testing.assert_allclose(found["r"], expected["r"], atol=1e-9)
    assert "significant" in said.out


def test_groups_stay_together(study: Path, say: Any) -> None:
    said = say("encode", "f.h5", *OPTIONS, "--cv", 3, "--groups", "c.csv", "category",
               *FOLDS, "--out", "t.csv")  # fmt: skip
    assert said.code == 0, said.err
    # Four of the six groups are left to train on, so that the inner folds are four.
    expected = by_hand(3, 4, groups=[f"c{n % 6}" for n in range(N)])
    np.testing.assert_allclose(pd.read_csv("t.csv")["r"], expected["r"], atol=1e-12)
    assert not np.allclose(expected["r"], by_hand(3)["r"])


def test_areas_and_layers(study: Path, say: Any) -> None:
    areas = {"V1": VOXELS.to_numpy()[:, :2], "IT": VOXELS.to_numpy()[:, 2:]}
    save_features(areas, "areas.mat", labels=STEMS)
    words = ("encode", "f.h5", "--responses", "areas.mat")
    said = say(*words, "--json", "--quiet")
    assert said.code == 0, said.err
    assert said.err == ""
    rows = {row["area"]: row for row in json.loads(said.out)["areas"]}
    assert list(rows) == ["all", "V1", "IT"]
    assert (rows["V1"]["voxels"], rows["V1"]["early"]) == (2, 2)
    assert rows["all"]["significant"] == rows["V1"]["significant"] + rows["IT"]["significant"] == 4
    said = say(*words, "--layer", "late", "--json")
    assert json.loads(said.out)["layers"] == ["late"]


def test_without_names_nothing_is_paired_unasked(study: Path, say: Any) -> None:
    np.save("bare.npy", VOXELS.to_numpy())
    words = (*FOLDS, "--quiet", "--cv", 4, "--seed", 2, "--out", "t.csv")
    said = say("encode", "f.h5", "--responses", "bare.npy", *words)
    assert (said.code, Path("t.csv").exists()) == (1, False)
    assert "bare.npy has no names" in said.err
    assert "--assume-order" in said.err
    said = say("encode", "f.h5", "--responses", "bare.npy", *words, "--assume-order")
    assert said.code == 0, said.err
    assert "bare.npy has no names: its rows are taken in the order of the images" in said.err
    np.testing.assert_allclose(pd.read_csv("t.csv")["r"], by_hand()["r"], atol=1e-12)


def test_features_without_names(study: Path, say: Any) -> None:
    save_features(LAYERS, "bare.h5")
    VOXELS.to_csv("in_order.csv")
    np.save("bare.npy", VOXELS.to_numpy())
    words = (*FOLDS, "--quiet", "--cv", 4, "--seed", 2)
    for responses in ("in_order.csv", "bare.npy"):
        said = say("encode", "bare.h5", "--responses", responses, *words, "--json")
        assert said.code == 1
        assert "bare.h5 has no names, so nothing says which row is which image" in said.err
        assert f"in the order of {responses}" in said.err
        said = say(
            *("encode", "bare.h5", "--responses", responses, *words, "--assume-order"),
            *("--out", f"{responses}.tsv"),
        )
        assert said.code == 0, said.err
        found = pd.read_csv(f"{responses}.tsv", sep="\t")
        np.testing.assert_allclose(found["r"], by_hand()["r"], atol=1e-12)
    said = say("encode", "bare.h5", "--responses", "bare.npy", "--test-images", "test.txt")
    assert said.code == 1
    assert "neither bare.h5 nor bare.npy has names" in said.err


def test_names_are_never_overruled(study: Path, say: Any) -> None:
    VOXELS.set_axis([f"x{stem}" for stem in STEMS]).to_csv("others.csv")
    said = say("encode", "f.h5", "--responses", "others.csv", "--assume-order")
    assert said.code == 1
    assert "no row for 60 of 60 images" in said.err


@pytest.mark.parametrize(
    ("options", "code", "culprit"),
    [
        ([], 2, "--responses"),
        ([*OPTIONS, "--fdr", "2"], 2, "--fdr"),
        ([*OPTIONS, "--cv", "1"], 2, "--cv"),
        ([*OPTIONS, "--groups", "c.csv", "category", "--test-images", "t"], 2, "--groups"),
        (["--responses", "nothing.csv"], 1, "nothing.csv"),
        (["--responses", "fewer.csv"], 1, "no row for 10 of 60 images: 'img51.png'"),
        (["--responses", "short.npy"], 1, "50 rows without names"),
        ([*OPTIONS, "--layer", "middle"], 1, "middle"),
        ([*OPTIONS, "--groups", "c.csv", "kind"], 1, "'kind'"),
        ([*OPTIONS, "--groups", "c.csv", "category", "--cv", "7"], 1, "6 groups are too few"),
        ([*OPTIONS, "--cv", "61"], 1, "--cv 61: there are 60 images"),
        ([*OPTIONS, "--cv", "61", "--dry-run"], 1, "--cv 61: there are 60 images"),
        ([*OPTIONS, "--test-images", "wrong.txt"], 1, "cat"),
        ([*OPTIONS, "--out", "f.h5"], 1, "f.h5"),
        ([*OPTIONS, "--out", "voxels.csv"], 1, "--overwrite"),
    ],
)
def test_errors(study: Path, say: Any, options: list[Any], code: int, culprit: str) -> None:
    VOXELS.iloc[:50].to_csv("fewer.csv")
    np.save("short.npy", VOXELS.to_numpy()[:50])
    Path("wrong.txt").write_text("img1\ncat\n")
    before = sorted(study.iterdir())
    said = say("encode", "f.h5", *options)
    assert said.code == code
    assert culprit in said.err
    assert said.out == ""
    assert sorted(study.iterdir()) == before


def test_errors_of_a_process(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn("encode", "no.h5", *OPTIONS, cwd=study)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no.h5" in done.stderr


def test_help(say: Any) -> None:
    said = say("encode", "--help")
    assert said.code == 0
    assert "examples:\n  skdnn encode " in said.out
