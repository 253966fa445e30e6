"""Reports and saved results."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skdnn.model_comparison import ModelComparison
from skdnn.report import Report, load_results, save_results
from skdnn.rsa import bootstrap_rsa, compute_rdm, permutation_test

RNG = np.random.default_rng(0)
NASTY = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """Elements of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


def rdms(n: int) -> dict[str, pd.DataFrame]:
    names = [f"image {k}" for k in range(8)]
    return {
        f"m{k}": compute_rdm(pd.DataFrame(RNG.normal(size=(8, 20)), index=names)) for k in range(n)
    }


def awkward_table() -> pd.DataFrame:
    columns = {"r": [0.1, np.nan, np.inf], "small": np.float32([0.1, 1e-30, -np.inf]),
               "n": [1, 2, 3], "layer": ["a", None, NASTY],
               "set": [(1, "b"), True, 2.5]}  # fmt: skip
    return pd.DataFrame(columns, index=pd.Index(["x", "y", "z"], name="voxel"))


def results() -> dict[str, Any]:
    subjects = list(rdms(3).values())
    models = pd.concat({(n, "fc"): each for n, each in rdms(2).items()}, axis=1)
    return {
        "bootstrap": bootstrap_rsa(rdms(2), subjects, n_boot=30, random_state=0),
        "permutation": permutation_test(rdms(2), subjects, n_permutations=20, random_state=0),
        "comparison": ModelComparison(models, references={"it": rdms(1)["m0"]}),
        "table": awkward_table(),
    }


@pytest.mark.parametrize("name", ["bootstrap", "permutation", "comparison", "table"])
def test_results_are_read_back_to_the_bit_and_give_the_same_report(
    name: str, tmp_path: Path
) -> None:
    result, path = results()[name], tmp_path / "study.skdnn.json"
    save_results(result, path, asked="which?", seed=3)
    found = load_results(path)
    assert found.about == {"asked": "which?", "seed": 3}
    expected = result if name == "table" else result.to_frame()
    key = {"table": "table", "comparison": "similarities"}.get(name, "scores")
    pd.testing.assert_frame_equal(found.tables[key], expected, check_exact=True)
    save_results(found, tmp_path / "again.json")
    assert load_results(tmp_path / "again.json").to_dict() == found.to_dict()
    page = Report("t").add(found).to_html()
    direct = Report("t").add(result, asked="which?", seed=3).to_html()
    assert re.sub(r"20\d\d-[\dT:+-]+", "", page) == re.sub(r"20\d\d-[\dT:+-]+", "", direct)


@pytest.mark.parametrize(
    ("content", "message"),
    [("no json", "no file of results"), ("[]", "no file of results"),
     ('{"format": "skdnn results", "version": 2}', "version 2"),
     ('{"format": "skdnn results", "version": 1}', "damaged")],
)  # fmt: skip
def test_other_files_are_refused_by_name(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"other\.json.*{message}"):
        load_results(path)
    with pytest.raises(TypeError, match="int is no result"):
        save_results(1, path)


def test_the_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    paths = []
    for k in range(4):
        paths.append(str(tmp_path / f"<script>{k}.png"))
        Image.fromarray(RNG.integers(0, 255, (30, 20, 3), dtype=np.uint8)).save(paths[-1])
    rdm = compute_rdm(pd.DataFrame(RNG.normal(size=(4, 9)), index=[NASTY, *"bcd"]))
    profile = pd.DataFrame({"layer": ["a", NASTY], "mean": [0.2, np.nan], "std": [0.1, 0.1],
                            "ceiling_lower": 0.3, "ceiling_upper": 0.4})  # fmt: skip
    report = Report(NASTY).add_text(NASTY).add_rdm(rdm, paths, NASTY).add(profile)
    report.add(awkward_table()).save(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    elements = Page(text).elements
    assert sum(tag == "script" for tag, _ in elements) == 3
    assert all(attrs.get("alt") for tag, attrs in elements if tag == "img")
    assert all(attrs.get("scope") for tag, attrs in elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert max(np.diff(levels)) <= 1
    links = [attrs.get(key) for _, attrs in elements for key in ("src", "href") if key in attrs]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    inside = json.loads(re.search(r'id="results">(.*?)</script>', text, re.S)[1])
    save_results(profile, tmp_path / "p.json")
    saved = json.loads((tmp_path / "p.json").read_text())
    assert inside["DataFrame"]["tables"] == saved["tables"]


def test_the_92_images_stay_below_3_mb(kriegeskorte92: Any) -> None:
    images = list(kriegeskorte92.paths)
    rdm = compute_rdm(RNG.normal(size=(92, 50)))
    page = Report("92").add_rdm(rdm, images).to_html()
    assert len(page.encode()) < 3e6
