"""A network in modules of one's own, written to files, with all that it may hold or reach."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from skdnn import DNNFeatureExtractor
from skdnn._extraction import network_of
from skdnn._file_digests import digest_of
from skdnn.models import Model

SIZE = {"resize": (16, 20), "crop": None}
_numbers = itertools.count()

#: Of the module that holds the network; its cases define ``Net``.
PRELUDE = """\
import array, collections, copy, dataclasses, enum, functools, operator, random, types, typing
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
import OPS_MODULE as ops
from OPS_MODULE import act, TABLE, Config

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 5)
        self.prepare()

    def prepare(self):
        pass

    def before(self, x):
        return x

    def forward(self, x):
        return self.fc(self.relu(self.norm(self.conv(self.before(x)))).mean((2, 3)))

class Net(Base):
    pass

"""
#: Of the module that the network's own module imports.
OPS = """\
import torch
import DEEP_MODULE as deep

SCALE = 1.0
TABLE = {"k": 1.0, "inner": [1.0, 2.0]}
WEIGHT = torch.ones(1)

def act(x):
    return x * 1.0

def deeper(x):
    return x * deep.SCALE

class Config:
    scale = 1.0

    def __init__(self):
        self.k = 1.0
"""
DEEP = "SCALE = 1.0\n"


class Laboratory:
    """Modules in files, imported under names that no other test has."""

    def __init__(self, folder: Path, net: str = "", ops: str = OPS, deep: str = DEEP) -> None:
        number = next(_numbers)
        self.names = {part: f"lab{number}_{part}" for part in ("net", "ops", "deep")}
        self.sources = {"net": PRELUDE + net, "ops": ops, "deep": deep}
        self.write(folder)
        self.load()

    def write(self, folder: Path) -> None:
        """Write all modules into a folder, which becomes the first that is looked into."""
        folder.mkdir(exist_ok=True, parents=True)
        for part, name in self.names.items():
            text = self.sources[part]
            for other, called in self.names.items():
                text = text.replace(f"{other.upper()}_MODULE", called)
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        sys.path.insert(0, str(folder))

    def load(self) -> Any:
        """Import them as if they had never been imported; gives the module of the network."""
        self.forget()
        importlib.invalidate_caches()
        return importlib.import_module(self.names["net"])

    def forget(self) -> None:
        for name in self.names.values():
            sys.modules.pop(name, None)

    def __getitem__(self, part: str) -> ModuleType:
        return sys.modules[self.names[part]]

    def build(self) -> torch.nn.Module:
        """The network, in eval mode, with statistics that count."""
        network = self["net"].Net().eval()
        torch.manual_seed(1)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.rand_like(buffer))
        return network


def extractor(network: Any, cache: Any = None, **options: Any) -> DNNFeatureExtractor:
    """An extractor of the network's last layer."""
    wrapped = {name: options.pop(name) for name in ("preprocess", "forward") if name in options}
    model = Model(network, **{"preprocess": SIZE, **wrapped})
    return DNNFeatureExtractor(model, "fc", cache=cache, device="cpu", **options)


def identity(network: Any, **options: Any) -> str:
    """What stored activations of the network are found by."""
    return digest_of(network_of(extractor(network, **options)).identity)


@torch.no_grad()
def values(network: Any) -> torch.Tensor:
    """What the network computes of one fixed batch."""
    torch.manual_seed(2)
    batch = torch.rand((2, 3, 16, 20), dtype=torch.float32)
    return network(batch.to(next(network.parameters()).dtype)).to(torch.float32)
