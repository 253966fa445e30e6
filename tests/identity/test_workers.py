"""Worker processes: what runs there must be what the rows are found by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import contextlib, sys, tempfile
import numpy as np, torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn.models import Model
import own_ops as ops

SCALE = {"all": 2.0}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(ops.act(self.conv(x)).mean((2, 3))) * SCALE["all"]

def double(module, args, output):
    return 2 * output if isinstance(module, nn.Conv2d) else None

@contextlib.contextmanager
def changed(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)

@contextlib.contextmanager
def in_double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)

@contextlib.contextmanager
def hooked():
    with register_module_forward_hook(double):
        yield

CHANGES = {
    "none": contextlib.nullcontext,
    "a value of the script": lambda: changed(sys.modules["__main__"], "SCALE", {"all": 3.0}),
    "a value of a module": lambda: changed(ops, "K", 5.0),
    "a function of a module": lambda: changed(ops, "act", torch.tanh),
    "a global hook": hooked,
    "the default type": in_double_precision,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}

def main():
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 20, 3), dtype=np.uint8)
    model = Model(Net().eval(), preprocess={"resize": (16, 20), "crop": None})
    def features(cache, n_jobs=None):
        return DNNFeatureExtractor(
            model, "fc", cache=cache, device="cpu", batch_size=2, n_jobs=n_jobs
        ).fit_transform(images)
    for name, change in CHANGES.items():
        store = ActivationStore(tempfile.mkdtemp(dir="."))
        with change():
            try:
                found = features(store, 2)
                assert np.array_equal(found, features(store))
                assert np.array_equal(found, features(None))
                print(name, "->", store.stats["images_forwarded"])
            except ValueError as error:
                print(name, "->", str(error)[:52])

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_what_a_worker_does_not_know_is_refused(tmp_path: Path) -> None:
    """A network travels with the values of its own script; modules are imported anew there."""
    (tmp_path / "own_ops.py").write_text("K = 1.0\ndef act(x):\n    return x * K\n")
    (tmp_path / "study.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-B", "study.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split(" -> ") for line in done.stdout.splitlines())
    assert {name for name, told in found.items() if told == "9"} == {
        "none",
        "a value of the script",
    }
    assert len(found) == 7
    assert set(found.values()) == {"9", "cache: in a worker process Net is not what it is whe"}
