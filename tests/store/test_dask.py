"""Blocks of images spread over a Dask cluster of separate processes."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import tiny_network
from numpy.testing import assert_allclose
from PIL import Image
from tiny_network import LAYERS, slow

from helpers.late import Late, needs
from skdnn import ActivationStore, DNNFeatureExtractor
from skdnn._extraction import _extract

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


@pytest.mark.slow
def test_workers_are_killed_again_and_again(tmp_path: Path, cluster) -> None:
    """Each time soon after something was stored."""
    paths = tiny_network.write_images(tmp_path / "images", 400)
    store = ActivationStore(tmp_path / "store")
    stored_then: list[int] = []

    def kill() -> None:
        for number in range(2):
            _kill_one_worker(cluster, store, stored_then, number)

    killer = threading.Thread(target=kill)
    killer.start()
    dnn = tiny_network.extractor(
        store, LAYERS, n_jobs=4, batch_size=8, preprocess=slow, version="1"
    )
    with (
        joblib.parallel_config("dask", wait_for_workers_timeout=60),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of lost workers
        dnn.precompute(paths, verbose=0)
    killer.join()
    assert 0 < stored_then[0] < len(paths)
    assert store.verify().empty
    assert set(store.contents().images) == {400}
    again = ActivationStore(tmp_path / "store")
    some = paths[::25]
    found = dnn.set_params(cache=again, n_jobs=None).fit(some).transform(some)
    plain = dnn.set_params(cache=None).fit(some).transform(some)
    assert again.stats["images_forwarded"] == 0
    assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def _kill_one_worker(
    client, store: ActivationStore, stored_then: list[int], number: int = 0
) -> None:
    """Once something more is stored, so that it happens in the middle."""
    before = stored_then[-1] if stored_then else 0
    deadline = time.monotonic() + 120
    while store.stats["images_forwarded"] <= before and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = client.run(os.getpid)
    stored_then.append(store.stats["images_forwarded"])
    if workers:
        os.kill(list(workers.values())[number % len(workers)], signal.SIGKILL)


# --- without a cluster: what is tried again, and how often --------------------------------


def lost(kind: str) -> Exception:
    if kind == "KilledWorker":  # too many workers died of one block
        return distributed.KilledWorker("block", SimpleNamespace(address="tcp://node:1"), 3)
    if kind == "FutureCancelledError":  # what the block needs was lost with a worker
        if not hasattr(distributed.client, "FutureCancelledError"):
            pytest.skip("older ones raise CancelledError")
        return distributed.client.FutureCancelledError("block", "lost dependencies")
    return {"CancelledError": CancelledError, "BrokenExecutor": BrokenExecutor}[kind]("lost")


KINDS = ["KilledWorker", "FutureCancelledError", "CancelledError", "BrokenExecutor"]


@pytest.mark.parametrize("kind", KINDS)
def test_lost_blocks_are_done_again_as_long_as_rows_come_in(
    paths, expected, tmp_path, monkeypatch, kind
) -> None:
    error, run = lost(kind), _extract._forward_groups
    asked: list[int] = []

    def lose(task, inputs, digests, groups, advance):
        asked.append(sum(len(rows) for _, rows in groups))
        if asked[-1] <= 4:
            return run(task, inputs, digests, groups, advance)
        run(task, inputs, digests, [(groups[0][0], groups[0][1][:4])], advance)
        raise error

    monkeypatch.setattr(_extract, "_forward_groups", lose)
    store = ActivationStore(tmp_path / "store")
    with pytest.warns(UserWarning, match="A worker process was lost") as told:
        tiny_network.extractor(store, LAYERS).precompute(paths, verbose=0)
    assert asked == [23, 19, 15, 11, 7, 3]
    assert len(told) == 5
    assert store.stats == {
        **{"hits": 0, "misses": 69},
        **{"images_forwarded": 23, "batches_forwarded": 6},
    }
    assert_allclose(tiny_network.extractor(store).fit_transform(paths), expected["fc"], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_rows_come_in_the_error_is_told(paths, tmp_path, monkeypatch, kind) -> None:
    asked, error = [], lost(kind)

    def lose(*args):
        asked.append(1)
        raise error

    monkeypatch.setattr(_extract, "_forward_groups", lose)
    dnn = tiny_network.extractor(tmp_path / "store")
    with (
        pytest.warns(UserWarning, match="A worker process was lost"),
        pytest.raises(type(error)),
    ):
        dnn.precompute(paths, verbose=0)
    assert len(asked) == _extract.ATTEMPTS
