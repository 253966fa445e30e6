"""Searchlights in reports: numbers that are kept to the bit, and pictures of all maps."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import icosphere
from PIL import Image

from skdnn.fmri import searchlight_rsa
from skdnn.report import Report, Results, load_results
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("nilearn.plotting")

RNG = np.random.default_rng(0)
GRID, AFFINE = (6, 7, 8), np.diag([3.0, 3, 3, 1])
AFFINE[:3, 3] = (-9, -12, 3)
NAMES = ("conv1", "<b>fc6</b>")


def studied(n_points: int, n_layers: int = 2, n_subjects: int = 7, **options: Any) -> Any:
    names = [*NAMES, *(f"layer {k}" for k in range(2, n_layers))][:n_layers]
    features = {name: RNG.normal(size=(10, 30)) for name in names}
    subjects = {}
    for number in range(n_subjects):
        voxels = RNG.normal(size=(10, n_points))
        voxels[:, :120] += features["conv1"] @ RNG.normal(size=(30, 120)) / 2
        subjects[f"sub-{number}"] = voxels
    layers = {name: compute_rdm(values) for name, values in features.items()}
    return searchlight_rsa(subjects, layers, min_voxels=4, **options)


@pytest.fixture(scope="module")
def found() -> Any:
    inside = np.ones(GRID, dtype=bool)
    inside[2:4, 2, :3] = False
    mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
    result = studied(int(inside.sum()), radius=6.0, mask=mask)
    return result, result.test(n_flips=500)


@pytest.fixture(scope="module")
def results(found: Any) -> Results:
    result, test = found
    return Results("Where").add(result, name="Searchlight").add(test, name="Test")


class Pictures(HTMLParser):
    """Names and sizes of the pictures on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sizes: dict[str, tuple[int, int]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "img":
            kind, content = given["src"].split(";base64,")
            assert kind == "data:image/png"
            image = Image.open(io.BytesIO(base64.b64decode(content)))
            self.sizes[given["alt"]] = image.size


def test_all_is_read_back_to_the_bit(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "study.skdnn.json")
    again = load_results(tmp_path / "study.skdnn.json")
    assert again.to_dict() == results.to_dict()
    assert Report(again).to_html() == Report(results).to_html()
    for name, one in results.items():
        for title, table in one.tables.items():
            pd.testing.assert_frame_equal(table, again[name].tables[title], check_exact=True)


def test_numbers_are_those_of_the_maps(found: Any, results: Results) -> None:
    result, test = found
    table = results["Searchlight"].tables["layers"]
    inverse = np.linalg.inv(AFFINE)
    for row, layer in enumerate(result.layers):
        values = result.map(layer).get_fdata()
        told = table.iloc[row]
        assert told["layer"] == layer
        place = tuple(np.rint(inverse @ [*told[["x", "y", "z"]], 1])[:3].astype(int))
        np.testing.assert_allclose(values[place], told["largest"], rtol=1e-6)
        np.testing.assert_allclose(np.nanmax(values), told["largest"], rtol=1e-6)
        np.testing.assert_allclose(np.nanmedian(values), told["median"], atol=1e-7)
        assert told["best in"] == (result.best_layer() == row).sum()
    spheres = results["Searchlight"].tables["spheres"]
    assert spheres["subject"].tolist() == result.subjects
    assert (spheres["largest"] == result.sizes.max(axis=1)).all()
    of_test = results["Test"].tables["layers"]
    assert of_test["significant"].tolist() == test.significant().sum(axis=1).tolist()
    np.testing.assert_array_equal(of_test["largest t"], np.nanmax(test.t, axis=1))
    np.testing.assert_array_equal(of_test["smallest p"], np.nanmin(test.p, axis=1))
    (told,) = results["Test"].tests
    assert told["generalises_to"] == "other subjects, for these images"
    assert results["Searchlight"].facts["radius"] == 6.0


def test_clusters_are_told(found: Any) -> None:
    result, _ = found
    test = result.test("cluster", cluster_alpha=0.02, n_flips=500)
    kept = Results("Where").add(test)["SearchlightTest"]
    pd.testing.assert_frame_equal(kept.tables["clusters"], test.clusters)
    (told,) = kept.tests
    assert "the largest mass of a cluster decides" in told["name"]
    (told,) = Results("Where").add(result.test("tfce", n_flips=50))["SearchlightTest"].tests
    assert "the largest enhanced t decides" in told["name"]


def test_the_page_shows_every_map(results: Results) -> None:
    page = Report(results).to_html()
    found = Pictures(page).sizes
    starts = [
        "Most similar layer at", "conv1: similarity, mean", "<b>fc6</b>: similarity, mean",
        "Noise ceiling", "Sizes of spheres", "Most similar layer, where", "conv1: t, p <= 0.05",
    ]  # fmt: skip
    assert len(found) == len(starts)  # of fc6 there is no significant place
    for name, start in zip(found, starts, strict=True):
        assert name.startswith(start)
    assert all(width == 990 for width, _ in found.values())
    assert "&lt;b&gt;fc6&lt;/b&gt;: similarity" in page
    assert len(page) < 1e6


def test_one_subject_on_a_surface(tmp_path: Path) -> None:
    xyz, faces = icosphere()
    masks = tuple(np.ones(162, dtype=np.uint8) for _ in range(2))
    result = studied(324, n_subjects=1, radius=12.0, mask=masks, mesh=[(xyz, faces), (xyz, faces)])
    one = Results().add(result)["SearchlightResult"]
    table = one.tables["layers"]
    for row, told in enumerate(table.itertuples()):
        first = 162 * (told.hemisphere == "right")
        assert told.hemisphere in ("left", "right")
        np.testing.assert_equal(result.scores[0, row, first + int(told.vertex)], told.largest)
    assert "subject" not in one.tables["spheres"]
    assert [name.split(":")[0].split(",")[0] for name in one.pictures] == [
        "Most similar layer at each place", *NAMES, "Sizes of spheres",
    ]  # fmt: skip


def test_of_very_many_layers_the_best_are_drawn() -> None:
    mask = nibabel.Nifti1Image(np.ones((5, 5, 5), np.uint8), AFFINE)
    result = studied(125, n_layers=26, n_subjects=1, radius=4.0, mask=mask)
    one = Results().add(result)["SearchlightResult"]
    assert one.warnings == ["24 of 26 layers are drawn: those with the largest values."]
    shown = {name.split(":")[0] for name in one.pictures if ": similarity" in name}
    order = np.argsort(-np.nanmax(result.mean(), axis=1))
    assert shown == {result.layers[row] for row in order[:24]}
    assert len(one.tables["layers"]) == 26
