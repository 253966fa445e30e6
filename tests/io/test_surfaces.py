"""Responses on surfaces: GIFTI, FreeSurfer's and CIFTI files, of one or both hemispheres."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skdnn._array_blocks import is_lazy
from skdnn.formats import read_betas, write_map

nibabel = pytest.importorskip("nibabel")
gifti, cifti2 = nibabel.gifti, nibabel.cifti2
RNG = np.random.default_rng(2)
LEFT, RIGHT = (RNG.normal(size=(3, n)).astype(np.float32) for n in (7, 9))
BOTH = np.hstack([LEFT, RIGHT])


def write_gifti(path: Path, maps: Any, side: str = "", where: str = "file", **how: Any) -> Path:
    """A map in each array, named m0, m1, ..."""
    structure = {"AnatomicalStructurePrimary": f"Cortex{side}"} if side else {}
    names = how.pop("names", [f"m{i}" for i in range(len(maps))])
    arrays = [
        gifti.GiftiDataArray(
            one,
            meta=gifti.GiftiMetaData({"Name": name, **(structure if where == "array" else {})}),
            **{"intent": "NIFTI_INTENT_NONE", **how},
        )
        for one, name in zip(maps, names, strict=True)
    ]
    meta = gifti.GiftiMetaData(structure if where == "file" else {})
    gifti.GiftiImage(darrays=arrays, meta=meta).to_filename(path)
    return path


def write_surface(path: Path, maps: np.ndarray) -> Path:
    """As FreeSurfer does: vertices, 1, 1, maps."""
    kind = nibabel.MGHImage if path.suffix.startswith(".mg") else nibabel.Nifti1Image
    values = maps.T[:, None, None] if len(maps) > 1 else maps.T[:, None]
    kind(values, np.eye(4)).to_filename(path)
    return path


WRITERS = {
    "a.func.gii": write_gifti,
    "a.mgh": write_surface,
    "a.mgz": write_surface,
    "a.nii": write_surface,
    "a.nii.gz": write_surface,
}


@pytest.mark.parametrize("name", WRITERS)
def test_vertices_are_the_units_and_maps_the_rows(tmp_path, name):
    path = WRITERS[name](tmp_path / name, LEFT)
    betas = read_betas(path)
    assert is_lazy(betas)
    assert betas.shape == (3, 7)
    assert betas.dtype == np.float32
    assert betas.hemispheres == [("", 7)]
    assert betas.affine is None
    assert betas.mask.tolist() == [True] * 7
    for key in (slice(None), [2, 0, 0], 1, (slice(None), [6, 1]), (2, 3)):
        np.testing.assert_array_equal(betas[key], LEFT[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(betas))[:], LEFT)
    kept = np.array([1, 0, 0, 1, 1, 0, 1])
    chosen = read_betas([path, path], kept)
    np.testing.assert_array_equal(chosen[:], np.vstack([LEFT, LEFT])[:, kept > 0])
    assert chosen.hemispheres == [("", 7)]
    with pytest.raises(ValueError, match=r"has shape \(7,\), the mask \(6,\)"):
        read_betas(path, kept[1:])
    with pytest.raises(TypeError, match="NiftiBetas, which does not say where its voxels lie"):
        write_map([1.0], betas, tmp_path / "map.nii")


@pytest.mark.parametrize(("left", "right"), [("lh.b.mgz", "rh.b.mgz"), ("lh.b.gii", "rh.b.gii")])
def test_pairs_of_hemispheres_stand_side_by_side(tmp_path, left, right):
    write = write_gifti if left.endswith("gii") else write_surface
    paths = write(tmp_path / left, LEFT), write(tmp_path / right, RIGHT)
    betas = read_betas([paths, paths])
    expected = np.vstack([BOTH, BOTH])
    assert betas.hemispheres == [("left", 7), ("right", 9)]
    for key in (
        slice(None),
        [5, 0],
        (slice(None), [15, 2, 7, 6]),
        (4, 8),
        (slice(1, 4), slice(5, 9)),
    ):
        np.testing.assert_array_equal(betas[key], expected[key])
    np.testing.assert_array_equal(list(betas), expected)
    masks = np.arange(7) % 2, np.arange(9) > 6
    chosen = read_betas([paths], masks)
    np.testing.assert_array_equal(chosen.mask, np.concatenate(masks) > 0)
    np.testing.assert_array_equal(chosen[:], BOTH[:, np.concatenate(masks) > 0])
    only_left = read_betas([paths], (masks[0], np.zeros(9)))
    np.testing.assert_array_equal(only_left[:], LEFT[:, masks[0] > 0])
    assert only_left.hemispheres == [("left", 7), ("right", 9)]
    half = read_betas([paths], (None, masks[1]))
    assert half.shape == (3, 7 + 2)
    assert "left 7, right 9" in betas._repr_html_()


def test_both_packed_hemispheres_are_unpacked_once_row_by_row(tmp_path, monkeypatch):
    paths = write_surface(tmp_path / "lh.b.mgz", LEFT), write_surface(tmp_path / "rh.b.mgz", RIGHT)
    betas = read_betas([paths])
    begun = []
    original = nibabel.openers.ImageOpener
    monkeypatch.setattr(
        nibabel.openers, "ImageOpener", lambda path: begun.append(path) or original(path)
    )
    for i in range(3):
        np.testing.assert_array_equal(betas[i], BOTH[i])
    assert len(begun) == 2


@pytest.mark.parametrize("where", ["file", "array"])
def test_hemispheres_by_what_gifti_says_before_the_name(tmp_path, where):
    path = write_gifti(tmp_path / "rh.b.gii", LEFT, "Left", where)
    assert read_betas(path).hemispheres == [("left", 7)]


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("lh.betas.mgh", "left"),
        ("rh.betas.mgh", "right"),
        ("sub-01_hemi-L_space-fsaverage_bold.mgh", "left"),
        ("sub-01_hemi-R_bold.mgh", "right"),
        ("100307.L.32k.mgh", "left"),
        ("100307.R.32k.mgh", "right"),
        ("sub-rh1_bold.mgh", ""),
        ("L.mgh", ""),
        ("betas.mgh", ""),
    ],
)
def test_hemispheres_by_names_of_files(tmp_path, name, side):
    assert read_betas(write_surface(tmp_path / name, LEFT)).hemispheres == [(side, 7)]


def test_hemispheres_are_never_rows_of_each_other(tmp_path):
    left = write_surface(tmp_path / "lh.b.mgh", LEFT)
    right = write_surface(tmp_path / "rh.b.mgh", RIGHT[:, :7])
    named = write_gifti(tmp_path / "named.gii", LEFT, "Left")
    for paths in ([left, right], [(left, right), (right, left)], [(left, named)], [right, named]):
        with pytest.raises(ValueError, match=r"both hemispheres stand in one column.*Give pairs"):
            read_betas(paths)
    for paths in ([left, (left, right)], [(left, right, left)], [()]):
        with pytest.raises(ValueError, match="all be single files, or all pairs"):
            read_betas(paths)
    with pytest.raises(ValueError, match="mask must be a pair, too"):
        read_betas([(left, right)], np.ones(14))
    wrong = write_surface(tmp_path / "rh.V1.mgh", np.ones((1, 7), np.float32))
    mask = write_gifti(tmp_path / "V1.gii", np.ones((1, 7), np.float32), "Right")
    for given in (wrong, mask, nibabel.load(mask)):
        with pytest.raises(ValueError, match=r"is of the left hemisphere, the mask of the right"):
            read_betas(left, given)
    short = write_surface(tmp_path / "rh.short.mgh", RIGHT[:2])
    with pytest.raises(ValueError, match=r"rh.short.mgh: has 2 maps, the other hemisphere 3"):
        read_betas([(left, short)])
    with pytest.raises(ValueError, match=r"rh.c.mgh: has shape \(9,\), the first file \(7,\)"):
        read_betas([right, write_surface(tmp_path / "rh.c.mgh", RIGHT)])


def test_names_of_maps_are_kept(tmp_path):
    first = write_gifti(tmp_path / "1.gii", LEFT, names=["cat", "ant", "dog"])
    second = write_gifti(tmp_path / "2.gii", LEFT[:1], names=["bee"])
    nameless = write_gifti(tmp_path / "3.gii", LEFT, names=["cat", "", "dog"])
    assert read_betas([first, second]).names == ["cat", "ant", "dog", "bee"]
    assert read_betas([first, nameless]).names is None


@pytest.mark.parametrize("encoding", ["ASCII", "B64BIN", "B64GZ"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_encodings_and_types_of_gifti(tmp_path, encoding, dtype):
    values = np.rint(LEFT * 10 + 100).astype(dtype)
    code = nibabel.gifti.gifti.gifti_encoding_codes[f"GIFTI_ENCODING_{encoding}"]
    path = write_gifti(tmp_path / "a.gii", values, encoding=code)
    found = read_betas(path)
    assert found.dtype == np.result_type(np.float32, dtype)
    np.testing.assert_array_equal(found[:], values)


def test_one_array_of_several_columns(tmp_path):
    path = write_gifti(tmp_path / "a.gii", [LEFT.T.copy()])
    np.testing.assert_array_equal(read_betas(path)[:], LEFT)
    assert read_betas(path).names is None


def test_gifti_files_that_are_no_data(tmp_path):
    points = np.zeros((7, 3), np.float32)
    faces = np.zeros((4, 3), np.int32)
    write_gifti(tmp_path / "p.gii", [points], intent="NIFTI_INTENT_POINTSET")
    write_gifti(tmp_path / "t.gii", [faces], intent="NIFTI_INTENT_TRIANGLE")
    write_gifti(
        tmp_path / "n.gii", [np.arange(7, dtype=np.int32)], intent="NIFTI_INTENT_NODE_INDEX"
    )
    write_gifti(tmp_path / "u.gii", [LEFT[0], RIGHT[0]])
    write_gifti(tmp_path / "e.gii", [])
    (tmp_path / "x.gii").write_text("<GIFTI>")
    with pytest.raises(ValueError, match="6 of 6 files") as caught:
        read_betas([tmp_path / f"{name}.gii" for name in "ptnuex"])
    for told in (
        "p.gii: holds points, not data of vertices",
        "t.gii: holds triangles",
        "n.gii: holds a list of nodes",
        "u.gii: has arrays of [7, 9] vertices",
        "e.gii: has no data",
        "x.gii: is no GIFTI file, or damaged (no element found",
    ):
        assert told in str(caught.value)


# --- regions on surfaces -----------------------------------------------------------------------

REGIONS = np.array([0, 2, 1, 0, 2, 1, 2], np.int32)


def labelled(path: Path) -> Path:
    """The regions, V1 and V2 by name where the format has names."""
    names = {0: "unknown", 1: "V1", 2: "V2"}
    if path.suffix == ".gii":
        table = gifti.GiftiLabelTable()
        for key, name in names.items():
            table.labels.append(gifti.GiftiLabel(key, 1, 0, 0, 1))
            table.labels[-1].label = name
        array = gifti.GiftiDataArray(REGIONS, intent="NIFTI_INTENT_LABEL")
        gifti.GiftiImage(darrays=[array], labeltable=table).to_filename(path)
    elif path.suffix == ".annot":
        colours = np.array([[0, 0, 0, 0, 0], [9, 0, 0, 0, 0], [0, 9, 0, 0, 0]])
        names_of = list(names.values())
        nibabel.freesurfer.write_annot(path, REGIONS, colours, names_of, fill_ctab=True)
    else:
        write_surface(path, REGIONS[None])
    return path


@pytest.mark.parametrize("name", ["lh.r.annot", "r.label.gii", "lh.r.mgz", "lh.r.mgh"])
def test_regions_by_number_or_name(tmp_path, name):
    path, mask = write_surface(tmp_path / "lh.b.mgh", LEFT), labelled(tmp_path / name)
    for label, kept in ((1, REGIONS == 1), ([1, 2], REGIONS > 0)):
        np.testing.assert_array_equal(read_betas(path, mask, label=label)[:], LEFT[:, kept])
    np.testing.assert_array_equal(read_betas(path, mask, threshold=1)[:], LEFT[:, REGIONS == 2])
    with pytest.raises(ValueError, match=r"mask.* has values other than 0 and 1: (-1, )?2\."):
        read_betas(path, mask)
    if ".mg" in name:
        with pytest.raises(ValueError, match="the mask has no 'V1'"):
            read_betas(path, mask, label="V1")
        return
    np.testing.assert_array_equal(read_betas(path, mask, label="V2")[:], LEFT[:, REGIONS == 2])
    np.testing.assert_array_equal(read_betas(path, mask, label=["V1", 2]).mask, REGIONS > 0)
    with pytest.raises(ValueError, match=r"the mask has no 'V3'\. Nearest: .*'V1'"):
        read_betas(path, mask, label="V3")


def test_regions_of_one_hemisphere_each(tmp_path):
    paths = write_surface(tmp_path / "lh.b.mgh", LEFT), write_surface(tmp_path / "rh.b.mgh", RIGHT)
    right = np.r_[3, 0, 3, np.zeros(6, int)].astype(np.int32)
    masks = labelled(tmp_path / "lh.r.mgh"), write_surface(tmp_path / "rh.r.mgh", right[None])
    found = read_betas([paths], masks, label=[1, 3])
    np.testing.assert_array_equal(found.mask, [*(REGIONS == 1), *(right == 3)])
    assert read_betas([paths], masks, label=3).shape == (3, 2)
    with pytest.raises(ValueError, match="the mask has no 4"):
        read_betas([paths], masks, label=[1, 4])


def test_label_files_of_freesurfer(tmp_path):
    path = write_surface(tmp_path / "lh.b.mgh", LEFT)
    mask = tmp_path / "lh.V1.label"
    rows = "".join(f"{vertex} 0.0 0.0 0.0 0.0\n" for vertex in (5, 0, 2))
    mask.write_text(f"#!ascii label, from subject x\n3\n{rows}")
    found = read_betas([path], mask)
    np.testing.assert_array_equal(found[:], LEFT[:, [0, 2, 5]])  # rising, as of every mask
    mask.write_text("#!ascii label\n1\n7 0.0 0.0 0.0 0.0\n")
    with pytest.raises(ValueError, match=r"lh.b.mgh: has 7 vertices, the mask names 7"):
        read_betas(path, mask)
    for ending, content in (("label", "#!ascii label\n1\nx 0 0 0 0\n"), ("annot", "")):
        (tmp_path / f"a.{ending}").write_text(content)
        with pytest.raises(
            ValueError, match=rf"mask: .*a.{ending}' is no .{ending} of FreeSurfer"
        ):
            read_betas(path, tmp_path / f"a.{ending}")


# --- CIFTI -------------------------------------------------------------------------------------

CORTEX = cifti2.BrainModelAxis.from_mask(np.arange(10) % 3 > 0, "CortexLeft")
CORTEX += cifti2.BrainModelAxis.from_mask(np.arange(12) % 4 > 0, "CortexRight")
INNER = np.zeros((2, 3, 4), bool)
INNER[1, 1] = True
MODEL = CORTEX + cifti2.BrainModelAxis.from_mask(INNER, "thalamus_left", affine=np.eye(4))
GRAY = RNG.normal(size=(3, len(MODEL))).astype(np.float32)


def write_cifti(path: Path, values: np.ndarray, axis: Any = MODEL, first: Any = None) -> Path:
    if first is None:
        first = cifti2.ScalarAxis([f"m{i}" for i in range(len(values))])
    cifti2.Cifti2Image(values, (first, axis)).to_filename(path)
    return path


@pytest.mark.parametrize("gather", [1, 2**24])
def test_grayordinates(tmp_path, monkeypatch, gather):
    monkeypatch.setattr("skdnn.io._nifti_files._GATHER_BYTES", gather)
    path = write_cifti(tmp_path / "a.dscalar.nii", GRAY)
    betas = read_betas(path)
    assert betas.shape == GRAY.shape
    assert betas.names == ["m0", "m1", "m2"]
    assert betas.axis == MODEL
    assert betas.hemispheres == [("left", 10), ("right", 12)]
    for key in (slice(None), [2, 0, 2], 1, (slice(None), [12, 3]), ([2, 1], slice(4, 8)), (0, -1)):
        np.testing.assert_array_equal(betas[key], GRAY[key])
    again = pickle.loads(pickle.dumps(betas))
    np.testing.assert_array_equal(again[:], GRAY)
    kept = np.arange(len(MODEL)) % 2 == 0
    series = cifti2.SeriesAxis(0, 1, 3)
    write_cifti(tmp_path / "b.dtseries.nii", 2 * GRAY, first=series)
    both = read_betas([path, tmp_path / "b.dtseries.nii"], kept)
    np.testing.assert_array_equal(both[:], np.vstack([GRAY, 2 * GRAY])[:, kept])
    assert both.names is None
    np.testing.assert_array_equal(both.mask, kept)


def test_masks_of_grayordinates(tmp_path):
    path = write_cifti(tmp_path / "a.dscalar.nii", GRAY)
    regions = np.arange(len(MODEL)) % 3
    first = cifti2.LabelAxis(
        ["regions"], {0: ("?", (0, 0, 0, 0)), 1: ("V1", (1, 0, 0, 1)), 2: ("V2", (0, 1, 0, 1))}
    )
    mask = write_cifti(tmp_path / "r.dlabel.nii", regions[None].astype(np.float32), first=first)
    for label, kept in (("V1", regions == 1), (2, regions == 2), (["V1", "V2"], regions > 0)):
        for given in (mask, nibabel.load(mask)):
            found = read_betas(path, given, label=label)
            np.testing.assert_array_equal(found[:], GRAY[:, kept])
    flags = write_cifti(tmp_path / "f.dscalar.nii", (regions[None] == 2).astype(np.float32))
    np.testing.assert_array_equal(read_betas(path, flags).mask, regions == 2)
    with pytest.raises(ValueError, match=r"mask: .*a.dscalar.nii' has 3 maps, not one"):
        read_betas(path, path)


def test_grayordinates_that_do_not_fit(tmp_path):
    path = write_cifti(tmp_path / "a.dscalar.nii", GRAY)
    other = cifti2.BrainModelAxis.from_mask(np.arange(24) < len(MODEL), "CortexLeft")
    write_cifti(tmp_path / "other.dscalar.nii", GRAY, other)
    parcels = cifti2.ParcelsAxis.from_brain_models([("A", CORTEX[:3]), ("B", CORTEX[3:5])])
    write_cifti(tmp_path / "p.pscalar.nii", GRAY[:, :2], parcels)
    write_cifti(tmp_path / "d.dconn.nii", np.zeros((3, 3), np.float32), CORTEX[:3], CORTEX[:3])
    (tmp_path / "z.dscalar.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    names = [
        "a.dscalar.nii",
        "other.dscalar.nii",
        "p.pscalar.nii",
        "d.dconn.nii",
        "z.dscalar.nii.gz",
    ]
    with pytest.raises(ValueError, match="4 of 5 files") as caught:
        read_betas([tmp_path / name for name in names])
    for told in (
        "other.dscalar.nii: has other grayordinates than the first file",
        "p.pscalar.nii: holds Scalar x Parcels, not maps x grayordinates",
        "d.dconn.nii: holds BrainModel x BrainModel",
        "z.dscalar.nii.gz: has shape (1, 1, 1, 1, 3, 19)",
        "CIFTI is read where its name ends in .nii",
    ):
        assert told in str(caught.value)
    with pytest.raises(ValueError, match="is no surface of one hemisphere"):
        read_betas([(path, path)])


# --- writing ---------------------------------------------------------------------------------


def same_bits(found: Any, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert np.asarray(found).tobytes() == expected.astype(np.float32).tobytes()


AWKWARD = np.float32(
    [[np.nan, -0.0, np.inf, 1e-45, 1 / 3, -np.inf, 3.4e38], [0, 1, 2, 3, 4, 5, 6]]
)


@pytest.mark.parametrize("name", ["a.func.gii", "a.gii", "a.mgz", "a.mgh"])
@pytest.mark.parametrize("maps", [AWKWARD, AWKWARD[:1]], ids=["two", "one"])
def test_what_is_written_is_what_is_read(tmp_path, name, maps):
    betas = read_betas(write_gifti(tmp_path / "betas.func.gii", LEFT, "Left"))
    path = tmp_path / "new" / f"lh.{name}"
    write_map(maps if len(maps) > 1 else maps[0], betas, path)
    back = read_betas(path)
    assert back.hemispheres == [("left", 7)]
    same_bits(back[:], maps)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    write_map(back[:], back, path)  # over itself
    same_bits(read_betas(path)[:], maps)
    image = nibabel.load(path)  # as any other program finds it
    if path.suffix == ".gii":
        assert [array.data.dtype for array in image.darrays] == ["float32"] * len(maps)
        assert image.meta["AnatomicalStructurePrimary"] == "CortexLeft"
        same_bits(np.array(image.agg_data(), ndmin=2), maps)
    else:
        assert image.shape == (7, 1, 1, len(maps))[: 3 + (len(maps) > 1)]
        same_bits(np.float32(image.dataobj).reshape(7, -1).T, maps)


@pytest.mark.parametrize("ending", ["func.gii", "mgz"])
def test_both_hemispheres_through_their_masks(tmp_path, ending):
    paths = write_surface(tmp_path / "lh.b.mgz", LEFT), write_surface(tmp_path / "rh.b.mgz", RIGHT)
    masks = np.arange(7) % 2, (np.arange(9) > 6).astype(int)
    betas = read_betas([paths], masks)
    scores = betas[:] * np.float32(3)
    out = tmp_path / f"lh.scores.{ending}", tmp_path / f"rh.scores.{ending}"
    for reference in (betas, masks):
        write_map(scores, reference, out)
        same_bits(read_betas([out], masks)[:], scores)
        whole = read_betas([out])
        assert whole.hemispheres == [("left", 7), ("right", 9)]
        assert np.isnan(whole[:][:, np.concatenate(masks) == 0]).all()
    write_map(scores[0], betas, out, fill=-1)
    assert (read_betas([out])[0][np.concatenate(masks) == 0] == -1).all()


def test_regions_of_a_surface(tmp_path):
    numbers = np.array([0, 1, 2, 2, 1, 0, 2], np.int32)
    path = write_gifti(tmp_path / "lh.regions.gii", [numbers], intent="NIFTI_INTENT_LABEL")
    out = tmp_path / "lh.out.func.gii"
    write_map([1.5, 2.5, 3.5], path, out, label=2)
    np.testing.assert_array_equal(
        read_betas(out)[0], [np.nan] * 2 + [1.5, 2.5] + [np.nan] * 2 + [3.5]
    )
    write_map([1, 2, 3, 4, 5], path, out, threshold=0.5)
    np.testing.assert_array_equal(read_betas(out)[0][numbers > 0], [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="other than 0 and 1: 2"):
        write_map([1.5, 2.5, 3.5], path, out)


def test_maps_that_do_not_fit_are_not_written(tmp_path):
    paths = write_surface(tmp_path / "lh.b.mgz", LEFT), write_surface(tmp_path / "rh.b.mgz", RIGHT)
    left, both = read_betas(paths[0]), read_betas([paths])
    volume = nibabel.Nifti1Image(np.ones((7, 2, 1), np.float32), np.eye(4))
    gii, pair = tmp_path / "lh.new.gii", (tmp_path / "lh.new.gii", tmp_path / "rh.new.gii")
    label = tmp_path / "lh.V1.label"
    label.write_text("#!ascii label\n1\n3 0 0 0 1\n")
    for error, message, *call in (
        (ValueError, "values has 6 vertices, the reference 7", np.ones(6), left, gii),
        (ValueError, "values has 7 vertices, the reference 16", np.ones(7), both, pair),
        (ValueError, "one or two dimensions", np.ones((1, 1, 7)), left, gii),
        (ValueError, "1 given, but the reference has 2 hemispheres", np.ones(16), both, gii),
        (ValueError, "2 given, but the reference has 1 hemispheres", np.ones(7), left, pair),
        (ValueError, "rh.new.gii' would hold the left hemisphere", np.ones(7), left, pair[1]),
        (ValueError, "rh.new.gii' would hold the left h", np.ones(16), both, pair[::-1]),
        (ValueError, "both hemispheres would be written into", np.ones(16), both, [gii, gii]),
        (
            ValueError,
            "path must end in .nii or .nii.gz; or",
            np.ones(7),
            left,
            tmp_path / "new.txt",
        ),
        (ValueError, "path must end in", np.ones(16), both, (gii, tmp_path / "rh.new.nii")),
        (TypeError, "a value for each vertex", np.ones(14), volume, gii),
        (TypeError, "a value for each vertex", np.ones(1), label, gii),
        (TypeError, "does not say where its voxels lie", np.ones(7), left, tmp_path / "new.nii"),
    ):
        with pytest.raises(error, match=message):
            write_map(*call)
    with pytest.raises(ValueError, match="coordinates are those of voxels"):
        write_map(np.ones(7), left, gii, coordinates=np.zeros((7, 3)))
    (tmp_path / "vol.nii").write_bytes(volume.to_bytes())
    with pytest.raises(TypeError, match="betas of surfaces"):
        write_map(np.ones(14), read_betas(tmp_path / "vol.nii", np.ones((7, 2, 1))), gii)
    assert not list(tmp_path.glob("*new*"))
