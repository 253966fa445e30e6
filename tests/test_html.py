"""What notebooks show: cards of results and stores, scikit-learn's pictures of estimators."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_html_repr

from skdnn import (
    RDM,
    ActivationStore,
    BrainHierarchyScore,
    CLIPTextEncoder,
    DNNClassifier,
    DNNFeatureExtractor,
    LayerSearchCV,
    RSAScorer,
    SearchEstimate,
    VoxelwiseRidgeCV,
)
from skdnn._html import MAX_COLUMNS, MAX_ROWS, card
from skdnn._wording import in_bytes
from skdnn.encoding import (
    LayerFeatures,
    SelectKBestRidge,
    average_repeats,
    bootstrap_scores,
    brain_hierarchy_score,
    normalize_scores,
)
from skdnn.encoding._hierarchy._bootstrap import HierarchyBootstrap
from skdnn.formats import BData, NiftiBetas, read_feature_folder, write_feature_folder
from skdnn.io import load_features, open_features, save_features
from skdnn.model_comparison import ModelComparison
from skdnn.models import Model
from skdnn.rsa import NoiseCeiling, bootstrap_rsa, compute_rdm, permutation_test, regression_rsa

SHOWS_ATTRIBUTES = pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_fitted_attr_html"),
    reason="scikit-learn before 1.9 shows parameters only",
)
EVIL = '<script>alert("1")</script>&amp;\x00\ud800\n'
VOID = {"br", "hr", "img", "input", "meta", "link"}


class Balance(HTMLParser):
    """Collects text and tags, and refuses what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def parsed(fragment: str) -> Balance:
    """A fragment that is well-formed and can be sent to any browser."""
    fragment.encode("utf-8")
    found = Balance()
    found.feed(fragment)
    found.close()
    assert found.open == []
    return found


def shown(thing: Any) -> Balance:
    """The card of an object: small, without scripts or style sheets."""
    fragment = thing._repr_html_()
    assert len(fragment) < 20_000
    found = parsed(fragment)
    assert found.tags <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.attributes <= {"style", "scope"}
    assert found.text.startswith(type(thing).__name__)
    return found


def test_the_check_of_html_finds_faults() -> None:
    for wrong in ("<div><b></div></b>", "<div>", "</td>", "<table><tr></table>"):
        with pytest.raises(AssertionError):
            parsed(wrong)


# --- the card itself ---------------------------------------------------------------------------


def test_what_a_card_holds() -> None:
    table = pd.DataFrame({"layer": ["conv", "fc"], "units": [1234, 5], "r": [0.123456, np.nan]})
    facts = {
        "images": 12345,
        "score": np.float32(0.5),
        "kept": np.True_,
        "lost": False,
        "absent": None,
        "names": list("abcdefgh"),
    }
    found = parsed(card("Title", facts, table))
    assert found.rows == [
        ["images", "12,345"],
        ["score", "0.5"],
        ["kept", "yes"],
        ["lost", "no"],
        ["names", "a, b, c, d, e, f, ... (8 in all)"],
        ["layer", "units", "r"],
        ["conv", "1,234", "0.1235"],
        ["fc", "5", ""],
    ]
    assert found.text.startswith("Title")


def test_an_index_is_shown_if_it_is_asked_for() -> None:
    index = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["model", "layer"])
    columns = pd.MultiIndex.from_tuples([("IT", "score")])
    found = parsed(card("T", {}, pd.DataFrame([[1], [2]], index, columns), index=True))
    assert found.rows == [["model, layer", "IT, score"], ["a, 1", "1"], ["b, 2", "2"]]


def test_no_table_where_there_is_nothing() -> None:
    assert "table" not in parsed(card("T", {"none": None}, pd.DataFrame())).tags


def test_large_tables_are_cut_and_counted() -> None:
    table = pd.DataFrame(np.zeros((MAX_ROWS + 1500, MAX_COLUMNS + 3)))
    found = parsed(card("T", {}, table, more=10))
    assert len(found.rows) == 1 + MAX_ROWS
    assert {len(row) for row in found.rows} == {MAX_COLUMNS}
    assert found.text.endswith("and 1,510 more rows and 3 more columns")


