"""``skdnn compare``: equal to compare_rdms and its tests, conditions matched by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from skdnn import DNNFeatureExtractor, save_features
from skdnn.io import load_rdm, save_rdm
from skdnn.rsa import bootstrap_rsa, compare_rdms, compute_rdm, noise_ceiling, permutation_test

NAMES = [f"img{n}.png" for n in range(1, 13)]
STEMS = [f"img{n}" for n in range(1, 13)]
chance = np.random.default_rng(0)
PATTERNS = {name: chance.normal(size=(12, 8)) for name in ("a", "b", "it")}
RDMS = {name: compute_rdm(pd.DataFrame(values, index=NAMES)) for name, values in PATTERNS.items()}
NETWORK = ["--model", "alexnet", "--weights", "none", "--device", "cpu"]
UPPER = np.triu_indices(12, 1)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of RDMs and features; the brain's in another order, with stems as names."""
    save_rdm(RDMS["a"], tmp_path / "a.csv")
    save_features(PATTERNS["b"], tmp_path / "b.h5", labels=NAMES)
    order = chance.permutation(12)
    it = pd.DataFrame(RDMS["it"].to_numpy(), index=STEMS, columns=STEMS)
    save_rdm(it.iloc[order, order], tmp_path / "it.csv")
    subjects = {f"s{k}": compute_rdm(PATTERNS["it"] + chance.normal(size=(12, 8))) for k in "123"}
    save_rdm(subjects, tmp_path / "subjects.h5", labels=STEMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_hand(name: str, other: str = "it") -> float:
    a, b = RDMS[name].to_numpy()[UPPER], RDMS[other].to_numpy()[UPPER]
    return float(spearmanr(a, b).statistic)


def test_files_against_a_brain(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn(
        *("compare", "a.csv", "b.h5", "--reference", "it.csv", "--json"),
        *("--out", "table.csv", "bars.png"),
        cwd=study,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["model"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["reference"] == "it"
        assert row["score"] == pytest.approx(by_hand(row["model"]), abs=1e-9)  # of text
    table = pd.read_csv(study / "table.csv")
    np.testing.assert_allclose(table["score"], [by_hand("a"), by_hand("b")], atol=1e-12)
    assert (study / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_each_with_each(study: Path, say: Any) -> None:
    said = say("compare", "a.csv", "b.h5", "it.csv", "--comparison", "pearson", "--out", "m.csv")
    assert said.code == 0, said.err
    found = pd.read_csv("m.csv", index_col="rdm")
    assert found.index.tolist() == found.columns.tolist() == ["a", "b", "it"]
    np.testing.assert_allclose(found, compare_rdms(RDMS, RDMS, "pearson"), atol=1e-12)
    assert say("compare", "a.csv", "b.h5", "--out", "m.svg").code == 0
    assert "<svg" in Path("m.svg").read_text()


def test_subjects_bring_ceilings_intervals_and_tests(study: Path, say: Any) -> None:
    said = say(
        *("compare", "a.csv", "b.h5", "--reference", "subjects.h5", "--bootstrap", 40),
        *("--permutations", 60, "--seed", 3, "--json", "--out", "bars.pdf", "--quiet"),
    )
    assert said.code == 0, said.err
    found = pd.DataFrame(json.loads(said.out)).set_index("model")
    models = {name: RDMS[name].set_axis(STEMS).set_axis(STEMS, axis=1) for name in "ab"}
    from skdnn.io import load_rdm

    subjects = load_rdm("subjects.h5")
    expected = bootstrap_rsa(models, subjects, "spearman", n_boot=40, random_state=3).to_frame()
    for column in expected.columns[1:]:
        np.testing.assert_allclose(found[column], expected[column], atol=1e-9)
    mantel = permutation_test(models, subjects, "spearman", n_permutations=60, random_state=3)
    np.testing.assert_allclose(found["p_mantel"], mantel.p_values)
    lower, upper = noise_ceiling(subjects, "spearman")
    np.testing.assert_allclose(found["ceiling_lower"], lower, atol=1e-9)
    np.testing.assert_allclose(found["ceiling_upper"], upper, atol=1e-9)
    assert Path("bars.pdf").read_bytes().startswith(b"%PDF")


def test_networks(study: Path, say: Any, pictures: Path) -> None:
    said = say(
        *("compare", "--model", "alexnet", "squeezenet1_1", "--weights", "none", "--seed", 5),
        *("--layer", "features.5", "features.3", "--images", pictures, "--device", "cpu"),
        *("--reference", "it.csv", "--json", "--out", "table.csv"),
    )
    assert said.code == 0, said.err
    found = pd.DataFrame(json.loads(said.out))
    assert found["model"].tolist() == ["alexnet/features.5", "squeezenet1_1/features.3"]
    paths = [str(pictures / name) for name in NAMES]
    for row, (model, layer) in enumerate(
        [("alexnet", "features.5"), ("squeezenet1_1", "features.3")]
    ):
        extractor = DNNFeatureExtractor(model, layer, weights=None, random_state=5, device="cpu")
        rdm = np.asarray(compute_rdm(extractor.fit_transform(paths)))
        expected = spearmanr(rdm[UPPER], RDMS["it"].to_numpy()[UPPER]).statistic
        assert pd.read_csv("table.csv")["score"][row] == pytest.approx(expected, abs=1e-12)
    assert not Path("table.csv.unfinished").exists()
    said = say(
        *("compare", "--model", "alexnet", "--weights", "none", "--images", pictures),
        *("--layer", "features.2", "features.5", "--comparison", "cka", "--quiet"),
    )
    assert said.code == 0, said.err
    assert "alexnet/features.2" in said.out


def test_files_without_names_are_not_paired_unasked(study: Path, say: Any) -> None:
    save_rdm(RDMS["it"].to_numpy(), "bare.npy")
    words = ("compare", "a.csv", "--reference", "bare.npy", "--quiet", "--json")
    said = say(*words)
    assert (said.code, said.out) == (1, "")
    assert "bare.npy has no names" in said.err
    assert "--assume-order if its rows are in the order of a.csv" in said.err
    said = say(*words, "--assume-order")
    assert said.code == 0, said.err
    assert said.err.count("\n") == 1
    assert "bare.npy has no names: its rows are taken in the order of a.csv" in said.err
    assert json.loads(said.out)[0]["score"] == pytest.approx(by_hand("a"), abs=1e-9)


def test_the_file_with_names_gives_the_order(study: Path, say: Any) -> None:
    """Models without names, and a reference with them: the reference's own order counts."""
    shuffled = chance.permutation(12)
    save_rdm(RDMS["it"].iloc[shuffled, shuffled], "named.csv")
    save_rdm(RDMS["a"].to_numpy()[np.ix_(shuffled, shuffled)], "bare.npy")
    words = ("compare", "bare.npy", "--reference", "named.csv", "--json")
    assert say(*words).code == 1
    said = say(*words, "--assume-order")
    assert said.code == 0, said.err
    assert "in the order of named.csv" in said.err
    assert json.loads(said.out)[0]["score"] == pytest.approx(by_hand("a"), abs=1e-9)


def test_no_file_with_names(study: Path, say: Any) -> None:
    save_rdm(RDMS["a"].to_numpy(), "a.npy")
    save_rdm(RDMS["it"].to_numpy(), "it.npy")
    said = say("compare", "a.npy", "it.npy")
    assert said.code == 1
    assert "a.npy has no names" in said.err
    said = say("compare", "a.npy", "it.npy", "--assume-order", "--out", "m.csv")
    assert said.code == 0, said.err
    found = pd.read_csv("m.csv", index_col="rdm")
    assert found.loc["a", "it"] == pytest.approx(by_hand("a"), abs=1e-9)


def test_names_are_never_overruled(study: Path, say: Any) -> None:
    others = [f"x{name}" for name in NAMES]
    save_rdm(RDMS["it"].set_axis(others).set_axis(others, axis=1), "others.csv")
    said = say("compare", "a.csv", "--reference", "others.csv", "--assume-order")
    assert said.code == 1
    assert "others.csv: no row for 12 of 12 images: 'img1.png'" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "culprit"),
    [
        (["a.csv"], 2, "--reference"),
        ([], 2, "--model"),
        (["a.csv", "--model", "alexnet"], 2, "--model"),
        (["--model", "alexnet"], 2, "--images"),
        (["a.csv", "b.h5", "--bootstrap", "9"], 2, "--reference"),
        (["a.csv", "b.h5", "--comparison", "cka"], 2, "cka"),
        (["a.csv", "nothing.csv"], 1, "nothing.csv"),
        (["a.csv", "b.h5", "--comparison", "spearmann"], 1, "spearmann"),
        (["a.csv", "other.csv"], 1, "img12.png"),
        (["a.csv", "a.csv"], 1, "given twice"),
        (["a.csv", "alike.csv"], 1, "1 - similarity"),
        (["a.csv", "b.h5", "--out", "a.csv"], 1, "--overwrite"),
        (["a.csv", "b.h5", "--out", "m.xls"], 1, "m.xls"),
        ([*NETWORK, "--layer", "no.such.layer", "--out", "m.csv"], 1, "no.such.layer"),
    ],
)
def test_errors(
    study: Path, say: Any, pictures: Path, arguments: list[str], code: int, culprit: str
) -> None:
    save_rdm(RDMS["a"].iloc[:11, :11], "other.csv")
    (1 - RDMS["a"]).to_csv("alike.csv")
    before = sorted(study.iterdir())
    images = ["--images", pictures] if "--weights" in arguments else []
    said = say("compare", *arguments, *images)
    assert said.code == code
    assert culprit in said.err
    assert said.out == ""
    assert sorted(study.iterdir()) == before


def test_errors_of_a_process(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn("compare", "a.csv", "--reference", "no.csv", cwd=study)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no.csv" in done.stderr


def test_help(say: Any) -> None:
    said = say("compare", "--help")
    assert said.code == 0
    assert "examples:\n  skdnn compare " in said.out


def test_the_untrained_twin(study: Path, say: Any, pictures: Path) -> None:
    """Weights of a file stand for trained ones."""
    import torch
    from torchvision.models import squeezenet1_1

    from skdnn import compare_models

    torch.manual_seed(8)
    torch.save(squeezenet1_1().state_dict(), "w.pth")
    said = say(
        *("compare", "--model", "squeezenet1_1@w.pth", "--layer", "features.3", "features.5"),
        *("--images", pictures, "--reference", "subjects.h5", "--twin", 2, "--seed", 4, "--json"),
        *("--quiet", "--bootstrap", 50, "--device", "cpu", "--out", "bars.png", "t.csv"),
    )
    assert said.code == 0, said.err
    table = pd.DataFrame(json.loads(said.out)).set_index("model")
    trained = [f"squeezenet1_1@w.pth/features.{n}" for n in (3, 5)]
    twins = [
        f"squeezenet1_1@w.pth (untrained, seed {seed})/features.{n}" for seed in (4, 5)
        for n in (3, 5)
    ]  # fmt: skip
    assert table.index.tolist() == [*trained, *twins]
    paths = sorted(pictures.iterdir(), key=lambda path: int(path.stem[3:]))
    extractor = DNNFeatureExtractor("squeezenet1_1", weights="w.pth", random_state=4, device="cpu")
    result = compare_models(
        {"net": extractor}, {"net": ["features.3", "features.5"]}, paths, comparison="spearman",
        twin=2,
    )  # fmt: skip
    reference = {"s": load_rdm(study / "subjects.h5")}
    expected = result.against_twins(reference, n_boot=50, random_state=4)["s"]
    for ours, theirs in (("difference", "difference"), ("p_twin", "p"), ("difference_low", "low")):
        found = table.loc[trained, ours].to_numpy(float)
        np.testing.assert_allclose(found, expected[theirs], rtol=1e-6, atol=1e-9)
    means = table.loc[twins, "score"].to_numpy(float).reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(table.loc[trained, "untrained"].to_numpy(float), means, atol=1e-9)
    assert table.loc[twins, "p_twin"].isna().all()
    assert say("compare", "a.csv", "b.h5", "--twin").code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_a_file_called_rdm(tmp_path: Path, say: Any, monkeypatch: Any, as_json: bool) -> None:
    """Its name is not that of the column in which names stand."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("rdm", "compared", "other")):
        rdm = compute_rdm(np.random.default_rng(k).normal(size=(6, 5)))
        pd.DataFrame(rdm, list("abcdef"), list("abcdef")).to_csv(f"{name}.csv")
    more = ["--json"] if as_json else []
    said = say("compare", "rdm.csv", "compared.csv", "other.csv", "--out", "t.csv", *more)
    assert said.code == 0, said.err
    table = pd.read_csv("t.csv", index_col=0)
    assert list(table) == list(table.index) == ["rdm", "compared", "other"]
    np.testing.assert_allclose(np.diag(table), 1)
