"""Results that are saved are read back to the bit, and other files are refused by name."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import describe_study
from skdnn.encoding import (
    BrainHierarchyScore,
    HierarchyBootstrap,
    LayerwiseEncoder,
    nested_encoding,
    pool_folds,
)
from skdnn.model_comparison import ModelComparison, score_rdms
from skdnn.report import Result, Results, load_results
from skdnn.rsa import bootstrap_rsa, compute_rdm, permutation_test

RNG = np.random.default_rng(0)
NAMES = [f"image {k}" for k in range(9)]


def rdms(n: int) -> dict[str, pd.DataFrame]:
    patterns = (pd.DataFrame(RNG.normal(size=(9, 20)), index=NAMES) for _ in range(n))
    return {f"m{k}": compute_rdm(each) for k, each in enumerate(patterns)}


def encoded() -> pd.DataFrame:
    layers = {"early": RNG.normal(size=(40, 6)), "late": RNG.normal(size=(40, 7))}
    y = layers["early"][:, :3] + RNG.normal(size=(40, 3))
    return nested_encoding(LayerwiseEncoder(), layers, y, cv=2, roi=["V1", "V1", "IT"])


def hierarchy() -> BrainHierarchyScore:
    X, X_test = (
        {layer: RNG.normal(size=(n, 12)) for layer in ("low", "middle", "high")} for n in (40, 20)
    )
    y, y_test = (
        {"S1": {area: given[layer] + RNG.normal(size=given[layer].shape)
                for area, layer in (("V1", "low"), ("V4", "middle"), ("HVC", "high"))}}
        for given in (X, X_test)
    )  # fmt: skip
    study = BrainHierarchyScore(test="t", n_boot=20, n_permutations=20)
    return study.fit(X, y, X_test=X_test, y_test=y_test)


def regions() -> pd.DataFrame:
    rows = {"subject": ["S1"] * 2, "roi": ["V1"] * 2, "layer": ["a", "b"], "depth": [1, 2],
            "score": [0.1, 0.2], "std": [0.1, 0.1], "chosen": [False, True], "low": [0.0, 0.1],
            "high": [0.2, 0.3], "p": [0.2, 0.01], "ceiling_lower": np.nan,
            "ceiling_upper": np.nan}  # fmt: skip
    return pd.DataFrame(rows)


def comparison() -> ModelComparison:
    models = pd.concat({(name, "fc"): each for name, each in rdms(2).items()}, axis=1)
    return ModelComparison(models, references={"it": rdms(1)["m0"]})


SUBJECTS = list(rdms(3).values())
RESULTS: dict[str, Any] = {
    "bootstrap": lambda: bootstrap_rsa(rdms(2), SUBJECTS, n_boot=30, random_state=0),
    "permutation": lambda: permutation_test(rdms(2), SUBJECTS, n_permutations=20, random_state=0),
    "comparison": comparison,
    "scores": lambda: score_rdms(rdms(2), rdms(1), n_boot=20, n_permutations=20)[0],
    "folds": encoded,
    "voxels": lambda: pool_folds(encoded()),
    "hierarchy": hierarchy,
    "hierarchy bootstrap": lambda: HierarchyBootstrap(0.4, 0.1, 0.6, 0.1, np.array([0.2, 0.5])),
    "regions": regions,
    "methods": lambda: describe_study(permutation_test(rdms(1), SUBJECTS, n_permutations=20)),
}


@pytest.fixture(scope="module")
def study() -> Results:
    results = Results("A study", question="Which?", command="skdnn search", seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in RESULTS.items():
            results.add(make(), name=name)
    pictures = RNG.integers(0, 255, (9, 20, 30, 3), dtype=np.uint8)
    return results.add_rdm(rdms(1)["m0"], images=list(pictures))


def same_tables(a: Result, b: Result) -> None:
    assert list(a.tables) == list(b.tables)
    for name, table in a.tables.items():
        pd.testing.assert_frame_equal(table, b.tables[name], check_exact=True)


def test_every_kind_of_result_is_read_back(study: Results, tmp_path: Path) -> None:
    study.save(tmp_path / "study.skdnn.json")
    found = load_results(tmp_path / "study.skdnn.json")
    assert found.to_dict() == study.to_dict()
    assert list(found) == [*RESULTS, "RDM"]
    for name, result in study.items():
        same_tables(result, found[name])
    assert (found.title, found.question, found.command, found.seed) == (
        *("A study", "Which?", "skdnn search"), 3,
    )  # fmt: skip
    assert found["RDM"].tables["RDM"].index.tolist() == NAMES
    assert found.images.keys() == set(NAMES)


@pytest.mark.parametrize("name", RESULTS)
def test_what_numbers_generalise_to_is_told(study: Results, name: str) -> None:
    tests = study[name].tests
    assert bool(tests) == (name != "methods")
    assert all(test.keys() == {"name", "generalises_to"} for test in tests)


def test_what_p_of_regions_is_adjusted_for_is_told(study: Results) -> None:
    told = study["regions"].tests[0]["name"]
    assert "permutation of images: p, " in told
    assert "p_adjusted for the layers (Holm), not for subjects and regions" in told


def test_searches_are_taken_with_what_json_has_no_word_for(tmp_path: Path) -> None:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline

    from skdnn import LayerSearchCV

    pipe = Pipeline([("reduce", PCA(2)), ("ridge", Ridge())])
    search = LayerSearchCV(pipe, {"reduce": [PCA(2), PCA(3)]}, cv=2)
    search.fit(RNG.normal(size=(12, 5)), RNG.normal(size=(12, 2)))
    Results().add(search).save(tmp_path / "s.json")
    table = load_results(tmp_path / "s.json")["LayerSearchCV"].tables["all candidates"]
    expected = search.cv_results_["mean_test_score"]
    assert table["mean_test_score"].to_numpy().tobytes() == expected.tobytes()
    assert table["param_reduce"].tolist() == ["PCA(n_components=2)", "PCA(n_components=3)"]


AWKWARD = {
    "dtypes": pd.DataFrame(
        {
            "float": [0.1, np.nan, -np.inf], "minus zero": [-0.0, 5e-324, 1.7976931348623157e308],
            "single": np.array([0.1, 1e-30, np.nan], dtype=np.float32),
            "whole": np.array([1, 2, 2**62 + 1]), "large": np.array([0, 1, 2**64 - 1], np.uint64),
            "bool": [True, False, True], "text": ["a", None, "</script>"],
            "object": pd.Series([(1, "b"), {"$x": -np.inf}, {1: None}], dtype=object),
            "texts as objects": pd.Series(["a", "\udcff", "c"], dtype=object),
            "category": pd.Categorical(["x", "y", None], ["y", "x", "z"], ordered=True),
            "date": pd.to_datetime(["2020-01-01", None, "2021-05-05"]),
            ("a", 1): [1, 2, 3], 3: [0.25, 0.5, 1],
        }
    ),
    "levels": pd.DataFrame(
        RNG.normal(size=(2, 3)),
        index=pd.MultiIndex.from_tuples([("S1", 1), ("S2", 2)], names=["subject", None]),
        columns=pd.MultiIndex.from_product([["it"], [1, 2, 3]], names=["roi", "voxel"]),
    ),
    "named": pd.DataFrame({"r": [1.5, 2.5]}, index=pd.Index([0.5, np.nan], name="time")),
    "counted": pd.DataFrame({"r": [1, 2]}, index=pd.RangeIndex(3, 7, 2, name="row")),
    "no rows": pd.DataFrame({"r": np.array([], dtype=np.float32), "s": np.array([], dtype=str)}),
    "no columns": pd.DataFrame(index=pd.Index(["a", "b"])),
}  # fmt: skip


@pytest.mark.parametrize("name", AWKWARD)
def test_tables_keep_names_dtypes_and_every_bit(name: str, tmp_path: Path) -> None:
    table = AWKWARD[name]
    Results().add(table, name="t").save(tmp_path / "t.skdnn.json")
    found = load_results(tmp_path / "t.skdnn.json")["t"].tables["table"]
    exact = {"check_exact": True, "check_index_type": "exact", "check_column_type": "exact"}
    pd.testing.assert_frame_equal(found, table, **exact)
    for column in table.columns[: table.shape[1]]:
        if table[column].dtype.kind == "f":
            assert found[column].to_numpy().tobytes() == table[column].to_numpy().tobytes()


def edited(content: dict[str, Any], *path: Any, to: Any) -> str:
    """The file with one thing in it changed."""
    place = content = json.loads(json.dumps(content))
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(content)


SMALL = Results("Small").add(pd.DataFrame({"r": [0.5, 1.5], "n": [1, 2]}), name="scores").to_dict()
TABLE = ("results", 0, 1, "tables", 0, 1)
BAD_FILES = {
    "no JSON": ("no json", "is no JSON"),
    "a list": ("[]", "no Results.save has written it"),
    "something else": ('{"format": "other"}', "no Results.save has written it"),
    "newer": (edited(SMALL, "version", to=2), r"version 2.*reads version 1: install a newer"),
    "no version": (edited(SMALL, "version", to="x"), "it was edited"),
    "no results": (edited(SMALL, "results", to=3), "'results'.*int"),
    "a row less": (edited(SMALL, *TABLE, "values", 0, "values", to=[0.5]),
                   "'scores'.*'table'.*column 'r' has 1 values for 2 rows"),
    "no column": (edited(SMALL, *TABLE, "values", to=[]), "2 names of columns for 0 columns"),
    "no number": (edited(SMALL, *TABLE, "values", 0, "values", 0, to="much"), "'scores'.*much"),
    "no whole number": (edited(SMALL, *TABLE, "values", 1, "values", 0, to=True), "'scores'"),
    "dtype": (edited(SMALL, *TABLE, "values", 0, "dtype", to="float65"), "float65"),
    "mark": (edited(SMALL, "seed", to={"$what": 1}), r"'seed'.*\$what"),
    "tests": (edited(SMALL, "results", 0, 1, "tests", to="none"), "'scores'.*tests is no list"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_be_read_are_refused_by_name(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"(?s)other\.json.*{message}"):
        load_results(path)


def test_unknown_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="A int is no result that is known: LayerSearchCV"):
        Results().add(1)
    with pytest.raises(ValueError, match="IT must be a square RDM"):
        Results().add_rdm(np.zeros((2, 4)), name="IT")
    with pytest.raises(ValueError, match="400 conditions or fewer"):
        Results().add_rdm(np.zeros((401, 401)))


def test_a_name_that_is_taken_gets_a_number() -> None:
    table = pd.DataFrame({"r": [1.0]})
    results = Results().add(table).add(table, name="DataFrame").add(table)
    assert list(results) == ["DataFrame", "DataFrame (2)", "DataFrame (3)"]


def test_warnings_are_kept_and_shown(recwarn: pytest.WarningsRecorder) -> None:
    results = Results()
    with results.record_warnings():
        warnings.warn("one image is grey", UserWarning, stacklevel=1)
    warnings.warn("not this one", UserWarning, stacklevel=1)
    assert results.warnings == ["UserWarning: one image is grey"]
    assert [str(each.message) for each in recwarn] == ["one image is grey", "not this one"]


@pytest.mark.parametrize("columns", ["grouped", "by condition", "in another order", "a dict"])
def test_several_rdms_side_by_side_are_averaged(columns: str) -> None:
    each = rdms(3)
    frame = pd.concat(each, axis=1)
    if columns == "by condition":
        frame = frame.sort_index(axis=1, level=-1)
    elif columns == "in another order":
        frame = frame.iloc[:, RNG.permutation(frame.shape[1])]
    results = Results().add_rdm(each if columns == "a dict" else frame, name="IT")
    expected = np.mean([rdm.to_numpy() for rdm in each.values()], axis=0)
    np.testing.assert_allclose(results["IT"].tables["RDM"], expected, rtol=1e-15)
    assert results["IT"].facts["mean of RDMs"] == 3


def test_an_rdm_without_places_says_why() -> None:
    rdm = rdms(1)["m0"].copy()
    rdm.iloc[0, 1] = rdm.iloc[1, 0] = np.nan
    result = Results().add_rdm(rdm)["RDM"]
    assert list(result.tables) == ["RDM"]
    assert "no picture of the conditions in a plane" in result.warnings[0]


def test_files_are_told_by_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "it.csv"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert Results().add_files([path]).provenance["files"] == {str(path): digest}
