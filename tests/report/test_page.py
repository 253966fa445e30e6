"""The page: one file that asks for nothing, in which names are text, whatever they hold."""

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

from skdnn import DNNFeatureExtractor
from skdnn.report import Report, Result, Results, load_results
from skdnn.rsa import bootstrap_rsa, compute_rdm

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 255, (3, 20, 30, 3), dtype=np.uint8)
NASTY = "</script><script>alert('1')</script>\"&'\x00\x1b\u202e"


class Page(HTMLParser):
    """Elements of a page in order, and what can be read on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study in which every name is an attempt to break the page."""
    folder, paths = tmp_path_factory.mktemp("images"), []
    for k in range(5):
        paths.append(str(folder / f"<script>\"'&{k}.png"))
        Image.fromarray(RNG.integers(0, 255, (30, 20, 3), dtype=np.uint8)).save(paths[-1])
    names = [NASTY, *"bcde"]
    rdm, other = (compute_rdm(pd.DataFrame(RNG.normal(size=(5, 9)), names)) for _ in range(2))
    results = Results(NASTY, question=NASTY, command=NASTY)
    results.warnings.append(NASTY)
    results.provenance["files"] = {NASTY: "0"}
    results.add_rdm(rdm, images=paths, name=NASTY)
    results.add(bootstrap_rsa({NASTY: other, "m": rdm}, rdm, n_boot=20, random_state=0))
    network = DNNFeatureExtractor("alexnet", weights=None)
    results.add_inputs(network, paths, n_images=2, name=f"{NASTY} in")
    profile = {"layer": ["a", NASTY, "c"], "mean": [0.2, np.nan, -0.1], "std": [0.1, 0.1, 0.2],
               "rank": [1, 3, 2], "ceiling_lower": 0.3, "ceiling_upper": 0.4}  # fmt: skip
    table = pd.DataFrame({NASTY: [NASTY, None], "object": [(NASTY, 1), {NASTY: 2}]})
    return results.add(pd.DataFrame(profile)).add(table, name="table")


@pytest.fixture(scope="module")
def page(nasty: Results) -> str:
    return Report(nasty).to_html()


