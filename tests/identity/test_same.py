"""What is no change: activations that are stored are found again."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from laboratory import DEEP, OPS, extractor, identity, values
from torch import nn

USES = (
    "class Net(Base):\n"
    "    def prepare(self):\n"
    "        self.c, self.kinds = Config(), {('a', 1), ('b', 2), frozenset({'x', 'y'})}\n"
    "    def before(self, x):\n"
    "        return ops.deeper(act(x)) * TABLE['k'] * self.c.k * Config.scale * len(self.kinds)\n"
)
#: What is done to the network, its modules or the process, in Python; and nothing comes of it.
ACTIONS: dict[str, str] = {
    "nothing": "pass",
    "asked twice": "identity(net)",
    "run": "values(net)",
    "in training mode": "net.train()",
    "weights copied": "net.load_state_dict(copy.deepcopy(net.state_dict()))",
    "weights in another order in memory": "net.to(memory_format=torch.channels_last)",
    "weights that are not learnt": "net.requires_grad_(False)",
    "gradients": "[p.register_hook(print) for p in net.parameters()]",
    "a gradient that is there": "net.fc.weight.grad = torch.ones_like(net.fc.weight)",
    "a hook that is gone": "net.fc.register_forward_hook(print).remove()",
    "a global hook that is gone": (
        "torch.nn.modules.module.register_module_forward_hook(print).remove()"
    ),
    "a value that no code reads": "lab['ops'].OTHER = 3",
    "a value that no code reads, in the network's module": "lab['net'].OTHER = object()",
    "an object that nobody can see": "lab['ops'].LOCK = (i for i in 'abc')",
    "a seed": "torch.manual_seed(77); np.random.seed(77)",
    "random numbers drawn": "torch.rand(3); np.random.rand(3)",
    "threads": "torch.set_num_threads(1)",
    "no gradients": "torch.set_grad_enabled(False); torch.set_grad_enabled(True)",
    "deterministic algorithms": (
        "torch.use_deterministic_algorithms(True); torch.use_deterministic_algorithms(False)"
    ),
    "an environment variable": "os.environ['LAB_OTHER'] = '1'",
    "another module imported": "import colorsys, imaplib",
    "a part of scipy imported": "import scipy.signal",
    "a cache that has filled up": "lab['ops'].act.__globals__['SEEN'] = {1: 2}",
    "another folder to work in": "os.chdir('/')",
    "a folder more to import from": "sys.path.append('/tmp')",
}
#: What becomes of the network.
TWINS: dict[str, str] = {
    "built again": "lab.build()",
    "copied": "copy.deepcopy(net)",
    "pickled": "pickle.loads(pickle.dumps(net))",
    "saved and loaded": "lab['net'].Net(); again.load_state_dict(net.state_dict())",
    "imported again": "lab.load().Net()",
    "reloaded": "importlib.reload(lab['net']).Net()",
    "from another folder": "moved(lab)",
    "with other comments": "moved(lab, comment='# another comment')",
    "with other lines": "moved(lab, lines='\\n\\n\\n')",
}


def moved(lab, comment: str = "", lines: str = ""):
    """The network of the same modules in another folder, laid out in another way."""
    for part, source in lab.sources.items():
        lab.sources[part] = f"{comment}\n{lines}" + source.replace("\n", f"  {comment}\n", 1)
    lab.write(Path(sys.path[0]).parent / "moved")
    return lab.load().Net()


@pytest.fixture
def process(monkeypatch):
    """What a test does to the process is undone."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ)
    monkeypatch.chdir(os.getcwd())
    monkeypatch.setenv("LAB_OTHER", "0")


@pytest.mark.parametrize("what", ACTIONS)
def test_no_change_is_found_again(what, laboratory, process):
    lab = laboratory(USES)
    net = lab.build()
    before, first = values(net), identity(net)
    exec(ACTIONS[what], {**globals(), "lab": lab, "net": net})
    assert identity(net) == first
    torch.testing.assert_close(values(net.eval()), before)


@pytest.mark.parametrize("what", TWINS)
def test_a_network_that_computes_the_same_is_found_again(what, laboratory, process):
    lab = laboratory(USES)
    net = lab.build()
    first, state, before = identity(net), copy.deepcopy(net.state_dict()), values(net)
    if what == "pickled":
        sys.modules[lab.names["net"]] = lab["net"]
    again = eval(TWINS[what].partition(";")[0], {**globals(), "lab": lab, "net": net}).eval()
    again.load_state_dict(state)
    assert identity(again) == first
    assert torch.equal(values(again), before)


def test_found_again_through_the_cache(laboratory, tmp_path):
    lab = laboratory(USES)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    store = extractor(lab.build(), tmp_path / "store").precompute(images, verbose=0)
    again = lab.build()
    moved(lab, comment="# moved")
    for network in (again, lab.build()):
        extractor(network, store).fit_transform(images)
    assert store.stats["images_forwarded"] == 3


STUDY = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
sys.path.insert(0, str(Path(__file__).parent))
import torch
from torch import nn
from laboratory import identity
import helpers
{first}
TABLE = {{"scale": helpers.SCALE, frozenset({{"a", "b"}}): 1}}

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return Double.apply(self.fc(helpers.act(x).mean((2, 3)))) * TABLE["scale"]

{then}
print(identity(Net().eval()))
"""
HELPERS = "import logging\nlog = logging.getLogger(__name__)\n{more}\nSCALE = {scale}\n"
HELPERS += "def act(x):\n    log.info('here')\n    return x * SCALE\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs a script in a new process and a folder of its own; gives its network's identity."""

    def run(first="", then="", more="", scale=1.0, name="study.py", **environment):
        folder = tmp_path_factory.mktemp("study")
        text = STUDY.format(tests=str(Path(__file__).parent), first=first, then=then)
        (folder / name).write_text(text)
        (folder / "helpers.py").write_text(HELPERS.format(more=more, scale=scale))
        done = subprocess.run(
            [sys.executable, "-B", name],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.slow
def test_a_script_in_other_processes(study):
    """What it does beside the network may change; what the network reaches may not."""
    first = study(PYTHONHASHSEED="1")
    assert study(PYTHONHASHSEED="2") == first
    analysis = "print = print\nOTHER = 3\ndef analyse(x):\n    return x + OTHER\n"
    before = "class More(torch.autograd.Function):\n    pass\n"
    assert study(first=before, then=analysis, name="other.py") == first
    assert study(more="# a comment") == first
    assert study(scale=2.0) != first
    assert study(more="def never_called():\n    return 1") != first


def test_sources_of_the_laboratory_are_used():
    """A template that is not filled in would make the tests above say nothing."""
    assert "DEEP_MODULE" in OPS
    assert DEEP.startswith("SCALE")
    assert isinstance(nn.ReLU(), nn.Module)
    assert importlib
    assert pickle
