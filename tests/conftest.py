"""Fixtures for all tests: tiny images of several formats and unequal sizes, and real data."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before numpy and torch, and for processes of tests too
    for variable in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{variable}_NUM_THREADS", "1")

import joblib
import numpy as np
import pytest
from sklearn.utils import Bunch

from skdnn.datasets import fetch_kriegeskorte92

collect_ignore = ["helpers"]  # no tests in it


def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``-n auto``: each holds torch and often tensorflow, about 3 GB."""
    return min(joblib.cpu_count(), 4)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``SKDNN_TEST_SHARE=3`` a third of the tests, always the same, of all rooms."""
    share = int(os.environ.get("SKDNN_TEST_SHARE", "1"))
    if share > 1:
        parts: tuple[list[pytest.Item], list[pytest.Item]] = ([], [])
        for item in items:
            parts[zlib.crc32(item.nodeid.encode()) % share != 0].append(item)
        items[:], left = parts
        config.hook.pytest_deselected(items=left)


# Unequal sizes (width, height), never square: a swapped axis must fail.
IMAGE_FILES = {
    "img1.jpg": (56, 40),
    "img2.png": (44, 62),
    "img3.bmp": (70, 48),
    "img4.gif": (50, 66),
    "img5.tif": (90, 70),
    "img6.webp": (64, 46),
    "img7.jpeg": (42, 58),
    "img8.PNG": (76, 52),
    "img10.JPG": (60, 80),
}


def smooth_picture(width: int, height: int, seed: int) -> np.ndarray:
    """A colourful picture without sharp edges, which survives lossy formats."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, width)[None, :, None]
    y = np.linspace(0, 1, height)[:, None, None]
    u, v = rng.uniform(-5, 5, (2, 3))
    waves = np.sin(u * x + v * y + rng.uniform(0, 6, 3))
    return np.rint(127.5 + 100 * waves).astype(np.uint8)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of nine images in six formats; not to be written to."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for seed, (name, (width, height)) in enumerate(IMAGE_FILES.items()):
        Image.fromarray(smooth_picture(width, height, seed)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def image_paths(image_folder: Path) -> list[str]:
    """The nine images in natural order."""
    return [str(image_folder / name) for name in IMAGE_FILES]


@pytest.fixture(scope="session")
def example_paths(image_paths: list[str]) -> list[str]:
    """Three of the images, for tests that need no more."""
    return image_paths[:3]


@pytest.fixture(scope="session")
def published_files() -> Path:
    """Folder with the published files of the 92 images; skips where they are not at hand."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKDNN_TEST_DATA", beside)) / "kriegeskorte92"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set SKDNN_TEST_DATA to a data home that has them")
    return folder


def link_files(published: Path, data_home: Path) -> Path:
    """Make `data_home` a data home whose .mat files are links to the published ones."""
    (data_home / "kriegeskorte92").mkdir(parents=True)
    for path in published.glob("*.mat"):
        (data_home / "kriegeskorte92" / path.name).symlink_to(path.resolve())
    return data_home


@pytest.fixture(scope="session")
def kriegeskorte92(published_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Bunch:
    """The 92 images and their RDMs; not to be changed."""
    data_home = link_files(published_files, tmp_path_factory.mktemp("data") / "home")
    return fetch_kriegeskorte92(data_home, download_if_missing=False)
