"""Commands over betas, events, masks and atlases; numbers are those of the library by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import DNNFeatureExtractor, LayerwiseEncoder, load_betas, make_search, save_features
from skdnn.datasets import make_study
from skdnn.encoding import LayerFeatures, nested_encoding, pool_folds
from skdnn.fmri import search_regions
from skdnn.report import load_results

nibabel = pytest.importorskip("nibabel")

REGIONS = {"early": "features.2", "late": "classifier.1"}
LAYERS = list(REGIONS.values())
BETAS = (
    *("--betas", "study/sub-*/*_betas.nii.gz", "--events", "study/sub-*/*_events.tsv"),
    *("--mask", "study/sub-*/*_mask.nii.gz"),
)
ROIS = (
    "--rois",
    *(f"{name}=study/sub-*/*_atlas.nii.gz:{n}" for n, name in enumerate(REGIONS, 1)),
)
SEARCH = (
    *("search", "--model", "alexnet", "--weights", "none", "--images", "study/stimuli"),
    *("--layer", *LAYERS, "--cv", 2, "--repeats", 2),
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small study of two subjects, and features of its pictures."""
    root = tmp_path_factory.mktemp("made")
    study = make_study(
        root / "study", n_images=24, n_repeats=2, n_voxels=13, noise=0.3, regions=REGIONS
    )
    features = DNNFeatureExtractor("alexnet", weights=None).extract(
        study.images, LAYERS, flatten=True
    )
    few = {layer: values[:, ::97] for layer, values in features.items()}
    names = [Path(path).name for path in study.images]
    save_features(few, root / "f.h5", labels=names)
    study.features = few
    return study