def test_names_are_text(page: str) -> None:
    read = Page(page)
    assert "<script>alert" not in page
    assert sum(tag == "script" for tag, _ in read.elements) == 2
    shown = "</script><script>alert('1')</script>\"&'\\x00\\x1b\\u202e"
    assert read.text.count(shown) > 10
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    assert not [key for _, attrs in read.elements for key in attrs if key.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    links = [
        str(attrs[key])
        for _, attrs in Page(page).elements
        for key in ("src", "href", "srcset", "data", "action")
        if key in attrs
    ]
    assert len(links) > 10
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?:", re.sub(r'id="results".*?</script>', "", page))


def test_the_page_holds_the_results(page: str, nasty: Results, tmp_path: Path) -> None:
    inside = re.search(r'id="results">(.*?)</script>', page, re.DOTALL)
    assert inside is not None
    assert json.loads(inside[1]) == nasty.to_dict()
    (tmp_path / "s.skdnn.json").write_text(inside[1])
    again = Report(load_results(tmp_path / "s.skdnn.json"))
    assert again.to_html() == page


def test_the_page_can_be_heard(page: str) -> None:
    elements = Page(page).elements
    assert dict(elements)["html"]["lang"] == "en"
    images = [attrs for tag, attrs in elements if tag == "img"]
    assert images
    assert all("alt" in attrs for attrs in images)
    assert all(attrs.get("scope") for tag, attrs in elements if tag == "th")
    named = [attrs for tag, attrs in elements if tag in ("svg", "canvas")]
    assert named
    assert all(attrs.get("aria-label") for attrs in named)
    levels = [int(tag[1]) for tag, _ in elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1


def test_long_tables_are_cut_and_say_so() -> None:
    table = pd.DataFrame({"voxel": range(500)})
    text = Report(table).to_html()
    assert "The first 200 rows" in text
    assert sum(tag == "tr" for tag, _ in Page(text).elements) == 201


def test_the_title_can_be_another() -> None:
    results = Results("One").add(pd.DataFrame({"r": [1.0]}))
    assert "<title>Two</title>" in Report(results, title="Two").to_html()
    assert "<title>One</title>" in Report(results).to_html()
    assert 'srcdoc="&lt;!DOCTYPE html' in Report(results)._repr_html_()


def test_scores_are_drawn_at_their_places() -> None:
    table = pd.DataFrame({"layer": ["a", "b"], "mean": [0.1, 0.4], "std": [0.1, 0.1],
                          "ceiling_lower": 0.2, "ceiling_upper": 0.3})  # fmt: skip
    text = Report(table).to_html()
    places = [float(each) for each in re.findall(r'class="dot" style="left: ([\d.]+)%"', text)]
    (band,) = set(re.findall(r'class="band" style="left: ([\d.]+)%; width: ([\d.]+)%"', text))
    zero = float(re.findall(r'class="zero" style="left: ([\d.]+)%"', text)[0])
    # On one scale: 0.1 and 0.4 from zero, a band from 0.2 to 0.3.
    unit = (places[1] - zero) / 0.4
    np.testing.assert_allclose(places[0] - zero, 0.1 * unit, atol=0.02)
    np.testing.assert_allclose(float(band[0]) - zero, 0.2 * unit, atol=0.02)
    np.testing.assert_allclose(float(band[1]), 0.1 * unit, atol=0.02)


def test_the_92_images_stay_below_3_mb(kriegeskorte92: Any) -> None:
    results = Results("92")
    paths = list(kriegeskorte92.paths)
    results.add_rdm(kriegeskorte92.human_it_subjects, images=paths, name="human")
    results.add_rdm(kriegeskorte92.monkey_it, name="monkey")
    results.add_inputs(DNNFeatureExtractor("alexnet", weights=None), paths)
    assert len(Report(results).to_html().encode()) < 3e6


def test_pictures_stand_beside_names_alone() -> None:
    """Not beside a number that is the place of an image, nor for a method of dict."""
    results = Results().add_images(list(PICTURES), range(3))
    table = pd.DataFrame({"rank": [0, 1, 2], "name": ["0", "copy", "items"]})
    text = Report(results.add(table)).to_html()
    images = [attrs["src"] for tag, attrs in Page(text).elements if tag == "img"]
    assert images == [results.images["0"]]


def test_a_name_has_one_picture() -> None:
    rdms = [compute_rdm(RNG.normal(size=(3, 9))) for _ in range(2)]
    rdms = [pd.DataFrame(rdm, list("abc"), list("abc")) for rdm in rdms]
    results = Results().add_rdm(rdms[0], images=list(PICTURES))
    results.add_rdm(rdms[1], images=list(PICTURES))
    with pytest.raises(ValueError, match="another picture already of 'a', 'c'"):
        results.add_rdm(rdms[1], images=list(PICTURES[::-1]))
    with pytest.raises(ValueError, match=r"names of pictures repeat: 'a'\."):
        Results().add_images(list(PICTURES), ["a", "b", "a"])


def test_rdms_without_labels_have_their_own_pictures_or_none(tmp_path: Path) -> None:
    """Whatever stands in the same place of another RDM."""
    rdms = {name: compute_rdm(RNG.normal(size=(3, 9))) for name in ("own", "none", "others")}
    results = Results().add_images(list(PICTURES), ["0", "1", "2"])
    results.add_rdm(rdms["own"], images=list(PICTURES), name="own")
    results.add_rdm(rdms["none"], name="none")
    results.add_rdm(pd.DataFrame(rdms["others"]), images=list(PICTURES[::-1]), name="others")
    results.save(tmp_path / "kept.skdnn.json")
    addresses = list(results.images.values())
    for kept in (results, load_results(tmp_path / "kept.skdnn.json")):
        text = Report(kept).to_html()
        shown = [attrs["href"] for tag, attrs in Page(text).elements if tag == "image"]
        assert shown == addresses + addresses[::-1]
    with pytest.raises(ValueError, match="images has 2 entries for 3 conditions"):
        results.add_rdm(rdms["none"], images=list(PICTURES[:2]))


def test_pages_and_results_are_not_called_like_each_other(tmp_path: Path) -> None:
    results = Results().add(pd.DataFrame({"r": [0.5]}))
    with pytest.raises(ValueError, match=r"called like a page: Report\(results\)\.save writes"):
        results.save(tmp_path / "study.html")
    with pytest.raises(ValueError, match=r"file of results: Results\.save writes it"):
        Report(results).save(tmp_path / "study.skdnn.json")
    assert list(tmp_path.iterdir()) == []


def test_many_levels_are_shown_as_they_are_not_painted_from_another_table() -> None:
    """A table of shares is long: its script would paint that."""
    levels = [f"fc{k}" for k in range(26)]
    rows = [{"level": a, "best": b, "proportion": float(a == b)} for a in levels for b in levels]
    result = Result("BrainHierarchyScore", {"best levels": pd.DataFrame(rows)})
    text = Report(Results().add(result)).to_html()
    assert "<canvas" not in text
    assert len(re.findall(r">1\.00</td>", text)) == 26
