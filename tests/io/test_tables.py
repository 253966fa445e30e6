"""Tables of text that R, pandas, numpy and spreadsheets write, as features and as RDMs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform

from skdnn.cli import main
from skdnn.io import load_features, load_rdm

SQUARE = squareform([0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
ROWS = ["img3", "img1", "img2", "img10", "img5"]
VALUES = np.arange(15).reshape(5, 3) / 10


def cells(names: list[str] | None, values: np.ndarray, comma: str, decimal: str = ".") -> str:
    """Rows as R writes them: names in quotes, numbers without needless zeros."""
    lines = []
    for number, row in enumerate(values.tolist()):
        numbers = [f"{value:g}".replace(".", decimal) for value in row]
        lines.append(comma.join([f'"{names[number]}"', *numbers] if names else numbers))
    return "".join(f"{line}\n" for line in lines)


def head(names: list[str], comma: str, *before: str) -> str:
    return comma.join([*before, *(f'"{name}"' for name in names)]) + "\n"


NAMES = ["a cat", "an ant", "dog", "käse"]


@pytest.mark.parametrize(
    ("file", "comma", "decimal", "corner"),
    [
        ("a.txt", " ", ".", ()),  # write.table
        ("a.txt", "\t", ".", ()),
        ("a.txt", ",", ".", ()),
        ("a.txt", " ", ",", ()),
        ("a.tsv", "\t", ",", ('""',)),  # col.names = NA
        ("a.csv", ",", ".", ('""',)),  # write.csv
        ("a.csv", ";", ",", ('""',)),  # write.csv2
    ],
)
@pytest.mark.parametrize("names", [NAMES, ["1", "10", "2", "3"]], ids=["texts", "numbers"])
def test_tables_of_r(
    tmp_path: Path, file: str, comma: str, decimal: str, corner: tuple[str], names: list[str]
) -> None:
    path = tmp_path / file
    path.write_text(head(names, comma, *corner) + cells(names, SQUARE, comma, decimal))
    found = load_rdm(path)
    assert found.index.tolist() == found.columns.tolist() == names
    np.testing.assert_array_equal(found, SQUARE)
    rows = names if names is not NAMES else ROWS[:4]
    text = head(["u", "v", "w"], comma, *corner) + cells(rows, VALUES[:4], comma, decimal)
    path.write_text(text, encoding="utf-8-sig")
    loaded = load_features(path)
    assert loaded.labels == rows
    assert loaded.feature_names == ["u", "v", "w"]
    np.testing.assert_array_equal(loaded.features, VALUES[:4])


@pytest.mark.parametrize("file", ["a.txt", "a.csv"])
def test_r_without_names(tmp_path: Path, file: str) -> None:
    """Rows 1, 2, 3 and columns V1, V2, V3 are mere counts."""
    comma = " " if file == "a.txt" else ","
    corner = () if file == "a.txt" else ('""',)
    columns, counts = ["V1", "V2", "V3", "V4"], ["1", "2", "3", "4"]
    (tmp_path / file).write_text(head(columns, comma, *corner) + cells(counts, SQUARE, comma))
    found = load_rdm(tmp_path / file)
    assert isinstance(found.index, pd.RangeIndex)
    np.testing.assert_array_equal(found, SQUARE)


def test_r_with_names_on_one_side(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text, names in (
        (cells(["1", "10", "2", "3"], SQUARE, " "), ["1", "10", "2", "3"]),
        (head(NAMES, " ") + cells(None, SQUARE, " "), NAMES),
        (cells(NAMES, SQUARE, "\t"), NAMES),
    ):
        path.write_text(text)
        found = load_rdm(path)
        assert found.index.tolist() == names
        np.testing.assert_array_equal(found, SQUARE)


@pytest.mark.parametrize("escape", ["\\", '"'])
@pytest.mark.parametrize("comma", [" ", "\t", ","])
def test_quotation_marks_in_names(tmp_path: Path, comma: str, escape: str) -> None:
    names = ['he said "x"', "b,c", "d'e", "f;g"]
    quoted = [name.replace('"', f'{escape}"') for name in names]
    (tmp_path / "a.txt").write_text(head(quoted, comma) + cells(quoted, SQUARE, comma))
    assert load_rdm(tmp_path / "a.txt").index.tolist() == names


@pytest.mark.parametrize("unknown", ["NA", "", "NaN"])
def test_unknown_cells(tmp_path: Path, unknown: str) -> None:
    lines = [",cat,dog,saw", f"cat,{unknown},0.5,{unknown}", f"dog,0.5,{unknown},0.2"]
    (tmp_path / "a.csv").write_text("\n".join([*lines, f"saw,{unknown},0.2,0", ""]))
    found = load_rdm(tmp_path / "a.csv")
    np.testing.assert_array_equal(found, squareform([0.5, np.nan, 0.2], checks=False))
    loaded = load_features(tmp_path / "a.csv")
    assert np.isnan(loaded.features).sum() == 4
    assert loaded.labels == ["cat", "dog", "saw"]


def test_an_unknown_diagonal_without_names_is_no_header(tmp_path: Path) -> None:
    with_hole = np.where(np.eye(4), np.nan, SQUARE)
    (tmp_path / "a.txt").write_text(cells(None, with_hole, " ").replace("nan", "NA"))
    np.testing.assert_array_equal(load_rdm(tmp_path / "a.txt"), SQUARE)


@pytest.mark.parametrize("index", ["image", None])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_two_header_rows(tmp_path: Path, ending: str, index: str | None) -> None:
    """As pandas writes columns of two levels, with the name of the index in a row of its own."""
    comma = "," if ending == "csv" else "\t"
    path = tmp_path / f"a.{ending}"
    table = pd.DataFrame(SQUARE, NAMES, NAMES)
    both = pd.concat({"s1": table, "s2": 2 * table}, axis=1, names=["subject", "condition"])
    both.rename_axis(index=index).to_csv(path, sep=comma)
    found = load_rdm(path)
    assert found.columns.names == ["subject", "condition"]
    np.testing.assert_array_equal(found, both)
    columns = pd.MultiIndex.from_tuples([("V1", 0), ("V1", 1), ("V4", 0)], names=["area", "voxel"])
    pd.DataFrame(VALUES, pd.Index(ROWS, name=index), columns).to_csv(path, sep=comma)
    loaded = load_features(path)
    assert loaded.labels == ROWS
    assert loaded.feature_names == ["V1/0", "V1/1", "V4/0"]
    np.testing.assert_array_equal(loaded.features, VALUES)


@pytest.mark.parametrize(
    ("text", "labels", "columns", "shape"),
    [
        ("image,u,v\nimg3,1,2\nimg1,3,4\n", ["img3", "img1"], ["u", "v"], (2, 2)),
        ("img3,1,2\nimg1,3,4\n", ["img3", "img1"], None, (2, 2)),
        ("u,v\n1,2\n3,4\n5,6\n", None, ["u", "v"], (3, 2)),
        ("1,2\n3,4\n5,6\n", None, None, (3, 2)),
        ("image,0,1\n12,1,2\n7,3,4\n", ["12", "7"], ["0", "1"], (2, 2)),
        (",0,1\n7,1,2\n5,3,4\n", ["7", "5"], ["0", "1"], (2, 2)),
        ("stimulus_id,u\n12,1\n7,3\n", ["12", "7"], ["u"], (2, 1)),
        ("img1,img2,img3\n0,1,2\n1,0,3\n2,3,0\n", None, ["img1", "img2", "img3"], (3, 3)),
        ('"","image","u"\n"1","img3",1\n"2","img1",3\n', ["img3", "img1"], ["u"], (2, 1)),
        ("# from a lab\nu,v\n1,2\n3,4\n", None, ["u", "v"], (2, 2)),
        ("\ufeffu;v\n1,5;2\n3;4\n", None, ["u", "v"], (2, 2)),
        ("u\n1\n2\n", None, ["u"], (2, 1)),
    ],
)
def test_what_names_rows_and_columns(
    tmp_path: Path, text: str, labels: list[str] | None, columns: list[str] | None, shape: tuple
) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    loaded = load_features(tmp_path / "a.csv")
    assert loaded.labels == labels
    assert loaded.feature_names == columns
    assert loaded.features.shape == shape


def test_spreadsheets_write_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("image\tu\tv\nkäse\t1\t2\nb\t3\t4\n", encoding="utf-16")
    assert load_features(tmp_path / "a.txt").labels == ["käse", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,u\nimg3,x\nimg1,2\n", "line 2, column 2 is 'x', which is no number"),
        ("image,kind,u\nimg3,a,1\nimg1,b,2\n", "line 2, column 2 is 'a', which is no number"),
        ("image,u\nimg3,1\nimg1\n", "line 3 has 1 cells, but the first has 2"),
        ("image\nimg3\nimg1\n", "it holds names, and no columns of numbers"),
        ('a,"b\n1,2\n', "its quotation marks do not match"),
        ("", "it is empty"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"a.csv: {message}"):
        load_features(tmp_path / "a.csv")


def test_references_in_another_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = [1, 3, 0, 2]
    names = [NAMES[n] for n in order]
    pd.DataFrame(SQUARE[np.ix_(order, order)], names, names).to_csv(tmp_path / "model.csv")
    table = pd.DataFrame(SQUARE, NAMES, NAMES)
    both = pd.concat({"s1": table, "s2": 2 * table}, axis=1, names=["subject", "condition"])
    both.rename_axis(index="condition").to_csv(tmp_path / "two.csv")
    (tmp_path / "r.txt").write_text(head(NAMES, " ") + cells(NAMES, SQUARE, " "))
    (tmp_path / "r.csv").write_text(head(NAMES, ";", '""') + cells(NAMES, SQUARE, ";", ","))
    for reference in ("two.csv", "r.txt", "r.csv"):
        given = ["--reference", str(tmp_path / reference), "--json"]
        code = main(["compare", str(tmp_path / "model.csv"), *given])
        shown = capsys.readouterr()
        assert code == 0, shown.err
        assert "1.0" in shown.out
        assert "no names" not in shown.err
