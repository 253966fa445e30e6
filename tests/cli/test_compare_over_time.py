"""``skdnn compare`` with RDMs over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import save_features
from skdnn.rsa import compute_rdm, time_resolved_rsa

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