@pytest.mark.parametrize("n_bytes", [0, 999, 1000, 12345, 2.5e9, 1e16])
def test_sizes(n_bytes: float) -> None:
    number, unit = in_bytes(n_bytes).replace(",", "").split()
    power = ["bytes", "kB", "MB", "GB", "TB"].index(unit)
    assert float(number) * 1000**power == pytest.approx(n_bytes, rel=0.005)
    assert 1 <= float(number) < 1000 or power in (0, 4)


anything = st.one_of(
    st.text(st.characters(codec=None), max_size=300),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=9),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=9),
)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=20), anything, max_size=4),
    st.lists(st.tuples(anything, anything), max_size=4),
)
def test_whatever_it_is_given_is_text(title: str, facts: dict, rows: list[tuple]) -> None:
    columns = pd.Index(["<b>", "'\""])
    fragment = card(title, facts, pd.DataFrame(rows, columns=columns, dtype=object), index=True)
    found = parsed(fragment)
    assert found.tags <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.attributes <= {"style", "scope"}
    assert len(fragment) < 20_000


def test_names_cannot_become_markup() -> None:
    one = pd.Index([EVIL], dtype=object)
    table = pd.DataFrame([[EVIL]], one, one, dtype=object)
    fragment = card(EVIL, {EVIL: EVIL}, table, index=True)
    assert "script" not in parsed(fragment).tags
    assert parsed(fragment).text.count('<script>alert("1")</script>&amp;') == 6
    assert not {"\x00", "\ud800", "\n"} & set(fragment)


# --- stores ------------------------------------------------------------------------------------

PREPROCESS = {"resize": (16, 20), "crop": None}
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 17, 23, 3), dtype=np.uint8)


