"""``skdnn models``, ``layers``, ``classify``, ``describe``, ``cache``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdnn import ActivationStore, DNNClassifier, DNNFeatureExtractor, list_layers, list_models

Run = Callable[..., subprocess.CompletedProcess[str]]
NETWORK = ("--model", "squeezenet1_1", "--weights", "none", "--seed", 3, "--device", "cpu")


# --- models and layers ---------------------------------------------------------------------------


@pytest.mark.slow
def test_models_are_those_of_the_library(run_skdnn: Run, say: Any) -> None:
    done = run_skdnn("models", "--source", "torchvision")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list_models("torchvision")
    assert json.loads(say("models", "cornet*", "--json").out) == list_models("cornet")
    assert "alexnet" in say("models", "ALEX*").out.split()


def test_a_pattern_without_a_match_is_an_error(say: Any) -> None:
    said = say("models", "nothing-like-this")
    assert said.code == 1
    assert "nothing-like-this" in said.err
    assert said.out == ""


@pytest.mark.slow
def test_a_closed_pipe_is_no_failure(run_skdnn: Run, skdnn_environment: dict[str, str]) -> None:
    import sys

    done = subprocess.run(
        f'set -o pipefail; "{sys.executable}" -m skdnn models | head -n 2',
        shell=True,
        executable="/bin/bash",
        env=skdnn_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_layers_as_a_table_and_as_json(run_skdnn: Run, say: Any) -> None:
    done = run_skdnn("layers", "alexnet")
    assert done.returncode == 0, done.stderr
    expected = list_layers("alexnet")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == expected["layer"].tolist()
    found = json.loads(say("layers", "alexnet", "--json").out)
    assert [row["n_units"] for row in found] == expected["n_units"].tolist()
    assert [tuple(row["output_shape"]) for row in found] == expected["output_shape"].tolist()


@pytest.mark.slow
def test_an_unknown_network_names_the_nearest(run_skdnn: Run) -> None:
    done = run_skdnn("layers", "alxnet")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("skdnn layers: error: ")
    assert "'alexnet'" in done.stderr
    assert "Traceback" not in done.stderr


# --- classify ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_classify_prints_what_top_k_gives(pictures: Path, run_skdnn: Run, tmp_path: Path) -> None:
    done = run_skdnn("classify", *NETWORK, "--images", pictures, "--top", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(json.loads(done.stdout))
    paths = [str(pictures / f"img{n}.png") for n in range(1, 13)]
    classifier = DNNClassifier("squeezenet1_1", weights=None, random_state=3, device="cpu").fit()
    expected = classifier.top_k(paths, k=2)
    assert found["class"].tolist() == expected["class"].tolist()
    assert found["image"].tolist() == expected["image"].tolist()
    np.testing.assert_allclose(found["probability"], expected["probability"], rtol=1e-6)
    assert "Random weights" in done.stderr


def test_classify_with_own_names_into_a_file(pictures: Path, say: Any, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing {n}" for n in range(1000)))
    out = tmp_path / "classes.csv"
    given = ("classify", *NETWORK, "--images", pictures / "img1.png", "--classes", names)
    said = say(*given, "--out", out, "--quiet")
    assert (said.code, said.out) == (0, "")
    assert pd.read_csv(out)["class"].str.fullmatch(r"thing \d+").all()
    before = out.read_bytes()
    again = say(*given, "--out", out)
    assert again.code == 1
    assert "--overwrite" in again.err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("extra", "code", "culprit"),
    [
        (("--top", 0), 2, "--top 0"),
        (("--top", 1001), 2, "1000 classes"),
        (("--out", "x.png"), 1, "x.png"),
        (("--classes", "missing.txt"), 1, "missing.txt"),
    ],
)
def test_classify_refuses(
    extra: tuple[Any, ...], code: int, culprit: str, pictures: Path, say: Any
) -> None:
    said = say("classify", *NETWORK, "--images", pictures / "img1.png", *extra)
    assert said.code == code
    assert culprit in said.err


# --- describe ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_describe_a_network(run_skdnn: Run, say: Any) -> None:
    given = ("describe", *NETWORK, "--layer", "features.3")
    done = run_skdnn(*given)
    assert done.returncode == 0, done.stderr
    extractor = DNNFeatureExtractor(
        "squeezenet1_1", "features.3", weights=None, random_state=3, device="cpu"
    )
    assert done.stdout.strip() == str(extractor.describe()).strip()
    assert say(*given, "--bibtex").out.strip() == extractor.describe().bibtex.strip()
    facts = json.loads(say(*given, "--json").out)
    assert "features.3" in json.dumps(facts)


def test_describe_wants_one_thing(say: Any) -> None:
    assert say("describe").code == 2
    said = say("describe", "features.h5", "--model", "alexnet")
    assert said.code == 2
    assert "either" in said.err


def test_describe_what_says_nothing_of_itself(say: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.ones((3, 2)))
    said = say("describe", tmp_path / "plain.npy")
    assert said.code == 1
    assert said.out == ""
    assert "provenance" in said.err


# --- cache ---------------------------------------------------------------------------------------


@pytest.fixture
def cache(pictures: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "activations"
    paths = [str(path) for path in sorted(pictures.glob("img[123].png"))]
    extractor = DNNFeatureExtractor("squeezenet1_1", weights=None, device="cpu", cache=folder)
    extractor.precompute(paths, ["features.2", "features.3"], verbose=0)
    return folder


def test_cache_lists_and_prunes(cache: Path, say: Any, run_skdnn: Run) -> None:
    done = run_skdnn("cache", "list", cache, "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert [(row["layer"], row["images"]) for row in listed] == [
        ("features.2", 3),
        ("features.3", 3),
    ]
    before = ActivationStore(cache, mode="r").size
    assert "features.2" in say("cache", "prune", cache, "--layer", "*.2", "--dry-run").out
    assert ActivationStore(cache, mode="r").size == before
    assert say("cache", "prune", cache, "--layer", "*.2").code == 0
    assert ActivationStore(cache, mode="r").contents()["layer"].tolist() == ["features.3"]
    assert say("cache", "prune", cache).out == "nothing to remove\n"


def test_cache_verify_names_damage_and_repairs(cache: Path, say: Any) -> None:
    assert say("cache", "verify", cache).out == "all is well\n"
    shard = next(iter(sorted(cache.rglob("*.npy"))))
    content = bytearray(shard.read_bytes())
    content[-5] ^= 255
    shard.write_bytes(content)
    said = say("cache", "verify", cache)
    assert said.code == 1
    assert shard.name in said.out
    assert "--repair" in said.err
    assert say("cache", "verify", cache, "--repair").code == 0
    assert say("cache", "verify", cache).out == "all is well\n"


def test_cache_refuses(cache: Path, say: Any, tmp_path: Path) -> None:
    missing = say("cache", "list", tmp_path / "none")
    assert (missing.code, "none" in missing.err) == (1, True)
    assert not (tmp_path / "none").exists()
    wrong = say("cache", "list", cache, "--layer", "features.2")
    assert wrong.code == 2
    assert "skdnn cache prune" in wrong.err


def test_layers_to_a_depth(say: Any) -> None:
    def names(*more: object) -> list[str]:
        said = say("layers", "squeezenet1_1", "--json", *more)
        assert said.code == 0, said.err
        return [row["layer"] for row in json.loads(said.out)]

    assert names("--depth", 1) == ["features", "classifier", "penultimate", "output"]
    assert names("--depth", 3) == names()
    children = [name for name in names() if name.count(".") < 2]
    assert "features.0" in children
    assert names("--depth", 2) == children
    assert say("layers", "squeezenet1_1", "--depth", 0).code == 2
