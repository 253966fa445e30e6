"""Which row belongs to which image: by name, however it is spelt, or not at all."""

from __future__ import annotations

import unicodedata
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdnn._labels import check_labels, find_images, find_rows, natural_key
from skdnn.encoding import align_responses, check_disjoint

STUDY = [f"/data/study/stimuli/{name}" for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")]


def found(images: list[str], labels: list[str]) -> list[int]:
    """Rows of a public function, the label's number being what it measured."""
    numbers = align_responses(images, np.arange(len(labels)), labels, surplus="drop")
    return [int(number) for number in numbers]


@pytest.mark.parametrize(
    "labels",
    [
        ["stimuli/dog/1.jpg", "stimuli/cat/2.jpg", "stimuli/cat/1.jpg"],
        ["dog/1.jpg", "2.jpg", "cat/1.jpg"],
        ["dog/1", "2", "cat/1"],
        ["stimuli\\dog\\1.jpg", ".\\stimuli\\cat\\2.jpg", "cat\\1"],
        ["../stimuli/dog/1.jpg", "./cat//2.jpg", "a/../cat/1.jpg"],
        ["dog/1.JPG", "cat/2.Jpg", "cat/1.jpg"],
        ["  dog/1.jpg", "cat/2.jpg \0\0", "cat/1.jpg\r"],
        ["dog/1 ", "2  ", "cat/1 "],
    ],
    ids=["BIDS", "ends", "stems", "Windows", "dots", "case of endings", "blanks", "padded stems"],
)
def test_ends_of_paths_in_any_spelling(labels: list[str]) -> None:
    assert found(STUDY, labels) == [2, 1, 0]


@pytest.mark.parametrize(
    "images",
    [
        ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"],
        ["./cat/1.jpg", "./cat/2.jpg", "./dog/1.jpg"],
        ["cat\\1.jpg", "cat\\2.jpg", "dog\\1.jpg"],
        ["cat/1", "cat/2", "dog/1"],
    ],
)
def test_the_image_may_be_the_end_of_the_label(images: list[str]) -> None:
    assert found(images, [STUDY[2], STUDY[1], STUDY[0]]) == [2, 1, 0]


@given(data=st.data())
def test_every_order_of_every_spelling(data: st.DataObject) -> None:
    spellings = [
        lambda path: path,
        lambda path: path.removeprefix("/data/study/"),
        lambda path: path.removeprefix("/data/study/stimuli/").removesuffix(".jpg"),
        lambda path: "C:\\lab" + path.replace("/", "\\"),
    ]
    order = data.draw(st.permutations(range(len(STUDY))))
    labels = [data.draw(st.sampled_from(spellings))(STUDY[k]) for k in order]
    rows = found(STUDY, labels)
    assert [order[row] for row in rows] == [0, 1, 2]


def test_composed_and_decomposed_accents_are_one() -> None:
    names = ["käse/café.png", "käse/thé.png"]
    composed, decomposed = (
        [unicodedata.normalize(form, name) for name in names] for form in ("NFC", "NFD")
    )
    assert composed != decomposed
    assert found(composed, decomposed[::-1]) == [1, 0]
    assert found(decomposed, ["thé", "café"]) == [1, 0]
    # Where a disk holds both, the very name decides, and nothing else can.
    both = [composed[0], decomposed[0]]
    assert found(both, both[::-1]) == [1, 0]
    with pytest.raises(ValueError, match="fits several images"):
        found(both, ["café", composed[0]])


def test_stems_with_dots_and_endings_that_are_none() -> None:
    assert found(["x/a.b.jpg", "x/a.jpg", "x/a.b.c.png"], ["a.b.c", "a", "a.b"]) == [2, 1, 0]
    assert found(["img10.v2", "img10.v3"], ["img10.v3", "img10.v2"]) == [1, 0]
    for image, label in (("img10.v2", "img10"), ("a.right", "a.left"), ("a.b.jpg", "a")):
        with pytest.raises(ValueError, match="no row for 1 of 1 images"):
            found([image], [label])


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("A.png", "a.png"),  # two letters as stimuli
        ("cat.jpg", "cat.png"),
        ("cat/1.jpg", "dog/1.jpg"),
        ("/data/cat/1.jpg", "/data/dog/1.jpg"),
        ("train/cat/1.jpg", "test/cat/1.jpg"),
        ("/data/train/cat/1.jpg", "test/cat/1.jpg"),
        ("cat/1.jpg", "at/1.jpg"),
        ("cat.jpg", ""),
        ("cat.jpg", "/"),
        ("cat.jpg", "."),
    ],
)
def test_what_is_another_image(image: str, label: str) -> None:
    with pytest.raises(ValueError, match="no row for 1 of 1 images") as caught:
        found([image], [label])
    assert repr(image) in str(caught.value)
    with pytest.raises(ValueError, match="don't match the images"):
        check_labels([label], [image])
    if label.strip("/."):
        check_disjoint([image], [label])