def network() -> Any:
    """A network with a layer of many weights."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 7 * 9, 3000), nn.Linear(3000, 5)
    ).eval()


def extractor(layer: Any = "2", **more: Any) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(Model(network(), PREPROCESS, name="tiny<b>"), layer, **more)


opened: list[list[str]] = []


@contextmanager
def files_opened() -> Iterator[list[str]]:
    """Names of all files that are opened meanwhile."""
    if not opened:  # hooks stay for ever: one is enough
        sys.addaudithook(
            lambda event, args: opened[-1].append(str(args[0])) if event == "open" else None
        )
        opened.append([])
    opened.append([])
    yield opened[-1]
    opened.append([])


def test_a_store_is_shown_without_reading_it(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path / "store<i>")
    cached = extractor(["0", "2", "3"], cache=store, batch_size=5)
    cached.precompute(IMAGES[:7])
    cached.precompute(IMAGES)
    with files_opened() as names:
        found = shown(store)
    inside = [name for name in names if str(tmp_path) in name]
    assert not [name for name in inside if name.endswith(".npy")]
    assert len(inside) == 2 * 3  # which layer it is, and one manifest of it
    rows = {row[2]: row for row in found.rows if len(row) == 6}
    assert rows.keys() == {"layer", "0", "2", "3"}
    assert rows["0"][:5] == ["tiny<b>", "as given", "0", "flatten", "12"]
    assert rows["2"][4] == rows["3"][4] == "12"
    table = store.contents()
    total = sum(path.stat().st_size for path in tmp_path.rglob("*.npy"))
    assert ["activations", in_bytes(total)] in found.rows
    assert table["images"].tolist() == [12, 12, 12]


def test_the_card_of_a_store_grows_with_its_layers_only(tmp_path: Path) -> None:
    """However many shards there are, two files of each layer are read."""
    store = ActivationStore(tmp_path)
    cached = extractor("3", cache=store)
    for image in IMAGES:
        cached.precompute(image[None])
    assert len(list(tmp_path.rglob("*.npy"))) == 12
    with files_opened() as names:
        found = shown(store)
    assert len([name for name in names if str(tmp_path) in name]) == 2
    assert ["3", "flatten", "12"] in [row[2:5] for row in found.rows]


def test_stores_that_are_empty_damaged_or_read_only(tmp_path: Path) -> None:
    found = shown(ActivationStore(tmp_path / "not yet"))
    assert ["layers", "0"] in found.rows
    store = ActivationStore(tmp_path / "store")
    extractor("3", cache=store).precompute(IMAGES)
    for path in (tmp_path / "store").glob("layers/*/*.json"):
        path.write_text("{")
    found = shown(ActivationStore(tmp_path / "store", mode="r"))
    assert any("opened to read only" in row[-1] for row in found.rows)
    assert any(
        row[2:5] == [next((tmp_path / "store/layers").iterdir()).name, "", ""]
        for row in found.rows
        if len(row) == 6
    )


def test_stored_features_are_shown_without_reading_them(tmp_path: Path) -> None:
    features = extractor(["0", "3"], cache=tmp_path).fit(IMAGES).stored(IMAGES)
    with files_opened() as names:
        found = shown(features)
    assert not [name for name in names if name.endswith(".npy")]
    assert ["images", "12"] in found.rows
    assert ["tiny<b>", "as given", "0", "flatten", "252"] in found.rows
    assert ["tiny<b>", "as given", "3", "flatten", "5"] in found.rows


# --- results -----------------------------------------------------------------------------------

RNG = np.random.default_rng(1)
RDMS = {name: compute_rdm(RNG.normal(size=(9, 20))) for name in ("conv<1>", "fc")}
SUBJECTS = {f"sub-{k}": compute_rdm(RNG.normal(size=(9, 20))) for k in range(4)}


@pytest.mark.parametrize("extension", ["h5", "npz"])
def test_saved_features(extension: str, tmp_path: Path) -> None:
    layers = {"conv<1>": np.ones((4, 3, 2), np.float32), "fc": np.ones((4, 5))}
    path = tmp_path / f"features.{extension}"
    names = [f"<{k}>.png" for k in range(4)]
    save_features(
        layers, path, labels=names, targets=[0, 1, 0, 1], provenance={"model": EVIL[:20]}
    )
    found = shown(load_features(path))
    assert ["labels", ", ".join(names)] in found.rows
    assert ["model", EVIL[:20]] in found.rows
    assert [
        "conv<1>",
        "4 \N{MULTIPLICATION SIGN} 3 \N{MULTIPLICATION SIGN} 2",
        "float32",
        "96 bytes",
    ] in found.rows
    assert any(row[0] == "versions" and "numpy" in row[1] for row in found.rows)


def test_one_saved_array(tmp_path: Path) -> None:
    save_features(np.zeros((4, 3)), tmp_path / "a.npy")
    assert ["4 \N{MULTIPLICATION SIGN} 3", "float64", "96 bytes"] in shown(
        load_features(tmp_path / "a.npy")
    ).rows


def test_permutations() -> None:
    result = permutation_test(RDMS, SUBJECTS, n_permutations=50, random_state=0)
    found = shown(result)
    assert ["permutations", "50 (random)"] in found.rows
    table = {row[0]: row[1:] for row in found.rows[-2:]}
    for name, score, p in zip(result.names, result.scores, result.p_values, strict=True):
        assert table[name][:2] == [f"{score:.4g}", f"{p:.4g}"]


@pytest.mark.parametrize("comparison", ["spearman", "cosine"])
def test_bootstraps(comparison: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = bootstrap_rsa(RDMS, SUBJECTS, comparison, n_boot=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = shown(result)
    assert ["compared by", comparison] in found.rows
    assert [row[:2] for row in found.rows[-2:]] == [
        [name, f"{score:.4g}"] for name, score in zip(result.names, result.scores, strict=True)
    ]
    ceiling = f"{result.ceiling.lower:.3f} to {result.ceiling.upper:.3f}"
    assert ["noise ceiling", ceiling] in found.rows


def test_regressions() -> None:
    result = regression_rsa(RDMS, SUBJECTS)
    rows = shown(result).rows
    assert len(rows) == 2 + 1 + 4 * 2
    assert rows[3][:3] == ["sub-0", "conv<1>", f"{result.coefficients.iloc[0, 0]:.4g}"]


def test_comparisons_of_models_compute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = list("abcdefghi")
    frames = {
        ("alexnet", name): rdm.set_axis(labels).set_axis(labels, axis=1)
        if isinstance(rdm, pd.DataFrame)
        else pd.DataFrame(rdm, labels, labels)
        for name, rdm in RDMS.items()
    }
    rdms = pd.concat(frames, axis=1)
    plain = ModelComparison(rdms)
    brain = frames["alexnet", "fc"]
    against = ModelComparison(rdms, references={"IT": brain})
    computed = ModelComparison(rdms)
    expected = computed.to_frame()
    monkeypatch.setattr(ModelComparison, "to_frame", None)
    monkeypatch.setattr(ModelComparison, "_scores", None)
    assert ["alexnet", "conv<1>"] in shown(plain).rows
    assert ["alexnet, fc", "1"] in shown(against).rows
    rows = shown(computed).rows
    assert ["alexnet, fc", f"{expected.iloc[1, 0]:.4g}", "1"] in rows


def test_layers_side_by_side(tmp_path: Path) -> None:
    on_disk = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (6, 100))
    features = LayerFeatures({"conv": np.zeros((6, 3, 2, 2)), "fc": on_disk})
    assert shown(features).rows[-2:] == [
        ["conv", "12", "float64", "576 bytes", "memory"],
        ["fc", "100", "float32", "2.4 kB", "disk"],
    ]


def test_scores_of_hierarchies() -> None:
    levels = [RNG.uniform(-1, 1, (3, 40)) for _ in range(4)]
    _, details = brain_hierarchy_score(levels, n_samples=30, test="t", return_details=True)
    rows = shown(details).rows
    assert rows[0] == ["level", "units", "kept", "best 1", "best 2", "best 3"]
    assert rows[1] == ["1", "40", str(details.table[0].sum()), *map(str, details.table[0])]
    found = shown(HierarchyBootstrap(0.25, 0.1, 0.4, 0.05, np.zeros(1000)))
    assert ["interval", "0.1 to 0.4"] in found.rows
    assert ["samples", "1,000"] in found.rows


def test_estimates_are_in_units_that_people_read(tmp_path: Path) -> None:
    estimate = extractor(["0", "3"], cache=tmp_path).estimate(IMAGES, measure=False)
    rows = shown(estimate).rows
    assert ["images", "12, of which 12 go through the network"] in rows
    assert ["result", in_bytes(estimate.result_bytes)] in rows
    assert ["time", "not measured"] in rows
    assert rows[-2:] == [["0", "252"], ["3", "5"]]
    of_search = SearchEstimate(estimate, 2, 1234, 7200.0, 7300.0)
    assert ["search", "about 2.0 h, 1,234 fits"] in shown(of_search).rows
    assert ["extraction", "not measured"] in shown(of_search).rows
    assert ["together", "about 2 min"] in shown(SearchEstimate(None, 1, 1, 1.0, 120.0)).rows


def test_named_tuples_of_arrays() -> None:
    y = RNG.normal(size=(30, 3))
    interval = bootstrap_scores(y, y + RNG.normal(size=y.shape), n_bootstraps=20, random_state=0)
    rows = shown(interval).rows
    assert rows[-4:][0] == ["", "lower", "upper", "standard_error"]
    assert rows[-1] == ["2", *(f"{part[2]:.4g}" for part in interval)]
    assert bootstrap_scores(y[:, 0], y[:, 1], n_bootstraps=20, random_state=0)._repr_html_()
    averaged = average_repeats(np.ones((6, 4)), ["b", "a", "<i>"] * 2)
    rows = shown(averaged).rows
    assert ["responses", "3 \N{MULTIPLICATION SIGN} 4 values, 1 to 1, median 1"] in rows
    assert ["0", "<i>", "2"] in rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normalized = normalize_scores(np.full(50, 0.9), [0.01] * 2 + [0.5] * 48)
        undefined = normalize_scores([np.nan], [0.0])
    found = shown(normalized)
    assert ["unreliable", "2 of 50"] in found.rows
    assert ["above_one", "48 of 50"] in found.rows
    assert found.text.endswith(f"and {50 - MAX_ROWS} more rows")
    assert shown(NoiseCeiling(0.37, 0.67)).rows == [["lower", "0.37"], ["upper", "0.67"]]
    assert shown(undefined).rows[0] == ["values", "1"]


def test_opened_files(tmp_path: Path) -> None:
    save_features(
        {"conv<1>": np.ones((4, 6), np.float32)}, tmp_path / "a.npz", labels=list("abcd")
    )
    found = shown(open_features(tmp_path / "a.npz"))
    assert ["names", "a, b, c, d"] in found.rows
    assert found.rows[-1][:3] == ["conv<1>", "6", "float32"]


# --- data of others ----------------------------------------------------------------------------


def test_files_of_features(tmp_path: Path) -> None:
    write_feature_folder(tmp_path, "conv1", ["a", "b"], np.arange(12.0).reshape(2, 3, 2, 1))
    features = read_feature_folder(tmp_path, "conv1")
    with files_opened() as names:
        found = shown(features)
    assert not [name for name in names if str(tmp_path) in name]
    assert ["units", "6"] in found.rows


def test_brain_data() -> None:
    metadata = pd.DataFrame(np.eye(30, 40), index=[f"ROI_<{k}>" for k in range(30)])
    data = BData(np.zeros((5, 40)), metadata, descriptions={"ROI_<0>": "1 = in V1"})
    found = shown(data)
    assert ["ROI_<0>", "1", "1 = in V1"] in found.rows
    assert found.text.endswith(f"and {30 - MAX_ROWS} more rows")


def test_betas(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.zeros((3, 4, 2), np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "beta.nii")
    found = shown(NiftiBetas([tmp_path / "beta.nii"], volume == 0))
    assert ["voxels", "24"] in found.rows


# --- estimators in scikit-learn's pictures -----------------------------------------------------

VOXELS = np.random.default_rng(2).normal(size=(12, 7))
MOST = 35_000  # characters beside scikit-learn's style sheet and script, about 28,000


def encoders() -> Pipeline:
    return make_pipeline(extractor("3"), VoxelwiseRidgeCV(alphas=[1, 10], cv=3))


def rsa() -> Pipeline:
    return Pipeline([("dnn", extractor()), ("rdm", RDM()), ("rsa", RSAScorer())])


def search() -> LayerSearchCV:
    return LayerSearchCV(rsa(), {"dnn__layer": ["0", "3"]}, cv=3)


def bare() -> Pipeline:
    """A network as it is, not wrapped."""
    return make_pipeline(
        DNNFeatureExtractor(network(), "2", preprocess=PREPROCESS), RDM(), RSAScorer()
    )


def classifier() -> Pipeline:
    return make_pipeline(DNNClassifier(Model(network(), PREPROCESS), classes=list("abcde")))


def picture(estimator: Any) -> str:
    """The picture of an estimator: well-formed, short, and without numbers of the network."""
    found = estimator_html_repr(estimator)
    parsed(found)
    assert len(found) - len(estimator_html_repr(BaseEstimator())) < MOST
    assert "tensor(" not in found
    assert "Parameter containing" not in found
    return found


@pytest.mark.parametrize("make", [encoders, rsa, search, bare, classifier])
def test_estimators_fitted_and_not(make: Callable[[], Any]) -> None:
    estimator = make()
    name = "DNNClassifier" if make is classifier else "DNNFeatureExtractor"
    assert name in picture(estimator)
    y = None if make is classifier else VOXELS
    fitted = clone(estimator).fit(list(IMAGES), y)
    assert "Fitted" in picture(fitted)
    assert name in picture(fitted)
    # The step by itself, as a notebook shows it.
    if isinstance(fitted, Pipeline):
        for _, step in fitted.steps:
            assert type(step).__name__ in picture(step)


def in_notebook(estimator: Any) -> Balance:
    """What a cell that ends with an estimator shows, by either of IPython's ways."""
    fragment = estimator._repr_mimebundle_()["text/html"]
    assert fragment.partition("<style")[0] == estimator._repr_html_().partition("<style")[0]
    return parsed(fragment)


