"""A tiny network, tiny images, and processes that can be killed: for tests and their scripts."""

from __future__ import annotations

import os
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from skdnn import DNNFeatureExtractor
from skdnn.models import Model

LAYERS = ["conv", "conv2", "fc"]
UNITS = {"conv": 4 * 7 * 9, "conv2": 6 * 3 * 4, "fc": 5}
#: Of scripts.
PRELUDE = """
import sys, os, warnings
import numpy as np, torch
torch.set_num_threads(1)
from tiny_network import *
from skdnn import ActivationStore
from skdnn._extraction import _store_writer
"""
SMALL = {"resize": (16, 20), "crop": None}


class Tiny(nn.Module):
    """Two convolutions with one ReLU that is called twice, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2)
        self.fc = nn.Linear(6 * 3 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x))
        return self.fc(self.relu(self.conv2(x)).flatten(1))


def network(seed: int = 0) -> Tiny:
    torch.manual_seed(seed)
    return Tiny().eval()


def network_of_torch(seed: int = 0) -> nn.Module:
    """Layers of the same names without code of one's own, which a reader need not see."""
    torch.manual_seed(seed)
    parts = {"conv": nn.Conv2d(3, 4, 3, stride=2), "relu": nn.ReLU()}
    parts |= {"conv2": nn.Conv2d(4, 6, 3, stride=2), "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(parts, fc=nn.Linear(6 * 3 * 4, 5))).eval()


def extractor(cache: Any, layer: Any = "fc", seed: int = 0, **more: Any) -> DNNFeatureExtractor:
    model = Model(network(seed), SMALL, name="tiny")
    return DNNFeatureExtractor(model, layer, cache=cache, device="cpu", **more)


def write_images(folder: Path, n: int, seed: int = 0) -> list[str]:
    """PNG files of 17 x 13 pixels, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(n):
        path = folder / f"image{i:05d}.png"
        Image.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return paths


def files(root: Path, layer: str = "*", suffix: str = ".npy") -> list[Path]:
    """Data or manifests of shards, by name; names of one second have no order."""
    return sorted((root / "layers").glob(f"*--{layer}--*/2*{suffix}"))


def plain(paths: list[str], layers: list[str] = LAYERS, seed: int = 0) -> dict[str, np.ndarray]:
    """Features without any store."""
    return extractor(None, layers, seed).extract(paths, flatten=True)


def in_child(task: Callable[[], object], kill_after: float | None = None) -> int:
    """Run in a forked process: 0, 1 where it failed, -9 where it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            task()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at_replace(k: int) -> None:
    """From now on, die before the rename number k (from 0)."""
    replace, count = os.replace, iter(range(10**6))

    def deadly(*args: Any) -> None:
        if next(count) == k:
            os._exit(77)
        replace(*args)

    os.replace = deadly


def slow(image):
    """A network that takes a hundredth of a second for each image."""
    time.sleep(0.01)
    return np.asarray(image.resize((20, 16)), np.float32).transpose(2, 0, 1) / 255


def deadly(image):
    """Ends its process, but for the first one, where the flag is."""
    flag = Path(os.environ["SKDNN_TEST_FLAG"])
    if flag.exists() and image.size == (17, 13) and os.getpid() != int(flag.read_text()):
        flag.unlink()
        os._exit(1)
    return np.asarray(image.resize((20, 16)), np.float32).transpose(2, 0, 1) / 255