def test_no_fit_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"nearest to the first: 'Lizard_01'") as caught:
        found(["stim/lizard_01.png"], ["cat", "Lizard_01", "horse"])
    assert "case counts" in str(caught.value)
    with pytest.raises(ValueError, match=r"'lizart', the name of no image .*'stim/lizard.png'"):
        align_responses(["stim/cat.png", "stim/lizard.png"], np.ones(2), ["cat", "lizart"])


@pytest.mark.parametrize("label", ["1.jpg", "1", "1.JPG"])
def test_two_fits_name_both(label: str) -> None:
    both = r"'/data/study/stimuli/cat/1.jpg', '/data/study/stimuli/dog/1.jpg'"
    with pytest.raises(ValueError, match=f"'{label}' fits several images, {both}"):
        found(STUDY, [label, "cat/1", "dog/1"])
    with pytest.raises(ValueError, match=f"'{label}' fits several images, {both}"):
        check_labels([label, "2", label], STUDY)


def test_two_rows_for_an_image_name_both() -> None:
    with pytest.raises(ValueError, match=r"2 rows fit '1.jpg', named 'cat/1.jpg', 'dog/1.jpg'"):
        found(["1.jpg"], ["cat/1.jpg", "dog/1.jpg"])
    with pytest.raises(ValueError, match=r"2 rows fit 'img1', named 'img1.jpg', 'img1.png'"):
        found(["img1"], ["img1.jpg", "img1.png"])


def test_the_more_exact_name_comes_first() -> None:
    assert found(["1.jpg", "sub/1.jpg"], ["sub/1.jpg", "1.jpg"]) == [1, 0]
    assert found(["a.jpg", "a.png", "a"], ["a", "a.png", "a.jpg"]) == [2, 1, 0]
    assert found(["cat/1.jpg", "1.jpg"], ["/x/cat/1.jpg", "/y/1.jpg"]) == [0, 1]


# --- files that were moved ----------------------------------------------------------------------

MOVED = [path.replace("/data/study", "/home/ann/study") for path in STUDY]


@pytest.mark.parametrize("before", ["/home/bob", "C:/Users/bob", "\\\\server\\bob"])
def test_one_change_of_folder_is_told(before: str) -> None:
    labels = [path.replace("/home/ann", before) for path in MOVED]
    with pytest.warns(UserWarning, match=r"files in '.*bob' are taken to be those in 'home/ann'"):
        assert found(MOVED, labels[::-1]) == [2, 1, 0]
    with pytest.warns(UserWarning, match="row labels of y: files in"):
        check_labels(labels, MOVED)
    with pytest.warns(UserWarning, match="files in"), pytest.raises(ValueError, match="row 0"):
        check_labels(labels[::-1], MOVED)
    check_disjoint(labels, MOVED)  # nobody says that these are one folder


