"""`load_things`: what users download of THINGS, in any layout, complete or refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from skdnn import DNNFeatureExtractor
from skdnn.datasets import load_things

# In THINGS's manner: words that two concepts share, spaces, and an order that no sorting gives.
IDS = ["air_conditioner", "bow2", "bow1", "bat1", "bat2", "nan", "zucchini"]
WORDS = ["air conditioner", "bow", "bow", "bat", "bat", "nan", "zucchini"]
N = 12


def file_names(concept: str) -> list[str]:
    return [f"{concept}_{number:02d}{'bs'[number % 2]}.jpg" for number in range(1, N + 1)]


def write_table(path: Path, ids: list[str] = IDS, words: list[str] = WORDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"Word": words, "uniqueID": ids, "freq": np.arange(len(ids)) + 0.5})
    table.to_csv(path, sep="\t", index=False)


def write_images(parent: Path, ids: list[str] = IDS) -> None:
    """Files that begin like images, no two alike; few tests decode them."""
    for concept in ids:
        (parent / concept).mkdir(parents=True, exist_ok=True)
        for name in file_names(concept):
            (parent / concept / name).write_bytes(f"\xff\xd8{concept}{name}".encode("latin-1"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_table(tmp_path / "things_concepts.tsv")
    write_images(tmp_path / "object_images")
    return tmp_path


def names_of(things: Bunch) -> list[str]:
    return [Path(path).name for path in things.paths]


# --- what is given -----------------------------------------------------------------------------


def test_all_of_it_in_things_own_order(root: Path) -> None:
    things = load_things(root)
    assert things.names == IDS
    assert names_of(things) == [name for concept in IDS for name in file_names(concept)]
    assert things.concept.tolist() == list(np.repeat(IDS, N))
    assert [Path(path).parent.name for path in things.paths] == things.concept.tolist()
    assert things.conditions == [str(root / "object_images" / concept) for concept in IDS]
    assert [path for paths in things.images for path in paths] == things.paths
    assert things.concepts.index.tolist() == IDS
    assert things.concepts["Word"].tolist() == WORDS
    assert things.concepts.loc["bat2", "freq"] == 4.5
    assert things.categories is None
    assert things.root == str(root)
    assert "Hebart" in things.DESCR


def unpacked_in_parts(root: Path) -> None:
    for part, ids in (("object_images_A-C", IDS[:5]), ("object_images_S-Z", IDS[5:])):
        write_images(root / "THINGS" / "Main" / part, ids)
    write_table(root / "THINGS" / "Main" / "things_concepts.tsv")


def newer_names(root: Path) -> None:
    write_images(root / "_image_database_things" / "object_images")
    write_table(root / "02_object-level" / "_concepts-metadata_things.tsv")


def all_in_root(root: Path) -> None:
    write_images(root)
    write_table(root / "THINGS_Concepts.TSV")


@pytest.mark.parametrize("layout", [unpacked_in_parts, newer_names, all_in_root])
def test_wherever_it_lies(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path)
    things = load_things(str(tmp_path))
    assert things.names == IDS
    assert len(things.paths) == N * len(IDS)
    assert all(Path(path).is_file() for path in things.paths)


def test_columns_by_whatever_case(root: Path) -> None:
    path = root / "things_concepts.tsv"
    path.write_text(path.read_text().replace("uniqueID", "Unique_ID"))
    assert load_things(root).names == IDS


def test_the_list_of_identifiers_gives_the_order(root: Path) -> None:
    order = IDS[::-1]
    (root / "unique_id.csv").write_text("\n".join(order) + "\n")
    things = load_things(root)
    assert things.names == things.concepts.index.tolist() == order
    assert things.concepts["Word"].tolist() == WORDS[::-1]
    assert names_of(things)[:N] == file_names(order[0])


def test_the_list_of_identifiers_alone_is_enough(root: Path) -> None:
    (root / "things_concepts.tsv").unlink()
    (root / "unique_id.txt").write_text("uniqueID\n" + "\n".join(f'"{name}"' for name in IDS))
    things = load_things(root)
    assert things.names == IDS
    assert things.concepts.shape == (len(IDS), 0)


def test_a_list_and_a_table_that_differ_are_refused(root: Path) -> None:
    (root / "unique_id.csv").write_text("\n".join([*IDS[1:], "yak"]))
    with pytest.raises(ValueError, match=r"only one of them has yak, air_conditioner\."):
        load_things(root)


def test_categories_belong_to_the_rows_of_the_table(root: Path) -> None:
    matrix = pd.DataFrame(np.eye(len(IDS), 3, dtype=int), columns=["home", "food", "animal"])
    matrix.to_csv(root / "category27_manual.tsv", sep="\t", index=False)
    things = load_things(root, concepts=["bow1", "air_conditioner"])
    expected = pd.DataFrame(
        [[False, False, True], [True, False, False]],
        index=pd.Index(["bow1", "air_conditioner"], name="uniqueID"),
        columns=matrix.columns,
    )
    pd.testing.assert_frame_equal(things.categories, expected, check_index_type=False)
    # Rows without names mean nothing where two orders are given.
    (root / "unique_id.csv").write_text("\n".join(IDS[::-1]))
    with pytest.raises(ValueError, match="different orders"):
        load_things(root)


@pytest.mark.parametrize("change", ["a row less", "a 2"])
def test_categories_that_cannot_be_are_refused(change: str, root: Path) -> None:
    matrix = np.zeros((len(IDS) - (change == "a row less"), 2), dtype=int)
    matrix[0, 0] = 2 if change == "a 2" else 0
    pd.DataFrame(matrix).to_csv(root / "category27_manual.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"category27_manual.*7 rows of 0 and 1"):
        load_things(root)


def test_homonyms_are_told_apart_by_identifier(root: Path) -> None:
    things = load_things(root, concepts=["bat2", "bow1", "bat1"])
    assert things.names == ["bat2", "bow1", "bat1"]
    assert things.concepts["Word"].tolist() == ["bat", "bow", "bat"]
    assert names_of(things) == [n for c in ("bat2", "bow1", "bat1") for n in file_names(c)]


@pytest.mark.parametrize(
    ("concepts", "error", "message"),
    [
        (["bat"], ValueError, r"'bat' \(perhaps 'bat1' or 'bat2'\)"),
        (["air conditioner"], ValueError, r"'air conditioner' \(perhaps 'air_conditioner'\)"),
        (["zuchini", "bow1"], ValueError, r"1 that are no .*'zuchini' \(perhaps 'zucchini'\)"),
        (["bow1", "bow2", "bow1"], ValueError, "more than once: bow1"),
        ([], ValueError, "concepts is empty"),
        ("bow1", TypeError, r"\['bow1'\]"),
        (2.5, TypeError, "concepts=2.5"),
        (0, ValueError, "concepts=0: give 1 or more"),
        (8, ValueError, "the table has 7 concepts only"),
    ],
)
def test_concepts_that_are_not_there(
    concepts: object, error: type[Exception], message: str, root: Path
) -> None:
    with pytest.raises(error, match=message):
        load_things(root, concepts=concepts)  # type: ignore[arg-type]


def test_the_first_concepts_and_images(root: Path) -> None:
    things = load_things(root, concepts=3, n_images=2)
    assert things.names == IDS[:3]
    assert names_of(things) == [name for concept in IDS[:3] for name in file_names(concept)[:2]]
    assert things.conditions == things.images
    assert things.concept.tolist() == list(np.repeat(IDS[:3], 2))
    with pytest.raises(ValueError, match=r"n_images=13: 3 concepts have fewer: air_cond.* \(12\)"):
        load_things(root, concepts=3, n_images=N + 1)
    with pytest.raises(ValueError, match="n_images=0"):
        load_things(root, n_images=0)
    with pytest.raises(TypeError, match=r"n_images=2\.5"):
        load_things(root, n_images=2.5)  # type: ignore[arg-type]


# --- completeness ------------------------------------------------------------------------------


def test_every_fault_is_named_in_one_error(root: Path) -> None:
    images = root / "object_images"
    shutil.rmtree(images / "bow2")
    (images / "bat").mkdir()  # the word, not the identifier
    (images / "bat" / "bat_01b.jpg").write_bytes(b"x")
    (images / "bat1" / "bat1_12b.jpg").unlink()
    (images / "bat2" / "bat2_03s.jpg").write_bytes(b"")
    (images / "zucchini" / "notes.docx").write_bytes(b"x")
    (images / "stray.png").write_bytes(b"x")
    write_images(root / "copy", ["nan"])
    with pytest.raises(ValueError, match="not hold the THINGS database") as raised:
        load_things(root)
    found = set(re.findall(r"^- (.*)$", str(raised.value), flags=re.MULTILINE))
    assert found == {
        "1 concepts without a folder: bow2",
        f"1 folders without a concept in the table: {Path('object_images/bat')}",
        "1 concepts with fewer than 12 images: bat1 (11)",
        "1 files that are empty: bat2/bat2_03s.jpg",
        "1 files that are no images: zucchini/notes.docx",
        f"1 images outside of the concepts' folders: {Path('object_images/stray.png')}",
        f"1 concepts in more than one folder: {root / 'copy' / 'nan'} and {images / 'nan'}",
    }
    assert "things-initiative.org" in str(raised.value)


def test_ten_faults_are_shown_and_the_others_counted(root: Path) -> None:
    more = [f"extra{number}" for number in range(25)]
    write_table(root / "things_concepts.tsv", IDS + more, WORDS + more)
    with pytest.raises(ValueError, match=r"- 25 concepts.*extra9 and 15 more") as raised:
        load_things(root)
    assert "extra10" not in str(raised.value)


def test_part_of_a_download(root: Path) -> None:
    images = root / "object_images"
    shutil.rmtree(images / "bow2")
    for path in (images / "nan").iterdir():
        path.unlink()
    (images / "bat1" / "bat1_12b.jpg").unlink()
    things = load_things(root, complete=False)
    assert things.names == ["air_conditioner", "bow1", "bat1", "bat2", "zucchini"]
    assert [len(paths) for paths in things.images] == [12, 12, 11, 12, 12]
    assert things.concepts.index.tolist() == things.names
    # Complete concepts can be had from it by name; what is asked for by name must be there.
    assert load_things(root, concepts=["zucchini", "bow1"]).names == ["zucchini", "bow1"]
    with pytest.raises(ValueError, match="1 concepts without a folder: bow2"):
        load_things(root, concepts=["bow1", "bow2"], complete=False)
    (images / "zucchini" / "zucchini_01s.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"files that are empty: zucchini/zucchini_01s\.jpg"):
        load_things(root, complete=False)


def test_the_list_of_images_finds_single_ones(root: Path) -> None:
    lines = [f"images/{concept}/{name}" for concept in IDS for name in file_names(concept)]
    (root / "01_image-level").mkdir()
    (root / "01_image-level" / "image-paths.csv").write_text("\n".join(lines))
    assert len(load_things(root).paths) == len(lines)
    bat = root / "object_images" / "bat1"
    (bat / "bat1_03s.jpg").rename(bat / "bat1_14s.jpg")
    with pytest.raises(ValueError, match="not hold the THINGS database") as raised:
        load_things(root)
    assert "- 1 images of image-paths.csv that are missing: bat1/bat1_03s.jpg" in str(raised.value)
    assert "- 1 images that are not in image-paths.csv: bat1/bat1_14s.jpg" in str(raised.value)
    assert load_things(root, concepts=["bat2"]).names == ["bat2"]


def test_files_of_systems_are_nobodys_business(root: Path) -> None:
    folder = root / "object_images" / "bow1"
    for name in (".DS_Store", "._bow1_01s.jpg", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"")
    assert len(load_things(root, concepts=["bow1"]).paths) == N


@pytest.mark.slow
def test_the_total_of_the_whole_database(tmp_path: Path) -> None:
    """1,854 concepts with 12 images or more, 26,107 in all."""
    ids = [f"thing_{number}" for number in range(1854)]
    write_table(tmp_path / "things_concepts.tsv", ids, ids)
    counts = np.full(1854, 14)
    counts[: 26107 - 14 * 1854] += 1
    for concept, count in zip(ids, counts, strict=True):
        folder = tmp_path / "object_images" / concept
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{concept}_{number:02d}s.jpg").write_bytes(b"x")
    things = load_things(tmp_path)
    assert (len(things.paths), len(things.conditions)) == (26107, 1854)
    (tmp_path / "object_images" / "thing_7" / "thing_7_00s.jpg").unlink()
    with pytest.raises(ValueError, match="26,106 images instead of 26,107"):
        load_things(tmp_path)


# --- what is not THINGS at all -----------------------------------------------------------------


def test_what_is_missing_is_said_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*osf\.io/jum2f"):
        load_things(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no table of concepts .*osf\.io/jum2f"):
        load_things(tmp_path)
    write_table(tmp_path / "things_concepts.tsv")
    (tmp_path / "Main").mkdir()
    (tmp_path / "Main" / "object_images_A-C.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"object_images_A-C\.zip is still packed"):
        load_things(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Word\tfreq\nbat\t1\n", "has no column uniqueID"),
        ("Word\tuniqueID\nbat\tbat1\nbat\tbat1\n", "more than once: bat1"),
        ("Word\tuniqueID\nbat\tbat1\nbat\t\n", "row 2 has no unique identifier"),
        ("Word\tuniqueID\n", "holds no concepts"),
        ("", "is no table"),
    ],
)
def test_damaged_tables_are_refused(text: str, message: str, root: Path) -> None:
    (root / "things_concepts.tsv").write_text(text)
    with pytest.raises(ValueError, match=rf"things_concepts\.tsv.*{message}"):
        load_things(root)


# --- concepts as rows --------------------------------------------------------------------------


@pytest.fixture
def pictures(root: Path) -> Bunch:
    """Three concepts whose images can be decoded."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for concept in ("bow2", "bat1", "bat2"):
        for name in file_names(concept):
            pixels = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "object_images" / concept / name)
    return load_things(root, concepts=["bow2", "bat1", "bat2"])


