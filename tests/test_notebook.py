"""A notebook as a user runs and exports it: cards, pictures and progress, nothing broken."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
nbconvert = pytest.importorskip("nbconvert")
pytest.importorskip("ipykernel")
pytestmark = pytest.mark.slow  # a kernel starts and imports torch

SET_UP = """
from pathlib import Path
import numpy as np
import pandas as pd
from PIL import Image
from torch import nn
from skdnn import *
from skdnn.encoding import bootstrap_scores
from skdnn.fmri import load_betas
from skdnn.models import Model
from skdnn.rsa import bootstrap_rsa, compute_rdm

rng = np.random.default_rng(0)
for number in range(24):
    folder = Path("stimuli") / ("animal<b>" if number % 2 else "tool")
    folder.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (19, 23, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{number:02d}.png")
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 18, 20))
model = Model(network, {"resize": (16, 20), "crop": None}, name="tiny<b>")
"""
# What stands in the HTML of each cell's result.
CARDS = {
    "images = load_image_folder('stimuli'); images": ["DataSet", "animal&lt;b&gt;", ">12<"],
    "extractor = DNNFeatureExtractor(model, ['0', '3'], cache='store')\n"
    "estimate = extractor.estimate(images.paths); estimate": ["ExtractionEstimate", " kB"],
    "extractor.precompute(images.paths)": ["ActivationStore", "tiny&lt;b&gt;"],
    "X = extractor.fit_transform(images.paths)\n"
    "events = pd.DataFrame({'stim_file': images.paths})\n"
    "betas = load_betas(X[:, -5:], events=events, images=images.paths); betas": [
        "Betas",
        ">24<",
    ],
    "pipe = make_search(extractor, ['0', '3'], 24, target='patterns', n_splits=3, n_repeats=1)\n"
    "estimate_search(pipe, betas.averages(), estimate)": ["SearchEstimate", "6 fits"],
    "pipe.set_params(verbose=1).fit(images.paths, betas.averages())": [
        "LayerSearchCV",
        "chosen",
        "dnn__layer: ",
        "2 candidates in 3 folds",
    ],
    "rdms = {f'S{k}': compute_rdm(rng.normal(size=(24, 9))) for k in range(3)}\n"
    "bootstrap_rsa(rdms, rdms, n_boot=20, random_state=0)": ["BootstrapResult", "S2"],
    "bootstrap_scores(X[:, :3], X[:, :3], n_bootstraps=9, random_state=0)": ["ScoreInterval"],
}
PICTURES = [
    "LayerScoresDisplay.from_search(pipe)",
    "display_ = RDMDisplay.from_rdm(rdms['S0']); display_",
    "display_",
    "MDSDisplay.from_rdm(rdms['S0'], images=images.paths)",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
]
PROGRESS = [
    "compare_models({'one': model, 'two': model}, '0', images.paths, verbose=1)",
    "from skdnn._progress import progress_bar\n"
    "bar = progress_bar(total=9, unit='image', desc='extracting')\n"
    "bar.update(4); bar.close()",
]


def executed(cells: list[str], folder: Path, backend: str | None = None) -> Any:
    """A notebook after all its cells have run in `folder`, as a shell would start it."""
    given = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    given |= {"JUPYTER_PLATFORM_DIRS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    given |= {"MPLBACKEND": backend} if backend else {}
    book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=given)  # an error in a cell is one here
    return book


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Any:
    cells = [SET_UP, *CARDS, *PICTURES, *PROGRESS]
    return executed(cells, tmp_path_factory.mktemp("notebook"))


def outputs(book: Any, source: str) -> list[Any]:
    """What stands below the cell."""
    (cell,) = (cell for cell in book.cells if cell.source == source)
    return list(cell.outputs)


def test_no_cell_complains(book: Any) -> None:
    """Neither of a failure, nor of what is not installed: standard error looks like a fault."""
    found = [output for cell in book.cells for output in cell.outputs]
    assert [output for output in found if output.output_type == "error"] == []
    assert [output.text for output in found if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("source", CARDS)
def test_results_are_cards(book: Any, source: str) -> None:
    last = outputs(book, source)[-1]
    assert last.output_type == "execute_result"
    page = last.data["text/html"]
    assert "animal<b>" not in page
    assert "tiny<b>" not in page
    for part in CARDS[source]:
        assert part in page


@pytest.mark.parametrize("source", PICTURES)
def test_displays_are_pictures_alone(book: Any, source: str) -> None:
    (shown,) = outputs(book, source)
    assert shown.output_type == "display_data"
    assert base64.b64decode(shown.data["image/png"]).startswith(b"\x89PNG")
    assert shown.data["text/plain"].startswith("<Figure size")


def test_progress_ends_as_a_line(book: Any) -> None:
    compared, bar = (outputs(book, source) for source in PROGRESS)
    assert re.fullmatch(
        r"<div>comparing: 2 of 2 networks in (under 1|\d+) s</div>", compared[0].data["text/html"]
    )
    assert "ModelComparison" in compared[-1].data["text/html"]
    (line,) = bar
    assert line.data["text/plain"] == "extracting: stopped after 4 of 9 images in under 1 s"


def test_the_exported_page(book: Any) -> None:
    page, _ = nbconvert.HTMLExporter().from_notebook_node(book)
    stored = outputs(book, "extractor.precompute(images.paths)")
    for line in ("extracting: 24 of 24 images in", "24 of 24 images to forward", "SearchEstimate"):
        assert line in page
    assert len(stored) == 3  # what is to come, the progress, and the card
    # MathJax and require.js are nbconvert's own; what our objects show asks for nothing.
    shown = [output.get("data", {}) for cell in book.cells for output in cell.outputs]
    ours = "".join(data.get("text/html", "") for data in shown)
    assert re.findall(r"(?:src|srcset|@import|url\()[\s='\"(]*(?:https?:)?//", ours) == []
    assert "<progress" not in page
    assert "Traceback" not in page


def test_pictures_where_the_backend_draws_into_files(tmp_path: Path) -> None:
    """Clusters set MPLBACKEND=agg, with which pyplot shows nothing."""
    cell = "import numpy as np\nfrom skdnn import RDMDisplay\nRDMDisplay.from_rdm(1 - np.eye(4))"
    (shown,) = outputs(executed([cell], tmp_path, "agg"), cell)
    assert base64.b64decode(shown.data["image/png"]).startswith(b"\x89PNG")