def test_a_search_shows_its_scores_once_it_is_fitted() -> None:
    fitted = search().fit(list(IMAGES), VOXELS)
    assert search()._repr_html_().startswith("<style")
    found = in_notebook(fitted)
    best, profile = fitted.best_params_["dnn__layer"], fitted.layer_profile_
    assert ["chosen", f"dnn__layer: {best}"] in found.rows
    assert ["out of", "2 candidates in 3 folds"] in found.rows
    assert found.rows[3] == ["layer", "depth", "mean", "std", "rank"]
    for _, row in profile.iterrows():
        told = [f"{row[name]:.4g}" for name in ("mean", "std")]
        assert [row["layer"], str(row["depth"]), *told, str(row["rank"])] in found.rows
    with config_context(display="text"):
        assert "text/html" not in fitted._repr_mimebundle_()
        assert not hasattr(fitted, "_repr_html_")


@pytest.mark.parametrize(
    ("refit", "scoring"),
    [(False, None), (False, ["r2", "explained_variance"]), ("r2", ["r2", "explained_variance"]),
     (lambda results: 1, None), (lambda results: 1, ["r2", "explained_variance"])],
)  # fmt: skip
def test_searches_of_every_kind_have_a_card(refit: Any, scoring: Any) -> None:
    grid = {"dnnfeatureextractor__layer": ["0", "3"], "ridge__alpha": [1.0, 10.0]}
    fitted = LayerSearchCV(
        make_pipeline(extractor(), Ridge()), grid, cv=3, refit=refit, scoring=scoring
    ).fit(list(IMAGES), VOXELS)
    found = in_notebook(fitted)
    assert ["out of", "4 candidates in 3 folds"] in found.rows
    assert ("chosen" in [row[0] for row in found.rows if row]) == hasattr(fitted, "best_params_")
    assert "optimistic" in found.text.partition("Pipeline")[0]