@pytest.fixture
def study(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, in the folder where commands run; its files may be changed."""
    shutil.copytree(Path(made.images[0]).parents[2], tmp_path / "study")
    shutil.copy(Path(made.images[0]).parents[3] / "f.h5", tmp_path / "f.h5")
    monkeypatch.chdir(tmp_path)
    return made


def brains(study: Any, **options: Any) -> dict[str, Any]:
    return {
        one.name: load_betas(
            one.betas, events=one.events, mask=one.mask, rois=one.rois, images=study.images,
            **options,
        )
        for one in study.subjects
    }  # fmt: skip


# --- encode ----------------------------------------------------------------------------------


def test_encode_is_nested_encoding_and_maps_lie_where_voxels_are(study: Any, say: Any) -> None:
    words = ("encode", "f.h5", *BETAS, *ROIS, "--zscore", "session", "--cv", 3, "--json")
    outs = ("v.csv", "maps/m.nii.gz", "v.skdnn.json")
    said = say(*words, "--out", *outs, "--maps", "r", "layer")
    assert said.code == 0, said.err
    found = pd.read_csv("v.csv", keep_default_na=False)
    assert found["subject"].tolist() == ["sub-01"] * 26 + ["sub-02"] * 26
    for one, betas in zip(
        study.subjects, brains(study, standardize="session").values(), strict=True
    ):
        table = nested_encoding(
            LayerwiseEncoder(random_state=0),
            LayerFeatures(study.features),
            betas.averages(),
            cv=3,
            roi=["early"] * 13 + ["late"] * 13,
            ceiling=betas.reliability()["ceiling"],
            random_state=0,
        )
        expected = pool_folds(table).reset_index(drop=True)
        here = found[found["subject"] == one.name].reset_index(drop=True)
        for column in ("r", "p", "p_fdr", "normalised", "layer_share"):
            np.testing.assert_allclose(here[column], expected[column], atol=1e-6)
        assert here["roi"].tolist() == expected["roi"].tolist()
        assert here["layer"].tolist() == expected["layer"].tolist()
        atlas = nibabel.load(one.atlas)
        image = nibabel.load(f"maps/m_{one.name}_r.nii.gz")
        np.testing.assert_allclose(image.affine, atlas.affine)
        inside = atlas.get_fdata() > 0
        np.testing.assert_allclose(image.get_fdata()[inside], expected["r"], atol=1e-6)
        assert np.isnan(image.get_fdata()[~inside]).all()
        layer = nibabel.load(f"maps/m_{one.name}_layer.nii.gz").get_fdata()[inside]
        names = json.loads(Path(f"maps/m_{one.name}_layer.json").read_text())["values"]["layer"]
        assert [names[str(int(code))] for code in layer] == expected["layer"].tolist()
    areas = json.loads(said.out)["areas"]
    assert [(row["subject"], row["area"]) for row in areas][:4] == [
        ("sub-01", "all"), ("sub-01", "early"), ("sub-01", "late"), ("sub-02", "all"),
    ]  # fmt: skip
    report = load_results("v.skdnn.json")
    read = [*Path().glob("study/sub-*/*"), Path("f.h5")]
    assert {Path(name) for name in report.provenance["files"]} == set(read)
    told = report["Encoding"].tables["areas"]
    assert told[["subject", "area", "voxels"]].to_dict("records") == [
        {name: row[name] for name in ("subject", "area", "voxels")} for row in areas
    ]


def test_one_subject_and_one_quantity_is_the_file_that_was_named(study: Any, say: Any) -> None:
    one = [word.replace("sub-*", "sub-02") for word in BETAS]
    said = say("encode", "f.h5", *one, "--layer", LAYERS[0], "--cv", 3, "--out", "r.nii")
    assert said.code == 0, said.err
    assert sorted(path.name for path in Path().glob("*.nii")) == ["r.nii"]
    values = nibabel.load("r.nii").get_fdata()
    assert np.isfinite(values).sum() == 26  # of the whole mask: there are no regions
    assert say("encode", "f.h5", *one, "--cv", 3, "--out", "r.nii").code == 1  # it exists
    least = round(brains(study)["sub-02"].reliability()["ncsnr"].median(), 3)
    said = say("encode", "f.h5", *one, "--cv", 3, "--out", "f.nii", "--min-ncsnr", least)
    assert said.code == 0, said.err
    assert 12 <= np.isfinite(nibabel.load("f.nii").get_fdata()).sum() <= 14


def test_a_plan_of_encode_writes_nothing(study: Any, say: Any) -> None:
    words = ("encode", "f.h5", *BETAS, *ROIS, "--dry-run", "--json")
    said = say(*words, "--out", "v.csv", "m.nii.gz")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert facts["subjects"]["sub-02"] == {
        "trials": 48, "images": 24, "voxels": {"early": 13, "late": 13},
    }  # fmt: skip
    assert facts["files"] == ["m_sub-01.nii.gz", "m_sub-02.nii.gz", "v.csv"]
    assert facts["layers"] == LAYERS
    assert sorted(path.name for path in Path().iterdir()) == ["f.h5", "study"]
    shown = say("encode", "f.h5", *BETAS, *ROIS, "--dry-run")
    assert "subject sub-01: 48 trials of 24 images; voxels: early 13, late 13" in shown.out
    assert "would write no file" in shown.out


# --- search and hierarchy ---------------------------------------------


def test_search_is_search_regions(study: Any, say: Any) -> None:
    said = say(*SEARCH, *BETAS, *ROIS, "--json", "--bootstrap", 20, "--permutations", 50,
               "--out", "t.csv", "t.png")  # fmt: skip
    assert said.code == 0, said.err
    extractor = DNNFeatureExtractor("alexnet", weights=None)
    search = make_search(extractor, LAYERS, 24, target="patterns", n_splits=2, n_repeats=2)
    expected = search_regions(search, study.images, brains(study), n_boot=20, n_permutations=50)
    found = pd.read_csv("t.csv")
    assert found.columns.tolist() == expected.columns.tolist()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=1e-9)
    assert Path("t.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads(said.out)
    assert [row["layer"] for row in facts["chosen"]] == LAYERS * 2  # planted
    assert {row["roi"]: row["layer"] for row in facts["best"]} == REGIONS
    assert sorted(path.name for path in Path().iterdir()) == ["f.h5", "study", "t.csv", "t.png"]


def test_a_region_without_scores_loses_no_table(
    study: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("sub-01", roi, layer) for roi in REGIONS for layer in LAYERS]
    table = pd.DataFrame(rows, columns=["subject", "roi", "layer"]).assign(
        depth=1, score=[np.nan, np.nan, 0.1, 0.2], std=0.0, chosen=[False, False, False, True],
        low=np.nan, high=np.nan, p=np.nan, ceiling_lower=np.nan, ceiling_upper=np.nan,
    )  # fmt: skip
    monkeypatch.setattr("skdnn.fmri.search_regions", lambda *_, **__: table)
    said = say(*SEARCH, *BETAS, *ROIS, "--out", "t.csv", "--json", "--bootstrap", 0)
    assert said.code == 0, said.err
    assert [row["roi"] for row in json.loads(said.out)["best"]] == ["late"]
    assert len(pd.read_csv("t.csv")) == 4


def test_a_plan_of_search(study: Any, say: Any) -> None:
    said = say(*SEARCH, *BETAS, *ROIS, "--dry-run", "--json")
    assert said.code == 0, said.err
    facts = json.loads(said.out)
    assert (facts["searches"], facts["n_fits"]) == (4, 4 * 2 * 4)
    assert facts["voxels"]["sub-02 late"] == 13


def test_hierarchy_is_that_of_files_of_trials(study: Any, say: Any) -> None:
    names = [Path(path).name for path in study.images]
    Path("test.txt").write_text("\n".join(names[::2]))
    words = ("hierarchy", "--features", "f.h5", "--test-images", "test.txt", "--test", "t",
             "--bootstrap", 10, "--json", "--quiet")  # fmt: skip
    said = say(*words, *BETAS, *ROIS)
    assert said.code == 0, said.err
    for subject, betas in brains(study).items():
        areas = {name: betas.roi(name).responses[:] for name in REGIONS}
        save_features(areas, f"{subject}.h5", labels=betas.trials["stimulus"].tolist())
    same = say(*words, "--responses", "sub-01.h5", "sub-02.h5", "--areas", *REGIONS)
    assert same.code == 0, same.err
    assert json.loads(said.out) == json.loads(same.out)
    areas = ("--areas", "late", "early")
    planned = json.loads(say(*words, *BETAS, *ROIS, *areas, "--dry-run").out)
    assert next(iter(planned["subjects"]["sub-01"]["voxels"].items())) == ("late", 13)
    assert planned["subjects"]["sub-01"]["trials"] == 48
    for more in (["--dry-run"], []):
        alone = say(*words, *BETAS, *ROIS, "--areas", "late", *more)
        assert "['late']: a hierarchy needs two or more" in alone.err


# --- what is refused, before anything is read ---------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--betas", "b.nii"], 2, "--betas needs --events"),
        (["--responses", "r.csv", "--mask", "m.nii"], 2, "--mask goes with --betas"),
        (["--responses", "r.csv", *BETAS[:2]], 2, "not allowed with argument"),
        ([*BETAS, "--rois", "atlas.nii.gz"], 2, "give NAME=FILE, or NAME=FILE:LABEL"),
        ([*BETAS, "--rois", "V1=a.nii", "V1=b.nii"], 2, "--rois: V1 is given twice"),
        (["--responses", "r.csv", "--maps", "r"], 2, "--maps goes with --betas"),
        ([*BETAS, "--maps", "R"], 2, "--maps R: choose from r, r2, normalised"),
        ([*BETAS, "--out", "m.gii"], 1, ".html, .skdnn.json, .nii.gz, .nii"),
        ([*BETAS, "--out", "MAP.NII.GZ"], 1, "--out MAP.NII.GZ: the name must end in"),
        ([*BETAS[:4]], 1, "need a mask"),
        (
            [*BETAS[:4], "--mask", "study/sub-*/*_atlas.nii.gz"],
            1,
            "values other than 0 and 1: 2. If it is an atlas, give a mask of its region; else "
            "resample a mask by nearest neighbour, not linearly.",
        ),
        (
            [*BETAS, "--rois", "V1=study/sub-*/*_atlas.nii.gz"],
            1,
            "values other than 0 and 1: 2. If it is an atlas, give NAME=FILE:LABEL; else resample",
        ),
        ([*BETAS, "--stim-column", "image"], 1, "name the column of images with --stim-column"),
        ([*BETAS, "--drop", "catch.png"], 1, "--drop: no event has 'catch.png'; there are"),
        ([*BETAS, "--drop", "kind=catch"], 1, "has no column 'kind', but 'onset'"),
        ([*BETAS, "--rois", "V1=study/sub-*/*_atlas.nii.gz:9"], 1, "--rois V1: label: the mask"),
        ([*BETAS, "--rois", "V1=gone.nii.gz"], 1, "gone.nii.gz"),
        ([*BETAS, "--min-ncsnr", 99], 1, "--min-ncsnr 99 keeps no voxel of sub-01"),
        ([*BETAS[:2], "--events", "gone*.tsv"], 1, "--events: no file fits 'gone*.tsv'"),
    ],
)  # fmt: skip
def test_refused_in_one_line(study: Any, say: Any, words: Any, code: int, told: str) -> None:
    said = say("encode", "f.h5", *words)
    assert said.code == code, said.err
    assert told in said.err
    if code == 1:
        assert said.err.splitlines()[-1].startswith("skdnn encode: error: ")


def test_files_that_do_not_belong_together(study: Any, say: Any) -> None:
    one = study.subjects[0]
    first, second = (Path("study") / "sub-01" / Path(path).name for path in one.betas)
    events = Path("study") / "sub-01" / Path(one.events[0]).name

    def refused(command: Any = ("encode", "f.h5"), *more: Any) -> str:
        said = say(*command, *BETAS, *ROIS, *more)
        assert said.code == 1
        assert said.err.splitlines()[-1].startswith(f"skdnn {command[0]}: error: sub-01: ")
        return said.err

    held, whole = nibabel.load(first), first.read_bytes()
    values = held.get_fdata(dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(values[..., :-1], held.affine), first)
    assert "betas and events do not match" in refused()
    assert "run-1_events.tsv: 23 maps, but 26 events, 24 events with a stimulus" in refused(SEARCH)
    moved = held.affine.copy()
    moved[0, 3] += 3
    nibabel.save(nibabel.Nifti1Image(values, moved), first)
    assert "their affine matrices differ" in refused()
    first.write_bytes(whole)
    table = events.read_text()
    events.write_text(table.replace("discs/", "disks/", 1))
    told = refused(SEARCH)
    assert "events show 1 of 25 stimuli that no image fits: 'stimuli/disks/" in told
    assert "name them in --drop if they are catch trials, or set --surplus drop" in told
    events.write_text(table.replace("stimuli/", "n/a\t#", 1))
    assert "is no table" in refused() or "do not match" in refused()
    events.write_text(table.replace("\t", ","))
    assert "is no table: its columns are not separated by tabs, but by ','" in refused()
    events.write_text(table)
    swapped = first.with_name("sub-01_ses-9_task-images_run-9_betas.nii.gz")
    first.rename(swapped)
    assert "betas and events are of different runs, by their names" in refused()
    assert "give both in one order" in refused(SEARCH)
    assert second.exists()


def test_names_that_fit_two_images_and_voxels_without_numbers(study: Any, say: Any) -> None:
    shutil.copytree("study/stimuli/discs", "more/stimuli/discs")
    said = say(*SEARCH, "--images", "study/stimuli", "more", *BETAS)
    assert said.code == 1
    assert "fits several images" in said.err
    path = Path("study/sub-02") / Path(study.subjects[1].betas[1]).name
    image = nibabel.load(path)
    values = image.get_fdata(dtype=np.float32)
    values[nibabel.load(study.subjects[1].atlas).get_fdata() == 2, 5] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    said = say("encode", "f.h5", *BETAS)
    assert said.code == 1
    assert "of sub-02 13 voxels of 26 hold NaN or infinity in some trial" in said.err
    assert "--min-ncsnr 0" in said.err
    said = say("encode", "f.h5", *BETAS, "--min-ncsnr", 0, "--dry-run", "--json")
    assert json.loads(said.out)["subjects"]["sub-02"]["voxels"] == {"all": 13}
    said = say(*SEARCH, *BETAS, *ROIS, "--min-ncsnr", 0)
    assert "keeps no voxel of sub-02 in late" in said.err


def test_images_that_were_not_shown(study: Any, say: Any) -> None:
    names = [*(Path(path).name for path in study.images), "owl.png"]
    more = {name: np.vstack([values, values[:1]]) for name, values in study.features.items()}
    save_features(more, "more.h5", labels=names)
    said = say("encode", "more.h5", *BETAS)
    assert said.code == 1
    assert "sub-01: more.h5: 1 of 25 were never shown: 'owl.png'" in said.err
    assert "or set --surplus drop" in said.err
    said = say("encode", "more.h5", *BETAS, "--surplus", "drop", "--cv", 3, "--out", "a.csv")
    assert said.code == 0, said.err
    assert say("encode", "f.h5", *BETAS, "--cv", 3, "--out", "b.csv").code == 0
    found, expected = (pd.read_csv(name).drop(columns="model") for name in ("a.csv", "b.csv"))
    pd.testing.assert_frame_equal(found, expected)
    shutil.copy(study.images[0], "owl.png")
    said = say(*SEARCH, "--images", "study/stimuli", "owl.png", *BETAS)
    assert "sub-01: --images: 1 of 25 were never shown: 'owl.png'" in said.err
    assert "drop" not in said.err
    said = say(*SEARCH[:7], "--layer", *LAYERS, "--rdm", "r.csv", "--bootstrap", 5)
    assert (said.code, "--bootstrap goes with --betas" in said.err) == (2, True)


def test_names_of_layers_are_not_written_over_another_file(study: Any, say: Any) -> None:
    one = [word.replace("sub-*", "sub-02") for word in BETAS]
    words = ("encode", "f.h5", *one, "--cv", 3, "--maps", "layer", "--out")
    said = say(*words, "m.json", "m.nii.gz")
    assert said.code == 1
    assert "--out m.json: the names of layers of a map would be written there" in said.err
    Path("m.json").write_text("mine")
    assert "m.json exists" in say(*words, "m.nii.gz").err
    assert Path("m.json").read_text() == "mine"


def test_areas_that_are_no_regions(study: Any, say: Any) -> None:
    Path("test.txt").write_text("\n".join(Path(path).name for path in study.images[::2]))
    words = ("hierarchy", "--features", "f.h5", "--test-images", "test.txt", *BETAS)
    said = say(*words, *ROIS, "--areas", "early", "lat")
    assert said.code == 1
    assert "--areas: There is no region 'lat'; there are 'late', 'early'" in said.err
    assert say(*words).code == 2
    assert "--betas needs --rois" in say(*words).err
    assert "instead of --responses" in say(*words, "--responses", "S1.h5", "--rois", "a=b.nii").err
    assert "go with --rdm or --responses" in say(*SEARCH, *BETAS, "--nested").err
