"""``skdnn search --methods`` and ``skdnn describe`` of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

SEARCH = (
    *("search", "--model", "alexnet", "--weights", "none", "--device", "cpu", "--seed", 5),
    *("--layer", "features.2", "features.5", "--images", "images", "--rdm", "it.csv"),
    *("--cv", 3, "--repeats", 2, "--components", 5, "--quiet"),
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    names = [f"img{k}" for k in range(18)]
    for name in names:
        pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    rdm = squareform(pdist(rng.normal(size=(18, 4))))
    pd.DataFrame(rdm, index=names, columns=names).to_csv(tmp_path / "it.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_search_writes_what_describe_reads(study: Path, say: Any) -> None:
    done = say(*SEARCH, "--methods", "study.json", "--nested")
    assert done.code == 0, done.err
    described = say("describe", "study.json")
    assert described.code == 0, described.err
    for told in (
        "Features of 18 images were taken from the AlexNet network",
        "2 repetitions of 3-fold cross-validation (6 folds), seed 5.",
        "by Spearman's rank correlation",
        "over 3 outer folds) on images that had no part in it.",
        "@article{kriegeskorte2008rsa,",
    ):
        assert told in described.out
    references = say("describe", "study.json", "--bibtex").out
    assert references.startswith("@")
    assert (
        json.loads(say("describe", "study.json", "--json").out)["facts"]["study"]["n_folds"] == 6
    )
    again = say(*SEARCH, "--methods", "study.json")
    assert again.code != 0
    assert "study.json exists" in again.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{}", "holds no facts"), ("[1]", "holds no facts"), ("{", "study.json")],
)
def test_other_files_are_refused(content: str, reason: str, study: Path, say: Any) -> None:
    (study / "study.json").write_text(content)
    said = say("describe", "study.json")
    assert said.code != 0
    assert "study.json" in said.err
    assert reason in said.err


def test_methods_as_text_and_other_endings(study: Path, say: Any) -> None:
    wrong = say(*SEARCH, "--methods", "study.docx")
    assert wrong.code != 0
    assert "must end in .txt or .json" in wrong.err
    assert say(*SEARCH, "--methods", "study.txt").code == 0
    text = (study / "study.txt").read_text(encoding="utf-8")
    assert "AlexNet" in text
    assert "@article{kriegeskorte2008rsa," in text
