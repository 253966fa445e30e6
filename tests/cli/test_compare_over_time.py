"""``skdnn compare`` with RDMs over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform

from skdnn import save_features
from skdnn.io import save_rdm, save_rdm_movie
from skdnn.rsa import compute_rdm, read_rdm_movie, time_resolved_rsa

NAMES = [f"img{n}.png" for n in range(1, 13)]
TIMES = np.arange(20) / 100 - 0.05


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Features of two layers; MEG of six subjects whose conditions stand in another order."""
    rng = np.random.default_rng(0)
    features = {"early": rng.normal(size=(12, 8)), "late": rng.normal(size=(12, 5))}
    save_features(features, tmp_path / "features.h5", labels=NAMES)
    order = rng.permutation(12)
    upper = np.triu_indices(12, 1)
    late = compute_rdm(features["late"])[np.ix_(order, order)][upper]
    meg = (TIMES > 0.045)[:, None] * late + rng.random((6, 20, 66))
    np.save(tmp_path / "meg.npy", meg)
    np.save(tmp_path / "sub-01.npy", meg[0])
    np.save(tmp_path / "sub-02.npy", meg[1])
    stems = [Path(NAMES[k]).stem for k in order]
    (tmp_path / "names.txt").write_text("\n".join(stems) + "\n", encoding="utf-8")
    (tmp_path / "times.txt").write_text("\n".join(f"{t:.3f}" for t in TIMES), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPTIONS = ("--conditions", "names.txt", "--times", "times.txt")


def test_courses_peaks_and_picture(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn(
        *("compare", "features.h5", "--reference", "meg.npy", *OPTIONS, "--json"),
        *("--permutations", "500", "--out", "course.png", "course.csv"),
        cwd=study,
    )
    assert done.returncode == 0, done.stderr
    late = json.loads(done.stdout)[1]
    assert late["model"] == "late"
    assert late["onset"] == pytest.approx(0.05)
    assert late["p"] < 0.05
    table = pd.read_csv(study / "course.csv")
    assert list(table) == [
        *("model", "time", "score", "sem", "ceiling_lower", "ceiling_upper", "statistic", "p")
    ]
    stems = (study / "names.txt").read_text().split()
    from skdnn import load_features

    layers = {}
    for name, values in load_features("features.h5").features.items():
        rdm = compute_rdm(np.asarray(values))
        labels = [Path(one).stem for one in NAMES]
        layers[name] = pd.DataFrame(rdm, labels, labels)
    expected = time_resolved_rsa(layers, np.load("meg.npy"), times=TIMES, conditions=stems)
    np.testing.assert_allclose(table["score"], expected.mean.to_numpy().ravel(), atol=1e-12)
    assert (study / "course.png").read_bytes().startswith(b"\x89PNG")


def test_files_are_subjects(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn(
        *("compare", "features.h5", "--reference", "sub-01.npy", "sub-02.npy", *OPTIONS),
        *("--out", "course.csv"),
        cwd=study,
    )
    assert done.returncode == 0, done.stderr
    assert "2 subjects" in done.stderr
    assert {"sem", "ceiling_lower"} <= set(pd.read_csv(study / "course.csv"))


def test_one_subject(study: Path, run_skdnn: Any) -> None:
    done = run_skdnn(
        *("compare", "features.h5", "--reference", "sub-01.npy", *OPTIONS, "--json"),
        *("--permutations", "99", "--correct", "cluster"),
        cwd=study,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1]["p"] < 0.05


def test_labelled_files_are_aligned_where_the_reference_has_no_names(
    study: Path, say: Any
) -> None:
    """Two files hold the same RDM, one in another order of its conditions."""
    rdm = pd.DataFrame(compute_rdm(np.random.default_rng(1).normal(size=(12, 6))), NAMES, NAMES)
    rdm.to_csv("one.csv")
    rdm.iloc[::-1, ::-1].to_csv("turned.csv")
    meg = rdm.to_numpy()[np.triu_indices(12, 1)] + np.zeros((2, 20, 1))
    np.save("bare.npy", meg)
    compare = ("compare", "one.csv", "turned.csv", "--reference", "bare.npy")
    done = say(*compare, "--times", "times.txt", "--assume-order", "--json")
    assert done.code == 0, done.err
    assert [one["score"] for one in json.loads(done.out)] == pytest.approx([1, 1])
    assert "bare.npy has no names" in done.err
    assert "one.csv (img1.png" in done.err
    np.save("bare.npy", meg[..., :45])
    done = say(*compare, "--times", "times.txt", "--assume-order")
    assert "bare.npy has 10 conditions and one.csv 12" in done.err


def test_files_without_any_names(study: Path, say: Any) -> None:
    rdm = compute_rdm(np.random.default_rng(1).normal(size=(12, 6)))
    np.save("model.npy", rdm)
    np.save("bare.npy", rdm[np.triu_indices(12, 1)] + np.zeros((20, 1)))
    compare = ("compare", "model.npy", "--reference", "bare.npy", "--times", "times.txt")
    done = say(*compare)
    assert "--assume-order if they are the same order" in done.err
    done = say(*compare, "--assume-order", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["score"] == pytest.approx(1)


def test_files_of_one_name_are_told_by_their_folders(study: Path, say: Any) -> None:
    for k, folder in enumerate(("a", "b")):
        Path(folder).mkdir()
        rdm = compute_rdm(np.random.default_rng(k).normal(size=(12, 6)))
        pd.DataFrame(rdm, NAMES, NAMES).to_csv(f"{folder}/rdm.csv")
        Path(f"{folder}/meg.npy").write_bytes(Path(f"sub-0{k + 1}.npy").read_bytes())
    references = ("--reference", "a/meg.npy", "b/meg.npy", *OPTIONS)
    done = say("compare", "a/rdm.csv", "b/rdm.csv", *references, "--json")
    assert done.code == 0, done.err
    assert "2 RDMs with 2 subjects" in done.err
    models = [one["model"] for one in json.loads(done.out)]
    assert models == ["a/rdm.csv", "b/rdm.csv"]
    for files in (["a/rdm.csv", "a/rdm.csv"], ["a/rdm.csv", "b/../a/rdm.csv"]):
        done = say("compare", *files, *references)
        assert f"{files[1]} is given twice" in done.err
    done = say("compare", "a/rdm.csv", *references[:2], *references[1:])
    assert "--reference a/meg.npy is given twice" in done.err


def test_a_reference_without_names_beside_one_with_names(study: Path, say: Any) -> None:
    stems = (study / "names.txt").read_text().split()
    movie = read_rdm_movie(np.load("sub-01.npy"), times=TIMES, conditions=stems)
    save_rdm_movie(movie, "named.h5")
    turned = read_rdm_movie(_turned(np.load("sub-01.npy")), times=TIMES, conditions=stems[::-1])
    save_rdm_movie(turned, "turned.h5")
    compare = ("compare", "features.h5", "--times", "times.txt", "--json", "--reference")
    done = say(*compare, "named.h5", "sub-02.npy")
    assert done.code != 0
    assert "--reference sub-02.npy holds no names" in done.err
    assert "those of named.h5" in done.err
    one, *others = (
        json.loads(say(*compare, *references).out)
        for references in (
            ["named.h5"],
            ["named.h5", "sub-01.npy", "--assume-order"],
            ["sub-01.npy", "named.h5", "--assume-order"],
            ["named.h5", "turned.h5"],
            ["turned.h5", "sub-01.npy", "--conditions", "names.txt"],
        )
    )
    for other in others:
        assert [row["score"] for row in other] == pytest.approx([row["score"] for row in one])


def test_numbers_that_only_count_are_no_names(study: Path, say: Any) -> None:
    frames = [pd.DataFrame(squareform(row)) for row in np.load("sub-01.npy")]
    rdms = pd.concat(dict(zip(TIMES, frames, strict=True)), axis=1, names=["time", "condition"])
    save_rdm(rdms, "counted.h5")
    compare = ("compare", "features.h5", "--json", "--reference")
    done = say(*compare, "counted.h5", "--times", "times.txt")
    assert "--reference counted.h5 holds no names" in done.err
    done = say(*compare, "counted.h5", "--conditions", "names.txt")
    assert "2 RDMs with 1 subject at 20 times" in done.err
    scores = [row["score"] for row in json.loads(done.out)]
    expected = json.loads(say(*compare, "sub-01.npy", *OPTIONS).out)
    assert scores == pytest.approx([row["score"] for row in expected])


def test_a_movie_is_known_as_such(study: Path, say: Any) -> None:
    """With times and names of its own it needs no options; as anything else it is refused."""
    stems = (study / "names.txt").read_text().split()
    for name in ("sub-01", "sub-02"):
        movie = read_rdm_movie(np.load(f"{name}.npy"), times=TIMES, conditions=stems)
        save_rdm_movie(movie, f"{name}.h5")
    compare = ("compare", "features.h5", "--json", "--reference")
    expected = json.loads(say(*compare, "sub-01.npy", *OPTIONS).out)
    assert json.loads(say(*compare, "sub-01.h5").out) == expected
    done = say(*compare, "sub-01.h5", "sub-02.h5", "--out", "course.png")
    assert done.code == 0, done.err
    assert "2 subjects at 20 times" in done.err
    done = say(*compare, "sub-01.h5", "--bootstrap", "9")
    assert "not for RDMs over time" in done.err
    done = say("compare", "--model", "alexnet", "--images", ".", "--reference", "sub-01.h5")
    assert "RDMs over time" in done.err
    for words in (["compare", "features.h5", "sub-01.h5"], ["rdm", "sub-01.h5", "--out", "r.csv"]):
        done = say(*words)
        assert done.code == 1
        assert "sub-01.h5: it holds RDMs over time" in done.err


def test_arrays_over_time_without_options(study: Path, say: Any) -> None:
    meg = np.load("meg.npy")
    squares = np.stack([[squareform(row) for row in rows] for rows in meg])
    for name, values in (("meg", meg), ("one", meg[0]), ("squares", squares)):
        np.save(f"{name}.npy", values)
        done = say("compare", "features.h5", "--reference", f"{name}.npy")
        assert done.code == 1
        assert f"--reference {name}.npy has shape {values.shape}, as RDMs over time" in done.err
        assert "--times FILE" in done.err
    np.save("other.npy", meg[0, :, :50])
    done = say("compare", "features.h5", "--reference", "other.npy")
    assert "over time" not in done.err


def test_files_that_do_not_fit_are_named_with_their_options(study: Path, say: Any) -> None:
    lines = {
        "names9.txt": NAMES[:9],
        "others.txt": [f"x{k}" for k in range(12)],
        "few.txt": range(5),
        "down.txt": range(20, 0, -1),
        "comma.txt": [f"0,{k}" for k in range(20)],
    }
    for name, content in lines.items():
        Path(name).write_text("\n".join(map(str, content)))
    np.save("short.npy", np.load("sub-02.npy")[:9])
    for options, told in (
        (["--conditions", "gone.txt"], "error: there is no file gone.txt"),
        (["--conditions", "."], "error: . is a folder, and a file is needed"),
        (["--conditions", "names9.txt"], "--conditions names9.txt has 9 lines, and --reference"),
        (["--conditions", "others.txt"], "are those of --conditions others.txt."),
        ([*OPTIONS, "--times", "few.txt"], "--times few.txt has 5 lines, and --reference meg.npy"),
        ([*OPTIONS, "--times", "down.txt"], "--times down.txt: seconds must ascend"),
        ([*OPTIONS, "--times", "comma.txt"], "with a decimal point"),
        ([*OPTIONS, "--permutations", "-3"], "-3: give 0 or more"),
        (
            ["--reference", "sub-01.npy", "short.npy", "--conditions", "names.txt"],
            "--reference short has 9 times from 0 to 8 s, and --reference sub-01 20",
        ),
    ):
        done = say("compare", "features.h5", "--reference", "meg.npy", *options)
        assert done.code in (1, 2)
        assert told in done.err.splitlines()[-1]


def _turned(pairs: np.ndarray) -> np.ndarray:
    return np.stack([squareform(row)[::-1, ::-1] for row in pairs])


@pytest.mark.filterwarnings("error")
def test_nothing_is_warned_of_where_all_is_right(study: Path, say: Any) -> None:
    for permutations in ([], ["--permutations", "99"]):
        done = say(
            *("compare", "features.h5", "--reference", "sub-01.npy", *OPTIONS, *permutations),
        )
        assert done.code == 0, done.err
        assert "order" not in done.err


@pytest.mark.filterwarnings("default:Scores are NaN in 1 of 120 frames")
def test_means_of_scores_that_are_not_known(study: Path, say: Any) -> None:
    meg = np.load("meg.npy")
    meg[0, 3] = 1  # of one subject a flat RDM at one time
    np.save("meg.npy", meg)
    done = say(
        *("compare", "features.h5", "--reference", "meg.npy", *OPTIONS, "--out", "course.csv"),
    )
    assert done.code == 0, done.err
    table = pd.read_csv("course.csv").set_index("time")
    assert table.index[table["score"].isna()].tolist() == [-0.02, -0.02]
    assert table.index[table["sem"].isna()].tolist() == [-0.02, -0.02]


@pytest.mark.filterwarnings("default:Scores are NaN")
@pytest.mark.parametrize("reference", ["meg.npy", "sub-01.npy"])
@pytest.mark.parametrize("correct", ["max", "cluster"])
def test_what_was_computed_is_there_also_where_no_test_can_be_made(
    study: Path, say: Any, reference: str, correct: str
) -> None:
    meg = np.load(reference)
    meg[..., 3, :] = 1  # flat RDMs at one time
    np.save(reference, meg)
    compare = ("compare", "features.h5", "--reference", reference, *OPTIONS, "--json")
    told = say(*compare)
    done = say(
        *(*compare, "--permutations", "99", "--correct", correct),
        *("--out", "course.csv", "course.png"),
    )
    assert done.code == 1
    assert "--permutations: no test could be made" in done.err
    assert "-0.02 s" in done.err
    assert json.loads(done.out) == json.loads(told.out)
    table = pd.read_csv("course.csv")
    assert table["score"].notna().sum() == 2 * (len(TIMES) - 1)
    assert "p" not in table
    assert Path("course.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["report.html", "study.skdnn.json"])
def test_reports_are_refused(study: Path, say: Any, name: str) -> None:
    done = say(*("compare", "features.h5", "--reference", "meg.npy", *OPTIONS, "--out", name))
    assert done.code == 2
    assert "reports are not made of RDMs over time" in done.err
    assert not (study / name).exists()


def test_what_is_refused(study: Path, run_skdnn: Any) -> None:
    compare = ("compare", "features.h5", "--reference", "meg.npy")
    done = run_skdnn(*compare, "--times", "times.txt", cwd=study)
    assert done.returncode != 0
    assert "--conditions FILE" in done.stderr
    (study / "times.txt").write_text("0.1\nsoon\n")
    done = run_skdnn(*compare, *OPTIONS, cwd=study)
    assert "soon" in done.stderr
    done = run_skdnn(*compare, *OPTIONS, "--bootstrap", "10", cwd=study)
    assert "--permutations tests them" in done.stderr
    (study / "names.txt").write_text("\n".join(["other", *NAMES[1:]]))
    (study / "times.txt").write_text("\n".join(map(str, TIMES)))
    done = run_skdnn(*compare, *OPTIONS, cwd=study)
    assert done.returncode != 0
    assert "other" in done.stderr
