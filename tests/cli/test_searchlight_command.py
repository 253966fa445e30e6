"""The searchlight command; its maps are those of the function."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from fmri.spheres import icosphere
from PIL import Image

from skdnn import load_betas, save_features
from skdnn.cli import main
from skdnn.fmri import searchlight_rsa
from skdnn.io import save_rdm
from skdnn.report import load_results
from skdnn.rsa import compute_rdm

nibabel = pytest.importorskip("nibabel")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_main(capsys: pytest.CaptureFixture[str]) -> Any:
    """The command in this process."""

    def run(*arguments: str) -> Done:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return run


GRID, AFFINE = (5, 6, 7), np.diag([3.0, 3, 3, 1])
IMAGES = [f"{kind}_{k}.png" for kind in ("cat", "saw") for k in range(4)]
LAYERS = {"conv1": (8, 11), "conv2": (8, 13)}
BETAS = (
    *("--betas", "sub-*/*_betas.nii.gz", "--events", "sub-*/*_events.tsv"),
    *("--mask", "sub-*/*_mask.nii.gz", "--radius", "6"),
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two subjects of two runs in one space, and features of two layers."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in (1, 2):
        folder = tmp_path / f"sub-0{number}"
        folder.mkdir()
        stem = f"sub-0{number}_task-look"
        for run in (1, 2):
            order = rng.permutation(len(IMAGES))
            values = rng.normal(size=(*GRID, len(IMAGES))).astype(np.float32)
            values[0, 0, 0, 0] = np.nan
            nibabel.save(nibabel.Nifti1Image(values, AFFINE),
                         folder / f"{stem}_run-{run}_betas.nii.gz")  # fmt: skip
            pd.DataFrame({"onset": np.arange(len(order)) * 4.0,
                          "stim_file": [IMAGES[k] for k in order]}).to_csv(
                folder / f"{stem}_run-{run}_events.tsv", sep="\t", index=False)  # fmt: skip
        mask = np.ones(GRID, np.uint8)
        nibabel.save(nibabel.Nifti1Image(mask, AFFINE), folder / f"{stem}_mask.nii.gz")
        noise = rng.normal(size=(*GRID, 40)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(noise, AFFINE), folder / f"{stem}_residuals.nii.gz")
    features = {name: rng.normal(size=shape) for name, shape in LAYERS.items()}
    save_features(features, tmp_path / "f.h5", labels=IMAGES[::-1])
    for name, values in features.items():
        save_rdm(pd.DataFrame(compute_rdm(values), IMAGES[::-1], IMAGES[::-1]), f"{name}.csv")
    return tmp_path


def subjects(study: Path) -> dict[str, Any]:
    return {
        folder.name: load_betas(
            str(folder / "*_betas.nii.gz"), events=str(folder / "*_events.tsv"),
            mask=next(folder.glob("*_mask.nii.gz")), images=IMAGES,
        )
        for folder in sorted(study.glob("sub-*"))
    }  # fmt: skip


def test_maps_are_those_of_the_function(study: Path, run_main: Any) -> None:
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps", "--quiet", "--json")
    assert done.code == 0, done.err
    layers = {name: pd.read_csv(f"{name}.csv", index_col=0) for name in LAYERS}
    expected = searchlight_rsa(subjects(study), layers, radius=6.0)
    facts = json.loads(done.out)
    assert [row["layer"] for row in facts["layers"]] == list(LAYERS)
    found = nibabel.load("maps/layer-conv2.nii.gz").get_fdata()
    np.testing.assert_allclose(found.reshape(-1, 2).T, expected.scores[:, 1], atol=1e-6)
    assert np.isnan(found[0, 0, 0]).all()
    t = nibabel.load("maps/t-conv1.nii.gz").get_fdata().ravel()
    np.testing.assert_allclose(t, expected.test().t[0], rtol=1e-5)
    assert not (study / "maps" / "unfinished").exists()
    again = run_main("searchlight", "f.h5", *BETAS, "--out", "maps")
    assert again.code == 1
    assert "holds maps: give --overwrite" in again.err


def test_a_report_shows_the_maps(
    study: Path, run_main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nilearn.plotting")
    out = ("--out", "report.html", "maps", "study.skdnn.json")
    done = run_main("searchlight", "f.h5", *BETAS, *out, "--quiet")
    assert done.code == 0, done.err
    results = load_results("study.skdnn.json")
    assert list(results) == ["Searchlight", "Test over subjects"]
    table = results["Searchlight"].tables["layers"]
    found = nibabel.load("maps/layer-conv2_mean.nii.gz").get_fdata()
    np.testing.assert_allclose(table["largest"][1], np.nanmax(found), rtol=1e-6)
    assert results["Searchlight"].facts["maps"] == "in the folder maps"
    assert len(results.provenance["files"]) == 11  # features, betas, events, masks
    assert Path("report.html").read_text("utf-8").count('<figure class="picture">') == 5
    again = run_main("searchlight", "f.h5", *BETAS, "--out", "other", "report.html")
    assert (again.code, "report.html exists" in again.err) == (1, True)
    two = run_main("searchlight", "f.h5", *BETAS, "--out", "other", "another")
    assert (two.code, "--out: give one folder for the maps, got 2" in two.err) == (2, True)
    monkeypatch.setitem(sys.modules, "nilearn", None)
    without = run_main("searchlight", "f.h5", *BETAS, "--out", "other", "new.html")
    assert without.code == 1
    assert 'pip install "skdnn[nilearn]"' in without.err
    assert not Path("other").exists()


def test_rdms_layers_crossnobis_and_residuals(study: Path, run_main: Any) -> None:
    done = run_main(
        "searchlight", "conv1.csv", "conv2.csv", *BETAS, "--out", "maps", "--brain-metric",
        "crossnobis", "--residuals", *map(str, sorted(Path().glob("sub-*/*_residuals.nii.gz"))),
        "--flips", "0", "--comparison", "cosine",
    )  # fmt: skip
    assert done.code == 0, done.err
    layers = {name: pd.read_csv(f"{name}.csv", index_col=0) for name in LAYERS}
    noise = {
        folder.name: str(next(folder.glob("*_residuals.nii.gz"))) for folder in study.glob("sub-*")
    }
    expected = searchlight_rsa(
        subjects(study), layers, radius=6.0, metric="crossnobis", residuals=noise,
        comparison="cosine",
    )  # fmt: skip
    mean = nibabel.load("maps/layer-conv1_mean.nii.gz").get_fdata().ravel()
    np.testing.assert_allclose(mean, expected.mean()[0], atol=1e-6)
    assert not list(Path("maps").glob("t-*"))
    one = run_main("searchlight", "f.h5", "--layer", "conv2", *BETAS, "--out", "one")
    assert one.code == 0, one.err
    assert not list(Path("one").glob("layer-conv1*"))


def test_a_dry_run_writes_nothing(study: Path, run_main: Any) -> None:
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["n_centres"] == 210
    assert not Path("maps").exists()


def test_a_stopped_run_goes_on(study: Path, run_main: Any) -> None:
    """What an earlier run has left is taken, and removed at the end with nothing else."""
    layers = {name: pd.read_csv(f"{name}.csv", index_col=0) for name in LAYERS}
    searchlight_rsa(subjects(study), layers, radius=6.0, folder="maps/unfinished")
    left = list(Path("maps/unfinished").glob("*.npz"))
    assert len(left) == 1
    Path("maps/unfinished/mine.txt").write_text("mine")
    before = left[0].stat().st_mtime_ns
    done = run_main("searchlight", "conv1.csv", "conv2.csv", *BETAS, "--out", "maps")
    assert done.code == 0, done.err
    assert before
    assert [path.name for path in Path("maps/unfinished").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--radius", "1"), "--radius 1.0 gives spheres of at most 1 voxels, and --min-voxels"),
        (("--radius", "-5"), "--radius -5: give millimetres above 0"),
        (("--radius", "nan"), "--radius nan: give millimetres above 0"),
        (("--layer", "conv9"), "--layer conv9: the files have 'conv1', 'conv2'"),
        (("--brain-metric", "cosin"), "--brain-metric 'cosin' is not known"),
        (("--residuals", "sub-01/x.nii"), "--residuals goes with --brain-metric"),
        (("--flips", "-1"), "--flips: -1"),
        (("--out", "f.h5"), "is a file"),
    ],
)
def test_what_is_refused(
    study: Path, run_main: Any, changes: tuple[str, ...], message: str
) -> None:
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps", *changes)
    assert done.code in (1, 2)
    assert message in done.err
    assert not Path("maps").exists()


def test_residuals_are_of_the_same_subject(study: Path, run_main: Any) -> None:
    """Also where there is one, and by wildcards that no shell has expanded."""
    one = [text.replace("sub-*", "sub-01") for text in BETAS]
    options = ("--out", "maps", "--brain-metric", "crossnobis", "--dry-run", "--residuals")
    done = run_main("searchlight", "f.h5", *one, *options, "sub-02/*_residuals.nii.gz")
    assert done.code == 1
    assert "residuals.nii.gz: of no subject of --betas" in done.err
    for betas, residuals in ((one, "sub-01/*_residuals.nii.gz"), (BETAS, "sub-*/*_residuals.*")):
        done = run_main("searchlight", "f.h5", *betas, *options, residuals)
        assert done.code == 0, done.err


def test_names_of_files_are_no_options(
    study: Path, run_main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("a/residuals/x_residuals.nii.gz: residuals of it, radius=6.")

    monkeypatch.setattr("skdnn.fmri.estimate_searchlight", refuse)
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps", "--dry-run")
    assert "a/residuals/x_residuals.nii.gz: --residuals of it, --radius 6." in done.err


def test_subjects_without_a_common_voxel_are_not_tested(study: Path, run_main: Any) -> None:
    """After all the work: their maps are kept, and the reason is told."""
    for number in (1, 2):
        mask = np.zeros(GRID, np.uint8)
        mask[:, :, :3] = number == 1
        mask[:, :, 4:] = number == 2
        file = f"sub-0{number}/sub-0{number}_task-look_mask.nii.gz"
        nibabel.save(nibabel.Nifti1Image(mask, AFFINE), file)
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps")
    assert done.code == 0, done.err
    assert "no test: No column has values" in done.out
    assert Path("maps/layer-conv1_mean.nii.gz").exists()
    assert not list(Path("maps").glob("t-*"))
    assert not Path("maps/unfinished").exists()


def test_no_map_of_the_run_before_stays(study: Path, run_main: Any) -> None:
    clusters = "--correct", "cluster"
    assert run_main("searchlight", "f.h5", *BETAS, *clusters, "--out", "maps").code == 0
    table = pd.read_csv("maps/clusters.tsv", sep="\t")
    layers = {name: pd.read_csv(f"{name}.csv", index_col=0) for name in LAYERS}
    test = searchlight_rsa(subjects(study), layers, radius=6.0).test("cluster")
    np.testing.assert_array_equal(table["size"], test.clusters["size"])
    p = nibabel.load("maps/p-conv1.nii.gz").get_fdata().ravel()
    np.testing.assert_allclose(p, test.p[0], rtol=1e-6)
    Path("maps/t-mine.nii.gz").write_text("mine")
    one = [text.replace("sub-*", "sub-01") for text in BETAS]
    done = run_main("searchlight", "conv2.csv", *one, "--out", "maps", "--overwrite")
    assert done.code == 0, done.err
    assert sorted(path.name for path in Path("maps").iterdir()) == [
        "best_layer.nii.gz", "layer-conv2.nii.gz", "layers.tsv", "searchlight.json",
        "sizes.nii.gz", "t-mine.nii.gz",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--comparison", "cosine"), 2),
        (("--comparison", "cosine", "--flips", "0"), 0),
        (("--comparison", "cosine", "--brain-metric", "crossnobis"), 0),
        (("--comparison", "bures", "--brain-metric", "crossnobis"), 2),
    ],
)
def test_a_test_that_would_find_everything(
    study: Path, run_main: Any, options: tuple[str, ...], code: int
) -> None:
    done = run_main("searchlight", "f.h5", *BETAS, "--out", "maps", "--dry-run", *options)
    assert done.code == code, done.err
    assert ("far above zero for unrelated RDMs" in done.err) == (code == 2)


# --- networks ------------------------------------------------------------------------------------

NETWORK = (
    *("--model", "squeezenet1_1", "--weights", "none", "--seed", "3", "--device", "cpu"),
    *("--images", "pictures", "--layer", "features.3", "features.4"),
)


@pytest.fixture
def pictures(study: Path) -> Path:
    folder, rng = study / "pictures", np.random.default_rng(6)
    folder.mkdir()
    for name in IMAGES:
        Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_network_gives_the_maps_of_its_features(pictures: Path, run_main: Any) -> None:
    done = run_main("searchlight", *NETWORK, *BETAS, "--out", "maps", "study.skdnn.json")
    assert done.code == 0, done.err
    assert run_main("extract", *NETWORK, "--out", "net.h5").code == 0
    assert run_main("searchlight", "net.h5", *BETAS, "--out", "again").code == 0
    for name in ("layer-features.3_mean", "layer-features.4_mean", "best_layer", "t-features.3"):
        found, expected = (
            nibabel.load(f"{folder}/{name}.nii.gz").get_fdata() for folder in ("maps", "again")
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not Path("maps.unfinished").exists()
    results = load_results("study.skdnn.json")
    assert list(results) == [
        "Searchlight", "Test over subjects", "What the network saw", "Methods",
    ]  # fmt: skip
    assert "features.4" in results["Methods"].texts["text"]


def test_activations_stay_where_a_run_was_stopped(
    pictures: Path, run_main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("skdnn.fmri.searchlight_rsa", stop)
        assert run_main("searchlight", *NETWORK, *BETAS, "--out", "maps").code == 130
    assert list(Path("maps.unfinished").rglob("*.npy"))
    assert run_main("searchlight", *NETWORK, *BETAS, "--out", "maps", "--quiet").code == 0
    assert not Path("maps.unfinished").exists()


def test_what_is_refused_before_images_go_through_a_network(pictures: Path, run_main: Any) -> None:
    (pictures / "saw_0.png").unlink()
    cases = [
        ((*NETWORK, *BETAS), 1, "events show 1 of 8 stimuli that no image fits: 'saw_0.png'"),
        (("f.h5", *NETWORK, *BETAS), 2, "give files of features or RDMs, or a network"),
        (BETAS, 2, "give files of features or RDMs, or a network"),
        ((*NETWORK[:8], *BETAS), 2, "--model needs --images"),
        (("f.h5", *NETWORK[8:10], *BETAS), 2, "--images goes with --model"),
    ]
    for words, code, message in cases:
        done = run_main("searchlight", *words, "--out", "maps")
        assert (done.code, message in done.err) == (code, True), done.err
    assert not list(Path().rglob("*.unfinished"))


def test_a_dry_run_of_a_network_runs_none(pictures: Path, run_main: Any) -> None:
    done = run_main("searchlight", *NETWORK, *BETAS, "--out", "maps", "--dry-run", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["n_layers"] == 2
    assert facts["extraction"]["n_to_forward"] == len(IMAGES)
    assert not list(Path().glob("maps*"))
    wide = [text if text != "6" else "1" for text in BETAS]
    done = run_main("searchlight", *NETWORK, *wide, "--out", "maps")
    assert "--radius 1.0 gives spheres of at most 1 voxels" in done.err
    assert not list(Path().glob("maps*"))


# --- surfaces ------------------------------------------------------------------------------------

OF_SURFACES = (
    *("--betas", "surf/*_betas.func.gii", "--events", "surf/*_events.tsv"),
    *("--radius", "12", "--min-voxels", "6"),
)
MESH = ("--mesh", "surf/hemi-L_white.surf.gii", "surf/hemi-R_white.surf.gii")


def write_mesh(path: Path, xyz: Any, faces: Any) -> None:
    kinds = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
    arrays = [
        nibabel.gifti.GiftiDataArray(values, kind)
        for values, kind in zip((xyz.astype("f4"), faces.astype("i4")), kinds, strict=True)
    ]
    nibabel.save(nibabel.GiftiImage(darrays=arrays), path)


@pytest.fixture
def surfaces(study: Path) -> Path:
    """Two runs of one subject on two hemispheres, of 162 and 162 vertices."""
    folder, rng = study / "surf", np.random.default_rng(4)
    folder.mkdir()
    xyz, faces = icosphere()
    for side, shift in (("L", -30), ("R", 30)):
        write_mesh(folder / f"hemi-{side}_white.surf.gii", xyz + shift, faces)
        for run in (1, 2, 10):
            values = rng.normal(size=(len(IMAGES), len(xyz))).astype("f4")
            arrays = [nibabel.gifti.GiftiDataArray(row) for row in values]
            image = nibabel.GiftiImage(darrays=arrays)
            nibabel.save(image, folder / f"run-{run}_hemi-{side}_betas.func.gii")
    for run in (1, 2, 10):
        events = pd.DataFrame({"onset": np.arange(8) * 4.0, "stim_file": np.roll(IMAGES, run)})
        events.to_csv(folder / f"run-{run}_events.tsv", sep="\t", index=False)
    return folder


@pytest.mark.parametrize("distance", ["edges", "straight"])
def test_maps_of_surfaces_are_those_of_the_function(
    surfaces: Path, run_main: Any, distance: str
) -> None:
    options = (*OF_SURFACES, *MESH, "--distance", distance, "--brain-metric", "crossnobis")
    done = run_main("searchlight", "f.h5", *options, "--out", "maps", "--quiet")
    assert done.code == 0, done.err
    runs = (1, 2, 10)
    betas = load_betas(
        [tuple(surfaces / f"run-{run}_hemi-{side}_betas.func.gii" for side in "LR")
         for run in runs],
        events=[surfaces / f"run-{run}_events.tsv" for run in runs], images=IMAGES,
    )  # fmt: skip
    layers = {name: pd.read_csv(f"{name}.csv", index_col=0) for name in LAYERS}
    expected = searchlight_rsa(
        betas, layers, radius=12.0, mesh=list(MESH[1:]), min_voxels=6, distance=distance,
        metric="crossnobis",
    )  # fmt: skip
    for side, part in zip("LR", np.split(expected.scores[0, 1], 2), strict=True):
        found = nibabel.load(f"maps/hemi-{side}_layer-conv2.func.gii").agg_data()
        np.testing.assert_allclose(found, part, atol=1e-6)
    assert "best_in: vertices of 324" in done.out


def test_one_hemisphere_and_its_report(surfaces: Path, run_main: Any) -> None:
    pytest.importorskip("nilearn.plotting")
    one = [text.replace("*_betas", "*hemi-R_betas") for text in OF_SURFACES]
    out = ("--out", "maps", "study.skdnn.json", "--quiet")
    done = run_main("searchlight", "f.h5", *one, "--mesh", MESH[2], *out)
    assert done.code == 0, done.err
    assert Path("maps/hemi-R_sizes.func.gii").exists()
    results = load_results("study.skdnn.json")
    assert MESH[2] in results.provenance["files"]
    table = results["Searchlight"].tables["layers"]
    values = nibabel.load("maps/hemi-R_layer-conv1.func.gii").agg_data()
    assert table["vertex"][0] == values.argmax()
    assert table["hemisphere"].tolist() == ["right", "right"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((), "betas are of surfaces: give the mesh that they lie on with --mesh."),
        (MESH[:2], "--mesh: 1 given for 2 hemispheres"),
        ((MESH[0], *MESH[:0:-1]), "--mesh: 'surf/hemi-R_white.surf.gii' is of the right hemi"),
        (("--mesh", "surf/lh.small", MESH[2]), "there is no file 'surf/lh.small'"),
        (
            ("--mesh", "surf/small.surf.gii", MESH[2]),
            "--mesh 'surf/small.surf.gii' of the left hemisphere has 161 vertices, the betas have "
            "162: give the mesh",
        ),
    ],
)
def test_meshes_that_do_not_fit(
    surfaces: Path, run_main: Any, changes: tuple[str, ...], message: str
) -> None:
    xyz, faces = icosphere()
    write_mesh(surfaces / "small.surf.gii", xyz[:161], faces[(faces < 161).all(axis=1)])
    done = run_main("searchlight", "f.h5", *OF_SURFACES, *changes, "--out", "maps")
    assert (done.code, message in done.err) == (1, True), done.err
    assert not Path("maps").exists()


def test_surfaces_need_both_of_a_pair_and_volumes_no_mesh(surfaces: Path, run_main: Any) -> None:
    (surfaces / "run-2_hemi-R_betas.func.gii").unlink()
    done = run_main("searchlight", "f.h5", *OF_SURFACES, *MESH, "--out", "maps")
    assert done.code == 1
    assert "run-2_hemi-L_betas.func.gii' has no file of the other hemisphere" in done.err
    done = run_main("searchlight", "f.h5", *BETAS, *MESH, "--out", "maps")
    assert done.code == 1
    assert "--mesh is for surfaces, and betas are of volumes" in done.err


def test_maps_of_volumes_are_not_asked_of_surfaces(surfaces: Path, run_main: Any) -> None:
    done = run_main("encode", "f.h5", *OF_SURFACES[:4], "--cv", "2", "--out", "r.nii.gz")
    assert (done.code, "--out r.nii.gz: betas of surfaces make no volume" in done.err) == (1, True)
