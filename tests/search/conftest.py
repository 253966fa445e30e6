"""Images, networks and targets for the searches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from skdnn._backends import _torch_engine
from skdnn.models import Model

N = 19


class Witness(nn.Sequential):
    """A network of which it is counted in how many batches it meets each image."""


def tiny_network(kind: type[nn.Sequential] = nn.Sequential, seed: int = 0) -> nn.Sequential:
    """Four layers: "0", "1", "2" and "3"."""
    torch.manual_seed(seed)
    return kind(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 12, 6))


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Nineteen noisy pictures of unequal sizes."""
    folder = tmp_path_factory.mktemp("search")
    rng = np.random.default_rng(0)
    for i in range(N):
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((60 + i, 44 + 2 * i)).save(folder / f"object{i:02d}.png")
    return sorted(map(str, folder.iterdir()))


@pytest.fixture
def model() -> Model:
    return Model(tiny_network(), {"resize": (32, 40), "crop": None}, name="tiny")


@pytest.fixture
def witness() -> Model:
    """Its passes are counted by `met`, in this process."""
    return Model(tiny_network(Witness, seed=1), {"resize": (32, 40), "crop": None}, name="witness")


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> Counter[float]:
    """In how many batches the witness has met each image."""
    counts: Counter[float] = Counter()
    run = _torch_engine.Run.__call__

    def count(self: Any, batch: torch.Tensor, rows: Any) -> None:
        if isinstance(self.network, Witness):
            counts.update({float(image.double().sum()) for image in batch})
        run(self, batch, rows)

    # Not by a hook: that would be a part of the network, or of all networks.
    monkeypatch.setattr(_torch_engine.Run, "__call__", count)
    return counts


@pytest.fixture(scope="session")
def patterns(paths: list[str]) -> pd.DataFrame:
    """Labelled patterns of five voxels."""
    values = np.random.default_rng(1).normal(size=(N, 5))
    return pd.DataFrame(values, index=[Path(path).stem for path in paths])


@pytest.fixture(autouse=True)
def own_temporary_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Temporary stores of a test lie here, where they can be counted."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
