"""Whatever happens to a store - kills, full disks, flipped bits, others - it loses nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny_network
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tiny_network import LAYERS, PRELUDE, deadly, extractor, write_images

from skdnn import ActivationStore, _file_digests
from skdnn._backends import _torch_engine
from skdnn._extraction import _extract
from skdnn._store import StoreFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")

HOURS = 3600.0


@pytest.fixture
def store(tmp_path: Path, few_rows: None) -> ActivationStore:
    return ActivationStore(tmp_path / "store")


@pytest.fixture
def filled(store: ActivationStore, paths: list[str]) -> ActivationStore:
    extractor(store, batch_size=4).precompute(paths, LAYERS, verbose=0)
    return store


def files(store: ActivationStore, layer: str = "*", suffix: str = ".npy") -> list[Path]:
    return sorted((store.root / "layers").glob(f"*--{layer}--*/2*{suffix}"))


def leftovers(store: ActivationStore) -> list[Path]:
    nameless = [path for path in files(store) if not path.with_suffix(".json").exists()]
    return [*store.root.rglob(".tmp-*"), *nameless]


def check_all(store: ActivationStore, paths: list[str], expected: dict[str, np.ndarray]) -> None:
    """Every row is right, and nothing is wrong with what is on disk."""
    found = extractor(ActivationStore(store.root), LAYERS).extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], expected[layer])
    assert store.verify().empty


# --- killed ------------------------------------------------------------------------------

KILLED_AT_EACH_RENAME = """
_store_writer.BLOCK_ROWS = 8
folder, step, *paths = sys.argv[1:]
extractor(f"{folder}/warm").precompute(paths[:2], verbose=0)  # load all that will be needed

def fill(k):
    die_at_replace(k)
    extractor(f"{folder}/{k}", batch_size=4).precompute(paths, LAYERS, verbose=0)

def check(k):
    store = ActivationStore(f"{folder}/{k}")
    assert store.verify().empty
    contents = store.contents().set_index("layer").images.reindex(LAYERS, fill_value=0)
    dnn = extractor(store, LAYERS, batch_size=4)
    found = dnn.extract(paths, flatten=True)
    # All images are missing in the layer that was written last.
    assert store.stats["images_forwarded"] == len(paths) - contents.min(), contents
    assert store.verify().empty
    assert (store.contents().images == len(paths)).all()
    np.savez(f"{folder}/{k}.npz", **found)
    print(k, contents.min(), contents.max())

k = 0
while True:
    status = in_child(lambda: fill(k))
    assert status in (0, 77), status
    assert in_child(lambda: check(k)) == 0, k
    if status == 0:
        break
    k += int(step)
unbroken = np.load(f"{folder}/{k}.npz")
for earlier in range(0, k, int(step)):
    found = np.load(f"{folder}/{earlier}.npz")
    for layer in LAYERS:
        assert np.array_equal(found[layer], unbroken[layer]), (earlier, layer)
print("renames", k)
"""


def test_killed_before_some_renames(run_script, tmp_path, paths):
    told = run_script(KILLED_AT_EACH_RENAME, tmp_path, 9, *paths)
    kept = [[int(number) for number in case.split()] for case in told.strip().splitlines()[:-1]]
    assert [k for k, _, _ in kept] == [0, 9, 18, 27]
    assert kept[0][1:] == [0, 0]
    assert kept[-1][1:] == [23, 23]
    assert any(0 < most < 23 for _, _, most in kept)


@pytest.mark.slow
def test_killed_before_each_rename(run_script, tmp_path, paths):
    told = run_script(KILLED_AT_EACH_RENAME, tmp_path, 1, *paths)
    *cases, last = told.strip().splitlines()
    # A marker, a table of the network, three folders; three blocks of three layers, each twice.
    assert last == "renames 23"
    kept = {int(case.split()[1]) for case in cases}
    assert kept == {0, 8, 16, 23}
    assert any(case.split()[1] != case.split()[2] for case in cases)  # between layers


KILLED_AT_RANDOM = """
_store_writer.BLOCK_ROWS = 8
import random
folder, *paths = sys.argv[1:]
random.seed(0)
extractor(f"{folder}-warm").precompute(paths[:2], verbose=0)  # load all that will be needed

