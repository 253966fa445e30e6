"""The page in a browser: pointer, keys, sorting, files that it saves, phones, colours."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skdnn.report import Report, Result, Results
from skdnn.rsa import bootstrap_rsa, compute_rdm

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

RNG = np.random.default_rng(0)
N = 9
NAMES = [f"image {k} <b>\u202e" for k in range(N)]
SHOWN = [f"image {k} <b>\\u202e" for k in range(N)]
RDM, OTHER = (compute_rdm(pd.DataFrame(RNG.normal(size=(N, 7)), NAMES)) for _ in range(2))
VALUES = [0.5, np.nan, -np.inf, 12345.678, 1e-7, 0.1 + 0.2, 3.0, -0.25, 1e21, 0.00012345]
TABLE = pd.DataFrame(
    {"layer": [f"conv{k}" for k in (10, 9, 2, 1, 3, 4, 5, 6, 7, 8)], "value": VALUES,
     "count": np.arange(10) * 7 % 10, "object": [(1, "b"), None, True, {"a": 0.5}, *"efghij"],
     'a "quote", a comma': list("abcdefghij")}
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = Results("A study", question="Which layer?", command="skdnn search", seed=1)
    pictures = RNG.integers(0, 255, (N, 30, 40, 3), dtype=np.uint8)
    results.add_rdm(RDM, images=list(pictures), name="brain").add_rdm(OTHER, name="layer")
    models = {
        f"model {k}": compute_rdm(pd.DataFrame(RNG.normal(size=(N, 7)), NAMES)) for k in range(3)
    }
    results.add(bootstrap_rsa(models, RDM, n_boot=30, random_state=0))
    results.add(TABLE, name="scores").add(pd.DataFrame({"voxel": np.arange(300) * 7 % 300}))
    profile = {"layer": ["a", "b"], "mean": [0.2, 0.1], "std": 0.1, "rank": [1, 2],
               "ceiling_lower": 0.3, "ceiling_upper": 0.4, "twin": 0.05}  # fmt: skip
    results.add(pd.DataFrame(profile))
    results.add_images(list(pictures[:1]), ["3"])
    results.add(pd.DataFrame([[1, 2]], columns=pd.RangeIndex(3, 7, 2)), name="counted")
    drawn = io.BytesIO()
    Image.new("RGB", (990, 300), "red").save(drawn, "PNG")
    map_of = "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode()
    maps = {"maps <b> of brains": [map_of]}
    results.add(Result("SearchlightResult", {"layers": TABLE}, pictures=maps))
    results.warnings.append("UserWarning: an image is grey")
    path = tmp_path_factory.mktemp("report") / "report.html"
    Report(results).save(path)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Open the page; afterwards, that nothing was complained of and nothing asked for."""
    contexts, complaints, asked = [], [], []

    def open_page(width: int = 1280, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900}
        contexts.append(chromium.new_context(viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    addresses = {re.sub(r"^(data:image/\w+|blob:).*", r"\1", url) for url in asked}
    assert addresses <= {file.as_uri(), "data:image/jpeg", "data:image/png", "blob:"}


@pytest.mark.parametrize("width", [390, 1280])
def test_maps_are_as_wide_as_the_page_allows(width: int, opened: Callable[..., Any]) -> None:
    page = opened(width)
    shown = page.locator("figure.picture img")
    area = shown.bounding_box()
    assert shown.get_attribute("alt") == "maps <b> of brains"
    assert min(width - 40, 990) <= area["width"] <= width
    assert abs(area["height"] / area["width"] - 300 / 990) < 0.01


def told(row: int, column: int, rdm: pd.DataFrame = RDM) -> list[str]:
    value = rdm.iloc[row, column]
    return [f"dissimilarity {value:.4g}", SHOWN[row], SHOWN[column]]


def tips(page: Any) -> list[list[str]]:
    """What is told below each matrix."""
    boxes = page.locator(".tip").all()
    return [box.locator("strong, figcaption").all_text_contents() for box in boxes]


def test_the_pointer_tells_pair_and_value(opened: Callable[..., Any]) -> None:
    page = opened()
    canvas = page.locator("canvas").first
    area = canvas.bounding_box()
    row, column = 2, 6
    place = {"x": area["width"] * (column + 0.5) / N, "y": area["height"] * (row + 0.5) / N}
    canvas.hover(position=place)
    # The RDM of the same images tells the same pair.
    assert tips(page) == [told(row, column), told(row, column, OTHER)]
    held = json.loads(page.locator("#results").text_content())["images"]
    shown = page.locator(".tip").first.locator("img")
    assert [each.get_attribute("src") for each in shown.all()] == [
        held[NAMES[row]], held[NAMES[column]],
    ]  # fmt: skip
    marked = page.locator(".cursor").first.bounding_box()
    assert abs(marked["x"] - area["x"] - area["width"] * column / N) < 1
    assert abs(marked["y"] - area["y"] - area["height"] * row / N) < 1


def test_rdms_without_labels_tell_their_own_pictures(chromium: Any, tmp_path: Path) -> None:
    pictures = list(RNG.integers(0, 255, (N, 30, 40, 3), dtype=np.uint8))
    results = Results().add_images(pictures, list(map(str, range(N))))
    results.add_rdm(RDM.to_numpy(), name="none")
    results.add_rdm(OTHER.to_numpy(), images=pictures[::-1], name="own")
    Report(results).save(tmp_path / "report.html")
    page = chromium.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.locator("canvas").first.focus()
    page.keyboard.press("ArrowRight")
    shown = [
        [each.get_attribute("src") for each in box.locator("img").all()]
        for box in page.locator(".tip").all()
    ]
    own = results["own"].pictures["conditions"]
    assert shown == [[], [own[0], own[1]]]
    page.close()


def test_cells_have_the_colours_of_their_values(opened: Callable[..., Any]) -> None:
    """The smallest is the first colour of the scale, the largest the last."""
    page = opened()
    row, column = np.unravel_index(np.argmax(RDM.to_numpy()), RDM.shape)
    read = """(canvas, [i, j, n]) => {
        const centre = (k) => Math.floor((k + 0.5) * canvas.width / n);
        const pen = canvas.getContext("2d");
        const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
        return [[3, 3], [i, j]].map(([row, column]) => {
            const at = 4 * (centre(row) * canvas.width + centre(column));
            return [...data.slice(at, at + 3)];
        });
    }"""
    found = page.locator("canvas").first.evaluate(read, [int(row), int(column), N])
    assert found == [[68, 1, 84], [253, 231, 37]]


def test_cells_are_reached_by_keys(opened: Callable[..., Any]) -> None:
    page = opened()
    canvas = page.locator("canvas").nth(1)
    for _ in range(40):
        page.keyboard.press("Tab")
        if canvas.evaluate("(each) => each === document.activeElement"):
            break
    assert tips(page)[1] == told(0, 0, OTHER)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert tips(page)[1] == told(2, N - 2, OTHER)
    assert page.locator(".tip").nth(1).get_attribute("aria-live") == "polite"
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    assert tips(page)[1] == told(0, 0, OTHER)


def column_of(page: Any, name: str, number: int) -> list[str]:
    cells = page.locator(f'table.data[data-of="{name}"] tbody td:nth-child({number + 1})')
    return cells.all_text_contents()


def sort_by(page: Any, name: str, number: int, key: str | None = None) -> str:
    button = page.locator(f'table.data[data-of="{name}"] thead button').nth(number)
    if key is None:
        button.click()
    else:
        button.focus()
        page.keyboard.press(key)
    return button.locator("xpath=..").get_attribute("aria-sort")


def test_tables_sort_by_pointer_and_keys(opened: Callable[..., Any]) -> None:
    page = opened()
    rows = set(page.locator('table.data[data-of="scores"] tbody tr').all_text_contents())
    assert sort_by(page, "scores", 1) == "ascending"
    order = np.argsort(VALUES)  # NaN last
    assert column_of(page, "scores", 4) == list(TABLE.iloc[order, 4])
    assert sort_by(page, "scores", 1, "Enter") == "descending"
    order = [*order[:-1][::-1], order[-1]]
    assert column_of(page, "scores", 4) == list(TABLE.iloc[order, 4])
    assert sort_by(page, "scores", 0, "Space") == "ascending"
    assert column_of(page, "scores", 0) == [f"conv{k}" for k in range(1, 11)]
    # Written anew by the script, cells say what they said before.
    again = set(page.locator('table.data[data-of="scores"] tbody tr').all_text_contents())
    assert again == rows
    # The picture of an image that is called 3 stands beside no number.
    assert page.locator('table.data[data-of="scores"] img').count() == 0


def test_all_rows_of_a_long_table_are_sorted(opened: Callable[..., Any]) -> None:
    page = opened()
    sort_by(page, "DataFrame", 0)
    assert column_of(page, "DataFrame", 0) == [str(k) for k in range(200)]
    sort_by(page, "DataFrame", 0)
    assert column_of(page, "DataFrame", 0) == [str(k) for k in range(299, 99, -1)]


def saved(page: Any, selector: str) -> tuple[str, str]:
    with page.expect_download() as download:
        page.locator(selector).click()
    path = download.value.path()
    return download.value.suggested_filename, Path(path).read_bytes().decode("utf-8")


def test_tables_and_results_are_saved_in_full(opened: Callable[..., Any], file: Path) -> None:
    page = opened()
    name, text = saved(page, '[data-csv][data-of="scores"]')
    assert name == "scores_table.csv"
    heads, *rows = csv.reader(io.StringIO(text, newline=""))
    assert heads == list(TABLE.columns)
    read = np.array([float(row[1]) for row in rows])
    assert read.tobytes() == TABLE["value"].to_numpy().tobytes()
    _, text = saved(page, '[data-csv][data-of="brain"][data-table="RDM"]')
    found = pd.read_csv(io.StringIO(text), index_col=0)
    assert found.index.tolist() == NAMES
    np.testing.assert_array_equal(found.to_numpy(), RDM.to_numpy())
    assert saved(page, '[data-csv][data-of="counted"]')[1].split() == ["3,5", "1,2"]
    name, text = saved(page, "[data-json]")
    assert name == "results.skdnn.json"
    assert json.loads(text)["title"] == "A study"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_can_be_read(
    width: int, scheme: str, opened: Callable[..., Any]
) -> None:
    """No part sticks out of the page, and letters stand out from what is behind them."""
    page = opened(width, scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.locator("canvas").first.hover()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    weakest = page.evaluate(_CONTRAST)
    assert weakest["ratio"] >= 4.5, weakest


_CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const { backgroundColor } = getComputedStyle(each);
      if (parts(backgroundColor)[3] !== 0) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let weakest = { ratio: 21 };
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || element.closest("script, style")) continue;
    const { color } = getComputedStyle(element);
    const [a, b] = [light(color), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < weakest.ratio) weakest = { ratio, text: walk.currentNode.data, color };
  }
  return weakest;
}"""


def test_it_prints_all_tables_on_white(opened: Callable[..., Any]) -> None:
    page = opened(scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    read = "(selector) => getComputedStyle(document.querySelector(selector))"
    paper = page.evaluate(f"({read})('body').backgroundColor")
    ink = page.evaluate(f"({read})('h1').color")
    assert (paper, ink) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")
    assert page.locator("[data-csv]").first.is_hidden()
