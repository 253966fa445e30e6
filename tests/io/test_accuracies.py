"""Published accuracies: where files lie, and how the score takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skdnn.encoding import bootstrap_hierarchy_score, brain_hierarchy_score
from skdnn.formats import (
    as_hierarchy,
    read_accuracies,
    read_settings,
    score_accuracies,
    write_mat,
)

SETTINGS: dict[str, Any] = {
    "subjects": ["sub-01", "sub-02"],
    "rois": ["V1", "V2", "HVC"],
    "dnns": {
        "Net A": {"dir": "caffe/NetA", "layers": ["conv1", "fire2:concat"]},
        "Net B": {"dir": "pytorch/NetB", "layers": ["fc"]},
    },
}
N_UNITS = {"sub-01": 4, "sub-02": 5}


def value(network: str, layer: str, subject: str, roi: str, n: int) -> np.ndarray:
    """Numbers that say where they belong."""
    seed = sum(map(ord, network + layer + subject + roi))
    return np.random.default_rng(seed).uniform(-1, 1, n)


def make(root: Path, version: str = "7.3") -> Path:
    for network, plan in SETTINGS["dnns"].items():
        for layer in plan["layers"]:
            for subject in SETTINGS["subjects"]:
                for roi in SETTINGS["rois"]:
                    path = root / plan["dir"] / layer / subject / roi / "accuracy.mat"
                    values = value(network, layer, subject, roi, N_UNITS[subject])
                    write_mat(path, {"accuracy": values.reshape(1, -1)}, version)
    return root


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("inner", ["", "ImageNetTest", "decoding_accuracy_shared/ImageNetTest"])
def test_reading(tmp_path, version, inner):
    make(tmp_path / inner, version)
    found = read_accuracies(tmp_path, SETTINGS)
    assert list(found) == ["Net A", "Net B"]
    assert list(found["Net A"]) == ["conv1", "fire2:concat"]
    for network, layers in found.items():
        for layer, subjects in layers.items():
            assert list(subjects) == SETTINGS["subjects"]
            for subject, rois in subjects.items():
                assert list(rois) == SETTINGS["rois"]
                for roi, values in rois.items():
                    expected = value(network, layer, subject, roi, N_UNITS[subject])
                    np.testing.assert_array_equal(values, expected)


def test_settings_from_a_file_with_long_folders(tmp_path):
    make(tmp_path / "accuracies")
    settings = json.loads(json.dumps(SETTINGS))
    settings["dnns"]["Net A"]["dir"] = "./decoding/results/prediction/caffe/NetA/"
    settings["dnns"]["Net B"]["dir"] = "/somewhere/pytorch/NetB"
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert read_settings(tmp_path / "settings.json") == settings
    found = read_accuracies(tmp_path / "accuracies", tmp_path / "settings.json")
    assert list(found) == ["Net A", "Net B"]
    only = read_accuracies(tmp_path / "accuracies", settings, networks=["Net B"])
    assert list(only) == ["Net B"]


def test_folders_unpacked_without_colons(tmp_path):
    make(tmp_path)
    (tmp_path / "caffe/NetA/fire2:concat").rename(tmp_path / "caffe/NetA/fire2_concat")
    assert "fire2:concat" in read_accuracies(tmp_path, SETTINGS)["Net A"]


def test_decoding_and_encoding(tmp_path):
    network = read_accuracies(make(tmp_path), SETTINGS)["Net A"]
    decoding = as_hierarchy(network, "decoding")
    assert [level.shape for level in decoding] == [(3, 9), (3, 9)]
    np.testing.assert_array_equal(decoding[1][2, :4], network["fire2:concat"]["sub-01"]["HVC"])
    np.testing.assert_array_equal(decoding[1][2, 4:], network["fire2:concat"]["sub-02"]["HVC"])
    encoding = as_hierarchy(network, "encoding")
    assert [level.shape for level in encoding] == [(2, 9)] * 3
    for i, layer in enumerate(network):
        for j, roi in enumerate(SETTINGS["rois"]):
            np.testing.assert_array_equal(encoding[j][i], decoding[i][j])
            assert encoding[j][i, 0] == network[layer]["sub-01"][roi][0]


@pytest.mark.parametrize("kind", ["decoding", "encoding"])
def test_the_same_units_are_drawn_everywhere(tmp_path, kind):
    network = read_accuracies(make(tmp_path), SETTINGS)["Net A"]
    whole = as_hierarchy(network, kind)
    few = as_hierarchy(network, kind, max_per_subject=2)
    again = as_hierarchy(network, kind, max_per_subject=2)
    for all_units, some, same in zip(whole, few, again, strict=True):
        assert some.shape[1] == 4  # two of each subject
        np.testing.assert_array_equal(some, same)
        columns = {tuple(column) for column in all_units.T}
        assert {tuple(column) for column in some.T} <= columns
    # as the original code draws
    np.random.seed(0)  # noqa: NPY002
    drawn = np.random.choice(network["conv1"]["sub-01"]["V1"], 2, replace=False)  # noqa: NPY002
    np.testing.assert_array_equal(few[0][0, :2], drawn)
    assert as_hierarchy(network, kind, max_per_subject=None)[0].shape == whole[0].shape


def test_missing_and_broken_files_are_one_error(tmp_path):
    make(tmp_path)
    (tmp_path / "caffe/NetA/conv1/sub-02/V2/accuracy.mat").unlink()
    broken = tmp_path / "pytorch/NetB/fc/sub-01/V1/accuracy.mat"
    broken.write_bytes(broken.read_bytes()[:700])
    write_mat(tmp_path / "pytorch/NetB/fc/sub-01/V2/accuracy.mat", {"acc": [1.0]})
    with pytest.raises(ValueError, match=r"root: accuracies.*3 of 18 files") as caught:
        read_accuracies(tmp_path, SETTINGS)
    for fault in (
        "V2/accuracy.mat: is not there",
        "V1/accuracy.mat: it cannot",
        "no variable 'acc",
    ):
        assert fault in str(caught.value)
    plan = {"Net C": {"dir": "caffe/NetC", "layers": ["conv1"]}}
    with pytest.raises(ValueError, match=r"6 of 6 files.*\n  .*caffe/NetC/conv1/sub-01/V1/acc"):
        read_accuracies(tmp_path, {**SETTINGS, "dnns": plan})


def test_wrong_arguments(tmp_path):
    make(tmp_path)
    with pytest.raises(FileNotFoundError, match="root: there is no folder"):
        read_accuracies(tmp_path / "nowhere", SETTINGS)
    with pytest.raises(FileNotFoundError, match="settings: there is no file"):
        read_accuracies(tmp_path, tmp_path / "settings.json")
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings.json' is no JSON"):
        read_accuracies(tmp_path, tmp_path / "settings.json")
    with pytest.raises(TypeError, match="settings must be a mapping or a path, got list"):
        read_accuracies(tmp_path, [1])
    with pytest.raises(ValueError, match="settings has no 'rois' and no 'dnns'"):
        read_accuracies(tmp_path, {"subjects": ["sub-01"]})
    with pytest.raises(ValueError, match="network 'Net' has no layers"):
        read_accuracies(tmp_path, {**SETTINGS, "dnns": {"Net": {"dir": "a"}}})
    with pytest.raises(ValueError, match=r"networks: 'Net C' is not in settings. Nearest: 'Net"):
        read_accuracies(tmp_path, SETTINGS, networks=["Net C"])


def test_what_is_no_hierarchy(tmp_path):
    network = read_accuracies(make(tmp_path), SETTINGS)["Net A"]
    with pytest.raises(ValueError, match="kind must be 'decoding' or 'encoding', got 'both'"):
        as_hierarchy(network, "both")
    with pytest.raises(ValueError, match="max_per_subject must be 1 or more, or None, got 0"):
        as_hierarchy(network, "decoding", max_per_subject=0)
    with pytest.raises(ValueError, match="accuracies is empty"):
        as_hierarchy({}, "decoding")
    network["conv1"]["sub-01"]["V2"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"conv1, sub-01 has different numbers.*'V2': 3"):
        as_hierarchy(network, "decoding")
    with pytest.raises(ValueError, match=r"V2, sub-01 has different numbers.*'conv1': 3"):
        as_hierarchy(network, "encoding")
    del network["fire2:concat"]["sub-01"]["V2"]
    with pytest.raises(ValueError, match="has the ROIs"):
        as_hierarchy(network, "encoding")
    del network["fire2:concat"]["sub-02"]
    with pytest.raises(ValueError, match="has the subjects"):
        as_hierarchy(network, "encoding")


def test_networks_are_ranked_by_their_scores(tmp_path):
    plan = {
        "subjects": ["s1", "s2"],
        "rois": ["V1", "V2", "V3"],
        "dnns": {name: {"dir": name, "layers": ["a", "b", "c"]} for name in ("Good", "Bad")},
    }
    rng = np.random.default_rng(0)
    for kind in ("decoding", "encoding"):
        for name in plan["dnns"]:
            for depth, layer in enumerate(plan["dnns"][name]["layers"]):
                for subject in plan["subjects"]:
                    for place, roi in enumerate(plan["rois"]):
                        near = 0.5 - 0.1 * abs(depth - place) * (name == "Good")
                        values = near + 0.05 * rng.normal(size=(1, 30))
                        file = tmp_path / kind / name / layer / subject / roi / "accuracy.mat"
                        write_mat(file, {"accuracy": values})
    found = score_accuracies(tmp_path, plan, n_boot=20, test="t", random_state=3)
    assert found[["rank", "network"]].to_numpy().tolist() == [[1, "Good"], [2, "Bad"]]
    for _, row in found.iterrows():
        for kind in ("decoding", "encoding"):
            accuracies = read_accuracies(tmp_path / kind, plan)[row["network"]]
            rule = {"n_samples": 50, "test": "t"}
            levels = as_hierarchy(accuracies, kind)
            assert row[kind] == brain_hierarchy_score(levels, **rule)
            each = [
                as_hierarchy({layer: {s: of[s]} for layer, of in accuracies.items()}, kind)
                for s in plan["subjects"]
            ]
            shared = kind == "decoding"
            boot = bootstrap_hierarchy_score(
                each, n_boot=20, shared_units=shared, random_state=3, **rule
            )
            assert (row[f"{kind}_low"], row[f"{kind}_high"]) == (boot.low, boot.high)
        assert row["score"] == pytest.approx((row["decoding"] + row["encoding"]) / 2)
    one = score_accuracies(tmp_path, plan, networks=["Bad"], direction="decoding", n_boot=0)
    assert list(one) == ["rank", "network", "decoding", "score"]
    with pytest.raises(ValueError, match="direction='up'"):
        score_accuracies(tmp_path, plan, direction="up")
    with pytest.raises(FileNotFoundError, match="holds no folder decoding or encoding"):
        score_accuracies(tmp_path / "decoding", plan)