def fill():
    extractor(folder, batch_size=4).precompute(paths, LAYERS, verbose=0)

def check():
    store = ActivationStore(folder)
    assert store.verify().empty
    table = store.contents()
    print(table.images.max() if len(table) else 0, flush=True)

killed = 0
for attempt in range(60):
    status = in_child(fill, kill_after=random.uniform(0.0, 0.012 * (1 + attempt)))
    killed += status == -9
    assert in_child(check) == 0
    if status == 0:
        break
print(killed)
"""


@pytest.mark.slow
def test_killed_at_random_moments(run_script, tmp_path, expected, paths):
    *progress, killed = map(int, run_script(KILLED_AT_RANDOM, tmp_path / "s", *paths).split())
    assert killed >= 3
    assert progress == sorted(progress)  # nothing that was complete is lost
    store = ActivationStore(tmp_path / "s")
    before = store.contents().images.max() if len(store.contents()) else 0
    check_all(store, paths, expected)
    assert store.stats["images_forwarded"] <= len(paths) - (before // 8) * 8


@pytest.mark.slow
def test_leftovers_go_after_an_hour(run_script, store, paths):
    extractor(store).precompute(paths[:2], LAYERS, verbose=0)
    folder = files(store, "fc")[0].parent
    for age, name in [(2, "old"), (0.5, "fresh")]:
        for path in (folder / f".tmp-{name}.npy", folder / f"2{name}.npy"):
            path.write_bytes(b"rows")
            when = path.stat().st_mtime - age * HOURS
            os.utime(path, (when, when))
    script = "extractor(sys.argv[1]).precompute(sys.argv[2:], LAYERS, verbose=0)"
    run_script(script, store.root, *paths[:4])
    assert sorted(path.name for path in leftovers(store)) == [".tmp-fresh.npy", "2fresh.npy"]
    assert store.contents().images.tolist() == [4, 4, 4]


# --- several at once ---------------------------------------------------------------------

TOGETHER = """
_store_writer.BLOCK_ROWS = 8
import random, time
folder, start, seed, *paths = sys.argv[1:]
random.seed(int(seed))
dnn = extractor(folder, batch_size=4)
while not os.path.exists(start):
    time.sleep(0.002)
for part in (paths[: 5 + 5 * int(seed)], paths):
    found = dnn.extract(part, LAYERS, flatten=True)
np.savez(f"{folder}-{seed}.npz", **found)
"""


@pytest.mark.parametrize("n_processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_fill_together(tmp_path, n_processes, paths, expected):
    root, start = tmp_path / "store", tmp_path / "start"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + TOGETHER, str(root), str(start), str(seed), *paths],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(n_processes)
    ]
    start.touch()
    for process in running:
        assert process.wait(200) == 0, process.stderr.read()
        assert process.stderr.read() == ""
    for seed in range(n_processes):
        found = np.load(f"{root}-{seed}.npz")
        for layer in LAYERS:
            assert_array_equal(found[layer], expected[layer])
    store = ActivationStore(root)
    assert leftovers(store) == []
    assert store.contents().images.tolist() == [23] * 3
    check_all(store, paths, expected)
    assert store.stats["images_forwarded"] == 0


def test_pruned_while_it_is_read(filled, paths, expected, monkeypatch):
    """Another process removes shards between the look and the reading."""
    look = _extract.read_store

    def read(*args):
        for path in files(filled)[:2]:
            path.with_suffix(".json").unlink()
            path.unlink()
        monkeypatch.setattr("skdnn._extraction._extract.read_store", look)
        return look(*args)

    monkeypatch.setattr("skdnn._extraction._extract.read_store", read)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_all(filled, paths, expected)
    assert filled.contents().images.tolist() == [23] * 3


def test_prune_elsewhere_is_seen_by_precompute(filled, paths, expected):
    for path in files(filled, "fc"):
        path.with_suffix(".json").unlink()
        path.unlink()
    store = extractor(filled).precompute(paths, LAYERS, verbose=0)
    assert store.contents().images.tolist() == [23, 23, 23]
    assert filled.stats["images_forwarded"] == 46


# --- no room, no right to write ----------------------------------------------------------

FULL = """
import resource
_store_writer.BLOCK_ROWS = 8
root, *paths = sys.argv[1:]
extractor(f"{root}-warm").precompute(paths[:2], verbose=0)  # load all that will be needed

