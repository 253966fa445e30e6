"""The searchlight command; its maps are those of the function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from skdnn import load_betas, save_features
from skdnn.cli import main
from skdnn.fmri import searchlight_rsa
from skdnn.io import save_rdm
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
        (("--flips", "-1"), "--flips -1"),
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
    assert run_main("searchlight", "f.h5", *BETAS, "--out", "maps").code == 0
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