@SHOWS_ATTRIBUTES
def test_an_extractor_shows_its_layers_once_it_is_fitted() -> None:
    fitted = extractor(["0", "3"]).fit(list(IMAGES))
    text = parsed(picture(fitted)).text
    for name in ("layers_", "feature_shapes_", "model_name_", "weights_"):
        assert name in text
    assert "layers_" not in parsed(picture(clone(fitted))).text


@SHOWS_ATTRIBUTES
def test_texts() -> None:
    pytest.importorskip("open_clip")
    encoder = CLIPTextEncoder("open_clip/ViT-S-32-alt", weights=None)
    assert "CLIPTextEncoder" in picture(make_pipeline(encoder, RDM()))
    assert "context_length_" in picture(encoder.fit(["a dog", "a house"]))


@SHOWS_ATTRIBUTES
def test_coefficients_are_not_computed_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide features have coefficients of gigabytes, which `coef_` makes when asked for."""
    from skdnn.encoding._ridge import _solution

    X = np.random.default_rng(0).normal(size=(12, 300))
    Y = np.random.default_rng(1).normal(size=(12, 200))
    ridge = VoxelwiseRidgeCV(alphas=[1.0, 10.0], cv=3).fit(X, Y)
    assert ridge.coef_.shape == (200, 300)
    monkeypatch.setattr(_solution, "_from_dual", None)
    with pytest.raises(TypeError):
        ridge.coef_  # noqa: B018 (it would be computed)
    text = parsed(picture(ridge)).text
    assert "alpha_" in text
    assert "coef_ " not in text.replace("dual_coef_", "")
    assert "VoxelwiseRidgeCV" in picture(make_pipeline(ridge))


@SHOWS_ATTRIBUTES
def test_a_hierarchy_study_and_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, X_test = ({f"layer{i}": rng.normal(size=(n, 8)) for i in range(3)} for n in (20, 12))
    y, y_test = (
        {s: {r: rng.normal(size=(n, 7)) for r in ("V1", "HVC")} for s in ("S1", "S2")}
        for n in (20, 12)
    )
    study = BrainHierarchyScore(decoder=SelectKBestRidge(1, 4), n_boot=5, alpha=1, test="t")
    assert "SelectKBestRidge" in picture(make_pipeline(study))
    study.fit(X, y, X_test=X_test, y_test=y_test)
    tables = []
    monkeypatch.setattr(BrainHierarchyScore, "table_", property(tables.append))
    text = parsed(picture(study)).text
    assert "score_" in text
    found = in_notebook(study)
    assert ["score", f"{study.score_:.4g}"] in found.rows
    assert ["areas", "V1, HVC"] in found.rows
    assert tables == []