def fill(limit):
    dnn = extractor(f"{root}/{limit}", batch_size=4)
    store = dnn.set_params(cache=ActivationStore(f"{root}/{limit}")).cache
    dnn.precompute(paths[:8], LAYERS, verbose=0)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        dnn.precompute(paths, LAYERS, verbose=0)
    except OSError as error:
        message = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert store.verify().empty
    assert store.contents().images.tolist() == [8, 8, 8]
    assert not [*store.root.rglob(".tmp-*")]
    dnn.precompute(paths, LAYERS, verbose=0)
    assert store.stats["images_forwarded"] == len(paths)
    print(limit, message, flush=True)

for limit in (10, 1000, 2000, 5000):  # less than a header, a manifest, a block
    assert in_child(lambda: fill(limit)) == 0, limit
"""


def test_a_full_disk(run_script, tmp_path, paths, expected):
    """Simulated by the size of the largest file that may be written."""
    told = run_script(FULL, tmp_path / "s", *paths).splitlines()
    assert len(told) == 4, told
    for line in told:
        assert re.search(r"no space left for the activation store .*All that was complete", line)
        store = ActivationStore(tmp_path / "s" / line.split()[0])
        check_all(store, paths, expected)
        assert store.stats["images_forwarded"] == 0
        assert leftovers(store) == []


def test_a_small_disk(tmp_path, expected, paths):
    """A real one, which is full although there seemed to be room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)], check=False
    ).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        store = ActivationStore(disk / "store")
        ballast = disk / "ballast"
        extractor(store).precompute(paths[:8], LAYERS, verbose=0)
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 8192))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StoreFolder, "free_bytes", 10**9)
            with pytest.raises(OSError, match="no space left for the activation store"):
                extractor(store).precompute(paths, LAYERS, verbose=0)
        assert store.verify().empty
        assert leftovers(store) == []
        with pytest.raises(OSError, match="can't hold what is asked for"):
            extractor(store).precompute(paths, LAYERS, verbose=0)
        ballast.unlink()
        before = store.stats["images_forwarded"]
        check_all(store, paths, expected)
        assert store.stats["images_forwarded"] == before + 15
    finally:
        subprocess.run(["umount", str(disk)], check=True)


READ_ONLY = """
import tempfile, tiny_network
tiny_network.network = network_of_torch
root, *paths = sys.argv[1:]
with tempfile.TemporaryDirectory() as warm:  # loads what a user without rights may not read here
    extractor(warm).fit_transform(paths[:1])
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for mode in "ar":
    store = ActivationStore(root, mode=mode)
    print(sum(float(extractor(store, name).fit_transform(paths[:8]).sum()) for name in LAYERS))
    for task in (lambda: extractor(store).fit(paths), lambda: extractor(store).precompute(paths),
                 lambda: extractor(store, seed=1).extract(paths[:2])):
        try:
            task()
        except PermissionError as error:
            print(error)
    print(store.verify().shape, len(store.contents()))
"""


@pytest.mark.slow
def test_a_store_that_cannot_be_written_to(run_script, few_rows, monkeypatch):
    monkeypatch.setattr(tiny_network, "network", tiny_network.network_of_torch)
    with tempfile.TemporaryDirectory() as folder:  # others may not look into pytest's folders
        paths = write_images(Path(folder, "images"), 11)
        store = ActivationStore(Path(folder, "store"))
        extractor(store).precompute(paths[:8], LAYERS, verbose=0)
        everything = [Path(folder), *Path(folder).rglob("*")]
        for path in everything:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            told = run_script(READ_ONLY, store.root, *paths).splitlines()
        finally:
            for path in everything:
                path.chmod(0o755 if path.is_dir() else 0o644)
        whole = tiny_network.plain(paths[:8])
        assert len(told) == 10
        for (total, *said, end), words in [
            (told[:5], "can't be written to"),
            (told[5:], "only reads"),
        ]:
            assert float(total) == sum(float(whole[layer].sum()) for layer in LAYERS)
            assert all(words in line and str(store.root) in line for line in said)
            assert end == "(0, 4) 3"


