"""Rows of brain data against images: by name, never by position, or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdnn.cli._rdm_files import read_rdm
from skdnn.cli._row_order import matched, read_responses
from skdnn.io import save_rdm

IMAGES = ["set/img1.png", "set/img2.jpg", "set/sub/img10.v2.png"]
STEMS = ["img1", "img2", "img10.v2"]


@pytest.mark.parametrize(
    "names",
    [
        IMAGES,
        ["./set/img1.png", "./set/img2.jpg", "set//sub/img10.v2.png"],
        ["/elsewhere/set/img1.png", "img2.jpg", "sub\\img10.v2.png"],
        ["img1.png", "img2.jpg", "img10.v2.png"],
        STEMS,
    ],
    ids=["paths", "other spellings", "other folders", "file names", "stems"],
)
@given(data=st.data())
def test_any_order_and_more_rows(names: list[str], data: st.DataObject) -> None:
    held = data.draw(st.permutations([*names, "other1", "other2.png"]))
    found = matched(held, len(held), IMAGES, "it.csv")
    assert [held[row] for row in found] == names


def test_names_with_and_without_endings() -> None:
    assert matched(["b.png", "a.png"], 2, ["a", "b"], "f") == [1, 0]
    assert matched(["a.left", "a.right"], 2, ["a.right", "a.left"], "f") == [1, 0]


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (["img1", "img2"], IMAGES, "no row for 1 of 3 images: 'set/sub/img10.v2.png'"),
        (["img1.jpg", "img2.png", "img10.v2.gif"], IMAGES, "no row for 3 of 3"),
        (["/elsewhere/img1.png", "img2", "img10.v2"], IMAGES, "no row for 1 of 3"),
        (["a/1.png", "b/1.png"], ["c/1.png"], "no row for 1 of 1"),
        (["a/1.png", "b/1.png"], ["1.png"], "2 rows fit '1.png', named 'a/1.png', 'b/1.png'"),
        (["1.png", "2.png"], ["a/1.png", "b/1.png"], "fits several images, 'a/1.png', 'b/1.png'"),
        (["a.left", "b.left"], ["a.right", "b.right"], "no row for 2"),
        (["0", "1", "2"], IMAGES, "nearest to the first: '0', '1', '2'"),
        (["x", "x"], ["x"], "2 rows fit 'x', named 'x', 'x'"),
    ],
)
def test_what_does_not_match_is_refused(names: list[str], wanted: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"it.csv: .*{re.escape(message)}"):
        matched(names, len(names), wanted, "it.csv")


def test_without_names_only_in_an_order_that_is_vouched_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert matched(None, 3, IMAGES, "it.npy", assume_order=True) == [0, 1, 2]
    assert "in the order of the images (img1.png, img2.jpg" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"it.npy has no names.*--assume-order"):
        matched(None, 3, IMAGES, "it.npy")
    for vouched in (True, False):
        with pytest.raises(ValueError, match="4 rows without names, but there are 3 images"):
            matched(None, 4, IMAGES, "it.npy", assume_order=vouched)


def test_rdms_are_put_in_order_on_both_sides(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((5, 5))
    table = pd.DataFrame(values + values.T, index=list("vwxyz"), columns=list("vwxyz"))
    table = table.mask(np.eye(5, dtype=bool), 0.0)
    save_rdm(pd.concat({"s1": table, "s2": table * 2}, axis=1), tmp_path / "it.h5")
    images = ["a/z.png", "a/v.png", "a/x.png"]
    found = read_rdm(str(tmp_path / "it.h5"), images, "--rdm", assume_order=False)
    assert found.index.tolist() == images
    order = ["z", "v", "x"]
    np.testing.assert_array_equal(found["s2"], 2 * table.loc[order, order])


@pytest.mark.parametrize("header", [True, False])
def test_tables_of_responses(tmp_path: Path, header: bool) -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 6]}, index=[*STEMS[::-1]])
    table.to_csv(tmp_path / "v.csv", header=header)
    found = read_responses(str(tmp_path / "v.csv"), IMAGES, "--responses", assume_order=False)
    np.testing.assert_array_equal(found, table.loc[STEMS])
    numbered = table.set_axis(["003", "002", "001"])
    numbered.to_csv(tmp_path / "n.csv", header=header)
    images = ["001.png", "002.png", "003.png"]
    found = read_responses(str(tmp_path / "n.csv"), images, "--responses", assume_order=False)
    np.testing.assert_array_equal(found, table.iloc[::-1])


def test_columns_that_are_only_counted(tmp_path: Path) -> None:
    table = pd.DataFrame([[1.0, 2], [3, 4], [5, 6]], index=pd.Index(STEMS, name="image"))
    table.to_csv(tmp_path / "v.csv")  # image,0,1
    found = read_responses(str(tmp_path / "v.csv"), IMAGES, "--responses", assume_order=False)
    np.testing.assert_array_equal(found, table)
    np.savetxt(tmp_path / "bare.csv", table, delimiter=",")
    found = read_responses(str(tmp_path / "bare.csv"), IMAGES, "--responses", assume_order=True)
    np.testing.assert_array_equal(found, table)


@pytest.mark.parametrize("text", [
    '"a","b"\n"img10.v2",5,6\n"img2",3,4\n"img1",1,2\n',  # write.table of R
    '"";"a";"b"\n"img10.v2";5,0;6\n"img2";3;4\n"img1";1;2\n',  # write.csv2
    'area,V1,V4\nvoxel,0,0\nimage,,\nimg10.v2,5,6\nimg2,3,4\nimg1,1,2\n',
], ids=["short header", "semicolons", "two headers"])  # fmt: skip
def test_tables_of_other_programs(tmp_path: Path, text: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    found = read_responses(str(tmp_path / "v.csv"), IMAGES, "--responses", assume_order=False)
    np.testing.assert_array_equal(found, [[1, 2], [3, 4], [5, 6]])


def test_numbers_that_could_be_a_count_are_no_names(tmp_path: Path) -> None:
    pd.DataFrame(np.ones((3, 2))).to_csv(tmp_path / "v.csv")
    with pytest.raises(ValueError, match=r"nearest to the first: '0', '1', '2'"):
        read_responses(str(tmp_path / "v.csv"), IMAGES, "--responses", assume_order=False)
