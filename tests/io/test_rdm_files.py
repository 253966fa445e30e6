"""RDMs in files: every form comes back as it was, and what is none is refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat
from scipy.spatial.distance import squareform
from sklearn.utils import Bunch

from skdnn.io import load_features, load_rdm, save_features, save_rdm
from skdnn.rsa import compare_rdms

NAMES = ["cat", "dog", "saw", "cup"]
PAIRS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
SQUARE = squareform(PAIRS)
TABLE = pd.DataFrame(SQUARE, index=NAMES, columns=NAMES)
KINDS = (".csv", ".tsv", ".npy", ".npz", ".h5", ".mat")
# Cells of a table of text can hold any of these; a file's own null character no format keeps.
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)


def equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@st.composite
def rdm_tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(3, 6))
    values = st.floats(-1e300, 1e300) | st.just(np.nan)
    pairs = draw(hnp.arrays(np.float64, n * (n - 1) // 2, elements=values))
    labels = draw(st.lists(TEXTS, min_size=n, max_size=n, unique=True))
    square = squareform(pairs, checks=False) + 0.0  # one kind of zero
    return pd.DataFrame(square, index=labels, columns=labels)


@pytest.mark.parametrize("kind", KINDS)
@given(table=rdm_tables())
@settings(max_examples=25, deadline=None)
def test_an_rdm_comes_back_to_the_bit_with_its_labels(kind: str, table: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = save_rdm(table, Path(folder, "rdm" + kind))
        equal(load_rdm(path), table)


@pytest.mark.parametrize("kind", KINDS)
@given(names=st.lists(st.sampled_from(["s1", "s 2", "s,3", "4"]), min_size=1, unique=True))
@settings(max_examples=10, deadline=None)
def test_several_subjects_come_back(kind: str, names: list[str]) -> None:
    table = pd.concat({name: TABLE * k for k, name in enumerate(names, start=1)}, axis=1)
    table.columns.names = ["subject", "condition"]
    table = table.rename_axis(index="condition")
    with tempfile.TemporaryDirectory() as folder:
        path = save_rdm(table, Path(folder, "rdm" + kind))
        equal(load_rdm(path), table)
        one = load_rdm(path, key=names[-1])
        equal(one, table[names[-1]])


@pytest.mark.parametrize("kind", KINDS)
def test_levels_of_columns_come_back(tmp_path: Path, kind: str) -> None:
    keys = [("s1", "V1"), ("s1", "V4"), ("s2", "V1")]
    table = pd.concat({key: TABLE * k for k, key in enumerate(keys, start=1)}, axis=1)
    table.columns.names = ["subject", "roi", "condition"]
    table = table.rename_axis(index="condition")
    equal(load_rdm(save_rdm(table, tmp_path / f"rdm{kind}")), table)


@pytest.mark.parametrize("kind", KINDS)
def test_without_labels_conditions_are_counted(tmp_path: Path, kind: str) -> None:
    found = load_rdm(save_rdm(SQUARE, tmp_path / f"rdm{kind}"))
    assert isinstance(found.index, pd.RangeIndex)
    np.testing.assert_array_equal(found, SQUARE)
    equal(load_rdm(tmp_path / f"rdm{kind}", labels=NAMES), TABLE)


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    several = pd.concat({"s1": TABLE, "s2": 2 * TABLE}, axis=1)
    for name, table in {"one": TABLE, "several": several}.items():
        table.to_csv(tmp_path / f"{name}.csv")
        np.testing.assert_array_equal(load_rdm(tmp_path / f"{name}.csv"), table)
        table.to_csv(tmp_path / f"{name}.tsv", sep="\t")
        found = load_rdm(tmp_path / f"{name}.tsv")
        assert found.columns.tolist() == table.columns.tolist()
    TABLE.to_csv(tmp_path / "german.csv", sep=";", decimal=",")
    equal(load_rdm(tmp_path / "german.csv"), TABLE)
    TABLE.to_csv(tmp_path / "excel.csv", encoding="utf-8-sig")
    equal(load_rdm(tmp_path / "excel.csv"), TABLE)


def test_columns_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    TABLE[["saw", "cat", "cup", "dog"]].to_csv(tmp_path / "a.csv")
    equal(load_rdm(tmp_path / "a.csv"), TABLE)


@pytest.mark.parametrize(
    ("index", "header"), [(False, True), (True, False), (False, False)], ids=str
)
def test_names_on_one_side_or_none(tmp_path: Path, index: bool, header: bool) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=index, header=header)
    found = load_rdm(tmp_path / "a.csv")
    np.testing.assert_array_equal(found, SQUARE)
    assert list(found.index) == (NAMES if index or header else [0, 1, 2, 3])


@pytest.mark.parametrize("line", [True, False])
def test_condensed_text(tmp_path: Path, line: bool) -> None:
    shape = (1, -1) if line else (-1, 1)
    np.savetxt(tmp_path / "a.csv", PAIRS.reshape(shape), delimiter=",")
    np.savetxt(tmp_path / "a.txt", PAIRS.reshape(shape))
    for name in ("a.csv", "a.txt"):
        np.testing.assert_array_equal(load_rdm(tmp_path / name), SQUARE)


@pytest.mark.parametrize(
    "array",
    [PAIRS, PAIRS[None], PAIRS[:, None], SQUARE, SQUARE.astype(np.float32)],
    ids=["pairs", "row", "column", "square", "float32"],
)
def test_arrays_of_other_programs(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    savemat(tmp_path / "a.mat", {"x": array, "note": "text"})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/x"] = array
    for name in ("a.npy", "a.mat", "a.h5"):
        np.testing.assert_allclose(load_rdm(tmp_path / name), SQUARE, rtol=1e-6)


def test_stacks_of_other_programs(tmp_path: Path) -> None:
    stack = np.stack([SQUARE, 2 * SQUARE, 3 * SQUARE])
    forms = {"first": stack, "pairs": np.stack([PAIRS, 2 * PAIRS, 3 * PAIRS])}
    for name, array in {**forms, "last": stack.transpose(1, 2, 0)}.items():
        np.save(tmp_path / f"{name}.npy", array)
        found = load_rdm(tmp_path / f"{name}.npy", labels=NAMES)
        assert found.columns.names == ["subject", "condition"]
        np.testing.assert_allclose(found["rdm-3"], 3 * SQUARE)
    many = np.stack([SQUARE * k for k in range(1, 5)])  # as many RDMs as conditions
    np.save(tmp_path / "many.npy", many.transpose(1, 2, 0))
    np.testing.assert_array_equal(load_rdm(tmp_path / "many.npy")["rdm-4"], 4 * SQUARE)


def test_a_file_of_several_arrays_asks_which(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"it": SQUARE, "v1": 2 * SQUARE, "time": np.arange(7.0)})
    with pytest.raises(ValueError, match=r"a\.mat holds several .* key=, one of 'it', 'v1'"):
        load_rdm(tmp_path / "a.mat")
    np.testing.assert_array_equal(load_rdm(tmp_path / "a.mat", key="v1"), 2 * SQUARE)
    with pytest.raises(ValueError, match=r"no key='V1', but 'it', 'v1', 'time'"):
        load_rdm(tmp_path / "a.mat", key="V1")
    with pytest.raises(ValueError, match=r"holds no RDM .* shape \(1, 7\)"):
        load_rdm(tmp_path / "a.mat", key="time")


def test_labels_of_saved_features_are_kept(tmp_path: Path) -> None:
    save_features(SQUARE, tmp_path / "a.h5", labels=NAMES)
    equal(load_rdm(tmp_path / "a.h5"), TABLE)
    assert load_features(save_rdm(TABLE, tmp_path / "b.h5")).labels == NAMES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1 - SQUARE, r"a\.csv: its diagonal is 1, .*1 - similarity"),
        (SQUARE + np.diag([0, 0, 0.5, 0]), r"diagonal is 0\.5 at 'saw'"),
        (SQUARE + np.eye(4)[[1]].T * np.eye(4)[[2]], "row 'dog', column 'saw' is 1.4, but row"),
        (np.triu(SQUARE), "One triangle is empty"),
        (np.where(SQUARE == 0.7, np.inf, SQUARE), "infinity at row 'saw', column 'cup'"),
    ],
    ids=["similarities", "diagonal", "asymmetric", "triangle", "infinity"],
)
def test_what_is_no_rdm_is_refused_with_its_place(
    tmp_path: Path, values: np.ndarray, message: str
) -> None:
    table = pd.DataFrame(values, index=NAMES, columns=NAMES)
    table.to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=message):
        load_rdm(tmp_path / "a.csv")
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match=r"a\.npy"):
        load_rdm(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="rdm: "):
        save_rdm(table, tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (",a,b,c\na,0,1,x\nb,1,0,2\nc,x,2,0\n", r"line 2, column 4 is 'x', which is no number"),
        (",a,b,c\na,0,1\n", "line 2 has 3 cells, but the first has 4"),
        (",a,b,c\na,0,1,2\nb,1,0,3\nd,2,3,0\n", "'d' only in the rows, 'c' only in the columns"),
        (",a,b,c\na,0,1,2\na,1,0,3\nc,2,3,0\n", "is no number|repeat|named differently"),
        ("0,1\n1,0\n", "no RDM of three or more conditions"),
        ("1,2,3,4\n5,6,7,8\n", "table of 2 rows and 4 columns"),
    ],
    ids=["empty", "cell", "ragged", "names", "repeated", "two", "shape"],
)
def test_text_that_is_no_rdm(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_rdm(tmp_path / "a.csv")


def test_unknown_pairs_stay_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",a,b,c\na,,0.5,NA\nb,0.5,nan,0.2\nc,,0.2,0\n")
    found = load_rdm(tmp_path / "a.csv")
    np.testing.assert_array_equal(found, squareform([0.5, np.nan, 0.2], checks=False))


def test_a_blank_diagonal(tmp_path: Path) -> None:
    blank = TABLE.mask(np.eye(4, dtype=bool))
    blank.to_csv(tmp_path / "a.csv")
    equal(load_rdm(tmp_path / "a.csv"), TABLE)
    blank.to_csv(tmp_path / "b.csv", index=False, header=False)
    with pytest.raises(ValueError, match=r"b\.csv: .* names or dissimilarities"):
        load_rdm(tmp_path / "b.csv")


def test_the_mean_of_nearly_equal_triangles(tmp_path: Path) -> None:
    values = SQUARE.copy()
    values[0, 1] += 1e-8
    np.save(tmp_path / "a.npy", values)
    found = load_rdm(tmp_path / "a.npy").to_numpy()
    assert np.array_equal(found, found.T)
    assert found[0, 1] == pytest.approx(0.1 + 0.5e-8, abs=1e-12)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    save_rdm(TABLE, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="'cat' there, 'dog' here"):
        load_rdm(tmp_path / "a.csv", labels=["dog", "cat", "saw", "cup"])
    with pytest.raises(ValueError, match="labels has 2 entries, but the RDM has 4"):
        load_rdm(tmp_path / "a.csv", labels=["a", "b"])
    with pytest.raises(ValueError, match="labels repeat: 'a'"):
        save_rdm(SQUARE, tmp_path / "b.csv", labels=list("aabc"))


def test_rdms_of_a_dict_are_put_in_the_order_of_the_first(tmp_path: Path) -> None:
    turned = {"a": TABLE, "b": 2 * TABLE.iloc[::-1, ::-1]}
    found = load_rdm(save_rdm(turned, tmp_path / "a.h5"))
    np.testing.assert_array_equal(found["b"], 2 * TABLE)
    assert found.index.tolist() == NAMES


def test_files_are_not_replaced_unasked(tmp_path: Path) -> None:
    path = save_rdm(TABLE, tmp_path / "new" / "a.csv")
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_rdm(2 * TABLE, path)
    assert path.read_bytes() == before
    equal(load_rdm(save_rdm(2 * TABLE, path, overwrite=True)), 2 * TABLE)
    assert [file.name for file in path.parent.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("rdm", "name", "message"),
    [
        (TABLE, "a.doc", r"must end in one of \.csv"),
        ({}, "a.h5", "without any RDM"),
        (
            {"a": TABLE, "b": TABLE.set_axis(list("abcd")).set_axis(list("abcd"), axis=1)},
            "a.h5",
            "rdm: 'b' has other conditions",
        ),
        ({"a": SQUARE, "b": [0.1, 0.2, 0.3]}, "a.h5", "rdm: 'b' has other conditions"),
        (np.stack([SQUARE, SQUARE]), "a.csv", "give labels="),
        (TABLE.iloc[:, :3], "a.csv", "rdm must be a square RDM"),
        (np.zeros((2, 5)), "a.csv", "holds no RDM"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, rdm: Any, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_rdm(rdm, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    for kind in (".npy", ".h5", ".mat"):
        path = save_rdm(TABLE, tmp_path / f"a{kind}")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match="cannot be loaded"):
            load_rdm(path)
    with pytest.raises(FileNotFoundError, match=r"b\.csv"):
        load_rdm(tmp_path / "b.csv")


@pytest.mark.parametrize("kind", [".csv", ".mat"])
def test_real_rdms(tmp_path: Path, kriegeskorte92: Bunch, kind: str) -> None:
    for name in ("human_it", "human_it_subjects"):
        table = kriegeskorte92[name]
        found = load_rdm(save_rdm(table, tmp_path / f"{name}{kind}"))
        np.testing.assert_allclose(found, table, rtol=1e-7, atol=1e-12)
        assert found.columns.tolist() == table.columns.tolist()
    assert (
        compare_rdms(load_rdm(tmp_path / f"human_it{kind}"), kriegeskorte92.human_it) > 1 - 1e-12
    )