# --- images and networks that fail in the middle -----------------------------------------


def test_a_file_that_changes_meanwhile_is_refused(store, tmp_path, monkeypatch):
    paths = write_images(tmp_path / "images", 6)
    check = _extract.check_images

    def check_then_edit(inputs):
        check(inputs)
        Image.new("RGB", (17, 13)).save(paths[2])

    monkeypatch.setattr(_extract, "check_images", check_then_edit)
    dnn = extractor(store, batch_size=2).fit(paths)
    with pytest.raises(ValueError, match=r"1 image.*\n.*image00002\.png: the file changed"):
        dnn.transform(paths)
    monkeypatch.undo()
    assert store.contents().images.tolist() == [5]
    assert_allclose(dnn.transform(paths), tiny_network.plain(paths)["fc"], rtol=0, atol=1e-6)
    assert store.stats["images_forwarded"] == 6
    assert _file_digests.DIGEST.itemsize == 64


@pytest.mark.parametrize(
    ("n_jobs", "verbose"),
    [(None, 0), (None, None), pytest.param(2, 0, marks=pytest.mark.slow)],
)
def test_images_that_only_the_decoder_refuses(store, tmp_path, n_jobs, verbose):
    paths = write_images(tmp_path / "images", 11)
    for row in (0, 7):  # header and end are sound
        content = bytearray(Path(paths[row]).read_bytes())
        middle = len(content) // 2
        content[middle : middle + 40] = bytes(40)
        Path(paths[row]).write_bytes(content)
    dnn = extractor(store, n_jobs=n_jobs, batch_size=2)
    with pytest.raises(ValueError, match="2 image") as told:
        dnn.precompute(paths, LAYERS, verbose=verbose)
    assert "image00000.png" in str(told.value)
    assert "image00007.png" in str(told.value)
    assert store.stats["images_forwarded"] == 9
    assert store.contents().images.tolist() == [9, 9, 9]
    with pytest.raises(ValueError, match="2 image"):
        dnn.precompute(paths, LAYERS, verbose=verbose)
    assert store.stats["images_forwarded"] == 9


@pytest.mark.parametrize("error", [RuntimeError("no luck"), KeyboardInterrupt()], ids=repr)
def test_stopped_in_the_middle(store, paths, expected, error, monkeypatch):
    passes, run = iter(range(99)), _torch_engine.Run.__call__

    def stop(self, batch, rows):
        if next(passes) == 4:  # after three batches, of which the first was run twice
            raise error
        run(self, batch, rows)

    dnn = extractor(store, batch_size=3).fit(paths[:1])
    monkeypatch.setattr(_torch_engine.Run, "__call__", stop)
    with pytest.raises(type(error)):
        dnn.precompute(paths, LAYERS, verbose=0)
    monkeypatch.setattr(_torch_engine.Run, "__call__", run)
    assert store.verify().empty
    assert store.contents().images.tolist() == [9, 9, 9]
    assert leftovers(store) == []
    # Some of the batches have another size now, and may be rounded otherwise.
    assert_allclose(dnn.transform(paths), expected["fc"], rtol=0, atol=1e-6)
    assert store.stats["images_forwarded"] == 23


@pytest.mark.slow
def test_a_lost_worker_is_replaced(store, paths, tmp_path, monkeypatch):
    flag = tmp_path / "flag"
    flag.write_text(str(os.getpid()))
    monkeypatch.setenv("SKDNN_TEST_FLAG", str(flag))
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown()  # workers that know the flag
    dnn = extractor(store, n_jobs=2, batch_size=4, preprocess=deadly, version="1")
    with pytest.warns(UserWarning, match="worker process was lost"):
        dnn.precompute(paths, LAYERS, verbose=0)
    assert not flag.exists()
    assert store.contents().images.tolist() == [23] * 3
    assert store.verify().empty
    whole = extractor(None, LAYERS, preprocess=deadly).extract(paths, flatten=True)
    found = extractor(store, LAYERS, preprocess=deadly, version="1").extract(paths, flatten=True)
    for layer in LAYERS:
        assert_array_equal(found[layer], whole[layer])