def test_other_files_of_the_old_place_do_not_matter() -> None:
    labels = ["/old/stimuli/cat/1.jpg", "/old/masks/cat/1.jpg", "/old/stimuli/dog/1.jpg"]
    images = ["/new/stimuli/cat/1.jpg", "/new/stimuli/dog/1.jpg"]
    with pytest.warns(UserWarning, match="files in 'old'"):
        assert found(images, labels) == [0, 2]


def test_files_that_were_sorted_anew_are_not_guessed() -> None:
    labels = ["/old/a/cat/1.jpg", "/old/b/dog/1.jpg"]
    images = ["/new/x/cat/1.jpg", "/new/y/dog/1.jpg"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="no row for 2 of 2"):
            found(images, labels)
    with pytest.raises(ValueError, match="fits several images"):
        found(["/a/cat/1.jpg", "/b/cat/1.jpg"], ["/old/cat/1.jpg"])


# --- rows against rows --------------------------------------------------------------------------


def test_rows_must_be_those_of_their_images() -> None:
    labels = ["stimuli/cat/1.jpg", "2", "dog\\1"]
    check_labels(labels, STUDY)
    check_labels(None, STUDY)
    with pytest.raises(ValueError, match=r"row 0: y says 'dog\\\\1', X is '.*cat/1.jpg'; row 2"):
        check_labels(labels[::-1], STUDY)
    with pytest.raises(ValueError, match="2 labelled rows, but X has 3 images"):
        check_labels(labels[:2], STUDY)


def test_repeated_images_are_one_image() -> None:
    check_labels(["cat", "dog", "cat"], ["x/cat.png", "x/dog.png", "./x/cat.png"])
    assert find_images(["dog", "cat", "owl"], ["cat.png", "dog.png", "cat.png"], "it") == [
        *(1, 0, None)
    ]


def test_rows_without_a_name_are_not_looked_at() -> None:
    check_labels(["cat", "anything"], ["cat.png", None])
    check_labels(["anything"], [None])
    with pytest.raises(ValueError, match=r"row 1: y says 'cat', X is 'dog.png'"):
        check_labels(["anything", "cat"], [None, "dog.png"])


def test_letters_in_two_cases_are_four_images() -> None:
    images = ["A.png", "a.png", "B.png", "b.png"]
    assert found(images, ["a", "b", "A", "B"]) == [2, 0, 3, 1]
    with pytest.raises(ValueError, match=r"row 0: y says 'a', X is 'A.png'"):
        check_labels(["a", "A", "B", "b"], images)


@pytest.mark.parametrize("form", ["frame", "series"])
def test_pandas_and_paths(form: str) -> None:
    index = ["stimuli/dog/1.jpg", "stimuli/cat/1.jpg", "stimuli/cat/2.jpg"]
    y: Any = pd.DataFrame({"v": [3.0, 1.0, 2.0]}, index=index)
    y = y if form == "frame" else y["v"]
    np.testing.assert_array_equal(np.ravel(align_responses(STUDY, y)), [1.0, 2.0, 3.0])


def test_an_image_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images holds more than once 'a.png'"):
        find_rows(["a"], ["a.png", "./a.png"], "it")


def test_a_leak_is_found_by_any_name() -> None:
    for name in ("stimuli/cat/1.jpg", "cat/1", "1", "2.jpg", "cat\\2"):
        with pytest.raises(ValueError, match="1 image is in both"):
            check_disjoint(STUDY, [name, "other.jpg"])
        with pytest.raises(ValueError, match="in both"):
            check_disjoint([name, "other.jpg"], STUDY)


# --- order --------------------------------------------------------------------------------------


@given(st.permutations(["img1.png", "Img2.png", "img02.png", "img10.png", "img10b.png", "é1"]))
def test_natural_order(names: list[str]) -> None:
    expected = ["img1.png", "img02.png", "Img2.png", "img10.png", "img10b.png", "é1"]
    assert sorted(names, key=natural_key)[:1] == expected[:1]
    assert sorted(names, key=natural_key) == sorted(expected, key=natural_key)
    from skdnn._images import natural_key as same

    assert same is natural_key
