"""What an import loads, and that no order of imports brings the process down."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import skdnn
from skdnn._optional import import_optional

LATE = ["torch", "torchvision", "tensorflow", "keras", "matplotlib", "h5py", "PIL", "pooch"]
NUMBERS = ["numpy", "scipy", "sklearn", "pandas"]
STUBS = sorted(Path(skdnn.__file__).parent.rglob("__init__.pyi"))


def run(code: str) -> str:
    """Run code in a fresh process and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    return done.stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = run("import sys, skdnn; print(*sys.modules)").split()
    assert {name.partition(".")[0] for name in loaded}.isdisjoint([*LATE, *NUMBERS])
    assert [name for name in loaded if name.startswith("skdnn")] == ["skdnn"]


def test_a_name_loads_its_own_room_alone() -> None:
    code = (
        "import sys, skdnn\nskdnn.RDM\n"
        "assert 'RDM' in vars(skdnn.rsa) and 'bootstrap_rsa' not in vars(skdnn.rsa)\n"
        "print(*sys.modules)"
    )
    loaded = set(run(code).split())
    assert "skdnn.rsa" in loaded
    assert loaded.isdisjoint(["skdnn.encoding", "skdnn.plotting", "skdnn._search", *LATE])


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.parent.name)
def test_a_stub_lists_the_public_names(stub: Path) -> None:
    """What type checkers read, and what is loaded when it is first used."""
    package = ".".join(stub.relative_to(Path(skdnn.__file__).parents[1]).parent.parts)
    module = importlib.import_module(package)
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (listed,) = (
        ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
    )
    assert sorted(listed) == sorted(imported) == sorted(module.__all__)
    assert set(listed) <= set(dir(module))


def test_rooms_are_there_after_a_plain_import() -> None:
    code = (
        "import skdnn\nassert {'rsa', 'encoding', 'formats'} <= set(dir(skdnn))\n"
        "print(skdnn.rsa.compute_rdm.__name__, skdnn.formats.__name__)\n"
        "assert 'rsa' not in skdnn.__all__"
    )
    assert run(code).split() == ["compute_rdm", "skdnn.formats"]


def test_a_pickle_needs_no_import_before_it() -> None:
    made = "import pickle, skdnn; print(pickle.dumps(skdnn.RDM('cosine')).hex())"
    code = f"import pickle; print(pickle.loads(bytes.fromhex({run(made).strip()!r})))"
    assert run(code).strip() == "RDM(metric='cosine')"


def test_neither_do_estimators_models_plots_and_the_command() -> None:
    """Making an estimator, and importing every public module, is no use of a network."""
    code = (
        "import sys, skdnn, skdnn.rsa, skdnn.models, skdnn.plotting, skdnn.datasets, skdnn.cli\n"
        "repr(skdnn.DNNFeatureExtractor()), repr(skdnn.RDM()), repr(skdnn.RSAScorer())\n"
        "print(*sys.modules)"
    )
    assert {name.partition(".")[0] for name in run(code).split()}.isdisjoint(LATE)


def test_every_public_name_is_there() -> None:
    code = (
        "import skdnn\n"
        "assert set(skdnn.__all__) <= set(dir(skdnn))\n"
        "from skdnn import *\n"
        "missing = [name for name in skdnn.__all__ if name not in globals()]\n"
        "assert not missing, missing\n"
        "print(skdnn.__version__)"
    )
    assert run(code).strip() == skdnn.__version__
    assert len(set(skdnn.__all__)) == len(skdnn.__all__)
    for name in skdnn.__all__:
        assert getattr(skdnn, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = skdnn.no_such_name  # type: ignore[attr-defined]


# Images, a network of one layer, and its features; torch itself comes as late as it can.
EXTRACTION = """
import numpy as np
from skdnn import DNNFeatureExtractor
images = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
named = DNNFeatureExtractor("squeezenet1_1", "features.0", weights=None, pooling="mean")
named = named.fit_transform(images)
assert named.shape == (2, 64) and np.ptp(named) > 0
from torch import nn
own = DNNFeatureExtractor(nn.Conv2d(3, 4, 3), "output", preprocess={"resize": 32, "crop": 24})
assert own.fit_transform(images).shape == (2, 4 * 22 * 22)
"""
TENSORFLOW = """
import tensorflow as tf
assert float(tf.reduce_sum(tf.ones((2, 3)))) == 6
"""
WARNINGS = """
import warnings
caught = warnings.catch_warnings(record=True)
seen = caught.__enter__()
warnings.simplefilter("always")
"""
REPORT = """
import sys
caught.__exit__(None, None, None)
print(sum("triton is switched off" in str(w.message) for w in seen))
"""
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)


@pytest.mark.slow
@needs_tensorflow
def test_tensorflow_before_torch() -> None:
    warned = run(WARNINGS + TENSORFLOW + EXTRACTION + TENSORFLOW + REPORT)
    # Where torch brings triton, one warning says what this order costs.
    assert int(warned) == (importlib.util.find_spec("triton") is not None)


@pytest.mark.slow
@needs_tensorflow
def test_torch_before_tensorflow() -> None:
    assert int(run(WARNINGS + EXTRACTION + TENSORFLOW + EXTRACTION + REPORT)) == 0


@pytest.mark.slow
@needs_tensorflow
def test_tensorflow_before_an_image_tells_the_size() -> None:
    """Without a crop, an image is resized before the network is looked at."""
    code = (
        TENSORFLOW
        + EXTRACTION.partition("named =")[0]
        + (
            "from torch import nn\n"
            "own = DNNFeatureExtractor(nn.Conv2d(3, 4, 3), 'output',\n"
            "                          preprocess={'resize': 32, 'crop': None})\n"
            "print(own.fit_transform(images).shape)"
        )
    )
    assert run(code).strip() == str((2, 4 * 30 * 38))


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("timm.models", 'pip install "skdnn[timm]"'),
        ("open_clip", 'pip install "skdnn[clip]"'),
        ("keras", 'pip install "skdnn[tensorflow]"'),
        ("pooch", "pip install pooch"),
    ],
)
def test_a_missing_package_says_what_it_is_for_and_how_to_get_it(
    name: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == name.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name.partition(".")[0], None)  # as if not installed
    with pytest.raises(ImportError) as caught:
        import_optional(name, "to paint the roof")
    root = name.partition(".")[0]
    assert str(caught.value) == (f"{root} is needed to paint the roof. Install it with: {install}")


def test_a_package_that_is_there_is_returned() -> None:
    import json.decoder

    assert import_optional("json.decoder", "to read") is json.decoder


def test_a_package_that_lacks_another_says_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    """What is missing is not the package that was asked for: that advice would be wrong."""
    (tmp_path / "skdnn_test_halfway.py").write_text("import skdnn_test_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'skdnn_test_nowhere'"):
        import_optional("skdnn_test_halfway", "to test")


def test_triton_is_hidden_only_behind_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert import_optional("torch", "to run networks") is torch
    assert "triton" not in sys.modules
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    with pytest.warns(UserWarning, match="import torchvision before tensorflow"):
        import_optional("torch", "to run networks")
    assert sys.modules["triton"] is None
    import_optional("torch", "to run networks")  # and warned of once
