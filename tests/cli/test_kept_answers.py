"""Names and layers of networks from the user's cache: the same as computed, or not used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skdnn
from skdnn import list_layers, list_models

COLUMNS = ["layer", "type", "output_shape", "n_units", "n_params", "n_calls", "source"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "skdnn" / "answers"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the library was asked for, in turn."""
    asked: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        function = getattr(skdnn, name)

        def asking(*arguments: Any) -> Any:
            asked.append(name)
            return function(*arguments)

        return asking

    for name in ("list_models", "list_layers"):
        monkeypatch.setattr(skdnn, name, noted(name))
    return asked


def test_layers_are_computed_once(cache: Path, computed: list[str], say: Any) -> None:
    first = say("layers", "squeezenet1_1")
    assert computed == ["list_layers"]
    second = say("layers", "squeezenet1_1")
    assert computed == ["list_layers"]
    assert (first.code, first.out) == (second.code, second.out)
    expected = list_layers("squeezenet1_1")[COLUMNS]
    rows = json.loads(say("layers", "squeezenet1_1", "--json").out)
    assert rows == json.loads(expected.to_json(orient="records"))
    assert second.out.rstrip("\n") == expected.to_string(index=False)
    assert computed == ["list_layers"]
    say("layers", "squeezenet1_1", "--backend", "torch")  # another question
    assert computed == ["list_layers"] * 2
    assert len(list(cache.iterdir())) == 2


def test_names_are_listed_once(cache: Path, computed: list[str], say: Any) -> None:
    for pattern in ("cornet-?", "cornet-rt"):
        assert say("models", pattern, "--source", "cornet").code == 0
    assert computed == ["list_models"]
    assert say("models", "--source", "cornet").out.split() == list_models("cornet")
    assert json.loads(say("models", "--source", "cornet", "--json").out) == list_models("cornet")
    assert computed == ["list_models"]


def test_what_may_change_is_never_kept(
    cache: Path, computed: list[str], say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights on this machine, networks of one's own, folders, hubs; and errors."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    )
    (tmp_path / "squeezenet1_1").mkdir()  # a folder of this name would be a network
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no server is asked
    for _ in range(2):
        assert say("models", "--source", "installed").code == 0
        assert say("layers", "mine.py:make").code == 0
        assert say("layers", "squeezenet1_1").code == 0
        assert say("layers", "alxnet").code == 1
        assert say("layers", "hf/no-such/network").code == 1
    assert computed == ["list_models", *["list_layers"] * 4] * 2
    assert not cache.exists()


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def no_text(content: bytes) -> bytes:
    return b"\xff" + content


def another_layer(content: bytes) -> bytes:
    assert b'"features.0"' in content
    return content.replace(b'"features.0"', b'"features.7"')


def of_another_version(content: bytes) -> bytes:
    facts = json.loads(content)
    facts["installed"]["torchvision"][0] += ".1"
    return json.dumps(facts).encode()


def of_other_code(content: bytes) -> bytes:
    facts = json.loads(content)
    facts["installed"]["skdnn"][1] = "0" * 64
    return json.dumps(facts).encode()


def of_a_package_more(content: bytes) -> bytes:
    facts = json.loads(content)
    facts["installed"]["another"] = ["1.0", "somewhere", 1, 1]
    return json.dumps(facts).encode()


def another_question(content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"question": "layers auto alexnet"}).encode()


def a_list(content: bytes) -> bytes:
    return b"[1, 2]"


@pytest.mark.parametrize(
    "change",
    [
        *(cut_short, no_text, another_layer, of_another_version, of_other_code),
        *(of_a_package_more, another_question, a_list),
    ],
)
def test_what_does_not_fit_is_computed_anew_and_replaced(
    cache: Path, computed: list[str], say: Any, change: Callable[[bytes], bytes]
) -> None:
    expected = say("layers", "squeezenet1_1").out
    (file,) = cache.iterdir()
    right = file.read_bytes()
    wrong = change(right)
    assert wrong != right
    file.write_bytes(wrong)
    assert say("layers", "squeezenet1_1").out == expected
    assert computed == ["list_layers"] * 2
    assert file.read_bytes() == right
    assert say("layers", "squeezenet1_1").out == expected
    assert computed == ["list_layers"] * 2


def test_where_nothing_can_be_written_nothing_is_said(
    cache: Path, computed: list[str], say: Any
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder would be")
    for _ in range(2):
        said = say("models", "--source", "cornet")
        assert (said.code, said.err) == (0, "")
        assert said.out.split() == list_models("cornet")
    assert computed == ["list_models"] * 2


def test_an_answer_from_the_cache_loads_no_framework(
    run_skdnn: Any, loaded_by: Callable[..., set[str]], skdnn_environment: dict[str, str]
) -> None:
    shutil.rmtree(Path(skdnn_environment["XDG_CACHE_HOME"]) / "skdnn", ignore_errors=True)
    first = run_skdnn("models", "--source", "cornet")
    assert first.returncode == 0, first.stderr
    heavy = {"torch", "torchvision", "timm", "open_clip", "tensorflow", "sklearn", "matplotlib"}
    loaded = loaded_by("models", "--source", "cornet")
    assert loaded.isdisjoint({*heavy, "numpy", "pandas"})
    assert "skdnn.models" not in loaded
    assert run_skdnn("layers", "cornet-z").returncode == 0
    assert loaded_by("layers", "cornet-z").isdisjoint(heavy)
