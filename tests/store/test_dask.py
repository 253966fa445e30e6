"""Blocks of images spread over a Dask cluster of separate processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from helpers.late import Late, needs
from skdnn import ActivationStore, DNNFeatureExtractor

pytestmark = needs("distributed")
distributed = Late("distributed")

N_IMAGES = 96


@pytest.fixture(scope="module")
def many_paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("many")
    pixels = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 60, 50, 3), dtype=np.uint8)
    paths = [str(folder / f"{i:03d}.png") for i in range(N_IMAGES)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture
def cluster(tmp_path: Path):
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def extractor(**options) -> DNNFeatureExtractor:
    return DNNFeatureExtractor(
        "squeezenet1_1", ["features.3", "features.8"], weights=None, batch_size=8, **options
    )


@pytest.mark.slow
def test_cluster_fills_the_store_and_a_killed_workers_images_are_done_again(
    many_paths: list[str], tmp_path: Path, cluster
) -> None:
    store = ActivationStore(tmp_path / "store")
    stored_then: list[int] = []
    lost = threading.Thread(target=_kill_one_worker, args=(cluster, store, stored_then))
    lost.start()
    with joblib.parallel_config("dask", wait_for_workers_timeout=60):
        extractor(cache=store, n_jobs=4).precompute(many_paths, verbose=0)
    lost.join()
    assert 0 < stored_then[0] < N_IMAGES  # it happened in the middle
    assert store.stats["images_forwarded"] >= N_IMAGES
    assert store.verify().empty
    again = ActivationStore(tmp_path / "store")
    found = extractor(cache=again).fit_transform(many_paths)
    assert again.stats["images_forwarded"] == 0
    # Workers have one thread: sums over more threads differ in the last bits.
    assert_allclose(found, extractor().fit_transform(many_paths), rtol=1e-4, atol=1e-5)


def _kill_one_worker(client, store: ActivationStore, stored_then: list[int]) -> None:
    """Once something is stored, so that it happens in the middle."""
    deadline = time.monotonic() + 120
    while store.stats["images_forwarded"] == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = client.run(os.getpid)
    stored_then.append(store.stats["images_forwarded"])
    os.kill(next(iter(workers.values())), signal.SIGKILL)