def test_a_concept_is_one_row_the_mean_of_its_images(pictures: Bunch) -> None:
    extractor = DNNFeatureExtractor("alexnet", "classifier.6", weights=None)
    rows = extractor.fit_transform(pictures.conditions)
    each = extractor.fit_transform(pictures.paths).astype(np.float64)
    expected = [each[pictures.concept == name].mean(axis=0) for name in pictures.names]
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-7)
    assert len(np.unique(rows, axis=0)) == 3


def test_row_labels_are_compared_with_the_concepts(pictures: Bunch) -> None:
    extractor = DNNFeatureExtractor("alexnet", "features.0", weights=None, pooling="mean")
    brain = pd.DataFrame(np.zeros((3, 2)), index=pictures.names)
    extractor.fit(pictures.conditions, brain)
    with pytest.raises(ValueError, match="row 1: y says 'bat2'"):
        extractor.fit(pictures.conditions, brain.loc[["bow2", "bat2", "bat1"]])


def test_some_images_of_each_concept_make_rows_too(pictures: Bunch) -> None:
    some = load_things(pictures.root, concepts=pictures.names, n_images=2)
    extractor = DNNFeatureExtractor("alexnet", "features.0", weights=None, pooling="mean")
    rows = extractor.fit_transform(some.conditions)
    each = extractor.fit_transform(some.paths).reshape(3, 2, -1)
    np.testing.assert_allclose(rows, each.mean(axis=1), rtol=1e-5)
