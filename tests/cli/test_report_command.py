"""``--out report.html`` and ``study.skdnn.json`` of commands, and ``skdnn report``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform

from skdnn import save_features
from skdnn.report import load_results

chance = np.random.default_rng(0)
STEMS = [f"img{n}" for n in range(1, 13)]
NETWORK = ("--model", "squeezenet1_1", "--weights", "none", "--seed", 5, "--device", "cpu")
OUT = ("--out", "report.html", "study.skdnn.json", "--quiet")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("it", "v1"):
        rdm = squareform(pdist(chance.normal(size=(12, 4))))
        pd.DataFrame(rdm, STEMS, STEMS).to_csv(tmp_path / f"{name}.csv")
    features = {name: chance.normal(size=(60, 8)) for name in ("low", "high")}
    names = [f"img{n}" for n in range(60)]
    save_features(features, tmp_path / "f.h5", labels=names)
    voxels = features["low"][:, :3] + chance.normal(size=(60, 3))
    pd.DataFrame(voxels, names).to_csv(tmp_path / "voxels.csv")
    areas = {area: features[of] for area, of in (("V1", "low"), ("HVC", "high"))}
    save_features(
        {area: values + chance.normal(size=values.shape) for area, values in areas.items()},
        tmp_path / "S1.h5",
        labels=names,
    )
    (tmp_path / "test.txt").write_text("\n".join(names[40:]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def written(say: Any, *words: Any) -> tuple[Any, str]:
    said = say(*words, *OUT)
    assert said.code == 0, said.err
    page = Path("report.html").read_text(encoding="utf-8")
    results = load_results("study.skdnn.json")
    assert headings(page) == [*results, "Provenance"]
    assert results.command.startswith(f"skdnn {words[0]} ")
    return results, page


def test_search(study: Path, pictures: Path, say: Any) -> None:
    results, page = written(
        *(say, "search", *NETWORK, "--images", pictures, "--rdm", "it.csv", "--nested"),
        *("--layer", "features.3", "features.5", "--cv", 2, "--repeats", 1, "--twin", 0),
        *("--components", 2),
    )
    assert list(results) == [
        *("What the network saw", "Search", "Nested"),
        *("RDM: it", f"RDM: {results['Search'].facts['best_params']['dnn__layer']}", "Methods"),
    ]
    assert results["Search"].tables["layer profile"]["layer"].tolist() == [
        "features.3", "features.5",
    ]  # fmt: skip
    rdm = pd.read_csv("it.csv", index_col=0)  # by a parser that may round otherwise
    np.testing.assert_allclose(results["RDM: it"].tables["RDM"], rdm, rtol=1e-14)
    assert results["RDM: it"].tables["RDM"].index.tolist() == [f"{stem}.png" for stem in STEMS]
    assert len(results.images) == 12
    digest = hashlib.sha256(Path("it.csv").read_bytes()).hexdigest()
    assert results.provenance["files"] == {"it.csv": digest}
    assert results.seed == 5
    assert "Which layer of squeezenet1_1 is most like it.csv" in page
    assert not (study / "report.html.unfinished").exists()


def test_compare_files(study: Path, say: Any) -> None:
    words = ("compare", "v1.csv", "--reference", "it.csv", "--bootstrap", 20)
    results, page = written(say, *words, "--permutations", 20)
    assert list(results) == ["Scores", "Among models, against it", "RDM: v1", "RDM: it", "Methods"]
    assert [test["name"].split(",")[0] for test in results["Scores"].tests] == [
        "Bootstrap of images (and subjects", "Mantel's test",
    ]  # fmt: skip
    assert "<canvas" in page


@pytest.mark.slow
def test_compare_networks(study: Path, pictures: Path, say: Any) -> None:
    results, _ = written(say, "compare", *NETWORK, "--images", pictures, "--layer", "features.3")
    assert list(results) == [
        "What squeezenet1_1 saw", "Similarities", "RDM: squeezenet1_1/features.3", "Methods",
    ]  # fmt: skip


def test_encode(study: Path, say: Any) -> None:
    results, page = written(say, "encode", "f.h5", "--responses", "voxels.csv", "--fdr", 0.2)
    assert list(results) == ["Encoding", "Methods"]
    assert list(results["Encoding"].tables) == ["areas", "voxels", "folds"]
    assert results["Encoding"].facts["false_discovery_rate"] == 0.2
    assert "p_fdr below 0.2" in page


def test_hierarchy(study: Path, say: Any) -> None:
    results, page = written(
        *(say, "hierarchy", "--features", "f.h5", "--responses", "S1.h5", "--areas", "V1", "HVC"),
        *("--test-images", "test.txt", "--test", "t", "--bootstrap", 20),
    )
    assert list(results) == ["Brain hierarchy score", "Methods"]
    assert page.count('class="heat"') == 2  # decoding and encoding


def test_classify(study: Path, pictures: Path, say: Any) -> None:
    results, page = written(say, "classify", *NETWORK, "--images", pictures, "--top", 2)
    assert list(results) == ["What the network saw", "Classes"]
    assert len(results["Classes"].tables["classes"]) == 24
    assert page.count('<td><img src="data:image/jpeg') == 24
    assert any("random" in each.lower() for each in [*results.warnings, page])


def test_a_page_is_made_of_saved_results(study: Path, say: Any) -> None:
    _, page = written(say, "encode", "f.h5", "--responses", "voxels.csv")
    assert say("report", "study.skdnn.json", "--out", "again.html").code == 0
    assert Path("again.html").read_text(encoding="utf-8") == page
    said = say("report", "study.skdnn.json", "--out", "again.html", "--title", "My study")
    assert (said.code, "--overwrite" in said.err) == (1, True)
    said = say(
        "report", "study.skdnn.json", "--out", "b.html", "--title", "A <b>", "--question", "?"
    )
    assert said.code == 0, said.err
    assert "<h1>A &lt;b&gt;</h1>" in Path("b.html").read_text(encoding="utf-8")


def test_what_is_no_results_is_refused(study: Path, say: Any) -> None:
    said = say("report", "it.csv", "--out", "r.html")
    assert said.code == 1
    assert "it.csv is no file of results" in said.err
    Path("folder").mkdir()
    for name, told in (("missing.json", "is not there"), ("folder", "is a folder")):
        said = say("report", name, "--out", "r.html")
        assert said.code == 1
        assert f"error: {name} {told}: give a file that Results.save has written" in said.err
    said = say("report", "it.csv", "--out", "r.csv")
    assert said.code == 1
    assert "must end in .html" in said.err


def test_a_dry_run_writes_no_report(study: Path, pictures: Path, say: Any) -> None:
    said = say(
        *("search", *NETWORK, "--images", pictures, "--rdm", "it.csv", "--layer", "features.3"),
        *("--cv", 2, "--components", 4, "--dry-run", *OUT),
    )
    assert said.code == 0, said.err
    assert not Path("report.html").exists()
