"""examples/read_features.m: what it relies on, and itself where Octave is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from skdnn.io import save_features
from skdnn.rsa import compute_rdm

SCRIPT = Path(__file__).parents[2] / "examples" / "read_features.m"
NAMES = ["cat.png", "dog 1.png", "cup.png", "car.png"]
LAYERS = {
    "features.10": np.random.default_rng(0).normal(size=(4, 3, 2, 5)).astype(np.float32),
    "classifier.6": np.random.default_rng(1).normal(size=(4, 7)),
}
VERSIONS = ["mat-v5", "mat-v7.3"]
# What the script asks of a file, beside its name: it must be there whatever was saved.
ALWAYS = {"features", "skdnn"}
IF_GIVEN = {"labels", "targets"}


def saved(path: Path, version: str, **more: Any) -> Path:
    given = {"labels": NAMES, "targets": [0, 1, 0, 1], "provenance": {"model": "alexnet"}} | more
    features = given.pop("features", LAYERS)
    (found,) = save_features(features, path / "features.mat", version, **given)
    return found


def in_matlab(path: Path) -> dict[str, Any]:
    """Variables as MATLAB has them: numbers, text, struct (dict) or cell (list)."""
    if path.read_bytes()[:19] != b"MATLAB 7.3 MAT-file":
        variables = loadmat(path, struct_as_record=False)
        return {k: of_version_5(v) for k, v in variables.items() if not k.startswith("__")}
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        return {name: of_version_73(file, file[name]) for name in file if name[0] != "#"}


def of_version_5(value: np.ndarray) -> Any:
    if value.dtype.kind == "U":
        return str(value.item())
    if value.dtype != object:
        return value
    if hasattr(value.flat[0], "_fieldnames"):
        (struct,) = value.flat
        return {name: of_version_5(getattr(struct, name)) for name in struct._fieldnames}
    assert value.shape[1] == 1
    return [of_version_5(item) for item in value.flat]


def of_version_73(file: Any, item: Any) -> Any:
    kind = item.attrs["MATLAB_class"]
    if kind == b"struct":
        return {name: of_version_73(file, item[name]) for name in item}
    if kind == b"cell":
        assert item.shape[0] == 1
        return [of_version_73(file, file[reference]) for reference in item[0]]
    if kind == b"char":
        return item[()].tobytes().decode("utf-16-le")
    assert kind in (b"single", b"double", b"int64")
    return item[()].T


# --- what the script relies on -----------------------------------------------------------------


def test_the_script_asks_for_what_is_saved() -> None:
    lines = SCRIPT.read_text().splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("%"))
    asked = set(re.findall(r"contents\.(\w+)", code))
    checked = set(re.findall(r"isfield\(contents, '(\w+)'\)", code))
    assert asked == ALWAYS | IF_GIVEN
    assert checked == IF_GIVEN
    assert set(re.findall(r"description\.(\w+)", code)) == {"provenance"}


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_labels_and_where_they_come_from(version: str, tmp_path: Path) -> None:
    found = in_matlab(saved(tmp_path, version))
    assert found.keys() == ALWAYS | IF_GIVEN
    assert list(found["features"]) == ["features_10", "classifier_6"] or version == "mat-v7.3"
    for name, values in zip(("features_10", "classifier_6"), LAYERS.values(), strict=True):
        np.testing.assert_array_equal(found["features"][name], values)
        assert found["features"][name].dtype == values.dtype
    assert found["labels"] == NAMES
    np.testing.assert_array_equal(found["targets"], [[0], [1], [0], [1]])
    description = json.loads(found["skdnn"])
    assert description["provenance"]["model"] == "alexnet"
    assert [array["name"] for array in description["arrays"]] == list(LAYERS)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_array_without_labels(version: str, tmp_path: Path) -> None:
    path = saved(tmp_path, version, features=LAYERS["classifier.6"], labels=None, targets=None)
    found = in_matlab(path)
    assert found.keys() == ALWAYS
    np.testing.assert_array_equal(found["features"], LAYERS["classifier.6"])


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_numbers_and_targets_of_text(version: str, tmp_path: Path) -> None:
    path = saved(tmp_path, version, labels=[3, 1, 4, 1], targets=["a", "b", "a", "b"])
    found = in_matlab(path)
    np.testing.assert_array_equal(found["labels"], [[3], [1], [4], [1]])
    assert found["targets"] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_told_apart_by_the_first_words(version: str, tmp_path: Path) -> None:
    words = saved(tmp_path, version).read_bytes()[:19]
    assert (words == b"MATLAB 7.3 MAT-file") == (version == "mat-v7.3")


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2), (4, 3, 2, 5)])
def test_the_scripts_order_of_units_is_pythons(shape: tuple[int, ...]) -> None:
    assert "reshape(permute(X, [1, ndims(X):-1:2]), n_images, [])" in SCRIPT.read_text()
    X = np.arange(np.prod(shape)).reshape(shape)
    turned = X.transpose(0, *range(len(shape) - 1, 0, -1))
    flat = turned.reshape((shape[0], -1), order="F")  # as MATLAB counts
    np.testing.assert_array_equal(flat, X.reshape(shape[0], -1))


# --- the script itself -------------------------------------------------------------------------


def octave(path: Path, settings: str = "") -> subprocess.CompletedProcess[str]:
    program = shutil.which("octave-cli") or shutil.which("octave")
    if program is None:
        pytest.skip("Octave is not installed")
    code = f"file = '{path}'; {settings} run('{SCRIPT}');"
    command = [program, "--no-gui", "--quiet", "--no-init-file", "--eval", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def mean_dissimilarity(features: np.ndarray) -> str:
    rdm = compute_rdm(features.reshape(4, -1).astype(np.float64), "correlation")
    return f"RDM: 4 x 4, mean dissimilarity {np.asarray(rdm)[~np.eye(4, dtype=bool)].mean():.6f}"


@pytest.mark.parametrize("layer", ["features_10", "classifier_6", None])
def test_octave_reads_layers(layer: str | None, tmp_path: Path) -> None:
    settings = f"layer = '{layer}';" if layer else ""
    result = octave(saved(tmp_path, "mat-v5"), settings)
    assert result.returncode == 0, result.stderr
    assert "layers: features_10, classifier_6" in result.stdout
    for number, name in enumerate(NAMES, start=1):
        assert f"image {number}: {name}" in result.stdout
    assert "targets: 4 rows" in result.stdout
    assert "alexnet" in result.stdout
    # As Python computes it, which also holds the order of the rows.
    chosen = "features.10" if layer == "features_10" else "classifier.6"
    assert mean_dissimilarity(LAYERS[chosen]) in result.stdout


def test_octave_reads_one_array_without_labels(tmp_path: Path) -> None:
    features = LAYERS["classifier.6"]
    path = saved(tmp_path, "mat-v5", features=features, labels=None, targets=None)
    result = octave(path)
    assert result.returncode == 0, result.stderr
    assert "features: 4 x 7 (images x units)" in result.stdout
    assert mean_dissimilarity(features) in result.stdout


def test_octave_says_what_it_cannot_read(tmp_path: Path) -> None:
    result = octave(saved(tmp_path, "mat-v7.3"))
    assert result.returncode != 0
    assert 'format="mat-v5"' in result.stderr
    result = octave(tmp_path / "absent.mat")
    assert result.returncode != 0
    assert "There is no file" in result.stderr
